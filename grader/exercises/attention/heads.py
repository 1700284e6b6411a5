"""X (B, T, D) is Concat(head_1, ..., head_H), each of width d = D / H. Vaswani et al. 2017, section 3.2.2."""

import torch

from grader.contract import Trusted


def split_reference(X, H):
    d = X.shape[-1] // H
    heads = [X[:, :, h * d : (h + 1) * d] for h in range(H)]
    return torch.stack(heads, dim=1)


def merge_reference(Y):
    heads = [Y[:, h] for h in range(Y.shape[1])]
    return torch.cat(heads, dim=-1)


TRUSTED = Trusted((split_reference, merge_reference))


def wrong_split(sentence):
    def register(split):
        TRUSTED.add_mistake(split.__name__, sentence, split, merge_reference)
        return split

    return register


def wrong_merge(sentence):
    def register(merge):
        TRUSTED.add_mistake(merge.__name__, sentence, split_reference, merge)
        return merge

    return register


@wrong_split(
    "split_heads only views (B, T, D) as (B, H, T, d): the shape is right, but a head gets the whole width "
    "of some tokens in place of its slice of every token. Split the width first, then exchange two axes."
)
def split_view_without_transpose(X, H):
    B, T, D = X.shape
    return X.reshape(B, H, T, D // H)


@wrong_split(
    "split_heads deals the width out like cards: head h gets the columns h, h + H, h + 2 H ... It should get "
    "d neighbouring columns, so H comes before d when you split the width."
)
def split_interleaved(X, H):
    B, T, D = X.shape
    return X.reshape(B, T, D // H, H).permute(0, 3, 1, 2)


@wrong_split("split_heads leaves the heads behind the tokens, (B, T, H, d): exchange the two middle axes.")
def split_heads_behind_tokens(X, H):
    return X.unflatten(-1, (H, -1))


@wrong_split(
    "split_heads makes D / H heads of width H, where H heads of width D / H are asked for: the two numbers "
    "are exchanged."
)
def split_count_for_width(X, H):
    B, T, D = X.shape
    return X.reshape(B, T, D // H, H).transpose(1, 2)


@wrong_split("split_heads exchanges tokens and width within each head: the last two axes must be (T, d).")
def split_width_before_tokens(X, H):
    return split_reference(X, H).mT


@wrong_merge(
    "merge_heads reshapes (B, H, T, d) without exchanging heads and tokens first: the shape is right, but a "
    "row of the result holds pieces of several tokens. Undo what split_heads did, in the opposite order."
)
def merge_without_transpose(Y):
    B, H, T, d = Y.shape
    return Y.reshape(B, T, H * d)


@wrong_merge(
    "merge_heads calls `view` on a transposed tensor, whose entries do not lie in that order in memory: copy "
    "it with `contiguous()` first, or let `reshape` do so where it must."
)
def merge_view_after_transpose(Y):
    B, H, T, d = Y.shape
    return Y.transpose(1, 2).view(B, T, H * d)


@wrong_merge(
    "merge_heads interleaves the heads: column 0 of every head, then column 1 of every head. Each head's d "
    "columns should stay together, so d must be the last axis when H and d are joined."
)
def merge_interleaved(Y):
    return Y.permute(0, 2, 3, 1).flatten(2)


@wrong_merge(
    "merge_heads lays the heads one after the other along the tokens, (B, H T, d): they belong side by side, "
    "along the width."
)
def merge_along_tokens(Y):
    return Y.flatten(1, 2)


@wrong_merge("merge_heads exchanges the axes but does not join the last two, (H, d), into one of width D.")
def merge_not_joined(Y):
    return Y.transpose(1, 2)


@wrong_merge("merge_heads adds the heads up: they belong side by side, so that nothing is lost.")
def merge_summed(Y):
    return Y.sum(1)


def split_unflattened(X, H):
    return X.unflatten(-1, (H, -1)).movedim(2, 1)


def merge_flattened(Y):
    return Y.movedim(1, 2).flatten(2)


def split_gathered(X, H):
    B, T, D = X.shape
    Z = X.new_empty(B, H, T, D // H)
    for column in range(D):
        Z[:, column // (D // H), :, column % (D // H)] = X[:, :, column]
    return Z


def merge_by_matrices(Y):
    d = Y.shape[-1]
    E = torch.eye(Y.shape[1] * d, dtype=Y.dtype, device=Y.device).unflatten(0, (-1, d))
    return torch.einsum("bhtd,hdn->btn", Y, E)


TRUSTED.add_alternative("unflatten_and_flatten", split_unflattened, merge_flattened)
TRUSTED.add_alternative("columns_and_matrices", split_gathered, merge_by_matrices)
TRUSTED.add_alternative(
    "chunks",
    lambda X, H: torch.stack(X.chunk(H, -1), 1),
    lambda Y: torch.cat(Y.unbind(1), -1),
)
