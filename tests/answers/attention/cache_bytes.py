"""Answers to attention.cache_bytes."""

from fractions import Fraction

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.cache_bytes",
    spared=dict.fromkeys(
        ("given", "again", "onward", "ones", "far", "large", "named", "surroundings", "dependence", "unwatched"),
        "the function takes nothing and gives a number",
    ),
)


def wrong(name, value, says, **more):
    """Register a number."""
    ANSWERS.wrong("plain", says, **more)((named(value, name),))


def named(value, name):
    """A function of that name that gives the number."""

    def given():
        return value

    given.__name__ = name
    return given


wrong("keys_only", 80 * 8 * 128 * 2 * 131072 / 2**30, "the values are forgotten", true="keys_alone")
wrong("all_heads", 2 * 80 * 64 * 128 * 2 * 131072 / 2**30, "queries' heads for keys' heads", true="query_heads")
wrong("four_bytes", 2 * 80 * 8 * 128 * 4 * 131072 / 2**30, "float32", true="float32")
wrong("decimal", 2 * 80 * 8 * 128 * 2 * 131072 / 1e9, "GB", true="gigabytes")
wrong("plain_bytes", 2 * 80 * 8 * 128 * 2 * 131072, "not divided", true="in_bytes")
wrong("single_layer", 2 * 8 * 128 * 2 * 131072 / 2**30, "no layers", true="one_layer")
wrong("per_token", 2 * 80 * 8 * 128 * 2, "bytes of one token", true="one_token")
wrong("whole_width", 2 * 80 * 8192 * 2 * 131072 / 2**30, "D for G d", true="query_heads")
wrong("in_mebibytes", 2 * 80 * 8 * 128 * 2 * 131072 / 2**20, "MiB", true="mebibytes")
wrong("group_of_8", 2 * 80 * 128 * 2 * 131072 / 2**30, "one head", true="one_head")

ANSWERS.right((named(40, "forty"),))
ANSWERS.right((named(2 * 80 * 8 * 128 * 2 * 2**17 / 2**30, "powers_of_two"),))
ANSWERS.right((named(320 * 1024 * 128 * 1024 / 2**30, "kibibytes_a_token"),))

ALL_OF_IT = 2 * 80 * 8 * 128 * 2 * 131072 / 2**30
wrong("numbers", ALL_OF_IT / 2, "numbers, not bytes", true="keys_alone")
wrong("thousands", ALL_OF_IT * 128_000 / 131_072, "128 thousand tokens", true="round_thousands")
wrong("the_small_model", ALL_OF_IT * 32 / 80, "the 8B model's 32 layers", true="another_model")
wrong(
    "short_context",
    ALL_OF_IT * 8192 / 131_072,
    "the 8192 tokens of the conversation above",
    told="too small by a factor of 16",
)
wrong("bits", ALL_OF_IT * 8, "bits", true="query_heads")
wrong("queries_too", ALL_OF_IT + ALL_OF_IT * 64 / 8 / 2, "queries are kept as well")
wrong("group_for_width", ALL_OF_IT * 8 / 128, "8 for the width too")
wrong("in_kibibytes", ALL_OF_IT * 2**20, "KiB", told="too large by a factor of 1,048,576")
wrong("in_tebibytes", ALL_OF_IT / 1024, "TiB", told="too small by a factor of 1,024")
wrong("overflown", (2 * 80 * 8 * 128 * 2 * 131072 % 2**32) / 2**30, "in whole numbers of 32 bits")
wrong("one_layers_keys", ALL_OF_IT / 160, "keys of one layer", told="too small by a factor of 160")
wrong("in_a_list", [ALL_OF_IT], "a list of one number", told="a list of 1, expected one number")


def measured():
    K = torch.empty(80, 8, 131072, 128, dtype=torch.bfloat16, device="meta")
    return sum(x.numel() * x.element_size() for x in (K, K)) / 2**30


ANSWERS.right((measured,))
ANSWERS.right((named(Fraction(327_680 * 2**17, 2**30), "as_a_fraction"),))
ANSWERS.right((named(2 * 80 * 8 * 128 * 2 * 131072 >> 30, "shifted"),))

wrong("both_decimal", 2 * 80 * 8 * 128 * 2 * 128_000 / 1e9, "two slips: thousand and GB")
wrong("depth_of_one_less", ALL_OF_IT * 79 / 80, "the last layer needs no cache, one thinks")
wrong("complex", complex(40, 0), "a complex number", told="a complex, expected one number")
ANSWERS.right((named(torch.tensor(40), "a_tensor"),))
