"""Answers to gpt.decoder."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("gpt.decoder", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong


class Block(nn.Module):
    """The right block, of which an answer replaces a method."""

    def __init__(self, D, H):
        super().__init__()
        self.H = H
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def split(self, x):
        return [y.unflatten(-1, (self.H, -1)).transpose(1, 2) for y in self.qkv(x).chunk(3, -1)]

    def scores(self, q, k):
        return q @ k.mT / q.shape[-1] ** 0.5

    def masked(self, Z):
        n = Z.shape[-1]
        return Z.masked_fill(torch.ones(n, n, dtype=torch.bool, device=Z.device).triu(1), -torch.inf)

    def merge(self, y):
        return y.transpose(1, 2).flatten(2)

    def attend(self, x):
        q, k, v = self.split(x)
        return self.out(self.merge(self.masked(self.scores(q, k)).softmax(-1) @ v))

    def gelu(self, x):
        return F.gelu(x, approximate="tanh")

    def ffn(self, x):
        return self.down(self.gelu(self.up(x)))

    def forward(self, h):
        h = h + self.attend(self.norm1(h))
        return h + self.ffn(self.norm2(h))


class GPT(nn.Module):
    """The right model, of which an answer replaces a method or the block."""

    block = Block

    def __init__(self, V, T, D, H, L):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(V, D), nn.Embedding(T, D)
        self.blocks = nn.ModuleList(self.block(D, H) for _ in range(L))
        self.norm = nn.LayerNorm(D)

    def begin(self, ids):
        return self.tokens(ids) + self.positions.weight[: ids.shape[1]]

    def scores(self, h):
        return self.norm(h) @ self.tokens.weight.T

    def forward(self, ids):
        h = self.begin(ids)
        for block in self.blocks:
            h = block(h)
        return self.scores(h)


def of_block(name, **methods):
    """A GPT of blocks with these methods replaced."""
    return type(name, (GPT,), {"block": type("OtherBlock", (Block,), methods)})


def of_model(name, **methods):
    return type(name, (GPT,), methods)


wrong("plain", "GELU's exact form", true="ExactGelu")(of_block("ExactGelu", gelu=lambda self, x: F.gelu(x)))
wrong("plain", "GELU by the sigmoid, QuickGELU")(of_block("QuickGelu", gelu=lambda self, x: x * (1.702 * x).sigmoid()))
wrong("plain", "ReLU", true="ReluForGelu")(of_block("Relu", gelu=lambda self, x: x.relu()))
wrong("plain", "SiLU")(of_block("Silu", gelu=lambda self, x: F.silu(x)))


def post(self, h):
    h = self.norm1(h + self.attend(h))
    return self.norm2(h + self.ffn(h))


wrong("plain", "norms come after the sum, as in GPT-1", true="PostNorm")(of_block("PostNorm", forward=post))


def from_normed(self, h):
    h = self.norm1(h)
    h = h + self.attend(h)
    h = self.norm2(h)
    return h + self.ffn(h)


wrong("plain", "the normalised stream goes on, not the stream", true="NormedStream")(
    of_block("NormedStream", forward=from_normed)
)


def parallel(self, h):
    return h + self.attend(self.norm1(h)) + self.ffn(self.norm2(h))


wrong("plain", "both halves read the same stream, as in GPT-J", true="NetworkReadsTheInput")(
    of_block("Parallel", forward=parallel)
)


def first_norm_twice(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.ffn(self.norm1(h))


wrong("plain", "norm1 stands before both", true="OneNormTwice")(of_block("OneNorm", forward=first_norm_twice))


def no_residual(self, h):
    return self.ffn(self.norm2(self.attend(self.norm1(h))))


wrong("plain", "nothing is added to the stream")(of_block("NoResidual", forward=no_residual))
wrong("plain", "no last norm", true="NoFinalNorm")(
    of_model("NoLastNorm", scores=lambda self, h: h @ self.tokens.weight.T)
)
wrong("plain", "attention sees the future", true="NoMask")(of_block("NotCausal", masked=lambda self, Z: Z))


def one_ahead(self, Z):
    n = Z.shape[-1]
    return Z.masked_fill(torch.ones(n, n, dtype=torch.bool, device=Z.device).triu(2), -torch.inf)


wrong("plain", "each place sees one place ahead", true="SeesTheAnswer")(of_block("OneAhead", masked=one_ahead))


def without_itself(self, Z):
    n = Z.shape[-1]
    return Z.masked_fill(torch.ones(n, n, dtype=torch.bool, device=Z.device).triu(0), -torch.inf)


wrong("plain", "no place sees itself", true="SeesNotItself")(of_block("WithoutItself", masked=without_itself))


def upper(self, Z):
    n = Z.shape[-1]
    return Z.masked_fill(torch.ones(n, n, dtype=torch.bool, device=Z.device).tril(-1), -torch.inf)


wrong("plain", "the wrong triangle: the past is hidden", told="another last token changes the logits before it")(
    of_block("PastHidden", masked=upper)
)


def minus_50(self, Z):
    n = Z.shape[-1]
    return Z.masked_fill(torch.ones(n, n, dtype=torch.bool, device=Z.device).triu(1), -50.0)


wrong("far", "hidden scores are -50")(of_block("FiniteMask", masked=minus_50))


def own_softmax(self, x):
    q, k, v = self.split(x)
    E = self.masked(self.scores(q, k)).exp()
    return self.out(self.merge(E / E.sum(-1, keepdim=True) @ v))


wrong("far", "its own softmax without the maximum", told="far apart: logits is NaN")(
    of_block("OwnSoftmax", attend=own_softmax)
)


def mask_afterwards(self, x):
    q, k, v = self.split(x)
    A = self.scores(q, k).softmax(-1).tril()
    return self.out(self.merge(A / A.sum(-1, keepdim=True) @ v))


wrong("far", "softmax first, then the mask, then shares again")(of_block("MaskAfterwards", attend=mask_afterwards))
wrong("plain", "scores are not scaled", true="NotScaled")(of_block("NotScaled", scores=lambda self, q, k: q @ k.mT))
wrong("plain", "scores are divided by sqrt(D)", true="ScaledByModelWidth")(
    of_block("ScaledByD", scores=lambda self, q, k: q @ k.mT / (q.shape[-1] * self.H) ** 0.5)
)
wrong("plain", "heads first, then queries, keys, values, as in GPT-NeoX", true="ThreeWithinEachHead")(
    of_block("HeadsFirst", split=lambda self, x: self.qkv(x).unflatten(-1, (self.H, 3, -1)).transpose(1, 2).unbind(3))
)
wrong("plain", "keys, queries, values, as in minGPT's first version", true="QueriesAndKeysExchanged")(
    of_block("KeysFirst", split=lambda self, x: [Block.split(self, x)[i] for i in (1, 0, 2)])
)


def viewed(self, x):
    B, n, D = x.shape
    return [y.reshape(B, self.H, n, D // self.H) for y in self.qkv(x).chunk(3, -1)]


wrong("plain", "view in place of transpose", true="ViewWithoutTranspose")(of_block("Viewed", split=viewed))
wrong("plain", "heads are not brought back beside each other", true="MergedWithoutTranspose")(
    of_block("NotMerged", merge=lambda self, y: y.reshape(y.shape[0], y.shape[2], -1))
)


def over_heads(self, x):
    q, k, v = self.split(x)
    return self.out(self.merge(self.masked(self.scores(q, k)).softmax(1).nan_to_num() @ v))


wrong("plain", "the softmax goes over the heads")(of_block("OverHeads", attend=over_heads))
wrong("plain", "what the heads give does not go through `out`", true="NoOutputProjection")(
    of_block("NoOut", attend=lambda self, x: self.merge(F.scaled_dot_product_attention(*self.split(x), is_causal=True)))
)


class Epsilon(GPT):
    """Norms as in BERT."""

    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        for part in self.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = 1e-12


wrong("plain", "epsilon is 1e-12", told=r"another small constant \(an epsilon\)")(Epsilon)


class WideEpsilon(GPT):
    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        for part in self.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = 1e-3


wrong("plain", "epsilon is 1e-3")(WideEpsilon)
wrong("plain", "no positions", true="NoPositions")(of_model("NoPositions", begin=lambda self, ids: self.tokens(ids)))


def from_one(self, ids):
    place = torch.arange(1, ids.shape[1] + 1, device=ids.device) % self.positions.num_embeddings
    return self.tokens(ids) + self.positions(place)


wrong("plain", "positions begin with 1")(of_model("FromOne", begin=from_one))


def last_positions(self, ids):
    return self.tokens(ids) + self.positions.weight[-ids.shape[1] :]


wrong("named", "a short text has the last positions", true="LastPositions")(
    of_model("LastPositions", begin=last_positions)
)
wrong("named", "all T positions are added: a short text does not fit", told=r"logits has shape \(1, 7, 9\)")(
    of_model("AllPositions", begin=lambda self, ids: self.tokens(ids) + self.positions.weight)
)
wrong("plain", "embeddings are multiplied by sqrt(D), as in the Transformer of 2017", true="EmbeddingsScaled")(
    of_model(
        "TimesRootD",
        begin=lambda self, ids: (
            self.tokens(ids) * self.tokens.embedding_dim**0.5 + self.positions.weight[: ids.shape[1]]
        ),
    )
)


class OwnHead(GPT):
    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        self.head = nn.Linear(D, V, bias=False)

    def scores(self, h):
        return self.head(self.norm(h))


wrong("plain", "the head has weights of its own", true="Untied")(OwnHead)


class CopiedHead(GPT):
    """Equal at the start, and not when other weights are loaded."""

    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        self.register_buffer("scorer", self.tokens.weight.detach().clone(), persistent=False)

    def scores(self, h):
        return self.norm(h) @ self.scorer.T


wrong(
    "plain",
    "the head is a copy of the embedding, from the day on which the model is made",
    advice="two calls with the same arguments give two different results",
)(CopiedHead)
wrong("unwatched", "no gradient goes through the scores into the embedding", true="EmbeddingDetached")(
    of_model("DetachedHead", scores=lambda self, h: self.norm(h) @ self.tokens.weight.detach().T)
)


class NanoGPT(nn.Module):
    """nanoGPT's names."""

    def __init__(self, V, T, D, H, L):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(V, D),
                "wpe": nn.Embedding(T, D),
                "h": nn.ModuleList(Block(D, H) for _ in range(L)),
                "ln_f": nn.LayerNorm(D),
            }
        )

    def forward(self, ids):
        t = self.transformer
        h = t.wte(ids) + t.wpe.weight[: ids.shape[1]]
        for block in t.h:
            h = block(h)
        return t.ln_f(h) @ t.wte.weight.T


wrong("plain", "nanoGPT's names", told="names|no weight|missing|asked")(NanoGPT)


class OneBlock(GPT):
    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        self.blocks = nn.ModuleList([self.blocks[0]] * L)


wrong("plain", "one block L times: its weights are shared", true="OneBlock")(OneBlock)


def early(self, ids):
    h = self.begin(ids)
    for block in self.blocks:
        h = block(h)
        return self.scores(h)
    return None


wrong("onward", "the return stands in the loop: the first block alone", told="right where L is 1 or less")(
    of_model("EarlyReturn", forward=early)
)


def all_from_the_start(self, ids):
    h = self.begin(ids)
    for block in self.blocks:
        y = block(h)
    return self.scores(y)


wrong("onward", "each block reads the embeddings, and the last one decides", true="NotHandedOn")(
    of_model("NotHandedOn", forward=all_from_the_start)
)


class Dropout(GPT):
    def begin(self, ids):
        return F.dropout(super().begin(ids), 0.1)


wrong("plain", "dropout, which nobody asked for", told="something in it is random")(Dropout)


class KeptMask(Block):
    mask = None

    def masked(self, Z):
        if self.mask is None:
            self.mask = torch.ones_like(Z[0, 0], dtype=torch.bool).triu(1)
        return Z.masked_fill(self.mask, -torch.inf)


wrong("again", "the mask of the first text is kept", told="keeps something from one call")(
    type("MaskKept", (GPT,), {"block": KeptMask})
)

PLACES = {}


def kept_places(self, ids):
    place = PLACES.setdefault("place", torch.arange(ids.shape[1], device=ids.device))
    return self.tokens(ids) + self.positions(place[: ids.shape[1]] if len(place) > ids.shape[1] else place)


wrong(
    "again",
    "the places of the first text are kept, for all models",
    advice="keeps something|right where n is",
)(of_model("PlacesKept", begin=kept_places))
wrong("ones", "a batch of one loses its dimension", told="lost a dimension of size 1")(
    of_model("Squeezed", scores=lambda self, h: GPT.scores(self, h).squeeze(0))
)


class Long(Block):
    def masked(self, Z):
        n = Z.shape[-1]
        hidden = torch.zeros(n, n, dtype=torch.bool, device=Z.device)
        hidden[:64, :64] = torch.ones(64, 64, dtype=torch.bool, device=Z.device).triu(1)[:n, :n]
        return Z.masked_fill(hidden, -torch.inf)


wrong("large", "the mask ends with place 64", told="right where n is 6 or less, wrong where it is 70")(
    type("ShortMask", (GPT,), {"block": Long})
)


class Seeded(GPT):
    def __init__(self, V, T, D, H, L):
        torch.manual_seed(1337)
        super().__init__(V, T, D, H, L)


wrong("surroundings", "torch.manual_seed(1337) where the model is made", told="sets the seed")(Seeded)


def start_token(self, ids):
    ids[:, 0] = 0
    return GPT.begin(self, ids)


wrong("given", "the first token becomes a start token, in place", told="changes its input ids")(
    of_model("StartToken", begin=start_token)
)


class PaddingIndex(GPT):
    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        self.tokens = nn.Embedding(V, D, padding_idx=0)


wrong(
    "named",
    "token 0 is padding: its vector learns nothing where it is read",
    told="dtokens.weight differs in 4 of 20 entries, only where index -2 is 0",
)(PaddingIndex)
wrong("plain", "the logits of the last place alone, as when a text is written", told=r"logits has shape \(2, 1, ")(
    of_model("LastPlace", scores=lambda self, h: GPT.scores(self, h[:, [-1]]))
)
wrong("plain", "logits and loss, as nanoGPT returns them", told="returned a tuple of 2")(
    of_model("WithLoss", forward=lambda self, ids: (GPT.forward(self, ids), None))
)
wrong("plain", "log-probabilities", told="a log-softmax does")(
    of_model("LogSoftmax", scores=lambda self, h: GPT.scores(self, h).log_softmax(-1))
)
wrong("plain", "float32 inside, whatever the weights are", told="mixed dtype")(
    of_model("Single", begin=lambda self, ids: GPT.begin(self, ids).float())
)
wrong("plain", "two slips: exact GELU, and no last norm")(
    type(
        "TwoSlips",
        (GPT,),
        {
            "block": type("OtherBlock", (Block,), {"gelu": lambda self, x: F.gelu(x)}),
            "scores": lambda self, h: h @ self.tokens.weight.T,
        },
    )
)


# Right ones.


class MinBlock(nn.Module):
    """minGPT: a mask as a buffer, GELU by its formula."""

    def __init__(self, D, H, T):
        super().__init__()
        self.norm1, self.qkv, self.out = nn.LayerNorm(D), nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.norm2, self.up, self.down = nn.LayerNorm(D), nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        self.drop = nn.Dropout(0.0)
        self.register_buffer("bias", torch.tril(torch.ones(T, T)).view(1, 1, T, T))
        self.n_head = H

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.qkv(self.norm1(x)).split(C, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
        y = (self.drop(F.softmax(att, dim=-1)) @ v).transpose(1, 2).contiguous().view(B, T, C)
        x = x + self.drop(self.out(y))
        z = self.up(self.norm2(x))
        z = 0.5 * z * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * torch.pow(z, 3.0))))
        return x + self.down(z)


@ANSWERS.right
class MinGPT(nn.Module):
    def __init__(self, V: int, T: int, D: int, H: int, L: int):
        super().__init__()
        self.tokens = nn.Embedding(V, D)
        self.positions = nn.Embedding(T, D)
        self.blocks = nn.ModuleList([MinBlock(D, H, T) for _ in range(L)])
        self.norm = nn.LayerNorm(D, eps=1e-5)
        self.lm_head = nn.Linear(D, V, bias=False)
        self.lm_head.weight = self.tokens.weight
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)

    def forward(self, ids):
        pos = torch.arange(0, ids.size(1), dtype=torch.long, device=ids.device).unsqueeze(0)
        x = self.tokens(ids) + self.positions(pos)
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.norm(x))


@ANSWERS.right
class TiedTheOtherWay(GPT):
    """The embedding takes the head's weight; blocks in a Sequential."""

    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        self.head = nn.Linear(D, V, bias=False)
        self.tokens.weight = self.head.weight
        self.blocks = nn.Sequential(*self.blocks)

    def forward(self, ids):
        return self.head(self.norm(self.blocks(self.begin(ids))))


class HeadByHead(Block):
    def attend(self, x):
        D = x.shape[-1]
        d = D // self.H
        W, b = self.qkv.weight, self.qkv.bias
        mixed = []
        for i in range(self.H):
            q, k, v = (
                F.linear(x, W[j * D + i * d : j * D + (i + 1) * d], b[j * D + i * d : j * D + (i + 1) * d])
                for j in range(3)
            )
            Z = torch.einsum("bid,bjd->bij", q, k).div(math.sqrt(d))
            future = torch.full(Z.shape[1:], -math.inf, dtype=Z.dtype, device=Z.device).triu(1)
            mixed.append(F.softmax(Z + future, -1) @ v)
        return self.out(torch.cat(mixed, -1))


ANSWERS.right(type("ByHeads", (GPT,), {"block": HeadByHead}))


class Fused(Block):
    """torch's attention, norms as functions, GELU as a module."""

    def __init__(self, D, H):
        super().__init__(D, H)
        self.act = nn.GELU("tanh")
        self.register_buffer("scale", torch.tensor(float(D // H)).rsqrt(), persistent=False)

    def attend(self, x):
        q, k, v = torch.tensor_split(self.qkv(x), 3, dim=-1)
        q, k, v = (y.reshape(*y.shape[:2], self.H, -1).permute(0, 2, 1, 3) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.permute(0, 2, 1, 3).reshape(x.shape))

    def gelu(self, x):
        return self.act(x)


ANSWERS.right(type("FusedGPT", (GPT,), {"block": Fused}))


# A second round.


class ThreeMaps(Block):
    def __init__(self, D, H):
        super().__init__(D, H)
        del self.qkv
        self.query, self.key, self.value = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D)

    def split(self, x):
        return [m(x).unflatten(-1, (self.H, -1)).transpose(1, 2) for m in (self.query, self.key, self.value)]


wrong("plain", "three maps in place of `qkv`", told="query")(type("ThreeLinears", (GPT,), {"block": ThreeMaps}))


def scaled_residual(self, h):
    h = h + self.attend(self.norm1(h)) / 2**0.5
    return h + self.ffn(self.norm2(h)) / 2**0.5


wrong("plain", "what is added is scaled in forward, as the weights are at the start")(
    of_block("ScaledResidual", forward=scaled_residual)
)


def norm_each(self, ids):
    h = self.begin(ids)
    for block in self.blocks:
        h = self.norm(block(h))
    return h @ self.tokens.weight.T


wrong("onward", "the last norm stands behind each block", told="right where L is 1 or less")(
    of_model("NormEach", forward=norm_each)
)
wrong("plain", "positions are multiplied, not added")(
    of_model("Times", begin=lambda self, ids: self.tokens(ids) * self.positions.weight[: ids.shape[1]])
)
wrong("ones", "all heads are one", true="OneHead")(
    of_block("OneHead", split=lambda self, x: [y[:, None] for y in self.qkv(x).chunk(3, -1)])
)


class Norm(nn.Module):
    """By its equation, with parameters of its own."""

    def __init__(self, D):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(D)), nn.Parameter(torch.zeros(D))

    def forward(self, x):
        var, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
        return (x - mean) * torch.rsqrt(var + 1e-5) * self.weight + self.bias


@ANSWERS.right
class OwnNorms(GPT):
    def __init__(self, V, T, D, H, L):
        super().__init__(V, T, D, H, L)
        for block in self.blocks:
            block.norm1, block.norm2 = Norm(D), Norm(D)
        self.norm = Norm(D)
