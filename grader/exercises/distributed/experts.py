"""Experts that live on different ranks: Lepikhin et al. 2020, "GShard"; Fedus et al. 2021, "Switch Transformers"."""

import torch

from grader.contract import Trusted


class Exchange(torch.autograd.Function):
    """comm.all_to_all, and the gradients the same way back."""

    @staticmethod
    def forward(ctx, comm, *parts):
        ctx.comm = comm
        return tuple(comm.all_to_all(parts))

    @staticmethod
    def backward(ctx, *gradients):
        return None, *ctx.comm.all_to_all(gradients)


class Experts:
    """In steps: a mistake is written as the one in which it differs."""

    def __call__(self, comm, X, expert, gate, experts):
        self.comm, self.E = comm, len(experts)
        host = self.host(expert)
        order = host.argsort(stable=True)
        cut = self.cut(host)
        came = self.there(self.ready(X, gate)[order].split(cut))
        numbers = torch.cat(comm.all_to_all(expert[order].split(cut)))
        results = self.applied(experts, torch.cat(came), numbers)
        back = self.back(results.split([len(part) for part in came]))
        return self.weighted(self.restored(torch.cat(back), order), gate)

    def host(self, expert):
        """The rank of each token's expert."""
        return expert // self.E

    def cut(self, host):
        """How many tokens go to each rank."""
        return torch.bincount(host, minlength=self.comm.size).tolist()

    def ready(self, X, gate):
        return X

    def there(self, parts):
        return Exchange.apply(self.comm, *parts)

    def back(self, parts):
        return Exchange.apply(self.comm, *parts)

    def applied(self, experts, tokens, numbers):
        results = torch.zeros_like(tokens)
        for i, expert in enumerate(experts):
            rows = (numbers == self.number(i)).nonzero()[:, 0]
            if self.is_called(rows):
                results = results.index_add(0, rows, expert(tokens[rows]))
        return results

    def number(self, i):
        """The global number of this rank's expert i."""
        return self.comm.rank * self.E + i

    def is_called(self, rows):
        return True

    def restored(self, results, order):
        return results[order.argsort()]

    def weighted(self, Y, gate):
        return gate[:, None] * Y


def reference(comm, X, expert, gate, experts):
    return Experts()(comm, X, expert, gate, experts)


TRUSTED = Trusted(reference)
(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@slip(
    "The results stay in the order in which they came back, by rank, and belong to other tokens: bring each to the row "
    "that its token had."
)
class OrderLost(Experts):
    def restored(self, results, order):
        return results


@slip(
    "The results are brought into order once more by the order that sorted the tokens: its inverse leads back, "
    "`Y[order] = results`."
)
class SortedTwice(Experts):
    def restored(self, results, order):
        return results[order]


@slip("The gate is applied twice, before the expert and behind it: once, on the result.")
class GateTwice(Experts):
    def ready(self, X, gate):
        return gate[:, None] * X


@slip("The gate is not applied: row t of the result is gate[t] times what the expert gives.")
class NoGate(Experts):
    def weighted(self, Y, gate):
        return Y + 0 * gate[:, None]


@slip("The gate is applied to the token, before the expert: an expert is not linear, so weigh its result.")
class GateBefore(GateTwice):
    def weighted(self, Y, gate):
        return Y


@slip(
    "The number of an expert is taken for its place in the list of the rank. Numbers are global: experts[i] of rank r "
    "has the number r E + i."
)
class LocalNumber(Experts):
    def number(self, i):
        return i


@slip("Experts are dealt out like cards, number e to rank e % n: rank r has those from r E to (r + 1) E - 1.")
class Dealt(Experts):
    def host(self, expert):
        return expert % self.comm.size

    def number(self, i):
        return i * self.comm.size + self.comm.rank


@slip("Every rank gets equally many tokens. How many go to a rank is up to the routing: count them.")
class EqualParts(Experts):
    def cut(self, host):
        return [len(part) for part in host.tensor_split(self.comm.size)]


@slip(
    "Experts without tokens are left out. On a rank to which no token comes, the results are then in no graph, and it "
    "misses the exchanges of backward while others wait: call an expert with (0, D) as well."
)
class SkipsEmpty(Experts):
    def is_called(self, rows):
        return len(rows) > 0


@slip(
    "A rank without tokens of its own returns at once. Others wait for it, and its experts may be asked for: every "
    "rank has to come to every exchange."
)
class LeavesEarly(Experts):
    def __call__(self, comm, X, expert, gate, experts):
        return super().__call__(comm, X, expert, gate, experts) if len(X) else X * gate[:, None]


@slip(
    "The path is cut behind the gate: neither the experts nor what lies before them learn. all_to_all carries no "
    "gradient, so a Function of your own has to send it back, and nothing on the way may be detached, or run under "
    "no_grad."
)
class NoGradient(Experts):
    def there(self, parts):
        return self.comm.all_to_all(parts)

    def back(self, parts):
        return self.comm.all_to_all(parts)


@slip(
    "The gradient ends at the experts: they learn, and what lies before them does not. all_to_all carries none on the "
    "way there either, and nothing may be detached before an expert sees it."
)
class NoGradientThere(Experts):
    def there(self, parts):
        return self.comm.all_to_all(parts)


@slip("The gate is cut off from the graph: it has to learn, too.")
class GateCut(Experts):
    def weighted(self, Y, gate):
        return gate.detach()[:, None] * Y


class Averaging(Exchange):
    @staticmethod
    def backward(ctx, *gradients):
        return None, *(part / ctx.comm.size for part in ctx.comm.all_to_all(gradients))


@slip("In backward an exchange divides by the number of ranks. It only moves gradients: nothing is averaged here.")
class Averaged(Experts):
    def there(self, parts):
        return Averaging.apply(self.comm, *parts)

    back = there


@slip(
    "Every token goes to every rank, whether its expert lives there or not: send each to one rank, and its result to "
    "one."
)
class EverythingToAll(Experts):
    def __call__(self, comm, X, expert, gate, experts):
        self.comm, self.E = comm, len(experts)
        came = Exchange.apply(comm, *[X] * comm.size)
        numbers = torch.cat(comm.all_to_all([expert] * comm.size))
        results = self.applied(experts, torch.cat(came), numbers)  # 0 where the expert lives elsewhere
        back = Exchange.apply(comm, *results.split([len(part) for part in came]))
        return self.weighted(sum(back), gate)


@slip("Tokens are padded until all parts are as long as the longest: parts may differ in length, and be empty.")
class Padded(Experts):
    def __call__(self, comm, X, expert, gate, experts):
        self.comm, self.E = comm, len(experts)
        host = self.host(expert)
        order = host.argsort(stable=True)
        cut = self.cut(host)
        longest = int(comm.all_reduce(torch.tensor(max(cut), device=X.device), op="max"))
        rows = torch.cat([torch.arange(k) + rank * longest for rank, k in enumerate(cut)]).to(X.device)
        sent = X.new_zeros(comm.size * longest, X.shape[1]).index_copy(0, rows, X[order])
        names = expert.new_full((comm.size * longest,), -1).index_copy(0, rows, expert[order])
        came = torch.cat(Exchange.apply(comm, *sent.split(longest)))
        numbers = torch.cat(comm.all_to_all(names.split(longest)))
        back = torch.cat(Exchange.apply(comm, *self.applied(experts, came, numbers).split(longest)))
        return self.weighted(self.restored(back[rows], order), gate)


class ByMessages(torch.autograd.Function):
    """One tensor for each rank -> one from each, by send and recv."""

    @staticmethod
    def forward(ctx, comm, *parts):
        ctx.comm = comm
        return ByMessages.moved(comm, parts)

    @staticmethod
    def backward(ctx, *gradients):
        return None, *ByMessages.moved(ctx.comm, gradients)

    @staticmethod
    def moved(comm, parts):
        others = [rank for rank in range(comm.size) if rank != comm.rank]
        for rank in others:
            comm.send(parts[rank], rank)
        return tuple(part.clone() if rank == comm.rank else comm.recv(rank) for rank, part in enumerate(parts))


@TRUSTED.alternative
def the_gate_goes_along(comm, X, expert, gate, experts):
    """Each token is weighed where its expert lives; by masks, without sorting."""
    E, n = len(experts), comm.size
    here = [expert // E == rank for rank in range(n)]
    rows = ByMessages.apply(comm, *(torch.cat([X, gate[:, None]], 1)[mask] for mask in here))
    numbers = ByMessages.moved(comm, [expert[mask] for mask in here])
    answers = []
    for part, local in zip(rows, numbers, strict=True):
        x, share = part.split([X.shape[1], 1], 1)
        out = x * 0
        for i in range(E):
            mask = (local == comm.rank * E + i)[:, None]
            out = out + torch.where(mask, experts[i](x), 0)
        answers.append(share * out)
    Y = torch.zeros_like(X)
    for mask, part in zip(here, ByMessages.apply(comm, *answers), strict=True):
        Y = Y.masked_scatter(mask[:, None], part)
    return Y


class _AllInOne(torch.autograd.Function):
    """The whole way by hand: the graph of the rank's experts is kept, and gone through in backward."""

    @staticmethod
    def forward(ctx, X, comm, expert, experts):
        E = len(experts)
        places = [(expert.div(E, rounding_mode="floor") == rank).nonzero().flatten() for rank in range(comm.size)]
        came = comm.all_to_all([X[place] for place in places])
        which = comm.all_to_all([expert[place] - rank * E for rank, place in enumerate(places)])
        with torch.enable_grad():
            tokens = [x.requires_grad_() for x in came]
            given = []
            for x, local in zip(tokens, which, strict=True):
                tables = torch.stack([module(x) for module in experts])  # (E, rows, D), of which one row each counts
                given.append(tables[local, torch.arange(len(x), device=x.device)])
        ctx.comm, ctx.places, ctx.tokens, ctx.given = comm, places, tokens, given
        Y = torch.empty_like(X)
        Y[torch.cat(places)] = torch.cat(comm.all_to_all(given))
        return Y

    @staticmethod
    def backward(ctx, dY):
        upstream = ctx.comm.all_to_all([dY[place] for place in ctx.places])
        torch.autograd.backward(ctx.given, upstream)
        dX = torch.empty_like(dY)
        for place, part in zip(ctx.places, ctx.comm.all_to_all([x.grad for x in ctx.tokens]), strict=True):
            dX[place] = part
        return dX, None, None, None


@TRUSTED.alternative
def by_hand(comm, X, expert, gate, experts):
    return torch.einsum("t,td->td", gate, _AllInOne.apply(X, comm, expert, experts))
