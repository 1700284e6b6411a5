"""When a submission was handed in, where the learner's own file says one thing and the server's clock another."""

from datetime import UTC, datetime, timedelta

import pytest

from grader.plugins.exchange import honest_time

WRITTEN = datetime(2026, 11, 10, 15, 30, tzinfo=UTC)


def counts(claimed):
    return datetime.fromisoformat(honest_time(claimed, WRITTEN).decode().replace(" UTC", "+00:00"))


@pytest.mark.parametrize("minutes", [-9, 0, 20])
def test_a_clock_that_is_a_little_off_is_believed(minutes):
    claimed = WRITTEN + timedelta(minutes=minutes)
    assert counts(f"{claimed:%Y-%m-%d %H:%M:%S.%f} UTC\n".encode()) == claimed


@pytest.mark.parametrize(
    "claimed",
    [
        b"2026-11-10 15:00:00.000000 UTC",
        b"2026-11-10 23:30:00+09:30",
        b"23:59" + b" " * 100 + b"2026-06-10",  # today to who reads the start, June to who reads all
        b"2026-11-10 15:30:00 /etc/localtime",  # nbgrader's own reader opens that file
        b"2026-11-10 15:30:00 CET",
        b"10 November 2026",
        b"0001-01-01 00:00:00+10:00",
        b"\xff",
        b"",
    ],
)
def test_an_older_time_or_none_does_not_count(claimed):
    assert counts(claimed) == WRITTEN
