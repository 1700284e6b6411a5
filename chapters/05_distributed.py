# ---
# jupyter:
#   coursekit:
#     title: Distributed training
#     question: Eight machines each saw an eighth of the data. How do they end with exactly the model that one machine would have had?
#     goals:
#       - Write collectives from sends and receives, with their gradients, and count what they cost (sections 1 to 3).
#       - Train with data parallelism that equals one machine up to rounding, also when the shards are unequal (section 4).
#       - Shard the optimizer, the gradients and the weights, and measure the memory (section 5).
#       - Split a layer, a sequence, a stack of layers and a set of experts (sections 6 to 9).
#       - Plan a run, and load its checkpoint on another number of machines (sections 10 and 11).
#     minutes: 930
#     prerequisites:
#       - optimisers, gradients and training loops, as in chapter 1
#       - attention, as in chapter 2
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Distributed training
# **Eight machines each saw an eighth of the data. How do they end with exactly the model that one machine would have had?**
#
# A large model does not fit on one machine, and one machine would take years to train it. So many of them work at one training, and what each of them knows of the others is what it is sent. In
# this chapter you write what they say to each other, from a single message to a pipeline, and count what it costs. Then you run it on real processes.

# %% [markdown]
# When you have finished this chapter you will be able to
# 1. write collectives from sends and receives, with their gradients, and count what they cost (sections 1 to 3);
# 2. train with data parallelism that equals one machine up to rounding, also when the shards are unequal (section 4);
# 3. shard the optimizer, the gradients and the weights, and measure the memory (section 5);
# 4. split a layer, a sequence, a stack of layers and a set of experts (sections 6 to 9);
# 5. plan a run, and load its checkpoint on another number of machines (sections 10 and 11).

# %% [markdown]
# You need chapter 01 (AdamW, gradients, accumulation), and attention as in chapter 02. One computer with two cores is enough. The chapter takes about fifteen hours in eight sittings, eleven without what may be left out, and your progress is kept.
#
# | sitting | sections | minutes | must be done | may be left out |
# |---|---|---|---|---|
# | 1 | 1, 2 | 100 | exercise [[distributed.ring]] | |
# | 2 | 3 | 110 | exercise [[distributed.gradients]] | exercise [[distributed.collectives]] |
# | 3 | 4 | 90 | exercises [[distributed.average_gradients]], [[distributed.global_norm]] | exercise [[distributed.rank_indices]] |
# | 4 | 4 | 80 | exercise [[distributed.overlap]] | |
# | 5 | 5 | 150 | exercises [[distributed.training_bytes]], [[distributed.sharded_adamw]] | exercise [[distributed.sharded_linear]] |
# | 6 | 6, 7 | 150 | exercise [[distributed.parallel_mlp]] | exercises [[distributed.vocab_loss]], [[distributed.ring_attention]] |
# | 7 | 8, 9 | 150 | exercise [[distributed.pipeline]] | exercise [[distributed.experts]] |
# | 8 | 10 to 12 | 100 | question 5.A, section 11 | exercise [[distributed.test_reshard]] |

# %% tags=["parameters"]
profile = "fast"  # "smoke" takes seconds; "full" wants GPUs; the prose tells of "fast"
device = "auto"
seed = 0

# %% tags=["setup"]
import math
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
import coursekit as ck
from coursekit import came_out, check, diagram, predict, progress, quiz, show, use
from coursekit.world import Comm, Deadlock, Network, World, launch
profile, device = ck.profile(profile), ck.device(device)

# %% [markdown]
# ## 1. Two machines
# **Sitting 1 of 8**, 100 minutes. Exercise [[distributed.ring]] must be done.
#
# We begin with a small GPT, the kind of model of chapter 04. Its tokens are bytes, and it learns to continue the prose of the course.

# %%
from coursekit.material.data import prose_texts


class GPT(nn.Module):
    """A decoder over bytes, with layer norms before each part."""

    def __init__(self, D=64, H=4, L=2, T=64, V=256):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(V, D), nn.Embedding(T, D)
        layers = (nn.TransformerEncoderLayer(D, H, 4 * D, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(L))
        self.blocks, self.norm = nn.ModuleList(layers), nn.LayerNorm(D)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, ids):
        T = ids.shape[1]
        x = self.tokens(ids) + self.positions.weight[:T]          # (B, T, D)
        future = nn.Transformer.generate_square_subsequent_mask(T, device=ids.device, dtype=x.dtype)
        for block in self.blocks:
            x = block(x, future, is_causal=True)
        return self.norm(x) @ self.tokens.weight.T                # (B, T, V): one table, used at both ends


texts, unseen_texts = (torch.tensor([*"\n\n".join(part).encode()]) for part in prose_texts())
print(f"{len(texts):,} bytes to learn from; the model has {sum(p.numel() for p in GPT().parameters()):,} weights")

# %%
def batch(step, B=16, T=64, stream=texts):
    """The rows of one step, (B, T + 1), the same for whoever asks."""
    g = torch.Generator().manual_seed(step)
    starts = torch.randint(len(stream) - T, (B,), generator=g)
    return torch.stack([stream[s : s + T + 1] for s in starts.tolist()])


def loss_of(model, rows):
    """Mean loss of a byte, in nats."""
    return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())

# %% [markdown]
# Two machines are to train it together. Each [[term: rank | one of the processes that train together, and its number, from 0]] has its own process, with its own memory. Here both run on this computer, started as `torchrun` starts them on a cluster.
# Of each batch, rank 0 takes every second row, and rank 1 the others. First they do not talk.

# %%
brief = profile == "smoke"


def train(comm, talk, steps=3 if brief else 20, dtype=torch.float32):
    """The weights after some steps, in which each rank saw its own rows."""
    torch.manual_seed(seed)                                       # the same start everywhere
    model = GPT().to(dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        mine = batch(step)[comm.rank :: comm.size]
        optimizer.zero_grad()
        loss_of(model, mine).backward()
        for p in model.parameters() if talk else ():
            p.grad = comm.all_reduce(p.grad) / comm.size          # the sum over all ranks, on each of them
        optimizer.step()
    return {name: p.detach() for name, p in model.named_parameters()}

# %%
import hashlib


def fingerprint(weights):
    """Eight letters that change when a single bit of the weights does."""
    return hashlib.sha256(b"".join(p.numpy().tobytes() for p in weights.values())).hexdigest()[:8]


alone = launch(train, [False, False])                             # two processes, an argument for each
print("without a word:", *(fingerprint(weights) for weights in alone))

# %% [markdown]
# Two machines, and two models. Each learned from its own half. Now the same program with the one line that talks.

# %%
predict("distributed.two_alike")

# %%
together = launch(train, [True, True])
prints = [fingerprint(weights) for weights in together]
print("with the mean of their gradients:", *prints)
came_out("distributed.two_alike", "they are the same to the last bit" if prints[0] == prints[1] else "they differ in their last bits")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Both began with the same weights, and each step both changed them by the same gradient. Nothing was ever sent but gradients. `all_reduce` gives each rank the same bits, and equal numbers in equal programs give equal results.
# </details>
#
# So they agree with each other. Do they agree with *one* machine that sees whole batches?

# %%
def apart(one, other):
    """The largest difference between two models' weights."""
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


single = World(1).run(train, [True])[0]                           # one rank: section 2 says what a World is
print(f"weights of two machines and of one differ by {apart(together[0], single):.0e} at most, in float32")
wide = [World(n).run(train, [True] * n, [3 if brief else 20] * n, [torch.float64] * n)[0] for n in (1, 2)]
print(f"in float64 by {apart(*wide):.0e}")
assert apart(*wide) < 1e-9

# %% [markdown]
# In float64 the models are the same to many digits, so what differs in float32 is rounding. A sum of two halves is rounded otherwise than the sum of the whole, and AdamW makes much of it. Where a gradient is nearly 0, its first steps are about as long as the rate,
# whichever way the sign falls. *Exactly the model* means up to rounding, then, and all comparisons in this chapter that ask for equality are made in float64.
#
# Three things are wrong with our line, and no test has shown them.
# - Its mean is right only because both ranks had equally many bytes (section 4).
# - It waits until the last gradient is there before it sends the first one (section 4).
# - Each rank holds the whole model, its gradients and the state of AdamW. What does not fit on one machine does not fit on two (section 5).
#
# And what does `all_reduce` do, and at which price? With that we begin.

# %%
quiz("distributed.same_start")

# %% [markdown]
# ## 2. Messages
# All that a rank can do is send a tensor to another rank and receive one. Everything else is made of these two.
#
# Two processes do for a start, but who has 16 machines at home? A `World` simulates them. Its ranks are threads that take turns. Exactly one runs, until it has to wait for a message, so each run is the same run, and nothing of your computer's speed gets in. On the first
# page it gives the same bits as two processes did.

# %%
simulated = World(2).run(train, [True, True])
print("two processes:  ", *(fingerprint(weights) for weights in together))
print("simulated ranks:", *(fingerprint(weights) for weights in simulated))
assert apart(simulated[0], together[0]) < 1e-2                    # the same program; on most machines the same bits

# %%
def neighbours(comm, x):
    """Each rank sends its number to the right, and adds what comes from the left."""
    comm.send(x, (comm.rank + 1) % comm.size)
    return x + comm.recv((comm.rank - 1) % comm.size)


world = World(4)
print([y.item() for y in world.run(neighbours, [torch.tensor(10.0**i) for i in range(4)])])
for message in world.messages[:2]:
    print(message)

# %% [markdown]
# A send does not wait until somebody receives, it leaves a copy and goes on. A receive waits. So an order that looks harmless can stop everything.

# %%
predict("distributed.all_receive_first")

# %%
def polite(comm, x):
    """Listen first, then speak."""
    came = comm.recv((comm.rank - 1) % comm.size)
    comm.send(x, (comm.rank + 1) % comm.size)
    return x + came


try:
    World(3).run(polite, [torch.ones(1)] * 3)
except Deadlock as stuck:
    print("deadlock:", stuck)
came_out("distributed.all_receive_first", "nobody ever goes on")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Each waits for its left neighbour, who waits too. On a cluster the job would hang, with all machines at full price, until a timeout of minutes ends it. In a simulated world it is known at once that nobody can go on, so it says who waits for whom.
# </details>
#
# Six programs wait for you to judge them. Say what each will do before you run it.

# %%
from coursekit.widgets import find_the_deadlock

find_the_deadlock()

# %% [markdown]
# ### What a message costs
# [[formula: Time of a message | latency α in seconds, N bytes, bandwidth β in bytes a second]]
#
# $$t = \alpha + \frac{N}{\beta}$$
#
# The [[term: latency | the time that a message takes however short it is]] is there however short the message is, and the [[term: bandwidth | bytes a second over one connection]] counts for the rest. Between machines of a cluster a few microseconds and 50 GB a second are usual. The world keeps a clock by this formula. Each rank sends and receives
# at once, but one message at a time in each direction.
#
# Here is the sum of all ranks' tensors, made in the way that comes to mind first.

# %%
def through_rank_0(comm, x):
    """Rank 0 collects, adds, and sends the sum to everybody."""
    if comm.rank > 0:
        comm.send(x, 0)
        return comm.recv(0)
    total = x + sum(comm.recv(other) for other in range(1, comm.size))
    for other in range(1, comm.size):
        comm.send(total, other)
    return total


x = torch.ones(250_000)                                           # a megabyte
for n in (2, 4, 8, 16):
    world = World(n, Network(latency=5e-6, bandwidth=50e9))
    world.run(through_rank_0, [x] * n)
    print(f"{n:2} ranks: {max(world.clocks) * 1e6:5.0f} microseconds, rank 0 sends {world.sent(0) / 1e6:.0f} MB, rank 1 {world.sent(1) / 1e6:.0f} MB")

# %% [markdown]
# With every rank more it takes longer, for rank 0 has to hear all of them and tell all of them, while the others wait. A thousand machines would wait for one.
#
# In a [[term: ring | each rank sends to its right neighbour and receives from its left one]] nobody is in the middle. Cut the tensor into $n$ parts. In each round every rank sends one part to the right and receives another from the left. For $n - 1$ rounds
# what comes is added. Then each rank holds one part of the whole sum, another one each. For $n - 1$ more rounds finished parts are handed on.

# %%
predict("distributed.bytes_of_a_ring")

# %%
from coursekit.widgets import step_the_ring

step_the_ring()

# %% [markdown]
# Move the step with the slider, and follow one part. At which rank is it whole after $n - 1$ rounds?

# %% [markdown]
# ### Exercise [[distributed.ring]]: Round the ring
# core · importance 5 of 5 · 40 minutes · 3 points
#
# Write `ring_all_reduce(comm, x)`. Each rank calls it with its own `x` of $N \ge 1$ numbers, and each gets the sum over all ranks, as a new tensor. You have `comm.rank`, `comm.size`, `comm.send(tensor, to)` and `comm.recv(source)`,
# and no other method of `comm`.
#
# - **The sum.** Right on every rank, and `x` stays as it is.
# - **Any sizes.** The ranks $n$ need not divide $N$, and $N$ may be smaller than $n$. One rank alone gets its own numbers.
# - **The way.** A rank sends at most $2(n-1)$ messages, of at most $2(n-1)\lceil N/n \rceil$ numbers in all. Every message is received. All ranks end with the same bits, so each number of the sum is worked out on one rank, and sent on.
#
# Each line is a point, in this order. Another way than a ring is right as well, if it keeps to these.
#
# <details><summary>Hint 1</summary>
#
# Follow part 0 with the widget. At which rank does it begin to collect, who has it last, and who needs it then?
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.tensor_split(x, n)` gives $n$ parts, some of them empty where $N < n$. In round $s$ rank $r$ sends part $r - s$ and adds to part $r - s - 1$, both modulo $n$. After $n - 1$ rounds part $r + 1$ is whole on rank $r$.
# </details>
# <details><summary>Hint 3</summary>
#
# `comm.send(parts[(r - s) % n], (r + 1) % n)`, then `parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv((r - 1) % n)`. The second loop sends part $r + 1 - s$, and what comes takes the place of part $r - s$.
# </details>

# %% exercise="distributed.ring"
def ring_all_reduce(comm: Comm, x: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """The sum of all ranks' x: n - 1 rounds add, n - 1 hand on, each a part of N / n numbers."""
    ### BEGIN SOLUTION
    n, r = comm.size, comm.rank
    right, left = (r + 1) % n, (r - 1) % n
    parts = list(x.tensor_split(n))                               # n parts of N / n, rounded up or down
    for s in range(n - 1):
        comm.send(parts[(r - s) % n], right)
        parts[(r - s - 1) % n] = parts[(r - s - 1) % n] + comm.recv(left)
    for s in range(n - 1):                                        # now part r + 1 is whole here
        comm.send(parts[(r + 1 - s) % n], right)
        parts[(r - s) % n] = comm.recv(left)
    return torch.cat(parts)                                       # (N)
    ### END SOLUTION

# %% check="distributed.ring"
check("distributed.ring", ring_all_reduce)

# %% [markdown]
# What has your ring done with a megabyte on 2 to 16 ranks, and on two real processes?

# %%
from coursekit.figures import curves

ring = use("distributed.ring", ring_all_reduce)
sizes, per_rank, times = [2, 4, 8, 16], {"ring": [], "through rank 0": []}, {"ring": [], "through rank 0": []}
for n in sizes:
    for name, program in (("ring", ring), ("through rank 0", through_rank_0)):
        world = World(n)
        world.run(program, [x] * n)
        per_rank[name].append(max(world.sent(rank) for rank in range(n)) / (4 * len(x)))
        times[name].append(max(world.clocks) * 1e6)
fig = curves(sizes, per_rank, x_label="ranks", y_label="most that one rank sends\n(tensors)", marker="o", log="x", levels={"two tensors": 2.0})
show(fig, "distributed.ring_bytes", ring=per_rank["ring"][-1], star=per_rank["through rank 0"][-1])
print("microseconds:", {name: [round(t) for t in row] for name, row in times.items()})
came_out("distributed.bytes_of_a_ring", per_rank["ring"][-1])

# %% [markdown]
# <details><summary>What happened</summary>
#
# Each rank sends $2(n-1)$ parts of $N/n$ numbers. However many ranks there are, that is less than two tensors. So "all-reduce gets slower with more machines" is true of its latency alone, of which there are $2(n-1)$. The bytes stay.
# </details>
#
# [[formula: Ring all-reduce | n ranks, N bytes: what each rank sends, and the time]]
#
# $$2\,\frac{n-1}{n}\,N \ \text{bytes}, \qquad t = 2(n-1)\,\alpha + 2\,\frac{n-1}{n}\,\frac{N}{\beta}$$
#
# Patarasuk and Yuan (2009) showed that no way to do it sends less. Now on real processes.

# %%
given = torch.randn(2, 1001, generator=torch.Generator().manual_seed(seed))
real, simulated_sum = launch(ring, given), World(2).run(ring, given)
print(f"largest difference of your ring on two processes and in the world: {(torch.stack(real) - torch.stack(simulated_sum)).abs().max():.0e}")

# %% [markdown]
# A ring is not always best. When tensors are small, its $2(n-1)$ latencies count more than bytes, and a tree of $2\log_2 n$ messages is quicker. Libraries choose by size.

# %%
from coursekit.widgets import price_of_a_message

price_of_a_message()

# %%
quiz("distributed.ring_time")

# %% [markdown]
# ## 3. Collectives
# **Sitting 2 of 8**, 110 minutes. Exercise [[distributed.gradients]] must be done.
#
# A [[term: collective | a message pattern in which all ranks of a group take part, and which all of them have to call]] is what people call a pattern that comes again and again. There are few of them, and all training of large models is made of these.

# %%
diagram("distributed.collectives")

# %% [markdown]
# - **Reduce-scatter.** Each rank gets one part of the sum. It is the first half of your ring.
# - **All-gather.** Each rank gets everybody's part. It is the second half.
# - **All-reduce.** Each rank gets the whole sum.
# - **All-to-all.** Each rank has a part for each rank. Rows become columns.
# - **Broadcast.** One rank's tensor goes to all.

# %% [markdown]
# ### Exercise [[distributed.collectives]]: Three collectives
# core · importance 4 of 5 · 40 minutes · 3 points
#
# Write three functions with `comm.send` and `comm.recv` alone. Each is worth a point by itself. Let $n$ be `comm.size`.
#
# - `reduce_scatter(comm, x)` is given a row for each rank. Rank $r$ returns row $r$ of the sum of all ranks' `x`. A row may have any shape, and may be a single number.
# - `all_gather(comm, x)` returns the same (n, ...) on every rank. Its row $j$ is the `x` of rank $j$.
# - `all_to_all(comm, parts)` is given a list of $n$ tensors, of which `parts[j]` is for rank $j$. It returns such a list. At place $j$ stands what rank $j$ had for this rank. Shapes and dtypes may
#   differ, and tensors may be empty. A message brings both along, so nothing has to be said before it.
#
# What counts as well is what a rank sends. It sends $n - 1$ messages at most. In the first two functions they hold $(n - 1)\,k$ numbers in all, where a row has $k$, and in the third just what other ranks are to
# get. Nobody sends to itself, and no message stays unread. What a rank was given stays as it is, the list `parts` too.
#
# <details><summary>Hint 1</summary>
#
# For each function, write down who needs which rows of whom. Who has to send what to whom, if every message goes straight to the one who needs it?
# </details>
# <details><summary>Hint 2</summary>
#
# A send does not wait, and a recv does. So one loop sends to all others, and a second one receives from all others. What a rank has for itself never travels, but it has its place in each result.
# </details>
# <details><summary>Hint 3</summary>
#
# `[j for j in range(comm.size) if j != comm.rank]` are the others. `x[j]` is what rank `j` needs of `x` for its sum. `torch.stack` makes rows of a list, in which your own `x` stands at place `comm.rank`.
# </details>

# %% exercise="distributed.collectives"
def reduce_scatter(comm: Comm, x: Float[Tensor, "n ..."]) -> Float[Tensor, "..."]:
    """y_r = sum_i x_i[r] on rank r."""
    ### BEGIN SOLUTION
    others = [j for j in range(comm.size) if j != comm.rank]
    for j in others:
        comm.send(x[j], j)
    y = x[comm.rank]                                              # (...)
    for i in others:
        y = y + comm.recv(i)
    return y
    ### END SOLUTION


def all_gather(comm: Comm, x: Float[Tensor, "..."]) -> Float[Tensor, "n ..."]:
    """y[j] = x_j on every rank."""
    ### BEGIN SOLUTION
    for j in range(comm.size):
        if j != comm.rank:
            comm.send(x, j)
    return torch.stack([x if j == comm.rank else comm.recv(j) for j in range(comm.size)])  # (n, ...)
    ### END SOLUTION


def all_to_all(comm: Comm, parts: list[Tensor]) -> list[Tensor]:
    """y_r[j] = parts_j[r] on rank r."""
    ### BEGIN SOLUTION
    for j, part in enumerate(parts):
        if j != comm.rank:
            comm.send(part, j)
    return [part if j == comm.rank else comm.recv(j) for j, part in enumerate(parts)]
    ### END SOLUTION

# %% check="distributed.collectives"
check("distributed.collectives", reduce_scatter, all_gather, all_to_all)

# %% [markdown]
# An all-reduce is a reduce-scatter and an all-gather, one after the other. That will matter in section 5, where something happens in between.

# %%
scatter_sum, gather_all, exchange = use("distributed.collectives", reduce_scatter, all_gather, all_to_all)


def in_two_halves(comm, x):
    """All-reduce of (N), where the ranks divide N."""
    return gather_all(comm, scatter_sum(comm, x.view(comm.size, -1))).flatten()


X = torch.randn(4, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
world = World(4)
halves = world.run(in_two_halves, list(X))
print(f"largest difference from the sum: {max((y - X.sum(0)).abs().max().item() for y in halves):.0e}; "
      f"a rank sends {world.sent(0) // 8} numbers of {X.shape[1]}, as a ring does: {2 * 3 * 12 // 4}")

# %% [markdown]
# ### Their gradients
# Messages carry no gradient. What a rank receives is a number like any other, and autograd knows nothing about where it came from.

# %%
def cut_off(comm, x):
    x = x.clone().requires_grad_()
    total = comm.all_reduce(x)
    return total.requires_grad


print("a sum over ranks has a graph:", World(2).run(cut_off, [torch.ones(2)] * 2)[0])

# %% [markdown]
# So whoever sends activations has to write the way back. "The gradient of all-reduce is all-reduce" stands in many places, and it is true in one case and wrong in another. It depends on what is [[term: replicated | held and computed alike on every rank]] afterwards.
#
# Let $y = \sum_r x_r$ on every rank. If all ranks go on with the same computation, there is *one* loss $L(y)$, which each of them happens to compute. Then
#
# [[formula: Gradient of a sum whose result is replicated | one loss L of y, the sum of all ranks' x]]
#
# $$\frac{\partial L}{\partial x_r} = \frac{\partial L}{\partial y}$$
#
# and that is on the rank already. Nothing has to be sent. If each rank $r$ goes on in its own way, with a loss $L_r(y)$ of its own, and what is minimised is their sum, then $\partial L / \partial x_r = \sum_s \partial L_s / \partial y$, and that is an all-reduce. Whoever takes the one for the other has gradients that are $n$ times too large, or
# that are lacking all but their own part.
#
# [[formula: Gradient of a copy | each rank uses the replicated x in a part of its own]]
#
# $$\frac{\partial L}{\partial x} = \sum_r \frac{\partial L_r}{\partial x}$$

# %% [markdown]
# ### Exercise [[distributed.gradients]]: Gradients across ranks
# core · importance 4 of 5 · 35 minutes · 3 points
#
# What a collective of `comm` returns is in no graph. Write three `torch.autograd.Function`s, called as `Copy.apply(x, comm)`. Each is worth a point by itself. On each rank, backward gives the gradient that one process with all
# ranks' `x` would find.
#
# - `Copy` takes an `x` that is the same on all ranks, and returns it as it is. Then each rank uses it in a part of the work of its own. The loss is the sum of what the parts contribute.
# - `Sum` returns the sum of all ranks' `x`. Then all ranks go on with the same work, and have one and the same loss.
# - `Gather` makes (n, ...) of (...), where row $j$ is the `x` of rank $j$. Then each rank uses all rows in a part of its own, as after `Copy`.
#
# You may use the collectives of `comm`. `Copy` and `Sum` call one in all, forward and backward together, which sends no more than an `all_reduce` of `x`. `Gather` calls one in each direction, and sends $(n - 1)\,k$ numbers each way, where
# `x` has $k$.
#
# A graph may hold several calls, also for different groups of ranks. Nothing that is given changes.
#
# <details><summary>Hint 1</summary>
#
# Let $x$ change by a little on one rank, or on all ranks in the case of `Copy`. By how much does the loss change, and which ranks know a part of it?
# </details>
# <details><summary>Hint 2</summary>
#
# `ctx` belongs to one call, and an attribute such as `ctx.comm` can be read in backward. Backward returns one gradient for each argument of forward, so there are two, and that for `comm` is `None`.
# </details>
# <details><summary>Hint 3</summary>
#
# If each rank has a part of the gradient, they are summed. If each rank has all of it already, there is nothing to do. After `Gather` a rank has a gradient for every row, and row $j$ of the sum belongs to rank $j$.
# </details>

# %% exercise="distributed.gradients"
class Copy(torch.autograd.Function):
    """y_r = x on every rank r, each in its own part of the loss."""

    @staticmethod
    def forward(ctx, x: Float[Tensor, "..."], comm: Comm) -> Float[Tensor, "..."]:
        ### BEGIN SOLUTION
        ctx.comm = comm
        return x.view_as(x)
        ### END SOLUTION

    @staticmethod
    def backward(ctx, dy: Float[Tensor, "..."]):
        ### BEGIN SOLUTION
        return ctx.comm.all_reduce(dy), None
        ### END SOLUTION


class Sum(torch.autograd.Function):
    """y = sum_r x_r, and every rank has the same loss of y."""

    @staticmethod
    def forward(ctx, x: Float[Tensor, "..."], comm: Comm) -> Float[Tensor, "..."]:
        ### BEGIN SOLUTION
        return comm.all_reduce(x)
        ### END SOLUTION

    @staticmethod
    def backward(ctx, dy: Float[Tensor, "..."]):
        ### BEGIN SOLUTION
        return dy, None
        ### END SOLUTION


class Gather(torch.autograd.Function):
    """y[j] = x_j on every rank, each in its own part of the loss."""

    @staticmethod
    def forward(ctx, x: Float[Tensor, "..."], comm: Comm) -> Float[Tensor, "n ..."]:
        ### BEGIN SOLUTION
        ctx.comm = comm
        return comm.all_gather(x)                                 # (n, ...)
        ### END SOLUTION

    @staticmethod
    def backward(ctx, dy: Float[Tensor, "n ..."]):
        ### BEGIN SOLUTION
        return ctx.comm.reduce_scatter(dy), None                  # (...)
        ### END SOLUTION

# %% check="distributed.gradients"
check("distributed.gradients", Copy, Sum, Gather)

# %% [markdown]
# With `Copy` and `Sum` a computation can be split and still be differentiated as one. We check it against one process, on a product that is cut along its inner dimension.

# %%
copied, summed, gathered = use("distributed.gradients", Copy, Sum, Gather)
A, B, dY = (torch.randn(*size, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i, size in enumerate(((3, 6), (6, 2), (3, 2))))


def split_product(comm):
    """Y = A @ B with the columns of A and the rows of B dealt out; the gradient of A, as each rank has it."""
    a = A.clone().requires_grad_()
    mine = torch.arange(6).tensor_split(comm.size)[comm.rank]
    Y = summed.apply(copied.apply(a, comm)[:, mine] @ B[mine], comm)
    return torch.autograd.grad(Y, a, dY)[0]


got = World(3).run(split_product)
print(f"largest difference from one process: {max((grad - dY @ B.T).abs().max().item() for grad in got):.0e}")

# %% [markdown]
# With an all-reduce in both directions the same program would give a gradient that is three times too large, on three ranks. A loss goes down all the same, and a schedule that was tuned on one machine is wrong on three.

# %%
quiz("distributed.gradient_of_sum")

# %% [markdown]
# ## 4. The same model, many batches
# **Sitting 3 of 8**, 90 minutes. Exercises [[distributed.average_gradients]] and [[distributed.global_norm]] must be done.
#
# In [[term: data parallelism | each rank holds the whole model and sees its own part of each batch]] every rank does what section 1 did. Four things have to be right: who sees what, the mean, when it is sent, and what is measured of all together.
#
# ### Who sees what

# %% [markdown]
# ### Exercise [[distributed.rank_indices]]: Mend this code, who sees what
# core · importance 4 of 5 · 20 minutes · 2 points
#
# Mend the function below under the name `rank_indices`. It says which of the samples $0, \dots, N - 1$ a rank sees in an epoch. Nothing is sent. All ranks call it with the same arguments, only
# `rank` differs, and what they get has to fit together.
#
# - **One epoch** (1 point). An **order** of all samples is drawn, and each rank gets a part of $k$ indices of it. With `drop_last` $k$ is $\lfloor N / \text{size} \rfloor$, and what is over is left out. Else $k$ is
#   $\lceil N / \text{size} \rceil$, and the order is lengthened by its own beginning, several times where it has to be. Which rank gets which part is free.
# - **Epochs and seeds** (1 point). Each epoch has an order of its own, and so has each seed. Any order is as likely as any other. So it is chance, too, who is left out or comes again. (Two different pairs of seed and epoch
#   may share an order.) A rank that asks again gets the same indices. The random numbers of others are not touched.
#
# $N$ may be smaller than `size`, and then $k$ may be 0. The result has the shape (k) and is of integers.
#
# <details><summary>Hint 1</summary>
#
# Read what is printed. Which samples does nobody see, and which ones come twice? What does the second epoch show that the first one did not? How long are the parts?
# </details>
# <details><summary>Hint 2</summary>
#
# All ranks must draw one and the same order, so the seed of the generator may be made of `seed` and `epoch`, and not of `rank`. Make the order k · size long before you cut it.
# </details>
# <details><summary>Hint 3</summary>
#
# `order.repeat(times)` puts a tensor behind itself, and a slice cuts off what is too much. `order[rank::size]` deals the indices out like cards.
# </details>

# %%
def given_indices(N, size, rank, epoch, seed, drop_last):
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed + rank))
    k = N // size if drop_last else math.ceil(N / size)
    return order[rank * k : (rank + 1) * k]


for epoch in range(2):
    parts = [given_indices(10, 4, rank, epoch, 0, False).tolist() for rank in range(4)]
    unseen = sorted(set(range(10)) - {i for part in parts for i in part})
    print(f"epoch {epoch}: ranks see {parts}, nobody sees {unseen}")

# %% exercise="distributed.rank_indices"
def rank_indices(N: int, size: int, rank: int, epoch: int, seed: int, drop_last: bool) -> Int[Tensor, "k"]:
    """The rank's k of N samples: its part of an order that all ranks draw alike from (seed, epoch)."""
    ### BEGIN SOLUTION
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed + epoch))  # (N)
    k = N // size if drop_last else math.ceil(N / size)
    times = math.ceil(k * size / N)                               # 1, or more where the order is too short
    return order.repeat(times)[: k * size][rank::size]            # (k)
    ### END SOLUTION

# %% check="distributed.rank_indices"
check("distributed.rank_indices", rank_indices)

# %% [markdown]
# ### The mean of what
# Documents differ in length, and in fine-tuning only answers count. So ranks hold different numbers of tokens. Say rank 0 has 8 tokens that count in this step, and rank 3 has 256. Each has the mean loss over its own tokens, and the mean of these means gives each of the 8 tokens 32 times the weight of one of the 256.
#
# Let $g_r$ be the gradient of the mean loss over the $t_r$ tokens of rank $r$. The mean over all tokens has the gradient
#
# [[formula: Gradient over all tokens | rank r has t_r tokens and the gradient g_r of their mean loss]]
#
# $$g = \frac{\sum_r t_r\, g_r}{\sum_r t_r}$$
#
# How much does it matter? We let four ranks train with counts of 8, 40, 200 and 256 tokens, and then with the plain mean.

# %%
predict("distributed.plain_mean")

# %%
LENGTHS = (2, 10, 50, 64)                                         # tokens that count in each row, by rank


def uneven(step):
    """For each of four ranks its inputs and targets, (4, T), of lengths that differ."""
    rows = batch(step).chunk(4)
    return [(part[:, :T], part[:, 1 : T + 1]) for part, T in zip(rows, LENGTHS, strict=True)]


def unseen_bits(model):
    """Bits a byte on text that nobody has learned from."""
    with torch.no_grad():
        return loss_of(model, batch(0, B=64, stream=unseen_texts)).item() / math.log(2)


def mean_of_means(comm, grad, tokens, total):
    return comm.all_reduce(grad) / comm.size


def mean_of_tokens(comm, grad, tokens, total):
    return comm.all_reduce(grad * (tokens / total))

# %%
def train_unevenly(comm, way, first, steps=120):
    """The curve of a training on uneven parts, and the weights at its end."""
    torch.manual_seed(first)
    model, curve = GPT().double(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(4 if brief else steps):
        parts = uneven(1000 * first + step)
        mine = parts if comm.size == 1 else [parts[comm.rank]]
        tokens = sum(y.numel() for _, y in mine)
        total = comm.all_reduce(torch.tensor(tokens)).item()
        losses = (F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum") for x, y in mine)
        optimizer.zero_grad()
        (sum(losses) / tokens).backward()
        for p in model.parameters():
            p.grad = way(comm, p.grad, tokens, total)
        optimizer.step()
        if step % 10 == 9 or brief:
            curve.append(unseen_bits(model) if comm.rank == 0 else None)
    return curve, {name: p.detach() for name, p in model.named_parameters()}

# %%
ways = {"one machine": (1, mean_of_tokens), "four, weighted by tokens": (4, mean_of_tokens), "four, mean of means": (4, mean_of_means)}
ran = {
    name: [World(n).run(train_unevenly, [way] * n, [first] * n)[0] for first in (seed, seed + 1)]
    for name, (n, way) in ck.track(ways.items(), "ways of training")
}
steps = [10 * (i + 1) for i in range(len(ran["one machine"][0][0]))]
ends = {name: sum(curve[-1] for curve, _ in runs) / len(runs) for name, runs in ran.items()}
fig = curves(steps, {name: runs[0][0] for name, runs in ran.items()}, x_label="steps", y_label="bits a byte, unseen text")
show(fig, "distributed.uneven", one=ran["one machine"][0][0][-1], plain=ran["four, mean of means"][0][0][-1])
for name, runs in ran.items():
    print(f"{name:25} {ends[name]:.3f} bits a byte, mean of 2 seeds; weights differ from one machine's by {apart(runs[0][1], ran['one machine'][0][1]):.0e}")
came_out("distributed.plain_mean", "it learns visibly worse" if ends["four, mean of means"] > ends["one machine"] + 0.05 else "its curve is about the same")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Weighted by tokens, four machines are one machine, and their curve lies on its curve. With the mean of means the model is another one, and a worse one here. A quarter of each step follows 8 tokens, and what 8 tokens say is mostly noise. No error was raised, and the loss went down.
# </details>
#
# Large projects had this in their code. The trainer of transformers took the mean of means over micro-batches of different lengths until October 2024 ([pull request 34191](https://github.com/huggingface/transformers/pull/34191)), and torchtitan over ranks and micro-batches until January 2026 ([pull request 2206](https://github.com/pytorch/torchtitan/pull/2206)).

# %% [markdown]
# ### Exercise [[distributed.average_gradients]]: Mend this code, one gradient of all
# core · importance 5 of 5 · 35 minutes · 3 points
#
# Mend the function below under the name `average_gradients`. Every rank has called `backward()` on the *mean* loss of its own `tokens` tokens. Afterwards `p.grad` on every rank is the gradient of the mean over all ranks' tokens, the same
# to the last bit. Nothing but `p.grad` changes (in place or not).
#
# - **The mean over all tokens** (1 point). Ranks hold different numbers of tokens.
# - **Parameters that are special** (1 point). Where a rank has not used a parameter, its `p.grad` is `None`. If another rank has used it, all ranks get its gradient. If nobody has, `None` or zeros are left. One `Parameter` under two names
#   counts once. What is frozen (`requires_grad` is False) is left alone, an old `p.grad` too. Gradients, contiguous or not, are sent in their parameter's dtype or a wider one.
# - **No tokens, no hang, no waste** (1 point). Some ranks (never all) may have no tokens. What stands in their `p.grad`, even NaN, counts nothing. NaN and infinity of a rank with tokens reach everybody. What is frozen is not sent.
#   One all-reduce of all other gradients is enough, with at most four further numbers for each parameter.
#
# <details><summary>Hint 1</summary>
#
# Ten tokens have ten losses. How much of the mean belongs to the rank with one token? Which ranks come to the all-reduce of a parameter that only rank 0 has used?
# </details>
# <details><summary>Hint 2</summary>
#
# A mean times its number of tokens is a sum, and sums can be added. So weight by `tokens`, add up over ranks, and divide by the tokens of all, which is an all-reduce of its own. What a rank lacks is zeros.
# </details>
# <details><summary>Hint 3</summary>
#
# Every rank goes through the same list, `[p for p in model.parameters() if p.requires_grad]`. It sends `torch.zeros_like(p)` where `p.grad is None or tokens == 0`, for 0 times NaN is NaN. What comes back is divided by the total and put into `p.grad`.
# </details>

# %%
def given_average(comm, model, tokens):
    for p in model.parameters():
        if p.grad is not None:
            p.grad = comm.all_reduce(p.grad) / comm.size


def slope(comm, x, y):
    model = nn.Linear(1, 1)
    for p in model.parameters():
        nn.init.zeros_(p)
    F.mse_loss(model(x), y).backward()
    given_average(comm, model, len(x))
    return round(model.weight.grad.item(), 3)


x, y = torch.arange(10.0)[:, None], torch.arange(10.0)[:, None] ** 2  # ten tokens
print("one process with all ten          ", World(1).run(slope, [x], [y]))
print("two ranks, five tokens each       ", World(2).run(slope, x.split(5), y.split(5)))
print("two ranks, one token and nine     ", World(2).run(slope, x.split([1, 9]), y.split([1, 9])))

# %% exercise="distributed.average_gradients"
def average_gradients(comm: Comm, model: nn.Module, tokens: int) -> None:
    """Leave the gradient of the mean over all ranks' tokens in p.grad: sum of tokens * grad over sum of tokens."""
    ### BEGIN SOLUTION
    params = [p for p in model.parameters() if p.requires_grad]   # a tied one comes once
    total = comm.all_reduce(torch.tensor(float(tokens), device=params[0].device))
    for p in params:
        unused = p.grad is None or tokens == 0                    # 0 * NaN is NaN
        weighted = torch.zeros_like(p) if unused else p.grad * tokens
        p.grad = comm.all_reduce(weighted) / total
    ### END SOLUTION

# %% check="distributed.average_gradients"
check("distributed.average_gradients", average_gradients)

# %% [markdown]
# ### Before the last gradient is there
# **Sitting 4 of 8**, 80 minutes. Exercise [[distributed.overlap]] must be done.
#
# Backward begins at the last layer. Its gradients are there long before those of the first one, and while the processor works on, the network could already send them. Each message costs a latency, so gradients are collected into a [[term: bucket | gradients that are sent as one message]] of some megabytes first. Let us see what there is to gain, on a clock. Four layers
# take 2 milliseconds forward and 4 backward each, and their gradients take as long on the wire.

# %%
from coursekit.charts import timeline
from coursekit.world.clockwork import Timed


def timed_model(comm):
    return nn.Sequential(*[Timed(nn.Linear(1000, 1000), comm, 2e-3, 4e-3, f"layer {i}") for i in range(4)])


def all_at_the_end(comm):
    """Backward, and then one all-reduce for all gradients."""
    model = timed_model(comm)
    model(torch.ones(1, 1000)).sum().backward()
    comm.all_reduce(torch.cat([p.grad.flatten() for p in model.parameters()]))


slow = Network(latency=1e-4, bandwidth=1.5e9)
world = World(4, slow)
world.run(all_at_the_end)
late = world.clocks[0], [span for span in world.spans if span.rank == 0]
print(f"a step takes {1e3 * late[0]:.1f} ms, of which computing {4 * 6:.0f} ms")

# %%
predict("distributed.overlapped")

# %% [markdown]
# ### Exercise [[distributed.overlap]]: Send while backward runs
# core · importance 5 of 5 · 60 minutes · 4 points
#
# Write a small `DistributedDataParallel`. Ranks have equally many tokens. The user calls `model`, `backward()` and `finish()`, which leaves in each `p.grad` the *mean* over ranks.
#
# 1. *Values* (1 point). Parameters stay the same objects, may be tied, and those with `requires_grad=False` are left alone.
# 2. *Again and again* (1 point). The constructor brings rank 0's parameters and buffers to all ranks, whatever those hold. Steps follow each other, gradients set to `None` or zeros in between. Inside of
#    `with ddp.no_sync():` each backward only accumulates, and the next outside sends the sum.
# 3. *Buckets* (1 point). Go through `model.parameters()` from last to first. Buckets hold what trains, once. A bucket is full when it holds `bucket_bytes` or more, and what is left is the last. Each is one all-reduce, in its gradients' dtype.
#    They start in this order on all ranks, however gradients come. `finish()` sends the rest in order: `p.grad` as it stands, zeros for `None`. What no
#    rank used may stay `None`.
# 4. *While backward still runs* (1 point). A bucket is started, not waited for, once it is whole and those before it have started. `no_sync` may be nested, begin after forward, or end in an error.
#
# <details><summary>Hint 1</summary>
#
# Who knows when the gradient of a parameter is there? What does a bucket have to remember, and when does it forget it?
# </details>
# <details><summary>Hint 2</summary>
#
# `p.register_post_accumulate_grad_hook(f)` calls `f(p)` when `p.grad` is up to date. `comm.start_all_reduce(x)` gives a handle, and `handle.wait()` the sum. A handle for each bucket that has started says
# which one is next.
# </details>
# <details><summary>Hint 3</summary>
#
# The hook adds `p` to a set, unless it is in `no_sync`. Then, while all of the next bucket is in the set, it starts that bucket, `torch.cat` of its flat gradients. `finish()` starts the rest, waits for the
# handles in order, divides, cuts with `split`, and writes each piece to `p.grad`. Then it empties the set and the list of handles. `no_sync` sets a switch before its `yield`, and its old value again in a `finally`.
# </details>

# %% exercise="distributed.overlap"
from contextlib import contextmanager


class OverlappedDDP:
    """Leaves in p.grad the mean over ranks, (1/n) sum_r g_r; buckets are sent while backward computes the next ones."""

    def __init__(self, comm: Comm, model: nn.Module, bucket_bytes: int):
        ### BEGIN SOLUTION
        self.comm, self.syncing, self.ready, self.handles = comm, True, set(), []
        for x in (*model.parameters(), *model.buffers()):
            x.data.copy_(comm.broadcast(x))
        self.buckets, held = [], bucket_bytes
        for p in reversed([p for p in model.parameters() if p.requires_grad]):
            if held >= bucket_bytes:                              # the one before is full, or there is none
                self.buckets.append([])
                held = 0
            self.buckets[-1].append(p)
            held += p.numel() * p.element_size()

        def send(rest: bool = False) -> None:
            """Start the next buckets as long as they are whole; with `rest`, all that are left."""
            for bucket in self.buckets[len(self.handles) :]:
                if not rest and not self.ready.issuperset(bucket):
                    break
                grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
                self.handles.append(comm.start_all_reduce(torch.cat([g.flatten() for g in grads])))

        def on_gradient(p: nn.Parameter) -> None:
            if self.syncing:
                self.ready.add(p)
                send()

        self.send = send
        for p in model.parameters():
            if p.requires_grad:
                p.register_post_accumulate_grad_hook(on_gradient)
        ### END SOLUTION

    def finish(self) -> None:
        """Send what is not yet sent, wait for all of it, and write the means to p.grad."""
        ### BEGIN SOLUTION
        self.send(rest=True)
        for bucket, handle in zip(self.buckets, self.handles, strict=True):
            means = (handle.wait() / self.comm.size).split([p.numel() for p in bucket])
            for p, g in zip(bucket, means, strict=True):
                p.grad = g.view_as(p)
        self.ready, self.handles = set(), []                      # the next backward begins anew
        ### END SOLUTION

    @contextmanager
    def no_sync(self):
        """Inside of it, backward only accumulates."""
        ### BEGIN SOLUTION
        before, self.syncing = self.syncing, False
        try:
            yield
        finally:
            self.syncing = before
        ### END SOLUTION

# %% check="distributed.overlap"
check("distributed.overlap", OverlappedDDP)

# %% [markdown]
# Your class on the same layers and the same clock, with buckets of different sizes.

# %%
Overlapped = use("distributed.overlap", OverlappedDDP)


def overlapped(comm, bucket_bytes):
    model = timed_model(comm)
    ddp = Overlapped(comm, model, bucket_bytes)
    comm.barrier()
    begun = comm.world.clocks[comm.rank]
    model(torch.ones(1, 1000)).sum().backward()
    ddp.finish()
    return begun


rows = {"after backward": (late[1], late[0])}
for name, size in (("a bucket a layer", 4_000_000), ("a bucket a parameter", 1), ("one bucket", 10**9)):
    world = World(4, slow)
    begun = world.run(overlapped, [size] * 4)[0]
    spans = [span for span in world.spans if span.rank == 0 and span.began >= begun - 1e-9]
    rows[name] = [span.shifted(-begun) for span in spans], world.clocks[0] - begun
fig = timeline({name: spans for name, (spans, _) in rows.items()}, unit=1e-3, x_label="milliseconds")
show(fig, "distributed.timeline", **{name.split()[0] + "_" + name.split()[-1]: 1e3 * end for name, (_, end) in rows.items()})
for name, (_, end) in rows.items():
    print(f"{name:22} {1e3 * end:5.1f} ms")
came_out("distributed.overlapped", round(1e3 * rows["a bucket a layer"][1], 1))

# %% [markdown]
# <details><summary>What happened</summary>
#
# While layer 2 computes its gradients, those of layer 3 are on the wire. What stays visible is the last bucket, which cannot be sent before backward has ended, and by how much the wire is behind. One bucket for everything hides nothing. A bucket for each parameter pays a latency for each bias.
# </details>

# %%
quiz("distributed.buckets")

# %% [markdown]
# ### One number of all
# Clipping needs the norm of the whole gradient, and a log shows it. When each rank holds a part of the gradient (section 5), the norm of its part is too small, by $\sqrt n$ if parts are alike. People met just that with `fully_shard` ([pytorch's issue 170862](https://github.com/pytorch/pytorch/issues/170862), December 2025), and with the stages of a pipeline ([torchtitan's issue 596](https://github.com/pytorch/torchtitan/issues/596)).

# %% [markdown]
# ### Exercise [[distributed.global_norm]]: Mend this code, the norm of all
# core · importance 4 of 5 · 15 minutes · 2 points
#
# Mend the function below under the name `global_norm`. It returns the norm of the whole model's gradient, by which all ranks are going to clip. A rank hands in two lists of tensors. `shards` are its own parts of the gradient, and
# other ranks hold other parts. `replicated` are gradients that every rank holds whole, each of them the same.
#
# - **The norm** (1 point). It is the root of the sum of all squares, in which each number of the model counts once. Shards may be many on one rank and none on another, of any shape and floating dtype, and either list may be empty. Squares are made, added and sent in float64, for
#   in float32 the square of $10^{25}$ is infinite. The norm is of float64 and of shape (), and the same on all ranks to the last bit. If a number is NaN or infinite, so is the norm. Lists and tensors stay as they are.
# - **What is sent** (1 point). One all-reduce of one number is enough.
#
# <details><summary>Hint 1</summary>
#
# The vector (3, 4) has the norm 5. What comes out when one rank holds the 3 and the other one the 4? Then put a 12 on both ranks as a replicated gradient.
# </details>
# <details><summary>Hint 2</summary>
#
# Squares can be added in any order, on one rank or on several, and roots cannot. So the root comes last. What is replicated needs no message at all.
# </details>
# <details><summary>Hint 3</summary>
#
# Begin with `torch.zeros((), dtype=torch.float64)`, so that a rank without shards has something to send. All-reduce the sum of its shards' squares, and add those of `replicated` after that, or on one rank alone before.
# </details>

# %%
def given_norm(comm, shards, replicated):
    squares = sum((x.double() ** 2).sum() for x in [*shards, *replicated])
    return comm.all_reduce(squares.sqrt())


three, four, twelve = torch.tensor([3.0]), torch.tensor([4.0]), torch.tensor([12.0])
print("one rank with 3, 4 and 12           ", World(1).run(given_norm, [[three, four]], [[twelve]])[0].item())
print("two ranks with 3 and 4              ", World(2).run(given_norm, [[three], [four]], [[], []])[0].item())
print("two ranks with 3 and 4, both with 12", World(2).run(given_norm, [[three], [four]], [[twelve]] * 2)[0].item())

# %% exercise="distributed.global_norm"
def global_norm(comm: Comm, shards: list[Tensor], replicated: list[Tensor]) -> Float[Tensor, ""]:
    """The root of the sum of all squares: those of every rank's shards, and those of what is replicated once."""
    ### BEGIN SOLUTION
    zero = torch.zeros((), dtype=torch.float64)
    own, common = (sum((x.double().square().sum() for x in part), zero) for part in (shards, replicated))
    return (comm.all_reduce(own) + common).sqrt()                 # ()
    ### END SOLUTION

# %% check="distributed.global_norm"
check("distributed.global_norm", global_norm)

# %%
quiz("distributed.larger_batch")

# %% [markdown]
# ## 5. What a parameter takes
# **Sitting 5 of 8**, 150 minutes. Exercises [[distributed.training_bytes]] and [[distributed.sharded_adamw]] must be done.
#
# Each rank of section 4 holds everything. What is everything? We let AdamW take one step and add up what is there afterwards.

# %%
predict("distributed.bytes_a_parameter")

# %%
model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
loss_of(model, batch(0)).backward()
optimizer.step()
count = sum(p.numel() for p in model.parameters())
held = {
    "weights": sum(p.nbytes for p in model.parameters()),
    "gradients": sum(p.grad.nbytes for p in model.parameters()),
    "AdamW's m and v": sum(state[name].nbytes for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")),
}
for name, size in held.items():
    print(f"{name:16} {size / count:4.0f} bytes a parameter")
came_out("distributed.bytes_a_parameter", sum(held.values()) / count)

# %% [markdown]
# <details><summary>What happened</summary>
#
# The weights are a quarter of it. In [[term: mixed precision | weights and gradients in 16 bits for the products, the optimizer's numbers in 32]] it is 16 bytes again, divided otherwise. Weights and gradients take 2 bytes each, m and v 4 each, and the optimizer keeps its own copy of the weights in 4, the [[term: master weights | the optimizer's copy of the weights in 32 bits]],
# for a step is often too small to change a number of 16 bits.
# </details>
#
# [[formula: Bytes of mixed precision with AdamW | a parameter; weights, gradients, master weights, m, v]]
#
# $$2 + 2 + 4 + 4 + 4 = 16$$
#
# Seven billion parameters are 112 GB then, and a GPU has 80. Yet each of 8 ranks holds the same 112 GB. Rajbhandari et al. (2020) divide them in stages. Each rank keeps a [[term: shard | one rank's part of something that is cut over all ranks]] of the optimizer's numbers (stage 1), of the gradients too (stage 2), of the weights too (stage 3).

# %%
diagram("distributed.stages")

# %% [markdown]
# ### Exercise [[distributed.training_bytes]]: What a rank has to hold
# core · importance 4 of 5 · 20 minutes · 2 points
#
# A model of $P$ parameters is trained on $n$ ranks with AdamW in mixed precision. How many bytes does one rank hold? Write `training_bytes(P, n, stage, master, activations)`.
#
# - Weights and gradients have 2 bytes a number. AdamW's $m$ and $v$ have 4 bytes each. With `master` there is a copy of the weights in 4 bytes, which belongs to the optimizer.
# - At stage 0 every rank holds everything. Stage 1 puts the optimizer into shards, stage 2 the gradients too, stage 3 the weights too
#   ([Rajbhandari et al. 2020](https://arxiv.org/abs/1910.02054)). A shard has $\lceil P/n \rceil$ numbers.
# - `activations` are the bytes of this rank's activations. Nobody divides them.
#
# The result is a dict with the keys `"weights"`, `"gradients"`, `"optimizer"`, `"activations"` and `"total"`, and no others. Its values are of type `int` and exact for every $P$ up to $10^{17}$.
# A float does not hold every whole number above $2^{53}$. Any other whole number as a stage raises a `ValueError`. Each call returns a new dict.
#
# One point is for the four stages, one for all sizes and for stages that are none.
#
# <details><summary>Hint 1</summary>
#
# How many bytes a number does each entry have? From which stage on does it count $\lceil P/n \rceil$ numbers in place of $P$?
# </details>
# <details><summary>Hint 2</summary>
#
# `//` divides integers and rounds down. Of a negative number, down is away from 0.
# </details>
# <details><summary>Hint 3</summary>
#
# `shard = -(-P // n)` rounds up. The optimizer has 8 bytes a number, and 12 with the master copy. Make the dict of four entries first and sum it.
# </details>

# %% exercise="distributed.training_bytes"
def training_bytes(P: int, n: int, stage: int, master: bool, activations: int) -> dict[str, int]:
    """Bytes on one of n ranks: 2 P + 2 P + (8 or 12) P + activations, with ceil(P / n) for P where there are shards."""
    ### BEGIN SOLUTION
    if stage not in (0, 1, 2, 3):
        raise ValueError(f"found stage {stage}, expected 0, 1, 2 or 3")
    shard = -(-P // n)
    held = {
        "weights": 2 * (P if stage < 3 else shard),
        "gradients": 2 * (P if stage < 2 else shard),
        "optimizer": (4 + 4 + 4 * master) * (P if stage < 1 else shard),
        "activations": activations,
    }
    return held | {"total": sum(held.values())}
    ### END SOLUTION

# %% check="distributed.training_bytes"
check("distributed.training_bytes", training_bytes)

# %%
from coursekit.charts import stacked

bytes_of = use("distributed.training_bytes", training_bytes)
P, activations = 7_000_000_000, 10**10
parts = ("weights", "gradients", "optimizer", "activations")
rows = {f"stage {stage}": bytes_of(P, 8, stage, True, activations) for stage in range(4)}
bars = {name: {part: row[part] / 1e9 for part in parts} for name, row in rows.items()}
fig = stacked(bars, y_label="GB on each of 8 GPUs", levels={"an 80 GB GPU": 80})
show(fig, "distributed.stages_gb", **{name.replace(" ", "_"): row["total"] / 1e9 for name, row in rows.items()})

# %% [markdown]
# Stage 1 is the largest step, for the optimizer holds 12 bytes of 16. What it costs is the next question. The planner has more to turn.

# %%
from coursekit.widgets import plan_memory

plan_memory()

# %% [markdown]
# ### The optimizer, dealt out
# Stages 1 and 2 send no more than section 4 did. There an all-reduce was a reduce-scatter and an all-gather. In between, each rank holds one part of the mean gradient. It updates its part of the weights, and what is gathered are the new weights in place of the gradients.

# %% [markdown]
# ### Exercise [[distributed.sharded_adamw]]: AdamW in shards
# core · importance 5 of 5 · 50 minutes · 4 points
#
# Ranks hold all $P$ parameters, equal at the start, and in `p.grad` their own batch's gradient. `step()` takes the step that `torch.optim.AdamW` takes in one process with the
# *mean* of these gradients. All ranks then hold the same new parameters. But each keeps $m$ and $v$ for its part alone, and updates that.
#
# 1. *One step* (1 point). The given parameters themselves get the new numbers. `params` can be anything that gives them once. All have one dtype, as have $m$ and $v$, and a gradient on every rank. Sizes go
#    down to one number of shape `()`, and may be smaller than $n$. A parameter or a gradient may lie in memory as `W.T` does, where `view` fails.
# 2. *Ten steps* (1 point), also of several optimizers in turns, or with parameters altered in place before a step. A beta may be 0.
# 3. *What each rank holds* (1 point). Between steps at most $2(P/n + \text{the largest parameter})$ numbers besides parameters and gradients, and a few scalars.
# 4. *What is sent* (1 point). A rank sends at most $2(n-1)P'/n$ numbers in a step. $P'$ is $P$ with each parameter filled up to a multiple of $n$.
#
# What `step()` leaves in `p.grad` is up to you.
#
# <details><summary>Hint 1</summary>
#
# How large is the part of a rank if all parameters stand in one long vector? Which collective gives each rank the sum of its part alone, and which one gives everybody all parts?
# </details>
# <details><summary>Hint 2</summary>
#
# Flatten and `torch.cat`, then `F.pad` with zeros up to a multiple of $n$. `comm.reduce_scatter` wants a row for each rank. `comm.all_gather` gives the rows back. `split` cuts a vector at the sizes of
# the parameters.
# </details>
# <details><summary>Hint 3</summary>
#
# With `rows` of shape $(n, k)$ from the gradients, `g = comm.reduce_scatter(rows) / comm.size`. Of the parameters' rows take `[comm.rank]` and shrink it by `1 - lr * weight_decay`. Update $m$, $v$ and this
# row as in one process. Gather, flatten, cut off the zeros, and `p.copy_(piece.view_as(p))`. Write `step` with `@torch.no_grad()`.
# </details>

# %% exercise="distributed.sharded_adamw"
class ShardedAdamW:
    """AdamW's w <- (1 - lr decay) w - lr m / (sqrt(v) + eps), with m and v of P / n parameters on each of n ranks."""

    def __init__(self, comm: Comm, params, lr: float, betas: tuple[float, float], eps: float, weight_decay: float):
        ### BEGIN SOLUTION
        self.comm, self.params, self.t = comm, list(params), 0
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.sizes = [p.numel() for p in self.params]
        self.rest = -sum(self.sizes) % comm.size
        share = (sum(self.sizes) + self.rest) // comm.size
        self.averages = [self.params[0].detach().new_zeros(share) for _ in betas]  # m and v, (k,) each
        ### END SOLUTION

    @torch.no_grad()
    def step(self) -> None:
        ### BEGIN SOLUTION
        def in_rows(tensors) -> Float[Tensor, "n k"]:
            """All numbers in one vector, zeros behind them, cut into a row for each rank."""
            flat = torch.cat([x.flatten() for x in tensors])
            return F.pad(flat, (0, self.rest)).view(self.comm.size, -1)

        g = self.comm.reduce_scatter(in_rows([p.grad for p in self.params])) / self.comm.size  # (k,)
        w = in_rows(self.params)[self.comm.rank] * (1 - self.lr * self.weight_decay)           # (k,)
        self.t += 1
        for average, beta, x in zip(self.averages, self.betas, (g, g**2), strict=True):
            average.lerp_(x, 1 - beta)
        m, v = (average / (1 - beta**self.t) for average, beta in zip(self.averages, self.betas, strict=True))
        w -= self.lr * m / (v.sqrt() + self.eps)
        pieces = self.comm.all_gather(w).flatten().split([*self.sizes, self.rest])
        for p, piece in zip(self.params, pieces, strict=False):
            p.copy_(piece.view_as(p))
        ### END SOLUTION

# %% check="distributed.sharded_adamw"
check("distributed.sharded_adamw", ShardedAdamW)

# %%
Sharded = use("distributed.sharded_adamw", ShardedAdamW)
many = 2 if brief else 10


def some_steps(comm, make):
    """The weights after ten steps."""
    torch.manual_seed(seed)
    model = GPT().double()
    optimizer = make(comm, model)
    for step in range(many):
        model.zero_grad()
        loss_of(model, batch(step)[comm.rank :: comm.size]).backward()
        optimizer.step()
    return {name: p.detach() for name, p in model.named_parameters()}


def sharded(comm, model):
    return Sharded(comm, model.parameters(), 3e-3, (0.9, 0.999), 1e-8, 0.01)


def plain(comm, model):
    return torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)


world = World(4)
dealt_out, single_adamw = world.run(some_steps, [sharded] * 4), World(1).run(some_steps, [plain])[0]
print(f"{many} steps of four sharded optimizers and of one AdamW differ by {apart(dealt_out[0], single_adamw):.0e}")
print(f"a rank sends {world.sent(0) / 8 / many / count:.2f} numbers a parameter and step; an all-reduce of the gradients, {2 * 3 / 4:.2f}")
assert apart(dealt_out[0], single_adamw) < 1e-6

# %%
quiz("distributed.stage_two")

# %% [markdown]
# ### The weights, dealt out
# In stage 3 a layer's weights are whole only while the layer computes. Each rank gathers them before the product and forgets them after it, forward and once more backward. That is three times $(n-1)/n$ of the weights in place of two, so "full sharding costs no more traffic" is not true. It costs half as much again, or nothing more if the weights are kept
# from forward to backward, and then the memory is not saved while it is needed most.

# %% [markdown]
# ### Exercise [[distributed.sharded_linear]]: A layer in pieces
# challenge · importance 4 of 5 · 60 minutes · 4 points
#
# Write `ShardedLinear`. All $n$ ranks get the same `weight` and `bias`, none keeps them. You choose the arguments of `ShardedProduct`.
#
# - **forward** (1 point). One flat vector holds the weight row by row, the bias, and as few zeros as make $n$ divide its length. The only Parameter is `shard`, a
#   copy of piece `rank` of $n$ equal ones. A call gathers the pieces, gives $X W^\top + b$ and forgets them, even without gradients. $X$ is (B, D) or has more dimensions before the last,
#   and $B$ may differ between ranks, down to 0.
# - **gradients** (1 point). Each rank has its own $X$ and loss. $X$ gets its gradient if needed, perhaps on some ranks. `shard.grad` gets this rank's piece of the *mean* over the
#   ranks of the gradients of weight and bias, with 0 in the padding. Gradients of several calls add up.
# - **what is alive** (1 point). Nothing as large as a layer outlives a forward or a backward, however many layers follow. Meanwhile a rank may hold
#   twice the numbers of one layer in forward, four times in backward.
# - **what is sent** (1 point). Each forward gathers, each backward gathers again and reduce-scatters, no more.
#
# <details><summary>Hint 1</summary>
#
# Which of $X$, $W$ and $dY$ does backward need for $dX = dY\, W$, and which for $dW = dY^\top X$? What of it may wait in memory, and what has to be fetched again?
# </details>
# <details><summary>Hint 2</summary>
#
# `ctx.save_for_backward(X, shard)` keeps nothing large. `comm.all_gather(shard).flatten()` is the whole vector, and slices of it with `view` copy nothing.
# `comm.reduce_scatter` takes $n$ rows. Backward returns one value for each argument of forward, `None` where there is no gradient.
# </details>
# <details><summary>Hint 3</summary>
#
# With $X$ and $dY$ as matrices, `torch.cat([(dY.mT @ X).flatten(), dY.sum(0)])` is the gradient of the whole, still without padding. `F.pad(x, (0, k))` appends $k$
# zeros. Seen as (n, k) it goes into `comm.reduce_scatter`, and what comes out is divided by $n$.
# </details>

# %% exercise="distributed.sharded_linear"
class ShardedProduct(torch.autograd.Function):
    """X W^T + b, where W and b are whole only while they are used."""

    @staticmethod
    def forward(ctx, X: Float[Tensor, "... D"], shard: Float[Tensor, "k"], comm: Comm, size: tuple[int, int]):
        ### BEGIN SOLUTION
        ctx.save_for_backward(X, shard)
        ctx.comm, ctx.size = comm, size
        rows, columns = size
        flat = comm.all_gather(shard).flatten()                   # (n k)
        return X @ flat[: rows * columns].view(size).mT + flat[rows * columns :][:rows]
        ### END SOLUTION

    @staticmethod
    def backward(ctx, dY: Float[Tensor, "... F"]):
        ### BEGIN SOLUTION
        (X, shard), comm, (rows, columns) = ctx.saved_tensors, ctx.comm, ctx.size
        dX = dY @ comm.all_gather(shard).flatten()[: rows * columns].view(rows, columns)
        X, dY = X.flatten(0, -2), dY.flatten(0, -2)               # (B, D), (B, F)
        G = torch.cat([(dY.mT @ X).flatten(), dY.sum(0)])
        G = F.pad(G, (0, comm.size * len(shard) - len(G)))        # (n k)
        return dX, comm.reduce_scatter(G.view(comm.size, -1)) / comm.size, None, None
        ### END SOLUTION


class ShardedLinear(nn.Module):
    """Y = X W^T + b, of which rank r keeps piece r of the flat vector [W, b, 0]."""

    def __init__(self, comm: Comm, weight: Float[Tensor, "F D"], bias: Float[Tensor, "F"]):
        super().__init__()
        ### BEGIN SOLUTION
        self.comm, self.size = comm, tuple(weight.shape)
        flat = torch.cat([weight.detach().flatten(), bias.detach()])
        flat = F.pad(flat, (0, -len(flat) % comm.size))           # (n k)
        self.shard = nn.Parameter(flat.view(comm.size, -1)[comm.rank].clone())
        ### END SOLUTION

    def forward(self, X: Float[Tensor, "... D"]) -> Float[Tensor, "... F"]:
        ### BEGIN SOLUTION
        return ShardedProduct.apply(X, self.shard, self.comm, self.size)
        ### END SOLUTION

# %% check="distributed.sharded_linear"
check("distributed.sharded_linear", ShardedLinear)

# %%
ShardedLayer = use("distributed.sharded_linear", ShardedLinear)


def stack_of(comm, whole, L=6, D=128):
    """The most numbers alive in a step through L layers, whole or sharded, and those that the rank holds between steps."""
    from coursekit.checking.holding import Living

    torch.manual_seed(seed)
    drawn = [nn.Linear(D, D) for _ in range(L)]
    layers = nn.Sequential(*drawn) if whole else nn.Sequential(*[ShardedLayer(comm, m.weight.detach(), m.bias.detach()) for m in drawn])
    kept = sum(p.numel() for p in layers.parameters())
    with Living(layers.parameters()) as alive:
        layers(torch.ones(2, D)).square().mean().backward()
    return kept, alive.most


for name, whole in (("whole", True), ("sharded", False)):
    kept, most = World(4).run(stack_of, [whole] * 4)[0]
    print(f"{name:8} each of 4 ranks keeps {kept:7,} numbers; a step makes at most {most:7,} more")

# %% [markdown]
# ### What is kept for backward
# Activations are divided by no stage. Each layer keeps its input until its backward, for all tokens of the batch. [[term: checkpointing | keep a block's input alone, and compute the block once more in backward (also activation recomputation)]] keeps the input of each block alone, and computes the block again when it is needed (Chen et al. 2016).

# %%
predict("distributed.checkpointing")

# %%
from torch.utils.checkpoint import checkpoint


def kept_for_backward(run):
    """The numbers that a forward pass keeps for its backward."""
    storages = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda x: storages.setdefault(x.untyped_storage().data_ptr(), x.numel()) and x, lambda x: x):
        run()
    return sum(storages.values())


block = nn.TransformerEncoderLayer(64, 4, 256, 0.0, "gelu", batch_first=True, norm_first=True)
x = torch.randn(16, 64, 64, requires_grad=True)
weights = sum(p.numel() for p in block.parameters())
saved = {
    "kept as it comes": kept_for_backward(lambda: block(x)) - weights,
    "checkpointed": kept_for_backward(lambda: checkpoint(block, x, use_reentrant=False)),
}
for name, numbers in saved.items():
    print(f"{name:17} {numbers / x.numel():5.1f} numbers for each number of the input")
came_out("distributed.checkpointing", round(saved["kept as it comes"] / x.numel(), 1))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The hidden layer is four times as wide and is kept before and after GELU, and queries, keys, values, norms and sums come on top. Checkpointed, what is kept is the input itself. The price is one more forward pass, a third more computing, for forward and backward cost about 1 and 2.
# </details>

# %% [markdown]
# ## 6. Inside of a layer
# **Sitting 6 of 8**, 150 minutes. Exercise [[distributed.parallel_mlp]] must be done.
#
# So far each rank computed whole layers. In [[term: tensor parallelism | a layer's matrices are cut over ranks, and each computes a part of the layer for the same tokens]] it computes a part of each layer, on all tokens. Shoeybi et al. (2019) found the cut that talks least.

# %%
diagram("distributed.columns_rows")

# %% [markdown]
# Take a feed-forward network $Y = \mathrm{gelu}(X W_1^\top + b_1)\,W_2^\top + b_2$. GELU acts on each hidden number by itself, so hidden numbers can be dealt out. Rank $r$ has some rows of $W_1$, which make its hidden numbers, and those columns of $W_2$ that read them.
#
# [[formula: A network cut through its hidden numbers | rank r has rows of W1 and b1, and columns of W2]]
#
# $$Y = \sum_r \mathrm{gelu}\big(X W_{1,r}^\top + b_{1,r}\big)\,W_{2,r}^\top + b_2$$
#
# One sum forward. Backward, each rank has a part of the gradient of $X$, and one sum there. Cut the other way round, GELU would need sums of parts, and $\mathrm{gelu}(a + b)$ is not $\mathrm{gelu}(a) + \mathrm{gelu}(b)$. Then the ranks would have to talk in the middle of the layer.

# %% [markdown]
# ### Exercise [[distributed.parallel_mlp]]: A network cut in two directions
# core · importance 5 of 5 · 40 minutes · 3 points
#
# Write a module that computes $Y = \text{GELU}(X W_1^\top + b_1)\, W_2^\top + b_2$ on $n$ ranks, with the exact GELU (`F.gelu`). All ranks are given the same whole matrices, the same $X$, and go on with the same loss.
#
# - **Values.** Every rank returns the whole $Y$.
# - **Gradients.** Each rank has its part of the weights as parameters `W1`, `b1`, `W2`, `b2`. They hold its rows of $W_1$ and $b_1$, its columns of $W_2$, cut as `torch.tensor_split` does, and all of $b_2$. So $n$ need not divide $F$, and a rank may have no row. The gradients of
#   these parts, and that of $X$, are the ones that a single process would find. The module may be a part of a larger model, with $X$ used elsewhere too, and backward may run through one graph twice.
# - **What is held and sent.** A module keeps nothing of the given matrices but its own parts, and these are copies. Forward calls one collective and backward another, at every call, and each sends what an `all_reduce` of $X$ does.
#
# `Copy` and `Sum` of exercise [[distributed.gradients]] may be used. Functions of your own in this cell are as good.
#
# <details><summary>Hint 1</summary>
#
# A rank that knows some rows of $W_1$ can compute some hidden numbers, from the first to the last step of it. What do these contribute to $Y$, if the others are left out?
# </details>
# <details><summary>Hint 2</summary>
#
# $Y$ is a sum over the hidden numbers, so it is a sum over ranks. Which term of the equation is in no rank's part? And $X$ is used by each rank in its own part, so what has to happen to its gradient?
# </details>
# <details><summary>Hint 3</summary>
#
# `torch.tensor_split(W2, comm.size, 1)[comm.rank]` are columns. Such a slice is a view that keeps the whole matrix, and `.clone()` copies it. In forward, $X$ goes through `Copy` first, and the product with the columns of $W_2$ through `Sum`. Then comes $b_2$.
# </details>

# %% exercise="distributed.parallel_mlp"
class ParallelMLP(nn.Module):
    """Y = GELU(X W1^T + b1) W2^T + b2, each rank with a part of the F hidden numbers."""

    def __init__(
        self, comm: Comm, W1: Float[Tensor, "F D"], b1: Float[Tensor, "F"], W2: Float[Tensor, "D F"], b2: Float[Tensor, "D"]
    ):
        super().__init__()
        ### BEGIN SOLUTION
        self.comm, n, r = comm, comm.size, comm.rank
        self.W1 = nn.Parameter(W1.tensor_split(n)[r].clone())     # (F_r, D)
        self.b1 = nn.Parameter(b1.tensor_split(n)[r].clone())     # (F_r,)
        self.W2 = nn.Parameter(W2.tensor_split(n, 1)[r].clone())  # (D, F_r)
        self.b2 = nn.Parameter(b2.clone())                        # (D,)
        ### END SOLUTION

    def forward(self, X: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        ### BEGIN SOLUTION
        H = F.gelu(Copy.apply(X, self.comm) @ self.W1.T + self.b1)  # (T, F_r)
        return Sum.apply(H @ self.W2.T, self.comm) + self.b2      # (T, D)
        ### END SOLUTION

# %% check="distributed.parallel_mlp"
check("distributed.parallel_mlp", ParallelMLP)

# %% [markdown]
# ### The last layer
# A vocabulary of 128,000 tokens makes the logits the largest tensor of a small model. They are cut by tokens, and then no rank sees all logits that a softmax needs.

# %% [markdown]
# ### Exercise [[distributed.vocab_loss]]: Mend this code, a loss over a split vocabulary
# core · importance 4 of 5 · 30 minutes · 3 points
#
# Mend the function below under the name `vocab_parallel_loss`. It has four slips. Rank $r$ has the logits of the tokens $r V_n, \dots, (r + 1) V_n - 1$. The targets `y` are ids among all $n V_n$ tokens, the same on all ranks.
#
# - **Values.** Every rank returns the cross-entropy of each token, $\log \sum_j e^{z_j} - z_y$, of shape (N,). Logits may lie anywhere between -1000 and 1000, and the largest ones of a row on one rank alone.
# - **Gradients.** All ranks go on with the same losses. The gradient that reaches a rank's `logits` is the one that a single process with all logits would find for them. Backward may run through one graph twice.
# - **What is sent.** Forward and backward together, a rank sends no more than three `all_reduce` of N numbers do, however large the vocabulary is. `comm.all_reduce(x, op="max")` gives the largest number of all ranks.
#
# `Sum` of exercise [[distributed.gradients]] may be used. Functions of your own in the cell are as good. Arguments stay as they are.
#
# <details><summary>Hint 1</summary>
#
# Take a row of two logits, one on each of two ranks, and work out by hand what the given code adds up. Which of the numbers that it adds have the same scale? What does the rank without the target add?
# </details>
# <details><summary>Hint 2</summary>
#
# Whatever is subtracted from all logits of a row cancels in the end, if all ranks subtract the same. It needs no gradient. Then there are two sums over ranks, and a logarithm of one of them.
# </details>
# <details><summary>Hint 3</summary>
#
# `own = y - comm.rank * Vn` is the place on this rank, if `(own >= 0) & (own < Vn)`. Read a logit at `own.clamp(0, Vn - 1)`, and put 0 in its place with `torch.where` if the target is not here. Both sums go through `Sum.apply`.
# </details>

# %%
def given_loss(comm, logits, y):
    N, Vn = logits.shape
    shifted = logits - logits.amax(1, keepdim=True)               # (N, Vn)
    log_sum = comm.all_reduce(shifted.exp().sum(1).log())         # (N,)
    own = (y - comm.rank * Vn).clamp(0, Vn - 1)
    target = comm.all_reduce(shifted[torch.arange(N), own])       # (N,)
    return log_sum - target


g = torch.Generator().manual_seed(seed)
whole_logits, ids = 3 * torch.randn(4, 6, generator=g), torch.tensor([1, 5, 3, 0])
halves = [half.clone().requires_grad_() for half in whole_logits.chunk(2, 1)]
for rank, losses in enumerate(World(2).run(lambda comm, half: given_loss(comm, half, ids), halves)):
    print(f"rank {rank}     ", [round(loss, 2) for loss in losses.tolist()], "with a graph:", losses.requires_grad)
print("one process", [round(loss, 2) for loss in F.cross_entropy(whole_logits, ids, reduction="none").tolist()])

# %% exercise="distributed.vocab_loss"
def vocab_parallel_loss(comm: Comm, logits: Float[Tensor, "N Vn"], y: Int[Tensor, "N"]) -> Float[Tensor, "N"]:
    """L = log sum_j exp(z_j) - z_y of each token, where rank r has z_j of r Vn <= j < (r + 1) Vn."""
    ### BEGIN SOLUTION
    N, Vn = logits.shape
    top = comm.all_reduce(logits.amax(1), op="max")               # (N,), a constant: its gradient would be 0
    shifted = logits - top[:, None]                               # (N, Vn)
    own = y - comm.rank * Vn
    found = shifted[torch.arange(N, device=y.device), own.clamp(0, Vn - 1)]
    target = torch.where((own >= 0) & (own < Vn), found, 0.0)     # (N,), 0 on all ranks but one
    return Sum.apply(shifted.exp().sum(1), comm).log() - Sum.apply(target, comm)
    ### END SOLUTION

# %% check="distributed.vocab_loss"
check("distributed.vocab_loss", vocab_parallel_loss)

# %% [markdown]
# All together, a model whose feed-forward network and vocabulary are cut over three ranks, and one loss.

# %%
MLP, cut_loss = use("distributed.parallel_mlp", ParallelMLP), use("distributed.vocab_loss", vocab_parallel_loss)
D, hidden, V = 16, 40, 30
g = torch.Generator().manual_seed(seed)
W1, b1, W2, b2, E = (torch.randn(*size, generator=g, dtype=torch.float64) / 4 for size in ((hidden, D), (hidden,), (D, hidden), (D,), (V, D)))
X, y = torch.randn(20, D, generator=g, dtype=torch.float64), torch.randint(V, (20,), generator=g)


def cut_model(comm):
    part = E.chunk(comm.size)[comm.rank]
    x = X.clone().requires_grad_()
    Y = MLP(comm, W1, b1, W2, b2)(x)
    loss = cut_loss(comm, use_copy(Y, comm) @ part.T, y).mean()
    return loss.item(), torch.autograd.grad(loss, x)[0]


def use_copy(Y, comm):
    """Replicated here, and used by each rank in its own part."""
    return copied.apply(Y, comm)


x = X.clone().requires_grad_()
loss = F.cross_entropy((F.gelu(x @ W1.T + b1) @ W2.T + b2) @ E.T, y)
right = torch.autograd.grad(loss, x)[0]
for rank, (value, grad) in enumerate(World(3).run(cut_model)):
    print(f"rank {rank}: loss {value:.6f} (one process {loss.item():.6f}), gradient differs by {(grad - right).abs().max():.0e}")

# %%
quiz("distributed.mlp_sums")

# %% [markdown]
# ## 7. Along the sequence
# A million tokens in one sequence do not fit on one machine however small the model is. Cut the sequence, and each rank has its own tokens. Layer norms and feed-forward networks do not mind. Attention does, for each query looks at keys on other ranks.
#
# Keys and values go round a ring, block by block (Liu et al. 2023). While a block is here, each rank lets its queries look at it. A softmax needs the maximum and the sum over all keys, so both are kept and mended with each block ([[term: online softmax | a softmax over parts, with a running maximum and a running sum]], Milakov and Gimelshein 2018). For a row with scores $S$ in a new block and $m$, $\ell$, $o$ from those before,
#
# [[formula: Online softmax | m running maximum, ℓ running sum of exponentials, o running sum of values]]
#
# $$m' = \max(m, \max S), \qquad \ell' = e^{m - m'} \ell + \sum e^{S - m'}, \qquad o' = e^{m - m'} o + e^{S - m'} V$$
#
# and the result is $o / \ell$ after the last one.

# %% [markdown]
# ### Exercise [[distributed.ring_attention]]: Attention round the ring
# challenge · importance 4 of 5 · 60 minutes · 4 points
#
# A sequence of $n T_n$ tokens is split. Rank $r$ holds $Q$, $K$ and $V$ of the tokens $r T_n$ to $(r + 1) T_n - 1$, for all $H$ heads. Write `ring_attention`, the
# **causal** attention of the rank's own queries. Each sees the keys of all tokens up to its own, on whichever rank they lie. Scores are divided by $\sqrt d$. No
# gradient is asked for. Blocks of $K$ and $V$ may go round the ring, and of `comm` only `send` and `recv` may be called.
#
# - **values** (1 point). Right for every $n$, $H$, $T_n$ and $d$, 1 among them.
# - **far apart** (1 point). Right where all scores are far from 0 or some lie thousands apart, between blocks, between queries, or with a hidden key far above those
#   that are seen.
# - **what is alive** (1 point). What it was given aside, a rank holds at most $10\, H T_n d + 8\, H T_n^2$ numbers. That number alone counts. It is room for the block
#   of $K$ and of $V$ in use, the next one, scores and sums.
# - **what is sent** (1 point). A rank sends at most $2 (n - 1)$ messages with $2 (n - 1) H T_n d$ numbers in all, and every message is received. What nobody needs
#   may stay where it is.
#
# <details><summary>Hint 1</summary>
#
# Softmax over all keys needs the sum of exponentials over all keys. You see one block at a time. What do you have to remember of the blocks that are gone, for each
# query, to go on with the next one? Whose block is here after $s$ rounds?
# </details>
# <details><summary>Hint 2</summary>
#
# For each query remember $m$, the largest score so far, $l = \sum_j e^{s_j - m}$ and $o = \sum_j e^{s_j - m} v_j$. A new block gives a new maximum $m'$, and $e^{m -
# m'}$ makes old sums new ones. In the end $o / l$ is the result. Begin with your own block, for in it each query sees at least one key. Leave out blocks of later
# ranks, but pass them on.
# </details>
# <details><summary>Hint 3</summary>
#
# After $s$ rounds the block of rank $b = (r - s) \bmod n$ is here. Hidden is where `b * T + at > r * T + at[:, None]`, with `at = torch.arange(T)`. Mask with `-inf`
# before `new = torch.maximum(m, S.amax(-1, keepdim=True))`. Then `P = (S - new).exp()` and `old = (m - new).exp()`, and both sums are `old` times themselves and
# something of `P`.
# </details>

# %% exercise="distributed.ring_attention"
def ring_attention(
    comm: Comm, Q: Float[Tensor, "H Tn d"], K: Float[Tensor, "H Tn d"], V: Float[Tensor, "H Tn d"]
) -> Float[Tensor, "H Tn d"]:
    """Y_i = sum over j <= i of softmax_j(q_i k_j / sqrt(d)) v_j, where j runs over the tokens of all ranks."""
    ### BEGIN SOLUTION
    n, r, T = comm.size, comm.rank, Q.shape[1]
    at = torch.arange(T, device=Q.device)
    m = torch.full_like(Q[..., :1], float("-inf"))                # (H, Tn, 1), the largest score so far
    l, O = torch.zeros_like(m), torch.zeros_like(Q)               # (H, Tn, 1), (H, Tn, d), as if m were the last one
    for s in range(n):
        b = (r - s) % n                                           # whose block is here
        if b <= r:
            S = Q @ K.mT / Q.shape[-1] ** 0.5                     # (H, Tn, Tn)
            S = S.masked_fill(b * T + at > r * T + at[:, None], float("-inf"))
            new = torch.maximum(m, S.amax(-1, keepdim=True))
            P, old = (S - new).exp(), (m - new).exp()
            l, O, m = old * l + P.sum(-1, keepdim=True), old * O + P @ V, new
        if s < n - 1:
            comm.send(K, (r + 1) % n)
            comm.send(V, (r + 1) % n)
            K, V = comm.recv((r - 1) % n), comm.recv((r - 1) % n)
    return O / l
    ### END SOLUTION

# %% check="distributed.ring_attention"
check("distributed.ring_attention", ring_attention)

# %%
attend = use("distributed.ring_attention", ring_attention)
H, T, d = 2, 96, 16
Q, K, V = (torch.randn(H, T, d, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in range(3))
exact = F.scaled_dot_product_attention(Q, K, V, is_causal=True)
for n in (1, 2, 4, 8):
    world = World(n)
    parts = world.run(attend, *([*M.chunk(n, 1)] for M in (Q, K, V)))
    print(f"{n} ranks of {T // n:2} tokens: largest difference {(torch.cat(parts, 1) - exact).abs().max():.0e}, "
          f"scores of a rank {H * (T // n) ** 2:6,} numbers at a time, all {H * T * T:,}")

# %% [markdown]
# With a causal mask the ranks do not have equally much to do. Rank 0 needs its own block alone, the last one needs all. Real systems deal out tokens in a zigzag, so that each rank has early and late ones.

# %%
quiz("distributed.zigzag")

# %% [markdown]
# ## 8. Along the depth
# **Sitting 7 of 8**, 150 minutes. Exercise [[distributed.pipeline]] must be done.
#
# Layers can be dealt out, too. In [[term: pipeline parallelism | each rank holds some consecutive layers, a stage]] a [[term: stage | the layers that one rank of a pipeline holds]] sends its activations on to the next one, and gradients back. That is little to send, and it has a price. While a batch is in the last stage, the first one has nothing to do. So a batch is cut into
# micro-batches, which follow each other like cars on a line. At its beginning and its end a part of the line stands still all the same, the [[term: bubble | the share of time in which a stage of a pipeline waits]].
#
# [[formula: Bubble of a pipeline | p stages, m micro-batches; as a share of the whole time]]
#
# $$\frac{p - 1}{m + p - 1}$$

# %%
predict("distributed.one_f_one_b")

# %%
from coursekit.widgets import play_the_pipeline

play_the_pipeline()

# %% [markdown]
# Choose four stages and eight micro-batches, and compare "all forward first" with 1F1B, one forward and one backward in turns. Then move the player through the first steps of stage 3. Why can it begin a backward pass at once?

# %% [markdown]
# ### Exercise [[distributed.pipeline]]: One forward, one backward
# challenge · importance 5 of 5 · 75 minutes · 4 points
#
# Each line is a point. There are $p$ `stages`.
#
# - **The plan.** `one_f_one_b` lists a stage's steps `("F", i)` and `("B", i)`, oldest first. Begin with `stages - stage - 1` forward passes ($m$, if that is less), take one forward
#   and one backward in turns, end with the backward passes left.
# - **The gradients.** `run_stage` does any plan's steps in order, by `send` and `recv`. All stages share the order of F, and that of B. Stage `comm.rank` 0 reads `inputs[i]`, numbers
#   or token ids, an example a row, others what the stage before sends. The last asks `loss(Y, i)` for the mean of its examples; sizes may differ. Add the gradients of the mean
#   over *all* examples to `p.grad`. The last returns that mean, others `None`. Arguments stay as they are.
# - **What is alive.** Call `module` once a micro-batch, and let its input and output go behind its B. Your plan keeps `stages - stage` at most.
# - **Zero bubble.** B is now for a stage's input alone, and `("W", i)`, later, for its weights. F, B and W take 1 each. `zero_bubble` lists steps that end after
#   $\max(3m + p - 1,\ 2m + 2p - 1)$, the least there is, with at most $p$ micro-batches of a stage from F to W.
#
# <details><summary>Hint 1</summary>
#
# What has a stage to remember from F to B, and under which name? A message carries no graph, so where does one begin? Which stage has nobody who waits for its W?
# </details>
# <details><summary>Hint 2</summary>
#
# A dictionary keeps input and output by `i`, and `pop` forgets them. What is received needs `requires_grad_()` before the module sees it. `Y.backward(gradient)` goes on from the
# gradient of Y. For the zero bubble take the plan of 1F1B. The later the stage, the more B may come before a W.
# </details>
# <details><summary>Hint 3</summary>
#
# A backward step is `X, Y = kept.pop(i)`, `Y.backward(comm.recv(comm.rank + 1))`, `comm.send(X.grad, comm.rank - 1)`. The last stage keeps the loss times its share of all examples
# in place of Y, and calls `backward()`. In `zero_bubble` the step behind `("B", i)` is `("W", i - stage)`, if there is one, and what is left of W comes at the end.
# </details>

# %% exercise="distributed.pipeline"
def one_f_one_b(stage: int, stages: int, m: int) -> list[tuple[str, int]]:
    """F 0 ... F w-1, then F w+i and B i in turns, then the B that are left: w = min(stages - stage - 1, m)."""
    ### BEGIN SOLUTION
    w = min(stages - stage - 1, m)
    plan = [("F", i) for i in range(w)]
    for i in range(m):
        if w + i < m:
            plan.append(("F", w + i))
        plan.append(("B", i))
    return plan
    ### END SOLUTION


def run_stage(comm: Comm, module: nn.Module, plan, inputs: list[Tensor], loss) -> Tensor | None:
    """Do the plan's steps for L = sum_i n_i L_i / sum_i n_i, and return L on the last stage."""
    ### BEGIN SOLUTION
    stage, last = comm.rank, comm.size - 1
    N, L = sum(len(X) for X in inputs), 0.0
    kept = {}
    for kind, i in plan:
        if kind == "F":
            X = comm.recv(stage - 1).requires_grad_() if stage > 0 else inputs[i]
            Y = module(X)                                         # (n_i, ...)
            if stage < last:
                comm.send(Y, stage + 1)
            else:
                Y = loss(Y, i) * len(inputs[i]) / N               # this micro-batch's part of L
                L = L + Y.detach()
            kept[i] = X, Y
        else:
            X, Y = kept.pop(i)
            Y.backward(comm.recv(stage + 1) if stage < last else None)
            if stage > 0:
                comm.send(X.grad, stage - 1)
    return L if stage == last else None
    ### END SOLUTION


def zero_bubble(stage: int, stages: int, m: int) -> list[tuple[str, int]]:
    """F, B for the input and W for the weights: all stages end after max(3m + p - 1, 2m + 2p - 1)."""
    ### BEGIN SOLUTION
    plan, waiting = [], []
    for kind, i in one_f_one_b(stage, stages, m):
        plan.append((kind, i))
        if kind == "B":
            waiting.append(("W", i))
            if len(waiting) > stage:                              # as many may wait as there are stages before
                plan.append(waiting.pop(0))
    return plan + waiting
    ### END SOLUTION

# %% check="distributed.pipeline"
check("distributed.pipeline", one_f_one_b, run_stage, zero_bubble)

# %% [markdown]
# Your plans on a clock, on which a backward pass takes twice as long as a forward one.

# %%
from coursekit.world.schedules import HALVES, WHOLE, timetable

turns, work_through, in_halves = use("distributed.pipeline", one_f_one_b, run_stage, zero_bubble)


def forward_first(stage, stages, m):
    return [("F", i) for i in range(m)] + [("B", i) for i in range(m)]


tables = {
    name: timetable([make(stage, 4, 8) for stage in range(4)], seconds)
    for name, make, seconds in (("all forward first", forward_first, WHOLE), ("1F1B", turns, WHOLE), ("zero bubble", in_halves, HALVES))
}
for name, table in tables.items():
    print(f"{name:18} {table.makespan:3.0f} units, idle {table.idle:5.1%}, alive on the stages {[round(n) for n in table.alive]}")
first, second = tables["all forward first"], tables["1F1B"]
came_out("distributed.one_f_one_b", "both" if second.idle < first.idle and max(second.alive) < max(first.alive) else
         "the most micro-batches alive" if max(second.alive) < max(first.alive) else "the idle share" if second.idle < first.idle else "neither")

# %% [markdown]
# <details><summary>What happened</summary>
#
# "1F1B makes the bubble smaller" is written often, and it is not so. The bubble is that of all forward first, $(p-1)/(m+p-1)$, here 3 of 11. What becomes smaller is the memory. A stage holds at most as many micro-batches as there are stages from it on, however many the batch has. One then takes more micro-batches,
# and *that* makes the bubble smaller. The third plan cuts backward in two. Nobody waits for the gradients of weights, so they fill the time in which a stage would wait (Qi et al. 2023).
# </details>
#
# And the gradients? Four stages with a block each, on micro-batches of 3, 3, 3 and 1 rows, against one process.

# %%
def pieces():
    """An embedding and four blocks with an output, as the modules of four stages."""
    torch.manual_seed(seed)
    blocks = [nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True) for _ in range(4)]
    return [part.double() for part in (nn.Sequential(nn.Embedding(256, 32), blocks[0]), *blocks[1:3], nn.Sequential(blocks[3], nn.Linear(32, 256)))]


micro = batch(0, B=10).split(3)


def micro_loss(logits, i):
    return F.cross_entropy(logits.flatten(0, 1), micro[i][:, 1:].flatten())


def staged(comm, make):
    module = pieces()[comm.rank]
    L = work_through(comm, module, make(comm.rank, comm.size, len(micro)), [part[:, :-1] for part in micro], micro_loss)
    return L, [p.grad for p in module.parameters()]


stack = nn.Sequential(*pieces())
F.cross_entropy(stack(batch(0, B=10)[:, :-1]).flatten(0, 1), batch(0, B=10)[:, 1:].flatten()).backward()
for name, make in (("all forward first", forward_first), ("1F1B", turns)):
    grads = [grad for _, stage_grads in World(4).run(staged, [make] * 4) for grad in stage_grads]
    print(f"{name:18} largest difference of a gradient: {max((a - p.grad).abs().max().item() for a, p in zip(grads, stack.parameters(), strict=True)):.0e}")

# %%
quiz("distributed.schedules")

# %% [markdown]
# ## 9. Experts
# In a mixture of experts each token goes to one of many networks (chapter 04). With hundreds of experts they are dealt out over ranks, and tokens travel to where their expert lives, by an all-to-all, and back by another one (Lepikhin et al. 2020).

# %%
diagram("distributed.experts")

# %% [markdown]
# ### Exercise [[distributed.experts]]: Experts on other ranks
# core · importance 4 of 5 · 50 minutes · 3 points
#
# Each of $n$ ranks holds $E$ experts. The list `experts` of rank $r$ has those with the numbers $r E$ to $(r + 1) E - 1$, in order. Each of a rank's own $T$ tokens
# has an expert, a number among all $n E$, and a gate. Row $t$ of the result is `gate[t]` times what expert number `expert[t]` makes of `X[t]`, wherever it lives.
# You choose the arguments of `Exchange`.
#
# `comm.all_to_all(parts)` takes one tensor for each rank, of different lengths, also empty, and carries no gradient.
#
# - **values** (1 point). $T$ may differ between ranks, or be 0. An expert may get all tokens, or none. It turns (k, D) into (k, D), also for $k = 0$.
# - **gradients** (1 point). They reach `X`, `gate` and the experts' weights, summed over the tokens of all ranks. Without a token an expert's may be `None` or
#   zeros. Every rank has to come to each exchange, forward and backward, with tokens or without.
# - **what is sent** (1 point). A token's $D$ numbers go to one rank, and a result comes back. Gradients go the same ways. One more number for each token
#   and way is free, and $n (E + 4)$ on top, such as counts. What a rank keeps is not counted.
#
# <details><summary>Hint 1</summary>
#
# Play it with two ranks, one expert each, and three tokens on rank 0 for experts 1, 0, 1. What arrives where, in which order, and how does rank 0 know which row a
# result belongs to? In backward, what is the way of a gradient that came to a result?
# </details>
# <details><summary>Hint 2</summary>
#
# `expert // E` is the rank. `argsort(stable=True)` brings tokens for the same rank together, `bincount(minlength=n)` counts them and `split` cuts. The numbers of
# the experts go by a second `all_to_all`. The backward of an exchange is an exchange of the gradients.
# </details>
# <details><summary>Hint 3</summary>
#
# What came from rank j goes back to rank j, in the same order, so results are cut as the tokens were that came. `torch.empty_like(X).index_copy(0, order, rows)`
# brings them to their places. Call every expert, with `tokens[rows]` for the rows that are its own, even if there are none. Then each rank's results are in the
# graph.
# </details>

# %% exercise="distributed.experts"
class Exchange(torch.autograd.Function):
    """parts[j] goes to rank j, and what rank j sends comes back in its place; so do the gradients."""

    @staticmethod
    def forward(ctx, comm: Comm, *parts: Float[Tensor, "k D"]):
        ### BEGIN SOLUTION
        ctx.comm = comm
        return tuple(comm.all_to_all(parts))
        ### END SOLUTION

    @staticmethod
    def backward(ctx, *gradients: Float[Tensor, "k D"]):
        ### BEGIN SOLUTION
        return None, *ctx.comm.all_to_all(gradients)
        ### END SOLUTION


def expert_parallel(
    comm: Comm, X: Float[Tensor, "T D"], expert: Int[Tensor, "T"], gate: Float[Tensor, "T"], experts: list[nn.Module]
) -> Float[Tensor, "T D"]:
    """y_t = g_t f_e(x_t) with e = expert[t], a number among all experts of all ranks."""
    ### BEGIN SOLUTION
    E, host = len(experts), expert // len(experts)                # the rank of each token's expert, (T)
    order, counts = host.argsort(stable=True), host.bincount(minlength=comm.size).tolist()
    came = Exchange.apply(comm, *X[order].split(counts))
    numbers = torch.cat(comm.all_to_all(expert[order].split(counts))) - comm.rank * E
    tokens = torch.cat(came)                                      # (k, D), for the experts of this rank
    results = torch.zeros_like(tokens)
    for i, module in enumerate(experts):
        rows = (numbers == i).nonzero().flatten()
        results = results.index_copy(0, rows, module(tokens[rows]))
    back = Exchange.apply(comm, *results.split([len(part) for part in came]))
    Y = torch.empty_like(X).index_copy(0, order, torch.cat(back))  # (T, D)
    return gate[:, None] * Y
    ### END SOLUTION

# %% check="distributed.experts"
check("distributed.experts", expert_parallel)

# %%
send_to_experts = use("distributed.experts", expert_parallel)
torch.manual_seed(seed)
networks = [nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)).double() for _ in range(4)]
router = nn.Linear(8, 4).double()


def mixture(comm, X):
    """Tokens of this rank through four experts, two on each of two ranks."""
    chances = router(X).softmax(-1)
    gate, expert = chances.max(-1)
    mine = networks[2 * comm.rank : 2 * comm.rank + 2]
    return send_to_experts(comm, X, expert, gate, mine), expert.bincount(minlength=4)


X = torch.randn(2, 40, 8, dtype=torch.float64) + torch.linspace(-1, 1, 8)
world = World(2)
(one, load), (two, other_load) = world.run(mixture, list(X))
gate, expert = router(X.flatten(0, 1)).softmax(-1).max(-1)
right = torch.stack([g * networks[e](x) for x, g, e in zip(X.flatten(0, 1), gate, expert.tolist(), strict=True)])
print(f"largest difference from one process: {(torch.cat([one, two]) - right).abs().max():.0e}")
print("tokens of each expert:", (load + other_load).tolist(), "; numbers sent:", [world.sent(rank) // 8 for rank in range(2)])

# %% [markdown]
# Nobody promised that experts get equally many tokens. The rank of the busiest one is the one for which all others wait.

# %%
quiz("distributed.experts_traffic")

# %% [markdown]
# ## 10. Plan a cluster
# **Sitting 8 of 8**, 100 minutes. Question 5.A and section 11 must be done.
#
# Which split for which run? Each of them talks about something else, and so they are nested by how much they talk.
#
# | split | what travels | how much, for a rank and step | where |
# |---|---|---|---|
# | tensor | activations, in each layer, twice forward and twice backward | all tokens of the micro-batch times the width, each time | inside one machine |
# | experts | tokens, in each layer of experts, there and back | the same at most | few machines |
# | sequence | keys and values, in each layer | the same, and can be hidden behind products | few machines |
# | depth | activations between two stages | once for each micro-batch | between machines |
# | data, stages 0 to 2 | gradients, and perhaps weights | twice the weights of the rank | outermost |
# | data, stage 3 | weights twice, gradients once | three times the weights | outermost |
#
# How far does the outermost one go? We put together what we know, for a model of a billion weights in 16 bits, whose step takes half a second on one GPU. Each GPU more brings its own batch. The gradients travel in a ring while backward runs, which is two thirds of the step.

# %%
predict("distributed.efficiency")

# %%
def efficiency(n, wires, hidden, compute=0.5, size=2e9):
    """The share of n times one GPU's speed that n GPUs reach."""
    ring = wires.seconds(2 * (n - 1), 2 * (n - 1) / n * size)
    return compute / (compute + max(0.0, ring - hidden * compute))


ns = [2**k for k in range(1, 15)]
wires = {"50 GB/s": Network(5e-6, 50e9), "3 GB/s": Network(20e-6, 3e9)}
lines = {f"{name}, {told}": [efficiency(n, w, part) for n in ns] for name, w in wires.items() for told, part in (("overlapped", 2 / 3), ("after backward", 0.0))}
fig = curves(ns, lines, x_label="GPUs", y_label="share of n times one GPU", log="x")
fig.axes[0].set_ylim(0, 1.05)
ends = {key: line[-1] for key, line in zip(("fast_overlapped", "fast_after", "slow_overlapped", "slow_after"), lines.values(), strict=True)}
show(fig, "distributed.efficiency", **ends)
came_out("distributed.efficiency", round(100 * lines["3 GB/s, after backward"][ns.index(1024)]))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Bytes hardly grow with $n$, so the curves are flat for long. Where they fall at the right end it is the latency, $2(n-1)$ times. A network costs a constant share. Overlap gives all of it back where messages are shorter than backward, as at 50 GB/s, and little where they are longer. A ring of 16,384 would be a bad idea, and libraries use trees or rings of rings there.
# </details>
#
# ### When a machine fails
# Of many machines one always fails. Llama 3 was trained on 16,384 GPUs, and in 54 days 419 interruptions came unexpectedly, one in about three hours (Grattafiori et al. 2024, section 3.3.4). So the state is written down again and again. If that takes $\delta$ seconds and the time between failures is $M$ on average, then Young (1974) found
#
# [[formula: Time between checkpoints | δ seconds to write one, M seconds between failures]]
#
# $$\sqrt{2\,\delta\,M}$$

# %%
delta, failures = 60, 54 * 86_400 / 419
between = math.sqrt(2 * delta * failures)
print(f"a failure in {failures / 3600:.1f} hours, a minute for a checkpoint: write one every {between / 60:.0f} minutes")
print(f"lost to writing and to steps done twice: about {delta / between + between / 2 / failures:.0%}")

# %%
quiz("distributed.checkpoints")

# %% [markdown]
# After a failure there may be fewer machines than before. A checkpoint of four ranks has four shards, and three ranks want three.

# %% [markdown]
# ### Exercise [[distributed.test_reshard]]: Write the test, a checkpoint for other ranks
# core · importance 3 of 5 · 25 minutes · 2 points
#
# Four ranks have saved a vector of $N$ numbers in four shards, and three ranks are to go on. `reshard(shards, N, n_new)` cuts it anew. Write `test(reshard)`, which raises an AssertionError when `reshard` is wrong. It is right when all of this holds.
#
# - It is handed a list of $n$ shards in the order of ranks, tensors of $\lceil N / n \rceil$ numbers each, with zeros behind the end of the vector. It returns a list or tuple of the $n_\text{new}$ shards made in the same way.
# - $n$, $N$ and $n_\text{new}$ may be any numbers from 1 on, in any order.
# - Numbers (zeros among them) and dtype (float32 or float64) stay the same to the last bit.
# - The list that is handed in stays as it is, and so do its tensors.
# - Whoever writes into a new shard changes no other one and no old one. (Views of one new tensor are fine.)
# - No call depends on another.
#
# The check hands your test ten right functions (1 point if all pass) and wrong ones of 32 kinds (1 point if none does), a new selection while grading. Some dozens of calls are enough.
#
# <details><summary>Hint 1</summary>
#
# Write a helper that cuts a vector into shards as they should be. It makes what you hand in, and also what has to come out. Then choose sizes. With N = 10, what can go wrong from four ranks to three, and what only from four to two, from one, to one, to eleven?
# </details>
# <details><summary>Hint 2</summary>
#
# Three short loops over $n$, $N$ and $n_\text{new}$ find more than examples of your own. Ask for the number of shards, for shape and dtype, and then for the numbers. Random ones show more than 0, 1, 2. Put a zero among them, and call twice with the same sizes.
# </details>
# <details><summary>Hint 3</summary>
#
# `torch.equal` compares numbers but no dtypes. Keep `list(shards)` and a clone of each before the call. Afterwards let `new[i].fill_(i + 5)` mark each new shard. Each has to keep its own mark, and the old ones their numbers.
# </details>

# %% exercise="distributed.test_reshard"
def test(reshard):
    """Pass for a right way to cut a vector anew, fail with an AssertionError for anything else."""
    ### BEGIN SOLUTION
    def cut(x, n):
        k = math.ceil(len(x) / n)
        return list(F.pad(x, (0, n * k - len(x))).view(n, k))     # n of (k)

    sizes = [(n, 10, n_new) for n in (1, 2, 4, 11) for n_new in (1, 2, 4, 11)] + [(2, 8, 4), (4, 3, 6)]
    g = torch.Generator().manual_seed(1)
    for n, N, n_new in [*sizes, sizes[-1]]:
        for dtype in (torch.float32, torch.float64):
            x = torch.randn(N, generator=g, dtype=dtype)
            x[N // 2] = 0
            handed, old = cut(x, n), cut(x.clone(), n)
            shards = list(handed)
            new, right = reshard(shards, N, n_new), cut(x, n_new)
            assert len(new) == n_new
            for a, b in zip(new, right, strict=True):
                assert (a.shape, a.dtype) == (b.shape, b.dtype)
                assert torch.equal(a, b)
            for i, a in enumerate(new):
                a.fill_(i + 5)
            assert all((a == i + 5).all() for i, a in enumerate(new))
            assert len(shards) == n
            assert all(a is b and torch.equal(a, c) for a, b, c in zip(shards, handed, old, strict=True))
    ### END SOLUTION

# %% check="distributed.test_reshard"
check("distributed.test_reshard", test)

# %% [markdown]
# ### Question 5.A: Why does the job hang?
# 15 minutes · 3 points · marked by a person
#
# A job on four ranks trains with data parallelism and hangs at step 312, always there. Documents are dealt out, and the batch of rank 2 at step 312 holds one that is longer than the model's context. It is the last batch of the epoch. These are the four stacks, the innermost line last, and the program.
#
# | ranks 0, 1 and 3 | rank 2 |
# |---|---|
# | `train.py:12  for rows in batches` | `train.py:18  after the epoch` |
# | `train.py:16  ddp.finish()` | `train.py:18  comm.all_reduce(loss)` |
# | `comm.all_reduce`, shape (250000,) | `comm.all_reduce`, shape () |
#
# ```python
# 12  for rows in batches:
# 13      if rows.shape[1] > T:
# 14          continue
# 15      loss_of(model, rows).backward()
# 16      ddp.finish()
# 17      optimizer.step()
# 18  log(comm.all_reduce(loss) / comm.size)
# ```
#
# Answer in about 120 words altogether.
# 1. What does each rank wait for, and why?
# 2. Why does it not stop with an error? And what would have happened if both tensors had had one shape?
# 3. How would you change the program so that it cannot happen again, whatever the data?

# %% [markdown] question="distributed.hang"
# ### BEGIN SOLUTION
# **Model answer.** (1) Ranks 0, 1 and 3 wait in the all-reduce of bucket 0 of step 312. Rank 2 skipped its long document, so it made no gradients and called no all-reduce for them. As that was the last batch, it left the loop and waits in
# another collective, that of the loss. Each collective needs all four ranks, so none of the two will ever be complete. (2) Nobody has failed. Each waits for a message that may still come, which looks like a slow neighbour, so no error is raised until a timeout. With one shape the two all-reduces would have matched. The loss of rank 2
# would have been added to the gradients of the others, silently, and all later collectives would have been shifted by one. (3) Whether a rank takes part may never depend on its own data alone. Cut or split long documents before they are dealt out, or take part with zero tokens (a weighted mean gives them no weight), or agree on skipping by an
# all-reduce of a flag, so that all skip or none does. A record of each rank's last collective would have named the place. *One point for each part. The first needs both collectives and the cause, the second why it is silent and what would have been added, the third a change that holds for any data.*
# ### END SOLUTION

# %% [markdown]
# ### The real thing
# Now your classes train on two real processes, each a program of its own, with nothing but messages between them. First your overlapped data parallelism, then your sharded optimizer, and beside them the framework's own. All of them in float64, ten steps.

# %%
from torch.nn.parallel import DistributedDataParallel


def trained(comm, how):
    """The weights after some steps, in your data parallelism or in torch's."""
    torch.manual_seed(seed + comm.rank)                           # another start on each rank: somebody has to see to it
    model = GPT().double()
    share = DistributedDataParallel(model) if how == "torch" else Overlapped(comm, model, 100_000)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    for step in range(many):
        model.zero_grad()
        loss_of(share if how == "torch" else model, batch(step)[comm.rank :: comm.size]).backward()
        if how == "ours":
            share.finish()
        optimizer.step()
    return {name: p.detach() for name, p in model.named_parameters()}


def three_ways(comm):
    return trained(comm, "ours"), trained(comm, "torch"), some_steps(comm, sharded)

# %%
names = "your OverlappedDDP", "DistributedDataParallel", "your ShardedAdamW"
ours, theirs, dealt = zip(*launch(three_ways), strict=True)       # each a pair, of rank 0 and rank 1
for name, ranks in zip(names, (ours, theirs, dealt), strict=True):
    print(f"{name:24} {' '.join(map(fingerprint, ranks))}   from one machine: {apart(ranks[0], single_adamw):.0e}")
assert apart(ours[0], theirs[0]) < 1e-6

# %% [markdown]
# Both ranks print one fingerprint, and all of them are one machine's model up to rounding. The framework has stage 3 as `fully_shard`, and cuts layers with `ColwiseParallel` and `RowwiseParallel`, which put tensors of a mesh of ranks (`DTensor`) in the places of weights.

# %%
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module


def by_the_framework(comm):
    """Shards of fully_shard, and the collectives of a network that is cut by columns and rows."""
    mesh = init_device_mesh("cpu", (comm.size,))
    whole, cut = (nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(2))
    fully_shard(whole, mesh=mesh)
    whole(torch.ones(4, 32)).sum().backward()
    parallelize_module(cut, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    with CommDebugMode() as counted:
        cut(torch.ones(4, 32, requires_grad=True)).sum().backward()
    counts = {str(kind).rpartition(".")[2]: n for kind, n in counted.get_comm_counts().items()}
    return [tuple(p.to_local().shape) for p in whole.parameters()], counts

# %%
from coursekit.world import NoProcesses, on_processes

try:
    shards, counts = on_processes(by_the_framework, size=2)[0]
    print("fully_shard leaves on each rank", shards, "of (64, 32), (64), (32, 64), (32)")
    print("columns, then rows, forward and backward:", counts)
except NoProcesses as why:
    print(f"this machine starts no processes ({why}); elsewhere each rank has half of the rows, and two all-reduces are counted")

# %% [markdown]
# Two sums for a network and its backward, as in your `ParallelMLP`. Counting needs no second process at all. torch has a backend that only pretends, so the collectives of 64 ranks, 8 by 8, can be counted here.

# %%
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=64)
mesh = init_device_mesh("cpu", (8, 8), mesh_dim_names=("data", "tensor"))
cut = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
parallelize_module(cut, mesh["tensor"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
with CommDebugMode() as counted:
    cut(torch.ones(4, 32, requires_grad=True)).sum().backward()
print("on 64 pretended ranks:", {str(kind).rpartition(".")[2]: n for kind, n in counted.get_comm_counts().items()},
      "; rank 0 holds", tuple(cut[0].weight.to_local().shape), "of (64, 32)")
dist.destroy_process_group()

# %% [markdown]
# ## 11. How they end with one model
# Back to the question of this chapter. Eight machines each saw an eighth of the data. We let eight ranks train the GPT for ten steps in several ways, and compare with one rank that saw all of it. Three of the ways have a slip in them. They are the control, for they show what the numbers look like when the model is *not* the same.

# %%
predict("distributed.worst_slip")

# %%
class Steps:
    """What happens after backward, one thing after the other."""

    def __init__(self, *parts):
        self.parts = parts

    def step(self):
        for part in self.parts:
            part()


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01).step

# %%
def overlapped_ddp(comm, model):
    return Steps(Overlapped(comm, model, 100_000).finish, adamw(model))


def summed_gradients(comm, model):
    def add():
        for p in model.parameters():
            p.grad = comm.all_reduce(p.grad)

    return Steps(add, adamw(model))


def without_a_word(comm, model):
    return Steps(adamw(model))


def another_start(comm, model):
    torch.manual_seed(comm.rank)
    model.load_state_dict(GPT().double().state_dict())
    return averaged_gradients(comm, model)


average_by_tokens = use("distributed.average_gradients", average_gradients)


def averaged_gradients(comm, model):
    return Steps(lambda: average_by_tokens(comm, model, 16 * 64 // comm.size), adamw(model))

# %%
eight = {
    "gradients averaged by tokens": averaged_gradients,
    "overlapped buckets": overlapped_ddp,
    "sharded optimizer": sharded,
    "slip: gradients summed": summed_gradients,
    "slip: another start on each rank": another_start,
    "slip: without a word": without_a_word,
}
offs = {}
print(f"{'':34}  from one machine   ranks apart   numbers sent")
for name, make in eight.items():
    world = World(8)
    ranks = world.run(some_steps, [make] * 8)
    off, among = apart(ranks[0], single_adamw), max(apart(ranks[0], other) for other in ranks[1:])
    print(f"{name:34}  {off:16.0e}   {among:11.0e}   {world.sent(0) / 8 / many / count:9.2f} P")
    offs[name] = off
came_out("distributed.worst_slip", max((name for name in eight if name.startswith("slip")), key=offs.get).removeprefix("slip: "))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The first three are one machine's model to eleven digits (and the start, which rank 0 sends once, makes 1.85 of 1.75). Summed gradients are eight times too large, and yet that row is the best of the slips, for AdamW divides by their size. With SGD, or behind clipping, it would be another training altogether. Its ranks agree to the last bit, so no
# comparison among ranks would show it. With another start on each rank nobody ever comes together, though all apply the same steps.
# </details>
#
# So how do eight machines end with exactly the model that one would have had? They begin alike. In each step, what they do differently is added up over all of them, each with the weight of its data, before anything changes. And what they do alike they do with the same bits. Nothing else is needed, whether it is a batch that is cut, an optimizer, a layer or a stack of layers. Up to rounding the
# result is the same. Wherever one of the three is missing, no error is raised, and the loss goes down all the same.
#
# | claim | measured in section |
# |---|---|
# | two processes end with the same bits | 1, 10 |
# | a ring sends less than two tensors, on any number of ranks | 2 |
# | the mean of means is another model, and was a worse one | 4 |
# | all buckets but the last can hide behind backward | 4 |
# | a sharded optimizer is AdamW, for the traffic of an all-reduce | 5 |
# | a network can be cut with one sum forward and one backward | 6, 10 |
# | 1F1B has the bubble of all-forward-first, and less memory | 8 |

# %%
quiz("distributed.three_conditions")

# %% [markdown]
# ## 12. Where it leads (November 2026)
#
# - **Training across the internet.** DiLoCo ([2311.08105](https://arxiv.org/abs/2311.08105)) lets each machine take hundreds of steps alone, and then averages. Streaming DiLoCo ([2501.18512](https://arxiv.org/abs/2501.18512)) sends a part at a time. We run the idea below.
# - **Shards as the base.** PyTorch's `fully_shard` and DTensor ([docs](https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html)) put shards in the places of weights. Hybrid sharding keeps shards inside of a machine and copies between machines. TorchTitan ([2410.06511](https://arxiv.org/abs/2410.06511)) combines all splits of this chapter.
# - **Pipelines without a bubble.** Zero bubble ([2401.10241](https://arxiv.org/abs/2401.10241)), its V-shaped kin ([2405.15362](https://arxiv.org/abs/2405.15362)) and DeepSeek-V3's dual pipes ([2412.19437](https://arxiv.org/abs/2412.19437)). torch 2.13 ships them as `ScheduleZBVZeroBubble` and `ScheduleDualPipeV`.
# - **Long sequences** go round a ring ([2310.01889](https://arxiv.org/abs/2310.01889)), or change the cut from tokens to heads by an all-to-all ([2309.14509](https://arxiv.org/abs/2309.14509)).
# - **Eight bits on the wire.** DeepSeek-V3 sends tokens to their experts in fp8, with kernels of its own ([2412.19437](https://arxiv.org/abs/2412.19437), section 3.2.2).
# - **Muon** needs whole matrices, so shards of its momentum are gathered before a step (Moonlight, [2502.16982](https://arxiv.org/abs/2502.16982)).
# - **Runs that survive** machines that leave and come. Llama 3 ([2407.21783](https://arxiv.org/abs/2407.21783), section 3.3.4) restarted, and newer systems go on with those that are left.

# %%
def alone_for_a_while(comm, steps, H, rate, momentum):
    """H steps alone, then an outer step along the mean of what all have moved."""
    torch.manual_seed(seed)
    model = GPT()
    inner = torch.optim.AdamW(model.parameters(), lr=3e-3)
    anchor = [p.detach().clone().requires_grad_() for p in model.parameters()]
    outer = torch.optim.SGD(anchor, lr=rate, momentum=momentum, nesterov=momentum > 0)
    for step in range(steps):
        inner.zero_grad()
        loss_of(model, batch(64 * step + comm.rank, B=8)).backward()
        inner.step()
        if step % H == H - 1:
            for a, p in zip(anchor, model.parameters(), strict=True):
                a.grad = a.detach() - comm.all_reduce(p.detach()) / comm.size
            outer.step()
            with torch.no_grad():
                for a, p in zip(anchor, model.parameters(), strict=True):
                    p.copy_(a)
    return unseen_bits(model)


for name, n, H, rate, momentum in (("one alone", 1, 1, 1.0, 0.0), ("a mean in each step", 4, 1, 1.0, 0.0), ("a mean in 20 steps", 4, 20, 1.0, 0.0), ("the same, outer momentum", 4, 20, 0.7, 0.9)):
    world, steps = World(n), 4 if brief else 120
    bits = world.run(alone_for_a_while, [steps] * n, [min(H, steps)] * n, [rate] * n, [momentum] * n)[0]
    print(f"{name:25} {bits:.3f} bits a byte, sends {world.sent(0) / 4 / steps / count:.2f} numbers a weight and step")

# %% [markdown]
# A mean of weights in 20 steps keeps much of what four machines gain over one, for a twentieth of the messages. The outer momentum of the paper, which was tuned for hundreds of steps alone, helps nothing in so short a run. The four no longer end with the model of one machine. They end with another good one.

# %% [markdown]
# ## Terms and formulas
#
# [[terms]]
#
# [[formulas]]

# %% [markdown]
# ## Papers
#
# - Patarasuk and Yuan 2009, Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations; Thakur et al. 2005, Optimization of Collective Communication Operations in MPICH
# - Li et al. 2020, [PyTorch Distributed](https://arxiv.org/abs/2006.15704); Rajbhandari et al. 2020, [ZeRO](https://arxiv.org/abs/1910.02054); Zhao et al. 2023, [PyTorch FSDP](https://arxiv.org/abs/2304.11277); Chen et al. 2016, [Training Deep Nets with Sublinear Memory Cost](https://arxiv.org/abs/1604.06174)
# - Shoeybi et al. 2019, [Megatron-LM](https://arxiv.org/abs/1909.08053); Narayanan et al. 2021, [Efficient Large-Scale Language Model Training on GPU Clusters](https://arxiv.org/abs/2104.04473); Korthikanti et al. 2022, [Reducing Activation Recomputation](https://arxiv.org/abs/2205.05198)
# - Milakov and Gimelshein 2018, [Online Normalizer Calculation for Softmax](https://arxiv.org/abs/1805.02867); Liu et al. 2023, [Ring Attention](https://arxiv.org/abs/2310.01889)
# - Huang et al. 2019, [GPipe](https://arxiv.org/abs/1811.06965); Narayanan et al. 2020, [Memory-Efficient Pipeline-Parallel DNN Training](https://arxiv.org/abs/2006.09503); Qi et al. 2023, [Zero Bubble Pipeline Parallelism](https://arxiv.org/abs/2401.10241); Lepikhin et al. 2020, [GShard](https://arxiv.org/abs/2006.16668)
# - Young 1974, A First Order Approximation to the Optimum Checkpoint Interval; Grattafiori et al. 2024, [The Llama 3 Herd of Models](https://arxiv.org/abs/2407.21783)
#
# *Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Code: BSD 3-Clause. Copyright: the authors of this course.*

# %%
progress()
