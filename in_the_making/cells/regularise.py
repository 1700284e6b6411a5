# %% [markdown]
# ### Exercise [[core.regularise]]: Mend this code, three ways to regularise
# core · importance 4 of 5 · 30 minutes · 3 points
#
# Mend these three functions as `dropout`, `decay_groups` and `average_`. Each is paid for by itself.
#
# - `dropout(x, p, training, g)`: in training each entry of `x`, of any shape, becomes 0 with chance $p$, drawn by
#   itself from `g`, and the others are divided by $1 - p$. With $p = 1$ all is 0. In evaluation nothing changes.
#   Gradients flow, `x` itself stays as it is, and shape and device are those of `x`.
# - `decay_groups(model)` gives two lists of parameters. What has two dimensions or more decays (matrices, embeddings,
#   kernels), and no vector does (biases, norms of all types), nor a lone number. Each parameter is in one list, once.
#   A frozen one is in none. The model stays as it is.
# - `average_(shadow, model, beta, step)` sets $s \leftarrow b\,s + (1 - b)\,\theta$ with
#   $b = \min(\beta, (1 + n) / (10 + n))$, where $n$ is `step`, counted from 0 (the rule of TensorFlow's
#   `ExponentialMovingAverage`). Parameters and floating-point buffers are averaged, other buffers copied. A weight
#   under two names is averaged once, and a frozen one like others. The shadow keeps its Parameters. `model` is only read
#   (its mode too), and shares no tensor with the shadow.
#
# <details><summary>Hint 1</summary>
#
# Read the printed lines. What is the mean of ones after dropout, and how many different rows are there? Which
# names in the list should not be there? Which of the two counts is right?
# </details>
# <details><summary>Hint 2</summary>
#
# A mask needs as many draws as `x` has entries. A parameter's `ndim` tells more than its name. `state_dict()` gives a
# weight under every name that it has, `parameters()` and `buffers()` give it once.
# </details>
# <details><summary>Hint 3</summary>
#
# `torch.rand(x.shape, generator=g, device=x.device) >= p` keeps with chance $1 - p$. Look at `p.requires_grad` and
# `p.ndim`. In `average_` go through `zip(shadow.parameters(), model.parameters())`, and then through the buffers,
# where `is_floating_point()` decides.
# </details>

# %%
def given_dropout(x, p, training, g):
    mask = torch.rand(x.shape[-1], generator=g, device=x.device) < p
    return x * mask


def given_groups(model):
    decay, no_decay = [], []
    for name, p in model.named_parameters(remove_duplicate=False):
        (no_decay if name.endswith("bias") else decay).append(p)
    return decay, no_decay


@torch.no_grad()
def given_average(shadow, model, beta, step):
    for old, new in zip(shadow.state_dict().values(), model.state_dict().values(), strict=True):
        old.copy_(beta * old + (1 - beta) * new)

# %%
import copy

y = given_dropout(torch.ones(4, 1000), 0.2, True, torch.Generator().manual_seed(seed))
print(f"mean of 4,000 ones after dropout {y.mean():.2f}, different rows: {len(y.unique(dim=0))} of 4")

tied = nn.ModuleDict({"tokens": nn.Embedding(9, 4), "norm": nn.BatchNorm1d(4), "head": nn.Linear(4, 9)})
tied["head"].weight = tied["tokens"].weight
names = {p: name for name, p in tied.named_parameters()}
print("decay:", [names[p] for p in given_groups(tied)[0]])

shadow = copy.deepcopy(tied)
tied["norm"].num_batches_tracked += 40
given_average(shadow, tied, 0.9, 0)
counts = [one["norm"].num_batches_tracked.item() for one in (tied, shadow)]
print("steps that the model and its shadow count:", counts)

# %% exercise="core.regularise"
def dropout(x: Tensor, p: float, training: bool, g: torch.Generator) -> Tensor:
    """Each entry 0 with chance p, others over 1 - p, while training; else x."""
    ### BEGIN SOLUTION
    if not training:
        return x
    kept = torch.rand(x.shape, generator=g, device=x.device) >= p
    return x * kept / (1 - p) if p < 1 else x * 0
    ### END SOLUTION


def decay_groups(model: nn.Module) -> tuple[list, list]:
    """Parameters that decay, and those that do not."""
    ### BEGIN SOLUTION
    trained = [p for p in model.parameters() if p.requires_grad]
    return [p for p in trained if p.ndim >= 2], [p for p in trained if p.ndim < 2]
    ### END SOLUTION


def average_(shadow: nn.Module, model: nn.Module, beta: float, step: int) -> None:
    """s <- b s + (1 - b) theta, with b = min(beta, (1 + step) / (10 + step))."""
    ### BEGIN SOLUTION
    b = min(beta, (1 + step) / (10 + step))
    with torch.no_grad():
        for s, theta in zip(shadow.parameters(), model.parameters(), strict=True):
            s.copy_(b * s + (1 - b) * theta)
        for s, theta in zip(shadow.buffers(), model.buffers(), strict=True):
            s.copy_(b * s + (1 - b) * theta if s.is_floating_point() else theta)
    ### END SOLUTION

# %% check="core.regularise"
check("core.regularise", dropout, decay_groups, average_)
