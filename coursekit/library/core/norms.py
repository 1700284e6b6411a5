"""What stands in for "Mend this code, two norms" while it is unsolved, from public libraries."""

import torch
from torch.nn import functional


def layer_norm(x, w, b, eps):
    return functional.layer_norm(x, w.shape, w, b, eps)


def rms_norm(x, w, eps):
    wide = torch.promote_types(x.dtype, torch.float32)
    return functional.rms_norm(x.to(wide), w.shape, w.to(wide), eps).to(x.dtype)


LIBRARY = (layer_norm, rms_norm)
