"""2 T S d operations for Q K^T and 2 T S e for A V: each multiplication comes with an addition."""

from grader.contract import Trusted


def number(value):
    """A function that gives it."""
    return lambda: value


T, D = 4096, 128

TRUSTED = Trusted(number(4 * T * T * D))
TRUSTED.add_mistake(
    "half",
    "This is half: there are two products, and in each a multiplication and an addition count as two operations.",
    number(2 * T * T * D),
)
TRUSTED.add_mistake(
    "a_quarter",
    "This is a quarter: there are two products, and each multiplication comes with an addition, two operations.",
    number(T * T * D),
)
TRUSTED.add_mistake("double", "This is twice as much: two products of 2 T² d operations each.", number(8 * T * T * D))
TRUSTED.add_mistake(
    "width_left_out", "The width is missing: each of the T² scores is a sum of d = 128 products.", number(4 * T * T)
)
TRUSTED.add_mistake(
    "linear_in_length", "T stands once: every query meets every key, and that makes T² scores.", number(4 * T * D)
)
TRUSTED.add_mistake(
    "width_squared", "T and d have changed places: T² scores of d products each, not T times d².", number(4 * T * D * D)
)
TRUSTED.add_mistake(
    "causal",
    "Only what a causal mask leaves is counted: here there is no mask, and every score is computed.",
    number(2 * T * (T + 1) * D),
)
TRUSTED.add_mistake(
    "one_addition_less",
    "A sum of n numbers has n - 1 additions, you are right. But the rule here is as many additions as multiplications.",
    number(T * T * (2 * D - 1) + T * D * (2 * T - 1)),
)
TRUSTED.add_mistake("in_billions", "These are billions: write the number itself, 4 T² d.", number(4 * T * T * D / 1e9))
TRUSTED.add_mistake(
    "projections",
    "This counts the three projections of a token of width 128; asked are Q K^T and A V.",
    number(6 * T * D * D),
)
TRUSTED.add_alternative("as_a_float", number(4.0 * T**2 * D))
TRUSTED.add_alternative("entry_by_entry", number(T * T * 2 * D + T * D * 2 * T))
