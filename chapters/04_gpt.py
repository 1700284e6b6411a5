# ---
# jupyter:
#   coursekit:
#     title: GPT
#     question: It only ever guesses the next token. Why does that write, translate and answer, and how is it made fast?
#     goals:
#       - Turn text into blocks, a decoder into a loss, and a loss into a trained model (sections 2 to 5).
#       - Choose tokens by temperature, top-k, top-p and min-p, and say exactly which ones stay (section 6).
#       - Generate with a cache, in batches, with beams and with drafts, and prove what changed and what did not (sections 7 to 9).
#       - Read today's designs as small changes to your own code (section 10).
#       - Measure what guessing is good for, with a control (sections 11 to 13).
#     minutes: 600
#     prerequisites:
#       - attention, masks and blocks, as in chapter 2
#       - PyTorch modules, optimisers and the cross-entropy loss
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
# # GPT
# **It only ever guesses the next token. Why does that write, translate and answer, and how is it made fast?**
#
# A language model of this kind gets some text and says how likely each token is to come next. That is all it ever
# does. Everything else is what we do with its guesses. In this chapter you build such a model, train it for two
# minutes, load one that was trained for hours, and then spend most of your time on what happens *around* the guess.

# %% [markdown]
# When you have finished this chapter you will be able to
# 1. turn text into blocks, a decoder into a loss, and a loss into a trained model (sections 2 to 5);
# 2. choose tokens by temperature, top-k, top-p and min-p, and say exactly which ones stay (section 6);
# 3. generate with a cache, in batches, with beams and with drafts, and prove what changed and what did not (sections 7 to 9);
# 4. read today's designs as small changes to your own code (section 10);
# 5. measure what guessing is good for, with a control (sections 11 to 13).

# %% [markdown]
# You need attention, masks and blocks, as in chapter 2, and PyTorch modules, optimisers and the cross-entropy loss.
# The chapter takes about ten hours in eight sittings, and your progress is kept.
#
# | sitting | sections | minutes | must be done | may be left out |
# |---|---|---|---|---|
# | 1 | 1, 2 | 50 | section 1 | exercise [[gpt.test_blocks]] |
# | 2 | 3 | 80 | exercise [[gpt.decoder]] | exercise [[gpt.init]] |
# | 3 | 4, 5 | 85 | exercises [[gpt.loss]], [[gpt.train_step]] | the ablations |
# | 4 | 6 | 75 | exercise [[gpt.filter]] | exercise [[gpt.penalise]] |
# | 5 | 7 | 70 | exercise [[gpt.cache]] | |
# | 6 | 8, 9 | 85 | exercise [[gpt.speculate]] | exercises [[gpt.beams]], [[gpt.draft_gain]] |
# | 7 | 10 | 90 | exercise [[gpt.llama_block]] | exercises [[gpt.latent]], [[gpt.muon]] |
# | 8 | 11 to 13 | 80 | exercise [[gpt.chat]], section 13 | exercise [[gpt.translate]] |

# %% tags=["parameters"]
profile = "fast"  # "smoke" takes seconds; "full" wants a GPU and gpt2; the prose tells of "fast"
device = "auto"
seed = 0

# %% tags=["setup"]
import math
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
import coursekit as ck
from coursekit import came_out, check, diagram, predict, progress, quiz, show, use
from coursekit.figures import curves, heatmap
profile, device = ck.profile(profile), ck.device(device)

# %% [markdown]
# ## 1. Watch it guess
# **Sitting 1 of 8**, 50 minutes. Section 1 must be done, exercise [[gpt.test_blocks]] may be left out.
#
# Here is a real one, SmolLM2 with 135 million numbers (**parameters**, Allal et al. 2025), in the version that was taught to chat and with
# its numbers rounded to four bits. We give it the beginning of a sentence and
# print its guesses, the most likely first.

# %%
predict("gpt.paris")

# %%
from coursekit.material.decoders import load_assistant

assistant = load_assistant(device)


@torch.no_grad()
def next_logits(text):
    """The logits (V) of the token that follows a text."""
    ids = torch.tensor([assistant.tokenizer(text)["input_ids"]], device=device)  # (1, T)
    return assistant.model(ids).logits[0, -1].cpu()


beginnings = ["The capital of France is", "The opposite of hot is", "The keys to the cabinet", "To be, or not to be"]
for text in beginnings:
    p, ids = next_logits(text).softmax(-1).topk(4)
    likeliest = zip(assistant.tokenizer.batch_decode(ids[:, None]), p.tolist(), strict=True)
    print(f"{text} ...", *(f"{token!r} {share:.0%}" for token, share in likeliest), sep="   ")
    if text == beginnings[0]:
        came_out("gpt.paris", round(100 * p[0].item()))

# %% [markdown]
# <details><summary>What happened</summary>
#
# *the* has 6%, for *the city of Paris* is a way to go on too. So 77% is no doubt about France, but about what the writer says next.
# </details>
#
# Nobody asked it a question, and yet it knows a capital, an opposite, and that *keys* want *are*. Such knowledge pays in
# the guessing game, because what comes next depends on it. The quotation from *Hamlet* has one continuation (a comma) that is much
# likelier than all others, the cabinet has many. A guess is never one token. It is a probability for each of 49,152.
#
# Models like this one are called [[term: autoregressive | a model that makes each token depend on those before it, and its
# own output its next input]]. They give a whole text a probability too, because of the chain rule. (Its first factor needs
# something before the text. Section 2 has a token for that.)
#
# [[formula: Chain rule | tokens x_1, ..., x_T, one factor for each]]
#
# $$p(x_1, \dots, x_T) = \prod_{t=1}^{T} p(x_t \mid x_1, \dots, x_{t-1})$$
#
# So one pass over a text tells how surprising each of its tokens was. Move the pointer over a token to see what the
# model would have said in its place, and try a text of your own.

# %%
from functools import partial
from coursekit.material.decoders import score, vocabulary
from coursekit.widgets import watch_it_think

text = "The capital of France is Paris. The capital of Italy is Rome. 17 + 25 = 42."
watch_it_think(partial(score, assistant), vocabulary(assistant), text)

# %% [markdown]
# To write, we append the likeliest token to the text and ask again. That is called
# [[term: greedy decoding | the likeliest token is taken, every time]].

# %%
def continued(text, tokens):
    """The text with what the assistant appends, the likeliest token each time."""
    for _ in range(tokens):
        text += assistant.tokenizer.decode(next_logits(text).argmax())
    return text


length = 5 if profile == "smoke" else 40
print(continued("The sea was calm, and", length))
print(continued("17 + 25 =", 4))

# %% [markdown]
# Three things are wrong with this demonstration, and each has its section. It begins to repeat itself, because the likeliest
# token is not the best choice for writing (section 6). It read the whole text anew for every token, so it is slower than
# it need be (section 7). And it gets the sum wrong. The text shows no doubt. Look at the 4 and the 2 of *42* in the widget, and you see it. Section 11 asks it nicely,
# and measures how often that helps.

# %%
quiz("gpt.guess")

# %% [markdown]
# ## 2. From text to blocks
#
# The model in the rest of the chapter is yours. It learns from 27,000 sentences, the addresses on the state of the Union from
# 1961 to 2021 and *Moby-Dick*. First they become tokens. GPT-2's tokenizer starts from the 256 possible bytes and joins pairs that
# are frequent ([[term: byte-level BPE | byte-pair encoding that starts from bytes, so that no text is unknown]], Radford et al.
# 2019, section 2.2). Ours was learned from this prose in the same way and has 3,072 entries.

# %% tags=["nbval-check-output"]
from coursekit.material.data import byte_pairs, prose_texts

tokenizer = byte_pairs()
V = len(tokenizer)
for text in ("My fellow Americans, the whale is free.", "naïve ☃"):
    ids = tokenizer(text)["input_ids"]
    print(len(text.encode()), "bytes,", len(ids), "tokens:", [tokenizer.decode(i) for i in ids])
    assert tokenizer.decode(ids) == text

# %% [markdown]
# A snowman is in none of the speeches, and still every text comes back byte for byte. No token is unknown, a rare text
# only needs more of them. (What prints as � is a part of a character.) A space belongs to the word that follows it.
#
# The documents are written one behind another, with a token between them that says *end of text*. Whole documents are held out for
# measuring, every eighth year and chapter. Had we held out single blocks, their neighbours would have been trained on.

# %% tags=["nbval-check-output"]
def stream(texts):
    """All tokens of the texts (N), with the end-of-text token before each."""
    return torch.tensor([i for text in texts for i in (tokenizer.eos_token_id, *tokenizer(text)["input_ids"])])


training_texts, held_out_texts = prose_texts()
training, held_out = stream(training_texts), stream(held_out_texts)
print(f"training {len(training):,} tokens, held out {len(held_out):,}")
print(tokenizer.decode(training[:14].tolist()))

# %% [markdown]
# A model of limited length reads pieces of this stream, called
# [[term: block | T tokens in a row, with the T tokens that follow each of them as targets]]s. From a start $s$ on, the
# inputs are $x$ and the targets $y$.
#
# $$x = (x_s, \dots, x_{s+T-1}), \qquad y = (x_{s+1}, \dots, x_{s+T})$$

# %%
diagram("gpt.blocks")

# %% [markdown]
# So a block of $T$ tokens asks $T$ questions at once, one at each place, and the causal mask of chapter 2 keeps the
# answers hidden. This is why no token is covered here. (It is a common error that GPT is pretrained with masked words or
# with next sentences. That was BERT.) First in a loop, then for all rows at once.

# %%
def block_in_a_loop(ids, s, T):
    x, y = [], []
    for t in range(T):
        x.append(ids[s + t])
        y.append(ids[s + t + 1])                                  # the target is shifted here, and nowhere else
    return torch.stack(x), torch.stack(y)


x, y = block_in_a_loop(training, 0, 6)
for t in range(6):
    print(f"after {tokenizer.decode(x[: t + 1].tolist())!r} comes {tokenizer.decode(y[t])!r}")

# %% [markdown]
# Learners often ask whether targets are shifted inside or outside of the model. Both exist. transformers shifts inside
# (`labels=ids`), and most training loops outside, as we do. Shifting twice trains a model to guess the token after next, and
# shifting in neither place is broken on purpose in section 5.

# %%
def blocks(ids: Int[Tensor, "N"], T: int, B: int, generator: torch.Generator):
    """B blocks of T tokens, and for each of their tokens the one that follows it."""
    starts = torch.randint(len(ids) - T, (B, 1), generator=generator)  # 0, ..., N - T - 1
    at = starts + torch.arange(T)                                 # (B, T), places in the text
    return ids[at], ids[at + 1]                                   # x, y (B, T)


# %% [markdown]
# ### Exercise [[gpt.test_blocks]]: Write the test, blocks of text
# core · importance 3 of 5 · 20 minutes · 2 points
#
# A graduate course tests its students' `blocks` on the tokens 0, 1, 2, ..., 99 and asks for `y == x + 1`. There, a
# function passes that never looks for the next token and adds 1. Write a better test.
#
# `test_blocks(blocks)` is handed a function with the arguments of `blocks` above, and raises an AssertionError when it
# is wrong. It is right when all of this holds.
#
# - `x` and `y` have the shape (B, T). In each row, `x` is a piece of the text from some **start** $s$ on, and `y` is
#   the piece from $s + 1$ on.
# - Each row draws its own start. Every one of $0, \dots, N - T - 1$ can come, and no other. (How often each one comes
#   is not your affair.)
# - Chance comes from `generator` alone. Equal seeds give equal batches, and another call with the same generator goes
#   on to new starts. *How* a start is drawn from it is free.
#
# The check hands your test right functions, which it must let pass, and wrong ones of 23 kinds, a new selection
# of them while grading. Call them as often as you like, with any text of more than $T$ tokens.
#
# <details><summary>Hint 1</summary>
#
# Choose your text. What must it not be, or `x + 1` passes? And what makes it easy to tell where a row begins?
# </details>
# <details><summary>Hint 2</summary>
#
# Take a dozen different tokens in no order. The first token of a row gives away its start $s$, and then you know the
# whole row of `x` and of `y`. In a batch of some hundred rows every start comes, so you can ask for all of them.
# </details>
# <details><summary>Hint 3</summary>
#
# `ids.unfold(0, T + 1, 1)` has a row for each start. Without its last column it is what `x` may hold, without its first
# one what `y` must hold. `(x[:, :1] == ids).int().argmax(1)` finds the starts. Then draw twice more. Another generator
# with the same seed must repeat the first batch, and the first generator must not.
# </details>

# %% exercise="gpt.test_blocks"
def test_blocks(blocks):
    """Pass for blocks of a text with their next tokens, fail with an AssertionError for anything else."""
    ### BEGIN SOLUTION
    T, B = 4, 200
    ids = torch.tensor([44, 7, 31, 90, 2, 65, 18, 53, 29, 76, 11])
    windows = ids.unfold(0, T + 1, 1)                             # (N - T, T + 1), one for each start
    generator = torch.Generator().manual_seed(1)
    x, y = blocks(ids, T, B, generator)
    assert x.shape == y.shape == (B, T)
    starts = (x[:, :1] == ids).int().argmax(1)                    # (B)
    assert set(starts.tolist()) == set(range(len(windows)))
    assert torch.equal(x, windows[starts, :-1])
    assert torch.equal(y, windows[starts, 1:])
    again, _ = blocks(ids, T, B, torch.Generator().manual_seed(1))
    later, _ = blocks(ids, T, B, generator)
    assert torch.equal(again, x)
    assert not torch.equal(later, x)
    ### END SOLUTION

# %% check="gpt.test_blocks"
check("gpt.test_blocks", test_blocks)

# %%
course_test = use("gpt.test_blocks", test_blocks)


def plus_one(ids, T, B, generator):
    x, _ = blocks(ids, T, B, generator)
    return x, x + 1


for name, candidate in (("the chapter's blocks", blocks), ("y = x + 1", plus_one)):
    try:
        course_test(candidate)
        print(f"{name} passes your test")
    except AssertionError:
        print(f"{name} fails your test")

# %% [markdown]
# ## 3. The decoder
# **Sitting 2 of 8**, 80 minutes. Exercise [[gpt.decoder]] must be done, [[gpt.init]] may be left out.
#
# From here on *block* has two meanings, as in the literature. In section 2 it was a piece of text. In a model it is a layer of
# attention and feed-forward network, and `model.blocks` holds those.
#
# A decoder is the block of chapter 2 with a causal mask, stacked $L$ times. What runs through it from the embedding to the
# scores is the [[term: residual stream | the vector of a token that every block reads and adds to]]. GPT-2 puts each
# norm *before* what it belongs to, and one more at the end ([[term: pre-norm | the norm stands before attention and feed-forward network, so
# that the stream itself is never normed on its way]]).

# %%
diagram("gpt.decoder")

# %% [markdown]
# ### Exercise [[gpt.decoder]]: A decoder
# core · importance 5 of 5 · 40 minutes · 4 points
#
# [[formula: GPT-2 | h (B, n, D), logits (B, n, V)]]
#
# $$\begin{aligned}
# h_0 &= E[\text{ids}] + P[0, \dots, n - 1] \\
# h' &= h + \operatorname{MultiHead}(\operatorname{Norm}_1(h)) \\
# h'' &= h' + \operatorname{FFN}(\operatorname{Norm}_2(h')) \qquad \text{both lines } L \text{ times} \\
# \text{logits} &= \operatorname{Norm}(h_L)\, E^\top
# \end{aligned}$$
#
# Write `GPT` as GPT-2 has it (Radford et al. 2019, section 2.3). Attention is causal, so place $i$ sees the places up
# to and including $i$. Between `up` and `down` stands the **tanh form of GELU**. Norms are layer norms with epsilon
# $10^{-5}$. A text has any length $n \le T$. The scores come from the embedding itself, $E$ used a second time
# (**tied weights**), without a bias. The check loads weights by the names below, and GPT-2's own will fit in as well.
#
# | name | shape | |
# |---|---|---|
# | `tokens`, `positions` | (V, D), (T, D) | $E$ and $P$ |
# | `blocks.0.norm1`, `blocks.0.norm2`, `norm` | (D), (D) | weight and bias |
# | `blocks.0.qkv` | (3D, D), (3D) | queries, keys, values one below the other; head 0 owns the first $d$ rows of each |
# | `blocks.0.out` | (D, D), (D) | what the heads give goes through it |
# | `blocks.0.up`, `blocks.0.down` | (4D, D), (4D); (D, 4D), (D) | the feed-forward network |
#
# <details><summary>Hint 1</summary>
#
# You have written all of it in chapter 2, the block too. What is new is what stands around the blocks. `Block` is there
# for your own order, and the check asks for `GPT` alone.
# </details>
# <details><summary>Hint 2</summary>
#
# `nn.ModuleList(Block(D, H) for _ in range(L))` under the name `blocks` gives the names. `qkv(x).chunk(3, -1)` gives
# queries, keys and values, each (B, n, D). Then come `unflatten`, `transpose` and attention as in chapter 2.
# </details>
# <details><summary>Hint 3</summary>
#
# `F.scaled_dot_product_attention(Q, K, W, is_causal=True)` is all of the attention, `F.gelu(x, approximate="tanh")` the
# right GELU. The last line of `forward` is `self.norm(h) @ self.tokens.weight.T`.
# </details>

# %% exercise="gpt.decoder"
class Block(nn.Module):
    """One block: attention and a feed-forward network read the normalised stream h and add to it."""

    def __init__(self, D: int, H: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.H = H
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        ### END SOLUTION

    def forward(self, h: Float[Tensor, "B n D"]) -> Float[Tensor, "B n D"]:
        ### BEGIN SOLUTION
        Q, K, W = (x.unflatten(-1, (self.H, -1)).transpose(1, 2) for x in self.qkv(self.norm1(h)).chunk(3, -1))
        Y = F.scaled_dot_product_attention(Q, K, W, is_causal=True)  # (B, H, n, d)
        h = h + self.out(Y.transpose(1, 2).flatten(2))            # (B, n, D)
        return h + self.down(F.gelu(self.up(self.norm2(h)), approximate="tanh"))
        ### END SOLUTION


class GPT(nn.Module):
    """Logits (B, n, V) for the token that follows each place of a text ids (B, n), n <= T."""

    def __init__(self, V: int, T: int, D: int, H: int, L: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.tokens, self.positions = nn.Embedding(V, D), nn.Embedding(T, D)
        self.blocks = nn.ModuleList(Block(D, H) for _ in range(L))
        self.norm = nn.LayerNorm(D)
        ### END SOLUTION

    def forward(self, ids: Int[Tensor, "B n"]) -> Float[Tensor, "B n V"]:
        ### BEGIN SOLUTION
        h = self.tokens(ids) + self.positions.weight[: ids.shape[1]]  # (B, n, D)
        for block in self.blocks:
            h = block(h)
        return self.norm(h) @ self.tokens.weight.T                # (B, n, V)
        ### END SOLUTION

# %% check="gpt.decoder"
check("gpt.decoder", GPT)

# %% [markdown]
# Now put real numbers into it. The course has a GPT of this shape, 3.3 million numbers in 6 layers of width 192, which was trained for
# hours on all addresses since 1790 and on *Moby-Dick*, without what is held out. `decoder_weights` gives its numbers
# under your names, and transformers' own code computes the same model beside yours.

# %%
from coursekit.material.decoders import decoder_weights, gpt_run, load_decoder

pretrained = load_decoder(profile, device)
config = pretrained.model.config
T, D, H, L = config.n_positions, config.n_embd, config.n_head, config.n_layer
Decoder = use("gpt.decoder", GPT)


def in_your_code(decoder):
    """Your decoder with the numbers of a pretrained one."""
    sizes = decoder.model.config
    network = Decoder(sizes.vocab_size, sizes.n_positions, sizes.n_embd, sizes.n_head, sizes.n_layer)
    network.load_state_dict(decoder_weights(decoder))
    return network.to(device).eval()


model = in_your_code(pretrained)
text = "My fellow Americans, the whale"
ids = torch.tensor([pretrained.tokenizer(text)["input_ids"]], device=device)  # (1, n)
with torch.no_grad():
    difference = (model(ids) - pretrained.model(ids).logits).abs().max().item()
assert difference < 1e-3, f"found a difference of {difference:.0e} from transformers' logits"
print(f"{sum(p.numel() for p in model.parameters()):,} numbers, and transformers' logits up to 0.001")

# %% [markdown]
# Your code computes what GPT-2's does. We call this model *our GPT*. *Your GPT* will be the one that you train in section 5. Under `profile = "full"` the same cell loads the 124 million numbers that OpenAI published.
# Before we go on, one property is worth a test of its own, because everything in this chapter rests on it. What comes
# later changes nothing before it.

# %% tags=["nbval-check-output"]
with torch.no_grad():
    before = model(ids)
    changed = ids.clone()
    changed[0, -1] = 7                                            # another last token
    moved = (model(changed) - before).abs().amax(-1)[0] > 1e-4    # (n), which places have other logits
print("places whose guesses changed:", moved.nonzero().flatten().tolist(), "of", len(moved))

# %% [markdown]
# ### How it begins
# A fresh model should have no opinion. With $V$ equally likely tokens the loss is $\ln V$, which is 8.03 for 3,072.
# `nn.Embedding` draws from a normal distribution of deviation 1, and with tied weights that embedding also makes the scores.

# %%
predict("gpt.fresh")

# %%
torch.manual_seed(seed)
x, y = blocks(training, 128, 8, torch.Generator().manual_seed(seed))
fresh = Decoder(V, 128, 192, 6, 6)
with torch.no_grad():
    fresh_loss = F.cross_entropy(fresh(x).flatten(0, 1), y.flatten()).item()
print(f"fresh, with PyTorch's own initialisation: {fresh_loss:.0f} nats; without an opinion {math.log(V):.2f}")
came_out("gpt.fresh", round(fresh_loss))

# %% [markdown]
# <details><summary>What happened</summary>
#
# A score is a product of two vectors of width 192. The final norm gives one of them entries around 1, and the embedding
# the other. So the scores of other tokens have a standard deviation near $\sqrt{192} \approx 14$. The token that it has just read scores
# far above them at every place, for half of the stream's variance is its own embedding. That score is near $192 / \sqrt 2 \approx
# 136$, and it is nearly all of the loss. Being certain and wrong is costly.
# </details>

# %% [markdown]
# ### Exercise [[gpt.init]]: Mend this code, how a GPT begins
# core · importance 3 of 5 · 15 minutes · 2 points
#
# A colleague left the function below. The models that it begins do train, but no two runs agree, and some deviations are
# wrong. Mend it under the name `init_gpt`. GPT begins with the first of these rules (Radford et al. 2018, section 4.1),
# and GPT-2 added the second (Radford et al. 2019, section 2.3).
#
# - Every matrix is drawn from a normal distribution with mean 0 and standard deviation 0.02, embeddings too.
# - Two maps in each block write to the **residual stream**, `out` and `down`. What they write adds up, $2 L$ times in
#   $L$ blocks, so the deviation of these two is $0.02 / \sqrt{2 L}$. (The paper says $1 / \sqrt N$ for $N$ residual layers.
#   Most code counts two a block, as we do.)
# - All biases are 0, and the weights of norms are 1, whatever the model held before.
#
# All random numbers come from `generator`, and `layers` is $L$. No Parameter is replaced.
# The matrices are called `tokens` and `positions`, and in each block `qkv`, `out`, `up` and `down`. A model
# may know the matrix of `tokens` by a second name, `head`, a linear map without a bias. It stays one matrix.
#
# <details><summary>Hint 1</summary>
#
# Look at the printed deviations. Which maps should not be scaled at all, and which are scaled by the wrong number?
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

# %%
begin = use("gpt.init", init_gpt)
begin(fresh, 6, torch.Generator().manual_seed(seed))
with torch.no_grad():
    fresh_loss = F.cross_entropy(fresh(x).flatten(0, 1), y.flatten()).item()
print(f"fresh, after init_gpt: {fresh_loss:.2f} nats")

# %%
quiz("gpt.tied")

# %% [markdown]
# ## 4. The loss and its units
# **Sitting 3 of 8**, 85 minutes, sections 4 and 5. Exercises [[gpt.loss]] and [[gpt.train_step]] must be done, the
# ablations may be left out.
#
# The loss is what the true next token costs, $-\ln p$, on average over all places. In nats it counts with the natural
# logarithm, in bits with the one of base 2. Its exponential is the [[term: perplexity | e to the loss: among how many equally likely
# tokens the model hesitates]].
#
# Three slips with it are printed again and again. The perplexity of a text is *not* the mean of its windows' or
# batches' perplexities. A window of $n$ tokens has $n - 1$ targets, because nobody guesses its first token. (A recipe
# that is often copied gets this count wrong where windows overlap, in its old form by one in the first window and in its newer form
# by one in all others, transformers [22348](https://github.com/huggingface/transformers/issues/22348).) And a loss per token cannot be compared between tokenizers,
# because the one with the longer tokens has fewer and harder questions to answer.

# %% [markdown]
# ### Exercise [[gpt.loss]]: The loss and its units
# core · importance 5 of 5 · 25 minutes · 3 points
#
# [[formula: Loss of a language model, and its units | N targets y that count, in a text of M bytes]]
#
# $$\text{loss} = -\frac{1}{N} \sum_{i=1}^{N} \ln p(y_i), \qquad \text{perplexity} = e^{\text{loss}}, \qquad
# \text{bits per byte} = \frac{N \cdot \text{loss}}{M \ln 2}$$
#
# Write three functions, in which you decide what is added up and what is counted.
#
# - `lm_loss(logits, targets, ignore)` is the loss of a batch in **nats**, a tensor of shape (). The targets are already
#   shifted, as `blocks` does it. Places whose target is `ignore` do not count. That may be any number, also the id of a
#   token. At least one target counts.
# - `perplexity(sums, counts)` is that of a whole text, which was read in windows. Window $i$ has `counts[i]` targets,
#   which cost `sums[i]` nats together. Windows have unequal numbers of targets, and one may have none.
# - `bits_per_byte(loss, count, text)` is told the mean loss of `count` targets, in nats, and the `text` that they
#   spell. Its bytes are those of UTF-8. Models with different tokenizers can be compared by it, and not by their
#   perplexities.
#
# <details><summary>Hint 1</summary>
#
# Each of the three is a mean. Mean of what, and over what? Ask it before you reach for a function that averages.
# </details>
# <details><summary>Hint 2</summary>
#
# `F.cross_entropy` takes logits (N, V), targets (N) and `ignore_index=`, and averages over what counts. The mean of
# unequal groups' means is not the mean of all, and the mean of exponentials is not the exponential of the mean.
# </details>
# <details><summary>Hint 3</summary>
#
# `logits.flatten(0, 1)` and `targets.flatten()` put the rows one behind the other. `sum(sums) / sum(counts)` is what a
# target of the whole text costs. `len("ä")` is 1 and `len("ä".encode())` is 2.
# </details>

# %% exercise="gpt.loss"
def lm_loss(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"], ignore: int) -> Float[Tensor, ""]:
    """Mean of -ln p(target), in nats, over the targets that are not `ignore`."""
    ### BEGIN SOLUTION
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore)
    ### END SOLUTION


def perplexity(sums: list[float], counts: list[int]) -> float:
    """exp of the mean nats of a target, over all windows."""
    ### BEGIN SOLUTION
    return math.exp(sum(sums) / sum(counts))
    ### END SOLUTION


def bits_per_byte(loss: float, count: int, text: str) -> float:
    """What the text costs in bits, for each of its bytes."""
    ### BEGIN SOLUTION
    return loss * count / math.log(2) / len(text.encode())
    ### END SOLUTION

# %% check="gpt.loss"
check("gpt.loss", lm_loss, perplexity, bits_per_byte)

# %%
predict("gpt.units")

# %%
token_loss, text_perplexity, per_byte = use("gpt.loss", lm_loss, perplexity, bits_per_byte)


@torch.no_grad()
def text_loss(network, ids, longest):
    """Nats and targets of each window of a text's ids (N): windows share one token, and no target comes twice."""
    nats, targets = [], []
    for s in range(0, len(ids) - 1, longest):
        window = ids[None, s : s + longest + 1]                   # (1, n + 1)
        z = network(window[:, :-1].to(device)).cpu()              # (1, n, V)
        targets.append(window.shape[1] - 1)
        nats.append(token_loss(z, window[:, 1:], -1).item() * targets[-1])
    return nats, targets


measured = "\n".join(held_out_texts)[: 1_000 if profile == "smoke" else 10_000]
assistant_logits = lambda x: assistant.model(x).logits
readers = {"our GPT": (pretrained, model, T), "SmolLM2": (assistant, assistant_logits, 512)}
units = {}                                                        # bits per byte
for name, (owner, network, longest) in readers.items():
    sums, counts = text_loss(network, torch.tensor(owner.tokenizer(measured, verbose=False)["input_ids"]), longest)
    mean = sum(sums) / sum(counts)
    units[name] = per_byte(mean, sum(counts), measured)
    print(f"{name}: {sum(counts):,} targets, {mean:.2f} nats each, perplexity {text_perplexity(sums, counts):.1f}, "
          f"{units[name]:.3f} bits per byte")
came_out("gpt.units", round(units["SmolLM2"], 2))

# %% [markdown]
# <details><summary>What happened</summary>
#
# SmolLM2 needs fewer bits, with 41 times as many numbers, and after about two trillion tokens. Our GPT has seen not quite
# three million, seven times. The perplexities say the same here, and are still not comparable: the two models answer different
# questions, and different numbers of them. One caution. The speeches and the novel are all over the internet, so SmolLM2
# has most likely read what we call held out. It also reads 512 tokens at a time here, and ours 128.
# </details>

# %%
quiz("gpt.window")

# %%
quiz("gpt.perplexity")

# %% [markdown]
# ## 5. Train it
#
# A training step is forward, backward, clip the gradient's norm, step. The **learning rate** rises for a tenth of the steps, while
# Adam's averages are still rough (**warm-up**), and then falls to 0. What is new is that language models learn from batches larger
# than memory, which come in pieces. (Rate, betas and weight decay below are common choices for language models. We tuned nothing.)

# %% [markdown]
# ### Exercise [[gpt.train_step]]: Mend this code, a step from micro-batches
# core · importance 5 of 5 · 30 minutes · 4 points
#
# Large batches give smooth gradients, and small ones fit into memory. **Gradient accumulation** has both. The gradients
# of several **micro-batches** are added up before the optimiser takes one step. It must be the step that all rows in a
# single batch would have given. The function below takes another one. Mend its three slips, here as `train_step`.
#
# - `micro_batches` is a list of `(x, y)`, each (B, T) with its own $B$ and $T$, and `model(x)` gives logits. A target
#   of $-100$ is none. Some micro-batches may be without any target, not all.
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

# %%
step_of = use("gpt.train_step", train_step)


def adamw(network, rate):
    return torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True)


def trained(network, steps, rows, T, rate, draw_blocks=blocks, look=lambda step: None, make=adamw):
    """Train on random blocks, two micro-batches a step. The rate rises for a tenth of the steps and falls to 0."""
    optimizer, up = make(network, rate), max(1, steps // 10)
    share = lambda step: min((step + 1) / up, (steps - step) / (steps - up + 1))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    g = torch.Generator().manual_seed(seed)
    for step in range(steps):
        look(step)
        pieces = [draw_blocks(training, T, rows // 2, g) for _ in range(2)]
        step_of(network, optimizer, schedule, [(x.to(device), y.to(device)) for x, y in pieces], 1.0)
    look(steps)

# %% [markdown]
# We train a model of the full size, and now and then measure 32 held-out blocks and let it write. Before the first step
# it knows nothing, and after the last it has read 450,000 tokens, a little more than half as many
# as the text has.

# %%
predict("gpt.two_minutes")

# %%
def written(network, prompt, tokens, temperature=0.8):
    """The prompt and `tokens` more, drawn at a temperature (section 6) from the last T tokens of the text."""
    g, ids = torch.Generator().manual_seed(seed), tokenizer(prompt)["input_ids"]
    for _ in range(tokens):
        with torch.no_grad():
            z = network(torch.tensor([ids[-128:]], device=device))[0, -1].cpu()
        ids.append(torch.multinomial((z / temperature).softmax(-1), 1, generator=g).item())
    return tokenizer.decode(ids)


@torch.no_grad()
def held_out_bits(network, T, rows=4 if profile == "smoke" else 32):
    """Bits per byte on held-out blocks, always the same ones."""
    x, y = blocks(held_out, T, rows, torch.Generator().manual_seed(1))
    nats = token_loss(network(x.to(device)).cpu(), y, -100).item()
    return per_byte(nats, y.numel(), "".join(tokenizer.decode(row.tolist()) for row in y))

# %%
steps, length = {"smoke": (4, 2), "fast": (220, 24), "full": (4000, 24)}[profile]
mine = Decoder(V, 128, 192, 6, 6).to(device)
begin(mine, 6, torch.Generator().manual_seed(seed))
curve = {}


def look(step):
    if step % (steps // 4) == 0:
        curve[step] = held_out_bits(mine, 128)
        print(f"{step:3} steps, {curve[step]:.2f} bits per byte: {written(mine, 'My fellow Americans,', length)!r}")


trained(mine, steps, 16, 128, 2e-3, look=look)
came_out("gpt.two_minutes", round(curve[max(curve)], 2))

# %% [markdown]
# It learns frequent tokens first, and then what stands beside what. How far it has come, compared with simple counting, section
# 13 will show. To see where this leads, here is the run that made
# the numbers you loaded in section 3, `prepare/gpt.py`. Move the slider through its checkpoints.

# %%
from coursekit.widgets import samples_by_step

run = gpt_run()
samples_by_step(run["addresses"]["curve"], run["addresses"]["samples"], run["prompts"])

# %%
lines = {}
for name in ("addresses", "prose"):
    size, curve_seen = run[name]["tokens"], run[name]["curve"]
    label = f"{size / 1e6:.1f} M tokens of text"
    lines[label] = {row["step"] * run["batch"] * run["T"] / 1e6: row["bits_per_byte"] for row in curve_seen[4:]}
    read, lowest = max(lines[label]) * 1e6 / size, min(lines[label].values())
    hours = run[name]["cpu_seconds"] / 3600
    print(f"{label} read {read:.1f} times: {lowest:.3f} bits per byte, {hours:.1f} processor hours")
tokens_read = sorted({t for line in lines.values() for t in line})  # millions
lines = {label: [line.get(t, math.nan) for t in tokens_read] for label, line in lines.items()}
fig = curves(tokens_read, lines, x_label="tokens read (millions)", y_label="bits per byte, held out")
least = [min(row["bits_per_byte"] for row in run[name]["curve"]) for name in ("addresses", "prose")]
show(fig, "gpt.hours", addresses=least[0], prose=least[1])

# %% [markdown]
# One run read all addresses since 1790, the other only the text of this chapter, and both read theirs several times. Repeating a small text must end
# in [[term: overfitting | the loss on the training text falls on, and that on other text rises]], says everyone, so we
# looked for it. With a dropout of 0.1 (a tenth of the activations set to 0 at random in
# training) and a falling rate, the loss on held-out text still fell in the thirteenth reading. The
# larger text, read for twice as many steps, ended only about 0.03 lower. One reason may be that much of it is older than the
# speeches that are held out. We have not tested it.

# %%
quiz("gpt.training")

# %% [markdown]
# ### Break it on purpose
# Forget the shift, so that the target of a token is that token. We train a small model for a while, once with each.

# %%
predict("gpt.unshifted")

# %%
def small(begun=begin):
    """A small decoder, T = 64 and D = 64, begun by a function."""
    network = Decoder(V, 64, 64, 4, 6).to(device)
    begun(network, 6, torch.Generator().manual_seed(seed))
    return network


def unshifted(ids, T, B, g):
    x, _ = blocks(ids, T, B, g)
    return x, x                                                   # a token's target is the token itself


few = {"smoke": 2, "fast": 150, "full": 1000}[profile]


def curve_of(network, draw_blocks=blocks, rate=3e-3, make=adamw):
    """Train a small network; its bits per byte on held-out text before, on the way and after."""
    bits, at = [], range(0, few + 1, max(1, few // 5))
    look = lambda step: bits.append(held_out_bits(network, 64)) if step in at else None
    trained(network, few, 16, 64, rate, draw_blocks, look, make)
    return bits

# %%
designs = {}
for name, draw_blocks in (("as it is", blocks), ("without the shift", unshifted)):
    network = small()
    designs[name] = curve_of(network, draw_blocks)
    x, y = draw_blocks(training, 64, 16, torch.Generator().manual_seed(2))
    with torch.no_grad():
        nats = token_loss(network(x.to(device)).cpu(), y, -100).item()
    print(f"{name:17}  loss {nats:.2f}, writes {written(network, 'My fellow Americans,', 8)!r}")
came_out("gpt.unshifted", round(nats, 2))
for name, line in designs.items():
    print(f"{name:17}  asked for the next token, it needs {line[-1]:.1f} bits per byte")

# %% [markdown]
# <details><summary>What happened</summary>
#
# A loss near 0 is no triumph. Each place can see its own token, and copying it is all that was asked for. So it learned to copy, and
# writes the last token for ever. Whenever a small model's loss falls far below 1 bit per byte on a text that it has not seen, look
# for an answer that leaks into the question.
# </details>
#
# Now three parts of the design, each taken out alone, and the whole twice with different seeds. Is the difference larger
# than that of chance?

# %%
class PostNorm(Decoder):
    """The same parts with each norm behind its sum, as in the original transformer."""

    def forward(self, ids):
        h = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            Q, K, W = block.qkv(h).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)  # (B, H, n, d)
            Y = F.scaled_dot_product_attention(Q, K, W, is_causal=True).transpose(1, 2).flatten(2)  # W holds the values
            h = block.norm1(h + block.out(Y))
            h = block.norm2(h + block.down(F.gelu(block.up(h), approximate="tanh")))
        return h @ self.tokens.weight.T


@torch.no_grad()
def variant(name, begun):
    network = PostNorm(V, 64, 64, 4, 6).to(device) if name == "post-norm" else small()
    begin(network, 6, torch.Generator().manual_seed(begun))
    if name == "without 1/sqrt(2L)":
        for block in network.blocks:
            block.out.weight *= math.sqrt(12)
            block.down.weight *= math.sqrt(12)
    if name == "without positions":
        network.positions.weight.zero_().requires_grad_(False)
    return network

# %%
predict("gpt.ablations")

# %%
del designs["without the shift"]
for name, other_seed in (("other seed", 1), ("without 1/sqrt(2L)", 0), ("post-norm", 0), ("without positions", 0)):
    designs[name] = curve_of(variant(name, other_seed))
for name, line in designs.items():
    print(f"{name:19} {line[-1]:.3f} bits per byte")
steps_seen = [few * i / (len(line) - 1) for i in range(len(line))]
fig = curves(steps_seen, designs, x_label="step", y_label="bits per byte, held out")
keys = ("whole", "seed", "scale", "post", "place")
show(fig, "gpt.ablations", **{key: line[-1] for key, line in zip(keys, designs.values(), strict=True)})
parts = {"without 1/sqrt(2L)": "the scale 1/sqrt(2L)", "post-norm": "the norms before the sum"}
parts["without positions"] = "the positions"
lowest = min(parts, key=lambda name: designs[name][-1])
came_out("gpt.ablations", parts[lowest] if designs[lowest][-1] < designs["as it is"][-1] else "none of them")

# %% [markdown]
# <details><summary>What happened</summary>
#
# With another seed the same design ends a few hundredths of a bit away. Only the norms behind the sums cost far more than
# that. With them the model has learned little more than how frequent tokens are. They are known to need a longer rise of the rate
# (Xiong et al. 2020), and we tried one. The scale at the start changes nothing that we could see, with six layers of width 64 and so few steps. And the model
# without positions is not worse, but a little better. The causal mask may tell places apart by itself, for the first token sees
# one token and the tenth sees ten (Haviv et al. 2022), and a table of positions is one more thing to be learned. Two
# seeds are few, and none of this says how a longer run would end. An ablation speaks of the size and the time at which it was made.
# </details>

# %% [markdown]
# ## 6. Choose a token
# **Sitting 4 of 8**, 75 minutes. Exercise [[gpt.filter]] must be done, [[gpt.penalise]] may be left out.
#
# The model gives a distribution, and somebody has to choose. Here is what the pretrained GPT writes with three rules.

# %%
def wrote(prompt, tokens, choose):
    """Prompt and continuation as ids; `choose` gets the logits (1, V) and all ids so far, and gives an id."""
    ids = pretrained.tokenizer(prompt)["input_ids"]
    for _ in range(tokens):
        with torch.no_grad():
            z = model(torch.tensor([ids[-T:]], device=device))[:, -1].cpu()  # (1, V)
        ids.append(int(choose(z, ids)))
    return ids


def sampled(temperature):
    g = torch.Generator().manual_seed(seed)
    return lambda z, ids: torch.multinomial((z / temperature).softmax(-1), 1, generator=g)


length = 12 if profile == "smoke" else 60
for name, choose in {"greedy": lambda z, ids: z.argmax(), "drawn": sampled(1.0), "temperature 1.5": sampled(1.5)}.items():
    print(f"{name:15} {pretrained.tokenizer.decode(wrote('We must', length, choose))!r}\n")

# %% [markdown]
# Greedy is dull and soon turns in circles. What was written once makes itself likelier. Drawing from the distribution as it
# is gives variety, with now and then a token from the long tail that derails the sentence. A
# [[term: temperature | a number that divides the logits: below 1 the likely gets likelier, above 1 all become more alike]]
# above 1 makes it worse. So most programs cut the tail off, and there are several ways to say where it begins.

# %% [markdown]
# [[formula: Temperature | logits z (V), probabilities p (V)]]
#
# $$p = \operatorname{softmax}(z / \text{temperature})$$

# %% [markdown]
# ### Exercise [[gpt.filter]]: Which tokens may follow
# core · importance 4 of 5 · 35 minutes · 4 points
#
# `filter_logits` takes the logits (B, V) of the next token and gives new ones, divided by the temperature, with $-\infty$
# for each token that is removed. A setting that is `None` is not used, and the others act in this order. Each looks at the
# probabilities of what the ones before it have left, which sum to 1 again.
#
# 1. `temperature`, a number above 0. All that follows sees the divided logits.
# 2. **top-k** (Fan et al. 2018) keeps the `top_k` largest logits. All that tie with the k-th stay. With `top_k` above
#    $V$ all tokens do.
# 3. **top-p** (Holtzman et al. 2020, section 3.1) sorts by probability, the most probable first, equal ones by their
#    id. A token stays when the sum of those *before* it is below `top_p`. So the token that crosses it stays too. The
#    first one always stays, with `top_p=0` as well.
# 4. **min-p** (Nguyen et al. 2024) keeps each token whose probability is at least `min_p` times the largest one.
#
# What is $-\infty$ stays so. `draw(logits, generator)` then draws an id for each row (B), from the
# softmax of what it gets. Each row draws for itself, with random numbers from `generator` alone.
#
# <details><summary>Hint 1</summary>
#
# Do it for one row with a pencil first. The probabilities are 0.5, 0.3, 0.15 and 0.05. Who stays with a `top_p` of 0.6,
# and who with a `min_p` of 0.2? Then write each step as a mask (B, V) of what stays.
# </details>
# <details><summary>Hint 2</summary>
#
# `topk` gives the k-th largest logit. For top-p sort the probabilities, and `cumsum` them. The mask that you find
# belongs to sorted places, so it has to go back to the ids, and `scatter` does that. For one token of each row there is
# `torch.multinomial`.
# </details>
# <details><summary>Hint 3</summary>
#
# `p.sort(dim=-1, descending=True, stable=True)` gives the sorted probabilities and the ids in their places.
# `p.cumsum(-1) - p` is the sum before each token. `torch.zeros_like(mask).scatter(1, ids, mask)` brings a mask back.
# `multinomial` gives (B, 1).
# </details>

# %% exercise="gpt.filter"
def filter_logits(
    logits: Float[Tensor, "B V"],
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Float[Tensor, "B V"]:
    """Logits over the temperature, -inf where top-k, then top-p, then min-p removes a token."""
    ### BEGIN SOLUTION
    z = logits / temperature
    if top_k is not None:
        kth = z.topk(min(top_k, z.shape[-1])).values[:, -1:]      # (B, 1)
        z = z.masked_fill(z < kth, float("-inf"))
    if top_p is not None:
        p, ids = z.softmax(-1).sort(dim=-1, descending=True, stable=True)
        stays = p.cumsum(-1) - p < top_p                          # (B, V), in sorted places
        stays[:, 0] = True
        z = z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), float("-inf"))
    if min_p is not None:
        p = z.softmax(-1)
        z = z.masked_fill(p < min_p * p.amax(-1, keepdim=True), float("-inf"))
    return z
    ### END SOLUTION


def draw(logits: Float[Tensor, "B V"], generator: torch.Generator) -> Int[Tensor, "B"]:
    """One id for each row, drawn from softmax(logits)."""
    ### BEGIN SOLUTION
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    ### END SOLUTION

# %% check="gpt.filter"
check("gpt.filter", filter_logits, draw)

# %% [markdown]
# The four settings differ in how they follow the context. After *the United* nearly all of the probability is in one token,
# and after *The* many tokens share it.

# %%
predict("gpt.top_p")

# %%
keep, pick = use("gpt.filter", filter_logits, draw)
settings = {"top_k=50": {"top_k": 50}, "top_p=0.9": {"top_p": 0.9}, "min_p=0.05": {"min_p": 0.05}}
for text in ("We, the people of the United", "The"):
    ids = torch.tensor([pretrained.tokenizer(text)["input_ids"]], device=device)
    with torch.no_grad():
        z = model(ids)[:, -1].cpu()                               # (1, V)
    stay = {how: (keep(z, 1.0, **setting) > -torch.inf).sum().item() for how, setting in settings.items()}
    print(f"behind {text!r}:", *(f"{how} keeps {n}" for how, n in stay.items()), sep="   ")
came_out("gpt.top_p", stay["top_p=0.9"])

# %% [markdown]
# <details><summary>What happened</summary>
#
# Top-k keeps fifty tokens whether one or a thousand make sense. Top-p and min-p follow the distribution. Note that top-p
# keeps the token that *crosses* the line. Without it, a token with 95% would be removed, and nothing would be left.
# </details>
#
# And this is what your two functions write, with the same random numbers each time.

# %%
for name, setting in {"nothing removed": {}, **settings}.items():
    g = torch.Generator().manual_seed(seed)
    ids = wrote("We must", length, lambda z, ids, g=g, setting=setting: pick(keep(z, 1.0, **setting), g))
    print(f"{name:15} {pretrained.tokenizer.decode(ids)!r}\n")

# %% [markdown]
# Without a filter there are words that do not exist. With each of the three the words are English, and the sentences nearly so. A
# filter cannot mend the thought, it only keeps out the tail. Move the sliders over a real distribution, with a text of your own.

# %%
from coursekit.widgets import sampler

sampler(lambda text: score(pretrained, text)[1][-1], vocabulary(pretrained))

# %%
quiz("gpt.filter")

# %% [markdown]
# ### Exercise [[gpt.penalise]]: Mend this code, repeats and stops
# core · importance 3 of 5 · 15 minutes · 2 points
#
# Small models like to say things twice. Two functions that a colleague has left are to help, and neither does. Mend
# them, here as `penalise` and `stop_at`.
#
# - `penalise(logits, ids, penalty)` makes tokens that were seen less likely. This is the **repetition penalty** (Keskar
#   et al. 2019, section 4.1), in the form that is used today. In each row, the logits of all tokens that stand in this
#   row of `ids` are changed. A positive logit is divided by the penalty, and a negative one is multiplied. It happens
#   once for each token, however often it stands there. `ids` holds the prompt and what was written so far. The penalty
#   may be any number above 0. The logits that were handed in stay as they are.
# - `stop_at(ids, stops)` says how many ids of a text to keep. `stops` is a list of **stop sequences**, each a list of
#   one or more ids. The text ends before the first place at which a whole stop sequence begins, whichever it is.
#   Without any all ids are kept.
#
# <details><summary>Hint 1</summary>
#
# Look at what is printed. Which of the four logits should fall, and which one rises? Which stop begins first?
# </details>
# <details><summary>Hint 2</summary>
#
# `set(seen)` holds each token once. In `stop_at` the loop over places belongs outside, the one over stops inside.
# </details>
# <details><summary>Hint 3</summary>
#
# `row[token] *= penalty if row[token] < 0 else 1 / penalty` is right for both signs. `any(...)` over the stops, and the
# first place for which it is true is the answer.
# </details>

# %%
def given_penalise(logits, ids, penalty):
    """Logits with those of seen tokens made smaller, as a colleague left it."""
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist(), strict=True):
        for token in seen:
            row[token] /= penalty
    return logits


def given_stop_at(ids, stops):
    """How many ids to keep, as a colleague left it."""
    for stop in stops:
        for start in range(len(ids)):
            if ids[start : start + len(stop)] == stop:
                return start + len(stop)
    return len(ids)


scores = torch.tensor([[4.0, -2.0, 1.0, -1.0]])
print("4, -2, 1, -1 after tokens 0, 1, 0:", given_penalise(scores, torch.tensor([[0, 1, 0]]), 2.0).tolist()[0])
print("of 5, 6, 7, 8 are kept:", given_stop_at([5, 6, 7, 8], [[7, 8], [6]]))

# %% exercise="gpt.penalise"
def penalise(logits: Float[Tensor, "B V"], ids: Int[Tensor, "B T"], penalty: float) -> Float[Tensor, "B V"]:
    """Logits with those of tokens in ids over the penalty where positive, times the penalty where negative."""
    ### BEGIN SOLUTION
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist(), strict=True):
        for token in set(seen):
            row[token] *= penalty if row[token] < 0 else 1 / penalty
    return logits
    ### END SOLUTION


def stop_at(ids: list[int], stops: list[list[int]]) -> int:
    """How many ids stand before the first place at which a stop begins."""
    ### BEGIN SOLUTION
    for start in range(len(ids)):
        if any(ids[start : start + len(stop)] == stop for stop in stops):
            return start
    return len(ids)
    ### END SOLUTION

# %% check="gpt.penalise"
check("gpt.penalise", penalise, stop_at)

# %%
punish, stop = use("gpt.penalise", penalise, stop_at)
for penalty in (1.0, 1.3):
    ids = wrote("We must", length, lambda z, ids, penalty=penalty: punish(z, torch.tensor([ids]), penalty).argmax())
    fours = [tuple(ids[i : i + 4]) for i in range(len(ids) - 3)]
    print(f"greedy, penalty {penalty}: {len(set(fours)) / len(fours):.0%} of its runs of four tokens are new")
    print(repr(pretrained.tokenizer.decode(ids)), "\n")
newline = pretrained.tokenizer.encode("\n")
print("stopped at the first newline:", repr(pretrained.tokenizer.decode(ids[: stop(ids, [newline])])))

# %% [markdown]
# The penalty is a crude tool. It also punishes *the* and the comma, which no text can do without, and in source code the closing
# bracket.

# %% [markdown]
# ### Question 4.A: Which settings made which text
# 15 minutes · 3 points · marked by a person
#
# Below are two texts by the same model from the same prompt. Behind each token stands the probability that the model itself
# gave to it, before any setting. One text was drawn with a temperature of 1.0 and nothing else, the other with a temperature
# of 0.7 and `top_p=0.8`. Answer in about 120 words altogether.
# 1. Which is which? Give numbers from the tables as your evidence, and say how sure you can be.
# 2. Can a token with a probability of 2% occur in the filtered text? When, or why not?
# 3. Somebody wants texts for a search for errors in a parser, somebody else wants summaries of contracts. Which settings
#    would you give to each, and what would you measure to see whether you were right?

# %%
from coursekit.material.riddles import two_texts

for name, rows in two_texts(pretrained, "The people of this country").items():
    print(name, "  ".join(f"{token!r} {share:.1%}" for token, share in rows), "\n")

# %% [markdown] question="gpt.which_settings"
# ### BEGIN SOLUTION
# **Model answer.** (1) Text A is the filtered one. Six of the fourteen tokens of B had less than 2% (*act* 0.3%, *do* 0.1%),
# and a single one of A (*con* 0.4%); half of A's tokens had more than 40%. A temperature of 0.7 makes what was unlikely rarer
# still, and top-p removes most of it. This is strong evidence and no proof, since unfiltered drawing can give text A too. (2)
# Yes. Where the model is unsure, as behind *The* in this section, more than a hundred tokens are needed for 80% even at a
# temperature of 0.7, and one of 2% would be the likeliest. Where one token has 80% by itself, nothing else stays. (3) For the parser a temperature of 1 or above
# and no filter, since rare texts find rare errors; measure the share of different texts and the errors found in each
# thousand. For the contracts a low temperature or greedy decoding; measure how many statements of a summary stand
# in the contract, against the same summaries at temperature 1.
#
# **Marking scheme, 3 points.**
# - 1 point: A is the filtered one, with at least two numbers. Half a point without numbers, or if it is called certain.
# - 1 point: yes, where the distribution is flat, because the set that stays follows the distribution. Half a point for a bare
#   yes.
# - 1 point: half for settings that fit both purposes, half for measurements that could come out either way.
# ### END SOLUTION

# %% [markdown]
# ## 7. A cache
# **Sitting 5 of 8**, 70 minutes. Exercise [[gpt.cache]] must be done.
#
# So far each new token made the model read the whole text again. A text of $n$ tokens then costs $1 + 2 + \dots + n$ readings
# of a token, which is $n (n + 1) / 2$, while $n$ would do. The keys and values of a token depend on nothing that comes after it. So
# they are computed once and kept, in the **KV cache** of chapter 2 (Shazeer 2019), and each call computes its new tokens alone.

# %%
diagram("gpt.cache")

# %% [markdown]
# ### Exercise [[gpt.cache]]: A cache
# core · importance 5 of 5 · 45 minutes · 4 points
#
# - `Cache(L, B, H, S, d, dtype, device)` has room for the keys and values of $S$ tokens, in $L$ layers, for $B$ texts
#   and $H$ heads of width $d$. Its attributes are yours to choose.
# - `forward_cached(model, ids, cache, real)` gives the logits of $t$ new tokens, `ids` (B, t). They stand behind the
#   $n$ places that the cache holds, and afterwards it holds $n + t$. The first call is the **prefill**.
# - Texts of unequal length are padded on the left, and what is added later may begin with padding too. `real` (B, n + t)
#   says which of *all* places hold a token, and each call brings one at least for each row. No token sees padding. A
#   token's position is the number of real tokens before it. Logits of padding do not matter.
#
# The logits of the real tokens are those that `GPT` gives for the text alone. `model` has the parts of [[gpt.decoder]]
# under their names, as many heads as the cache, and no `forward`. A call for one token makes no tensor half as large as the
# keys of the past in one layer, so nothing of the past is copied or computed again. It runs under `torch.no_grad()`.
#
# <details><summary>Hint 1</summary>
#
# Write down `real` for two rows of 4 and 2 tokens, then one more token each. Which position has each place? Which keys
# may each of the new tokens see? A table of places against places shows that there is one rule for prefill, chunks and
# single tokens.
# </details>
# <details><summary>Hint 2</summary>
#
# Make `keys` and `values` (L, B, H, S, d) once, with `torch.zeros`, and write into `keys[layer][:, :, n : n + t]`. A
# slice of a tensor is no copy. The positions come from `real.cumsum(1)`, and padding needs some valid position too. A query at place i sees the keys at places
# up to i that are real. A padded query may see nothing at all. A softmax of your own gives NaN there, which would
# spread. Let it see itself.
# </details>
# <details><summary>Hint 3</summary>
#
# With `place = torch.arange(n + t)` the mask is `real[:, None] & (place <= place[n:, None]) | (place == place[n:,
# None])`, of shape (B, t, n + t). `F.scaled_dot_product_attention(Q, keys, values, attn_mask=mask[:, None])` does the
# rest. The number n grows once, after the last layer.
# </details>

# %% exercise="gpt.cache"
class Cache:
    """Room for the keys and values of S tokens in each of L layers, B texts and H heads of width d."""

    def __init__(self, L: int, B: int, H: int, S: int, d: int, dtype: torch.dtype, device: torch.device):
        ### BEGIN SOLUTION
        self.keys, self.values = torch.zeros(2, L, B, H, S, d, dtype=dtype, device=device)
        self.n = 0                                                # places that are taken
        ### END SOLUTION


def forward_cached(
    model: nn.Module, ids: Int[Tensor, "B t"], cache: Cache, real: Bool[Tensor, "B n+t"]
) -> Float[Tensor, "B t V"]:
    """Logits of t new tokens behind the n that the cache holds; it holds n + t afterwards."""
    ### BEGIN SOLUTION
    n, m = cache.n, cache.n + ids.shape[1]
    positions = (real.cumsum(1) - 1).clamp(min=0)[:, n:]          # (B, t)
    place = torch.arange(m, device=ids.device)
    mask = real[:, None] & (place <= place[n:, None]) | (place == place[n:, None])
    h = model.tokens(ids) + model.positions(positions)            # (B, t, D)
    for block, keys, values in zip(model.blocks, cache.keys, cache.values, strict=True):
        new = block.qkv(block.norm1(h)).unflatten(-1, (3, keys.shape[1], -1))
        Q, keys[:, :, n:m], values[:, :, n:m] = new.permute(2, 0, 3, 1, 4)
        Y = F.scaled_dot_product_attention(Q, keys[:, :, :m], values[:, :, :m], attn_mask=mask[:, None])
        h = h + block.out(Y.transpose(1, 2).flatten(2))
        h = h + block.down(F.gelu(block.up(block.norm2(h)), approximate="tanh"))
    cache.n = m
    return model.norm(h) @ model.tokens.weight.T                  # (B, t, V)
    ### END SOLUTION

# %% check="gpt.cache"
check("gpt.cache", Cache, forward_cached)

# %% [markdown]
# Use it at once, and prove that nothing has changed. We write the same text with and without your cache, and compare the
# ids.

# %%
Kept, read_on = use("gpt.cache", Cache, forward_cached)


def padded(rows):
    """Rows of ids as one tensor (B, t), padded on the left, and which of its places are real (B, t)."""
    longest = max(map(len, rows))
    ids = [[0] * (longest - len(row)) + row for row in rows]
    real = [[False] * (longest - len(row)) + [True] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(real, device=device)


@torch.no_grad()
def wrote_cached(prompts, tokens):
    """Greedy continuations (B, tokens) of prompts of any length, in one batch with one cache."""
    ids, real = padded([pretrained.tokenizer(prompt)["input_ids"] for prompt in prompts])
    B, t = ids.shape
    cache, new = Kept(L, B, H, t + tokens, D // H, torch.float32, device), []
    for _ in range(tokens):
        ids = read_on(model, ids, cache, real)[:, -1].argmax(-1, keepdim=True)  # (B, 1)
        real = F.pad(real, (0, 1), value=True)
        new.append(ids)
    return torch.cat(new, 1)                                      # (B, tokens)

# %%
predict("gpt.cache_gain")

# %%
from time import perf_counter

length = 12 if profile == "smoke" else 100
prompts = ["We must", "My fellow Americans, the state of our Union is", "The whale"]
started = perf_counter()
slow = [wrote(prompt, length, lambda z, ids: z.argmax())[-length:] for prompt in prompts]
halfway = perf_counter()
quick = [wrote_cached([prompt], length)[0].tolist() for prompt in prompts]
seconds = halfway - started, perf_counter() - halfway
assert quick == slow, "with the cache other tokens came out"
print(f"the same {3 * length} tokens: {seconds[0]:.2f} s without, {seconds[1]:.2f} s with the cache")
came_out("gpt.cache_gain", round(seconds[0] / seconds[1], 1))

# %%
started = perf_counter()
together = wrote_cached(prompts, length).tolist()
print(f"all three in one batch: {perf_counter() - started:.2f} s")
alike = sum(row == alone for row, alone in zip(together, quick, strict=True))
print(f"rows that are as when written alone: {alike} of 3")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Counting readings of a token promises about fifty, and far less came. In a model this small most of a call's time is spent on
# starting some hundred small operations, and that takes as long for one token as for a hundred. The gain grows with the model and
# with the text.
# </details>
#
# In a batch, one call computes one token for three texts, and reads the weights once for all of them. That is where a batch gets
# its speed from. For each new token a processor has to fetch every weight and every cached key and value from memory, and it does very little
# with each of them. So a cache saves computing, and the weights still have to be
# fetched for each token. In a long text the cached keys and values come on top.
#
# **Break it on purpose.** Most tokenizers pad on the right. Then the token that is asked for the next one is a piece of padding.

# %%
rows = [pretrained.tokenizer(prompt)["input_ids"] for prompt in prompts]
longest = max(map(len, rows))
right_padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
with torch.no_grad():
    guessed = model(right_padded)[:, -1].argmax(-1).tolist()
for prompt, padded_right, alone in zip(prompts, guessed, quick, strict=True):
    found, true = pretrained.tokenizer.decode(padded_right), pretrained.tokenizer.decode(alone[0])
    print(f"{prompt!r}: padded on the right {found!r}, alone {true!r}")

# %% [markdown]
# Only the longest row is right. One could look at the last *real* place of each row instead, and that works for the first new token.
# But the next one belongs behind it, where padding stands already.
#
# Each layer keeps a key and a value of width $d$ for each token and each of its $G$ key/value heads.
#
# [[formula: Bytes of a cache | L layers, G key/value heads of width d, n tokens, b bytes a number]]
#
# $$\text{bytes} = 2\, L\, G\, d\, n\, b$$

# %%
c = assistant.model.config
d, context = c.hidden_size // c.num_attention_heads, torch.tensor([2**n for n in range(8, 14)])
own, shared = c.num_attention_heads, c.num_key_value_heads
numbers = {f"{own} heads of their own": 2 * own * d, f"{shared} shared, as it is": 2 * shared * d}
numbers["latent, as in DeepSeek-V2"] = 4 * d + d // 2             # section 10
lines = {name: c.num_hidden_layers * n * 2 * context / 2**20 for name, n in numbers.items()}  # MiB in bfloat16
fig = curves(context, lines, x_label="tokens of context (log scale)", y_label="cache in MiB (log scale)", log="xy")
longest = [line[-1].item() for line in lines.values()]
show(fig, "gpt.cache_bytes", **dict(zip(("own", "shared", "latent"), longest, strict=True)))

# %% [markdown]
# (The third line belongs to section 10.) Set the step to 8 in the widget and compare the two counts. Then add padding on the left.

# %%
from coursekit.widgets import cache_cells

cache_cells()

# %% [markdown]
# And a text longer than $T$? `wrote` drops the oldest tokens and reads the rest anew at new positions. A cache cannot do that, for each
# key that it holds was made at its old position. With rotary positions only distances matter, so old rows can be dropped,
# though a model has to be used to it.

# %%
quiz("gpt.cache")

# %% [markdown]
# ## 8. Beams
# **Sitting 6 of 8**, 85 minutes, sections 8 and 9. Exercise [[gpt.speculate]] must be done, [[gpt.beams]] and
# [[gpt.draft_gain]] may be left out.
#
# Greedy takes the likeliest *token* each time. That does not give the likeliest *text*, for the likeliest token first may
# lead to an unlikely text. A **beam search** keeps several texts alive, its **beams** (Sutskever et al. 2014, section 3.2).
# Long texts have small products, so texts are compared by a score that divides by a power of the length.
#
# [[formula: Score of a text in beam search | n new tokens y]]
#
# $$\text{score} = \frac{1}{n^{\text{length power}}} \sum_{i=1}^{n} \ln p(y_i \mid y_{<i})$$

# %% [markdown]
# ### Exercise [[gpt.beams]]: Beam search
# core · importance 3 of 5 · 30 minutes · 3 points
#
# The search begins with one text, the prompt `start`. In each round all open texts are
# continued by each token of the vocabulary. Of all these continuations the best `width` are kept, by the sum of their
# log probabilities. (Which of equal sums is free.) Those whose new token is `end` have ended. They are put aside, are not continued, and take up no
# room in later rounds. The search ends after $T$ rounds, or when no text is open.
#
# All texts that have ended are results, and so are those that are still open at the end. Return the best `width` of
# them, or all where there are fewer, the best first. Each is a pair of its new tokens, with `end` where it has one and
# without the prompt, and its score.
#
# `step(texts)` takes a list of one or more texts, each a list of ids with the prompt at its front. It gives the log
# probabilities (len(texts), V) of what comes next. It is not asked for a text that has ended or has $T$ new tokens. The
# prompt itself may hold `end`, which means nothing there.
#
# <details><summary>Hint 1</summary>
#
# Play it on paper with two tokens and a width of 2. How many open texts are there in the first round, and how many
# continuations have they?
# </details>
# <details><summary>Hint 2</summary>
#
# A list of pairs `(ids, total)` is enough for the open texts, and another one for those that have ended. Python's
# `sorted(pairs, key=lambda pair: pair[1], reverse=True)[:width]` finds the best.
# </details>
# <details><summary>Hint 3</summary>
#
# `rows = step([start + ids for ids, _ in opened]).tolist()`, then `(ids + [token], total + row[token])` for each beam
# and token. After the loop `ended + opened` get their scores, `total / len(ids) ** length_power`, and are sorted once
# more.
# </details>

# %% exercise="gpt.beams"
def beam_search(
    step, start: list[int], width: int, length_power: float, end: int, T: int
) -> list[tuple[list[int], float]]:
    """The best `width` texts behind start, each with its score: sum of log p / length ** length_power."""
    ### BEGIN SOLUTION
    opened, ended = [([], 0.0)], []
    for _ in range(T):
        if not opened:
            break
        rows = step([start + ids for ids, _ in opened]).tolist()  # log p, (beams, V)
        longer = [
            ([*ids, token], total + log_p)
            for (ids, total), row in zip(opened, rows, strict=True)
            for token, log_p in enumerate(row)
        ]
        best = sorted(longer, key=lambda pair: pair[1], reverse=True)[:width]
        ended += [(ids, total) for ids, total in best if ids[-1] == end]
        opened = [(ids, total) for ids, total in best if ids[-1] != end]
    scored = [(ids, total / len(ids) ** length_power) for ids, total in ended + opened]
    return sorted(scored, key=lambda pair: pair[1], reverse=True)[:width]
    ### END SOLUTION

# %% check="gpt.beams"
check("gpt.beams", beam_search)

# %%
predict("gpt.beams")

# %%
search = use("gpt.beams", beam_search)


@torch.no_grad()
def log_p(texts):
    """Log probabilities (n, V) of what follows each of n texts of equal length."""
    return model(torch.tensor(texts, device=device))[:, -1].log_softmax(-1).cpu()


def new_share(ids):
    """The share of a text's runs of three tokens that are new."""
    threes = [tuple(ids[i : i + 3]) for i in range(len(ids) - 2)]
    return len(set(threes)) / len(threes)


n = 6 if profile == "smoke" else 24
speech = pretrained.tokenizer(held_out_texts[0])["input_ids"]
start, really = speech[:12], speech[12 : 12 + n]
results = {f"width {width}": search(log_p, start, width, 0.0, -1, n)[0] for width in (1, 4, 16)}
likely = sum(log_p([start + really[:i]])[0, token].item() for i, token in enumerate(really))
results["what was really said"] = (really, likely)
for name, (ids, total) in results.items():
    print(f"{name:20} {total:7.1f} nats, {new_share(ids):.0%} new: {pretrained.tokenizer.decode(ids)!r}")
came_out("gpt.beams", max(results, key=lambda name: results[name][1]))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The wider searches found likelier texts. What was really said is far less likely than any of them, and it is the only one that says
# something. Perhaps people do not say the likeliest thing because it would tell nothing (a conjecture of Holtzman et al. 2020, section 4.2).
# </details>
#
# So beams are
# for tasks with few right answers, such as a translation or a transcript, and drawing is for open text.

# %%
quiz("gpt.beams")

# %% [markdown]
# ## 9. Drafts
#
# For each new token a large model has to fetch all of its weights. Does it need more time for several tokens that are handed to it
# at once? Here is SmolLM2 behind 256 tokens that are in its cache.

# %%
predict("gpt.at_once")

# %%
@torch.no_grad()
def seconds_at_once(k, repeats=1 if profile == "smoke" else 5):
    """The least time in which SmolLM2 reads k tokens behind 256 that are cached."""
    from transformers import DynamicCache

    past, least = DynamicCache(config=assistant.model.config), math.inf
    ids = torch.arange(256 + k, device=device)[None]
    assistant.model(ids[:, :256], past_key_values=past)
    for _ in range(repeats):
        started = perf_counter()
        assistant.model(ids[:, 256:], past_key_values=past)
        least = min(least, perf_counter() - started)
        past.crop(-k)
    return least


at_once = {k: seconds_at_once(k) for k in ((1, 4) if profile == "smoke" else (1, 2, 4, 8, 16))}
print("   ".join(f"{k} tokens {1000 * s:.0f} ms" for k, s in at_once.items()))
came_out("gpt.at_once", round(at_once[max(at_once)] / at_once[1], 1))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Sixteen tokens cost far less than sixteen times one. What takes the time of a single token is to bring the weights from memory,
# and that is done once, however many tokens wait for them.
# </details>

# %% [markdown]
# So let something cheap guess the next $k$ tokens, the [[term: draft | tokens guessed by something cheap, which the model then checks
# all at once]], and let the large model, the **target**, read all of them in one pass. That is **speculative decoding**, and with
# the rule below **speculative sampling** (Leviathan et al. 2023, Chen et al. 2023). The condition is strict. The text must be
# distributed as if the target had written it alone. To accept a token whenever the target finds it likeliest does not do that.

# %%
diagram("gpt.drafts")

# %% [markdown]
# [[formula: Speculative sampling | p of the target, q of the draft, u uniform in 0 to 1]]
#
# $$\text{accept } x_i \text{ where } u_i < \frac{p_i(x_i)}{q_i(x_i)}, \qquad \text{else draw from }
# \frac{(p_i - q_i)^+}{\sum_v (p_i - q_i)^+(v)}$$
#
# Here $(\cdot)^+$ puts 0 for negative entries. Tokens are accepted in turn. At the first rejection one more token is drawn from what
# the target gives more than the draft, and what was drafted behind it is forgotten. When all $k$ are accepted one more is free,
# drawn from the target's last row.

# %% [markdown]
# ### Exercise [[gpt.speculate]]: Check a draft
# core · importance 4 of 5 · 30 minutes · 4 points
#
# Write `speculate`, which returns the new ids.
#
# - `target` (k + 1, V) and `draft` (k, V) are logits. Row $i$ is about the place of `tokens[i]`. $k$ may be 0.
# - `chances(logits)` turns logits (n, V) into the probabilities from which is drawn, after temperature and filter. It
#   is the same for both models. `tokens` was drawn from `chances(draft)`, so that is $q$. A plain softmax would be
#   another one.
# - `uniforms` (k) holds $u$, from 0 up to but not including 1.
# - `draw(p)`, handed to you and not the one of section 6, takes probabilities (V) that sum to 1 and gives an id. It is called once, for the last id. So the check
#   sees the distribution itself and need not count.
#
# <details><summary>Hint 1</summary>
#
# Let $q$ be 0.5 and 0.5, and $p$ be 0.8 and 0.2. Token 0 is always accepted, token 1 in 40% of the cases. What must be
# drawn in the other 60%, so that in the end token 0 comes in 80% of all cases?
# </details>
# <details><summary>Hint 2</summary>
#
# A loop over the tokens with one `return` inside and one behind it. What was accepted before token i is `tokens[:i]`.
# </details>
# <details><summary>Hint 3</summary>
#
# `more = (p[i] - q[i]).clamp(min=0)`, and `tokens[:i] + [draw(more / more.sum())]` is what a rejection returns. Behind
# the loop `p[-1]` is the row that no token was drafted for.
# </details>

# %% exercise="gpt.speculate"
def speculate(
    target: Float[Tensor, "k+1 V"],
    draft: Float[Tensor, "k V"],
    tokens: list[int],
    uniforms: Float[Tensor, "k"],
    chances,
    draw,
) -> list[int]:
    """The drafted tokens that are accepted, and one more, distributed as chances(target) has it."""
    ### BEGIN SOLUTION
    p, q = chances(target), chances(draft)                        # (k + 1, V), (k, V)
    for i, x in enumerate(tokens):
        if uniforms[i] >= p[i, x] / q[i, x]:
            more = (p[i] - q[i]).clamp(min=0)                     # (V)
            return [*tokens[:i], draw(more / more.sum())]
    return [*tokens, draw(p[-1])]
    ### END SOLUTION

# %% check="gpt.speculate"
check("gpt.speculate", speculate)

# %% [markdown]
# For a draft we count. How often does each token follow each other one in the training text? Such a table of pairs takes almost
# no time. A second way needs no training either. It looks for the last two tokens earlier in the text, and proposes what followed
# there ([[term: prompt lookup | a draft that copies what followed the same tokens earlier in the text]]).

# %%
verify = use("gpt.speculate", speculate)
if profile == "full":                                             # pairs are counted in the course's own tokens
    pretrained = load_decoder("fast", device)
    model = in_your_code(pretrained)
often = torch.bincount(training, minlength=V) + 0.01
frequency = (often / often.sum()).log()                           # (V)
pairs_seen = torch.bincount(training[:-1] * V + training[1:], minlength=V * V).view(V, V)
pair_logits = (pairs_seen + 20 * frequency.exp()).log()           # (V, V), a rare token's row is near the frequencies


def by_pairs(ids, k, g):
    """k drafted tokens, and the logits (k, V) that they were drawn from."""
    drafted, z = [ids[-1]], []
    for _ in range(k):
        z.append(pair_logits[drafted[-1]])
        drafted.append(torch.multinomial(z[-1].softmax(-1), 1, generator=g).item())
    return drafted[1:], torch.stack(z)


def by_lookup(ids, k, g, size=V):
    """What followed the last two tokens when they were last seen, if they were: at most k, drafted for certain."""
    seen_at = [i for i in range(len(ids) - 2) if ids[i : i + 2] == ids[-2:]]
    found = ids[seen_at[-1] + 2 :][:k] if seen_at else []
    return found, F.one_hot(torch.tensor(found, dtype=torch.long), size).log()  # its logits are 0 and -inf

# %%
@torch.no_grad()
def tokens_a_pass(network, ids, tokens, guess):
    """How many tokens came with each pass of the network, where `guess` drafts up to four before each."""
    g, written, passes = torch.Generator().manual_seed(seed), list(ids), 0
    take = lambda p: torch.multinomial(p, 1, generator=g).item()
    while len(written) < len(ids) + tokens:
        drafts, z = guess(written, 4, g)                          # z is (k, V), the logits that drafts were drawn from
        checked = network(torch.tensor([written + drafts], device=device))[0, -len(drafts) - 1 :].cpu()  # (k + 1, V)
        written += verify(checked, z, drafts, torch.rand(len(drafts), generator=g), lambda z: z.softmax(-1), take)
        passes += 1
    return (len(written) - len(ids)) / passes


excerpts = [next(text for text in held_out_texts if sign in text)[800:1000] for sign in ("America", "whale")]
again = " ".join(["One if by land, two if by sea."] * 6)
kinds = {"a speech": excerpts[0], "the novel": excerpts[1], "a line again and again": again}
ways = {
    "our GPT, pairs": (pretrained, model, by_pairs),
    "our GPT, lookup": (pretrained, model, by_lookup),
    "SmolLM2, lookup": (assistant, assistant_logits, partial(by_lookup, size=assistant.model.config.vocab_size)),
}
for way, (owner, network, guess) in ways.items():
    print(f"{way:17}", end="")
    for kind, text in kinds.items():
        gain = tokens_a_pass(network, owner.tokenizer(text)["input_ids"], 2 if profile == "smoke" else 24, guess)
        print(f"   {kind}: {gain:.2f}", end="")
    print()

# %% [markdown]
# A table of pairs brings about two tokens a pass. Looking up brings nothing where nothing repeats. On a line that comes again
# and again it brings twice as many to SmolLM2, and none to our GPT, which has not learned to copy (section 13).
#
# In practice the draft is mostly a small model of the same family. Whatever it is, the distribution stays the model's own. See for
# yourself.

# %%
from coursekit.widgets import draft_and_verify

begun = tokenizer("We must")["input_ids"]


@torch.no_grad()
def target(ids):
    return model(torch.tensor([begun + list(ids)], device=device))[0, -1].softmax(-1).cpu()


draft_and_verify(target, lambda ids: pair_logits[(begun + list(ids))[-1]].softmax(-1), vocabulary(pretrained))

# %% [markdown]
# Move the agreement from 1 to 0. The accepted run gets shorter, and the bars of the result stay where those of the target are. Then
# choose the wrong q.
#
# **Break it on purpose.** Let the draft be drawn after a filter, and the check be told the q from before it. How much of the
# probability of the first token lands in the wrong place? No drawing is needed to find out, for each rule says what comes out.

# %%
p, z = target([]), pair_logits[begun[-1]]                         # (V), (V)
q = keep(z[None], 1.0, top_k=50)[0].softmax(-1)                   # (V), what the draft is drawn from


def comes_out(told):
    """The distribution (V) of the first token, where x is drawn from q and checked with what is told as q."""
    stays, rest = q * (p / told).clamp(max=1), (p - told).clamp(min=0)
    return stays + (1 - stays.sum()) * rest / rest.sum()


likeliest = F.one_hot(p.argmax(), len(p)) * q
rules = {
    "with q": comes_out(q),
    "with q before its filter": comes_out(z.softmax(-1)),
    "for being the likeliest": likeliest + (1 - likeliest.sum()) * p,
}
for rule, r in rules.items():
    print(f"checked {rule}: {(r - p).abs().sum() / 2:.0%} of the probability is in the wrong place")

# %% [markdown]
# With the right q nothing moves. The other two rules write texts that no model wrote. The first of these stood for a while in a
# library that is widely used ([issue 47932](https://github.com/huggingface/transformers/issues/47932)).

# %% [markdown]
# ### Exercise [[gpt.draft_gain]]: Work out this number, what a draft brings
# core · importance 3 of 5 · 5 minutes · 1 point
#
# A small model drafts 4 tokens, and a large one checks them in a single pass. Each drafted token is accepted with
# probability 0.8, provided that all before it were, whatever they are. How many tokens does one pass of the large model
# bring on average? Count the one that is drawn after a rejection, and the free one after four acceptances. (A token
# costs one pass without a draft. So this is also how many times faster it gets, if the small model costs nothing and a pass
# over five tokens takes as long as one over a single token.)
# Return the number with all its digits, or a sum or product of numbers.
#
# <details><summary>Hint 1</summary>
#
# How many tokens come at least? With what probability comes a second one, and a third one?
# </details>
# <details><summary>Hint 2</summary>
#
# The mean of a count is the sum over $n$ of the probability that there are at least $n$. At least three tokens come
# when the first two drafts are accepted.
# </details>
# <details><summary>Hint 3</summary>
#
# One token always comes, a second one with probability 0.8, a third one with probability $0.8^2$. There are five terms,
# Leviathan et al. 2023, equation 1.
# </details>

# %% exercise="gpt.draft_gain"
def tokens_per_pass() -> float:
    """Tokens for each pass of the large model: return a number, or a sum or product of numbers."""
    ### BEGIN SOLUTION
    return (1 - 0.8**5) / (1 - 0.8)
    ### END SOLUTION

# %% check="gpt.draft_gain"
check("gpt.draft_gain", tokens_per_pass)

# %%
quiz("gpt.drafts")

# %% [markdown]
# ## 10. A block of today
# **Sitting 7 of 8**, 90 minutes. Exercise [[gpt.llama_block]] must be done, [[gpt.latent]] and [[gpt.muon]] may be left
# out.
#
# GPT-2 is of 2019. What has changed since then fits into one page, and most of it is in SmolLM2.
#
# | | GPT-2 | SmolLM2 | why |
# |---|---|---|---|
# | norm | layer norm, with bias | RMS norm | as good, and less to compute |
# | positions | learned, a table | rotary | far texts need no new rows |
# | heads | keys and values for each | three share one | a third of the cache |
# | feed-forward | GELU, 4 D wide | SwiGLU, 8/3 D wide | lower loss for the same numbers |
# | biases | everywhere | none | little or nothing is lost |

# %% [markdown]
# ### Exercise [[gpt.llama_block]]: A block of today
# core · importance 4 of 5 · 35 minutes · 3 points
#
# [[formula: Llama's block | x, h, y (B, T, D), g (D), a token of width D in each norm]]
#
# $$\begin{aligned}
# h &= x + \operatorname{Attention}(\operatorname{RMSNorm}_1(x)) \\
# y &= h + \operatorname{SwiGLU}(\operatorname{RMSNorm}_2(h)) \\
# \operatorname{RMSNorm}(x) &= g \odot \frac{x}{\sqrt{\frac{1}{D} \sum_j x_j^2 + \text{eps}}} \\
# \operatorname{SwiGLU}(x) &= W_\text{down} \big( \operatorname{SiLU}(W_\text{gate}\, x) \odot W_\text{up}\, x \big)
# \end{aligned}$$
#
# Five changes make a GPT-2 block a block of Llama, and SmolLM2's is the same. Three are in Touvron et al. 2023, section 2.2.
# Shared heads came later (Ainslie et al. 2023), and no map has a bias. Write it. Attention is causal.
#
# - **RMSNorm** divides by the root mean square and takes no mean away. Its squares are computed in float32 at least,
#   for 256 squared is already too large for float16. What comes out has the dtype of `x` again.
# - **Rotary positions** turn the queries and keys of every head, as in chapter 2, with speeds base$^{-2i/d}$ for $i = 0
#   \dots d/2 - 1$ and $d = D/H$. Angles are computed in float32 at least as well. In transformers, Llama's weights are stored for **halves**, so entry $i$
#   turns with entry $i + d/2$.
# - `G` key/value heads serve `H` query heads. Neighbours share, and head 0 owns the first $d$ rows of each map.
# - **SwiGLU** is a feed-forward network with a gate, of width `F`.
#
# | name | shape |
# |---|---|
# | `input_layernorm`, `post_attention_layernorm` | (D), the two $g$ |
# | `self_attn.q_proj`, `self_attn.o_proj` | (D, D) |
# | `self_attn.k_proj`, `self_attn.v_proj` | (G d, D) |
# | `mlp.gate_proj`, `mlp.up_proj`, `mlp.down_proj` | (F, D), (F, D), (D, F) |
#
# <details><summary>Hint 1</summary>
#
# Take your `Block` from exercise [[gpt.decoder]] and change one thing after another. The norm is in
# torch, and shared heads and the rotation you have written in chapter 2. Only the pairs are others.
# </details>
# <details><summary>Hint 2</summary>
#
# `nn.RMSNorm(D, eps)` computes its squares as the text asks. `nn.ModuleDict({"q_proj": ...})` under the name
# `self_attn` gives the names. `Q.chunk(2, -1)` cuts a vector into its halves, and the angles are (T, d/2).
# </details>
# <details><summary>Hint 3</summary>
#
# With halves `a, b`, the turned vector is `torch.cat([a * cos - b * sin, a * sin + b * cos], -1)`. Compute angles in
# float32 at least, and convert `cos` and `sin` to the dtype of `x`. `F.scaled_dot_product_attention` takes
# `enable_gqa=True`. In `__init__`, the argument `F` hides the module of that name, in `forward` it does not.
# </details>

# %% exercise="gpt.llama_block"
class LlamaBlock(nn.Module):
    """h = x + Attention(RMSNorm(x)), y = h + SwiGLU(RMSNorm(h)), with rotary positions and shared heads."""

    def __init__(self, D: int, H: int, G: int, F: int, base: float, eps: float):
        super().__init__()
        ### BEGIN SOLUTION
        self.d, self.base = D // H, base
        kv = G * self.d
        attention = {"q_proj": (D, D), "k_proj": (D, kv), "v_proj": (D, kv), "o_proj": (D, D)}
        network = {"gate_proj": (D, F), "up_proj": (D, F), "down_proj": (F, D)}
        self.self_attn, self.mlp = (
            nn.ModuleDict({name: nn.Linear(*size, bias=False) for name, size in maps.items()})
            for maps in (attention, network)
        )
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(D, eps), nn.RMSNorm(D, eps)
        ### END SOLUTION

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        ### BEGIN SOLUTION
        n = self.input_layernorm(x)
        Q, K, W = (self.self_attn[f"{part}_proj"](n).unflatten(-1, (-1, self.d)).transpose(1, 2) for part in "qkv")
        i = torch.arange(0, self.d, 2, device=x.device)
        angle = torch.arange(x.shape[1], device=x.device)[:, None] * self.base ** (-i / self.d)  # (T, d/2)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)

        def rotate(X):
            a, b = X.chunk(2, -1)
            return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

        Y = F.scaled_dot_product_attention(rotate(Q), rotate(K), W, is_causal=True, enable_gqa=True)
        h = x + self.self_attn["o_proj"](Y.transpose(1, 2).flatten(2))
        n = self.post_attention_layernorm(h)
        return h + self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](n)) * self.mlp["up_proj"](n))
        ### END SOLUTION

# %% check="gpt.llama_block"
check("gpt.llama_block", LlamaBlock)

# %% [markdown]
# Now give your block the numbers of SmolLM2's first layer, and compare with what transformers computes there.

# %%
Modern = use("gpt.llama_block", LlamaBlock)
c = assistant.model.config
heads = c.num_attention_heads, c.num_key_value_heads
modern = Modern(c.hidden_size, *heads, c.intermediate_size, c.rope_parameters["rope_theta"], c.rms_norm_eps)
modern.load_state_dict(assistant.model.model.layers[0].state_dict())
ids = torch.tensor([assistant.tokenizer("The capital of France is")["input_ids"]], device=device)
with torch.no_grad():
    states = assistant.model(ids, output_hidden_states=True).hidden_states
    difference = (modern.to(device)(states[0]) - states[1]).abs().max().item()
assert difference < 1e-3, f"found a difference of {difference:.0e} from SmolLM2's first layer"
print("your block and SmolLM2's first layer differ by less than 0.001")

# %% [markdown]
# ### Experts
# A feed-forward network is two thirds of a GPT-2 block's numbers, and every token uses all of them. If there were many such
# networks, and each token went through a few, the model could know more for the same computing. It would not need less memory,
# since all of them have to be there.

# %% [markdown]
# ### Exercise [[gpt.route]]: Mend this code, which expert reads a token
# core · importance 3 of 5 · 25 minutes · 3 points
#
# In a **mixture of experts** the feed-forward network stands $E$ times in a block. A [[term: router | a linear map that
# gives each token a logit for each expert]] gives each token one logit for each of these **experts**, and only the $k$ best of them read the token. The two functions below have three
# slips between them. Mend them, here as `route` and `balance_loss`.
#
# [[formula: Routing | logits (T, E), p the softmax of a token's logits, expert, weight, kept (T, k)]]
#
# $$\text{weight}_{ti} = \frac{p_{t e_i}}{p_{t e_1} + \dots + p_{t e_k}} \qquad
# \text{loss} = E \sum_{e=1}^{E} f_e P_e$$
#
# - `expert` holds the numbers of the $k$ best experts of each token, the best one first. The weights of a token are
#   their probabilities divided by their sum.
# - An expert has room for `capacity` choices. First the tokens get their first choices, in the order of the text, then
#   their second ones, and so on (Lepikhin et al. 2020, algorithm 1). `kept` tells which choices found room. A choice
#   that found none weighs 0, and the others of its token weigh what they did.
# - `balance_loss` is 1 where all experts are used equally, and its gradient makes the busy ones less probable (Fedus et al.
#   2022, equations 4 to 6). $f_e$ is the share of all $T k$ choices that go to expert $e$, whether or not they find room,
#   and $P_e$ is the mean of $p_e$ over the tokens. Gradients flow through $P$ alone.
#
# <details><summary>Hint 1</summary>
#
# Look at what is printed. What do the two weights of a token add up to? Token 1 has expert 0 as its second choice, and
# token 2 as its first. Which of them should get the last place there? And what could a router learn from this loss?
# </details>
# <details><summary>Hint 2</summary>
#
# `cumsum` counts in the order in which the choices stand. So the order of the rows that it gets is the order in which
# room is given away. `expert.T` has the first choices of all tokens in its first row.
# </details>
# <details><summary>Hint 3</summary>
#
# Count over `F.one_hot(expert.T.flatten(), E)`, and bring the places back with `.view(k, T).T`. In the loss, one of the
# two `f` should be `logits.softmax(-1).mean(0)`.
# </details>

# %%
def given_route(logits, k, capacity):
    """Experts, weights and who finds room, as a colleague left it."""
    E = logits.shape[1]
    weight, expert = logits.softmax(-1).topk(k)                   # (T, k)
    chosen = F.one_hot(expert.flatten(), E)                       # (T k, E)
    place = (chosen.cumsum(0) * chosen).sum(-1).view_as(expert)   # from 1 at each expert
    kept = place <= capacity
    return expert, weight * kept, kept


def given_balance(logits, k):
    """How unevenly the experts are used, by the same colleague."""
    T, E = logits.shape
    f = F.one_hot(logits.topk(k).indices, E).sum((0, 1)) / (T * k)  # (E), adds up to 1
    return E * (f * f).sum()


scores = torch.tensor([[3.0, 2.0, 0.0], [1.0, 2.0, 0.0], [2.0, 0.0, 1.0]])
expert, weight, kept = given_route(scores, k=2, capacity=2)
for t in range(3):
    print(f"token {t}: experts {expert[t].tolist()}, kept {kept[t].tolist()}, weights add up to {weight[t].sum():.3f}")
loss = given_balance(scores.requires_grad_(), k=2)
print(f"balance {loss.item():.3f}, has a gradient: {loss.requires_grad}")

# %% exercise="gpt.route"
def route(
    logits: Float[Tensor, "T E"], k: int, capacity: int
) -> tuple[Int[Tensor, "T k"], Float[Tensor, "T k"], Bool[Tensor, "T k"]]:
    """The k best experts of each token, how much each one weighs, and whether it has room."""
    ### BEGIN SOLUTION
    T, E = logits.shape
    weight, expert = logits.softmax(-1).topk(k)                   # (T, k)
    weight = weight / weight.sum(-1, keepdim=True)
    chosen = F.one_hot(expert.T.flatten(), E)                     # (k T, E), first choices first
    place = (chosen.cumsum(0) * chosen).sum(-1).view(k, T).T      # from 1 at each expert
    kept = place <= capacity
    return expert, weight * kept, kept
    ### END SOLUTION


def balance_loss(logits: Float[Tensor, "T E"], k: int) -> Float[Tensor, ""]:
    """E sum_e f_e P_e, which is 1 where all experts have as much to do."""
    ### BEGIN SOLUTION
    T, E = logits.shape
    f = F.one_hot(logits.topk(k).indices, E).sum((0, 1)) / (T * k)  # (E), adds up to 1
    return E * (f * logits.softmax(-1).mean(0)).sum()
    ### END SOLUTION

# %% check="gpt.route"
check("gpt.route", route, balance_loss)

# %% [markdown]
# Lower the capacity in the widget until tokens lose an expert, and then make the router surer.

# %%
from coursekit.widgets import expert_load

expert_load()

# %% [markdown]
# ### A latent cache
# Shared heads make the cache smaller by making heads alike. There is another way, and it needs chapter 2's rotation as a function.

# %% tags=["setup"]
def turn(x: Float[Tensor, "... T r"], positions: Int[Tensor, "T"]) -> Float[Tensor, "... T r"]:
    """Rotary positions as in chapter 2: neighbours 2i and 2i + 1 turned by position * 10000^(-2i/r)."""
    r = x.shape[-1]
    angle = positions[:, None] * 10000.0 ** (-torch.arange(0, r, 2, device=x.device) / r)  # (T, r/2)
    turned = torch.complex(x[..., 0::2], x[..., 1::2]) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(turned).flatten(-2)

# %% [markdown]
# **Multi-head latent attention** makes the cache small and keeps the heads apart (DeepSeek-AI 2024, section 2.1). Of each token the cache holds a **latent vector** of $c$ numbers, of
# which the keys and values of all heads are linear maps, and one key of $r$ numbers that turns and is shared by all
# heads. Here is head $i$.
#
# [[formula: Latent attention | x (D), latent l (c), keys and values (d), the turned key (r)]]
#
# $$\begin{aligned}
# {[}\, l_t \,;\, \kappa_t \,] &= W_\text{down}\, x_t & k_t &= [\, U_i\, l_t \,;\, \operatorname{turn}(\kappa_t, t) \,] \\
# [\, a_t \,;\, b_t \,] &= W_{q,i}\, x_t & q_t &= [\, a_t \,;\, \operatorname{turn}(b_t, t) \,] \\
# v_t &= V_i\, l_t & y_t &= \sum_{s \le t} \operatorname{softmax}_s\big( q_t^\top k_s / \sqrt{d + r} \big)\, v_s
# \end{aligned}$$

# %% [markdown]
# ### Exercise [[gpt.latent]]: A latent cache
# challenge · importance 2 of 5 · 45 minutes · 2 points
#
# - `forward(x)` gives (B, T, D) for the whole text, computed as above or otherwise. The $y$ of the heads stand side by
#   side and go through `out`.
# - `step(x, cache)` takes the next token (B, 1, D) and the cache (B, n, c + r) of the $n$ tokens before it. It gives
#   what `forward` gives at this place, (B, 1, D), and a cache with one row more. A row holds $l_t$ and then the turned
#   $\kappa_t$. Positions count from 0, and the given cache stays as it is.
# - `step` never makes the keys or values of the whole text, nor those of one head. It works in the **absorbed** form,
#   which takes no more than $a^\top (U_i\, l) = (U_i^\top a)^\top l$ and the same thought for $V_i$. The check watches
#   how large the tensors become.
#
# `turn` above is chapter 2's rotation, for `x` of shape (..., T, r) and positions (T). No map has a bias.
#
# | name | shape | |
# |---|---|---|
# | `q` | (H (d + r), D) | $W_{q,i}$ of head after head, $d$ rows and then $r$ |
# | `down` | (c + r, D) | $W_\text{down}$ |
# | `up_k`, `up_v` | (H d, c) | $U_i$ and $V_i$ of head after head |
# | `out` | (D, H d) | |
#
# <details><summary>Hint 1</summary>
#
# Write `forward` first. It is multi-head attention whose keys are put together from two parts, and the second part is
# the same in all heads. Then feed it token by token, and ask of each line of `step` how large its result is.
# </details>
# <details><summary>Hint 2</summary>
#
# `up_k.weight.view(H, d, c)` holds the $U_i$. With `a` as (B, H, 1, d), the product `a @ up_k.weight.view(H, d, c)` is
# (B, H, 1, c), a query for latent vectors. They are (B, n, c), and `[:, None]` gives them a dimension for the heads.
# </details>

# %% exercise="gpt.latent"
class LatentAttention(nn.Module):
    """H heads of width d whose keys and values come from c numbers a token; r more turn with the position."""

    def __init__(self, D: int, H: int, d: int, c: int, r: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.H, self.d, self.c, self.r = H, d, c, r
        self.q, self.down = nn.Linear(D, H * (d + r), bias=False), nn.Linear(D, c + r, bias=False)
        self.up_k, self.up_v = nn.Linear(c, H * d, bias=False), nn.Linear(c, H * d, bias=False)
        self.out = nn.Linear(H * d, D, bias=False)

    def read(self, x, first):
        """Both parts of the queries, (B, H, T, d) and (B, H, T, r), and the rows for the cache, (B, T, c + r)."""
        at = torch.arange(first, first + x.shape[1], device=x.device)
        a, b = self.q(x).unflatten(-1, (self.H, -1)).transpose(1, 2).split([self.d, self.r], -1)
        l, k = self.down(x).split([self.c, self.r], -1)
        return a, turn(b, at), torch.cat([l, turn(k, at)], -1)

    def attend(self, a, b, rows, hidden):
        """Queries and values go to the latent vectors, not the vectors to them."""
        U, W = (up.weight.view(self.H, self.d, self.c) for up in (self.up_k, self.up_v))
        l, k = rows[:, None].split([self.c, self.r], -1)          # (B, 1, n, c) and (B, 1, n, r)
        S = ((a @ U) @ l.mT + b @ k.mT) / (self.d + self.r) ** 0.5  # (B, H, T, n)
        Y = S.masked_fill(hidden, float("-inf")).softmax(-1) @ l @ W.mT  # (B, H, T, d)
        return self.out(Y.transpose(1, 2).flatten(2))
        ### END SOLUTION

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        ### BEGIN SOLUTION
        T = x.shape[1]
        future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        return self.attend(*self.read(x, 0), future)
        ### END SOLUTION

    def step(
        self, x: Float[Tensor, "B 1 D"], cache: Float[Tensor, "B n c+r"]
    ) -> tuple[Float[Tensor, "B 1 D"], Float[Tensor, "B n+1 c+r"]]:
        ### BEGIN SOLUTION
        a, b, row = self.read(x, cache.shape[1])
        cache = torch.cat([cache, row], 1)
        return self.attend(a, b, cache, torch.zeros((), dtype=torch.bool, device=x.device)), cache
        ### END SOLUTION

# %% check="gpt.latent"
check("gpt.latent", LatentAttention)

# %% [markdown]
# ### Exercise [[gpt.muon]]: Muon
# core · importance 2 of 5 · 25 minutes · 2 points
#
# Gradients of matrices are often lopsided. A few singular values are large, most are small, and a step along such a gradient
# hardly moves the directions that are small. **Muon** takes the momentum and makes all singular values about 1 (Jordan
# et al. 2024). It keeps the singular vectors, and needs no decomposition, only products. It is used for the matrices
# inside the blocks, while embeddings and norms stay with AdamW.
#
# [[formula: Muon | G, M, W (m, n), rate η, momentum μ]]
#
# $$\begin{aligned}
# X &\leftarrow G / (\lVert G \rVert_F + 10^{-7}) \\
# A &= X X^\top, \quad X \leftarrow a X + (b A + c A A) X \qquad \text{five times} \\
# M &\leftarrow \mu M + G, \quad
# W \leftarrow W - \eta \sqrt{\max(1, m/n)}\; \operatorname{orthogonalise}(G + \mu M)
# \end{aligned}$$
#
# - `orthogonalise(G)` is $X$ after five **Newton-Schulz steps** with $a, b, c = 3.4445, -4.7750, 2.0315$. It computes
#   in the dtype of $G$. A gradient of zeros gives zeros.
# - $A$ has the size of the smaller side. Turn a matrix with more rows than columns over first, and the result back at
#   the end. The check watches how large the tensors become.
# - `muon_step(W, G, M, rate, momentum)` gives new numbers to the Parameter $W$, and to the momentum $M$ in place. It returns nothing.
#   With the new $M$, $G + \mu M$ looks a step ahead, which is **Nesterov's momentum**. $G$ stays as it is.
#
# <details><summary>Hint 1</summary>
#
# With $X = U S V^\top$, what is $X X^\top X$? The steps never touch $U$ and $V$. They apply $a s + b s^3 + c s^5$ to
# each singular value, and for $s \le 1$ five steps bring all but the tiniest to between 0.7 and 1.2.
# </details>
# <details><summary>Hint 2</summary>
#
# The formula is the code, with `@` for products. `G.norm()` is the Frobenius norm. `M.mul_(momentum).add_(G)` works in
# place.
# </details>
# <details><summary>Hint 3</summary>
#
# A Parameter may be changed in place under `@torch.no_grad()`. `X.mT if G.shape[0] > G.shape[1] else X` serves before
# the steps and behind them.
# </details>

# %% exercise="gpt.muon"
def orthogonalise(G: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """U S' V^T for G = U S V^T, with all singular values S' about 1: five Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    ### BEGIN SOLUTION
    tall = G.shape[0] > G.shape[1]
    X = G / (G.norm() + 1e-7)
    X = X.mT if tall else X
    for _ in range(5):
        A = X @ X.mT                                              # of the smaller side
        X = a * X + (b * A + c * A @ A) @ X
    return X.mT if tall else X
    ### END SOLUTION


def muon_step(W: nn.Parameter, G: Float[Tensor, "m n"], M: Float[Tensor, "m n"], rate: float, momentum: float) -> None:
    """One step of a matrix in place: W against the orthogonalised momentum, which looks ahead."""
    ### BEGIN SOLUTION
    m, n = W.shape
    with torch.no_grad():
        M.mul_(momentum).add_(G)
        W -= rate * max(1, m / n) ** 0.5 * orthogonalise(G + momentum * M)
    ### END SOLUTION

# %% check="gpt.muon"
check("gpt.muon", orthogonalise, muon_step)

# %% [markdown]
# Muon is for the matrices inside the blocks. Embeddings, biases and norms stay with AdamW, so we put the two together
# and train the small model of section 5 with either.

# %%
muon_of = use("gpt.muon", orthogonalise, muon_step)[1]


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon for the matrices of the blocks, AdamW for all else."""

    def __init__(self, network, rate):
        matrices = [p for p in network.blocks.parameters() if p.dim() == 2]
        super().__init__([{"params": matrices, "lr": 0.02}], {})
        rest = {*network.parameters()} - {*matrices}
        self.rest = torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
        self.param_groups += self.rest.param_groups

    def step(self, closure=None):
        inside = self.param_groups[0]
        for W in inside["params"]:
            M = self.state[W].setdefault("momentum", torch.zeros_like(W))
            muon_of(W, W.grad, M, inside["lr"], 0.95)
        self.rest.step()

# %%
predict("gpt.muon")

# %%
ends = {("AdamW", 3e-3): designs["as it is"][-1], ("AdamW", 1e-2): curve_of(small(), rate=1e-2)[-1]}
for rate in (3e-3, 1e-2):
    ends["Muon and AdamW", rate] = curve_of(small(), rate=rate, make=MuonAndAdamW)[-1]
for (name, rate), end in ends.items():
    print(f"{name:14} AdamW's rate {rate}: {end:.3f} bits per byte")
came_out("gpt.muon", round(min(end for (name, _), end in ends.items() if name != "AdamW"), 2))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Muon ends lower with either rate, by more than two seeds differed in section 5. A step of it took more time, for five rounds
# of products with each matrix, and in a small model these weigh more than in a large one. We tried two rates of AdamW and one
# of Muon. A fair race would search for the best of each.
# </details>

# %%
quiz("gpt.today")

# %% [markdown]
# ## 11. Talk to it
# **Sitting 8 of 8**, 80 minutes, sections 11 to 13. Exercise [[gpt.chat]] and section 13 must be done, [[gpt.translate]] may
# be left out.
#
# After its pretraining SmolLM2 was trained on, first with conversations and then with rated answers.

# %% [markdown]
# ### Exercise [[gpt.chat]]: Mend this code, a conversation as tokens
# core · importance 3 of 5 · 20 minutes · 2 points
#
# Conversations are written as one text, in the model's own **chat template**. This is SmolLM2's, a newline behind each
# line.
#
# ```
# <|im_start|>system
# You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
# <|im_start|>user
# What is the capital of France?<|im_end|>
# <|im_start|>assistant
# Paris.<|im_end|>
# ```
#
# The function below writes such a text as ids and tells which of them the model should learn. It has three slips. Mend
# them, here as `render_chat`.
#
# - `messages` is a list like `[{"role": "user", "content": "..."}, ...]`. Where its first message is not the system's,
#   the model's own system message comes first. Contents are taken as they are, and every message ends with a newline.
# - The ids are for training, so the text ends behind the last message.
# - `answer` is True for the tokens that the model has to write itself. These are the content of each message of the
#   assistant and the `<|im_end|>` behind it. What is asked of the model, and the frame around all messages, is False.
# - `tokenizer.encode(text)` gives a list of ids, in which `<|im_start|>` and `<|im_end|>` are one id each. Whether header,
#   content and newline are encoded each by itself or as one text makes no difference in the check.
#
# `ids` and `answer` are tensors with one entry for each token, and `messages` stays as it is.
#
# <details><summary>Hint 1</summary>
#
# Read what is printed against the rules above, from the first line to the last. Which lines should not be there, and
# which parts of the answer does the person who asks put there for the model?
# </details>
# <details><summary>Hint 2</summary>
#
# A message has three parts. The header ends with the newline behind the role, the content ends with `<|im_end|>`, and
# then comes a newline. Only the second one can be learned.
# </details>
# <details><summary>Hint 3</summary>
#
# Put the model's system message before the others with `[{"role": "system", "content": SYSTEM}, *messages]`, if
# `messages[0]["role"]` asks for it. The parts are then `(header, False)`, `(content, role == "assistant")` and
# `("\n", False)`, and the last line of the given function has no place here.
# </details>

# %% tags=["setup"]
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

# %%
class Letters:
    """A tokenizer to look through: one id for each letter, and 1 and 2 for the special tokens."""

    def encode(self, text):
        return [ord(c) for c in text.replace("<|im_start|>", "\x01").replace("<|im_end|>", "\x02")]


def given_chat(messages, tokenizer):
    """A conversation as ids, and which of them are learned, as a colleague left it."""
    ids, answer = [], []
    for message in [{"role": "system", "content": SYSTEM}, *messages]:
        turn = f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"
        new = tokenizer.encode(turn)
        ids += new
        answer += [message["role"] == "assistant"] * len(new)
    prompt = tokenizer.encode("<|im_start|>assistant\n")
    return torch.tensor(ids + prompt), torch.tensor(answer + [False] * len(prompt))


talk = [("system", "Be brief."), ("user", "Where is Paris?"), ("assistant", "In France.")]
ids, answer = given_chat([{"role": role, "content": content} for role, content in talk], Letters())
shown = [{1: "<|im_start|>", 2: "<|im_end|>"}.get(i, chr(i)) for i in ids.tolist()]
print("".join(shown))
print("learned:", repr("".join(letter for letter, learned in zip(shown, answer, strict=True) if learned)))

# %% exercise="gpt.chat"
def render_chat(messages: list[dict[str, str]], tokenizer) -> tuple[Int[Tensor, "T"], Bool[Tensor, "T"]]:
    """The ids of a conversation in SmolLM2's template, and whether each of them is an answer's."""
    ### BEGIN SOLUTION
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": SYSTEM}, *messages]
    ids, answer = [], []
    for message in messages:
        role, content = message["role"], message["content"]
        parts = (f"<|im_start|>{role}\n", False), (f"{content}<|im_end|>", role == "assistant"), ("\n", False)
        for text, learned in parts:
            new = tokenizer.encode(text)
            ids += new
            answer += [learned] * len(new)
    return torch.tensor(ids), torch.tensor(answer)
    ### END SOLUTION

# %% check="gpt.chat"
check("gpt.chat", render_chat)

# %%
conversation = use("gpt.chat", render_chat)
turns = [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "Paris."}]
chat_ids, learned = conversation(turns, assistant.tokenizer)
theirs = assistant.tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)
assert chat_ids.tolist() == theirs, "another text than the tokenizer's own template gives"
print(repr(assistant.tokenizer.decode(chat_ids)))
print("learned:", repr(assistant.tokenizer.decode(chat_ids[learned])))

# %%
@torch.no_grad()
def said_next(rows, tokens):
    """What SmolLM2 says behind each of several rows of ids, greedily and in one batch."""
    ids, real = padded(rows)
    greedy = {"do_sample": False, "max_new_tokens": tokens, "pad_token_id": 2}
    out = assistant.model.generate(ids, attention_mask=real.long(), **greedy)
    return assistant.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)


def as_chat(question):
    """A question in the form of a conversation, with the beginning of the answer's turn."""
    ids, _ = conversation([{"role": "user", "content": question}], assistant.tokenizer)
    return ids.tolist() + assistant.tokenizer.encode("<|im_start|>assistant\n")


answer_tokens = 4 if profile == "smoke" else 16
questions = ["What is the capital of France?", "What is 17 + 25?"]
said = said_next([as_chat(question) for question in questions], answer_tokens)
for question, answer in zip(questions, said, strict=True):
    print(f"{question} {answer!r}")

# %% [markdown]
# One sum is an anecdote. We ask twenty, as bare text, in the form that the model was taught, and as bare text behind three
# sums that are right.

# %%
predict("gpt.sums")

# %%
import re

additions = [(a, b) for a in range(11, 91, 8) for b in (7, 25)][: 2 if profile == "smoke" else 20]
right_sums = "12 + 34 = 46\n51 + 27 = 78\n33 + 48 = 81\n"
forms = {
    "bare": [assistant.tokenizer.encode(f"{a} + {b} =") for a, b in additions],
    "in a chat": [as_chat(f"What is {a} + {b}?") for a, b in additions],
    "behind three sums": [assistant.tokenizer.encode(f"{right_sums}{a} + {b} =") for a, b in additions],
}
for form, rows in forms.items():
    said, right = said_next(rows, answer_tokens if form == "in a chat" else 4), 0
    for text, (a, b) in zip(said, additions, strict=True):
        right += re.findall(r"\d+", text)[-1:] == [str(a + b)]
    print(f"{form:18} {right} of {len(additions)} sums right")
    if form == "in a chat":
        came_out("gpt.sums", right)

# %% [markdown]
# <details><summary>What happened</summary>
#
# The form of a chat made it answer in a whole sentence, and nearly as wrongly as before. It was taught how answers sound, and
# adding is not learned from that. Three right sums in front help a little more, for they say what is wanted. Nobody should
# let a model of this size do sums.
# </details>

# %% [markdown]
# ### Examples in the prompt
# Nothing in the weights says that we want opposites. A few examples in the text do. The model goes on with the pattern,
# which is called [[term: in-context learning | a model does a task that only the examples in its text describe, and its
# weights stay as they are]]. The control has the same examples with their answers exchanged.

# %%
text = """hot cold, big small, up down, black white, day night, fast slow, happy sad, rich poor, wet dry, open closed,
young old, first last, left right, true false, hard soft, full empty, inside outside, love hate, early late, strong weak,
high low"""
opposites = [pair.split() for pair in text.split(",")]

# %%
import random


def share_right(n, exchanged):
    """How often SmolLM2 names the opposite, in percent, with n examples before."""
    draws, prompts, right = random.Random(seed), [], 0
    words_asked = opposites[: 4 if profile == "smoke" else None]
    for word, _ in words_asked:
        shown = draws.sample([pair for pair in opposites if pair[0] != word], n)
        told = [b for _, b in shown]
        if exchanged:
            told = told[1:] + told[:1]
        lines_before = [f"{a} -> {b}\n" for (a, _), b in zip(shown, told, strict=True)]
        prompts.append("".join(lines_before) + f"{word} ->")
    said = said_next([assistant.tokenizer.encode(prompt) for prompt in prompts], 1)
    for token, (_, b) in zip(said, words_asked, strict=True):
        right += token.strip() != "" and f" {b}".startswith(token)
    return 100 * right / len(words_asked)


examples_shown = (0, 8) if profile == "smoke" else (0, 1, 2, 4, 8)
lines = {name: [share_right(n, name != "true") for n in examples_shown] for name in ("true", "answers exchanged")}
for name, line in lines.items():
    print(f"{name:18}", *(f"{n}: {share:.0f}%" for n, share in zip(examples_shown, line, strict=True)), sep="   ")
fig = curves(examples_shown, lines, x_label="examples in the prompt", y_label="right (%)", marker="o")
show(fig, "gpt.examples", none=lines["true"][0], eight=lines["true"][-1], exchanged=lines["answers exchanged"][-1])

# %% [markdown]
# Without an example the arrow tells it nothing, and with one it is still lost. From two on it finds most opposites, though no
# weight has changed. The examples with exchanged answers are as long and hold the same words, and they hardly help, so it does read
# how words and answers belong together. (In classification, where the answer is one of a few labels, random labels in the
# examples did little harm, Min et al. 2022.)

# %%
quiz("gpt.chat")

# %% [markdown]
# ## 12. Translate
#
# The first transformer was made for translation, with an encoder and a decoder (Vaswani et al. 2017). A decoder alone can
# do it as well, for a translation is a continuation too. The text is the English phrase, a mark, the French phrase, and a
# mark for the end. Our phrases are dates, amounts, spans of time and countries, from the data that computers use to
# show them (Unicode CLDR).

# %%
from coursekit.material.translation import KINDS, phrase_pairs

per_kind = {"smoke": 40, "fast": 3000, "full": 3000}[profile]
to_learn = [pair for kind in KINDS for pair in phrase_pairs(kind, per_kind, seed)]
known = {english for english, _ in to_learn}
unseen = {kind: [pair for pair in phrase_pairs(kind, 120, seed + 1) if pair[0] not in known][:50] for kind in KINDS}
for kind in KINDS:
    print(f"{kind:13} {len(unseen[kind])} unseen, for example", *unseen[kind][0], sep="   ")

# %% [markdown]
# A token is a word here, with the space before it, or a single digit. Only the French part is learned, as with answers in a
# chat, so the English tokens have the target $-100$.

# %%
def words_of(text):
    """Words with the space before them, single digits, and every other character by itself."""
    return re.findall(r"\d| ?[^\W\d]+|\W", text)


every = {word for kind in KINDS for pair in phrase_pairs(kind, 3000, seed) for text in pair for word in words_of(text)}
words = ["<end>", "<to>", *sorted(every)]
number_of = {word: i for i, word in enumerate(words)}
END, TO = 0, 1


def example(english, french):
    """A row's ids and its targets, without padding."""
    asked = [number_of[word] for word in words_of(english)] + [TO]
    told = [number_of[word] for word in words_of(french)] + [END]
    return asked + told[:-1], [-100] * (len(asked) - 1) + told


examples = [example(*pair) for pair in to_learn]

# %%
def draw_pairs(ids, T, B, g):
    """B pairs, padded on the right: in training no token looks at what stands behind it."""
    rows = [examples[i] for i in torch.randint(len(examples), (B,), generator=g)]
    longest = max(len(x) for x, _ in rows)
    x = torch.tensor([x + [END] * (longest - len(x)) for x, _ in rows])
    return x, torch.tensor([y + [-100] * (longest - len(y)) for _, y in rows])


translator = Decoder(len(words), 64, 64, 4, 2).to(device)
begin(translator, 2, torch.Generator().manual_seed(seed))
trained(translator, {"smoke": 4, "fast": 800, "full": 3000}[profile], 64, 64, 6e-3, draw_pairs)
size = sum(p.numel() for p in translator.parameters())
print(f"{len(words):,} tokens, a model of {size:,} numbers, {len(examples):,} pairs to learn from")

# %% [markdown]
# Every prompt is a text to translate, and the model goes on with the translation. It takes the likeliest token each
# time, until it says that it is done. A batch is far faster than one prompt after
# another, but its prompts are of unequal length. They are padded **on the left**, and all rows go on in one column.

# %% [markdown]
# ### Exercise [[gpt.translate]]: Translate in batches
# core · importance 4 of 5 · 25 minutes · 2 points
#
# Write `translate`.
#
# - `prompts` is a list of lists of ids, none of them empty. Shorter ones are filled up on the left with any id that the
#   model knows, such as `end`.
# - `step(ids, real)` is the model with a cache of its own. It gives logits (B, t, V) for the `ids` (B, t) that are new,
#   first the whole prompts, then one token for each row. `real` (B, n) is Bool and says of all $n$ places so far, the
#   new ones included, which of them hold a token of the row and not padding.
# - A row is finished when the model chooses `end`, or when it has written `T` tokens, at least one. A finished row
#   stays in the batch and waits, and what it is given meanwhile does not matter.
# - `step` is called no more when all rows are finished, and never for logits that nobody needs.
#
# Return what was written for each prompt, as a list of lists or tensors of ids. Neither the prompt nor `end` is in it. A prompt may hold
# the token `end` itself, which finishes nothing.
#
# <details><summary>Hint 1</summary>
#
# Write it for a single prompt first. What has to be remembered of each row when there are several, and where in a row
# of logits does the answer for its next token stand?
# </details>
# <details><summary>Hint 2</summary>
#
# Make `ids` and `real` from lists, `[end] * (longest - len(p)) + p` and the same with False and True. Then a loop over
# `T` has `step(ids, real)[:, -1].argmax(-1)` as its next tokens, and a list of Bools knows who is finished.
# </details>
# <details><summary>Hint 3</summary>
#
# For the next call, `ids` is `token[:, None]` and `real` grows by a column of True, `F.pad(real, (0, 1), value=True)`.
# The check for being finished stands between choosing and the next call.
# </details>

# %% exercise="gpt.translate"
def translate(step, prompts: list[list[int]], end: int, T: int) -> list[list[int]]:
    """What a model writes behind each prompt, at most T tokens, all rows in one batch."""
    ### BEGIN SOLUTION
    longest = max(map(len, prompts))
    ids = torch.tensor([[end] * (longest - len(p)) + p for p in prompts])  # (B, t)
    real = torch.tensor([[False] * (longest - len(p)) + [True] * len(p) for p in prompts])
    answers, finished = [[] for _ in prompts], [False] * len(prompts)
    for _ in range(T):
        token = step(ids, real)[:, -1].argmax(-1)                 # (B)
        for b, chosen in enumerate(token.tolist()):
            finished[b] = finished[b] or chosen == end
            if not finished[b]:
                answers[b].append(chosen)
        if all(finished):
            break
        ids, real = token[:, None], F.pad(real, (0, 1), value=True)
    return answers
    ### END SOLUTION

# %% check="gpt.translate"
check("gpt.translate", translate)

# %% [markdown]
# What runs now is yours from one end to the other. Your decoder was initialised by your rule and trained by your step. It is read
# through your cache and asked by your function.

# %%
predict("gpt.translate")

# %%
ask = use("gpt.translate", translate)


def reader(network, B, room):
    """step(ids, real) as the exercise has it, with a cache of its own."""
    cache = Kept(2, B, 4, room, 16, torch.float32, device)

    @torch.no_grad()
    def step(ids, real):
        return read_on(network, ids.to(device), cache, real.to(device)).cpu()

    return step


def in_french(phrases):
    prompts = [[number_of[word] for word in words_of(phrase)] + [TO] for phrase in phrases]
    left = 64 - max(map(len, prompts))                            # positions that are left
    answers = ask(reader(translator, len(prompts), 64), prompts, END, left)
    return ["".join(words[i] for i in ids) for ids in answers]

# %%
exact = {}
for kind, phrases in unseen.items():
    told = in_french([english for english, _ in phrases])
    exact[kind] = sum(answer == french for answer, (_, french) in zip(told, phrases, strict=True)) / len(phrases)
    print(f"{kind:13} {exact[kind]:4.0%} exact   {phrases[0][0]} -> {told[0]}")
came_out("gpt.translate", round(100 * exact["date"]))
print("other kinds of phrase:", in_french(["June and July", "in 3 days and 2 hours", "Hungary, 1921"]))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Nothing but guessing the next token, and phrases that it has never seen come out right. It had to find out which day is which and
# where the year goes. What it has found ends with the four kinds, as the last line shows, though all of
# its words are known. A translator for whole languages differs from this one in its size, and in the pairs that it has read.
# </details>

# %%
quiz("gpt.translate")

# %% [markdown]
# ## 13. What it learned
#
# Back to the question of this chapter. Why is guessing good for anything? A first answer lies in what the guess *needs*. We
# let the pretrained GPT guess held-out tokens, and show it only the last $n$ tokens before each. Beside it stand two
# baselines that need no network, the frequency of each token and the table of pairs from section 9.

# %%
predict("gpt.context")

# %%
@torch.no_grad()
def logits_after(n, places, network=model):
    """Logits (B, V) for the tokens at these places of the held-out text, when a network sees the n before each."""
    x = torch.stack([held_out[place - n : place] for place in places.tolist()])  # (B, n)
    return torch.cat([network(rows.to(device))[:, -1].cpu() for rows in x.split(64)])


g = torch.Generator().manual_seed(seed)
places = torch.randint(128, len(held_out), (16 if profile == "smoke" else 600,), generator=g)
asked = held_out[places]                                          # (B), the true tokens
bytes_asked = sum(len(tokenizer.decode(i).encode()) for i in asked.tolist())


def bits_of(z):
    """Bits per byte of the true tokens under logits (B, V), and the standard error of this mean."""
    bits = F.cross_entropy(z, asked, reduction="none") / math.log(2)  # (B)
    return bits.sum().item() / bytes_asked, bits.std().item() * len(bits) ** 0.5 / bytes_asked


guesses = {"frequency alone": frequency.expand(len(asked), V), "pairs, counted": pair_logits[held_out[places - 1]]}
guesses |= {f"GPT, {n} token{'s' * (n > 1)}": logits_after(n, places) for n in (1, 4, 16, 64, 128)}
for name, z in guesses.items():
    print(f"{name:15} {{0:.2f}} ± {{1:.2f}} bits per byte".format(*bits_of(z)))
came_out("gpt.context", round(bits_of(guesses["GPT, 1 token"])[0], 2))

# %% [markdown]
# <details><summary>What happened</summary>
#
# With a single token to look at, the GPT guesses no better than a table that was counted in a second. Its whole advantage comes
# from what stands further back. Four tokens bring most of it, and the second half of its 128 next to nothing. (It was seldom
# asked with so little. Only one in 128 of the questions in its training had a single token before it. And ± is one standard error.)
# </details>
#
# A second look at the same guesses asks for the rank of the true token, which is 1 if no other token is likelier.

# %%
up_to, lines = [2**i for i in range(12)], {}
for name in ("frequency alone", "pairs, counted", "GPT, 4 tokens", "GPT, 128 tokens"):
    likelier = (guesses[name] > guesses[name].gather(1, asked[:, None])).sum(1)  # (B), tokens before the true one
    lines[name] = [100 * (likelier < k).float().mean().item() for k in up_to]
    print(f"{name:15} the likeliest {lines[name][0]:.0f}%, among eight {lines[name][3]:.0f}%")
fig = curves(up_to, lines, x_label="rank (log scale)", y_label="true tokens up to this rank (%)", log="x")
first, _, _, eight = lines["GPT, 128 tokens"][:4]
show(fig, "gpt.ranks", first=first, eight=eight, frequency=lines["frequency alone"][3])

# %% [markdown]
# The GPT finds the true token first in a quarter of the places, and in nearly half of them it is not among the eight likeliest. A
# greedy text leaves the writer's path at three places of four. The distribution is what is learned, and section 6 is about using it.

# %%
quiz("gpt.learned")

# %% [markdown]
# ### A head that copies
# One thing that pays in guessing can be seen in single heads. If *A B* stood in the text and *A* comes again, then *B* is a
# good guess. A head that looks from the second *A* to the token *behind* the first one is called an
# [[term: induction head | a head that finds what followed the same token earlier in the text]] (Olsson et al. 2022). We
# test two models on random tokens that come twice, where nothing but copying helps.

# %%
predict("gpt.induction")

# %%
@torch.no_grad()
def copies(network, size):
    """Nats of 30 random tokens, the first time and the second time they come."""
    half = torch.randint(100, size, (1, 30), generator=torch.Generator().manual_seed(seed))
    twice = half.repeat(1, 2).to(device)
    z = network(twice).logits[0, :-1].cpu()
    nats = F.cross_entropy(z, twice[0, 1:].cpu(), reduction="none")
    return nats[:29].mean().item(), nats[30:].mean().item()


networks = {"our GPT": (pretrained.model, V), "SmolLM2": (assistant.model, assistant.model.config.vocab_size)}
copied = {name: copies(*network) for name, network in networks.items()}
for name, (first, second) in copied.items():
    print(f"{name}: {first:.1f} nats the first time, {second:.1f} nats the second time")
came_out("gpt.induction", round(copied["SmolLM2"][1], 1))

# %%
def copying_head(network, size, n=20):
    """Of all heads the one that gives most of its weight to the token behind the earlier place, and its map (2n, 2n)."""
    ids = torch.randint(100, size, (1, n), generator=torch.Generator().manual_seed(seed)).repeat(1, 2).to(device)
    network.set_attn_implementation("eager")                      # the way that gives its weights away
    with torch.no_grad():
        A = torch.cat(network(ids, output_attentions=True).attentions).cpu()  # (L, H, 2n, 2n)
    weight = A[:, :, torch.arange(n, 2 * n - 1), torch.arange(1, n)].mean(-1)  # (L, H)
    layer, head = divmod(weight.argmax().item(), weight.shape[1])
    return layer, head, weight.max().item(), A[layer, head]


best = {name: copying_head(*network) for name, network in networks.items()}
for name, (layer, head, weight, _) in best.items():
    print(f"{name}: layer {layer}, head {head} gives {weight:.0%} of its weight to the token behind the earlier place")
fig = heatmap({name: A for name, (*_, A) in best.items()})
show(fig, "gpt.copying", most=best["SmolLM2"][2], gpt=best["our GPT"][2])

# %% [markdown]
# <details><summary>What happened</summary>
#
# SmolLM2 copies. The second time a token costs it a fraction of the first, and a head in its middle puts nearly all of its
# weight on the token behind the earlier one. Our GPT does not copy, and none of its heads looks there. Whether it lacks size,
# text or length we cannot say. It is why looking up brought nothing to its drafts in section 9.
# </details>
#
# Where there is nothing to copy, the head of SmolLM2 looks at the first token. Such a resting place is called an
# [[term: attention sink | a token, often the first one, that takes the weight of a head which has nothing to look for]].

# %% [markdown]
# Now the question of this chapter, in one table. All rows guess the same 600 tokens, and all texts are drawn at a temperature of 1.

# %%
people, g = tokenizer("The people")["input_ids"], torch.Generator().manual_seed(seed)
by_frequency = torch.multinomial(frequency.exp(), 12, generator=g).tolist()
table = {
    "frequency alone": (guesses["frequency alone"], people + by_frequency),
    "pairs, counted": (guesses["pairs, counted"], people + by_pairs(people, 12, g)[0]),
    "your GPT": (logits_after(128, places, mine), tokenizer(written(mine, "The people", 12, 1.0))["input_ids"]),
    "our GPT": (guesses["GPT, 128 tokens"], wrote("The people", 12, sampled(1.0))),
}
for name, (z, ids) in table.items():
    print(f"{name:15} {bits_of(z)[0]:.2f} bits per byte   {tokenizer.decode(ids)!r}")

# %% [markdown]
# Your GPT loses to a table of pairs. It has read 450,000 tokens, and the table counted all 800,000. The same network, trained
# for hours, is far below both. So it is not the design that guesses well, but the design after enough text. What it gains over the
# table comes from further back than one token, as the rows above have shown.
#
# Why does guessing write, translate and answer? The next token depends on grammar, on the subject, on facts and on what was asked.
# Whoever guesses it better has probably found more of that. We saw it for a date in French, for opposites and for a capital. For
# sums we did not. SmolLM2 differs from ours in size and in text, and we cannot say which of the two matters more.
#
# | what makes it fast, or steers it | what it changes |
# |---|---|
# | a cache, a batch (section 7) | nothing, the same ids came out |
# | a draft (section 9) | the number of passes, and not the distribution |
# | temperature, top-k, top-p, min-p, a penalty (section 6) | the distribution that is drawn from |
# | beams (section 8) | they look for the likeliest text, which is not the best one |

# %% [markdown]
# How do text, size and hours hang together? A training step costs about six operations for each number of the model and each token,
# two forward and four backward (Kaplan et al. 2020). For a given budget about 20 tokens for each number were found best (Hoffmann et
# al. 2022). SmolLM2 read far more, because a small model that was trained for long is cheap to use.

# %%
for name, N, tokens in (("your GPT", 3.28e6, 0.45e6), ("our GPT", 3.28e6, 20.5e6), ("SmolLM2", 134.5e6, 2e12)):
    print(f"{name:9} {6 * N * tokens:.0e} operations, {tokens / N:,.1f} tokens read for each number")

# %% [markdown]
# ## 14. Where it leads (November 2026)
#
# - **Attention.** Normed queries and keys (Qwen3, [2505.09388](https://arxiv.org/abs/2505.09388)), windows between layers that see
#   all (Gemma 3, [2503.19786](https://arxiv.org/abs/2503.19786)), a gate behind each head ([2505.06708](https://arxiv.org/abs/2505.06708)).
#   In your code these are a norm before the rotation, another mask in most blocks, and one more factor.
# - **Experts.** DeepSeek-V3 ([2412.19437](https://arxiv.org/abs/2412.19437)) scores with a sigmoid, balances mostly by a bias that only chooses,
#   and gives all tokens one shared expert.
# - **Muon** trained models of trillions of tokens (Moonlight, [2502.16982](https://arxiv.org/abs/2502.16982)).
# - **Several tokens at once** as a second task ([2404.19737](https://arxiv.org/abs/2404.19737)) give drafts without a second model.
# - **Thinking.** Models write before they answer, and learn it from checked answers (DeepSeek-R1,
#   [2501.12948](https://arxiv.org/abs/2501.12948)). Chapter 7 comes to that.

# %% [markdown]
# ## Terms and formulas
#
# [[terms]]
#
# [[formulas]]

# %% [markdown]
# ## Papers
#
# - Radford et al. 2018, Improving Language Understanding by Generative Pre-Training; Radford et al. 2019, Language Models are
#   Unsupervised Multitask Learners: sections 2.2 and 2.3
# - Allal et al. 2025, [SmolLM2](https://arxiv.org/abs/2502.02737); Touvron et al. 2023, [LLaMA](https://arxiv.org/abs/2302.13971)
# - Holtzman et al. 2020, [The Curious Case of Neural Text Degeneration](https://arxiv.org/abs/1904.09751); Fan et al. 2018,
#   [Hierarchical Neural Story Generation](https://arxiv.org/abs/1805.04833); Nguyen et al. 2024, [min-p](https://arxiv.org/abs/2407.01082);
#   Keskar et al. 2019, [CTRL](https://arxiv.org/abs/1909.05858)
# - Shazeer 2019, [Fast Transformer Decoding](https://arxiv.org/abs/1911.02150); Ainslie et al. 2023,
#   [GQA](https://arxiv.org/abs/2305.13245); Shazeer 2020, [GLU Variants](https://arxiv.org/abs/2002.05202); Zhang and Sennrich
#   2019, [RMSNorm](https://arxiv.org/abs/1910.07467); Sutskever et al. 2014, [Sequence to Sequence
#   Learning](https://arxiv.org/abs/1409.3215)
# - Leviathan et al. 2023, [Fast Inference from Transformers via Speculative Decoding](https://arxiv.org/abs/2211.17192); Chen et al.
#   2023, [Accelerating LLM Decoding with Speculative Sampling](https://arxiv.org/abs/2302.01318)
# - Lepikhin et al. 2020, [GShard](https://arxiv.org/abs/2006.16668); Fedus et al. 2022, [Switch
#   Transformers](https://arxiv.org/abs/2101.03961); DeepSeek-AI 2024, [DeepSeek-V2](https://arxiv.org/abs/2405.04434)
# - Jordan et al. 2024, [Muon](https://kellerjordan.github.io/posts/muon/)
# - Kaplan et al. 2020, [Scaling Laws](https://arxiv.org/abs/2001.08361); Hoffmann et al. 2022, [Training Compute-Optimal Large
#   Language Models](https://arxiv.org/abs/2203.15556); Xiong et al. 2020, [On Layer Normalization in the Transformer
#   Architecture](https://arxiv.org/abs/2002.04745)
# - Olsson et al. 2022, [In-context Learning and Induction Heads](https://arxiv.org/abs/2209.11895); Min et al. 2022, [Rethinking the
#   Role of Demonstrations](https://arxiv.org/abs/2202.12837)
# - Haviv et al. 2022, [Transformer Language Models without Positional Encodings Still Learn Positional
#   Information](https://arxiv.org/abs/2203.16634)
# - Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762)
#
# *Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Code: BSD 3-Clause. Copyright: the authors of this course.*

# %%
progress()
