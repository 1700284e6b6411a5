"""The prose and its tokenizer: read without the network, refused when altered."""

import re

import pytest

from coursekit.material import assets, data
from coursekit.material.assets import AssetError, File, checked_file
from coursekit.material.data import PROSE, TOKENIZER, prose, prose_tokenizer
from prepare import prose as prepare_prose


@pytest.fixture(scope="module")
def documents():
    return prose()


@pytest.fixture(scope="module")
def tokenizer():
    return prose_tokenizer()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    monkeypatch.setattr(checked_file, "__defaults__", (tmp_path,))
    return tmp_path


def test_the_prose_has_the_documents_and_sentences_that_its_docstring_promises(documents):
    told = re.search(r"(\d+) documents, ([\d,]+) sentences", prose.__doc__)
    assert len(documents) == int(told[1])
    assert sum(map(len, documents.values())) == int(told[2].replace(",", ""))


def test_documents_are_whole_and_in_order(documents):
    titles = list(documents)
    assert titles[0].startswith("1961")
    assert titles[-1].startswith("Moby-Dick, 135")
    assert all(len(sentences) > 2 for sentences in documents.values())
    assert documents["Moby-Dick, 1. Loomings"][0] == "Call me Ishmael."


def test_the_text_is_clean(documents):
    text = "\n".join(sentence for sentences in documents.values() for sentence in sentences)
    assert text.isascii()
    assert not re.search(r"  |\t|\(applause|\[laughter", text, re.IGNORECASE)


@pytest.mark.parametrize("load", [prose, prose_tokenizer])
def test_a_missing_file_is_told_with_what_mends_it(folder, load):
    with pytest.raises(AssetError, match=r"is not as it was published \(it is missing\); install coursekit again"):
        load()


def test_an_altered_file_is_told(folder):
    (folder / PROSE.name).write_text("# 1961\nOther words.\n")
    with pytest.raises(AssetError, match=r"prose.txt .*expected"):
        prose()


def test_a_checked_file_is_its_path(tmp_path):
    (tmp_path / "empty").touch()
    file = File("empty", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "none")
    assert checked_file(file, tmp_path) == tmp_path / "empty"


def test_every_committed_file_names_a_script_that_exists():
    root = assets.FOLDER.parents[2]
    files = [value for value in vars(data).values() if isinstance(value, File)]
    assert {PROSE, TOKENIZER} <= set(files)
    assert all((root / f"{file.script.replace('.', '/')}.py").is_file() for file in files)


def test_sentences_end_where_they_end():
    text = 'Mr. Speaker, the U.S. Congress met. "We hear you." It cost $3.5 million! Did J. Smith know? No.'
    assert prepare_prose.sentences(text) == [
        "Mr. Speaker, the U.S. Congress met.",
        '"We hear you."',
        "It cost $3.5 million!",
        "Did J. Smith know?",
        "No.",
    ]


def test_stage_directions_and_typographic_characters_go():
    assert prepare_prose.clean("It’s good. (Applause.)  Yes—yes [Laughter]") == "It's good. Yes - yes"


def test_the_tokenizer_is_berts(tokenizer):
    ids = tokenizer("The whale!", "Again")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "the", "whale", "!", "[SEP]", "again", "[SEP]"]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, len(tokenizer)) == (0, 4, 4096)
    assert tokenizer("a [MASK].")["input_ids"][2] == tokenizer.mask_token_id


def test_the_tokenizer_knows_every_character_of_the_prose(documents, tokenizer):
    sentences = [sentence for document in list(documents.values())[::20] for sentence in document]
    ids = tokenizer(sentences, add_special_tokens=False)["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in ids)
