# %% [markdown]
# ### Exercise [[core.clinic]]: The clinic
# challenge · importance 5 of 5 · 60 minutes · 4 points
#
# Write `diagnose(run)`. It looks at one training and returns the name of what is wrong with it, one of the ten in
# `ILLNESSES`.
#
# A `Run` holds seven curves, each recorded at the same 30 steps, before each step was taken. They are `steps`,
# `training_loss` (of that step's batch), `validation_loss`, `validation_accuracy`, `gradient_norm`, `update_ratio` (the
# length of the step over that of the weights) and `zeros` (the share of hidden activations that are 0). One number is
# beside them. `accuracy_on_shuffled_labels` is what the recipe reaches on held-out images when all labels, theirs too,
# were shuffled beforehand.
#
# Width, batch, rate, noise, number of steps and the strength of an illness differ from run to run. All numbers are
# finite. The same run always gets the same name, and you change nothing in it.
#
# The check has forty runs, four of each kind, and grading trains forty others. Two parts take five kinds each, the
# first healthy ones and those that one look can tell, and ask for 15 of 20. The last asks for 36 of all 40, and for three of each four.
# `train_with(illness, seed)` gives you as many runs to practise on as you like.
#
# <details><summary>Hint 1</summary>
#
# What does a network know before its first step, and which loss must it then have? Which of the ten can you see in the
# first record alone? Take those out first, and look at the others afterwards.
# </details>
# <details><summary>Hint 2</summary>
#
# Compare a run with itself. A gradient norm at the end is divided by the first one, the training loss at the end by the
# validation loss at the end or by its own first value. How far does the validation loss go up and down
# (`diff().abs().sum()`) beside the distance between its highest and its lowest value? For each such number, print its
# smallest and largest value in twenty runs of every illness, and look for a gap.
# </details>
# <details><summary>Hint 3</summary>
#
# `if run.training_loss[0] > 5 * math.log(10): return "inputs not scaled"`. In the same way, `zeros[0]` shows units that
# begin dead, `update_ratio[0]` a rate that is far too low, and `gradient_norm[-10:].median() / gradient_norm[0]` a sum
# that grows. A rate that is too high has a long first step and dead units soon after it. Wrong labels leave the
# training loss near its beginning.
# </details>

# %% tags=["setup"]
from coursekit.material.clinic import ILLNESSES, Run, train_with

# %%
practice = {name: [train_with(name, seed=100 + i) for i in range(6)] for name in ILLNESSES}
print(f"{'from / to, of six runs':25s}{'first loss':>16s}{'zeros at first':>18s}{'shuffled labels':>18s}")
for name, some in practice.items():
    readings = [(run.training_loss[0], run.zeros[0], run.accuracy_on_shuffled_labels) for run in some]
    spans = [f"{min(values):8.2f} {max(values):6.2f}" for values in zip(*readings, strict=True)]
    print(f"{name:25s}", "   ".join(spans))

# %% [markdown]
# Each column has a gap for one illness. The others need two numbers beside each other.

# %% exercise="core.clinic"
def diagnose(run: Run) -> str:
    """The name of what is wrong with a training, one of ILLNESSES."""
    ### BEGIN SOLUTION
    training, held_out = run.training_loss, run.validation_loss
    if run.accuracy_on_shuffled_labels > 0.3:  # three times chance: the input carries the label
        return "labels leak"
    if run.zeros[0] > 0.8:
        return "dead units"
    if training[0] > 5 * math.log(10):  # far above chance, before any step
        return "inputs not scaled"
    if run.update_ratio[0] < 0.0017:
        return "rate too low"
    if run.gradient_norm[-10:].median() > 2.8 * run.gradient_norm[0]:
        return "gradients not zeroed"
    if run.update_ratio[0] > 0.11 and run.zeros[1:6].mean() > 0.89:
        return "rate too high"
    way, height = held_out[3:].diff().abs().sum(), held_out.max() - held_out.min()
    if way > 1.7 * height:  # it goes up and down far more than it falls
        return "batches sorted by class"
    if training[-10:].mean() > 0.48 * training[0]:
        return "labels mixed up"
    if training[-10:].mean() < 0.4 * held_out[-10:].mean():
        return "over-fitting"
    return "healthy"
    ### END SOLUTION

# %% check="core.clinic"
check("core.clinic", diagnose)

# %%
doctor = use("core.clinic", diagnose)
table = torch.zeros(len(ILLNESSES), len(ILLNESSES), dtype=torch.int64)
for true, name in enumerate(ILLNESSES):
    for run in practice[name]:
        table[true, [*ILLNESSES].index(doctor(run))] += 1
print(f"{table.trace()} of {table.sum()} practice runs are named")

# %%
from coursekit.widgets import watch_an_illness

watch_an_illness("rate too high")
