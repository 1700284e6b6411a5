"""Answers to distributed.ring."""

import math

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.ring",
    spared={"dependence": "nothing is drawn"},
)
wrong = ANSWERS.wrong


def cut(x, n):
    return list(torch.tensor_split(x, n))


def collect(comm, parts):
    r, n = comm.rank, comm.size
    for s in range(n - 1):
        comm.send(parts[(r - s) % n], (r + 1) % n)
        parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv((r - 1) % n)


def hand_on(comm, parts):
    r, n = comm.rank, comm.size
    for s in range(n - 1):
        comm.send(parts[(r + 1 - s) % n], (r + 1) % n)
        parts[(r - s) % n] = comm.recv((r - 1) % n)


def ring(comm, x, *, cut=cut, first=collect, second=hand_on, join=torch.cat):
    """A right answer, of which a part is replaced."""
    parts = cut(x, comm.size)
    first(comm, parts)
    second(comm, parts)
    return join(parts)


def others(comm):
    return [rank for rank in range(comm.size) if rank != comm.rank]


# The commonest ones.


@wrong("plain", "all of x goes round: n - 1 times N numbers, and each rank adds in another order", true="WholeTensor")
def all_of_x_round(comm, x):
    total = passing = x.clone()
    for _ in range(comm.size - 1):
        comm.send(passing, (comm.rank + 1) % comm.size)
        passing = comm.recv((comm.rank - 1) % comm.size)
        total = total + passing
    return total


@wrong("plain", "rank 0 adds all up and sends the sum to each: (n - 1) N numbers from one rank", true="through_rank_0")
def by_rank_zero(comm, x):
    if comm.rank:
        comm.send(x, 0)
        return comm.recv(0)
    total = x.clone()
    for rank in others(comm):
        total += comm.recv(rank)
    for rank in others(comm):
        comm.send(total, rank)
    return total


@wrong(
    "plain",
    "each sends all of its x to each, and all add in the same order",
    told=r"a rank sends 120 numbers in all, and 60 are enough",
)
def each_to_each(comm, x):
    for rank in others(comm):
        comm.send(x, rank)
    rows = [x if rank == comm.rank else comm.recv(rank) for rank in range(comm.size)]
    total = rows[0].clone()
    for row in rows[1:]:
        total = total + row
    return total


@wrong("plain", "the second half is left out: one part is whole, and the others are not", true="OnePhase")
def collects_alone(comm, x):
    return ring(comm, x, second=lambda comm, parts: None)


@wrong("plain", "the second half adds again what it should put in place", true="AddsTwice")
def adds_twice(comm, x):
    def second(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            comm.send(parts[(r + 1 - s) % n], (r + 1) % n)
            parts[(r - s) % n] = parts[(r - s) % n] + comm.recv((r - 1) % n)

    return ring(comm, x, second=second)


@wrong("plain", "n rounds collect, and a rank's own numbers count twice in one part")
def a_round_too_many(comm, x):
    def first(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n if n > 1 else 0):
            comm.send(parts[(r - s) % n], (r + 1) % n)
            parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv((r - 1) % n)

    def second(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            comm.send(parts[(r - s) % n], (r + 1) % n)
            parts[(r - s - 1) % n] = comm.recv((r - 1) % n)

    return ring(comm, x, first=first, second=second)


@wrong("plain", "the second half begins with part r, and not with the one that is whole, r + 1", true="SecondPhaseOff")
def hands_on_its_own(comm, x):
    def second(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            comm.send(parts[(r - s) % n], (r + 1) % n)
            parts[(r - s - 1) % n] = comm.recv((r - 1) % n)

    return ring(comm, x, second=second)


@wrong("plain", "the first half ends a round too soon", true="FirstPhaseShort")
def a_round_too_few(comm, x):
    def first(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 2):
            comm.send(parts[(r - s) % n], (r + 1) % n)
            parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv((r - 1) % n)

    return ring(comm, x, first=first)


@wrong("plain", "the mean, as for gradients", true="Mean")
def mean(comm, x):
    return ring(comm, x) / comm.size


@wrong("plain", "each waits before it sends", true="WaitsFirst")
def waits_first(comm, x):
    def first(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            came = comm.recv((r - 1) % n)
            comm.send(parts[(r - s) % n], (r + 1) % n)
            parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + came

    return ring(comm, x, first=first)


@wrong(
    "plain",
    "the last rank has no neighbour: the modulo is missing in send",
    told=r"rank 3 names rank 4; there are 4, 0 to 3",
)
def no_modulo(comm, x):
    def first(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            comm.send(parts[(r - s) % n], r + 1)
            parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv((r - 1) % n)

    return ring(comm, x, first=first)


@wrong("plain", "round the other way, with the parts of this way")
def other_way_round(comm, x):
    def first(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            comm.send(parts[(r - s) % n], (r - 1) % n)
            parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv((r + 1) % n)

    def second(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            comm.send(parts[(r + 1 - s) % n], (r - 1) % n)
            parts[(r - s) % n] = comm.recv((r + 1) % n)

    return ring(comm, x, first=first, second=second)


@wrong("plain", "the parts are joined from the rank's own one on", told=r"holds the right numbers at the wrong places")
def joined_from_its_own(comm, x):
    return ring(comm, x, join=lambda parts: torch.cat(parts[comm.rank :] + parts[: comm.rank]))


@wrong("plain", "the list of parts is returned", told=r"on rank 0 it returned a list of 4, expected the tensor")
def a_list_of_parts(comm, x):
    return ring(comm, x, join=lambda parts: parts)


@wrong(
    "plain",
    "comm.all_reduce, which is not to be called",
    told=r"comm.all_reduce is called, and this is to be made of send and recv",
)
def the_collective(comm, x):
    return comm.all_reduce(x)


@wrong(
    "plain", "the second half sends once more than anybody receives", told=r"4 messages were sent that nobody received"
)
def a_message_too_many(comm, x):
    def second(comm, parts):
        r, n = comm.rank, comm.size
        hand_on(comm, parts)
        if n > 1:
            comm.send(parts[(r + 2) % n], (r + 1) % n)

    return ring(comm, x, second=second)


# A promise broken alone.


@wrong(
    "named",
    "sums from the left and from the right meet on each rank: right numbers, and other bits on each",
    told=r"3 ranks hold other bits than rank 0",
)
def left_and_right(comm, x):
    """Part k is added up from rank k rightwards, and from rank k - 1 leftwards; each rank adds what has come to it."""
    r, n = comm.rank, comm.size
    parts = cut(x, n)
    left, right = list(parts), [torch.zeros_like(part) for part in parts]
    for s in range(n - 1):
        comm.send(left[(r - s) % n], (r + 1) % n)
        k = (r - s - 1) % n
        left[k] = comm.recv((r - 1) % n) + parts[k]
    for s in range(n - 1):
        k = (r + 1 + s) % n
        comm.send(right[k] + parts[k], (r - 1) % n)
        right[(r + 2 + s) % n] = comm.recv((r + 1) % n)
    return torch.cat([one + other for one, other in zip(left, right, strict=True)])


@wrong(
    "plain",
    "all of x comes from the left and from the right along a chain: 2 n messages, of 2 N numbers in all",
    told=r"a rank sends 8 messages, and 6 are enough",
)
def chain_both_ways(comm, x):
    r, n = comm.rank, comm.size
    parts = cut(x, n)
    result = []
    for part in parts:
        left = part if r == 0 else comm.recv(r - 1) + part
        if r + 1 < n:
            comm.send(left, r + 1)
        result.append(left)
    for j, part in enumerate(parts):
        right = comm.recv(r + 1) if r + 1 < n else torch.zeros_like(part)
        if r:
            comm.send(right + part, r - 1)
        result[j] = result[j] + right
    return torch.cat(result)


@wrong(
    "named",
    "fewer numbers than ranks go whole, from each to each: (n - 1) N of them where 2 (n - 1) are enough",
    told=r"numbers in all, and \d+ are enough",
)
def few_go_whole(comm, x):
    return each_to_each(comm, x) if len(x) < comm.size else ring(comm, x)


@wrong("named", "each part goes in two messages", told=r"a rank sends 12 messages, and 6 are enough")
def in_two_messages(comm, x):
    class Halves:
        rank, size = comm.rank, comm.size

        def send(self, part, to):
            for half in part.tensor_split(2):
                comm.send(half, to)

        def recv(self, source):
            return torch.cat([comm.recv(source), comm.recv(source)])

    return ring(Halves(), x)


@wrong(
    "named",
    "a message begins with the number of its part: one number too many in each",
    told=r"a rank sends 66 numbers in all, and 60 are enough",
)
def with_a_header(comm, x):
    r, n = comm.rank, comm.size
    parts = cut(x, n)

    def pass_on(k):
        comm.send(torch.cat([x.new_tensor([k]), parts[k]]), (r + 1) % n)
        came = comm.recv((r - 1) % n)
        return int(came[0]), came[1:]

    k = r
    for _ in range(n - 1):
        k, came = pass_on(k)
        parts[k] = parts[k] + came
    for _ in range(n - 1):
        k, parts[k] = pass_on(k)
    return torch.cat(parts)


@wrong("given", "parts of x are added to in place", true="ChangesTheInput")
def in_place(comm, x):
    def first(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            comm.send(parts[(r - s) % n], (r + 1) % n)
            parts[(r - s - 1) % n] += comm.recv((r - 1) % n)

    return ring(comm, x, first=first)


@wrong("given", "the sum is written into x, as torch.distributed does", true="ChangesTheInput", told="looks into x")
def into_x(comm, x):
    return x.copy_(ring(comm, x))


@wrong(
    "given", "one rank alone gets its x itself, and not a new tensor", told="looks into x", advice="wrong where it is 1"
)
def x_itself(comm, x):
    return x if comm.size == 1 else ring(comm, x)


ROOM = {}


@wrong(
    "again",
    "the room for the result is kept: the second call with these sizes overwrites the first one's result",
    told="changes what the first one returned",
)
def the_same_room(comm, x):
    room = ROOM.setdefault((comm.rank, comm.size, x.shape, x.dtype), torch.empty_like(x))
    return room.copy_(ring(comm, x))


KEPT = {}


@wrong("again", "the sum is kept by the sizes")
def kept_by_sizes(comm, x):
    key = (comm.rank, comm.size, x.shape, x.dtype)
    if key not in KEPT:
        KEPT[key] = ring(comm, x)
    return KEPT[key].clone()


COUNTED = {}


@wrong(
    "again",
    "from the second call of a rank on, of whatever sizes, it begins with another part",
    told=r"it keeps something from one call to the next",
)
def counts_on(comm, x):
    at = COUNTED[comm.rank] = COUNTED.get(comm.rank, -1) + 1

    def second(comm, parts):
        r, n = comm.rank, comm.size
        for s in range(n - 1):
            comm.send(parts[(r + 1 - s + at) % n], (r + 1) % n)
            parts[(r - s + at) % n] = comm.recv((r - 1) % n)

    return ring(comm, x, second=second)


@wrong("ones", "one number becomes a tensor without a dimension", told=r"has lost a dimension of size 1")
def squeezed(comm, x):
    return ring(comm, x).squeeze()


@wrong("named", "chunk gives fewer parts than ranks where n does not divide N", true="Chunk")
def by_chunk(comm, x):
    return ring(comm, x, cut=lambda x, n: list(x.chunk(n)))


@wrong("named", "rows of N / n numbers: n has to divide N", told=r"shape '\[3, -1\]' is invalid for input of size 7")
def by_view(comm, x):
    return ring(comm, x, cut=lambda x, n: list(x.view(n, -1)))


@wrong("named", "what is left of N / n is in no part", true="RemainderLeft")
def rest_is_lost(comm, x):
    size = len(x) // comm.size
    whole = ring(comm, x, cut=lambda x, n: [x[i * size : (i + 1) * size] for i in range(n)])
    return torch.cat([whole, x[size * comm.size :]])


@wrong("named", "filled up with zeros, which stay", told=r"has shape \(9,\), expected \(7,\)")
def not_cut_again(comm, x):
    n = comm.size
    filled = torch.cat([x, x.new_zeros(-len(x) % n)])
    return ring(comm, filled)


@wrong(
    "named",
    "a rank alone sends to itself",
    told=r"rank 0 sends to itself",
    advice=r"right where n is more than 1, wrong where it is 1",
)
def alone_to_itself(comm, x):
    r, n = comm.rank, comm.size
    parts = cut(x, n)
    for s in range(max(n - 1, 1)):
        comm.send(parts[(r - s) % n], (r + 1) % n)
        parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv((r - 1) % n)
    hand_on(comm, parts)
    return torch.cat(parts)


@wrong(
    "named",
    "halves between partners whose numbers differ in one bit: right where n is a power of two",
    told=r"rank 1 names rank 3; there are 3, 0 to 2",
)
def by_halves(comm, x):
    r, n = comm.rank, comm.size
    begin, end, x, way = 0, len(x), x.clone(), []
    bit = 1
    while bit < n:
        partner, middle = r ^ bit, (begin + end) // 2
        mine, theirs = ((begin, middle), (middle, end)) if r < partner else ((middle, end), (begin, middle))
        comm.send(x[slice(*theirs)], partner)
        x[slice(*mine)] += comm.recv(partner)
        way.append((partner, (begin, end), mine, theirs))
        (begin, end), bit = mine, 2 * bit
    for partner, _, mine, theirs in reversed(way):
        comm.send(x[slice(*mine)], partner)
        x[slice(*theirs)] = comm.recv(partner)
    return x


@wrong(
    "named", "empty parts are not sent, and waited for", told=r"n=5, N=3: (.|\n)*Deadlock: rank 0 waits for a message"
)
def empty_ones_left_out(comm, x):
    class Silent:
        rank, size = comm.rank, comm.size

        def send(self, part, to):
            if len(part):
                comm.send(part, to)

        def recv(self, source):
            return comm.recv(source)

    return ring(Silent(), x)


@wrong("far", "numbers go as float32, and come back as what they were", advice=r"hold other bits than rank 0")
def thin_wires(comm, x):
    class Thin:
        rank, size = comm.rank, comm.size

        def send(self, part, to):
            comm.send(part.float(), to)

        def recv(self, source):
            return comm.recv(source).to(x.dtype)

    return ring(Thin(), x)


@wrong("plain", "all is added up in float32, and comes back as that", told=r"has dtype float32, expected float64")
def always_float32(comm, x):
    return ring(comm, x.float())


@wrong("plain", "all is added up in float32, and comes back as what it was")
def float32_and_back(comm, x):
    return ring(comm, x.float()).to(x.dtype)


@wrong(
    "far",
    "whole numbers of 2 ** -32 are added, for their sum is the same in every order: from 2e9 on they overflow",
    told=r"numbers far apart: the sum on rank 0 differs in 3 of 9 entries, .* -2.14748e\+09, expected",
)
def fixed_point(comm, x):
    whole = ring(comm, (x.double() * 2.0**32).round().to(torch.int64))
    return (whole.double() / 2.0**32).to(x.dtype)


@wrong("large", "room for 128 numbers", told="wrong where it is 200 or more")
def room_for_128(comm, x):
    room = x.new_zeros(128)
    room[: len(x)] = x[:128]
    return ring(comm, room[: min(len(x), 128)])


@wrong("large", "a table of neighbours for up to eight ranks", told="IndexError")
def eight_ranks(comm, x):
    after = [1, 2, 3, 4, 5, 6, 7, 0]
    after[comm.size - 1] = 0
    r, n = comm.rank, comm.size
    to, source = after[r], after.index(r)
    parts = cut(x, n)
    for s in range(n - 1):
        comm.send(parts[(r - s) % n], to)
        parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv(source)
    for s in range(n - 1):
        comm.send(parts[(r + 1 - s) % n], to)
        parts[(r - s) % n] = comm.recv(source)
    return torch.cat(parts)


@wrong("surroundings", "float64 is torch's default dtype from then on", told=r"changes torch's default dtype")
def another_default(comm, x):
    torch.set_default_dtype(torch.float64)
    return ring(comm, x)


@wrong(
    "surroundings",
    "gradients are switched off for good, in the rank that calls it",
    told="gradients are switched on or off",
)
def switched_off(comm, x):
    torch.set_grad_enabled(False)
    return ring(comm, x)


# What is watched is gone around.

BOARD = {}


@wrong(
    "unwatched",
    "x lies on a board that all ranks see, and messages only say when: on machines there is no board",
    told="nobody can know the result",
)
def on_a_board(comm, x):
    r, n = comm.rank, comm.size
    BOARD[r] = x.clone()
    for _ in range(n - 1):  # nobody goes on before all are here
        comm.send(torch.zeros(1), (r + 1) % n)
        comm.recv((r - 1) % n)
    rows = [BOARD[rank] for rank in range(n)]
    total = sum(rows[1:], rows[0].clone())
    for _ in range(n - 1):
        comm.send(torch.zeros(1), (r + 1) % n)
        comm.recv((r - 1) % n)
    return total


@wrong("unwatched", "the all-reduce behind comm.all_reduce", told="nobody can know the result")
def the_private_one(comm, x):
    return comm._start_all_reduce(x, "sum").wait()


@wrong(
    "unwatched",
    "comm.split is another method of comm",
    told=r"comm.split is called, and this is to be made of send and recv",
)
def in_a_group(comm, x):
    return ring(comm.split(range(comm.size)), x)


@wrong(
    "unwatched",
    "simulated time is let pass, by another method of comm",
    told=r"comm.tick is called, and this is to be made of send and recv",
)
def ticks(comm, x):
    comm.tick(1.0, "adds")
    return ring(comm, x)


@wrong("unwatched", "each sends all to each, and the list of messages is emptied", told="nobody can know the result")
def empties_the_list(comm, x):
    total = each_to_each(comm, x)
    comm.world.messages.clear()
    return total


@wrong("unwatched", "what a message says is its shape, and it has no numbers", told="messages, and 6 are enough")
def said_by_the_shape(comm, x):
    def send(row, to):
        for bits in row.double().view(torch.int64).tolist():
            high, low = (bits >> 32) & 0xFFFFFFFF, bits & 0xFFFFFFFF
            comm.send(torch.empty(0, high), to)
            comm.send(torch.empty(0, low), to)

    def recv(source):
        found = []
        for _ in range(len(x)):
            high, low = comm.recv(source).shape[1], comm.recv(source).shape[1]
            bits = (high << 32) | low
            found.append(bits - (1 << 64) if bits >> 63 else bits)
        return torch.tensor(found, dtype=torch.int64).view(torch.float64).to(x.dtype)

    for rank in others(comm):
        send(x, rank)
    rows = [x if rank == comm.rank else recv(rank) for rank in range(comm.size)]
    return sum(rows[1:], rows[0].clone())


@wrong(
    "unwatched",
    "an empty message tells the neighbour that its own one has come: twice as many as there may be",
    told=r"a rank sends 12 messages, and 6 are enough",
)
def acknowledged(comm, x):
    class Polite:
        rank, size = comm.rank, comm.size

        def send(self, part, to):
            comm.send(part, to)

        def recv(self, source):
            part = comm.recv(source)
            comm.send(torch.empty(0), source)
            comm.recv((comm.rank + 1) % comm.size)
            return part

    return ring(Polite(), x)


@wrong(
    "unwatched",
    "two numbers, or four, go as one complex number: down a chain and back, 2 N of them",
)
def packed(comm, x):
    r, n = comm.rank, comm.size
    room = 16 // x.element_size()
    filled = torch.cat([x, x.new_zeros(-len(x) % room)])

    def send(row, to):
        comm.send(row.view(torch.complex128), to)

    def recv(source):
        return comm.recv(source).view(x.dtype)

    if r:
        filled = recv(r - 1) + filled
    if r + 1 < n:
        send(filled, r + 1)
        filled = recv(r + 1)
    if r:
        send(filled, r - 1)
    return filled[: len(x)].clone()


# Unusual, and right.


@ANSWERS.right
def to_its_owner(comm, x):
    """No ring: part j goes straight to rank j, which sends the sum to each."""
    parts = torch.tensor_split(x, comm.size)
    mine = parts[comm.rank].clone()
    for rank in others(comm):
        comm.send(parts[rank], rank)
    for rank in others(comm):
        mine += comm.recv(rank)
    for rank in others(comm):
        comm.send(mine, rank)
    return torch.cat([mine if rank == comm.rank else comm.recv(rank) for rank in range(comm.size)])


@ANSWERS.right
def filled_up(comm, x):
    """A matrix, a row a part, filled up with zeros; rows are added in place, in a copy."""
    r, n, N = comm.rank, comm.size, len(x)
    rows = x.new_zeros(n, math.ceil(N / n))
    rows.view(-1)[:N] = x
    for step in range(2 * n - 2):
        comm.send(rows[(r - step) % n], (r + 1) % n)
        came, at = comm.recv((r - 1) % n), (r - step - 1) % n
        rows[at] = rows[at] + came if step < n - 1 else came
    return rows.view(-1)[:N].clone()


@ANSWERS.right
def leftwards(comm, x):
    r, n = comm.rank, comm.size
    parts = list(x.tensor_split(n))
    for s in range(n - 1):
        comm.send(parts[(r + s) % n], (r - 1) % n)
        parts[(r + s + 1) % n] = parts[(r + s + 1) % n] + comm.recv((r + 1) % n)
    for s in range(n - 1):
        comm.send(parts[(r - 1 + s) % n], (r - 1) % n)
        parts[(r + s) % n] = comm.recv((r + 1) % n)
    return torch.cat(parts)


@ANSWERS.right
def every_nth(comm, x):
    """Part j has every n-th number from the j-th on."""
    r, n = comm.rank, comm.size
    result = x.clone()
    for s in range(n - 1):
        comm.send(result[(r - s) % n :: n], (r + 1) % n)
        result[(r - s - 1) % n :: n] += comm.recv((r - 1) % n)
    for s in range(n - 1):
        comm.send(result[(r + 1 - s) % n :: n], (r + 1) % n)
        result[(r - s) % n :: n] = comm.recv((r - 1) % n)
    return result


@ANSWERS.right
def rest_in_the_last(comm, x):
    """The last part is longer by what is left; 2 (n - 1) times ceil(N / n) is enough for that too."""
    size = len(x) // comm.size
    return ring(comm, x, cut=lambda x, n: [*(x[i * size : (i + 1) * size] for i in range(n - 1)), x[(n - 1) * size :]])


@ANSWERS.right
def a_chain_for_few(comm, x):
    """Few numbers go whole down a chain and back, where that is cheap enough, and one rank's sum is everybody's."""
    r, n, N = comm.rank, comm.size, len(x)
    if n > 1 and (n - 1) * math.ceil(N / n) < N:
        return to_its_owner(comm, x)
    total = comm.recv(r - 1) + x if r else x.clone()
    if r + 1 < n:
        comm.send(total, r + 1)
        total = comm.recv(r + 1)
    if r:
        comm.send(total, r - 1)
    return total


@ANSWERS.right
def in_float64(comm, x):
    """Added up in float64, in NumPy, and rounded once, by the owner of the part."""
    r, n = comm.rank, comm.size
    parts = [part.copy() for part in np.array_split(x.detach().cpu().numpy().astype(np.float64), n)]

    def passed(part):
        comm.send(torch.from_numpy(part), (r + 1) % n)
        return comm.recv((r - 1) % n).numpy()

    for s in range(n - 1):
        parts[(r - s - 1) % n] += passed(parts[(r - s) % n])
    own = (r + 1) % n
    parts[own] = torch.from_numpy(parts[own]).to(x.dtype).numpy()
    for s in range(n - 1):
        parts[(r - s) % n] = passed(parts[(r + 1 - s) % n])
    return torch.from_numpy(np.concatenate(parts)).to(x.device, x.dtype)


@ANSWERS.right
def halves_where_they_fit(comm, x):
    """By halves where n is a power of two and divides N; else round the ring."""
    n = comm.size
    return by_halves(comm, x) if n & (n - 1) == 0 and len(x) % n == 0 else ring(comm, x)
