"""Processes over pipes: one that dies costs a try, and none outlives the coordinator."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from grader.grading.workers import TRIES, Failed, spread

DIES = "__import__('os')._exit(1)"


def results(*tasks, workers=2):
    """What becomes of expressions that the workers evaluate."""
    return dict(spread(tasks, eval, workers))


def test_every_task_is_done_once_by_somebody_else():
    found = results(*(f"({i}, __import__('os').getpid())" for i in range(6)))
    assert sorted(number for number, _ in found.values()) == list(range(6))
    assert os.getpid() not in {pid for _, pid in found.values()}


def test_an_error_is_told_and_its_worker_goes_on():
    found = results("1/0", "__import__('os').getpid()", "2+2", workers=1)
    assert isinstance(found["1/0"], Failed)
    assert str(found["1/0"]) == "ZeroDivisionError: division by zero"
    assert found["2+2"] == 4


def test_what_cannot_be_sent_is_an_error():
    [failed] = results("lambda: 1", workers=1).values()
    assert "pickle" in str(failed)


def test_a_task_whose_worker_dies_is_tried_again(tmp_path):
    once = f"__import__('os').path.exists({str(tmp_path / 'x')!r}) or (open({str(tmp_path / 'x')!r}, 'w'), {DIES})"
    assert results(once, "1+1", "2+2") == {once: True, "1+1": 2, "2+2": 4}


def test_a_task_that_takes_every_worker_along_costs_its_neighbours_nothing():
    found = results("1+1", DIES, "2+2", "3+3")
    assert str(found.pop(DIES)) == f"the process that graded it ended {TRIES} times before it was done"
    assert found == {"1+1": 2, "2+2": 4, "3+3": 6}


def test_who_takes_no_more_results_leaves_no_worker():
    tasks = spread(["__import__('os').getpid()", "__import__('time').sleep(600)"], eval, 2)
    _, pid = next(tasks)
    workers = multiprocessing.active_children()
    assert pid in {worker.pid for worker in workers}
    tasks.close()
    assert set(workers) & set(multiprocessing.active_children()) == set()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_coordinator_that_is_killed_takes_its_workers_along(how):
    script = """
    from grader.grading.workers import spread
    tasks = ["__import__('os').getpid()", "__import__('time').sleep(600)"]
    for _, pid in spread(tasks, eval, 2):
        print(pid, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert int(process.stdout.readline())
        workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in str(child.cmdline())]
        assert len(workers) == 2
        process.send_signal(how)
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
