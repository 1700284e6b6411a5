# %% [markdown]
# ## 9. Safety belts
# Three things keep long trainings alive. Gradients are clipped, batches are put together from smaller ones, and numbers are stored with as many bits as they need.
#
# [[formula: Clipping by the norm | all gradients together as one vector g]]
#
# $$g \leftarrow g \cdot \min\!\left(1, \frac{\text{limit}}{\lVert g \rVert}\right)$$
#
# One bad batch can have a gradient a hundred times as long as others, and one step of that length undoes an hour. Clipping keeps the direction and shortens the step (Pascanu et al. 2013). The norm is that of
# *all* gradients together. Clipping each number by itself, to at most $\pm$ limit, is sold under the same name.

# %%
predict("core.by_entry")

# %%
network = deep(2, 0, L=2)
F.cross_entropy(network(training.images[:100]), training.labels[:100]).backward()
gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
limit = 0.1 * gradient.norm()


def angle(a, b):
    """Between two vectors, in degrees."""
    return math.degrees(math.acos(min(1.0, (a @ b / a.norm() / b.norm()).item())))


entry = gradient.abs().max() / 100                                # a hundredth of the largest number
by_entry = gradient.clamp(-entry, entry)
print(f"by the norm: {angle(gradient, gradient * limit / gradient.norm()):.0f} degrees from the gradient, "
      f"by entry: {angle(gradient, by_entry):.0f}")
came_out("core.by_entry", round(angle(gradient, by_entry)))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Large entries are cut and small ones are not, so the step turns towards what mattered less. Clipping by entry is a kind of sign descent. It can train a network too, but it is another method.
# </details>

# %% [markdown]
# ### Exercise [[core.clip]]: Mend this code, clipping
# core · importance 4 of 5 · 15 minutes · 3 points
#
# Mend the function below under the name `clip_`. (As in torch, a name that ends in `_` changes its argument in place.)
#
# - `params` gives parameters, possibly only once. Some have no gradient (`None`). They do not count, and get none.
# - Let $\lVert g \rVert$ be the norm of all gradients together. Where it is above `limit`, each gradient is multiplied by the same factor, so that the common norm is `limit`. Else no number changes, not
#   even in its last digit.
# - Gradients change in place. `p.grad` stays the tensor that it is, as others may hold it.
# - The norm *before* clipping is returned, a number or a tensor of shape (). It is 0 where no gradient is there.
# - If the norm is infinite or no number, a `ValueError` is raised, and no gradient has been changed.
#
# <details><summary>Hint 1</summary>
#
# How many norms does the given code compare with the limit? And what does a generator give to the second loop that goes through it?
# </details>
# <details><summary>Hint 2</summary>
#
# First collect the gradients in a list. Then one norm, from the sum of all squares. Then look at it, before anything is changed.
# </details>
# <details><summary>Hint 3</summary>
#
# `math.isfinite(norm)` is false for NaN and for both infinities. `grad.mul_(limit / norm)` works in place.
# </details>

# %%
def given_clip(params, limit):
    norm = 0.0
    for p in params:
        norm = p.grad.norm()
        p.grad *= limit / norm
    return norm


halves = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
for p, numbers in zip(halves, ([3.0, 0.0], [0.0, 0.4]), strict=True):
    p.grad = torch.tensor(numbers)
print("returned", given_clip(halves, 1.0).item(), "gradients", [p.grad.tolist() for p in halves])

# %% exercise="core.clip"
def clip_(params, limit: float) -> float:
    """Bring the norm of all gradients together down to `limit`; returns the norm before. Raises ValueError."""
    ### BEGIN SOLUTION
    grads = [p.grad for p in params if p.grad is not None]
    norm = math.sqrt(sum((grad.double() ** 2).sum().item() for grad in grads))
    if not math.isfinite(norm):
        raise ValueError(f"the norm of all gradients is {norm}")
    if norm > limit:
        for grad in grads:
            grad.mul_(limit / norm)
    return norm
    ### END SOLUTION

# %% check="core.clip"
check("core.clip", clip_)

# %% [markdown]
# ### Batches from smaller ones
# A batch that is too large for the memory is read in [[term: micro-batch | a part of a batch whose gradients are added to those of the other parts before one step is taken]]es. The gradient of a mean is the mean of the gradients, so one
# adds them up and divides by the number of parts. That is right only if all parts are equal. A last part is often smaller, and of texts one part has more tokens that count than another.
#
# Here a batch of 100 images comes as 96 and 4.

# %%
predict("core.unequal")

# %%
def gradient_of(parts, weights):
    """The weighted sum of the gradients of the mean losses of parts of the first hundred images."""
    losses = [F.cross_entropy(network(training.images[a:b]), training.labels[a:b]) for a, b in parts]
    grads = torch.autograd.grad(sum(w * loss for w, loss in zip(weights, losses, strict=True)), network.parameters())
    return torch.cat([g.flatten() for g in grads])


whole = gradient_of([(0, 100)], [1])
parts = [(0, 96), (96, 100)]
mean_of_means = gradient_of(parts, [1 / 2, 1 / 2])
by_size = gradient_of(parts, [96 / 100, 4 / 100])
off = {name: ((g - whole).norm() / whole.norm()).item() for name, g in (("mean of means", mean_of_means), ("by size", by_size))}
assert off["by size"] < 1e-4
print(f"mean of means: off by {off['mean of means']:.0%} of the gradient's norm; weighted by size: not at all")
came_out("core.unequal", round(100 * off["mean of means"]))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Four images got half of the say, twelve times their share. In a popular library this was the state of affairs for texts until autumn 2024 (transformers
# [34191](https://github.com/huggingface/transformers/issues/34191)), and losses looked plausible all the time. Several machines that share a batch have the same question. Chapter 4 has it as an exercise.
# </details>

# %% [markdown]
# ### Bits
# A float has a sign, an exponent and a **mantissa**, the digits behind its first 1. bfloat16 keeps float32's exponent and has 7 bits of mantissa instead of 23. So it spans the same range with two to three
# decimal digits. The ruler shows which numbers there are.

# @@ precision

# %% [markdown]
# Training writes small changes onto large numbers. If a change is below half of the last bit, then $w + \Delta w = w$, and this weight has not learned anything. Below, a network has its weights in
# bfloat16 and learns with plain SGD at a rate of 0.01.

# %%
predict("core.below_the_last_bit")

# %%
def trained_in(dtype, steps=600, lr=0.01):
    """Held-out loss, and the mean share of the first map's weights with a gradient that a step moved."""
    network = deep(2, 0, L=2).to(dtype)
    optimiser, g, moved = torch.optim.SGD(network.parameters(), lr=lr), torch.Generator().manual_seed(seed), []
    for _ in range(10 if profile == "smoke" else steps):
        rows = torch.randint(len(training), (128,), generator=g)
        optimiser.zero_grad()
        F.cross_entropy(network(training.images[rows].to(dtype)).float(), training.labels[rows]).backward()
        W, before = network[0].weight, network[0].weight.detach().clone()
        optimiser.step()
        moved.append((before != W)[W.grad != 0].float().mean().item())
    with torch.no_grad():
        Z = network(held_out.images.to(dtype)).float()
    return F.cross_entropy(Z, held_out.labels).item(), sum(moved) / len(moved)


for dtype in (torch.float32, torch.bfloat16):
    loss, moved = trained_in(dtype)
    print(f"weights in {dtype}: held-out loss {loss:.3f}; a step moves {moved:.0%} of the weights that have a gradient")
came_out("core.below_the_last_bit", round(100 * moved))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Four of five weights stand still in each step, and the network learns more slowly than its twin. It is not that bfloat16 computes badly. Forward and backward passes bear it well. The *sum* does not. So mixed
# precision keeps a copy of the weights in float32 for the optimiser, which is where the 16 bytes for each weight of section 13 come from. Another way is to round up or down at random, so that small changes count on average.
# </details>

# %%
quiz("core.bits")
