"""Answers to attention.sliding_window."""

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.sliding_window",
    spared={
        "onward": "no event comes, after which it would have to go on",
        "dependence": "nothing is drawn at random",
        "unwatched": "nothing is watched but the result",
    },
)


def scores(Q, K):
    return Q @ K.mT / Q.shape[-1] ** 0.5


def attended(Q, K, V, allowed):
    return scores(Q, K).masked_fill(~allowed, -torch.inf).softmax(-1) @ V


def back(T):
    at = torch.arange(T)
    return at[:, None] - at


@ANSWERS.wrong("plain", "one key too many: window keys before the token, and itself", true="one_too_wide")
def one_too_many(Q, K, V, window):
    return attended(Q, K, V, (back(Q.shape[-2]) >= 0) & (back(Q.shape[-2]) <= window))


@ANSWERS.wrong("plain", "triu(diagonal=-window) keeps one diagonal too many", true="one_too_wide")
def one_diagonal_too_many(Q, K, V, window):
    T = Q.shape[-2]
    return attended(Q, K, V, torch.ones(T, T).tril().triu(-window).bool())


@ANSWERS.wrong("plain", "both sides: the distance has no sign", true="both_sides")
def both_sides(Q, K, V, window):
    return attended(Q, K, V, back(Q.shape[-2]).abs() < window)


@ANSWERS.wrong("plain", "Longformer's window: half of it to each side", told="which it must not see")
def half_to_each_side(Q, K, V, window):
    return attended(Q, K, V, back(Q.shape[-2]).abs() <= window // 2)


@ANSWERS.wrong("plain", "causal only", true="window_ignored")
def causal_only(Q, K, V, window):
    return attended(Q, K, V, back(Q.shape[-2]) >= 0)


@ANSWERS.wrong("plain", "no causal mask: the future lies within the window", true="not_causal")
def future_seen(Q, K, V, window):
    return attended(Q, K, V, back(Q.shape[-2]) < window)


@ANSWERS.wrong("plain", "looks ahead: the difference is j - i", true="looks_ahead")
def ahead(Q, K, V, window):
    gap = -back(Q.shape[-2])
    return attended(Q, K, V, (gap >= 0) & (gap < window))


@ANSWERS.wrong("plain", "chunks: nobody sees over the edge of a chunk", true="blocks_for_windows")
def chunks(Q, K, V, window):
    T = Q.shape[-2]
    part = torch.arange(T) // window
    return attended(Q, K, V, (back(T) >= 0) & (part[:, None] == part))


@ANSWERS.wrong(
    "plain", "the last keys of the whole sequence, as a cache holds them", told="nothing from the value of key"
)
def last_keys_for_all(Q, K, V, window):
    T = Q.shape[-2]
    return attended(Q, K, V, (back(T) >= 0) & ((torch.arange(T) >= T - window) | (back(T) == 0)))


@ANSWERS.wrong("plain", "True and False exchanged: sees all but the window", true="MaskInverted", told="which it must")
def mask_inverted(Q, K, V, window):
    seen = (back(Q.shape[-2]) >= 0) & (back(Q.shape[-2]) < window)
    return scores(Q, K).masked_fill(seen, -1e9).softmax(-1) @ V


@ANSWERS.wrong("plain", "filled with 0, which is a score like any other, and not scaled", told="which it must not see")
def zeros_and_no_scale(Q, K, V, window):
    seen = (back(Q.shape[-2]) >= 0) & (back(Q.shape[-2]) < window)
    return (Q @ K.mT).masked_fill(~seen, 0).softmax(-1) @ V


@ANSWERS.wrong(
    "plain",
    "a single & of two comparisons without brackets, mended until it ran",
    true="MaskIgnored",
    told="which it must not see",
)
def or_in_place_of_and(Q, K, V, window):
    return attended(Q, K, V, (back(Q.shape[-2]) >= 0) | (back(Q.shape[-2]) < window))


@ANSWERS.wrong("named", "rolled keys: the first tokens see the last ones", told="which it must not see")
def rolled_round(Q, K, V, window):
    window = min(window, Q.shape[-2])
    Z = torch.stack([(Q * K.roll(w, -2)).sum(-1) for w in range(window)], -1) / Q.shape[-1] ** 0.5
    return sum(a[..., None] * V.roll(w, -2) for w, a in enumerate(Z.softmax(-1).unbind(-1)))


@ANSWERS.wrong("named", "a window at least as long as the text fails", told=r"window=9: (.|\n)*negative dimension")
def window_must_be_shorter(Q, K, V, window):
    T = Q.shape[-2]
    band = sum(torch.ones(T - w).diag(-w) for w in range(window))
    return attended(Q, K, V, band > 0)


@ANSWERS.wrong(
    "named",
    "a window as long as the text is taken for none",
    told="query 4 takes from the value of key 0, which it must not see",
)
def full_window_is_none(Q, K, V, window):
    T = Q.shape[-2]
    allowed = back(T) >= 0
    if window < T - 1:
        allowed &= back(T) < window
    return attended(Q, K, V, allowed)


@ANSWERS.wrong("far", "softmax over everything, then the mask, then sums of 1 again", true="RenormalisedAfterSoftmax")
def renormalised(Q, K, V, window):
    T = Q.shape[-2]
    A = scores(Q, K).softmax(-1) * torch.ones(T, T).tril().triu(1 - window)
    return (A / A.sum(-1, keepdim=True)).to(V.dtype) @ V


@ANSWERS.wrong("far", "masked scores are -10000", true="FiniteFill")
def finite_mask(Q, K, V, window):
    T = Q.shape[-2]
    hidden = torch.ones(T, T).tril().triu(1 - window) == 0
    return scores(Q, K).masked_fill(hidden, -1e4).softmax(-1) @ V


@ANSWERS.wrong("far", "the mask multiplies the exponentials, which overflow", true="NoMaximum")
def exponentials(Q, K, V, window):
    T = Q.shape[-2]
    E = scores(Q, K).exp() * torch.ones(T, T).tril().triu(1 - window)
    return (E / E.sum(-1, keepdim=True)).to(V.dtype) @ V


@ANSWERS.wrong(
    "large",
    "a mask of 64 tokens, cut to size; longer texts see one another whole",
    told="T=300, window=130: Y differs",
    advice=r"right where T is 7 or less, wrong where it is \d+ or more",
)
def mask_of_64(Q, K, V, window):
    T = Q.shape[-2]
    hidden = torch.zeros(max(T, 64), max(T, 64), dtype=torch.bool)
    hidden[:64, :64] = torch.ones(64, 64).tril().triu(1 - window) == 0
    return attended(Q, K, V, ~(hidden | torch.ones_like(hidden).triu(1))[:T, :T])


@ANSWERS.wrong("ones", "squeeze takes the only sequence or the only head away", told="lost a dimension of size 1")
def squeezed(Q, K, V, window):
    return attended(Q, K, V, (back(Q.shape[-2]) >= 0) & (back(Q.shape[-2]) < window)).squeeze()


_MASKS = {}


@ANSWERS.wrong("again", "the mask is kept by length, whatever the window", told="which it must not see")
def mask_by_length(Q, K, V, window):
    T = Q.shape[-2]
    if T not in _MASKS:
        _MASKS[T] = (back(T) >= 0) & (back(T) < window)
    return attended(Q, K, V, _MASKS[T])


@ANSWERS.wrong("given", "the queries are scaled in place", told="changes its input Q in place")
def scaled_in_place(Q, K, V, window):
    seen = (back(Q.shape[-2]) >= 0) & (back(Q.shape[-2]) < window)
    Q.data.div_(Q.shape[-1] ** 0.5)
    return (Q @ K.mT).masked_fill(~seen, -torch.inf).softmax(-1) @ V


@ANSWERS.wrong("surroundings", "gradients stay switched off", told="leaves gradients switched off")
def gradients_off(Q, K, V, window):
    seen = (back(Q.shape[-2]) >= 0) & (back(Q.shape[-2]) < window)
    Y = attended(Q, K, V, seen)
    torch.set_grad_enabled(False)
    return Y


@ANSWERS.wrong(
    "plain",
    "a slice that begins below 0 wraps round: the first tokens see nothing",
    told="takes nothing|does not sum to 1",
)
def negative_slices(Q, K, V, window):
    Y = torch.zeros(*Q.shape[:-1], V.shape[-1], dtype=V.dtype)
    for i in range(Q.shape[-2]):
        seen = slice(i - window + 1, i + 1)
        Y[..., i, :] = (scores(Q[..., i : i + 1, :], K[..., seen, :]).softmax(-1) @ V[..., seen, :])[..., 0, :]
    return Y


@ANSWERS.wrong("plain", "zeros in front of the keys take part", told="does not sum to 1")
def padded_with_zeros(Q, K, V, window):
    K, V = (F.pad(x, (0, 0, window - 1, 0)).unfold(-2, window, 1) for x in (K, V))
    A = (Q[..., None, :] @ K / Q.shape[-1] ** 0.5).squeeze(-2).softmax(-1)
    return (V @ A[..., None]).squeeze(-1)


@ANSWERS.wrong(
    "plain",
    "the first key is dropped: slices begin at 1 at the earliest",
    told="query 1 takes nothing from the value of key 0",
)
def first_key_dropped(Q, K, V, window):
    seen = (back(Q.shape[-2]) >= 0) & (back(Q.shape[-2]) < window)
    seen[1:, 0] = False
    return attended(Q, K, V, seen)


@ANSWERS.wrong(
    "plain",
    "right rows, but scaled by the window's root and not by d's",
    told=r"the scores are 0\.5 Q K\^T, expected 0\.5774",
)
def scaled_by_window(Q, K, V, window):
    seen = (back(Q.shape[-2]) >= 0) & (back(Q.shape[-2]) < window)
    return (Q @ K.mT / window**0.5).masked_fill(~seen, -torch.inf).softmax(-1) @ V


@ANSWERS.wrong("named", "an even window is made odd", told="query 4 takes from the value of key 0")
def odd_windows(Q, K, V, window):
    gap = back(Q.shape[-2])
    return attended(Q, K, V, (gap >= 0) & (gap <= window // 2 * 2))


@ANSWERS.right
def fused(Q, K, V, window):
    T = Q.shape[-2]
    allowed = torch.ones(T, T, dtype=torch.bool).tril().triu(1 - window)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=allowed)


@ANSWERS.right
def query_by_query(Q, K, V, window):
    Y = torch.empty(*Q.shape[:-1], V.shape[-1], dtype=V.dtype)
    for i in range(Q.shape[-2]):
        first = max(0, i + 1 - window)
        Z = Q[..., i : i + 1, :] @ K[..., first : i + 1, :].mT / Q.shape[-1] ** 0.5
        Y[..., i, :] = (Z.softmax(-1) @ V[..., first : i + 1, :])[..., 0, :]
    return Y


@ANSWERS.right
def rolled_and_masked(Q, K, V, window):
    T = Q.shape[-2]
    window = min(window, T)
    Z = torch.stack([(Q * K.roll(w, -2)).sum(-1) for w in range(window)], -1) / Q.shape[-1] ** 0.5
    A = Z.masked_fill(torch.arange(T)[:, None] < torch.arange(window), -torch.inf).softmax(-1)
    return sum(a[..., None] * V.roll(w, -2) for w, a in enumerate(A.unbind(-1)))


@ANSWERS.right
def unfolded(Q, K, V, window):
    """As many keys for each query, with nothing in front of the first."""
    T, d = Q.shape[-2:]
    window = min(window, T)
    K, V = (F.pad(x, (0, 0, window - 1, 0)).unfold(-2, window, 1) for x in (K, V))
    Z = (Q[..., None, :] @ K / d**0.5).squeeze(-2)
    there = torch.arange(T)[:, None] + torch.arange(window) >= window - 1
    A = Z.masked_fill(~there, float("-inf")).softmax(-1)
    return (V @ A[..., None]).squeeze(-1)


@ANSWERS.right
def added_mask(Q, K, V, window):
    T = Q.shape[-2]
    mask = torch.full((T, T), torch.finfo(Q.dtype).min, dtype=Q.dtype)
    for i in range(T):
        for j in range(T):
            if i - window < j <= i:
                mask[i, j] = 0
    Z = torch.einsum("bhid,bhjd->bhij", Q, K).div(Q.size(-1) ** 0.5)
    return torch.einsum("bhij,bhje->bhie", torch.where(mask == 0, Z, mask).softmax(-1), V)


@ANSWERS.right
def values_as_they_are(Q, K, V, window):
    if window == 1:
        return V
    T = Q.shape[-2]
    mask = torch.zeros(T, T, dtype=torch.float64).masked_fill_(~((back(T) >= 0) & (back(T) < window)), -torch.inf)
    return (scores(Q.double(), K.double()) + mask).softmax(-1) @ V.double()
