# %% [markdown]
# ## 11. The loop
# Everything comes together in twenty lines that people write from memory, and that are wrong more often than any other twenty lines.

# %%
diagram("core.loop")

# %% [markdown]
# The order is not free. Gradients are zeroed before `backward`, clipped after it and before the step. The schedule belongs to the step and not to the epoch. A mean of batch means is no mean,
# because the last batch is smaller. And whoever measures switches the model to rest, keeps no graph, and puts the mode back.

# @@ loop

# %% [markdown]
# Now all of it is yours. Your start, your AdamW under your schedule, your clipping and your loop train a network of 128 hidden numbers. Section 2 gave the number to beat.

# @@ all_together
