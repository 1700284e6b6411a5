"""logits = W dropout(pool(encoder(ids, real), real)) + b. Devlin et al. 2019, section 4.1 and appendix A.3.

Dropout with probability p in training: each entry of the pooled vector is 0 with probability p and divided by 1 - p
otherwise (Srivastava et al. 2014, section 4, with the scale moved into training).
"""

import torch
import torch.nn.functional as F
from torch import nn

from grader.contract import Trusted


class Parts(nn.Module):
    """The parts of a classifier, and its forward pass in steps: a mistake is written as the one in which it differs."""

    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.pool, self.p = encoder, pool, p
        self.linear = nn.Linear(D, C)

    def forward(self, ids, real):
        return self.linear(self.drop(self.pooled(self.encode(ids, real), real)))

    def encode(self, ids, real):
        return self.encoder(ids, real)

    def pooled(self, X, real):
        return self.pool(X, real)

    def drop(self, Y):
        if not self.training:
            return Y
        kept = torch.rand_like(Y) >= self.p
        return Y * kept / (1 - self.p)


TRUSTED = Trusted(Parts)


@TRUSTED.mistake(
    "This is what the code does that you were given: the result is probabilities in place of logits. Which of the two "
    "softmaxes that come before the loss is one too many?"
)
class Softmaxed(Parts):
    def forward(self, ids, real):
        return super().forward(ids, real).softmax(-1)


@TRUSTED.mistake("The first token's vector is classified whatever `pool` is: call pool(X, real).")
class FirstToken(Parts):
    def pooled(self, X, real):
        return X[:, 0]


@TRUSTED.mistake("The encoder is not told which tokens are real: it reads padding. Call encoder(ids, real).")
class EncoderWithoutMask(Parts):
    def encode(self, ids, real):
        return self.encoder(ids, torch.ones_like(real))


@TRUSTED.mistake("The pool is not told which tokens are real: padding counts in its mean. Call pool(X, real).")
class PoolWithoutMask(Parts):
    def pooled(self, X, real):
        return self.pool(X, torch.ones_like(real))


@TRUSTED.mistake(
    "The encoder is cut off (no_grad or detach): its gradient is missing, so fine-tuning could not change it. What "
    "is frozen is decided later, by requires_grad."
)
class EncoderDetached(Parts):
    def encode(self, ids, real):
        with torch.no_grad():
            return super().encode(ids, real)


@TRUSTED.mistake("The linear layer has no bias: nn.Linear(D, C) makes one unless it is told not to.")
class WithoutBias(Parts):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        self.linear = nn.Linear(D, C, bias=False)


@TRUSTED.mistake(
    "The encoder is hidden in a list or a tuple, so the module does not know its weights: they would be neither "
    "trained nor saved. Write self.encoder = encoder."
)
class EncoderHidden(Parts):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        del self.encoder
        self.hidden = [encoder]

    def encode(self, ids, real):
        return self.hidden[0](ids, real)


@TRUSTED.mistake(
    "Dropout acts in evaluation too: the same sentence gets another answer each time. F.dropout needs "
    "training=self.training; nn.Dropout follows eval() by itself."
)
class DropoutAlways(Parts):
    def drop(self, Y):
        return F.dropout(Y, self.p)


@TRUSTED.mistake(
    "Nothing is dropped in training: is the dropout layer called in forward, and is it called on the pooled vector?"
)
class DropoutNever(Parts):
    def drop(self, Y):
        return Y


@TRUSTED.mistake(
    "Dropout acts in evaluation and not in training: the condition is the wrong way round. nn.Dropout knows the "
    "mode by itself."
)
class DropoutReversed(Parts):
    def drop(self, Y):
        return F.dropout(Y, self.p, not self.training)


@TRUSTED.mistake(
    "Dropout comes after the linear layer: it erases answers in place of features. Drop from the pooled vector, "
    "then apply the linear layer."
)
class DropoutAfterLinear(Parts):
    def forward(self, ids, real):
        return self.drop(self.linear(self.pooled(self.encode(ids, real), real)))


@TRUSTED.mistake(
    "Dropout acts on the tokens before they are pooled: a mean averages the holes away. Pool first, then drop."
)
class DropoutBeforePool(Parts):
    def forward(self, ids, real):
        return self.linear(self.pooled(self.drop(self.encode(ids, real)), real))


@TRUSTED.mistake(
    "What dropout keeps is not divided by 1 - p: in training the linear layer sees smaller numbers on average."
)
class NotScaled(Parts):
    def drop(self, Y):
        return Y * (torch.rand_like(Y) >= self.p) if self.training else Y


@TRUSTED.mistake(
    "One dropout mask serves the whole batch: each sentence needs its own, so draw random numbers in the shape of "
    "the pooled vectors."
)
class OneMask(Parts):
    def drop(self, Y):
        return Y * F.dropout(torch.ones_like(Y[:1]), self.p, self.training)


@TRUSTED.mistake(
    "Dropout is told how much to keep: nn.Dropout(p) takes the probability of dropping an entry, and that is p itself."
)
class KeptShare(Parts):
    def drop(self, Y):
        return F.dropout(Y, 1 - self.p, self.training)


@TRUSTED.mistake(
    "The share that is dropped is not p: hand p on to nn.Dropout, which takes 0.5 where it is given nothing."
)
class DefaultShare(Parts):
    def drop(self, Y):
        return F.dropout(Y, 0.5, self.training)


@TRUSTED.alternative
class FromTorch(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder = encoder
        self.pool = pool
        self.dropout = nn.Dropout(p)
        self.linear = nn.Linear(D, C)

    def forward(self, ids, real):
        X = self.encoder(ids, real)
        return self.linear(self.dropout(self.pool(X, real)))


@TRUSTED.alternative
class Functional(Parts):
    def drop(self, Y):
        return F.dropout(Y, p=self.p, training=self.training)


@TRUSTED.alternative
class ByHand(Parts):
    def forward(self, ids, real):
        Y = self.pool(self.encoder(ids, real), real)
        if self.training and self.p > 0:
            Y = torch.where(torch.rand(Y.shape, device=Y.device) < self.p, torch.zeros_like(Y), Y / (1 - self.p))
        return torch.einsum("bd,cd->bc", Y, self.linear.weight) + self.linear.bias
