"""Llama's block. Touvron et al. 2023, section 2.2, with shared heads (Ainslie et al. 2023, section 2.2).

h = x + Attention(RMSNorm_1(x)),  y = h + SwiGLU(RMSNorm_2(h));  RMSNorm(x) = g x / sqrt(mean(x^2) + eps): Zhang and
Sennrich 2019, equation 4;  SwiGLU(x) = W_down (SiLU(W_gate x) * W_up x): Shazeer 2020, equation 6. Rotary positions:
Su et al. 2021, equations 15 and 34; Llama's public weights make a pair of entries i and i + d/2.
"""

import math

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention, silu

from grader.contract import Trusted
from grader.steps import attention, blocks


class Norm(nn.Module):
    """RMSNorm in steps."""

    def __init__(self, D, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(D)), eps

    def forward(self, x):
        wide = x.to(self.wide(x))
        return self.weight * self.divided(wide).to(x.dtype)

    def wide(self, x):
        return torch.promote_types(x.dtype, torch.float32)

    def divided(self, x):
        return x / (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()


class Parts(blocks.Block):
    """The modules of a block under Llama's names, and what it does in steps."""

    norm_first = True
    Norm = Norm
    act = staticmethod(silu)

    def __init__(self, D, H, G, F, base, eps):
        super().__init__()
        self.H, self.G, self.d, self.base = H, G, D // H, base

        def linear(inside, outside):
            return nn.Linear(inside, outside, bias=False)

        widths = {"q_proj": D, "k_proj": G * self.d, "v_proj": G * self.d, "o_proj": D}
        self.input_layernorm, self.post_attention_layernorm = self.Norm(D, eps), self.Norm(D, eps)
        self.self_attn = nn.ModuleDict({name: linear(D, width) for name, width in widths.items()})
        self.mlp = nn.ModuleDict(
            {"gate_proj": linear(D, F), "up_proj": linear(D, F), "down_proj": linear(F, D)},
        )

    def norms(self):
        return self.input_layernorm, self.post_attention_layernorm

    def attend(self, X, seen=None):
        Q, K, V = self.turned(*(self.split(x) for x in self.project(X)))
        Y = self.attention(Q, self.shared(K), self.shared(V), self.seen(X))
        return self.project_back(self.merge(Y))

    def project(self, X):
        return [self.self_attn[f"{name}_proj"](X) for name in "qkv"]

    def split(self, x):
        return x.unflatten(-1, (-1, self.d)).transpose(1, 2)

    def turned(self, Q, K, V):
        return self.turn(Q), self.turn(K), V

    def turn(self, x):
        angle = self.angles(x)
        a, b = x.chunk(2, -1)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def angles(self, x):
        d = x.shape[-1]
        theta = self.base ** (-torch.arange(0, d, 2, device=x.device).double() / d)
        return torch.arange(x.shape[-2], device=x.device)[:, None] * theta

    def shared(self, x):
        return x.repeat_interleave(self.H // self.G, 1)

    def seen(self, X):
        T = X.shape[1]
        return torch.ones(T, T, dtype=torch.bool, device=X.device).tril()

    def project_back(self, Y):
        return self.self_attn["o_proj"](Y)

    def network(self, X):
        gate, up = self.mlp["gate_proj"](X), self.mlp["up_proj"](X)
        return self.mlp["down_proj"](self.gated(gate, up))

    def gated(self, gate, up):
        return self.act(gate) * up


class Reference(Parts):
    def forward(self, x):
        h = x + self.heads(rms_norm(x, self.input_layernorm))
        n = rms_norm(h, self.post_attention_layernorm)
        gate, up = self.mlp["gate_proj"](n), self.mlp["up_proj"](n)
        return h + self.mlp["down_proj"](gate * torch.sigmoid(gate) * up)

    def heads(self, x):
        H, G, d = self.H, self.G, self.d
        q, k, v = self.project(x)
        Y = []
        for h in range(H):
            g = h // (H // G)
            Q = self.rotated(q[..., h * d : (h + 1) * d])
            K, V = self.rotated(k[..., g * d : (g + 1) * d]), v[..., g * d : (g + 1) * d]
            S = (Q @ K.mT / math.sqrt(d)).masked_fill(~self.seen(x), float("-inf"))
            Y.append(S.softmax(-1) @ V)
        return self.self_attn["o_proj"](torch.cat(Y, -1))

    def rotated(self, x):
        d = x.shape[-1]
        i = torch.arange(d // 2, device=x.device)
        angle = torch.arange(x.shape[1], device=x.device)[:, None] * self.base ** (-2 * i.double() / d)
        x_i, x_j = x[..., : d // 2], x[..., d // 2 :]
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        return torch.cat((x_i * cos - x_j * sin, x_i * sin + x_j * cos), -1)


def rms_norm(x, norm):
    rms = torch.sqrt((x.double() ** 2).mean(-1, keepdim=True) + norm.eps)
    return norm.weight * (x / rms).to(x.dtype)


TRUSTED = Trusted(Reference, budget="four changes to a block, each with slips of its own")
TRUSTED.add_slips(
    blocks.slipping(Parts),
    attention.NotScaled,
    attention.ScaledByModelWidth,
    blocks.NormsExchanged,
    blocks.NoNetworkResidual,
    blocks.SecondResidualFromTheInput,
    blocks.NetworkReadsTheInput,
    blocks.MergedWithoutTranspose,
)
(wrong_step,) = TRUSTED.one_by_one(blocks.slipping(Parts))
(wrong_norm,) = TRUSTED.one_by_one(lambda norm: type(norm.__name__, (Parts,), {"Norm": norm}))


@wrong_norm("The mean is taken away first, which makes it layer norm. RMSNorm divides, and moves nothing.")
class MeanSubtracted(Norm):
    def divided(self, x):
        return super().divided(x - x.mean(-1, keepdim=True))


@wrong_norm("x is divided by the mean square itself: its root is missing, sqrt(mean(x^2) + eps).")
class NoRoot(Norm):
    def divided(self, x):
        return x / (x.pow(2).mean(-1, keepdim=True) + self.eps)


@wrong_norm("The squares are added up where their mean is asked for: divide the sum by D.")
class SumOfSquares(Norm):
    def divided(self, x):
        return x / (x.pow(2).sum(-1, keepdim=True) + self.eps).sqrt()


@wrong_norm("eps is added to the root. It belongs under it: sqrt(mean(x^2) + eps).")
class EpsOutside(Norm):
    def divided(self, x):
        return x / (x.pow(2).mean(-1, keepdim=True).sqrt() + self.eps)


@wrong_norm("`eps` has no effect, or far too little: both norms are handed it, and take the root of mean(x^2) + eps.")
class EpsIgnored(Norm):
    def __init__(self, D, eps):
        super().__init__(D, 1e-6)


@wrong_norm(
    "Only the case in float16 is wrong: squares are taken there in the dtype of x, and 256 squared is beyond float16. "
    "Convert x to float32 before squaring, and what was divided back to the dtype of x."
)
class HalfPrecision(Norm):
    def wide(self, x):
        return x.dtype


@wrong_step(
    "Pairs are neighbours, entries 2i and 2i + 1, as in chapter 2. Llama's weights are stored for halves: entry i "
    "turns with entry i + d/2."
)
class Neighbours(Parts):
    def turn(self, x):
        halves = x.unflatten(-1, (-1, 2)).mT.flatten(-2)
        return super().turn(halves).unflatten(-1, (2, -1)).mT.flatten(-2)


@wrong_step(
    "The angles are laid out for neighbours, each one twice in a row, and the pairs are halves: entries i and i + d/2 "
    "have the same angle, as `torch.cat([angle, angle], -1)` gives it."
)
class AnglesOfNeighbours(Parts):
    def turn(self, x):
        angle = self.angles(x).repeat_interleave(2, -1)
        a, b = x.chunk(2, -1)
        return x * angle.cos().to(x.dtype) + torch.cat((-b, a), -1) * angle.sin().to(x.dtype)


@wrong_step(
    "The pairs turn by minus the angle: a cos - b sin comes first, and a sin + b cos second. A block that was trained "
    "with the one cannot be run with the other."
)
class Backwards(Parts):
    def angles(self, x):
        return -super().angles(x)


@wrong_step("A minus is missing: with halves a and b, the first one becomes a cos - b sin.")
class NoMinus(Parts):
    def turn(self, x):
        angle = self.angles(x)
        a, b = x.chunk(2, -1)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        return torch.cat((a * cos + b * sin, b * cos + a * sin), -1)


@wrong_step("The speeds fall half as fast as they should: the exponent of pair i is -2i/d, not -i/d.")
class ExponentHalved(Parts):
    def angles(self, x):
        d = x.shape[-1]
        theta = self.base ** (-torch.arange(d // 2, device=x.device).double() / d)
        return torch.arange(x.shape[-2], device=x.device)[:, None] * theta


@wrong_step("The speeds fall too fast from pair to pair: the exponent of pair i is -2i/d, with d the width of a head.")
class ExponentDoubled(Parts):
    def angles(self, x):
        d = x.shape[-1]
        theta = self.base ** (-torch.arange(0, d, 2, device=x.device).double() / (d / 2))
        return torch.arange(x.shape[-2], device=x.device)[:, None] * theta


@wrong_step(
    "The number of the head is taken for the position: turn (B, H, T, d), where the tokens are the last dimension but "
    "one, or give the angles a dimension for the heads."
)
class TurnedByHead(Parts):
    def turn(self, x):
        return super().turn(x.transpose(1, 2)).transpose(1, 2)


@wrong_step(
    "The projections are viewed as (B, heads, T, d) without a transpose: a head gets the whole width of some tokens in "
    "place of its slice of every token."
)
class SplitWithoutTranspose(Parts):
    def split(self, x):
        return x.reshape(len(x), -1, x.shape[1], self.d)


@wrong_step(
    "Queries and keys turn before they are cut into heads, so that the speeds run over the whole width. Each head "
    "turns by itself, and its first pair by one radian a token."
)
class TurnedBeforeTheSplit(Parts):
    def project(self, X):
        Q, K, V = super().project(X)
        return super().turn(Q), super().turn(K), V

    def turn(self, x):
        return x


@wrong_step("`base` has no effect: the speeds are powers of 10000 where another base is given, too.")
class BaseIgnored(Parts):
    def __init__(self, D, H, G, F, base, eps):
        super().__init__(D, H, G, F, 10000.0, eps)


@wrong_step("The values turn as well. Positions are for the scores alone: turn queries and keys, and mix V as it is.")
class ValuesTurned(Parts):
    def turned(self, Q, K, V):
        return self.turn(Q), self.turn(K), self.turn(V)


@wrong_step("Only the queries turn: the scores then depend on where a query stands and not on the distance to its key.")
class OnlyQueries(Parts):
    def turned(self, Q, K, V):
        return self.turn(Q), K, V


@wrong_step("Nothing turns: there are no positions in this block but the rotation of queries and keys.")
class NoRotation(Parts):
    def turned(self, Q, K, V):
        return Q, K, V


@wrong_step(
    "The groups come in the wrong order: `repeat` gives heads 0, 1, 0, 1, and neighbours should share, 0, 0, 1, 1. "
    "Query head h reads key/value head h // (H / G)."
)
class RepeatedNotInterleaved(Parts):
    def shared(self, x):
        return x.repeat(1, self.H // self.G, 1, 1)


@wrong_step("There is no causal mask: a place sees what comes after it.")
class NoMask(Parts):
    def seen(self, X):
        return torch.ones_like(super().seen(X))


@wrong_step("`gate_proj` and `up_proj` are exchanged: SiLU acts on what `gate_proj` gives.")
class Exchanged(Parts):
    def gated(self, gate, up):
        return super().gated(up, gate)


@wrong_step("The gate is a sigmoid's, which makes it GLU. SwiGLU has SiLU, x sigmoid(x), which is `F.silu`.")
class SigmoidGate(Parts):
    act = staticmethod(torch.sigmoid)


@wrong_step("SiLU acts on the product of gate and up. It acts on the gate alone, and then comes the product.")
class ProductActivated(Parts):
    def gated(self, gate, up):
        return self.act(gate * up)


@wrong_step("The gate is a GELU's. SwiGLU has SiLU, x sigmoid(x), which is `F.silu`.")
class GeluGate(Parts):
    act = staticmethod(gelu)


@wrong_step("The norms stand behind the sums (post-norm). In Llama a branch reads RMSNorm(x), and x goes on as it is.")
class PostNorm(Parts):
    def sublayer(self, kept, read, f, norm):
        return norm(kept + f(read))


@TRUSTED.alternative
class Fused(Parts):
    """torch's norm and attention, and angles in float32, each one twice."""

    def __init__(self, D, H, G, F, base, eps):
        super().__init__(D, H, G, F, base, eps)
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(D, eps), nn.RMSNorm(D, eps)

    def forward(self, x):
        n = self.input_layernorm(x)
        theta = self.base ** (-torch.arange(0, self.d, 2, device=x.device).float() / self.d).repeat(2)
        angle = torch.outer(torch.arange(x.shape[1], device=x.device).float(), theta)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        Q, K, V = (self.split(p) for p in self.project(n))
        Q, K = (p * cos + half_turn(p) * sin for p in (Q, K))
        Y = scaled_dot_product_attention(Q, K, V, is_causal=True, enable_gqa=True)
        h = x + self.self_attn.o_proj(Y.transpose(1, 2).flatten(2))
        n = self.post_attention_layernorm(h)
        return h + self.mlp.down_proj(silu(self.mlp.gate_proj(n)) * self.mlp.up_proj(n))


def half_turn(x):
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)


@TRUSTED.alternative
class InComplexNumbers(Parts):
    """Pairs as complex numbers, positions from 1, groups in one einsum, and all of it in float64."""

    def forward(self, x):
        weights = {name: p.double() for name, p in self.named_parameters()}
        h = x.double()
        h = h + self.mixed(self.normed(h, weights["input_layernorm.weight"]), weights)
        n = self.normed(h, weights["post_attention_layernorm.weight"])
        gate = n @ weights["mlp.gate_proj.weight"].T
        h = (
            h
            + (gate / (1 + torch.exp(-gate)) * (n @ weights["mlp.up_proj.weight"].T))
            @ weights["mlp.down_proj.weight"].T
        )
        return h.to(x.dtype)

    def normed(self, x, g):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.input_layernorm.eps) * g

    def mixed(self, n, weights):
        T = n.shape[1]
        q, k, v = ((n @ weights[f"self_attn.{name}_proj.weight"].T).unflatten(-1, (-1, self.d)) for name in "qkv")
        at = torch.arange(1, T + 1, device=n.device).double()[:, None, None]
        turn = torch.polar(
            torch.ones_like(at), at * self.base ** (-torch.arange(self.d // 2, device=n.device).to(at) * 2 / self.d)
        )
        q, k = (torch.complex(*p.chunk(2, -1)) * turn for p in (q, k))
        q = q.unflatten(2, (self.G, -1))  # (B, T, G, H/G, d/2)
        scores = torch.einsum("btgri,bsgi->bgrts", q, k.conj()).real / self.d**0.5
        scores = scores + torch.full((T, T), float("-inf"), device=n.device).double().triu(1)
        y = torch.einsum("bgrts,bsgd->btgrd", scores.softmax(-1), v)
        return y.flatten(2) @ weights["self_attn.o_proj.weight"].T
