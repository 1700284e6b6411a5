"""What stands in for "Translate in batches" while it is unsolved: torch pads, plain code does the rest."""

import itertools

import torch
from torch.nn.utils.rnn import pad_sequence


def library(step, prompts, end, T):
    rows = [torch.tensor(prompt) for prompt in prompts]
    ids = pad_sequence(rows, batch_first=True, padding_value=end, padding_side="left")
    real = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left").bool()
    written = []
    for _ in range(T):
        ids = step(ids, real)[:, -1:].argmax(-1)
        written.append(ids)
        real = torch.nn.functional.pad(real, (0, 1), value=True)
        if (torch.cat(written, 1) == end).any(1).all():
            break
    return [list(itertools.takewhile(lambda token: token != end, row)) for row in torch.cat(written, 1).tolist()]


LIBRARY = (library,)
