"""Answers to distributed.average_gradients."""

import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.average_gradients", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong


def chosen_of(model):
    return [p for p in model.parameters() if p.requires_grad]


def weighted(p, tokens):
    return torch.zeros_like(p).detach() if p.grad is None or tokens == 0 else p.grad.detach() * tokens


def total_of(comm, tokens):
    return comm.all_reduce(torch.tensor(tokens)).item()


def put_into(p, mean):
    p.grad = mean


def averaged(comm, model, tokens, *, chosen=chosen_of, mine=weighted, total=total_of, reduce=None, put=put_into):
    """A right answer, of which a part is replaced."""
    everybody = total(comm, tokens)
    for p in chosen(model):
        x = mine(p, tokens)
        put(p, (reduce(comm, x) if reduce else comm.all_reduce(x)) / everybody)


@wrong("plain", "the given code", true="as_given")
def given_average(comm, model, tokens):
    for p in model.parameters():
        if p.grad is not None:
            p.grad = comm.all_reduce(p.grad) / comm.size


@wrong("plain", "half mended: every parameter that trains, and the mean of means", true="PlainMean")
def mean_of_means(comm, model, tokens):
    averaged(
        comm,
        model,
        tokens,
        mine=lambda p, tokens: weighted(p, min(tokens, 1)),
        total=lambda comm, tokens: comm.size,
    )


@wrong(
    "plain",
    "half mended: weighted by tokens, and divided by the number of ranks",
    advice="times what is expected",
)
def divided_by_ranks(comm, model, tokens):
    averaged(comm, model, tokens, total=lambda comm, tokens: comm.size)


@wrong("plain", "half mended: the mean of means over ranks that have tokens", true="MeanOfTheActive")
def mean_over_active(comm, model, tokens):
    averaged(
        comm,
        model,
        tokens,
        mine=lambda p, tokens: weighted(p, min(tokens, 1)),
        total=lambda comm, tokens: comm.all_reduce(torch.tensor(int(tokens > 0))).item(),
    )


@wrong("plain", "the sum over tokens", advice="times what is expected")
def sum_of_tokens(comm, model, tokens):
    averaged(comm, model, tokens, total=lambda comm, tokens: 1)


@wrong("plain", "divided by the rank's own tokens", advice="times what is expected")
def own_tokens(comm, model, tokens):
    averaged(comm, model, tokens, total=lambda comm, tokens: tokens)


@wrong("plain", "half mended: weighted by tokens, and a rank without a gradient does not come", true="UnusedLeftOut")
def skips_none(comm, model, tokens):
    total = total_of(comm, tokens)
    for p in model.parameters():
        if p.grad is not None:
            p.grad = comm.all_reduce(p.grad * tokens) / total


@wrong("named", "divided by the tokens of the ranks that have used the parameter", true="UsersAlone")
def tokens_of_users(comm, model, tokens):
    for p in chosen_of(model):
        used = torch.tensor(float(tokens if p.grad is not None else 0), dtype=torch.float64)
        total = comm.all_reduce(used).item()
        p.grad = comm.all_reduce(weighted(p, tokens)) / max(total, 1)


@wrong("named", "the same, and 0 / 0 where nobody has used it", told="body.weight.grad on rank 1 is NaN")
def nobody_is_nan(comm, model, tokens):
    total = total_of(comm, tokens)
    for p in chosen_of(model):
        users = comm.all_reduce(torch.tensor(float(p.grad is not None and tokens > 0)))
        p.grad = comm.all_reduce(weighted(p, tokens)) / total * (users / users).to(p.dtype)


@wrong("named", "where a rank has not used a parameter, its p.grad stays None there", true="NotPutBack")
def none_stays(comm, model, tokens):
    def put(p, mean):
        if p.grad is not None:
            p.grad = mean

    averaged(comm, model, tokens, put=put)


@wrong("named", "what is frozen gets zeros", true="FrozenToo")
def frozen_too(comm, model, tokens):
    averaged(comm, model, tokens, chosen=lambda model: list(model.parameters()))


@wrong("named", "what is frozen is sent, and left alone then", told="numbers in all, and 184 are enough")
def frozen_sent(comm, model, tokens):
    def put(p, mean):
        if p.requires_grad:
            p.grad = mean

    averaged(comm, model, tokens, chosen=lambda model: list(model.parameters()), put=put)


@wrong("onward", "the first frozen parameter ends the loop", advice="are not the last one's")
def ends_at_frozen(comm, model, tokens):
    def chosen(model):
        for p in model.parameters():
            if not p.requires_grad:
                return
            yield p

    averaged(comm, model, tokens, chosen=chosen)


@wrong("named", "a parameter under two names is weighted twice, in place", true="TiedTwice")
def tied_weighted_twice(comm, model, tokens):
    every = [p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]
    total = total_of(comm, tokens)
    for p in every:
        p.grad = torch.zeros_like(p) if p.grad is None or tokens == 0 else p.grad * tokens
    for p in every:
        p.grad = comm.all_reduce(p.grad) / total


@wrong("named", "a parameter under two names is sent twice: the mean of equal means is the same", true="TiedSentTwice")
def tied_sent_twice(comm, model, tokens):
    averaged(
        comm,
        model,
        tokens,
        chosen=lambda model: [p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad],
    )


@wrong("named", "every gradient travels in float32", true="InFloat32")
def in_float32(comm, model, tokens):
    def reduce(comm, x):
        return comm.all_reduce(x.float()).to(x.dtype)

    averaged(comm, model, tokens, reduce=reduce)


@wrong(
    "named",
    "one long vector of the widest dtype, whose pieces are put in as they are",
    told="assign a gradient with dtype 'double'",
)
def promoted(comm, model, tokens):
    params = chosen_of(model)
    flat = comm.all_reduce(torch.cat([weighted(p, tokens).flatten() for p in params])) / total_of(comm, tokens)
    for p, piece in zip(params, flat.split([p.numel() for p in params]), strict=True):
        p.grad = piece.view_as(p)


@wrong("named", "0 times NaN is NaN", true="NaNOfNothing")
def zero_times_nan(comm, model, tokens):
    averaged(
        comm,
        model,
        tokens,
        mine=lambda p, tokens: torch.zeros_like(p).detach() if p.grad is None else p.grad * tokens,
    )


@wrong(
    "named",
    "what stands in p.grad of a rank without tokens counts as one token",
    told="no gradients where there are none, float64: scale.grad on rank 1 is",
    advice="times what is expected",
)
def one_token_at_least(comm, model, tokens):
    averaged(comm, model, max(tokens, 1))


@wrong("named", "every NaN and infinity is 0, that of a rank with tokens too", true="HidesNaN")
def nan_hidden(comm, model, tokens):
    averaged(
        comm,
        model,
        tokens,
        mine=lambda p, tokens: weighted(p, tokens).nan_to_num(nan=0, posinf=0, neginf=0),
    )


@wrong("named", "a gradient that has a NaN is left out", true="HidesNaN", told="expected nan")
def skips_nan(comm, model, tokens):
    def mine(p, tokens):
        x = weighted(p, tokens)
        return x if x.isfinite().all() else torch.zeros_like(x)

    averaged(comm, model, tokens, mine=mine)


@wrong("named", "a rank without tokens returns at once", told="rank 1 has ended")
def returns_early(comm, model, tokens):
    if tokens:
        averaged(comm, model, tokens)


@wrong(
    "named",
    "a rank without tokens makes its gradients zeros, of which some are None",
    told="'NoneType' object has no attribute 'zero_'",
)
def zeros_in_place(comm, model, tokens):
    if tokens == 0:
        for p in chosen_of(model):
            p.grad.zero_()
    averaged(comm, model, tokens)


@wrong(
    "named",
    "a rank without tokens sends zeros, and does not take what comes back",
    told="other ranks' gradients are not the last one's",
)
def empty_keeps_its_own(comm, model, tokens):
    def put(p, mean):
        if tokens:
            p.grad = mean

    averaged(comm, model, tokens, put=put)


@wrong("plain", "added to what stands in p.grad", told="is 2 times what is expected")
def added(comm, model, tokens):
    def put(p, mean):
        p.grad = mean if p.grad is None else p.grad + mean

    averaged(comm, model, tokens, put=put)


@wrong("plain", "everything is gathered, and added on each rank: n / 2 times as much is sent", true="Gathered")
def gathers(comm, model, tokens):
    averaged(comm, model, tokens, reduce=lambda comm, x: comm.all_gather(x).sum(0))


@wrong(
    "plain",
    "gathered, and added from the rank's own on: other bits on other ranks",
    told="other ranks' gradients are not the last one's",
)
def own_first(comm, model, tokens):
    averaged(comm, model, tokens, reduce=lambda comm, x: comm.all_gather(x).roll(-comm.rank, 0).sum(0))


@wrong(
    "plain",
    "the others' sum and the own one are put together anew: other bits on other ranks",
    told="other ranks' gradients are not the last one's",
)
def others_and_mine(comm, model, tokens):
    averaged(comm, model, tokens, reduce=lambda comm, x: (comm.all_reduce(x) - 3 * x) + 3 * x)


@wrong("plain", "an all-reduce of NaN flags as large as the gradients", told="numbers in all, and 184 are enough")
def masks_sent(comm, model, tokens):
    def reduce(comm, x):
        bad = comm.all_reduce((~x.isfinite()).to(x.dtype)) > 0
        return comm.all_reduce(x).masked_fill(bad, float("nan"))

    averaged(comm, model, tokens, reduce=reduce)


@wrong("far", "gradients travel in float16")
def in_half(comm, model, tokens):
    averaged(comm, model, tokens, reduce=lambda comm, x: comm.all_reduce(x.half()).to(x.dtype))


@wrong("far", "the share of tokens is rounded to three digits", advice="is too (small|large) by 0.000")
def rounded_share(comm, model, tokens):
    total = total_of(comm, tokens)
    averaged(
        comm,
        model,
        tokens,
        mine=lambda p, tokens: (
            torch.zeros_like(p).detach() if p.grad is None or not tokens else p.grad * round(tokens / total, 3)
        ),
        total=lambda comm, tokens: 1,
    )


@wrong("large", "tokens are counted in 16 bits", told="tokens 2000003, .*: embed.weight.grad on rank 2 is 207.2 times")
def tokens_in_16_bits(comm, model, tokens):
    def total(comm, tokens):
        return comm.all_reduce(torch.tensor([tokens]).to(torch.int16)).item()

    averaged(comm, model, tokens, total=total)


@wrong(
    "large",
    "tokens are counted in float16, which ends at 65,504",
    told="tokens 2000003, .*: embed.weight.grad on rank 2 is 0 everywhere",
)
def tokens_in_half(comm, model, tokens):
    averaged(comm, model, tokens, total=lambda comm, t: comm.all_reduce(torch.tensor(float(t)).half()).item())


@wrong("ones", "a rank with one token counts as one without", advice="is 0 everywhere")
def one_is_none(comm, model, tokens):
    averaged(comm, model, tokens if tokens > 1 else 0, total=lambda comm, t: max(total_of(comm, tokens), 1))


@wrong(
    "ones",
    "one rank alone multiplies by its tokens, and does not divide",
    told="tokens 11: body.weight.grad on rank 0 is 11 times",
)
def alone(comm, model, tokens):
    averaged(comm, model, tokens, total=lambda comm, t: total_of(comm, t) if comm.size > 1 else 1)


@wrong("again", "the total of the first call is kept on the comm", told="second step", advice="times what is expected")
def kept_total(comm, model, tokens):
    if not hasattr(comm, "total"):
        comm.total = total_of(comm, tokens)
    averaged(comm, model, tokens, total=lambda comm, tokens: comm.total)


@wrong(
    "again",
    "the rank's share of the first call is kept on the comm",
    told="a step with other tokens on rank 1.*: scale.grad, second step",
)
def kept_share(comm, model, tokens):
    if not hasattr(comm, "share"):
        comm.share = tokens / total_of(comm, tokens)
    averaged(comm, model, comm.share, total=lambda comm, tokens: 1)


@wrong(
    "again",
    "which parameters somebody uses is asked at the first call, and kept on the comm",
    told=r"every rank is to get it",
)
def kept_used(comm, model, tokens):
    if not hasattr(comm, "used"):
        flags = [float(p.grad is not None and tokens > 0) for p in chosen_of(model)]
        comm.used = (comm.all_reduce(torch.tensor(flags), op="max") > 0).tolist()

    def chosen(model):
        return [p for p, used in zip(chosen_of(model), comm.used, strict=True) if used]

    averaged(comm, model, tokens, chosen=chosen)
    for p, used in zip(chosen_of(model), comm.used, strict=True):
        p.grad = p.grad if used else None


@wrong("given", "the model is in evaluation mode afterwards", told="mode")
def evaluates(comm, model, tokens):
    model.eval()
    averaged(comm, model, tokens)


@wrong("given", "the total becomes a buffer of the model, and part of its state_dict", told="a buffer of the model")
def new_buffer(comm, model, tokens):
    model.register_buffer("tokens", torch.tensor(total_of(comm, tokens)))
    averaged(comm, model, tokens, total=lambda comm, tokens: model.tokens.item())


@wrong("given", "buffers are averaged as well, which differ between ranks", told="a buffer of the model is changed")
def buffers_too(comm, model, tokens):
    averaged(comm, model, tokens)
    for b in model.buffers():
        b.copy_(comm.all_reduce(b) / comm.size)


@wrong("given", "parameters are made those of rank 0", told="numbers in all, and 184 are enough")
def parameters_too(comm, model, tokens):
    averaged(comm, model, tokens)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(comm.broadcast(p))


@wrong("given", "a frozen parameter is trained afterwards", told="requires_grad|trained now|is frozen before")
def unfrozen(comm, model, tokens):
    for p in model.parameters():
        p.requires_grad_(True)
    averaged(comm, model, tokens)


@wrong(
    "given",
    "a step of SGD is taken as well",
    told="the parameter scale is another one afterwards, or has other numbers",
)
def steps(comm, model, tokens):
    averaged(comm, model, tokens)
    with torch.no_grad():
        for p in chosen_of(model):
            p -= 0.1 * p.grad


BOARD = {}


@wrong(
    "unwatched",
    "ranks read each other's gradients from a global dict, which real processes do not share",
    told="messages are the only",
)
def by_memory(comm, model, tokens):
    params = chosen_of(model)
    BOARD[comm.rank] = [weighted(p, tokens) for p in params], tokens
    comm.barrier()
    total = sum(BOARD[r][1] for r in range(comm.size))
    for i, p in enumerate(params):
        p.grad = sum(BOARD[r][0][i] for r in range(comm.size)) / total
    comm.barrier()


@wrong("surroundings", "float64 becomes the default dtype", told="changes torch's default dtype")
def default_dtype(comm, model, tokens):
    torch.set_default_dtype(torch.float64)
    averaged(comm, model, tokens)


@wrong("surroundings", "gradients are switched off for good", told="gradients are switched on or off")
def switched_off(comm, model, tokens):
    torch.set_grad_enabled(False)
    averaged(comm, model, tokens)


@ANSWERS.right
def one_vector(comm, model, tokens):
    """One all-reduce in float64, with the tokens as its last number."""
    params = chosen_of(model)
    parts = [weighted(p, tokens).double().flatten() for p in params]
    flat = comm.all_reduce(torch.cat([*parts, torch.tensor([float(tokens)], dtype=torch.float64)]))
    for p, piece in zip(params, (flat[:-1] / flat[-1]).split([p.numel() for p in params]), strict=True):
        p.grad = piece.view_as(p).to(p.dtype)


@ANSWERS.right
def share_first(comm, model, tokens):
    """In place where there is a gradient, and each one has begun before the first is waited for."""
    share = tokens / int(comm.all_reduce(torch.tensor([tokens])))
    handles = []
    for p in (p for p in model.parameters() if p.requires_grad):
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        p.grad.mul_(share) if tokens else p.grad.zero_()
        handles.append((p, comm.start_all_reduce(p.grad)))
    for p, handle in handles:
        p.grad.copy_(handle.wait())


@ANSWERS.right
def who_has_used_it(comm, model, tokens):
    """What nobody has used stays None, and is not sent."""
    named = {id(p): p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    params = [*named.values()]
    used = torch.tensor([tokens, *[int(tokens > 0 and p.grad is not None) for p in params]])
    total, *used = comm.all_reduce(used).tolist()
    for p, users in zip(params, used, strict=True):
        if not users:
            p.grad = None
            continue
        x = torch.where(torch.tensor(tokens > 0), p.grad, 0) if p.grad is not None else torch.zeros_like(p)
        p.grad = comm.all_reduce(x.detach() * (tokens / total))


@ANSWERS.right
def scattered_and_gathered(comm, model, tokens):
    """An all-reduce in its two halves, for each dtype."""
    total = comm.all_reduce(torch.tensor(float(tokens))).item()
    params = chosen_of(model)
    for dtype in {p.dtype: None for p in params}:
        mine = [p for p in params if p.dtype == dtype]
        flat = torch.cat([weighted(p, tokens).reshape(-1) for p in mine])
        rows = nn.functional.pad(flat, (0, -len(flat) % comm.size)).view(comm.size, -1)
        flat = comm.all_gather(comm.reduce_scatter(rows) / total).flatten()
        start = 0
        for p in mine:
            p.grad = flat[start : start + p.numel()].view(p.shape).clone()
            start += p.numel()


@ANSWERS.right
def nothing_to_do_alone(comm, model, tokens):
    """The only rank has all tokens, and the mean is its own."""
    if comm.size > 1:
        averaged(comm, model, tokens)
