"""Answers to attention.sdpa by a reader who did not write its mistakes."""

import math

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.sdpa",
    spared={"onward": "nothing happens after which it would go on", "dependence": "nothing is drawn"},
)
KEPT = {}


@ANSWERS.wrong("plain", "Q @ K without the transpose", told="`Q @ K.mT` would fit")
def no_transpose(Q, K, V):
    return (Q @ K / math.sqrt(Q.shape[-1])).softmax(-1) @ V


@ANSWERS.wrong("plain", "K.T turns all four dimensions round", told="`K.T` reverses all 4 dimensions")
def all_turned(Q, K, V):
    return (Q @ K.T / math.sqrt(Q.shape[-1])).softmax(-1) @ V


@ANSWERS.wrong(
    "plain", "K's positions and heads are exchanged, as for a layout of (B, T, H, d)", told="`Q @ K.mT` would fit"
)
def wrong_pair_exchanged(Q, K, V):
    return (Q @ K.transpose(1, 2) / math.sqrt(Q.shape[-1])).softmax(-1) @ V


@ANSWERS.wrong("plain", "scaled by the width of the values", true="scaled_by_value_width")
def width_of_values(Q, K, V):
    return (Q @ K.mT / math.sqrt(V.shape[-1])).softmax(-1) @ V


@ANSWERS.wrong("plain", "scaled by the number of heads", true="ScaledByHeads")
def number_of_heads(Q, K, V):
    return (Q @ K.mT / math.sqrt(Q.shape[1])).softmax(-1) @ V


@ANSWERS.wrong("plain", "scaled by the width of the whole model, H d", true="ScaledByModelWidth")
def width_of_model(Q, K, V):
    return (Q @ K.mT / math.sqrt(Q.shape[1] * Q.shape[-1])).softmax(-1) @ V


@ANSWERS.wrong("plain", "softmax over the heads", true="SoftmaxOverHeads")
def over_heads(Q, K, V):
    return F.softmax(Q @ K.mT / math.sqrt(Q.shape[-1]), 1) @ V


@ANSWERS.wrong(
    "plain",
    "softmax over the queries, and no scale",
    told="does not sum to 1 along dimension -1, but along dimension -2",
)
def over_queries_unscaled(Q, K, V):
    return (Q @ K.mT).softmax(-2) @ V


@ANSWERS.wrong(
    "plain",
    "divided by d after the softmax, in place of sqrt(d) before it",
    told="does not sum to 1 along dimension -1",
)
def scaled_afterwards(Q, K, V):
    return (Q @ K.mT).softmax(-1) / Q.shape[-1] @ V


@ANSWERS.wrong(
    "plain",
    "dropout of the weights, as the Annotated Transformer's function has it, that always acts",
    told=r"two calls .* \(dropout\?\)",
)
def dropout_acts(Q, K, V):
    A = (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1)
    return F.dropout(A, 0.1) @ V


@ANSWERS.wrong(
    "plain", "log_softmax in place of softmax, and the scale multiplied", told="does not sum to 1 along dimension -1"
)
def log_and_multiplied(Q, K, V):
    return (Q @ K.mT * math.sqrt(Q.shape[-1])).log_softmax(-1) @ V


@ANSWERS.wrong("far", "one maximum for all rows: a row far below it is 0/0", true="OneMaximum")
def one_maximum(Q, K, V):
    Z = Q @ K.mT / math.sqrt(Q.shape[-1])
    A = (Z - Z.max()).exp()
    return A / A.sum(-1, keepdim=True) @ V


@ANSWERS.wrong("far", "one maximum for each head: a row far below it is 0/0", true="OneMaximum")
def maximum_of_head(Q, K, V):
    Z = Q @ K.mT / math.sqrt(Q.shape[-1])
    A = (Z - Z.amax((-1, -2), keepdim=True)).exp()
    return A / A.sum(-1, keepdim=True) @ V


@ANSWERS.wrong("far", "scores are cut at 20 above and below")
def cut(Q, K, V):
    Z = (Q @ K.mT / math.sqrt(Q.shape[-1])).clamp(-20, 20)
    return Z.softmax(-1) @ V


@ANSWERS.wrong("ones", "squeeze at the end", told="has lost a dimension of size 1")
def squeezed(Q, K, V):
    return ((Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) @ V).squeeze()


@ANSWERS.wrong("ones", "with a single key the softmax is left out", told="wrong where it is 1")
def single_key(Q, K, V):
    Z = Q @ K.mT / math.sqrt(Q.shape[-1])
    return (Z.softmax(-1) if K.shape[-2] > 1 else Z) @ V


@ANSWERS.wrong("large", "no more than 64 keys are looked at", told="wrong where it is 300 or more")
def first_keys(Q, K, V):
    K, V = K[..., :64, :], V[..., :64, :]
    return (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) @ V


@ANSWERS.wrong("large", "the scale never falls below that of a head of 64", told="wrong where it is 130 or more")
def widths_to_64(Q, K, V):
    return (Q @ K.mT / math.sqrt(min(Q.shape[-1], 64))).softmax(-1) @ V


@ANSWERS.wrong("named", "computes in float32 whatever it is given", told="Y has dtype float32, expected float64")
def always_float32(Q, K, V):
    return (Q.float() @ K.float().mT / math.sqrt(Q.shape[-1])).softmax(-1) @ V.float()


@ANSWERS.wrong(
    "named", "view of heads that do not lie one after the other in memory", told="view size is not compatible"
)
def viewed(Q, K, V):
    B, H, T, d = Q.shape
    q, k, v = Q.view(B * H, T, d), K.view(B * H, -1, d), V.view(B * H, K.shape[2], -1)
    return (q @ k.mT / math.sqrt(d)).softmax(-1).bmm(v).view(B, H, T, -1)


@ANSWERS.wrong("given", "Q is scaled in place", told="changes its input Q in place")
def in_place(Q, K, V):
    with torch.no_grad():
        Q /= math.sqrt(Q.shape[-1])
    return (Q @ K.mT).softmax(-1) @ V


@ANSWERS.wrong("again", "the first call's scale is kept", told=r"the scores are 0\.3536 Q K\^T, expected 0\.4472")
def scale_kept(Q, K, V):
    scale = KEPT.setdefault("scale", Q.shape[-1] ** -0.5)
    return (Q @ K.mT * scale).softmax(-1) @ V


@ANSWERS.wrong("again", "results are kept by the shapes")
def results_kept(Q, K, V):
    key = Q.shape, K.shape, V.shape
    if key not in KEPT:
        KEPT[key] = (Q @ K.mT * Q.shape[-1] ** -0.5).softmax(-1) @ V
    return KEPT[key]


@ANSWERS.wrong(
    "surroundings", "seeds all random numbers, to be reproducible", told="sets the seed of all random numbers"
)
def seeded(Q, K, V):
    torch.manual_seed(42)
    return (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) @ V


@ANSWERS.wrong(
    "unwatched", "the keys' gradient is 0: K is cut off, and added again with a factor of 0", told="dK is 0 everywhere"
)
def gradient_of_nothing(Q, K, V):
    keys = K.detach() + 0 * K
    return (Q @ keys.mT / math.sqrt(Q.shape[-1])).softmax(-1) @ V


@ANSWERS.wrong("unwatched", "the weights are detached, so only V learns", true="WeightsDetached")
def weights_detached(Q, K, V):
    return (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1).detach() @ V


@ANSWERS.wrong("plain", "the scale is the root of the number of keys", true="scaled_by_number_of_keys")
def number_of_keys(Q, K, V):
    return (Q @ K.mT / math.sqrt(K.shape[-2])).softmax(-1) @ V


@ANSWERS.wrong(
    "plain",
    "the pair of result and weights, as the Annotated Transformer returns it",
    told="a tuple of 2, expected the tensor Y",
)
def pair(Q, K, V):
    A = (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1)
    return A @ V, A


@ANSWERS.wrong("plain", "one softmax over all queries and keys of a head", told="does not sum to 1 along dimension -1")
def over_all(Q, K, V):
    Z = Q @ K.mT / math.sqrt(Q.shape[-1])
    return Z.flatten(-2).softmax(-1).view_as(Z) @ V


@ANSWERS.wrong("plain", "a causal mask that nobody asked for, as GPT's code has it", true="future_hidden")
def always_causal(Q, K, V):
    return F.scaled_dot_product_attention(Q, K, V, is_causal=True)


@ANSWERS.wrong("plain", "the values are weighed with the mean over the heads")
def mean_of_heads(Q, K, V):
    A = (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1)
    return A.mean(1, keepdim=True) @ V


@ANSWERS.right
def in_place_on_the_scores(Q, K, V):
    scores = torch.matmul(Q, K.permute(0, 1, 3, 2))
    scores = scores.div_(math.sqrt(K.size(3)))
    return torch.matmul(torch.nn.Softmax(dim=3)(scores), V)


@ANSWERS.right
def in_one_einsum(Q, K, V):
    Z = torch.einsum("bhtd,bhsd->bhts", Q, K) * Q.shape[-1] ** -0.5
    return torch.einsum("bhts,bhse->bhte", Z.softmax(-1), V)


@ANSWERS.right
def quarter_power_on_both(Q, K, V):
    scale = Q.shape[-1] ** -0.25
    return F.softmax((Q * scale) @ (K * scale).transpose(-2, -1), dim=-1) @ V


@ANSWERS.right
def head_by_head(Q, K, V):
    rows = [
        [((k @ q) / math.sqrt(len(q))).softmax(0) @ v for q in queries]
        for queries, k, v in zip(Q.flatten(0, 1), K.flatten(0, 1), V.flatten(0, 1), strict=True)
    ]
    return torch.stack([torch.stack(row) for row in rows]).unflatten(0, Q.shape[:2])


@ANSWERS.right
def broadcast_in_double(Q, K, V):
    q, k, v = Q.double(), K.double(), V.double()
    Z = (q[..., :, None, :] * k[..., None, :, :]).sum(-1) / math.sqrt(q.size(-1))
    A = (Z - Z.logsumexp(-1, keepdim=True)).exp()
    return (A[..., None] * v[..., None, :, :]).sum(-2)
