"""Answers to distributed.collectives by a reader who did not write its mistakes."""

from collections import defaultdict, deque
from functools import reduce

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.collectives", spared={"dependence": "nothing is drawn"})
SCATTER, GATHER, EXCHANGE = 0, 1, 2


def wrong(kind, says, at, **told):
    return ANSWERS.wrong(kind, says, at=at, **told)


def others(comm):
    return [j for j in range(comm.size) if j != comm.rank]


def send_all(comm, parts):
    for j in others(comm):
        comm.send(parts[j], j)


def scattered(comm, x):
    send_all(comm, x)
    return sum((comm.recv(j) for j in others(comm)), x[comm.rank].clone())


def exchanged(comm, parts):
    send_all(comm, parts)
    return [parts[j] if j == comm.rank else comm.recv(j) for j in range(comm.size)]


def gathered(comm, x):
    return torch.stack(exchanged(comm, [x] * comm.size))


# ---- reduce_scatter


@wrong("plain", "everybody is sent the whole x", SCATTER, true="WholeX")
def sends_the_whole(comm, x):
    send_all(comm, [x] * comm.size)
    return sum((comm.recv(j)[comm.rank] for j in others(comm)), x[comm.rank].clone())


@wrong(
    "plain", "an all-reduce: every row of the sum on every rank", SCATTER, told=r"has shape \(3, 4\), expected \(4,\)"
)
def all_rows(comm, x):
    send_all(comm, [x] * comm.size)
    return sum((comm.recv(j) for j in others(comm)), x.clone())


@wrong("plain", "what a rank has itself is left out", SCATTER, true="OwnLeftOut")
def without_its_own(comm, x):
    send_all(comm, x)
    return sum((comm.recv(j) for j in others(comm)), torch.zeros_like(x[0]))


@wrong("plain", "the sender's row travels, x[rank], and not the receiver's", SCATTER)
def senders_row(comm, x):
    send_all(comm, [x[comm.rank]] * comm.size)
    return sum((comm.recv(j) for j in others(comm)), x[comm.rank].clone())


@wrong("plain", "the mean", SCATTER, true="Mean")
def mean_of_them(comm, x):
    return scattered(comm, x) / comm.size


@wrong("plain", "receives before it sends", SCATTER, true="WaitsFirst")
def receives_first(comm, x):
    total = x[comm.rank].clone()
    for j in others(comm):
        total += comm.recv(j)
    send_all(comm, x)
    return total


@wrong("plain", "sends to itself as well", SCATTER, told="sends to itself")
def sends_to_itself(comm, x):
    for j in range(comm.size):
        comm.send(x[j], j)
    return sum(comm.recv(j) for j in range(comm.size))


@wrong("given", "adds up in x itself", SCATTER, true="ChangesX")
def adds_in_x(comm, x):
    send_all(comm, x)
    total = x[comm.rank]
    for j in others(comm):
        total += comm.recv(j)
    return total


@wrong("ones", "squeezed", SCATTER, told="lost a dimension of size 1")
def squeezed_sum(comm, x):
    return scattered(comm, x).squeeze()


@wrong(
    "ones",
    "a single rank receives nothing to stack",
    SCATTER,
    told="stack expects a non-empty",
    advice="right where n is more than 1, wrong where it is 1",
)
def stacks_what_came(comm, x):
    send_all(comm, x)
    return x[comm.rank] + torch.stack([comm.recv(j) for j in others(comm)]).sum(0)


@wrong("named", "rows are flattened by a view, which x.mT does not allow", SCATTER, told="view size is not compatible")
def viewed(comm, x):
    return scattered(comm, x.view(comm.size, -1)).view(x.shape[1:])


@wrong("named", "a row that is a number cannot be concatenated", SCATTER, told="zero-dimensional tensor")
def concatenates(comm, x):
    send_all(comm, x)
    rows = torch.cat([x[comm.rank], *(comm.recv(j) for j in others(comm))])
    return rows.view(comm.size, *x.shape[1:]).sum(0)


@wrong(
    "far", "added up in float32", SCATTER, told="numbers that nearly cancel: reduce_scatter", advice="is 0 everywhere"
)
def in_single(comm, x):
    return scattered(comm, x.float()).to(x.dtype)


@wrong("far", "sent in bfloat16, to save half of the bytes", SCATTER)
def in_half(comm, x):
    send_all(comm, x.bfloat16())
    return sum((comm.recv(j).to(x.dtype) for j in others(comm)), x[comm.rank].clone())


@wrong("large", "halving: only where n is a power of two", SCATTER, told="rank 2 names rank 3")
def halving(comm, x):
    rows, step = {j: x[j] for j in range(comm.size)}, comm.size // 2
    while step:
        partner = comm.rank ^ step
        theirs = sorted(j for j in rows if (j & step) != (comm.rank & step))
        mine = sorted(j for j in rows if (j & step) == (comm.rank & step))
        comm.send(torch.stack([rows[j] for j in theirs]), partner)
        rows = {j: rows[j] + row for j, row in zip(mine, comm.recv(partner), strict=False)}
        step //= 2
    return rows[comm.rank]


@wrong("large", "written for two ranks", SCATTER, told="rank 2 names rank -1")
def for_two(comm, x):
    if comm.size == 1:
        return x[0].clone()
    other = 1 - comm.rank
    comm.send(x[other], other)
    return x[comm.rank] + comm.recv(other)


@wrong("again", "the sum goes on in what the first call left on comm", SCATTER, told="second call, on rank 0 differs")
def goes_on_adding(comm, x):
    if not hasattr(comm, "total"):
        comm.total = torch.zeros_like(x[0])
    comm.total = comm.total + scattered(comm, x)
    return comm.total


@wrong(
    "again", "one buffer for all calls: the first result becomes the second", SCATTER, told="(second|later|next) call"
)
def one_buffer(comm, x):
    if not hasattr(comm, "buffer"):
        comm.buffer = torch.zeros_like(x[0])
    return comm.buffer.copy_(scattered(comm, x))


@wrong(
    "onward",
    "a last message, 'I am done', stays unread and is the first of the next call",
    SCATTER,
    told="messages were sent that nobody received",
)
def says_goodbye(comm, x):
    result = scattered(comm, x)
    for j in others(comm):
        comm.send(torch.zeros_like(result), j)
    return result


@wrong("unwatched", "comm's own collective", SCATTER, told="to be made of send and recv")
def comms_own(comm, x):
    return comm.reduce_scatter(x)


@wrong("unwatched", "comm's own collective, of a group that is all ranks", SCATTER, told="to be made of send and recv")
def of_a_group(comm, x):
    return comm.split(range(comm.size)).all_reduce(x)[comm.rank]


@wrong("plain", "rank 0 is sent all rows, adds up and hands out", SCATTER, told="a rank sends 40 numbers")
def by_rank_0(comm, x):
    if comm.rank:
        comm.send(x, 0)
        return comm.recv(0)
    total = sum((comm.recv(j) for j in others(comm)), x.clone())
    send_all(comm, total)
    return total[0]


@wrong("plain", "a message for each number", SCATTER, told="a rank sends 30 messages")
def number_by_number(comm, x):
    for j in others(comm):
        for number in x[j].flatten():
            comm.send(number, j)
    total = x[comm.rank].flatten().clone()
    for j in others(comm):
        total += torch.stack([comm.recv(j) for _ in range(total.numel())])
    return total.view(x[0].shape)


@wrong("plain", "before a row its shape is sent", SCATTER, told="a rank sends 6 messages")
def shape_first(comm, x):
    for j in others(comm):
        comm.send(torch.tensor(x[j].shape), j)
        comm.send(x[j], j)
    total = x[comm.rank].clone()
    for j in others(comm):
        shape = comm.recv(j).tolist()
        total = total + comm.recv(j).view([int(n) for n in shape])
    return total


@wrong(
    "unwatched",
    "an empty message to each before each row, as a barrier: twice the messages",
    SCATTER,
    told="a rank sends 6 messages",
)
def barrier_first(comm, x):
    send_all(comm, [x.new_empty(0)] * comm.size)
    for j in others(comm):
        comm.recv(j)
    return scattered(comm, x)


BOARD = defaultdict(deque)


@wrong("unwatched", "rows lie in memory that all ranks see; the messages are empty", SCATTER, told="numbers")
def on_a_board(comm, x):
    for j in others(comm):
        BOARD[comm.rank, j].append(x[j])
        comm.send(x.new_empty(0), j)
    total = x[comm.rank].clone()
    for j in others(comm):
        comm.recv(j)
        total = total + BOARD[j, comm.rank].popleft()
    return total


@wrong("unwatched", "the whole x, four numbers packed into a complex one", SCATTER, told=r"numbers in all, and")
def packed(comm, x):
    flat = x.reshape(-1)
    room = torch.cat([flat, flat.new_zeros(-len(flat) % 4)]).view(torch.complex128)
    send_all(comm, [room] * comm.size)
    rows = (comm.recv(j).view(x.dtype)[: len(flat)].view(x.shape)[comm.rank] for j in others(comm))
    return sum(rows, x[comm.rank].clone())


@wrong("surroundings", "the default dtype becomes that of x", SCATTER, told="changes torch's default dtype")
def sets_the_dtype(comm, x):
    torch.set_default_dtype(x.dtype)
    return scattered(comm, x)


# ---- all_gather


@wrong("plain", "a list of rows", GATHER, told="returned a list of 3")
def list_of_rows(comm, x):
    return exchanged(comm, [x] * comm.size)


@wrong("plain", "rows are concatenated", GATHER, true="Joined")
def cat_of_rows(comm, x):
    return torch.cat(exchanged(comm, [x] * comm.size))


@wrong("plain", "its own row stands first", GATHER, told="right numbers at the wrong places")
def own_first(comm, x):
    send_all(comm, [x] * comm.size)
    return torch.stack([x, *(comm.recv(j) for j in others(comm))])


@wrong("plain", "its own row stands last", GATHER, told="shifted by one place")
def own_last(comm, x):
    send_all(comm, [x] * comm.size)
    return torch.stack([*(comm.recv(j) for j in others(comm)), x])


@wrong("plain", "in the order of the ring, from its own on", GATHER, true="ByArrival")
def rotated(comm, x):
    return gathered(comm, x).roll(-comm.rank, 0)


@wrong("plain", "a ring in which each row is written to the place of the next rank", GATHER)
def ring_one_off(comm, x):
    n, r = comm.size, comm.rank
    rows = [x] * n
    for step in range(n - 1):
        comm.send(rows[(r - step) % n], (r + 1) % n)
        rows[(r - step) % n] = comm.recv((r - 1) % n)
    return torch.stack(rows)


@wrong("plain", "the rows of the others alone", GATHER, told=r"shape \(2, 4\), expected \(3, 4\)")
def others_alone(comm, x):
    send_all(comm, [x] * comm.size)
    return torch.stack([comm.recv(j) for j in others(comm)])


@wrong("plain", "None: the return is missing", GATHER, told="is there a return")
def nothing_returned(comm, x):
    gathered(comm, x)


@wrong("ones", "one rank alone returns x, without a dimension for ranks", GATHER, told="lost a dimension of size 1")
def x_for_one(comm, x):
    return x if comm.size == 1 else gathered(comm, x)


@wrong("ones", "squeezed", GATHER, told="lost a dimension of size 1")
def squeezed_rows(comm, x):
    return gathered(comm, x).squeeze()


@wrong("named", "the buffer is of the default dtype", GATHER, told="dtype float32, expected float64")
def default_buffer(comm, x):
    rows = torch.zeros(comm.size, *x.shape)
    for j, row in enumerate(exchanged(comm, [x] * comm.size)):
        rows[j] = row
    return rows


@wrong("named", "made for vectors: a row is flattened by a view", GATHER, told="view size is not compatible")
def of_vectors(comm, x):
    return gathered(comm, x.view(-1)).view(comm.size, *x.shape)


@wrong("plain", "rank 0 collects, and sends all rows to everybody", GATHER, true="SendsTheTable")
def through_rank_0(comm, x):
    if comm.rank:
        comm.send(x, 0)
        return comm.recv(0)
    rows = torch.stack([x, *(comm.recv(j) for j in others(comm))])
    send_all(comm, [rows] * comm.size)
    return rows


@wrong("plain", "a ring that hands on all it has", GATHER, told="a rank sends 60 numbers")
def growing_ring(comm, x):
    rows = x[None]
    for _ in range(comm.size - 1):
        comm.send(rows, (comm.rank + 1) % comm.size)
        rows = torch.cat([comm.recv((comm.rank - 1) % comm.size), x[None]])
    return rows.roll(comm.rank + 1, 0)


@wrong("plain", "rows of zeros but for its own, added up", GATHER, true="SendsTheTable")
def sum_of_zeros(comm, x):
    rows = x.new_zeros(comm.size, *x.shape)
    rows[comm.rank] = x
    send_all(comm, [rows] * comm.size)
    return sum((comm.recv(j) for j in others(comm)), rows)


@wrong("large", "four places", GATHER, told=r"shape \(4, 7\), expected \(5, 7\)")
def four_places(comm, x):
    return gathered(comm, x)[:4]


@wrong(
    "again", "one buffer for all calls: the first result becomes the second", GATHER, told="(second|later|next) call"
)
def one_buffer_of_rows(comm, x):
    rows = gathered(comm, x)
    if not hasattr(comm, "rows"):
        comm.rows = torch.empty_like(rows)
    return comm.rows.copy_(rows)


@wrong("again", "what was gathered once is kept", GATHER, told="second call, on rank 0 differs")
def gathered_once(comm, x):
    if not hasattr(comm, "kept"):
        comm.kept = gathered(comm, x)
    return comm.kept


@wrong(
    "unwatched",
    "an empty message to each before each row, as a barrier: twice the messages",
    GATHER,
    told="a rank sends 6 messages",
)
def barrier_before_rows(comm, x):
    send_all(comm, [x.new_empty(0)] * comm.size)
    for j in others(comm):
        comm.recv(j)
    return gathered(comm, x)


@wrong("unwatched", "rows lie in memory that all ranks see; the messages are empty", GATHER, told="numbers")
def rows_on_a_board(comm, x):
    for j in others(comm):
        BOARD[comm.rank, j].append(x)
        comm.send(x.new_empty(0), j)
    rows = [x] * comm.size
    for j in others(comm):
        comm.recv(j)
        rows[j] = BOARD[j, comm.rank].popleft()
    return torch.stack(rows)


# ---- all_to_all


@wrong("plain", "parts[rank] to everybody", EXCHANGE, true="OwnNumber")
def own_part_to_all(comm, parts):
    return exchanged(comm, [parts[comm.rank]] * comm.size)


@wrong("plain", "its own part is left out", EXCHANGE, true="OwnPartMissing")
def no_own_part(comm, parts):
    send_all(comm, parts)
    return [comm.recv(j) for j in others(comm)]


@wrong("plain", "its own part stands last", EXCHANGE)
def own_part_last(comm, parts):
    send_all(comm, parts)
    return [*(comm.recv(j) for j in others(comm)), parts[comm.rank]]


@wrong("given", "what comes is put into the list that was given", EXCHANGE, told="list `parts` holds other tensors")
def into_the_list(comm, parts):
    send_all(comm, parts)
    for j in others(comm):
        parts[j] = comm.recv(j)
    return parts


@wrong(
    "given",
    "what comes is written over the tensors that were given, where they have the shape",
    EXCHANGE,
    told=r"is changed in place",
)
def into_the_tensors(comm, parts):
    return [
        mine.copy_(x) if mine.shape == x.shape else x for mine, x in zip(parts, exchanged(comm, parts), strict=True)
    ]


@wrong("plain", "receives before it sends", EXCHANGE, told="let every rank send first")
def part_by_part(comm, parts):
    result = list(parts)
    for j in others(comm):
        result[j] = comm.recv(j)
        comm.send(parts[j], j)
    return result


@wrong("plain", "sends to itself as well", EXCHANGE, true="ToItself")
def one_to_itself(comm, parts):
    for j, part in enumerate(parts):
        comm.send(part, j)
    return [comm.recv(j) for j in range(comm.size)]


@wrong(
    "named",
    "one tensor of all parts: they are taken to have one shape",
    EXCHANGE,
    told="stack expects each tensor to be equal size",
)
def stacked_parts(comm, parts):
    return list(torch.stack(exchanged(comm, parts)))


@wrong("plain", "one tensor is returned", EXCHANGE, told="returned a Tensor, expected a list")
def a_tensor(comm, parts):
    return torch.stack(exchanged(comm, parts))


@wrong("plain", "a generator is returned", EXCHANGE, told="returned a generator, expected a list")
def a_generator(comm, parts):
    send_all(comm, parts)
    return (parts[j] if j == comm.rank else comm.recv(j) for j in range(comm.size))


@wrong(
    "named", "what comes is taken to have the shape of what goes there", EXCHANGE, told="is invalid for input of size"
)
def of_its_own_shape(comm, parts):
    send_all(comm, [p.flatten() for p in parts])
    return [p if j == comm.rank else comm.recv(j).view(p.shape) for j, p in enumerate(parts)]


@wrong("named", "what comes is cast to the dtype of its own part", EXCHANGE, told="dtype")
def of_its_own_dtype(comm, parts):
    return [x.to(parts[comm.rank].dtype) for x in exchanged(comm, parts)]


@wrong("named", "float32 for all", EXCHANGE, told="dtype float32, expected")
def all_single(comm, parts):
    return [x.float() for x in exchanged(comm, parts)]


@wrong(
    "named",
    "an empty part is not sent, and not waited for where its own is empty",
    EXCHANGE,
    told="waits for a message from rank 2; rank 2 has ended",
)
def no_empty_ones(comm, parts):
    for j in others(comm):
        if parts[j].numel():
            comm.send(parts[j], j)
    return [p if j == comm.rank or not p.numel() else comm.recv(j) for j, p in enumerate(parts)]


@wrong("named", "what is empty comes out as a row of none", EXCHANGE, told=r"shape \(0,\), expected \(0, 2\)")
def empty_row(comm, parts):
    return [x if x.numel() else x.new_empty(0) for x in exchanged(comm, parts)]


@wrong("ones", "one number becomes a row of one", EXCHANGE, told="dimension of size 1 too many")
def at_least_a_row(comm, parts):
    return [torch.atleast_1d(x) for x in exchanged(comm, parts)]


@wrong("ones", "squeezed", EXCHANGE, told="lost a dimension of size 1")
def squeezed_parts(comm, parts):
    return [x.squeeze() for x in exchanged(comm, parts)]


@wrong("plain", "each shape is sent before its part", EXCHANGE, told="a rank sends 6 messages")
def shapes_first(comm, parts):
    for j in others(comm):
        comm.send(torch.tensor(parts[j].shape, dtype=torch.int64), j)
        comm.send(parts[j].flatten(), j)
    shapes = {j: comm.recv(j).tolist() if j != comm.rank else () for j in range(comm.size)}
    return [parts[j] if j == comm.rank else comm.recv(j).view(shapes[j]) for j in range(comm.size)]


@wrong("plain", "all parts to everybody, one after another", EXCHANGE, true="AllParts")
def all_parts_to_all(comm, parts):
    for j in others(comm):
        for part in parts:
            comm.send(part, j)
    came = {j: [comm.recv(j) for _ in parts] for j in others(comm)}
    return [parts[j] if j == comm.rank else came[j][comm.rank] for j in range(comm.size)]


@wrong(
    "plain",
    "padded with zeros to the largest of its own parts; the numbers tell how much counts",
    EXCHANGE,
    told="a rank sends 81 numbers",
)
def padded(comm, parts):
    most = max(p.numel() for p in parts)
    for j in others(comm):
        head = [parts[j].numel(), parts[j].dim(), *parts[j].shape]
        row = torch.cat([torch.tensor(head).to(parts[j]), parts[j].flatten()])
        comm.send(torch.cat([row, row.new_zeros(most - parts[j].numel())]), j)
    result = list(parts)
    for j in others(comm):
        row = comm.recv(j)
        numbers, dims = int(row[0]), int(row[1])
        result[j] = row[2 + dims : 2 + dims + numbers].view([int(n) for n in row[2 : 2 + dims]])
    return result


@wrong(
    "again", "one list for all calls: the first result becomes the second", EXCHANGE, told="(second|later|next) call"
)
def one_list(comm, parts):
    if not hasattr(comm, "parts"):
        comm.parts = [None] * comm.size
    comm.parts[:] = exchanged(comm, parts)
    return comm.parts


@wrong(
    "large",
    "two dimensions at most: further ones are flattened",
    EXCHANGE,
    told=r"shape \(2, 4\), expected \(2, 1, 4\)",
    advice="lost a dimension of size 1",
)
def two_dimensions(comm, parts):
    return [x if x.dim() < 3 else x.flatten(1) for x in exchanged(comm, parts)]


@wrong(
    "unwatched",
    "an empty message to each before each part, as a barrier: twice the messages",
    EXCHANGE,
    told="a rank sends 6 messages",
)
def barrier_before_parts(comm, parts):
    send_all(comm, [torch.empty(0)] * comm.size)
    for j in others(comm):
        comm.recv(j)
    return exchanged(comm, parts)


@wrong("unwatched", "parts lie in memory that all ranks see; the messages are empty", EXCHANGE, told="numbers")
def parts_on_a_board(comm, parts):
    for j in others(comm):
        BOARD[comm.rank, j].append(parts[j])
        comm.send(torch.empty(0), j)
    result = list(parts)
    for j in others(comm):
        comm.recv(j)
        result[j] = BOARD[j, comm.rank].popleft()
    return result


# ---- right ones


@ANSWERS.right_at(SCATTER)
def ring_of_sums(comm, x):
    n, r = comm.size, comm.rank
    part = x[(r - 1) % n]
    for step in range(2, n + 1):
        comm.send(part, (r + 1) % n)
        part = comm.recv((r - 1) % n) + x[(r - step) % n]
    return part


@ANSWERS.right_at(SCATTER)
def rank_0_adds_up(comm, x):
    """All but its own row to rank 0: n - 1 rows in one message; rank 0 sends n - 1 sums."""
    if comm.rank:
        comm.send(x[torch.arange(comm.size) != comm.rank], 0)
        return x[comm.rank] + comm.recv(0)
    total = x.clone()
    for j in others(comm):
        total[torch.arange(comm.size) != j] += comm.recv(j)
    send_all(comm, total)
    return total[0]


@ANSWERS.right_at(SCATTER)
def reduced(comm, x):
    """Of one rank it is a view of x."""
    send_all(comm, x)
    return reduce(torch.add, map(comm.recv, others(comm)), x[comm.rank])


@ANSWERS.right_at(SCATTER)
def with_numpy(comm, x):
    send_all(comm, x)
    rows = [x[comm.rank].numpy(), *(comm.recv(j).numpy() for j in others(comm))]
    return torch.from_numpy(np.sum(np.array(rows, dtype=np.longdouble), axis=0, keepdims=True).astype(rows[0].dtype))[0]


@ANSWERS.right_at(SCATTER)
def with_minus_one(comm, x):
    return scattered(comm, x.reshape(comm.size, -1)).reshape(x.shape[1:])


@ANSWERS.right_at(GATHER)
def ring_of_rows(comm, x):
    n, r = comm.size, comm.rank
    rows = {r: x}
    for step in range(n - 1):
        comm.send(rows[(r - step) % n], (r + 1) % n)
        rows[(r - step - 1) % n] = comm.recv((r - 1) % n)
    return torch.stack([rows[j] for j in range(n)])


@ANSWERS.right_at(GATHER)
def doubling(comm, x):
    """Bruck's: a round doubles what each has, for any n."""
    n, r, rows = comm.size, comm.rank, x[None]
    while len(rows) < n:
        step = len(rows)
        comm.send(rows[: n - step], (r - step) % n)
        rows = torch.cat([rows, comm.recv((r + step) % n)])
    return rows.roll(r, 0)


@ANSWERS.right_at(GATHER)
def ranks_last(comm, x):
    """Written to places of a buffer that lies the other way round."""
    send_all(comm, [x] * comm.size)
    rows = x.new_empty(*x.shape, comm.size)
    rows[..., comm.rank] = x
    for j in others(comm):
        rows[..., j] = comm.recv(j)
    return rows.movedim(-1, 0)


@ANSWERS.right_at(EXCHANGE)
def by_distance(comm, parts):
    n, r = comm.size, comm.rank
    result = [None] * n
    result[r] = parts[r]
    for step in range(1, n):
        comm.send(parts[(r + step) % n], (r + step) % n)
        result[(r - step) % n] = comm.recv((r - step) % n)
    return result


@ANSWERS.right_at(EXCHANGE)
def lower_rank_first(comm, parts):
    """As it has to be where a send waits: of two ranks the lower one sends first."""

    def with_(j):
        if j == comm.rank:
            return parts[j].clone()
        if comm.rank < j:
            comm.send(parts[j], j)
            return comm.recv(j)
        x = comm.recv(j)
        comm.send(parts[j], j)
        return x

    return [with_(j) for j in range(comm.size)]


def sum_of_what_comes(comm, x):
    return torch.stack(exchanged(comm, list(x))).sum(0)


def the_same_for_all(comm, x):
    return torch.stack(exchanged(comm, comm.size * [x]))


ANSWERS.right((sum_of_what_comes, the_same_for_all, exchanged))
