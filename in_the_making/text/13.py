# %% [markdown]
# ## 13. What makes it large
# Before anything is trained, four numbers follow from the configuration alone. How many weights are there, how many operations does a token cost, how many bytes hold its past, and how many hold the training?
#
# A weight takes part in one multiplication and one addition for each token on the way forward, and in twice as many on the way back. That makes 6 operations (**FLOPs**) for each weight and token (Kaplan et al. 2020). Attention has a part without
# weights. A query meets $T$ keys, so it grows with the context.
#
# [[formula: Parameters and operations of a decoder | width D, H heads, G of them for keys and values, L layers, feed-forward width F, vocabulary V]]
#
# $$\begin{aligned} N &= L \left(2 D^2 + 2 D \tfrac{D}{H} G + E\, s D F + [E > 1]\, D E + 2 D\right) + D + (1 \text{ or } 2)\, V D, \qquad s = 2 \text{, or } 3 \text{ with a gate} \\
# C &= 6 \left( L \left(2 D^2 + 2 D \tfrac{D}{H} G + k\, s D F + [E > 1]\, D E\right) + V D \right) + 12 L D T \end{aligned}$$
#
# $E$ is the number of experts, feed-forward networks of which a router chooses $k$ for each token. With $E = 1$ there is none, and no router.

# %% [markdown]
# ### Exercise [[core.large]]: What makes a model large
# core · importance 5 of 5 · 30 minutes · 3 points
#
# Write four functions of a configuration `c`, a dictionary with the letters above as keys, and with `gated` and `tied`, which are True or False. `D` is a multiple of `H`.
#
# - `parameters(c)` counts all weights. Linear maps have no biases. A layer has two norms with a weight of D each, and behind the last layer stands one more. The embedding (V, D) also makes the scores where it is `tied`. Else the head is a second matrix.
#   `gated` feed-forward networks have three matrices, others two. All experts count, and so does the router, a map from D to E, where $E > 1$.
# - `flops(c)` is what training costs for one token, $C$. Only the $k$ experts that a token meets are active. The embedding is a lookup and costs nothing. Scores cost the same, tied or not.
# - `cache_bytes(c, B)` is what keys and values of all layers take for $B$ texts of $T$ tokens, 2 bytes a number.
# - `training_bytes(c)` is what training in mixed precision holds for the weights. Weight and gradient in 2 bytes each, and in 4 bytes each a copy of the weight and two averages.
#
# All are whole numbers. `c` is not changed.
#
# <details><summary>Hint 1</summary>
#
# Write the shape of each matrix of a layer in a list. Which of them does a token not meet, and which is met without being multiplied?
# </details>
# <details><summary>Hint 2</summary>
#
# Queries and output have D to D. Keys and values have D to $G \cdot D / H$. One function for the maps of attention and one for an expert serve both counts.
# </details>
# <details><summary>Hint 3</summary>
#
# `d = c["D"] // c["H"]`. The cache has `2 * L * G * d` numbers for each of `B * T` tokens. Training holds `2 + 2 + 4 + 4 + 4` bytes.
# </details>

# %% exercise="core.large"
def parameters(c: dict) -> int:
    """All weights."""
    ### BEGIN SOLUTION
    layer = attention_maps(c) + c["E"] * expert(c) + router(c) + 2 * c["D"]
    return c["L"] * layer + c["D"] + (1 if c["tied"] else 2) * c["V"] * c["D"]
    ### END SOLUTION


def flops(c: dict) -> int:
    """Operations of training, for one token."""
    ### BEGIN SOLUTION
    layer = attention_maps(c) + c["k"] * expert(c) + router(c)
    return 6 * (c["L"] * layer + c["V"] * c["D"]) + 12 * c["L"] * c["D"] * c["T"]
    ### END SOLUTION


def cache_bytes(c: dict, B: int) -> int:
    """Keys and values of B texts of T tokens, 2 bytes a number."""
    ### BEGIN SOLUTION
    return 2 * c["L"] * c["G"] * (c["D"] // c["H"]) * c["T"] * B * 2
    ### END SOLUTION


def training_bytes(c: dict) -> int:
    """Weights, gradients, copies and averages in mixed precision."""
    ### BEGIN SOLUTION
    return (2 + 2 + 4 + 4 + 4) * parameters(c)
    ### END SOLUTION


### BEGIN SOLUTION
def attention_maps(c):
    return 2 * c["D"] ** 2 + 2 * c["D"] * c["D"] // c["H"] * c["G"]


def expert(c):
    return (3 if c["gated"] else 2) * c["D"] * c["F"]


def router(c):
    return c["D"] * c["E"] if c["E"] > 1 else 0
### END SOLUTION

# %% check="core.large"
check("core.large", parameters, flops, cache_bytes, training_bytes)

# %% [markdown]
# Does the formula know a real model? transformers builds Llama's design without memory for its weights (on the `meta` device), so its own count costs nothing.

# %%
from transformers import LlamaConfig, LlamaForCausalLM

counted, cost, past, held = use("core.large", parameters, flops, cache_bytes, training_bytes)
shape = {"E": 1, "k": 1, "gated": True}
configs = {
    "SmolLM2-135M": shape | {"D": 576, "H": 9, "G": 3, "L": 30, "F": 1536, "T": 8192, "V": 49_152, "tied": True},
    "Llama 3.1 8B": shape | {"D": 4096, "H": 32, "G": 8, "L": 32, "F": 14_336, "T": 131_072, "V": 128_256, "tied": False},
    "Llama 3.1 70B": shape | {"D": 8192, "H": 64, "G": 8, "L": 80, "F": 28_672, "T": 131_072, "V": 128_256, "tied": False},
}
for name, c in configs.items():
    sizes = {"hidden_size": c["D"], "intermediate_size": c["F"], "num_hidden_layers": c["L"], "num_attention_heads": c["H"]}
    sizes |= {"num_key_value_heads": c["G"], "vocab_size": c["V"], "tie_word_embeddings": c["tied"]}
    with torch.device("meta"):
        built = sum(p.numel() for p in LlamaForCausalLM(LlamaConfig(**sizes)).parameters())
    assert counted(c) == built, f"found {counted(c):,}, and transformers builds {built:,}"
    print(f"{name:13} {counted(c):>14,} weights, {held(c) / 2**30:7.1f} GiB to train, "
          f"{past(c, 1) / 2**30:5.1f} GiB for the past of one full text, {cost(c):.1e} operations a token")

# %% [markdown]
# Equal to the last weight. Look at the third column. A single text of 131,072 tokens needs 40 GiB beside 141 GB of weights, although eight query heads share each key head. That is why caches are shrunk in chapters 4 and 6. And
# training takes eight times the bytes of the weights alone, which is why it is spread over machines in chapter 5.

# @@ scaling_law

# %%
quiz("core.large")
