"""Answers to attention.heads by a reader who did not write its mistakes."""

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.heads",
    spared={
        "onward": "nothing happens after which it would go on",
        "far": "no number is computed with",
        "dependence": "nothing is drawn",
        "unwatched": "nothing but values is watched",
    },
)
KEPT = {}


def cut(X, H):
    B, T, D = X.shape
    return X.reshape(B, T, H, D // H).transpose(1, 2)


def joined(Y):
    B, H, T, d = Y.shape
    return Y.transpose(1, 2).reshape(B, T, H * d)


@ANSWERS.wrong("plain", "split views the memory anew", true="split_view_without_transpose")
def split_by_view(X, H):
    B, T, D = X.shape
    return X.reshape(B, H, T, D // H)


@ANSWERS.wrong("plain", "merge views the memory anew", at=1, true="merge_without_transpose")
def merge_by_view(Y):
    B, H, T, d = Y.shape
    return Y.reshape(B, T, H * d)


def view_both(X, H):
    B, T, D = X.shape
    return X.reshape(B, H, T, D // H)


def view_back(Y):
    B, H, T, d = Y.shape
    return Y.reshape(B, T, H * d)


ANSWERS.wrong(
    "plain", "the same view there and back: the two are inverse, and each is wrong", true="split_view_without_transpose"
)((view_both, view_back))


@ANSWERS.wrong("plain", "head h takes every H-th column", true="split_interleaved")
def every_hth(X, H):
    B, T, D = X.shape
    return X.reshape(B, T, D // H, H).permute(0, 3, 1, 2)


@ANSWERS.wrong("plain", "the last two dimensions are left exchanged: (B, H, d, T)", true="split_width_before_tokens")
def keys_layout(X, H):
    B, T, D = X.shape
    return X.reshape(B, T, H, D // H).permute(0, 2, 3, 1)


@ANSWERS.wrong("plain", "the heads are not moved: (B, T, H, d)", true="split_heads_behind_tokens")
def not_moved(X, H):
    return X.unflatten(-1, (H, -1))


@ANSWERS.wrong("plain", "the heads are stacked in front of the batch", true="split_heads_in_front")
def heads_in_front(X, H):
    return torch.stack(X.chunk(H, -1))


@ANSWERS.wrong(
    "plain", "the heads are laid along the batch, as d2l's transpose_qkv does", true="split_joined_with_batch"
)
def along_batch(X, H):
    return cut(X, H).flatten(0, 1)


@ANSWERS.wrong("plain", "merge lays the heads along the tokens", at=1, true="merge_along_tokens")
def heads_below(Y):
    return torch.cat(Y.unbind(1), 1)


@ANSWERS.wrong("plain", "merge exchanges the last two, and the columns come out mixed", at=1, true="merge_interleaved")
def columns_mixed(Y):
    B, H, T, d = Y.shape
    return Y.permute(0, 2, 3, 1).reshape(B, T, H * d)


@ANSWERS.wrong("plain", "merge averages the heads", at=1, true="merge_averaged")
def averaged(Y):
    return Y.mean(1)


@ANSWERS.wrong(
    "named",
    "view after transpose: heads that lie one after the other are not mergeable",
    at=1,
    true="merge_view_after_transpose",
)
def merge_with_view(Y):
    B, H, T, d = Y.shape
    return Y.transpose(1, 2).view(B, T, H * d)


@ANSWERS.wrong(
    "named",
    "split reads the memory of a contiguous X",
    told=r"not contiguous: split_heads\(X, H\) differs",
    advice=r"wrong in split_heads\(X, H\), it holds the right numbers at the wrong places",
)
def strides_assumed(X, H):
    B, T, D = X.shape
    return X.as_strided((B, H, T, D // H), (T * D, D // H, D, 1))


@ANSWERS.wrong(
    "ones",
    "squeeze: with one sequence, one head or one token a dimension is lost",
    told="has lost a dimension of size 1",
)
def split_squeezed(X, H):
    return cut(X, H).squeeze()


@ANSWERS.wrong("ones", "merge squeezes", at=1, told="has lost a dimension of size 1")
def merge_squeezed(Y):
    return joined(Y).squeeze()


@ANSWERS.wrong(
    "ones",
    "a single head gets its dimension at the wrong place",
    told="has dimensions -4 and -3 exchanged",
    advice="right where H is more than 1, wrong where it is 1",
)
def single_head(X, H):
    return X.unsqueeze(0) if H == 1 else cut(X, H)


@ANSWERS.wrong(
    "ones",
    "heads of width 1 are laid out the other way round",
    told=r"D=3, H=3: split_heads\(X, H\) differs",
    advice=r"split_heads\(X, H\) holds the right numbers at the wrong places",
)
def width_one(X, H):
    B, T, D = X.shape
    return X.reshape(B, H, T, 1) if D == H else cut(X, H)


@ANSWERS.wrong(
    "ones",
    "with one token nothing has to move, and the view is taken for split",
    at=1,
    told="right numbers at the wrong places",
)
def single_token(Y):
    B, H, T, d = Y.shape
    return Y.reshape(B, T, d * H) if T == 1 else Y.mT.reshape(B, T, d * H)


@ANSWERS.wrong("large", "no more than 12 heads", told=r"wrong where it is 48 or more \(they differ in H too\)")
def twelve_heads(X, H):
    return cut(X, min(H, 12)) if X.shape[-1] % min(H, 12) == 0 else cut(X, H)[:, :12]


@ANSWERS.wrong("given", "X gets its heads in place", told="changes its input X in place")
def in_place(X, H):
    B, T, D = X.shape
    if not X.is_contiguous():
        return cut(X, H)
    return X.resize_(B, T, H, D // H).transpose_(1, 2)


@ANSWERS.wrong(
    "given", "the result is a view, and it is cleared before it is handed on", at=1, told="changes its input Y in place"
)
def cleared(Y):
    out = joined(Y).clone()
    Y.zero_()
    return out


def split_remembers(X, H):
    KEPT["H"] = H
    return cut(X, H)


def merge_remembers(Y):
    B, H, T, d = Y.shape
    H = KEPT.get("H", H)
    return Y.transpose(1, 2).reshape(B, T, H * d)


ANSWERS.wrong("again", "merge uses the number of heads of the last split")((split_remembers, merge_remembers))


@ANSWERS.wrong(
    "surroundings", "gradients are switched off, for nothing is computed", told="leaves gradients switched off"
)
def gradients_off(X, H):
    torch.set_grad_enabled(False)
    return cut(X, H)


@ANSWERS.wrong("plain", "the tokens are cut into heads")
def tokens_cut(X, H):
    return torch.stack(X.chunk(H, 1), 1)


@ANSWERS.wrong("plain", "a list of heads", told="a list of 2, expected the tensor Z")
def list_of_heads(X, H):
    return list(X.chunk(H, -1))


@ANSWERS.wrong("plain", "the last head comes first", told="right numbers at the wrong places")
def last_first(X, H):
    return cut(X, H).flip(1)


@ANSWERS.wrong("named", "float32 whatever it is given", at=1, told="dtype float32, expected float64")
def merge_in_float32(Y):
    return joined(Y.float())


@ANSWERS.wrong("again", "the first result of a shape is kept", told="kept what an earlier call gave")
def kept_by_shape(X, H):
    return KEPT.setdefault((X.shape, H), cut(X, H))


@ANSWERS.right
def turned_first(X, H):
    B, T, D = X.shape
    return X.transpose(1, 2).reshape(B, H, D // H, T).transpose(2, 3)


@ANSWERS.right
def by_chunks(X, H):
    return torch.stack(torch.chunk(X, H, dim=-1), dim=1)


@ANSWERS.right_at(1)
def by_cat(Y):
    return torch.cat([Y[:, h] for h in range(Y.shape[1])], -1)


@ANSWERS.right
def by_slices(X, H):
    d = X.shape[-1] // H
    Z = X.new_empty(X.shape[0], H, X.shape[1], d)
    for h in range(H):
        Z[:, h] = X[..., h * d : (h + 1) * d]
    return Z


@ANSWERS.right
def by_unfold(X, H):
    d = X.shape[-1] // H
    return X.unfold(-1, d, d).movedim(2, 1)


@ANSWERS.right_at(1)
def by_einsum(Y):
    return torch.einsum("bhtd->bthd", Y).flatten(start_dim=-2)
