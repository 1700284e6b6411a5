"""Answers to attention.empty_rows by a reader who did not write its mistakes."""

import math

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.empty_rows",
    spared={"onward": "nothing happens after which it would go on", "dependence": "nothing is drawn"},
)
KEPT = {}


def scores(Q, K):
    return Q @ K.mT / math.sqrt(Q.shape[-1])


@ANSWERS.wrong("plain", "an empty row is NaN", true="not_guarded")
def left_nan(Q, K, V, allowed):
    return scores(Q, K).masked_fill(~allowed, -torch.inf).softmax(-1) @ V


@ANSWERS.wrong(
    "plain", "an empty row averages all values: -1e9 everywhere is the same everywhere", true="uniform_average"
)
def average(Q, K, V, allowed):
    return scores(Q, K).masked_fill(~allowed, -1e9).softmax(-1) @ V


@ANSWERS.wrong("plain", "the result is patched, and the NaN weights are not: dV is NaN", true="result_repaired")
def result_patched(Q, K, V, allowed):
    A = scores(Q, K).masked_fill(~allowed, -torch.inf).softmax(-1)
    return (A @ V).nan_to_num(0)


@ANSWERS.wrong("plain", "the mask is added and NaN replaced: the gradient is NaN", true="weights_repaired")
def added_and_patched(Q, K, V, allowed):
    M = torch.zeros(allowed.shape, dtype=Q.dtype).masked_fill(~allowed, -torch.inf)
    return (scores(Q, K) + M).softmax(-1).nan_to_num(0) @ V


@ANSWERS.wrong(
    "plain", "where picks 0 for the result of empty rows, and the NaN behind it flows back", true="result_repaired"
)
def chosen_by_where(Q, K, V, allowed):
    Y = scores(Q, K).masked_fill(~allowed, -torch.inf).softmax(-1) @ V
    return torch.where(allowed.any(-1, keepdim=True), Y, torch.zeros_like(Y))


@ANSWERS.wrong("plain", "a row is taken for empty when any key is hidden", true="any_hidden")
def any_for_all(Q, K, V, allowed):
    empty = (~allowed).any(-1, keepdim=True)
    A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
    return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong("plain", "emptiness is looked for along the queries", true="empty_columns")
def along_queries(Q, K, V, allowed):
    allowed = allowed.expand(scores(Q, K).shape)
    empty = ~allowed.any(-2, keepdim=True)
    A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
    return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong(
    "plain",
    "the empty row looks at everything, and its result is not thrown away; upside down as well",
    told="a query without any allowed key gives .*, expected exactly 0",
)
def everything(Q, K, V, allowed):
    empty = ~allowed.any(-1, keepdim=True)
    return scores(Q, K).masked_fill(allowed & ~empty, -torch.inf).softmax(-1) @ V


@ANSWERS.wrong(
    "far",
    "weights after the softmax, masked and renormalised with a small number below the line",
    true="hidden_afterwards",
)
def renormalised(Q, K, V, allowed):
    A = scores(Q, K).softmax(-1) * allowed
    return A / (A.sum(-1, keepdim=True) + 1e-9) @ V


@ANSWERS.wrong("far", "exponentials times mask, with the maximum of hidden keys too", true="hidden_afterwards")
def maximum_of_hidden(Q, K, V, allowed):
    Z = scores(Q, K)
    A = (Z - Z.amax(-1, keepdim=True)).exp() * allowed
    return A / A.sum(-1, keepdim=True).clamp_min(1e-30) @ V


@ANSWERS.wrong("far", "-10000 for hidden keys", true="FiniteFill")
def ten_thousand(Q, K, V, allowed):
    A = scores(Q, K).masked_fill(~allowed, -1e4).softmax(-1)
    return A.masked_fill(~allowed.any(-1, keepdim=True), 0) @ V


@ANSWERS.wrong("ones", "squeeze at the end", told="has lost a dimension of size 1")
def squeezed(Q, K, V, allowed):
    A = scores(Q, K).masked_fill(~allowed, torch.finfo(Q.dtype).min).softmax(-1)
    return (A.masked_fill(~allowed, 0) @ V).squeeze()


@ANSWERS.wrong(
    "ones",
    "counts the hidden keys and compares with S: a mask of width 1 has never S of them",
    told="one truth value for each query: Y is NaN",
    advice="a query without any allowed key gives .*, expected exactly 0",
)
def counted(Q, K, V, allowed):
    empty = (~allowed).sum(-1, keepdim=True) == K.shape[-2]
    A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
    return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong("named", "a mask needs to have four dimensions", told=r"allowed is \(3, 5\)")
def four_dimensions(Q, K, V, allowed):
    B, H, T, S = allowed.shape
    empty = ~allowed.any(-1).view(B, H, T, 1)
    A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
    return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong(
    "named",
    "only the first head's mask tells which rows are empty",
    told="heads with masks of their own: Y is NaN",
    advice="a query without any allowed key gives .*, expected exactly 0",
)
def first_head(Q, K, V, allowed):
    allowed = allowed.expand(scores(Q, K).shape)
    empty = ~allowed[:, :1].any(-1, keepdim=True)
    A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
    return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong(
    "large",
    "sums of a mask in 8 bits: 256 allowed keys count as none",
    told="wrong where it is 256 or more",
    advice="Y is 0 everywhere",
)
def eight_bits(Q, K, V, allowed):
    empty = allowed.sum(-1, keepdim=True, dtype=torch.uint8) == 0
    A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
    return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong("given", "empty rows are opened in the mask itself", told="changes its input allowed in place")
def mask_changed(Q, K, V, allowed):
    empty = ~allowed.any(-1, keepdim=True)
    allowed |= empty
    return scores(Q, K).masked_fill(~allowed, -torch.inf).softmax(-1).masked_fill(empty, 0) @ V


@ANSWERS.wrong(
    "again",
    "which rows are empty is kept by the mask's shape",
    advice="a query without any allowed key gives .*, expected exactly 0",
    told="without any allowed key gives NaN",
)
def rows_kept(Q, K, V, allowed):
    empty = KEPT.setdefault(allowed.shape, ~allowed.any(-1, keepdim=True))
    A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
    return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong(
    "surroundings",
    "gradients are switched off, and on again for the weights alone",
    told="leaves gradients switched off",
)
def gradients_off(Q, K, V, allowed):
    torch.set_grad_enabled(False)
    empty = ~allowed.any(-1, keepdim=True)
    with torch.enable_grad():
        A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
        return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong(
    "unwatched",
    "NaN gradients are caught by hooks, which set all of a query's gradient to 0",
    told="dQ is 0 everywhere",
)
def hooked(Q, K, V, allowed):
    M = torch.zeros(allowed.shape, dtype=Q.dtype).masked_fill(~allowed, -torch.inf)
    Z = scores(Q, K)
    if Z.requires_grad:
        Z.register_hook(lambda g: torch.zeros_like(g) if g.isnan().any() else g)
    return (Z + M).softmax(-1).nan_to_num(0) @ V


@ANSWERS.wrong("plain", "the result is multiplied by 0 where a row is empty: NaN times 0 is NaN", true="not_guarded")
def multiplied(Q, K, V, allowed):
    Y = scores(Q, K).masked_fill(~allowed, -torch.inf).softmax(-1) @ V
    return Y * allowed.any(-1, keepdim=True)


@ANSWERS.wrong("plain", "an empty row may see the first key", true="first_key_shown")
def first_key(Q, K, V, allowed):
    allowed = allowed.expand(scores(Q, K).shape).clone()
    allowed[..., 0] |= ~allowed.any(-1)
    return scores(Q, K).masked_fill(~allowed, -torch.inf).softmax(-1) @ V


@ANSWERS.wrong(
    "named",
    "a row is empty when it is so in every head and sequence",
    told="heads with masks of their own: a query without any allowed key gives",
)
def empty_everywhere(Q, K, V, allowed):
    allowed = allowed.expand(scores(Q, K).shape)
    empty = ~allowed.any(-1, keepdim=True).any(0, keepdim=True).any(1, keepdim=True)
    A = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1)
    return A.masked_fill(empty, 0) @ V


@ANSWERS.wrong("plain", "a billionth of the average is left in empty rows", told="expected exactly 0")
def a_billionth(Q, K, V, allowed):
    A = scores(Q, K).masked_fill(~allowed, -1e9).softmax(-1)
    return torch.where(allowed.any(-1, keepdim=True), A, A * 1e-9) @ V


@ANSWERS.wrong(
    "again",
    "which rows are empty is kept by the sizes of all that comes in",
    told="the same Q, K and V, query 1 sees nothing",
)
def empty_by_sizes(Q, K, V, allowed):
    key = Q.shape, K.shape, Q.dtype, allowed.shape
    empty = KEPT.setdefault(key, ~allowed.any(-1, keepdim=True))
    return scores(Q, K).masked_fill(~(allowed | empty), -torch.inf).softmax(-1).masked_fill(empty, 0.0) @ V


@ANSWERS.right
def where_before_and_after(Q, K, V, allowed):
    some = allowed.any(-1, keepdim=True)
    Z = torch.where(allowed, scores(Q, K), -torch.inf)
    Z = torch.where(some, Z, torch.zeros_like(Z))
    return torch.where(some, Z.softmax(-1), 0.0) @ V


@ANSWERS.right
def exponentials_by_hand(Q, K, V, allowed):
    Z = scores(Q, K).masked_fill(~allowed, torch.finfo(Q.dtype).min)
    E = (Z - Z.amax(-1, keepdim=True).detach()).exp().masked_fill(~allowed, 0)
    total = E.sum(-1, keepdim=True)
    return (E / torch.where(total > 0, total, 1)) @ V


@ANSWERS.right
def filled_and_patched(Q, K, V, allowed):
    return scores(Q, K).masked_fill(~allowed, float("-inf")).softmax(-1).nan_to_num(0.0) @ V


@ANSWERS.right
def with_an_extra_key(Q, K, V, allowed):
    """A key more, of value 0, that only empty rows may see."""
    allowed = allowed.expand(*Q.shape[:-1], K.shape[-2])
    seen = torch.cat([allowed, ~allowed.any(-1, keepdim=True)], -1)
    keys, values = (F.pad(x, (0, 0, 0, 1)) for x in (K, V))
    return F.scaled_dot_product_attention(Q, keys, values, attn_mask=seen)


@ANSWERS.right
def only_full_rows(Q, K, V, allowed):
    allowed = allowed.expand(*Q.shape[:-1], K.shape[-2])
    Y = Q.new_zeros(*Q.shape[:-1], V.shape[-1])
    for b, h, i in allowed.any(-1).nonzero().tolist():
        keys = allowed[b, h, i]
        Y[b, h, i] = (K[b, h, keys] @ Q[b, h, i] / Q.shape[-1] ** 0.5).softmax(0) @ V[b, h, keys]
    return Y + 0 * (Q.sum() + K.sum() + V.sum())  # where all rows are empty, there is still a graph


@ANSWERS.wrong("plain", "the NaN is replaced a line later than it was", true="repaired_a_line_later")
def later(Q, K, V, allowed):
    M = torch.zeros_like(allowed, dtype=Q.dtype).masked_fill(~allowed, -torch.inf)
    return ((scores(Q, K) + M).softmax(-1) @ V).nan_to_num(0)


@ANSWERS.wrong(
    "far",
    "exponentials of bare scores, and a safe division",
    told="scores near -20000.*: 0, expected",
    advice="where all of it is finite, is 0 everywhere",
)
def bare_exponentials(Q, K, V, allowed):
    E = scores(Q, K).masked_fill(~allowed, -torch.inf).exp()
    n = E.sum(-1, keepdim=True)
    return E / torch.where(n == 0, 1.0, n) @ V


@ANSWERS.wrong(
    "plain", "as soon as one row is empty no gradient flows through any weight", told="no gradient reaches Q"
)
def all_or_nothing(Q, K, V, allowed):
    A = scores(Q, K).masked_fill(~allowed, -torch.inf).softmax(-1)
    return (A.detach().nan_to_num(0) if A.isnan().any() else A) @ V


@ANSWERS.wrong(
    "plain",
    "a sequence of padding alone is seen, a single empty query is not",
    told="query 1 sees nothing: a query without any allowed key gives NaN",
)
def sequences_only(Q, K, V, allowed):
    allowed = allowed.expand(*Q.shape[:-1], K.shape[-2])
    empty = ~allowed.flatten(1).any(-1)[:, None, None, None]
    return scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1).masked_fill(empty, 0.0) @ V


@ANSWERS.wrong("plain", "a thousandth is added to each sum")
def a_thousandth(Q, K, V, allowed):
    Z = scores(Q, K).masked_fill(~allowed, -1e300 if Q.dtype == torch.float64 else -1e38)
    E = (Z - Z.amax(-1, keepdim=True)).exp() * allowed
    return E / (E.sum(-1, keepdim=True) + 1e-3) @ V


@ANSWERS.wrong("plain", "mended, with the scale lost on the way", true="NotScaled")
def unscaled_mend(Q, K, V, allowed):
    empty = ~allowed.any(-1, keepdim=True)
    return (Q @ K.mT).masked_fill(~allowed & ~empty, -torch.inf).softmax(-1).masked_fill(empty, 0.0) @ V


@ANSWERS.wrong("plain", "the diagonal is opened for everybody, so that no row is empty")
def sees_itself(Q, K, V, allowed):
    opened = allowed | torch.eye(Q.shape[-2], K.shape[-2], dtype=torch.bool)
    A = scores(Q, K).masked_fill(~opened, -torch.inf).softmax(-1)
    return A.masked_fill(~allowed.any(-1, keepdim=True), 0.0) @ V


@ANSWERS.wrong(
    "plain",
    "the scores' NaN are kept away, and the mask was added: -inf less -inf in the gradient",
    advice="without any allowed key gives NaN",
)
def maximum_replaced(Q, K, V, allowed):
    Z = scores(Q, K) + torch.zeros_like(allowed, dtype=Q.dtype).masked_fill(~allowed, -torch.inf)
    E = (Z - Z.amax(-1, keepdim=True)).nan_to_num(-torch.inf, neginf=-torch.inf).exp()
    n = E.sum(-1, keepdim=True)
    return E / n.clamp_min(1e-300) @ V


@ANSWERS.wrong("plain", "empty rows are right, and what remains attends to all keys", true="only_empty_rows")
def everything_else_sees_all(Q, K, V, allowed):
    return (scores(Q, K).softmax(-1) @ V).masked_fill(~allowed.any(-1, keepdim=True), 0.0)


@ANSWERS.right
def through_sdpa(Q, K, V, allowed):
    some = allowed.expand(*Q.shape[:-1], K.shape[-2]).any(-1, keepdim=True)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=allowed | ~some) * some


@ANSWERS.right
def safe_sum(Q, K, V, allowed):
    Z = torch.where(allowed, scores(Q, K), torch.finfo(Q.dtype).min)
    E = torch.where(allowed, (Z - Z.amax(-1, keepdim=True).detach()).exp(), 0.0)
    n = E.sum(-1, keepdim=True)
    return E @ V / torch.where(n > 0, n, 1.0)


@ANSWERS.right
def nan_stopped_at_the_scores(Q, K, V, allowed):
    """The code as it was given, with a look at what flows back through the scores."""
    Z = scores(Q, K) + torch.zeros_like(allowed, dtype=Q.dtype).masked_fill(~allowed, -torch.inf)
    if Z.requires_grad:
        Z.register_hook(lambda dZ: dZ.masked_fill(~allowed, 0.0))
    return Z.softmax(-1).nan_to_num(0) @ V


@ANSWERS.wrong(
    "plain", "empty queries get the gradient of nobody, and keys none of theirs", told="no gradient reaches K"
)
def keys_cut_off(Q, K, V, allowed):
    empty = ~allowed.any(-1, keepdim=True)
    Z = scores(Q, K.detach()).masked_fill(~allowed & ~empty, -torch.inf)
    return Z.softmax(-1).masked_fill(empty, 0.0) @ V


@ANSWERS.wrong("plain", "empty rows become 1 in place of 0", told="expected 0", advice="one number in each row")
def ones_in_place(Q, K, V, allowed):
    empty = ~allowed.any(-1, keepdim=True)
    Z = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf)
    return (Z.softmax(-1) @ V).masked_fill(empty, 1.0)


@ANSWERS.wrong("plain", "the mask's meaning is turned round for the hidden keys, not for empty rows")
def turned_round(Q, K, V, allowed):
    empty = ~allowed.any(-1, keepdim=True)
    Z = scores(Q, K).masked_fill(allowed & ~empty, -torch.inf)
    return Z.softmax(-1).masked_fill(empty, 0.0) @ V


@ANSWERS.wrong(
    "ones", "as many empty rows as there are hidden keys: sums compared with 1", advice="differ in allowed alone"
)
def more_than_one(Q, K, V, allowed):
    empty = allowed.sum(-1, keepdim=True) <= 1
    Z = scores(Q, K).masked_fill(~allowed & ~empty, -torch.inf)
    return Z.softmax(-1).masked_fill(empty, 0.0) @ V


@ANSWERS.right
def by_logarithm(Q, K, V, allowed):
    """Weights as exp of scores less their logarithm of the sum, which is only taken where there is one."""
    empty = ~allowed.any(-1, keepdim=True)
    Z = scores(Q, K).masked_fill(~allowed, -torch.inf)
    total = torch.where(empty, 0.0, Z.masked_fill(empty, 0.0).logsumexp(-1, keepdim=True))
    return (Z - total).exp() @ V
