"""The head for masked words and its loss. Devlin et al. 2019, section 3.1; Press and Wolf 2017 (tied weights).

logits = Norm(GELU(X W + b)) E^T + c with the embedding matrix E (V, D) itself and a bias c of its own. The loss is
the mean of -log softmax(logits)[label] over the places whose label is not -100.
"""

import math

import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, relu

from grader.contract import Trusted


class Parts(nn.Module):
    """The modules of the head, tied; forward and its steps are what an implementation writes."""

    def __init__(self, token):
        super().__init__()
        V, D = token.weight.shape
        self.dense, self.norm = nn.Linear(D, D), nn.LayerNorm(D, eps=1e-12)
        self.decoder = nn.Linear(D, V)
        self.decoder.weight = token.weight

    def forward(self, X):
        return self.decode(self.norm(self.activation(self.dense(X))))

    def activation(self, X):
        return gelu(X)

    def decode(self, Y):
        return self.decoder(Y)


class Reference(Parts):
    def forward(self, X):
        Z = X @ self.dense.weight.T + self.dense.bias
        Z = Z * 0.5 * (1 + torch.erf(Z / math.sqrt(2)))
        E, c = self.decoder.weight, self.decoder.bias
        return self.norm(Z) @ E.T + c


def reference_loss(head, X, labels):
    asked = labels != -100
    log_p = head(X).log_softmax(-1)
    terms = [-log_p[b, t, labels[b, t]] for b, t in asked.nonzero().tolist()]
    return sum(terms) / len(terms)


TRUSTED = Trusted((Reference, reference_loss), budget="two objects: nine slips in the head, eight in its loss")
wrong_head, wrong_loss = TRUSTED.one_by_one()


def masked_loss(head, X, labels):
    return cross_entropy(head(X).flatten(0, 1), labels.flatten())


@wrong_head(
    "The decoder's weight is a Parameter of its own, a copy or a new one, and goes its own way from the first step on: "
    "assign the embedding's, `self.decoder.weight = token.weight`."
)
class UntiedCopy(Parts):
    def __init__(self, token):
        super().__init__(token)
        self.decoder.weight = nn.Parameter(token.weight.detach().clone())


@wrong_head("The logits are Y E^T without the decoder's bias: call the decoder, or add `self.decoder.bias`.")
class BiasNotAdded(Parts):
    def decode(self, Y):
        return Y @ self.decoder.weight.T


@wrong_head("The norm is missing: between GELU and decoder the vectors are normalised.")
class NoNorm(Parts):
    def forward(self, X):
        return self.decode(self.activation(self.dense(X)))


@wrong_head("The norm comes before the GELU: the order is dense, GELU, norm, decoder.")
class NormBeforeGelu(Parts):
    def forward(self, X):
        return self.decode(self.activation(self.norm(self.dense(X))))


@wrong_head("The GELU is missing: without it dense and decoder are one linear map, apart from the norm.")
class NoGelu(Parts):
    def activation(self, X):
        return X


@wrong_head("The activation is ReLU; BERT's is GELU.")
class ReluForGelu(Parts):
    def activation(self, X):
        return relu(X)


@wrong_head("This is the tanh approximation of GELU, GPT-2's; BERT uses the exact one, the default of `gelu`.")
class TanhGelu(Parts):
    def activation(self, X):
        return gelu(X, approximate="tanh")


@wrong_head("The head returns probabilities. Cross-entropy takes logits: it has the softmax inside.")
class SoftmaxInTheHead(Parts):
    def decode(self, Y):
        return self.decoder(Y).softmax(-1)


@wrong_head(
    "The embedding is used through `.data` or `.detach()`: the value is right, but no gradient comes back to it from "
    "the decoder."
)
class EmbeddingDetached(Parts):
    def decode(self, Y):
        return Y @ self.decoder.weight.detach().T + self.decoder.bias


@wrong_loss(
    "The sum is divided by all B T places. Only the places with a label count, or the loss depends on how much was "
    "masked and how long the padding is."
)
def averaged_over_all_places(head, X, labels):
    return cross_entropy(head(X).flatten(0, 1), labels.flatten(), reduction="sum") / labels.numel()


@wrong_loss("Probabilities are handed to cross_entropy, which has the softmax inside: it takes logits.")
def softmax_twice(head, X, labels):
    return cross_entropy(head(X).softmax(-1).flatten(0, 1), labels.flatten())


@wrong_loss("The terms are summed: divide by the number of places that have a label.")
def summed(head, X, labels):
    return cross_entropy(head(X).flatten(0, 1), labels.flatten(), reduction="sum")


@wrong_loss(
    "The mean is taken in each sentence first: then a masked word in a sentence with one counts more than one in a "
    "sentence with four. Take one mean over all masked words."
)
def mean_of_means(head, X, labels):
    log_p = head(X).log_softmax(-1).gather(-1, labels.clamp_min(0)[..., None])[..., 0]
    asked = labels != -100
    rows = -(log_p * asked).sum(1) / asked.sum(1).clamp_min(1)
    return rows.sum() / asked.any(1).sum()


@wrong_loss(
    "A label of -100 is taken for token 0, so every place counts, seen words and padding too. Leave those places out."
)
def ignored_label_counts_as_token_0(head, X, labels):
    return cross_entropy(head(X).flatten(0, 1), labels.clamp_min(0).flatten())


@wrong_loss(
    "Logits and labels are shifted against each other by one place. That is how a model that predicts the next token "
    "is trained; a masked word is asked for at its own place."
)
def shifted_by_one(head, X, labels):
    return cross_entropy(head(X)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


@wrong_loss("The loss leaves the graph (`.item()`, `.detach()`, `.data`): nothing would be learned from it.")
def loss_detached(head, X, labels):
    return masked_loss(head, X, labels).detach()


@wrong_loss("Places with label 0 are left out: the label that asks for nothing is -100, and 0 is a token.")
def ignores_token_0(head, X, labels):
    labels = labels.masked_fill(labels == -100, 0)
    return cross_entropy(head(X).flatten(0, 1), labels.flatten(), ignore_index=0)


def chosen_first(head, X, labels):
    """The head runs on masked places only: the same value for a seventh of the work."""
    asked = labels != -100
    return cross_entropy(head(X[asked]), labels[asked])


def transposed(head, X, labels):
    return cross_entropy(head(X).transpose(1, 2), labels, ignore_index=-100)


def by_hand(head, X, labels):
    logits = head(X)
    log_p = logits - torch.logsumexp(logits, -1, keepdim=True)
    asked = (labels >= 0).to(X.dtype)
    picked = log_p.gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    return -(picked * asked).sum() / asked.sum()


TRUSTED.add_alternative("chosen_first", Parts, chosen_first)
TRUSTED.add_alternative("transposed", Parts, transposed)
TRUSTED.add_alternative("by_hand", Parts, by_hand)
