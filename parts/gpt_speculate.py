# %% [markdown]
# ### Exercise [[gpt.speculate]]: Check a draft
# core · importance 4 of 5 · 30 minutes · 4 points
#
# [[formula: Speculative sampling | p of the target, q of the draft, u uniform in 0 to 1]]
#
# $$\text{accept } x_i \text{ where } u_i < \frac{p_i(x_i)}{q_i(x_i)}, \qquad \text{else draw from }
# \frac{(p_i - q_i)^+}{\sum_v (p_i - q_i)^+(v)}$$
#
# A small model, the **draft**, writes $k$ tokens ahead. The large one, the **target**, reads them all in a single pass.
# This is **speculative sampling** (Leviathan et al. 2023, Chen et al. 2023). Tokens are accepted in turn. At the first
# rejection one more token is drawn from what the target gives more than the draft, and what was drafted behind it is
# forgotten. When all $k$ are accepted one more is free, drawn from the target's last row. The text is then distributed
# as if the target had written it alone. Write `speculate`, which returns the new ids.
#
# - `target` (k + 1, V) and `draft` (k, V) are logits. Row $i$ is about the place of `tokens[i]`. $k$ may be 0.
# - `chances(logits)` turns logits (n, V) into the probabilities from which is drawn, after temperature and filter. It
#   is the same for both models. `tokens` was drawn from `chances(draft)`, so that is $q$. A plain softmax would be
#   another one, and this has been wrong in a library that is widely used.
# - `uniforms` (k) holds $u$, from 0 up to but not including 1.
# - `draw(p)` takes probabilities (V) that sum to 1 and gives an id. It is called once, for the last id. So the check
#   sees the distribution itself and need not count.
#
# <details><summary>Hint 1</summary>
#
# Let $q$ be 0.5 and 0.5, and $p$ be 0.8 and 0.2. Token 0 is always accepted, token 1 in 40% of the cases. What must be
# drawn in the other 60%, so that in the end token 0 comes in 80% of all cases?
# </details>
# <details><summary>Hint 2</summary>
#
# A loop over the tokens with one `return` inside and one behind it. What was accepted before token i is `tokens[:i]`.
# </details>
# <details><summary>Hint 3</summary>
#
# `more = (p[i] - q[i]).clamp(min=0)`, and `tokens[:i] + [draw(more / more.sum())]` is what a rejection returns. Behind
# the loop `p[-1]` is the row that no token was drafted for.
# </details>

# %% exercise="gpt.speculate"
def speculate(
    target: Float[Tensor, "k+1 V"],
    draft: Float[Tensor, "k V"],
    tokens: list[int],
    uniforms: Float[Tensor, "k"],
    chances,
    draw,
) -> list[int]:
    """The drafted tokens that are accepted, and one more, distributed as chances(target) has it."""
    ### BEGIN SOLUTION
    p, q = chances(target), chances(draft)                        # (k + 1, V), (k, V)
    for i, x in enumerate(tokens):
        if uniforms[i] >= p[i, x] / q[i, x]:
            more = (p[i] - q[i]).clamp(min=0)                     # (V)
            return tokens[:i] + [draw(more / more.sum())]
    return tokens + [draw(p[-1])]
    ### END SOLUTION

# %% check="gpt.speculate"
check("gpt.speculate", speculate)
