"""What stands in for "Check a draft" while it is unsolved: NumPy's arrays, the quotients of all tokens at once."""

import numpy as np
import torch


def library(target, draft, tokens, uniforms, chances, draw):
    theirs, ours = (chances(logits).cpu().numpy() for logits in (target, draft))
    at = np.arange(len(tokens)), np.array(tokens, dtype=int)
    refused = np.flatnonzero(uniforms.cpu().numpy() >= theirs[:-1][at] / ours[at])
    if not len(refused):
        return [*tokens, draw(torch.from_numpy(theirs[-1]).to(target.device))]
    more = np.maximum(theirs[refused[0]] - ours[refused[0]], 0)
    return [*tokens[: refused[0]], draw(torch.from_numpy(more / more.sum()).to(target.device))]


LIBRARY = (library,)
