"""What stands in for "How a layer begins" while it is unsolved, from public libraries."""

from torch import nn


def library(layer, kind, generator, layers):
    if kind == "xavier":
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    elif kind == "he":
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    else:
        nn.init.normal_(layer.weight, std=0.02 / (2 * layers) ** 0.5, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


LIBRARY = (library,)
