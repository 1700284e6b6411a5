"""lm_loss, perplexity and bits_per_byte: how much a text surprises a model, in nats, as a number of tokens, in bits."""

from dataclasses import replace

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import Shapes, normal

LOGITS = Shapes("logits: B T V", told="B T V ignore")
LETTERS = "abcdefghij .\n"
FOREIGN = "äöß€日本語 🐋e\u0301"  # of one to four bytes each; the last two look like one


def cases(g):
    draw, double = LOGITS.cases(g), torch.float64

    def loss(*counted, T, V, ignore=-100, note="", gradients=False, dtype=torch.float32, **given):
        """So many targets count in each row; the others are `ignore`, at any place."""
        B = len(counted)
        others = [token for token in range(V) if token != ignore]
        targets = torch.tensor(others)[torch.randint(len(others), (B, T), generator=g)]
        for row, count in zip(targets, counted, strict=True):
            row[torch.randperm(T, generator=g)[count:]] = ignore
        note = ", ".join(filter(None, [f"{', '.join(map(str, counted))} targets count", note]))
        if gradients:
            given["dloss"], note = 1 + normal(g, 1, dtype=dtype)[0].abs(), f"{note}, gradients"
        return draw("loss", B=B, T=T, V=V, targets=targets, ignore=ignore, note=note, dtype=dtype, **given)

    def windows(label, means, counts):
        """Windows whose targets cost about so many nats on average."""
        means = [mean * (0.8 + 0.4 * torch.rand((), generator=g, dtype=double).item()) for mean in means]
        sums = [round(mean * count, 6) for mean, count in zip(means, counts, strict=True)]
        return Case("perplexity", label, {"sums": sums, "counts": list(counts)})

    def text(label, letters, n, count, mean, ends=""):
        picks = torch.randint(len(letters), (n,), generator=g)
        if letters == FOREIGN:  # none of them is left out
            picks[: len(letters)] = torch.arange(len(letters))
        spelt = "".join(letters[i] for i in picks.tolist())
        spelt = f"{ends}{spelt}{ends}"
        factor = 0.8 + 0.4 * torch.rand((), generator=g, dtype=double).item()
        return Case("bits per byte", label, {"loss": round(mean * factor, 6), "count": count, "text": spelt})

    def sure(case):
        """One target that counts costs nothing at all."""
        case.inputs["logits"][0, 0, case.inputs["targets"][0, 0]] = 5000.0
        return case

    def also(case, label, **changed):
        """The same, but for what is changed."""
        return replace(case, label=label, inputs={**case.inputs, **changed})

    token = loss(2, 4, T=4, V=5, ignore=0, note="a token's id")
    two, spelt = windows("2 windows of 5 targets", [2.0, 4.0], [5, 5]), text("40 letters", LETTERS, 40, 13, 3.0)
    far = 1000 * normal(g, 2, 4, 6, dtype=double)
    many = torch.randint(1, 90, (60,), generator=g).tolist()
    return [
        loss(1, 5, T=6, V=7),
        loss(4, 2, 3, T=5, V=9, ignore=3, dtype=double, note="a token's id"),
        token,
        also(token, "B=2, T=4, V=5, the same targets, ignore=3", ignore=3),
        loss(4, 1, T=4, V=6, ignore=-1),
        loss(2, 3, T=4, V=5, ignore=999, note="more than all ids"),
        loss(3, 0, T=3, V=8),
        loss(1, T=1, V=4),
        loss(2, T=3, V=700),
        loss(40, 25, T=48, V=6),
        sure(loss(4, 2, T=4, V=6, dtype=double, logits=far, note="logits far apart")),
        loss(1, 4, T=5, V=6, gradients=True),
        loss(4, 1, T=4, V=5, ignore=2, dtype=double, gradients=True, note="a token's id"),
        two,
        also(two, "the same targets, at other costs", sums=[4.5, 21.0]),
        also(two, "the same costs, of other targets", counts=[3, 9]),
        windows("windows of 7, 1 and 3 targets", [1.0, 5.0, 3.0], [7, 1, 3]),
        windows("one window", [2.5], [6]),
        windows("one window of one target", [3.0], [1]),
        windows("windows of 4, 0 and 9 targets", [3.0, 0.0, 1.5], [4, 0, 9]),
        windows("windows of 5, 3 and 4 targets, those of the second cost nothing", [2.0, 0.0, 3.0], [5, 3, 4]),
        windows("a target that surprises among a million", [30.0, 0.5], [2, 1_000_000]),
        windows("a model that is all but always wrong", [28.0, 35.0], [4, 6]),
        windows("60 windows", [2.0 + 0.05 * i for i in range(60)], many),
        windows("a model that is always sure", [0.0, 0.0], [5, 3]),
        spelt,
        also(spelt, "the same text at another cost", loss=2.25),
        also(spelt, "the same text in other tokens", count=17),
        also(spelt, "the same cost of a longer text", text=spelt.inputs["text"] + "ä b"),
        text("a text of 30 letters, of one to four bytes each", FOREIGN, 30, 22, 4.0),
        text("spaces at both ends", LETTERS, 10, 9, 2.5, ends=" \n"),
        text("one letter", "€", 1, 3, 2.0),
        text("as many targets as bytes", LETTERS, 12, 12, 1.5),
        text("a text of 600 letters, some of several bytes", LETTERS + FOREIGN, 600, 250, 3.5),
    ]


EXERCISE = Exercise(
    id="gpt.loss",
    title="The loss and its units",
    parts={"loss": 1, "perplexity": 1, "bits per byte": 1},
    minutes=25,
    difficulty="core",
    importance=5,
    calls=(
        "lm_loss(logits, targets, ignore) -> loss",
        "perplexity(sums, counts) -> perplexity: number",
        "bits_per_byte(loss, count, text) -> bits: number",
    ),
    cases=cases,
    ordered=False,
)
