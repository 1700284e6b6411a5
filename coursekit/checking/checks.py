"""`check` an exercise: call the learner's code on public cases and say what is right, what is wrong, and why."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from typing import Any

import torch

from coursekit.checking import handover, session, store
from coursekit.checking.calls import Call
from coursekit.checking.comparing import close
from coursekit.checking.contract import Case, Exercise, Outputs
from coursekit.checking.findings import finding
from coursekit.checking.judging import judge, measured, refused
from coursekit.checking.observing import Outcome, observe, observe_all
from coursekit.checking.probing import Wrong
from coursekit.checking.report import Verdict
from coursekit.checking.sections import here
from coursekit.exercises import UnknownExercise, chapter_of, chapters, find
from coursekit.language import translated

RIGHT_ALONE = (
    "the module is right when nothing went before, and wrong after a call with other inputs, or beside another module "
    "of its class: it keeps something from one call to the next"
)
MIXED = (
    "the first sequence's {} changes when another sequence of the batch does, while each should be by itself: is "
    "batch_first missing, or does a softmax, a norm or a mean run over dimension 0?"
)
# Exercises whose last check in this process earned full marks, with the objects that did.
_passed: dict[str, tuple[Any, ...]] = {}


def check(exercise_id: str, *objects: Any, device: str | torch.device | None = None) -> Verdict:
    """The verdict on the learner's `objects`: points as text, the report as HTML.

    `check("attention.sdpa", scaled_dot_product_attention)`. Bad calls and errors in the learner's code are told
    in the report, never raised. The inputs live on `device`; by default on the CPU, as in grading, and those of an
    answer that is right there also on a CUDA GPU where there is one (other accelerators have no float64). The best
    score is kept for `progress()`.
    """
    try:
        exercise = find(exercise_id)
    except UnknownExercise as unknown:
        return _shown(Verdict(str(exercise_id), refused=str(unknown)))
    if handover.asked():
        if not handover.wanted(exercise.id):
            return Verdict(exercise.id, exercise.title, refused="while grading, only the released check cells count")
        refusal = _refusal(exercise, objects)
        handover.hand_over(exercise, objects, refusal.refused if refusal else "")
        return Verdict(exercise.id, exercise.title, refused="handed over to the grader")
    # The CPU first: an index out of range is an error there, and on a GPU the end of this process's work with it.
    devices = [device] if device else ["cpu", "cuda"][: 1 + torch.cuda.is_available()]
    verdict = _refusal(exercise, objects) or _tried(exercise, objects, [torch.device(name) for name in devices])
    _passed.pop(exercise_id, None)
    if verdict.full:
        _passed[exercise_id] = objects
    if not verdict.refused and not verdict.not_started:  # neither is a try
        from coursekit.record.scores import record  # here, because the map of progress needs the exercises

        record(exercise_id, verdict.earned, exercise.points)
    return _shown(verdict)


def use(exercise_id: str, *objects: Any) -> Any:
    """The learner's object where it has passed its check, else one from a library that does the same.

    So no exercise strands the cells below it. Several objects come back as a tuple. Says in one line when the
    library stands in.
    """
    exercise = find(exercise_id)
    if handover.asked():
        return objects[0] if len(objects) == 1 else objects  # a library's answer must not be handed over as theirs
    if not _same(_passed.get(exercise_id), objects):
        why = _wrong_number(exercise, objects)
        until = f"{why}, so a library stands in here." if why else "a library stands in here until your check passes."
        print(f"{translated(exercise.title)}: {translated(until)}")
        objects = exercise.library
        session.lend(objects, exercise.title)
    return objects[0] if len(objects) == 1 else objects


def verdict_on(exercise: Exercise, objects: tuple[Any, ...], known: store.Known, device: torch.device) -> Verdict:
    """The verdict on `objects` against what is known of the exercise, with inputs on `device`."""
    cases = [case.on(device) for case in known.cases]
    where = [case.device(device) for case in cases]
    expected = [{n: v.to(place) for n, v in right.items()} for right, place in zip(known.expected, where, strict=True)]
    seen = zip(cases, observe_all(exercise, objects, cases), strict=True)
    outcomes = [measured(exercise, case, outcome) for case, outcome in seen]
    # Where the learner's outputs are: a mistake left on another device would seem to err in its device.
    # What is known was read to the CPU; an exercise may know a thousand outcomes.
    at_home = all(place.type == "cpu" for place in where)
    mistakes = known.mistakes if at_home else [mistake.on(*where) for mistake in known.mistakes]
    verdict = judge(exercise, cases, outcomes, expected, mistakes)
    modules = any(call.forward for call in exercise.signatures) and exercise.measure is None
    if verdict.full or verdict.mistake or not modules:
        return verdict
    judged = list(zip(cases, outcomes, expected, strict=True))
    if told := _right_alone(exercise, objects, judged) or _mixed(exercise, objects, judged):
        return replace(verdict, advice=told)
    return verdict


def _right_alone(exercise: Exercise, objects: tuple[Any, ...], judged: list[tuple[Case, Outcome, Outputs]]) -> str:
    """What is said where a module errs only after it was called with other inputs; else nothing."""
    i, case, outcome, right = next(
        (i, c, o, right) for i, (c, o, right) in enumerate(judged) if finding(exercise, c, o, right)
    )
    named = outcome.kind.startswith(Wrong.__name__)  # one sentence says already what is wrong
    if named or finding(exercise, case, observe(exercise, objects, case, i), right):
        return ""
    return f"{case.label}: {RIGHT_ALONE}"


def _mixed(exercise: Exercise, objects: tuple[Any, ...], judged: list[tuple[Case, Outcome, Outputs]]) -> str:
    """What is said where the first sequence's result changes when the others of its batch do; else nothing."""
    tries = (
        (case, call)
        for case, outcome, right in judged
        for call in exercise.signatures
        if _is_wrong_batch(exercise, call, case, outcome, right)
    )
    case, call = next(tries, (None, None))
    if not (case and call and call.forward):
        return ""
    name, given = call.forward[0], case.inputs[call.forward[0]]
    others = replace(case, inputs=case.inputs | {name: torch.cat([given[:1], given[1:].flip(1)])})
    one, two = (observe(exercise, objects, c).outputs for c in (case, others))
    result = call.returns[0]
    if one and two and not close(one[result][0], two[result][0]).all():
        return f"{case.label}: {MIXED.format(result)}"
    return ""


def _is_wrong_batch(exercise: Exercise, call: Call, case: Case, outcome: Outcome, right: Outputs) -> bool:
    """Whether a module's call gave something wrong for a batch of sequences, one result for each."""
    if not call.forward or not outcome.outputs or not finding(exercise, case, outcome, right):
        return False
    name, given = call.returns[0], case.inputs.get(call.forward[0])
    if not isinstance(given, torch.Tensor) or min((*given.shape[:2], given.dim())) < 2:
        return False
    return all(len(outputs.get(name, ())) == len(given) for outputs in (outcome.outputs, right))


def _judged(exercise: Exercise, objects: tuple[Any, ...], devices: list[torch.device]) -> Verdict:
    """The verdict on the first device on which the objects are not right, or on the last."""
    try:
        known = store.load(exercise.id)
    except store.StoreError as error:
        return refused(exercise, str(error))
    for device in devices:
        verdict = verdict_on(exercise, objects, known, device)
        if not verdict.full:
            break
    return verdict


def _tried(exercise: Exercise, objects: tuple[Any, ...], devices: list[torch.device]) -> Verdict:
    """The verdict on objects that can be called, or why the cells as they stand cannot be checked."""
    why, remarks = session.trouble(exercise, objects, chapter_of(exercise.id).slug)
    judged = refused(exercise, why) if why else _with_section(_judged(exercise, objects, devices))
    return replace(judged, remarks=remarks)


def _with_section(verdict: Verdict) -> Verdict:
    """The verdict with a link to what teaches the exercise, where a mistake is named."""
    if not verdict.mistake:
        return verdict
    slug = next((chapter.slug for chapter in chapters() if verdict.exercise in chapter.exercises), "")
    title, link = here(verdict.exercise, slug)
    return replace(verdict, section=title, section_link=link)


def _refusal(exercise: Exercise, objects: tuple[Any, ...]) -> Verdict | None:
    calls = exercise.signatures
    if why := _wrong_number(exercise, objects):
        return refused(exercise, why)
    told = next((told for obj, call in zip(objects, calls, strict=True) if (told := bad_call(obj, call))), "")
    return refused(exercise, told) if told else None


def _wrong_number(exercise: Exercise, objects: tuple[Any, ...]) -> str:
    """The sentence where these are not as many objects as the exercise asks for; empty where they are."""
    names = [call.name for call in exercise.signatures]
    if len(objects) == len(names):
        return ""
    return f"it was given {len(objects)} object{'s' * (len(objects) != 1)}, expected {len(names)}: {', '.join(names)}"


def _same(passed: tuple[Any, ...] | None, objects: tuple[Any, ...]) -> bool:
    if passed is None or len(passed) != len(objects):
        return False
    return all(mine is given for mine, given in zip(passed, objects, strict=True))


def bad_call(obj: Any, call: Call) -> str:
    """Why `obj` cannot be called as the exercise calls it, in one sentence; empty when it can."""
    signature, kind = call.signature, "class" if call.is_class else "value" if call.is_value else "function"
    if obj is None:
        return f"the check was given None, expected the {kind} {signature}: has its cell been run?"
    if call.is_value:
        return ""  # whatever is wrong with it, the probe says so
    if inspect.isclass(obj) != call.is_class or not callable(obj):
        found = f"the class {obj.__name__}" if inspect.isclass(obj) else _found(obj)
        return f"the check was given {found}, expected the {kind} {signature}"
    try:
        inspect.signature(obj).bind(*call.parameters)
    except TypeError:
        has = str(inspect.signature(obj)).split(" -> ")[0]
        return f"{getattr(obj, '__name__', kind)} takes {has}, but is called as {signature}"
    except ValueError:
        return ""  # built-in functions do not tell their signature; calling them will
    return ""


def _found(obj: Any) -> str:
    if inspect.isfunction(obj):
        return f"the function {obj.__name__}"
    hint = ": pass the function itself, without calling it" if isinstance(obj, torch.Tensor) else ""
    return f"an object of type {type(obj).__name__}{hint}"


def _shown(verdict: Verdict) -> Verdict:
    """Outside a notebook nobody renders the HTML, so the report is printed."""
    if "ipykernel" not in sys.modules:
        print(verdict.text())
    return verdict
