"""`observe`: a learner's object is called, and whatever it does is written down."""

import dataclasses
import random
import sys
import warnings

import numpy as np
import pytest
import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.observing import PRINT_LIMIT, kind_of, observe, observe_all
from coursekit.checking.probing import gradients, leaves
from coursekit.checking.surroundings import DEFAULT_DTYPE, GRADIENTS_OFF, NUMPY_SEED, PYTHON_SEED, SEED
from coursekit.exercises import find


def probe(case, double):
    if "dy" not in case:
        return {"y": double(case["x"])}
    (x,) = leaves(case["x"])
    y = double(x)
    return {"y": y} | gradients(y, {"x": x}, case["dy"])


EXERCISE = Exercise(
    id="test.double",
    title="Twice x",
    parts={"values": 1},
    minutes=1,
    difficulty="core",
    calls=("double(x) -> y",),
    cases=lambda g: [],
    probe=probe,
    library=(),
)


def seen(double, **inputs):
    return observe(EXERCISE, (double,), Case("values", "a case", {"x": torch.tensor([1.0, 2.0])} | inputs))


def seen_with_gradient(double):
    return seen(double, dy=torch.tensor([1.0, 3.0]))


def right(x):
    return 2 * x


def test_the_outputs_are_kept():
    outcome = seen(right)
    assert outcome.outputs["y"].tolist() == [2.0, 4.0]
    assert (outcome.problem, outcome.changed, outcome.printed) == ("", (), "")


def test_gradients_are_kept_without_their_graph():
    outcome = seen_with_gradient(right)
    assert outcome.outputs["dx"].tolist() == [2.0, 6.0]
    assert not outcome.outputs["y"].requires_grad


def test_a_function_that_makes_a_module_is_as_good_as_its_class():
    exercise = dataclasses.replace(EXERCISE, calls=("Linear(D)(x) -> y",), probe=None)
    case = Case("values", "a case", {"D": 2, "x": torch.ones(2), "weight": torch.eye(2), "bias": torch.ones(2)})
    outcome = observe(exercise, (lambda D: torch.nn.Linear(D, D),), case)
    assert outcome.outputs["y"].tolist() == [2.0, 2.0]


def test_outputs_share_no_memory_with_the_inputs():
    case = Case("values", "a case", {"x": torch.tensor([1.0, 2.0])})
    outcome = observe(EXERCISE, (lambda x: x,), case)
    case.inputs["x"].zero_()
    assert outcome.outputs["y"].tolist() == [1.0, 2.0]


def test_a_subclass_of_tensor_is_reduced_to_its_numbers():
    class Sly(torch.Tensor):
        def __eq__(self, other):
            return True

    outcome = seen(lambda x: (2 * x).as_subclass(Sly))
    assert type(outcome.outputs["y"]) is torch.Tensor


def test_a_parameter_is_an_ordinary_answer():
    assert seen(lambda x: torch.nn.Parameter(2 * x)).outputs["y"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "it returned None (is there a return?), expected the tensor y"),
        (3.0, "it returned a float, expected the tensor y"),
        ((1, 2), "it returned a tuple of 2, expected the tensor y"),
    ],
)
def test_what_is_no_tensor_is_told(value, told):
    outcome = seen(lambda x: value)
    assert (outcome.outputs, outcome.problem) == (None, told)


def test_a_sparse_answer_is_told():
    assert "expected an ordinary dense one" in seen(lambda x: x.to_sparse()).problem


def test_a_cut_gradient_is_told():
    outcome = seen_with_gradient(lambda x: 2 * x.detach())
    assert outcome.outputs is None
    assert "no gradient can flow back from the result" in outcome.problem


def test_a_gradient_cut_by_no_grad_is_told():
    outcome = seen_with_gradient(torch.no_grad()(right))
    assert "no gradient can flow back from the result" in outcome.problem


def test_a_gradient_that_misses_one_input_is_told():
    outcome = seen_with_gradient(lambda x: 2 * x.detach() + torch.zeros(2, requires_grad=True))
    assert "no gradient reaches x" in outcome.problem


def test_a_wrong_shape_before_a_gradient_is_told_with_both_shapes():
    assert seen_with_gradient(lambda x: x.sum()).problem == "the result has shape (), expected (2,)"


@pytest.mark.parametrize(
    ("leave", "name"),
    [
        (lambda: torch.manual_seed(0), SEED),
        (lambda: random.seed(0), PYTHON_SEED),
        (lambda: (random.seed(0), random.random(), random.gauss(0, 1)), PYTHON_SEED),
        (lambda: np.random.seed(0), NUMPY_SEED),  # noqa: NPY002
        (lambda: (np.random.seed(0), np.random.rand(2_000)), NUMPY_SEED),  # noqa: NPY002
        (lambda: torch.set_grad_enabled(False), GRADIENTS_OFF),
        (lambda: torch.set_default_dtype(torch.float64), DEFAULT_DTYPE),
    ],
)
def test_what_is_left_behind_is_noted_and_set_right(leave, name):
    before = surroundings()
    assert seen(lambda x: (leave(), 2 * x)[1]).left == (name,)
    assert surroundings() == before


def surroundings():
    numbers = torch.random.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    return numbers, torch.is_grad_enabled(), torch.get_default_dtype()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(3),
        lambda: random.random(),
        lambda: [random.gauss(0, 1) for _ in range(2_000)],
        lambda: np.random.rand(2_000),  # noqa: NPY002
        lambda: np.random.default_rng(0).random(3),
        lambda: random.Random(0).random(),
    ],
)
def test_drawing_random_numbers_leaves_nothing_behind(draw):
    assert seen(lambda x: (draw(), 2 * x)[1]).left == ()


def test_of_many_cases_those_that_set_a_seed_are_told():
    cases = [Case("values", str(i), {"x": torch.tensor([float(i)])}) for i in range(4)]
    seeds = observe_all(EXERCISE, (lambda x: (x > 1 and x < 3 and random.seed(0), 2 * x)[1],), cases)
    assert [outcome.left for outcome in seeds] == [(), (), (PYTHON_SEED,), ()]


def test_another_generator_of_numpys_is_no_trouble():
    usual = np.random.get_bit_generator()
    try:
        assert seen(lambda x: (np.random.set_bit_generator(np.random.PCG64(0)), 2 * x)[1]).left == ()
        assert seen(right).left == ()
    finally:
        np.random.set_bit_generator(usual)


MODULE = dataclasses.replace(EXERCISE, calls=("Twice(D)(x, mask?) -> y",), probe=None)
ONE = Case("values", "one", {"D": 2, "x": torch.ones(2), "weight": torch.ones(2)})
MASKED = Case("values", "masked", {"D": 2, "x": torch.ones(2), "weight": torch.ones(2), "mask": torch.zeros(2)})
WIDER = Case("values", "wider", {"D": 3, "x": torch.ones(3), "weight": torch.ones(3)})


class Twice(torch.nn.Module):
    width = 0

    def __init__(self, D):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(D))
        Twice.width = D

    def forward(self, x, mask=None):
        return 2 * self.weight * x if mask is None else 2 * self.weight * x * mask


class KeepsTheFirstMask(Twice):
    kept = None

    def forward(self, x, mask=None):
        self.kept = mask if self.kept is None else self.kept
        return super().forward(x, self.kept)


class KnowsItsClass(Twice):
    def forward(self, x, mask=None):
        return super().forward(x, mask) + Twice.width - x.shape[-1]


class RaisesWithAMask(Twice):
    def forward(self, x, mask=None):
        assert mask is None
        return super().forward(x)


class RaisesForOtherSizes(Twice):
    def __init__(self, D):
        assert D == 2
        super().__init__(D)


class EvaluatesForGood(Twice):
    def forward(self, x, mask=None):
        self.eval()
        return super().forward(x, mask)


def values(make, *cases):
    return [outcome.outputs["y"].tolist() for outcome in observe_all(MODULE, (make,), cases)]


def test_a_module_is_right_on_every_call():
    assert values(Twice, ONE, MASKED, WIDER) == [[2.0, 2.0], [0.0, 0.0], [2.0, 2.0, 2.0]]


@pytest.mark.parametrize("make", [RaisesWithAMask, RaisesForOtherSizes])
def test_what_is_raised_on_one_case_is_no_trouble_of_another(make):
    outcomes = observe_all(MODULE, (make,), (ONE, MASKED if make is RaisesWithAMask else WIDER))
    assert outcomes[0].outputs["y"].tolist() == [2.0, 2.0]
    assert outcomes[1].kind.startswith("AssertionError")


def test_what_a_module_keeps_from_its_first_call_shows():
    assert values(KeepsTheFirstMask, ONE, MASKED)[0] == [0.0, 0.0]


def test_where_the_first_case_comes_again_its_module_is_alone():
    assert values(KeepsTheFirstMask, ONE, MASKED, dataclasses.replace(ONE, again=True))[2] == [2.0, 2.0]


def test_what_a_module_keeps_in_its_class_shows():
    assert values(KnowsItsClass, ONE, WIDER)[0] == [3.0, 3.0]


def test_a_call_that_switches_the_mode_is_told():
    (first, _) = observe_all(MODULE, (EvaluatesForGood,), (ONE, MASKED))
    assert first.problem.startswith("a call switches the module to another mode")


def test_an_input_that_is_changed_in_place_is_told():
    assert seen(lambda x: x.mul_(2)).changed == ("x",)


def test_the_case_itself_is_never_changed():
    case = Case("values", "a case", {"x": torch.tensor([1.0, 2.0])})
    observe(EXERCISE, (lambda x: x.mul_(2),), case)
    assert case.inputs["x"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("change", [lambda x: x[0].append(9), lambda x: x.clear(), lambda x: x.sort()])
def test_a_list_that_is_changed_in_place_is_told_and_the_case_keeps_its_own(change):
    case = Case("values", "a case", {"x": [[3, 1], [2]]})
    outcome = observe(EXERCISE, (lambda x: change(x) or torch.ones(2),), case)
    assert outcome.changed == ("x",)
    assert case.inputs["x"] == [[3, 1], [2]]


def test_an_input_with_nan_and_infinity_counts_as_unchanged():
    odd = torch.tensor([float("nan"), float("-inf")])
    assert seen(right, x=odd).changed == ()


def test_a_copy_that_is_changed_in_place_is_fine():
    assert seen(lambda x: x.clone().mul_(2)).changed == ()


def test_an_input_keeps_its_layout():
    given = torch.ones(3, 2).T
    strides = []
    seen(lambda x: strides.append(x.stride()) or x, x=given)
    assert strides == [given.stride()]


def noisy(x):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    warnings.warn("a warning", stacklevel=1)
    return 2 * x


@pytest.fixture
def plain_warnings(monkeypatch):
    """Warnings are written to stderr as Python does it; pytest collects them otherwise."""

    def write(message, category, filename, lineno, file=None, line=None):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    monkeypatch.setattr(warnings, "showwarning", write)


@pytest.mark.usefixtures("plain_warnings")
@pytest.mark.parametrize("words", ["to stdout", "to stderr", "a warning"])
def test_prints_and_warnings_are_kept_for_the_report(words):
    assert words in seen(noisy).printed


@pytest.mark.usefixtures("plain_warnings")
def test_prints_and_warnings_cost_nothing_and_reach_nobody(capfd):
    outcome = seen(noisy)
    assert (outcome.outputs["y"].tolist(), outcome.problem) == ([2.0, 4.0], "")
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("plain_warnings")
def test_warnings_that_are_errors_elsewhere_are_none_here():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert seen(noisy).problem == ""


def test_endless_prints_are_cut():
    def loud(x):
        for _ in range(100):
            print("x" * PRINT_LIMIT)
        return x

    assert len(seen(loud).printed) == PRINT_LIMIT


def softmax_lines(softmax):
    """What is told of an error below a probe of coursekit's own, line by line."""
    case = Case("values", "a case", {"x": torch.tensor([1.0, 2.0]), "dim": 0})
    return observe(find("attention.softmax"), (softmax,), case).problem.splitlines()


def broken(x, dim=0):
    rows = x.view(1, 2)
    return inner(rows)


def inner(rows):
    return rows @ rows


def test_an_error_is_told_with_the_learners_own_lines_and_no_others():
    *lines, shapes, meaning, error = softmax_lines(broken)
    assert [line.split(": ", 1)[1] for line in lines] == ["return inner(rows)", "return rows @ rows"]
    assert shapes == "rows is (1, 2)"
    assert meaning.startswith("`rows @ rows` needs")
    assert error.startswith("RuntimeError: mat1 and mat2 shapes cannot be multiplied")


def test_what_is_raised_and_is_no_exception_is_told():
    class GivingUp(BaseException):
        pass

    def gives_up(x, dim):
        raise GivingUp("enough")

    assert softmax_lines(gives_up)[-1] == "GivingUp: enough"


def test_an_interrupt_is_passed_on():
    def interrupted(x, dim):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        softmax_lines(interrupted)


def test_the_lines_of_a_library_are_left_out():
    def through_torch(x, dim):
        return torch.nn.Linear(3, 3)(x)

    line, _, error = softmax_lines(through_torch)
    assert line.endswith("in through_torch: return torch.nn.Linear(3, 3)(x)")
    assert error.startswith("RuntimeError")


def test_a_deep_recursion_is_told_in_few_lines():
    def forever(x):
        return forever(x)

    problem = seen(forever).problem
    assert "RecursionError" in problem
    assert len(problem.splitlines()) <= 5


def test_leaving_the_program_is_told_and_does_not_leave():
    outcome = seen(lambda x: sys.exit("enough"))
    assert outcome.outputs is None
    assert outcome.problem.endswith("SystemExit: enough")


def test_an_interrupt_by_the_learner_is_passed_on():
    def stopped(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seen(stopped)


def test_a_stub_is_recognised_by_its_kind():
    def stub(x):
        raise NotImplementedError

    assert seen(stub).kind.startswith("NotImplementedError")


def test_an_address_in_memory_is_no_part_of_a_problems_kind():
    assert kind_of(TypeError("<object at 0x7f3a>")) == kind_of(TypeError("<object at 0x55e1>"))


def test_other_sizes_are_another_problem():
    assert kind_of(RuntimeError("size 3 against 14")) != kind_of(RuntimeError("size 12 against 5"))


def test_the_learners_random_numbers_are_the_same_every_time():
    def noise(x):
        return torch.rand_like(x)

    assert torch.equal(seen(noise).outputs["y"], seen(noise).outputs["y"])


def test_the_global_random_state_is_as_before():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    seen(lambda x: torch.manual_seed(99) and torch.rand_like(x))
    assert torch.equal(torch.rand(3), expected)


@pytest.fixture
def coarse_precision():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield "medium"
    torch.set_float32_matmul_precision(before)


def test_float32_is_precise_inside_and_as_before_afterwards(coarse_precision):
    inside = []
    seen(lambda x: inside.append(torch.get_float32_matmul_precision()) or x)
    assert (inside, torch.get_float32_matmul_precision()) == (["highest"], coarse_precision)


def test_precision_is_as_before_after_an_error(coarse_precision):
    seen(broken)
    assert torch.get_float32_matmul_precision() == coarse_precision


def test_gradients_are_on_inside_and_as_before_afterwards():
    with torch.no_grad():
        assert seen_with_gradient(right).problem == ""
        assert not torch.is_grad_enabled()


def test_a_learner_who_turns_gradients_off_does_so_only_inside():
    def switched(x):
        torch.set_grad_enabled(False)
        return 2 * x

    seen(switched)
    assert torch.is_grad_enabled()


@pytest.mark.usefixtures("plain_warnings")
def test_output_streams_and_warning_filters_are_as_before():
    before = (sys.stdout, sys.stderr, list(warnings.filters))
    seen(noisy)
    assert (sys.stdout, sys.stderr, list(warnings.filters)) == before


def test_an_infinity_overwritten_in_place_is_a_change():
    outcome = seen(lambda x: right(x.nan_to_num_()), x=torch.tensor([1.0, float("-inf")]))
    assert outcome.changed == ("x",)
