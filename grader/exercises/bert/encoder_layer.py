"""X' = Norm(X + MultiHead(X)), Y = Norm(X' + W_2 GELU(W_1 X' + b_1) + b_2).

Vaswani et al. 2017, sections 3.1 to 3.3; Devlin et al. 2019, section 3: GELU, and no mask but that of the padding.
A token reads real tokens only; what stands on padding afterwards is not compared, but it must be finite.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from grader.contract import Trusted


class Parts(nn.Module):
    """The layer in steps, so that a mistake below is written as the one step in which it differs."""

    def __init__(self, D, H, F):
        super().__init__()
        self.H = H
        self.query, self.key, self.value, self.output = (nn.Linear(D, D) for _ in range(4))
        self.norm_attention, self.norm_output = (nn.LayerNorm(D, eps=1e-12) for _ in range(2))
        self.up, self.down = nn.Linear(D, F), nn.Linear(F, D)

    def forward(self, X, real):
        X = self.norm_attention(X + self.attention(X, real))
        return self.norm_output(X + self.network(X))

    def attention(self, X, real):
        Q, K, V = (self.split(x) for x in self.project(X))
        return self.project_back(self.merge(self.weights(self.scores(Q, K), real) @ V))

    def project(self, X):
        return self.query(X), self.key(X), self.value(X)

    def split(self, X):
        return X.unflatten(-1, (self.H, -1)).transpose(1, 2)

    def scores(self, Q, K):
        return Q @ K.mT / Q.shape[-1] ** 0.5

    def weights(self, Z, real):
        return Z.masked_fill(~real[:, None, None, :], -torch.inf).softmax(-1)

    def merge(self, Y):
        return Y.transpose(1, 2).flatten(2)

    def project_back(self, Y):
        return self.output(Y)

    def network(self, X):
        return self.down(self.activation(self.up(X)))

    activation = staticmethod(functional.gelu)


class Reference(Parts):
    def forward(self, X, real):
        d = X.shape[-1] // self.H
        sentences = []
        for x, seen in zip(X, real, strict=True):
            Q, K, V = self.query(x), self.key(x)[seen], self.value(x)[seen]  # padding is not even there
            heads = []
            for h in range(self.H):
                columns = slice(h * d, (h + 1) * d)
                A = (Q[:, columns] @ K[:, columns].T / math.sqrt(d)).softmax(-1)
                heads.append(A @ V[:, columns])
            x = self.norm_attention(x + self.output(torch.cat(heads, -1)))
            u = self.up(x)
            gelu = u * (1 + torch.erf(u / math.sqrt(2))) / 2
            sentences.append(self.norm_output(x + self.down(gelu)))
        return torch.stack(sentences)


TRUSTED = Trusted(Reference)


@TRUSTED.mistake(
    "This is pre-norm, GPT-2's order: BERT normalises the sums, Norm(X + f(X)), not what a sublayer reads."
)
class PreNorm(Parts):
    def forward(self, X, real):
        X = X + self.attention(self.norm_attention(X), real)
        return X + self.network(self.norm_output(X))


@TRUSTED.mistake("The norm sits on what a sublayer returns, before the residual is added: normalise the sum.")
class NormOnTheBranch(Parts):
    def forward(self, X, real):
        X = X + self.norm_attention(self.attention(X, real))
        return X + self.norm_output(self.network(X))


@TRUSTED.mistake("`norm_attention` is used twice: the second sum has a norm of its own, `norm_output`.")
class OneNormTwice(Parts):
    def forward(self, X, real):
        X = self.norm_attention(X + self.attention(X, real))
        return self.norm_attention(X + self.network(X))


@TRUSTED.mistake("The two norms are exchanged: `norm_attention` comes first.")
class NormsExchanged(Parts):
    def forward(self, X, real):
        X = self.norm_output(X + self.attention(X, real))
        return self.norm_attention(X + self.network(X))


@TRUSTED.mistake("Neither sum is normalised: `norm_attention` and `norm_output` are made and never used.")
class NoNorms(Parts):
    def forward(self, X, real):
        X = X + self.attention(X, real)
        return X + self.network(X)


@TRUSTED.mistake("The first sum is not normalised: `norm_attention` comes before the feed-forward network.")
class NoAttentionNorm(Parts):
    def forward(self, X, real):
        X = X + self.attention(X, real)
        return self.norm_output(X + self.network(X))


@TRUSTED.mistake("The second sum is not normalised: `norm_output` is the layer's last step.")
class NoOutputNorm(Parts):
    def forward(self, X, real):
        X = self.norm_attention(X + self.attention(X, real))
        return X + self.network(X)


@TRUSTED.mistake("The residual around attention is missing: normalise X plus what attention returns.")
class NoAttentionResidual(Parts):
    def forward(self, X, real):
        X = self.norm_attention(self.attention(X, real))
        return self.norm_output(X + self.network(X))


@TRUSTED.mistake("The residual around the feed-forward network is missing: add what the network reads to its result.")
class NoNetworkResidual(Parts):
    def forward(self, X, real):
        X = self.norm_attention(X + self.attention(X, real))
        return self.norm_output(self.network(X))


@TRUSTED.mistake(
    "The second residual adds the layer's input X. It adds what the network reads, X' = Norm(X + attention), so that "
    "the layer builds on what attention found."
)
class SecondResidualFromTheInput(Parts):
    def forward(self, X, real):
        X1 = self.norm_attention(X + self.attention(X, real))
        return self.norm_output(X + self.network(X1))


@TRUSTED.mistake("The feed-forward network reads the layer's input; it reads the normalised sum of the first half.")
class NetworkReadsTheInput(Parts):
    def forward(self, X, real):
        X1 = self.norm_attention(X + self.attention(X, real))
        return self.norm_output(X1 + self.network(X))


@TRUSTED.mistake(
    "This is half a layer: Norm(X + MultiHead(X)). The feed-forward network with its own residual and norm is missing."
)
class NoNetwork(Parts):
    def forward(self, X, real):
        return self.norm_attention(X + self.attention(X, real))


@TRUSTED.mistake(
    "`real` has no effect on what a real token reads. Hide the *keys* that are not real, so that no token reads "
    "filler: the mask must vary along the last dimension of the scores, `real[:, None, None, :]`."
)
class MaskMissing(Parts):
    def weights(self, Z, real):
        return Z.softmax(-1)


@TRUSTED.mistake(
    "The mask hides queries, rows of the scores. A row of filler becomes 0/0, NaN, and real tokens still read filler. "
    "Hide the keys: the last dimension of the scores, `real[:, None, None, :]`."
)
class MaskOnQueries(Parts):
    def weights(self, Z, real):
        return Z.masked_fill(~real[:, None, :, None], -torch.inf).softmax(-1)


@TRUSTED.mistake(
    "Real tokens are right, but the rows of filler are NaN, because you hide them as queries as well: a row that may "
    "read nothing is 0/0. Hide the keys only; what filler reads harms nobody, and NaN spreads."
)
class MaskOnBoth(Parts):
    def weights(self, Z, real):
        seen = real[:, None, None, :] & real[:, None, :, None]
        return Z.masked_fill(~seen, -torch.inf).softmax(-1)


@TRUSTED.mistake(
    "The mask is upside down: real tokens are hidden, filler is read. `real` is True for a token, `masked_fill` fills "
    "where its mask is True."
)
class MaskInverted(Parts):
    def weights(self, Z, real):
        # Where nothing is padding nothing is read; a large number in place of -inf would read everything.
        return Z.masked_fill(real[:, None, None, :], -torch.inf).softmax(-1)


@TRUSTED.mistake(
    "The mask is upside down: real tokens get the score of filler and filler is read. `real` is True for a token, "
    "`masked_fill` fills where its mask is True."
)
class MaskInvertedFinite(Parts):
    def weights(self, Z, real):
        return Z.masked_fill(real[:, None, None, :], -1e9).softmax(-1)


@TRUSTED.mistake(
    "The mask is upside down: `attn_mask` of F.scaled_dot_product_attention is True where a token may be read (the "
    "masks of nn.MultiheadAttention ask the opposite question). Hand over `real` as it is."
)
class MaskInvertedFused(Parts):
    def attention(self, X, real):
        Q, K, V = (self.split(x) for x in self.project(X))
        hidden = ~real[:, None, None, :]
        return self.output(self.merge(functional.scaled_dot_product_attention(Q, K, V, attn_mask=hidden)))


@TRUSTED.mistake(
    "The mask is added to the scores as the numbers 0 and 1: filler is still read, only a little less. Keep `real` "
    "Boolean, or add 0 and -inf."
)
class MaskAddedAsNumbers(Parts):
    def weights(self, Z, real):
        return (Z + real[:, None, None, :]).softmax(-1)


@TRUSTED.mistake(
    "The mask comes after the softmax: filler has already taken its share, and the weights of a row no longer sum to 1."
)
class MaskAfterSoftmax(Parts):
    def weights(self, Z, real):
        return Z.softmax(-1) * real[:, None, None, :]


@TRUSTED.mistake(
    "Filler gets the score 0, and a score of 0 is read like any other: $e^0$ = 1. Give it -inf before the softmax."
)
class ScoreZero(Parts):
    def weights(self, Z, real):
        return (Z * real[:, None, None, :]).softmax(-1)


@TRUSTED.mistake(
    "The vectors of filler are set to 0 and then read like others: their keys and values are still the biases, and "
    "their weight is not 0. Hide the scores."
)
class InputsZeroed(Parts):
    def attention(self, X, real):
        return super().attention(X * real[..., None], torch.ones_like(real))


@TRUSTED.mistake(
    "A causal mask is left in: an encoder reads in both directions, so that every token sees every real one."
)
class CausalLeftIn(Parts):
    def weights(self, Z, real):
        past = torch.ones(Z.shape[-2:], dtype=torch.bool, device=Z.device).tril()
        seen = real[:, None, None, :] & past
        # A row without any key, at padding on the left, is harmless zero here.
        return Z.masked_fill(~seen, -torch.inf).softmax(-1).nan_to_num(0)


@TRUSTED.mistake("The scores are divided by sqrt(D). A head's dot product has d = D / H terms: divide by sqrt(d).")
class ScaledByWidth(Parts):
    def scores(self, Q, K):
        return super().scores(Q, K) / self.H**0.5


@TRUSTED.mistake("The scores are divided by d, not by its square root.")
class ScaledWithoutRoot(Parts):
    def scores(self, Q, K):
        return Q @ K.mT / Q.shape[-1]


@TRUSTED.mistake("The scores are not divided by sqrt(d), the square root of the head's width.")
class NotScaled(Parts):
    def scores(self, Q, K):
        return Q @ K.mT


@TRUSTED.mistake(
    "The projections are viewed as (B, H, T, d) without a transpose: a head gets the whole width of some tokens in "
    "place of its slice of every token."
)
class ViewWithoutTranspose(Parts):
    def split(self, X):
        return X.reshape(len(X), self.H, X.shape[1], -1)


@TRUSTED.mistake(
    "The heads are joined by a reshape without moving them behind the tokens first: transpose, then flatten."
)
class MergedWithoutTranspose(Parts):
    def merge(self, Y):
        B, H, T, d = Y.shape
        return Y.reshape(B, T, H * d)


@TRUSTED.mistake("Head h gets every H-th column; it should get d neighbouring ones: split the width as (H, d).")
class HeadsInterleaved(Parts):
    def split(self, X):
        return X.unflatten(-1, (-1, self.H)).permute(0, 3, 1, 2)

    def merge(self, Y):
        return Y.permute(0, 2, 3, 1).flatten(2)


@TRUSTED.mistake("The heads are ignored: one head of width D in place of H heads of width d.")
class OneHead(Parts):
    def split(self, X):
        return X[:, None]


@TRUSTED.mistake("The softmax runs over the queries: the weights of one *query* must sum to 1 over the keys, dim=-1.")
class SoftmaxOverQueries(Parts):
    def weights(self, Z, real):
        return Z.masked_fill(~real[:, None, None, :], -torch.inf).softmax(-2).nan_to_num(0)


@TRUSTED.mistake("The output projection is left out: `output` mixes the merged heads before the residual is added.")
class NoOutputProjection(Parts):
    def project_back(self, Y):
        return Y


@TRUSTED.mistake("Queries and keys are exchanged: `query` belongs to the rows of the scores, `key` to the columns.")
class QueriesAndKeysExchanged(Parts):
    def project(self, X):
        return self.key(X), self.query(X), self.value(X)


@TRUSTED.mistake("The keys are mixed in place of the values: `value` is never used.")
class KeysAsValues(Parts):
    def project(self, X):
        return self.query(X), self.key(X), self.key(X)


@TRUSTED.mistake("The input itself is mixed, unprojected: `value` is never used.")
class InputAsValues(Parts):
    def project(self, X):
        return self.query(X), self.key(X), X


@TRUSTED.mistake("This is the tanh approximation of GELU, GPT-2's; BERT uses the exact one, the default of F.gelu.")
class TanhGelu(Parts):
    activation = staticmethod(lambda X: functional.gelu(X, approximate="tanh"))


@TRUSTED.mistake("The feed-forward network uses ReLU, as in 2017; BERT uses GELU.")
class Relu(Parts):
    activation = staticmethod(functional.relu)


@TRUSTED.mistake("There is no activation between `up` and `down`: two linear maps in a row are just one.")
class NoActivation(Parts):
    activation = staticmethod(lambda X: X)


@TRUSTED.mistake("The activation comes after `down`; it stands between `up` and `down`.")
class ActivationLast(Parts):
    def network(self, X):
        return functional.gelu(self.down(self.up(X)))


@TRUSTED.mistake(
    "The values are right, but the scores are cut off from the gradient: queries and keys would never learn."
)
class WeightsDetached(Parts):
    def weights(self, Z, real):
        return super().weights(Z, real).detach()


TRUSTED.add_alternative("in_steps", Parts)


@TRUSTED.alternative
class Fused(Parts):
    def attention(self, X, real):
        Q, K, V = (self.split(x) for x in self.project(X))
        seen = real[:, None, None, :]
        return self.output(self.merge(functional.scaled_dot_product_attention(Q, K, V, attn_mask=seen)))


@TRUSTED.alternative
class LargeNumber(Parts):
    """google-research/bert adds -10000 to the scores of padding; its exp is 0 all the same."""

    def weights(self, Z, real):
        return (Z + (1 - real[:, None, None, :].to(Z.dtype)) * -10000.0).softmax(-1)


@TRUSTED.alternative
class PaddingCleared(Parts):
    """Filler is 0 afterwards: nobody reads it."""

    def forward(self, X, real):
        return super().forward(X, real) * real[..., None]


@TRUSTED.alternative
class Einsum(Parts):
    def attention(self, X, real):
        (B, T, D), H = X.shape, self.H
        Q, K, V = (x.view(B, T, H, D // H) for x in self.project(X))
        Z = torch.einsum("bthd,bshd->bhts", Q, K) * (D // H) ** -0.5
        A = torch.where(real[:, None, None, :], Z, -torch.inf).softmax(-1)
        return self.output(torch.einsum("bhts,bshd->bthd", A, V).reshape(B, T, D))


@TRUSTED.alternative
class FromThePackage(Parts):
    """torch's functional multi-head attention with the four projections."""

    def attention(self, X, real):
        weight = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        bias = torch.cat([self.query.bias, self.key.bias, self.value.bias])
        x = X.transpose(0, 1)
        Y, _ = functional.multi_head_attention_forward(
            *(x, x, x, X.shape[-1], self.H, weight, bias, None, None, False, 0.0),
            *(self.output.weight, self.output.bias),
            key_padding_mask=~real,
            need_weights=False,
        )
        return Y.transpose(0, 1)
