# %% [markdown]
# ### Exercise [[gpt.decoder]]: A decoder
# core · importance 5 of 5 · 40 minutes · 4 points
#
# [[formula: GPT-2 | h (B, n, D), logits (B, n, V)]]
#
# $$\begin{aligned}
# h_0 &= E[\text{ids}] + P[0, \dots, n - 1] \\
# h' &= h + \operatorname{MultiHead}(\operatorname{Norm}_1(h)) \\
# h'' &= h' + \operatorname{FFN}(\operatorname{Norm}_2(h')) \qquad \text{both lines } L \text{ times} \\
# \text{logits} &= \operatorname{Norm}(h_L)\, E^\top
# \end{aligned}$$
#
# Write `GPT` as GPT-2 has it (Radford et al. 2019, section 2.3). Attention is causal, so place $i$ sees the places up
# to and including $i$. Between `up` and `down` stands the **tanh form of GELU**. Norms are layer norms with epsilon
# $10^{-5}$. A text has any length $n \le T$. The scores come from the embedding itself, the tied weights of chapter 3,
# without a bias. The check loads weights by the names below, and GPT-2's own will fit in as well.
#
# | name | shape | |
# |---|---|---|
# | `tokens`, `positions` | (V, D), (T, D) | $E$ and $P$ |
# | `blocks.0.norm1`, `blocks.0.norm2`, `norm` | (D), (D) | weight and bias |
# | `blocks.0.qkv` | (3D, D), (3D) | queries, keys, values one below the other; head 0 owns the first $d$ rows of each |
# | `blocks.0.out` | (D, D), (D) | what the heads give goes through it |
# | `blocks.0.up`, `blocks.0.down` | (4D, D), (4D); (D, 4D), (D) | the feed-forward network |
#
# <details><summary>Hint 1</summary>
#
# You have written all of it in chapter 2, the block too. What is new is what stands around the blocks. `Block` is there
# for your own order, and the check asks for `GPT` alone.
# </details>
# <details><summary>Hint 2</summary>
#
# `nn.ModuleList(Block(D, H) for _ in range(L))` under the name `blocks` gives the names. `qkv(x).chunk(3, -1)` gives
# queries, keys and values, each (B, n, D). Then come `unflatten`, `transpose` and attention as in chapter 2.
# </details>
# <details><summary>Hint 3</summary>
#
# `F.scaled_dot_product_attention(Q, K, W, is_causal=True)` is all of the attention, `F.gelu(x, approximate="tanh")` the
# right GELU. The last line of `forward` is `self.norm(h) @ self.tokens.weight.T`.
# </details>

# %% exercise="gpt.decoder"
class Block(nn.Module):
    """One block: attention and a feed-forward network read the normalised stream h and add to it."""

    def __init__(self, D: int, H: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.H = H
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        ### END SOLUTION

    def forward(self, h: Float[Tensor, "B n D"]) -> Float[Tensor, "B n D"]:
        ### BEGIN SOLUTION
        Q, K, W = (x.unflatten(-1, (self.H, -1)).transpose(1, 2) for x in self.qkv(self.norm1(h)).chunk(3, -1))
        Y = F.scaled_dot_product_attention(Q, K, W, is_causal=True)  # (B, H, n, d)
        h = h + self.out(Y.transpose(1, 2).flatten(2))            # (B, n, D)
        return h + self.down(F.gelu(self.up(self.norm2(h)), approximate="tanh"))
        ### END SOLUTION


class GPT(nn.Module):
    """Logits (B, n, V) for the token that follows each place of a text ids (B, n), n <= T."""

    def __init__(self, V: int, T: int, D: int, H: int, L: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.tokens, self.positions = nn.Embedding(V, D), nn.Embedding(T, D)
        self.blocks = nn.ModuleList(Block(D, H) for _ in range(L))
        self.norm = nn.LayerNorm(D)
        ### END SOLUTION

    def forward(self, ids: Int[Tensor, "B n"]) -> Float[Tensor, "B n V"]:
        ### BEGIN SOLUTION
        h = self.tokens(ids) + self.positions.weight[: ids.shape[1]]  # (B, n, D)
        for block in self.blocks:
            h = block(h)
        return self.norm(h) @ self.tokens.weight.T                # (B, n, V)
        ### END SOLUTION

# %% check="gpt.decoder"
check("gpt.decoder", GPT)
