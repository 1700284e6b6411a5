# %% [markdown]
# ### Exercise [[gpt.llama_block]]: A block of today
# core · importance 4 of 5 · 35 minutes · 3 points
#
# [[formula: Llama's block | x, h, y (B, T, D), g (D), a token of width D in each norm]]
#
# $$\begin{aligned}
# h &= x + \operatorname{Attention}(\operatorname{RMSNorm}_1(x)) \\
# y &= h + \operatorname{SwiGLU}(\operatorname{RMSNorm}_2(h)) \\
# \operatorname{RMSNorm}(x) &= g \odot \frac{x}{\sqrt{\frac{1}{D} \sum_j x_j^2 + \text{eps}}} \\
# \operatorname{SwiGLU}(x) &= W_\text{down} \big( \operatorname{SiLU}(W_\text{gate}\, x) \odot W_\text{up}\, x \big)
# \end{aligned}$$
#
# Four changes make a GPT-2 block a block of Llama (Touvron et al. 2023, section 2.2), and SmolLM2's is the same. Write
# it. No map has a bias, and attention is causal.
#
# - **RMSNorm** divides by the root mean square and takes no mean away. Its squares are computed in float32 at least,
#   for 256 squared is already too large for float16. What comes out has the dtype of `x` again.
# - **Rotary positions** turn the queries and keys of every head, as in chapter 2, with speeds base$^{-2i/d}$ for $i = 0
#   \dots d/2 - 1$ and $d = D/H$. Llama's weights are stored for **halves**, so entry $i$ turns with entry $i + d/2$.
# - `G` key/value heads serve `H` query heads. Neighbours share, and head 0 owns the first $d$ rows of each map.
# - **SwiGLU** is a feed-forward network with a gate, of width `F`.
#
# | name | shape |
# |---|---|
# | `input_layernorm`, `post_attention_layernorm` | (D), the two $g$ |
# | `self_attn.q_proj`, `self_attn.o_proj` | (D, D) |
# | `self_attn.k_proj`, `self_attn.v_proj` | (G d, D) |
# | `mlp.gate_proj`, `mlp.up_proj`, `mlp.down_proj` | (F, D), (F, D), (D, F) |
#
# <details><summary>Hint 1</summary>
#
# Take your `Block` from exercise [[gpt.decoder]] and change one thing after another. The norm is in
# torch, and shared heads and the rotation you have written in chapter 2. Only the pairs are others.
# </details>
# <details><summary>Hint 2</summary>
#
# `nn.RMSNorm(D, eps)` computes its squares as the text asks. `nn.ModuleDict({"q_proj": ...})` under the name
# `self_attn` gives the names. `Q.chunk(2, -1)` cuts a vector into its halves, and the angles are (T, d/2).
# </details>
# <details><summary>Hint 3</summary>
#
# With halves `a, b`, the turned vector is `torch.cat([a * cos - b * sin, a * sin + b * cos], -1)`. Compute angles in
# float32 at least, and convert `cos` and `sin` to the dtype of `x`. `F.scaled_dot_product_attention` takes
# `enable_gqa=True`. In `__init__`, the argument `F` hides the module of that name, in `forward` it does not.
# </details>

# %% exercise="gpt.llama_block"
class LlamaBlock(nn.Module):
    """h = x + Attention(RMSNorm(x)), y = h + SwiGLU(RMSNorm(h)), with rotary positions and shared heads."""

    def __init__(self, D: int, H: int, G: int, F: int, base: float, eps: float):
        super().__init__()
        ### BEGIN SOLUTION
        self.d, self.base = D // H, base
        kv = G * self.d
        attention = {"q_proj": (D, D), "k_proj": (D, kv), "v_proj": (D, kv), "o_proj": (D, D)}
        network = {"gate_proj": (D, F), "up_proj": (D, F), "down_proj": (F, D)}
        self.self_attn, self.mlp = (
            nn.ModuleDict({name: nn.Linear(*size, bias=False) for name, size in maps.items()})
            for maps in (attention, network)
        )
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(D, eps), nn.RMSNorm(D, eps)
        ### END SOLUTION

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        ### BEGIN SOLUTION
        n = self.input_layernorm(x)
        Q, K, W = (self.self_attn[f"{part}_proj"](n).unflatten(-1, (-1, self.d)).transpose(1, 2) for part in "qkv")
        i = torch.arange(0, self.d, 2, device=x.device)
        angle = torch.arange(x.shape[1], device=x.device)[:, None] * self.base ** (-i / self.d)  # (T, d/2)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)

        def rotate(X):
            a, b = X.chunk(2, -1)
            return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

        Y = F.scaled_dot_product_attention(rotate(Q), rotate(K), W, is_causal=True, enable_gqa=True)
        h = x + self.self_attn["o_proj"](Y.transpose(1, 2).flatten(2))
        n = self.post_attention_layernorm(h)
        return h + self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](n)) * self.mlp["up_proj"](n))
        ### END SOLUTION

# %% check="gpt.llama_block"
check("gpt.llama_block", LlamaBlock)
