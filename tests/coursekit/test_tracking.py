"""A long loop says how far it is, and changes nothing of what it yields."""

import pytest

from coursekit import tracking


@pytest.fixture
def said(monkeypatch):
    """What is shown, line by line, in a time where each look at the clock is a second later."""
    lines = []

    class Handle:
        def update(self, line):
            lines.append(repr(line))

    def shown(line, display_id):
        lines.append(repr(line))
        return Handle()

    clock = iter(range(10_000))
    monkeypatch.setattr(tracking, "display", shown)
    monkeypatch.setattr(tracking.time, "monotonic", lambda: next(clock))
    return lines


def test_the_items_come_as_they_are(said):
    assert list(tracking.track("abc", "letters")) == ["a", "b", "c"]


def test_the_time_that_is_left_follows_from_the_time_that_was_taken(said):
    list(tracking.track(range(4), "training"))
    assert said[1:3] == ["training: 1 of 4 steps, about 3 s left", "training: 2 of 4 steps, about 2 s left"]


def test_the_last_line_tells_no_time(said):
    list(tracking.track(range(2000), "training"))
    assert said[-1] == "training: 2,000 of 2,000 steps"


def test_an_interrupted_loop_says_how_far_it_came(said):
    loop = tracking.track(range(10), "training")
    for i in loop:
        if i == 3:
            break
    loop.close()
    assert said[-1].startswith("training: 3 of 10 steps, then stopped. Run the cell again")


def test_a_loop_that_a_traceback_keeps_alive_ends_with_its_cell(said, monkeypatch):
    ended = []

    class Shell:
        class events:
            register = staticmethod(lambda event, end: ended.append(end))
            unregister = staticmethod(lambda event, end: ended.remove(end))

    monkeypatch.setattr(tracking, "get_ipython", Shell)
    loop = tracking.track(range(10), "training")
    assert [next(loop), next(loop)] == [0, 1]
    ended[0]("the cell's result")
    assert said[-1].startswith("training: 1 of 10 steps, then stopped.")
    assert ended == []


def test_a_generator_tells_its_length(said):
    assert list(tracking.track(iter("ab"), "letters", total=2)) == ["a", "b"]
    with pytest.raises(TypeError, match="pass total="):
        next(tracking.track(iter("ab"), "letters"))


def test_minutes_are_told_as_minutes():
    assert repr(tracking._Line("training", 1, 9, left=200.0)).endswith("about 3 minutes left")


def test_a_screen_reader_hears_what_is_counted():
    assert '<progress value="1" max="9" aria-label="a &lt; b">' in tracking._Line("a < b", 1, 9)._repr_html_()
