"""Answers to gpt.llama_block."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "gpt.llama_block",
    spared={
        "onward": "one call does one thing",
        "dependence": "nothing is drawn",
        "unwatched": "numbers alone are compared",
    },
)
wrong = ANSWERS.wrong


class Norm(nn.Module):
    def __init__(self, D, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(D)), eps

    def forward(self, x):
        z = x.float() if x.dtype == torch.float16 else x
        return self.weight * (z * torch.rsqrt(z.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class Base(nn.Module):
    """The block in steps: a slip is written as the one in which it differs."""

    Norm = Norm

    def __init__(self, D, H, G, F, base, eps):
        super().__init__()
        self.D, self.H, self.G, self.d, self.base, self.eps = D, H, G, D // H, base, eps
        self.input_layernorm, self.post_attention_layernorm = self.Norm(D, eps), self.Norm(D, eps)
        maps = {"q_proj": (D, D), "k_proj": (D, G * self.d), "v_proj": (D, G * self.d), "o_proj": (D, D)}
        self.self_attn = nn.ModuleDict({name: nn.Linear(*sizes, bias=False) for name, sizes in maps.items()})
        maps = {"gate_proj": (D, F), "up_proj": (D, F), "down_proj": (F, D)}
        self.mlp = nn.ModuleDict({name: nn.Linear(*sizes, bias=False) for name, sizes in maps.items()})

    def forward(self, x):
        h = x + self.attention(self.input_layernorm(x))
        return h + self.network(self.post_attention_layernorm(h))

    def network(self, x):
        mlp = self.mlp
        return mlp["down_proj"](F.silu(mlp["gate_proj"](x)) * mlp["up_proj"](x))

    def split(self, x, heads):
        return x.unflatten(-1, (heads, self.d)).transpose(1, 2)

    def speeds(self, x):
        return self.base ** (-torch.arange(0, self.d, 2, device=x.device).float() / self.d)

    def positions(self, x):
        return torch.arange(x.shape[-2], device=x.device).float()

    def angles(self, x):
        return self.positions(x)[:, None] * self.speeds(x)

    def turn(self, x):
        angles = self.angles(x)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def shared(self, x):
        return x.repeat_interleave(self.H // self.G, 1)

    def scale(self):
        return self.d**-0.5

    def hidden(self, S):
        return torch.ones(S.shape[-2:], dtype=torch.bool, device=S.device).triu(1)

    def mixed(self, Q, K, V):
        S = Q @ K.mT * self.scale()
        return S.masked_fill(self.hidden(S), -torch.inf).softmax(-1) @ V

    def merged(self, Y):
        return Y.transpose(1, 2).flatten(2)

    def attention(self, x):
        a = self.self_attn
        Q, K, V = (
            self.split(a["q_proj"](x), self.H),
            self.split(a["k_proj"](x), self.G),
            self.split(a["v_proj"](x), self.G),
        )
        return a["o_proj"](self.merged(self.mixed(self.turn(Q), self.shared(self.turn(K)), self.shared(V))))


@wrong("plain", "neighbours are turned, as in chapter 2", true="Neighbours")
class Neighbours(Base):
    def turn(self, x):
        angles = self.angles(x)
        a, b = x[..., 0::2], x[..., 1::2]
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


@wrong("plain", "the halves are turned the other way", true="Backwards")
class Backwards(Base):
    def angles(self, x):
        return -super().angles(x)


@wrong("plain", "turned the other way, of queries alone")
class QueriesBackwards(Base):
    def attention(self, x):
        self.sign = 1
        return super().attention(x)

    def angles(self, x):
        self.sign = -self.sign
        return self.sign * super().angles(x)


@wrong("plain", "rotate_half without the minus", true="NoMinus")
class NoMinus(Base):
    def turn(self, x):
        angles = self.angles(x)
        cos, sin = angles.cos().repeat(1, 2).to(x.dtype), angles.sin().repeat(1, 2).to(x.dtype)
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([b, a], -1) * sin


@wrong(
    "plain",
    "angles of neighbours, pairs of halves: repeat_interleave where the halves want repeat",
    true="AnglesOfNeighbours",
)
class MixedLayouts(Base):
    def turn(self, x):
        angles = self.angles(x).repeat_interleave(2, -1)
        a, b = x.chunk(2, -1)
        return x * angles.cos().to(x.dtype) + torch.cat([-b, a], -1) * angles.sin().to(x.dtype)


@wrong("plain", "positions count from 1: relative angles are the same")
class KeysFromOne(Base):
    def attention(self, x):
        self.calls = 0
        return super().attention(x)

    def positions(self, x):
        self.calls += 1
        return super().positions(x) + (self.calls == 2)


@wrong("plain", "queries are not turned")
class KeysAlone(Base):
    def attention(self, x):
        self.calls = 0
        return super().attention(x)

    def turn(self, x):
        self.calls += 1
        return x if self.calls == 1 else super().turn(x)


@wrong("plain", "nothing is turned", true="NoRotation")
class NotTurned(Base):
    def turn(self, x):
        return x


@wrong("plain", "values are turned as well", true="ValuesTurned")
class ValuesTurned(Base):
    def mixed(self, Q, K, V):
        return super().mixed(Q, K, self.turn(V))


@wrong("plain", "turned before the heads are split: speeds of the whole width", true="TurnedBeforeTheSplit")
class TurnedBeforeTheSplit(Base):
    def attention(self, x):
        a = self.self_attn
        Q, K, V = a["q_proj"](x), a["k_proj"](x), a["v_proj"](x)
        Q, K = self.whole(Q), self.whole(K)
        heads = self.split(Q, self.H), self.shared(self.split(K, self.G)), self.shared(self.split(V, self.G))
        return a["o_proj"](self.merged(self.mixed(*heads)))

    def whole(self, x):
        d, self.d = self.d, x.shape[-1]
        try:
            return self.turn(x)
        finally:
            self.d = d


@wrong("plain", "positions run over the heads: turned before the transpose", true="TurnedByHead")
class OverTheHeads(Base):
    def turn(self, x):
        return super().turn(x.transpose(1, 2)).transpose(1, 2)


@wrong("named", "the base is always 10000", true="BaseIgnored")
class FixedBase(Base):
    def speeds(self, x):
        return 10000.0 ** (-torch.arange(0, self.d, 2, device=x.device).float() / self.d)


@wrong("plain", "speeds divide by half of the width", true="ExponentDoubled")
class HalfWidth(Base):
    def speeds(self, x):
        return self.base ** (-torch.arange(0, self.d, 2, device=x.device).float() / (self.d / 2))


@wrong("plain", "the exponent is i / d, not 2i / d", true="ExponentHalved")
class OneForTwo(Base):
    def speeds(self, x):
        return self.base ** (-torch.arange(self.d // 2, device=x.device).float() / self.d)


@wrong("plain", "LayerNorm without a shift: the mean is taken away", true="MeanSubtracted")
class LayerNorms(Base):
    class Norm(Norm):
        def forward(self, x):
            return F.layer_norm(x, x.shape[-1:], self.weight, None, self.eps)


@wrong("plain", "the sum of squares, not their mean", true="SumOfSquares")
class SumOfSquares(Base):
    class Norm(Norm):
        def forward(self, x):
            return self.weight * x / (x.pow(2).sum(-1, keepdim=True) + self.eps).sqrt()


@wrong("plain", "no root", true="NoRoot")
class NoRoot(Base):
    class Norm(Norm):
        def forward(self, x):
            return self.weight * x / (x.pow(2).mean(-1, keepdim=True) + self.eps)


@wrong("named", "eps outside of the root", true="EpsOutside")
class EpsOutside(Base):
    class Norm(Norm):
        def forward(self, x):
            z = x.float() if x.dtype == torch.float16 else x
            return self.weight * (z / (z.pow(2).mean(-1, keepdim=True).sqrt() + self.eps)).to(x.dtype)


@wrong("named", "no eps", true="EpsIgnored")
class NoEps(Base):
    class Norm(Norm):
        def __init__(self, D, eps):
            super().__init__(D, 0.0)


@wrong("named", "eps of its own, 1e-6", true="EpsIgnored")
class OwnEps(Base):
    class Norm(Norm):
        def __init__(self, D, eps):
            super().__init__(D, 1e-6)


@wrong("far", "squares in the dtype of x: 400 squared is infinite in float16", true="HalfPrecision")
class SquaresInHalf(Base):
    class Norm(Norm):
        def forward(self, x):
            return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


@wrong("named", "what comes out is float32, whatever x is", told="different dtypes meet")
class FloatOut(Base):
    class Norm(Norm):
        def forward(self, x):
            return super().forward(x).float()


@wrong("named", "a double text goes through float32", told="different dtypes meet")
class AlwaysFloat(Base):
    def forward(self, x):
        return super().forward(x.float()).to(x.dtype)


@wrong("plain", "the gain is 1 + weight, as Gemma has it")
class GemmaGain(Base):
    class Norm(Norm):
        def forward(self, x):
            z = x.float() if x.dtype == torch.float16 else x
            return (1 + self.weight) * (z * torch.rsqrt(z.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


@wrong("plain", "the norms stand behind, as in the first transformer", true="PostNorm")
class NormsBehind(Base):
    def forward(self, x):
        h = self.input_layernorm(x + self.attention(x))
        return self.post_attention_layernorm(h + self.network(h))


@wrong("plain", "one norm serves both: both halves start from x, as GPT-J and Falcon do", true="NetworkReadsTheInput")
class Parallel(Base):
    def forward(self, x):
        z = self.input_layernorm(x)
        return x + self.attention(z) + self.network(self.post_attention_layernorm(x))


@wrong("plain", "the norms are exchanged", true="NormsExchanged")
class NormsExchanged(Base):
    def forward(self, x):
        h = x + self.attention(self.post_attention_layernorm(x))
        return h + self.network(self.input_layernorm(h))


@wrong("plain", "the second half's stream begins at x", true="SecondResidualFromTheInput")
class StreamOfX(Base):
    def forward(self, x):
        h = x + self.attention(self.input_layernorm(x))
        return x + self.network(self.post_attention_layernorm(h))


@wrong("plain", "no residual around the network", true="NoNetworkResidual")
class NoResidual(Base):
    def forward(self, x):
        h = x + self.attention(self.input_layernorm(x))
        return self.network(self.post_attention_layernorm(h))


@wrong("plain", "SiLU stands on up and not on gate", true="Exchanged")
class SiluOnUp(Base):
    def network(self, x):
        mlp = self.mlp
        return mlp["down_proj"](mlp["gate_proj"](x) * F.silu(mlp["up_proj"](x)))


@wrong("plain", "a gate of sigmoid, which is GLU", true="SigmoidGate")
class Glu(Base):
    def network(self, x):
        mlp = self.mlp
        return mlp["down_proj"](torch.sigmoid(mlp["gate_proj"](x)) * mlp["up_proj"](x))


@wrong("plain", "GELU in place of SiLU", true="GeluGate")
class Geglu(Base):
    def network(self, x):
        mlp = self.mlp
        return mlp["down_proj"](F.gelu(mlp["gate_proj"](x)) * mlp["up_proj"](x))


@wrong("plain", "SiLU around the product", true="ProductActivated")
class SiluAround(Base):
    def network(self, x):
        mlp = self.mlp
        return mlp["down_proj"](F.silu(mlp["gate_proj"](x) * mlp["up_proj"](x)))


@wrong("plain", "gate and up are added")
class Added(Base):
    def network(self, x):
        mlp = self.mlp
        return mlp["down_proj"](F.silu(mlp["gate_proj"](x)) + mlp["up_proj"](x))


@wrong("plain", "heads share by turns: repeat in place of repeat_interleave", true="RepeatedNotInterleaved")
class ByTurns(Base):
    def shared(self, x):
        return x.repeat(1, self.H // self.G, 1, 1)


@wrong("plain", "not causal", true="NoMask")
class NotCausal(Base):
    def hidden(self, S):
        return torch.zeros_like(S, dtype=torch.bool)


@wrong("plain", "no token sees itself, but the first")
class NotItself(Base):
    def hidden(self, S):
        i = torch.arange(S.shape[-1])
        return (i >= i[:, None]) & (i > 0)


@wrong("far", "masked with -1e4: scores far below it are still there")
class SmallMask(Base):
    def mixed(self, Q, K, V):
        S = Q @ K.mT * self.scale()
        return S.masked_fill(self.hidden(S), -1e4 if S.dtype != torch.float16 else -6e4).softmax(-1) @ V


@wrong("far", "exponentials without the maximum", told="far apart: Y is NaN")
class Unshifted(Base):
    def mixed(self, Q, K, V):
        E = (Q @ K.mT * self.scale()).masked_fill(self.hidden(Q @ K.mT), -torch.inf).exp()
        return E / E.sum(-1, keepdim=True) @ V


@wrong("plain", "not scaled", true="NotScaled")
class NotScaled(Base):
    def scale(self):
        return 1.0


@wrong("plain", "scaled by the whole width", true="ScaledByModelWidth")
class ScaledByD(Base):
    def scale(self):
        return self.D**-0.5


@wrong("plain", "heads are cut by view without a transpose", true="SplitWithoutTranspose")
class ViewOnly(Base):
    def split(self, x, heads):
        return x.reshape(len(x), heads, -1, self.d)


@wrong("plain", "heads are merged without the transpose back", true="MergedWithoutTranspose")
class MergedByReshape(Base):
    def merged(self, Y):
        return Y.reshape(len(Y), -1, self.D)


@wrong("plain", "the last map is missing")
class NoOutput(Base):
    def attention(self, x):
        o = self.self_attn["o_proj"]
        self.self_attn["o_proj"] = nn.Identity()
        try:
            return super().attention(x)
        finally:
            self.self_attn["o_proj"] = o


@wrong("plain", "maps with a bias", told="not asked for: self_attn.q_proj.bias")
class Biases(Base):
    def __init__(self, D, H, G, F, base, eps):
        super().__init__(D, H, G, F, base, eps)
        self.self_attn["q_proj"] = nn.Linear(D, D)


@wrong("plain", "the names of minGPT's kind", told="no weight called 'self_attn.q_proj.weight'")
class OtherNames(Base):
    def __init__(self, D, H, G, F, base, eps):
        super().__init__(D, H, G, F, base, eps)
        self.attn = self.self_attn
        del self.self_attn

    def attention(self, x):
        self.__dict__["self_attn"] = self.attn
        return super().attention(x)


@wrong("ones", "squeezed: one text or one token loses its dimension", told="has lost a dimension of size 1")
class Squeezed(Base):
    def forward(self, x):
        return super().forward(x).squeeze()


@wrong("large", "a table of 64 positions", told="wrong where it is 70 or more")
class Table(Base):
    def positions(self, x):
        return torch.arange(64, device=x.device).float()[: x.shape[-2]]


@wrong("large", "a mask of 32 places, and what lies behind it is not hidden", told="wrong where it is 70 or more")
class SmallCausal(Base):
    def hidden(self, S):
        n = S.shape[-1]
        mask = torch.ones(32, 32, dtype=torch.bool).triu(1)[:n, :n]
        return F.pad(mask, (0, n - len(mask), 0, n - len(mask)))


@wrong("again", "angles of the first text are kept", told="keeps something from one call to the next")
class AnglesKept(Base):
    def angles(self, x):
        if not hasattr(self, "kept") or self.kept.shape[0] < x.shape[-2]:
            self.kept = super().angles(x)
        return self.kept


TABLES: dict = {}


@wrong("again", "angles are kept by their number and width, whatever the base is")
class AnglesByShape(Base):
    def angles(self, x):
        return TABLES.setdefault((x.shape[-2], self.d), super().angles(x))


@wrong("again", "the mask of the first text is kept", told="keeps something from one call to the next")
class MaskKept(Base):
    def hidden(self, S):
        self.__dict__.setdefault("mask", super().hidden(S))
        return self.mask


@wrong("given", "x is added to in place", told="changes its input x")
class InPlace(Base):
    def forward(self, x):
        x += self.attention(self.input_layernorm(x))
        x += self.network(self.post_attention_layernorm(x))
        return x


@wrong("given", "the stream is cut off from the graph")
class Detached(Base):
    def forward(self, x):
        h = x + self.attention(self.input_layernorm(x))
        return h + self.network(self.post_attention_layernorm(h.detach()))


@wrong("surroundings", "double precision for all that comes", told="default dtype")
class DefaultDtype(Base):
    def forward(self, x):
        torch.set_default_dtype(torch.float64)
        return super().forward(x)


@wrong("surroundings", "weights are drawn from a seed of its own", told="manual_seed")
class Seeded(Base):
    def __init__(self, *sizes):
        torch.manual_seed(0)
        super().__init__(*sizes)


@wrong("surroundings", "gradients are off while angles are computed, and stay off", told="gradients switched off")
class GradientsOff(Base):
    def angles(self, x):
        torch.set_grad_enabled(False)
        return super().angles(x)


@wrong("plain", "dropout acts in training", told=r"dropout\?")
class Dropout(Base):
    def network(self, x):
        return F.dropout(super().network(x), 0.1, self.training)


@wrong("plain", "three slips: neighbours, LayerNorm, GELU")
class Beginner(Neighbours, LayerNorms, Geglu):
    pass


@ANSWERS.right
class InSteps(Base):
    pass


@ANSWERS.right
class LikeHuggingFace(Base):
    """rotate_half, cos and sin of the whole width in a buffer, and the mask as a sum."""

    def __init__(self, D, H, G, F, base, eps):
        super().__init__(D, H, G, F, base, eps)
        speeds = 1.0 / (base ** (torch.arange(0, self.d, 2, dtype=torch.int64).float() / self.d))
        self.register_buffer("inv_freq", speeds, persistent=False)

    def turn(self, x):
        t = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)
        e = torch.outer(t, self.inv_freq.float())
        e = torch.cat([e, e], -1)
        half = torch.cat([-x[..., self.d // 2 :], x[..., : self.d // 2]], -1)
        return x * e.cos().to(x.dtype) + half * e.sin().to(x.dtype)

    def mixed(self, Q, K, V):
        S = Q @ K.mT / math.sqrt(self.d)
        S = S + torch.full(S.shape[-2:], -torch.inf, dtype=S.dtype, device=S.device).triu(1)
        return S.float().softmax(-1).to(S.dtype) @ V if S.dtype == torch.float16 else S.softmax(-1) @ V


@ANSWERS.right
class ByComplexNumbers(Base):
    """Halves as complex numbers, in double precision."""

    def turn(self, x):
        a, b = x.double().chunk(2, -1)
        t = torch.arange(x.shape[-2], dtype=torch.float64, device=x.device)
        speeds = self.base ** (-2 * torch.arange(self.d // 2, dtype=torch.float64, device=x.device) / self.d)
        z = torch.complex(a.contiguous(), b.contiguous()) * torch.polar(
            torch.ones_like(t)[:, None], t[:, None] * speeds
        )
        return torch.cat([z.real, z.imag], -1).to(x.dtype)


@ANSWERS.right
class WithTorchs(nn.Module):
    """torch's norm and attention, and submodules of classes of its own."""

    def __init__(self, D, H, G, F, base, eps):
        super().__init__()
        self.self_attn, self.mlp = nn.Module(), nn.Module()
        self.input_layernorm = nn.RMSNorm(D, eps=eps)
        self.post_attention_layernorm = nn.RMSNorm(D, eps=eps)
        for name, rows in {"q": D, "k": D // H * G, "v": D // H * G, "o": D}.items():
            setattr(self.self_attn, f"{name}_proj", nn.Linear(D, rows, bias=False))
        self.mlp.gate_proj, self.mlp.up_proj = nn.Linear(D, F, bias=False), nn.Linear(D, F, bias=False)
        self.mlp.down_proj = nn.Linear(F, D, bias=False)
        self.H, self.G, self.base = H, G, base

    def forward(self, x):
        B, T, D = x.shape
        d = D // self.H
        z = self.input_layernorm(x)
        a, m = self.self_attn, self.mlp
        q = a.q_proj(z).view(B, T, self.H, 2, d // 2)
        k = a.k_proj(z).view(B, T, self.G, 2, d // 2)
        v = a.v_proj(z).view(B, T, self.G, d).transpose(1, 2)
        t = torch.arange(T, device=x.device, dtype=torch.float64)[:, None, None]
        angle = t * self.base ** (-2 * torch.arange(d // 2, device=x.device, dtype=torch.float64) / d)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        q, k = (
            torch.stack([y[..., 0, :] * cos - y[..., 1, :] * sin, y[..., 0, :] * sin + y[..., 1, :] * cos], -2)
            .flatten(-2)
            .transpose(1, 2)
            for y in (q, k)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        h = x + a.o_proj(y.transpose(1, 2).reshape(B, T, D))
        z = self.post_attention_layernorm(h)
        return h + m.down_proj(F.silu(m.gate_proj(z)) * m.up_proj(z))


@ANSWERS.right
class HeadByHead(Base):
    """A loop over the heads, and positions that count from 100: only differences matter."""

    def positions(self, x):
        return torch.arange(x.shape[-2], device=x.device).double() + 100

    def mixed(self, Q, K, V):
        Y = [super(HeadByHead, self).mixed(Q[:, i], K[:, i], V[:, i]) for i in range(self.H)]
        return torch.stack(Y, 1)


# A second round.


@wrong("plain", "gate and up come from one another's halves of a joint map", true="Exchanged")
class JointMap(Base):
    def network(self, x):
        mlp = self.mlp
        up, gate = torch.cat([mlp["gate_proj"](x), mlp["up_proj"](x)], -1).chunk(2, -1)
        return mlp["down_proj"](F.silu(gate) * up)


@wrong(
    "ones",
    "one head alone is taken for shared: G = 1 gives every head the first key, and else its own",
    true="RepeatedNotInterleaved",
)
class OneOrAll(Base):
    def shared(self, x):
        return x.expand(-1, self.H, -1, -1) if self.G == 1 else x[:, [h % self.G for h in range(self.H)]]


@wrong("far", "scores are clipped, so that softmax does not overflow")
class Clipped(Base):
    def mixed(self, Q, K, V):
        S = (Q @ K.mT * self.scale()).clamp(-50, 50)
        return S.masked_fill(self.hidden(S), -torch.inf).softmax(-1) @ V


@wrong(
    "named",
    "eps is what the class has for all of them: the last block's",
    told="keeps something from one call to the next",
)
class SharedEps(Base):
    class Norm(Norm):
        def __init__(self, D, eps):
            super().__init__(D, eps)
            type(self).last = eps

        @property
        def eps(self):
            return self.last

        @eps.setter
        def eps(self, value):
            pass


@wrong("given", "weights are normalised in place, as a clean-up", told="keeps something from one call to the next")
class GainsAltered(Base):
    def forward(self, x):
        y = super().forward(x)
        with torch.no_grad():
            self.input_layernorm.weight.mul_(0.5)
        return y


@ANSWERS.right
class JointProjections(Base):
    """All maps of a kind in one product, and SiLU by hand."""

    def network(self, x):
        W = torch.cat([self.mlp["gate_proj"].weight, self.mlp["up_proj"].weight])
        gate, up = (x @ W.T).chunk(2, -1)
        return self.mlp["down_proj"](gate / (1 + torch.exp(-gate)) * up)
