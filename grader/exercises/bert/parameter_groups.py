"""Which parameters decay, at which rate each part learns, and how the rate rises and falls.

Devlin et al. 2019, appendix A.2: weight decay 0.01 (their code leaves out biases and norms), warm-up, linear decay.
Layer-wise rates: Howard and Ruder 2018, section 3.2; Sun et al. 2019, equation 3: eta_(k-1) = factor * eta_k.
"""

from torch import nn

from grader.contract import Trusted


def groups_reference(parts, rate, factor, decay):
    groups = []
    for k, part in enumerate(reversed(parts)):  # the head is k = 0
        trained = [p for p in part.parameters() if p.requires_grad]
        matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim == 1]
        groups.append({"params": matrices, "lr": rate * factor**k, "weight_decay": decay})
        groups.append({"params": vectors, "lr": rate * factor**k, "weight_decay": 0.0})
    return groups


def warm_up_reference(step, warm, total):
    if step < warm:
        return (step + 1) / warm
    return max(0, total - step) / (total - warm)


TRUSTED = Trusted((groups_reference, warm_up_reference))
_, wrong_schedule = TRUSTED.one_by_one()


def by_rules(rate_of, decay_of, chosen):
    """A group for each parameter, so that a mistake is one of three rules."""

    def parameter_groups(parts, rate, factor, decay):
        return [
            {
                "params": [p],
                "lr": rate_of(rate, factor, len(parts) - 1 - i, i),
                "weight_decay": decay_of(name, p, decay),
            }
            for i, part in enumerate(parts)
            for name, p in part.named_parameters()
            if chosen(p)
        ]

    return parameter_groups


def downward(rate, factor, depth, _):
    return rate * factor**depth


def matrices(name, p, decay):
    return decay if p.ndim > 1 else 0.0


def trained(p):
    return p.requires_grad


def wrong_groups(name, sentence, rate_of=downward, decay_of=matrices, chosen=trained):
    TRUSTED.add_mistake(name, sentence, by_rules(rate_of, decay_of, chosen), warm_up_reference)


wrong_groups(
    "decay_everywhere",
    "Biases and the weights of norms decay too. They set offsets and scales, and are meant to stay where they are "
    "useful: their weight_decay is 0.",
    decay_of=lambda name, p, decay: decay,
)
wrong_groups(
    "norms_decay",
    "Biases are spared, but the weights of norms decay: they are vectors too, and `bias` is not in their name.",
    decay_of=lambda name, p, decay: 0.0 if "bias" in name else decay,
)
wrong_groups(
    "biases_decay",
    "Norms are spared, but the biases of linear layers decay.",
    decay_of=lambda name, p, decay: 0.0 if any(word in name for word in ("norm", "ln_", "scaled")) else decay,
)
wrong_groups(
    "norms_by_name",
    "Some norms decay: they are known by `norm` in their names here, and names differ from model to model (`ln_1`). "
    "What biases and the weights of norms have in common is p.ndim == 1.",
    decay_of=lambda name, p, decay: 0.0 if "bias" in name or "norm" in name.lower() else decay,
)
wrong_groups(
    "norms_by_type",
    "The weight of a norm decays that is no nn.LayerNorm: models have norms of other types (RMSNorm, or their own). "
    "What biases and the weights of norms have in common is p.ndim == 1.",
    decay_of=lambda name, p, decay: 0.0 if any(word in name for word in ("bias", "norm", "ln_")) else decay,
)
wrong_groups(
    "rates_reversed",
    "The rates fall from the bottom to the top: the head is new and should learn fastest, and `parts` begins with the "
    "embeddings.",
    rate_of=lambda rate, factor, depth, i: rate * factor**i,
)
wrong_groups(
    "rates_equal",
    "Every part has the same rate: multiply by `factor` once for each step down from the head.",
    rate_of=lambda rate, factor, depth, i: rate,
)
wrong_groups(
    "one_step_too_low",
    "The rates are one step too low: the head, the last of the parts, has the full rate, and the last layer rate * "
    "factor.",
    rate_of=lambda rate, factor, depth, i: rate * factor ** (depth + 1),
)
wrong_groups(
    "frozen_too",
    "Frozen parameters are in the groups: leave out those whose requires_grad is False. An optimiser would carry them "
    "along, and a later unfreezing would train them unseen.",
    chosen=lambda p: True,
)


def tied_twice(parts, rate, factor, decay):
    groups = []
    for k, part in enumerate(reversed(parts)):
        found = [p for _, p in part.named_parameters(remove_duplicate=False) if p.requires_grad]
        groups.append({"params": [p for p in found if p.ndim > 1], "lr": rate * factor**k, "weight_decay": decay})
        groups.append({"params": [p for p in found if p.ndim == 1], "lr": rate * factor**k, "weight_decay": 0.0})
    return groups


TRUSTED.add_mistake(
    "tied_twice",
    "A weight that two modules of a part share is in the groups twice, and an optimiser refuses that: "
    "part.parameters() gives it once.",
    *(tied_twice, warm_up_reference),
)


@wrong_schedule("There is no warm-up: the first step has the full rate. It should have 1 / warm of it.")
def starts_at_the_full_rate(step, warm, total):
    return 1.0 if step < warm else warm_up_reference(step, warm, total)


@wrong_schedule(
    "The first step has the rate 0, so it teaches nothing: steps count from 0, step 0 has the share 1 / warm."
)
def starts_at_zero(step, warm, total):
    return step / warm if step < warm else warm_up_reference(step, warm, total)


@wrong_schedule("After the warm-up the rate stays: it should fall on a straight line, to 0 at step total.")
def never_falls(step, warm, total):
    return min(1.0, (step + 1) / warm) if warm else 1.0


@wrong_schedule(
    "The rate jumps down where the warm-up ends: the line should go from 1 at step warm to 0 at step total, so "
    "divide by total - warm."
)
def falls_over_all_steps(step, warm, total):
    return (step + 1) / warm if step < warm else max(0, total - step) / total


@wrong_schedule("After the last step the share is negative: a negative rate climbs the loss. Hold it at 0.")
def falls_below_zero(step, warm, total):
    return (step + 1) / warm if step < warm else (total - step) / (total - warm)


@wrong_schedule("warm = 0 means that there is no warm-up: do not divide by it.")
def divides_by_no_warm_up(step, warm, total):
    return min((step + 1) / warm, max(0, total - step) / (total - warm))


def groups_by_name(parts, rate, factor, decay):
    groups, lr = [], rate
    for part in parts[::-1]:
        named = {n: p for n, p in part.named_parameters() if p.requires_grad}
        spared = {n for n, p in named.items() if n.endswith("bias") or p.dim() < 2}
        groups += [
            {"params": [p for n, p in named.items() if n not in spared], "lr": lr, "weight_decay": decay},
            {"params": [(n, named[n]) for n in sorted(spared)], "lr": lr, "weight_decay": 0},
        ]
        lr *= factor
    return groups


def warm_up_as_minimum(step, warm, total):
    rising = (step + 1) / max(1, warm)
    falling = (total - step) / (total - warm)
    return max(0.0, min(1.0, rising, falling) if step >= warm else rising)


def groups_by_module(parts, rate, factor, decay):
    groups, n, seen = [], len(parts), set()
    for i in range(n):
        for module in parts[i].modules():
            for name, p in module.named_parameters(recurse=False):
                if not p.requires_grad or p in seen:
                    continue
                seen.add(p)
                spared = name == "bias" or not isinstance(module, nn.Linear | nn.Embedding | nn.Conv1d)
                groups.append(
                    {"params": p, "lr": rate * factor ** (n - 1 - i), "weight_decay": 0.0 if spared else decay}
                )
    return groups


def warm_up_by_hand(step, warm, total):
    if step >= total:
        return 0.0
    if step >= warm:
        return 1.0 - (step - warm) / (total - warm)
    return (1 + step) / warm


TRUSTED.add_alternative("by_name", groups_by_name, warm_up_as_minimum)
TRUSTED.add_alternative("by_module", groups_by_module, warm_up_by_hand)
TRUSTED.add_alternative("one_by_one", by_rules(downward, matrices, trained), warm_up_by_hand)
