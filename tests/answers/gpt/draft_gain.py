"""Answers to gpt.draft_gain."""

from fractions import Fraction

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "gpt.draft_gain",
    spared=dict.fromkeys(
        ("given", "again", "onward", "ones", "large", "far", "named", "surroundings", "dependence"),
        "nothing is handed in, and one number comes back",
    ),
)
wrong = ANSWERS.wrong
P, K = 0.8, 4


@wrong("plain", "the accepted ones alone, without the one that is drawn", true="without_the_last_token")
def accepted_alone():
    return sum(P**i for i in range(1, K + 1))


@wrong("plain", "each token is accepted by itself, whatever was before: k p", true="each_by_itself")
def independent():
    return K * P


@wrong("plain", "k p and one more", true="each_by_itself_and_one")
def independent_and_one():
    return K * P + 1


@wrong("plain", "all or nothing", true="all_or_nothing")
def all_or_nothing():
    return 1 + K * P**K


@wrong("plain", "drafted for ever: 1 / (1 - p)", true="best_case")
def without_end():
    return 1 / (1 - P)


@wrong("plain", "p / (1 - p)", true="as_many_as_drafted")
def failures():
    return P / (1 - P)


@wrong("plain", "one term too many", true="five_drafts")
def six_terms():
    return sum(P**i for i in range(K + 2))


@wrong("plain", "one term too few: the first k of them", true="until_the_first")
def four_terms():
    return sum(P**i for i in range(K))


@wrong("plain", "no free token behind four acceptances", true="until_the_first")
def nothing_free():
    return sum(n * P ** (n - 1) * (1 - P) for n in range(1, K + 1)) + K * P**K


@wrong("plain", "no token behind a rejection", true="nothing_after_a_rejection")
def nothing_after_a_rejection():
    return sum(n * P**n * (1 - P) for n in range(K)) + (K + 1) * P**K


@wrong("plain", "five, always", true="best_case")
def always_five():
    return K + 1


@wrong("plain", "how likely it is that all are accepted", true="all_accepted")
def all_accepted():
    return P**K


@wrong("plain", "Leviathan's quotient with the exponent k", true="until_the_first")
def exponent_k():
    return (1 - P**K) / (1 - P)


@wrong("plain", "the probability of a rejection in place of an acceptance", true="rejected")
def of_a_rejection():
    return sum(0.2**i for i in range(K + 1))


@wrong("plain", "rounded", told="is the right number, rounded")
def rounded():
    return 3.36


@wrong("plain", "saved passes: one less", true="without_the_last_token")
def one_less():
    return sum(P**i for i in range(K + 1)) - 1


@wrong("plain", "a quotient: passes for each token", true="passes_per_token")
def upside_down():
    return 1 / sum(P**i for i in range(K + 1))


@wrong("plain", "as text", told="it returned a str")
def as_text():
    return "3.3616"


@wrong("plain", "printed, not returned", told="is there a return")
def printed():
    print(3.3616)


@wrong("unwatched", "a range that holds it", told="it returned a list of 2")
def a_range():
    return [3.3, 3.4]


@wrong("unwatched", "a number that equals every number")
def equals_all():
    class Any(float):
        def __float__(self):
            return 3.0

        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    return Any(3.0)


@ANSWERS.right
def quotient():
    return (1 - 0.8**5) / (1 - 0.8)


@ANSWERS.right
def by_hand():
    return 1 + 0.8 + 0.64 + 0.512 + 0.4096


@ANSWERS.right
def expectation():
    return sum((n + 1) * P**n * (1 - P) for n in range(K)) + (K + 1) * P**K


@ANSWERS.right
def exact():
    return Fraction(21010, 6250)


@ANSWERS.right
def as_array():
    return np.polyval(np.ones(5), 0.8)


@ANSWERS.right
def as_tensor():
    return (torch.tensor(0.8, dtype=torch.float64) ** torch.arange(5)).sum()


# A second round.


@wrong("plain", "the mean of the possible counts, 1 to 5")
def mean_of_counts():
    return 3.0


@wrong("plain", "p is taken for the whole draft: 1 + p k / 2")
def half_of_them():
    return 1 + P * K / 2


@wrong("plain", "1 - p^5, not divided", true="numerator")
def not_divided():
    return 1 - P ** (K + 1)


@wrong("plain", "the function itself comes back", told="it returned a function")
def not_called():
    return quotient


@ANSWERS.right
def in_steps():
    left, tokens = 1.0, 1.0
    for _ in range(K):
        left *= P
        tokens += left
    return np.float32(tokens)
