# %% [markdown]
# ### Exercise [[gpt.filter]]: Which tokens may follow
# core · importance 4 of 5 · 35 minutes · 4 points
#
# [[formula: Temperature | logits z (V), probabilities p (V)]]
#
# $$p = \operatorname{softmax}(z / \text{temperature})$$
#
# A model gives every token of its vocabulary some probability, and the many unlikely ones add up. So most programs
# remove some before they draw. `filter_logits` takes the logits (B, V) of the next token and gives them back, divided
# by the temperature, with $-\infty$ in place of each token that is removed. Each row is a text of its own. A setting
# that is `None` is not used, and the others act in this order. Each looks at the probabilities of what the ones before
# it have left, which sum to 1 again.
#
# 1. `temperature`, a number above 0. All that follows sees the divided logits.
# 2. **top-k** (Fan et al. 2018) keeps the `top_k` largest logits. All that tie with the k-th stay. With `top_k` above
#    $V$ all tokens do.
# 3. **top-p** (Holtzman et al. 2020, section 3.1) sorts by probability, the most probable first, equal ones by their
#    id. A token stays when the sum of those *before* it is below `top_p`. So the token that crosses it stays too. The
#    first one always stays, with `top_p=0` as well.
# 4. **min-p** (Nguyen et al. 2024) keeps each token whose probability is at least `min_p` times the largest one.
#
# What is $-\infty$ already stays so. `draw(logits, generator)` then draws an id for each row (B), from the
# softmax of what it is given. Each row draws for itself, with random numbers from `generator` alone.
#
# <details><summary>Hint 1</summary>
#
# Do it for one row with a pencil first. The probabilities are 0.5, 0.3, 0.15 and 0.05. Who stays with a `top_p` of 0.6,
# and who with a `min_p` of 0.2? Then write each step as a mask (B, V) of what stays.
# </details>
# <details><summary>Hint 2</summary>
#
# `topk` gives the k-th largest logit. For top-p sort the probabilities, and `cumsum` them. The mask that you find
# belongs to sorted places, so it has to go back to the ids, and `scatter` does that. For one token of each row there is
# `torch.multinomial`.
# </details>
# <details><summary>Hint 3</summary>
#
# `p.sort(dim=-1, descending=True, stable=True)` gives the sorted probabilities and the ids in their places.
# `p.cumsum(-1) - p` is the sum before each token. `torch.zeros_like(mask).scatter(1, ids, mask)` brings a mask back.
# `multinomial` gives (B, 1).
# </details>

# %% exercise="gpt.filter"
def filter_logits(
    logits: Float[Tensor, "B V"],
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Float[Tensor, "B V"]:
    """Logits over the temperature, -inf where top-k, then top-p, then min-p removes a token."""
    ### BEGIN SOLUTION
    z = logits / temperature
    if top_k is not None:
        kth = z.topk(min(top_k, z.shape[-1])).values[:, -1:]      # (B, 1)
        z = z.masked_fill(z < kth, float("-inf"))
    if top_p is not None:
        p, ids = z.softmax(-1).sort(dim=-1, descending=True, stable=True)
        stays = p.cumsum(-1) - p < top_p                          # (B, V), in sorted places
        stays[:, 0] = True
        z = z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), float("-inf"))
    if min_p is not None:
        p = z.softmax(-1)
        z = z.masked_fill(p < min_p * p.amax(-1, keepdim=True), float("-inf"))
    return z
    ### END SOLUTION


def draw(logits: Float[Tensor, "B V"], generator: torch.Generator) -> Int[Tensor, "B"]:
    """One id for each row, drawn from softmax(logits)."""
    ### BEGIN SOLUTION
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    ### END SOLUTION

# %% check="gpt.filter"
check("gpt.filter", filter_logits, draw)
