"""Grading: the learner's code runs in a sandbox, and its results are judged outside of it."""
