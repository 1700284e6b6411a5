"""Catalogues: what is shown is the translation of a finished sentence, and English where there is none."""

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from coursekit import language
from coursekit.language import FIELDS, WORD, Catalogue, NoCatalogue, Template, translated

GERMAN = Catalogue(
    {
        ("", "work on a copy"): "arbeite auf einer Kopie",
        ("", "V the identity, so that Y is A"): "V die Einheitsmatrix, so dass Y gleich A ist",
        ("", "mask"): "Maske",
        (WORD, "causal"): "kausal",
        (WORD, "class"): "Klasse",
        (FIELDS, "{name} has shape {shape}, expected {shape_2}"): "{name} hat die Form {shape}, erwartet {shape_2}",
        (FIELDS, "it changes its input {name!s} in place"): "es ver\u00e4ndert seine Eingabe {name}",
        (FIELDS, "has dimensions {i} and {j} exchanged"): "hat die Dimensionen {i} und {j} vertauscht",
        (FIELDS, "expected the {kind} {name}"): "erwartet: {name}, eine {kind}",
        (FIELDS, "{text}: {n:n}, expected {m:n}"): "{text}: {n}, erwartet {m}",
        (FIELDS, "{one} and {more}"): "{one} und {more}",
        (FIELDS, "line {n}, in {name!s}: {code!s}"): "Zeile {n}, in {name}: {code}",
        (FIELDS, "layer {n} on: {sentence!s}"): "Schicht {n} auf: {sentence}",
        (FIELDS, "a set {{{x}}}"): "eine Menge {{{x}}}",
    }
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    language.catalogue.cache_clear()
    yield tmp_path
    language.catalogue.cache_clear()


def write(path, *messages):
    made = Catalog()
    for text, string, flags in messages:
        made.add(text, string, flags=flags)
    with path.open("wb") as file:
        write_po(file, made)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Y has shape (2, 3), expected (3, 2)", "Y hat die Form (2, 3), erwartet (3, 2)"),
        (
            "T=3, causal: Y has shape (2, 3), expected (3, 2)",
            "T=3, kausal: Y hat die Form (2, 3), erwartet (3, 2)",
        ),
        (
            "T=3: it changes its input mask in place: work on a copy",
            "T=3: es ver\u00e4ndert seine Eingabe mask: arbeite auf einer Kopie",
        ),
        ("T=3, V the identity, so that Y is A", "T=3, V die Einheitsmatrix, so dass Y gleich A ist"),
        ("dY has dimensions -1 and -2 exchanged", "dY hat die Dimensionen -1 und -2 vertauscht"),
        ("expected the class Softmax", "erwartet: Softmax, eine Klasse"),
        ("layer 3 on: V the identity, so that Y is A", "Schicht 3 auf: V the identity, so that Y is A"),
        ("X and Y", "X und Y"),
        ("a set {3}", "eine Menge {3}"),
        ("mask", "Maske"),
    ],
)
def test_a_sentence_is_known_by_its_template_and_its_fields_are_translated_in_their_turn(text, told):
    assert GERMAN.told(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "line 3, in f: return X and work on a copy",
        "TypeError: it changes its input mask in place",
        "T=3: my own words, and nothing that is known",
    ],
)
def test_code_errors_and_what_nobody_knows_stay_as_they_are(text):
    assert GERMAN.told(text).removeprefix("Zeile") == text.removeprefix("line")


def test_a_number_is_no_sentence():
    assert GERMAN.told("Y holds 3 things: 1 of 2, expected 3") == "Y holds 3 things: 1 of 2, expected 3"


def test_a_name_in_a_field_is_no_title():
    assert GERMAN.told("mask has shape (2,), expected (3,)").startswith("mask ")


def test_a_translation_with_a_field_that_the_text_lacks_is_refused():
    with pytest.raises(ValueError, match="'shpae'"):
        Template.of("{name} has {shape}", "{name} hat {shpae}")


def test_without_a_language_a_text_is_shown_as_it_is(folder, monkeypatch):
    monkeypatch.delenv(language.CHOICE, raising=False)
    assert translated("work on a copy") == "work on a copy"
    monkeypatch.setenv(language.CHOICE, "en")
    assert translated("work on a copy") == "work on a copy"


def test_what_is_not_translated_yet_or_uncertain_stays_english(folder, monkeypatch):
    write(folder / "de.po", ("done", "fertig", ()), ("open", "", ()), ("sure", "vielleicht", ("fuzzy",)))
    monkeypatch.setenv(language.CHOICE, "de")
    assert [translated(text) for text in ("done", "open", "sure")] == ["fertig", "open", "sure"]


def test_a_language_without_a_catalogue_is_told_with_those_that_are_there(folder, monkeypatch):
    write(folder / "de.po", ("done", "fertig", ()))
    monkeypatch.setenv(language.CHOICE, "fr")
    with pytest.raises(NoCatalogue, match=r"'fr'.* has de, expected fr\.po"):
        translated("done")
