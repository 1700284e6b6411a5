"""Kernels that start at once, and kernels that are contained. Knows nothing of courses: what to import is passed in."""
