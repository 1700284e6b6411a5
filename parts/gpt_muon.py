# %% [markdown]
# ### Exercise [[gpt.muon]]: Muon
# core · importance 2 of 5 · 25 minutes · 2 points
#
# Gradients of matrices are lopsided. A few singular values are large, most are small, and a step along such a gradient
# hardly moves the directions that are small. **Muon** takes the momentum and makes all singular values about 1 (Jordan
# et al. 2024). It keeps the singular vectors, and needs no decomposition, only products. It is used for the matrices
# inside the blocks, while embeddings and norms stay with AdamW.
#
# [[formula: Muon | G, M, W (m, n), rate η, momentum μ]]
#
# $$\begin{aligned}
# X &\leftarrow G / (\lVert G \rVert_F + 10^{-7}) \\
# A &= X X^\top, \quad X \leftarrow a X + (b A + c A A) X \qquad \text{five times} \\
# M &\leftarrow \mu M + G, \quad
# W \leftarrow W - \eta \sqrt{\max(1, m/n)}\; \operatorname{orthogonalise}(G + \mu M)
# \end{aligned}$$
#
# - `orthogonalise(G)` is $X$ after five **Newton-Schulz steps** with $a, b, c = 3.4445, -4.7750, 2.0315$. It computes
#   in the dtype of $G$. A gradient of zeros gives zeros.
# - $A$ has the size of the smaller side. Turn a matrix with more rows than columns over first, and the result back at
#   the end. The check watches how large the tensors become.
# - `muon_step(W, G, M, rate, momentum)` changes the Parameter $W$ and the momentum $M$ in place. It returns nothing.
#   With the new $M$, $G + \mu M$ looks a step ahead, which is **Nesterov's momentum**. $G$ stays as it is.
#
# <details><summary>Hint 1</summary>
#
# With $X = U S V^\top$, what is $X X^\top X$? The steps never touch $U$ and $V$. They apply $a s + b s^3 + c s^5$ to
# each singular value, and for $s \le 1$ that drives all of them towards 1.
# </details>
# <details><summary>Hint 2</summary>
#
# The formula is the code, with `@` for products. `G.norm()` is the Frobenius norm. `M.mul_(momentum).add_(G)` works in
# place.
# </details>
# <details><summary>Hint 3</summary>
#
# A Parameter may be changed in place under `@torch.no_grad()`. `X.mT if G.shape[0] > G.shape[1] else X` serves before
# the steps and behind them.
# </details>

# %% exercise="gpt.muon"
def orthogonalise(G: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """U S' V^T for G = U S V^T, with all singular values S' about 1: five Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    ### BEGIN SOLUTION
    tall = G.shape[0] > G.shape[1]
    X = G / (G.norm() + 1e-7)
    X = X.mT if tall else X
    for _ in range(5):
        A = X @ X.mT                                              # of the smaller side
        X = a * X + (b * A + c * A @ A) @ X
    return X.mT if tall else X
    ### END SOLUTION


def muon_step(W: nn.Parameter, G: Float[Tensor, "m n"], M: Float[Tensor, "m n"], rate: float, momentum: float) -> None:
    """One step of a matrix in place: W against the orthogonalised momentum, which looks ahead."""
    ### BEGIN SOLUTION
    m, n = W.shape
    with torch.no_grad():
        M.mul_(momentum).add_(G)
        W -= rate * max(1, m / n) ** 0.5 * orthogonalise(G + momentum * M)
    ### END SOLUTION

# %% check="gpt.muon"
check("gpt.muon", orthogonalise, muon_step)
