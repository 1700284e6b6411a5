"""Answers to attention.flops."""

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.flops",
    spared=dict.fromkeys(
        ("given", "again", "onward", "ones", "far", "large", "named", "surroundings", "dependence", "unwatched"),
        "a number is handed in: nothing is called",
    ),
)


class _Named(float):
    """A number with a name of its own, for the reports of this file."""

    def __new__(cls, value, name):
        number = super().__new__(cls, value)
        number.__name__ = name
        return number


def wrong(name, value, says, **more):
    """Register a number."""
    ANSWERS.wrong("plain", says, **more)((_Named(value, name),))


T, D = 4096, 128
wrong("one_product", 2 * T * T * D, "Q K^T alone", true="half")
wrong("multiplications", 2 * T * T * D, "no additions", true="half")
wrong("one_product_without_additions", T * T * D, "a quarter", true="a_quarter")
wrong("scores_alone", 4 * T * T, "no width", true="width_left_out")
wrong("one_query", 4 * T * D, "one query's work", true="linear_in_length")
wrong("exchanged", 4 * T * D * D, "T d²", true="width_squared")
wrong("giga", 4 * T * T * D / 1e9, "GFLOP", true="in_billions")
wrong("three_maps", 3 * 2 * T * D * D, "the projections", true="projections")
wrong("twice", 8 * T * T * D, "additions counted twice", true="double")
wrong("gibi", 4 * T * T * D / 2**30, "divided by 2^30", told=r"expected 8\.58993e\+09")

ANSWERS.right((_Named(8589934592, "typed_out"),))
ANSWERS.right((_Named(2**33, "a_power_of_two"),))
ANSWERS.right((_Named(T * T * (2 * D) + T * D * (2 * T), "entry_by_entry"),))
