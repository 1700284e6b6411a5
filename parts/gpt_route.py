# %% [markdown]
# ### Exercise [[gpt.route]]: Mend this code, which expert reads a token
# core · importance 3 of 5 · 25 minutes · 3 points
#
# In a **mixture of experts** the feed-forward network stands $E$ times in a block. A **router** gives each token one
# logit for each of these **experts**, and only the $k$ best of them read the token. The two functions below have three
# slips between them. Mend them, here as `route` and `balance_loss`.
#
# [[formula: Routing | logits (T, E), p the softmax of a token's logits, expert, weight, kept (T, k)]]
#
# $$\text{weight}_{ti} = \frac{p_{t e_i}}{p_{t e_1} + \dots + p_{t e_k}} \qquad
# \text{loss} = E \sum_{e=1}^{E} f_e P_e$$
#
# - `expert` holds the numbers of the $k$ best experts of each token, the best one first. The weights of a token are
#   their probabilities divided by their sum.
# - An expert has room for `capacity` choices. First the tokens get their first choices, in the order of the text, then
#   their second ones, and so on (Lepikhin et al. 2020, algorithm 1). `kept` tells which choices found room. A choice
#   that found none weighs 0, and the others of its token weigh what they did.
# - `balance_loss` is smallest where all experts have as much to do (Fedus et al. 2022, equations 4 to 6). $f_e$ is the
#   share of all $T k$ choices that go to expert $e$, whether or not they find room, and $P_e$ is the mean of $p_e$ over
#   the tokens. Gradients flow through $P$ alone.
#
# <details><summary>Hint 1</summary>
#
# Look at what is printed. What do the two weights of a token add up to? Token 1 has expert 0 as its second choice, and
# token 2 as its first. Which of them should get the last place there? And what could a router learn from this loss?
# </details>
# <details><summary>Hint 2</summary>
#
# `cumsum` counts in the order in which the choices stand. So the order of the rows that it gets is the order in which
# room is given away. `expert.T` has the first choices of all tokens in its first row.
# </details>
# <details><summary>Hint 3</summary>
#
# Count over `F.one_hot(expert.T.flatten(), E)`, and bring the places back with `.view(k, T).T`. In the loss, one of the
# two `f` should be `logits.softmax(-1).mean(0)`.
# </details>

# %%
def given_route(logits, k, capacity):
    """Experts, weights and who finds room, as a colleague left it."""
    E = logits.shape[1]
    weight, expert = logits.softmax(-1).topk(k)                   # (T, k)
    chosen = F.one_hot(expert.flatten(), E)                       # (T k, E)
    place = (chosen.cumsum(0) * chosen).sum(-1).view_as(expert)   # from 1 at each expert
    kept = place <= capacity
    return expert, weight * kept, kept


def given_balance(logits, k):
    """How unevenly the experts are used, by the same colleague."""
    T, E = logits.shape
    f = F.one_hot(logits.topk(k).indices, E).sum((0, 1)) / (T * k)  # (E), adds up to 1
    return E * (f * f).sum()


scores = torch.tensor([[3.0, 2.0, 0.0], [1.0, 2.0, 0.0], [2.0, 0.0, 1.0]])
expert, weight, kept = given_route(scores, k=2, capacity=2)
for t in range(3):
    print(f"token {t}: experts {expert[t].tolist()}, kept {kept[t].tolist()}, weights add up to {weight[t].sum():.3f}")
loss = given_balance(scores.requires_grad_(), k=2)
print(f"balance {loss.item():.3f}, has a gradient: {loss.requires_grad}")

# %% exercise="gpt.route"
def route(
    logits: Float[Tensor, "T E"], k: int, capacity: int
) -> tuple[Int[Tensor, "T k"], Float[Tensor, "T k"], Bool[Tensor, "T k"]]:
    """The k best experts of each token, how much each one weighs, and whether it has room."""
    ### BEGIN SOLUTION
    T, E = logits.shape
    weight, expert = logits.softmax(-1).topk(k)                   # (T, k)
    weight = weight / weight.sum(-1, keepdim=True)
    chosen = F.one_hot(expert.T.flatten(), E)                     # (k T, E), first choices first
    place = (chosen.cumsum(0) * chosen).sum(-1).view(k, T).T      # from 1 at each expert
    kept = place <= capacity
    return expert, weight * kept, kept
    ### END SOLUTION


def balance_loss(logits: Float[Tensor, "T E"], k: int) -> Float[Tensor, ""]:
    """E sum_e f_e P_e, which is 1 where all experts have as much to do."""
    ### BEGIN SOLUTION
    T, E = logits.shape
    f = F.one_hot(logits.topk(k).indices, E).sum((0, 1)) / (T * k)  # (E), adds up to 1
    return E * (f * logits.softmax(-1).mean(0)).sum()
    ### END SOLUTION

# %% check="gpt.route"
check("gpt.route", route, balance_loss)
