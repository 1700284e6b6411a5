"""Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V. Vaswani et al. 2017, equation 1."""

import torch
import torch.nn.functional as F

from grader.contract import Trusted


def reference(Q, K, V):
    d_k = Q.shape[-1]
    A = torch.softmax(Q @ K.mT / d_k**0.5, dim=-1)
    return A @ V


TRUSTED = Trusted(reference)


@TRUSTED.mistake("The scores are not scaled: divide Q K^T by sqrt(d) before the softmax, or it saturates as d grows.")
def no_scale(Q, K, V):
    return torch.softmax(Q @ K.mT, -1) @ V


@TRUSTED.mistake("The scores are divided by d, not by sqrt(d): their variance is d, so their spread is sqrt(d).")
def scale_by_d(Q, K, V):
    return torch.softmax(Q @ K.mT / Q.shape[-1], -1) @ V


@TRUSTED.mistake(
    "The scores are divided by sqrt(H d), the whole model width; each head's dot product has only d terms."
)
def scale_by_model_width(Q, K, V):
    return torch.softmax(Q @ K.mT / (Q.shape[1] * Q.shape[-1]) ** 0.5, -1) @ V


@TRUSTED.mistake("The scores are multiplied by sqrt(d) where they must be divided by it.")
def scale_multiplied(Q, K, V):
    return torch.softmax(Q @ K.mT * Q.shape[-1] ** 0.5, -1) @ V


@TRUSTED.mistake(
    "Each key's weights sum to 1 over the queries: your softmax runs over the wrong axis. "
    "Every query must share out its attention over the keys (dim=-1)."
)
def softmax_over_queries(Q, K, V):
    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -2) @ V


@TRUSTED.mistake("Your softmax runs over the batch, mixing unrelated sequences: it must run over the keys (dim=-1).")
def softmax_over_batch(Q, K, V):
    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, 0) @ V


@TRUSTED.mistake("The division by sqrt(d) comes after the softmax, so the weights of a row no longer sum to 1.")
def scale_after_softmax(Q, K, V):
    return torch.softmax(Q @ K.mT, -1) / Q.shape[-1] ** 0.5 @ V


@TRUSTED.mistake("There is no softmax: the raw scores weigh the values. Turn each row of scores into weights first.")
def no_softmax(Q, K, V):
    return Q @ K.mT / Q.shape[-1] ** 0.5 @ V


@TRUSTED.mistake(
    "The values are right but no gradient passes through the weights: somewhere the scores are detached, so the "
    "queries and keys could never learn."
)
def weights_detached(Q, K, V):
    A = torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -1)
    return A.detach() @ V


@TRUSTED.mistake("Your function gives back the attention weights, not the mixture of values: multiply them by V.")
def weights_returned(Q, K, V):
    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -1)


@TRUSTED.mistake(
    "Without the maximum, exp gives 0 for every key when all scores are far below 0, and 0/0 is NaN (far above 0 it "
    "overflows): subtract each row's largest score first, or use a softmax that does."
)
def no_maximum(Q, K, V):
    e = torch.exp(Q @ K.mT / Q.shape[-1] ** 0.5)
    return e / e.sum(-1, keepdim=True) @ V


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
