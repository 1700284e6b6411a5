"""Answers to distributed.global_norm, second round."""

import math

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.global_norm")
wrong = ANSWERS.wrong
F64 = torch.float64


def square(x):
    return (x.double() ** 2).sum()


def squares(xs):
    return sum((square(x) for x in xs), torch.zeros((), dtype=F64))


def norm(comm, shards, replicated, *, of=squares, send=lambda comm, s: comm.all_reduce(s)):
    return (send(comm, of(shards)) + of(replicated)).sqrt()


@wrong("ones", "one rank: torch's norm of all, in the dtype of the gradient", told="of float32, expected float64")
def alone_in_its_dtype(comm, shards, replicated):
    if comm.size == 1:
        return torch.cat([x.flatten() for x in [*shards, *replicated]]).norm()
    return norm(comm, shards, replicated)


@wrong(
    "named", "float32 alone is made float64: squares of float16 and bfloat16 are added as they are", told="four dtypes"
)
def halves_as_they_are(comm, shards, replicated):
    def of(xs):
        total = torch.zeros((), dtype=F64)
        for x in xs:
            total = total + ((x.double() if x.dtype == torch.float32 else x) ** 2).sum()
        return total

    return norm(comm, shards, replicated, of=of)


@wrong("named", "NaN counts as 0, and everybody clips as if nothing had happened", told="shard is NaN")
def nan_as_zero(comm, shards, replicated):
    def of(xs):
        return sum((x.double().square().nansum() for x in xs), torch.zeros((), dtype=F64))

    return norm(comm, shards, replicated, of=of)


@wrong(
    "far",
    "each tensor is divided by its largest number, and one of zeros gives NaN",
    told=r"is 0: norm.* is NaN|are 0: norm.* is NaN",
)
def by_its_largest(comm, shards, replicated):
    def of(xs):
        total = torch.zeros((), dtype=F64)
        for x in xs:
            if x.numel():
                m = x.double().abs().max()
                total = total + m**2 * square(x.double() / m)
        return total

    return norm(comm, shards, replicated, of=of)


@wrong("far", "squares in float32, added in float64", true="SquaredInFloat32")
def squares_in_float32_second(comm, shards, replicated):
    return norm(
        comm, shards, replicated, of=lambda xs: sum(((x * x).double().sum() for x in xs), torch.zeros((), dtype=F64))
    )


@wrong("given", "tensors are of float64 afterwards", told="another shape, stride, dtype")
def turns_them_double(comm, shards, replicated):
    for x in [*shards, *replicated]:
        x.data = x.data.double()
    return norm(comm, shards, replicated)


@wrong("given", "rank 0 takes the replicated ones into its list of shards", told=r"the list `shards` is another one")
def into_the_list(comm, shards, replicated):
    if comm.rank == 0:
        shards += replicated
    return norm(comm, shards, [])


@wrong(
    "given",
    "tensors are scaled and scaled back: a power of two, that underflows for small numbers",
    told=r"changes its input replicated in place",
)
def there_and_back(comm, shards, replicated):
    for x in [*shards, *replicated]:
        x.mul_(2.0**-64)
    found = norm(comm, shards, replicated) * 2.0**64
    for x in [*shards, *replicated]:
        x.mul_(2.0**64)
    return found


@wrong(
    "again",
    "a tensor's squares are kept with it, and are those of before when it has been written anew",
    told=r"in a second call is 2 times",
)
def kept_with_the_tensor(comm, shards, replicated):
    def of(xs):
        total = torch.zeros((), dtype=F64)
        for x in xs:
            if not hasattr(x, "squares"):
                x.squares = square(x)
            total = total + x.squares
        return total

    return norm(comm, shards, replicated, of=of)


@wrong("again", "what is returned is the rank's one number, and the next call writes into it")
def one_number(comm, shards, replicated):
    if not hasattr(comm, "number"):
        comm.number = torch.zeros((), dtype=F64)
    return comm.number.copy_(norm(comm, shards, replicated))


@wrong("again", "replicated squares are worked out in the first call alone", told=r"in a second call is")
def replicated_once(comm, shards, replicated):
    if not hasattr(comm, "replicated"):
        comm.replicated = squares(replicated)
    return (comm.all_reduce(squares(shards)) + comm.replicated).sqrt()


@wrong("onward", "from the second call on there is a barrier first", told=r"a rank sends 2 messages")
def barrier_later(comm, shards, replicated):
    if hasattr(comm, "called"):
        comm.barrier()
    comm.called = True
    return norm(comm, shards, replicated)


@wrong("large", "the first sixteen shards", told="60 tensors")
def sixteen(comm, shards, replicated):
    return norm(comm, shards[:16], replicated)


@wrong("surroundings", "float64 is the default for everything afterwards", told=r"default dtype for everything")
def default_double(comm, shards, replicated):
    torch.set_default_dtype(F64)
    return (comm.all_reduce(sum(map(square, shards), torch.zeros(()))) + sum(map(square, replicated))).sqrt()


@wrong("plain", "replicated ones count on the ranks that hold shards")
def where_shards_are(comm, shards, replicated):
    mine = squares(shards) + (squares(replicated) if shards else 0)
    return comm.all_reduce(mine).sqrt()


@wrong("plain", "shards and replicated have a message each", told=r"a rank sends \d+ numbers, and one all-reduce")
def two_messages(comm, shards, replicated):
    s = comm.all_reduce(squares(shards))
    r = comm.all_reduce(squares(replicated), "max")
    return (s + r).sqrt()


@wrong("plain", "one message of two numbers", told=r"a rank sends \d+ numbers, and one all-reduce")
def two_numbers_second(comm, shards, replicated):
    s, r = comm.all_reduce(torch.stack([squares(shards), squares(replicated)]))
    return (s + r / comm.size).sqrt()


@wrong("plain", "the sum of squares is sent in float32", told=r"a step in a coarser dtype")
def sent_in_float32(comm, shards, replicated):
    return norm(comm, shards, replicated, send=lambda comm, s: comm.all_reduce(s.float()).double())


@wrong("ones", "of shape (1,)", told=r"a dimension of size 1 too many")
def one_dimension(comm, shards, replicated):
    return norm(comm, shards, replicated).reshape(1)


@ANSWERS.right
def divided_before_second(comm, shards, replicated):
    return comm.all_reduce(squares(shards) + squares(replicated) / comm.size).sqrt()


@ANSWERS.right
def on_the_last(comm, shards, replicated):
    mine = [*shards, *(replicated if comm.rank == comm.size - 1 else [])]
    return torch.sqrt(comm.all_reduce(squares(mine)))


@ANSWERS.right
def by_hypot(comm, shards, replicated):
    return torch.hypot(comm.all_reduce(squares(shards)).sqrt(), squares(replicated).sqrt())


@ANSWERS.right
def with_numpy_second(comm, shards, replicated):
    def of(xs):
        return math.fsum(float(np.vdot(a, a)) for a in (x.double().numpy().ravel() for x in xs))

    handle = comm.start_all_reduce(torch.tensor(of(shards), dtype=F64))
    return torch.tensor(math.sqrt(handle.wait().item() + of(replicated)), dtype=F64)


@ANSWERS.right
def by_norms(comm, shards, replicated):
    def of(xs):
        norms = [torch.linalg.vector_norm(x, dtype=F64) for x in xs]
        return torch.stack([torch.zeros((), dtype=F64), *norms]).square().sum()

    return (comm.all_reduce(of(shards)[None])[0] + of(replicated)) ** 0.5
