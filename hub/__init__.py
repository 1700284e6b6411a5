"""A class on one machine: JupyterHub, nbgrader's exchange, the trusted grader, warm kernels (docs/instructors.md)."""
