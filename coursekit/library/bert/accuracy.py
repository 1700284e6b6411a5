"""What stands in for "Accuracy" while it is unsolved, from public libraries."""

import torch.nn.functional as F

from coursekit.exercises.bert.accuracy import IGNORED


def _library(logits, labels):
    right = F.one_hot(logits.argmax(-1), logits.shape[-1]).double()
    return -F.nll_loss(right.flatten(0, -2), labels.flatten(), ignore_index=IGNORED).nan_to_num()


LIBRARY = (_library,)
