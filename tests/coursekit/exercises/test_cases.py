"""What the cases of every exercise have in common."""

import itertools

import pytest
import torch
from torch import Tensor

from coursekit.exercises import chapters, find

IDS = [id for chapter in chapters() for id in chapter.exercises]

# Why no two cases need to differ in this argument alone.
DRAWN = "calls differ by what is drawn: a result that is kept is wrong at once"
ANOTHER = "another one is made, with other arguments, before it is called"
FRESH = "the objects that are handed in are made anew for each case, and nothing can be kept of them"
REASONS = {
    "bert.mask_tokens": DRAWN,
    "bert.sentence_pairs": DRAWN,
    "bert.classifier": ANOTHER,
    ("bert.fine_tuning", "optimizer"): FRESH,
    ("bert.parameter_groups", "rate"): FRESH,
    ("bert.parameter_groups", "factor"): FRESH,
    ("bert.parameter_groups", "decay"): FRESH,
}


def is_plain(x):
    """A number, a word, a list, or a mask: what decides how something is computed, and not on which numbers."""
    return x is not None and not (isinstance(x, Tensor) and x.dtype != torch.bool)


def kept_by(x):
    """What a result that should not be kept would be kept by: a tensor's shape and dtype, all of what is plain."""
    if isinstance(x, Tensor):
        return tuple(x.shape), x.dtype, None if x.is_floating_point() else x.tolist()
    return repr(x)


def plain_arguments():
    """Functions only: of a class of modules another one is always made first, and called (`observing._Made`)."""
    for id in IDS:
        cases = find(id).cases(torch.Generator().manual_seed(0))
        for call in find(id).signatures:
            inputs = [case.inputs for case in cases if {*call.parameters} & {*case.inputs}]
            for name in call.parameters if call.forward is None and len(call.parameters) > 1 else ():
                excused = id in REASONS or (id, name) in REASONS
                if any(is_plain(given.get(name)) for given in inputs) and not excused:
                    yield pytest.param(inputs, call.parameters, name, id=f"{id}-{call.name}-{name}")


@pytest.mark.parametrize(("inputs", "names", "name"), [*plain_arguments()])
def test_two_cases_differ_in_each_plain_argument_alone(inputs, names, name):
    keys = [{n: kept_by(given.get(n)) for n in names} for given in inputs]
    apart = [[n for n in names if one[n] != other[n]] for one, other in itertools.combinations(keys, 2)]
    assert [name] in apart
