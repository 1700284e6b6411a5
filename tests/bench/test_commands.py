"""`python -m bench`: help helps, a name chooses, a wrong one is told."""

import pytest

from bench.__main__ import BENCHES, BY_NAME_ONLY, main


@pytest.fixture
def ran(monkeypatch):
    """Names of benches in the order in which they ran, in place of running them."""
    names = []
    for name, (what, _) in BENCHES.items():
        monkeypatch.setitem(BENCHES, name, (what, lambda name=name: names.append(name)))
    monkeypatch.setenv("COURSEKIT_PROGRESS", "off")
    return names


def test_help_names_every_bench_and_runs_none(ran, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert ran == []
    told = capsys.readouterr().out
    assert all(name in told for name in BENCHES)


def test_without_names_those_run_that_need_only_the_checkout(ran):
    main([])
    assert ran == [name for name in BENCHES if name not in BY_NAME_ONLY]


def test_those_that_are_named_run(ran):
    main(["grading", "hub"])
    assert ran == ["grading", "hub"]


def test_a_wrong_name_runs_nothing_and_tells_the_right_ones(ran, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["checks", "speed"])
    assert ended.value.code == 2
    assert ran == []
    assert "no bench is called speed; there are checks" in capsys.readouterr().err
