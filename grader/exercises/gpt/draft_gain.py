"""1 + a + ... + a^k = (1 - a^(k + 1)) / (1 - a): Leviathan et al. 2023, equation 1, with a = 0.8 and k = 4."""

from grader.contract import Trusted


def number(value):
    """A function that gives it."""
    return lambda: value


A, K = 0.8, 4
ACCEPTED = A * (1 - A**K) / (1 - A)  # a + a^2 + ... + a^k

TRUSTED = Trusted(number((1 - A ** (K + 1)) / (1 - A)))
TRUSTED.add_mistake(
    "without_the_last_token",
    "Only accepted drafts are counted. Each pass gives one token more, drawn after a rejection or for free.",
    number(ACCEPTED),
)
TRUSTED.add_mistake(
    "each_by_itself",
    "This is 4 times 0.8: a token only counts where all before it were accepted too. And each pass gives one token "
    "more.",
    number(K * A),
)
TRUSTED.add_mistake(
    "each_by_itself_and_one",
    "This is 1 + 4 times 0.8: the third token, say, only counts where the first two were accepted as well.",
    number(1 + K * A),
)
TRUSTED.add_mistake(
    "all_or_nothing",
    "This counts 5 tokens or 1. When a draft is rejected, those that were accepted before it stay.",
    number(1 + K * A**K),
)
TRUSTED.add_mistake("all_accepted", "This is the probability that all four are accepted.", number(A**K))
TRUSTED.add_mistake(
    "best_case",
    "Five tokens come when all four drafts are accepted (or, as 1 / (1 - 0.8), on average from a draft without an "
    "end). Asked is the mean over all cases, with four.",
    number(K + 1),
)
TRUSTED.add_mistake(
    "five_drafts",
    "This is the number for five drafted tokens: the exponent is k + 1 = 5.",
    number((1 - A ** (K + 2)) / (1 - A)),
)
TRUSTED.add_mistake(
    "until_the_first",
    "This is 1 + a + a^2 + a^3: the token after four acceptances is missing, for a whole draft brings five.",
    number((1 - A**K) / (1 - A)),
)
TRUSTED.add_mistake("numerator", "This is 1 - 0.8^5: divide it by 1 - 0.8.", number(1 - A ** (K + 1)))
TRUSTED.add_mistake(
    "rejected", "0.2 is taken for 0.8: each draft is accepted with probability 0.8.", number((1 - 0.2**5) / 0.8)
)
TRUSTED.add_mistake(
    "nothing_after_a_rejection",
    "The token that is drawn after a rejection is not counted, only the free one after four acceptances.",
    number(sum(n * A**n * (1 - A) for n in range(K)) + (K + 1) * A**K),
)
TRUSTED.add_mistake(
    "as_many_as_drafted",
    "As many tokens are drafted (and 0.8 / (1 - 0.8) is what a draft without an end has accepted on average). Some are "
    "rejected, and each pass gives one more.",
    number(K),
)
TRUSTED.add_mistake(
    "passes_per_token",
    "This is passes of the large model for each token: asked are tokens for each pass, so turn it over.",
    number((1 - A) / (1 - A ** (K + 1))),
)
TRUSTED.add_alternative("as_a_sum", number(sum(A**i for i in range(K + 1))))
TRUSTED.add_alternative(
    "case_by_case", number(sum(n * A ** (n - 1) * (1 - A) for n in range(1, K + 1)) + (K + 1) * A**K)
)
