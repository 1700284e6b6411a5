"""Answers to attention.flops."""

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.flops",
    spared=dict.fromkeys(
        ("given", "again", "onward", "ones", "far", "large", "named", "surroundings", "dependence", "unwatched"),
        "the function takes nothing and gives a number",
    ),
)


def named(value, name):
    """A function of that name that gives the number."""

    def given():
        return value

    given.__name__ = name
    return given


def wrong(name, value, says, **more):
    """Register a number."""
    ANSWERS.wrong("plain", says, **more)((named(value, name),))


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
wrong("gibi", 4 * T * T * D / 2**30, "divided by 2^30", told="too small by a factor of 1,073,741,824")

ANSWERS.right((named(8589934592, "typed_out"),))
ANSWERS.right((named(2**33, "a_power_of_two"),))
ANSWERS.right((named(T * T * (2 * D) + T * D * (2 * T), "entry_by_entry"),))

wrong("causal_half", 4 * D * T * (T + 1) // 2, "the half that a language model's mask leaves", true="causal")
wrong(
    "one_addition_less",
    T * T * (2 * D - 1) + T * D * (2 * T - 1),
    "a sum of n numbers has n - 1 additions",
    true="one_addition_less",
)
wrong("of_32_heads", 32 * 4 * T * T * D, "all heads of a layer", told="too large by a factor of 32")
wrong("entries", T * T + T * D, "the entries of the two results")
wrong(
    "two_numbers",
    (2 * T * T * D, 2 * T * T * D),
    "two numbers, and not their sum",
    told="a tuple of 2, expected one number",
)
wrong("nothing", None, "printed, and not returned", told="is there a return")
wrong("in_words", "8.6 GFLOPs", "a text", told="a str, expected one number")
wrong("three_digits", 8.59e9, "rounded to three digits", told="right number, rounded")
wrong("with_softmax", 4 * T * T * D + 5 * T * T, "the softmax too", told="too large by 0.98 percent")
wrong("overflown", 4 * T * T * D % 2**32, "in whole numbers of 32 bits")


def counted():
    Q = torch.empty(T, D, device="meta")
    with FlopCounterMode(display=False) as counter:
        (Q @ Q.T) @ Q
    return counter.get_total_flops()


ANSWERS.right((counted,))
ANSWERS.right((named(torch.tensor([2.0, T, T, D], dtype=torch.float64).prod() * 2, "as_a_tensor"),))
ANSWERS.right((named(np.float64(4 * T) * T * D, "in_numpy"),))

wrong("mega", 4 * T * T * D / 1e6, "in millions", told="too small by a factor of 1,000,000")
wrong("negative", -4 * T * T * D, "a minus slipped in", told="-8.58993e.09, which cannot be")
wrong("one_more_token", 4 * (T + 1) ** 2 * D, "the start token is counted as one more")
ANSWERS.right((named(torch.tensor(4 * T * T * D), "a_tensor_of_whole_numbers"),))
