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


ROSTER = "username,first_name\r\nzoe,Zoë\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_roster_is_read_in_the_encodings_that_say_what_they_are(tmp_path, encoding):
    path = written(tmp_path, 'instructors = ["mira"]\nroster = "roster.csv"')
    (tmp_path / "roster.csv").write_bytes(ROSTER.encode(encoding))
    assert settings.read(path).learners == (settings.Learner("zoe", "Zoë"),)


@pytest.mark.parametrize("name", ["roster.csv", "class.toml"])
def test_another_encoding_is_told_with_its_place_and_what_to_do(tmp_path, name):
    path = written(tmp_path, 'instructors = ["mira"]\nroster = "roster.csv"')
    text = ROSTER if name == "roster.csv" else f"# {ROSTER}"
    (tmp_path / name).write_bytes(text.encode("cp1252"))
    with pytest.raises(settings.ClassError, match=rf"{name}: found byte 0xeb in line 2, .* save it as UTF-8"):
        settings.read(path)


def test_a_roster_that_is_no_table_is_told(tmp_path):
    path = written(
        tmp_path, 'instructors = ["mira"]\nroster = "roster.csv"', "username,first_name\nada," + "A" * 200_000
    )
    with pytest.raises(settings.ClassError, match="field larger than field limit"):
        settings.read(path)
