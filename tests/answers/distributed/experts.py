"""Answers to distributed.experts: a right answer in steps, of which one is replaced at a time."""

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.experts",
    spared={
        "far": "the function itself adds and multiplies alone: nothing is exponentiated or divided",
        "dependence": "nothing is drawn",
    },
)
wrong = ANSWERS.wrong


class Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx, comm, *parts):
        ctx.comm = comm
        return tuple(comm.all_to_all(parts))

    @staticmethod
    def backward(ctx, *gradients):
        return None, *ctx.comm.all_to_all(gradients)


def sort(comm, X, expert, E):
    """Rows by the rank to which they go, and how many go to each."""
    host = expert // E
    return host.argsort(stable=True), host.bincount(minlength=comm.size).tolist()


def work(comm, tokens, numbers, experts):
    """What the rank's own experts make of what has come."""
    Y = torch.empty_like(tokens)
    for e, f in enumerate(experts):
        rows = (numbers == comm.rank * len(experts) + e).nonzero().flatten()
        Y = Y.index_copy(0, rows, f(tokens[rows]))
    return Y


def place(X, order, rows):
    return torch.empty_like(X).index_copy(0, order, rows)


def gated(Y, gate):
    return gate[:, None] * Y


def parallel(
    comm,
    X,
    expert,
    gate,
    experts,
    *,
    there=Exchange.apply,
    back=Exchange.apply,
    sort=sort,
    work=work,
    place=place,
    gated=gated,
):
    """A right answer, of which a part is replaced."""
    order, counts = sort(comm, X, expert, len(experts))
    tokens = there(comm, *X[order].split(counts))
    numbers = comm.all_to_all(expert[order].split(counts))
    made = work(comm, torch.cat([*tokens]), torch.cat(numbers), experts)
    rows = back(comm, *made.split([len(x) for x in tokens]))
    return gated(place(X, order, torch.cat([*rows])), gate)


# The commonest slips.


@wrong("plain", "the gate is left out", true="NoGate")
def no_gate(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, experts, gated=lambda Y, gate: Y + 0 * gate[:, None])


@wrong("plain", "results stay in the order in which they were sent", true="OrderLost")
def sorted_rows(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, experts, place=lambda X, order, rows: rows)


@wrong("plain", "rows[order], which sorts once more", true="SortedTwice")
def sorted_twice(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, experts, place=lambda X, order, rows: rows[order])


@wrong("plain", "the gate is put on before the expert", true="GateBefore")
def gate_first(comm, X, expert, gate, experts):
    return parallel(comm, gate[:, None] * X, expert, gate, experts, gated=lambda Y, gate: Y)


@wrong(
    "plain",
    "gates in the order of the tokens, rows in the order in which they were sent",
    told=r"right numbers at the wrong places",
)
def gates_of_others(comm, X, expert, gate, experts):
    order, _ = sort(comm, X, expert, len(experts))
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    return parallel(comm, X, expert, gate[back], experts)


@wrong("plain", "expert % n is taken for the rank", true="Dealt")
def by_remainder(comm, X, expert, gate, experts):
    def sort(comm, X, expert, E):
        host = expert % comm.size
        return host.argsort(stable=True), host.bincount(minlength=comm.size).tolist()

    def work(comm, tokens, numbers, experts):
        Y = torch.empty_like(tokens)
        for e, f in enumerate(experts):
            rows = (numbers // comm.size == e).nonzero().flatten()
            Y = Y.index_copy(0, rows, f(tokens[rows]))
        return Y

    return parallel(comm, X, expert, gate, experts, sort=sort, work=work)


@wrong("plain", "the rank's own experts alone, by expert % E: nothing is sent")
def own_experts(comm, X, expert, gate, experts):
    return gate[:, None] * work(comm, X, comm.rank * len(experts) + expert % len(experts), experts)


@wrong(
    "plain",
    "experts are taken by their numbers among all: those of rank 0 and an IndexError",
    told=r"IndexError: list index out of range",
)
def number_among_all(comm, X, expert, gate, experts):
    def work(comm, tokens, numbers, experts):
        return torch.stack([experts[i](x[None])[0] for i, x in zip(numbers.tolist(), tokens, strict=True)])

    return parallel(comm, X, expert, gate, experts, work=work)


@wrong("plain", "the numbers of the own tokens are thought to be those of what came")
def own_numbers(comm, X, expert, gate, experts):
    def work_with_own(comm, tokens, numbers, experts):
        order, _ = sort(comm, X, expert, len(experts))
        mine = expert[order] % len(experts) + comm.rank * len(experts)
        mine = torch.cat([mine, mine.new_full((len(tokens),), comm.rank * len(experts))])[: len(tokens)]
        return work(comm, tokens, mine, experts)

    return parallel(comm, X, expert, gate, experts, work=work_with_own)


@wrong("plain", "no Exchange there: X gets no gradient by way of the experts", true="NoGradientThere")
def bare_there(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, experts, there=lambda comm, *parts: comm.all_to_all(parts))


@wrong("plain", "no Exchange back: the gate alone gets a gradient", true="NoGradient")
def bare_back(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, experts, back=lambda comm, *parts: comm.all_to_all(parts))


@wrong("plain", "no Exchange at all", true="NoGradient")
def bare(comm, X, expert, gate, experts):
    def raw(comm, *parts):
        return comm.all_to_all(parts)

    return parallel(comm, X, expert, gate, experts, there=raw, back=raw)


@wrong(
    "plain",
    "Exchange's backward hands gradients on as they are, to the tokens of another rank",
    told=r"returned an invalid gradient",
)
def gradients_stay(comm, X, expert, gate, experts):
    class Stays(Exchange):
        @staticmethod
        def backward(ctx, *gradients):
            return None, *gradients

    return parallel(comm, X, expert, gate, experts, there=Stays.apply, back=Stays.apply)


@wrong(
    "plain",
    "Exchange's backward forgets the value for comm",
    told=r"incorrect number of gradients \(expected 3, got 2\)",
)
def one_value_short(comm, X, expert, gate, experts):
    class Short(Exchange):
        @staticmethod
        def backward(ctx, *gradients):
            return tuple(ctx.comm.all_to_all(gradients))

    return parallel(comm, X, expert, gate, experts, there=Short.apply, back=Short.apply)


@wrong("plain", "gradients are divided by n, as in data parallelism")
def mean_of_ranks(comm, X, expert, gate, experts):
    class Mean(Exchange):
        @staticmethod
        def backward(ctx, *gradients):
            return None, *(x / ctx.comm.size for x in ctx.comm.all_to_all(gradients))

    return parallel(comm, X, expert, gate, experts, back=Mean.apply)


@wrong("plain", "the experts run without gradients", true="NoGradient")
def experts_frozen(comm, X, expert, gate, experts):
    def frozen(*given):
        with torch.no_grad():
            return work(*given)

    return parallel(comm, X, expert, gate, experts, work=frozen)


@wrong("plain", "the gate is detached", true="GateCut")
def gate_detached(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate.detach(), experts)


# Boundaries: no tokens, one token, all tokens.


@wrong("named", "a rank without tokens of its own goes home at once", true="LeavesEarly")
def goes_home(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, experts) if len(X) else X


@wrong("named", "an expert without tokens is not called: its rank's results are not in the graph", true="SkipsEmpty")
def called_if_needed(comm, X, expert, gate, experts):
    def some(comm, tokens, numbers, experts):
        Y = torch.empty_like(tokens).detach()
        for e, f in enumerate(experts):
            rows = (numbers == comm.rank * len(experts) + e).nonzero().flatten()
            if len(rows):
                Y = Y.index_copy(0, rows, f(tokens[rows]))
        return Y

    return parallel(comm, X, expert, gate, experts, work=some)


@wrong("named", "what comes is made of tokens that are cut off where none came", true="SkipsEmpty")
def new_zeros_for_none(comm, X, expert, gate, experts):
    def some(comm, tokens, numbers, experts):
        return work(comm, tokens, numbers, experts) if len(tokens) else tokens.new_zeros(tokens.shape)

    return parallel(comm, X, expert, gate, experts, work=some)


@wrong(
    "named",
    "a rank without tokens returns new zeros, which have no gradient",
    told=r"on a rank with 0 tokens: it is cut off",
)
def new_zeros_at_home(comm, X, expert, gate, experts):
    Y = parallel(comm, X, expert, gate, experts)
    return Y if len(X) else torch.zeros_like(X)


@wrong(
    "named",
    "torch.stack of results one by one, which takes no empty list",
    told=r"stack expects a non-empty TensorList",
)
def stacked(comm, X, expert, gate, experts):
    def one_by_one(comm, tokens, numbers, experts):
        first = comm.rank * len(experts)
        return torch.stack([experts[i - first](x[None])[0] for i, x in zip(numbers.tolist(), tokens, strict=True)])

    return parallel(comm, X, expert, gate, experts, work=one_by_one)


@wrong(
    "named",
    "bincount without minlength: too few counts where the last ranks get nothing",
    told=r"one tensor for each of 3 ranks, found 0",
)
def few_counts(comm, X, expert, gate, experts):
    def short(comm, X, expert, E):
        return (expert // E).argsort(stable=True), (expert // E).bincount().tolist()

    return parallel(comm, X, expert, gate, experts, sort=short)


@wrong("ones", "squeeze: one token is a vector", told=r"made is \(4,\)")
def squeezed(comm, X, expert, gate, experts):
    def one_is_a_vector(comm, tokens, numbers, experts):
        Y = torch.empty_like(tokens)
        for e, f in enumerate(experts):
            rows = (numbers == comm.rank * len(experts) + e).nonzero().squeeze()
            Y = Y.index_copy(0, rows.reshape(-1), f(tokens[rows]).reshape(-1, tokens.shape[-1]))
        return Y.squeeze()

    return parallel(comm, X, expert, gate, experts, work=one_is_a_vector)


@wrong("named", "an expert takes as many tokens as there are to each on average and a quarter more; others are dropped")
def capacity(comm, X, expert, gate, experts):
    def some(comm, tokens, numbers, experts):
        Y = torch.zeros_like(tokens)
        most = -(-5 * len(tokens) // (4 * len(experts)))
        for e, f in enumerate(experts):
            rows = (numbers == comm.rank * len(experts) + e).nonzero().flatten()[:most]
            Y = Y.index_copy(0, rows, f(tokens[rows]))
        return Y

    return parallel(comm, X, expert, gate, experts, work=some)


@wrong(
    "named",
    "T is thought to be the same on each rank: as many rows come back as were sent, cut by the own counts",
    told=r"expects split_sizes to sum exactly",
)
def equal_tokens(comm, X, expert, gate, experts):
    order, counts = sort(comm, X, expert, len(experts))
    tokens = torch.cat(Exchange.apply(comm, *X[order].split(counts)))
    numbers = torch.cat(comm.all_to_all(expert[order].split(counts)))
    made = work(comm, tokens, numbers, experts)
    rows = Exchange.apply(comm, *made.split(counts))
    return gate[:, None] * place(X, order, torch.cat(rows))


@wrong("named", "a token whose gate is 0 stays at home: the gate gets no gradient", told=r"gate\.grad")
def closed_gates_stay(comm, X, expert, gate, experts):
    open_ = gate.detach().nonzero().flatten()
    Y = parallel(comm, X[open_], expert[open_], gate[open_], experts)
    return (0 * gate[:, None] * X).index_add(0, open_, Y)


@wrong("named", "X.view(-1), where X lies in memory in another order", told=r"Use \.reshape")
def viewed(comm, X, expert, gate, experts):
    return parallel(comm, X.view(-1).view(X.shape), expert, gate, experts)


@wrong("large", "numbers of experts travel as int8, which ends at 127", advice=r"right where E is 3 or less")
def numbers_in_int8(comm, X, expert, gate, experts):
    order, counts = sort(comm, X, expert, len(experts))
    tokens = Exchange.apply(comm, *X[order].split(counts))
    numbers = torch.cat(comm.all_to_all(expert[order].to(torch.int8).split(counts)))
    made = work(comm, torch.cat(tokens), numbers.long(), experts)
    return gate[:, None] * place(X, order, torch.cat(Exchange.apply(comm, *made.split([len(x) for x in tokens]))))


# Again, onward.


ORDERS = {}


@wrong(
    "again",
    "who goes where is kept by the rank and the number of tokens",
    advice=r"two layers of experts: W\.grad of the experts on rank 1 is 0",
)
def kept_order(comm, X, expert, gate, experts):
    def kept(comm, X, expert, E):
        key = comm.size, comm.rank, len(X), E
        if key not in ORDERS:
            ORDERS[key] = sort(comm, X, expert, E)
        return ORDERS[key]

    return parallel(comm, X, expert, gate, experts, sort=kept)


class CommOnClass(torch.autograd.Function):
    comm = None

    @staticmethod
    def forward(ctx, comm, *parts):
        CommOnClass.comm = comm
        return tuple(comm.all_to_all(parts))

    @staticmethod
    def backward(ctx, *gradients):
        return None, *CommOnClass.comm.all_to_all(gradients)


@wrong("again", "comm is kept on the Function's class", told=r"what is kept on a class or in a global")
def comm_on_class(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, experts, there=CommOnClass.apply, back=CommOnClass.apply)


SHAPES = {}


class CountsOnClass(torch.autograd.Function):
    """Backward cuts by what the last forward was: right until another one follows."""

    @staticmethod
    def forward(ctx, comm, *parts):
        ctx.comm = comm
        SHAPES[comm.rank] = [len(x) for x in parts]
        return tuple(comm.all_to_all(parts))

    @staticmethod
    def backward(ctx, *gradients):
        back = torch.cat(ctx.comm.all_to_all(gradients))
        return None, *back.split(SHAPES[ctx.comm.rank])


@wrong(
    "onward",
    "how many went where is kept in a global: a second layer's counts take the first one's place",
    told=r"two layers of experts: RuntimeError: Function \w+ returned an invalid gradient",
)
def counts_on_class(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, experts, there=CountsOnClass.apply)


# What was given, and what is around.


@wrong("given", "results are written into X", told=r"changes its input X in place")
def into_x(comm, X, expert, gate, experts):
    def write(X, order, rows):
        with torch.no_grad():
            X[order] = rows
        return X.new_empty(X.shape).index_copy(0, order, rows)

    return parallel(comm, X, expert, gate, experts, place=write)


@wrong(
    "given",
    "experts are taken out of the list one after the other",
    told=r"\blist\b.*\bexperts\b|\bexperts\b.*\blist\b",
)
def list_emptied(comm, X, expert, gate, experts):
    E = len(experts)

    def pops(comm, tokens, numbers, experts):
        Y = torch.empty_like(tokens)
        for e in range(E):
            rows = (numbers == comm.rank * E + e).nonzero().flatten()
            Y = Y.index_copy(0, rows, experts.pop(0)(tokens[rows]))
        return Y

    return parallel(comm, X, expert, gate, experts, work=pops)


@wrong("given", "the rank's numbers are subtracted in place", told=r"changes its input expert in place")
def numbers_in_place(comm, X, expert, gate, experts):
    hosts = expert // len(experts)
    expert -= hosts * len(experts)
    return parallel(comm, X, expert + hosts * len(experts), gate, experts)


@wrong("surroundings", "experts are put into eval mode and stay there", told=r"eval|mode|training")
def in_eval(comm, X, expert, gate, experts):
    return parallel(comm, X, expert, gate, [f.eval() for f in experts])


@wrong("surroundings", "experts without tokens are frozen, and stay so", told=r"frozen|requires_grad")
def freezes(comm, X, expert, gate, experts):
    Y = parallel(comm, X, expert, gate, experts)
    for e, f in enumerate(experts):
        if not (expert == comm.rank * len(experts) + e).any():
            f.requires_grad_(False)
    return Y


# Costs.


@wrong(
    "plain",
    "every token goes to every rank, and each rank sends back what is its own, zeros beside",
    true="EverythingToAll",
)
def to_every_rank(comm, X, expert, gate, experts):
    tokens = Exchange.apply(comm, *[X] * comm.size)
    numbers = torch.cat(comm.all_to_all([expert] * comm.size))
    made = torch.zeros_like(torch.cat(tokens)) + 0 * torch.cat(tokens)
    for e, f in enumerate(experts):
        rows = (numbers == comm.rank * len(experts) + e).nonzero().flatten()
        made = made.index_copy(0, rows, f(torch.cat(tokens)[rows]))
    return gate[:, None] * sum(Exchange.apply(comm, *made.split([len(x) for x in tokens])))


@wrong(
    "plain", "parts are filled up with zeros to one length, as an all_to_all of equal parts needs them", true="Padded"
)
def filled_up(comm, X, expert, gate, experts):
    order, counts = sort(comm, X, expert, len(experts))
    most = int(comm.all_reduce(torch.tensor([max(counts)]), op="max"))

    def fill(x):
        return torch.cat([x, x.new_zeros(most - len(x), *x.shape[1:])])

    tokens = torch.cat(Exchange.apply(comm, *map(fill, X[order].split(counts))))
    numbers = torch.cat(comm.all_to_all([fill(x + 1) - 1 for x in expert[order].split(counts)]))
    made = 0 * tokens
    for e, f in enumerate(experts):
        rows = (numbers == comm.rank * len(experts) + e).nonzero().flatten()
        made = made.index_copy(0, rows, f(tokens[rows]))
    rows = Exchange.apply(comm, *made.split(most))
    return gate[:, None] * place(X, order, torch.cat([x[:k] for x, k in zip(rows, counts, strict=True)]))


@wrong(
    "plain",
    "the weights of all experts are gathered, and each rank does its own tokens: more than tokens is sent",
    told=r"a rank sends 168 numbers in all",
)
def weights_travel(comm, X, expert, gate, experts):
    shapes = [p.shape for p in experts[0].parameters()]
    mine = torch.stack([torch.cat([p.flatten() for p in f.parameters()]) for f in experts])
    everybody = torch.cat(Exchange.apply(comm, *[mine] * comm.size)).to(X.dtype)
    Y = torch.zeros_like(X) * X
    for number, flat in enumerate(everybody):
        rows = (expert == number).nonzero().flatten()
        parts = flat.split([s.numel() for s in shapes])
        names = [name for name, _ in experts[0].named_parameters()]
        weights = {name: x.view(s) for name, x, s in zip(names, parts, shapes, strict=True)}
        Y = Y.index_copy(0, rows, torch.func.functional_call(experts[0], weights, (X[rows],)))
    return gate[:, None] * Y


@wrong("plain", "the token goes along with its result on the way back", told=r"a rank sends 130 numbers in all")
def token_comes_back(comm, X, expert, gate, experts):
    D = X.shape[1]

    def both(comm, tokens, numbers, experts):
        return torch.cat([work(comm, tokens, numbers, experts), tokens], 1)

    def placed(X, order, rows):
        return place(X, order, rows[:, :D])

    return parallel(comm, X, expert, gate, experts, work=both, place=placed)


@wrong(
    "plain", "number, place, rank and gate go along, as columns of the token", told=r"a rank sends 140 numbers in all"
)
def four_columns(comm, X, expert, gate, experts):
    D = X.shape[1]
    order, counts = sort(comm, X, expert, len(experts))
    beside = torch.stack([expert, torch.arange(len(X)), torch.full_like(expert, comm.rank), expert], 1).to(X.dtype)
    tokens = Exchange.apply(comm, *torch.cat([X, beside], 1)[order].split(counts))
    came = torch.cat(tokens)
    made = torch.cat([work(comm, came[:, :D], came[:, D].long(), experts), came[:, D:]], 1)
    rows = torch.cat(Exchange.apply(comm, *made.split([len(x) for x in tokens])))
    return gate[:, None] * torch.empty_like(X).index_copy(0, rows[:, D + 1].long(), rows[:, :D])


@wrong("plain", "the experts' gradients are added up over all ranks, which do not have these experts")
def weights_reduced(comm, X, expert, gate, experts):
    class Reduced(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, dx):
            return comm.all_reduce(dx)

    def work_with(comm, tokens, numbers, experts):
        Y = torch.empty_like(tokens)
        for e, f in enumerate(experts):
            rows = (numbers == comm.rank * len(experts) + e).nonzero().flatten()
            weights = {name: Reduced.apply(p) for name, p in f.named_parameters()}
            Y = Y.index_copy(0, rows, torch.func.functional_call(f, weights, (tokens[rows],)))
        return Y

    return parallel(comm, X, expert, gate, experts, work=work_with)


ALL = {}


class Together(torch.autograd.Function):
    """Every rank waits for the others, forward and backward."""

    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        comm.barrier()
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dx):
        ctx.comm.barrier()
        return dx, None


@wrong(
    "unwatched",
    "experts of other ranks are called where they lie: no token is sent",
    told=r"nobody can know the result",
)
def calls_others(comm, X, expert, gate, experts):
    E = len(experts)
    ALL[comm.rank] = experts
    X = Together.apply(X, comm)
    Y = torch.empty_like(X) + 0 * X
    for number in range(comm.size * E):
        rows = (expert == number).nonzero().flatten()
        Y = Y.index_copy(0, rows, ALL[number // E][number % E](X[rows]))
    comm.barrier()
    return gate[:, None] * Y


# Right ones.


@ANSWERS.right
def sorted_by_expert(comm, X, expert, gate, experts):
    """Counts for each expert take the place of numbers, and a rank's tokens for itself stay out of the exchange."""
    n, E, r = comm.size, len(experts), comm.rank
    order = torch.argsort(expert)
    counts = torch.bincount(expert, minlength=n * E).view(n, E)
    came = torch.stack(comm.all_to_all([*counts]))
    parts = [*X.index_select(0, order).split(counts.sum(1).tolist())]
    kept, parts[r] = parts[r], parts[r][:0]
    arrived = [*Exchange.apply(comm, *parts)]
    arrived[r] = kept
    blocks = [x.split(k) for x, k in zip(arrived, came.tolist(), strict=True)]
    made = [
        f(torch.cat(mine)).split(came[:, e].tolist())
        for e, (f, mine) in enumerate(zip(experts, zip(*blocks, strict=True), strict=True))
    ]
    results = [torch.cat([made[e][j] for e in range(E)]) for j in range(n)]
    home = results[r]
    results[r] = home[:0]
    back = [*Exchange.apply(comm, *results)]
    back[r] = home
    return torch.cat(back)[torch.argsort(order)] * gate.unsqueeze(-1)


@ANSWERS.right
def one_token_at_a_time(comm, X, expert, gate, experts):
    """The number is a column of the token, and an expert is called for each token; nothing is sorted."""
    E, n, D = len(experts), comm.size, X.shape[1]
    wide = torch.cat([X, expert[:, None].to(X.dtype)], 1)
    masks = [expert // E == j for j in range(n)]
    came = Exchange.apply(comm, *[wide[mask] for mask in masks])
    none = sum(f(X.new_zeros(0, D)).sum() for f in experts)
    results = []
    for part in came:
        rows = [experts[int(x[D]) - E * comm.rank](x[None, :D]) for x in part]
        results.append(torch.cat([*rows, part[:0, :D]]) + none)
    Y = torch.zeros_like(X)
    for mask, rows in zip(masks, Exchange.apply(comm, *results), strict=True):
        Y = Y.masked_scatter(mask[:, None], rows)
    return torch.einsum("td,t->td", Y, gate)


@ANSWERS.right
def gate_on_the_other_side(comm, X, expert, gate, experts):
    """The gate goes along as the one more number, and the expert's rank multiplies by it; numbers go as counts."""
    n, E, D = comm.size, len(experts), X.shape[1]
    order = expert.sort(stable=True).indices
    counts = torch.bincount(expert, minlength=n * E).view(n, E)
    came = torch.stack(comm.all_to_all([*counts.int()]))
    wide = torch.cat([X, gate[:, None]], 1)[order]
    parts = Exchange.apply(comm, *wide.split(counts.sum(1).tolist()))
    tokens, numbers = torch.cat(parts), torch.arange(E).repeat(n).repeat_interleave(came.flatten().long())
    out = torch.zeros(len(tokens), D, dtype=X.dtype)
    for e, f in enumerate(experts):
        at = torch.where(numbers == e)[0]
        out = out.index_add(0, at, f(tokens[at, :D]) * tokens[at, D:])
    rows = torch.cat(Exchange.apply(comm, *out.split(came.sum(1).tolist())))
    return X.new_zeros(X.shape).scatter(0, order[:, None].expand(-1, D), rows)


@ANSWERS.right
def written_in_place(comm, X, expert, gate, experts):
    """Results are written over the tokens that came, and rows into a new tensor; experts are called for each sender."""
    E = len(experts)
    host = torch.div(expert, E, rounding_mode="floor")
    places = [(host == j).nonzero().flatten() for j in range(comm.size)]
    numbers = comm.all_to_all([expert[at] for at in places])
    results = []
    for x, number in zip(Exchange.apply(comm, *[X[at] for at in places]), numbers, strict=True):
        y = x.clone()
        for e, f in enumerate(experts):
            y[number == comm.rank * E + e] = f(x[number == comm.rank * E + e])
        results.append(y)
    Y = torch.zeros_like(X)
    for at, rows in zip(places, Exchange.apply(comm, *results), strict=True):
        Y[at] = rows
    return Y * gate[:, None]


class Flat(torch.autograd.Function):
    """One tensor in, cut by counts, one tensor out; counts of both ways wait in ctx."""

    @staticmethod
    def forward(ctx, x, counts, comm):
        parts = comm.all_to_all(x.split(counts))
        ctx.comm, ctx.back = comm, [len(part) for part in parts]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, dx):
        return torch.cat(ctx.comm.all_to_all(dx.split(ctx.back))), None, None


@ANSWERS.right
def one_flat_exchange(comm, X, expert, gate, experts):
    """As torch.distributed.nn's all_to_all_single has it."""
    E = len(experts)
    expert, order = expert.sort()
    sent = [int(((expert >= j * E) & (expert < (j + 1) * E)).sum()) for j in range(comm.size)]
    numbers = comm.all_to_all(expert.split(sent))
    came = [len(x) for x in numbers]
    numbers = torch.cat(numbers) % E
    tokens = Flat.apply(X[order], sent, comm)
    by = numbers.argsort()
    pieces = tokens[by].split(numbers.bincount(minlength=E).tolist())
    made = torch.cat([f(x) for f, x in zip(experts, pieces, strict=True)])
    rows = Flat.apply(made[by.argsort()], came, comm)
    return rows[order.argsort()] * gate[:, None]
