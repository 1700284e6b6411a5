# %% [markdown]
# ### Exercise [[gpt.init]]: Mend this code, how a GPT begins
# core · importance 3 of 5 · 15 minutes · 2 points
#
# The function below was left by a colleague. The models that it begins do train, but no two runs agree, and some
# deviations are not those of the papers. Mend it, here under the name `init_gpt`. GPT begins with the first of these
# rules (Radford et al. 2018, section 4.1), and GPT-2 added the second (Radford et al. 2019, section 2.3).
#
# - Every matrix is drawn from a normal distribution with mean 0 and standard deviation 0.02, embeddings too.
# - Two maps in each block write to the **residual stream**, `out` and `down`. What they write adds up, $2 L$ times in
#   $L$ blocks, so the deviation of these two is $0.02 / \sqrt{2 L}$.
# - All biases are 0, and the weights of norms are 1, whatever the model held before.
#
# All random numbers come from `generator`, and `layers` is $L$. Numbers are changed in place, in the Parameters that
# are there. The matrices are called `tokens` and `positions`, and in each block `qkv`, `out`, `up` and `down`. A model
# may know the matrix of `tokens` by a second name, `head`, a linear map without a bias. It stays one matrix.
#
# <details><summary>Hint 1</summary>
#
# Look at the printed deviations. Which map should not be scaled at all, and which one is scaled by the wrong number?
# And why do equal seeds not give equal weights?
# </details>
# <details><summary>Hint 2</summary>
#
# `qkv` and `up` read from the stream. They are told from `out` and `down` by their names alone. `named_parameters()`
# gives a matrix with two names once, under the first one.
# </details>
# <details><summary>Hint 3</summary>
#
# `name.endswith(("out.weight", "down.weight"))` tells who writes to the stream. `nn.init.normal_` takes `std=` and
# `generator=`.
# </details>

# %%
def given_init(model, layers, generator):
    """The numbers with which a GPT begins, as a colleague left it."""
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(p)
        elif "norm" in name:
            nn.init.ones_(p)
        elif name in ("tokens.weight", "positions.weight"):
            nn.init.normal_(p, std=0.02)
        else:
            nn.init.normal_(p, std=0.02 / math.sqrt(layers))


piece = nn.ModuleDict({"tokens": nn.Embedding(500, 64), "up": nn.Linear(64, 256), "down": nn.Linear(256, 64)})
drawn = []
for run in (1, 2):
    given_init(piece, 8, torch.Generator().manual_seed(seed))
    drawn.append(torch.cat([p.detach().flatten() for p in piece.parameters()]))
    print(f"run {run}:", {name: round(piece[name].weight.std().item(), 4) for name in ("tokens", "up", "down")})
print(f"in a model of 8 blocks down should have {0.02 / math.sqrt(2 * 8)}")
print(f"equal seeds give equal weights: {torch.equal(*drawn)}")

# %% exercise="gpt.init"
def init_gpt(model: nn.Module, layers: int, generator: torch.Generator) -> None:
    """Begin a GPT: N(0, 0.02), 0.02 / sqrt(2 L) where a map writes to the stream, biases 0, norms the identity."""
    ### BEGIN SOLUTION
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(p)
        elif "norm" in name:
            nn.init.ones_(p)
        else:
            writes = name.endswith(("out.weight", "down.weight"))
            nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if writes else 0.02, generator=generator)
    ### END SOLUTION

# %% check="gpt.init"
check("gpt.init", init_gpt)
