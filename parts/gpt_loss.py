# %% [markdown]
# ### Exercise [[gpt.loss]]: The loss and its units
# core · importance 5 of 5 · 25 minutes · 3 points
#
# [[formula: Loss of a language model, and its units | N targets y that count, in a text of M bytes]]
#
# $$\text{loss} = -\frac{1}{N} \sum_{i=1}^{N} \ln p(y_i), \qquad \text{perplexity} = e^{\text{loss}}, \qquad
# \text{bits per byte} = \frac{N \cdot \text{loss}}{M \ln 2}$$
#
# Write three functions, in which you decide what is added up and what is counted.
#
# - `lm_loss(logits, targets, ignore)` is the loss of a batch in **nats**, a tensor of shape (). The targets are already
#   shifted, as `blocks` does it. Places whose target is `ignore` do not count. That may be any number, also the id of a
#   token. At least one target counts.
# - `perplexity(sums, counts)` is that of a whole text, which was read in windows. Window $i$ has `counts[i]` targets,
#   which cost `sums[i]` nats together. Windows have unequal numbers of targets, and one may have none.
# - `bits_per_byte(loss, count, text)` is told the mean loss of `count` targets, in nats, and the `text` that they
#   spell. Its bytes are those of UTF-8. Models with different tokenizers can be compared by it, and not by their
#   perplexities.
#
# <details><summary>Hint 1</summary>
#
# Each of the three is a mean. Mean of what, and over what? Ask it before you reach for a function that averages.
# </details>
# <details><summary>Hint 2</summary>
#
# `F.cross_entropy` takes logits (N, V), targets (N) and `ignore_index=`, and averages over what counts. The mean of
# unequal groups' means is not the mean of all, and the mean of exponentials is not the exponential of the mean.
# </details>
# <details><summary>Hint 3</summary>
#
# `logits.flatten(0, 1)` and `targets.flatten()` put the rows one behind the other. `sum(sums) / sum(counts)` is what a
# target of the whole text costs. `len("ä")` is 1 and `len("ä".encode())` is 2.
# </details>

# %% exercise="gpt.loss"
def lm_loss(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"], ignore: int) -> Float[Tensor, ""]:
    """Mean of -ln p(target), in nats, over the targets that are not `ignore`."""
    ### BEGIN SOLUTION
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore)
    ### END SOLUTION


def perplexity(sums: list[float], counts: list[int]) -> float:
    """exp of the mean nats of a target, over all windows."""
    ### BEGIN SOLUTION
    return math.exp(sum(sums) / sum(counts))
    ### END SOLUTION


def bits_per_byte(loss: float, count: int, text: str) -> float:
    """What the text costs in bits, for each of its bytes."""
    ### BEGIN SOLUTION
    return loss * count / math.log(2) / len(text.encode())
    ### END SOLUTION

# %% check="gpt.loss"
check("gpt.loss", lm_loss, perplexity, bits_per_byte)
