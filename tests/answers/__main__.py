"""`python -m tests.answers [EXERCISE ...]`: what became of the answers, counted; what went wrong, whole."""

import sys

from grader.proving.seeds import SECRET
from tests.answers.collection import collections, graded, in_notebook, is_told, unvouched


def main(wanted: list[str]) -> None:
    total = dict.fromkeys(
        ("wrong", "accepted", "accepted in the notebook", "told", "falsely", "unread advice", "right", "refused"), 0
    )
    for answers in collections():
        if wanted and answers.exercise not in wanted:
            continue
        for wrong in answers.wrongs:
            verdict = in_notebook(answers.exercise, wrong.objects)
            seen = graded(answers.exercise, wrong.objects, SECRET[0]) if verdict.full else verdict
            false = verdict.mistake not in ("", *wrong.true)
            unread = [] if verdict.mistake else unvouched(wrong, verdict)
            told = is_told(wrong, verdict)
            total["wrong"] += 1
            total["accepted"] += seen.full
            total["accepted in the notebook"] += verdict.full
            total["told"] += told
            total["falsely"] += false
            total["unread advice"] += bool(unread)
            state = _state(seen.full, verdict.full, false, told) or ("UNREAD ADVICE" if unread else "")
            if state:
                print(f"{answers.exercise} {wrong.name}: {state}; it is: {wrong.says}\n{verdict.text()}\n")
        for name, objects in answers.rights.items():
            verdicts = in_notebook(answers.exercise, objects), graded(answers.exercise, objects, SECRET[1])
            total["right"] += 1
            total["refused"] += not all(v.full for v in verdicts)
            for verdict in verdicts:
                if not verdict.full:
                    print(f"{answers.exercise} {name}: REFUSED\n{verdict.text()}\n")
    print(", ".join(f"{name} {count}" for name, count in total.items()))


def _state(accepted: bool, accepted_in_notebook: bool, false: bool, told: bool) -> str:
    if accepted:
        return "ACCEPTED"
    if accepted_in_notebook:
        return "seen on hidden cases only"
    return "FALSE" if false else "" if told else "untold"


if __name__ == "__main__":
    main(sys.argv[1:])
