"""Answers to attention.cache_bytes."""

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.cache_bytes",
    spared=dict.fromkeys(
        ("given", "again", "onward", "ones", "far", "large", "named", "surroundings", "dependence", "unwatched"),
        "a number is handed in: nothing is called",
    ),
)


def wrong(name, value, says, **more):
    """Register a number."""
    ANSWERS.wrong("plain", says, **more)((_Named(value, name),))


class _Named(float):
    """A number with a name of its own, for the reports of this file."""

    def __new__(cls, value, name):
        number = super().__new__(cls, value)
        number.__name__ = name
        return number


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

ANSWERS.right((_Named(40, "forty"),))
ANSWERS.right((_Named(2 * 80 * 8 * 128 * 2 * 2**17 / 2**30, "powers_of_two"),))
ANSWERS.right((_Named(320 * 1024 * 128 * 1024 / 2**30, "kibibytes_a_token"),))
