"""What a learner's code may leave behind in the process: it is noticed, told, and set right.

Around each of some hundred cases of a submission: what is looked at here is looked at in microseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.random  # which the first case would import otherwise
import torch

# Each is told by its sentence.
SEED, PYTHON_SEED, NUMPY_SEED = "seed", "python seed", "numpy seed"
GRADIENTS_OFF, DEFAULT_DTYPE = "gradients off", "default dtype"
_SEEDED = "it sets the seed of all random numbers{}, which is the business of whoever calls it"
LEFT_BEHIND = {
    SEED: _SEEDED.format(" (manual_seed)"),
    PYTHON_SEED: _SEEDED.format(" of Python (random.seed)"),
    NUMPY_SEED: _SEEDED.format(" of NumPy (numpy.random.seed)"),
    GRADIENTS_OFF: "it leaves gradients switched off for everything that comes after: use `with torch.no_grad():`",
    DEFAULT_DTYPE: "it changes torch's default dtype for everything that comes after",
}
_OWN_SEED = 7_919_000_000  # nobody's own choice, so that a seed that the learner sets shows

# Python and NumPy both draw by the Mersenne Twister: so many words, made anew together when the last one is drawn.
_WORDS = 624
_ROUNDS, _AT_ONCE = 4_000, 50  # two million words: whoever draws more in one case is taken to have set the seed
_Words = tuple[int, ...]  # those of a twister, and after them how many are drawn


@contextlib.contextmanager
def watched(seed: int, left: list[str]) -> Iterator[None]:
    """Torch's random numbers the same, gradients on, full float32 precision; everything is as before afterwards.

    What the code inside has left otherwise is written into `left`, by its names in LEFT_BEHIND.
    """
    precision, dtype = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    with _torch_numbers(_OWN_SEED + seed, left), _other_numbers(left), torch.enable_grad():
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            now = {
                GRADIENTS_OFF: not torch.is_grad_enabled(),
                DEFAULT_DTYPE: torch.get_default_dtype() != dtype,
            }
            left += [name for name, differs in now.items() if differs]
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)


@contextlib.contextmanager
def _torch_numbers(seed: int, left: list[str]) -> Iterator[None]:
    if not torch.cuda.is_initialized():
        # fork_rng, torch.manual_seed and cudnn.flags cost more than a small case: where CUDA sleeps, they only ask
        # whether it does.
        state = torch.default_generator.get_state()
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            left += [SEED] * (torch.initial_seed() != seed)
            torch.default_generator.set_state(state)
        return
    with torch.random.fork_rng([torch.cuda.current_device()]), torch.backends.cudnn.flags(allow_tf32=False):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            left += [SEED] * (torch.initial_seed() != seed)


@contextlib.contextmanager
def _other_numbers(left: list[str]) -> Iterator[None]:
    """Python's and NumPy's: their seeds are not kept, but draws lead from one state of theirs to certain others."""
    numpy = _numpy_words()
    before = bytes(numpy) if numpy else b""
    with many() as python:
        try:
            yield
        finally:
            left += [PYTHON_SEED] * python.seeded()
            if numpy and bytes(numpy) != before and not _drawn(_unpacked(before), _unpacked(bytes(numpy))):
                left.append(NUMPY_SEED)
                ctypes.memmove(numpy, before, len(before))


class _Python:
    """A state of Python's random numbers, with a mark: asking for the state costs more than a small case.

    The mark is the number that `random.gauss` has to spare. Whoever sets the seed, or draws such a number, loses it:
    while it is there, nothing but other draws has happened.
    """

    def __init__(self) -> None:
        self._remember()

    def _remember(self) -> None:
        self.state = random.getstate()
        self.mark = _GENERATOR.gauss_next = random.Random().gauss(0, 1)

    def seeded(self) -> bool:
        """Whether the seed was set since the last time; the state is the earlier one then."""
        if _GENERATOR.gauss_next is self.mark:
            return False
        seeded = not _drawn(self.state[1], random.getstate()[1])
        if seeded:
            random.setstate(self.state)
        self._remember()
        return seeded

    def forget(self) -> None:
        if _GENERATOR.gauss_next is self.mark:
            _GENERATOR.gauss_next = self.state[2]


_GENERATOR: Any = random.seed.__self__  # type: ignore[attr-defined]  # the one behind the module's functions
_python: _Python | None = None


@contextlib.contextmanager
def many() -> Iterator[_Python]:
    """Around cases that follow each other, so that not each of them asks anew what was before."""
    global _python
    if _python:
        yield _python
        return
    _python = _Python()
    try:
        yield _python
    finally:
        _python.forget()
        _python = None


def _numpy_words() -> ctypes.Array | None:
    """Where NumPy keeps its words; asking it for its state takes a thousand times as long as reading them.

    None where the learner has put another kind of generator in its place.
    """
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    if not isinstance(generator, np.random.MT19937):
        return None
    return (ctypes.c_uint32 * (_WORDS + 1)).from_address(generator.ctypes.state_address)


def _unpacked(words: bytes) -> _Words:
    return tuple(np.frombuffer(words, np.uint32).tolist())


def _drawn(before: _Words, after: _Words) -> bool:
    """Whether draws, and nothing else, lead from one state of a twister to the other."""
    if before[:_WORDS] == after[:_WORDS]:
        return before[_WORDS] <= after[_WORDS]
    twister = _twister(before, _WORDS)
    wanted = _twister(after, 0).random_raw(_WORDS)
    rounds = (twister.random_raw(_AT_ONCE * _WORDS).reshape(-1, _WORDS) for _ in range(_ROUNDS // _AT_ONCE))
    return any((numbers == wanted).all(1).any() for numbers in rounds)


def _twister(words: _Words, drawn: int) -> np.random.MT19937:
    twister = np.random.MT19937(0)
    key = np.array(words[:_WORDS], np.uint32)
    twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": drawn}}
    return twister
