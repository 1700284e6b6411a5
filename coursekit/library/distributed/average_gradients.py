"""What stands in for "Mend this code, one gradient of all" while it is unsolved: torch's vectors of parameters."""

from itertools import groupby

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters


def from_library(comm, model, tokens):
    share = tokens / int(comm.all_reduce(torch.tensor(tokens)))
    wanted = sorted((p for p in model.parameters() if p.requires_grad), key=lambda p: str(p.dtype))
    for _, group in groupby(wanted, key=lambda p: p.dtype):
        params = list(group)
        for p in params:
            p.grad = p.grad.contiguous() if share and p.grad is not None else torch.zeros(p.shape).to(p)
        grads = [p.grad for p in params]
        vector_to_parameters(comm.all_reduce(share * parameters_to_vector(grads)), grads)


LIBRARY = (from_library,)
