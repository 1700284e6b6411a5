# %% [markdown]
# ## 6. How it begins
# **Sitting 4 of 8**, 90 minutes, sections 6 and 7. Exercise [[core.optimisers]] must be done, [[core.init]] may be left out.
#
# A network of 20 layers is a product of 20 matrices, with something bent in between. If each of them halves the size of what runs through it, one millionth
# is left at the end. The gradients go the same way back. What decides it is the variance of the first weights.
#
# A number that a linear map gives is a sum of $n$ products. If the weights are independent with mean 0 and variance $v$, its variance is $n v$ times the mean square of the inputs. ReLU
# sets half of the numbers to 0, and half of the mean square is gone. So it takes $v = 2/n$ to keep the size (He et al. 2015), and not $1/n$.
#
# [[formula: Variance of a start | n inputs and m outputs of a map]]
#
# $$v_{\text{Xavier}} = \frac{2}{n + m}, \qquad v_{\text{He}} = \frac{2}{n}$$

# %%
predict("core.depth")

# %%
def signal(deviation, scale=None, n=256, L=20):
    """Mean square of what runs through L layers of width n, from layer 0 on; with `scale` each layer is a branch that is added."""
    g = torch.Generator().manual_seed(seed)
    h = torch.randn(512, n, generator=g)
    squares = [h.pow(2).mean().item()]
    for _ in range(L):
        W = torch.randn(n, n, generator=g) * deviation
        normed = h if scale is None else h / h.pow(2).mean(-1, keepdim=True).sqrt()
        branch = (normed @ W.T).relu()
        h = branch if scale is None else h + scale * branch
        squares.append(h.pow(2).mean().item())
    return squares


n, L = 256, 20
starts = {
    "1/n": signal((1 / n) ** 0.5),
    "2/n": signal((2 / n) ** 0.5),
    "2/n, branches": signal((2 / n) ** 0.5, scale=1),
    "2/n, branches over sqrt(L)": signal((2 / n) ** 0.5, scale=L**-0.5),
}
for name, squares in starts.items():
    print(f"{name:27} after layer 1 {squares[1]:5.2f}, after layer 20 {squares[20]:.2g}")
fig = curves(range(L + 1), starts, x_label="layer", y_label="mean square (log scale)", log="y")
closest = {"about a half": 0.5, "about a twentieth": 0.05, "about a thousandth": 1e-3, "about a millionth": 1e-6}
came_out("core.depth", min(closest, key=lambda option: abs(math.log(starts["1/n"][L] / closest[option]))))
show(fig, "core.depth", **{name: starts[key][20] for name, key in zip(("one", "two", "branches"), starts, strict=False)})

# %% [markdown]
# <details><summary>What happened</summary>
#
# With $1/n$ each layer halves the mean square, and $2^{-20}$ is a millionth. With $2/n$ it stays. Branches that are *added* to a stream never vanish, because the
# stream has a way past all layers. There the mean square grows instead, first with the number of layers and then faster, for each branch has a mean of its own to add. GPT-2
# makes the maps that write to the stream smaller, by the root of their number (Radford et al. 2019, section 2.3).
# </details>

# @@ init

# %% [markdown]
# What does a bad start cost? Here are twenty layers on digits, by plain gradient descent with momentum, from both starts and three seeds.

# %%
def deep(gain, first, width=64, L=20):
    """Twenty layers with ReLU, weights of variance gain / n, biases 0."""
    g, sizes = torch.Generator().manual_seed(first), [784] + [width] * (L - 1) + [10]
    layers = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m), nn.ReLU()]
        nn.init.normal_(layers[-2].weight, std=(gain / n) ** 0.5, generator=g)
        nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])


def train_briefly(network, optimiser, steps, first, batch=128):
    """The loss of each of so many steps."""
    g, losses = torch.Generator().manual_seed(first), []
    for _ in range(5 if profile == "smoke" else steps):
        rows = torch.randint(len(training), (batch,), generator=g)
        loss = F.cross_entropy(network(training.images[rows]), training.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def right(network):
    """The share of the held-out digits that a network reads right."""
    return (network(held_out.images).argmax(1) == held_out.labels).float().mean().item()

# %%
for gain in (1, 2):
    for first in (0, 1, 2):
        network = deep(gain, first)
        losses = train_briefly(network, torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9), 200, first)
        print(f"{gain}/n, seed {first}: loss {losses[0]:.2f} -> {sum(losses[-20:]) / 20:.2f}, {right(network):.0%} of the held-out digits right")

# %% [markdown]
# From $1/n$ next to nothing happens in 200 steps. The loss of 2.30 is $\ln 10$, that of somebody without an opinion. The network is not broken, its gradients
# are a thousand times too small, and a curve alone does not tell. Which quantity does? The size of a step beside the size of what it changes.

# %%
def update_ratios(gain, optimiser_of):
    """For each layer the norm of its first step over the norm of its weights."""
    network = deep(gain, 0)
    maps = [layer for layer in network if isinstance(layer, nn.Linear)]
    before = [layer.weight.detach().clone() for layer in maps]
    g = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(training), (128,), generator=g)
    optimiser = optimiser_of(network.parameters())
    F.cross_entropy(network(training.images[rows]), training.labels[rows]).backward()
    optimiser.step()
    return [((layer.weight - W).norm() / W.norm()).item() for layer, W in zip(maps, before, strict=True)]


sgd, adamw = (lambda ps: torch.optim.SGD(ps, lr=0.01)), (lambda ps: torch.optim.AdamW(ps, lr=1e-3))
ratios = {
    "SGD from 1/n": update_ratios(1, sgd),
    "SGD from 2/n": update_ratios(2, sgd),
    "AdamW from 1/n": update_ratios(1, adamw),
    "AdamW from 2/n": update_ratios(2, adamw),
}
fig = curves(range(1, 21), ratios, x_label="layer", y_label="step over weights (log scale)", log="y")
middle = {name: line[10] for name, line in zip(("sgd_one", "sgd_two", "adamw_one", "adamw_two"), ratios.values(), strict=True)}
show(fig, "core.ratios", **middle)

# %% [markdown]
# A [[term: update-to-weight ratio | the norm of a step over the norm of the weights that it changes]] near a thousandth is a common rule of thumb. It is
# above a hundredth where training is about to break, and at a millionth where nothing happens, whatever the loss says. AdamW divides each gradient by its own size,
# so it does not notice a start that is too small. That is a reason for its fame, and no reason for a bad start.

# %%
quiz("core.start")
