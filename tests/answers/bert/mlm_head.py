"""Answers to bert.mlm_head."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.mlm_head",
    spared={
        "onward": "there is no event: each call stands alone",
        "dependence": "nothing is drawn",
        "unwatched": "nothing is watched but the results and their gradients",
    },
)


class Head(nn.Module):
    """A right one, in steps."""

    def __init__(self, token):
        super().__init__()
        V, D = token.weight.shape
        self.dense, self.norm = nn.Linear(D, D), nn.LayerNorm(D, eps=1e-12)
        self.decoder = nn.Linear(D, V)
        self.tie(token)

    def tie(self, token):
        self.decoder.weight = token.weight

    def forward(self, X):
        return self.decoder(self.norm(F.gelu(self.dense(X))))


def loss(head, X, labels):
    return F.cross_entropy(head(X).flatten(0, -2), labels.flatten())


@ANSWERS.wrong(
    "given", "the embedding gets the decoder's new weights", told=r"token.weight is another Parameter than before"
)
class TiedTheOtherWay(Head):
    def tie(self, token):
        token.weight = self.decoder.weight


@ANSWERS.wrong("given", "the numbers are copied", true="UntiedCopy", told=r"a matrix of its own")
class Copied(Head):
    def tie(self, token):
        self.decoder.weight = nn.Parameter(token.weight.clone())


@ANSWERS.wrong("given", "deepcopy of the embedding's weight", true="UntiedCopy", told=r"a matrix of its own")
class DeepCopied(Head):
    def tie(self, token):
        self.decoder.weight = copy.deepcopy(token.weight)


@ANSWERS.wrong(
    "given", "the numbers are shared, the Parameters are two", true="UntiedCopy", told=r"a matrix of its own"
)
class SharedData(Head):
    def tie(self, token):
        self.decoder.weight.data = token.weight.data


@ANSWERS.wrong(
    "given", "the embedding is initialised anew, with BERT's 0.02", told=r"the numbers of token.weight are changed"
)
class Initialised(Head):
    def tie(self, token):
        self.decoder.weight = token.weight
        nn.init.normal_(self.decoder.weight, std=0.02)


@ANSWERS.wrong("given", "the embedding is frozen: requires_grad_(False)", told=r"token.weight is frozen")
class Frozen(Head):
    def tie(self, token):
        self.decoder.weight = token.weight.requires_grad_(False)


@ANSWERS.wrong(
    "plain",
    "the embedding is kept as a module, and its weight multiplied: no decoder",
    told=r"no weight called 'decoder",
)
class NoDecoder(nn.Module):
    def __init__(self, token):
        super().__init__()
        V, D = token.weight.shape
        self.dense, self.norm = nn.Linear(D, D), nn.LayerNorm(D, eps=1e-12)
        self.token, self.bias = token, nn.Parameter(torch.zeros(V))

    def forward(self, X):
        return self.norm(F.gelu(self.dense(X))) @ self.token.weight.T + self.bias


@ANSWERS.wrong("plain", "a decoder without bias", told=r"no weight called 'decoder.bias'")
class WithoutBias(Head):
    def __init__(self, token):
        super().__init__(token)
        self.decoder = nn.Linear(*reversed(token.weight.shape), bias=False)
        self.decoder.weight = token.weight


@ANSWERS.wrong("plain", "D and V exchanged in the decoder", true="UntiedCopy")
class Exchanged(Head):
    def __init__(self, token):
        super().__init__(token)
        V, D = token.weight.shape
        self.decoder = nn.Linear(V, D)


@ANSWERS.wrong("plain", "no GELU", true="NoGelu")
class WithoutGELU(Head):
    def forward(self, X):
        return self.decoder(self.norm(self.dense(X)))


@ANSWERS.wrong("plain", "the norm stands before GELU", true="NormBeforeGelu")
class NormFirst(Head):
    def forward(self, X):
        return self.decoder(F.gelu(self.norm(self.dense(X))))


@ANSWERS.wrong("plain", "a softmax at the end", true="SoftmaxInTheHead")
class WithSoftmax(Head):
    def forward(self, X):
        return super().forward(X).softmax(-1)


@ANSWERS.wrong("plain", "log_softmax in place of logits: the loss is the same", told=r"a log-softmax does")
class WithLogSoftmax(Head):
    def forward(self, X):
        return super().forward(X).log_softmax(-1)


@ANSWERS.wrong("plain", "GELU's approximation by tanh", true="TanhGelu")
class TanhGELU(Head):
    def forward(self, X):
        return self.decoder(self.norm(F.gelu(self.dense(X), approximate="tanh")))


@ANSWERS.wrong("named", "vectors of three dimensions only", told=r"X is \(8,\)")
class ThreeDimensions(Head):
    def forward(self, X):
        B, T, D = X.shape
        return super().forward(X.reshape(B * T, D)).reshape(B, T, -1)


@ANSWERS.wrong("ones", "squeeze() loses a dimension of size 1", told=r"lost a dimension of size 1")
class Squeezed(Head):
    def forward(self, X):
        return super().forward(X).squeeze()


@ANSWERS.wrong(
    "again", "logits of the first call are kept while the shape is the same", told="keeps what an earlier call gave"
)
class KeptLogits(Head):
    def forward(self, X):
        if not hasattr(self, "logits") or self.logits.shape[:-1] != X.shape[:-1]:
            self.logits = super().forward(X)
        return self.logits


@ANSWERS.wrong("surroundings", "the head's forward turns gradients off for good", told=r"leaves gradients switched off")
class GradientsOff(Head):
    def forward(self, X):
        Y = super().forward(X)
        torch.set_grad_enabled(False)
        return Y


@ANSWERS.wrong(
    "plain", "the mean over all places, those without a label counted as 0", true="averaged_over_all_places", at=1
)
def over_all_places(head, X, labels):
    each = F.cross_entropy(head(X).flatten(0, -2), labels.flatten(), reduction="none")
    return each.mean()


@ANSWERS.wrong("plain", "a mean of the sentences' means", true="mean_of_means", at=1)
def mean_of_means(head, X, labels):
    return torch.stack(
        [F.cross_entropy(head(x), y) for x, y in zip(X, labels, strict=True) if (y != -100).any()]
    ).mean()


@ANSWERS.wrong("plain", "the sum", true="summed", at=1)
def summed(head, X, labels):
    return F.cross_entropy(head(X).flatten(0, -2), labels.flatten(), reduction="sum")


@ANSWERS.wrong("named", "token 0 is left out as well", true="ignores_token_0", at=1)
def without_zero(head, X, labels):
    asked = labels > 0
    return F.cross_entropy(head(X[asked]), labels[asked])


@ANSWERS.wrong("plain", "softmax before the cross-entropy", true="softmax_twice", at=1)
def softmax_twice(head, X, labels):
    return F.cross_entropy(head(X).softmax(-1).flatten(0, -2), labels.flatten())


@ANSWERS.wrong("plain", "logits and labels as they are: (B, T, V) and (B, T)", told=r"labels is \(", at=1)
def not_flattened(head, X, labels):
    return F.cross_entropy(head(X), labels)


@ANSWERS.wrong("plain", "the loss as a Python number", told=r"it returned a float, expected the tensor loss", at=1)
def as_a_number(head, X, labels):
    return loss(head, X, labels).item()


@ANSWERS.wrong("plain", "accuracy's sign: log-likelihood, not its negative", told=r"wrong sign", at=1)
def positive(head, X, labels):
    asked = labels != -100
    return head(X[asked]).log_softmax(-1).gather(-1, labels[asked][:, None]).mean()


@ANSWERS.wrong("far", "exp and log by hand: large logits overflow", told=r"loss is (NaN|infinite)", at=1)
def by_exp_and_log(head, X, labels):
    asked = labels != -100
    e = head(X[asked]).exp()
    return -(e / e.sum(-1, keepdim=True)).gather(-1, labels[asked][:, None]).log().mean()


@ANSWERS.wrong(
    "large",
    "no more than 20 places are asked for",
    told="30, 25 places asked for: loss is",
    at=1,
    advice=r"right where T is 7 or less, wrong where it is \d+ or more",
)
def twenty_places(head, X, labels):
    asked = (labels != -100).nonzero()[:20]
    b, t = asked.T
    return F.cross_entropy(head(X[b, t]), labels[b, t])


@ANSWERS.wrong("given", "labels are altered in place", told=r"changes its input labels in place", at=1)
def alters_labels(head, X, labels):
    asked = labels != -100
    logits = head(X)
    labels[~asked] = 0
    each = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none")
    return (each * asked.flatten()).sum() / asked.sum()


@ANSWERS.wrong(
    "plain", "the labels are shifted by one, as for a model that predicts the next token", true="shifted_by_one", at=1
)
def shifted(head, X, labels):
    return F.cross_entropy(head(X)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


@ANSWERS.wrong("plain", "label smoothing", at=1)
def smoothed(head, X, labels):
    return F.cross_entropy(head(X).flatten(0, 1), labels.flatten(), label_smoothing=0.1)


@ANSWERS.wrong("plain", "the norm is that of another size: over the last two dimensions")
class NormOfTwo(Head):
    def forward(self, X):
        Y = F.gelu(self.dense(X))
        Y = F.layer_norm(Y, Y.shape[-2:]) if Y.dim() > 1 else Y
        return self.decoder(Y * self.norm.weight + self.norm.bias)


@ANSWERS.wrong("plain", "dropout before the decoder", told="random|dropout")
class WithDropout(Head):
    def forward(self, X):
        return self.decoder(F.dropout(self.norm(F.gelu(self.dense(X))), 0.1))


@ANSWERS.wrong("again", "the width is kept on the class", told="another head is made before it is called")
class WidthOnTheClass(Head):
    def __init__(self, token):
        super().__init__(token)
        type(self).width = token.embedding_dim

    def forward(self, X):
        Y = F.layer_norm(F.gelu(self.dense(X)), (self.width,), self.norm.weight, self.norm.bias, 1e-12)
        return self.decoder(Y)


@ANSWERS.wrong("surroundings", "the loss leaves the head at rest", told="switches the head to another mode", at=1)
def leaves_it_at_rest(head, X, labels):
    head.eval()
    return loss(head, X, labels)


@ANSWERS.right
class KeepsTheEmbedding(Head):
    """The embedding is there under its own name as well: one Parameter with three names."""

    def __init__(self, token):
        super().__init__(token)
        self.token = token
        self.register_buffer("V", torch.tensor(len(token.weight)))


@ANSWERS.right
class InASequence(Head):
    def __init__(self, token):
        super().__init__(token)
        self.transform = nn.Sequential(self.dense, nn.GELU(), self.norm)

    def forward(self, X):
        return F.linear(self.transform(X), self.decoder.weight, self.decoder.bias)


@ANSWERS.right
class ByRegister(Head):
    def tie(self, token):
        del self.decoder.weight
        self.decoder.register_parameter("weight", token.weight)


@ANSWERS.right_at(1)
def selected_first(head, X, labels):
    asked = labels != -100
    return -head(X[asked]).log_softmax(-1)[torch.arange(asked.sum()), labels[asked]].mean()


@ANSWERS.right_at(1)
def one_by_one(head, X, labels):
    losses = [-head(X[b, t]).log_softmax(-1)[labels[b, t]] for b, t in (labels != -100).nonzero().tolist()]
    return sum(losses) / len(losses)


@ANSWERS.right_at(1)
def classes_second(head, X, labels):
    return F.nll_loss(F.log_softmax(head(X), -1).transpose(1, 2), labels, ignore_index=-100)


@ANSWERS.right_at(1)
def by_a_weighted_sum(head, X, labels):
    weight = (labels != -100).to(X.dtype)
    each = F.cross_entropy(head(X).mT, labels.clamp(min=0), reduction="none")
    return torch.sum(each * weight) / torch.sum(weight)
