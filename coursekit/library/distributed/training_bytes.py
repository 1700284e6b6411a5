"""What stands in for "What a rank has to hold" while it is unsolved: a table of rows, one a kind of number."""

from fractions import Fraction
from math import ceil

# entry, bytes a number, the first stage that cuts it into shards
ROWS = [("weights", 2, 3), ("gradients", 2, 2), ("optimizer", 4, 1), ("optimizer", 4, 1)]


def tabulated(P, n, stage, master, activations):
    if stage not in range(4):
        raise ValueError(f"there is no stage {stage!r}")
    table = dict.fromkeys(("weights", "gradients", "optimizer"), 0) | {"activations": activations}
    for entry, width, since in ROWS + ROWS[-1:] * bool(master):
        table[entry] += width * (ceil(Fraction(P, n)) if stage >= since else P)
    table["total"] = sum(table.values())
    return table


LIBRARY = (tabulated,)
