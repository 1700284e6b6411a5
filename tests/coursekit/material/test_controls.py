"""Counting words, and a linear classifier: the controls of chapter 3."""

import torch

from coursekit.material.controls import counted_words, dictionary, linear_classifier, standardised
from coursekit.material.vocabulary import join

TEXTS = ["A good film!", "a good story", "no good at all", "a dull film!"]


def test_words_and_pairs_count_that_occur_in_two_texts():
    features, known = counted_words(TEXTS, {"learned": TEXTS, "new": ["Film!"]})
    assert known == 6  # !, a, "a good", film, "film !", good
    assert features["learned"].sum(1).tolist() == [6, 3, 1, 4]
    assert features["new"].sum().item() == 3


def test_a_word_that_occurs_twice_in_one_text_is_not_known():
    assert counted_words(["very very good", "bad"], {})[1] == 0


def test_the_mean_and_the_deviation_are_those_of_what_is_learned_from():
    X, Y = standardised(torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0]]))
    torch.testing.assert_close(X.mean(), torch.tensor(0.0))
    torch.testing.assert_close(Y, torch.tensor([[0.0]]))


def test_classes_that_a_line_tells_apart_are_told_apart():
    g = torch.Generator().manual_seed(0)
    X = torch.randn(60, 3, generator=g)
    labels = (X[:, 0] > X[:, 1]).long()
    found = linear_classifier(X[:40], labels[:40], {"validation": (X[40:], labels[40:])}, penalties=(1e-4,))
    assert found["validation"] > 0.9
    assert found["penalty"] == 1e-4


def test_the_penalty_is_the_one_that_does_best_on_the_validation_split():
    g = torch.Generator().manual_seed(1)
    X, noise = torch.randn(30, 40, generator=g), torch.randn(200, 40, generator=g)
    labels, right = (X[:, 0] > 0).long(), (noise[:, 0] > 0).long()
    parts = {"validation": (noise, right)}
    alone = [linear_classifier(X, labels, parts, penalties=(p,))["validation"] for p in (1e-4, 1e-1)]
    assert linear_classifier(X, labels, parts, penalties=(1e-4, 1e-1))["validation"] == max(alone)


def test_neighbours_are_joined_from_the_left():
    assert join(list("aaab"), ("a", "a")) == ["aa", "a", "b"]
    assert join(["th", "e"], ("t", "h")) == ["th", "e"]


def test_a_dictionary_gives_each_word_what_it_mostly_had():
    said, held = dictionary(["nation", "iraq", "nation", "nation"], [1, 1, 0, 1], ["iraq", "nation"])
    assert said.tolist() == [1, 1]
    assert held.all()


def test_a_word_that_the_dictionary_does_not_hold_gets_0():
    said, held = dictionary(["iraq"], [1], ["obama", "iraq"])
    assert said.tolist() == [0, 1]
    assert held.tolist() == [False, True]


def test_a_word_that_had_both_labels_equally_often_gets_0():
    assert dictionary(["nation", "nation"], [1, 0], ["nation"])[0].tolist() == [0]
