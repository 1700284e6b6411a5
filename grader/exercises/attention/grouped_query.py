"""Query head h attends with key/value head h // (H / G). Ainslie et al. 2023, section 2.2, figure 2."""

import torch
import torch.nn.functional as F

from grader.contract import Trusted
from grader.steps import attention as steps


def reference(Q, K, V):
    H, d = Q.shape[1], Q.shape[-1]
    group = H // K.shape[1]  # query heads that share one key/value head
    heads = []
    for h in range(H):
        K_h, V_h = K[:, h // group], V[:, h // group]
        A = torch.softmax(Q[:, h] @ K_h.mT / d**0.5, dim=-1)
        heads.append(A @ V_h)
    return torch.stack(heads, dim=1)


attention = steps.Attention()


def shared(x, Q):
    return x.repeat_interleave(Q.shape[1] // x.shape[1], 1)


TRUSTED = Trusted(reference)
TRUSTED.add_slips(
    lambda attention: lambda Q, K, V: attention()(Q, shared(K, Q), shared(V, Q)),
    steps.NotScaled,
    steps.NoMaximum,
    steps.OneMaximum,
    steps.WeightsDetached,
)


@TRUSTED.mistake(
    "This does what the code as it was given does. For G = 2 and H = 4, in which order do its copies of the key heads "
    "come, and which of them should query head 1 read?"
)
def repeated_not_interleaved(Q, K, V):
    group = Q.shape[1] // K.shape[1]
    return attention(Q, K.repeat(1, group, 1, 1), V.repeat(1, group, 1, 1))


@TRUSTED.mistake(
    "The keys are shared out rightly but the values are not: a head's values must come from the same "
    "key/value head as its keys."
)
def values_repeated(Q, K, V):
    return attention(Q, shared(K, Q), V.repeat(1, Q.shape[1] // V.shape[1], 1, 1))


@TRUSTED.mistake(
    "All query heads share the mean of the key/value heads. The groups stay apart: each query head reads one of them."
)
def mean_over_groups(Q, K, V):
    return attention(Q, K.mean(1, keepdim=True), V.mean(1, keepdim=True))


@TRUSTED.mistake("Every query head reads key/value head 0; the others are never used.")
def first_head_for_all(Q, K, V):
    return attention(Q, K[:, :1], V[:, :1])


@TRUSTED.mistake(
    "Query head h reads key/value head h // G. Divide by the size of a group, H // G, and not by how many "
    "groups there are."
)
def divided_by_the_number_of_groups(Q, K, V):
    read = torch.arange(Q.shape[1], device=Q.device) // K.shape[1]
    return attention(Q, K[:, read], V[:, read])


@TRUSTED.mistake("The groups are read backwards: query head 0 belongs to key/value head 0, not to the last one.")
def groups_reversed(Q, K, V):
    return attention(Q, shared(K, Q).flip(1), shared(V, Q).flip(1))


@TRUSTED.mistake(
    "The heads come back in another order: after grouping, (G, H // G) must be flattened in this order, groups first."
)
def heads_out_of_order(Q, K, V):
    return reference(Q, K, V).unflatten(1, (K.shape[1], -1)).transpose(1, 2).flatten(1, 2)


@TRUSTED.mistake(
    "The query heads of a group are averaged into one: every query head keeps its own queries and gives its "
    "own result; only keys and values are shared."
)
def queries_averaged(Q, K, V):
    mean = Q.unflatten(1, (K.shape[1], -1)).mean(2)
    return reference(shared(mean, Q), K, V)


@TRUSTED.alternative
def repeat_interleave(Q, K, V):
    return attention(Q, shared(K, Q), shared(V, Q))


@TRUSTED.alternative
def einsum_over_groups(Q, K, V):
    grouped = Q.unflatten(1, (K.shape[1], -1))  # (B, G, H/G, T, d)
    A = torch.einsum("bgrtd,bgsd->bgrts", grouped, K).div(Q.shape[-1] ** 0.5).softmax(-1)
    return torch.einsum("bgrts,bgse->bgrte", A, V).flatten(1, 2)


@TRUSTED.alternative
def expand_and_library(Q, K, V):
    def widened(x):
        B, G, S, width = x.shape
        return x[:, :, None].expand(B, G, Q.shape[1] // G, S, width).reshape(B, Q.shape[1], S, width)

    return F.scaled_dot_product_attention(Q, widened(K), widened(V))


@TRUSTED.alternative
def group_by_group(Q, K, V):
    queries = Q.chunk(K.shape[1], 1)
    return torch.cat([attention(q, K[:, g : g + 1], V[:, g : g + 1]) for g, q in enumerate(queries)], 1)
