"""mask_tokens: choose 15% of the words at random, hide 80% of them, exchange 10%, keep 10%; judged by counting."""

import math

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import Wrong

CLS, SEP, MASK = 2, 3, 4
CALLS = 60


def cases(g):
    def draw(part, label, V, lengths):
        """Sentences of these lengths between [CLS] and [SEP]; their words come from the lower half of the vocabulary.

        So a random token drawn from the sentences is told from one drawn from the vocabulary. Some words have the id
        of the filler, 0: only `real` says what is padding.
        """
        B, T = len(lengths), max(lengths)
        words = torch.randint(MASK + 1, V // 2, (B, T), generator=g)
        ids = words.masked_fill(torch.rand(B, T, generator=g) < 0.05, 0)
        real = torch.arange(T) < torch.tensor(lengths)[:, None]
        ids[:, 0] = CLS
        ids[torch.arange(B), torch.tensor(lengths) // 2] = SEP  # between two sentences
        ids[torch.arange(B), torch.tensor(lengths) - 1] = SEP
        ids = ids.masked_fill(~real, 0)
        seed = torch.randint(2**31, (), generator=g).item()
        given = {"ids": ids, "real": real, "special": [CLS, SEP], "mask_id": MASK, "V": V}
        return Case(part, label, given | {"seed": seed, "counted": part == "80/10/10"})

    def some(n, low, high):
        return torch.randint(low, high, (n,), generator=g).tolist()

    return [
        draw("choice and labels", "32 sentences of 44 tokens", 200, [44] * 32),
        draw("choice and labels", "40 sentences of 9 to 60 tokens, padded", 300, [60, *some(39, 9, 60)]),
        draw("80/10/10", "36 sentences of 10 to 58 tokens, padded", 240, [58, *some(35, 10, 58)]),
        draw("80/10/10", "30 sentences of 46 tokens", 400, [46] * 30),
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
    C, labels = (outputs[name].long().reshape(CALLS + 1, *case["ids"].shape) for name in ("corrupted", "labels"))
    counts = counted(case["ids"], case["real"], case, C[:-1], labels[:-1])
    counts["again"] = (C[0] != C[-1]).sum() + (labels[0] != labels[-1]).sum()
    return {f"_{name}": torch.tensor(float(n), dtype=torch.float64, device=C.device) for name, n in counts.items()}


def counted(ids, real, case, C, labels):
    """What the laws look at, of all calls' corrupted ids C (N, B, T) and their labels: numbers of tokens."""
    special = torch.isin(ids, torch.tensor(case["special"], device=ids.device))
    words = real & ~special  # (B, T)
    labelled, changed = labels != -100, ids != C  # (N, B, T)
    asked = labelled & words
    masked, kept = asked & (case["mask_id"] == C), asked & ~changed
    other = asked & ~masked & ~kept
    early = torch.arange(ids.shape[1], device=ids.device) < (real.sum(1, keepdim=True) / 2)  # (B, T)
    tokens, p = C[other], asked.double().sum() / (len(C) * words.sum())
    columns = words.sum(0)  # (T), words at each place
    dispersion = spread(asked.sum(1), columns.expand(len(C), -1), p)
    both = words[:, 1:] & words[:, :-1]
    share = masked.double().sum() / asked.sum().clamp_min(1)
    clumps = [spread(masked.sum(d), asked.sum(d), share) for d in (2, 1)]  # by sentence, by place
    where = other.nonzero()  # call, sentence, place of each random token
    twins = [repeated(where[:, [0, d]], tokens, case["V"]) for d in (1, 2)]
    quarters = torch.histc(tokens.double(), 4, 0, case["V"])
    return {
        "places": labels.numel(),
        "words": len(C) * words.sum(),
        "labelled": labelled.sum(),
        "changed": changed.sum(),
        "other_labels": (labelled & (labels != ids) & (labels != C)).sum(),
        "labels_of_corrupted": (labelled & (labels != ids) & (labels == C)).sum(),
        "on_padding": ((labelled | changed) & ~real).sum(),
        "on_special": ((labelled | changed) & special & real).sum(),
        "changed_unasked": (changed & ~labelled).sum(),
        "asked": asked.sum(),
        "asked_twice": (asked[1::2] & asked[::2]).sum(),
        "never": (words & ~asked.any(0)).sum(),
        "neighbours": len(C) * both.sum(),
        "both_asked": (asked[:, :, 1:] & asked[:, :, :-1]).sum(),
        "dispersion": dispersion,
        "masked": masked.sum(),
        "kept": kept.sum(),
        "other": other.sum(),
        "asked_early": (asked & early).sum(),
        "masked_early": (masked & early).sum(),
        "clumps": max(clumps),
        "twins": max(twins),
        "outside": ((tokens < 0) | (tokens >= case["V"])).sum(),
        "distinct": tokens.unique().numel(),
        "fullest": quarters.max(),
        "emptiest": quarters.min(),
    }


class _Vocabulary:
    """As much of a tokenizer as transformers' collator asks for."""

    mask_token = "[MASK]"

    def __init__(self, mask_id, V):
        self.mask_id, self.V = mask_id, V

    def convert_tokens_to_ids(self, token):
        return self.mask_id

    def __len__(self):
        return self.V


def library(ids, real, special, mask_id, V, g):
    """transformers' collator for masked language modelling; it draws on the CPU, from a seed that g gives."""
    from transformers import DataCollatorForLanguageModeling  # here, because it takes seconds to import

    collator = DataCollatorForLanguageModeling(_Vocabulary(mask_id, V))
    collator.generator = torch.Generator().manual_seed(torch.randint(2**31, (), generator=g, device=g.device).item())
    never = ~real | torch.isin(ids, torch.tensor(special, device=ids.device))
    return tuple(x.to(ids.device) for x in collator.torch_mask_tokens(ids.cpu().clone(), never.cpu()))


def spread(count, n, p):
    """How many sigma the squared differences between `count` and n p lie above what chance gives.

    Where all or none are counted, chance has no part in it, and the answer is 0.
    """
    if not 0 < p < 1:
        return 0.0
    squares = ((count - p * n) ** 2 / (p * (1 - p) * n))[n > 0]
    return ((squares.sum() - len(squares)) / math.sqrt(4 * max(len(squares), 1))).item()


def repeated(groups, tokens, V):
    """How many sigma more tokens occur twice in a group (rows of `groups` that are equal) than chance gives."""
    _, group, sizes = groups.unique(dim=0, return_inverse=True, return_counts=True)
    expected = (sizes * (sizes - 1) / 2).sum().item() / V
    twice = len(tokens) - (group * (V + 1) + tokens.clamp(0, V)).unique().numel()
    return (twice - expected) / math.sqrt(expected + 1)


def _n(outputs):
    return {name.removeprefix("_"): value.item() for name, value in outputs.items()}


def _far(count, n, p):
    """Whether `count` of `n` is more than 5 sigma away from the probability p."""
    return abs(count - n * p) > 5 * math.sqrt(n * p * (1 - p))


def labels_are_tokens_or_minus_100(case, outputs):
    if n := _n(outputs)["other_labels"]:
        return f"{n:.0f} labels are neither -100 nor the token that stood at their place"
    return None


def labels_are_what_stood_there_before(case, outputs):
    if n := _n(outputs)["labels_of_corrupted"]:
        return f"{n:.0f} labels are the corrupted token: the answer must be the token that stood there before"
    return None


def most_labels_are_minus_100(case, outputs):
    n = _n(outputs)
    if n["labelled"] > 0.5 * n["words"] and n["changed"] < 0.4 * n["words"]:
        return (
            f"{n['labelled'] / n['places']:.0%} of all places have a label other than -100: only chosen words have one"
        )
    return None


def padding_is_left_alone(case, outputs):
    if n := _n(outputs)["on_padding"]:
        return f"padding was chosen or changed {n:.0f} times in {CALLS} calls: it is no word"
    return None


def special_tokens_are_left_alone(case, outputs):
    if n := _n(outputs)["on_special"]:
        return f"special tokens were chosen or changed {n:.0f} times in {CALLS} calls"
    return None


def what_is_not_asked_is_not_changed(case, outputs):
    if n := _n(outputs)["changed_unasked"]:
        return f"{n:.0f} tokens were changed although their label is -100"
    return None


def most_words_are_left_alone(case, outputs):
    n = _n(outputs)
    if n["asked"] > 0.5 * n["words"]:
        return f"{n['asked'] / n['words']:.1%} of the words are chosen, expected 15%"
    return None


def every_call_chooses_anew(case, outputs):
    n = _n(outputs)
    if n["asked_twice"] > 0.5 * n["asked"] / 2:
        return "two calls in a row choose the same words: draw new numbers from g in each call"
    return None


def every_word_can_be_chosen(case, outputs):
    n = _n(outputs)
    # Of a thousand words, each is left out with probability 0.85^60. Where few are chosen, the share says more.
    if n["never"] > 5 and n["asked"] > 0.1 * n["words"]:
        return f"{n['never']:.0f} words of the batch are not chosen in any of {CALLS} calls: every word can be"
    return None


def fifteen_percent_are_chosen(case, outputs):
    n = _n(outputs)
    if n["asked"] < 0.15 * n["words"] and _far(n["asked"], n["words"], 0.15):
        return _share(n)
    return None


def no_more_than_fifteen_percent_are_chosen(case, outputs):
    n = _n(outputs)
    return _share(n) if _far(n["asked"], n["words"], 0.15) else None


def _share(n):
    return f"{n['asked'] / n['words']:.1%} of the words are chosen, expected 15% (counted in {CALLS} calls)"


def sentences_are_not_masked_alike(case, outputs):
    return _alike() if _n(outputs)["dispersion"] > 100 else None


def sentences_are_masked_at_places_of_their_own(case, outputs):
    return None if _n(outputs)["dispersion"] < 5 else _alike()


def _alike():
    return "sentences of a batch are chosen at the same places: each word is chosen on its own"


def neighbours_are_chosen_independently(case, outputs):
    n = _n(outputs)
    # A word is in two pairs, so their number varies by a quarter more than that of independent ones.
    if _far(n["both_asked"] / 1.26, n["neighbours"] / 1.26, 0.15**2):
        return (
            f"two neighbours are chosen together in {n['both_asked'] / n['neighbours']:.1%} of all cases, expected 2.3%"
        )
    return None


def equal_generators_give_equal_masks(case, outputs):
    if _n(outputs)["again"]:
        return "two calls with the same state of g differ: draw every random number from the generator g"
    return None


def not_all_are_masked(case, outputs):
    n = _n(outputs)
    return _masked(n) if case["counted"] and n["masked"] > 0.99 * n["asked"] else None


def more_are_masked_than_exchanged(case, outputs):
    n = _n(outputs)
    return _masked(n) if case["counted"] and n["masked"] < n["other"] else None


def eighty_percent_are_masked(case, outputs):
    n = _n(outputs)
    if case["counted"] and _far(n["masked"], n["asked"], 0.8):
        return _masked(n)
    return None


def _masked(n):
    return f"{n['masked'] / n['asked']:.1%} of the chosen words become [MASK], expected 80%"


def some_are_kept(case, outputs):
    n = _n(outputs)
    return _kept(n) if case["counted"] and n["kept"] < 0.03 * n["asked"] else None


def some_are_exchanged(case, outputs):
    n = _n(outputs)
    return _kept(n) if case["counted"] and n["other"] < 0.005 * n["asked"] else None


def ten_percent_are_kept(case, outputs):
    n = _n(outputs)
    if case["counted"] and _far(n["kept"], n["asked"], 0.1):
        return _kept(n)
    return None


def _kept(n):
    kept, other = (f"{n[name] / n['asked']:.1%}" for name in ("kept", "other"))
    return f"of the chosen words {kept} stay as they are and {other} become a random token, expected 10% each"


def fate_does_not_depend_on_the_place(case, outputs):
    n = _n(outputs)
    if case["counted"] and _far(n["masked_early"], n["asked_early"], 0.8):
        share = n["masked_early"] / n["asked_early"]
        return f"{share:.1%} of the words chosen in the first half of a sentence become [MASK], expected 80% everywhere"
    return None


def each_token_has_a_fate_of_its_own(case, outputs):
    n = _n(outputs)
    if case["counted"] and not n["clumps"] < 5:
        return "whether a word becomes [MASK] is decided for many words at once: draw for each word on its own"
    return None


def random_tokens_are_in_the_vocabulary(case, outputs):
    if case["counted"] and (n := _n(outputs)["outside"]):
        return f"{n:.0f} random tokens lie outside the vocabulary 0 ... {case['V'] - 1}"
    return None


def random_tokens_differ(case, outputs):
    n, V = _n(outputs), case["V"]
    if case["counted"] and n["distinct"] < 0.4 * V * (1 - (1 - 1 / V) ** n["other"]):
        return f"only {n['distinct']:.0f} different tokens stand in {n['other']:.0f} random places"
    return None


def random_tokens_of_a_batch_differ(case, outputs):
    if case["counted"] and _n(outputs)["twins"] > 10:
        return "the same random token stands in several places of a sentence or of a column: draw one for each place"
    return None


def random_tokens_come_from_the_whole_vocabulary(case, outputs):
    n = _n(outputs)
    if case["counted"] and any(_far(n[count], n["other"], 0.25) for count in ("fullest", "emptiest")):
        return "the random tokens are not spread over the whole vocabulary 0 ... V - 1"
    return None


EXERCISE = Exercise(
    id="bert.mask_tokens",
    title="Hide words: 15%, and of those 80/10/10",
    parts={"choice and labels": 1, "80/10/10": 2},
    minutes=25,
    difficulty="core",
    calls=("mask_tokens(ids, real, special, mask_id, V, g) -> corrupted, labels",),
    cases=cases,
    probe=probe,
    measure=measure,
    library=(library,),
    # One law for each kind of mistake, in the order in which a learner should mend them.
    laws=(
        labels_are_tokens_or_minus_100,
        labels_are_what_stood_there_before,
        most_labels_are_minus_100,
        padding_is_left_alone,
        special_tokens_are_left_alone,
        what_is_not_asked_is_not_changed,
        most_words_are_left_alone,
        every_call_chooses_anew,
        sentences_are_not_masked_alike,
        every_word_can_be_chosen,
        fifteen_percent_are_chosen,
        no_more_than_fifteen_percent_are_chosen,
        sentences_are_masked_at_places_of_their_own,
        neighbours_are_chosen_independently,
        equal_generators_give_equal_masks,
        not_all_are_masked,
        more_are_masked_than_exchanged,
        eighty_percent_are_masked,
        some_are_kept,
        some_are_exchanged,
        ten_percent_are_kept,
        fate_does_not_depend_on_the_place,
        each_token_has_a_fate_of_its_own,
        random_tokens_are_in_the_vocabulary,
        random_tokens_differ,
        random_tokens_of_a_batch_differ,
        random_tokens_come_from_the_whole_vocabulary,
    ),
)
