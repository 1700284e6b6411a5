# %% [markdown]
# ## 15. What really happens
# Back to the question of this chapter. We let six networks learn the same way, AdamW under your schedule for 1,500 steps, and change what they have to learn with.
# - **linear**. One map from pixels to scores, nothing hidden.
# - **random features**. The hidden map stays as it was drawn, and only the last one learns.
# - **learned**. Both learn. It is the network of this chapter.
# - **learned, shuffled labels**. The same, and each training image has the label of some other one. Nothing is left that could be learned about digits. This is the control.

# %%
predict("core.shuffled")

# %%
def network_of(width, first):
    torch.manual_seed(first)
    return nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10)) if width else nn.Sequential(nn.Linear(784, 10))


def learn(width, first, freeze=False, shuffle=False, steps=1500):
    """A network after so many steps, and the shares of right answers in training and held out."""
    network, g = network_of(width, first), torch.Generator().manual_seed(first)
    labels = training.labels[torch.randperm(len(training), generator=g)] if shuffle else training.labels
    if freeze:
        network[0].requires_grad_(False)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], weight_decay=0)
    steps = 20 if profile == "smoke" else steps
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = scheduled(step, 0.003, 50, steps, 0.0)
        rows = torch.randint(len(training), (128,), generator=g)
        optimiser.zero_grad()
        F.cross_entropy(network(training.images[rows]), labels[rows]).backward()
        optimiser.step()
    with torch.no_grad():
        seen = (network(training.images).argmax(1) == labels).float().mean().item()
    return network, seen, right(network)

# %%
rows = {
    "linear": {"width": 0},
    "random features, 64": {"width": 64, "freeze": True},
    "random features, 512": {"width": 512, "freeze": True},
    "learned, 64": {"width": 64},
    "shuffled labels, 64": {"width": 64, "shuffle": True},
    "shuffled labels, 512": {"width": 512, "shuffle": True},
}
reached = {name: [learn(first=first, **row) for first in seeds[:2]] for name, row in ck.track(rows.items(), "networks")}
for name, runs in reached.items():
    seen, unseen_share = (sum(run[i] for run in runs) / len(runs) for i in (1, 2))
    print(f"{name:21} training {seen:6.1%}   held out {unseen_share:6.1%}")
came_out("core.shuffled", round(100 * reached["shuffled labels, 512"][0][1]))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The wide network learns labels by heart that mean nothing, nearly all of 4,000, and knows nothing about digits (Zhang et al. 2017 found it for photographs). Every step of it was a good step. The loss fell as smoothly as in
# any other training. So a falling training loss says that the optimiser works, and nothing else.
# </details>
#
# The other rows say what learning *makes*. With 64 features drawn at random the last map reads three digits of four, less than from the pixels themselves. With 64 features that were learned it is 93%, and 512 random ones do not reach that. The hidden numbers have
# become questions that are useful for these images. Here are some of them, before and after.

# %%
W = [network[0].weight.detach() for network in (network_of(64, seeds[0]), reached["learned, 64"][0][0])]
moved = ((W[1] - W[0]).norm() / W[0].norm()).item()
panels = {f"{name}, hidden number {i}": w[i].view(28, 28) / w[i].abs().max() for name, w in zip(("at first", "learned"), W, strict=True) for i in (3, 20, 41)}
fig = heatmap(panels, rows="row", columns="column", unit="weight / largest", limits=(-1, 1))
show(fig, "core.features", moved=moved)
print(f"the map moved by {moved:.1f} times its own norm")

# %% [markdown]
# So what really happens when a network learns? For each number it is computed how the error of a few examples would change, and the number is moved a little. Nothing in this knows the goal. A start decides whether signals arrive (section 6), the steps and their sizes
# whether they add up (sections 7 to 9), the loop whether they are the right ones (section 11). What comes of it are features that fit the data, all of the data, with its leaks and its wrong labels. Whether they fit anything else can only be measured,
# on data that no step has seen.
#
# | claim | measured in section |
# |---|---|
# | all gradients cost about two forward passes | 3 |
# | a start of $1/n$ keeps plain SGD from moving, and not AdamW | 6 |
# | a schedule lets a higher rate win | 8 |
# | four images of a hundred can have half of the say | 9 |
# | regularisation mended over-confidence more than errors | 10 |
# | comparing with all known images is as good as a small network | 2, 11 |
# | a falling training loss is no sign that anything true was learned | 14, 15 |

# %%
quiz("core.learned")

# %% [markdown]
# ## 16. Where it leads (November 2026)
#
# - **Muon** and its relatives step in large open runs. Moonlight ([2502.16982](https://arxiv.org/abs/2502.16982)) used it for 5.7 trillion tokens, and Kimi K2 ([2507.20534](https://arxiv.org/abs/2507.20534)) with queries and keys clipped for a trillion weights.
#   In your code that is another direction for matrices, and AdamW for the rest.
# - **Warm-up, stable, decay.** A constant rate and a short fall at the end do as well as a cosine, and the length need not be known in advance ([2405.18392](https://arxiv.org/abs/2405.18392)). The runs of section 13 were made so.
# - **Eight bits.** DeepSeek-V3 ([2412.19437](https://arxiv.org/abs/2412.19437)) multiplies in fp8 with a scale for each tile, and adds up in more bits. The ruler of section 9 has both formats.
# - **Norms on queries and keys** keep attention from saturating (Qwen3, [2505.09388](https://arxiv.org/abs/2505.09388)). It is your RMS norm, once more.
# - **Vocabularies** of 128,000 to 262,000 entries are common (Gemma 3, [2503.19786](https://arxiv.org/abs/2503.19786)), and models without any read bytes in patches ([2412.09871](https://arxiv.org/abs/2412.09871)).
# - **Scaling what is computed at the answer**, and not only in training, follows laws of its own ([2408.03314](https://arxiv.org/abs/2408.03314)).

# %% [markdown]
# ## Terms and formulas
#
# [[terms]]
#
# [[formulas]]

# %% [markdown]
# ## Papers
#
# - Linnainmaa 1970 and Baydin et al. 2018, [Automatic Differentiation in Machine Learning](https://arxiv.org/abs/1502.05767): section 3.2
# - Hendrycks and Gimpel 2016, [GELU](https://arxiv.org/abs/1606.08415); Ioffe and Szegedy 2015, [Batch Normalization](https://arxiv.org/abs/1502.03167); Ba et al. 2016, [Layer
#   Normalization](https://arxiv.org/abs/1607.06450); Zhang and Sennrich 2019, [RMSNorm](https://arxiv.org/abs/1910.07467); Sun et al. 2024, [Massive Activations](https://arxiv.org/abs/2402.17762)
# - Glorot and Bengio 2010, Understanding the Difficulty of Training Deep Feedforward Neural Networks; He et al. 2015, [Delving Deep into Rectifiers](https://arxiv.org/abs/1502.01852);
#   Radford et al. 2019, Language Models are Unsupervised Multitask Learners: section 2.3
# - Sutskever et al. 2013, On the Importance of Initialization and Momentum; Kingma and Ba 2015, [Adam](https://arxiv.org/abs/1412.6980); Loshchilov and Hutter 2019, [Decoupled Weight Decay
#   Regularization](https://arxiv.org/abs/1711.05101); Jordan et al. 2024, [Muon](https://kellerjordan.github.io/posts/muon/)
# - Loshchilov and Hutter 2017, [SGDR](https://arxiv.org/abs/1608.03983); Smith 2017, [Cyclical Learning Rates](https://arxiv.org/abs/1506.01186); Pascanu et al. 2013, [On the Difficulty of Training Recurrent Neural
#   Networks](https://arxiv.org/abs/1211.5063)
# - Srivastava et al. 2014, Dropout; Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging
# - Sennrich et al. 2016, [Subword Units](https://arxiv.org/abs/1508.07909); Petrov et al. 2023, [Language Model Tokenizers Introduce Unfairness Between Languages](https://arxiv.org/abs/2305.15425)
# - Kaplan et al. 2020, [Scaling Laws](https://arxiv.org/abs/2001.08361); Hoffmann et al. 2022, [Training Compute-Optimal Large Language Models](https://arxiv.org/abs/2203.15556); Hägele et al. 2024, [Scaling Laws and Compute-Optimal Training Beyond
#   Fixed Training Durations](https://arxiv.org/abs/2405.18392); Rajbhandari et al. 2020, [ZeRO](https://arxiv.org/abs/1910.02054): section 3.1
# - Zhang et al. 2017, [Understanding Deep Learning Requires Rethinking Generalization](https://arxiv.org/abs/1611.03530); LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition
#
# *Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Code: BSD 3-Clause. Copyright: the authors of this course.*

# %%
progress()
