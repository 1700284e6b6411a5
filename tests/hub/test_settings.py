"""class.toml and the roster: what is wrong is said in the instructor's words."""

import pytest

from hub import settings


def written(folder, text, roster="username,first_name,last_name,email\n"):
    (folder / "class.toml").write_text(text)
    (folder / "roster.csv").write_text(roster)
    return folder / "class.toml"


def test_the_first_file_is_a_class(tmp_path):
    the = settings.read(written(tmp_path, settings.FIRST, settings.FIRST_ROSTER))
    assert the.instructors == ("instructor",)
    assert the.account == "grader-large-models"
    assert the.limits.memory == 4 << 30
    assert the.learners == ()


def test_the_roster_of_a_spreadsheet_is_read(tmp_path):
    rows = "\ufeffusername,first_name,last_name,email,note\nada,Ada,Lovelace,ada@example.org,x\n"
    path = written(tmp_path, 'instructors = ["mira"]\nroster = "roster.csv"', rows)
    assert settings.read(path).learners == (settings.Learner("ada", "Ada", "Lovelace", "ada@example.org"),)


@pytest.mark.parametrize(
    ("text", "roster", "said"),
    [
        ("", "username\n", "no instructors"),
        ('instructors = ["Mira"]', "username\n", "'Mira' cannot be a user name"),
        ('instructors = ["mira"]\nroster = "roster.csv"', "username\nmira\n", "named twice"),
        ('instructors = ["mira"]\nroster = "roster.csv"', "name,mail\nx,y\n", "found the columns name, mail"),
        ('instructors = ["mira"]\nroster = "roster.csv"', "username\n../../etc\n", "cannot be a user name"),
        ('instructors = ["mira"]\ninstructor = "x"', "username\n", "instructor is not known"),
        ('instructors = ["mira"]\n[limits]\nmemory = "lots"', "username\n", "expected a size like '4G'"),
        ('instructors = ["mira"]\naddress = "https://x:443"', "username\n", "needs certificate and key"),
        ('instructors = ["mira"]\naddress = "x"', "username\n", "expected for example"),
        ("instructors = [", "username\n", "class.toml"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, roster, said):
    with pytest.raises(settings.ClassError, match=said):
        settings.read(written(tmp_path, text, roster))
