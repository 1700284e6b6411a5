"""Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V. Vaswani et al. 2017, equation 1."""

import torch
import torch.nn.functional as F

from grader.contract import Trusted
from grader.steps import attention as steps


def reference(Q, K, V):
    d_k = Q.shape[-1]
    A = torch.softmax(Q @ K.mT / d_k**0.5, dim=-1)
    return A @ V


TRUSTED = Trusted(reference, budget="five numbers may stand under the root, and the softmax may run over any axis")
TRUSTED.add_slips(
    lambda attention: attention().__call__,
    steps.NotScaled,
    steps.ScaledWithoutRoot,
    steps.ScaledByModelWidth,
    steps.ScaledByHeads,
    steps.SoftmaxOverQueries,
    steps.NoSoftmax,
    steps.SoftmaxOverHeads,
    steps.NoMaximum,
    steps.OneMaximum,
    steps.WeightsDetached,
    steps.WeightsReturned,
)


@TRUSTED.mistake(
    "The scores are divided by sqrt(e), the width of a value; the dot product of a query and a key has d terms."
)
def scaled_by_value_width(Q, K, V):
    return torch.softmax(Q @ K.mT / V.shape[-1] ** 0.5, -1) @ V


@TRUSTED.mistake(
    "The scores are divided by sqrt(S), the number of keys; the dot product of a query and a key has d terms."
)
def scaled_by_number_of_keys(Q, K, V):
    return torch.softmax(Q @ K.mT / K.shape[-2] ** 0.5, -1) @ V


@TRUSTED.mistake("The future is hidden from the queries: here every query sees every key. Leave the causal mask out.")
def future_hidden(Q, K, V):
    return F.scaled_dot_product_attention(Q, K, V, is_causal=True)


@TRUSTED.mistake("The scores are multiplied by sqrt(d) where they must be divided by it.")
def scale_multiplied(Q, K, V):
    return torch.softmax(Q @ K.mT * Q.shape[-1] ** 0.5, -1) @ V


@TRUSTED.mistake("Your softmax runs over the batch, mixing unrelated sequences: it must run over the keys (dim=-1).")
def softmax_over_batch(Q, K, V):
    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, 0) @ V


@TRUSTED.mistake("The division by sqrt(d) comes after the softmax, so the weights of a row no longer sum to 1.")
def scale_after_softmax(Q, K, V):
    return torch.softmax(Q @ K.mT, -1) / Q.shape[-1] ** 0.5 @ V


@TRUSTED.alternative
def einsum(Q, K, V):
    S = torch.einsum("bhtd,bhsd->bhts", Q, K) / Q.shape[-1] ** 0.5
    return torch.einsum("bhts,bhse->bhte", S.softmax(-1), V)


@TRUSTED.alternative
def library(Q, K, V):
    return F.scaled_dot_product_attention(Q, K, V)


@TRUSTED.alternative
def scaled_queries_and_keys(Q, K, V):
    root = Q.shape[-1] ** 0.25
    return torch.softmax((Q / root) @ (K / root).mT, -1) @ V


@TRUSTED.alternative
def loop_over_queries(Q, K, V):
    rows = []
    for t in range(Q.shape[2]):
        s = (K * Q[:, :, t : t + 1]).sum(-1) / Q.shape[-1] ** 0.5
        rows.append((s.softmax(-1)[..., None] * V).sum(2))
    return torch.stack(rows, 2)
