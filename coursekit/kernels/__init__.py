"""Kernels forked from a parent that has imported everything: they start in less than a second."""
