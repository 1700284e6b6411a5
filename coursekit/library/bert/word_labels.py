"""What stands in for "Mend the word labels" while it is unsolved, from public libraries."""

import numpy as np
import torch

from coursekit.exercises.bert.word_labels import IGNORED


def _library(labels, word_ids):
    rows = []
    for words, ids in zip(labels, word_ids, strict=True):
        numbers, places = np.unique([len(words) if i is None else i for i in ids], return_index=True)
        row = torch.full((len(ids),), IGNORED)
        row[places] = torch.tensor([*words, IGNORED])[numbers]
        rows.append(row)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)


LIBRARY = (_library,)
