# ---
# jupyter:
#   coursekit:
#     title: BERT
#     question: How does filling in missing words teach a machine to judge a film review?
#     goals:
#       - Turn raw text into batches in which no sentence notices its padding.
#       - Write BERT from its embeddings to its two pretraining tasks, and pretrain a small one.
#       - Fine-tune a pretrained encoder with a training loop of your own, and keep the best of what it was.
#       - Measure what it learned, look at what it gets wrong, and say what later encoders changed.
#     minutes: 440
#     prerequisites:
#       - attention and masks, as in chapter 2
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
# # BERT
# **How does filling in missing words teach a machine to judge a film review?**
#
# Cover a word in this sentence and you can guess what it was, because you know the language, and a little
# about the world. BERT (Devlin et al. 2019) learns from that game alone, on text that nobody had to label.
# Then a few thousand labelled sentences are enough to make it do something useful.
#
# When you have finished this chapter you will be able to
# 1. turn raw text into batches in which no sentence notices its padding;
# 2. write BERT from its embeddings to its two pretraining tasks, and pretrain a small one;
# 3. fine-tune a pretrained encoder with a training loop of your own, and keep the best of what it was;
# 4. measure what it learned, look at what it gets wrong, and say what later encoders changed.
#
# It takes a little more than seven hours, in as many sittings as you like: your progress is kept. You need attention and
# masks, as in chapter 2, and PyTorch modules, optimisers and the cross-entropy loss.

# %% tags=["parameters"]
profile = "fast"  # "smoke" takes seconds; "full" wants a GPU and bert-base-uncased; the prose tells of "fast"
device = "auto"
seed = 0

# %% tags=["setup"]
import copy
import math
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
import coursekit as ck
from coursekit import check, progress, quiz, show, use
from coursekit.figures import curves, heatmap
profile, device = ck.profile(profile), ck.device(device)

# %% [markdown]
# ## 1. Watch it work
#
# Here is a small pretrained encoder of BERT's architecture. It turns a sentence into one vector. The cosine of two
# vectors says how alike the sentences are to it: 1 is the same, 0 has nothing in common.
#
# **Predict**: which of these is nearer to *I loved every minute of this film*: the opposite, *I hated every
# minute of this film*, or the same opinion in other words, *A joy from the first scene to the last*?

# %%
encoder = ck.load_encoder(profile, device)


@torch.no_grad()
def sentence_vectors(ids, real):
    """A unit vector (D) for each sentence: the mean of its real tokens after the last layer."""
    X = encoder.model(ids.to(device), attention_mask=real.to(device)).last_hidden_state.cpu()  # (B, T, D)
    return F.normalize((X * real[:, :, None]).sum(1), dim=-1)     # (B, D)


sentences = [
    "I loved every minute of this film.",
    "I hated every minute of this film.",
    "A joy from the first scene to the last.",
    "Season the broth before you serve it.",
    "The soup is best with a pinch of salt.",
    "The train was late again this morning.",
    "Commuters waited on the platform.",
]
inputs = encoder.tokenizer(sentences, padding=True, return_tensors="pt")
vectors = sentence_vectors(inputs["input_ids"], inputs["attention_mask"].bool())
cosines = vectors @ vectors.T                                     # (7, 7)
print(f"loved and hated: {cosines[0, 1]:.2f}   loved and joy: {cosines[0, 2]:.2f}")
show(
    heatmap(cosines, rows="sentence", columns="sentence", row_labels=sentences, column_labels=list("1234567"),
            unit="cosine"),
    alt="Heat map of the cosines between seven sentences. Blocks stand out: three about a film, two about soup, two about "
    "trains. The brightest cell off the diagonal joins 'I loved every minute' and 'I hated every minute'.",
)

# %% [markdown]
# Broth and soup, trains and commuters: each pair has found its partner, and they share no telling word. That is
# more than counting words can do. But *loved* and *hated* are the nearest pair of all. This encoder was trained to
# find texts **about the same thing**, and both are about every minute of a film. Nobody has told it that opinions
# matter. In section 6 you will.
#
# First, everything below it: how text becomes numbers, what the encoder does with them, and what it learned
# from.
#
# ## 2. Text into batches
#
# A model needs a finite vocabulary, and language has none: names, typing errors, new words. Letters are few,
# but make long sequences. **WordPiece** is the compromise that BERT uses: frequent words are one piece, rare
# words are cut into pieces. A piece that goes on inside a word begins with `##`.

# %% tags=["nbval-check-output"]
vocabulary = encoder.tokenizer.get_vocab()
print(f"{len(vocabulary):,} pieces")
for word in ("film", "heartfelt", "tragicomedy", "unspielberglike"):
    print(f"{word:16}", *encoder.tokenizer.tokenize(word))

# %% [markdown]
# Look at *tragicomedy*: you would have cut it into *tragi* and *comedy*. The rule knows nothing of meaning. It is
# greedy: from the left, take the **longest** piece that the vocabulary has, then the longest piece of what is left.
# The vocabulary itself was learned before: it holds what occurred often in a large text.
#
# ### Exercise [[bert.wordpiece]]: WordPiece by greedy longest match
# core · 20 minutes · 2 points
#
# Cut one word, without spaces and in lower case already. The first piece is looked up as it is, every later one with
# `##` in front. When no piece fits the rest of the word, the **whole word** is unknown: the result is
# `["[UNK]"]` alone. What is taken is never taken back, even if that leads nowhere.
#
# <details><summary>Hint 1</summary>
#
# Keep one number, `start`: everything before it has been cut already. What are the candidates for the next
# piece, and in which order do you try them?
# </details>
# <details><summary>Hint 2</summary>
#
# The candidates are `word[start:end]` for `end` from `len(word)` down to `start + 1`. All but those at `start == 0`
# get `##` in front before they are looked up.
# </details>
# <details><summary>Hint 3</summary>
#
# Two loops: `while start < len(word)` around a `for end in range(len(word), start, -1)`. When a candidate is found,
# append it, set `start = end` and break. A `for` loop has an `else`, which runs when there was no `break`.
# </details>

# %% exercise="bert.wordpiece"
def wordpiece(word: str, vocabulary: dict[str, int]) -> list[str]:
    """The pieces of a word by greedy longest match; ["[UNK]"] when it cannot be spelled to its end."""
    ### BEGIN SOLUTION
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in vocabulary:
                pieces.append(piece)
                start = end
                break
        else:
            return ["[UNK]"]
    return pieces
    ### END SOLUTION

# %% check="bert.wordpiece"
check("bert.wordpiece", wordpiece)

# %%
from coursekit.material.data import movie_snippets

movies = movie_snippets()
backend = encoder.tokenizer.backend_tokenizer                     # lower case and splitting at spaces are its work
text = backend.normalizer.normalize_str(" ".join(movies.test.texts))
distinct = sorted({word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)})
print(f"{len(movies.test):,} sentences from reviews, for example: {movies.test.texts[0]}")

cut = use("bert.wordpiece", wordpiece)
pieces = {word: cut(word, vocabulary) for word in distinct}
same = sum(pieces[word] == encoder.tokenizer.tokenize(word) for word in distinct)
whole = sum(len(found) == 1 for found in pieces.values())
print(f"{same:,} of {len(distinct):,} words are cut as the tokenizer cuts them; {whole / len(distinct):.0%} are one piece")
for word in sorted(distinct, key=lambda word: -len(pieces[word]))[:3]:
    print(f"{word:20}", *pieces[word])

# %% [markdown]
# These are sentences from film reviews, each rated by several readers (Hutto and Gilbert 2014). They stay with us
# for the whole chapter. Your function cuts every word as the tokenizer does. Most words are one piece, and rare
# ones are spelled out, not thrown away.
#
# A sentence becomes the ids of its pieces between two **special tokens**, `[CLS]` in front and `[SEP]` at the end.
#
# ### Sentences of unlike length
# A batch is a rectangle, and sentences differ in length. So short ones are filled up with `[PAD]`, and a Boolean
# tensor, `real`, says which tokens count. The filler is computed like everything else, and thrown away.
#
# **Predict**: we take the sentences in batches of 32 as they come, each batch filled up to its longest sentence.
# What share of all tokens is filler? And if each batch holds sentences of similar length?
#
# ### Exercise [[bert.batches]]: Padding, masks and batches by length
# core · 25 minutes · 3 points
#
# Three short functions. `pad` makes the rectangle for one batch, as wide as its longest sentence, filler on the right.
# `batches_by_length` says which sentences share a batch: neighbours in length, `size` of them, the last batch
# may be smaller. It answers with the **numbers** of the sentences. `in_order` undoes it: `results[k]` has a row for
# each sentence of `batches[k]`, and row $i$ of the answer must be that of sentence $i$.
#
# Careful: any id may occur in a sentence, that of the filler too. Only the lengths say what is filler.
#
# <details><summary>Hint 1</summary>
#
# `pad`: Python lists can be added and repeated, and `torch.tensor` makes a tensor of a list of equally long lists.
# `in_order`: join all results, and ask where the row of sentence 0 is now.
# </details>
# <details><summary>Hint 2</summary>
#
# `batches_by_length`: sort `range(len(lengths))`, not the lengths, with `key=lambda i: lengths[i]`. Then cut the
# result into slices.
# </details>
# <details><summary>Hint 3</summary>
#
# `real` is `torch.arange(T) < lengths[:, None]`, with the lengths as a tensor. If `order` lists the numbers as they
# come in the batches, row $k$ of the joined results belongs to sentence `order[k]`: write `Y[order] = together` into a
# new tensor. Reading `together[order]` is the opposite.
# </details>

# %% exercise="bert.batches"
def pad(sentences: list[list[int]], pad_id: int) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """The ids of a batch, filled up to its longest sentence, and real: True where a token is no filler."""
    ### BEGIN SOLUTION
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    T = int(lengths.max())
    ids = torch.tensor([sentence + [pad_id] * (T - len(sentence)) for sentence in sentences])
    return ids, torch.arange(T) < lengths[:, None]
    ### END SOLUTION


def batches_by_length(lengths: list[int], size: int) -> list[list[int]]:
    """The numbers of the sentences in batches of neighbours in length; each sentence in exactly one batch."""
    ### BEGIN SOLUTION
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    return [order[start : start + size] for start in range(0, len(order), size)]
    ### END SOLUTION


def in_order(batches: list[list[int]], results: list[Float[Tensor, "b ..."]]) -> Float[Tensor, "N ..."]:
    """One tensor whose row i is the result of sentence i."""
    ### BEGIN SOLUTION
    order = [i for batch in batches for i in batch]
    together = torch.cat(results)
    Y = torch.empty_like(together)
    Y[order] = together
    return Y
    ### END SOLUTION

# %% check="bert.batches"
check("bert.batches", pad, batches_by_length, in_order)

# %%
padded, by_length, ordered = use("bert.batches", pad, batches_by_length, in_order)
snippets = encoder.tokenizer(movies.train.texts)["input_ids"]
pad_id = encoder.tokenizer.pad_token_id


def as_they_come(lengths, size):
    return [list(range(start, min(start + size, len(lengths)))) for start in range(0, len(lengths), size)]


def batches_of(sentences, way, size):
    """The numbers of the sentences in each batch, and the batches themselves."""
    batches = way([len(sentence) for sentence in sentences], size)
    return batches, [padded([sentences[i] for i in batch], pad_id) for batch in batches]


panels, ways = {}, {"as they come": as_they_come, "by length": by_length}
for name, way in ways.items():
    real = torch.cat([real.flatten() for _, real in batches_of(snippets, way, 32)[1]])
    print(f"batches of 32 {name:12}: {1 - real.float().mean():.1%} of {len(real):,} tokens are filler")
    rows = [row for _, real in batches_of(snippets[:96], way, 8)[1] for row in real]
    panels[name] = torch.stack([F.pad(row + 1, (0, 64))[:64] for row in rows])  # 0 not there, 1 filler, 2 token
show(
    heatmap(panels, rows="sentence, 8 to a batch", columns="token", unit="0 not there, 1 filler, 2 token", per_row=2),
    alt="Two pictures of 96 sentences in batches of 8. As they come, each batch is a block in which short sentences are "
    "filled up to the longest. By length, the tokens form one slope with hardly any filler beside it.",
)

# %% [markdown]
# Nearly half of the work was for nothing, and sorting saves it: on the right, hardly any filler is left. A fixed
# width of 128 or 512, as many scripts have it, is worse than either.
#
# Does a sentence get the **same vector** in other company? That is the law to test.

# %%
some = snippets[: 64 if profile == "smoke" else 128]
vectors = []
for way in ways.values():
    batches, inputs = batches_of(some, way, 32)
    vectors.append(ordered(batches, [sentence_vectors(ids, real) for ids, real in inputs]))
print(f"largest difference: {(vectors[0] - vectors[1]).abs().max():.0e}")

# %% [markdown]
# At most a rounding error is left: sorting costs nothing when we **evaluate**. When we train, the batches must not
# come in the order of length, or the model reads all short sentences first. Shuffle the batches.
#
# ## 3. The encoder
#
# An id is a row number. BERT looks up three rows for each token and adds them: **what** it is, **which sentence**
# it belongs to (its *segment* $s$, 0 or 1, because some tasks read two sentences at once), and **where** it stands.
# All three tables are learned, and a layer norm follows:
#
# $$x_t = \operatorname{Norm}\left(E^{\text{token}}_{\text{id}_t} + E^{\text{segment}}_{s_t}
# + E^{\text{position}}_t\right), \qquad t = 0, 1, \dots, T - 1$$
#
# ### Exercise [[bert.embeddings]]: Token, segment and position in one vector
# core · 15 minutes · 2 points
#
# `__init__` is given; write `forward`. Gradients must reach all three tables.
#
# <details><summary>Hint 1</summary>
#
# An `nn.Embedding` is called with row numbers of any shape and answers with one more dimension, $D$.
# </details>
# <details><summary>Hint 2</summary>
#
# Nobody hands you the positions. They are 0 to $T - 1$ in every sentence: `torch.arange(T, device=ids.device)`.
# </details>
# <details><summary>Hint 3</summary>
#
# Tokens and segments give (B, T, D), positions give (T, D), which broadcasts over the batch. Add all three, then
# call `self.norm` once on the sum.
# </details>

# %% exercise="bert.embeddings"
class BertEmbeddings(nn.Module):
    """X = Norm(token + segment + position)."""

    def __init__(self, V: int, D: int, longest: int):
        super().__init__()
        self.token = nn.Embedding(V, D)
        self.segment = nn.Embedding(2, D)
        self.position = nn.Embedding(longest, D)
        self.norm = nn.LayerNorm(D, eps=1e-12)

    def forward(self, ids: Int[Tensor, "B T"], segments: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        ### BEGIN SOLUTION
        t = torch.arange(ids.shape[1], device=ids.device)
        return self.norm(self.token(ids) + self.segment(segments) + self.position(t))
        ### END SOLUTION

# %% check="bert.embeddings"
check("bert.embeddings", BertEmbeddings)

# %% [markdown]
# Chapter 2 gave tokens their places with sinusoids that somebody had thought up. BERT's position vectors start as
# noise and are learned. **Predict** what an encoder makes of them: will those of positions 10 and 11 be alike? Those
# of 10 and 40?

# %%
positions = encoder.model.embeddings.position_embeddings.weight[:64].detach().cpu()  # (64, D)
directions = F.normalize(positions, dim=-1)
show(
    heatmap(directions @ directions.T, rows="position", columns="position", unit="cosine"),
    alt="Cosines between the learned vectors of positions 0 to 63. The diagonal is bright, and bright and dark stripes run "
    "beside it at regular distances. Row and column 0 stand out: that position is unlike all others.",
)

# %% [markdown]
# Stripes along the diagonal: what counts is the **distance** between two positions, and the likeness swings as it
# grows, as it does for sinusoids. Nobody built that in. Position 0 is a stranger to all others: only `[CLS]` ever
# stands there.
#
# ### A layer
# Each layer is attention and a feed-forward network, each followed by *add and norm* (**post-norm**, the order of
# 2017). $m_j$ is 0 where token $j$ is real and $-\infty$ where it is filler:
#
# $$\begin{aligned}
# A &= \operatorname{softmax}_j\left(\frac{q_i \cdot k_j}{\sqrt d} + m_j\right) \\
# X' &= \operatorname{Norm}_1(X + \operatorname{merge}(AV)\,W_O^\top + b_O) \\
# Y &= \operatorname{Norm}_2(X' + W_2 \operatorname{GELU}(W_1 X' + b_1) + b_2)
# \end{aligned}$$
#
# There is no causal mask: every token reads in **both directions**. That is the B in BERT.
#
# ### Exercise [[bert.encoder_layer]]: An encoder layer that padding does not touch
# core · 30 minutes · 3 points
#
# `__init__` is given; write `forward`. $Q$, $K$ and $V$ are `query(X)`, `key(X)` and `value(X)`, cut into $H$ heads
# of width $d = D / H$; `output` holds $W_O$ and $b_O$, `up` and `down` hold $W_1$ and $W_2$ with their biases. What a
# real token becomes must not depend on what stands where the filler is. Filler itself may become any number, but not
# NaN: that would spread. You have written attention before, so `F.scaled_dot_product_attention` is allowed.
#
# <details><summary>Hint 1</summary>
#
# Five steps: project and cut into heads; attend; merge and project; add and norm; feed-forward with add and norm.
# Check the shape after each.
# </details>
# <details><summary>Hint 2</summary>
#
# `x.unflatten(-1, (H, -1)).transpose(1, 2)` makes (B, H, T, d) of (B, T, D); `transpose(1, 2).flatten(2)` leads
# back. The mask must hide **keys**, the last dimension of the scores: which dimensions of size 1 does `real` need?
# </details>
# <details><summary>Hint 3</summary>
#
# `real[:, None, None, :]` broadcasts over heads and queries. It is the `attn_mask` that
# `F.scaled_dot_product_attention` wants (True: may be read); by hand, fill the scores with `-torch.inf` where it is
# False. The second residual adds $X'$, not $X$.
# </details>

# %% exercise="bert.encoder_layer"
class EncoderLayer(nn.Module):
    """BERT's layer: attention over real tokens and a feed-forward network, each with residual and norm (post-norm)."""

    def __init__(self, D: int, H: int, F: int):
        super().__init__()
        self.H = H
        self.query, self.key, self.value, self.output = (nn.Linear(D, D) for _ in range(4))
        self.norm_attention, self.norm_output = nn.LayerNorm(D, eps=1e-12), nn.LayerNorm(D, eps=1e-12)
        self.up, self.down = nn.Linear(D, F), nn.Linear(F, D)

    def forward(self, X: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        ### BEGIN SOLUTION
        Q, K, V = (P(X).unflatten(-1, (self.H, -1)).transpose(1, 2) for P in (self.query, self.key, self.value))
        Y = F.scaled_dot_product_attention(Q, K, V, attn_mask=real[:, None, None, :])  # (B, H, T, d)
        X = self.norm_attention(X + self.output(Y.transpose(1, 2).flatten(2)))
        return self.norm_output(X + self.down(F.gelu(self.up(X))))
        ### END SOLUTION

# %% check="bert.encoder_layer"
check("bert.encoder_layer", EncoderLayer)

# %% [markdown]
# Embeddings below, a stack of layers above: that is BERT's encoder, and we put it together from your two classes.
# `small_weights` is how BERT's own code starts, with standard deviation 0.02. Is the result really BERT? The second
# cell loads the weights of the encoder from section 1, by name, and compares on four reviews with their padding.

# %%
Embeddings, Layer = use("bert.embeddings", BertEmbeddings), use("bert.encoder_layer", EncoderLayer)


def small_weights(module):
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


class TinyBert(nn.Module):
    """L encoder layers above the embeddings; as in BERT, the feed-forward network is four times as wide as the model."""

    def __init__(self, V: int, D: int, L: int, H: int, longest: int):
        super().__init__()
        self.embeddings = Embeddings(V, D, longest)
        self.layers = nn.ModuleList([Layer(D, H, 4 * D) for _ in range(L)])
        self.apply(small_weights)

    def forward(self, ids, segments, real):
        X = self.embeddings(ids, segments)                        # (B, T, D)
        for layer in self.layers:
            X = layer(X, real)
        return X                                                  # (B, T, D)

# %% tags=["nbval-check-output"]
from coursekit.material.models import flat_weights

config = encoder.model.config
width, depth, heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
mine = TinyBert(len(vocabulary), width, depth, heads, encoder.longest)
mine.load_state_dict(flat_weights(encoder))
mine = mine.to(device).eval()

ids, real = (x.to(device) for x in padded(snippets[:4], pad_id))
with torch.no_grad():
    X_mine = mine(ids, torch.zeros_like(ids), real)               # (B, T, D)
    X_theirs = encoder.model(ids, attention_mask=real).last_hidden_state
torch.testing.assert_close(X_mine[real], X_theirs[real], rtol=1e-4, atol=1e-4)
print(f"{sum(p.numel() for p in mine.parameters()):,} weights loaded by name, and the vectors of all real tokens agree")

# %% [markdown]
# You have written the encoder that transformers runs: same weights, same vectors.
#
# ### Break it on purpose
# Forget the padding mask. It is easily done, because nothing fails: shapes fit, and numbers look like numbers. We
# put filler behind *A joy from the first scene to the last*, and ask how far its vector moves. The mean is over its
# real tokens in any case; only attention reads the filler.
#
# **Predict**: how much filler moves the vector as far as *hated* is from *loved* in section 1?

# %%
review = encoder.tokenizer(sentences[2])["input_ids"]


@torch.no_grad()
def vector(fillers, forget=False):
    """The mean of the review's real tokens, with this many fillers behind it."""
    ids = torch.tensor([review + [pad_id] * fillers], device=device)
    real = torch.arange(ids.shape[1], device=device)[None] < len(review)
    X = mine(ids, torch.zeros_like(ids), torch.ones_like(real) if forget else real)
    return X[real].mean(0).cpu()                                  # (D)


alone, fillers = vector(0), [0, 1, 2, 4, 8, 16, 32, 64]
lines = {
    name: [torch.cosine_similarity(vector(n, forget), alone, dim=0).item() for n in fillers]
    for name, forget in (("with the mask", False), ("mask forgotten", True))
}
lines["from loved to hated"] = [cosines[0, 1].item()] * len(fillers)
print(f"{len(review)} tokens:", {n: f"{c:.2f}" for n, c in zip(fillers, lines["mask forgotten"], strict=True)})
show(
    curves(fillers, lines, x_label="filler behind the review (tokens)", y_label="cosine with its vector alone"),
    alt="Cosine of a review's vector with its vector alone, over the number of fillers behind it. With the mask it stays "
    "at 1. Without, it falls steeply, and soon below the line that marks the pair loved and hated.",
)

# %% [markdown]
# With the mask, company does not matter. Without it, a little more filler than the review has tokens is enough to
# move it as far as the opposite opinion. The same review then has another vector in every batch, depending on which
# sentence happened to be the longest. Filler is not nothing: `[PAD]` has an embedding, a position, a key and a
# value, as words have.

# %%
quiz("bert.filler")

# %% [markdown]
# ## 4. Pretraining
#
# Where do good weights come from? Labelled sentences are few and cost money. Plain text costs nothing, and it
# contains questions with their answers: cover a word, and the text itself knows what stood there.
#
# A model like GPT is asked for the **next** word and sees only the past. BERT reads in both directions, so it cannot be
# asked for the next word: it would see it. It is asked for words that were hidden from it, and may use what stands
# before *and* after. That is **masked language modelling**.
#
# Our text: the addresses on the state of the Union from 1961 to 2021, and *Moby-Dick*. Every twentieth document is
# held out, and no model below trains on it. The vocabulary of 4,096 pieces was learned from this text.

# %%
from coursekit.material.data import prose, prose_tokenizer

tokenizer = prose_tokenizer()
texts = list(prose().values())[:: 6 if profile == "smoke" else 1]
documents = [tokenizer(sentences, add_special_tokens=False)["input_ids"] for sentences in texts]
held_out, training = documents[::20], [document for i, document in enumerate(documents) if i % 20]
V, special = len(tokenizer), [tokenizer.cls_token_id, tokenizer.sep_token_id]
for name, part in (("training", training), ("held out", held_out)):
    flat = [sentence for document in part for sentence in document]
    print(f"{name}: {len(part)} documents, {len(flat):,} sentences, {sum(map(len, flat)):,} tokens of {V:,} kinds")
print(tokenizer.decode(documents[-1][0]))

# %% [markdown]
# ### Hide some words
# Of all words, 15% are chosen at random. If each became `[MASK]`, the model would learn that only `[MASK]` needs
# thought, and in use no text holds a `[MASK]`. So a coin with three sides is tossed for each chosen word
# (Devlin et al. 2019, section 3.1):
#
# | share of the chosen | the model sees | what it learns |
# |---|---|---|
# | 80% | `[MASK]` | guess from the neighbours |
# | 10% | a random token | do not trust what you see |
# | 10% | the word itself | but do not throw it away |
#
# In all three cases the word that stood there is the answer. The **label** of a chosen word is its id. All other
# labels are $-100$, the number that PyTorch's cross-entropy leaves out.
#
# **Predict**: of 100 words, how many will stand in the text as `[MASK]`?
#
# ### Exercise [[bert.mask_tokens]]: Hide words: 15%, and of those 80/10/10
# core · 25 minutes · 3 points
#
# Every word is chosen with probability 0.15, independently of all others. What is no word is never chosen and never
# changed: filler (`real` is False) and every id in `special`, here `[CLS]` and `[SEP]`. `mask_id` is the id of
# `[MASK]`. Random tokens come from the whole vocabulary, 0 to $V - 1$. Draw every random number from the generator `g`,
# so that a run can be repeated. `ids` stays as it is.
#
# <details><summary>Hint 1</summary>
#
# Four tensors of the shape of `ids` are enough: may it be chosen, is it chosen, what is its fate, which random token
# would it get. `torch.isin` answers for a whole tensor whether each entry is in a list.
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.rand(ids.shape, generator=g, device=ids.device)` is below 0.15 with probability 0.15. The fate needs a draw
# of its own: among chosen words, the first number is always below 0.15.
# </details>
# <details><summary>Hint 3</summary>
#
# One uniform `fate` for each token: below 0.8 it is `[MASK]`, from 0.8 to 0.9 a random token, above that nothing
# happens. `torch.where(condition, this, that)` makes a new tensor and takes a number for `this` or `that`. The labels
# come from `ids`, not from what you made of it.
# </details>

# %% exercise="bert.mask_tokens"
def mask_tokens(
    ids: Int[Tensor, "B T"], real: Bool[Tensor, "B T"], special: list[int], mask_id: int, V: int, g: torch.Generator
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """The ids with words hidden, and the labels: the word where one was chosen, -100 elsewhere."""
    ### BEGIN SOLUTION
    where = {"generator": g, "device": ids.device}
    word = real & ~torch.isin(ids, torch.tensor(special, device=ids.device))
    chosen = word & (torch.rand(ids.shape, **where) < 0.15)
    labels = torch.where(chosen, ids, -100)
    fate = torch.rand(ids.shape, **where)
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, ids)
    exchanged = chosen & (fate >= 0.8) & (fate < 0.9)
    return torch.where(exchanged, torch.randint(V, ids.shape, **where), corrupted), labels
    ### END SOLUTION

# %% check="bert.mask_tokens"
check("bert.mask_tokens", mask_tokens)

# %%
masked = use("bert.mask_tokens", mask_tokens)
sentence = tokenizer("We choose to go to the moon in this decade and do the other things.", return_tensors="pt")
ids, real = sentence["input_ids"], sentence["attention_mask"].bool()
g = torch.Generator().manual_seed(seed)
for _ in range(3):
    hidden, labels = masked(ids, real, special, tokenizer.mask_token_id, V, g)
    asked = labels != -100
    print(tokenizer.decode(hidden[0]), "  asks for:", *tokenizer.convert_ids_to_tokens(labels[asked]))

# %% [markdown]
# Every call hides other words, so a sentence is a new riddle in every epoch. But little is asked each time: 15 words
# of 100, of which 12 become `[MASK]`. A model that predicts the next token learns from every token. That is the price
# for reading in both directions, and why BERT needs many epochs.
#
# ### Answer with the embedding
# The encoder gives a vector $x_t$ for each token. To name the hidden word, it needs a score for each of the $V$
# words of the vocabulary. BERT asks: which word's **embedding** is most like the vector? So it scores with the
# embedding matrix $E$ itself, after one small layer:
#
# $$h_t = \operatorname{Norm}(\operatorname{GELU}(W x_t + b)), \qquad z_t = E\,h_t + c, \qquad
# \mathcal L = -\frac{1}{|M|} \sum_{t \in M} \log \operatorname{softmax}(z_t)_{y_t}$$
#
# $M$ are the places with a label $y_t \ne -100$, in the whole batch. $E$ is the *same* $E$ that the embeddings look
# up: the weights are **tied** (Press and Wolf 2017). Only the bias $c$, one number for each word, is the decoder's
# own. It can learn that *the* is frequent.
#
# ### Exercise [[bert.mlm_head]]: The masked-word head and its loss
# core · 25 minutes · 3 points
#
# `dense` and `norm` are given. Add `decoder`, a linear layer from $D$ to $V$ with a bias, whose weight **is**
# `token.weight`: one Parameter with two names, not a copy. Then write `forward` for vectors of any leading shape, and
# the loss.
#
# <details><summary>Hint 1</summary>
#
# `nn.Linear(D, V).weight` has shape (V, D), as the embedding has. What happens when you assign one module's
# Parameter to another module's attribute?
# </details>
# <details><summary>Hint 2</summary>
#
# `self.decoder.weight = token.weight` ties them. `clone()` and `load_state_dict` copy; `.data` shares
# the numbers, but leaves two Parameters with two gradients. The order in
# `forward` is dense, GELU, norm, decoder, and no softmax.
# </details>
# <details><summary>Hint 3</summary>
#
# `F.cross_entropy` wants logits (N, V) and labels (N), takes the mean and leaves out labels of $-100$. Either flatten
# batch and time, or select first: `asked = labels != -100`, then `head(X[asked])` and `labels[asked]`. The second
# does a seventh of the work.
# </details>

# %% exercise="bert.mlm_head"
class MaskedWordHead(nn.Module):
    """From vectors (..., D) to logits (..., V), through the embedding's own weights."""

    def __init__(self, token: nn.Embedding):
        super().__init__()
        V, D = token.weight.shape
        self.dense, self.norm = nn.Linear(D, D), nn.LayerNorm(D, eps=1e-12)
        ### BEGIN SOLUTION
        self.decoder = nn.Linear(D, V)
        self.decoder.weight = token.weight
        ### END SOLUTION

    def forward(self, X: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        ### BEGIN SOLUTION
        return self.decoder(self.norm(F.gelu(self.dense(X))))
        ### END SOLUTION


def masked_word_loss(head: nn.Module, X: Float[Tensor, "B T D"], labels: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """The mean of -log p(label) over all places whose label is not -100."""
    ### BEGIN SOLUTION
    asked = labels != -100
    return F.cross_entropy(head(X[asked]), labels[asked])
    ### END SOLUTION

# %% check="bert.mlm_head"
check("bert.mlm_head", MaskedWordHead, masked_word_loss)

# %% [markdown]
# ### Does this sentence follow?
# The second task of 2018 looks at two sentences at once. The model reads
#
# `[CLS] A [SEP] B [SEP]`, with segment 0 up to the first `[SEP]` and segment 1 after it,
#
# and says from the vector of `[CLS]` whether $B$ followed $A$ in the text (`is_next` = 1) or comes from another
# document. For that, `[CLS]` must gather what the sentences are about.
#
# ### Exercise [[bert.sentence_pairs]]: Pairs of sentences: next, or from elsewhere
# core · 25 minutes · 3 points
#
# For **every** sentence $A$ that has a next one in its document, make one pair. With probability ½, $B$ is that next
# sentence; otherwise a random sentence of a random **other** document: first the document is drawn, then the sentence,
# so that a long document comes up no more often than a short one. While the pair with its three special tokens
# has more than `longest` ids, the longer of the two sentences loses its last token. Draw from `g`, and leave
# `documents` as they are.
#
# <details><summary>Hint 1</summary>
#
# Two loops, over documents and over places in a document. Which place begins no pair?
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.rand((), generator=g) < 0.5` tosses a coin, `torch.randint(n, (), generator=g)` draws a place. To draw from
# other documents, draw from `len(documents) - 1` and add 1 to what is not smaller than your own number.
# </details>
# <details><summary>Hint 3</summary>
#
# Copy before you cut: `a, b = list(A), list(B)`. Then `while len(a) + len(b) > longest - 3:` and `pop` from the
# longer one. `[CLS]` and the first `[SEP]` belong to $A$: `len(a) + 2` zeros, `len(b) + 1` ones.
# </details>

# %% exercise="bert.sentence_pairs"
def sentence_pairs(
    documents: list[list[list[int]]], longest: int, cls: int, sep: int, g: torch.Generator
) -> list[tuple[list[int], list[int], int]]:
    """A triple (ids, segments, is_next) for each sentence that has a next one."""
    ### BEGIN SOLUTION
    pairs = []
    for d, document in enumerate(documents):
        for s in range(len(document) - 1):
            is_next = int(torch.rand((), generator=g) < 0.5)
            other = documents[(d + 1 + int(torch.randint(len(documents) - 1, (), generator=g))) % len(documents)]
            stranger = other[int(torch.randint(len(other), (), generator=g))]
            a, b = list(document[s]), list(document[s + 1] if is_next else stranger)
            while len(a) + len(b) > longest - 3:
                (a if len(a) > len(b) else b).pop()
            pairs.append(([cls, *a, sep, *b, sep], [0] * (len(a) + 2) + [1] * (len(b) + 1), is_next))
    return pairs
    ### END SOLUTION

# %% check="bert.sentence_pairs"
check("bert.sentence_pairs", sentence_pairs)

# %%
paired = use("bert.sentence_pairs", sentence_pairs)
g = torch.Generator().manual_seed(seed)
for ids, _, is_next in paired(held_out, 40, *special, g)[30:34]:
    print("next " if is_next else "other", tokenizer.decode(ids))

# %% [markdown]
# Some you can tell at once, because Ahab has no place in Washington. Others are hard for you too.
#
# ### The real run
# One encoder, two heads, one sum of two losses. The first weights are drawn with BERT's 0.02, but that is for
# $D = 768$. A sum of $D$ products grows with $\sqrt D$, so at our width the same start needs $0.02 \sqrt{768 / D}$.
# With less, attention starts out almost uniform, and learning begins late.

# %%
WordHead, word_loss = use("bert.mlm_head", MaskedWordHead, masked_word_loss)


class Pretraining(nn.Module):
    """BERT with both heads: vectors (B, T, D) for the words, logits (B, 2) for "does B follow A"."""

    def __init__(self, V: int, D: int, L: int, H: int, longest: int):
        super().__init__()
        self.bert = TinyBert(V, D, L, H, longest)
        self.words = WordHead(self.bert.embeddings.token)
        self.pool, self.next = nn.Linear(D, D), nn.Linear(D, 2)
        for p in self.parameters():
            if p.dim() == 2:                                      # matrices; biases and norms stay
                nn.init.normal_(p, std=0.02 * math.sqrt(768 / D))

    def forward(self, ids, segments, real):
        X = self.bert(ids, segments, real)                        # (B, T, D)
        return X, self.next(torch.tanh(self.pool(X[:, 0])))       # [CLS] speaks for the pair


def losses(model, batch):
    """Both losses of a batch: masked words, next sentence."""
    ids, segments, real, labels, is_next = (x.to(device) for x in batch)
    X, follows = model(ids, segments, real)
    asked = labels != -100                                        # one long row of all that is asked
    return word_loss(model.words, X[asked][None], labels[asked][None]), F.cross_entropy(follows, is_next)

# %%
longest = 64


def pair_batches(documents, size, g):
    """One epoch in shuffled batches of like length: ids with hidden words, segments, real, labels, is_next."""
    pairs = paired(documents, longest, *special, g)
    groups = by_length([len(ids) for ids, _, _ in pairs], size)
    for k in torch.randperm(len(groups), generator=g).tolist():
        group = [pairs[i] for i in groups[k]]
        ids, real = padded([list(ids) for ids, _, _ in group], tokenizer.pad_token_id)
        segments, _ = padded([list(segments) for _, segments, _ in group], 0)
        hidden, labels = masked(ids, real, special, tokenizer.mask_token_id, V, g)
        yield hidden, segments, real, labels, torch.tensor([int(is_next) for _, _, is_next in group])


riddles = list(pair_batches(held_out, 32, torch.Generator().manual_seed(1)))[: 4 if profile == "smoke" else None]
counts = torch.bincount(torch.tensor([token for document in training for sentence in document for token in sentence]))
answers = torch.cat([labels[labels != -100] for _, _, _, labels, _ in riddles])
unigram = (answers == counts.argmax()).float().mean().item()
print(f"{len(answers):,} hidden words are held out; always answering {tokenizer.decode(counts.argmax())!r} is right in {unigram:.1%}")

# %% [markdown]
# That is the **unigram baseline**: what you can get without reading the sentence. A model must beat it to have
# learned anything about language. All that a batch needs came from your exercises, and its words are hidden anew each
# time.
#
# **Predict**, before you train: what is the loss of the masked words before the first step? (With no idea, each of $V$
# words has the probability $1/V$.) And which of the two tasks is learned first?

# %%
def pretrain(model, optimizer, schedule, batches):
    """One step for each batch; gives both losses of each."""
    model.train()
    for batch in batches:
        word, follows = losses(model, batch)
        (word + follows).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        yield word.item(), follows.item()


def with_warm_up(model, rate, steps):
    """AdamW whose rate rises for a twentieth of the steps and then falls to 0 in a straight line."""
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01, fused=True)
    warm = max(steps // 20, 1)
    factor = lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


@torch.no_grad()
def scores(model, riddles):
    """On held-out riddles: mean loss and accuracy of the masked words, accuracy of the next sentence."""
    model.eval()
    losses, right, told = [], [], []
    for ids, segments, real, labels, is_next in ([x.to(device) for x in batch] for batch in riddles):
        X, follows = model(ids, segments, real)
        asked = labels != -100
        z, y = model.words(X[asked]), labels[asked]               # (n, V), (n)
        losses.append(F.cross_entropy(z, y, reduction="none"))
        right.append(z.argmax(-1) == y)
        told.append(follows.argmax(-1) == is_next)
    return [torch.cat(found).float().mean().item() for found in (losses, right, told)]

# %%
import itertools
import time

D, L, H = 128, 3, 4
steps, size = {"smoke": (20, 8), "fast": (1000, 16), "full": (20_000, 64)}[profile]
torch.manual_seed(seed)
model = Pretraining(V, D, L, H, longest).to(device)
g = torch.Generator().manual_seed(seed)
epochs = (pair_batches(training, size, g) for _ in itertools.count())
batches = itertools.islice(itertools.chain.from_iterable(epochs), steps)
optimizer, schedule = with_warm_up(model, 1.5e-3, steps)
print(f"{sum(p.numel() for p in model.parameters()):,} weights; with no idea the loss is ln V = {math.log(V):.2f}")

curve, started = [], time.perf_counter()
for step, _ in enumerate(itertools.chain([None], pretrain(model, optimizer, schedule, batches))):
    if step % (steps // 10) == 0:
        curve.append((step, *scores(model, riddles[::4])))
        print("step {:5}: word loss {:.2f}, words right {:.1%}, pairs right {:.1%}".format(*curve[-1]))
loss, hit, told_apart = scores(model, riddles)
print(f"{time.perf_counter() - started:.0f} s; on all riddles {hit:.1%} of the words (unigram {unigram:.1%}), {told_apart:.1%} of the pairs")

# %%
at, _, words_right, pairs_right = zip(*curve, strict=True)
lines = {"next sentence": pairs_right, "masked words": words_right, "unigram baseline": [unigram] * len(at)}
show(
    curves(at, lines, x_label=f"steps of {size} pairs", y_label="share right, held-out documents"),
    alt="Share of right answers on held-out documents over the steps of pretraining. Masked words start at zero, reach the "
    "unigram baseline at once and then climb slowly above it. The next sentence stays near one half for most of the run "
    "and rises at its end.",
)

# %% [markdown]
# In the first tenth of the run the loss falls by more than 1, and yet hardly more words are right than at the baseline. The
# model has learned **how frequent** each word is, and for that the bias $c$ is enough. Only then does it begin to read.
# The second task starts later still: it needs vectors that say what a sentence is about.
#
# ### What patience gives
# A thousand steps are few. The course carries a model of the **same class**, trained for longer by the same functions (in
# batches of 32, at a rate of 0.002), and the
# curve of that run.

# %%
from coursekit.material.models import tiny_bert_run, tiny_bert_weights

run = tiny_bert_run()
longer = Pretraining(V, run["D"], run["L"], run["H"], longest).to(device)
longer.load_state_dict(tiny_bert_weights())
epochs = {key: [epoch[key] for epoch in run["curve"]] for key in run["curve"][0]}
print(f"{run['steps']:,} steps of {run['batch']} pairs, {run['tokens'] / 1e6:.0f} million tokens, {run['seconds'] / 60:.0f} minutes")
loss, hit, told_apart = scores(longer, riddles)
print(f"loaded: word loss {loss:.2f}, {hit:.1%} of the words, {told_apart:.1%} of the pairs")
lines = {"training text": epochs["word_loss"], "held-out documents": epochs["held_out_word_loss"]}
show(
    curves(epochs["step"], lines, x_label=f"steps of {run['batch']} pairs", y_label="loss of the masked words", marker="o"),
    alt="Loss of the masked words over the steps of the longer run, an epoch a point. It nearly levels off, then drops steeply "
    "within two epochs, and falls more slowly after that. At the end the held-out loss is a little above the training loss.",
)

# %% [markdown]
# The curve has a **step**: it nearly levels off, and then the loss drops further in two epochs than in the three
# before. Chen et al. (2024) see such a drop in BERT itself, and find that at that moment some heads begin to look
# along the grammar of a sentence. Our run ends before it.
#
# **Predict** what each of the two models puts into these gaps. Two lines begin alike, and only the words *after* the gap
# differ.

# %%
@torch.no_grad()
def guesses(model, text, k=5):
    """The k likeliest words for the first [MASK] of a text, with their probabilities."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"].to(device)
    X, _ = model.eval()(ids, torch.zeros_like(ids), torch.ones_like(ids, dtype=torch.bool))
    p, words = model.words(X[ids == tokenizer.mask_token_id][0]).softmax(-1).topk(k)  # (k), (k)
    return "  ".join(f"{word} {share:.0%}" for word, share in zip(tokenizer.convert_ids_to_tokens(words), p, strict=True))


for text in (
    "The president of the [MASK] states.",
    "The white [MASK] was seen near the ship.",
    "The white [MASK] announced a new plan.",
    "We must protect social [MASK] for our seniors.",
    "The capital of France is [MASK].",
):
    print(f"{text}\n   {steps:6,} steps: {guesses(model, text)}\n   {run['steps']:6,} steps: {guesses(longer, text)}")

# %% [markdown]
# The short run knows which words are frequent, and little more. The longer run knows phrases and topics, and it reads in
# **both directions**: *white* is followed by a whale or by a house, and what comes after the gap decides. It does not
# know what the capital of France is. Nothing in its text told it, so it says what a president says of the union.
#
# Now look at the three fates of exercise [[bert.mask_tokens]]. **Predict**: where is the model right most often, at `[MASK]`, at a random
# token, or where the word itself stands?

# %%
found = {"[MASK]": [], "a random token": [], "the word itself": []}
with torch.no_grad():
    for ids, segments, real, labels, _ in ([x.to(device) for x in batch] for batch in riddles):
        X, _ = longer.eval()(ids, segments, real)
        asked = labels != -100
        seen, y = ids[asked], labels[asked]
        right = longer.words(X[asked]).argmax(-1) == y
        hidden = seen == tokenizer.mask_token_id
        for name, kind in zip(found, (hidden, ~hidden & (seen != y), seen == y), strict=True):
            found[name].append(right[kind])
for name, parts in found.items():
    right = torch.cat(parts).float()
    print(f"the model sees {name:16}: right in {right.mean():6.1%} of {len(right):,}")

# %% [markdown]
# It has learned all three lessons. Where the word itself stands, it nearly always lets it stand. Where a random token
# stands, it is not fooled: it does almost as well as at `[MASK]`. And the share of right words above is a mixture of the
# three. Before you compare such numbers between papers, ask which places they count.
#
# Your turn. Write `[MASK]`, or just `_`, where a word is to be guessed.

# %%
from coursekit.material.models import load_tiny_bert
from coursekit.widgets import fill_the_mask

fill_the_mask(load_tiny_bert())
quiz("bert.masking")

# %% [markdown]
# ## 5. From encoder to classifier
#
# The encoder gives one vector for each **token**. A review wants one verdict, so a classifier needs one vector
# for each **sentence**. There are two common ways to get it.
#
# BERT takes the vector of `[CLS]`. It means nothing by itself, but it stands first in every sentence and has
# attended to all the others, so training can make it a summary. Sentence encoders take the mean of all real
# tokens (Reimers and Gurevych 2019):
#
# $$y^{\text{cls}}_b = X_{b,0}, \qquad y^{\text{mean}}_b = \frac{1}{n_b} \sum_{t\,:\,r_{bt} = 1} X_{bt}, \qquad n_b = \sum_t r_{bt}$$
#
# where $r_{bt}$ is `real`: 1 on a token, 0 on padding.
#
# ### Exercise [[bert.pooling]]: One vector for a sentence
# core · 15 minutes · 3 points
#
# Write both. Padding may stand on either side of the tokens, or between them, when `mean_pooling` is called. A row
# without any real token has the mean 0, and its gradient is 0 too, not NaN. For `cls_pooling` the rows begin with
# `[CLS]`; it takes `real` only so that a classifier can call either function in the same way.
#
# <details><summary>Hint 1</summary>
#
# Padding has vectors too, and they are not 0: position, bias and norm see to that. So what must happen before
# the sum over $t$?
# </details>
# <details><summary>Hint 2</summary>
#
# `real` has shape (B, T) and $X$ has (B, T, D). With `real[:, :, None]` they can be multiplied. The divisor is
# a number for each row: count in `real`, never in $X$.
# </details>
# <details><summary>Hint 3</summary>
#
# 0 / 0 is NaN, and its gradient stays NaN even if you replace the result afterwards. Make the divisor at least 1
# *before* you divide: `clamp(min=1)`. Then the row without tokens is 0 / 1.
# </details>

# %% exercise="bert.pooling"
def cls_pooling(X: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """The vector of each row's first token."""
    ### BEGIN SOLUTION
    return X[:, 0]
    ### END SOLUTION


def mean_pooling(X: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """The mean of each row's real tokens, 0 where there is none."""
    ### BEGIN SOLUTION
    n = real.sum(1, keepdim=True).clamp(min=1)  # (B, 1)
    return (X * real[:, :, None]).sum(1) / n    # (B, D)
    ### END SOLUTION

# %% check="bert.pooling"
check("bert.pooling", cls_pooling, mean_pooling)

# %%
cls_of, mean_of = use("bert.pooling", cls_pooling, mean_pooling)
pools = {"[CLS]": cls_of, "mean": mean_of, "mean over padding": lambda X, real: X.mean(1)}


@torch.no_grad()
def pooled(texts, pool):
    """A vector (D) for each text from the encoder as it came, 50 texts in a batch."""
    parts = []
    for i in range(0, len(texts), 50):
        inputs = encoder.tokenizer(texts[i : i + 50], padding=True, return_tensors="pt").to(device)
        X = encoder.model(**inputs).last_hidden_state             # (B, T, D)
        parts.append(pool(X, inputs["attention_mask"].bool()).cpu())
    return torch.cat(parts)


alone, filler = "A joy.", "The train was late again this morning, so the commuters waited on the platform for an hour."
for name, pool in pools.items():
    one, (together, _) = pooled([alone], pool)[0], pooled([alone, filler], pool)
    print(f"{name:18} cosine of {alone!r} alone and beside a long sentence: {torch.cosine_similarity(one, together, dim=0):.2f}")

# %% [markdown]
# With the mask a sentence keeps its vector, whoever sits beside it in the batch. Without it, a short sentence turns
# into its padding. No error is raised, and a classifier trained on such vectors even works a little. That is
# why this mistake survives in real code.

# %% [markdown]
# ### Exercise [[bert.classifier]]: A classifier on top of the encoder
# core · 20 minutes · 3 points
#
# The recipe of Devlin et al. (2019) for any classification: the encoder reads, one vector stands for the
# sentence, and a single new layer answers.
#
# $$\text{logits} = W \operatorname{dropout}_p(y) + b, \qquad y = \operatorname{pool}(\operatorname{encoder}(\text{ids}, \text{real}), \text{real})$$
#
# `encoder(ids, real)` gives (B, T, D) and `pool(X, real)` gives (B, D), as in exercise [[bert.pooling]]. Keep the encoder as
# `self.encoder` and call the new layer `self.linear`; it has $C$ rows. Dropout sets each entry of $y$ to 0 with
# probability $p$ and divides the others by $1 - p$, in training only.
#
# <details><summary>Hint 1</summary>
#
# Two of the four parts are given to you. Which two do you make in `__init__`, and which of all four hold weights?
# </details>
# <details><summary>Hint 2</summary>
#
# `nn.Dropout(p)` knows whether the module is in training or in evaluation mode. Both the encoder and the pool
# want to know which tokens are real.
# </details>
# <details><summary>Hint 3</summary>
#
# From the inside out: encoder, pool, dropout, linear. No softmax: the loss takes it, and `argmax` does not need it.
# </details>

# %% exercise="bert.classifier"
class Classifier(nn.Module):
    """C logits for each sentence: linear(dropout(pool(encoder(ids, real), real)))."""

    def __init__(self, encoder: nn.Module, pool, D: int, C: int, p: float):
        super().__init__()
        ### BEGIN SOLUTION
        self.encoder, self.pool = encoder, pool
        self.dropout = nn.Dropout(p)
        self.linear = nn.Linear(D, C)
        ### END SOLUTION

    def forward(self, ids: Int[Tensor, "B T"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B C"]:
        ### BEGIN SOLUTION
        X = self.encoder(ids, real)                 # (B, T, D)
        y = self.pool(X, real)                      # (B, D)
        return self.linear(self.dropout(y))         # (B, C)
        ### END SOLUTION

# %% check="bert.classifier"
check("bert.classifier", Classifier)

# %%
Head = use("bert.classifier", Classifier)


class Reader(nn.Module):
    """transformers' BertModel, called as our classifier calls an encoder."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, ids, real):
        return self.bert(ids, attention_mask=real).last_hidden_state


def new_classifier():
    torch.manual_seed(seed)
    reader = Reader(copy.deepcopy(encoder.model))
    return Head(reader, mean_of, encoder.model.config.hidden_size, C=2, p=0.1).to(device)


@torch.no_grad()
def chance(classifier, text):
    """How likely the text is positive, says the classifier."""
    inputs = encoder.tokenizer(text, return_tensors="pt").to(device)
    return classifier(inputs["input_ids"], inputs["attention_mask"].bool()).softmax(-1)[0, 1].item()


classifier = new_classifier()
for mode in (True, False):
    chances = [chance(classifier.train(mode), "A joy from the first scene to the last.") for _ in range(5)]
    print("training  " if mode else "evaluation", *(f"{c:.3f}" for c in chances))

# %% [markdown]
# The head is random, so it guesses near one half. In training mode the same sentence gets another answer each
# time: our dropout acts, and so does BERT's own, inside every layer. In evaluation mode it is always the same one.
# Whoever measures a model in the wrong mode measures a damaged one, and nothing warns them. Remember that for
# exercise [[bert.fine_tuning]].
#
# ### Who learns how fast?
# The head knows nothing and should learn fast. The layers below it know a language, and should forget as little
# of it as they can, least of all the lowest. So the rate falls by a factor $f$ with each step down (Howard and
# Ruder 2018), and it rises slowly at first (**warm-up**): the random head sends large, senseless gradients down.
#
# $$\eta_k = \eta f^k, \qquad
# \operatorname{share}(s) = \begin{cases} (s + 1) / w & s < w \\ (N - s) / (N - w) & w \le s < N \\ 0 & s \ge N \end{cases}$$
#
# $k = 0$ is the head, $k = 1$ the last layer, and so on down to the embeddings; $s = 0, 1, 2, \dots$ counts the
# steps, $w$ of them warm up, $N$ is their number.
#
# Weight decay pulls weights towards 0. That makes sense for matrices. The bias of a layer and the factor of a
# norm set an offset and a scale: BERT's own code lets neither decay.
#
# ### Exercise [[bert.parameter_groups]]: Parameter groups and a schedule
# core · 25 minutes · 3 points
#
# `parts` are modules **from the bottom to the top**: embeddings, layers, head. Give what a PyTorch optimiser
# takes: a list of dicts with the keys `"params"`, `"lr"` and `"weight_decay"`. Matrices, embeddings and whatever else
# has two dimensions or more get `decay`, all biases and the weights of norms of any kind get 0. Frozen parameters
# (`requires_grad` is False) are in no group, all others in exactly one. `warm_up` is $\operatorname{share}(s)$; it must
# work for $w = 0$ too.
#
# <details><summary>Hint 1</summary>
#
# Names differ from model to model (`LayerNorm`, `norm_output`, `ln_1`). What do biases and the weights of norms
# have in common that a matrix has not?
# </details>
# <details><summary>Hint 2</summary>
#
# They are vectors: `p.ndim == 1`. Two groups for each part will do, and the last part has $k = 0$:
# `enumerate(reversed(parts))`.
# </details>
# <details><summary>Hint 3</summary>
#
# For each part, make a list of the parameters that need a gradient and split it by `ndim`. The rate of both groups is
# `rate * factor**k`. In `warm_up`, ask for `step < warm` first: then nothing is divided by $w = 0$.
# </details>

# %% exercise="bert.parameter_groups"
def parameter_groups(parts: list[nn.Module], rate: float, factor: float, decay: float) -> list[dict]:
    """Groups for an optimiser: rate * factor**k for the k-th part from the top, decay for matrices only."""
    ### BEGIN SOLUTION
    groups = []
    for k, part in enumerate(reversed(parts)):      # k = 0 is the head
        trained = [p for p in part.parameters() if p.requires_grad]
        for params, weight_decay in (
            ([p for p in trained if p.ndim > 1], decay),
            ([p for p in trained if p.ndim == 1], 0.0),
        ):
            groups.append({"params": params, "lr": rate * factor**k, "weight_decay": weight_decay})
    return groups
    ### END SOLUTION


def warm_up(step: int, warm: int, total: int) -> float:
    """The share of the full rate at this step: up to 1 in `warm` steps, then down to 0 at step `total`."""
    ### BEGIN SOLUTION
    if step < warm:
        return (step + 1) / warm
    return max(0, total - step) / (total - warm)
    ### END SOLUTION

# %% check="bert.parameter_groups"
check("bert.parameter_groups", parameter_groups, warm_up)

# %%
groups_of, share = use("bert.parameter_groups", parameter_groups, warm_up)


def parts_of(classifier):
    bert = classifier.encoder.bert
    return [bert.embeddings, *bert.encoder.layer, classifier.linear]


groups = groups_of(parts_of(classifier), 1e-4, 0.8, 0.01)
decayed = sum(p.numel() for group in groups for p in group["params"] if group["weight_decay"])
print(f"{decayed:,} of {sum(p.numel() for group in groups for p in group['params']):,} numbers decay")
rates = sorted({group["lr"] for group in groups}, reverse=True)
sixty, shares = range(60), [share(step, 12, 60) for step in range(60)]
lines = {"head": rates[0], "last layer": rates[1], "first layer": rates[-2], "embeddings": rates[-1]}
show(
    curves(sixty, {name: [1e6 * rate * s for s in shares] for name, rate in lines.items()}, x_label="step",
           y_label="rate (millionths)"),
    alt="The learning rate of four parts over 60 steps. Each rises on a straight line for 12 steps and falls on another "
    "to 0. The head's peak is highest, then that of the last layer; the first layer and the embeddings stay low.",
)

# %% [markdown]
# ## 6. Fine-tuning for real
#
# In section 1 the encoder could not tell *loved* from *hated*. We now show it a few thousand rated snippets from film
# reviews. One step of training is
#
# $$g = \nabla_\theta \frac1B \sum_{i=1}^B -\log \operatorname{softmax}(\text{logits}_i)_{c_i}, \qquad
# g \leftarrow g \cdot \min\left(1, \frac{\text{clip}}{\lVert g \rVert}\right), \qquad \theta \leftarrow \text{AdamW}(\theta, g)$$
#
# with $c_i$ the class of sentence $i$ and $\lVert g \rVert$ the norm of **all** gradients together. Each step is easy.
# It is just as easy to put one in the wrong place, and the loss may fall all the same.
#
# ### Exercise [[bert.fine_tuning]]: Train and evaluate
# core · 30 minutes · 4 points
#
# `batches` is a list of `(ids, real, labels)`, which lie on the CPU; the model is on `device` and gives logits
# for `model(ids, real)`. `train` takes one step for each batch, in training mode; the scheduler steps with the
# optimiser. Gradients may be left from whatever came before. It returns the mean loss **per sentence**: the last batch
# may be smaller. `evaluate` returns the mean loss and the accuracy (a share from 0 to 1) of all sentences, in
# evaluation mode and without a graph, and leaves the model **in the mode in which it found it**.
#
# <details><summary>Hint 1</summary>
#
# Seven things happen to each batch of training: move, forward, loss, forget the old gradients, backward, clip,
# two steps. Which of these must come between which?
# </details>
# <details><summary>Hint 2</summary>
#
# `F.cross_entropy(logits, labels)` is the mean of a batch, softmax included. Multiply by `len(labels)` before you
# add it up. `nn.utils.clip_grad_norm_(model.parameters(), clip)` works on gradients that exist, before they are
# used.
# </details>
# <details><summary>Hint 3</summary>
#
# In `evaluate`: `mode = model.training`, then `model.eval()`, and at the end `model.train(mode)`. The decorator
# `@torch.no_grad()` switches the graph off for a whole function. `.item()` turns a tensor of one entry into a number.
# </details>

# %% exercise="bert.fine_tuning"
def train(model: nn.Module, batches: list, optimizer, scheduler, clip: float, device: torch.device) -> float:
    """One step for each batch; returns the mean loss of a sentence."""
    ### BEGIN SOLUTION
    model.train()
    total, count = 0.0, 0
    for batch in batches:
        ids, real, labels = (part.to(device) for part in batch)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total += loss.item() * len(labels)
        count += len(labels)
    return total / count
    ### END SOLUTION


def evaluate(model: nn.Module, batches: list, device: torch.device) -> tuple[float, float]:
    """Mean loss and accuracy over all sentences; the model is left in the mode in which it was."""
    ### BEGIN SOLUTION
    mode = model.training
    model.eval()
    loss, right, count = 0.0, 0, 0
    with torch.no_grad():
        for batch in batches:
            ids, real, labels = (part.to(device) for part in batch)
            logits = model(ids, real)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            right += (logits.argmax(-1) == labels).sum().item()
            count += len(labels)
    model.train(mode)
    return loss / count, right / count
    ### END SOLUTION

# %% check="bert.fine_tuning"
check("bert.fine_tuning", train, evaluate)

# %% [markdown]
# ### Exercise [[bert.early_stopping]]: Keep the best epoch
# core · 20 minutes · 2 points
#
# A model with millions of weights can learn a few thousand sentences by heart. Then the loss on the training
# sentences falls, and on sentences that it has not seen it rises again. So we measure on the validation split now
# and then, keep the weights that did best there, and stop when it has not helped for a while.
#
# `update(loss)` is told the validation loss and returns True when training should stop: when the last `patience`
# losses in a row brought no new lowest one. A tie is no improvement. Whoever goes on after True is answered by the same
# rule. `restore()` gives the model all of the `state_dict()` that it had at the lowest loss: weights and buffers.
#
# <details><summary>Hint 1</summary>
#
# Three things have to be remembered: the lowest loss, how many updates came since, and the weights.
# </details>
# <details><summary>Hint 2</summary>
#
# `model.state_dict()` does not copy. Its tensors **are** the model's, and the next step of training changes them.
# </details>
# <details><summary>Hint 3</summary>
#
# `copy.deepcopy(model.state_dict())` keeps, `model.load_state_dict(...)` brings back. Begin with a lowest loss of
# `math.inf`, and set the count back to 0 at each new best.
# </details>

# %% exercise="bert.early_stopping"
class EarlyStopping:
    """Keeps the weights of the lowest validation loss, and says when to stop."""

    def __init__(self, model: nn.Module, patience: int):
        ### BEGIN SOLUTION
        self.model, self.patience = model, patience
        self.best, self.since, self.weights = math.inf, 0, None
        ### END SOLUTION

    def update(self, loss: float) -> bool:
        """True when the last `patience` losses brought no new lowest one."""
        ### BEGIN SOLUTION
        if loss < self.best:
            self.best, self.since = loss, 0
            self.weights = copy.deepcopy(self.model.state_dict())
        else:
            self.since += 1
        return self.since >= self.patience
        ### END SOLUTION

    def restore(self) -> None:
        """The model gets the weights of its lowest loss back."""
        ### BEGIN SOLUTION
        self.model.load_state_dict(self.weights)
        ### END SOLUTION

# %% check="bert.early_stopping"
check("bert.early_stopping", EarlyStopping)

# %%
train_on, evaluate_on = use("bert.fine_tuning", train, evaluate)
Stopping = use("bert.early_stopping", EarlyStopping)
sizes = {"smoke": (16, 8, 64), "fast": (3000, 600, 1500), "full": (6671, 1000, 1500)}[profile]
size = 8 if profile == "smoke" else 32
learned, validation, test = movies.train[: sizes[0]], movies.validation[: sizes[1]], movies.test[: sizes[2]]


def labelled_batches(part):
    """The sentences' numbers in each batch, and the batches (ids, real, labels) of sentences of like length."""
    sentences = encoder.tokenizer(part.texts, truncation=True, max_length=48)["input_ids"]
    rows = by_length([len(sentence) for sentence in sentences], size)
    return rows, [(*padded([sentences[i] for i in row], pad_id), part.labels[row]) for row in rows]


train_batches, validation_batches = labelled_batches(learned)[1], labelled_batches(validation)[1]
for text, label in zip(learned.texts[2:6], learned.labels[2:6].tolist(), strict=True):
    print(f"{movies.names[label]:8}  {text}")
print(f"{len(train_batches)} batches to learn from; {learned.labels.float().mean():.0%} of the sentences are positive")

# %% [markdown]
# ### What does freezing save?
# A frozen part is read but not trained: no gradient, no step. When the **lowest** parts are frozen, the way back
# ends above them. We time one step with more and more of them frozen.
#
# **Predict**: half of this encoder's weights are embeddings. How much time does it save to freeze them?

# %%
import time


def freeze(classifier, n):
    """Freeze the lowest n parts and nothing else; returns how many numbers are left to train."""
    for k, part in enumerate(parts_of(classifier)):
        part.requires_grad_(k >= n)
    return sum(p.numel() for part in parts_of(classifier) for p in part.parameters() if p.requires_grad)


L = len(parts_of(classifier)) - 2
middle = [train_batches[len(train_batches) // 2]] * (1 if profile == "smoke" else 4)
lowest = {"nothing": 0, "embeddings": 1, f"and {L // 2} of {L} layers": 1 + L // 2, "all but the head": 1 + L}
for name, n in lowest.items():
    free = freeze(classifier, n)
    optimizer = torch.optim.AdamW(groups_of(parts_of(classifier), 0.0, 1.0, 0.0))
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    train_on(classifier, middle[:1], optimizer, constant, 1.0, device)  # the first step prepares the optimiser
    started = time.perf_counter()
    train_on(classifier, middle, optimizer, constant, 1.0, device)
    milliseconds = 1000 * (time.perf_counter() - started) / len(middle)
    print(f"frozen: {name:17} {free:11,} numbers learn, {milliseconds:5.0f} ms a step")

# %% [markdown]
# The embeddings are a table, and a lookup costs almost nothing. But their gradient is a table of the same size, nearly all
# zeros, and clipping and AdamW go through all of it. Freezing saves that, and memory: AdamW keeps two more numbers for
# each. Most of the time goes to the layers. With everything below the head frozen, only the way forward is left.
#
# So freeze it all? Then the encoder's vectors never change, and it is enough to compute them **once**. Each epoch
# is then a matter of milliseconds. The question is what it costs.

# %%
class OnlyHead(nn.Module):
    """The classifier's last two steps, for pooled vectors that are ready."""

    def __init__(self, classifier):
        super().__init__()
        self.dropout, self.linear = nn.Dropout(0.1), copy.deepcopy(classifier.linear)

    def forward(self, y, real):
        return self.linear(self.dropout(y))


@torch.no_grad()
def pooled_once(batches):
    classifier.eval()
    ready = ((ids.to(device), real.to(device), labels) for ids, real, labels in batches)
    return [(mean_of(classifier.encoder(ids, real), real), real, labels) for ids, real, labels in ready]


vectors, unseen = pooled_once(train_batches), pooled_once(validation_batches)
head = OnlyHead(classifier).to(device)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
for _ in range(30):
    train_on(head, vectors, optimizer, constant, 1.0, device)
loss, share_right = evaluate_on(head, unseen, device)
print(f"only the head, 30 epochs: validation loss {loss:.3f}, accuracy {share_right:.1%}")

# %% [markdown]
# Better than a coin: some of what the head needs is there already, though this encoder was trained for topics and not
# for opinions. Now we let the layers learn as well, and keep only the embeddings frozen.
#
# **Predict**: which of the two losses will be lower in the end, that of the training sentences or that of the
# validation sentences?

# %%
def fine_tune(classifier, frozen, rate, epochs):
    """Train with our own loop, look at the validation split twice an epoch, end with the best weights."""
    freeze(classifier, frozen)
    steps = epochs * len(train_batches)
    optimizer = torch.optim.AdamW(groups_of(parts_of(classifier), rate, 0.9, 0.01))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share(step, steps // 10, steps))
    stopping = Stopping(classifier, patience=2)
    g = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(train_batches), generator=g) for _ in range(epochs)])
    print("epoch  training loss  validation loss  accuracy  seconds")
    for k, part in enumerate(order.chunk(2 * epochs), 1):
        started = time.perf_counter()
        loss = train_on(classifier, [train_batches[i] for i in part], optimizer, scheduler, 1.0, device)
        unseen, accuracy = evaluate_on(classifier, validation_batches, device)
        print(f"{k / 2:5}  {loss:13.3f}  {unseen:15.3f}  {accuracy:8.1%}  {time.perf_counter() - started:7.1f}")
        if stopping.update(unseen):
            break
    stopping.restore()
    return classifier.eval()


frozen, rate = (0, 3e-5) if profile == "full" else (1, 1e-4)
classifier = fine_tune(new_classifier(), frozen, rate, epochs=2)
tuned = classifier.encoder.bert

# %% [markdown]
# Two things to see. The layers brought what the head alone could not: the gap between the two accuracies is the
# price of freezing everything. And in the second epoch, when every sentence is an old acquaintance, the training
# loss lies below the validation loss, although dropout handicaps it. Part of what the model learns now is these
# sentences, not the language of reviews. Where the validation loss rises again, `restore` goes back to
# where it was lowest.
#
# Now the test split, which we have not looked at, neither for training nor to choose the best weights. That is
# what it is for. And then we **break it on purpose**: we forget `eval()`, and ask for the same sentences three
# times.
#
# **Predict**: in one hundred answers, how many change from one time to the next?

# %%
@torch.no_grad()
def logits_of(classifier, part):
    """The logits (n, C) of a split's sentences, in their order, on the CPU."""
    rows, batches = labelled_batches(part)
    return ordered(rows, [classifier(ids.to(device), real.to(device)).float().cpu() for ids, real, _ in batches])


logits = logits_of(classifier, test)
share_right = (logits.argmax(-1) == test.labels).float().mean().item()
give_or_take = 2 * math.sqrt(share_right * (1 - share_right) / len(test))
print(f"test: {share_right:.1%} of {len(test)} sentences right, give or take {give_or_take:.1%}")
for text in ("I loved every minute of this film.", "I hated every minute of this film."):
    print(f"{chance(classifier, text):4.0%} positive  {text}")
for mode in ("training", "evaluation"):
    classifier.train(mode == "training")
    answers = torch.stack([logits_of(classifier, test[: 3 * size]).argmax(-1) for _ in range(3)])  # (3, n)
    print(f"{mode:10} mode: {(answers != answers[0]).any(0).sum()} of {answers.shape[1]} answers change")

# %% [markdown]
# *Loved* and *hated* are no longer neighbours. Type sentences of your own into the cell above. Where does it
# stumble? We come to that in section 7.
#
# In evaluation mode the same question gets the same answer. In training mode some answers change by chance alone:
# these are the sentences about which the model is unsure. No error, no warning. The only sign is a number that is
# a little different each time.

# %%
quiz("bert.loop")

# %% [markdown]
# ## 7. How good is it?
#
# One number, the accuracy, hides a lot. If nine of ten labels are *positive*, a model that has learned nothing has
# an accuracy of 90%. **Macro F1** gives each class the same say. For class $c$, count the places where it was
# predicted and where it was true:
#
# $$P_c = \frac{\text{both}}{\text{predicted}}, \qquad R_c = \frac{\text{both}}{\text{true}}, \qquad
# F_c = \frac{2 P_c R_c}{P_c + R_c} = \frac{2\,\text{both}}{\text{predicted} + \text{true}}, \qquad
# \text{macro } F = \frac1{|C|} \sum_{c \in C} F_c$$

# %% [markdown]
# ### Exercise [[bert.accuracy]]: Accuracy
# core · 8 minutes · 1 point
#
# `accuracy(logits, labels)` returns a number from 0 to 1. The first of the largest logits is the prediction. Where the
# label is -100 there is no label: such places count neither above nor below the fraction line. Without any label the
# accuracy is 0.
#
# <details><summary>Hint 1</summary>
#
# Begin by finding out what does not count. Then ask: what if nothing is left?
# </details>
# <details><summary>Hint 2</summary>
#
# `keep = labels != -100` says which places count, and `logits.argmax(-1)` takes the first of several largest.
# </details>
# <details><summary>Hint 3</summary>
#
# A place is right where the prediction is the label **and** `keep` is True. Divide their number by that of `keep`, but
# by 1 at least: `max(keep.sum().item(), 1)`.
# </details>

# %% exercise="bert.accuracy"
def accuracy(logits: Float[Tensor, "... C"], labels: Int[Tensor, "..."]) -> float:
    """The share of the labelled places where the first of the largest logits is the label's."""
    ### BEGIN SOLUTION
    keep = labels != -100
    right = (logits.argmax(-1) == labels) & keep
    return right.sum().item() / max(keep.sum().item(), 1)
    ### END SOLUTION

# %% check="bert.accuracy"
check("bert.accuracy", accuracy)

# %% [markdown]
# ### Exercise [[bert.macro_f1]]: Macro F1
# core · 12 minutes · 1 point
#
# `macro_f1(predictions, labels)` returns a number from 0 to 1. Places without a label are dropped. $C$ holds the classes
# that occur among the predictions **or** the labels that are left; without any, the result is 0. $F_c$ is 0 where nothing
# is right, never NaN.
#
# <details><summary>Hint 1</summary>
#
# Drop the places first. Then count for each class: predicted, true, both.
# </details>
# <details><summary>Hint 2</summary>
#
# The classes are `torch.cat([predictions, labels]).unique()` after dropping.
# </details>
# <details><summary>Hint 3</summary>
#
# The second form of $F_c$ has no 0 / 0, since a class in $C$ occurs at least once. With `p == c` and `y == c`, *both* is
# `((p == c) & (y == c)).sum()`.
# </details>

# %% exercise="bert.macro_f1"
def macro_f1(predictions: Int[Tensor, " N"], labels: Int[Tensor, " N"]) -> float:
    """The mean of F over the classes that occur among predictions or labels."""
    ### BEGIN SOLUTION
    keep = labels != -100
    p, y = predictions[keep], labels[keep]
    F_of = [
        2 * ((p == c) & (y == c)).sum().item() / ((p == c).sum() + (y == c).sum()).item()
        for c in torch.cat([p, y]).unique()
    ]
    return sum(F_of) / max(len(F_of), 1)
    ### END SOLUTION

# %% check="bert.macro_f1"
check("bert.macro_f1", macro_f1)

# %% [markdown]
# Answers in words need a measure too, and we need it in section 8. **Exact match** is 1 or 0. **Token F1** is the same
# $F$ with *both* the number of common words (Rajpurkar et al. 2016). Both begin with the words that count.
#
# ### Exercise [[bert.words]]: The words that count
# core · 8 minutes · 1 point
#
# `words(text)` returns a list of words. The text becomes lower case; then all of `string.punctuation` is **deleted**; then
# the words *a*, *an*, *the* are dropped. Every other character stays, accents, dashes and curly quotes among them.
#
# <details><summary>Hint 1</summary>
#
# The order matters: which of the three steps must come last, so that `"The` loses its article?
# </details>
# <details><summary>Hint 2</summary>
#
# Drop articles from the list of words, not letters from the text: *weather* contains *the*.
# </details>
# <details><summary>Hint 3</summary>
#
# `"".join(c for c in text.lower() if ...)` deletes characters, and `split()` without an argument splits at white space of
# all kinds.
# </details>

# %% exercise="bert.words"
import string


def words(text: str) -> list[str]:
    """The words that count: in lower case, without punctuation, without articles."""
    ### BEGIN SOLUTION
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in plain.split() if word not in ("a", "an", "the")]
    ### END SOLUTION

# %% check="bert.words"
check("bert.words", words)

# %% [markdown]
# ### Exercise [[bert.exact_match]]: Exact match
# core · 4 minutes · 1 point
#
# `exact_match(prediction, answer)` is 1 where both texts have the same `words` in the same order, else 0. Call the function
# that you have just written.
#
# <details><summary>Hint 1</summary>
#
# Capitals, punctuation and articles are gone from `words(...)`. What is left to compare?
# </details>
# <details><summary>Hint 2</summary>
#
# Two lists are equal where they have the same items in the same order; two empty ones are.
# </details>
# <details><summary>Hint 3</summary>
#
# `==` between two lists gives a Boolean, and `float(...)` makes 1 or 0 of it.
# </details>

# %% exercise="bert.exact_match"
def exact_match(prediction: str, answer: str) -> float:
    """1 where both have the same words, else 0."""
    ### BEGIN SOLUTION
    return float(words(prediction) == words(answer))
    ### END SOLUTION

# %% check="bert.exact_match"
check("bert.exact_match", exact_match)

# %% [markdown]
# ### Exercise [[bert.token_f1]]: Token F1
# core · 8 minutes · 1 point
#
# `token_f1(prediction, answer)` returns a number from 0 to 1. A word is common as often as it occurs in both. If both texts
# have no `words` it is 1, if one has none it is 0.
#
# <details><summary>Hint 1</summary>
#
# Of the two forms of $F$ the second needs only three counts: common words, words of the prediction, words of the answer.
# </details>
# <details><summary>Hint 2</summary>
#
# `collections.Counter(p) & collections.Counter(a)` keeps of each word the smaller count, and `.total()` adds up.
# </details>
# <details><summary>Hint 3</summary>
#
# `2 * common / (len(p) + len(a))` is 0 / 0 only where both are empty: ask `if p or a` first.
# </details>

# %% exercise="bert.token_f1"
from collections import Counter


def token_f1(prediction: str, answer: str) -> float:
    """2 common / (words of the prediction + words of the answer); 1 where both are empty."""
    ### BEGIN SOLUTION
    p, a = words(prediction), words(answer)
    common = (Counter(p) & Counter(a)).total()
    return 2 * common / (len(p) + len(a)) if p or a else 1.0
    ### END SOLUTION

# %% check="bert.token_f1"
check("bert.token_f1", token_f1)

# %%
accuracy_of, macro_of = use("bert.accuracy", accuracy), use("bert.macro_f1", macro_f1)
exact, overlap = use("bert.exact_match", exact_match), use("bert.token_f1", token_f1)
predictions = logits.argmax(-1)
print(f"accuracy {accuracy_of(logits, test.labels):.3f}, macro F1 {macro_of(predictions, test.labels):.3f}")
always = torch.ones_like(test.labels)
print(f"always 'positive': accuracy {(always == test.labels).float().mean():.3f}, macro F1 {macro_of(always, test.labels):.3f}")

M = torch.bincount(2 * test.labels + predictions, minlength=4).view(2, 2)
fig = heatmap(M, rows="readers say", columns="model says", row_labels=movies.names, column_labels=movies.names, unit="sentences",
              limits=(0, int(M.max())))
for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
    colour = "black" if M[i, j] > M.max() / 2 else "white"
    fig.axes[0].text(j, i, int(M[i, j]), ha="center", va="center", color=colour)
show(fig, alt=f"Confusion matrix of the test sentences. Rows, what readers say; columns, what the model says. Negative: {M[0, 0]} "
     f"right, {M[0, 1]} wrong. Positive: {M[1, 1]} right, {M[1, 0]} wrong.")

# %% [markdown]
# The diagonal is right, the rest is wrong. With two classes of almost the same size, macro F1 says what accuracy says. A
# model that always says *positive* shows the difference: half of the answers are right, and macro F1 is a third, because
# the class that it never finds has an F of 0.
#
# ### Does it know when it is unsure?
# The softmax gives a probability with each answer. If it is honest, then of all answers given with 80%, four in five are
# right. We sort the answers into bins by their confidence and compare. The gap, averaged with the bins' sizes as
# weights, is the **expected calibration error** (Naeini et al. 2015; Guo et al. 2017):
#
# $$\text{ECE} = \sum_k \frac{n_k}{n} \left|\,\text{accuracy}_k - \text{confidence}_k\,\right|$$
#
# **Predict**: will a network that was trained to push the probability of the right class to 1 claim too much, or too
# little?

# %%
confidence = logits.softmax(-1).amax(-1)                          # (n), from 0.5 to 1
right = (predictions == test.labels).float()
bins = ((confidence - 0.5) / 0.05).long().clamp(max=9)            # ten bins, 0.05 wide
n_k = torch.bincount(bins, minlength=10)
seen = n_k > 0
claimed, true = (torch.bincount(bins, weights=x.double(), minlength=10)[seen] / n_k[seen] for x in (confidence, right))
ece = (n_k[seen] / len(test) * (true - claimed).abs()).sum()
print(f"mean confidence {confidence.mean():.3f}, accuracy {right.mean():.3f}, expected calibration error {ece:.3f}")
print(f"{n_k[9] / len(test):.0%} of the answers come with a confidence above 95%; {right[bins == 9].mean():.1%} of them are right")
show(
    curves(claimed, {"this model": true, "honest": claimed}, x_label="confidence, mean of the bin", y_label="share that is right",
           marker="o"),
    alt="Share of right answers over the confidence with which they were given, in ten bins, beside the diagonal. The points "
    "lie below the diagonal where the confidence is between 0.7 and 0.95, and close to it at the right end.",
)

# %% [markdown]
# Where the points lie below the diagonal, the model claims more than it knows; where they lie above it, less. But the
# bins at the left are small: a share among seventy sentences is uncertain by about 0.1. Guo et al. found large modern networks overconfident, and one number
# repairs much of it: divide all logits by a **temperature** that is chosen on the validation split.
#
# ### What does it get wrong?
# Numbers do not say why. So we read the errors, the most confident first, and look for what they have in common.
# **Predict** what you will find.

# %%
positive = logits.softmax(-1)[:, 1]
wrong = (predictions != test.labels).nonzero()[:, 0]
for i in wrong[confidence[wrong].argsort(descending=True)][:8].tolist():
    print(f"{positive[i]:4.0%} positive, readers {test.ratings[i]:+.1f}: {test.texts[i]}")


def share_wrong(chosen):
    chosen = torch.as_tensor(chosen)
    return f"{1 - right[chosen].mean():5.1%} of {int(chosen.sum()):4} wrong"


strength = test.ratings.abs()
turning = {"but", "not", "if", "though", "although", "despite", "yet", "would", "could", "without", "never"}
turns = [bool(turning & set(text.lower().replace("n't", " not").split())) for text in test.texts]
print(f"readers nearly neutral, below 1.5: {share_wrong(strength < 1.5)}   clear, above 2.5: {share_wrong(strength > 2.5)}")
print(f"with a word that turns the sense:  {share_wrong(turns)}   without: {share_wrong([not t for t in turns])}")

# %% [markdown]
# Two things stand out. Where the readers themselves were lukewarm, the model errs more than twice as often as where they
# were sure: part of the "errors" are labels that could have gone the other way. And among the most confident errors are
# sentences that praise first and take it back. The words are positive, the sentence is not. But beware of explaining by
# eight examples: the last line shows that over all sentences, a word that turns the sense makes hardly a difference. Look
# also for irony, for names, and for comparisons with another film.
#
# ### One threshold, two kinds of error
# Calling everything above 50% *positive* is a choice. To print a poster with praise, you want few wrong ones among those
# that you pick: high **precision**. To find every angry customer, you want few missed: high **recall**. Move the
# threshold. What does it cost to have a precision of 95%?

# %%
from coursekit.widgets import precision_and_recall

precision_and_recall(positive, test.labels)

# %%
quiz("bert.threshold")

# %% [markdown]
# No threshold is right in itself. It follows from what each kind of error costs, and it is chosen on the validation
# split, like everything that is chosen.
#
# ## 8. Answers from a text
#
# Classification looks at the sentence as a whole. In **extractive question answering** the answer stands in a text, and the
# model says where. BERT reads `[CLS] question [SEP] passage [SEP]` with segments 0 and 1. The head is one linear
# layer: it gives each token $t$ two logits, $S_t$ that the answer starts there and $E_t$ that it ends there (Devlin et al.
# 2019, sections 4.2 and 4.3):
#
# $$s_{ij} = S_i + E_j, \qquad \text{answer} = \operatorname*{argmax}_{i \,\le\, j \,<\, i + \text{limit}} s_{ij}, \qquad
# \text{no answer if } \max s_{ij} \le S_0 + E_0 + \tau$$
#
# A question without an answer is taught to point at token 0, `[CLS]`, for start and end.
#
# ### Exercise [[bert.spans]]: The best span, or no answer
# challenge · 30 minutes · 3 points
#
# For each row of the batch return the first and the last token of the best span, int64. Both lie where `context` is True, a
# span has at most `limit` tokens, first and last included. Where the best span does not beat token 0 by more than `margin`
# ($\tau$), or where there is no context, return (0, 0). Before you write it: why is it not enough to take the argmax of $S$ and
# the argmax of $E$?
#
# <details><summary>Hint 1</summary>
#
# All pairs of a row fit into a table (T, T): start in the row, end in the column. Which of its cells are allowed?
# </details>
# <details><summary>Hint 2</summary>
#
# `start[:, :, None] + end[:, None, :]` is the table of every row of the batch. The rules $i \le j$ and $j < i + \text{limit}$ are a
# band beside the diagonal: `.triu()` and `.tril(limit - 1)` of a table of ones. Forbidden cells get $-\infty$; a 0 may be larger
# than all allowed scores.
# </details>
# <details><summary>Hint 3</summary>
#
# `scores.flatten(1).max(1)` gives the best score and its number $k$ in each row, and then $i = k$ `// T`, $j = k$ `% T`. At last
# compare with `start[:, 0] + end[:, 0] + margin`. Where no cell is allowed the best score is $-\infty$, and the rule does
# the right thing by itself.
# </details>

# %% exercise="bert.spans"
def best_spans(
    start: Float[Tensor, "B T"], end: Float[Tensor, "B T"], context: Bool[Tensor, "B T"], limit: int, margin: float
) -> Int[Tensor, "B 2"]:
    """First and last token of each row's best span; (0, 0) where it does not beat token 0 by more than the margin."""
    T = start.shape[1]
    ### BEGIN SOLUTION
    band = torch.ones(T, T, dtype=torch.bool, device=start.device).triu().tril(limit - 1)
    allowed = band & context[:, :, None] & context[:, None, :]                     # (B, T, T)
    scores = (start[:, :, None] + end[:, None, :]).masked_fill(~allowed, -torch.inf)
    best, k = scores.flatten(1).max(1)                                             # (B), (B)
    spans = torch.stack([k // T, k % T], 1)                                        # (B, 2)
    return torch.where((best > start[:, 0] + end[:, 0] + margin)[:, None], spans, 0)
    ### END SOLUTION

# %% check="bert.spans"
check("bert.spans", best_spans)

# %% [markdown]
# Now questions. SQuAD has a hundred thousand, written by people. Ours are **synthetic**: true facts about buildings,
# elements, books and countries, put into sentences by a handful of templates, and asked about by others. A quarter have no
# answer in their passage. The test asks about things that training never mentions. Whatever comes out says something
# about these templates, not about English. To save time we do not fine-tune the whole encoder: its lower two thirds stay
# frozen, and above them one layer of exercise [[bert.encoder_layer]] learns together with the head.

# %%
from coursekit.material.passages import synthetic_questions

g = torch.Generator().manual_seed(seed)
n_train, n_test = (32, 16) if profile == "smoke" else (500, 150)
asked = synthetic_questions(n_train, g)
asked_later = synthetic_questions(n_test, g, test=True)
for q in asked_later[:3]:
    print(f"{q.question}\n    {q.passage}\n    {q.answer or '(no answer)'}")
lower = copy.deepcopy(encoder.model).eval()
lower.encoder.layer = lower.encoder.layer[: 2 * len(lower.encoder.layer) // 3]  # the lower two thirds, frozen


@torch.no_grad()
def read(questions):
    """Features (n, T, D) from the frozen layers, real and context (n, T), where answers start and end (n), the encoding."""
    asked, passages = [q.question for q in questions], [q.passage for q in questions]
    inputs = encoder.tokenizer(asked, passages, padding=True, return_tensors="pt")
    X = torch.cat([lower(**{name: x[i : i + 50].to(device) for name, x in inputs.items()}).last_hidden_state
                   for i in range(0, len(questions), 50)])
    context = torch.tensor([[part == 1 for part in inputs.sequence_ids(b)] for b in range(len(questions))])
    token = inputs.char_to_token                                  # from a letter of the passage to its token
    places = [(token(b, q.first, 1), token(b, q.first + len(q.answer) - 1, 1)) if q.answer else (0, 0)
              for b, q in enumerate(questions)]
    return X, inputs["attention_mask"].bool().to(device), context.to(device), torch.tensor(places, device=device), inputs

# %%
class SpanReader(nn.Module):
    """A narrow encoder layer of ours and two logits for each token, on top of frozen features."""

    def __init__(self, D):
        super().__init__()
        self.narrow, self.layer, self.spans = nn.Linear(D, 128), Layer(128, 4, 512), nn.Linear(128, 2)

    def forward(self, X, real):
        return self.spans(self.layer(self.narrow(X), real)).masked_fill(~real[:, :, None], -torch.inf).unbind(-1)


X, real, context, places, _ = read(asked)
torch.manual_seed(seed)
reader = SpanReader(X.shape[-1]).to(device)
steps = (1 if profile == "smoke" else 10) * math.ceil(len(X) / 32)
optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
for step in range(steps):
    i = torch.randint(len(X), (32,), generator=g)
    S, E = reader(X[i], real[i])
    loss = (F.cross_entropy(S, places[i, 0]) + F.cross_entropy(E, places[i, 1])) / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % max(steps // 5, 1) == 0 or step == steps - 1:
        print(f"step {step:3}: loss {loss.item():.3f}")

# %%
best = use("bert.spans", best_spans)


@torch.no_grad()
def answers(questions, margin=0.0):
    X, real, context, _, inputs = read(questions)
    spans = best(*reader(X, real), context, 8, margin).tolist()
    cut = [(inputs.token_to_chars(b, i).start, inputs.token_to_chars(b, j).end) if i else (0, 0) for b, (i, j) in enumerate(spans)]
    return [q.passage[a:z] for q, (a, z) in zip(questions, cut, strict=True)]


def report(name, questions):
    given = answers(questions)
    scores = torch.tensor([[exact(p, q.answer), overlap(p, q.answer)] for p, q in zip(given, questions, strict=True)])
    told = torch.tensor([bool(q.answer) for q in questions])
    print(f"{name:26} exact match {scores[:, 0].mean():.2f}, token F1 {scores[:, 1].mean():.2f}   "
          f"(with an answer {scores[told, 0].mean():.2f}, without {scores[~told, 0].mean():.2f})")
    return given


report("never seen, known things", synthetic_questions(n_test, g))
report("things never seen", asked_later)
distracting = synthetic_questions(n_test, g, test=True, distract=True)
given = report("... and a distraction", distracting)
for p, q in [(p, q) for p, q in zip(given, distracting, strict=True) if not exact(p, q.answer)][:3]:
    print(f"{q.question}\n    {q.passage}\n    said {p or '(no answer)'}, told {q.answer or '(no answer)'}")

# %% [markdown]
# On new things the reader does well: it has learned what an answer looks like. Then we add one sentence that tells the same
# fact of **another** thing. Of the questions with an answer, more than half of what was right is now lost. When asked for a
# year, it may take the year of the wrong thing, or say that there is no answer. Jia and Liang (2017) added such sentences
# for sixteen published readers of SQuAD: their F1 fell from 75% to 36% on average. A test set that is made like the training set does not show it. So the numbers of the second line are true,
# and say less than they seem to.
#
# ## 9. What it learned, layer by layer
#
# Back to the films. Where in the encoder does the opinion sit, and what did fine-tuning change? We take the mean of the tokens
# after each layer, once in the encoder as it came and once in the tuned one. A very simple classifier reads them: whichever
# class's average is nearer. It cannot bend anything, so if it succeeds, the classes lie apart already.
#
# **Predict**: at which depth do the two encoders begin to differ?

# %%
from coursekit.figures import clouds

n = 16 if profile == "smoke" else 300
looked_at, shown = movies.train[:n], test[:n]


@torch.no_grad()
def by_layer(model, part):
    """The mean of each sentence's tokens before the first layer and after each: (L + 1, n, D)."""
    texts = [part.texts[i : i + 50] for i in range(0, len(part), 50)]
    batches = (encoder.tokenizer(some, padding=True, return_tensors="pt").to(device) for some in texts)
    return torch.cat([torch.stack([mean_of(X, batch["attention_mask"].bool()) for X in
                      model(**batch, output_hidden_states=True).hidden_states]).cpu() for batch in batches], 1)


def panel(name, layer):
    """Title and coordinates (n, 2): along the line between the averages, and the widest direction across it."""
    known, new = states[name][0][layer], states[name][1][layer]
    low, high = (known[looked_at.labels == c].mean(0) for c in (0, 1))
    right = ((new - high).norm(dim=1) < (new - low).norm(dim=1)) == shown.labels.bool()
    along, rest = F.normalize(high - low, dim=0), new - new.mean(0)
    across = torch.linalg.svd(rest - (rest @ along)[:, None] * along, full_matrices=False).U[:, 0]
    XY = torch.stack([(new - (low + high) / 2) @ along, across], 1)
    return f"{name}, layer {layer}: {right.float().mean():.0%}", XY / XY.std(0)


models = {"as it came": encoder.model, "fine-tuned": tuned.eval()}
states = {name: (by_layer(model, looked_at), by_layer(model, shown)) for name, model in models.items()}
L = len(tuned.encoder.layer)
panels = dict(panel(name, layer) for name in models for layer in range(0, L + 1, L // 3))
print(*panels, sep="\n")
show(clouds(panels, shown.labels, movies.names, x_label="between the averages", y_label="widest across", per_row=4),
     alt="Test sentences as points at four depths, above as the encoder came, below fine-tuned, with the accuracy of the nearest "
     "average. Above, negative and positive ones overlap at every depth; below they lie apart after the last layer.")

# %% [markdown]
# The embeddings are the same: they were frozen. After two layers the tuned encoder is ahead by a little, after four by
# more, and the last two add hardly any right answers: they draw the two opinions apart, with the doubtful sentences
# between.
# Tenney et al. (2019) found words and grammar low and meaning high, Merchant et al. (2020) that fine-tuning works
# mostly on the top layers. Ours is a small encoder, and in it the change begins further down. What you saw is a picture of a few hundred sentences, seen from the side that shows the
# difference best. It is no proof of what the layers are *for*.
#
# And attention? Choose a head and compare. The widget begins with the head that changed most on this sentence.

# %%
from coursekit.widgets import before_and_after

before_and_after(encoder, tuned)

# %% [markdown]
# ## 10. Where it stands today
#
# - **RoBERTa** (Liu et al. 2019) kept the architecture and changed the recipe: ten times the text, larger batches, longer
#   training, new masks each time a sentence is seen (as your exercise [[bert.mask_tokens]] draws them) and **no next-sentence prediction**.
#   What stayed of exercise [[bert.sentence_pairs]] is the form: a question and its passage are still read as two texts with a
#   separator between them.
# - **ALBERT** (Lan et al. 2020) shares one layer's weights among all; **ELECTRA** (Clark et al. 2020) learns from every token, by
#   telling real words from replaced ones; **DeBERTa** (He et al. 2021) keeps a word and its place in vectors of their own.
# - **DistilBERT** (Sanh et al. 2019) and **MiniLM** (Wang et al. 2020, your encoder's ancestor) are small students of large
#   teachers.
# - **Sentence encoders**: Sentence-BERT (Reimers and Gurevych 2019) trains the mean of exercise [[bert.pooling]] so that like texts lie
#   close. Search and retrieval for chat models run on its descendants.
# - **ModernBERT** (Warner et al. 2024) brings back to the encoder what decoders learned in the meantime: rotary positions, pre-norm, gated
#   feed-forward layers, local and global attention in turns, unpadded batches, 8,192 tokens.
#
# Chat models are decoders, and they can classify too. Where a million texts have to be sorted or searched, an encoder of this
# size still does it for a small part of the cost.
#
# ## What you can do now
#
# You have
# 1. turned raw text into batches in which no sentence notices its padding;
# 2. written BERT from its embeddings to its two pretraining tasks, and pretrained a small one;
# 3. fine-tuned a pretrained encoder with a training loop of your own, and kept the best of what it was;
# 4. measured what it learned, looked at what it gets wrong, and said what later encoders changed.
#
# ## Papers
#
# - Devlin et al. 2019, [BERT](https://arxiv.org/abs/1810.04805): sections 3 and 4, appendix A
# - Wu et al. 2016, [Google's Neural Machine Translation System](https://arxiv.org/abs/1609.08144): section 4.1, WordPiece
# - Liu et al. 2019, [RoBERTa](https://arxiv.org/abs/1907.11692); Lan et al. 2020, [ALBERT](https://arxiv.org/abs/1909.11942);
#   Clark et al. 2020, [ELECTRA](https://arxiv.org/abs/2003.10555); He et al. 2021, [DeBERTa](https://arxiv.org/abs/2006.03654);
#   Warner et al. 2024, [ModernBERT](https://arxiv.org/abs/2412.13663)
# - Sanh et al. 2019, [DistilBERT](https://arxiv.org/abs/1910.01108); Wang et al. 2020, [MiniLM](https://arxiv.org/abs/2002.10957);
#   Reimers and Gurevych 2019, [Sentence-BERT](https://arxiv.org/abs/1908.10084)
# - Rajpurkar et al. 2016, [SQuAD](https://arxiv.org/abs/1606.05250); Rajpurkar et al. 2018, [SQuAD
#   2.0](https://arxiv.org/abs/1806.03822); Jia and Liang 2017, [Adversarial Examples for Reading
#   Comprehension](https://arxiv.org/abs/1707.07328)
# - Guo et al. 2017, [On Calibration of Modern Neural Networks](https://arxiv.org/abs/1706.04599); Naeini et al. 2015, Obtaining
#   Well Calibrated Probabilities Using Bayesian Binning (AAAI)
# - Tenney et al. 2019, [BERT Rediscovers the Classical NLP Pipeline](https://arxiv.org/abs/1905.05950); Merchant et al. 2020,
#   [What Happens To BERT Embeddings During Fine-tuning?](https://arxiv.org/abs/2004.14448)
# - Press and Wolf 2017, [Using the Output Embedding](https://arxiv.org/abs/1608.05859); Chen et al. 2024, [Sudden Drops in the
#   Loss](https://arxiv.org/abs/2309.07311)
# - Howard and Ruder 2018, [ULMFiT](https://arxiv.org/abs/1801.06146): rates for each layer
# - Hutto and Gilbert 2014, VADER (ICWSM): the rated film snippets
#
# *Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Code: BSD 3-Clause. Copyright: the authors of this course.*

# %%
quiz("bert.recipe")

# %%
progress()
