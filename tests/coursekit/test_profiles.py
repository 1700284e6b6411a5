import pytest

import coursekit as ck


def test_the_environment_stands_in_for_the_default(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "smoke")
    assert ck.profile("fast") == ck.profile() == "smoke"


def test_a_profile_that_somebody_chose_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "smoke")
    assert ck.profile("full") == "full"


@pytest.mark.parametrize("said", [None, ""])
def test_without_a_word_from_the_environment_the_profile_stays(monkeypatch, said):
    monkeypatch.delenv("COURSEKIT_PROFILE")
    if said is not None:
        monkeypatch.setenv("COURSEKIT_PROFILE", said)
    assert [ck.profile(name) for name in ("smoke", "fast", "full")] == ["smoke", "fast", "full"]


def test_an_unknown_profile_is_told_with_those_that_are(monkeypatch):
    with pytest.raises(ValueError, match="'quick' is not known; choose one of 'smoke', 'fast', 'full'"):
        ck.profile("quick")
    monkeypatch.setenv("COURSEKIT_PROFILE", "slow")
    with pytest.raises(ValueError, match="'slow' is not known"):
        ck.profile("fast")
