"""Reduce-scatter in a ring, then all-gather in it: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce"."""

import torch

from grader.contract import Trusted


def reference(comm, x):
    n, r = comm.size, comm.rank
    parts = list(torch.tensor_split(x, n))
    for s in range(n - 1):
        comm.send(parts[(r - s) % n], (r + 1) % n)
        parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv((r - 1) % n)
    for s in range(n - 1):
        comm.send(parts[(r - s + 1) % n], (r + 1) % n)
        parts[(r - s) % n] = comm.recv((r - 1) % n)
    return torch.cat(parts)


TRUSTED = Trusted(reference)


class Ring:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, comm, x):
        self.comm, self.n, self.r = comm, comm.size, comm.rank
        parts = self.cut(x)
        for s in range(self.rounds()):
            parts = self.add(parts, s)
        for s in range(self.rounds()):
            parts = self.hand_on(parts, s)
        return self.result(parts, x)

    def cut(self, x):
        return list(torch.tensor_split(x, self.n))

    def rounds(self):
        return self.n - 1

    def add(self, parts, s):
        other = (self.r - s - 1) % self.n
        parts[other] = self.sum(parts[other], self.turn(parts[(self.r - s) % self.n]))
        return parts

    def sum(self, mine, theirs):
        return mine + theirs

    def hand_on(self, parts, s):
        first = self.first()
        parts[(first - s - 1) % self.n] = self.turn(parts[(first - s) % self.n])
        return parts

    def first(self):
        return self.r + 1

    def turn(self, part):
        self.comm.send(part, (self.r + 1) % self.n)
        return self.comm.recv((self.r - 1) % self.n)

    def result(self, parts, x):
        return torch.cat(parts)


(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@slip(
    "Whole tensors travel, n - 1 from each rank: n / 2 times the numbers that are needed. Cut x into n parts, send one "
    "part a round, and work each part's sum out on one rank, for sums in another order differ in their last bits."
)
class WholeTensor(Ring):
    def __call__(self, comm, x):
        self.comm, self.n, self.r = comm, comm.size, comm.rank
        total, passing = x.clone(), x
        for _ in range(self.n - 1):
            passing = self.turn(passing)
            total = total + passing
        return total


@TRUSTED.mistake(
    "Everything goes through rank 0, which sends as much as all others together. In a ring every rank sends the same."
)
def through_rank_0(comm, x):
    total = x.clone()
    if comm.rank == 0:
        for other in range(1, comm.size):
            total = total + comm.recv(other)
        for other in range(1, comm.size):
            comm.send(total, other)
        return total
    comm.send(x, 0)
    return comm.recv(0)


@slip("The mean is returned, expected the sum.")
class Mean(Ring):
    def result(self, parts, x):
        return torch.cat(parts) / self.n


@slip(
    "The second phase begins with the wrong part. After n - 1 rounds of adding, the part that is whole on rank r is "
    "number r + 1: that one goes first."
)
class SecondPhaseOff(Ring):
    def first(self):
        return self.r


@slip("In the second phase parts are added once more: what comes then is the whole sum already, and takes its place.")
class AddsTwice(Ring):
    def hand_on(self, parts, s):
        other = (self.r - s) % self.n
        parts[other] = parts[other] + self.turn(parts[(self.r + 1 - s) % self.n])
        return parts


@slip("There is no second phase: each rank holds one part of the sum, and its own numbers in all others.")
class OnePhase(Ring):
    def hand_on(self, parts, s):
        return parts


@slip("One round is missing in each phase: a part must pass n - 1 neighbours to meet all ranks.")
class OneRoundShort(Ring):
    def rounds(self):
        return self.n - 2


@slip(
    "The first phase ends a round too soon: a part lacks the numbers of one rank. It is whole when it has met the "
    "n - 1 others."
)
class FirstPhaseShort(Ring):
    def __call__(self, comm, x):
        self.comm, self.n, self.r = comm, comm.size, comm.rank
        parts = self.cut(x)
        for s in range(self.n - 2):
            parts = self.add(parts, s)
        for s in range(self.n - 1):
            parts = self.hand_on(parts, s)
        return torch.cat(parts)


@slip(
    "The first phase has a round too many, in which a part comes back to the rank where it began, and that rank's "
    "numbers count twice."
)
class FirstPhaseLong(Ring):
    def __call__(self, comm, x):
        self.comm, self.n, self.r = comm, comm.size, comm.rank
        parts = self.cut(x)
        for s in range(self.n if self.n > 1 else 0):
            parts = self.add(parts, s)
        for s in range(self.n - 1):
            parts = self.hand_on(parts, s)
        return torch.cat(parts)


@slip("Parts of N // n numbers leave a remainder, which is lost: torch.tensor_split's n parts hold everything.")
class RemainderLost(Ring):
    def cut(self, x):
        size = len(x) // self.n
        return [x[i * size : (i + 1) * size] for i in range(self.n)]


@slip("The remainder is returned as it was, each rank's own: it has to be summed as well.")
class RemainderLeft(RemainderLost):
    def result(self, parts, x):
        return torch.cat([*parts, x[len(x) // self.n * self.n :]])


@slip(
    "`chunk(n)` may give fewer than n parts: twelve numbers for five ranks become four parts of three. "
    "`torch.tensor_split` gives n."
)
class Chunk(Ring):
    def cut(self, x):
        return list(x.chunk(self.n))


@slip("The caller's x is written into, as `+=` on a part of it does. It stays as it is: work on a copy.")
class ChangesTheInput(Ring):
    def sum(self, mine, theirs):
        mine += theirs
        return mine


@slip(
    "Every rank waits for a message before it sends one, so that all wait for ever. A send does not wait: send first."
)
class WaitsFirst(Ring):
    def turn(self, part):
        came = self.comm.recv((self.r - 1) % self.n)
        self.comm.send(part, (self.r + 1) % self.n)
        return came


@slip("What a rank sends to its right neighbour is awaited from the right as well: it comes from the left.")
class WrongNeighbour(Ring):
    def turn(self, part):
        self.comm.send(part, (self.r + 1) % self.n)
        return self.comm.recv((self.r + 1) % self.n)


@slip("Each number is sent as a message of its own, and every message costs a latency: send a part at once.")
class NumberByNumber(Ring):
    def turn(self, part):
        for number in part:
            self.comm.send(number, (self.r + 1) % self.n)
        other = [self.comm.recv((self.r - 1) % self.n) for _ in range(self.coming(part))]
        return torch.stack(other) if other else part[:0]

    def coming(self, part):
        self.comm.send(torch.tensor(len(part)), (self.r + 1) % self.n)
        return int(self.comm.recv((self.r - 1) % self.n))


@TRUSTED.alternative
def leftwards(comm, x):
    n, r = comm.size, comm.rank
    parts = [part.clone() for part in x.tensor_split(n)]
    for s in range(n - 1):
        comm.send(parts[(r + s) % n], (r - 1) % n)
        parts[(r + s + 1) % n] += comm.recv((r + 1) % n)
    for s in range(n - 1):
        comm.send(parts[(r + s - 1) % n], (r - 1) % n)
        parts[(r + s) % n] = comm.recv((r + 1) % n)
    return torch.cat(parts)


@TRUSTED.alternative
def padded(comm, x):
    """One buffer that n divides, written in place."""
    n, r, size = comm.size, comm.rank, -(-len(x) // comm.size)
    buffer = torch.nn.functional.pad(x, (0, n * size - len(x))).view(n, size)
    for s in range(2 * (n - 1)):
        out, into = (r - s) % n, (r - s - 1) % n
        comm.send(buffer[out], (r + 1) % n)
        came = comm.recv((r - 1) % n)
        buffer[into] = buffer[into] + came if s < n - 1 else came
    return buffer.flatten()[: len(x)]


@TRUSTED.alternative
def halving(comm, x):
    """Recursive halving and doubling where n is a power of two (Thakur et al. 2005), else a ring."""
    n, r = comm.size, comm.rank
    if n & (n - 1) or len(x) % n:
        return reference(comm, x)
    low, high, total = 0, len(x), x.clone()
    steps = []
    step = n // 2
    while step:
        other, middle = r ^ step, (low + high) // 2
        keep, give = ((low, middle), (middle, high)) if r < other else ((middle, high), (low, middle))
        comm.send(total[give[0] : give[1]], other)
        total[keep[0] : keep[1]] += comm.recv(other)
        steps.append((other, keep, give))
        (low, high), step = keep, step // 2
    for other, keep, give in reversed(steps):
        comm.send(total[keep[0] : keep[1]], other)
        total[give[0] : give[1]] = comm.recv(other)
    return total
