"""What `nbgrader_config.py` and the hub's settings name: classes that stand in nbgrader's places."""
