"""Answers to attention.block."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.block",
    spared={
        "onward": "no event comes, after which it would have to go on",
        "dependence": "nothing is drawn at random",
        "unwatched": "nothing is watched but the result and its gradients",
    },
)


class Given(nn.Module):
    """What the exercise hands to the learner."""

    def __init__(self, D, H, F, norm_first):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(D, H, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(D, F), nn.Linear(F, D)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.norm_first = norm_first

    def attention(self, X, allowed):
        if allowed is not None:
            B, T, H = *X.shape[:2], self.self_attn.num_heads
            allowed = ~allowed.expand(B, H, T, T).flatten(0, 1)
        return self.self_attn(X, X, X, attn_mask=allowed, need_weights=False)[0]

    def ffn(self, x):
        return self.linear2(F.gelu(self.linear1(x)))

    def forward(self, X, allowed=None):
        if self.norm_first:
            X = X + self.attention(self.norm1(X), allowed)
            return X + self.ffn(self.norm2(X))
        X = self.norm1(X + self.attention(X, allowed))
        return self.norm2(X + self.ffn(X))


@ANSWERS.wrong("plain", "half a block: no feed-forward network", true="NoNetwork")
class HalfABlock(Given):
    def forward(self, X, allowed=None):
        if self.norm_first:
            return X + self.attention(self.norm1(X), allowed)
        return self.norm1(X + self.attention(X, allowed))


@ANSWERS.wrong(
    "plain",
    "the second residual adds the block's input, not the first half's result",
    true="SecondResidualFromTheInput",
)
class FirstInputAddedTwice(Given):
    def forward(self, X, allowed=None):
        if self.norm_first:
            Z = X + self.attention(self.norm1(X), allowed)
            return X + self.ffn(self.norm2(Z))
        Z = self.norm1(X + self.attention(X, allowed))
        return self.norm2(X + self.ffn(Z))


@ANSWERS.wrong("plain", "no residual around the feed-forward network", true="NoNetworkResidual")
class NoSecondResidual(Given):
    def forward(self, X, allowed=None):
        if self.norm_first:
            X = X + self.attention(self.norm1(X), allowed)
            return self.ffn(self.norm2(X))
        X = self.norm1(X + self.attention(X, allowed))
        return self.norm2(self.ffn(X))


@ANSWERS.wrong("plain", "in pre-norm the stream itself is normalised", true="ResidualAfterTheNorm")
class StreamNormalised(Given):
    def forward(self, X, allowed=None):
        if not self.norm_first:
            return super().forward(X, allowed)
        X = self.norm1(X)
        X = X + self.attention(X, allowed)
        X = self.norm2(X)
        return X + self.ffn(X)


@ANSWERS.wrong("plain", "ReLU, as in the Annotated Transformer", true="ReluForGelu")
class Relu(Given):
    def ffn(self, x):
        return self.linear2(self.linear1(x).relu())


@ANSWERS.wrong("plain", "GPT-2's approximation of GELU", true="TanhGelu")
class GeluOfGpt2(Given):
    def ffn(self, x):
        return self.linear2(F.gelu(self.linear1(x), approximate="tanh"))


@ANSWERS.wrong("plain", "no GELU between the layers", true="NoActivation")
class Linear(Given):
    def ffn(self, x):
        return self.linear2(self.linear1(x))


@ANSWERS.wrong("plain", "the first norm serves both halves", true="OneNormTwice")
class OneNorm(Given):
    def forward(self, X, allowed=None):
        if self.norm_first:
            X = X + self.attention(self.norm1(X), allowed)
            return X + self.ffn(self.norm1(X))
        X = self.norm1(X + self.attention(X, allowed))
        return self.norm1(X + self.ffn(X))


@ANSWERS.wrong("plain", "pre and post exchanged", true="OrdersExchanged")
class OrdersExchanged(Given):
    def forward(self, X, allowed=None):
        if not self.norm_first:
            X = X + self.attention(self.norm1(X), allowed)
            return X + self.ffn(self.norm2(X))
        X = self.norm1(X + self.attention(X, allowed))
        return self.norm2(X + self.ffn(X))


@ANSWERS.wrong("plain", "the Annotated Transformer's sublayer, x + f(norm(x)), for both orders", true="AlwaysPreNorm")
class AlwaysPreNorm(Given):
    def forward(self, X, allowed=None):
        X = X + self.attention(self.norm1(X), allowed)
        return X + self.ffn(self.norm2(X))


@ANSWERS.wrong("plain", "attention and network side by side, as in GPT-J", true="NetworkReadsTheInput")
class SideBySide(Given):
    def forward(self, X, allowed=None):
        if self.norm_first:
            return X + self.attention(self.norm1(X), allowed) + self.ffn(self.norm2(X))
        return self.norm2(self.norm1(X + self.attention(X, allowed)) + self.ffn(X))


@ANSWERS.wrong(
    "plain",
    "dropout acts between the layers: functional dropout is on unless told otherwise",
    told="two calls with the same arguments",
)
class Dropout(Given):
    def ffn(self, x):
        return self.linear2(F.dropout(F.gelu(self.linear1(x)), 0.1))


@ANSWERS.wrong("plain", "ReLU, and no residual around the network", told="both halves add 0: Y is X: Y differs")
class TwoSlips(Given):
    def forward(self, X, allowed=None):
        ffn = lambda x: self.linear2(self.linear1(x).relu())  # noqa: E731
        if self.norm_first:
            return ffn(self.norm2(X + self.attention(self.norm1(X), allowed)))
        return self.norm2(ffn(self.norm1(X + self.attention(X, allowed))))


@ANSWERS.wrong("plain", "nn.MultiheadAttention's pair is added as it is", told="gives a pair")
class PairOfResults(Given):
    def attention(self, X, allowed):
        return self.self_attn(X, X, X)


@ANSWERS.wrong("named", "the mask is not handed on", true="MaskIgnored")
class MaskForgotten(Given):
    def attention(self, X, allowed):
        return super().attention(X, None)


@ANSWERS.wrong(
    "named", "the mask is handed on in post-norm only", told="norm_first=True, float64, causal mask: Y differs"
)
class MaskInOneOrder(Given):
    def forward(self, X, allowed=None):
        return super().forward(X, None if self.norm_first else allowed)


@ANSWERS.wrong(
    "named",
    "a mask of (T, T) only: no padding, no mask for each head",
    told=r"a mask \(B, 1, 1, T\): (.|\n)*shape '\[4, 4\]' is invalid",
)
class MaskOfOneShape(Given):
    def attention(self, X, allowed):
        return self.self_attn(X, X, X, attn_mask=None if allowed is None else ~allowed.reshape(2 * [X.shape[1]]))[0]


@ANSWERS.wrong(
    "named",
    "the first sequence's mask serves all",
    told=r"a mask \(B, 1, 1, T\): Y differs in \d+ of 48 entries, only where index -3 is 1",
)
class MaskOfTheFirstSequence(Given):
    def attention(self, X, allowed):
        if allowed is not None and allowed.dim() == 4:
            allowed = allowed[:1]
        return super().attention(X, allowed)


@ANSWERS.wrong("far", "BERT's epsilon of 1e-12: another norm where tokens hardly vary", told=r"\(an epsilon\)")
class EpsilonOfBert(Given):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm1.eps = self.norm2.eps = 1e-12


@ANSWERS.wrong(
    "large",
    "at most 512 tokens, and the rest is as it was",
    told="T=520, .*Y differs",
    advice=r"right where T is 5 or less, wrong where it is \d+ or more",
)
class AtMost512(Given):
    def forward(self, X, allowed=None):
        allowed = None if allowed is None else allowed[..., :512, :512]
        return torch.cat((super().forward(X[:, :512], allowed), X[:, 512:]), 1)


@ANSWERS.wrong("ones", "squeeze takes the only sequence away", told="lost a dimension of size 1")
class Squeezed(Given):
    def forward(self, X, allowed=None):
        return super().forward(X, allowed).squeeze(0)


@ANSWERS.wrong(
    "ones",
    "a single token passes unchanged",
    told="T=1, D=6, H=3, F=10, norm_first=False: Y differs",
    advice="Y is the input X, unchanged|right where T is more than 1, wrong where it is 1",
)
class OneTokenPasses(Given):
    def forward(self, X, allowed=None):
        return X if X.shape[1] == 1 else super().forward(X, allowed)


@ANSWERS.wrong("again", "the first mask is kept", told="keeps something from one call to the next")
class FirstMaskKept(Given):
    mask = None

    def forward(self, X, allowed=None):
        if self.mask is None:
            self.mask = allowed
        return super().forward(X, self.mask)


@ANSWERS.wrong(
    "again",
    "the order of norms lies on the class: the last block that is made decides for all",
    told="keeps something from one call to the next",
)
class OrderOnTheClass(Given):
    def __init__(self, D, H, F, norm_first):
        super().__init__(D, H, F, norm_first)
        OrderOnTheClass.order = norm_first

    def forward(self, X, allowed=None):
        self.norm_first = OrderOnTheClass.order
        return super().forward(X, allowed)


@ANSWERS.wrong("given", "the input is added to in place", told="changes its input X in place")
class AddedInPlace(Given):
    def forward(self, X, allowed=None):
        if not self.norm_first:
            return super().forward(X, allowed)
        X.data += self.attention(self.norm1(X), allowed)
        return X + self.ffn(self.norm2(X))


@ANSWERS.wrong("surroundings", "switches itself to evaluation at each call", told="switches the module to another mode")
class EvaluatesForGood(Given):
    def forward(self, X, allowed=None):
        self.eval()
        return super().forward(X, allowed)


@ANSWERS.wrong("surroundings", "sets the seed", told="it sets the seed")
class Seeded(Given):
    def forward(self, X, allowed=None):
        torch.manual_seed(0)
        return super().forward(X, allowed)


@ANSWERS.wrong("plain", "attention runs under no_grad: nothing to learn for it", told="no gradient reaches self_attn")
class AttentionFrozen(Given):
    def attention(self, X, allowed):
        with torch.no_grad():
            return super().attention(X, allowed)


@ANSWERS.wrong("plain", "GELU behind the second layer", true="ActivationLast")
class GeluLast(Given):
    def ffn(self, x):
        return F.gelu(self.linear2(self.linear1(x)))


@ANSWERS.wrong("plain", "norms over tokens and width together")
class NormOverTokens(Given):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        for norm in (self.norm1, self.norm2):
            norm.forward = lambda x, norm=norm: F.layer_norm(x, x.shape[1:]) * norm.weight + norm.bias


@ANSWERS.wrong(
    "plain",
    "a last norm in pre-norm, as a whole GPT has it",
    told="both halves add 0: Y is X: Y differs",
    advice="right where norm_first is False, wrong where it is True",
)
class OneNormMore(Given):
    def forward(self, X, allowed=None):
        Y = super().forward(X, allowed)
        return self.norm2(Y) if self.norm_first else Y


@ANSWERS.wrong("plain", "the mask is turned round once more", told="right without `allowed`, wrong with it")
class MaskTurned(Given):
    def attention(self, X, allowed):
        return super().attention(X, None if allowed is None else ~allowed | torch.eye(X.shape[1]).bool())


@ANSWERS.wrong("again", "the order changes with each call", told="keeps something from one call to the next")
class TakesTurns(Given):
    def forward(self, X, allowed=None):
        Y = super().forward(X, allowed)
        self.norm_first = not self.norm_first
        return Y


@ANSWERS.wrong("given", "the mask is negated in place", told="changes its input allowed")
class MaskInPlace(Given):
    def attention(self, X, allowed):
        if allowed is not None:
            allowed.logical_not_().logical_not_()
            allowed[..., 0, 0] = True
            allowed.logical_and_(allowed)
            allowed[..., -1, :1] = True
        return super().attention(X, allowed)


@ANSWERS.wrong("named", "with a mask only the attention is returned", told="right without `allowed`, wrong with it")
class AttentionAloneWithMask(Given):
    def forward(self, X, allowed=None):
        return super().forward(X) if allowed is None else self.attention(X, allowed)


class ByHand(Given):
    """The same attention, with weights that a subclass makes from scores."""

    def attention(self, X, allowed):
        m, (_, T, D) = self.self_attn, X.shape
        q, k, v = (X @ m.in_proj_weight.T + m.in_proj_bias).unflatten(-1, (3, m.num_heads, -1)).permute(2, 0, 3, 1, 4)
        Z = q @ k.mT / (D // m.num_heads) ** 0.5
        A = self.weights(Z, torch.ones(T, T, dtype=torch.bool) if allowed is None else allowed)
        return m.out_proj((A @ v).transpose(1, 2).flatten(-2))


@ANSWERS.wrong("far", "one maximum for all scores", told="of far larger numbers")
class OneMaximum(ByHand):
    def weights(self, Z, allowed):
        E = (Z - Z.max()).exp().masked_fill(~allowed, 0.0)
        return E / E.sum(-1, keepdim=True)


@ANSWERS.wrong("far", "softmax, mask, renormalise", told="of far larger numbers")
class Renormalised(ByHand):
    def weights(self, Z, allowed):
        A = Z.softmax(-1).masked_fill(~allowed, 0.0)
        return A / A.sum(-1, keepdim=True)


@ANSWERS.right
class MaximumOfEachRow(ByHand):
    def weights(self, Z, allowed):
        Z = Z.masked_fill(~allowed, -torch.inf)
        E = (Z - Z.amax(-1, keepdim=True)).exp()
        return E / E.sum(-1, keepdim=True)


@ANSWERS.right
class WithModules(Given):
    def __init__(self, D, H, F, norm_first):
        super().__init__(D, H, F, norm_first)
        self.act, self.drop = nn.GELU(), nn.Dropout(0.0)

    def forward(self, X, allowed=None):
        first = self.norm1 if self.norm_first else nn.Identity()
        after = nn.Identity() if self.norm_first else self.norm1
        second = self.norm2 if self.norm_first else nn.Identity()
        last = nn.Identity() if self.norm_first else self.norm2
        X = after(X + self.drop(self.attention(first(X), allowed)))
        return last(X + self.drop(self.linear2(self.act(self.linear1(second(X))))))


@ANSWERS.right
class WithBuffer(Given):
    """minGPT's habit: something that is kept and not learned."""

    def __init__(self, D, H, F, norm_first):
        super().__init__(D, H, F, norm_first)
        self.register_buffer("one_half", torch.tensor(0.5))

    def ffn(self, x):
        h = self.linear1(x)
        return self.linear2(h * self.one_half * (1 + torch.erf(h * 2**-0.5)))


@ANSWERS.right
class WithNamedParts(Given):
    """The same parts under second names."""

    def __init__(self, D, H, F, norm_first):
        super().__init__(D, H, F, norm_first)
        self.mlp = nn.Sequential(self.linear1, nn.GELU(), self.linear2)

    def ffn(self, x):
        return self.mlp(x)


@ANSWERS.right
class ByHand(Given):
    """Attention from the weights, a loop over the sequences, norms as functions."""

    def norm(self, x, by):
        gap = x - x.mean(-1, keepdim=True)
        return gap / (gap.pow(2).mean(-1, keepdim=True) + by.eps).sqrt() * by.weight + by.bias

    def attention(self, X, allowed):
        B, T, D = X.shape
        H = self.self_attn.num_heads
        Q, K, V = F.linear(X, self.self_attn.in_proj_weight, self.self_attn.in_proj_bias).chunk(3, -1)
        Q, K, V = (x.unflatten(-1, (H, D // H)).transpose(1, 2) for x in (Q, K, V))
        Y = F.scaled_dot_product_attention(Q, K, V, attn_mask=allowed)
        return self.self_attn.out_proj(Y.transpose(1, 2).flatten(2))

    def forward(self, X, allowed=None):
        if self.norm_first:
            X = X + self.attention(self.norm(X, self.norm1), allowed)
            return torch.stack([x + self.ffn(self.norm(x, self.norm2)) for x in X])
        X = self.norm(X + self.attention(X, allowed), self.norm1)
        return torch.stack([self.norm(x + self.ffn(x), self.norm2) for x in X])


@ANSWERS.right
class FromTorch(nn.TransformerEncoderLayer):
    """torch's own layer."""

    def __init__(self, D, H, F, norm_first):
        super().__init__(D, H, F, 0.0, "gelu", batch_first=True, norm_first=norm_first)

    def forward(self, X, allowed=None):
        if allowed is None:
            return super().forward(X)
        B, T, _ = X.shape
        H = self.self_attn.num_heads
        mask = torch.zeros(B, H, T, T, dtype=X.dtype).masked_fill(~allowed, -torch.inf)
        return super().forward(X, mask.reshape(B * H, T, T))


@ANSWERS.right
class Checkpointed(Given):
    """Less memory, and the same numbers."""

    def forward(self, X, allowed=None, **unused):
        return checkpoint(super().forward, X, allowed, use_reentrant=False)
