"""What stands in for "Work out this number, what a draft brings" while it is unsolved: NumPy's polynomials."""

import numpy as np


def library():
    """1 + x + ... + x^4 at 0.8."""
    return float(np.polynomial.Polynomial(np.ones(5))(0.8))


LIBRARY = (library,)
