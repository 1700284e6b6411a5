"""What stands in for "Sinusoidal positions" while it is unsolved, from public libraries."""

import torch


def from_library(positions, D):
    from transformers.models.distilbert.modeling_distilbert import create_sinusoidal_embeddings

    table = torch.zeros(int(positions.max()) + 1, D)
    create_sinusoidal_embeddings(*table.shape, out=table)
    return table.to(positions.device)[positions]


LIBRARY = (from_library,)
