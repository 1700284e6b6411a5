"""Answers to bert.parameter_groups."""

import math
from functools import partial

import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.parameter_groups",
    spared={
        "onward": "nothing happens after which it goes on",
        "dependence": "nothing is drawn",
        "unwatched": "the groups are handed over whole",
    },
)


of, share = partial(ANSWERS.wrong, at=0), partial(ANSWERS.wrong, at=1)


def grouped(parts, rate, factor, decay, vector=lambda name, p: p.ndim == 1, k=lambda i, n: n - 1 - i):
    """The right groups; a short answer says what is a vector, or which power a part gets."""
    found = []
    for i, part in enumerate(parts):
        lr = rate * factor ** k(i, len(parts))
        trained = [(n, p) for n, p in part.named_parameters() if p.requires_grad]
        for does, is_vector in ((decay, False), (0.0, True)):
            params = [p for n, p in trained if vector(n, p) == is_vector]
            found.append({"params": params, "lr": lr, "weight_decay": does})
    return found


@of(
    "named",
    "minGPT's and BERT's rule by name: only what is called bias or LayerNorm.weight does not decay",
    true="norms_decay",
)
def by_bert_names(parts, rate, factor, decay):
    no_decay = ["bias", "LayerNorm.weight"]
    return grouped(parts, rate, factor, decay, lambda name, p: any(word in name for word in no_decay))


@of("named", "a norm is what has norm in its name", true="norms_by_name")
def by_the_word_norm(parts, rate, factor, decay):
    return grouped(parts, rate, factor, decay, lambda name, p: "bias" in name or "norm" in name.lower())


@of("named", "only nn.LayerNorm is a norm: an RMSNorm's weight decays", true="norms_by_type")
def by_type(parts, rate, factor, decay):
    norms = {id(p) for part in parts for m in part.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    return grouped(parts, rate, factor, decay, lambda name, p: id(p) in norms or name.endswith("bias"))


@of("named", "embeddings do not decay, as in nanoGPT's older code", told="weight_decay of embeddings")
def embeddings_do_not_decay(parts, rate, factor, decay):
    tables = {id(m.weight) for part in parts for m in part.modules() if isinstance(m, nn.Embedding)}
    return grouped(parts, rate, factor, decay, lambda name, p: p.ndim == 1 or id(p) in tables)


@of(
    "named",
    "only the weights of nn.Linear decay: a convolution's do not, nor do parameters of other modules",
    told="weight_decay of a weight of three",
)
def only_linear(parts, rate, factor, decay):
    matrices = {id(m.weight) for part in parts for m in part.modules() if isinstance(m, nn.Linear | nn.Embedding)}
    return grouped(parts, rate, factor, decay, lambda name, p: id(p) not in matrices)


@of(
    "named",
    "a matrix has exactly two dimensions: a convolution's weight falls out of both groups",
    told="hold a weight of three dimensions",
)
def two_dimensions(parts, rate, factor, decay):
    found = []
    for k, part in enumerate(reversed(parts)):
        trained = [p for p in part.parameters() if p.requires_grad]
        for does, ndim in ((decay, 2), (0.0, 1)):
            params = [p for p in trained if p.ndim == ndim]
            found.append({"params": params, "lr": rate * factor**k, "weight_decay": does})
    return found


@of("ones", "a matrix with one row is taken for a vector", told="matrix of one row")
def squeezes(parts, rate, factor, decay):
    return grouped(parts, rate, factor, decay, lambda name, p: p.squeeze().ndim <= 1)


@of("far", "the rate falls on a straight line", told="lr of each parameter")
def on_a_line(parts, rate, factor, decay):
    found = grouped(parts, rate, factor, decay)
    for i, group in enumerate(found):
        k = len(parts) - 1 - i // 2
        group["lr"] = rate * (1 - k * (1 - factor))
    return found


@of("large", "twelve layers at most: below that all parts have the same rate", told="16 layers")
def twelve_layers(parts, rate, factor, decay):
    return grouped(parts, rate, factor, decay, k=lambda i, n: min(n - 1 - i, 13))


@of("plain", "the lowest part has the full rate", true="rates_reversed")
def upside_down(parts, rate, factor, decay):
    return grouped(parts, rate, factor, decay, k=lambda i, n: i)


@of("plain", "the head already has rate times factor", true="one_step_too_low")
def begins_at_one(parts, rate, factor, decay):
    return grouped(parts, rate, factor, decay, k=lambda i, n: n - i)


@of("plain", "frozen parameters are in the groups", true="frozen_too")
def with_frozen_ones(parts, rate, factor, decay):
    found = []
    for k, part in enumerate(reversed(parts)):
        for does, vector in ((decay, False), (0.0, True)):
            params = [p for p in part.parameters() if (p.ndim == 1) == vector]
            found.append({"params": params, "lr": rate * factor**k, "weight_decay": does})
    return found


@of("plain", "two slips: upside down, and everything decays", true="decay_everywhere rates_reversed")
def upside_down_and_all_decay(parts, rate, factor, decay):
    return [
        {"params": [p for p in part.parameters() if p.requires_grad], "lr": rate * factor**k, "weight_decay": decay}
        for k, part in enumerate(parts)
    ]


@of("plain", "decay for vectors, none for matrices", told="weight_decay of (biases|a matrix|a weight)")
def the_other_way_round(parts, rate, factor, decay):
    return grouped(parts, rate, factor, decay, lambda name, p: p.ndim > 1)


@of("given", "a weight that two modules share is in the groups twice", true="tied_twice")
def tied_twice(parts, rate, factor, decay):
    found = []
    for k, part in enumerate(reversed(parts)):
        own = [p for m in part.modules() for p in m.parameters(recurse=False) if p.requires_grad]
        for does, vector in ((decay, False), (0.0, True)):
            params = [p for p in own if (p.ndim == 1) == vector]
            found.append({"params": params, "lr": rate * factor**k, "weight_decay": does})
    return found


@of("named", "a part is frozen if its first parameter is", told="only the tokens' frozen")
def looks_at_the_first(parts, rate, factor, decay):
    found = []
    for k, part in enumerate(reversed(parts)):
        if not next(part.parameters()).requires_grad:
            continue
        for does, vector in ((decay, False), (0.0, True)):
            params = [p for p in part.parameters() if (p.ndim == 1) == vector]
            found.append({"params": params, "lr": rate * factor**k, "weight_decay": does})
    return found


@of("given", "the parts are turned round in the caller's list", told="order of the parts")
def reverses_in_place(parts, rate, factor, decay):
    parts.reverse()
    return grouped(parts, rate, factor, decay, k=lambda i, n: i)


@of("surroundings", "what does not decay is frozen", told="requires_grad of each parameter")
def freezes_vectors(parts, rate, factor, decay):
    found = grouped(parts, rate, factor, decay)
    for group in found[1::2]:
        for p in group["params"]:
            p.requires_grad_(False)
    return found


@of("plain", "the rate is not set in the groups", told="has no 'lr'")
def without_rate(parts, rate, factor, decay):
    return [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in grouped(parts, rate, factor, decay)]


@share("plain", "the first step has rate 0: step / warm", true="starts_at_zero")
def first_step_is_zero(step, warm, total):
    if step < warm:
        return step / warm
    return max(0.0, (total - step) / (total - warm))


@share("named", "warm = 0 divides by zero", true="divides_by_no_warm_up")
def no_warmth(step, warm, total):
    return min((step + 1) / warm, max(0.0, (total - step) / (total - warm)))


@share("large", "after the last step the share is negative", true="falls_below_zero")
def negative_in_the_end(step, warm, total):
    return (step + 1) / warm if step < warm else (total - step) / (total - warm)


@share("plain", "the fall begins at the first step, not after the warm-up", true="falls_over_all_steps")
def falls_from_the_start(step, warm, total):
    return (step + 1) / warm if step < warm else max(0.0, (total - step) / total)


@share("plain", "it falls on a cosine", told="warm_up.step, warm, total. differs")
def on_a_cosine(step, warm, total):
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / (total - warm))))


@of("given", "the parts begin anew, as if a model were made", told="the weights of the parts are changed")
def begins_anew(parts, rate, factor, decay):
    for part in parts:
        for module in part.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return grouped(parts, rate, factor, decay)


def line(step, warm, total):
    """The right share."""
    return (step + 1) / warm if step < warm else max(0.0, (total - step) / (total - warm))


SHARES = {}


@share(
    "again",
    "kept by step and warm: another total gets the first one's",
    told="warm_up.step, warm, total. differs",
    advice="differ in total alone",
)
def kept_without_total(step, warm, total):
    return SHARES.setdefault((step, warm), line(step, warm, total))


@share("again", "kept by step and total", told="warm_up.step, warm, total. differs", advice="differ in warm alone")
def kept_without_warm(step, warm, total):
    return SHARES.setdefault((step, "of", total), line(step, warm, total))


@ANSWERS.right_at(0)
def one_group_each(parts, rate, factor, decay):
    n = len(parts)
    return [
        {"params": [p], "lr": rate * factor ** (n - 1 - i), "weight_decay": decay if p.dim() > 1 else 0}
        for i, part in enumerate(parts)
        for p in part.parameters()
        if p.requires_grad
    ]


@ANSWERS.right_at(0)
def from_the_top(parts, rate, factor, decay):
    found = []
    for part in parts[::-1]:
        vectors, matrices = [], []
        for p in filter(lambda p: p.requires_grad, part.parameters()):
            (matrices if len(p.shape) >= 2 else vectors).append(p)
        if matrices:
            found += [{"params": matrices, "lr": torch.tensor(rate).item(), "weight_decay": decay, "name": "matrices"}]
        if vectors:
            found += [{"params": iter(vectors), "lr": rate, "weight_decay": 0.0}]
        rate *= factor
    return found


@ANSWERS.right_at(0)
def named_pairs(parts, rate, factor, decay):
    """As torch takes them too: pairs of a name and a parameter."""
    found = []
    for k, part in enumerate(reversed(parts)):
        trained = [(n, p) for n, p in part.named_parameters() if p.requires_grad]
        for does, keep in ((decay, lambda p: p.ndim > 1), (0.0, lambda p: p.ndim <= 1)):
            found.append(
                {"params": [(n, p) for n, p in trained if keep(p)], "lr": rate * factor**k, "weight_decay": does}
            )
    return tuple(found)


@ANSWERS.right_at(1)
def as_a_minimum(step, warm, total):
    rising = (step + 1) / warm if step < warm else 1.0
    falling = (total - step) / (total - warm) if total > warm and step >= warm else 1.0
    return 0 if step >= total else min(rising, falling)


@ANSWERS.right_at(1)
def in_torch(step, warm, total):
    s = torch.tensor(float(step), dtype=torch.float64)
    if s < warm:
        return (s + 1) / warm
    return torch.relu((total - s) / max(total - warm, 1))


# A second round.


@of("plain", "one group for each part: the mean of both decays", told="weight_decay of")
def one_group_a_part(parts, rate, factor, decay):
    return [
        {"params": [p for p in part.parameters() if p.requires_grad], "lr": rate * factor**k, "weight_decay": decay / 2}
        for k, part in enumerate(reversed(parts))
    ]


@of("plain", "rate / factor**k: it rises on the way down", told="lr of each parameter")
def divides(parts, rate, factor, decay):
    return grouped(parts, rate, 1 / factor, decay)


@of("plain", "a generator of the parameters is used up by the first of two lists", told="groups that hold biases")
def used_up(parts, rate, factor, decay):
    found = []
    for k, part in enumerate(reversed(parts)):
        trained = (p for p in part.parameters() if p.requires_grad)
        for does, vector in ((decay, False), (0.0, True)):
            params = [p for p in trained if (p.ndim == 1) == vector]
            found.append({"params": params, "lr": rate * factor**k, "weight_decay": does})
    return found


@of("plain", "the head is left out: it is added by the caller, thinks the learner", told="groups that hold biases")
def without_the_head(parts, rate, factor, decay):
    return grouped(parts[:-1], rate * factor, factor, decay)


@share("plain", "the warm-up is one step too long", told="warm_up.step, warm, total. differs")
def one_step_more(step, warm, total):
    return (step + 1) / (warm + 1) if step < warm else max(0, total - step) / (total - warm)


@share("plain", "integer division", told="warm_up.step, warm, total. differs", advice="differ in total alone")
def whole_numbers(step, warm, total):
    return (step + 1) // warm if step < warm else max(0, total - step) // (total - warm)


@ANSWERS.right_at(0)
def by_the_optimizer(parts, rate, factor, decay):
    """The groups of an optimiser that was made of them."""
    groups = grouped(parts, rate, factor, decay)
    return torch.optim.AdamW([group for group in groups if group["params"]]).param_groups
