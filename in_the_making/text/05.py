# %% [markdown]
# ## 5. Losses
# A classifier gives a score for each class, and the loss is how surprised it is by the right one. Two things go wrong in practice. Exponentials
# overflow, and tokens that are only padding are counted.
#
# [[formula: Cross-entropy over the places that count | scores Z (B, T, V), labels y (B, T), n of them counted]]
#
# $$\ell = \frac1n \sum_{(b,t) \text{ counted}} \Big( \ln \sum_v e^{Z_{btv}} - Z_{b t y_{bt}} \Big), \qquad
# \frac{\partial \ell}{\partial Z_{bt}} = \frac1n \big(\operatorname{softmax}(Z_{bt}) - \operatorname{onehot}(y_{bt})\big)$$
#
# The gradient is worth a look. It is what the model believes minus what was true, and it is small where the model is right. A logarithm of a
# softmax gives the same numbers on paper. On a machine it does not.

# %% tags=["nbval-check-output"]
for z in (torch.tensor([2.0, 0.0, -1.0]), torch.tensor([200.0, 0.0, -1.0]), torch.tensor([2000.0, 0.0, -1.0])):
    by_steps = -(z.exp() / z.exp().sum()).log()[1]
    softmax_first = -z.softmax(0).log()[1]
    at_once = z.logsumexp(0) - z[1]
    print(f"scores {z.tolist()}: {by_steps.item():.3f}, {softmax_first.item():.3f}, {at_once.item():.3f}")

# %% [markdown]
# All three columns are $-\ln p$ of the second class. float32 ends near $e^{88}$, so the first column breaks early. `softmax` subtracts the largest score first, and still
# its second entry is 0 in the second row, of which there is no logarithm. [[term: log-sum-exp | the logarithm of a sum of exponentials, computed from the largest
# one on]] never leaves the scale of the scores. An infinite loss would be honest here. Its gradient is NaN, and one NaN ends a training.

# %% [markdown]
# ### Exercise [[core.cross_entropy]]: Cross-entropy and its gradient
# core · importance 5 of 5 · 25 minutes · 3 points
#
# Write the loss, and its gradient by hand.
#
# - `cross_entropy(Z, y, ignore_index)` is the mean of $-\ln \operatorname{softmax}(Z)_y$ over the places that count, a tensor of shape (). A place
#   whose label is `ignore_index` does not count. That can be any number, also one that is a class, or one that is no index at all. If no place counts, the loss is 0.
# - `cross_entropy_backward(Z, y, ignore_index)` is its gradient with respect to Z, of the shape of Z, and 0 at places that do not count. torch's own
#   reverse mode is refused by the check.
#
# Scores may be around 1,000, or lie a thousand apart. Gradients flow through the loss, and no input changes. It is yours to write: torch's
# `F.cross_entropy` takes the same arguments in another layout, and gives NaN where no place counts.
#
# <details><summary>Hint 1</summary>
#
# How many places count? By what must the sum be divided if it is none?
# </details>
# <details><summary>Hint 2</summary>
#
# `y.where(counted, 0)` is a label that can always be looked up. What it finds at the other places is thrown away.
# </details>
# <details><summary>Hint 3</summary>
#
# `Z.logsumexp(-1) - Z.gather(-1, labels[..., None])[..., 0]` are the surprises (B, T). The gradient is `Z.softmax(-1)`, minus 1 at the labels, times `counted`, divided by the
# number.
# </details>

# %% exercise="core.cross_entropy"
def cross_entropy(Z: Float[Tensor, "B T V"], y: Int[Tensor, "B T"], ignore_index: int = -100) -> Float[Tensor, ""]:
    """Mean of -ln softmax(Z)_y over the places whose label is not `ignore_index`, 0 if there are none."""
    ### BEGIN SOLUTION
    counted = y != ignore_index                                   # (B, T)
    labels = y.where(counted, 0)
    surprise = Z.logsumexp(-1) - Z.gather(-1, labels[..., None])[..., 0]  # (B, T)
    return surprise.where(counted, 0).sum() / counted.sum().clamp(min=1)
    ### END SOLUTION


def cross_entropy_backward(Z: Float[Tensor, "B T V"], y: Int[Tensor, "B T"], ignore_index: int = -100):
    """The gradient (B, T, V) of the loss with respect to Z."""
    ### BEGIN SOLUTION
    counted = y != ignore_index
    dZ = Z.softmax(-1) - F.one_hot(y.where(counted, 0), Z.shape[-1])  # (B, T, V)
    return dZ * counted[..., None] / counted.sum().clamp(min=1)
    ### END SOLUTION

# %% check="core.cross_entropy"
check("core.cross_entropy", cross_entropy, cross_entropy_backward)

# %% [markdown]
# Padding is where this matters. The GPT of the last section reads four texts of different lengths, filled up to the longest with the token that ends a text. We count the loss
# with the padding and without it.

# %%
loss_of, _ = use("core.cross_entropy", cross_entropy, cross_entropy_backward)
texts = ["The whale rose.", "My fellow Americans, we are free.", "He saw it.", "The people of this country want peace, and work for it."]
rows = [torch.tensor(gpt.tokenizer(text)["input_ids"]) for text in texts]
end = gpt.tokenizer.eos_token_id
x = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=end).to(device)  # (B, T)
with torch.no_grad():
    Z = gpt.model(x).logits[:, :-1].cpu()                         # (B, T - 1, V)
labels = x[:, 1:].cpu()
lengths = torch.tensor([len(row) for row in rows])
real = labels.where(torch.arange(1, x.shape[1]) < lengths[:, None], -100)
print(f"with padding {loss_of(Z, labels).item():.2f} nats, without it {loss_of(Z, real).item():.2f}; "
      f"{(real == -100).float().mean().item():.0%} of the places are padding")

# %% [markdown]
# The model is asked for a token that nobody wrote, and its answers raise the loss by a fifth. How much depends on how long the longest text of the batch is, so two
# batches cannot be compared. In training the gradient of those places is spent on learning where texts were filled up.

# %%
quiz("core.gradient")
