# ---
# jupyter:
#   coursekit:
#     title: Attention
#     question: How does a word find the other words that matter to it?
#     goals:
#       - Write attention and its gradients yourself, from the softmax to the six layers of a pretrained encoder (sections 2 to 7 and 10).
#       - Mask what a token may not see, and explain what goes wrong when the mask is in the wrong place (section 5).
#       - Tell a model where its tokens stand, with sinusoids, rotations or a penalty on distance (section 8).
#       - Say what attention costs in memory and time, and cut the cost with shared heads, windows and blocks (section 9).
#       - Train an attention layer, and show by ablation which of its parts finds the right token (section 11).
#     minutes: 480
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
# back. Attention is how a neural network looks back. Nearly every large language model of today is a stack
# of it.
#
# When you have finished this chapter you will be able to
# 1. write attention and its gradients yourself, up to the six layers of a pretrained encoder (sections 2 to 7, 10);
# 2. mask what a token may not see, and say what a misplaced mask does (section 5);
# 3. tell a model where its tokens stand (section 8);
# 4. count what attention costs, and cut the cost (section 9);
# 5. train an attention layer, and show which part of it finds the right token (section 11).

# %% [markdown]
# It takes about eight hours in six sittings of 75 to 85 minutes. Your progress is kept, so stop where you
# like. You need matrix products, the chain rule, PyTorch tensors with autograd, and `nn.Module`.
#
# **Sitting 1 of 6**, 75 minutes, sections 1 to 3. Do exercises [[attention.softmax]] and [[attention.sdpa]], on which
# everything else stands. The slider at the end of section 3 may be left out.

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
from coursekit import came_out, check, diagram, predict, progress, quiz, show, use
from coursekit.figures import curves, heatmap
profile, device = ck.profile(profile), ck.device(device)

# %% [markdown]
# ## 1. Watch it work
#
# Before any formula, here is a real encoder. It was trained on a billion pairs of sentences, says its model
# card. We give it one sentence and ask for its attention weights $A$, one matrix for each layer and head.
# Every head has its own habit. We let the computer find the head in which *him* looks hardest at *brother*
# and *them* at *keys*. (That is picking the prettiest of many. Hold the thought, we come back to it.)
#
# The encoder reads [[term: token | a piece of text with an entry in the vocabulary: here mostly whole words]]s,
# pieces of text that have an entry in its vocabulary, here mostly whole words. It adds two of its own, *[CLS]*
# before the sentence and *[SEP]* behind it.

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

# %%
him, them = (A[layer, head, i, j].item() for i, j in pairs)
fig = heatmap(A[layer, head], row_labels=tokens, column_labels=tokens)
marked = {"s": 190, "marker": "s", "facecolor": "none", "edgecolor": "white"}
fig.axes[0].scatter([j for _, j in pairs], [i for i, _ in pairs], **marked)
show(fig, "attention.pronouns", him=him, them=them)

# %% [markdown]
# Read it row by row. A row is a [[term: query | the token that looks, and the vector it asks with]], a token
# that looks. A column is a [[term: key | a token that is looked at, and the vector it is found by]], a token
# that is looked at. Bright means a large [[term: attention weight | what share of a query's mix comes from a
# key: positive, and each query's weights sum to 1]]. It says how much of its attention a query gives to a key, and
# each row sums to 1. No rule about pronouns was written into this model.
#
# What does a token do with its weights? It mixes the others into itself. So the same word gets a different
# vector in a different sentence.

# %%
predict("attention.bank")

# %%
@torch.no_grad()
def hidden_states(text):
    """The vectors of all tokens before the first layer and after each one: L + 1 tensors (1, T, D)."""
    inputs = encoder.tokenizer(text, return_tensors="pt").to(device)
    return encoder.model(**inputs, output_hidden_states=True).hidden_states


def bank(text):
    where = attentions(encoder, text)[0].index("bank")            # the fifth token after [CLS] in all three
    return torch.cat(hidden_states(text))[:, where].cpu()         # (L + 1, D)


river, likeness = bank("He swam to the bank of the river."), {}
for name, text in (("lake", "He swam to the bank of the lake."), ("cash", "He drove to the bank to withdraw cash.")):
    likeness[name] = torch.cosine_similarity(river, bank(text), dim=-1)  # (L + 1)
    print(f"river and {name}: {likeness[name][0]:.2f} before the first layer, {likeness[name][-1]:.2f} after the last")
came_out("attention.bank", round(likeness["cash"][-1].item(), 2))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Before the first layer the vectors are the same, one entry of the vocabulary plus its place, and *bank*
# stands at the same place in all three. After the last layer the two banks beside water have stayed close.
# The bank with the cash has moved away, because it has read its neighbours.
# </details>
#
# So attention lets a token **ask**, **find** and **fetch**. We now build it, one small piece at a time.

# %% [markdown]
# ## 2. A dictionary for inexact keys
#
# A Python dictionary answers when the key fits exactly. Suppose four weather stations stand north, east,
# south and west of you, and you ask for the north-north-east. No key fits. A good answer compares your
# query $q$ with every key $k_j$, turns the likenesses into weights $a_j$, and mixes the
# [[term: value | what a key hands over when it is found]]s $v_j$, the temperatures that the stations hand over.
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
# With strength 0 every station counts the same. With strength 30 we are back at a dictionary, and only
# *north* answers. In between lies something better, and unlike a hard choice it has a gradient, so it can
# learn where to look.
#
# Everything rests on the [[term: softmax | turns any numbers, the scores or logits, into positive ones that sum to 1]].
# It turns any numbers, the **scores** (or logits), into positive ones that sum to 1.
#
# [[formula: Softmax | z (..., S), the result likewise; it sums to 1 over the last dimension]]
#
# $$\operatorname{softmax}(z)_j = \frac{e^{z_j}}{\sum_k e^{z_k}}$$
#
# Below we type the formula as it stands, for the scores 1 and 2, then for both of them plus 90, and both
# minus 120. The difference between the two is always 1.

# %%
predict("attention.overflow")

# %% tags=["nbval-check-output"]
shifts = (0.0, 90.0, -120.0)
typed = [torch.tensor([1.0, 2.0]) + shift for shift in shifts]
typed = [z.exp() / z.exp().sum() for z in typed]
for shift, a in zip(shifts, typed, strict=True):
    print(f"scores 1 and 2, plus {shift:6}:", [round(x, 2) for x in a.tolist()])

# %%
came_out("attention.overflow", sum(bool(a.isfinite().all()) for a in typed))

# %% [markdown]
# <details><summary>What happened</summary>
#
# $e^{91}$ is larger than the largest `float32` (about $3.4 \cdot 10^{38}$, which is $e^{88.7}$), so it
# becomes infinity, and infinity over infinity is NaN. At the other end $e^{-118}$ underflows to 0, and 0
# over 0 is NaN too. But softmax does not change when you add the same number to every score, since numerator
# and denominator both get the factor $e^{\text{shift}}$. So choose the shift yourself.
# </details>

# %% [markdown]
# ### Exercise [[attention.softmax]]: Softmax over any dimension
# core · importance 5 of 5 · 10 minutes · 2 points
#
# $$\operatorname{softmax}(x)_j = \frac{e^{x_j - m}}{\sum_k e^{x_k - m}}, \qquad m = \max_k x_k$$
#
# Write it for a tensor of any shape, along the dimension `dim`. It must survive scores of ±1000, and
# entries of $-\infty$ next to finite ones (they get weight exactly 0). `torch.softmax` would pass the check,
# and you would have learned nothing. Build it from `exp`.
#
# One rule for all exercises is that the result has the dtype and the device of the inputs. A fresh buffer is
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
# `x.amax(dim, keepdim=True)` keeps the dimension with size 1, so that it broadcasts against `x`. The sum wants the
# same argument.
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
jacobian = a.diag_embed() - a[:, :, None] * a[:, None, :]         # (60, 5, 5), derived in section 7
lines = {"largest weight": a[:, 0], "second weight": a[:, 1], "smallest weight": a[:, 4]}
lines["size of the derivative"] = jacobian.flatten(1).norm(dim=1)
flat = c[lines["size of the derivative"] > 0.01].max().item()
fig = curves(c, lines, x_label="factor c on the scores (log scale)", y_label="weight, derivative", log="x")
show(fig, "attention.saturation", flat=flat)

# %% [markdown]
# We multiplied five fixed scores by a factor $c$. On the left the softmax is an average, on the right a
# hard choice, and there its derivative is next to zero. (The derivatives of five weights with respect to five scores
# are a matrix, the [[term: Jacobian | the matrix of the derivatives of each output with respect to each input]].
# Its size is the root of the sum of its squared entries, the
# [[term: Frobenius norm | the root of the sum of all squared entries of a matrix]].)
# The softmax has **saturated**. Whatever it chose, it can hardly learn to choose otherwise.

# %%
quiz("attention.softmax")

# %% [markdown]
# ## 3. Scaled dot-product attention
#
# Now every token asks at once. $T$ queries of width $d$ are the rows of $Q$; $S$ keys are the rows of $K$;
# each key brings a value of width $e$, a row of $V$. One row at a time, this is
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
# core · importance 5 of 5 · 15 minutes · 2 points
#
# [[formula: Scaled dot-product attention | Q (B, H, T, d), K (B, H, S, d), V (B, H, S, e), A (B, H, T, S), Y (B, H, T, e)]]
#
# $$Z = \frac{QK^\top}{\sqrt d}, \qquad A = \operatorname{softmax}(Z), \qquad Y = AV$$
#
# The same without loops, for $B$ sequences and $H$ heads at once (Vaswani et al. 2017, equation 1).
# Gradients must flow through it, and its inputs may be non-contiguous. Before you write it, ask yourself what
# shape $A$ has, and along which of its dimensions it must sum to 1.
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
# $d$ is the width of one query, `Q.shape[-1]`, neither $e$ nor the width of the whole model. Divide the scores by its
# square root, and take the softmax over the keys, the last dimension of the scores.
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
    rows = slice(head * d, (head + 1) * d)
    return weights.query(X)[:, None, :, rows].detach(), weights.key(X)[:, None, :, rows].detach()


Q_real, K_real = real_queries_and_keys(layer, head)
identity = torch.eye(len(tokens), device=device)[None, None]      # as values: A I = A, we get the weights
difference = (attend(Q_real, K_real, identity)[0, 0].cpu() - A[layer, head]).abs().max()
assert difference < 1e-5, f"found a difference of {difference:.0e} from the encoder's own weights"
print("your weights and the encoder's own differ by less than 1e-05")

# %% [markdown]
# Your function agrees with the loops, and it can read a real head. We gave it the queries and keys of the
# head from section 1. (Where these come from is the next section's subject.) The trick is worth keeping. With
# the **identity** as values, attention returns its own weights, because $A I = A$. The heat map at the start
# of this chapter was nothing but your three lines.
#
# ### Why divide by $\sqrt d$?
# A score is a sum of $d$ products. If the entries of $q$ and $k$ are independent with mean 0 and variance
# 1, each product has variance 1, so the score has variance $d$. Its typical distance from 0 is the root of that, a
# [[term: standard deviation | the spread of numbers around their mean, the root of the variance]] of $\sqrt d$.
#
# [[formula: Variance of a score | q, k (d), independent entries of mean 0 and variance 1]]
#
# $$\operatorname{Var}(q \cdot k) = d$$

# %% [markdown]
# Now **break it on purpose**. Multiplying $Q$ by $\sqrt d$ cancels the scale. We measure the spread of the
# raw scores, and the [[term: entropy | how evenly weights are spread: log2(S) bits when all S keys are equal, 0 for a single one]]
# of the weights, which says in bits how evenly they are spread. 6 bits means that all 64 keys are looked at equally,
# 0 bits that one key gets everything.

# %%
predict("attention.entropy")

# %%
def entropy(A):
    return -(A * A.clamp_min(1e-30).log2()).sum(-1).mean().item()


torch.manual_seed(seed)
eye = torch.eye(64)[None, None]                                   # as values: we want the weights
for d in (4, 64, 1024):
    Q, K = torch.randn(2, 1, 1, 64, d)
    scaled, unscaled = entropy(attend(Q, K, eye)), entropy(attend(Q * math.sqrt(d), K, eye))
    spread = (Q @ K.mT).std()
    print(f"d = {d:4}: raw scores spread by {spread:5.2f}; {scaled:.2f} bits with the scale, {unscaled:.2f} bits without")
came_out("attention.entropy", round(unscaled, 2))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The raw scores spread by $\sqrt d$, close to the promised 2, 8 and 32. With the scale, the entropy does
# not depend on the width. Without it, a wide head looks at a single key from its first step on, and we saw
# above what that does to its derivative. In section 7 you will watch it fail to learn.
# </details>
#
# Here, turn the width yourself. The right panel has all widths at once.

# %%
from coursekit.widgets import scale_entropy

scale_entropy()

# %%
quiz("attention.scale")

# %% [markdown]
# ## 4. One vector, three roles
#
# **Sitting 2 of 6**, 75 minutes, sections 4 and 5. Do exercise [[attention.masks]];
# [[attention.empty_rows]] may wait until a NaN bites you.
#
# A token is one vector $x$, and it plays three parts. It **asks**, it is **found**, and it **hands something
# over**. These are different jobs. In our head, say, *him* asks for a male person; as a key it might offer "I am a
# pronoun"; and what it hands over is again something else. So a head learns three linear maps, the
# [[term: projection | a learned linear map of a token: into a query, a key or a value]]s.
#
# [[formula: Projections of one head | x (D), W_Q, W_K (d, D), W_V (e, D), q, k (d), v (e)]]
#
# $$q = W_Q\, x, \qquad k = W_K\, x, \qquad v = W_V\, x$$

# %%
diagram("attention.head")

# %% [markdown]
# Every head reads the **whole** vector $x$, all $D$ numbers, and each head has its own three maps. What is
# the point of two different maps for asking and finding? Take the pronoun head and try without. Let *him*
# look with its bare vector, $x \cdot x$. Then give the head one map for both, $W_K := W_Q$.

# %%
predict("attention.roles")

# %%
bert = encoder.model.encoder.layer[layer]
X = hidden_states(sentence)[layer]                                # (1, T, D)
ways_to_ask = {
    "bare vectors, x · x": (X[:, None], X[:, None]),
    "one map for both, W_K = W_Q": (Q_real, Q_real),
    "the head as it is": (Q_real, K_real),
}
for name, (Q, K) in ways_to_ask.items():
    a = attend(Q, K, identity)[0, 0, pairs[0][0]].cpu()           # (T), the weights of 'him'
    print(f"{name:28} 'him' looks at {tokens[a.argmax()]!r:9} {a.max():.0%}; at 'brother' {a[pairs[0][1]]:.0%}")
    if name.startswith("one map"):
        favourite = tokens[a.argmax()]
came_out("attention.roles", favourite if favourite in ("brother", "him", "[CLS]") else "another")

# %% [markdown]
# <details><summary>What happened</summary>
#
# With one map the score of a token with itself is $\lVert W_Q x \rVert^2$, which few others can beat. So
# nearly every token finds itself, as with the bare vectors. (Such scores are also symmetric. *him* could
# find *brother* only as much as *brother* looks for *him*.) Two maps let a question differ from its answer's
# label. A third map lets what is handed over differ from both.
# </details>

# %%
panels = {name: attend(*ways_to_ask[name], identity)[0, 0] for name in [*ways_to_ask][1:]}
show(heatmap(panels, row_labels=tokens, column_labels=tokens), "attention.roles")

# %% [markdown]
# Where do the tokens come from that are projected? When queries, keys and values all come from the same
# sequence, $Q = XW_Q^\top$, $K = XW_K^\top$, $V = XW_V^\top$, we speak of
# [[term: self-attention | queries, keys and values all come from one sequence]]. When the queries come from one
# sequence and keys and values from another, it is
# [[term: cross-attention | the queries come from one sequence, keys and values from another]]. The code is the
# same, and $T \ne S$.

# %% [markdown]
# Cross-attention came first. Bahdanau et al. (2015, [1409.0473](https://arxiv.org/abs/1409.0473)) let each word
# of a translation look back at the sentence that is translated. Before, a recurrent network had to squeeze
# the sentence into one vector, and a word $n$ tokens back lay $n$ steps away. With attention it lies one step
# away. Their network was still recurrent, and a small network scored each pair. Vaswani et al. (2017) scored with a
# dot product and left the recurrence out, so that all tokens of a text are computed at once.

# %% tags=["nbval-check-output"]
torch.manual_seed(seed)
D = 16
X_here, X_there = torch.randn(3, D), torch.randn(7, D)            # a translation so far, and the original
W_Q, W_K, W_V = torch.randn(3, 8, D) / math.sqrt(D)               # (d, D) each
for name, source in (("self", X_here), ("cross", X_there)):
    Y = attend(*((Z @ W_any.T)[None, None] for Z, W_any in ((X_here, W_Q), (source, W_K), (source, W_V))))
    print(f"{name}-attention: {len(X_here)} queries read {len(source)} keys, the result is {tuple(Y[0, 0].shape)}")

# %%
quiz("attention.roles")

# %% [markdown]
# ## 5. What a token may not see
#
# Two kinds of key must be invisible. The first is **padding**. Sentences in a batch are filled up to equal
# length, and the filler means nothing. The
# [[term: padding mask | which positions of a batch hold tokens and which filler; `attention_mask` in most libraries]]
# says which is which. The second is **the future**. A model that learns to predict the next token must not read it.
# Under a [[term: causal mask | no query sees a key that comes after it]] no query sees a key that comes after it.
# Either is one matrix of Booleans, or one matrix $M$ that is added to the scores.
#
# [[formula: Masked attention | Q (B, H, T, d), K (B, H, S, d), M (T, S) or broadcast to (B, H, T, S)]]
#
# $$A = \operatorname{softmax}\left(\frac{QK^\top}{\sqrt d} + M\right), \qquad
# M_{ij} = \begin{cases} 0 & \text{query } i \text{ may see key } j \\ -\infty & \text{otherwise} \end{cases}$$

# %%
T = 8
triangle = torch.ones(T, T, dtype=torch.bool).tril()
not_filler = torch.tensor([True] * 6 + [False] * 2).expand(T, T)  # the last two tokens are filler
masks = {"padding": not_filler, "causal": triangle, "both": not_filler & triangle, "causal window of 3": triangle.triu(-2)}
show(heatmap(masks, per_row=2), "attention.masks")

# %% [markdown]
# ### Where does the mask go?
# The scores are 2, 1 and 3, and the last of the three keys is to be hidden. There is one right way, and
# there are four bugs that people ship. One of them sets the hidden weight to 0 **after** the softmax.

# %%
predict("attention.after_softmax")

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

# %%
came_out("attention.after_softmax", round(ways["weight 0 after the softmax"].sum().item(), 2))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Zeroing after the softmax leaves weights that sum to 0.33, for the hidden key already took its share of the
# denominator. A score of 0 is a score like any other. $e^0 = 1$, and the filler is still read. And $-10^9$
# does not exist in half precision, whose largest number is 65504. $-\infty$ exists in half, single and double.
# </details>

# %% [markdown]
# ### Exercise [[attention.masks]]: Padding and causal masks
# core · importance 5 of 5 · 20 minutes · 3 points
#
# `real` is the padding mask, True where a key is a real token. When `causal` is True, a query must not see
# later keys either. The queries are the **last** $T$ of the $S$ positions, as in generation, when earlier keys
# wait in a cache.
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
# Compare positions, a column of query positions, `torch.arange(S - T, S)[:, None]`, with a row of key positions. The
# result is (T, S) and broadcasts. Make it on `Q.device`.
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
show(heatmap(panels, row_labels=tokens, column_labels=tokens), "attention.causal_head")

# %%
torch.manual_seed(seed)
Q, K, V = torch.randn(3, 1, 2, 5, 4)                              # each (B, H, T, d)
real = torch.ones(1, 5, dtype=torch.bool)
before = masked(Q, K, V, real, True)
K[:, :, -1], V[:, :, -1] = 100.0, -100.0
after = masked(Q, K, V, real, True)
print("positions that changed:", (before != after).any(-1).any(1)[0].tolist())

# %% [markdown]
# Under the mask the pronoun head still finds its nouns, since they stand to the left. (We masked this one layer. What
# it reads comes from layers that saw everything.) The first row has no choice, *[CLS]* sees only itself. And a good
# mask is a law that you can test. We changed the last token's key and value, and **nothing** before it changed, not
# even by a rounding error.

# %% [markdown]
# ### The row that sees nothing
# Pad on the left, as one does to generate for a batch, add a causal mask, and the first rows may see no key
# at all. All their scores are $-\infty$, and softmax is 0/0. A popular patch replaces NaN by 0 after the
# softmax. Then the forward pass looks fine.

# %%
predict("attention.patched")

# %% tags=["nbval-check-output"]
hidden_all = torch.ones(4, dtype=torch.bool)                      # this query may see no key
slopes_of = {}
for way in ("added to the scores", "filled in"):
    z = torch.zeros(4, requires_grad=True)
    M = torch.zeros(4).masked_fill(hidden_all, -torch.inf)
    masked_z = z + M if "added" in way else z.masked_fill(hidden_all, -torch.inf)
    patched = masked_z.softmax(0).nan_to_num(0)
    patched.sum().backward()
    slopes_of[way] = z.grad
    print(f"-inf {way:20} result {patched.tolist()}, gradient {z.grad.tolist()}")

# %%
came_out("attention.patched", "NaN" if slopes_of["added to the scores"].isnan().any() else "0")

# %% [markdown]
# <details><summary>What happened</summary>
#
# The NaN is hidden from your eyes, not from the chain rule. The backward pass multiplies by the stored
# weights, and $0 \cdot \text{NaN} = \text{NaN}$. With the mask added, it reaches the scores, and after the
# next step every weight behind them is NaN. `masked_fill` escapes by definition, because its backward pass
# hands nothing to what it filled. The cure is never to make a NaN.
# </details>

# %%
def zero_or_nan(Q, K, V, allowed):
    """Masked attention as it went into a training run. Forward it is right, and the run died of it."""
    M = torch.zeros_like(allowed, dtype=Q.dtype).masked_fill(~allowed, -torch.inf)
    A = (Q @ K.mT / math.sqrt(Q.shape[-1]) + M).softmax(-1)       # (B, H, T, S)
    return A.nan_to_num(0) @ V                                    # (B, H, T, e)

# %% [markdown]
# ### Exercise [[attention.empty_rows]]: Mend this code, queries that may look at nothing
# stretch · importance 3 of 5 · 20 minutes · 2 points
#
# `zero_or_nan` above is broken. Mend it, here under the name `masked_attention_or_zero`. `allowed` is True where a
# query may see a key, and broadcasts to `(B, H, T, S)`. A query with no allowed key gets a result of exactly
# 0, and sends back a gradient of exactly 0. All other rows are ordinary masked attention.
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
# For an empty row, leave all its scores unmasked. After the softmax, fill its weights with 0. `masked_fill` passes no
# gradient to what it fills.
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
for name, way in (("as it was given", zero_or_nan), ("mended", safe)):
    Y = way(Q, K, V, allowed)                                     # (2, 1, 5, 4)
    (gradient,) = torch.autograd.grad(Y.square().sum(), Q)
    print(f"{name:16} rows that are 0: {(Y == 0).all(-1).sum().item()}, gradient finite: {gradient.isfinite().all().item()}")

# %%
quiz("attention.mask")

# %% [markdown]
# ## 6. Many heads
#
# **Sitting 3 of 6**, 80 minutes, sections 6 and 7. Do exercises [[attention.heads]] and
# [[attention.multihead]] and the question about a heat map. Exercise [[attention.backward]] is for those who want to
# know what autograd does.
#
# One head computes one average per token. But *him* may want to know who is meant **and** which verb it
# belongs to, and one average cannot keep the two apart. So $H$ heads work side by side, each with its own
# three projections of the whole vector. Each hands over $d = D / H$ numbers, which are laid side by side to a
# vector of width $D$ again and mixed by one more learned map, $W_O$.
#
# [[formula: Multi-head attention | Q_h, K_h, V_h (B, T, d) for each of H heads, W_O (D, D), Y (B, T, D), D = H d]]
#
# $$Y = [\,Y_1, \dots, Y_H\,]\,W_O^\top, \qquad Y_h = \operatorname{Attention}(Q_h, K_h, V_h)$$

# %%
diagram("attention.multihead")

# %% [markdown]
# In code the maps of all heads lie on top of each other in one matrix. One product gives the queries of all
# heads, `(B, T, D)`, and **these** are cut into $H$ slices of width $d$, `(B, H, T, d)`. (What is cut is
# $XW_Q^\top$, never the token itself.) Cutting is a matter of shapes, and there is a famous way to get it
# wrong. Below, `view` cuts three tokens of four numbers into two heads. Head 0 should read the first two
# numbers of every token.

# %%
predict("attention.view")

# %% tags=["nbval-check-output"]
three = torch.tensor([[[10, 11, 12, 13], [20, 21, 22, 23], [30, 31, 32, 33]]])  # (B=1, T=3, D=4), token 1 is 10 to 13
viewed = three.view(1, 2, 3, 2)[0, 0].tolist()
print("head 0 should read", three[0, :, :2].tolist())
print("view gives        ", viewed)

# %%
came_out("attention.view", str(viewed))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The shape is right and the content is not. Token 1's second half is now a token of its own, and no error is
# raised. A view relabels memory in the order in which it lies; it never moves a dimension past another.
# </details>

# %%
diagram("attention.split")

# %% [markdown]
# ### Exercise [[attention.heads]]: Split into heads and merge them
# core · importance 4 of 5 · 15 minutes · 2 points
#
# `split_heads` turns `(B, T, D)` into `(B, H, T, d)`, where head $h$ holds columns $hd$ to $(h+1)d - 1$ of every
# row. `merge_heads` is its inverse. The inputs may be non-contiguous.
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
# `reshape` copies when the memory does not allow a view; `view` raises an error instead. On the way back transpose
# first, and reshape afterwards.
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
QKV = torch.randn(3, 2, 5, 12)                                    # (B, T, D) each, as the projections give them
one_by_one = [attend(*(P[:, None, :, 4 * h : 4 * h + 4] for P in QKV))[:, 0] for h in range(3)]
at_once = merge(attend(*(split(P, 3) for P in QKV)))              # (B, T, D)
torch.testing.assert_close(at_once, torch.cat(one_by_one, -1))
print("a loop over slices and one call over heads agree")

# %% [markdown]
# ### Exercise [[attention.multihead]]: Multi-head attention as a module
# core · importance 5 of 5 · 30 minutes · 3 points
#
# $$[\,Q, K, V\,] = X W_{in}^\top + b_{in}, \qquad Y = \operatorname{merge}(\operatorname{Attention}(Q, K, V))\,
# W_{out}^\top + b_{out}$$
#
# Write the module so that weights load from `nn.MultiheadAttention(D, H)`. That fixes the names
# `in_proj_weight` (3D, D), `in_proj_bias` (3D), `out_proj.weight` (D, D), `out_proj.bias` (D). `allowed` is
# None, or broadcasts to `(B, H, T, T)` and lets every query see at least one key. (Many papers and libraries
# also apply dropout to the weights $A$ while they train. Ours leaves it out.)
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
# In `forward`, project, chunk, split each of the three into heads, compute scores with the scale $\sqrt{D/H}$, mask
# them when there is a mask, softmax, mix, merge, `out_proj`. `nn.functional.linear(X, weight, bias)` is
# $XW^\top + b$.
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
D, H = encoder.model.config.hidden_size, encoder.model.config.num_attention_heads
mine = Attention(D, H).to(device)
mine.load_state_dict(attention_weights(bert))
with torch.no_grad():
    X = hidden_states(sentence)[layer]                            # (1, T, D)
    theirs = bert.attention.output.dense(bert.attention.self(X)[0])
    difference = (mine(X) - theirs).abs().max()
assert difference < 1e-5, f"found a difference of {difference:.0e} from the encoder's own attention"
print(f"{H} heads of yours and the encoder's own differ by less than 1e-05")

# %%
habits = {                                                        # what a habit looks like in A, each (L, H)
    "its left neighbour": A.diagonal(-1, 2, 3).mean(-1),
    "its right neighbour": A.diagonal(1, 2, 3).mean(-1),
    "[CLS], the first token": A[..., 0].mean(-1),
    "the noun behind a pronoun": score / 2,
}
panels, strengths = {}, []
for habit, strength in habits.items():
    at, h = divmod(strength.argmax().item(), A.shape[1])
    strengths.append(strength[at, h].item())
    panels[f"looks at {habit}\nlayer {at}, head {h}: {strengths[-1]:.2f}"] = A[at, h]
fig = heatmap(panels, row_labels=tokens, column_labels=tokens, per_row=2)
show(fig, "attention.habits", left=strengths[0], right=strengths[1], first=strengths[2], noun=strengths[3])

# %% [markdown]
# Twelve heads in each layer leave room for specialists. The number in a title is the strength of the habit, in
# the first three an average over the sentence, in the last over its two pronouns. The first head is exact, 1.00
# already in the very first layer. The third rests on *[CLS]*. Weights must sum to 1, and it is
# thought that a head with nothing to say parks them where they do no harm. Clark et al. (2019) describe such heads in
# BERT; Xiao et al. (2024) call the parking place an [[term: attention sink | a token on which heads park weight that they have no use for]].

# %% [markdown]
# Explore. Type a sentence and pick a layer. All its heads are drawn small, and a click (or an arrow key) opens
# one. A weight stands where the pointer rests. The temperature divides the scores, so 0.1 shows each row's
# favourite and 10 flattens everything.

# %%
from coursekit.widgets import attention_explorer

attention_explorer(encoder)

# %%
quiz("attention.heads")

# %%
trophy, nouns = {}, ("trophy", "suitcase")
for word in ("big", "small"):
    labels, B = attentions(encoder, f"The trophy does not fit in the suitcase because it is too {word}.")
    row = B[layer, head, labels.index("it")]                      # (T), the weights of 'it'
    trophy[word] = row
    print(f"too {word}: 'it' gives " + ", ".join(f"{noun} {row[labels.index(noun)]:.2f}" for noun in nouns))
labels[-3] = "big / small"
fig = heatmap(torch.stack([*trophy.values()]), rows="", row_labels=[f"it, too {word}" for word in trophy],
              column_labels=labels, numbers=".2f")
fig.set_size_inches(8.4, 2.6)
measured = {f"{word}_{noun}": row[labels.index(noun)].item() for word, row in trophy.items() for noun in nouns}
show(fig, "attention.trophy", **measured)

# %% [markdown]
# ### Question 2.A: Read a heat map, and not too much into it
# 10 minutes · 3 points · marked by a person
#
# Above you see one row of our pronoun head, that of *it*, on two sentences that differ in one word. In the
# first, *it* means the trophy; in the second, the suitcase. Answer in your own words, in about 120 words
# altogether.
# 1. What do a row and a column stand for, what must a row sum to, and what does the brightest cell of the
#    upper row say? Give its weight.
# 2. What changes when *big* becomes *small*, and what should have changed if this head understood the sentence?
# 3. Someone says, "This head proves that the model knows what *it* refers to." Give one reason why the heat
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
# ## 7. The way back
#
# Autograd has done the backward pass for us so far. Write it once by hand, and you know why the saturated
# softmax stops learning, and what the fast kernels of section 9 compute twice. Let $dY$ be the gradient of the loss with
# respect to $Y$, and likewise for the others. With $Z = QK^\top/\sqrt d$, $A = \operatorname{softmax}(Z)$ and $Y = AV$,
# the matrix products are the easy part.
#
# [[formula: The mix, backwards | dY (B, H, T, e), A, dA (B, H, T, S), V, dV (B, H, S, e)]]
#
# $$dV = A^\top dY, \qquad dA = dY\,V^\top$$
#
# The softmax couples all entries of a row, because they share a sum. Raise one score $z_k$ a little. Its own
# exponential grows, and so does the sum under every fraction, by the share $a_k$. By the quotient rule
# $\partial a_j / \partial z_k$ is $a_j - a_j a_k$ where $j = k$, and $-a_j a_k$ elsewhere. For the whole row, and
# multiplied by the $da$ that comes back,
#
# [[formula: Softmax, backwards | a, z, da, dz (S), one row of A, Z, dA, dZ]]
#
# $$\frac{\partial a}{\partial z} = \operatorname{diag}(a) - a a^\top, \qquad
# dz = a \circ (da - \langle a, da \rangle)$$
#
# In words, a score's gradient is its weight, times how far its own $da$ lies above the weighted average.

# %% tags=["nbval-check-output"]
torch.manual_seed(seed)
z = torch.randn(4, requires_grad=True)
a, da = z.softmax(0), torch.randn(4)
a.backward(da)
print("the formula agrees with autograd:", torch.allclose(a * (da - a @ da), z.grad))

# %% [markdown]
# When one weight is 1 and the others are 0, $dz$ is 0 whatever $da$ says. This is the saturation that we drew
# in section 2.

# %% [markdown]
# ### Exercise [[attention.backward]]: The backward pass of attention, by hand
# stretch · importance 3 of 5 · 40 minutes · 3 points
#
# $$dV = A^\top dY, \qquad dA = dY\,V^\top, \qquad dZ = A \circ (dA - \langle A, dA \rangle), \qquad
# dQ = \; ?, \qquad dK = \; ?$$
#
# Return $dQ$, $dK$ and $dV$ for an incoming $dY$, without autograd. The last two follow from the chain rule
# through $Z = QK^\top / \sqrt d$. (Calling autograd would pass the check; the point is to see what it does.)
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
# Shapes tell you where the transpose goes. $dZ$ is (T, S), $K$ is (S, d), and $dQ$ must be (T, d). The scale appears
# once in $dQ$ and once in $dK$.
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
# Train with it. Sixteen queries of width 256 must learn which of sixteen keys to read. Query $i$ wants the
# value of key $i - 1$ (the first one, that of the last key). Nothing learns but $Q$, by plain gradient descent with
# **your** gradients. Then we remove the scale. To be fair, each may choose the best of four
# [[term: learning rate | the factor on the gradient in each step of training]]s, the factor on the gradient in each
# step.

# %%
predict("attention.unscaled")

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
came_out("attention.unscaled", round(runs["without"][-1], 2))

# %%
fig = curves(range(50), runs, x_label="steps of gradient descent", y_label="loss (half squared distance)")
show(fig, "attention.unscaled", scaled=runs["with the scale"][-1], start=runs["without"][0], end=runs["without"][-1])

# %% [markdown]
# <details><summary>What happened</summary>
#
# With the scale, the queries have found their keys after twenty steps. Without it, most of them start out
# fixed on a wrong key, where the derivative is zero, and stay there at each of the four rates. The
# division by $\sqrt d$ is not cosmetic. It decides whether there is anything to learn from.
# </details>

# %%
quiz("attention.backward")

# %% [markdown]
# ## 8. Where am I?
#
# **Sitting 4 of 6**, 80 minutes, section 8. Do exercise [[attention.rotary]], which most models of today
# use. Of [[attention.sinusoidal]] and [[attention.alibi]] choose one, if time is short.
#
# "Dog bites man" and "man bites dog" hold the same words. Suppose we shuffle the tokens before attention,
# without any mask.

# %%
predict("attention.shuffled")

# %% tags=["nbval-check-output"]
torch.manual_seed(seed)
X_six = torch.randn(1, 1, 6, 8)                                   # (B, H, T, d)
order = torch.randperm(6)
shuffled = X_six[:, :, order]
same = torch.allclose(attend(shuffled, shuffled, shuffled), attend(X_six, X_six, X_six)[:, :, order], atol=1e-6)
print("shuffling first and shuffling afterwards give the same:", same)

# %%
came_out("attention.shuffled", "the same vectors, shuffled" if same else "other vectors")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Without a causal mask, attention reads a **bag** of tokens. Shuffle them, and each token gets what it got
# before, up to rounding. No training can repair that, because nothing in the equation knows about order. (A
# causal mask gives a hint of it, for the tenth token sees ten keys.)
# </details>
#
# We have to put order in. Three ways need nothing learned. We can add it to the tokens, turn the queries and keys,
# or change the scores. (BERT, GPT-2 and our encoder learn a vector for each place instead, and have none beyond the
# last place that they trained with. Chapter 3 builds that.)
#
# ### First way: add a position
# Counting 0, 1, 2, ... as one number would swamp the word. Writing the number in binary is better, with many
# digits of which some flip fast and some slowly. Sinusoids are binary digits made smooth.
#
# [[formula: Sinusoidal positions | p a position, i = 0 ... D/2 - 1, P (T, D)]]
#
# $$P_{p,\,2i} = \sin(p\,\omega_i), \qquad P_{p,\,2i+1} = \cos(p\,\omega_i), \qquad \omega_i = 10000^{-2i/D}$$

# %%
def positions_in_loops(positions, D):
    P = torch.zeros(len(positions), D)
    for t, p in enumerate(positions):
        for i in range(D // 2):
            angle = p / 10000 ** (2 * i / D)
            P[t, 2 * i], P[t, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return P                                                      # (T, D)


slow = positions_in_loops(range(100), 16)
fine = [t / 10 for t in range(300)]                               # between the tokens, to draw the waves
lines = {f"dimension {k}": positions_in_loops(fine, 16)[:, k] for k in (0, 4, 8)}
fig = curves(fine, lines, x_label="position p (tokens, whole numbers marked)", y_label="entry of P")
for k in (0, 4, 8):
    fig.axes[0].plot(range(30), slow[:30, k], ".", color="black", markersize=4)
show(fig, "attention.sinusoids")

# %%
def sines_then_cosines(positions, D):
    """Sinusoidal positions without loops. Every entry is right, and loaded weights babble."""
    i = torch.arange(D // 2, device=positions.device)
    angles = positions[:, None] * 10000.0 ** (-2 * i / D)         # (T, D/2)
    return torch.cat([angles.sin(), angles.cos()], -1)            # (T, D)

# %% [markdown]
# ### Exercise [[attention.sinusoidal]]: Mend this code, sinusoidal positions
# core · importance 2 of 5 · 10 minutes · 2 points
#
# `sines_then_cosines` puts all sines before all cosines, as the library of the paper's own authors did
# (tensor2tensor). The paper alternates them (Vaswani et al. 2017, section 3.5). Mend the function, here under the name
# `sinusoidal_positions`, so that it agrees with the loops. The positions are integers in any order, may repeat and need not start at 0. $D$ is even. The
# result is `float32`, on the device of the positions.
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
# Either fill `P[:, 0::2]` and `P[:, 1::2]` of a fresh table, or stack sines and cosines along a new last dimension and
# flatten the last two.
# </details>

# %% exercise="attention.sinusoidal"
def sinusoidal_positions(positions: Int[Tensor, "T"], D: int) -> Float[Tensor, "T D"]:
    """Row t holds sin and cos, alternating, of positions[t] times 10000^(-2i/D) for i = 0 ... D/2 - 1."""
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
show(heatmap(P @ P.T, rows="position p", columns="position p'", unit="dot product"), "attention.positions")

# %% [markdown]
# Along each diagonal the table is constant. The dot product of two position vectors depends only on how far
# apart they are, $\sum_i \cos\big((p - p')\,\omega_i\big)$. Nearby positions are alike, whether they are 3
# and 5 or 53 and 55. But the vectors are *added* to words, so in the scores word and place are mixed. The
# next idea keeps the distance and loses the mixing.
#
# ### Second way: turn
# Turn a query by an angle proportional to its position, and a key by an angle proportional to **its**
# position. A dot product sees only the angle between the two. We try it in the plane, for positions
# (query, key) of (2, 0), (7, 5), (102, 100) and (7, 4).

# %%
predict("attention.turned")

# %% tags=["nbval-check-output"]
def turned(x, angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]]) @ x


q, k = torch.tensor([1.0, 0.5]), torch.tensor([0.8, -0.3])
places = ((2, 0), (7, 5), (102, 100), (7, 4))
scores = [round((turned(q, 0.1 * m) @ turned(k, 0.1 * n)).item(), 4) for m, n in places]
for (m, n), score_there in zip(places, scores, strict=True):
    print(f"query at {m:3}, key at {n:3}: score {score_there:.4f}")

# %%
came_out("attention.turned", max(scores.count(one) for one in scores))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The first three agree, for all of them are 2 apart. In the language of complex numbers, $\langle q
# e^{\mathrm{i}m\theta}, k e^{\mathrm{i}n\theta} \rangle = \operatorname{Re}\big(q \bar k\,
# e^{\mathrm{i}(m-n)\theta}\big)$, and only $m - n$ is left.
# </details>
#
# This is [[term: RoPE | rotary position embedding: queries and keys are turned by an angle that grows with the position]],
# the rotary position embedding of Su et al. (2021), which most open models since Llama use. A head of width $d$ has
# $d/2$ such pairs, and each turns at its own speed.
#
# [[formula: Rotary positions | x one query or key (d), p its position, i = 0 ... d/2 - 1]]
#
# $$\begin{pmatrix} x'_{2i} \\ x'_{2i+1} \end{pmatrix} =
# \begin{pmatrix} \cos p\theta_i & -\sin p\theta_i \\ \sin p\theta_i & \cos p\theta_i \end{pmatrix}
# \begin{pmatrix} x_{2i} \\ x_{2i+1} \end{pmatrix}, \qquad \theta_i = \text{base}^{-2i/d}$$

# %% [markdown]
# ### Exercise [[attention.rotary]]: Rotary positions
# core · importance 4 of 5 · 25 minutes · 3 points
#
# Turn queries **and** keys. `positions` is (B, T), so that every sequence brings its own; they may be shifted
# and may have gaps. Pairs are neighbours, $(2i, 2i+1)$, as in the RoFormer paper. $K$ may have fewer heads
# than $Q$.
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
# Put the two results back in turns. Stack them along a new last dimension, then flatten it away. Do it in an inner
# function, and call that on $Q$ and on $K$. Keep the inputs' dtype.
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
from_0, from_1000 = lines.values()
assert (from_0 - from_1000).abs().max() < 0.01
print("from position 0 and from position 1000 the scores differ by less than 0.01")
fig = curves(range(256), lines, x_label="distance between query and key (tokens)", y_label="score q·k")
show(fig, "attention.rotary", near=from_0[0].item(), far=from_0[200:].mean().item())

# %% [markdown]
# Shifted by a thousand tokens, the scores are the same up to rounding. The model sees distances, not
# positions. Here, where query and key are equal, far keys score lower on average, with ripples.
#
# A warning for your practice. Llama's published code turns neighbours $(2i, 2i+1)$, as we do; the Hugging
# Face version turns halves, $(i, i + d/2)$, and permutes the weights to match. Load the weights of one
# into the code of the other, and you get a model that babbles without any error.
#
# Which distances can the pairs tell apart? The fast ones see neighbours; the slow ones never finish a turn
# within the context. Turn the base and the context. Longer contexts want a larger base, and Llama 3 uses
# 500,000 (Grattafiori et al. 2024).

# %%
from coursekit.widgets import rotary_frequencies

rotary_frequencies()

# %% [markdown]
# ### Third way: a penalty on distance
# The third way is the simplest. Subtract from each score a number that grows with the distance.
# **ALiBi** (Press et al. 2022) does that, with a different slope $m_h$ for each head.
#
# [[formula: ALiBi | z a score of head h, i - j the distance from query to key, h = 1 ... H]]
#
# $$z_{ij} = \frac{q_i \cdot k_j}{\sqrt d} - m_h\,(i - j), \qquad m_h = 2^{-8h/H}, \qquad h = 1, \dots, H$$
#
# Nothing is added to the tokens and nothing is learned. The paper trains on short texts and reads long ones.

# %%
def alibi_for_eight_heads(Q, K, V):
    """Its author tried it with 8 heads, and all was well."""
    H, T, d = Q.shape[-3:]
    m = 2.0 ** -torch.arange(1, H + 1, device=Q.device, dtype=Q.dtype)  # (H)
    t = torch.arange(T, device=Q.device)
    distance = t[:, None] - t                                     # (T, T)
    Z = Q @ K.mT / math.sqrt(d) - m[:, None, None] * distance     # (B, H, T, T)
    return Z.masked_fill(distance < 0, -torch.inf).softmax(-1) @ V

# %% [markdown]
# ### Exercise [[attention.alibi]]: Mend this code, ALiBi
# core · importance 2 of 5 · 10 minutes · 2 points
#
# `alibi_for_eight_heads` is right for 8 heads, and only for 8. Mend it, here under the name `alibi_attention`, so
# that it follows the formula for any $H$. (The paper's formula is for powers of two.)
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
# Only the line of $m$ is wrong. With $h = 1 \dots H$ as a tensor of the dtype of $Q$, the exponent is $-8h/H$.
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
fig = curves(range(64), lines, x_label="distance to the key (tokens)", y_label="attention weight (log scale)", log="y")
fig.axes[0].set_ylim(1e-4, 1)
show(fig, "attention.alibi", steep=weights[0, 0].item(), gentle=weights[7, 0].item())

# %% [markdown]
# With all scores 0, only the penalty speaks. On a logarithmic axis each head is a straight line, a soft window
# of its own width. Head 1 is a specialist for the last few tokens, head 8 hardly notices distance.

# %%
quiz("attention.positions")

# %% [markdown]
# ## 9. What does it cost?
#
# **Sitting 5 of 6**, 85 minutes, section 9. Do exercises [[attention.cache_bytes]], [[attention.grouped_query]]
# and [[attention.flops]]. The challenge of this chapter is [[attention.blockwise]]; leave it for a long evening.
#
# A model that generates writes one token after the other. Each new token asks with its own query, and looks at
# the keys and values of all tokens before it. These do not change any more, so they need not be computed again.
# They are kept, in the [[term: KV cache | the keys and values of all earlier tokens, kept while a model generates]].

# %%
torch.manual_seed(seed)
stream = torch.randn(256, D)                                      # 256 tokens (T, D), as they come
W_Q, W_K, W_V = torch.randn(3, D, D) / math.sqrt(D)
nothing_hidden = torch.ones(1, 256, dtype=torch.bool)


def step(x, K, V):
    """One query (D) reads all keys and values so far, (S, D) each."""
    Q, K, V = (P[None, None] for P in (x[None] @ W_Q.T, K, V))    # T = 1, S = what the cache holds
    return masked(Q, K, V, nothing_hidden[:, : K.shape[-2]], True)[0, 0, 0]


K_cache, V_cache, apart, projected = stream[:0], stream[:0], [], {"anew": 0, "cached": 0}
for t, x in enumerate(stream, 1):
    K_cache, V_cache = torch.cat([K_cache, x[None] @ W_K.T]), torch.cat([V_cache, x[None] @ W_V.T])
    anew = step(x, stream[:t] @ W_K.T, stream[:t] @ W_V.T)
    apart.append((step(x, K_cache, V_cache) - anew).abs().max().item())
    projected["anew"] += 2 * t
    projected["cached"] += 2
assert max(apart) < 1e-4
print("with and without the cache each step gives the same to 1e-04")
for way, count in projected.items():
    print(f"keys and values computed, {way:6}: {count:6,}")

# %% [markdown]
# The results are the same, and a step projects one token, however many lie behind it. (The causal mask does
# nothing here. A single query is the last of the $S$ positions, and may see them all. This is why exercise
# [[attention.masks]] counts from the end.) The price is memory. With $L$ layers, $G$ key/value heads of width
# $d$, $S$ tokens and 2 bytes per number, the cache holds
#
# [[formula: Bytes of a KV cache | L layers, G key/value heads, d their width, S tokens, 2 bytes a number]]
#
# $$2 \cdot L \cdot G \cdot d \cdot S \cdot 2 \text{ bytes}$$
#
# (The first 2 is for keys and values.) Llama 3 8B has $L = 32$, 32 query heads and $d = 128$ (Grattafiori et al.
# 2024). Suppose each query head had its own keys. How much would a conversation of 8192 tokens hold?

# %%
predict("attention.cache")

# %% tags=["nbval-check-output"]
L, d, context = 32, 128, 8192
gibibytes = {G: 2 * L * G * d * context * 2 / 2**30 for G in (32, 8, 1)}
for G, name in ((32, "each query head has its own keys"), (8, "four query heads share"), (1, "all share")):
    print(f"G = {G:2}, {name:32} {gibibytes[G]:.3f} GiB")

# %%
came_out("attention.cache", gibibytes[32])

# %% [markdown]
# <details><summary>What happened</summary>
#
# Half a mebibyte a token, 8192 times. Four gibibytes for one reader, on a card that must serve hundreds.
# </details>
#
# So let query heads **share** keys and values. One group for all is
# [[term: multi-query attention | all query heads share one key/value head (MQA)]] (Shazeer 2019), something in
# between is [[term: grouped-query attention | G key/value heads serve H query heads, H/G each (GQA)]]
# (Ainslie et al. 2023). Llama 3 8B has $G = 8$.

# %%
diagram("attention.groups")

# %% [markdown]
# ### Exercise [[attention.cache_bytes]]: Work out this number, a cache
# core · importance 3 of 5 · 5 minutes · 1 point
#
# Llama 3.1 70B has 80 layers, a model width of 8192, 64 query heads of width 128 that share 8 key/value heads,
# and reads up to 131,072 tokens (Grattafiori et al. 2024, table 3). How many **GiB** ($2^{30}$ bytes) does the
# cache of one full context take in `bfloat16`, 2 bytes per number? Return the number, or a product of numbers.
#
# <details><summary>Hint 1</summary>
#
# Which of the two numbers of heads counts? The cache holds keys and values, not queries.
# </details>
# <details><summary>Hint 2</summary>
#
# The formula above, with $L = 80$, $G = 8$, $d = 128$ and $S = 131072 = 2^{17}$.
# </details>
# <details><summary>Hint 3</summary>
#
# First the bytes of one token, $2 \cdot 80 \cdot 8 \cdot 128 \cdot 2 = 327680$. Then all tokens, divided by $2^{30}$.
# </details>

# %% exercise="attention.cache_bytes"
def cache_gib() -> float:
    """GiB of the cache of one full context: return a number, or a product of numbers."""
    ### BEGIN SOLUTION
    return 2 * 80 * 8 * 128 * 131072 * 2 / 2**30
    ### END SOLUTION

# %% check="attention.cache_bytes"
check("attention.cache_bytes", cache_gib)

# %%
def tiled_groups(Q, K, V):
    """Grouped-query attention that runs, learns, and cannot read anybody else's weights."""
    repeats = Q.shape[1] // K.shape[1]
    K, V = K.repeat(1, repeats, 1, 1), V.repeat(1, repeats, 1, 1)  # (B, H, S, d)
    return attend(Q, K, V)

# %% [markdown]
# ### Exercise [[attention.grouped_query]]: Mend this code, grouped-query attention
# core · importance 4 of 5 · 15 minutes · 2 points
#
# $H$ query heads read $G$ key/value heads, $G$ divides $H$. Query head $h$ reads group $\lfloor h / (H/G)
# \rfloor$, so with $H = 4$, $G = 2$, heads 0 and 1 read group 0. `tiled_groups` above does something else. Mend it,
# here under the name `grouped_query_attention`. Repeating the groups is fine, working without copies is better.
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
# Without copies: view $Q$ as (B, G, H/G, T, d), give $K$ and $V$ a dimension of size 1 in that place, attend, and
# flatten dimensions 1 and 2 of the result.
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
    X, W = hidden_states(sentence)[layer], bert.attention.self    # X (1, T, D)
    Q, K, V = (split(projection(X), H) for projection in (W.query, W.key, W.value))
exact = attend(Q, K, V)                                           # (1, H, T, d)
moved = {}
for G in (12, 6, 4, 3, 2, 1):                                     # average the heads of each group
    K_G, V_G = (P.unflatten(1, (G, H // G)).mean(2) for P in (K, V))  # (1, G, T, d)
    moved[G] = ((share(Q, K_G, V_G) - exact).norm() / exact.norm()).item()
    print(f"G = {G:2}: cache {G / H:4.0%}, result moves by {moved[G]:4.0%}")

# %% [markdown]
# Can a trained model be made to share afterwards? We averaged the keys and values of each group in one real
# layer, as Ainslie et al. do. Even half the cache changes the result by most of its size, because these heads
# were not trained to share. The paper's way out is to train on for 5% of the original compute. Most models of
# today share from their first step.

# %% [markdown]
# ### See only the neighbourhood
# The cache still grows with every token. A
# [[term: sliding window | each query sees itself and the W - 1 keys before it]] of $W$ keys ends that. Mistral 7B sees
# 4096 keys per layer (Jiang et al. 2023) and forgets the rest. Query $i$ sees key $j$ when $i - W < j \le i$, so with
# $W = 1$ a token sees itself alone. The code is two comparisons, and each of them is easy to get wrong by one.

# %%
def window_of(Q, K, V, window):
    t = torch.arange(Q.shape[-2], device=Q.device)
    back = t[:, None] - t                                         # (T, T), how far key j lies behind query i
    Z = Q @ K.mT / math.sqrt(Q.shape[-1])                         # (B, H, T, T)
    return Z.masked_fill((back < 0) | (back >= window), -torch.inf).softmax(-1) @ V

# %% [markdown]
# ### Exercise [[attention.test_window]]: Write the test, a sliding window
# core · importance 3 of 5 · 20 minutes · 3 points
#
# Write `test_window(attend_window)`. It is handed a function like `window_of` above and raises an AssertionError when
# that function is wrong. The check hands it right functions, which it must let pass, and wrong ones of seven kinds,
# a new selection of them while grading. A window may be 1 or wider than the text, and scores may lie far apart. You may
# call the function as often as you like. Compare with a tolerance. (Arguments as above, `attend_window(Q, K, V, window)`
# with Q, K, V (B, H, T, d).)
#
# <details><summary>Hint 1</summary>
#
# Which experiment tells exactly which keys a query has read? You know a trick that makes attention return its weights.
# </details>
# <details><summary>Hint 2</summary>
#
# Let all scores be 0. Then every key that is seen gets the same weight, and you can write down the whole matrix
# for a window of 1, of 3, and of 100. What would still be wrong unseen? The scores, the scale, the values.
# </details>
# <details><summary>Hint 3</summary>
#
# Draw random $Q$, $K$, $V$ and compute the answer in a loop over queries, `K[:, :, max(0, i - window + 1) : i + 1]`, with
# `attend`'s three lines. Compare with `torch.testing.assert_close`. Do it again with $K$ a hundred times as large.
# </details>

# %% exercise="attention.test_window"
def test_window(attend_window):
    """Pass for causal attention with a sliding window, fail with an AssertionError for anything else."""
    ### BEGIN SOLUTION
    g = torch.Generator().manual_seed(0)
    Q, K, V = torch.randn(3, 2, 2, 7, 4, generator=g, dtype=torch.float64)
    for K_here in (K, 300 * K):
        for window in (1, 2, 3, 7, 100):
            rows = []
            for i in range(7):
                seen = slice(max(0, i - window + 1), i + 1)
                z = Q[:, :, i : i + 1] @ K_here[:, :, seen].mT / 4**0.5
                rows.append(z.softmax(-1) @ V[:, :, seen])
            torch.testing.assert_close(attend_window(Q, K_here, V, window), torch.cat(rows, 2))
    ### END SOLUTION

# %% check="attention.test_window"
check("attention.test_window", test_window)

# %%
Q = torch.zeros(1, 1, 32, 4)                                      # all scores 0
reach = torch.eye(32)[None, None]                                 # (1, 1, T, T)
panels = {}                                                       # row i: what of each input has arrived at i
for n in range(1, 5):
    reach = window_of(Q, Q, reach, 5)
    if n in (1, 2, 4):
        panels[f"{n} layer{'s' * (n > 1)}: {(reach[0, 0, -1] > 0).sum()} tokens"] = reach[0, 0]
fig = heatmap(panels, rows="token", columns="input token", unit="share (0.25 and more: yellow)", limits=(0, 0.25))
show(fig, "attention.window", widest=(reach[0, 0, -1] > 0).sum().item())

# %% [markdown]
# We stacked layers of uniform attention and started from the identity, so that row $i$ shows how much of
# each input token has arrived at token $i$. Each layer adds $W - 1$ tokens. Four layers with a window of
# 5 reach 17 tokens, ever more faintly. (The bright corner is the first token, which sees only itself.)

# %% [markdown]
# ### How many multiplications?
# A product of a $(T \times d)$ and a $(d \times S)$ matrix takes $T S d$ multiplications and as many additions,
# $2TSd$ [[term: FLOP | a floating-point operation: one addition or one multiplication]]s, floating-point operations.

# %% [markdown]
# ### Exercise [[attention.flops]]: Work out this number, the FLOPs of a head
# core · importance 3 of 5 · 5 minutes · 1 point
#
# How many FLOPs do the two matrix products of one head take, $QK^\top$ and $AV$, for $T = S = 4096$ tokens and
# $d = e = 128$? Every score is computed, there is no mask. Leave out the softmax. Return the number, or a product
# of numbers.
#
# <details><summary>Hint 1</summary>
#
# How many entries has $QK^\top$, and how many multiplications and additions does one entry take?
# </details>
# <details><summary>Hint 2</summary>
#
# $AV$ has $T d$ entries, each a sum over $T$ products. Is that more or less than the first?
# </details>
# <details><summary>Hint 3</summary>
#
# Two products with $2 T^2 d$ operations each.
# </details>

# %% exercise="attention.flops"
def head_flops() -> float:
    """FLOPs of the two products of one head: return a number, or a product of numbers."""
    ### BEGIN SOLUTION
    return 4 * 4096**2 * 128
    ### END SOLUTION

# %% check="attention.flops"
check("attention.flops", head_flops)

# %% [markdown]
# ### The table that nobody needs
# Between the two products lies $A$, with $T^2$ entries. At 32,768 tokens that is 4 GiB per head in
# `float32`. But we only want $Y = AV$. Could we read the keys in blocks, and forget each block? The softmax
# seems to forbid it, because its maximum and its sum need all scores. The way around is to keep running
# numbers and repair them when the maximum grows. Milakov and Gimelshein (2018) do so with the maximum $m$ and the sum
# $n$; Rabe and Staats (2021, [2112.05682](https://arxiv.org/abs/2112.05682)) add the mix $y$.
#
# [[formula: Online softmax | z_j one score, v_j (e) its value, m, n numbers, y (e); the result is y / n]]
#
# $$m' = \max(m, z_j), \qquad n' = n\,e^{m - m'} + e^{z_j - m'}, \qquad y' = y\,e^{m - m'} + e^{z_j - m'} v_j$$

# %% tags=["nbval-check-output"]
torch.manual_seed(seed)
z, v = 10 * torch.randn(1000, dtype=torch.float64), torch.randn(1000, dtype=torch.float64)
m, n, y = -math.inf, 0.0, 0.0
for z_j, v_j in zip(z.tolist(), v.tolist(), strict=True):
    m, old = max(m, z_j), m
    repair, weight_j = math.exp(old - m), math.exp(z_j - m)
    n = n * repair + weight_j
    y = y * repair + weight_j * v_j
print(f"one score at a time {y / n:.6f}, all at once {z.softmax(0) @ v:.6f}")

# %% [markdown]
# Six equal digits, and no more than three numbers in memory. The same with blocks in place of single scores
# is the arithmetic of **FlashAttention** (Dao et al. 2022). Its own idea is **where** the blocks lie. A GPU has
# a large slow memory and a small fast one. A block that is small enough stays in the fast one until it is done, and
# the table is never written to the slow one.

# %%
diagram("attention.blocks")

# %% [markdown]
# ### Exercise [[attention.blockwise]]: Attention in blocks, with the online softmax
# challenge · importance 3 of 5 · 45 minutes · 4 points
#
# For each block of queries, go through the blocks of keys and keep $m$, $n$ and $y$ for each query. The
# result is equal for any `block` (the last one may be shorter), with and without `causal`; when
# causal, $T = S$. The check also looks at the **largest tensor** that you make. Neither all scores nor those
# of a block of queries with all keys are small enough. (NumPy's arrays and lists are counted, too.) This is a
# challenge, so there are two hints and no third.
#
# <details><summary>Hint 1</summary>
#
# Two nested loops, `range(0, T, block)` and `range(0, S, block)`. A slice that runs over the end is cut for
# you. $m$ and $n$ have shape (B, H, rows, 1), $y$ has (B, H, rows, e).
# </details>
# <details><summary>Hint 2</summary>
#
# The first block of keys holds key 0, which every query may see, so $m$ is finite from then on. For `causal` compare
# the positions of the block's own rows and columns; a mask for all $T \times S$ would be the large tensor that we came
# to avoid. Collect the results in a list.
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

in_blocks = use("attention.blockwise", blockwise_attention)
ways_to_attend = {
    "plain": lambda Q, K, V: (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) @ V,
    "in blocks of 128": lambda Q, K, V: in_blocks(Q, K, V, 128, False),
}
lengths = [2**n for n in range(8, {"smoke": 11, "fast": 13, "full": 15}[profile])]
memory = {name: [] for name in ways_to_attend}
for T in lengths:
    Q, K, V = (torch.randn(1, 1, T, 32, device=device) for _ in range(3))
    for name, way in ways_to_attend.items():
        with torch.no_grad(), LargestTensor() as largest:
            way(Q, K, V)
        memory[name].append(largest.elements * 4 / 2**20)         # float32 takes 4 bytes
print(f"T = {T}: " + ", ".join(f"{name} {found[-1]:.2f} MiB" for name, found in memory.items()))

# %%
fig = curves(lengths, memory, x_label="sequence length T (tokens, log scale)",
             y_label="largest tensor (MiB, log scale)", log="xy", marker="o")
show(fig, "attention.memory", T=lengths[-1], plain=memory["plain"][-1], blocks=memory["in blocks of 128"][-1])

# %% [markdown]
# Twice the length, four times the memory, that is the plain formula. In blocks nothing is larger than the
# result itself, once a text is a few blocks long. It is the same function, up to rounding, and not an approximation.
#
# And the time? Your blocks do the same multiplications, in Python. `F.scaled_dot_product_attention` is what
# practitioners type. It chooses a kernel for the machine at hand, in blocks where it can.

# %%
predict("attention.slower")

# %%
from time import perf_counter

ways_to_attend["F.scaled_dot_product_attention"] = nn.functional.scaled_dot_product_attention
Q, K, V = (torch.randn(1, 2, lengths[-2], 64, device=device) for _ in range(3))
flops, milliseconds = 2 * 4 * Q.shape[2] ** 2 * 64, {}            # 2 heads, 4 T² d each
for name, way in ways_to_attend.items():
    with torch.no_grad():
        found = []
        for _ in range(4):                                        # the first run warms up
            began = perf_counter()
            way(Q, K, V).sum().item()                             # .item() waits for a GPU
            found.append(perf_counter() - began)
    milliseconds[name] = 1000 * min(found[1:])
    print(f"{name:31} {milliseconds[name]:7.1f} ms, {flops / milliseconds[name] / 1e6:6.1f} GFLOP/s")
ratio = milliseconds["in blocks of 128"] / milliseconds["plain"]
came_out("attention.slower", "slower" if ratio > 1.1 else "faster" if ratio < 0.9 else "about as fast")

# %% [markdown]
# <details><summary>What happened</summary>
#
# All three do the same arithmetic, $4T^2d$ FLOPs a head, and reach very different speeds. In Python each small step
# costs its call, which weighs most on short texts. Against it stands what a block saves, the way of a large table to the
# slow memory and back. Which of the two wins is a matter of the machine and of $T$. The kernel has the saving without the
# cost, and that is the point of it. Your own numbers stand above. (Until your check passes they are the library's.)
# </details>

# %%
quiz("attention.blockwise")

# %% [markdown]
# ## 10. A block
#
# **Sitting 6 of 6**, 85 minutes, sections 10 and 11. Do exercises [[attention.layer_norm]] and
# [[attention.block]], and look at the table of section 11, which answers the question of this chapter.
#
# A transformer is a stack of equal **blocks**. You may have seen one written as
#
# $$\operatorname{LayerNorm}(X + \operatorname{MultiHead}(X)).$$
#
# **That is only half a block.** Attention mixes tokens, but what it hands over is an average of linear maps. What
# was fetched is worked on in the second half, a
# [[term: feed-forward network | two linear maps with a curve between them, for each token on its own (FFN, MLP)]]. It is
# two linear maps with a curve between them, for each token on its own. Most of the weights are there.

# %% [markdown]
# Three small parts are new. With a [[term: residual | what comes in is added to what a layer gives: X + f(X)]] a layer
# gives $X + f(X)$, and what comes in goes on beside what was made of it. **GELU** is the curve between the two linear maps, $x$ times the probability that
# a standard normal number is smaller than $x$ (Hendrycks and Gimpel 2016,
# [1606.08415](https://arxiv.org/abs/1606.08415)).
#
# [[formula: Feed-forward network | x (D), W_1 (F, D), b_1 (F), W_2 (D, F), b_2 (D), usually F = 4 D]]
#
# $$\operatorname{FFN}(x) = W_2 \operatorname{GELU}(W_1 x + b_1) + b_2, \qquad \operatorname{GELU}(x) = x\,\Phi(x)$$
#
# And [[term: layer norm | each token's numbers are shifted to mean 0 and scaled to variance 1]] shifts a token's numbers
# to mean 0 and scales them to variance 1, so that their size stays in hand however many layers add to them (Ba et al.
# 2016, [1607.06450](https://arxiv.org/abs/1607.06450)).

# %% [markdown]
# ### Exercise [[attention.layer_norm]]: Layer norm
# core · importance 4 of 5 · 10 minutes · 2 points
#
# [[formula: Layer norm | x one token (D), mu and sigma² its mean and variance, gamma and beta (D) are learned]]
#
# $$\operatorname{Norm}(x) = \gamma \circ \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta, \qquad
# \mu = \frac1D \sum_k x_k, \qquad \sigma^2 = \frac1D \sum_k (x_k - \mu)^2$$
#
# Write it for `(B, T, D)`. Each token has a mean and a variance of its own, and gradients flow through both. The
# numbers of a token may all be equal, and then $\varepsilon$ keeps the division harmless. Build it yourself, without
# `nn.functional.layer_norm`.
#
# <details><summary>Hint 1</summary>
#
# Over which dimension do the two sums run, and what must still be there for the result to broadcast?
# </details>
# <details><summary>Hint 2</summary>
#
# `X.mean(-1, keepdim=True)` gives $\mu$. The mean of the squares of what is left is $\sigma^2$.
# </details>
# <details><summary>Hint 3</summary>
#
# `X.var(...)` divides by $D - 1$ unless you tell it `correction=0`. And $\varepsilon$ stands under the root.
# </details>

# %% exercise="attention.layer_norm"
def layer_norm(
    X: Float[Tensor, "B T D"], weight: Float[Tensor, "D"], bias: Float[Tensor, "D"], eps: float
) -> Float[Tensor, "B T D"]:
    """Each token with mean 0 and variance 1, times weight (gamma), plus bias (beta)."""
    ### BEGIN SOLUTION
    gap = X - X.mean(-1, keepdim=True)          # (B, T, D)
    variance = gap.square().mean(-1, keepdim=True)  # (B, T, 1)
    return weight * gap / (variance + eps).sqrt() + bias
    ### END SOLUTION

# %% check="attention.layer_norm"
check("attention.layer_norm", layer_norm)

# %%
norm = use("attention.layer_norm", layer_norm)
theirs_norm = bert.attention.output.LayerNorm
with torch.no_grad():
    X = 100 + 50 * torch.randn(1, 4, D, device=device)            # tokens of far too large numbers
    Y = norm(X, theirs_norm.weight, theirs_norm.bias, theirs_norm.eps)
    bare = norm(X, torch.ones_like(theirs_norm.weight), torch.zeros_like(theirs_norm.bias), theirs_norm.eps)
    assert (Y - theirs_norm(X)).abs().max() < 1e-4
print("yours and the encoder's norm differ by less than 1e-04")
print(f"before: mean {X[0, 0].mean():.0f}, deviation {X[0, 0].std():.0f}; "
      f"after: mean {bare[0, 0].mean().abs():.1f}, deviation {bare[0, 0].std():.1f}")

# %% [markdown]
# Models of today mostly leave out the mean and $\beta$. What remains is
# [[term: RMSNorm | layer norm without the mean: each token divided by the root of the mean of its squares]], $x$ divided by
# the root of the mean of its squares (Zhang and Sennrich 2019, [1910.07467](https://arxiv.org/abs/1910.07467)). And most
# multiply the curve by a third linear map of $x$, a gate ([[term: SwiGLU | a feed-forward network whose curve is multiplied
# by a third linear map, a gate]]; Shazeer 2020, [2002.05202](https://arxiv.org/abs/2002.05202)).

# %% [markdown]
# The norm has two places. In 2017 it came after the sum ([[term: post-norm | the norm acts on the sum X + f(X), as in
# BERT]]). Most models that generate, from GPT-2 on, put it in front of the branch ([[term: pre-norm | the norm acts on
# what a branch reads, X + f(Norm(X))]]), which trains more calmly (Xiong et al. 2020). Then nothing but sums happens to
# $X$ on its way through all blocks. It is called the [[term: residual stream | X on its way through a pre-norm stack:
# every branch reads from it and adds to it]], from which each branch reads and to which it adds.

# %%
diagram("attention.block")

# %% [markdown]
# ### Exercise [[attention.block]]: A transformer block
# core · importance 5 of 5 · 20 minutes · 3 points
#
# [[formula: A transformer block | X, X', Y (B, T, D)]]
#
# $$\begin{aligned}
# \text{post:}\quad X' &= \operatorname{Norm}_1(X + \operatorname{MultiHead}(X)), & Y &= \operatorname{Norm}_2(X' + \operatorname{FFN}(X')) \\
# \text{pre:}\quad X' &= X + \operatorname{MultiHead}(\operatorname{Norm}_1(X)), & Y &= X' + \operatorname{FFN}(\operatorname{Norm}_2(X'))
# \end{aligned}$$
#
# `__init__` and `attention` are given; write `forward`. When `norm_first` is True the block is pre-norm,
# otherwise post-norm. `linear1` and `linear2` are $W_1$ and $W_2$ with their biases. The check builds blocks with
# torch's attention, so that it asks about this exercise only. Below it we build them with **yours**.
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
# Write a small inner function for the feed-forward network, with `nn.functional.gelu` between the two linear maps.
# The second half reads the result of the first, and adds to it.
# </details>

# %% exercise="attention.block"
class TransformerBlock(nn.Module):
    """Attention and a feed-forward network, each with residual and norm; weights as nn.TransformerEncoderLayer's."""

    def __init__(self, D: int, H: int, F: int, norm_first: bool, Attention: type | None = None):
        super().__init__()
        self.torchs = Attention is None  # without a class of your own: torch's
        self.self_attn = nn.MultiheadAttention(D, H, batch_first=True) if self.torchs else Attention(D, H)
        self.linear1, self.linear2 = nn.Linear(D, F), nn.Linear(F, D)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.norm_first = norm_first

    def attention(self, X: Float[Tensor, "B T D"], allowed: Bool[Tensor, "..."] | None) -> Float[Tensor, "B T D"]:
        """MultiHead(X); a token reads only where allowed, which broadcasts to (B, H, T, T)."""
        if not self.torchs:
            return self.self_attn(X, allowed)
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
    """A block with the weights of one BERT layer, around your own attention."""
    block = Block(D, H, encoder.model.config.intermediate_size, False, Attention).to(device).eval()
    block.self_attn.load_state_dict(attention_weights(bert_layer))
    block.linear1.load_state_dict(bert_layer.intermediate.dense.state_dict())
    block.linear2.load_state_dict(bert_layer.output.dense.state_dict())
    block.norm1.load_state_dict(bert_layer.attention.output.LayerNorm.state_dict())
    block.norm2.load_state_dict(bert_layer.output.LayerNorm.state_dict())
    block.norm1.eps = block.norm2.eps = encoder.model.config.layer_norm_eps
    return block


stack = nn.ModuleList([block_of(bert_layer) for bert_layer in encoder.model.encoder.layer])
ffn, in_all = (sum(p.numel() for n, p in stack.named_parameters() if part in n) for part in ("linear", ""))
print(f"{len(stack)} blocks hold {in_all:,} numbers, {ffn / in_all:.0%} of them in the feed-forward networks")

# %%
@torch.no_grad()
def encode(texts, step=lambda block, X, allowed: block(X, allowed)):
    """A unit vector (D) for each text: the mean of its tokens after the last block."""
    inputs = encoder.tokenizer(texts, padding=True, return_tensors="pt").to(device)
    real = inputs["attention_mask"].bool()                        # (B, T), False on padding
    X = encoder.model.embeddings(inputs["input_ids"])             # (B, T, D)
    for block in stack:
        X = step(block, X, real[:, None, None, :])
    mean = (X * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
    return nn.functional.normalize(mean, dim=-1)                  # (B, D)


theirs = nn.functional.normalize(hidden_states(sentence)[-1].mean(1), dim=-1)
assert (encode([sentence]) - theirs).abs().max() < 1e-5
print("your six blocks and the encoder's own six layers differ by less than 1e-05")

# %%
shelf = [
    "My brother lost his keys, so we helped him find them.",
    "The bank raised its interest rates.",
    "She sat on the grassy bank and watched the water.",
    "He opened the door with a spare from the neighbour.",
]
asked = "I am locked out, what can I do?"
alike = (encode(shelf) @ encode([asked]).T)[:, 0]                 # (4)
for k in alike.argsort(descending=True).tolist():
    print(f"{alike[k]:5.2f}  {shelf[k]}")

# %% [markdown]
# Your attention in your blocks, loaded with the encoder's weights, **is** the encoder. Besides its weights we took
# only the embeddings from it. Its sentence vectors are made for search. Nobody on the shelf says *locked*, and yet both sentences
# about doors and keys come before the river and the interest rates. Put your own question into the cell above.
#
# ### Break it on purpose
# What is each part for? We leave one part out of all six blocks, and ask how much of a sentence's vector is left,
# as its cosine with the true one, on average over the four sentences of the shelf. (1 is all, 0 is nothing.)

# %%
predict("attention.parts")

# %%
def without(part):
    """A step through a block without attention, networks, residuals or norms."""
    def step(block, X, allowed):
        norm1, norm2 = (nn.Identity(), nn.Identity()) if part == "norms" else (block.norm1, block.norm2)
        kept = 0 if part == "residuals" else 1
        X = norm1(kept * X + (0 if part == "attention" else block.attention(X, allowed)))
        network = block.linear2(nn.functional.gelu(block.linear1(X)))
        return norm2(kept * X + (0 if part == "networks" else network))
    return step


true_vectors, left = encode(shelf), {}
for part in ("nothing", "attention", "networks", "residuals", "norms"):
    vectors = encode(shelf, without(part))                        # (4, D)
    left[part] = (vectors * true_vectors).sum(-1).mean().item()
    others = ((vectors @ vectors.T).sum() - 4).item() / 12        # cosines of different sentences, on average
    print(f"without {part:9}  {left[part]:5.2f} of the vector is left; sentences are alike to {others:.2f}")
came_out("attention.parts", round(left["attention"], 2))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Without attention about half of each vector is left. The words alone, unmixed, say much of what a short sentence
# is about. The feed-forward networks carry as much. Without residuals or without norms nothing is left, and the
# last column tells why. The sentences have become alike. Without norms the vectors grow from layer to layer, and what
# they grow by is nearly the same for all sentences.
# </details>
#
# Why do the residuals matter so much? We send 16 random tokens through a stack of fresh attention layers and measure
# how different the tokens still are, as the spread around their mean relative to their size.

# %%
layers = 6 if profile == "smoke" else 24


@torch.no_grad()
def spreads(kept):
    """How different the tokens are after each layer; 1 means as at random, 0 means all equal."""
    torch.manual_seed(seed)
    X, found = torch.randn(1, 16, 64), []
    for _ in range(layers):
        block = Block(64, 4, 256, False).eval()                   # a fresh one for each layer
        X = block.norm1(kept * X + block.self_attn(X, X, X)[0])
        found.append(((X - X.mean(1, keepdim=True)).norm() / X.norm()).item())
    return found


depth = {"attention with residual": spreads(1), "attention without": spreads(0)}
for name, found in depth.items():
    print(f"{name:24} {found[0]:.2f} after 1 layer, {found[5]:.1g} after 6 layers")

# %%
fig = curves(range(1, layers + 1), depth, x_label="layers", y_label="spread of the tokens (log scale)", log="y")
show(fig, "attention.depth", layers=layers, kept=depth["attention with residual"][-1])

# %% [markdown]
# An average of averages of averages. Without the residual, six layers make all tokens equal, down to the
# rounding error, and nothing after that can tell them apart. Dong et al. (2021) prove that pure attention
# loses rank doubly exponentially with depth. The residual is what keeps a token itself.

# %%
quiz("attention.block")

# %% [markdown]
# ## 11. The answer, in an experiment
#
# How does a word find the other words that matter to it? We have said how, with a query that matches a key. Does
# a layer **learn** to do that, and which of its parts does the finding?
#
# Here is a game small enough to train in seconds. Eight people sit in a circle and hold things, one of sixteen.
# Whoever is named takes what the **next** person in the circle held last. Four times in ten it is something new,
# which cannot be foreseen and does not count.
#
# A layer reads the events so far and a name, and must say what that person takes. So it must find the other
# events that matter, those of the next person, and of these the latest.

# %%
from coursekit.material.circle_game import NAMES, OBJECTS, circle

names, objects, counts = circle(1, 12, torch.Generator().manual_seed(seed))  # (1, T) each
for who, what, counted in zip(names[0].tolist(), objects[0].tolist(), counts[0].tolist(), strict=True):
    print(f"person {who} takes thing {what:2}" + f"   (as person {(who + 1) % NAMES} had it)" * counted)

# %% [markdown]
# Nothing below is new. Position comes from your [[attention.sinusoidal]], attention from your
# [[attention.empty_rows]] (the first event sees nothing). A query is made of the name alone, for the thing is what is
# to be said. Keys and values are made of name and thing. Query $i$ sees the events before it, $j < i$.

# %%
class Finder(nn.Module):
    """One attention layer that plays the game; `without` names the part that is left out."""

    def __init__(self, without, D=128):
        super().__init__()
        self.without, self.D = without, D
        self.name, self.thing = nn.Embedding(NAMES, D), nn.Embedding(OBJECTS + 1, D, padding_idx=OBJECTS)
        self.W_Q, self.W_K, self.W_V = (nn.Linear(D, D, bias=False) for _ in range(3))
        for W in (self.W_Q, self.W_K, self.W_V):
            nn.init.normal_(W.weight, std=D**-0.5)                # so that a query's entries have variance 1
        self.out = nn.Linear(D, OBJECTS)

    def look(self, names, things):
        """The weights A (B, T, T) and the values V (B, T, D)."""
        B, T = names.shape
        P = place(torch.arange(T, device=names.device), self.D)   # (T, D)
        X = self.name(names) + (0 if self.without == "positions" else P)
        X_seen = X + self.thing(things)                           # (B, T, D)
        Q = self.W_Q(X) * {"the scale": self.D**0.5, "looking": 0}.get(self.without, 1)
        K = (self.W_Q if self.without == "a map for keys" else self.W_K)(X_seen)
        before = torch.ones(T, T, dtype=torch.bool, device=Q.device).tril(-1)
        eye = torch.eye(T, device=Q.device).expand(B, 1, T, T)    # as values: we want the weights
        A = safe(Q[:, None], K[:, None], eye, before | (self.without == "the mask"))[:, 0]
        return A, self.W_V(X_seen)

    def forward(self, names, things):
        A, V = self.look(names, things)
        return self.out(A @ V)                                    # (B, T, OBJECTS)

# %% [markdown]
# We train it by filling in all events of many rounds at once, as language models are trained. Then we ask in two ways. **As
# in training**, the whole round lies there, and the mask alone keeps the layer from reading what it should say. **In use**,
# the last thing has not been said yet, so it is not there. The control has no looking at all. Its scores are all 0, and it mixes all
# earlier events equally. Three random seeds each.
#
# The layer without a mask sees everything while it trains. How well does it do in use?

# %%
predict("attention.peeking")

# %%
steps, rounds = {"smoke": (15, 200)}.get(profile, (160, 1000))


def trained(without, seed):
    torch.manual_seed(seed)
    g, model = torch.Generator().manual_seed(seed), Finder(without).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    for _ in range(steps):
        names, things, counts = (x.to(device) for x in circle(32, 20, g))
        loss = nn.functional.cross_entropy(model(names, things)[counts], things[counts])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def shares_right(model):
    """How often it is right as in training and in use, on the same rounds for every model."""
    names, things, counts = (x.to(device) for x in circle(rounds, 20, torch.Generator().manual_seed(1234)))
    in_training = (model(names, things).argmax(-1) == things)[counts].float().mean().item()
    unsaid = things.clone()
    unsaid[:, -1] = OBJECTS                                       # nothing is there yet
    last = counts[:, -1]
    in_use = (model(names, unsaid)[last, -1].argmax(-1) == things[last, -1]).float().mean().item()
    return in_training, in_use

# %%
seeds = range(1 if profile == "smoke" else 3)
table = {}
print("left out          as in training         in use   (mean, lowest to highest of the seeds)")
left_out = ("nothing", "a map for keys", "the scale", "positions", "the mask", "looking")
for without_what in ck.track(left_out, "layers"):
    runs_of = [shares_right(trained(without_what, seed + s)) for s in seeds]
    table[without_what] = [[100 * share for share in column] for column in zip(*runs_of, strict=True)]
    told = "   ".join(f"{sum(c) / len(c):4.0f}% ({min(c):.0f} to {max(c):.0f})" for c in table[without_what])
    print(f"{without_what:16} {told}")
print(f"by chance        {100 / OBJECTS:4.0f}%")
came_out("attention.peeking", round(sum(table["the mask"][1]) / len(seeds)))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Without the mask the layer learned to read the answer off the event itself. As in training it looks as good as the
# best, and in use, where the answer is not there, most of it is gone. This is why a loss that falls too well is a
# reason to look at the mask.
# </details>

# %%
means = [[sum(row[k]) / len(row[k]) for row in table.values()] for k in (0, 1)]
fig = curves(range(len(table)), {"as in training": means[0], "in use": means[1]},
             x_label="left out", y_label="right (%)", marker="o", size=(7.8, 3.4))
ax = fig.axes[0]
for k, (line, marker) in enumerate(zip(ax.lines, "os", strict=True)):
    line.set(linestyle="none", marker=marker, markersize=6)
    ax.vlines(range(len(table)), *([f(row[k]) for row in table.values()] for f in (min, max)), color=line.get_color())
ax.axhline(100 / OBJECTS, color="#888888", linewidth=1, label="by chance")
ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
ax.set(ylim=(0, 104), xticks=range(len(table)), xticklabels=[name.replace(" for ", "\nfor ") for name in table])
measured = {name.split()[-1]: sum(row[1]) / len(row[1]) for name, row in table.items()}
show(fig, "attention.answer", chance=100 / OBJECTS, **measured)

# %% [markdown]
# So this is the answer. A token finds others by **matching**, with a query against keys. Take the looking away and an
# average is left that knows little. Matching is **learned**, in two maps, because what is asked for (the next person) is
# not what asks. It needs **positions** to prefer the latest of several, the **scale** to stay able to learn, and a
# **mask** so that what it learns holds when the answer is not on the page. (One layer, one game, three seeds. What heads
# of large models learn is a field of its own, see below.)
#
# What does the layer with one map look at? We count, in new rounds, whose events get the weight.

# %%
@torch.no_grad()
def weight_on(k, model, names, things):
    """How much weight (B, T) each event gives to those of the person k places further round the circle."""
    A = model.look(names, things)[0]                              # (B, T, T)
    return (A * (names[:, None] == (names[:, :, None] + k) % NAMES)).sum(-1)


names, objects, counts = (x.to(device) for x in circle(rounds, 20, torch.Generator().manual_seed(seed + 1)))
finders = {"two maps": trained("nothing", seed), "one map": trained("a map for keys", seed)}
for name, finder in finders.items():
    on_next, on_self, on_last = (weight_on(k, finder, names, objects) for k in (1, 0, -1))
    means = [f"{on[counts].mean():.0%}" for on in (on_next, on_self, on_last)]
    print(f"{name}: {means[0]} on the next person, {means[1]} on oneself, {means[2]} on the one before")
    each = [f"{on_next[counts & (names == n)].mean():.0%}" for n in range(NAMES)]
    print("   on the next person, for each who asks:", *each)

# %% [markdown]
# With two maps nearly all of the weight lies on the next person. With one map most people find the next one, and some
# look at themselves, as nearly every token did in section 4. Not everybody can find the next one. With one map the names
# of two neighbours match alike in both directions. If everybody matched the next person better than the one before,
# then, added up once round the circle, the matches with the next would be greater than those with the one before. But
# both are sums over the same pairs of neighbours.

# %%
finder = finders["two maps"]
names, objects, counts = (x.to(device) for x in circle(1, 14, torch.Generator().manual_seed(seed + 1)))
with torch.no_grad():
    A_found = finder.look(names, objects)[0][0]                   # (T, T)
who = names[0].tolist()
wanted = {i: max(j for j in range(i) if who[j] == (who[i] + 1) % NAMES) for i in range(14) if counts[0, i]}
hit = sum(A_found[i].argmax().item() == j for i, j in wanted.items())
events = [f"{person}: {thing}" for person, thing in zip(who, objects[0].tolist(), strict=True)]
fig = heatmap(A_found, rows="who asks (person: thing)", row_labels=events, column_labels=events)
fig.axes[0].scatter([*wanted.values()], [*wanted], **marked)
show(fig, "attention.found", asked=len(wanted), hit=hit)

# %% [markdown]
# One round, event by event. Squares mark the latest event of the next person, in the rows that could be foreseen. Read
# the last row. Person 7 needs what person 0 held last, and of all events of person 0 the latest is the brightest. Where
# people sit was in no input. The layer has found the circle, and the order in time, in a loss that asked for things only.

# %%
quiz("attention.answer")

# %% [markdown]
# ## 12. Where this leads
#
# As of November 2026, newest first.
# - **A shorter past**. DeepSeek-V4 sums up groups of earlier tokens in one key and value each, reads the summaries, and
#   keeps a window of single tokens beside them ([2606.19348](https://arxiv.org/abs/2606.19348)).
# - **Hybrid stacks**. Three layers in four are linear attention with gates that forget, and every fourth is what you
#   wrote ([Qwen3-Next](https://huggingface.co/collections/Qwen/qwen3-next), [Kimi Linear](https://arxiv.org/abs/2510.26692);
#   the layer is [Gated DeltaNet](https://arxiv.org/abs/2412.06464)).
# - **Learned sparse attention**. A small indexer picks the keys that are worth a full score
#   ([DeepSeek-V3.2](https://arxiv.org/abs/2512.02556), [NSA](https://arxiv.org/abs/2502.11089)).

# %% [markdown]
# - **Gates and sinks**. A gate behind attention ([2505.06708](https://arxiv.org/abs/2505.06708)), or a learned extra term
#   under the softmax's fraction and windows in every other layer ([gpt-oss](https://arxiv.org/abs/2508.10925)), let a head say nothing.
# - **QK-norm**. Queries and keys are normalised before they meet ([Henry et al. 2020](https://arxiv.org/abs/2010.04245),
#   [Qwen3](https://arxiv.org/abs/2505.09388)).
# - **Smaller caches**. [Multi-head latent attention](https://arxiv.org/abs/2405.04434) keeps one small vector a token.
# - **Longer contexts**. Rotary frequencies are stretched ([position interpolation](https://arxiv.org/abs/2306.15595),
#   [YaRN](https://arxiv.org/abs/2309.00071)).
# - **Faster kernels**. [FlashAttention-2](https://arxiv.org/abs/2307.08691) and [3](https://arxiv.org/abs/2407.08608) are
#   [[attention.blockwise]] in fast memory, and [[attention.backward]] with $A$ computed again, block by block.
# - **What heads do**. [Induction heads](https://arxiv.org/abs/2209.11895), and whether weights explain anything
#   ([no](https://arxiv.org/abs/1902.10186), [not quite no](https://arxiv.org/abs/1908.04626)).

# %% [markdown]
# One of them runs here. [Linear attention](https://arxiv.org/abs/2006.16236) replaces $e^{q \cdot k}$ by
# $\varphi(q) \cdot \varphi(k)$. Then the sum over the past can be carried along, and the cache is one matrix that never grows.

# %% tags=["nbval-check-output"]
torch.manual_seed(seed)
phi = lambda x: nn.functional.elu(x) + 1                          # positive features, as in the paper
Q, K, V = torch.randn(3, 50, 8, dtype=torch.float64)              # (T, d)
scores_lin = (phi(Q) @ phi(K).T).tril()                           # (T, T), causal
table_way = scores_lin / scores_lin.sum(-1, keepdim=True) @ V
S, total, carried = torch.zeros(8, 8), torch.zeros(8), []
for q, k, v in zip(Q, K, V, strict=True):
    S, total = S + phi(k)[:, None] * v, total + phi(k)            # (d, d) and (d), whatever the length
    carried.append(phi(q) @ S / (phi(q) @ total))
print("the table and the recurrence agree:", torch.allclose(torch.stack(carried), table_way))

# %% [markdown]
# What is lost is the sharp choice. A matrix of fixed size cannot hold every key of a long past apart, which is why the hybrids
# keep some layers of the kind that you wrote.

# %% [markdown]
# ## Terms and formulas
#
# [[terms]]
#
# [[formulas]]

# %% [markdown]
# ## Papers
#
# - Bahdanau et al. 2015, [Jointly Learning to Align and Translate](https://arxiv.org/abs/1409.0473); Vaswani et al. 2017,
#   [Attention Is All You Need](https://arxiv.org/abs/1706.03762), sections 3 and 3.5
# - Su et al. 2021, [RoFormer](https://arxiv.org/abs/2104.09864); Press et al. 2022, [Train Short, Test
#   Long](https://arxiv.org/abs/2108.12409)
# - Shazeer 2019, [Fast Transformer Decoding](https://arxiv.org/abs/1911.02150); Ainslie et al. 2023,
#   [GQA](https://arxiv.org/abs/2305.13245); Jiang et al. 2023, [Mistral
#   7B](https://arxiv.org/abs/2310.06825)
# - Milakov and Gimelshein 2018, [Online Normalizer Calculation](https://arxiv.org/abs/1805.02867); Rabe and Staats 2021,
#   [Self-attention Does Not Need O(n²) Memory](https://arxiv.org/abs/2112.05682); Dao et al. 2022,
#   [FlashAttention](https://arxiv.org/abs/2205.14135)
# - Ba et al. 2016, [Layer Normalization](https://arxiv.org/abs/1607.06450); Xiong et al. 2020, [On Layer
#   Normalization](https://arxiv.org/abs/2002.04745); Dong et al. 2021, [Attention Is Not All You
#   Need](https://arxiv.org/abs/2103.03404)
# - Clark et al. 2019, [What Does BERT Look At?](https://arxiv.org/abs/1906.04341); Xiao et al. 2024,
#   [Attention Sinks](https://arxiv.org/abs/2309.17453)
# - Grattafiori et al. 2024, [The Llama 3 Herd of Models](https://arxiv.org/abs/2407.21783)
#
# *Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Code: BSD 3-Clause. Copyright: the authors of this course.*

# %%
progress()
