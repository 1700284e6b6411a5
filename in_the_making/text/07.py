# %% [markdown]
# ## 7. Steps
# The gradient says in which direction the loss of *this batch* falls fastest. Introductory texts write the rule of learning as
#
# $$\theta_{t+1} = \theta_t - \eta_t \nabla L(\theta_t).$$
#
# That is gradient descent, and hardly anybody uses it. $\nabla L$ is the gradient of a batch and not of all data, so every step is noisy. What is missing are a
# memory of earlier gradients (**momentum**), a scale for each number (**Adam**), and a pull towards 0 (**weight decay**).
#
# [[formula: SGD with momentum mu and decay lambda, as torch has it | all of the shape of w; Nesterov steps along g + mu b]]
#
# $$g \leftarrow \nabla L + \lambda w, \qquad b \leftarrow \mu b + g, \qquad w \leftarrow w - \eta\, b$$
#
# [[formula: AdamW | t counts the steps of this parameter, from 1]]
#
# $$\begin{aligned}
# w &\leftarrow (1 - \eta \lambda)\, w, \qquad m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
# w &\leftarrow w - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}
# \end{aligned}$$
#
# In AdamW (Loshchilov and Hutter 2019) the decay stands outside. In Adam with an L2 penalty it goes through the division by $\sqrt v$, and weights with large gradients
# decay least. The two divisions by $1 - \beta^t$ are the [[term: bias correction | averages that begin at 0 are divided by the weight that they have
# gathered so far]].

# %%
predict("core.first_step")

# %%
def step_sizes(correct, steps=20, beta1=0.9, beta2=0.999, eps=1e-8):
    """Root mean square of Adam's first steps on a small network, in units of the rate of 0.001, with or without correction."""
    network = deep(2, 0, L=2)
    g, sizes = torch.Generator().manual_seed(seed), []
    m, v = ([torch.zeros_like(p) for p in network.parameters()] for _ in range(2))
    for t in range(1, steps + 1):
        rows = torch.randint(len(training), (128,), generator=g)
        loss = F.cross_entropy(network(training.images[rows]), training.labels[rows])
        moved = []
        for i, (p, gradient) in enumerate(zip(network.parameters(), torch.autograd.grad(loss, network.parameters()), strict=True)):
            m[i] = beta1 * m[i] + (1 - beta1) * gradient
            v[i] = beta2 * v[i] + (1 - beta2) * gradient**2
            unbias = (1 - beta1**t, 1 - beta2**t) if correct else (1, 1)
            u = m[i] / unbias[0] / ((v[i] / unbias[1]).sqrt() + eps)
            p.data -= 0.001 * u
            moved.append(u[v[i] > 0])                             # pixels that are always 0 have no gradient
        sizes.append(torch.cat(moved).pow(2).mean().sqrt().item())
    return sizes


sizes = {"with correction": step_sizes(True), "without": step_sizes(False)}
came_out("core.first_step", round(sizes["without"][0], 2))
fig = curves(range(1, 21), sizes, x_label="step", y_label="size of a step / rate", marker="o")
show(fig, "core.first_step", corrected=sizes["with correction"][0], without=sizes["without"][0], most=max(sizes["without"]))

# %% [markdown]
# <details><summary>What happened</summary>
#
# After one gradient, $m = 0.1\, g$ and $v = 0.001\, g^2$. Without correction the step is $0.1 / \sqrt{0.001} = 3.2$ rates long, and it stays too long for hundreds of
# steps, since $v$ needs a thousand to fill. With correction each number moves by exactly one rate at first, whatever its gradient.
# </details>

# %% [markdown]
# ### Exercise [[core.optimisers]]: SGD and AdamW
# core · importance 5 of 5 · 35 minutes · 4 points
#
# Write both as classes. `params` can be anything that gives parameters once, as `model.parameters()` does.
#
# - `SGD(params, lr, momentum, nesterov, weight_decay)` and `AdamW(params, lr, betas, eps, weight_decay)` do what the formulas say when `step()` is called.
# - The rate is looked up in `self.lr` at each step, because a schedule sets it from outside.
# - A parameter whose gradient is `None` is left alone in this step. Nothing of it decays, and its averages and its $t$ stay what they were. It may get its first gradient late. A
#   gradient of zeros is a gradient.
# - The parameters themselves get the new numbers, and gradients keep theirs. A step is no part of any graph. Two optimisers have nothing in common.
#
# <details><summary>Hint 1</summary>
#
# What has to be remembered from step to step, and for whom? When does $t$ of a parameter begin?
# </details>
# <details><summary>Hint 2</summary>
#
# One dictionary for each parameter keeps its averages and its $t$. Write `step` with `@torch.no_grad()`, and leave out what has no gradient before anything else.
# </details>
# <details><summary>Hint 3</summary>
#
# For AdamW, `p.mul_(1 - self.lr * self.weight_decay)` comes first. Then $m$, $v$, both divided, and `p.sub_(self.lr * m / (v.sqrt() + eps))` with the divided ones. Keep the undivided
# ones.
# </details>

# %% exercise="core.optimisers"
class SGD:
    """w <- w - lr b with b <- momentum b + g and g <- gradient + weight_decay w; Nesterov: g + momentum b for b."""

    def __init__(self, params, lr: float, momentum: float, nesterov: bool, weight_decay: float):
        ### BEGIN SOLUTION
        self.params, self.lr = list(params), lr
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.b = [torch.zeros_like(p) for p in self.params]
        ### END SOLUTION

    @torch.no_grad()
    def step(self) -> None:
        ### BEGIN SOLUTION
        for p, b in zip(self.params, self.b, strict=True):
            if p.grad is not None:
                g = p.grad + self.weight_decay * p
                b.mul_(self.momentum).add_(g)
                p.sub_(self.lr * (g + self.momentum * b if self.nesterov else b))
        ### END SOLUTION


class AdamW:
    """Decay, then a step along m / (sqrt(v) + eps) with both averages corrected for their beginning at 0."""

    def __init__(self, params, lr: float, betas: tuple[float, float], eps: float, weight_decay: float):
        ### BEGIN SOLUTION
        self.params, self.lr, self.betas, self.eps, self.weight_decay = list(params), lr, betas, eps, weight_decay
        self.states = [{"m": torch.zeros_like(p), "v": torch.zeros_like(p), "t": 0} for p in self.params]
        ### END SOLUTION

    @torch.no_grad()
    def step(self) -> None:
        ### BEGIN SOLUTION
        for p, state in zip(self.params, self.states, strict=True):
            if p.grad is not None:
                state["t"] += 1
                state["m"].lerp_(p.grad, 1 - self.betas[0])
                state["v"].lerp_(p.grad**2, 1 - self.betas[1])
                m, v = (state[name] / (1 - beta ** state["t"]) for name, beta in zip("mv", self.betas, strict=True))
                p.mul_(1 - self.lr * self.weight_decay)
                p.sub_(self.lr * m / (v.sqrt() + self.eps))
        ### END SOLUTION

# %% check="core.optimisers"
check("core.optimisers", SGD, AdamW)

# %% [markdown]
# On a network the same start and the same batches lead to the same place, whether yours steps or torch's.

# %%
MySGD, MyAdamW = use("core.optimisers", SGD, AdamW)
both = {
    "SGD": (lambda ps: MySGD(ps, 0.05, 0.9, True, 1e-3), lambda ps: torch.optim.SGD(ps, 0.05, 0.9, nesterov=True, weight_decay=1e-3)),
    "AdamW": (lambda ps: MyAdamW(ps, 1e-3, (0.9, 0.999), 1e-8, 0.1), lambda ps: torch.optim.AdamW(ps, 1e-3, weight_decay=0.1)),
}
for name, makers in both.items():
    ends = []
    for make in makers:
        network = deep(2, 0, L=2)
        optimiser = make(network.parameters())
        optimiser.zero_grad = network.zero_grad                   # yours need not have it
        losses = train_briefly(network, optimiser, 50, 0)
        ends.append(losses[-1])
    print(f"{name}: loss after 50 steps {ends[0]:.4f} with yours, {ends[1]:.4f} with torch's")
    assert abs(ends[0] - ends[1]) < 0.01, "found another path than torch's"

# %% [markdown]
# Two numbers are enough to see what they do. The widget draws a loss over two numbers and the paths from one start. Look for the highest rate that each of them bears, and then add noise.

# @@ landscape

# %% [markdown]
# ### A look at Muon
# Adam treats a matrix as a heap of single numbers. Muon (Jordan et al. 2024) takes the momentum of a matrix as a matrix $M = U \Sigma V^\top$ and steps along $U V^\top$, so all directions
# in it count alike. It never computes the decomposition. Five products of matrices come near enough, and chapter 4 has them as an exercise. Why that
# should help is seen in the singular values.

# %%
network = deep(2, 0, L=3)
optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.95)
train_briefly(network, optimiser, 30, 0)
M = optimiser.state[network[2].weight]["momentum_buffer"]         # (64, 64), of the map in the middle
sigma = torch.linalg.svdvals(M)
share = (sigma[:6] ** 2).sum() / (sigma**2).sum()
print(f"6 of {len(sigma)} directions hold {share:.1%} of the square of the momentum; the last half holds {(sigma[32:] ** 2).sum() / (sigma**2).sum():.1e}")

# %% [markdown]
# Nearly the whole step goes into a handful of directions, and what a map could learn in the others is drowned. After the orthogonalisation each of the 64 gets one 64th.
# What this brings was measured in open runs of language models, and in section 10 of chapter 4.

# %%
quiz("core.adam")
