"""Reduce-scatter, all-gather and all-to-all by n - 1 messages: Chan et al. 2007, "Collective communication"."""

import torch

from grader.contract import Trusted


class Direct:
    """What belongs to a rank goes straight to it. A mistake is written as the step in which it differs."""

    def run(self, comm, given):
        self.comm, self.n, self.r = comm, comm.size, comm.rank
        return self.result(self.meet(given), given)

    def others(self):
        return [(self.r + i) % self.n for i in range(1, self.n)]

    def meet(self, given):
        """What has come, by its source; all is sent before anything is awaited."""
        for j in self.others():
            self.comm.send(self.for_(j, given), j)
        return {j: self.comm.recv(j) for j in self.others()}


class ReduceScatter(Direct):
    def for_(self, j, x):
        return x[j]

    def result(self, came, x):
        return sum(came.values(), self.own(x))

    def own(self, x):
        return x[self.r]


class AllGather(Direct):
    def for_(self, j, x):
        return x

    def result(self, came, x):
        return self.together([x if j == self.r else came[j] for j in range(self.n)])

    def together(self, rows):
        return torch.stack(rows)


class AllToAll(Direct):
    def for_(self, j, parts):
        return parts[j]

    def result(self, came, parts):
        return [parts[j] if j == self.r else came[j] for j in range(self.n)]


def made(steps):
    return lambda comm, given: steps().run(comm, given)


TRUSTED = Trusted((made(ReduceScatter), made(AllGather), made(AllToAll)), budget="three functions")
scatter_slip, gather_slip, exchange_slip = TRUSTED.one_by_one(made, made, made)


@scatter_slip(
    "Messages as large as x are sent, and for reduce_scatter one row in each is enough: all that rank j needs is row j "
    "of each x, or the sum of such rows."
)
class WholeX(ReduceScatter):
    def for_(self, j, x):
        return x

    def result(self, came, x):
        return sum((other[self.r] for other in came.values()), x[self.r])


@scatter_slip(
    "Twice as much is sent as reduce_scatter needs. It is the first half of an all-reduce: leave out the messages in "
    "which finished sums are handed on."
)
class AllReduced(ReduceScatter):
    def run(self, comm, x):
        n, r, rows = comm.size, comm.rank, list(x)
        for s in range(2 * (n - 1)):
            comm.send(rows[(r - s) % n], (r + 1) % n)
            came, at = comm.recv((r - 1) % n), (r - s - 1) % n
            rows[at] = rows[at] + came if s < n - 1 else came
        return rows[r]


@scatter_slip("The rank's own x has no part in the sum of reduce_scatter: it is one of the n that are summed.")
class OwnLeftOut(ReduceScatter):
    def own(self, x):
        return torch.zeros_like(x[0])


@scatter_slip("reduce_scatter returns the mean over the ranks, expected the sum.")
class Mean(ReduceScatter):
    def result(self, came, x):
        return super().result(came, x) / self.n


@scatter_slip(
    "reduce_scatter returns row r + 1 of the sum on rank r. A ring to the right ends so where rank r begins with its "
    "row r: begin with row r - 1."
)
class NextRow(ReduceScatter):
    def for_(self, j, x):
        return x[(j + 1) % self.n]

    def own(self, x):
        return x[(self.r + 1) % self.n]


@scatter_slip(
    "reduce_scatter writes into x itself, as `+=` on one of its rows does: the caller's tensor changes. Work on a copy."
)
class ChangesX(ReduceScatter):
    def result(self, came, x):
        for other in came.values():
            x[self.r] += other
        return x[self.r]


@scatter_slip(
    "In reduce_scatter ranks wait for messages, and nobody has sent one, so that they wait for ever. A send does not "
    "wait: let every rank send first."
)
class WaitsFirst(ReduceScatter):
    def meet(self, given):
        came = {}
        for j in self.others():
            came[j] = self.comm.recv(j)
            self.comm.send(self.for_(j, given), j)
        return came


@gather_slip("all_gather leaves its own row at zero: what a rank has needs no message, but it needs its place.")
class OwnRowMissing(AllGather):
    def result(self, came, x):
        return self.together([came.get(j, torch.zeros_like(x)) for j in range(self.n)])


@gather_slip(
    "Row 0 of all_gather is the rank's own one, and those of the next ranks follow: row j is what rank j has, on every "
    "rank."
)
class ByArrival(AllGather):
    def result(self, came, x):
        return self.together([x, *came.values()])


@gather_slip(
    "All rows of all_gather but the rank's own one are those of its left neighbour. In a ring a rank hands on what "
    "came last, and not its own x again."
)
class HandsOnItsOwn(AllGather):
    def meet(self, x):
        came = {}
        for s in range(1, self.n):
            self.comm.send(x, (self.r + 1) % self.n)
            came[(self.r - s) % self.n] = self.comm.recv((self.r - 1) % self.n)
        return came


@gather_slip("The rows of all_gather are joined to one long row: it has a new first dimension of size n (torch.stack).")
class Joined(AllGather):
    def together(self, rows):
        return torch.cat([row.reshape(-1) for row in rows] if not rows[0].dim() else rows)


@gather_slip(
    "Messages as large as the whole result of all_gather are sent: with n - 1 messages from each rank, one row in each "
    "is enough."
)
class SendsTheTable(AllGather):
    def meet(self, x):
        table = torch.zeros(self.n, *x.shape, dtype=x.dtype, device=x.device)
        table[self.r] = x
        for s in range(1, self.n):
            self.comm.send(table, (self.r + 1) % self.n)
            other = (self.r - s) % self.n
            table[other] = self.comm.recv((self.r - 1) % self.n)[other]
        return dict(enumerate(table))


@exchange_slip("all_to_all sends every rank the same part, that with the sender's own number: parts[j] is for rank j.")
class OwnNumber(AllToAll):
    def for_(self, j, parts):
        return parts[self.r]


@exchange_slip(
    "The list of all_to_all begins with the rank's own part, and those of the next ranks follow: place j is for what "
    "rank j sent, on every rank."
)
class PartsByArrival(AllToAll):
    def result(self, came, parts):
        return [parts[self.r], *came.values()]


@exchange_slip(
    "The list of all_to_all is one part short. Is it the one that a rank has for itself? It stands at its own number."
)
class OwnPartMissing(AllToAll):
    def result(self, came, parts):
        return [came[j] for j in range(self.n) if j != self.r]


@exchange_slip("all_to_all sends each rank all parts, and it needs one of them: send parts[j] to rank j, and no other.")
class AllParts(AllToAll):
    def meet(self, parts):
        came = {}
        for j in self.others():
            for part in parts:
                self.comm.send(part, j)
        for j in self.others():
            came[j] = [self.comm.recv(j) for _ in parts][self.r]
        return came


@exchange_slip(
    "In all_to_all a rank sends to itself, or waits for itself: what it keeps needs no message. Leave its own number "
    "out of the loop, and take that part from `parts`."
)
class ToItself(AllToAll):
    def others(self):
        return range(self.n)


# Both go round the ring.
def ring_scatter(comm, x):
    n, r = comm.size, comm.rank
    total = x[(r - 1) % n]
    for s in range(2, n + 1):
        comm.send(total, (r + 1) % n)
        total = comm.recv((r - 1) % n) + x[(r - s) % n]
    return total


def ring_gather(comm, x):
    n, r = comm.size, comm.rank
    table, passing = x.new_empty(n, *x.shape), x
    table[r] = x
    for s in range(1, n):
        comm.send(passing, (r + 1) % n)
        passing = comm.recv((r - 1) % n)
        table[r - s] = passing
    return table


def round_by_round(comm, parts):
    """In round s each rank sends s places to the right and hears from s places to the left."""
    result = list(parts)
    for s in range(1, comm.size):
        right, left = (comm.rank + s) % comm.size, (comm.rank - s) % comm.size
        comm.send(parts[right], right)
        result[left] = comm.recv(left)
    return result


TRUSTED.add_alternative("ring", ring_scatter, ring_gather, round_by_round)


def halved_scatter(comm, x):
    """Recursive halving where n is a power of two (Thakur et al. 2005): log2(n) messages, and as many numbers."""
    n, r = comm.size, comm.rank
    if n & (n - 1):
        return ring_scatter(comm, x)
    rows, low, half = x.clone(), 0, n // 2
    while half:
        other = r ^ half
        mine, theirs = (low, low + half) if r < other else (low + half, low)
        comm.send(rows[theirs : theirs + half], other)
        rows[mine : mine + half] += comm.recv(other)
        low, half = mine, half // 2
    return rows[r]


def doubled_gather(comm, x):
    """Bruck et al. 1997: log2(n) messages for every n, of rows that are put in order at the end."""
    n, r = comm.size, comm.rank
    rows = x[None]
    while len(rows) < n:
        step = len(rows)
        comm.send(rows[: n - step], (r - step) % n)
        rows = torch.cat([rows, comm.recv((r + step) % n)])
    return rows.roll(r, 0)


def backwards(comm, parts):
    others = [j for j in reversed(range(comm.size)) if j != comm.rank]
    for j in others:
        comm.send(parts[j], j)
    return tuple(part if j == comm.rank else comm.recv(j) for j, part in enumerate(parts))


TRUSTED.add_alternative("fewer_messages", halved_scatter, doubled_gather, backwards)
