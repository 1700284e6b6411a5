# ---
# jupyter:
#   coursekit:
#     title: Attention
#     question: How does a word find the other words that matter to it?
#     goals:
#       - Write attention and its gradients yourself, from the softmax to the six layers of a pretrained encoder.
#       - Mask what a token may not see, and explain what goes wrong when the mask is in the wrong place.
#       - Tell a model where its tokens stand, with sinusoids, rotations or a penalty on distance.
#       - Say what attention costs in memory, and cut that cost with shared heads, windows and blocks.
#     minutes: 380
#     prerequisites:
#       - matrix products and the chain rule
#       - PyTorch tensors, broadcasting and autograd
#       - classes derived from nn.Module
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Attention
# **How does a word find the other words that matter to it?**
#
# You read *him* and you know who is meant. Somewhere in the sentence stood *my brother*, and you looked
# back. Attention is how a neural network looks back. Every large language model of today is a stack of it.
#
# When you have finished this chapter you will be able to
# 1. write attention and its gradients yourself, from the softmax to the six layers of a pretrained encoder;
# 2. mask what a token may not see, and explain what goes wrong when the mask is in the wrong place;
# 3. tell a model where its tokens stand, with sinusoids, rotations or a penalty on distance;
# 4. say what attention costs in memory, and cut that cost with shared heads, windows and blocks.
#
# It takes a little more than six hours, in as many sittings as you like: your progress is kept. You need
# matrix products, the chain rule, PyTorch tensors with autograd, and `nn.Module`.

# %% tags=["parameters"]
profile = "fast"  # "smoke" takes seconds; "full" wants a GPU and bert-base-uncased; the prose tells of "fast"
device = "auto"
seed = 0

# %% tags=["setup"]
import math
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
import coursekit as ck
from coursekit import check, progress, quiz, show, use
from coursekit.figures import curves, heatmap
profile, device = ck.profile(profile), ck.device(device)

# %% [markdown]
# ## 1. Watch it work
#
# Before any formula: here is a real encoder, trained on a billion pairs of sentences, says its model card.
# We give it one sentence and ask for its attention weights $A$, one matrix for each layer and head. Every
# head has its own habit. We let the computer find the head in which *him* looks hardest at *brother* and
# *them* at *keys*. (That is picking the prettiest of many. Hold the thought, we come back to it.)

# %%
from coursekit.material.models import attentions

encoder = ck.load_encoder(profile, device)
sentence = "My brother lost his keys, so we helped him find them."
tokens, A = attentions(encoder, sentence)
print("A has shape", tuple(A.shape), "= layers, heads, queries, keys")

pairs = [(tokens.index(word), tokens.index(other)) for word, other in (("him", "brother"), ("them", "keys"))]
score = sum(A[:, :, i, j] for i, j in pairs)                      # (L, H)
layer, head = divmod(score.argmax().item(), A.shape[1])
for i, j in pairs:
    weight = A[layer, head, i, j]
    print(f"layer {layer}, head {head}: {tokens[i]!r} gives {weight:.0%} of its weight to {tokens[j]!r}")
show(
    heatmap(A[layer, head], row_labels=tokens, column_labels=tokens),
    alt="Heat map of one head's attention: a row for each token that looks, a column for each token looked at. "
    "In the row of 'him' the brightest cell is 'brother', in the row of 'them' it is 'keys'.",
)

# %% [markdown]
# Read it row by row. A row is a **query**: a token that looks. A column is a **key**: a token that is
# looked at. Bright means a large weight, and each row sums to 1. Nobody told the model what a pronoun is.
#
# What does a token do with its weights? It mixes the others into itself. So the same word gets a different
# vector in a different sentence.
#
# **Predict**: *bank* stands in three sentences below, twice beside water. How alike are its vectors before
# the first layer, and after the last?

# %%
@torch.no_grad()
def hidden_states(text):
    """The vectors of all tokens before the first layer and after each one: L + 1 tensors (1, T, D)."""
    inputs = encoder.tokenizer(text, return_tensors="pt").to(device)
    return encoder.model(**inputs, output_hidden_states=True).hidden_states


def bank(text):
    where = attentions(encoder, text)[0].index("bank")
    return torch.cat(hidden_states(text))[:, where].cpu()         # (L + 1, D)


river = bank("He swam to the bank of the river.")
others = {"grass": "She sat on the grassy bank and watched the water.", "money": "The bank raised its interest rates."}
for name, text in others.items():
    likeness = torch.cosine_similarity(river, bank(text), dim=-1)  # (L + 1)
    print(f"river and {name}: {likeness[0]:.2f} before the first layer, {likeness[-1]:.2f} after the last")

# %% [markdown]
# All three start almost equal: one entry of the vocabulary, plus its place in the sentence. The two river
# banks stay close. The bank with the interest rates moves away, because it has read its neighbours.
#
# So attention lets a token **ask**, **find** and **fetch**. We now build it, one small piece at a time.
#
# ## 2. A dictionary for inexact keys
#
# A Python dictionary answers when the key fits exactly. Suppose four weather stations stand north, east,
# south and west of you, and you ask for the north-north-east. No key fits. A good answer compares your
# query $q$ with every key $k_j$, turns the likenesses into weights $a_j$, and mixes the values:
#
# $$z_j = q \cdot k_j, \qquad a = \operatorname{softmax}(z), \qquad y = \sum_j a_j v_j$$

# %% tags=["nbval-check-output"]
keys = {"north": (0.0, 1.0), "east": (1.0, 0.0), "south": (0.0, -1.0), "west": (-1.0, 0.0)}
values = torch.tensor([2.0, 10.0, 20.0, 12.0])                    # temperatures in °C
q = torch.tensor([math.sin(math.pi / 8), math.cos(math.pi / 8)])  # north-north-east
z = torch.tensor(list(keys.values())) @ q
for strength in (0, 1, 3, 30):
    a = (strength * z).softmax(0)
    print(f"strength {strength:2}: weights", [round(x, 2) for x in a.tolist()], f"-> {a @ values:.1f} °C")

# %% [markdown]
# With strength 0 every station counts the same. With strength 30 we are back at a dictionary: only *north*
# answers. In between lies something better, and unlike a hard choice it has a gradient, so it can learn
# where to look.
#
# Everything rests on the softmax:
#
# $$\operatorname{softmax}(z)_j = \frac{e^{z_j}}{\sum_k e^{z_k}}$$
#
# **Predict** what these three lines print. The two scores differ by 1 each time.

# %% tags=["nbval-check-output"]
for shift in (0.0, 90.0, -120.0):
    z = torch.tensor([1.0, 2.0]) + shift
    print(f"z = {z.tolist()}:", [round(x, 2) for x in (z.exp() / z.exp().sum()).tolist()])

# %% [markdown]
# The answers should be the same, and two of them are not numbers.
#
# <details><summary>Why?</summary>
#
# $e^{91}$ is larger than the largest `float32` (about $3.4 \cdot 10^{38}$, which is $e^{88.7}$), so it
# becomes infinity, and infinity over infinity is NaN. At the other end $e^{-118}$ underflows to 0, and 0
# over 0 is NaN too. But softmax does not change when you add the same number to every score: numerator and
# denominator both get the factor $e^{\text{shift}}$. So choose the shift yourself.
# </details>
#
# ### Exercise [[attention.softmax]]: Softmax over any dimension
# core · 10 minutes · 2 points
#
# $$\operatorname{softmax}(x)_j = \frac{e^{x_j - m}}{\sum_k e^{x_k - m}}, \qquad m = \max_k x_k$$
#
# Write it for a tensor of any shape, along the dimension `dim`. It must survive scores of ±1000, and
# entries of $-\infty$ next to finite ones (they get weight exactly 0). `torch.softmax` would pass the check,
# and you would have learned nothing: build it from `exp`.
#
# One rule for all exercises: the result has the dtype and the device of the inputs. A fresh buffer is
# `x.new_zeros(...)`, because `torch.zeros(...)` is `float32` on the CPU whatever you were given.
#
# <details><summary>Hint 1</summary>
#
# Which of the two steps needs to know `dim`: the maximum, the sum, or both?
# </details>
# <details><summary>Hint 2</summary>
#
# One maximum for the whole tensor is not enough: a row that lies 1000 below it would underflow to 0/0. Each
# slice along `dim` needs its own.
# </details>
# <details><summary>Hint 3</summary>
#
# `x.amax(dim, keepdim=True)` keeps the dimension with size 1, so that it broadcasts against `x`. The sum
# wants the same argument.
# </details>

# %% exercise="attention.softmax"
def softmax(x: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Positive numbers in the shape of x that sum to 1 along dim."""
    ### BEGIN SOLUTION
    m = x.amax(dim, keepdim=True)
    e = (x - m).exp()                           # the largest entry is exp(0) = 1: nothing overflows
    return e / e.sum(dim, keepdim=True)
    ### END SOLUTION

# %% check="attention.softmax"
check("attention.softmax", softmax)

# %%
soft = use("attention.softmax", softmax)
z = torch.tensor([2.0, 1.5, 0.5, 0.0, -1.0])
c = torch.logspace(-2, 2, 60)                                     # a factor on the scores
a = soft(c[:, None] * z, 1)                                       # (60, 5), rows sum to 1
jacobian = a.diag_embed() - a[:, :, None] * a[:, None, :]         # (60, 5, 5), derived in section 6
lines = {"largest weight": a[:, 0], "second weight": a[:, 1], "smallest weight": a[:, 4]}
lines["size of the derivative"] = jacobian.flatten(1).norm(dim=1)
show(
    curves(c, lines, x_label="factor c on the scores (log scale)", y_label="weight, derivative", log="x"),
    alt="Weights and derivative of a softmax over the factor on its scores. For a small factor the weights are equal. "
    "As it grows the largest climbs to 1 and the others fall to 0. Beyond c = 16 the derivative is 0 as well.",
)

# %% [markdown]
# We multiplied five fixed scores by a factor $c$. On the left the softmax is an average, on the right a
# hard choice. On the right its derivative is zero as well: it has **saturated**. Whatever it chose, it can
# no longer learn to choose otherwise. Keep that picture in mind.
#
# ## 3. Scaled dot-product attention
#
# Now every token asks at once. $T$ queries of width $d$ are the rows of $Q$; $S$ keys are the rows of $K$;
# each key brings a value of width $e$, a row of $V$. One row at a time:
#
# $$z_{ij} = \frac{q_i \cdot k_j}{\sqrt d}, \qquad a_i = \operatorname{softmax}(z_i), \qquad y_i = \sum_j a_{ij} v_j$$
#
# We write the loop first. It is slow, and nothing in it can be misunderstood.

# %%
def attention_in_loops(Q, K, V):
    Y = V.new_zeros(len(Q), V.shape[1])
    for i, q in enumerate(Q):
        z = torch.stack([q.dot(k) / math.sqrt(len(k)) for k in K])  # (S,)
        for a, v in zip(z.softmax(0), V, strict=True):
            Y[i] += a * v
    return Y                                                      # (T, e)


torch.manual_seed(seed)
Q, K, V = torch.randn(3, 8), torch.randn(5, 8), torch.randn(5, 2)
print("queries", tuple(Q.shape), "keys", tuple(K.shape), "values", tuple(V.shape))
print("result ", tuple(attention_in_loops(Q, K, V).shape), "= one value for each query")

# %% [markdown]
# ### Exercise [[attention.sdpa]]: Scaled dot-product attention
# core · 15 minutes · 2 points
#
# $$Z = \frac{QK^\top}{\sqrt d}, \qquad A = \operatorname{softmax}(Z), \qquad Y = AV$$
#
# The same without loops, for $B$ sequences and $H$ heads at once (Vaswani et al. 2017, equation 1).
# Gradients must flow through it, and its inputs may be non-contiguous. Before you write it: what is the shape
# of $A$, and along which of its dimensions must it sum to 1?
#
# <details><summary>Hint 1</summary>
#
# $A$ has one row per query and one column per key: `(B, H, T, S)`. A query distributes its attention over
# the keys.
# </details>
# <details><summary>Hint 2</summary>
#
# The matrix product `@` works on the last two dimensions and repeats over the others. `.mT` swaps the last
# two.
# </details>
# <details><summary>Hint 3</summary>
#
# $d$ is the width of one query, `Q.shape[-1]`: neither $e$ nor the width of the whole model. Divide by its
# square root before the softmax, then sum over keys: the last dimension of the scores.
# </details>

# %% exercise="attention.sdpa"
def scaled_dot_product_attention(
    Q: Float[Tensor, "B H T d"], K: Float[Tensor, "B H S d"], V: Float[Tensor, "B H S e"]
) -> Float[Tensor, "B H T e"]:
    """Each query's mix of the values: Y = softmax(Q K^T / sqrt(d)) V."""
    ### BEGIN SOLUTION
    Z = Q @ K.mT / math.sqrt(Q.shape[-1])       # (B, H, T, S)
    A = Z.softmax(-1)                           # (B, H, T, S), rows sum to 1
    return A @ V                                # (B, H, T, e)
    ### END SOLUTION

# %% check="attention.sdpa"
check("attention.sdpa", scaled_dot_product_attention)

# %% tags=["nbval-check-output"]
attend = use("attention.sdpa", scaled_dot_product_attention)
together = attend(Q[None, None], K[None, None], V[None, None])[0, 0]
torch.testing.assert_close(together, attention_in_loops(Q, K, V))


def real_queries_and_keys(layer, head):
    """Q and K (1 1 T d) of one of the encoder's heads, on our sentence."""
    X = hidden_states(sentence)[layer]                            # (1, T, D)
    weights = encoder.model.encoder.layer[layer].attention.self
    d = X.shape[-1] // A.shape[1]
    columns = slice(head * d, (head + 1) * d)
    return weights.query(X)[:, None, :, columns].detach(), weights.key(X)[:, None, :, columns].detach()


Q_real, K_real = real_queries_and_keys(layer, head)
identity = torch.eye(len(tokens), device=device)[None, None]      # as values: A I = A, we get the weights
difference = (attend(Q_real, K_real, identity)[0, 0].cpu() - A[layer, head]).abs().max()
assert difference < 1e-5, f"found a difference of {difference:.0e} from the encoder's own weights"
print("your weights and the encoder's own differ by less than 1e-05")

# %% [markdown]
# Your function agrees with the loops, and it can read a real head: we gave it the queries and keys of the
# head from section 1. The trick is worth keeping: with the **identity** as values, attention returns its
# own weights, because $A I = A$. The heat map at the start of this chapter was nothing but your three
# lines.
#
# ### Why divide by $\sqrt d$?
# A score is a sum of $d$ products. If the entries of $q$ and $k$ are independent with mean 0 and variance
# 1, each product has variance 1, so
#
# $$\operatorname{Var}(q \cdot k) = d.$$
#
# Now **break it on purpose**: multiplying $Q$ by $\sqrt d$ cancels the scale. We measure the spread of the
# raw scores, and the entropy of the weights in bits: 6 bits means that all 64 keys are looked at equally, 0
# bits that one key gets everything. **Predict** the last row: how many bits are left at $d = 1024$, with
# the scale and without?

# %%
def entropy(A):
    return -(A * A.clamp_min(1e-30).log2()).sum(-1).mean().item()


torch.manual_seed(seed)
eye = torch.eye(64)[None, None]                                   # as values: we want the weights
widths, bits = [2**n for n in range(1, 11)], {"with the scale": [], "without": []}
for d in widths:
    Q, K = torch.randn(2, 1, 1, 64, d)
    bits["with the scale"].append(entropy(attend(Q, K, eye)))
    bits["without"].append(entropy(attend(Q * math.sqrt(d), K, eye)))
    if d in (4, 64, 1024):
        told = ", ".join(f"{values[-1]:.2f} bits {name}" for name, values in bits.items())
        print(f"d = {d:4}: raw scores spread by {(Q @ K.mT).std():5.2f}; {told}")
show(
    curves(widths, bits, x_label="head width d (log scale)", y_label="entropy (bits)", log="x", marker="o"),
    alt="Entropy of the attention weights over 64 keys as the head width grows from 2 to 1024. With the scale it "
    "stays above 5 bits; without, it falls towards 0.",
)

# %% [markdown]
# The raw scores spread by $\sqrt d$, close to the promised 2, 8 and 32. With the scale, the entropy does
# not depend on the width. Without it, a wide head looks at a single key from its first step on, and we saw
# above what that does to its derivative. In section 6 you will watch it fail to learn. Here, turn the width
# yourself:

# %%
from coursekit.widgets import scale_entropy

scale_entropy()

# %%
quiz("attention.scale")

# %% [markdown]
# ## 4. What a token may not see
#
# Two kinds of key must be invisible. **Padding**: sentences in a batch are filled up to equal length, and
# the filler means nothing. **The future**: a model that learns to predict the next token must not read it.
# Both are one matrix of Booleans, or one matrix $M$ that is added to the scores:
#
# $$A = \operatorname{softmax}\left(\frac{QK^\top}{\sqrt d} + M\right), \qquad
# M_{ij} = \begin{cases} 0 & \text{query } i \text{ may see key } j \\ -\infty & \text{otherwise} \end{cases}$$

# %%
T = 8
triangle = torch.ones(T, T, dtype=torch.bool).tril()
words = torch.tensor([True] * 6 + [False] * 2).expand(T, T)       # the last two tokens are filler
masks = {"padding": words, "causal": triangle, "both": words & triangle, "causal window of 3": triangle.triu(-2)}
show(
    heatmap(masks, per_row=4),
    alt="Four masks of 8 queries by 8 keys. Padding hides the last two columns. Causal hides everything right of the "
    "diagonal. Both hides either. The causal window shows only the diagonal and the two keys left of it.",
)

# %% [markdown]
# ### Where does the mask go?
# The last of these three keys is hidden. Here is one right way to hide it, and four bugs that people ship.
# **Predict** for each: do the weights still sum to 1, and is the hidden key's weight 0?

# %% tags=["nbval-check-output"]
z = torch.tensor([2.0, 1.0, 3.0])
hidden = torch.tensor([False, False, True])
ways = {
    "right: score -inf before the softmax": z.where(~hidden, -torch.inf).softmax(0),
    "score 0 before the softmax": z.where(~hidden, 0).softmax(0),
    "weight 0 after the softmax": z.softmax(0).where(~hidden, 0),
    "the mask upside down": z.where(hidden, -torch.inf).softmax(0),
}
for name, a in ways.items():
    print(f"{name:37} {[round(x, 2) for x in a.tolist()]}  sum {a.sum():.2f}")
try:
    z.half().masked_fill(hidden, -1e9)
except RuntimeError as error:
    print("score -1e9, float16: RuntimeError:", str(error).splitlines()[0])

# %% [markdown]
# A score of 0 is a score like any other: $e^0 = 1$, and the filler is still read. Zeroing after the softmax
# leaves weights that sum to 0.33: the hidden key already took its share of the denominator. And $-10^9$
# does not exist in half precision, whose largest number is 65504. $-\infty$ exists in half, single and double.
#
# ### Exercise [[attention.masks]]: Padding and causal masks
# core · 20 minutes · 3 points
#
# `real` is True where a key is a real token. When `causal` is True, a query must not see later keys either.
# The queries are the **last** $T$ of the $S$ positions, as in generation, when earlier keys wait in a
# cache:
#
# $$\text{query } i \text{ sees key } j \iff \text{real}_j \ \text{ and } \ j \le i + S - T$$
#
# Padding may stand anywhere, on the left too. It must also work in `float16`. Every query here sees at least one
# key.
#
# <details><summary>Hint 1</summary>
#
# Build one Boolean tensor that says what is allowed, and combine the two conditions with `&`. Then hide
# what is not allowed, before the softmax.
# </details>
# <details><summary>Hint 2</summary>
#
# `real` is (B, S) and the scores are (B, H, T, S): insert dimensions of size 1 for heads and queries with
# `None`.
# </details>
# <details><summary>Hint 3</summary>
#
# Compare positions: a column of query positions, `torch.arange(S - T, S)[:, None]`, against a row of key
# positions. The result is (T, S) and broadcasts. Create it on `Q.device`.
# </details>

# %% exercise="attention.masks"
def masked_attention(
    Q: Float[Tensor, "B H T d"],
    K: Float[Tensor, "B H S d"],
    V: Float[Tensor, "B H S e"],
    real: Bool[Tensor, "B S"],
    causal: bool,
) -> Float[Tensor, "B H T e"]:
    """Attention that ignores keys which are not real and, when causal, keys that come after the query."""
    T, S, d = Q.shape[-2], K.shape[-2], Q.shape[-1]
    ### BEGIN SOLUTION
    allowed = real[:, None, None, :]            # (B, 1, 1, S), the same for all heads and queries
    if causal:
        j = torch.arange(S, device=Q.device)
        i = j[S - T :, None]                    # (T, 1), the queries come last
        allowed = allowed & (j <= i)            # (B, 1, T, S)
    Z = Q @ K.mT / math.sqrt(d)                 # (B, H, T, S)
    A = Z.masked_fill(~allowed, -torch.inf).softmax(-1)
    return A @ V                                # (B, H, T, e)
    ### END SOLUTION

# %% check="attention.masks"
check("attention.masks", masked_attention)

# %%
masked = use("attention.masks", masked_attention)
everything = torch.ones(1, len(tokens), dtype=torch.bool, device=device)
panels = {
    name: masked(Q_real, K_real, identity, everything, causal)[0, 0]
    for name, causal in (("pronoun head, as trained", False), ("with a causal mask", True))
}
show(
    heatmap(panels, row_labels=tokens, column_labels=tokens),
    alt="The pronoun head without and with a causal mask. With the mask everything right of the diagonal is dark; "
    "'him' still finds 'brother' and 'them' still finds 'keys', which come earlier.",
)

torch.manual_seed(seed)
Q, K, V = torch.randn(3, 1, 2, 5, 4)                              # each (B, H, T, d)
real = torch.ones(1, 5, dtype=torch.bool)
before = masked(Q, K, V, real, True)
K[:, :, -1], V[:, :, -1] = 100.0, -100.0
after = masked(Q, K, V, real, True)
print("positions that changed:", (before != after).any(-1).any(1)[0].tolist())

# %% [markdown]
# In a model that generates text, the pronoun head would still find its nouns: they stand to the left. The
# first row has no choice, *[CLS]* sees only itself. And a good mask is a law that you can test: we changed
# the last token's key and value, and **nothing** before it changed, not even by a rounding error.
#
# ### The row that sees nothing
# Pad on the left, as one does to generate for a batch, add a causal mask, and the first rows may see no key
# at all. All their scores are $-\infty$. Softmax is then 0/0.
#
# **Predict**: we replace NaN by 0 after the softmax. The forward pass looks fine. Is the gradient fine?

# %% tags=["nbval-check-output"]
hidden = torch.ones(4, dtype=torch.bool)                          # this query may see no key
for way in ("added to the scores", "filled in"):
    z = torch.zeros(4, requires_grad=True)
    masked_z = z + z.new_zeros(4).masked_fill(hidden, -torch.inf) if "added" in way else z.masked_fill(hidden, -torch.inf)
    patched = masked_z.softmax(0).nan_to_num(0)
    patched.sum().backward()
    print(f"-inf {way:20} result {patched.tolist()}, gradient {z.grad.tolist()}")

# %% [markdown]
# The NaN is hidden from your eyes, not from the chain rule: the backward pass multiplies by the stored
# weights, and $0 \cdot \text{NaN} = \text{NaN}$. With the mask added, it reaches the scores, and after the
# next step every weight behind them is NaN. `masked_fill` escapes by luck: on the way back it writes 0 over
# whatever arrives. The cure is never to make a NaN.
#
# ### Exercise [[attention.empty_rows]]: Queries that may look at nothing
# stretch · 20 minutes · 2 points
#
# `allowed` is True where a query may see a key, and broadcasts to `(B, H, T, S)`. A query with no allowed
# key gets a result of exactly 0, and sends back a gradient of exactly 0. All other rows are ordinary masked
# attention.
#
# <details><summary>Hint 1</summary>
#
# Find the empty rows first: those in which no key is allowed.
# </details>
# <details><summary>Hint 2</summary>
#
# Give an empty row something harmless to look at, so that its softmax is finite. Then throw the result
# away.
# </details>
# <details><summary>Hint 3</summary>
#
# For an empty row, leave all its scores unmasked. After the softmax, fill its weights with 0: `masked_fill`
# passes no gradient to what it fills.
# </details>

# %% exercise="attention.empty_rows"
def masked_attention_or_zero(
    Q: Float[Tensor, "B H T d"],
    K: Float[Tensor, "B H S d"],
    V: Float[Tensor, "B H S e"],
    allowed: Bool[Tensor, "..."],
) -> Float[Tensor, "B H T e"]:
    """Masked attention in which a query without any allowed key gives 0, forward and backward."""
    d = Q.shape[-1]
    ### BEGIN SOLUTION
    empty = ~allowed.any(-1, keepdim=True)      # (..., T, 1)
    Z = Q @ K.mT / math.sqrt(d)                 # (B, H, T, S)
    Z = Z.masked_fill(~(allowed | empty), -torch.inf)
    A = Z.softmax(-1).masked_fill(empty, 0)     # no row was ever NaN
    return A @ V                                # (B, H, T, e)
    ### END SOLUTION

# %% check="attention.empty_rows"
check("attention.empty_rows", masked_attention_or_zero)

# %% tags=["nbval-check-output"]
safe = use("attention.empty_rows", masked_attention_or_zero)
torch.manual_seed(seed)
Q, K, V = torch.randn(3, 2, 1, 5, 4, requires_grad=True)
real = torch.tensor([[False, False, True, True, True], [True] * 5])   # 3 and 5 tokens, padded on the left
allowed = real[:, None, None, :] & torch.ones(5, 5, dtype=torch.bool).tril()
Y = safe(Q, K, V, allowed)                                        # (2, 1, 5, 4)
(gradient,) = torch.autograd.grad(Y.square().sum(), Q)
print("rows that are 0:        ", (Y == 0).all(-1).flatten(1).tolist())
print("every gradient is finite:", gradient.isfinite().all().item())

# %%
quiz("attention.mask")

# %% [markdown]
# ## 5. Many heads
#
# One head computes one average per token. But *him* may want to know who is meant **and** which verb it
# belongs to, and one average cannot keep the two apart. So the model's width $D$ is cut into $H$ slices of
# width $d = D / H$. Each slice attends on its own, and the results are laid side by side again:
#
# $$Y = [\,Y_1, \dots, Y_H\,]\,W_O^\top, \qquad Y_h = \operatorname{Attention}(Q_h, K_h, V_h)$$
#
# Cutting is a matter of shapes, `(B, T, D)` to `(B, H, T, d)`, and there is a famous way to get it wrong.
# **Predict** what the second line prints.

# %% tags=["nbval-check-output"]
X = torch.tensor([[[10, 11, 12, 13], [20, 21, 22, 23], [30, 31, 32, 33]]])  # (B=1, T=3, D=4): token 1 is 10 to 13
print("head 0 should read", X[0, :, :2].tolist())
print("view gives        ", X.view(1, 2, 3, 2)[0, 0].tolist())

# %% [markdown]
# The shape is right and the content is not: token 1's second half is now a token of its own. No error is
# raised. A view relabels memory in the order in which it lies; it never
# moves a dimension past another.
#
# ### Exercise [[attention.heads]]: Split into heads and merge them
# core · 15 minutes · 2 points
#
# `split_heads` turns `(B, T, D)` into `(B, H, T, d)`: head $h$ holds columns $hd$ to $(h+1)d - 1$ of every
# token. `merge_heads` is its inverse. The inputs may be non-contiguous.
#
# <details><summary>Hint 1</summary>
#
# Cut the last dimension into two, then move one of the two. Two steps, in this order.
# </details>
# <details><summary>Hint 2</summary>
#
# After cutting you have `(B, T, H, d)`. `transpose` moves a dimension past another.
# </details>
# <details><summary>Hint 3</summary>
#
# `reshape` copies when the memory does not allow a view; `view` raises an error instead. Going back,
# transpose first, and reshape afterwards.
# </details>

# %% exercise="attention.heads"
def split_heads(X: Float[Tensor, "B T D"], H: int) -> Float[Tensor, "B H T d"]:
    """Head h of each token: columns h*d to (h+1)*d - 1, where d = D / H."""
    ### BEGIN SOLUTION
    B, T, D = X.shape
    return X.reshape(B, T, H, D // H).transpose(1, 2)
    ### END SOLUTION


def merge_heads(Y: Float[Tensor, "B H T d"]) -> Float[Tensor, "B T D"]:
    """The heads of each token side by side: the inverse of split_heads."""
    ### BEGIN SOLUTION
    B, H, T, d = Y.shape
    return Y.transpose(1, 2).reshape(B, T, H * d)
    ### END SOLUTION

# %% check="attention.heads"
check("attention.heads", split_heads, merge_heads)

# %%
split, merge = use("attention.heads", split_heads, merge_heads)
torch.manual_seed(seed)
X = torch.randn(2, 5, 12)                                         # (B, T, D)
slices = [attend(*[X[:, None, :, 4 * h : 4 * h + 4]] * 3)[:, 0] for h in range(3)]  # one head after the other
heads = split(X, 3)                                               # (B, H, T, d), all at once
torch.testing.assert_close(merge(attend(heads, heads, heads)), torch.cat(slices, -1))
print("a loop over slices and one call over heads agree")

# %% [markdown]
# ### Exercise [[attention.multihead]]: Multi-head attention as a module
# core · 30 minutes · 3 points
#
# $$[\,Q, K, V\,] = X W_{in}^\top + b_{in}, \qquad Y = \operatorname{merge}(\operatorname{Attention}(Q, K, V))\,
# W_{out}^\top + b_{out}$$
#
# Write the module so that weights load from `nn.MultiheadAttention(D, H)`. That fixes the names:
# `in_proj_weight` (3D, D), `in_proj_bias` (3D), `out_proj.weight` (D, D), `out_proj.bias` (D). `allowed` is
# None, or broadcasts to `(B, H, T, T)` and lets every query see at least one key.
#
# <details><summary>Hint 1</summary>
#
# A weight that belongs to the module itself is an `nn.Parameter`; a weight called `out_proj.weight` belongs
# to a submodule called `out_proj`.
# </details>
# <details><summary>Hint 2</summary>
#
# The big matrix holds the weights of queries, keys and values, in this order, on top of each other.
# Multiply once, then `chunk(3, dim=-1)`.
# </details>
# <details><summary>Hint 3</summary>
#
# In `forward`: project, chunk, split each of the three into heads, scores with the scale $\sqrt{D/H}$, mask
# when there is one, softmax, mix, merge, `out_proj`. `nn.functional.linear(X, weight, bias)` is $XW^\top +
# b$.
# </details>

# %% exercise="attention.multihead"
class MultiHeadAttention(nn.Module):
    """H heads that attend side by side; the weights are named as in nn.MultiheadAttention."""

    def __init__(self, D: int, H: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.H = H
        self.in_proj_weight = nn.Parameter(torch.empty(3 * D, D))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)
        nn.init.xavier_uniform_(self.in_proj_weight)
        ### END SOLUTION

    def forward(self, X: Float[Tensor, "B T D"], allowed: Bool[Tensor, "..."] | None = None) -> Float[Tensor, "B T D"]:
        ### BEGIN SOLUTION
        B, T, D = X.shape
        QKV = nn.functional.linear(X, self.in_proj_weight, self.in_proj_bias)  # (B, T, 3D)
        Q, K, V = (P.reshape(B, T, self.H, -1).transpose(1, 2) for P in QKV.chunk(3, -1))  # (B, H, T, d)
        Z = Q @ K.mT / math.sqrt(D // self.H)   # (B, H, T, T)
        Z = Z if allowed is None else Z.masked_fill(~allowed, -torch.inf)
        Y = Z.softmax(-1) @ V                   # (B, H, T, d)
        return self.out_proj(Y.transpose(1, 2).reshape(B, T, D))
        ### END SOLUTION

# %% check="attention.multihead"
check("attention.multihead", MultiHeadAttention)

# %%
@torch.no_grad()
def attention_weights(bert_layer):
    """One BERT layer's attention weights under the names of nn.MultiheadAttention."""
    projections = [getattr(bert_layer.attention.self, name) for name in ("query", "key", "value")]
    out = bert_layer.attention.output.dense
    return {
        "in_proj_weight": torch.cat([p.weight for p in projections]),
        "in_proj_bias": torch.cat([p.bias for p in projections]),
        "out_proj.weight": out.weight,
        "out_proj.bias": out.bias,
    }


Attention = use("attention.multihead", MultiHeadAttention)
bert = encoder.model.encoder.layer[layer]
D, H = encoder.model.config.hidden_size, encoder.model.config.num_attention_heads
mine = Attention(D, H).to(device)
mine.load_state_dict(attention_weights(bert))
with torch.no_grad():
    X = hidden_states(sentence)[layer]                            # (1, T, D)
    theirs = bert.attention.output.dense(bert.attention.self(X)[0])
    print(f"{H} heads, largest difference from the encoder: {(mine(X) - theirs).abs().max():.0e}")

# %%
habits = {                                                        # what a habit looks like in A, each (L, H)
    "its left neighbour": A.diagonal(-1, 2, 3).mean(-1),
    "its right neighbour": A.diagonal(1, 2, 3).mean(-1),
    "[CLS], the first token": A[..., 0].mean(-1),
    "the noun behind a pronoun": score / 2,
}
panels = {}
for habit, strength in habits.items():
    at, h = divmod(strength.argmax().item(), A.shape[1])
    panels[f"looks at {habit}\nlayer {at}, head {h}: {strength[at, h]:.2f}"] = A[at, h]
show(
    heatmap(panels, row_labels=tokens, column_labels=tokens, per_row=2),
    alt="Four heads of the encoder. One has a bright line just left of the diagonal, one just right of it, one a "
    "bright first column, and in the last the pronouns look at their nouns.",
)

# %% [markdown]
# Twelve heads in each layer leave room for specialists, and the number in each title is the strength of the
# habit, as an average over the sentence. The first is no approximate left-neighbour head: 1.00, already in
# the very first layer. The third rests on *[CLS]*. Weights must sum to 1, so a head with nothing to say
# parks them where they do no harm. Clark et al. (2019) describe such heads in BERT; Xiao et al. (2024) call
# the parking place an **attention sink**.
#
# Explore. Type a sentence and pick a layer: all its heads are drawn small, and a click (or an arrow key) opens one.
# A weight stands where the pointer rests. The temperature divides the scores, so 0.1 shows each row's favourite
# and 10 flattens everything.

# %%
from coursekit.widgets import attention_explorer

attention_explorer(encoder)

# %%
trophy = {}
for word in ("big", "small"):
    labels, B = attentions(encoder, f"The trophy does not fit in the suitcase because it is too {word}.")
    trophy[f"... because it is too {word}."] = B[layer, head]
    it, nouns = labels.index("it"), ("trophy", "suitcase")
    weights = {noun: round(B[layer, head, it, labels.index(noun)].item(), 2) for noun in nouns}
    print(f"too {word}: 'it' gives {weights}")
labels[-3] = "big / small"
show(
    heatmap(trophy, row_labels=labels, column_labels=labels),
    alt="The pronoun head on two sentences, 'The trophy does not fit in the suitcase because it is too big' and "
    "'too small'. The two heat maps look nearly the same: in both, 'it' looks most at 'trophy'.",
)

# %% [markdown]
# ### Question 2.A: Read a heat map, and not too much into it
# 10 minutes · 3 points · marked by a person
#
# Above you see our pronoun head on two sentences that differ in one word. In the first, *it* means the
# trophy; in the second, the suitcase. Answer in your own words, in about 120 words altogether.
# 1. What do a row and a column stand for, what must a row sum to, and what does the brightest cell in the
#    row *it* say? Give its weight.
# 2. What changes in that row when *big* becomes *small*, and what should have changed if this head
#    understood the sentence?
# 3. Someone says: "This head proves that the model knows what *it* refers to." Give one reason why the heat
#    map does not prove it, and one experiment that would tell more.

# %% [markdown] question="attention.read_heat_map"
# ### BEGIN SOLUTION
# **Model answer.** A row is a query, the token that looks; a column is a key, the token that is looked at;
# each row sums to 1. In the row *it* the brightest cell is *trophy*: about 0.6 of what this head fetches
# for *it* comes from the trophy's value. When *big* becomes *small*, almost nothing changes: *trophy* stays
# near 0.6 and *suitcase* near 0.2, although *it* now means the suitcase. A head that understood the
# sentence would have moved its weight. So the head may simply prefer the subject, or the first noun. The
# picture also shows one head of many, and weights only, neither the values nor what later layers do with
# them. An experiment: many such pairs of sentences, and the share in which the weight moves; or switch the
# head off, and see whether the model's answers change.
#
# **Marking scheme, 3 points.**
# - 1 point, reading: row = query, column = key, rows sum to 1, and the weight of *trophy* with its value
#   (0.55 to 0.7). Half a point when rows and columns are exchanged but the value is right.
# - 1 point, comparing: says that the row hardly changes, and that the weight should have moved to
#   *suitcase*. Half a point for only one of the two.
# - 1 point, judging: half a point for a valid reason (one sentence pair, one head picked because it looked
#   good, weights are not values, later layers, a simpler rule explains it), half for an experiment that
#   could come out either way (more pairs, switching the head off, exchanging the nouns).
# ### END SOLUTION

# %% [markdown]
# ## 6. The way back
#
# Autograd has done the backward pass for us so far. Write it once by hand, and you know why the saturated
# softmax stops learning, and what FlashAttention has to recompute. With $Z = QK^\top/\sqrt d$, $A =
# \operatorname{softmax}(Z)$ and $Y = AV$, the matrix products are the easy part:
#
# $$dV = A^\top dY, \qquad dA = dY\,V^\top$$
#
# The softmax couples all entries of a row, because they share a sum. For one row $a =
# \operatorname{softmax}(z)$:
#
# $$\frac{\partial a_j}{\partial z_k} = a_j (\delta_{jk} - a_k), \qquad
# \frac{\partial a}{\partial z} = \operatorname{diag}(a) - a a^\top, \qquad
# dz = a \circ (da - \langle a, da \rangle)$$
#
# In words: a score's gradient is its weight, times how far its own $da$ lies above the weighted average. We
# check it on one row.

# %% tags=["nbval-check-output"]
torch.manual_seed(seed)
z = torch.randn(4, requires_grad=True)
a, da = z.softmax(0), torch.randn(4)
a.backward(da)
print("the formula agrees with autograd:", torch.allclose(a * (da - a @ da), z.grad))

# %% [markdown]
# When one weight is 1 and the others are 0, $dz$ is 0 whatever $da$ says: the saturation that we drew in
# section 2.
#
# ### Exercise [[attention.backward]]: The backward pass of attention, by hand
# stretch · 40 minutes · 3 points
#
# Return $dQ$, $dK$ and $dV$ for an incoming $dY$, without autograd: the two equations above, then the chain
# rule through $Z = QK^\top / \sqrt d$. (Calling autograd would pass the check; the point is to see what it does.)
#
# <details><summary>Hint 1</summary>
#
# Recompute $A$ first. Then go backwards: $dV$ and $dA$ from $dY$, then $dZ$ from $dA$, then $dQ$ and $dK$
# from $dZ$.
# </details>
# <details><summary>Hint 2</summary>
#
# $\langle a, da \rangle$ is one number per query: the product, summed over the keys. Keep the dimension, so
# that it broadcasts.
# </details>
# <details><summary>Hint 3</summary>
#
# Shapes tell you where the transpose goes: $dZ$ is (T, S), $K$ is (S, d) and $dQ$ must be (T, d). The scale
# appears once in $dQ$ and once in $dK$.
# </details>

# %% exercise="attention.backward"
def attention_backward(
    Q: Float[Tensor, "B H T d"], K: Float[Tensor, "B H S d"], V: Float[Tensor, "B H S e"], dY: Float[Tensor, "B H T e"]
) -> tuple[Float[Tensor, "B H T d"], Float[Tensor, "B H S d"], Float[Tensor, "B H S e"]]:
    """The gradients dQ, dK, dV of sum(Y * dY), where Y is the attention of Q, K and V."""
    d = Q.shape[-1]
    ### BEGIN SOLUTION
    A = (Q @ K.mT / math.sqrt(d)).softmax(-1)   # (B, H, T, S)
    dV = A.mT @ dY                              # (B, H, S, e)
    dA = dY @ V.mT                              # (B, H, T, S)
    dZ = A * (dA - (A * dA).sum(-1, keepdim=True))
    dQ = dZ @ K / math.sqrt(d)                  # (B, H, T, d)
    dK = dZ.mT @ Q / math.sqrt(d)               # (B, H, S, d)
    return dQ, dK, dV
    ### END SOLUTION

# %% check="attention.backward"
check("attention.backward", attention_backward)

# %% [markdown]
# Train with it. Sixteen queries of width 256 must learn which of sixteen keys to read: query $i$ wants the
# value of key $i - 1$. Nothing learns but $Q$, by plain gradient descent with **your** gradients. Then we
# remove the scale. To be fair, each may choose the best of four learning rates. **Predict** how far the
# second gets.

# %%
backward = use("attention.backward", attention_backward)


def learn(factor, rate, steps=50, T=16, d=256):
    """Losses while Q learns by gradient descent; factor multiplies the scores."""
    torch.manual_seed(seed)
    Q, K = torch.randn(2, 1, 1, T, d, device=device)
    V = torch.eye(T, device=device)[None, None]
    losses = []
    for _ in range(steps):
        dY = attend(factor * Q, K, V) - V.roll(1, -2)             # (1, 1, T, T), the wanted value is i - 1
        losses.append(dY.square().sum(-1).mean().item() / 2)
        Q = Q - rate * factor * backward(factor * Q, K, V, dY)[0]
    return losses


runs = {}
for name, factor in (("with the scale", 1), ("without", math.sqrt(256))):
    runs[name] = min((learn(factor, rate) for rate in (0.01, 0.1, 1, 10)), key=lambda losses: losses[-1])
    print(f"{name:15} loss {', '.join(f'{runs[name][n]:.2f} after {n} steps' for n in (0, 20, 49))}")
show(
    curves(range(50), runs, x_label="steps of gradient descent", y_label="loss (half squared distance)"),
    alt="Loss over 50 steps at the best of four learning rates. With the scale it falls to 0 within 20 steps. "
    "Without it, it starts higher and stays far above 0.",
)

# %% [markdown]
# With the scale, the queries have found their keys after twenty steps. Without it, most of them start out
# fixed on a wrong key, where the derivative is zero, and stay there at each of the four rates. The
# division by $\sqrt d$ is no cosmetics: it decides whether there is anything to learn from.
#
# ## 7. Where am I?
#
# "Dog bites man" and "man bites dog" hold the same words. **Predict**: we shuffle the tokens before
# attention. What happens to the result?

# %% tags=["nbval-check-output"]
torch.manual_seed(seed)
X = torch.randn(1, 1, 6, 8)                                       # (B, H, T, d)
order = torch.randperm(6)
shuffled = X[:, :, order]
same = torch.allclose(attend(shuffled, shuffled, shuffled), attend(X, X, X)[:, :, order], atol=1e-6)
print("shuffling first and shuffling afterwards give the same:", same)

# %% [markdown]
# Without a causal mask, attention reads a **bag** of tokens: shuffle them, and each token gets what it got
# before, up to rounding. No training can repair that, because nothing in the equation knows about order. (A
# causal mask gives a hint of it: the tenth token sees ten keys.) We have to put order in. There are three good ways: add it to the tokens, turn the queries and keys, or change the scores.
#
# ### First way: add a position
# Counting 0, 1, 2, ... as one number would swamp the word. Writing the number in binary is better: many
# digits, some flip fast and some slowly. Sinusoids are binary digits made smooth:
#
# $$P_{p,\,2i} = \sin(p\,\omega_i), \qquad P_{p,\,2i+1} = \cos(p\,\omega_i), \qquad \omega_i = 10000^{-2i/D}$$

# %%
def positions_in_loops(T, D):
    P = torch.zeros(T, D)
    for p in range(T):
        for i in range(D // 2):
            angle = p / 10000 ** (2 * i / D)
            P[p, 2 * i], P[p, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return P                                                      # (T, D)


slow = positions_in_loops(100, 16)
lines = {f"dimension {k}": slow[:, k] for k in (0, 4, 8)}
show(
    curves(range(100), lines, x_label="position p (tokens)", y_label="entry of P"),
    alt="Three columns of the sinusoidal positions over 100 tokens: column 0 completes a wave every 6 tokens, column 4 "
    "every 63, and column 8 a sixth of a wave in all.",
)

# %% [markdown]
# ### Exercise [[attention.sinusoidal]]: Sinusoidal positions
# core · 10 minutes · 2 points
#
# Return the rows of $P$ for the given positions (Vaswani et al. 2017, section 3.5) without loops. The
# positions are integers in any order, may repeat and need not start at 0. $D$ is even. The result is `float32`,
# on the device of the positions.
#
# <details><summary>Hint 1</summary>
#
# Compute one table of angles, (T, D/2), from a column of positions and a row of frequencies.
# </details>
# <details><summary>Hint 2</summary>
#
# Sine and cosine alternate: 0, 2, 4, ... are sines and 1, 3, 5, ... cosines. Slices with a step of 2 reach
# them.
# </details>
# <details><summary>Hint 3</summary>
#
# Either fill `P[:, 0::2]` and `P[:, 1::2]`, or stack the two along a new last dimension and flatten the
# last two.
# </details>

# %% exercise="attention.sinusoidal"
def sinusoidal_positions(positions: Int[Tensor, "T"], D: int) -> Float[Tensor, "T D"]:
    """Row t holds sin and cos, in turns, of positions[t] times 10000^(-2i/D) for i = 0 ... D/2 - 1."""
    ### BEGIN SOLUTION
    i = torch.arange(D // 2, device=positions.device)
    w = 10000.0 ** (-2 * i / D)                 # (D/2)
    angles = positions[:, None] * w             # (T, D/2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)  # (T, D)
    ### END SOLUTION

# %% check="attention.sinusoidal"
check("attention.sinusoidal", sinusoidal_positions)

# %%
place = use("attention.sinusoidal", sinusoidal_positions)
torch.testing.assert_close(place(torch.arange(100), 16), slow, atol=1e-4, rtol=0)
P = place(torch.arange(64), 128)                                  # (T, D)
show(
    heatmap(P @ P.T, rows="position p", columns="position p'", unit="dot product"),
    alt="Table of dot products of the position vectors 0 to 63. It is brightest, 64, on the diagonal and fades with "
    "the distance from it; along each diagonal it is constant.",
)

# %% [markdown]
# Along each diagonal the table is constant: the dot product of two position vectors depends only on how far
# apart they are, $\sum_i \cos\big((p - p')\,\omega_i\big)$. Nearby positions are alike, whether they are 3
# and 5 or 53 and 55. But the vectors are *added* to words, so in the scores word and place are mixed. The
# next idea keeps the distance and loses the mixing.
#
# ### Second way: turn
# Turn a query by an angle proportional to its position, and a key by an angle proportional to **its**
# position. A dot product sees only the angle between the two. **Predict** which lines below agree.

# %% tags=["nbval-check-output"]
def turned(x, angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]]) @ x


q, k = torch.tensor([1.0, 0.5]), torch.tensor([0.8, -0.3])
for m, n in ((2, 0), (7, 5), (102, 100), (7, 4)):
    print(f"query at {m:3}, key at {n:3}: score {turned(q, 0.1 * m) @ turned(k, 0.1 * n):.4f}")

# %% [markdown]
# The first three agree: they all are 2 apart. In the language of complex numbers, $\langle q
# e^{\mathrm{i}m\theta}, k e^{\mathrm{i}n\theta} \rangle = \operatorname{Re}\big(q \bar k\,
# e^{\mathrm{i}(m-n)\theta}\big)$: only $m - n$ is left. This is RoPE, the rotary position embedding of Su
# et al. (2021), in most open models since Llama. A head of width $d$ has $d/2$ such pairs, and each turns
# at its own speed:
#
# $$\begin{pmatrix} x'_{2i} \\ x'_{2i+1} \end{pmatrix} =
# \begin{pmatrix} \cos p\theta_i & -\sin p\theta_i \\ \sin p\theta_i & \cos p\theta_i \end{pmatrix}
# \begin{pmatrix} x_{2i} \\ x_{2i+1} \end{pmatrix}, \qquad \theta_i = \text{base}^{-2i/d}$$
#
# ### Exercise [[attention.rotary]]: Rotary positions
# core · 25 minutes · 3 points
#
# Turn queries **and** keys. `positions` is (B, T): every sequence brings its own, they may be shifted and
# may have gaps. Pairs are neighbours, $(2i, 2i+1)$, as in the RoFormer paper. $K$ may have fewer heads than
# $Q$.
#
# <details><summary>Hint 1</summary>
#
# The angles do not depend on the head. Compute them once with shape (B, 1, T, d/2) and let them broadcast.
# </details>
# <details><summary>Hint 2</summary>
#
# Take the even entries `x[..., 0::2]` and the odd entries `x[..., 1::2]`, and apply the two rows of the
# matrix.
# </details>
# <details><summary>Hint 3</summary>
#
# Put the two results back in turns: stack along a new last dimension, then flatten it away. Do it in an
# inner function, and call that on $Q$ and on $K$. Keep the inputs' dtype.
# </details>

# %% exercise="attention.rotary"
def apply_rotary(
    Q: Float[Tensor, "B H T d"], K: Float[Tensor, "B G T d"], positions: Int[Tensor, "B T"], base: float = 10000.0
) -> tuple[Float[Tensor, "B H T d"], Float[Tensor, "B G T d"]]:
    """Q and K with every pair (2i, 2i+1) turned by the angle position * base^(-2i/d)."""
    d = Q.shape[-1]
    ### BEGIN SOLUTION
    i = torch.arange(d // 2, device=Q.device, dtype=torch.promote_types(Q.dtype, torch.float32))
    theta = base ** (-2 * i / d)                # (d/2), at least float32: large angles need it
    angle = positions[:, None, :, None] * theta  # (B, 1, T, d/2)
    cos, sin = angle.cos().to(Q.dtype), angle.sin().to(Q.dtype)

    def rotate(X):
        even, odd = X[..., 0::2], X[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

    return rotate(Q), rotate(K)
    ### END SOLUTION

# %% check="attention.rotary"
check("attention.rotary", apply_rotary)

# %%
rotary = use("attention.rotary", apply_rotary)
ones = torch.ones(1, 1, 256, 64)                                  # the same query and key at 256 positions
lines = {}
for shift in (0, 1000):
    Q, K = rotary(ones, ones, torch.arange(256)[None] + shift, 10000.0)
    lines[f"positions {shift} to {shift + 255}"] = (Q @ K.mT)[0, 0, :, 0]  # all queries, the first key
first, second = lines.values()
print(f"largest difference between the two: {(first - second).abs().max():.0e}")
show(
    curves(range(256), lines, x_label="distance between query and key (tokens)", y_label="score q·k"),
    alt="Score of equal queries and keys over their distance, for positions from 0 and from 1000. The two curves lie "
    "on each other: they fall from 64 to about 40 within 20 tokens and ripple slowly down to about 20.",
)

# %% [markdown]
# Shifted by a thousand tokens, the scores are the same up to rounding: the model sees distances, not
# positions. Here, where query and key are equal, far keys score lower on
# average, with ripples.
#
# A warning for your practice: Llama's published code turns neighbours $(2i, 2i+1)$, as we do; the Hugging
# Face version turns halves, $(i, i + d/2)$, and permutes the weights to match. Load the one's weights into
# the other's code and you get a model that babbles without any error.
#
# Which distances can the pairs tell apart? The fast ones see neighbours; the slow ones never finish a turn
# within the context. Turn the base and the context. Longer contexts want a larger base: Llama 3 uses
# 500,000 (Grattafiori et al. 2024).

# %%
from coursekit.widgets import rotary_frequencies

rotary_frequencies()

# %% [markdown]
# ## 8. What does it cost?
#
# While a model generates, it keeps the keys and values of all earlier tokens: the **KV cache**. With $L$
# layers, $G$ key/value heads of width $d$ and 2 bytes per number, one token costs
#
# $$2 \cdot L \cdot G \cdot d \cdot 2 \text{ bytes}.$$
#
# Llama 3 8B has $L = 32$, 32 query heads and $d = 128$ (Grattafiori et al. 2024). How much does one
# conversation of 8192 tokens hold?

# %% tags=["nbval-check-output"]
L, d, context = 32, 128, 8192
for G, name in ((32, "each query head has its own keys"), (8, "four query heads share"), (1, "all share")):
    print(f"G = {G:2}, {name:32} {2 * L * G * d * 2 * context / 2**30:.3f} GiB")

# %% [markdown]
# Four gibibytes for one reader, on a card that must serve hundreds. So let query heads **share** keys and
# values: one group for all is multi-query attention (Shazeer 2019), something in between is grouped-query
# attention (Ainslie et al. 2023). Llama 3 8B has $G = 8$.
#
# ### Exercise [[attention.grouped_query]]: Grouped-query attention
# core · 15 minutes · 2 points
#
# $H$ query heads read $G$ key/value heads, $G$ divides $H$. Query head $h$ reads group $\lfloor h / (H/G)
# \rfloor$: with $H = 4$, $G = 2$, heads 0 and 1 read group 0. Repeating the groups is fine, working without
# copies is better.
#
# <details><summary>Hint 1</summary>
#
# Write down which group each head reads, for $H = 6$ and $G = 3$: 0, 0, 1, 1, 2, 2. Neighbours share.
# </details>
# <details><summary>Hint 2</summary>
#
# `repeat` tiles (0, 1, 2, 0, 1, 2), `repeat_interleave` repeats each (0, 0, 1, 1, 2, 2).
# </details>
# <details><summary>Hint 3</summary>
#
# Without copies: view $Q$ as (B, G, H/G, T, d), give $K$ and $V$ a dimension of size 1 in that place,
# attend, and flatten dimensions 1 and 2 of the result.
# </details>

# %% exercise="attention.grouped_query"
def grouped_query_attention(
    Q: Float[Tensor, "B H T d"], K: Float[Tensor, "B G S d"], V: Float[Tensor, "B G S e"]
) -> Float[Tensor, "B H T e"]:
    """Attention in which query head h reads key/value head h // (H // G)."""
    H, G, d = Q.shape[1], K.shape[1], Q.shape[-1]
    ### BEGIN SOLUTION
    Q = Q.unflatten(1, (G, H // G))             # (B, G, H/G, T, d)
    Z = Q @ K[:, :, None].mT / math.sqrt(d)     # (B, G, H/G, T, S)
    Y = Z.softmax(-1) @ V[:, :, None]           # (B, G, H/G, T, e)
    return Y.flatten(1, 2)                      # (B, H, T, e)
    ### END SOLUTION

# %% check="attention.grouped_query"
check("attention.grouped_query", grouped_query_attention)

# %%
share = use("attention.grouped_query", grouped_query_attention)
with torch.no_grad():
    X = hidden_states(sentence)[layer]                            # (1, T, D)
    W = bert.attention.self
    Q, K, V = (split(projection(X), H) for projection in (W.query, W.key, W.value))
exact = attend(Q, K, V)                                           # (1, H, T, d)
for G in (12, 6, 4, 3, 2, 1):                                     # average the heads of each group
    K_G, V_G = (P.unflatten(1, (G, H // G)).mean(2) for P in (K, V))  # (1, G, T, d)
    error = (share(Q, K_G, V_G) - exact).norm() / exact.norm()
    print(f"G = {G:2}: cache {G / H:4.0%}, result moves by {error:4.0%}")

# %% [markdown]
# Can a trained model be made to share afterwards? We averaged the keys and values of each group in one real
# layer, as Ainslie et al. do. Even half the cache changes the result by most of its size: these heads were
# not trained to share. The paper's way out: train on for 5% of the original compute. Models of today share
# from their first step.
#
# ### See only the neighbourhood
# The cache still grows with every token. A **window** of $W$ keys ends that: Mistral 7B sees 4096 keys per
# layer (Jiang et al. 2023) and forgets the rest.
#
# ### Exercise [[attention.sliding_window]]: Sliding-window attention
# core · 15 minutes · 2 points
#
# Causal, and no further back than the window: query $i$ sees key $j$ when $i - \text{window} < j \le i$.
# With `window=1` a token sees itself alone. Here $T = S$. **Predict** before you run the picture below it:
# with a window of 5, how far back does the fourth layer reach?
#
# <details><summary>Hint 1</summary>
#
# Two conditions, one for each side. Write both for query 3 and window 2: which keys does it see?
# </details>
# <details><summary>Hint 2</summary>
#
# Query 3 with window 2 sees keys 2 and 3. The distance $i - j$ runs from 0 to window - 1.
# </details>
# <details><summary>Hint 3</summary>
#
# Subtract a row of positions from a column of positions, and keep the distances that are in range.
# </details>

# %% exercise="attention.sliding_window"
def sliding_window_attention(
    Q: Float[Tensor, "B H T d"], K: Float[Tensor, "B H T d"], V: Float[Tensor, "B H T e"], window: int
) -> Float[Tensor, "B H T e"]:
    """Causal attention in which each query sees itself and the window - 1 keys before it."""
    T, d = Q.shape[-2:]
    ### BEGIN SOLUTION
    t = torch.arange(T, device=Q.device)
    back = t[:, None] - t                       # (T, T), how far key j lies behind query i
    allowed = (back >= 0) & (back < window)
    Z = Q @ K.mT / math.sqrt(d)                 # (B, H, T, T)
    return Z.masked_fill(~allowed, -torch.inf).softmax(-1) @ V
    ### END SOLUTION

# %% check="attention.sliding_window"
check("attention.sliding_window", sliding_window_attention)

# %%
window = use("attention.sliding_window", sliding_window_attention)
Q = torch.zeros(1, 1, 32, 4)                                      # all scores 0
reach = torch.eye(32)[None, None]                                 # (1, 1, T, T)
panels = {}                                                       # row i: what of each input has arrived at i
for n in range(1, 5):
    reach = window(Q, Q, reach, 5)
    if n in (1, 2, 4):
        panels[f"{n} layer{'s' * (n > 1)}: {(reach[0, 0, -1] > 0).sum()} tokens"] = reach[0, 0]
show(
    heatmap(panels, rows="token", columns="input token", unit="share (0.25 and more: yellow)", limits=(0, 0.25)),
    alt="How much of each input token arrives after 1, 2 and 4 layers with a window of 5. The band below the diagonal "
    "grows wider and fainter: 5, 9 and 17 tokens.",
)

# %% [markdown]
# We stacked layers of uniform attention and started from the identity, so that row $i$ shows how much of
# each input token has arrived at token $i$. Each layer adds window - 1 tokens: four layers with a window of
# 5 reach 17 tokens, ever more faintly. Information travels like gossip.
#
# ### The table that nobody needs
# Even with a small cache, $A$ itself has $T^2$ entries: at 32,768 tokens that is 4 GiB per head in
# `float32`. But we only want $Y = AV$. Could we read the keys in blocks, and forget each block? The softmax
# seems to forbid it: its maximum and its sum need all scores. The way round is to keep three running
# numbers and repair them when the maximum grows (Milakov and Gimelshein 2018):
#
# $$m' = \max(m, z_j), \qquad n' = n\,e^{m - m'} + e^{z_j - m'}, \qquad y' = y\,e^{m - m'} + e^{z_j - m'} v_j$$

# %% tags=["nbval-check-output"]
torch.manual_seed(seed)
z, v = 10 * torch.randn(1000, dtype=torch.float64), torch.randn(1000, dtype=torch.float64)
m, n, y = -math.inf, 0.0, 0.0
for z_j, v_j in zip(z.tolist(), v.tolist(), strict=True):
    m, old = max(m, z_j), m
    repair, weight = math.exp(old - m), math.exp(z_j - m)
    n = n * repair + weight
    y = y * repair + weight * v_j
print(f"one score at a time {y / n:.6f}, all at once {z.softmax(0) @ v:.6f}")

# %% [markdown]
# Six equal digits, and no more than three numbers in memory. The same with blocks instead of single scores
# is **FlashAttention** (Dao et al. 2022).
#
# ### Exercise [[attention.blockwise]]: Attention in blocks, with the online softmax
# stretch · 40 minutes · 4 points
#
# For each block of queries, go through the blocks of keys and keep $m$, $n$ and $y$ for each query. The
# result is equal for any `block` (the last one may be shorter), with and without `causal`; when
# causal, $T = S$. The check also looks at the **largest tensor** that you make: neither all scores nor those
# of a block of queries with all keys are small enough. (NumPy's arrays and lists are counted, too.)
#
# <details><summary>Hint 1</summary>
#
# Two nested loops, `range(0, T, block)` and `range(0, S, block)`. A slice that runs over the end is cut for
# you. $m$ and $n$ have shape (B, H, rows, 1), $y$ has (B, H, rows, e).
# </details>
# <details><summary>Hint 2</summary>
#
# The three equations hold for a block when $\max$ and sums run over its keys, and $e^{z - m'} v$ becomes a
# matrix product. Divide by $n$ once, when all blocks of keys are through.
# </details>
# <details><summary>Hint 3</summary>
#
# Causal: compare the positions of the block's rows and columns, and fill with $-\infty$. The first block of
# keys holds key 0, which every query may see, so $m$ is finite from then on. Collect the results in a list
# and concatenate. A mask for all $T \times S$ would be the large tensor that we came to avoid.
# </details>

# %% exercise="attention.blockwise"
def blockwise_attention(
    Q: Float[Tensor, "B H T d"], K: Float[Tensor, "B H S d"], V: Float[Tensor, "B H S e"], block: int, causal: bool
) -> Float[Tensor, "B H T e"]:
    """Attention by the online softmax: no tensor is larger than the inputs, the result or one block of scores."""
    T, S, d = Q.shape[-2], K.shape[-2], Q.shape[-1]
    ### BEGIN SOLUTION
    rows = []
    for t in range(0, T, block):
        q = Q[:, :, t : t + block] / math.sqrt(d)
        i = torch.arange(t, t + q.shape[-2], device=Q.device)[:, None] + S - T
        m = torch.full_like(q[..., :1], -torch.inf)  # (B, H, rows, 1), running maximum
        n = torch.zeros_like(m)                 # running sum
        y = torch.zeros_like(q[..., :1] * V[..., :1, :])  # (B, H, rows, e), running mix
        for s in range(0, S, block):
            k, v = K[:, :, s : s + block], V[:, :, s : s + block]
            z = q @ k.mT                        # (B, H, rows, columns)
            if causal:
                j = torch.arange(s, s + k.shape[-2], device=Q.device)
                z = z.masked_fill(j > i, -torch.inf)
            m, old = torch.maximum(m, z.amax(-1, keepdim=True)), m
            repair, a = (old - m).exp(), (z - m).exp()
            n = n * repair + a.sum(-1, keepdim=True)
            y = y * repair + a @ v
        rows.append(y / n)
    return torch.cat(rows, 2)                   # (B, H, T, e)
    ### END SOLUTION

# %% check="attention.blockwise"
check("attention.blockwise", blockwise_attention)

# %%
from coursekit.checking.probing import LargestTensor

blocks = use("attention.blockwise", blockwise_attention)
ways = {
    "plain": lambda Q, K, V: (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) @ V,
    "in blocks of 64": lambda Q, K, V: blocks(Q, K, V, 64, False),
}
lengths = [2**n for n in range(8, {"smoke": 11, "fast": 13, "full": 15}[profile])]
memory = {name: [] for name in ways}
for T in lengths:
    Q, K, V = (torch.randn(1, 1, T, 32, device=device) for _ in range(3))
    for name, way in ways.items():
        with torch.no_grad(), LargestTensor() as largest:
            way(Q, K, V)
        memory[name].append(largest.elements * 4 / 2**20)         # float32 takes 4 bytes
print(f"T = {T}: " + ", ".join(f"{name} {found[-1]:.2f} MiB" for name, found in memory.items()))
show(
    curves(lengths, memory, x_label="sequence length T (tokens, log scale)", y_label="largest tensor (MiB, log scale)",
           log="xy", marker="o"),
    alt="Largest tensor over the sequence length, both axes logarithmic. The plain formula grows with the square of "
    "the length; in blocks it grows in proportion to the length and stays far smaller.",
)

# %% [markdown]
# Twice the length, four times the memory: that is the plain formula. In blocks nothing is larger than the
# result itself. It is the same function, to the last digits, and no approximation.

# %%
quiz("attention.blockwise")

# %% [markdown]
# ## 9. A penalty on distance
#
# The third way to tell a model about order is the simplest: subtract from each score a number that grows
# with the distance. **ALiBi** (Press et al. 2022) does that, with a different slope $m_h$ for each head:
#
# $$z_{ij} = \frac{q_i \cdot k_j}{\sqrt d} - m_h\,(i - j), \qquad m_h = 2^{-8h/H}, \qquad h = 1, \dots, H$$
#
# Nothing is added to the words and nothing is learned. The paper trains on short texts and reads long ones.
#
# ### Exercise [[attention.alibi]]: ALiBi, a penalty on distance
# core · 15 minutes · 2 points
#
# Causal attention with the penalty above. $H$ is a power of two. Careful: $h$ counts from 1.
#
# <details><summary>Hint 1</summary>
#
# Three ingredients: a slope for each head, a distance for each pair, a causal mask.
# </details>
# <details><summary>Hint 2</summary>
#
# The slopes need shape (H, 1, 1) to meet distances of shape (T, T). For $H = 8$ they are 1/2, 1/4, ...,
# 1/256.
# </details>
# <details><summary>Hint 3</summary>
#
# The penalty is not divided by $\sqrt d$. Subtract it from the scaled scores, then mask, then softmax. Give
# the slopes the dtype of $Q$.
# </details>

# %% exercise="attention.alibi"
def alibi_attention(
    Q: Float[Tensor, "B H T d"], K: Float[Tensor, "B H T d"], V: Float[Tensor, "B H T e"]
) -> Float[Tensor, "B H T e"]:
    """Causal attention whose scores fall by m_h for each token of distance, m_h = 2^(-8h/H), h = 1 ... H."""
    H, T, d = Q.shape[-3:]
    ### BEGIN SOLUTION
    h = torch.arange(1, H + 1, device=Q.device, dtype=Q.dtype)
    m = 2.0 ** (-8 * h / H)                     # (H)
    t = torch.arange(T, device=Q.device)
    distance = t[:, None] - t                   # (T, T)
    Z = Q @ K.mT / math.sqrt(d) - m[:, None, None] * distance
    A = Z.masked_fill(distance < 0, -torch.inf).softmax(-1)  # (B, H, T, T)
    return A @ V                                # (B, H, T, e)
    ### END SOLUTION

# %% check="attention.alibi"
check("attention.alibi", alibi_attention)

# %%
alibi = use("attention.alibi", alibi_attention)
Q = torch.zeros(1, 8, 64, 4)                                      # (B, H, T, d), all scores 0
weights = alibi(Q, Q, torch.eye(64).expand(1, 8, 64, 64))[0, :, -1].flip(-1)  # (H, distance)
lines = {f"head {h}, slope 1/{2**h}": weights[h - 1] for h in (1, 3, 5, 8)}
show(
    curves(range(64), lines, x_label="distance to the key (tokens)", y_label="attention weight"),
    alt="ALiBi's weights over the distance for four of eight heads. Head 1 sees only the last few tokens, head 3 about "
    "twenty, head 5 leans to the recent ones, and head 8 looks at all 64 almost equally.",
)

# %% [markdown]
# With all scores 0, only the penalty speaks: eight soft windows of different widths. Head 1 is a specialist
# for the last few tokens, head 8 hardly notices distance. Compare the sliding window: there the edge is
# sharp, and the same for all.
#
# ## 10. A block
#
# A transformer is a stack of equal **blocks**. You may have seen one written as
#
# $$\operatorname{LayerNorm}(X + \operatorname{MultiHead}(X)).$$
#
# **That is only half a block.** Attention mixes tokens, but each result is an average of linear maps. The
# thinking about what was fetched happens in the second half, a feed-forward network for each token on its
# own, and most of the weights are there.
#
# The whole block, in the order of 2017 (**post-norm**, BERT) and in the order that trains more calmly
# (**pre-norm**, GPT-2 and nearly everything since; Xiong et al. 2020):
#
# $$\begin{aligned}
# \text{post:}\quad X' &= \operatorname{Norm}_1(X + \operatorname{MultiHead}(X)), & Y &= \operatorname{Norm}_2(X' + \operatorname{FFN}(X')) \\
# \text{pre:}\quad X' &= X + \operatorname{MultiHead}(\operatorname{Norm}_1(X)), & Y &= X' + \operatorname{FFN}(\operatorname{Norm}_2(X'))
# \end{aligned}$$
#
# with $\operatorname{FFN}(x) = W_2 \operatorname{GELU}(W_1 x + b_1) + b_2$.
#
# ### Exercise [[attention.block]]: A transformer block
# core · 20 minutes · 3 points
#
# `__init__` and `attention` are given; write `forward`. When `norm_first` is True the block is pre-norm,
# otherwise post-norm. `linear1` and `linear2` are $W_1$ and $W_2$ with their biases.
#
# <details><summary>Hint 1</summary>
#
# Four lines of equations are two branches of two lines. In each line, find the residual: what is added to
# what?
# </details>
# <details><summary>Hint 2</summary>
#
# In post-norm the normalised sum goes on. In pre-norm the stream itself is never normalised, only what a
# branch reads.
# </details>
# <details><summary>Hint 3</summary>
#
# Write a small inner function for the feed-forward network, with `nn.functional.gelu` between the two
# layers. The second half reads the first half's result, and adds to it.
# </details>

# %% exercise="attention.block"
class TransformerBlock(nn.Module):
    """Attention and a feed-forward network, each with residual and norm; weights as nn.TransformerEncoderLayer's."""

    def __init__(self, D: int, H: int, F: int, norm_first: bool):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(D, H, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(D, F), nn.Linear(F, D)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.norm_first = norm_first

    def attention(self, X: Float[Tensor, "B T D"], allowed: Bool[Tensor, "..."] | None) -> Float[Tensor, "B T D"]:
        """MultiHead(X); a token reads only where allowed, which broadcasts to (B, H, T, T)."""
        if allowed is not None:  # nn.MultiheadAttention wants one matrix per head, True where it must not look
            B, T, H = *X.shape[:2], self.self_attn.num_heads
            allowed = ~allowed.expand(B, H, T, T).flatten(0, 1)  # (B H, T, T)
        return self.self_attn(X, X, X, attn_mask=allowed, need_weights=False)[0]

    def forward(self, X: Float[Tensor, "B T D"], allowed: Bool[Tensor, "..."] | None = None) -> Float[Tensor, "B T D"]:
        ### BEGIN SOLUTION
        def network(X):
            return self.linear2(nn.functional.gelu(self.linear1(X)))

        if self.norm_first:
            X = X + self.attention(self.norm1(X), allowed)
            return X + network(self.norm2(X))
        X = self.norm1(X + self.attention(X, allowed))
        return self.norm2(X + network(X))
        ### END SOLUTION

# %% check="attention.block"
check("attention.block", TransformerBlock)

# %%
Block = use("attention.block", TransformerBlock)


@torch.no_grad()
def block_of(bert_layer):
    """A block with the weights of one BERT layer."""
    block = Block(D, H, encoder.model.config.intermediate_size, norm_first=False).to(device).eval()
    block.self_attn.load_state_dict(attention_weights(bert_layer))
    block.linear1.load_state_dict(bert_layer.intermediate.dense.state_dict())
    block.linear2.load_state_dict(bert_layer.output.dense.state_dict())
    block.norm1.load_state_dict(bert_layer.attention.output.LayerNorm.state_dict())
    block.norm2.load_state_dict(bert_layer.output.LayerNorm.state_dict())
    block.norm1.eps = block.norm2.eps = encoder.model.config.layer_norm_eps
    return block


blocks = nn.ModuleList([block_of(bert_layer) for bert_layer in encoder.model.encoder.layer])
ffn, everything = (sum(p.numel() for n, p in blocks.named_parameters() if part in n) for part in ("linear", ""))
print(f"{len(blocks)} blocks hold {everything:,} numbers, {ffn / everything:.0%} of them in the feed-forward networks")

# %%
@torch.no_grad()
def encode(texts):
    """A unit vector (D) for each text: the mean of its tokens after the last block."""
    inputs = encoder.tokenizer(texts, padding=True, return_tensors="pt").to(device)
    real = inputs["attention_mask"].bool()                        # (B, T), False on padding
    X = encoder.model.embeddings(inputs["input_ids"])             # (B, T, D)
    for block in blocks:
        X = block(X, real[:, None, None, :])
    mean = (X * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
    return nn.functional.normalize(mean, dim=-1)                  # (B, D)


theirs = nn.functional.normalize(hidden_states(sentence)[-1].mean(1), dim=-1)
print(f"largest difference from the encoder: {(encode([sentence]) - theirs).abs().max():.0e}")


shelf = [
    "My brother lost his keys, so we helped him find them.",
    "The bank raised its interest rates.",
    "She sat on the grassy bank and watched the water.",
    "He opened the door with a spare from the neighbour.",
]
likeness = (encode(shelf) @ encode(["How do I get into my flat without what opens it?"]).T)[:, 0]  # (4)
for k in likeness.argsort(descending=True).tolist():
    print(f"{likeness[k]:5.2f}  {shelf[k]}")

# %% [markdown]
# Your blocks, loaded with the encoder's weights, **are** the encoder. All that was left are the embeddings
# below them and an average above. Its sentence vectors are made for search: put your own question into the
# cell above.
#
# ### Break it on purpose
# What is each part for? We send 16 random tokens through a stack of fresh layers and measure how different the
# tokens still are: the spread around their mean, relative to their size. Then we leave parts out.
#
# **Predict**: without the residual, what becomes of 16 different tokens?

# %%
layers = 6 if profile == "smoke" else 24


@torch.no_grad()
def spreads(step):
    """How different the tokens are after each layer: 1 means as at random, 0 means all equal."""
    torch.manual_seed(seed)
    X, found = torch.randn(1, 16, 64), []
    for _ in range(layers):
        X = step(Block(64, 4, 256, norm_first=False).eval(), X)   # a fresh block in each layer
        found.append(((X - X.mean(1, keepdim=True)).norm() / X.norm()).item())
    return found


parts = {
    "whole block": lambda block, X: block(X),
    "half a block": lambda block, X: block.norm1(X + block.self_attn(X, X, X)[0]),
    "attention, no residual": lambda block, X: block.norm1(block.self_attn(X, X, X)[0]),
}
depth = {name: spreads(step) for name, step in parts.items()}
print({name: f"{found[5]:.0e} after 6 layers" for name, found in depth.items()})
show(
    curves(range(1, layers + 1), depth, x_label="layers", y_label="spread of the tokens (log scale)", log="y"),
    alt="Spread of the tokens over the layers, logarithmic. With residuals it stays above one half. Attention without residual "
    "falls below one millionth within four layers: all tokens are equal.",
)

# %% [markdown]
# An average of averages of averages: without the residual, six layers make all tokens equal, down to the
# rounding error, and nothing after that can tell them apart. Dong et al. (2021) prove that pure attention
# loses rank doubly exponentially with depth. The residual is what keeps a token itself. The half block has
# it too: what it lacks is not variety, but the two thirds of the weights that work on what was fetched.
#
# ## What you can do now
#
# You have
# 1. written attention and its gradients yourself, from the softmax to the six layers of a pretrained
#    encoder;
# 2. masked what a token may not see, and explained what goes wrong when the mask is in the wrong place;
# 3. told a model where its tokens stand, with sinusoids, rotations and a penalty on distance;
# 4. said what attention costs in memory, and cut that cost with shared heads, windows and blocks.
#
# ## Where this leads
#
# - **FlashAttention** (Dao et al. 2022; Dao 2023; Shah et al. 2024) is your exercise [[attention.blockwise]] inside a GPU's
#   fast memory, with exercise [[attention.backward]] recomputing $A$ block by block on the way back.
# - **Grouped queries** are in Llama 3 (Grattafiori et al. 2024), Mistral (Jiang et al. 2023) and most open
#   models. **Multi-head latent attention** (DeepSeek-V2, 2024) goes further: it caches one small vector per
#   token and rebuilds keys and values from it.
# - **Longer contexts** stretch the rotary frequencies: position interpolation (Chen et al. 2023), YaRN
#   (Peng et al. 2024).
# - **Endless streams** keep a window and the first few tokens, the sinks of section 5 (Xiao et al. 2024).
# - **Without the softmax**, attention becomes a recurrence with constant memory: linear attention
#   (Katharopoulos et al. 2020), Mamba-2 and its duality (Dao and Gu 2024).
# - **What heads do** is a science of its own: induction heads (Olsson et al. 2022), and whether weights
#   explain anything (Jain and Wallace 2019; Wiegreffe and Pinter 2019).
#
# ## Papers
#
# - Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762): sections 3 and 3.5
# - Su et al. 2021, [RoFormer](https://arxiv.org/abs/2104.09864); Press et al. 2022, [Train Short, Test
#   Long](https://arxiv.org/abs/2108.12409)
# - Shazeer 2019, [Fast Transformer Decoding](https://arxiv.org/abs/1911.02150); Ainslie et al. 2023,
#   [GQA](https://arxiv.org/abs/2305.13245); Jiang et al. 2023, [Mistral
#   7B](https://arxiv.org/abs/2310.06825)
# - Milakov and Gimelshein 2018, [Online Normalizer Calculation](https://arxiv.org/abs/1805.02867); Dao et
#   al. 2022, [FlashAttention](https://arxiv.org/abs/2205.14135)
# - Xiong et al. 2020, [On Layer Normalization](https://arxiv.org/abs/2002.04745); Dong et al. 2021,
#   [Attention Is Not All You Need](https://arxiv.org/abs/2103.03404)
# - Clark et al. 2019, [What Does BERT Look At?](https://arxiv.org/abs/1906.04341); Xiao et al. 2024,
#   [Attention Sinks](https://arxiv.org/abs/2309.17453)
# - Grattafiori et al. 2024, [The Llama 3 Herd of Models](https://arxiv.org/abs/2407.21783)
#
# *Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Code: BSD 3-Clause. Copyright: the authors of this course.*

# %%
progress()
