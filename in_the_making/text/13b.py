
# %% [markdown]
# What is such a law good for? Twenty GPTs of our own were trained, seven sizes from 24 thousand to 3.2 million weights, on two to eight million bytes of prose, of which no run read any twice. The two largest runs
# are put aside. Your law sees the other eighteen.

# %%
predict("core.scaling")

# %%
from coursekit.material.measured import scaling_runs

table = scaling_runs()
columns = lambda rows: (torch.tensor([float(row[key]) for row in rows], dtype=torch.float64) for key in ("parameters", "bytes", "loss"))
N, D, losses = columns(table["runs"])
E, A, B, alpha, beta = (float(number) for number in use("core.scaling_law", fit)(N, D, losses))
print(f"loss = {E:.2f} + {A:.3g} / N^{alpha:.2f} + {B:.3g} / D^{beta:.2f}")
N_large, D_large, measured = columns(table["held_out_runs"])
foretold = E + A / N_large**alpha + B / D_large**beta
for n, d, told, real in zip(N_large, D_large, foretold, measured, strict=True):
    print(f"{n:,.0f} weights, {d:,.0f} bytes: foretold {told:.3f}, measured {real:.3f}, off by {told / real - 1:+.1%}")
came_out("core.scaling", round(100 * (foretold / measured - 1).abs().max().item(), 1))

# %%
lengths = [row["bytes"] for row in table["runs"][:3]]
lines = {f"{N[i]:,.0f} weights": losses[i : i + 3] for i in range(0, len(N), 3)}
fig = curves(lengths, lines, x_label="bytes read (log scale)", y_label="held-out loss (nats a byte)", log="x", marker="o")
ax = fig.axes[0]
for i in range(0, len(N), 3):
    ax.plot(lengths, E + A / N[i] ** alpha + B / torch.tensor(lengths, dtype=torch.float64) ** beta, color="#888888", lw=1, zorder=1)
ax.plot(D_large, measured, "k*", ms=10, ls="", label="held out, 3.2 million")
ax.plot(D_large, foretold, "k_", ms=16, ls="", label="foretold")
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
show(fig, "core.scaling", smallest=losses[:3].min(), largest=losses[-3:].min(), held=measured.min())

# %% [markdown]
# <details><summary>What happened</summary>
#
# @@SCALING@@
# </details>
#
# A law of this kind says for a given number of operations, $C \approx 6 N D$, how to divide them between a larger model and more text. It is a fit and no law of nature. Its exponents belong to this text, this vocabulary of bytes and
# this way of training, and beyond ten times its range it is a guess.
