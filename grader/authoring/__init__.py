"""From one text file per chapter to the notebooks: read, refuse, expand, execute, release, bundle."""
