# %% [markdown]
# ## 8. The rate
# **Sitting 5 of 8**, 65 minutes, sections 8 and 9. Exercises [[core.schedule]] and [[core.clip]] are short, and both should be done.
#
# Of all settings the **learning rate** matters most. Too low, and nothing happens in your time. Too high, and the loss jumps or breaks. Between them lies a range of about a factor of ten, and a
# rough way to find it is one short run in which the rate grows from step to step (Smith 2017). Where the curve falls most steeply, the rate does most.

# @@ rate_finder

# %% [markdown]
# One rate is not right for a whole training. At first the averages of AdamW are rough and the network is far from any place where a large step is safe, so the rate rises over some steps
# (**warm-up**). At the end a high rate keeps jumping across the valley, so it falls. Half a cosine from the peak to a **floor** is the commonest shape.
#
# [[formula: Warm-up and cosine | steps count from 0, W of warm-up, T in all]]
#
# $$\eta_t = \begin{cases} \eta\, \frac{t + 1}{W} & t < W \\ \eta_{\min} + \frac12 (\eta - \eta_{\min}) \left(1 + \cos \pi \frac{t - W}{T - W}\right) & W \le t < T
# \\ \eta_{\min} & t \ge T \end{cases}$$

# %% [markdown]
# ### Exercise [[core.schedule]]: Mend this code, a schedule
# core · importance 3 of 5 · 15 minutes · 3 points
#
# Off-by-one errors in schedules show in no curve. Mend the function below under the name `rate`, so that it says what the formula says.
#
# - `step` counts from 0. The first step has a rate above 0, and step `warmup - 1` is the first at the peak. Step `warmup` has the peak too, because the cosine begins there, unless it is `total`.
# - Between `warmup` and `total` the cosine falls from `peak`, never below `floor`. From step `total` on, the rate is `floor`, as long as anybody asks.
# - `warmup` may be 0, and `total` may be equal to `warmup`.
#
# <details><summary>Hint 1</summary>
#
# Write down the rates of steps 0 to 5 for a warm-up of 4 and a total of 6, by hand. Then print them.
# </details>
# <details><summary>Hint 2</summary>
#
# Which share of the cosine's way has been gone at step `warmup`, and which at step `total`? And what does a cosine do behind its end?
# </details>
# <details><summary>Hint 3</summary>
#
# The share is `(step - warmup) / (total - warmup)`. It divides by 0 where both are equal, unless `step >= total` is asked first.
# </details>

# %%
def given_rate(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * (1 + math.cos(math.pi * step / total)) / 2


print([round(given_rate(step, 1.0, 4, 10, 0.1), 3) for step in range(14)])

# %% exercise="core.schedule"
def rate(step: int, peak: float, warmup: int, total: int, floor: float) -> float:
    """The rate of a step: a warm-up to the peak, half a cosine down to the floor, and the floor."""
    ### BEGIN SOLUTION
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    share = (step - warmup) / (total - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * share)) / 2
    ### END SOLUTION

# %% check="core.schedule"
check("core.schedule", rate)

# %% [markdown]
# Does a schedule bring anything? We train the same small network with AdamW for 300 steps, at four rates, with a constant rate and with yours, from three seeds each.

# %%
predict("core.schedule")

# %%
scheduled = use("core.schedule", rate)


def held_out_loss(rate_at, first, steps=300):
    """Loss on held-out digits after so many steps whose rates are rate_at(step)."""
    network, g = deep(2, first, L=2), torch.Generator().manual_seed(first)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate_at(step)
        rows = torch.randint(len(training), (128,), generator=g)
        optimiser.zero_grad()
        F.cross_entropy(network(training.images[rows]), training.labels[rows]).backward()
        optimiser.step()
    with torch.no_grad():
        return F.cross_entropy(network(held_out.images), held_out.labels).item()

# %%
peaks, seeds = (0.001, 0.003, 0.01, 0.03), (0,) if profile == "smoke" else (0, 1, 2)
steps = 20 if profile == "smoke" else 300
shapes = {"constant": lambda peak: lambda step: peak, "yours": lambda peak: lambda step: scheduled(step, peak, steps // 15, steps, 0.0)}
ends = {
    name: torch.tensor([[held_out_loss(shape(peak), first, steps) for first in seeds] for peak in peaks])  # (rates, seeds)
    for name, shape in shapes.items()
}
for name, losses in ends.items():
    told = ", ".join(f"{peak:g}: {row.mean():.3f} ({row.min():.3f} to {row.max():.3f})" for peak, row in zip(peaks, losses, strict=True))
    print(f"{name:9} {told}")
best = {name: peaks[losses.mean(1).argmin()] for name, losses in ends.items()}
came_out("core.schedule", "it is higher with the schedule" if best["yours"] > best["constant"] else
         "it is lower with the schedule" if best["yours"] < best["constant"] else "it is the same")
fig = curves(peaks, {name: losses.mean(1) for name, losses in ends.items()}, x_label="peak rate (log scale)",
             y_label="held-out loss", log="x", marker="o")
show(fig, "core.schedules", constant=ends["constant"].mean(1).min(), yours=ends["yours"].mean(1).min())

# %% [markdown]
# <details><summary>What happened</summary>
#
# At low rates the constant one wins, because the cosine spends half of its steps below the rate. At the highest rate the constant one jumps about, and the cosine has the best
# result of all. So a schedule lets you begin with a rate that would ruin the end. The claim holds for each of the three seeds, on this network and these 300 steps.
# </details>
#
# And a schedule that is one step late? It happens when the schedule is asked before the step instead of after it.

# %%
on_time, late = ([held_out_loss(lambda step, late=late: scheduled(max(step - late, 0), 0.03, steps // 15, steps, 0.0), first, steps)
                  for first in seeds] for late in (0, 1))
print("on time  ", [round(loss, 4) for loss in on_time])
print("late     ", [round(loss, 4) for loss in late])

# %% [markdown]
# It changes less than another seed does. No curve would have shown it, and only a test of the rates themselves does. That is true of most errors in this chapter.

# %%
quiz("core.warmup")
