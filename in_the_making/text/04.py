# %% [markdown]
# ## 4. Layers
# **Sitting 3 of 8**, 95 minutes, sections 4 and 5. Exercises [[core.linear_gelu]] and [[core.cross_entropy]] must be done, [[core.norms]] may be left out.
#
# Libraries do not build a graph of additions and products. They know the backward pass of a whole layer, written by hand, and it costs fewer passes
# through memory. To write one, shapes are half of the work. The gradient of W has the shape of W, and only one product of what is at hand gives that shape.
#
# The layer here is a linear map with [[term: GELU | z times the probability that a standard normal number lies below z]] behind it, as in most
# transformers. With the normal distribution's $\Phi$ and its density $\varphi$,
#
# [[formula: A linear map with GELU, forward | X (N, D), W (E, D), b (E), Y (N, E)]]
#
# $$Z = X W^\top + b, \qquad Y = \operatorname{GELU}(Z) = Z\, \Phi(Z)$$
#
# [[formula: The same backward | a bar marks a gradient, the products are entry by entry where it says so]]
#
# $$\bar Z = \bar Y \odot \left(\Phi(Z) + Z\, \varphi(Z)\right), \qquad \bar X = \bar Z W, \qquad \bar W = \bar Z^\top X, \qquad
# \bar b = \textstyle\sum_n \bar Z_n$$

# %% [markdown]
# ### Exercise [[core.linear_gelu]]: A layer, there and back
# core · importance 5 of 5 · 30 minutes · 3 points
#
# Write both passes, for an X with any number of leading dimensions, none among them.
#
# - `linear_gelu(X, W, b)` gives Y, as the formula has it. The GELU is the exact one, with $\Phi(z) = \frac12 (1 +
#   \operatorname{erf}(z / \sqrt 2))$, and not the approximation by a tanh. Gradients flow through it.
# - `linear_gelu_backward(X, W, b, dY)` gives `dX`, `dW` and `db` when `dY` is the gradient with respect to Y. torch's own reverse mode is refused
#   by the check, so write the formula. $\varphi(z) = e^{-z^2/2} / \sqrt{2 \pi}$.
#
# Gradients have the shapes and dtypes of what they belong to. Several leading dimensions are as many rows, so `dW` and `db` add up over all of them.
#
# <details><summary>Hint 1</summary>
#
# Say the shape of each factor aloud. Over which index does each product add up?
# </details>
# <details><summary>Hint 2</summary>
#
# `flatten(0, -2)` makes rows (N, D) of an X with leading dimensions. A single vector has none, and `reshape(-1, D)` serves both.
# </details>
# <details><summary>Hint 3</summary>
#
# Compute Z again, then `dZ = dY * (cdf + Z * density)`. `dX = dZ @ W` works for every shape. For `dW` and `db` make rows of `dZ` and X first.
# </details>

# %% exercise="core.linear_gelu"
def linear_gelu(X: Float[Tensor, "... D"], W: Float[Tensor, "E D"], b: Float[Tensor, "E"]) -> Float[Tensor, "... E"]:
    """Y = GELU(X W^T + b)."""
    ### BEGIN SOLUTION
    Z = X @ W.T + b                                               # (..., E)
    return Z * (1 + torch.erf(Z / math.sqrt(2))) / 2
    ### END SOLUTION


def linear_gelu_backward(X: Float[Tensor, "... D"], W: Float[Tensor, "E D"], b: Float[Tensor, "E"], dY):
    """The gradients dX (..., D), dW (E, D), db (E) that belong to dY (..., E)."""
    ### BEGIN SOLUTION
    Z = X @ W.T + b
    cdf = (1 + torch.erf(Z / math.sqrt(2))) / 2
    density = torch.exp(-(Z**2) / 2) / math.sqrt(2 * math.pi)
    dZ = dY * (cdf + Z * density)                                 # (..., E)
    rows = dZ.reshape(-1, len(W))                                 # (N, E)
    return dZ @ W, rows.T @ X.reshape(-1, X.shape[-1]), rows.sum(0)
    ### END SOLUTION

# %% check="core.linear_gelu"
check("core.linear_gelu", linear_gelu, linear_gelu_backward)

# %%
layer, layer_backward = use("core.linear_gelu", linear_gelu, linear_gelu_backward)


class Layer(torch.autograd.Function):
    """Your two passes as one node of torch's graph."""

    @staticmethod
    def forward(ctx, X, W, b):
        ctx.save_for_backward(X, W, b)
        return layer(X, W, b)

    @staticmethod
    def backward(ctx, dY):
        return layer_backward(*ctx.saved_tensors, dY)


X = training.images[:100]
W, b = (torch.randn(32, 784, generator=g) / 28).requires_grad_(), torch.zeros(32, requires_grad=True)
by_hand = torch.autograd.grad((Layer.apply(X, W, b) ** 2).mean(), (W, b))
by_torch = torch.autograd.grad((F.gelu(F.linear(X, W, b)) ** 2).mean(), (W, b))
difference = max((one - other).abs().max().item() for one, other in zip(by_hand, by_torch, strict=True))
assert difference < 1e-5, f"found a difference of {difference:.0e}"
print("your layer in torch's graph gives torch's gradients up to 0.00001")

# %% [markdown]
# ### Norms
# A network is a product of many maps, and products of many numbers grow or vanish. A norm brings each token back to one size, whatever came before.
# [[term: layer norm | takes a token's mean away and divides by its standard deviation]] (Ba et al. 2016) and [[term: RMS norm | divides a
# token by the root of the mean of its squares]] (Zhang and Sennrich 2019) do it within a token. So they do not care what else is in the batch.
#
# [[formula: Layer norm and RMS norm | x (..., D), w (D), b (D), mean and variance over D]]
#
# $$\operatorname{LN}(x) = w \odot \frac{x - \operatorname{mean}(x)}{\sqrt{\operatorname{var}(x) + \epsilon}} + b, \qquad
# \operatorname{RMS}(x) = w \odot \frac{x}{\sqrt{\operatorname{mean}(x^2) + \epsilon}}$$
#
# The variance here is the mean of the squares about the mean, over $D$ and not over $D - 1$. In half precision squares are a danger. float16 ends at 65,504,
# the square of 256.

# %%
from coursekit.material.decoders import load_decoder

gpt = load_decoder("fast", device)                                # 3.3 million numbers, trained on speeches and Moby-Dick
text = "The whale rose again, and the people of this country saw it."
with torch.no_grad():
    ids = torch.tensor([gpt.tokenizer(text)["input_ids"]], device=device)
    stream = gpt.model(ids, output_hidden_states=True).hidden_states  # before each block, (1, T, D)
for block in (0, 3, 5):
    x = stream[block][0].cpu()                                    # (T, D)
    print(f"before block {block}: deviation of a token {x.std(-1).mean().item():5.2f}, largest number {x.abs().max().item():5.1f}")

# %% [markdown]
# Inside of a trained GPT numbers grow from block to block. This is a small one. In models of some billion numbers single entries reach thousands (Sun et al. 2024,
# massive activations), and a norm in half precision would square them.

# %% [markdown]
# ### Exercise [[core.norms]]: Mend this code, two norms
# core · importance 4 of 5 · 20 minutes · 2 points
#
# A colleague's norms are below. They pass a glance at the printed numbers, and are wrong in several ways. Mend them under the names `layer_norm` and `rms_norm`.
#
# - Each does what its formula says, for every token by itself, along the last dimension. A token may have a single number. `eps` stands under the root and comes from the
#   argument.
# - The result has the shape and dtype of x (a wider one costs no marks). Statistics are taken in float32 at least, also where x is float16 or bfloat16, and in float64
#   where x is.
# - Gradients flow through it, and no input changes.
#
# <details><summary>Hint 1</summary>
#
# Let a token have two numbers, 1 and 3. What should its variance be, and what does `std` give? Then let it be (3000, 0, 0, 0) in float16, for RMS norm.
# </details>
# <details><summary>Hint 2</summary>
#
# RMS norm leaves one step of layer norm out. That is all of its idea. And $\sqrt{v} + \epsilon$ is not $\sqrt{v + \epsilon}$.
# </details>
# <details><summary>Hint 3</summary>
#
# `z = x.to(torch.promote_types(x.dtype, torch.float32))` keeps float64 as it is. `z.var(-1, keepdim=True, unbiased=False)` is the right variance. The last
# step is `.to(x.dtype)`.
# </details>

# %%
def given_layer_norm(x, w, b, eps):
    return w * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + b


def given_rms_norm(x, w, eps):
    x = x - x.mean(-1, keepdim=True)
    return w * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


x = stream[5][0].cpu()                                            # (T, D)
D = x.shape[-1]
for dtype in (torch.float32, torch.float16):
    norm = given_layer_norm(100 * x.to(dtype), torch.ones(D, dtype=dtype), torch.zeros(D, dtype=dtype), 1e-5)
    root = given_rms_norm(100 * x.to(dtype), torch.ones(D, dtype=dtype), 1e-5)
    print(dtype, "deviation", [round(y.float().std(-1).mean().item(), 3) for y in (norm, root)])

# %% exercise="core.norms"
def layer_norm(x: Float[Tensor, "... D"], w: Float[Tensor, "D"], b: Float[Tensor, "D"], eps: float):
    """w (x - mean) / sqrt(var + eps) + b, along the last dimension."""
    ### BEGIN SOLUTION
    z = x.to(torch.promote_types(x.dtype, torch.float32))
    z = z - z.mean(-1, keepdim=True)
    z = z / (z.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return (w * z + b).to(x.dtype)
    ### END SOLUTION


def rms_norm(x: Float[Tensor, "... D"], w: Float[Tensor, "D"], eps: float) -> Float[Tensor, "... D"]:
    """w x / sqrt(mean(x^2) + eps), along the last dimension."""
    ### BEGIN SOLUTION
    z = x.to(torch.promote_types(x.dtype, torch.float32))
    z = z / (z.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return (w * z).to(x.dtype)
    ### END SOLUTION

# %% check="core.norms"
check("core.norms", layer_norm, rms_norm)

# %% [markdown]
# Your layer norm takes the place of the last one in the trained GPT, and its guesses should not notice. Then RMS norm takes that place. It leaves in the mean that
# layer norm takes away, and nobody has trained the model for it.

# %%
ours, root_mean = use("core.norms", layer_norm, rms_norm)
last = gpt.model.transformer.ln_f
with torch.no_grad():
    before_norm, head = {}, gpt.model.lm_head
    last.register_forward_pre_hook(lambda module, given: before_norm.update(h=given[0]))
    right = gpt.model(ids).logits[0].cpu()                        # (T, V)
    h = before_norm["h"]
    mine = head(ours(h, last.weight, last.bias, last.eps))[0].cpu()
    other = head(root_mean(h, last.weight, last.eps) + last.bias)[0].cpu()
assert (mine - right).abs().max() < 1e-3, "found other guesses with your layer norm"
same = (other.argmax(-1) == right.argmax(-1)).float().mean().item()
share = (h.mean(-1).abs() / h.std(-1)).mean().item()
print(f"your layer norm: the same guesses up to 0.001; RMS norm instead: {same:.0%} of the likeliest tokens are the same")
print(f"the mean of a token is {share:.3f} of its deviation")

# %% [markdown]
# Nothing changed, since there is next to no mean to take away. It is the observation that RMS norm starts from. What a norm does for a network is the
# division, and newer models save the rest.

# %%
quiz("core.norm")
