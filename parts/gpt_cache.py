# %% [markdown]
# ### Exercise [[gpt.cache]]: A cache
# core · importance 5 of 5 · 45 minutes · 4 points
#
# To write one more token, `GPT` reads the whole text anew. Yet the keys and values of a token depend on nothing that
# comes after it. So they are computed once and kept, in the **KV cache** of chapter 2 (Shazeer 2019). Each call then
# computes its new tokens alone, and they read the past from the cache. Write both, the room and the call.
#
# - `Cache(L, B, H, S, d, dtype, device)` has room for the keys and values of $S$ tokens, in $L$ layers, for $B$ texts
#   and $H$ heads of width $d$. It is empty at first. What is in it, and what it is called, is yours to choose.
# - `forward_cached(model, ids, cache, real)` gives the logits of $t$ new tokens, `ids` (B, t). They stand behind the
#   $n$ places that the cache holds, and afterwards it holds $n + t$. The first call, with many tokens, is the
#   **prefill**. Later ones bring one token each, or a few.
# - Texts of unequal length are padded on the left, and so is what is added to them later. `real` (B, n + t) says which
#   of *all* places hold a token. No token sees padding, whatever id stands there. A token's position is the number of
#   real tokens before it. The logits of padding are not looked at.
#
# The logits of the real tokens are those that `GPT` gives for the text alone. `model` has the parts of [[gpt.decoder]]
# under their names, such as `model.blocks[0].qkv`, and no `forward`. Its heads are those of the cache. The check
# calls you under `torch.no_grad()`. A call for one token makes no tensor that is as large as the keys of the past in
# one layer, not even half as large, so nothing of the past is copied or computed again.
#
# <details><summary>Hint 1</summary>
#
# Write down `real` for two rows of 4 and 2 tokens, then one more token each. Which position has each place? Which keys
# may each of the new tokens see? A table of places against places shows that there is one rule for prefill, chunks and
# single tokens.
# </details>
# <details><summary>Hint 2</summary>
#
# Make `keys` and `values` (L, B, H, S, d) once, with `torch.zeros`, and write into `keys[layer][:, :, n : n + t]`. A
# slice of a tensor is no copy. The positions come from `real.cumsum(1)`. A query at place i sees the keys at places
# up to i that are real. A padded query may see nothing at all, and its NaN would spread. Let it see itself.
# </details>
# <details><summary>Hint 3</summary>
#
# With `place = torch.arange(n + t)` the mask is `real[:, None] & (place <= place[n:, None]) | (place == place[n:,
# None])`, of shape (B, t, n + t). `F.scaled_dot_product_attention(Q, keys, values, attn_mask=mask[:, None])` does the
# rest. The number n grows once, after the last layer.
# </details>

# %% exercise="gpt.cache"
class Cache:
    """Room for the keys and values of S tokens in each of L layers, B texts and H heads of width d."""

    def __init__(self, L: int, B: int, H: int, S: int, d: int, dtype: torch.dtype, device: torch.device):
        ### BEGIN SOLUTION
        self.keys, self.values = torch.zeros(2, L, B, H, S, d, dtype=dtype, device=device)
        self.n = 0                                                # places that are taken
        ### END SOLUTION


def forward_cached(
    model: nn.Module, ids: Int[Tensor, "B t"], cache: Cache, real: Bool[Tensor, "B n+t"]
) -> Float[Tensor, "B t V"]:
    """Logits of t new tokens behind the n that the cache holds; it holds n + t afterwards."""
    ### BEGIN SOLUTION
    n, m = cache.n, cache.n + ids.shape[1]
    positions = (real.cumsum(1) - 1).clamp(min=0)[:, n:]          # (B, t)
    place = torch.arange(m, device=ids.device)
    mask = real[:, None] & (place <= place[n:, None]) | (place == place[n:, None])
    h = model.tokens(ids) + model.positions(positions)            # (B, t, D)
    for block, keys, values in zip(model.blocks, cache.keys, cache.values):
        new = block.qkv(block.norm1(h)).unflatten(-1, (3, keys.shape[1], -1))
        Q, keys[:, :, n:m], values[:, :, n:m] = new.permute(2, 0, 3, 1, 4)
        Y = F.scaled_dot_product_attention(Q, keys[:, :, :m], values[:, :, :m], attn_mask=mask[:, None])
        h = h + block.out(Y.transpose(1, 2).flatten(2))
        h = h + block.down(F.gelu(block.up(block.norm2(h)), approximate="tanh"))
    cache.n = m
    return model.norm(h) @ model.tokens.weight.T                  # (B, t, V)
    ### END SOLUTION

# %% check="gpt.cache"
check("gpt.cache", Cache, forward_cached)
