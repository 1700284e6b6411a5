"""The movie snippets: which sentences, in which split, with which label."""

import pytest

from coursekit.material.data import movie_snippets


@pytest.fixture(scope="module")
def movies():
    return movie_snippets()


def letters(text):
    return "".join(c for c in text.lower() if c.isalnum())


def test_no_sentence_is_in_two_splits_or_twice_in_one(movies):
    texts = [letters(text) for split in (movies.train, movies.validation, movies.test) for text in split.texts]
    assert len(set(texts)) == len(texts) == 9171


def test_splits_have_their_sizes_and_the_same_share_of_positive_sentences(movies):
    splits = movies.train, movies.validation, movies.test
    assert [len(split) for split in splits] == [6671, 1000, 1500]
    assert {round(split.labels.float().mean().item(), 3) for split in splits} == {0.501}


def test_every_rating_is_clear_and_its_sign_is_the_label(movies):
    assert (movies.train.ratings.abs() >= 1).all()
    assert (movies.test.labels == (movies.test.ratings > 0)).all()


def test_sentences_are_clean(movies):
    for text in movies.train.texts + movies.validation.texts + movies.test.texts:
        assert text == " ".join(text.split())
        assert "&amp;" not in text
        assert "\ufffd" not in text


def test_a_slice_is_a_fair_sample(movies):
    part = movies.train[:400]
    assert len(part) == len(part.labels) == 400
    assert 0.4 < part.labels.float().mean() < 0.6


def test_an_index_is_refused_with_a_sentence(movies):
    with pytest.raises(TypeError, match="expected a slice"):
        movies.train[3]
