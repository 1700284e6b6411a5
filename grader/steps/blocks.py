"""Multi-head attention and a transformer block in steps. Vaswani et al. 2017, sections 3.1 to 3.3.

An exercise derives its module from `MultiHead` or `Block` and names its own weights there. `slipping(Module)` then
builds that module with one step wrong, from a slip below or from one of `grader.steps.attention`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu

from grader.steps import slip
from grader.steps.attention import Attention


def layer_norm(x: Tensor, parameters: nn.LayerNorm) -> Tensor:
    """(x - mean) / sqrt(variance + 1e-5) * weight + bias over the last dimension, written out. Ba et al. 2016."""
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * parameters.weight + parameters.bias


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh form of GELU, written out. Hendrycks and Gimpel 2016, section 2."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class MultiHead(nn.Module):
    """Concat(head_1, ..., head_H) W_O for X (B T D), over the keys that `seen` shows (see `Attention`).

    A module sets `H`, and defines `project` and `project_back` with its own weights.
    """

    H: int
    attention = Attention()

    def forward(self, X: Tensor, seen: Tensor | None = None) -> Tensor:
        return self.attend(X, seen)

    def attend(self, X: Tensor, seen: Tensor | None = None) -> Tensor:
        Q, K, V = (self.split(x) for x in self.project(X))
        return self.project_back(self.merge(self.attention(Q, K, V, seen)))

    def project(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raise NotImplementedError("a module says how X becomes Q, K and V, each (B T D)")

    def project_back(self, Y: Tensor) -> Tensor:
        raise NotImplementedError("a module says how the merged heads (B T D) are projected")

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.H, -1)).transpose(1, 2)

    def merge(self, Y: Tensor) -> Tensor:
        return Y.transpose(1, 2).flatten(2)


class Block(MultiHead):
    """Attention, then a feed-forward network, each with a residual and a norm.

    post: X1 = Norm_1(X + MultiHead(X)), Y = Norm_2(X1 + FFN(X1)); pre: X1 = X + MultiHead(Norm_1(X)), and so on.
    A module also sets `norm_first` where it is not post-norm, and defines `norms` and `linears`.
    """

    norm_first = False
    activation: Callable[[Tensor], Tensor] = staticmethod(gelu)

    def forward(self, X: Tensor, seen: Tensor | None = None) -> Tensor:
        return self.second(self.first(X, seen), X)

    def norms(self) -> tuple[nn.Module, nn.Module]:
        raise NotImplementedError("a module says which norm belongs to attention and which to the network")

    def linears(self) -> tuple[nn.Module, nn.Module]:
        raise NotImplementedError("a module says which two linear maps make up its network")

    def first(self, X: Tensor, seen: Tensor | None) -> Tensor:
        return self.sublayer(X, X, lambda x: self.attend(x, seen), self.norms()[0])

    def second(self, X1: Tensor, X: Tensor) -> Tensor:
        return self.sublayer(X1, X1, self.network, self.norms()[1])

    def sublayer(self, kept: Tensor | float, read: Tensor, f: Any, norm: Any) -> Tensor:
        """`kept` + f(`read`), normalised after it or before: the residual, and what the sublayer reads."""
        return kept + f(norm(read)) if self.norm_first else norm(kept + f(read))

    def network(self, X: Tensor) -> Tensor:
        up, down = self.linears()
        return down(self.activation(up(X)))


def slipping(module: type[MultiHead]) -> Callable[[type], type]:
    """For `TRUSTED.add_slips`: `module` with the one step wrong that a slip names."""

    def build(steps: type) -> type:
        if issubclass(steps, Attention):
            return type(steps.__name__, (module,), {"attention": steps()})
        return type(steps.__name__, (steps, module), {})

    return build


@slip("The output projection is missing: the merged heads are returned as they are. It lets the heads mix.")
class NoOutputProjection(MultiHead):
    def project_back(self, Y):
        return Y


@slip(
    "Queries and keys are exchanged: the queries belong to the rows of the scores, the keys to their columns (and in a "
    "joint projection the queries come first, then the keys, then the values)."
)
class QueriesAndKeysExchanged(MultiHead):
    def project(self, X):
        Q, K, V = super().project(X)
        return K, Q, V


@slip("The keys are mixed in place of the values: the projection of the values is never used.")
class KeysAsValues(MultiHead):
    def project(self, X):
        Q, K, _ = super().project(X)
        return Q, K, K


@slip(
    "The projections are viewed as (B, H, T, d) without a transpose: a head gets the whole width of some "
    "tokens in place of its slice of every token."
)
class ViewWithoutTranspose(MultiHead):
    def split(self, x):
        return x.reshape(len(x), self.H, x.shape[1], -1)


@slip(
    "Heads are cut and joined by the same view, (B, T, D) as (B, H, T, d) and back, without a transpose: a head gets "
    "the whole width of some tokens, where it should get its slice of every token."
)
class ViewBothWays(MultiHead):
    def split(self, x):
        return x.reshape(len(x), self.H, x.shape[1], -1)

    def merge(self, Y):
        B, H, T, d = Y.shape
        return Y.reshape(B, T, H * d)


@slip("Head h gets every H-th column; it should get d neighbouring ones: split the width as (H, d).")
class InterleavedHeads(MultiHead):
    def split(self, x):
        return x.unflatten(-1, (-1, self.H)).movedim(-1, 1)

    def merge(self, Y):
        return Y.movedim(1, -1).flatten(2)


@slip("The tokens attend as one head of width D: the projections are never split into H heads.")
class OneHead(MultiHead):
    def split(self, x):
        return x[:, None]


@slip(
    "The heads are merged without exchanging heads and tokens first: the shape is right, but a row holds "
    "pieces of several tokens."
)
class MergedWithoutTranspose(MultiHead):
    def merge(self, Y):
        B, H, T, d = Y.shape
        return Y.reshape(B, T, H * d)


@slip(
    "This is half of it: Norm and MultiHead mix tokens but never think about them. "
    "The feed-forward network with its own residual and norm is missing."
)
class NoNetwork(Block):
    def second(self, X1, X):
        return X1


@slip("The residual around attention is missing: add what comes in to what attention returns.")
class NoAttentionResidual(Block):
    def first(self, X, seen):
        return self.sublayer(0.0, X, lambda x: self.attend(x, seen), self.norms()[0])


@slip("The residual around the feed-forward network is missing: add its input to its result.")
class NoNetworkResidual(Block):
    def second(self, X1, X):
        return self.sublayer(0.0, X1, self.network, self.norms()[1])


@slip("The second residual adds what came into attention; it adds the first half's result, so that nothing is lost.")
class SecondResidualFromTheInput(Block):
    def second(self, X1, X):
        return self.sublayer(X, X1, self.network, self.norms()[1])


@slip("The feed-forward network reads what came into attention; it must read the first half's result.")
class NetworkReadsTheInput(Block):
    def second(self, X1, X):
        return self.sublayer(X1, X, self.network, self.norms()[1])


@slip("The same norm is used twice: attention and the feed-forward network have a norm each.")
class OneNormTwice(Block):
    def norms(self):
        return (super().norms()[0],) * 2


@slip("The two norms are exchanged: one belongs to attention, the other to the feed-forward network.")
class NormsExchanged(Block):
    def norms(self):
        return super().norms()[::-1]


@slip(
    "The norm sits on what a sublayer returns, before the residual is added: X + Norm(f(X)). Post-norm normalises the "
    "sum, pre-norm what the sublayer reads."
)
class NormOnTheBranch(Block):
    def sublayer(self, kept, read, f, norm):
        return kept + norm(f(read))


@slip("Nothing is normalised: the norms are made and never used.")
class NoNorms(Block):
    def sublayer(self, kept, read, f, norm):
        return kept + f(read)


@slip("The feed-forward network uses ReLU, as in 2017; here it is GELU, as in BERT and GPT.")
class ReluForGelu(Block):
    activation = staticmethod(relu)


@slip("This is the tanh approximation of GELU, GPT-2's; here it is the exact one, which is the default of `F.gelu`.")
class TanhGelu(Block):
    activation = staticmethod(lambda X: gelu(X, approximate="tanh"))


@slip("There is no activation between the two linear maps: two linear maps in a row are just one.")
class NoActivation(Block):
    activation = staticmethod(lambda X: X)


@slip("The activation comes after the second linear map; it stands between the two.")
class ActivationLast(Block):
    def network(self, X):
        up, down = self.linears()
        return self.activation(down(up(X)))
