# ---
# jupyter:
#   coursekit:
#     title: Core concepts
#     question: What really happens when a network learns?
#     goals:
#       - Derive and write the backward pass of any tensor expression (sections 2 to 5).
#       - Start, step, schedule and regularise a network, and say what each choice does, measured (sections 6 to 10).
#       - Write a training loop that could go to production (section 11).
#       - Turn text into tokens, and a configuration into parameters, operations and bytes (sections 12 and 13).
#       - Diagnose a training that fails (sections 1, 14 and 15).
#     minutes: 600
#     prerequisites:
#       - Python and matrices
#       - the derivative of a product
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
# # Core concepts
# **What really happens when a network learns?**
#
# A network is a formula with many numbers in it. It learns when these numbers change, a little at a time, so that an error becomes smaller. That
# sentence is true, and it hides all that goes wrong. In this chapter you write every part of a training yourself, measure what each of them does, and at the end you
# diagnose trainings that fail.

# %% [markdown]
# When you have finished this chapter you will be able to
# 1. derive and write the backward pass of any tensor expression (sections 2 to 5);
# 2. start, step, schedule and regularise a network, and say what each choice does, measured (sections 6 to 10);
# 3. write a training loop that could go to production (section 11);
# 4. turn text into tokens, and a configuration into parameters, operations and bytes (sections 12 and 13);
# 5. diagnose a training that fails (sections 1, 14 and 15).

# %% [markdown]
# You need Python, matrices and the derivative of a product. The chapter takes about ten hours in eight sittings, and your progress is kept.
#
# | sitting | sections | minutes | must be done | may be left out |
# |---|---|---|---|---|
# | 1 | 1, 2 | 60 | exercise [[core.shapes]] | |
# | 2 | 3 | 80 | exercise [[core.autograd]] | |
# | 3 | 4, 5 | 95 | exercises [[core.linear_gelu]], [[core.cross_entropy]] | exercise [[core.norms]] |
# | 4 | 6, 7 | 90 | exercise [[core.optimisers]] | exercise [[core.init]] |
# | 5 | 8, 9 | 65 | exercises [[core.schedule]], [[core.clip]] | |
# | 6 | 10, 11 | 85 | exercises [[core.regularise]], [[core.loop]] | exercise [[core.test_norm]] |
# | 7 | 12, 13 | 95 | exercises [[core.bpe]], [[core.large]] | exercise [[core.scaling_law]] |
# | 8 | 14, 15 | 70 | exercise [[core.clinic]], section 15 | |

# %% tags=["parameters"]
profile = "fast"  # "smoke" takes seconds; "full" wants a GPU; the prose tells of "fast"
device = "auto"
seed = 0

# %% tags=["setup"]
import math
from itertools import pairwise
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
import coursekit as ck
from coursekit import came_out, check, diagram, predict, progress, quiz, show, use
from coursekit.figures import curve_panels, curves, heatmap
profile, device = ck.profile(profile), ck.device(device)

# %% [markdown]
# ## 1. Six runs
# **Sitting 1 of 8**, 60 minutes. Exercise [[core.shapes]] must be done.
#
# These are digits that people wrote on forms, 5,000 of them from MNIST (LeCun et al. 1998). A small network is to read them. It gets 4,000 to learn from, and 1,000 are **held out** to see
# what it is worth.

# %%
from coursekit.material.handwriting import digits

training, held_out = digits()
pairs = enumerate(zip(training.images[:6], training.labels[:6].tolist(), strict=True), 1)
fig = heatmap({f"image {i}, a {label}": image.view(28, 28) for i, (image, label) in pairs}, rows="row", columns="column", unit="ink")
show(fig, "core.digits")

# %% [markdown]
# Six times a network of one kind was trained on them. Each time the same code ran with the same settings, but for one thing. One of the six is healthy. What you see is all that most people look
# at, the [[term: loss | how surprised the network is by the right answers, on average; learning makes it small]] on the batches that it learned from (**training loss**) and on digits that it did not (**validation loss**). Guessing
# with ten equal probabilities costs $\ln 10 \approx 2.3$.

# %%
from coursekit.material.riddles import six_runs

six = six_runs()
percent = torch.linspace(0, 100, 30)
for letters, top in (("ABC", 2.6), ("DEF", 6.5)):
    panels = {f"run {k}": {"training": six[k].training_loss, "validation": six[k].validation_loss} for k in letters}
    fig = curve_panels(percent, panels, x_label="percent of the steps")
    fig.axes[0].set_ylabel("loss (nats)")
    for ax in fig.axes:
        ax.set_ylim(0, top)
    show(fig, f"core.runs_{letters.lower()}")

# %%
predict("core.healthy")

# %% [markdown]
# And what is wrong with each of the others? Write down a guess for every letter before you go on. In section 14 you meet them again, with more to look at, and name them all. What they have is, in
# each case, one line of code. You will have written all of these lines by then, the right ones.
