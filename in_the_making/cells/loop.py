# %% [markdown]
# ### Exercise [[core.loop]]: Mend this code, an epoch and a look
# core · importance 5 of 5 · 30 minutes · 4 points
#
# Mend both functions as `train_epoch` and `evaluate`. Each is worth two points by itself. `loader` gives batches of
# images and labels. They may differ in size, and lie on another device than the model's, `device`.
#
# - `train_epoch` trains in training mode. The first batch of the call is step `step`, the next one `step + 1`. For
#   step $s$ it forgets old gradients (also those from before the call), takes the mean cross-entropy of the batch,
#   and brings the norm of all gradients together down to `limit` at most. Then the optimizer takes one step, in which
#   all of its groups have the rate `schedule(s)`.
# - It returns the mean loss over all images that the loader gave, without a graph, and the next step, with which the following epoch goes
#   on.
# - `evaluate` returns the mean loss and the accuracy (a share from 0 to 1) over all images that it is given, in evaluation mode, and
#   keeps no graph of what it computes. Afterwards the model is in the mode in which it was.
# - What is frozen stays frozen, and gradients are switched on again.
#
# <details><summary>Hint 1</summary>
#
# Read what is printed. Which rates had the three steps, and how large were the gradients in them? How can a model be
# right more often than always?
# </details>
# <details><summary>Hint 2</summary>
#
# For each batch the order is rate, zero, forward, backward, clip, step, count. A mean over images is a sum of the
# batches' losses, each times the images of its batch, over the number of all images. For `evaluate` remember
# `model.training` first.
# </details>
# <details><summary>Hint 3</summary>
#
# `for group in optimizer.param_groups: group["lr"] = schedule(step)` sets the rate. `loss.item() * len(y)` is the
# batch's share of the sum. `with torch.no_grad():` holds for its own lines alone, and `model.train(mode)` sets either
# mode.
# </details>

# %%
def given_epoch(model, loader, optimizer, schedule, step, limit, device):
    total = 0.0
    for group in optimizer.param_groups:
        group["lr"] = schedule(step)
    for x, y in loader:
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.zero_grad()
        total += loss.item()
        step += 1
    return total / len(loader), step


def given_look(model, loader, device):
    model.eval()
    total, right = 0.0, 0
    for x, y in loader:
        y = y.to(device)
        logits = model(x.to(device))
        total += F.cross_entropy(logits, y).item() * len(y)
        right += (logits.argmax(-1) == y).sum().item()
    return total / len(loader.dataset), right / (len(loader) * len(y))

# %%
def watch(optimizer, *_):
    norm = sum(p.grad.square().sum() for group in optimizer.param_groups for p in group["params"]) ** 0.5
    print(f"  a step at rate {optimizer.param_groups[0]['lr']}, norm of the gradients {norm:.2f}")


torch.manual_seed(seed)
x = torch.randn(9, 1, 2, 3)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, (x.mean((1, 2, 3)) > 0).long()), batch_size=4)
small = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
optimizer = torch.optim.SGD(small.parameters(), lr=1.0)
optimizer.register_step_pre_hook(watch)
print("limit 0.1, rates 0.5, 0.25, 0.125")
given_epoch(small, loader, optimizer, lambda s: 0.5 / 2**s, 0, 0.1, "cpu")
print(f"accuracy {given_look(small, loader, 'cpu')[1]:.2f}, training mode afterwards: {small.training}")

# %% exercise="core.loop"
def train_epoch(model: nn.Module, loader, optimizer, schedule, step: int, limit: float, device) -> tuple[float, int]:
    """One epoch from step `step` on; returns the mean loss of an image and the next step."""
    ### BEGIN SOLUTION
    model.train()
    total, count = 0.0, 0
    for x, y in loader:
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
        total, count, step = total + loss.item() * len(y), count + len(y), step + 1
    return total / count, step
    ### END SOLUTION


def evaluate(model: nn.Module, loader, device) -> tuple[float, float]:
    """Mean loss and accuracy of an image, in evaluation mode and without a graph."""
    ### BEGIN SOLUTION
    mode = model.training
    model.eval()
    with torch.no_grad():
        pairs = [(model(x.to(device)), y.to(device)) for x, y in loader]
    model.train(mode)
    logits, labels = (torch.cat(part) for part in zip(*pairs, strict=True))
    return F.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()
    ### END SOLUTION

# %% check="core.loop"
check("core.loop", train_epoch, evaluate)
