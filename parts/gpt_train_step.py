# %% [markdown]
# ### Exercise [[gpt.train_step]]: Mend this code, a step from micro-batches
# core · importance 5 of 5 · 30 minutes · 4 points
#
# Large batches give smooth gradients, and small ones fit into memory. **Gradient accumulation** has both. The gradients
# of several **micro-batches** are added up before the optimiser takes one step. It must be the step that all rows in a
# single batch would have given. The function below takes another one. Mend its three slips, here as `train_step`.
#
# - `micro_batches` is a list of `(x, y)`, each (B, T) with its own $B$ and $T$, and `model(x)` gives logits. A target
#   of $-100$ is none. Some micro-batches may be without any target.
# - The loss is the mean over the targets of **all** micro-batches. Gradients from before the call do not count.
# - The norm of all gradients together is clipped to `clip`, the optimiser takes one step, and then the schedule does.
# - Each micro-batch goes backward before the model reads the next one, so that memory holds one graph at a time.
# - The mean loss of a target is returned, without a graph.
#
# <details><summary>Hint 1</summary>
#
# Let one micro-batch have nine targets and another have one. What share of the gradient has each of the ten in a single
# batch, and what share has it here?
# </details>
# <details><summary>Hint 2</summary>
#
# First count the targets of all micro-batches. Then each one gives its sum of nats, divided by that number. These
# shares add up to the loss, and their gradients to its gradient. Its norm is known when the last share has been added.
# </details>
# <details><summary>Hint 3</summary>
#
# `F.cross_entropy(..., reduction="sum")` leaves out $-100$ by itself and is 0 where nothing is left, while a mean over
# nothing is NaN. `loss.item()` is a number without a graph.
# </details>

# %%
def given_step(model, optimizer, schedule, micro_batches, clip):
    """One step from several micro-batches, as a colleague left it."""
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten()) / len(micro_batches)  # leaves out -100
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        total = total + loss
    optimizer.step()
    schedule.step()
    return total


x, y = torch.randint(9, (2, 3, 10), generator=torch.Generator().manual_seed(seed))
y[1:, 1:] = -100                                                  # ten targets in the first row, one in each other
ways = {"one batch of 3 rows": [(x, y)], "3 of one row": [(x[i : i + 1], y[i : i + 1]) for i in range(3)]}
for name, micro_batches in ways.items():
    torch.manual_seed(seed)
    pairs = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))    # sees one token at a time
    optimizer = torch.optim.SGD(pairs.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    loss = given_step(pairs, optimizer, schedule, micro_batches, clip=0.2)
    print(f"{name}: loss {loss:.4f} (has a graph: {loss.requires_grad}), bias 0 is {pairs[1].bias[0].item():.4f}")

# %% exercise="gpt.train_step"
def train_step(model: nn.Module, optimizer, schedule, micro_batches: list, clip: float) -> float:
    """One step as from all rows in a single batch; returns the mean loss of a target."""
    ### BEGIN SOLUTION
    count = sum((y != -100).sum().item() for _, y in micro_batches)
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum") / count
        loss.backward()
        total += loss.item()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    schedule.step()
    return total
    ### END SOLUTION

# %% check="gpt.train_step"
check("gpt.train_step", train_step)
