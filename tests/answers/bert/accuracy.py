"""Answers to bert.accuracy."""

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.accuracy",
    spared={
        "onward": "nothing happens after which it goes on",
        "dependence": "nothing is drawn",
        "unwatched": "one number is compared",
    },
)
wrong = ANSWERS.wrong


@wrong("plain", "places without a label count below the line", true="of_all_places")
def counts_ignored(logits, labels):
    return (logits.argmax(-1) == labels).float().mean().item()


@wrong("plain", "argmax along the first dimension", true="over_the_wrong_dimension")
def first_dimension(logits, labels):
    keep = labels != -100
    return ((logits.argmax(0) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("plain", "argmax without a dimension", true="argmax_of_all")
def of_all(logits, labels):
    keep = labels != -100
    return ((logits.argmax() == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("named", "without any label it divides by 0", true="nan_without_labels")
def nothing_left(logits, labels):
    keep = labels != -100
    return (logits.argmax(-1)[keep] == labels[keep]).float().mean().item()


@wrong("named", "the last of the largest logits", true="last_of_tied")
def last_of_ties(logits, labels):
    keep = labels != -100
    p = logits.shape[-1] - 1 - logits.flip(-1).argmax(-1)
    return ((p == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("named", "every class that ties for the largest logit counts", true="ties_are_right")
def any_of_ties(logits, labels):
    keep = labels != -100
    best = logits == logits.max(-1, keepdim=True).values
    right = best.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return (right & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("named", "class 0 is taken for padding too", true="without_class_zero")
def positive_only(logits, labels):
    keep = labels > 0
    return ((logits.argmax(-1) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("named", "every two dimensions of labels are averaged row by row", true="averaged_over_rows")
def mean_of_rows(logits, labels):
    keep = labels != -100
    right = ((logits.argmax(-1) == labels) & keep).float()
    if labels.dim() == 1:
        return right.sum().item() / max(keep.sum().item(), 1)
    return (right.sum(-1) / keep.sum(-1).clamp(min=1)).mean().item()


@wrong("ones", "squeeze takes the class dimension where there is one class, or the batch", told="N=4, C=1")
def squeezes(logits, labels):
    logits, labels = logits.squeeze(), labels.squeeze()
    keep = labels != -100
    return ((logits.argmax(-1) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("far", "a softmax in half precision: close logits become equal", told="large logits close together")
def in_half(logits, labels):
    keep = labels != -100
    p = logits.to(torch.bfloat16).softmax(-1).argmax(-1)
    return ((p == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("far", "probabilities: where logits are far apart several round to 1", told="large logits close together")
def through_sigmoid(logits, labels):
    keep = labels != -100
    p = logits.sigmoid().argmax(-1)
    return ((p == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("large", "the count is kept in eight bits", told="N=300")
def eight_bits(logits, labels):
    keep = labels != -100
    right = ((logits.argmax(-1) == labels) & keep).to(torch.uint8).sum(dtype=torch.uint8)
    return right.item() / max(keep.sum().item(), 1)


@wrong("given", "labels of -100 are set to 0 in place", told="changes its input labels")
def changes_labels(logits, labels):
    keep = labels != -100
    labels[~keep] = 0
    return ((logits.argmax(-1) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


SEEN = {"right": 0, "of": 0}


@wrong(
    "again",
    "the counts go on from call to call, as a metric's do that is never reset",
    told="keeps something from one call",
)
def running(logits, labels):
    keep = labels != -100
    SEEN["right"] += ((logits.argmax(-1) == labels) & keep).sum().item()
    SEEN["of"] += keep.sum().item()
    return SEEN["right"] / max(SEEN["of"], 1)


@wrong("surroundings", "gradients are switched off and stay so", told="leaves gradients switched off")
def switches_gradients_off(logits, labels):
    torch.set_grad_enabled(False)
    keep = labels != -100
    return ((logits.argmax(-1) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("plain", "max without indices", true="values_for_indices")
def max_without_indices(logits, labels):
    keep = labels != -100
    return ((logits.max(-1) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("plain", "in percent", true="in_percent")
def percent(logits, labels):
    keep = labels != -100
    return 100 * ((logits.argmax(-1) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("plain", "the number of right ones", true="as_count")
def number_of_right(logits, labels):
    return ((logits.argmax(-1) == labels) & (labels != -100)).sum().item()


@wrong("plain", "two slips: -100 counts below the line, and the share is that of the wrong ones")
def error_rate(logits, labels):
    return (logits.argmax(-1) != labels).float().mean().item()


@wrong("plain", "one truth value for each place", told="expected one number")
def each_place(logits, labels):
    return (logits.argmax(-1) == labels)[labels != -100]


@ANSWERS.right
def with_numpy(logits, labels):
    p, y = np.argmax(logits.numpy(), axis=-1), labels.numpy()
    return float(np.mean((p == y)[y != -100])) if (y != -100).any() else 0


@ANSWERS.right
def in_a_loop(logits, labels):
    right = of = 0
    for row, y in zip(logits.reshape(-1, logits.shape[-1]).tolist(), labels.reshape(-1).tolist(), strict=True):
        if y != -100:
            of += 1
            right += row.index(max(row)) == y
    return right / of if of else 0.0


@ANSWERS.right
def as_a_tensor(logits, labels):
    kept = labels.ne(-100)
    return (logits.max(dim=-1).indices[kept] == labels[kept]).double().sum() / kept.sum().clamp(min=1)


# A second round.


@wrong("named", "a label that is not among the classes is clamped to class 0", true="with_clamped_labels")
def clamped(logits, labels):
    return (logits.argmax(-1) == labels.clamp(min=0)).float().mean().item()


@wrong("plain", "only the last batch dimension counts", told="B=3, T=4")
def last_row(logits, labels):
    if labels.dim() > 1:
        logits, labels = logits[-1], labels[-1]
    keep = labels != -100
    return ((logits.argmax(-1) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("far", "logits become whole numbers", told="large logits close together")
def whole_logits(logits, labels):
    keep = labels != -100
    return ((logits.long().argmax(-1) == labels) & keep).sum().item() / max(keep.sum().item(), 1)


@wrong("plain", "1 without any label", told="no label at all: accuracy differs")
def one_without_labels(logits, labels):
    keep = labels != -100
    return ((logits.argmax(-1) == labels) & keep).sum().item() / keep.sum().item() if keep.any() else 1.0


@ANSWERS.right
def by_cross_entropy_of_a_choice(logits, labels):
    flat, y = logits.reshape(-1, logits.size(-1)), labels.reshape(-1)
    y = y[(kept := (y >= 0).nonzero().squeeze(1))] if len(y) else y
    return float((flat.index_select(0, kept).max(dim=1)[1] - y == 0).double().mean().nan_to_num(0.0))
