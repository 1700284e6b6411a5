"""2 L G d S 2 bytes, with Llama 3.1 70B's sizes: Grattafiori et al. 2024, table 3 (and 128K of context)."""

from grader.contract import Trusted


def number(value):
    """A function that gives it."""
    return lambda: value


GIB = 2**30
TOKEN = 2 * 80 * 8 * 128 * 2  # bytes: keys and values, layers, heads, width, two bytes a number

TRUSTED = Trusted(number(TOKEN * 131072 / GIB))
TRUSTED.add_mistake(
    "keys_alone",
    "Half of it is missing: a cache holds keys **and** values, and each number takes 2 bytes.",
    number(20.0),
)
TRUSTED.add_mistake(
    "query_heads",
    "Eight times too much: all 64 query heads are counted, where only the 8 key/value heads are kept; or bits, where "
    "bytes are asked.",
    number(320.0),
)
TRUSTED.add_mistake("float32", "Each number takes 2 bytes in bfloat16; yours take 4.", number(80.0))
TRUSTED.add_mistake("one_layer", "This is one layer: all 80 layers keep keys and values of their own.", number(0.5))
TRUSTED.add_mistake(
    "gigabytes", "These are gigabytes, 10^9 bytes; asked are GiB, 2^30 bytes.", number(TOKEN * 131072 / 1e9)
)
TRUSTED.add_mistake("in_bytes", "These are bytes: divide by 2^30 for GiB.", number(float(TOKEN * 131072)))
TRUSTED.add_mistake(
    "one_token", "This is the cache of one token, in bytes: how many tokens are there?", number(float(TOKEN))
)
TRUSTED.add_mistake(
    "one_head", "One head is counted: there are 8 key/value heads of width 128 in each layer.", number(5.0)
)
TRUSTED.add_mistake(
    "model_width",
    "The model's width of 8192 is taken for the width of a head, which is 128.",
    number(2 * 80 * 8 * 8192 * 2 * 131072 / GIB),
)
TRUSTED.add_mistake(
    "mebibytes", "These are MiB, 2^20 bytes; asked are GiB, 2^30 bytes.", number(TOKEN * 131072 / 2**20)
)
TRUSTED.add_mistake(
    "round_thousands",
    "131,072 tokens are 128 times 1024, not 128 thousand.",
    number(TOKEN * 128_000 / GIB),
)
TRUSTED.add_mistake("another_model", "These are 32 layers, those of the 8B model: here are 80.", number(16.0))
TRUSTED.add_alternative("as_a_whole_number", number(40))
TRUSTED.add_alternative("by_token", number(327680 * 131072 / GIB))
