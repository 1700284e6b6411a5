"""The gradient of a mean over all tokens from those of each rank's mean: sum_r t_r g_r / sum_r t_r.

A rank without tokens has no part in it, and a parameter that a rank has not used has a gradient of zero there. Where
all t_r are equal it is the mean over ranks, and nowhere else (transformers issue 34242, torchtitan issue 2206).
"""

import torch

from grader.contract import Trusted


def reference(comm, model, tokens):
    total = comm.all_reduce(torch.tensor(float(tokens), dtype=torch.float64)).item()
    for p in model.parameters():
        if p.requires_grad:
            mine = torch.zeros_like(p) if p.grad is None or tokens == 0 else tokens * p.grad
            p.grad = comm.all_reduce(mine) / total


TRUSTED = Trusted(reference, budget="the weights, and what is None, tied, frozen, without tokens or NaN")


class Average:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, comm, model, tokens):
        self.comm, self.tokens = comm, tokens
        self.total = self.whole()
        for p in self.trained(model):
            self.put(p, self.mean(self.mine(p)))

    def whole(self):
        return self.comm.all_reduce(torch.tensor(float(self.tokens), dtype=torch.float64)).item()

    def trained(self, model):
        return [p for p in model.parameters() if p.requires_grad]

    def mine(self, p):
        return self.weighted(p) if self.counts(p) else torch.zeros_like(p)

    def counts(self, p):
        return p.grad is not None and self.tokens > 0

    def weighted(self, p):
        return p.grad * self.tokens

    def mean(self, x):
        return self.comm.all_reduce(x) / self.total

    def put(self, p, x):
        p.grad = x


(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@TRUSTED.mistake(
    "Slips of the given code are still there. How much does a rank with one token count beside one with nine? And what "
    "do the others wait for when p.grad is None on one rank?"
)
def as_given(comm, model, tokens):
    for p in model.parameters():
        if p.grad is not None:
            p.grad = comm.all_reduce(p.grad) / comm.size


@slip(
    "It is the plain mean over ranks, in which a rank with few tokens counts as much as one with many. Weight each "
    "gradient by the rank's tokens, and divide by the tokens of all."
)
class PlainMean(Average):
    def counts(self, p):
        return p.grad is not None

    def weighted(self, p):
        return p.grad

    def mean(self, x):
        return self.comm.all_reduce(x) / self.comm.size


@slip(
    "It is the plain mean over the ranks that have tokens, and among them one with few tokens counts as much as one "
    "with many. Weight each gradient by the rank's tokens, and divide by the tokens of all."
)
class MeanOfTheActive(PlainMean):
    def counts(self, p):
        return p.grad is not None and self.tokens > 0

    def mean(self, x):
        return self.comm.all_reduce(x) / self.comm.all_reduce(torch.tensor(float(self.tokens > 0))).item()


@slip("The ranks' gradients are added up, expected the mean over all tokens.")
class Summed(Average):
    def counts(self, p):
        return p.grad is not None

    def weighted(self, p):
        return p.grad

    def mean(self, x):
        return self.comm.all_reduce(x)


@slip("The gradients are divided by the number of ranks once too often: the tokens of all are all that divides.")
class DividedTwice(Average):
    def mean(self, x):
        return super().mean(x) / self.comm.size


@slip(
    "The total is made of this rank's own tokens, as if all ranks had as many. What the others have they have to tell: "
    "an all-reduce of the numbers of tokens."
)
class LocalTotal(Average):
    def whole(self):
        return self.tokens * self.comm.size


@slip(
    "Gradients of float64 become float32 on their way: they lose digits, and near 1e60 they become infinite. Send "
    "what has the dtype of the parameter, or a wider one."
)
class InFloat32(Average):
    def mean(self, x):
        return self.comm.all_reduce(x.float()).to(x.dtype) / self.total


@slip("Every rank takes over rank 0's gradients: what the others have computed is lost.")
class FromRank0(Average):
    def mine(self, p):
        return torch.zeros_like(p) if p.grad is None else p.grad

    def mean(self, x):
        return self.comm.broadcast(x)


@slip(
    "A parameter whose gradient is None on one rank is left out there and sent by the others, so that ranks are out of "
    "step: one waits for what the other does not send, or two different parameters are added. Send zeros in its place."
)
class UnusedLeftOut(Average):
    def trained(self, model):
        return [p for p in super().trained(model) if p.grad is not None or not self.tokens]


@slip(
    "Where a parameter has no gradient (None) before, it has none afterwards: the rank that did not use it sends zeros "
    "along, and then keeps None. Its weights would go another way than those of the others."
)
class NotPutBack(Average):
    def put(self, p, x):
        if p.grad is not None:
            p.grad = x


@slip(
    "What a parameter is divided by counts only the tokens of ranks that have used it. The mean runs over all tokens: "
    "where a parameter is not used, its gradient is 0, and that counts."
)
class UsersAlone(Average):
    def mean(self, x):
        used = self.comm.all_reduce(torch.tensor(float(self.tokens if self.used else 0)))
        return self.comm.all_reduce(x) / used.clamp_min(1).item()

    def mine(self, p):
        self.used = p.grad is not None
        return super().mine(p)


@slip("A tied weight, one Parameter under two names, is weighted and summed twice. `model.parameters()` gives it once.")
class TiedTwice(Average):
    def trained(self, model):
        return [p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]

    def __call__(self, comm, model, tokens):
        self.comm, self.tokens = comm, tokens
        self.total = self.whole()
        for p in self.trained(model):
            p.grad = self.mine(p)
        for p in self.trained(model):
            p.grad = comm.all_reduce(p.grad)
        for p in self.trained(model):
            p.grad = p.grad / self.total


@slip(
    "A tied weight is sent twice, once for each of its names. The result is right, for a mean of equal gradients is "
    "the same gradient, but it costs. `model.parameters()` gives it once."
)
class TiedSentTwice(Average):
    def trained(self, model):
        return [p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]


@slip(
    "A frozen parameter (requires_grad is False) gets a gradient. It should be left alone, and not be sent: where it "
    "has a gradient, be it zeros, weight decay moves it."
)
class FrozenToo(Average):
    def trained(self, model):
        return [*model.parameters()]


@slip(
    "A rank without tokens spoils the result: 0 times NaN is NaN, and 0 times infinity is too. Send zeros from there, "
    "whatever stands in p.grad."
)
class NaNOfNothing(Average):
    def counts(self, p):
        return p.grad is not None


@slip(
    "A NaN on a rank that has tokens is replaced by a number. It has to reach everybody, or nobody hears that the loss "
    "is broken. Leave out what a rank without tokens holds, and nothing else."
)
class HidesNaN(Average):
    def weighted(self, p):
        return p.grad.nan_to_num(0.0, 0.0, 0.0) * self.tokens


@slip(
    "A rank without tokens leaves before the others are done, and they wait for it for ever. It has nothing to add, "
    "and must take part in each all-reduce."
)
class LeavesEarly(Average):
    def __call__(self, comm, model, tokens):
        self.comm, self.tokens = comm, tokens
        self.total = self.whole()
        if tokens:
            super().__call__(comm, model, tokens)


@slip(
    "All gradients are gathered on all ranks, where one sum is wanted: n / 2 times as many numbers are sent. An "
    "all-reduce adds them on their way."
)
class Gathered(Average):
    def mean(self, x):
        return self.comm.all_gather(x).sum(0) / self.total


@TRUSTED.alternative
def in_one_message(comm, model, tokens):
    """One flat vector of each dtype, and the number of tokens at its end; written back in place."""
    kinds = {}
    for p in model.parameters():
        if p.requires_grad:
            kinds.setdefault(p.dtype, []).append(p)
    for dtype, params in kinds.items():
        parts = [
            (p.grad * tokens).flatten() if tokens and p.grad is not None else p.new_zeros(p.numel()) for p in params
        ]
        flat = comm.all_reduce(torch.cat([*parts, torch.tensor([tokens], dtype=dtype, device=parts[0].device)]))
        *means, _ = (flat / flat[-1]).split([*map(len, parts), 1])
        for p, mean in zip(params, means, strict=True):
            if p.grad is None:
                p.grad = torch.empty_like(p)
            p.grad.copy_(mean.view(p.shape))


@TRUSTED.alternative
def all_on_their_way(comm, model, tokens):
    """A share of all tokens first, then every all-reduce begun before any is waited for; unused ones stay None."""
    everything = comm.all_gather(torch.tensor(tokens)).sum().item()
    going = []
    held = [p for p in model.parameters() if p.requires_grad]
    used = torch.tensor([float(tokens > 0 and p.grad is not None) for p in held])
    used = comm.all_reduce(used, op="max").tolist()
    for p, by_somebody in zip(held, used, strict=True):
        if not tokens or p.grad is None:
            p.grad = p.new_zeros(p.shape)
        else:
            p.grad.mul_(tokens / everything)
        if by_somebody:
            going.append((p, comm.start_all_reduce(p.grad)))
        else:
            p.grad = None
    for p, handle in going:
        p.grad = handle.wait()
