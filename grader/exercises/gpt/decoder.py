"""GPT-2. Radford et al. 2019, section 2.3, after Radford et al. 2018, equation 2; tied weights: Press and Wolf 2017.

h_0 = E[ids] + P[0 ... n-1],  h' = h + MultiHead(Norm_1(h)),  h'' = h' + FFN(Norm_2(h')),  logits = Norm(h_L) E^T, where
place i attends to the places up to i, FFN(x) = GELU(x W_up + b_up) W_down + b_down, and GELU is the tanh form of
Hendrycks and Gimpel 2016, section 2.
"""

import math

import torch
from torch import nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from grader.contract import Trusted
from grader.steps import attention, blocks
from grader.steps.blocks import gelu_tanh, layer_norm


class Block(blocks.Block):
    """The modules of a block under the exercise's names, and what it does in steps."""

    norm_first = True
    activation = staticmethod(lambda X: gelu(X, approximate="tanh"))

    def __init__(self, D, H):
        super().__init__()
        self.H = H
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def project(self, X):
        return self.qkv(X).chunk(3, -1)

    def project_back(self, Y):
        return self.out(Y)

    def norms(self):
        return self.norm1, self.norm2

    def linears(self):
        return self.up, self.down


class Parts(nn.Module):
    """The same for the whole model: a mistake below is written as the one step in which it differs."""

    Block = Block

    def __init__(self, V, T, D, H, L):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(V, D), nn.Embedding(T, D)
        self.blocks = self.stack(D, H, L)
        self.norm = nn.LayerNorm(D)

    def stack(self, D, H, L):
        return nn.ModuleList(self.Block(D, H) for _ in range(L))

    def forward(self, ids):
        X = self.embed(ids)
        for block in self.blocks:
            X = block(X, self.seen(ids))
        return self.scores(self.finish(X))

    def embed(self, ids):
        return self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))

    def seen(self, ids):
        n = ids.shape[1]
        return torch.ones(n, n, dtype=torch.bool, device=ids.device).tril()

    def finish(self, X):
        return self.norm(X)

    def scores(self, X):
        return linear(X, self.tokens.weight)


class Reference(Parts):
    def forward(self, ids):
        n = ids.shape[1]
        E, P = self.tokens.weight, self.positions.weight
        h = E[ids] + P[:n]
        for block in self.blocks:
            h = h + self.multi_head(block, layer_norm(h, block.norm1))
            h = h + block.down(gelu_tanh(block.up(layer_norm(h, block.norm2))))
        return layer_norm(h, self.norm) @ E.T

    def multi_head(self, block, x):
        n, D = x.shape[1:]
        d = D // block.H
        Q, K, V = block.qkv(x).split(D, -1)
        heads = []
        for start in range(0, D, d):
            q, k, v = (part[..., start : start + d] for part in (Q, K, V))
            scores = (q @ k.mT / math.sqrt(d)).masked_fill(self.seen(x).logical_not(), float("-inf"))
            heads.append(scores.softmax(-1) @ v)
        return block.out(torch.cat(heads, -1))


TRUSTED = Trusted(
    Reference, budget="a whole model: embeddings, attention, network, norms, scores and how they are stacked"
)


def with_block(steps):
    """The model of blocks with the one step wrong that a slip names."""
    return type(steps.__name__, (Parts,), {"Block": blocks.slipping(Block)(steps)})


(wrong_block,) = TRUSTED.one_by_one(with_block)
TRUSTED.add_slips(
    with_block,
    attention.NotScaled,
    blocks.QueriesAndKeysExchanged,
    blocks.ViewWithoutTranspose,
    blocks.ReluForGelu,
    blocks.OneHead,
    blocks.OneNormTwice,
    blocks.NetworkReadsTheInput,
    blocks.NoOutputProjection,
    blocks.MergedWithoutTranspose,
    attention.ScaledByModelWidth,
)


@wrong_block('This is the exact GELU, the default of `F.gelu`; GPT-2\'s is the tanh form, `approximate="tanh"`.')
class ExactGelu(blocks.Block):
    activation = staticmethod(gelu)


@wrong_block(
    "The norms stand behind the sums (post-norm), as in GPT-1. GPT-2 moved them: a branch reads Norm(x), and the "
    "stream is left as it is."
)
class PostNorm(blocks.Block):
    def sublayer(self, kept, read, f, norm):
        return norm(kept + f(read))


@wrong_block(
    "The normalised stream goes on: h = Norm(h), and the branch is added to that. The branch alone reads Norm(h), and "
    "is added to h as it was."
)
class NormedStream(blocks.Block):
    def sublayer(self, kept, read, f, norm):
        return norm(kept) + f(norm(read))


@wrong_block(
    "The rows of `qkv` are taken for (q, k, v) of head 0, then of head 1 and so on. Here all queries come first, then "
    "all keys, then all values: cut into three, then into heads."
)
class ThreeWithinEachHead(blocks.MultiHead):
    def project(self, X):
        return [part.flatten(2) for part in self.qkv(X).unflatten(-1, (self.H, 3, -1)).unbind(-2)]


@TRUSTED.mistake("There is no causal mask: every place sees the whole text, the token that it should guess included.")
class NoMask(Parts):
    def seen(self, ids):
        return torch.ones_like(super().seen(ids))


@TRUSTED.mistake(
    "The mask is off by one: each place sees the next token too, and that is the answer. Place i sees the places up to "
    "and including i."
)
class SeesTheAnswer(Parts):
    def seen(self, ids):
        n = ids.shape[1]
        return torch.ones(n, n, dtype=torch.bool, device=ids.device).tril(1)


@TRUSTED.mistake("No place sees itself, so that the first one sees nothing, and its softmax is NaN: i sees i as well.")
class SeesNotItself(Parts):
    def seen(self, ids):
        return super().seen(ids).tril(-1)


@TRUSTED.mistake("The norm at the end is missing: `norm` is applied to what the last block returns.")
class NoFinalNorm(Parts):
    def finish(self, X):
        return X


@TRUSTED.mistake(
    "The scores come from a matrix of their own. They are tied: logits = x E^T, with the `tokens.weight` by which "
    "tokens are looked up."
)
class Untied(Parts):
    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        self.head = nn.Linear(D, V, bias=False)

    def scores(self, X):
        return self.head(X)


@TRUSTED.mistake("The scores have a bias: GPT-2's have none. Say `bias=False`, or multiply by `tokens.weight.T`.")
class BiasOnTheHead(Parts):
    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        self.head = nn.Linear(D, V)
        self.head.weight = self.tokens.weight

    def scores(self, X):
        return self.head(X)


@TRUSTED.mistake(
    "The scores use the embedding through `.data` or `.detach()`: values are right, but `tokens.weight` gets no "
    "gradient from the scores, only from where tokens are looked up."
)
class EmbeddingDetached(Parts):
    def scores(self, X):
        return linear(X, self.tokens.weight.detach())


@TRUSTED.mistake(
    "The positions count from 1, and a text of T tokens finds no row for its last one. The first token stands at "
    "position 0."
)
class PositionsFromOne(Parts):
    def embed(self, ids):
        return self.tokens(ids) + self.positions(torch.arange(1, ids.shape[1] + 1, device=ids.device))


@TRUSTED.mistake("A text shorter than T gets the last n positions: its first token stands at position 0.")
class LastPositions(Parts):
    def embed(self, ids):
        return self.tokens(ids) + self.positions.weight[-ids.shape[1] :]


@TRUSTED.mistake("`positions` is never added: a token must be told where it stands.")
class NoPositions(Parts):
    def embed(self, ids):
        return self.tokens(ids)


@TRUSTED.mistake(
    "The vectors of tokens are multiplied by sqrt(D), as in the Transformer of 2017. GPT adds tokens and positions as "
    "they are."
)
class EmbeddingsScaled(Parts):
    def embed(self, ids):
        D = self.tokens.embedding_dim
        return self.tokens(ids) * math.sqrt(D) + self.positions(torch.arange(ids.shape[1], device=ids.device))


@TRUSTED.mistake(
    "All blocks are one: `[Block(...)] * L` holds the same module L times. Make a new one for each, "
    "`Block(...) for _ in range(L)`."
)
class OneBlock(Parts):
    def stack(self, D, H, L):
        return nn.ModuleList([Block(D, H)] * L)


@TRUSTED.mistake(
    "Every block reads the embeddings, and only the last one's result is used: hand on what a block returns, "
    "h = block(h)."
)
class NotHandedOn(Parts):
    def forward(self, ids):
        return self.scores(self.finish([block(self.embed(ids), self.seen(ids)) for block in self.blocks][-1]))


@TRUSTED.mistake("The result is a softmax (or its logarithm): logits go out as they are, the loss takes the softmax.")
class Probabilities(Parts):
    def scores(self, X):
        return super().scores(X).softmax(-1)


@TRUSTED.alternative
class Fused(Parts):
    """torch's attention, the tied head as a module, positions as a buffer, a mask that is made once."""

    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        self.head = nn.Linear(D, V, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("mask", torch.ones(T, T, dtype=torch.bool).tril())

    def forward(self, ids):
        n = ids.size(1)
        x = self.tokens(ids) + self.positions.weight[None, :n]
        for b in self.blocks:
            heads = b.qkv(b.norm1(x)).unflatten(-1, (3, b.H, -1)).permute(2, 0, 3, 1, 4)
            y = scaled_dot_product_attention(*heads, attn_mask=self.mask[:n, :n])
            x = x + b.out(y.transpose(1, 2).flatten(2))
            x = x + b.down(gelu(b.up(b.norm2(x)), approximate="tanh"))
        return self.head(self.norm(x))


@TRUSTED.alternative
class PlaceByPlace(Parts):
    """Each place is computed with a growing list of keys and values; nothing is ever masked."""

    def forward(self, ids):
        memory = [([], []) for _ in self.blocks]
        logits = []
        for t in range(ids.shape[1]):
            x = self.tokens.weight[ids[:, t]] + self.positions.weight[t]
            for b, (keys, values) in zip(self.blocks, memory, strict=True):
                q, k, v = b.qkv(b.norm1(x)).view(len(x), 3, b.H, -1).unbind(1)
                keys.append(k)
                values.append(v)
                z = torch.einsum("bhd,bshd->bhs", q, torch.stack(keys, 1)) * q.shape[-1] ** -0.5
                y = torch.einsum("bhs,bshd->bhd", z.softmax(-1), torch.stack(values, 1))
                x = x + b.out(y.flatten(1))
                x = x + b.down(b.activation(b.up(b.norm2(x))))
            logits.append(self.norm(x) @ self.tokens.weight.T)
        return torch.stack(logits, 1)
