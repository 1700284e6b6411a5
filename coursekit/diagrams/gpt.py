"""Chapter 04: blocks and their targets, the decoder, what a cache spares, and how a draft is checked."""

import itertools

from coursekit.diagrams.drawing import Diagram


def blocks() -> Diagram:
    """Inputs and targets of a block are the same tokens, one place apart."""
    d = Diagram("gpt.blocks", columns=7)
    words = ("the", "whale", "is", "free", ".", "We")
    x = [d.tensor(word, f"x_{k}", at=(k + 1, 0)) for k, word in enumerate(words[:-1])]
    y = [d.tensor(word, f"y_{k}", at=(k + 1, 2)) for k, word in enumerate(words[1:])]
    for one, other in zip(x, y, strict=True):
        d.arrow(one, other)
    d.box("inputs x", "from s on", at=(0, 0))
    d.box("targets y", "from s + 1 on", at=(0, 2))
    return d


def decoder() -> Diagram:
    """One block of a decoder between the embedding and the scores."""
    d = Diagram("gpt.decoder", columns=8)
    ids = d.tensor("ids", "(B, n)", at=(-0.15, 1))
    h = d.step("E + P", "(B, n, D)", at=(0.8, 1))
    first = d.step("+", at=(3.2, 1))
    second = d.step("+", at=(4.9, 1))
    norm = d.step("Norm", at=(5.8, 1))
    logits = d.tensor("logits = h Eᵀ", "(B, n, V)", at=(6.95, 1))
    attention = d.step("Norm, attention", "causal", at=(2.25, 0))
    ffn = d.step("Norm, FFN", "D, 4D, D", at=(4.1, 0))
    for one, other in itertools.pairwise((ids, h, first, second, norm, logits)):
        d.arrow(one, other)
    d.arrow(h, attention)
    d.arrow(attention, first)
    d.arrow(first, ffn)
    d.arrow(ffn, second)
    d.group("one block, L times", attention, ffn, first, second)
    return d


def cache() -> Diagram:
    """One new token, and what it reads of the past."""
    d = Diagram("gpt.cache", columns=6)
    new = d.tensor("one new token", "(B, 1, D)", at=(0.2, 1))
    q, k, v = (
        d.tensor(f"its {name}", "(B, H, 1, d)", at=(1.7, row)) for row, name in enumerate(("query", "key", "value"))
    )
    kept = d.tensor("cached keys and values", "(B, H, n, d) each", at=(3.4, 1.5))
    y = d.step("attention", "1 query, n + 1 keys", at=(4.9, 0.5))
    for part in (q, k, v):
        d.arrow(new, part)
    d.arrow(k, kept, "append")
    d.arrow(v, kept)
    d.arrow(q, y)
    d.arrow(kept, y, "read")
    return d


def drafts() -> Diagram:
    """A draft of four tokens, of which two are accepted."""
    d = Diagram("gpt.drafts", columns=7)
    text = d.tensor("text so far", at=(0.2, 0))
    model = d.step("one pass", "gives every p", at=(0.2, 1))
    drafted = [d.tensor(f"x_{k}", f"from q_{k}", at=(1.4 + 1.2 * (k - 1), 0)) for k in range(1, 5)]
    checked = [d.step("p / q", "u below it?", at=(1.4 + 1.2 * (k - 1), 1)) for k in range(1, 5)]
    ends = [d.tensor(f"x_{k}", "taken", at=(1.4 + 1.2 * (k - 1), 2.2)) for k in (1, 2)]
    ends += [d.tensor("drawn from p - q", "in place of x_3", at=(3.8, 2.2))]
    d.tensor("x_4", "forgotten", at=(5.2, 2.2))
    d.arrow(text, model)
    for one, other in itertools.pairwise((text, *drafted)):
        d.arrow(one, other)
    for one, other in itertools.pairwise((model, *checked)):
        d.arrow(one, other)
    for k, (one, other) in enumerate(zip(drafted, checked, strict=True)):
        d.arrow(one, other)
        if k < 3:
            d.arrow(other, ends[k], ("yes", "yes", "no")[k])
    return d
