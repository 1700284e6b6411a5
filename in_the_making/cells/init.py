# %% [markdown]
# ### Exercise [[core.init]]: How a layer begins
# core · importance 4 of 5 · 15 minutes · 3 points
#
# Write `init_`, which begins an `nn.Linear` with $n$ inputs and $m$ outputs by one of three rules.
#
# | `kind` | deviation of the weights | from |
# |---|---|---|
# | `"xavier"` | $\sqrt{2 / (n + m)}$ | Glorot and Bengio 2010, equation 12 |
# | `"he"` | $\sqrt{2 / n}$ | He et al. 2015, equation 10 |
# | `"residual"` | $0.02 / \sqrt{2 L}$ | Radford et al. 2019, section 2.3 |
#
# `layers` is $L$, the number of blocks. It is given with every `kind` and counts for `"residual"` alone.
#
# - The weights have mean 0, and each is drawn by itself, from a normal, a truncated normal or a uniform distribution, as you like.
# - The bias is 0, whatever it was before. A layer may have none (`layer.bias` is `None`).
# - All random numbers come from `generator` as it stands, so a second call draws other numbers.
# - The layer keeps its Parameters. A frozen layer stays frozen.
# - Layers come in float32 and float64.
#
# The check measures what you draw into 20 layers, and sends a signal through them.
#
# <details><summary>Hint 1</summary>
#
# A layer adds up $n$ products. Which of the two sizes of `layer.weight` is $n$?
# </details>
# <details><summary>Hint 2</summary>
#
# `weight.shape` is $(m, n)$, for the layer computes $x W^\top$. First find the standard deviation for the `kind`, and
# then draw once. `normal_` asks for a standard deviation, and not for a variance. A uniform distribution between $-a$
# and $a$ has the deviation $a / \sqrt 3$.
# </details>
# <details><summary>Hint 3</summary>
#
# `nn.init.normal_(layer.weight, std=deviation, generator=generator)` draws in place and records no gradient.
# `nn.init.zeros_` does the same for a bias.
# </details>

# %% exercise="core.init"
def init_(layer: nn.Linear, kind: str, generator: torch.Generator, layers: int) -> None:
    """Begin a layer: deviation sqrt(2 / (n + m)), sqrt(2 / n) or 0.02 / sqrt(2 L), bias 0."""
    ### BEGIN SOLUTION
    m, n = layer.weight.shape
    variance = {"xavier": 2 / (n + m), "he": 2 / n, "residual": 0.02**2 / (2 * layers)}[kind]
    nn.init.normal_(layer.weight, std=variance**0.5, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    ### END SOLUTION

# %% check="core.init"
check("core.init", init_)
