"""Answers to distributed.average_gradients, second round."""

import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.average_gradients")
wrong = ANSWERS.wrong
F64 = torch.float64


def trained(comm, model):
    return [p for p in model.parameters() if p.requires_grad]


def of_all(comm, model, tokens):
    return int(comm.all_reduce(torch.tensor(tokens)))


def mine(p, tokens):
    return torch.zeros_like(p) if p.grad is None or not tokens else p.grad * tokens


def averaged(comm, model, tokens, *, chosen=trained, total=of_all, own=mine, out=lambda x: x):
    n = total(comm, model, tokens)
    for p in chosen(comm, model):
        p.grad = out(comm.all_reduce(own(p, tokens))) / n


@wrong(
    "again",
    "what trains is looked up once for each comm: a second model gets no gradients",
    told="scale.grad, third step",
    advice="the last one's",
)
def listed_once(comm, model, tokens):
    if not hasattr(comm, "params"):
        comm.params = trained(comm, model)
    averaged(comm, model, tokens, chosen=lambda comm, model: comm.params)


@wrong(
    "again",
    "what trains is looked up once for each model: what is frozen or thawed later is not seen",
    told="leave alone what is frozen",
)
def frozen_for_good(comm, model, tokens):
    if "trains" not in model.__dict__:
        model.__dict__["trains"] = trained(comm, model)
    averaged(comm, model, tokens, chosen=lambda comm, model: model.trains)


@wrong(
    "again",
    "all ranks' tokens are kept by this rank's own: the others may have others in the next step",
    told="in the same order",
)
def total_kept(comm, model, tokens):
    def total(comm, model, tokens):
        kept = comm.__dict__.setdefault("kept", {})
        if tokens not in kept:
            kept[tokens] = of_all(comm, model, tokens)
        return kept[tokens]

    averaged(comm, model, tokens, total=total)


@wrong("named", "view(-1) of a gradient that is not contiguous raises", told="view size is not compatible")
def views(comm, model, tokens):
    params, n = trained(comm, model), of_all(comm, model, tokens)
    flat = [torch.zeros_like(p).view(-1) if p.grad is None or not tokens else p.grad.view(-1) * tokens for p in params]
    whole = comm.all_reduce(torch.cat(flat)) / n
    for p, x in zip(params, whole.split([p.numel() for p in params]), strict=True):
        p.grad = x.view_as(p).to(p.dtype)


@wrong(
    "named",
    "all in one vector, of the last parameter's dtype",
    told="embed.weight is of float64, near 1e60: embed.weight.grad .* is (NaN|infinite)",
)
def last_dtype(comm, model, tokens):
    params, n = trained(comm, model), of_all(comm, model, tokens)
    flat = [mine(p, tokens).flatten().to(params[-1].dtype) for p in params]
    whole = comm.all_reduce(torch.cat(flat)) / n
    for p, x in zip(params, whole.split([p.numel() for p in params]), strict=True):
        p.grad = x.view_as(p).to(p.dtype)


@wrong(
    "named",
    "all in one vector, of the first parameter's dtype",
    told="embed.weight is of float64, near 1e60: embed.weight.grad .* is (NaN|infinite)",
)
def first_dtype(comm, model, tokens):
    params, n = trained(comm, model), of_all(comm, model, tokens)
    flat = [mine(p, tokens).flatten().to(params[0].dtype) for p in params]
    whole = comm.all_reduce(torch.cat(flat)) / n
    for p, x in zip(params, whole.split([p.numel() for p in params]), strict=True):
        p.grad = x.view_as(p).to(p.dtype)


@wrong("named", "an infinite number of a rank with tokens becomes the largest finite one", told="expected -?inf")
def infinity_tamed(comm, model, tokens):
    def own(p, tokens):
        return (
            torch.zeros_like(p) if p.grad is None else p.grad.nan_to_num(nan=float("nan") if tokens else 0.0) * tokens
        )

    averaged(comm, model, tokens, own=own)


@wrong("named", "a rank's part is a float32 number, with gradients of float64")
def part_in_float32(comm, model, tokens):
    part = torch.tensor(tokens / of_all(comm, model, tokens))
    averaged(comm, model, tokens, total=lambda *a: 1, own=lambda p, t: mine(p, t and 1) * part)


@wrong(
    "named",
    "a module that has no bias (None) raises: parameters are looked up in _parameters",
    told="no attribute 'requires_grad'",
)
def own_look_up(comm, model, tokens):
    def chosen(comm, model):
        found = {p: None for m in model.modules() for p in m._parameters.values() if p.requires_grad}
        return [*found]

    averaged(comm, model, tokens, chosen=chosen)


@wrong(
    "large",
    "the model and its children, not their children",
    told="body.up.weight.grad on rank",
    advice="the last one's",
)
def two_levels(comm, model, tokens):
    def chosen(comm, model):
        of = [p for m in (model, *model.children()) for p in m._parameters.values() if p is not None]
        return [p for p in dict.fromkeys(of) if p.requires_grad]

    averaged(comm, model, tokens, chosen=chosen)


@wrong("far", "tokens are counted in bfloat16")
def counted_in_bfloat16(comm, model, tokens):
    averaged(comm, model, tokens, total=lambda c, m, t: c.all_reduce(torch.tensor(t, dtype=torch.bfloat16)).item())


@wrong(
    "onward",
    "where something comes back as NaN, all is sent once more to find out who it was",
    told="numbers in all, and 154 are enough",
)
def asks_again(comm, model, tokens):
    averaged(comm, model, tokens)
    if any(p.grad.isnan().any() for p in trained(comm, model)):
        for p in trained(comm, model):
            comm.all_gather(p.grad)


@wrong("surroundings", "hooks are left, which scale the next backward's gradients", told="a hook is left")
def leaves_hooks(comm, model, tokens):
    averaged(comm, model, tokens)
    for p in trained(comm, model):
        p.register_hook(lambda g: g * tokens)


@wrong("surroundings", "float64 is the default for everything afterwards", told=r"default dtype for everything")
def default_double(comm, model, tokens):
    torch.set_default_dtype(F64)
    averaged(comm, model, tokens, total=lambda c, m, t: c.all_reduce(torch.tensor(float(t))).item())


@wrong(
    "given",
    "a frozen parameter's old gradient is removed, or averaged: all parameters that have one",
    told="leave alone what is frozen",
)
def by_gradient(comm, model, tokens):
    def chosen(comm, model):
        return [p for p in model.parameters() if p.requires_grad or p.grad is not None]

    averaged(comm, model, tokens, chosen=chosen)


@wrong("plain", "bits: a rank's own part is taken out and added last", told=r"the same, to the last bit")
def own_last(comm, model, tokens):
    n = of_all(comm, model, tokens)
    for p in trained(comm, model):
        own = mine(p, tokens)
        p.grad = (comm.all_reduce(own) - own + own) / n


@wrong("plain", "divided by the tokens of those ranks that have used the parameter", true="UsersAlone")
def by_users(comm, model, tokens):
    for p in trained(comm, model):
        used = tokens if p.grad is not None else 0
        n = of_all(comm, model, used) or 1
        p.grad = comm.all_reduce(mine(p, tokens)) / n


@wrong(
    "plain",
    "what nobody has used is left as it stands, NaN on a rank without tokens too",
    told="nowhere else: .* is NaN",
)
def left_as_it_stands(comm, model, tokens):
    n = of_all(comm, model, tokens)
    for p in trained(comm, model):
        used = of_all(comm, model, int(p.grad is not None and tokens > 0))
        x = comm.all_reduce(mine(p, tokens)) / n
        p.grad = x if used else p.grad


@wrong("ones", "a gradient of shape () is of shape (1,)", told=r"gradient of size")
def of_one_dimension(comm, model, tokens):
    averaged(comm, model, tokens, out=lambda x: torch.atleast_1d(x))


@wrong("plain", "parameters under several names count several times", true="TiedSentTwice")
def by_names(comm, model, tokens):
    def chosen(comm, model):
        return [p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]

    averaged(comm, model, tokens, chosen=chosen)


@ANSWERS.right
def by_parts(comm, model, tokens):
    part = tokens / of_all(comm, model, tokens)
    for p in trained(comm, model):
        g = p.grad if p.grad is not None else torch.zeros_like(p)
        p.grad = comm.all_reduce((g if tokens else torch.zeros_like(p)) * part)


@ANSWERS.right
def in_one_vector_of_double(comm, model, tokens):
    params = trained(comm, model)
    flat = torch.cat([torch.tensor([tokens], dtype=F64), *(mine(p, tokens).double().flatten() for p in params)])
    n, *parts = comm.all_reduce(flat).split([1, *(p.numel() for p in params)])
    for p, x in zip(params, parts, strict=True):
        p.grad = (x / n).view(p.shape).to(p.dtype)


@ANSWERS.right
def in_place_started_together(comm, model, tokens):
    params = trained(comm, model)
    n = comm.start_all_reduce(torch.tensor(float(tokens), dtype=F64))
    handles = [comm.start_all_reduce(mine(p, tokens)) for p in params]
    for p, handle in zip(params, handles, strict=True):
        if p.grad is None:
            p.grad = torch.empty_like(p)
        p.grad.copy_(handle.wait().div_(n.wait().item()))


@ANSWERS.right
def none_where_nobody(comm, model, tokens):
    params = trained(comm, model)
    used = comm.all_reduce(
        torch.tensor([tokens, *(float(p.grad is not None and tokens > 0) for p in params)], dtype=F64)
    )
    for p, users in zip(params, used[1:].tolist(), strict=True):
        p.grad = comm.all_reduce(mine(p, tokens)) / used[0].item() if users else None


@ANSWERS.right
def scattered_in_one(comm, model, tokens):
    n, k = of_all(comm, model, tokens), comm.size
    params = trained(comm, model)
    flat = torch.cat([mine(p, tokens).flatten() for p in params])
    rows = nn.functional.pad(flat, (0, -len(flat) % k)).view(k, -1)
    whole = comm.all_gather(comm.reduce_scatter(rows) / n).flatten()[: len(flat)]
    for p, x in zip(params, whole.split([p.numel() for p in params]), strict=True):
        p.grad = x.view_as(p).to(p.dtype)
