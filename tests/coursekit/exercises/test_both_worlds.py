"""Every reference on several ranks gives on two real processes what it gives in the simulated world."""

import sys

import cloudpickle
import pytest
import torch

from coursekit.exercises import find
from coursekit.exercises.distributed import CHAPTER
from coursekit.world import World, on_processes
from tests.coursekit.exercises import real_ranks

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.slow(minutes=0.5)]
# The probe of the pipeline holds the modules of all stages, which processes do not share: it has a test of its own.
IDS = [id for id in CHAPTER.exercises if hasattr(sys.modules[find(id).probe.__module__], "World")]
IDS.remove(real_ranks.PIPELINE)


@pytest.fixture(scope="module")
def real():
    cloudpickle.register_pickle_by_value(real_ranks)
    try:
        return on_processes(real_ranks.on_this_process, [IDS] * real_ranks.RANKS, size=real_ranks.RANKS)[0]
    finally:
        cloudpickle.unregister_pickle_by_value(real_ranks)


@pytest.mark.parametrize("id", IDS)
def test_a_reference_gives_on_processes_what_it_gives_in_the_simulated_world(id, real):
    simulated = real_ranks.outputs(id, real_ranks.SimulatedWorld)
    assert simulated, "no case with two ranks"
    for (label, expected), (other, found) in zip(simulated, real[id], strict=True):
        assert label == other
        for name, value in expected.items():
            if not name.startswith("_"):
                told = f"{name}, {label}: "
                torch.testing.assert_close(found[name], value, equal_nan=True, msg=lambda text, t=told: t + text)


def test_a_pipeline_gives_on_processes_what_it_gives_in_the_simulated_world(real):
    simulated = World(real_ranks.RANKS).run(real_ranks.two_stages)
    for expected, (_, found) in zip(simulated, real[real_ranks.PIPELINE], strict=True):
        torch.testing.assert_close(found["gradient and loss"], expected)


def test_most_exercises_of_the_chapter_have_ranks():
    assert len(IDS) > 10
    assert World is sys.modules[find(IDS[0]).probe.__module__].World
