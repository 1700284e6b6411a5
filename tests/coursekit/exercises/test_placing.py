"""What a probe hands over is where its inputs are: on a machine without a GPU, a tensor made anywhere else shows."""

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from coursekit.checking import elsewhere
from coursekit.exercises import chapters, find
from grader.exercises import trusted

FACTORIES = {
    getattr(torch, name)
    for name in (
        *("arange", "empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randint", "randn", "randperm"),
        *("as_tensor", "tensor", "tril_indices", "triu_indices", "zeros"),
    )
}
MEETINGS = {*elsewhere.MEETINGS, "__setitem__"}
ON_THE_CPU = {"core.scaling_law"}  # whose probe takes all of its inputs there: some dozens of numbers


class Unplaced(TorchFunctionMode):
    """Knows the tensors that were made without being told where, and all that was computed of these alone.

    On a GPU they are on the CPU. `met` lists the functions in which such a one came together with one that has a place,
    which is an error there.
    """

    def __init__(self):
        super().__init__()
        self.unplaced, self.met = {}, []

    def __contains__(self, x):
        return id(x) in self.unplaced

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        made = func in FACTORIES and kwargs.get("device") is None
        moved = func.__name__ in elsewhere.MOVES and elsewhere._names_a_device(func.__name__, args[1:], kwargs)
        if moved:  # which gives the same tensor back where it need not move
            for x in tree_leaves(result):
                self.unplaced.pop(id(x), None)
        if (made and not given) or (given and not moved and all(x in self for x in given)):
            # Kept, so that no other tensor gets the same id.
            self.unplaced |= {id(x): x for x in tree_leaves(result) if isinstance(x, Tensor)}
        elif len({x in self for x in given if x.dim()}) > 1 and not moved and func.__name__ not in MEETINGS:
            self.met.append(func.__name__)
        return result


def observed(exercise, case, objects):
    """What the probe hands over of a case, and the mode that watched it."""
    with Unplaced() as mode, torch.random.fork_rng():
        return exercise.probe(case.copy().inputs, *objects), mode


@pytest.mark.filterwarnings("ignore")  # answers may warn; checks keep what they say for the report
@pytest.mark.parametrize("id", [id for chapter in chapters() for id in chapter.exercises if id not in ON_THE_CPU])
def test_what_a_right_answer_gives_is_where_its_inputs_are(id):
    exercise, secret = find(id), trusted(id)
    astray = set()
    for case in exercise.drawn(torch.Generator().manual_seed(0)):
        if case.device(torch.device("cuda")).type == "cuda":
            for right in (secret.reference, *secret.alternatives.values()):
                outputs, mode = observed(exercise, case, right)
                astray |= {name for name, x in outputs.items() if x in mode and not name.startswith("_")} | {*mode.met}
    assert not astray
