# %%
def turn(x: Float[Tensor, "... T r"], positions: Int[Tensor, "T"]) -> Float[Tensor, "... T r"]:
    """Rotary positions as in chapter 2: neighbours 2i and 2i + 1 turned by position * 10000^(-2i/r)."""
    r = x.shape[-1]
    angle = positions[:, None] * 10000.0 ** (-torch.arange(0, r, 2, device=x.device) / r)  # (T, r/2)
    turned = torch.complex(x[..., 0::2], x[..., 1::2]) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(turned).flatten(-2)

# %% [markdown]
# ### Exercise [[gpt.latent]]: A latent cache
# challenge · importance 2 of 5 · 45 minutes · 2 points
#
# Shared heads make the cache smaller by making heads alike. **Multi-head latent attention** makes it smaller still and
# keeps them apart (DeepSeek-AI 2024, section 2.1). Of each token the cache holds a **latent vector** of $c$ numbers, of
# which the keys and values of all heads are linear maps, and one key of $r$ numbers that turns and is shared by all
# heads. Here is head $i$.
#
# [[formula: Latent attention | x (D), latent l (c), keys and values (d), the turned key (r)]]
#
# $$\begin{aligned}
# [\, l_t \,;\, \kappa_t \,] &= W_\text{down}\, x_t & k_t &= [\, U_i\, l_t \,;\, \operatorname{turn}(\kappa_t, t) \,] \\
# [\, a_t \,;\, b_t \,] &= W_{q,i}\, x_t & q_t &= [\, a_t \,;\, \operatorname{turn}(b_t, t) \,] \\
# v_t &= V_i\, l_t & y_t &= \sum_{s \le t} \operatorname{softmax}_s\big( q_t^\top k_s / \sqrt{d + r} \big)\, v_s
# \end{aligned}$$
#
# - `forward(x)` gives (B, T, D) for the whole text, computed as above or otherwise. The $y$ of the heads stand side by
#   side and go through `out`.
# - `step(x, cache)` takes the next token (B, 1, D) and the cache (B, n, c + r) of the $n$ tokens before it. It gives
#   what `forward` gives at this place, (B, 1, D), and a cache with one row more. A row holds $l_t$ and then the turned
#   $\kappa_t$. Positions count from 0, and the given cache stays as it is.
# - `step` never makes the keys or values of the whole text, nor those of one head. It works in the **absorbed** form,
#   which takes no more than $a^\top (U_i\, l) = (U_i^\top a)^\top l$ and the same thought for $V_i$. The check watches
#   how large the tensors become.
#
# `turn` above is chapter 2's rotation, for `x` of shape (..., T, r) and positions (T). No map has a bias.
#
# | name | shape | |
# |---|---|---|
# | `q` | (H (d + r), D) | $W_{q,i}$ of head after head, $d$ rows and then $r$ |
# | `down` | (c + r, D) | $W_\text{down}$ |
# | `up_k`, `up_v` | (H d, c) | $U_i$ and $V_i$ of head after head |
# | `out` | (D, H d) | |
#
# <details><summary>Hint 1</summary>
#
# Write `forward` first. It is multi-head attention whose keys are put together from two parts, and the second part is
# the same in all heads. Then feed it token by token, and ask of each line of `step` how large its result is.
# </details>
# <details><summary>Hint 2</summary>
#
# `up_k.weight.view(H, d, c)` holds the $U_i$. With `a` as (B, H, 1, d), the product `a @ up_k.weight.view(H, d, c)` is
# (B, H, 1, c), a query for latent vectors. They are (B, n, c), and `[:, None]` gives them a dimension for the heads.
# </details>

# %% exercise="gpt.latent"
class LatentAttention(nn.Module):
    """H heads of width d whose keys and values come from c numbers a token; r more turn with the position."""

    def __init__(self, D: int, H: int, d: int, c: int, r: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.H, self.d, self.c, self.r = H, d, c, r
        self.q, self.down = nn.Linear(D, H * (d + r), bias=False), nn.Linear(D, c + r, bias=False)
        self.up_k, self.up_v = nn.Linear(c, H * d, bias=False), nn.Linear(c, H * d, bias=False)
        self.out = nn.Linear(H * d, D, bias=False)

    def read(self, x, first):
        """Both parts of the queries, (B, H, T, d) and (B, H, T, r), and the rows for the cache, (B, T, c + r)."""
        at = torch.arange(first, first + x.shape[1], device=x.device)
        a, b = self.q(x).unflatten(-1, (self.H, -1)).transpose(1, 2).split([self.d, self.r], -1)
        l, k = self.down(x).split([self.c, self.r], -1)
        return a, turn(b, at), torch.cat([l, turn(k, at)], -1)

    def attend(self, a, b, rows, hidden):
        """Queries and values go to the latent vectors, not the vectors to them."""
        U, W = (up.weight.view(self.H, self.d, self.c) for up in (self.up_k, self.up_v))
        l, k = rows[:, None].split([self.c, self.r], -1)          # (B, 1, n, c) and (B, 1, n, r)
        S = ((a @ U) @ l.mT + b @ k.mT) / (self.d + self.r) ** 0.5  # (B, H, T, n)
        Y = S.masked_fill(hidden, float("-inf")).softmax(-1) @ l @ W.mT  # (B, H, T, d)
        return self.out(Y.transpose(1, 2).flatten(2))
        ### END SOLUTION

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        ### BEGIN SOLUTION
        T = x.shape[1]
        future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        return self.attend(*self.read(x, 0), future)
        ### END SOLUTION

    def step(
        self, x: Float[Tensor, "B 1 D"], cache: Float[Tensor, "B n c+r"]
    ) -> tuple[Float[Tensor, "B 1 D"], Float[Tensor, "B n+1 c+r"]]:
        ### BEGIN SOLUTION
        a, b, row = self.read(x, cache.shape[1])
        cache = torch.cat([cache, row], 1)
        return self.attend(a, b, cache, torch.zeros((), dtype=torch.bool, device=x.device)), cache
        ### END SOLUTION

# %% check="gpt.latent"
check("gpt.latent", LatentAttention)
