"""gpt.filter, gpt.cache, gpt.beams, gpt.speculate: slips that a sentence names."""

import pytest
import torch

from coursekit.checking.judging import measured
from coursekit.checking.observing import observe
from coursekit.exercises import find


def told(exercise_id, part, *objects):
    exercise = find(exercise_id)
    case = next(c for c in exercise.cases(torch.Generator().manual_seed(1)) if c.part == part)
    return measured(exercise, case, observe(exercise, objects, case)).problem


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda logits, g: torch.multinomial(logits.softmax(-1), 1, generator=g), "one id for each row"),
        (lambda logits, g: logits[:, 0], "the ids are float32, expected integers"),
        (lambda logits, g: logits.argmax(-1).tolist(), "it returned a list of 1200, expected the tensor ids"),
    ],
)
def test_ids_that_are_not_one_for_each_row_are_told(draw, words):
    assert words in told("gpt.filter", "draw", None, draw)


def test_logits_of_another_shape_than_the_new_tokens_are_told():
    Cache, forward = find("gpt.cache").library
    said = told("gpt.cache", "one at a time", Cache, lambda *given: forward(*given)[:, -1])
    assert "logits has shape (2, 7), expected (2, 3, 7)" in said


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "with no text at all"),
        ([2, 3], "step takes a list of texts"),
        ([[3]], "does not begin with the prompt"),
        ([[2, 3, 0]], "a text that has ended"),
        ([[2, 3, 1, 1, 1, 1, 1]], "has T new tokens already"),
    ],
)
def test_what_a_beam_search_asks_in_vain_is_told(texts, words):
    def search(step, start, width, length_power, end, T):
        step(texts)
        return []

    assert words in told("gpt.beams", "search", search)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "it returned a NoneType, expected a list of pairs"),
        ([[1, 2, 3]], "it returned a list of 3, expected 2 results: ids, score"),
        ([("no", 1.0)], "it returned a str, expected ids: a list of integers"),
    ],
)
def test_texts_that_are_no_pairs_are_told(found, words):
    assert words in told("gpt.beams", "search", lambda *given: found)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda p: p[None], "draw was given (1, 7), expected the probabilities of all tokens, (7,)"),
        (lambda p: p.tolist(), "draw was given list, expected the probabilities"),
    ],
)
def test_what_is_handed_to_draw_and_is_no_distribution_is_told(given, words):
    def speculate(target, draft, tokens, uniforms, chances, draw):
        return [draw(given(chances(target)[-1]))]

    assert words in told("gpt.speculate", "accepted", speculate)
