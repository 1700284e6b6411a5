# %% [markdown]
# ### Exercise [[core.scaling_law]]: A scaling law
# challenge · importance 3 of 5 · 40 minutes · 2 points
#
# [[formula: A scaling law | N parameters, D tokens or bytes, L in nats; E, A, B, alpha, beta are fitted]]
#
# $$L(N, D) = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}$$
#
# (Hoffmann et al. 2022, [arXiv 2203.15556](https://arxiv.org/abs/2203.15556), section 3.3.) $E$ is the floor that no
# run reaches. $N$ counts parameters, $D$ what was read, and $L$ is the loss on held-out text in nats.
#
# Write `fit(N, D, L)`, which returns $E, A, B, \alpha, \beta$ in this order, as Python numbers or tensors.
#
# - `N`, `D` and `L` are float64 tensors of 12 to 40 runs, which you do not change.
# - $N$ and $D$ go from a thousand to a trillion. All five numbers are above 0.
# - The runs may be a grid of sizes and lengths, or all differ.
#
# The law is judged by the losses that it predicts for larger runs, up to ten times $N$ or $D$, and for one as small as the smallest. Where losses follow a
# law exactly it may be off by 0.5%, and where each loss is off by about 0.1%, as measured ones are, by 2%.
#
# <details><summary>Hint 1</summary>
#
# If somebody told you $\alpha$ and $\beta$, how would you find $E$, $A$ and $B$? And how large are $N^{-\alpha}$ and
# $A$, for a million parameters?
# </details>
# <details><summary>Hint 2</summary>
#
# There are two good ways. In the first, for each pair of exponents on a grid a linear least squares problem gives $E$,
# $A$, $B$, and the pair with the smallest error wins. Look around it with a finer grid. In the second, which is the
# paper's, L-BFGS searches for $\ln E$, $\ln A$, $\ln B$, $\alpha$, $\beta$ from several starts, and compares logarithms
# of losses.
# </details>
# <details><summary>Hint 3</summary>
#
# With `X = torch.stack([torch.ones_like(N), N**-alpha, D**-beta], 1) / L[:, None]` and
# `y = torch.ones_like(L)[:, None]`, `torch.linalg.lstsq(X, y).solution` holds $E$, $A$ and $B$ with the smallest relative errors. A grid in steps of 0.1
# is too coarse. Four rounds are enough, each around the best pair and with a fifth of the step.
# </details>

# %% exercise="core.scaling_law"
def fit(N: Float[Tensor, "n"], D: Float[Tensor, "n"], L: Float[Tensor, "n"]) -> tuple[float, ...]:
    """E, A, B, alpha, beta of the law E + A / N^alpha + B / D^beta that comes nearest to the losses L."""
    ### BEGIN SOLUTION
    def solved(alpha, beta):
        X = torch.stack([torch.ones_like(N), (N / N.min()) ** -alpha, (D / D.min()) ** -beta], 1) / L[:, None]
        numbers = torch.linalg.lstsq(X, torch.ones_like(L)[:, None]).solution[:, 0]  # (3)
        error = (X @ numbers - 1).square().sum().item()
        return (error if numbers.min() >= 0 else math.inf), numbers.tolist()

    alpha, beta, step = 0.6, 0.6, 0.1
    for _ in range(6):
        near = [(alpha + i * step, beta + j * step) for i in range(-5, 6) for j in range(-5, 6)]
        alpha, beta = min((pair for pair in near if min(pair) > 0), key=lambda pair: solved(*pair)[0])
        step /= 4
    E, A, B = solved(alpha, beta)[1]
    return E, A * N.min().item() ** alpha, B * D.min().item() ** beta, alpha, beta
    ### END SOLUTION

# %% check="core.scaling_law"
check("core.scaling_law", fit)
