"""mask_tokens: choose 15% of the words at random, hide 80% of them, exchange 10%, keep 10%; judged by counting."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.laws import (
    agreement,
    as_measurements,
    at_most,
    between,
    clumping,
    deviation,
    evenness,
    none,
    repetition,
    share,
)
from coursekit.checking.probing import Wrong

CLS, SEP, MASK = 2, 3, 4
CALLS = 15


def cases(g):
    def batch(part, V, B, longest, shortest=0):
        """B sentences between [CLS] and [SEP]; their words come from the lower half of the vocabulary.

        So a random token drawn from the sentences is told from one drawn from the vocabulary. Some words have the id
        of the filler, 0: only `real` says what is padding.
        """
        lengths = torch.randint(shortest or longest, longest + 1, (B,), generator=g)
        lengths[0] = longest
        ids = torch.randint(MASK + 1, V // 2, (B, longest), generator=g)
        ids[torch.rand(B, longest, generator=g) < 0.05] = 0
        ids[:, 0], rows = CLS, torch.arange(B)
        ids[rows, lengths // 2] = ids[rows, lengths - 1] = SEP  # between two sentences and at the end
        real = torch.arange(longest) < lengths[:, None]
        given = {"ids": ids * real, "real": real, "special": [CLS, SEP], "mask_id": MASK, "V": V}
        seed = torch.randint(2**31, (), generator=g).item()
        tokens = f"{shortest} to {longest} tokens, padded" if shortest else f"{longest} tokens"
        return Case(
            part, f"{B} sentence{'s' * (B > 1)} of {tokens}", given | {"seed": seed, "counted": part == "80/10/10"}
        )

    return [
        batch("choice and labels", 200, 128, 44),
        batch("choice and labels", 300, 160, 60, shortest=9),
        batch("choice and labels", 260, 1, 400),
        batch("80/10/10", 240, 144, 58, shortest=10),
        batch("80/10/10", 400, 120, 46),
    ]


def probe(case, mask_tokens):
    ids, real = case["ids"], case["real"]
    g = torch.Generator(device=ids.device)

    def call(given):
        arguments = (given, real, list(case["special"]), case["mask_id"], case["V"], g)
        corrupted, labels = mask_tokens(*arguments)
        for name, x in (("corrupted", corrupted), ("labels", labels)):
            if x.shape != ids.shape or x.dtype != ids.dtype or x.device != ids.device:
                found, want = ((tuple(t.shape), t.dtype, str(t.device)) for t in (x, ids))
                raise Wrong(f"{name} is {found}, expected {want}: shape, dtype and device of ids")
        return corrupted.detach().clone(), labels.detach().clone()

    before = ids.clone()
    g.manual_seed(case["seed"])
    found = [call(ids)]  # the input itself, so that a change in place is told
    found += [call(before.clone()) for _ in range(CALLS - 1)]
    g.manual_seed(case["seed"])
    found.append(call(before.clone()))
    corrupted, labels = (torch.stack(x).to(torch.int32) for x in zip(*found, strict=True))  # (CALLS + 1, B, T) each
    return {"corrupted": corrupted, "labels": labels}


def measure(case, outputs):
    """Counts over all calls; the last one is the first one again."""
    ids, real = case["ids"].int(), case["real"]
    C, labels = (outputs[name].int().reshape(CALLS + 1, *ids.shape) for name in ("corrupted", "labels"))
    counts = {"again": (C[0] != C[-1]).sum() + (labels[0] != labels[-1]).sum()}
    C, labels = C[:-1], labels[:-1]  # (N, B, T) each
    special = torch.isin(ids, torch.tensor(case["special"], device=ids.device))
    words = real & ~special  # (B, T)
    labelled, changed = labels != -100, ids != C
    touched, asked, strange = labelled | changed, labelled & words, labelled & (labels != ids)
    counts |= {
        "holes": (C == -100).sum(),
        "places": labels.numel(),
        "labelled_unchanged": (labelled & ~changed).sum(),
        "other_labels": (strange & (labels != C)).sum(),
        "labels_of_corrupted": (strange & (labels == C)).sum(),
        "on_padding": (touched & ~real).sum(),
        "on_special": (touched & special & real).sum(),
        "changed_unasked": (changed & ~labelled).sum(),
    }
    counts |= _choices(ids, words, asked, case["V"]) | _fates(case, real, asked, changed, C)
    # Without the words that stay, 13.5% are asked for; by chance few come so near to that where all are asked for.
    asked, words = counts["asked"], counts["words"]
    few = asked < 0.145 * words and deviation(asked, words, 0.15) < -5
    counts["only_changed"] = few and counts["kept"] < 0.03 * asked
    return as_measurements(counts, ids.device)


def _choices(ids, words, asked, V):
    """What the laws on the choice look at: which of the words (B, T) were asked for (N, B, T)."""
    N, both, different = len(asked), words[:, 1:] & words[:, :-1], words.sum().item()
    n, never = asked.sum().item(), (words & ~asked.any(0)).sum().item()
    p = n / (N * different)
    kinds = ids[words].long()  # of each word
    of_kind, asked_words = torch.bincount(kinds, minlength=V), asked[:, words]  # (V), (N, words)
    calls = torch.arange(N, device=ids.device)[:, None]
    by_kind = torch.bincount((calls * V + kinds)[asked_words], minlength=N * V).view(N, V)
    alike = clumping(asked.sum(1), words.sum(0).expand(N, -1), p)
    kinds_alike = clumping(by_kind, of_kind.expand(N, -1), p)
    return {
        "words": N * different,
        "asked": n,
        "asked_twice": (asked[1::2] & asked[: N - 1 : 2]).sum(),
        "p": p,
        "different": different,
        "never": never,
        "passed_over": deviation(never, different, (1 - p) ** N),
        "neighbours": N * both.sum(),
        "both_expected": N * both.sum() * p * p,
        "both_asked": (asked[:, :, 1:] & asked[:, :, :-1]).sum(),
        # What is decided for one clumps the other too: the larger one is meant.
        "alike": alike if alike >= kinds_alike else 0,
        "kinds_alike": kinds_alike if kinds_alike > alike else 0,
        "even_sentences": evenness(asked.sum(2), words.sum(1).expand(N, -1), p),
        "even_calls": evenness(asked_words.sum(1), torch.full((N,), different, device=ids.device), p),
        **_favoured("kind", by_kind, of_kind, p),
        **_favoured("place", asked.sum(1), words.sum(0), p),
    }


def _favoured(name, counts, of, p):
    """Whether some groups are chosen more often than others in all calls, `counts` (N, groups), and the oddest one."""
    which = of.nonzero()[:, 0]
    counts, of = counts[:, which], of[which]
    halves = [(half.sum(0) - len(half) * p * of) / (of * p * (1 - p)).sqrt() for half in (counts[::2], counts[1::2])]
    oddest = (halves[0] + halves[1]).abs().argmax()
    return {
        f"favoured_{name}s": agreement(*halves) if 0 < p < 1 else 0,
        f"odd_{name}": which[oddest],
        f"of_odd_{name}": counts[:, oddest].sum() / (len(counts) * of[oddest]),
    }


def _fates(case, real, asked, changed, C):
    """What the laws on 80/10/10 look at: what became of the words that were asked for."""
    masked, kept = asked & (case["mask_id"] == C), asked & ~changed
    other = asked & ~masked & ~kept
    early = torch.arange(real.shape[1], device=real.device) < real.sum(1, keepdim=True) / 2  # (B, T)
    p = masked.sum().item() / max(asked.sum().item(), 1)
    where, (_, B, T) = other.flatten().nonzero()[:, 0], C.shape
    tokens, sentences, columns = C.flatten()[where], where // T, where // (B * T) * T + where % T
    quarters = torch.histc(tokens.double(), 4, 0, case["V"])
    return {
        "masked": masked.sum(),
        "kept": kept.sum(),
        "other": other.sum(),
        "tilt": abs(deviation((masked & early).sum().item(), (asked & early).sum().item(), p)),
        "even_fates": evenness(masked.sum((1, 2)), asked.sum((1, 2)), p),
        "clumps": max(clumping(masked.sum(d), asked.sum(d), p) for d in (2, 1)),  # by sentence, by place
        "twins": max(repetition(groups, tokens, case["V"]) for groups in (sentences, columns)),
        "outside": ((tokens < 0) | (tokens >= case["V"])).sum(),
        "uneven": max(abs(deviation(quarter, len(tokens), 0.25)) for quarter in quarters.tolist()),
    }


CHOSEN = "{share:.1%} of the words are chosen, expected 15%"
MASKED = "{share:.1%} of the chosen words become [MASK], expected 80%"
KEPT = "{share:.1%} of the chosen words stay as they are, expected 10%"
OTHER = "{share:.1%} of the chosen words become a random token, expected 10%"
EVEN = (
    "the number of chosen words varies too little from {}: each word is chosen on its own with probability 0.15, and "
    "a fixed share of them is not"
)
SPREAD = "the random tokens are not spread over the whole vocabulary 0 ... V - 1"

EXERCISE = Exercise(
    id="bert.mask_tokens",
    title="Hide 15% of the tokens, and of those 80/10/10",
    parts={"choice and labels": 1, "80/10/10": 2},
    minutes=25,
    difficulty="core",
    importance=5,
    calls=("mask_tokens(ids, real, special, mask_id, V, g) -> corrupted, labels",),
    cases=cases,
    probe=probe,
    measure=measure,
    # One law for each kind of mistake, in the order in which a learner should mend them.
    laws=(
        none(
            "holes",
            "{n:.0f} of the corrupted ids are -100, which is no id: the corrupted ids are the first result, the labels "
            "the second",
        ),
        none("other_labels", "{n:.0f} labels are neither -100 nor the token that stood at their place"),
        none(
            "labels_of_corrupted",
            "{n:.0f} labels are the corrupted token: the answer must be the token that stood there before",
        ),
        between(
            *("labelled_unchanged", "places", 0, 0.3),
            "{share:.0%} of all places have a label and show the answer: only chosen words have one other than -100",
        ),
        none("on_padding", "padding was chosen or changed {n:.0f} times: it is no word"),
        none("on_special", "special tokens were chosen or changed {n:.0f} times"),
        none("changed_unasked", "{n:.0f} tokens were changed although their label is -100"),
        between("asked", "words", 0, 0.5, CHOSEN),
        between(
            *("asked_twice", "asked", 0, 0.25),
            "two calls in a row choose the same words: draw new numbers from g in each call",
        ),
        at_most(
            *("favoured_kinds", 5),
            "the word with the id {odd_kind:.0f} is chosen in {of_odd_kind:.1%} of all cases, and others in {p:.1%}: "
            "all words are alike",
        ),
        at_most(
            *("favoured_places", 5),
            "place {odd_place:.0f} of the sentences is chosen in {of_odd_place:.1%} of all cases, and others in "
            "{p:.1%}: all places are alike",
        ),
        at_most("alike", 5, "sentences of a batch are chosen at the same places: each word is chosen on its own"),
        at_most(
            *("kinds_alike", 5),
            "equal words are chosen or left together: each place is chosen on its own, whatever word stands there",
        ),
        at_most("passed_over", 5, "{never:.0f} of {different:.0f} words are never chosen: every word can be"),
        none("only_changed", "all words with a label were changed: the 10% that stay are asked for as well"),
        between(
            *("both_asked", "both_expected", 0.5, 2),
            "two neighbours are chosen together {n:.0f} times, words that are chosen each on its own {of:.0f} times",
        ),
        at_most("even_sentences", 5, EVEN.format("sentence to sentence")),
        at_most("even_calls", 5, EVEN.format("call to call")),
        share("asked", "words", 0.15, CHOSEN),
        # A word is in two pairs, so their number varies by a quarter more than that of independent ones.
        share(
            *("both_asked", "neighbours", 0.15**2),
            "two neighbours are chosen together in {share:.1%} of all cases, expected 2.3%",
            pairs=1.26,
        ),
        none("again", "two calls with the same state of g differ: draw every random number from the generator g"),
        between("masked", "asked", 0, 0.99, MASKED, when="counted"),
        at_most(
            *("tilt", 5),
            "whether a word becomes [MASK] depends on its place in the sentence: decide it by chance",
            when="counted",
        ),
        at_most(
            *("clumps", 5),
            "whether a word becomes [MASK] is decided for many words at once: draw for each word on its own",
            when="counted",
        ),
        share("masked", "asked", 0.8, MASKED, when="counted"),
        at_most(
            *("even_fates", 5),
            "the number of words that become [MASK] varies too little from call to call: fixed shares are dealt out, "
            "where each word should have a draw of its own",
            when="counted",
        ),
        between("kept", "asked", 0.03, 1, KEPT, when="counted"),
        between("other", "asked", 0.005, 1, OTHER, when="counted"),
        between("other", "asked", 0.035, 1, OTHER, when="counted"),
        share("kept", "asked", 0.1, KEPT, when="counted"),
        none("outside", "{n:.0f} random tokens lie outside the vocabulary 0 ... {V} - 1", when="counted"),
        at_most(
            *("twins", 10),
            "the same random token stands in several places of a sentence or of a column: draw one for each place",
            when="counted",
        ),
        # Words and [MASK] lie in the lower half and are no exchange, so that the quarters' chances are not quite equal.
        at_most("uneven", 6, SPREAD, when="counted"),
    ),
)
