# %% [markdown]
# ## 14. The clinic
# **Sitting 8 of 8**, 70 minutes, sections 14 and 15. Exercise [[core.clinic]] and section 15 must be done.
#
# *My loss is NaN. My loss is flat. My loss is too good.* No question is asked more often about training, and hardly any course practises it. What helps is to look at several quantities beside each other, and to ask in a good order.
#
# | quantity | what it tells |
# |---|---|
# | training loss at the first step | near $\ln 10$ for a network without an opinion. Far above it, and the numbers that go in or out have the wrong size |
# | training loss, its fall | flat, jumping, or smooth |
# | validation loss beside it | above is memory. *Below* is a training task that is harder than the real one |
# | update-to-weight ratio | whether anything moves, whatever the loss says |
# | gradient norm | whether it dies, grows, or comes in bursts |
# | share of zeros among the hidden units | who takes part |
# | accuracy when all labels were shuffled | a **control**. It is at chance, unless the images tell the labels |
#
# The last one costs a second training and is the only one that finds a leak for sure. A network that is right about labels which mean nothing has been told them.

# %%
from coursekit.material.clinic import ILLNESSES

for name, sentence in ILLNESSES.items():
    print(f"{name:24} {sentence}")

# @@ clinic_widget

# @@ clinic

# %% [markdown]
# Forty fresh runs, four of each kind, none of which your function has seen.

# %%
name_of = use("core.clinic", diagnose)
names = [*ILLNESSES]
called = torch.zeros(len(names), len(names))
for i, illness in ck.track(enumerate(names), "illnesses", len(names)):
    for k in range(1 if profile == "smoke" else 4):
        said = name_of(train_with(illness, 1000 * (seed + 1) + 10 * k + i))
        called[i, names.index(said)] += 1
fig = heatmap(called, rows="what it has", columns="what was said", unit="runs", limits=(0, 4), numbers=".0f",
              row_labels=[f"{k} {name}" for k, name in enumerate(names, 1)], column_labels=[str(k) for k in range(1, 11)])
show(fig, "core.confusion", right=int(called.diagonal().sum()), of=int(called.sum()))
print(f"{int(called.diagonal().sum())} of {int(called.sum())} named rightly")

# %% [markdown]
# Now the six of section 1.

# %%
from coursekit.material.riddles import named_again

for letter, illness in named_again().items():
    run = six[letter]
    print(f"run {letter}: {illness:21} your function says {name_of(run)!r}; accuracy {run.validation_accuracy[-1]:.0%}, "
          f"on shuffled labels {run.accuracy_on_shuffled_labels:.0%}, median update {run.update_ratio.median():.0e}")
came_out("core.healthy", next(letter for letter, illness in named_again().items() if illness == "healthy"))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The best-looking run is ill. A leads in both losses because a pixel tells it the label, and with shuffled labels it is still right most of the time. B and E are both flat at 2.3. In B nothing moves. In E the first step alone is three quarters as long as the weights, and behind it all hidden units are 0 for good. In D
# the losses part and grow, for every step carries all gradients so far. In F the validation loss lies *below* the training loss, since only the training labels are wrong. And C, which looks a little worse than A, is healthy.
# </details>

# %% [markdown]
# ### Question 1.A: Explain one run to a colleague
# 15 minutes · 3 points · marked by a person
#
# A colleague has sent you the curves of run B or of run E, choose one. Their message is "It does not learn, I will try a larger network." Answer in about 120 words altogether.
# 1. What does the run have? Name the quantity that settles it, with its numbers, and say what the other run of the pair shows there.
# 2. Which other illness could look the same in the two losses, and how do you exclude it?
# 3. What should they change, and what should they see within the first fifty steps if you are right?
#
# The cell shows three quantities of both runs.

# %%
for letter in "BE":
    run = six[letter]
    rows = [(int(s), f"{g:.1e}", f"{u:.1e}", f"{z:.0%}") for s, g, u, z in
            zip(run.steps[::6], run.gradient_norm[::6], run.update_ratio[::6], run.zeros[::6], strict=True)]
    print(f"run {letter}: (step, gradient norm, update over weights, zeros)\n ", "\n  ".join(map(str, rows)))

# %% [markdown] question="core.explain"
# ### BEGIN SOLUTION
# **Model answer.** (1) Run B has too low a rate. Its update-to-weight ratio is about 2e-4 at every step, and a step changes the weights by a fiftieth of a percent. In run E it begins at 0.8, thousands of times higher, and from then on all hidden units are 0. It has jumped to a
# place where nothing is active. (2) A start that is too small, or dead units, give a flat loss as well. With dead units the share of zeros is above 90% from the first step on; in B it is near 57%, as in a healthy run at its beginning. (3) A rate about a hundred times as high, found by a rate
# finder rather than by guessing. Within fifty steps the ratio should lie near a hundredth and the loss below 1.5. A larger network would change none of this. *One point for each part. The first needs the ratio with numbers of both runs; the second an
# illness that fits the two losses and a quantity that separates it; the third a change and a sign that could prove it wrong.*
# ### END SOLUTION

# %%
quiz("core.leak")
