"""What stands in for unsolved exercises: `attention.sdpa` by `attention/sdpa.py`. Not there while grading."""
