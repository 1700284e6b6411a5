# ---
# jupyter:
#   coursekit:
#     title: BERT
#     question: How does filling in missing words teach a machine to judge a film review?
#     goals:
#       - Turn raw text into batches in which no sentence notices its padding (section 2).
#       - Write BERT from its embeddings to its two pretraining tasks, and pretrain a small one (sections 3 and 4).
#       - Fine-tune a pretrained encoder with a training loop of your own, and keep the best of what it was (sections 5 and 6).
#       - Measure what it learned against honest controls, and say who deserves the credit (sections 7 to 12).
#     minutes: 480
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
# about the world. BERT (Devlin et al. 2019) learns from that game, and from one other that most of its heirs left
# out, on text that nobody had to label. Then a few thousand labelled sentences are enough to make it useful.
# Or so the story goes. In section 8 you put it to the test, with controls, and the answer has two sides.

# %% [markdown]
# When you have finished this chapter you will be able to
# 1. turn raw text into batches in which no sentence notices its padding (section 2);
# 2. write BERT from its embeddings to its two pretraining tasks, and pretrain a small one (sections 3 and 4);
# 3. fine-tune a pretrained encoder with a loop of your own, and keep the best of what it was (sections 5 and 6);
# 4. measure what it learned against honest controls, and say who deserves the credit (sections 7 to 12).

# %% [markdown]
# You need attention and masks, as in chapter 2, and PyTorch modules, optimisers and the cross-entropy loss. The
# chapter takes about eight hours in six sittings, and your progress is kept.
#
# | sitting | sections | minutes | must be done | may be left out |
# |---|---|---|---|---|
# | 1 | 1, 2 | 75 | exercise [[bert.batches]] | how a vocabulary is learned |
# | 2 | 3 | 80 | exercise [[bert.encoder_layer]] | exercise [[bert.count_weights]] |
# | 3 | 4 | 90 | exercises [[bert.mask_tokens]], [[bert.mlm_head]] | exercise [[bert.sentence_pairs]] |
# | 4 | 5, 6 | 90 | exercises [[bert.pooling]], [[bert.fine_tuning]] | exercise [[bert.parameter_groups]] |
# | 5 | 7, 8 | 60 | section 8 and its question | exercise [[bert.macro_f1]] |
# | 6 | 9 to 12 | 85 | section 11 | exercises [[bert.spans]], [[bert.word_labels]], section 10 |

# %% tags=["parameters"]
profile = "fast"  # "smoke" takes seconds, "full" wants a GPU and BERT-base; the prose tells of "fast"
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
from coursekit.diagrams import diagram
from coursekit.figures import curves, heatmap
from coursekit.predictions import came_out, predict
profile, device = ck.profile(profile), ck.device(device)

# %% [markdown]
# ## 1. Watch it work
# **Sitting 1 of 6**, 75 minutes. Exercise [[bert.batches]] must be done. How a vocabulary is learned may be left out.
#
# Here is a small pretrained encoder of BERT's architecture. It cuts a sentence into **tokens**, words or pieces of
# words, puts one special token in front (`[CLS]`, for classification) and one at the end (`[SEP]`, for separation), and
# gives a vector for each. Their mean stands for the sentence. The cosine of two vectors says how alike the sentences are
# to it. It is 1 where the vectors point the same way, and 0 where they have nothing in common.

# %%
predict("bert.nearest")

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

# %%
print(f"loved and hated: {cosines[0, 1]:.2f}   loved and joy: {cosines[0, 2]:.2f}")
opposite, same_opinion = "The opposite opinion", "The same opinion in other words"
came_out("bert.nearest", opposite if cosines[0, 1] > cosines[0, 2] else same_opinion)
numbered = [f"{k}  {sentence}" for k, sentence in enumerate(sentences, 1)]
fig = heatmap(cosines, rows="", columns="sentence", row_labels=numbered, column_labels=list("1234567"),
              unit="cosine", numbers=".2f")
show(fig, "bert.cosines", hated=cosines[0, 1].item(), joy=cosines[0, 2].item())

# %% [markdown]
# <details><summary>What happened</summary>
#
# Broth and soup, trains and commuters: each pair has found its partner, and they share no telling word. That is
# more than counting words can do. But *loved* and *hated* are the nearest pair of all. This encoder was trained to
# find texts **about the same thing**, and both are about every minute of a film. Its training never asked for
# opinions. In section 6 yours will.
# </details>
#
# Remember where this encoder comes from, because section 8 will ask who earned its success. A large model filled in
# tokens, a small one was taught to imitate it ([MiniLM](https://arxiv.org/abs/2002.10957), Wang et al. 2020), and that one
# learned from more than a billion pairs of sentences which belong together.

# %%
quiz("bert.nearest_pair")

# %% [markdown]
# ## 2. Text into batches
#
# A model needs a finite vocabulary, and language has none, because there are always new names, typing errors and new
# words. Letters are few, but make long sequences. [[term: WordPiece | a way to cut words into the longest pieces that a vocabulary holds; a piece inside a word begins with ##]] is the compromise that BERT uses. Frequent words are one
# piece, rare words are cut into pieces. A piece that goes on inside a word begins with `##`.

# %% tags=["nbval-check-output"]
vocabulary = encoder.tokenizer.get_vocab()
print(f"{len(vocabulary):,} pieces")
for word in ("film", "heartfelt", "tragicomedy", "unspielberglike"):
    print(f"{word:16}", *encoder.tokenizer.tokenize(word))

# %% [markdown]
# Look at *tragicomedy*. You would have cut it into *tragi* and *comedy*. The rule knows nothing of meaning. It is
# greedy. From the left, take the **longest** piece that the vocabulary has, then the longest piece of what is left.

# %% [markdown]
# ### Exercise [[bert.wordpiece]]: WordPiece by greedy longest match
# core · importance 3 of 5 · 20 minutes · 2 points
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
backend = encoder.tokenizer.backend_tokenizer                     # makes lower case, splits at spaces
text = backend.normalizer.normalize_str(" ".join(movies.train.texts[:1500]))
spelled = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
distinct = sorted({*spelled})
print(f"{len(movies.train):,} sentences from reviews, for example: {movies.train.texts[0]}")

# %%
cut = use("bert.wordpiece", wordpiece)
pieces = {word: cut(word, vocabulary) for word in distinct}
same = sum(pieces[word] == encoder.tokenizer.tokenize(word) for word in distinct)
whole = sum(len(found) == 1 for found in pieces.values())
print(f"{same:,} of {len(distinct):,} words are cut as the tokenizer cuts them")
print(f"{whole / len(distinct):.0%} are one piece; the longest cuts are")
for word in sorted(distinct, key=lambda word: -len(pieces[word]))[:3]:
    print(f"{word:20}", *pieces[word])

# %% [markdown]
# These are sentences from film reviews, each rated by several readers (Hutto and Gilbert 2014). They stay with us
# for the whole chapter, and we look at those for training only until section 7. Your function cuts every word as the
# tokenizer does. Most words are one piece, and rare ones are spelled out, not thrown away. A sentence becomes the ids of
# its pieces, between `[CLS]` and `[SEP]`.

# %% [markdown]
# ### How a vocabulary is learned
# Your function *used* a vocabulary. To *learn* one, begin with single letters and join the best pair of neighbours, again
# and again, until the vocabulary is full. What *best* means makes the difference. [[term: Byte-pair encoding (BPE) | a vocabulary learned by joining the most frequent pair of neighbours again and again]] joins the pair that is most
# frequent ([Sennrich et al. 2016](https://arxiv.org/abs/1508.07909)). WordPiece divides by how often the two occur at
# all, so that it prefers pieces that are seldom seen apart.
#
# $$\text{BPE: } n(a\,b) \qquad\qquad \text{WordPiece: } \frac{n(a\,b)}{n(a)\,n(b)}$$

# %%
import itertools
from collections import Counter
from coursekit.material.vocabulary import join


def learn(counts, score, merges):
    """The pieces that the first merges make; the pair with the highest score becomes one piece."""
    cuts = {word: list(word) for word in counts}
    made = []
    for _ in range(merges):
        singles, pairs = Counter(), Counter()
        for word, n in counts.items():
            singles.update({a: n * cuts[word].count(a) for a in {*cuts[word]}})
            for pair in itertools.pairwise(cuts[word]):
                pairs[pair] += n
        best_pair = max(pairs, key=lambda pair: score(pairs[pair], singles[pair[0]], singles[pair[1]]))
        made.append("".join(best_pair))
        cuts = {word: join(found, best_pair) for word, found in cuts.items()}
    return made


counts_of = {word: n for word, n in Counter(spelled).items() if n >= 5 and word.isalpha()}
print("BPE      ", *learn(counts_of, lambda ab, a, b: ab, 12))
print("WordPiece", *learn(counts_of, lambda ab, a, b: ab / (a * b), 12))

# %% [markdown]
# BPE begins with what is frequent in English, such as *th* and *the*. The ratio begins with letters that hardly occur
# without each other. Google never published the code that learned BERT's
# vocabulary, and the ratio is the account of [Hugging Face's course](https://huggingface.co/learn/llm-course/chapter6/6).
# Their library's own `WordPieceTrainer` joins pairs as BPE does, and so did ours for the vocabulary of section 4. What
# makes a tokenizer WordPiece in practice is how it is **used**, by longest match. GPT's tokenizers learn by BPE and cut by
# it too. They replay the merges in the order in which they were learned.

# %%
quiz("bert.greedy")

# %% [markdown]
# ### Sentences of different lengths
# A batch is a rectangle, and sentences differ in length. So short ones are filled up with `[PAD]`, the
# [[term: padding | filler tokens that make all sentences of a batch equally long; house word: filler]] (we also say
# **filler**). A Boolean tensor says which tokens count. We call it `real`, the field calls it
# [[term: padding mask | which positions of a batch hold tokens and which hold padding; house word: real]] or
# `attention_mask`. The filler is computed like everything else, and thrown away.
#
# We take the training sentences in batches of 32 as they come, each batch filled up to its longest sentence.

# %%
predict("bert.filler_share")

# %% [markdown]
# ### Exercise [[bert.batches]]: Padding, masks and batches by length
# core · importance 5 of 5 · 25 minutes · 3 points
#
# Three short functions. `pad` makes the rectangle for one batch, as wide as its longest sentence, filler on the right.
# `batches_by_length` says which sentences share a batch. They are neighbours in length, `size` of them, and the last batch
# may be smaller. It returns the **indices** of the sentences. `in_order` undoes it: `results[k]` has a row for
# each sentence of `batches[k]`, and row $i$ of the answer must be that of sentence $i$.
#
# Careful, any id may occur in a sentence, that of the filler too. Only the lengths say what is filler.
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
# `real` is `torch.arange(T) < lengths[:, None]`, with the lengths as a tensor. If `order` lists the indices as they
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
    """The indices of the sentences in batches of neighbours in length; each sentence in exactly one batch."""
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
    """The indices of the sentences in each batch, and the batches themselves."""
    batches = way([len(sentence) for sentence in sentences], size)
    return batches, [padded([sentences[i] for i in batch], pad_id) for batch in batches]

# %%
panels, shares, ways = {}, {}, {"as they come": as_they_come, "by length": by_length}
for name, way in ways.items():
    real = torch.cat([real.flatten() for _, real in batches_of(snippets, way, 32)[1]])
    shares[name] = 100 * (1 - real.float().mean().item())
    print(f"batches of 32 {name:12}: {shares[name]:.1f}% of {len(real):,} tokens are filler")
    rows = [row for _, real in batches_of(snippets[:96], way, 8)[1] for row in real]
    panels[name] = torch.stack([F.pad(row + 1, (0, 64))[:64] for row in rows])  # 0, 1 and 2 as named below
came_out("bert.filler_share", round(shares["as they come"], 1))
fig = heatmap(panels, rows="sentence, 8 to a batch", columns="place", names=("not there", "filler", "token"),
              unit="", per_row=2)
show(fig, "bert.filler", come=shares["as they come"], sorted=shares["by length"])

# %% [markdown]
# <details><summary>What happened</summary>
#
# Nearly half of the work was for nothing, and sorting saves it. On the right, hardly any filler is left. A fixed
# width of 128 or 512, as many scripts have it, is worse than either.
# </details>
#
# Does a sentence get the **same vector** in other company? That is the law to test.

# %%
some = snippets[: 40 if profile == "smoke" else 128]
alike = []
for way in ways.values():
    batches, filled = batches_of(some, way, 32)
    alike.append(ordered(batches, [sentence_vectors(ids, real) for ids, real in filled]))
print(f"largest difference: {(alike[0] - alike[1]).abs().max():.0e}")

# %% [markdown]
# At most a rounding error is left, so sorting costs nothing when we **evaluate**. When we train, the batches must not
# come in the order of length, or the model reads all short sentences first. Shuffle the batches.

# %% [markdown]
# ## 3. The encoder
# **Sitting 2 of 6**, 80 minutes. Exercise [[bert.encoder_layer]] must be done, [[bert.count_weights]] may be left out.
#
# An id is a row number. BERT looks up three rows for each token and adds them. They say **what** it is, **which
# sentence** it belongs to (its [[term: segment | 0 or 1: whether a token belongs to the first or the second of two sentences that are read together]] $s$), and **where** it stands. All three tables are learned, and a layer norm
# follows.
#
# [[formula: BERT's embeddings | ids and segments (B, T), x (B, T, D)]]
# $$x_t = \operatorname{Norm}\left(E^{\text{token}}_{\text{id}_t} + E^{\text{segment}}_{s_t}
# + E^{\text{position}}_t\right), \qquad t = 0, 1, \dots, T - 1$$

# %%
diagram("bert.input")

# %% [markdown]
# ### Exercise [[bert.embeddings]]: Mend the embeddings
# core · importance 4 of 5 · 10 minutes · 2 points
#
# The class below was left by a colleague. It runs, shapes fit, and a model trained on it learns something. But one line
# of `forward` is wrong, and the two lines that are printed give it away. Copy `forward` into the exercise's cell and mend
# it. Gradients must reach all three tables.
#
# <details><summary>Hint 1</summary>
#
# The first line says that the order of tokens makes no difference. The second one says that something makes a difference
# which must not. What is counted, and what should be?
# </details>
# <details><summary>Hint 2</summary>
#
# Positions are 0 to $T - 1$ in every sentence. The ids have shape (B, T), and `len(ids)` is $B$.
# </details>
# <details><summary>Hint 3</summary>
#
# `torch.arange(ids.shape[1], device=ids.device)` has the positions. Looked up, they give (T, D), which broadcasts over the
# batch without any `None`.
# </details>

# %%
class GivenEmbeddings(nn.Module):
    """X = Norm(token + segment + position), as a colleague left it."""

    def __init__(self, V, D, longest):
        super().__init__()
        self.token, self.segment = nn.Embedding(V, D), nn.Embedding(2, D)
        self.position, self.norm = nn.Embedding(longest, D), nn.LayerNorm(D, eps=1e-12)

    def forward(self, ids, segments):
        t = torch.arange(len(ids), device=ids.device)[:, None]
        return self.norm(self.token(ids) + self.segment(segments) + self.position(t))


torch.manual_seed(seed)
given = GivenEmbeddings(9, 8, 16)
bites = torch.tensor([[1, 2, 3], [3, 2, 1], [1, 2, 3]])           # dog bites man, man bites dog, dog bites man
X_given = given(bites, torch.zeros_like(bites))                   # (3, 3, 8)
backwards = given(bites[:1].flip(1), torch.zeros_like(bites[:1]))
print("tokens in another order have the same vectors:", torch.equal(X_given[:1].flip(1), backwards))
print("one sentence has one vector in every row:     ", torch.equal(X_given[0], X_given[2]))

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
# noise and are learned.

# %%
predict("bert.positions")

# %%
positions = encoder.model.embeddings.position_embeddings.weight[:64].detach().cpu()  # (64, D)
directions = F.normalize(positions, dim=-1)
between = directions @ directions.T                               # (64, 64)
near, far = between[10, 11].item(), between[10, 40].item()
print(f"positions 10 and 11: {near:.2f}   10 and 40: {far:.2f}   0 and all others: {between[0, 1:].mean():.2f}")
options = ("Neighbours are more alike", "All pairs are about equally alike", "Distant ones are more alike")
came_out("bert.positions", options[0 if near > far + 0.1 else 1 if near > far - 0.1 else 2])
show(heatmap(between, rows="position", columns="position", unit="cosine"), "bert.positions", near=near, far=far)

# %% [markdown]
# <details><summary>What happened</summary>
#
# Stripes along the diagonal. What counts is the **distance** between two positions, and the likeness swings as it
# grows, as it does for sinusoids. That was not built in. Position 0 is a stranger to all others, because only `[CLS]`
# ever stands there.
# </details>

# %% [markdown]
# ### A layer
# Each layer is attention and a feed-forward network, each followed by *add and norm*
# ([[term: post-norm | the order of 2017: the layer norm comes after the residual is added]]). The mask $m_j$ is 0 where
# token $j$ is real and $-\infty$ where it is filler.
#
# [[formula: BERT's layer | X, X', Y (B, T, D), q and k (B, H, T, d), m (B, T), W_1 (4D, D), W_2 (D, 4D)]]
# $$\begin{aligned}
# A &= \operatorname{softmax}_j\left(\frac{q_i \cdot k_j}{\sqrt d} + m_j\right) \\
# X' &= \operatorname{Norm}_1(X + \operatorname{merge}(AV)\,W_O^\top + b_O) \\
# Y &= \operatorname{Norm}_2(X' + W_2 \operatorname{GELU}(W_1 X' + b_1) + b_2)
# \end{aligned}$$
#
# There is no causal mask, so every token reads in **both directions**. That is the B in BERT.

# %%
diagram("bert.layer")

# %% [markdown]
# ### Exercise [[bert.encoder_layer]]: An encoder layer that padding does not touch
# core · importance 5 of 5 · 30 minutes · 3 points
#
# `__init__` is given; write `forward`. $Q$, $K$ and $V$ are `query(X)`, `key(X)` and `value(X)`, cut into $H$ heads
# of width $d = D / H$; `output` holds $W_O$ and $b_O$, `up` and `down` hold $W_1$ and $W_2$ with their biases. What a
# real token becomes must not depend on what stands where the filler is. Filler itself may become any number, but not
# NaN, which would spread. You have written attention before, so `F.scaled_dot_product_attention` is allowed.
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

    def __init__(self, D: int, H: int, inner: int):
        super().__init__()
        self.H = H
        self.query, self.key, self.value, self.output = (nn.Linear(D, D) for _ in range(4))
        self.norm_attention, self.norm_output = nn.LayerNorm(D, eps=1e-12), nn.LayerNorm(D, eps=1e-12)
        self.up, self.down = nn.Linear(D, inner), nn.Linear(inner, D)

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
# `small_weights` is how BERT's own code starts, with standard deviation 0.02. One thing is left out. In training, BERT has
# [[term: dropout | in training, each number is set to 0 with probability p and the others are divided by 1 - p]] (0.1)
# after the embeddings, on the attention weights and before each residual is added.
#
# Is the result really BERT? The second cell loads the weights of the encoder from section 1, by name, and compares on
# four reviews with their padding.

# %%
Embeddings, Layer = use("bert.embeddings", BertEmbeddings), use("bert.encoder_layer", EncoderLayer)


def small_weights(module):
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


class TinyBert(nn.Module):
    """L encoder layers above the embeddings, each with a feed-forward network of width 4D, as in BERT."""

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
print(f"D = {width}, L = {depth}, H = {heads} and {encoder.longest} positions")
print(f"{sum(p.numel() for p in mine.parameters()):,} weights loaded by name, and the vectors of all real tokens agree")

# %% [markdown]
# You have written the encoder that the library `transformers` runs in evaluation mode, with the same weights and the same
# vectors. BERT-base has the same vocabulary and as many positions, but twice the width and twice the layers.

# %% [markdown]
# ### Exercise [[bert.count_weights]]: How many numbers has BERT-base?
# core · importance 2 of 5 · 10 minutes · 1 point
#
# BERT-base has $V = 30{,}522$ tokens, 512 positions, $D = 768$ and $L = 12$. Work the number out by hand, and return it as a
# whole number. Count the encoder as you have written it, which is the three tables with their norm, and the layers with
# their feed-forward networks of width $4D$. Biases count, and so do both vectors of each norm; heads and the pooler do
# not. (The paper rounds what it counts to 110 million.)
#
# <details><summary>Hint 1</summary>
#
# A linear map from $a$ to $b$ numbers has $ab + b$ of them. A layer norm has $2D$.
# </details>
# <details><summary>Hint 2</summary>
#
# The embeddings have $(30522 + 2 + 512 + 2)\,D$. A layer has four maps from $D$ to $D$, one up, one down, two norms.
# </details>
# <details><summary>Hint 3</summary>
#
# A layer has $4(D^2 + D) + (4D^2 + 4D) + (4D^2 + D) + 4D = 12D^2 + 13D$.
# </details>

# %% exercise="bert.count_weights"
def bert_base() -> int:
    """How many numbers the encoder of BERT-base has."""
    ### BEGIN SOLUTION
    V, D, L, longest = 30522, 768, 12, 512
    return (V + 2 + longest + 2) * D + L * (12 * D**2 + 13 * D)
    ### END SOLUTION

# %% check="bert.count_weights"
check("bert.count_weights", bert_base)

# %% [markdown]
# ### Break it on purpose
# Forget the padding mask. It is easily done, because nothing fails. Shapes fit, and numbers look like numbers. We
# put filler behind *A joy from the first scene to the last*, and ask how far its vector moves. The mean is over its
# real tokens in any case; only attention reads the filler.

# %%
predict("bert.mask_forgotten")

# %%
review = encoder.tokenizer(sentences[2])["input_ids"]


@torch.no_grad()
def vector(fillers, forget=False):
    """The mean of the review's real tokens, with this many fillers behind it."""
    ids = torch.tensor([review + [pad_id] * fillers], device=device)
    real = torch.arange(ids.shape[1], device=device)[None] < len(review)
    X = mine(ids, torch.zeros_like(ids), torch.ones_like(real) if forget else real)
    return X[real].mean(0).cpu()                                  # (D)


alone, fillers = vector(0), [0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64]
moved = {
    name: [torch.cosine_similarity(vector(n, forget), alone, dim=0).item() for n in fillers]
    for name, forget in (("with the mask", False), ("mask forgotten", True))
}

# %%
forgotten = dict(zip(fillers, moved["mask forgotten"], strict=True))
enough = next((n for n, c in forgotten.items() if c < cosines[0, 1]), fillers[-1])
print(f"The review has {len(review)} tokens. With the mask forgotten, {enough} fillers leave it a cosine of "
      f"{forgotten[enough]:.2f} with itself, and 64 of {forgotten[64]:.2f}.")
came_out("bert.mask_forgotten", enough)
fig = curves(fillers, moved, x_label="filler behind the review (tokens)", y_label="cosine with its vector alone",
             marker="o", levels={"from loved to hated": cosines[0, 1].item()})
show(fig, "bert.mask_forgotten", enough=enough, last=forgotten[64])

# %% [markdown]
# <details><summary>What happened</summary>
#
# With the mask, company does not matter. Without it, a little more filler than the review has tokens is enough to
# move it as far as the opposite opinion. The same review then has another vector in every batch, depending on which
# sentence happened to be the longest. `[PAD]` has an embedding, a position, a key and a value, as words have.
# </details>

# %% [markdown]
# ### Exercise [[bert.test_mask]]: A test that tells whether padding is read
# stretch · importance 3 of 5 · 20 minutes · 3 points
#
# Nothing fails when a mask is forgotten, so write what makes it fail. `mask_test(layer)` is called with encoder layers
# of width 8 that map `(X, real)` to `Y`, with $X$ and $Y$ (B, T, 8) in float64. It must raise an `AssertionError` for each
# layer in which a real token reads filler, and for each whose result on a real token is NaN. It must accept every right
# one, and right ones may put any number on filler and may round differently. Some wrong ones look at filler only a
# little, or in one row of the batch, or only on one side of the sentence.
#
# <details><summary>Hint 1</summary>
#
# The law is in exercise [[bert.encoder_layer]]. Call the layer twice with the same real tokens. What differs?
# </details>
# <details><summary>Hint 2</summary>
#
# Change $X$ where `real` is False, by large numbers, and compare `Y[real]`. Take several rows with different lengths, and
# filler on the left as well as on the right.
# </details>
# <details><summary>Hint 3</summary>
#
# `torch.where(real[:, :, None], X, other)` exchanges the filler. Try other numbers of size 1 and of size 100, then
# `torch.testing.assert_close(layer(X_other, real)[real], layer(X, real)[real])`, which also refuses NaN.
# </details>

# %% exercise="bert.test_mask"
def mask_test(layer) -> None:
    """Raises AssertionError where a real token of layer(X, real) depends on what stands on filler."""
    ### BEGIN SOLUTION
    g = torch.Generator().manual_seed(0)
    real = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()
    X = torch.randn(4, 6, 8, generator=g, dtype=torch.float64)
    for size in (1.0, 30.0):
        other = size * torch.randn(4, 6, 8, generator=g, dtype=torch.float64)
        changed = torch.where(real[:, :, None], X, other)
        torch.testing.assert_close(layer(changed, real)[real], layer(X, real)[real])
    ### END SOLUTION

# %% check="bert.test_mask"
check("bert.test_mask", mask_test)

# %%
quiz("bert.filler")

# %% [markdown]
# ## 4. Pretraining
# **Sitting 3 of 6**, 90 minutes. Exercises [[bert.mask_tokens]] and [[bert.mlm_head]] must be done, [[bert.sentence_pairs]]
# may be left out.
#
# Where do good weights come from? Labelled sentences are few and cost money. Plain text costs nothing, and it
# contains questions with their answers, for if you cover a word, the text itself knows what stood there.
#
# A model like GPT is asked for the **next** token and sees only the past. BERT reads in both directions, so it cannot be
# asked for the next token, which it would see. It is asked for tokens that were hidden from it, and may use what stands
# before *and* after. That is [[term: masked language modelling (MLM) | tokens are hidden at random, and the model says what stood there; house word: filling in]].

# %% [markdown]
# Our text is the State of the Union addresses from 1961 to 2021, and *Moby-Dick*. Every twentieth document is
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
# ### Hide some tokens
# Of all tokens, 15% are chosen at random. If each became `[MASK]`, pretraining would only see texts with `[MASK]`, and
# in use no text holds one. To soften that, a coin with three sides is tossed for each chosen token
# (Devlin et al. 2019, section 3.1).
#
# | share of the chosen | the model sees | what it might learn |
# |---|---|---|
# | 80% | `[MASK]` | guess from the neighbours |
# | 10% | a random token | do not trust what you see |
# | 10% | the token itself | but do not throw it away |
#
# In all three cases the token that stood there is the answer. The **label** of a chosen token is its id. All other
# labels are $-100$, the number that PyTorch's cross-entropy leaves out.

# %%
predict("bert.masks")

# %% [markdown]
# ### Exercise [[bert.mask_tokens]]: Hide 15% of the tokens, and of those 80/10/10
# core · importance 5 of 5 · 25 minutes · 3 points
#
# Every token is chosen with probability 0.15, independently of all others. Filler (`real` is False) and every id in
# `special`, here `[CLS]` and `[SEP]`, are never chosen and never changed. `mask_id` is the id of
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
# of its own, because among chosen tokens the first number is always below 0.15.
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
    """The ids with tokens hidden, and the labels: the token where one was chosen, -100 elsewhere."""
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
line = tokenizer("We choose to go to the moon in this decade and do the other things.", return_tensors="pt")
ids, real = line["input_ids"], line["attention_mask"].bool()
g = torch.Generator().manual_seed(seed)
for _ in range(3):
    hidden, labels = masked(ids, real, special, tokenizer.mask_token_id, V, g)
    asked = labels != -100
    print(tokenizer.decode(hidden[0]), "  asks for:", *tokenizer.convert_ids_to_tokens(labels[asked]))
many = torch.randint(len(special) + 5, V, (1, 100_000), generator=g)
hidden, _ = masked(many, torch.ones_like(many).bool(), special, tokenizer.mask_token_id, V, g)
came_out("bert.masks", round((hidden == tokenizer.mask_token_id).float().mean().item() * 100, 1))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Of 100 tokens 15 are chosen, of which 12 become `[MASK]`. Every call hides others, so a sentence is a new riddle in
# every epoch.
# </details>
#
# Little is asked each time, where a model that predicts the next token learns from every token. That is the price for
# reading in both directions. It is lower than one might think. In the paper's own comparison the model that fills in
# needs somewhat more steps than one that reads from left to right, and is ahead of it almost at once (appendix C.1).

# %% [markdown]
# ### Answer with the embedding
# The encoder gives a vector $x_t$ for each token. To name the hidden token, it needs a score for each of the $V$
# tokens of the vocabulary. BERT asks which token's **embedding** is most like the vector. So it scores with the
# embedding matrix $E$ itself, after one small layer.
#
# [[formula: Masked-token head and its loss | x and h (B, T, D), E (V, D), c (V), z (B, T, V), M is the set of chosen places]]
# $$h_t = \operatorname{Norm}(\operatorname{GELU}(W x_t + b)), \qquad z_t = E\,h_t + c, \qquad
# \mathcal L = -\frac{1}{|M|} \sum_{t \in M} \log \operatorname{softmax}(z_t)_{y_t}$$

# %% [markdown]
# $M$ are the places with a label $y_t \ne -100$, in the whole batch. $E$ is the *same* $E$ that the embeddings look
# up. The weights are [[term: tied weights | one matrix under two names, here as the embedding and as the last layer]]
# (Press and Wolf 2017). Only the bias $c$, one number for each token, is the decoder's own. It can learn that *the* is
# frequent.

# %% [markdown]
# ### Exercise [[bert.mlm_head]]: The masked-token head and its loss
# core · importance 4 of 5 · 25 minutes · 3 points
#
# `dense` and `norm` are given. Add `decoder`, a linear layer from $D$ to $V$ with a bias, whose weight **is**
# `token.weight`: one Parameter with two names, not a copy. Then write `forward` for vectors of any leading shape, and
# the loss, which leaves the head's mode as it is.
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
# BERT's second task looks at two sentences at once. (Its "sentence" is any stretch of text, and two of them had up to 512
# tokens.) The model reads
#
# `[CLS] A [SEP] B [SEP]`, with segment 0 up to the first `[SEP]` and segment 1 after it,
#
# and says from the vector of `[CLS]` whether $B$ followed $A$ in the text (`is_next` = 1) or comes from another
# document. For that, `[CLS]` must gather what the sentences are about.

# %% [markdown]
# ### Exercise [[bert.sentence_pairs]]: Pairs of sentences: next, or from elsewhere
# core · importance 2 of 5 · 25 minutes · 3 points
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

# %%
WordHead, word_loss = use("bert.mlm_head", MaskedWordHead, masked_word_loss)


class Pretraining(nn.Module):
    """BERT with both heads: vectors (B, T, D) for the tokens, logits (B, 2) for "does B follow A"."""

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
    """Both losses of a batch: masked tokens, next sentence."""
    ids, segments, real, labels, is_next = (x.to(device) for x in batch)
    X, follows = model(ids, segments, real)
    asked = labels != -100                                        # one long row of all that is asked
    return word_loss(model.words, X[asked][None], labels[asked][None]), F.cross_entropy(follows, is_next)

# %%
longest = 64


def pair_batches(documents, size, g):
    """One epoch in shuffled batches of like length: ids with hidden tokens, segments, real, labels, is_next."""
    pairs = paired(documents, longest, *special, g)
    groups = by_length([len(ids) for ids, _, _ in pairs], size)
    for k in torch.randperm(len(groups), generator=g).tolist():
        group = [pairs[i] for i in groups[k]]
        ids, real = padded([list(ids) for ids, _, _ in group], tokenizer.pad_token_id)
        segments, _ = padded([list(segments) for _, segments, _ in group], 0)
        hidden, labels = masked(ids, real, special, tokenizer.mask_token_id, V, g)
        yield hidden, segments, real, labels, torch.tensor([int(is_next) for _, _, is_next in group])


riddles = list(pair_batches(held_out, 32, torch.Generator().manual_seed(1)))[: 4 if profile == "smoke" else None]
counts = torch.bincount(torch.tensor([token for document in training for sentence in document for token in sentence]),
                        minlength=V)
hidden_tokens = torch.cat([labels[labels != -100] for _, _, _, labels, _ in riddles])
unigram = (hidden_tokens == counts.argmax()).float().mean().item()
unigram_loss = -((counts + 1) / (counts + 1).sum()).log()[hidden_tokens].mean().item()
print(f"{len(hidden_tokens):,} hidden tokens are held out; always answering {tokenizer.decode(counts.argmax())!r} "
      f"is right in {unigram:.1%}, and answering with all frequencies has a loss of {unigram_loss:.2f}")

# %% [markdown]
# Those are two [[term: unigram baseline | what can be reached by knowing how frequent each token is, without reading the sentence]]s, one for right answers and one for the loss. A model must beat them to have learned anything about language.
# All that a batch needs came from your exercises, and its tokens are hidden anew each time.

# %%
predict("bert.first_loss")

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
    """AdamW whose learning rate rises for a twentieth of the steps and then falls to 0 in a straight line."""
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01, fused=True)
    warm = max(steps // 20, 1)
    factor = lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

# %%
@torch.no_grad()
def scores(model, riddles):
    """On held-out riddles: mean loss and accuracy of the masked tokens, accuracy of the next sentence."""
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
steps, size = {"smoke": (10, 4), "fast": (800, 16), "full": (20_000, 64)}[profile]
torch.manual_seed(seed)
model = Pretraining(V, D, L, H, longest).to(device)
g = torch.Generator().manual_seed(seed)
epochs = (pair_batches(training, size, g) for _ in itertools.count())
batches = itertools.islice(itertools.chain.from_iterable(epochs), steps)
optimizer, schedule = with_warm_up(model, 1.5e-3, steps)
print(f"{sum(p.numel() for p in model.parameters()):,} weights")

curve, started = [], time.perf_counter()
taken = itertools.chain([None], pretrain(model, optimizer, schedule, ck.track(batches, "pretraining", steps)))
for step, _ in enumerate(taken):
    if step % (steps // 10) == 0:
        curve.append((step, *scores(model, riddles[::4])))
        print("step {:5}: token loss {:.2f}, tokens right {:.1%}, pairs right {:.1%}".format(*curve[-1]))
loss, hit, told_apart = scores(model, riddles)
print(f"{time.perf_counter() - started:.0f} s; on all riddles loss {loss:.2f} (unigram {unigram_loss:.2f}), "
      f"{hit:.1%} of the tokens (unigram {unigram:.1%}), {told_apart:.1%} of the pairs")
came_out("bert.first_loss", round(curve[0][1], 2))

# %%
from coursekit.figures import curve_panels

at, token_loss, tokens_right, pairs_right = zip(*curve, strict=True)
titles = ("loss of the masked tokens", "masked tokens right (share)", "next sentence right (share)")
panels = {title: {"this run": y} for title, y in zip(titles, (token_loss, tokens_right, pairs_right), strict=True)}
baselines = ({"frequencies alone": unigram_loss}, {"always the commonest": unigram}, {"a coin": 0.5})
fig = curve_panels(at, panels, x_label=f"steps of {size} pairs", marker="o",
                   levels=dict(zip(titles, baselines, strict=True)))
show(fig, "bert.pretraining", loss=loss, words=hit, pairs=told_apart)

# %% [markdown]
# <details><summary>What happened</summary>
#
# With no idea, each of the $V$ tokens has the probability $1/V$, and the loss is $\ln V = 8.32$. It begins a little above,
# since random scores are not quite equal. Then it falls quickly, for *how frequent* each token is can be learned by the
# bias $c$ alone.
# </details>
#
# It would be a tidy story that the model learns frequencies first and only then begins to read. The curves are less
# tidy. The share of right tokens passes its baseline while the loss is still about that of frequencies alone, so some
# reading begins before counting is done. The second task starts later still. It needs vectors that say what a sentence
# is about.

# %% [markdown]
# ### What patience gives
# Under a thousand steps are few. The course carries a model of the **same class**, trained for longer by the same
# functions (in batches of 32, at a learning rate of 0.002), and the curve of that run.

# %%
from coursekit.material.models import tiny_bert_run, tiny_bert_weights

run = tiny_bert_run()
longer = Pretraining(V, run["D"], run["L"], run["H"], longest).to(device)
longer.load_state_dict(tiny_bert_weights())
logged = {key: [epoch[key] for epoch in run["curve"]] for key in run["curve"][0]}
print(f"{run['steps']:,} steps of {run['batch']} pairs, {run['tokens'] / 1e6:.0f} million tokens, "
      f"{run['seconds'] / 60:.0f} minutes")
loss, hit, told_apart = scores(longer, riddles)
print(f"loaded: token loss {loss:.2f}, {hit:.1%} of the tokens, {told_apart:.1%} of the pairs")
lines = {"training text": logged["word_loss"], "held-out documents": logged["held_out_word_loss"]}
fig = curves(logged["step"], lines, x_label=f"steps of {run['batch']} pairs", y_label="loss of the masked tokens",
             marker="o", levels={"frequencies alone": unigram_loss},
             places={"pairs of the short run": steps * size / run["batch"]})
show(fig, "bert.patience", first=logged["held_out_word_loss"][0], last=logged["held_out_word_loss"][-1])

# %% [markdown]
# The upright line marks as many pairs as your run saw. The curve has a **step**: it nearly levels off, and then the loss
# drops further in two epochs than in the three before. Chen et al. (2024) see such a drop in BERT itself, and find that at
# that moment some heads begin to look along the grammar of a sentence, from a verb to its object for example. Your short
# run ended long before it.
#
# What does each of the two models put into these gaps? Two lines begin alike, and only the words *after* the gap differ.

# %%
@torch.no_grad()
def guesses(model, text, k=5):
    """The k likeliest tokens for the first [MASK] of a text, with their probabilities."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"].to(device)
    X, _ = model.eval()(ids, torch.zeros_like(ids), torch.ones_like(ids, dtype=torch.bool))
    p, found = model.words(X[ids == tokenizer.mask_token_id][0]).softmax(-1).topk(k)  # (k), (k)
    tokens = tokenizer.convert_ids_to_tokens(found)
    return "  ".join(f"{token} {share:.0%}" for token, share in zip(tokens, p, strict=True))


for gap in (
    "The president of the [MASK] states.",
    "The white [MASK] was seen near the ship.",
    "The white [MASK] announced a new plan.",
    "We must protect social [MASK] for our seniors.",
    "The capital of France is [MASK].",
):
    print(f"{gap}\n   {steps:6,} steps: {guesses(model, gap)}\n   {run['steps']:6,} steps: {guesses(longer, gap)}")

# %% [markdown]
# The short run knows which tokens are frequent, and little more. The longer run knows phrases and topics, and it reads in
# **both directions**: *white* is followed by a whale or by a house, and what comes after the gap decides. It does not
# know what the capital of France is. Nothing in its text told it, so it says what a president says of the union.

# %% [markdown]
# ### Three fates
# Now look at the three fates of exercise [[bert.mask_tokens]] in the longer run.

# %%
predict("bert.fates")

# %%
found = {"[MASK]": [], "a random token": [], "the token itself": []}
with torch.no_grad():
    for ids, segments, real, labels, _ in ([x.to(device) for x in batch] for batch in riddles):
        X, _ = longer.eval()(ids, segments, real)
        asked = labels != -100
        seen, y = ids[asked], labels[asked]
        right = longer.words(X[asked]).argmax(-1) == y
        covered = seen == tokenizer.mask_token_id
        for name, kind in zip(found, (covered, ~covered & (seen != y), seen == y), strict=True):
            found[name].append(right[kind])
at_fate = {name: torch.cat(parts).float() for name, parts in found.items()}
for name, right in at_fate.items():
    error = 2 * math.sqrt(right.mean() * (1 - right.mean()) / len(right))
    print(f"the model sees {name:16}: right in {right.mean():6.1%} of {len(right):,}, give or take {error:.1%}")
came_out("bert.fates", "At " + max(at_fate, key=lambda name: at_fate[name].mean()))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Where the token itself stands, the model nearly always lets it stand. Where a random token stands, it is seldom
# fooled, and is right less often than at `[MASK]` by a difference that its error bars just allow you to see. The share of
# right tokens above is a mixture of the three. Before you compare such numbers between papers, ask which places they count.
# </details>

# %% [markdown]
# ### Are the three fates needed?
# The model has learned all three lessons. That does not show that it needed them. Devlin et al. measured it (appendix
# C.2). With `[MASK]` at every chosen place, fine-tuning on MNLI gave 84.3 against 84.2, and named entities 94.9 against
# 95.4. Only frozen features lost more, 94.0 against 94.9. Wettig et al. (2023) found 80/10/10 unnecessary, and 40% of hidden
# tokens better than 15% for large models. ModernBERT hides 30%. So take 15% and 80/10/10 for what worked first, and not for
# laws.

# %% [markdown]
# ### What else is in the text
# Your turn. Write `[MASK]`, or just `_`, where a token is to be guessed. Then ask what the model took from its text
# besides grammar. Try *A _ leads the crew.*, and *The captain said that _ would come.* with other people in the captain's
# place.

# %%
from coursekit.material.models import load_tiny_bert
from coursekit.widgets import fill_the_mask

fill_the_mask(load_tiny_bert())

# %%
from coursekit.material.models import masked_words

he, she = (int(counts[tokenizer.convert_tokens_to_ids(word)]) for word in ("he", "she"))
print(f"in the training text: he {he:,} times, she {she:,} times, {he / max(she, 1):.0f} to 1")
filler_in = load_tiny_bert()
for person in ("captain", "teacher", "nurse", "mother"):
    p = dict(masked_words(filler_in, f"The {person} said that [MASK] would come.", V)[0])
    print(f"The {person:8} said that ... would come: he {p['he']:.1%}, she {p['she']:.1%}, "
          f"{p['he'] / p['she']:.0f} to 1")

# %% [markdown]
# A model that fills in gaps learns who stood in them. On whaling ships and among sixty years of presidents those were
# mostly men, and the model prefers *he* even after *mother*. It has no way to tell a habit of its text from a truth about
# the world. Part of what you see is how often each word occurs at all, and part depends on the person. A fair measurement
# compares hundreds of pairs of sentences that differ in one word
# ([CrowS-Pairs](https://arxiv.org/abs/2010.00133), Nangia et al. 2020). Whoever fine-tunes an encoder inherits what it took
# from its text, and has to ask.

# %%
quiz("bert.masking")

# %% [markdown]
# ## 5. From encoder to classifier
# **Sitting 4 of 6**, 90 minutes. Exercises [[bert.pooling]] and [[bert.fine_tuning]] must be done, [[bert.parameter_groups]]
# may be left out.
#
# The encoder gives one vector for each **token**. What is asked decides which of them a head reads.

# %%
diagram("bert.heads")

# %% [markdown]
# A review wants one verdict, so a classifier needs one vector for each **sentence**. There are two common ways to get it,
# both called [[term: pooling | one vector for a sentence from those of its tokens]].
#
# BERT takes the vector of `[CLS]`. It means nothing by itself, but it stands first in every sentence and has
# attended to all the others, so training can make it a summary. Sentence encoders take the mean of all real
# tokens (Reimers and Gurevych 2019).
#
# [[formula: Pooling | X (B, T, D), r (B, T), y (B, D)]]
# $$y^{\text{cls}}_b = X_{b,0}, \qquad y^{\text{mean}}_b = \frac{1}{n_b} \sum_{t\,:\,r_{bt} = 1} X_{bt}, \qquad n_b = \sum_t r_{bt}$$
#
# where $r_{bt}$ is `real`, 1 on a token and 0 on padding.

# %% [markdown]
# ### Exercise [[bert.pooling]]: One vector for a sentence
# core · importance 5 of 5 · 15 minutes · 3 points
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


short, long = "A joy.", "The train was late again this morning, so the commuters waited on the platform for an hour."
for name, pool in pools.items():
    one, (together, _) = pooled([short], pool)[0], pooled([short, long], pool)
    cosine = torch.cosine_similarity(one, together, dim=0)
    print(f"{name:18} cosine of {short!r} alone and beside a long sentence: {cosine:.2f}")

# %% [markdown]
# With the mask a sentence keeps its vector, whoever sits beside it in the batch. Without it, a short sentence turns
# into its padding. No error is raised, and a classifier trained on such vectors even works a little. That is
# why this mistake survives in real code.

# %%
quiz("bert.pooling_quiz")

# %% [markdown]
# ### Exercise [[bert.classifier]]: Mend the classifier
# core · importance 4 of 5 · 10 minutes · 3 points
#
# The recipe of Devlin et al. (2019) for any classification is short. The encoder reads, one vector stands for the
# sentence, and a single new layer answers. The encoder is pretrained, and making the classifier changes none of its
# weights.
#
# $$\text{logits} = W \operatorname{dropout}_p(y) + b, \qquad y = \operatorname{pool}(\operatorname{encoder}(\text{ids}, \text{real}), \text{real})$$
#
# `encoder(ids, real)` gives (B, T, D) and `pool(X, real)` gives (B, D), as in exercise [[bert.pooling]]. The class below
# follows the recipe but for one line, and its training loss never falls below 0.31, whatever you do. Mend it in the
# exercise's cell. Dropout acts in training only; the encoder stays `self.encoder`, and the new layer `self.linear`.
#
# <details><summary>Hint 1</summary>
#
# `F.cross_entropy` takes logits, which may be any numbers. What range have the numbers that this class returns?
# </details>
# <details><summary>Hint 2</summary>
#
# The softmax of $(1, 0)$ is $(0.73, 0.27)$, and $-\ln 0.73 = 0.31$. Which two softmaxes does the loss go through?
# </details>
# <details><summary>Hint 3</summary>
#
# The loss takes the softmax, and `argmax` does not need it. Leave it out of `forward`, and nothing else.
# </details>

# %%
class GivenClassifier(nn.Module):
    """C logits for each sentence, as a colleague left it."""

    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.pool = encoder, pool
        self.dropout, self.linear = nn.Dropout(p), nn.Linear(D, C)

    def forward(self, ids, real):
        y = self.pool(self.encoder(ids, real), real)              # (B, D)
        return self.linear(self.dropout(y)).softmax(-1)           # (B, C)


seer = lambda ids, real: 100.0 * F.one_hot(ids, 2)                # an encoder that sees the class at once
sure = GivenClassifier(seer, mean_of, D=2, C=2, p=0.0)
sure.linear.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
ids, real = torch.tensor([[0, 0], [1, 1]]), torch.ones(2, 2).bool()
print(f"always right, never in doubt, and still a loss of {F.cross_entropy(sure(ids, real), ids[:, 0]):.3f}")

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

# %%
classifier = new_classifier()
for mode in (True, False):
    chances = [chance(classifier.train(mode), "A joy from the first scene to the last.") for _ in range(5)]
    print("training  " if mode else "evaluation", *(f"{c:.3f}" for c in chances))

# %% [markdown]
# The head is random, so it guesses near one half. In training mode the same sentence gets another answer each
# time, because our dropout acts, and so does that inside every layer of this encoder, which we had left out of ours in
# section 3. In evaluation mode it is always the same one. Whoever measures a model in the wrong mode measures a damaged
# one, and nothing warns them. Remember that for exercise [[bert.fine_tuning]].

# %% [markdown]
# ### Who learns how fast?
# The head knows nothing and should learn fast. The layers below it know a language, and should forget as little
# of it as they can, least of all the lowest. So the [[term: learning rate | how far a step of the optimiser goes; house word: rate]] falls by a factor $f$ with each step down (Howard and Ruder 2018), and it rises slowly at first. That is
# [[term: warm-up | the learning rate rises from near 0 over the first steps]], for the random head sends senseless
# gradients down.
#
# [[formula: Learning rates with warm-up | k counts parts from the top, s counts steps from 0, w of N steps warm up]]
# $$\eta_k = \eta f^k, \qquad
# \operatorname{share}(s) = \begin{cases} (s + 1) / w & s < w \\ (N - s) / (N - w) & w \le s < N \\ 0 & s \ge N \end{cases}$$

# %% [markdown]
# $k = 0$ is the head, $k = 1$ the last layer, and so on down to the embeddings; $s = 0, 1, 2, \dots$ counts the
# steps, $w$ of them warm up, $N$ is their number.
#
# [[term: Weight decay | each step pulls weights a little towards 0]] makes sense for matrices. The bias of a layer and
# the factor of a norm set an offset and a scale, and BERT's own code lets neither decay.

# %% [markdown]
# ### Exercise [[bert.parameter_groups]]: Parameter groups and a schedule
# core · importance 2 of 5 · 25 minutes · 3 points
#
# `parts` are modules **from the bottom to the top**: embeddings, layers, head. Give what a PyTorch optimiser
# takes: a list of dicts with the keys `"params"`, `"lr"` and `"weight_decay"`. Matrices, embeddings and whatever else
# has two dimensions or more get `decay`, all biases and the weights of norms of any kind get 0. Frozen parameters
# (`requires_grad` is False) are in no group, all others in exactly one, and no weight changes. `warm_up` is $\operatorname{share}(s)$; it must
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
sixty, full_share = range(60), [share(step, 12, 60) for step in range(60)]
lines = {"head": rates[0], "last layer": rates[1], "first layer": rates[-2], "embeddings": rates[-1]}
fig = curves(sixty, {name: [1e6 * rate * s for s in full_share] for name, rate in lines.items()}, x_label="step",
             y_label="learning rate (× 10⁻⁶)")
show(fig, "bert.rates", head=1e6 * rates[0], embeddings=1e6 * rates[-1])

# %%
quiz("bert.warm_up")

# %% [markdown]
# ## 6. Fine-tuning for real
#
# In section 1 the encoder could not tell *loved* from *hated*. We now show it a few thousand rated snippets from film
# reviews. One step of training is
#
# [[formula: A step of fine-tuning | logits (B, C), c (B), g all gradients together]]
# $$g = \nabla_\theta \frac1B \sum_{i=1}^B -\log \operatorname{softmax}(\text{logits}_i)_{c_i}, \qquad
# g \leftarrow g \cdot \min\left(1, \frac{\text{clip}}{\lVert g \rVert}\right), \qquad \theta \leftarrow \text{AdamW}(\theta, g)$$
#
# with $c_i$ the class of sentence $i$ and $\lVert g \rVert$ the norm of **all** gradients together. Each step is easy.
# It is just as easy to put one in the wrong place, and the loss may fall all the same.

# %% [markdown]
# ### Exercise [[bert.fine_tuning]]: Train and evaluate
# core · importance 5 of 5 · 30 minutes · 4 points
#
# `batches` is a list of `(ids, real, labels)`, which lie on the CPU; the model is on `device` and gives logits
# for `model(ids, real)`. `train` takes one step for each batch, in training mode; the scheduler steps with the
# optimiser. Gradients may be left from whatever came before. It returns the mean loss **per sentence**, although the last
# batch may be smaller. `evaluate` returns the mean loss and the accuracy (a share from 0 to 1) of all sentences, in
# evaluation mode and without a graph, and leaves the model as it found it, its **mode** too.
#
# <details><summary>Hint 1</summary>
#
# Eight things happen to each batch of training: move, forward, loss, forget the old gradients, backward, clip, a step of
# the optimiser, a step of the scheduler. Which of these must come between which?
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
# ### Exercise [[bert.early_stopping]]: Mend early stopping
# core · importance 3 of 5 · 15 minutes · 2 points
#
# A model with millions of weights can learn a few thousand sentences by heart. Then the loss on the training
# sentences falls, and on sentences that it has not seen it rises again. So we measure on the validation split now
# and then, keep the weights that did best there, and stop when it has not helped for a while.
#
# `update(loss)` is told the validation loss and returns True when training should stop, that is, when the last `patience`
# losses in a row brought no new lowest one. A tie is no improvement, NaN neither. Whoever goes on after True is answered by the same
# rule. `restore()` gives the model all of the `state_dict()` that it had at the lowest loss, weights and buffers; `update`
# changes nothing in it.
#
# <details><summary>Hint 1</summary>
#
# When it is told, `restore` runs without an error. Which weights does it bring back, and why those?
# </details>
# <details><summary>Hint 2</summary>
#
# `model.state_dict()` does not copy. Its tensors **are** the model's, and the next step of training changes them.
# </details>
# <details><summary>Hint 3</summary>
#
# `copy.deepcopy(model.state_dict())` keeps, `model.load_state_dict(...)` brings back.
# </details>

# %%
class GivenStopping:
    """Keeps the weights of the lowest validation loss, as a colleague left it."""

    def __init__(self, model, patience):
        self.model, self.patience = model, patience
        self.best, self.since, self.weights = math.inf, 0, None

    def update(self, loss):
        if loss < self.best:
            self.best, self.since, self.weights = loss, 0, self.model.state_dict()
        else:
            self.since += 1
        return self.since >= self.patience

    def restore(self):
        self.model.load_state_dict(self.weights)


one_weight = nn.Linear(1, 1, bias=False)
stopper = GivenStopping(one_weight, patience=2)
for number, loss in enumerate((0.7, 0.5, 0.6, 0.8)):
    nn.init.constant_(one_weight.weight, number)                  # stands for a step of training
    print(f"loss {loss}, weight {number}, stop: {stopper.update(loss)}")
stopper.restore()
print(f"restored: weight {one_weight.weight.item():.0f}; it was 1 at the lowest loss")

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
sizes = {"smoke": (8, 8, 64), "fast": (2000, 600, 1500), "full": (6671, 1000, 1500)}[profile]
size = 4 if profile == "smoke" else 32
learned, validation = movies.train[: sizes[0]], movies.validation[: sizes[1]]


def labelled_batches(part):
    """The sentences' indices in each batch, and the batches (ids, real, labels) of sentences of like length."""
    sentences = encoder.tokenizer(part.texts, truncation=True, max_length=48)["input_ids"]
    rows = by_length([len(sentence) for sentence in sentences], size)
    return rows, [(*padded([sentences[i] for i in row], pad_id), part.labels[row]) for row in rows]


train_batches, validation_batches = labelled_batches(learned)[1], labelled_batches(validation)[1]
for text, label in zip(learned.texts[2:6], learned.labels[2:6].tolist(), strict=True):
    print(f"{movies.names[label]:8}  {text}")
print(f"{len(train_batches)} batches to learn from; {learned.labels.float().mean():.0%} of the sentences are positive")

# %% [markdown]
# ### What does freezing save?
# A frozen part is read but not trained. It has no gradient and takes no step. When the **lowest** parts are frozen, the
# way back ends above them. We time one step with more and more of them frozen. Half of this encoder's weights are
# embeddings.

# %%
predict("bert.freeze")

# %%
def freeze(classifier, n):
    """Freeze the lowest n parts and nothing else; returns how many numbers are left to train."""
    for k, part in enumerate(parts_of(classifier)):
        part.requires_grad_(k >= n)
    return sum(p.numel() for part in parts_of(classifier) for p in part.parameters() if p.requires_grad)


layers = len(parts_of(classifier)) - 2
middle = [train_batches[len(train_batches) // 2]] * (1 if profile == "smoke" else 4)
lowest = {"nothing": 0, "embeddings": 1, f"and {layers // 2} of {layers} layers": 1 + layers // 2,
          "all but the head": 1 + layers}
took = {}
for name, n in lowest.items():
    free = freeze(classifier, n)
    optimizer = torch.optim.AdamW(groups_of(parts_of(classifier), 0.0, 1.0, 0.0))
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    train_on(classifier, middle[:1], optimizer, constant, 1.0, device)  # the first step prepares the optimiser
    started = time.perf_counter()
    train_on(classifier, middle, optimizer, constant, 1.0, device)
    took[name] = 1000 * (time.perf_counter() - started) / len(middle)
    print(f"frozen: {name:17} {free:11,} numbers learn, {took[name]:5.0f} ms a step")
came_out("bert.freeze", round(100 * (1 - took["embeddings"] / took["nothing"])))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The embeddings are a table, and a lookup costs almost nothing. But their gradient is a table of the same size, nearly all
# zeros, and clipping and AdamW go through all of it. Freezing saves that, and memory, for AdamW keeps two more numbers for
# each. Most of the time goes to the layers. With everything below the head frozen, only the way forward is left.
# </details>
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


once, unseen = pooled_once(train_batches), pooled_once(validation_batches)
head = OnlyHead(classifier).to(device)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
for _ in range(30):
    train_on(head, once, optimizer, constant, 1.0, device)
loss, share_right = evaluate_on(head, unseen, device)
print(f"only the head, 30 epochs: validation loss {loss:.3f}, accuracy {share_right:.1%}")

# %% [markdown]
# Better than a coin, but is it good? That takes a control which knows no encoder at all. The oldest one notes which words
# and pairs of words a sentence holds, and learns a weight for each, a
# [[term: bag of words | a text as the set of its words (and pairs of words), without their order]].

# %%
from coursekit.material.controls import counted_words, linear_classifier

features, known_words = counted_words(learned.texts, {"learned": learned.texts, "validation": validation.texts})
held = {"validation": (features["validation"], validation.labels)}
bag = linear_classifier(features["learned"], learned.labels, held)
print(f"counting {known_words:,} words and pairs: validation accuracy {bag['validation']:.1%}; "
      f"the frozen encoder's head: {share_right:.1%}")

# %% [markdown]
# Counting words comes close to the head on the frozen encoder, whose training asked for topics and never for opinions.
# Now we let the layers learn as well, and keep only the embeddings frozen.

# %%
predict("bert.overfit")

# %%
def fine_tune(classifier, frozen, rate, epochs):
    """Train with our own loop, look at the validation split twice an epoch, end with the best weights."""
    freeze(classifier, frozen)
    steps = epochs * len(train_batches)
    optimizer = torch.optim.AdamW(groups_of(parts_of(classifier), rate, 0.9, 0.01), fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share(step, steps // 10, steps))
    stopping = Stopping(classifier, patience=2)
    g = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(train_batches), generator=g) for _ in range(epochs)])
    print("epoch  training loss  validation loss  accuracy  seconds")
    for k, part in enumerate(ck.track(order.chunk(2 * epochs), "fine-tuning"), 1):
        started = time.perf_counter()
        loss = train_on(classifier, [train_batches[i] for i in part], optimizer, scheduler, 1.0, device)
        unseen, accuracy = evaluate_on(classifier, validation_batches, device)
        print(f"{k / 2:5}  {loss:13.3f}  {unseen:15.3f}  {accuracy:8.1%}  {time.perf_counter() - started:7.1f}")
        if stopping.update(unseen):
            break
    stopping.restore()
    return classifier.eval(), loss, unseen

# %%
frozen, rate = (0, 3e-5) if profile == "full" else (1, 1e-4)
classifier, last_training, last_validation = fine_tune(new_classifier(), frozen, rate, epochs=2)
tuned = classifier.encoder.bert
lower_one = "training" if last_training < last_validation else "validation"
came_out("bert.overfit", f"That of the {lower_one} sentences")
for text in ("I loved every minute of this film.", "I hated every minute of this film."):
    print(f"{chance(classifier, text):4.0%} positive  {text}")

# %% [markdown]
# <details><summary>What happened</summary>
#
# In the second epoch, when every sentence is an old acquaintance, the training loss lies below the validation loss,
# although dropout handicaps it. Part of what the model learns now is these sentences, not the language of reviews. Where
# the validation loss rises again, `restore` goes back to where it was lowest.
# </details>
#
# The layers brought what the head alone could not. The gap between the two accuracies is the price of freezing
# everything. *Loved* and *hated* are no longer neighbours. Type sentences of your own into the cell above. Where does it
# stumble?

# %% [markdown]
# ### Break it on purpose
# We forget `eval()`, and ask for the same hundred validation sentences three times.

# %%
predict("bert.eval_forgotten")

# %%
@torch.no_grad()
def logits_of(classifier, part):
    """The logits (n, C) of a split's sentences, in their order, on the CPU."""
    rows, batches = labelled_batches(part)
    return ordered(rows, [classifier(ids.to(device), real.to(device)).float().cpu() for ids, real, _ in batches])


changed = {}
for mode in ("training", "evaluation"):
    classifier.train(mode == "training")
    said = torch.stack([logits_of(classifier, validation[:100]).argmax(-1) for _ in range(3)])  # (3, n)
    changed[mode] = int((said != said[0]).any(0).sum())
    print(f"{mode:10} mode: {changed[mode]} of {said.shape[1]} answers change")
came_out("bert.eval_forgotten", changed["training"])

# %% [markdown]
# <details><summary>What happened</summary>
#
# In evaluation mode the same question gets the same answer. In training mode some answers change by chance alone, and
# these are the sentences about which the model is unsure. There is no error and no warning. The only sign is a number that
# is a little different each time.
# </details>

# %%
quiz("bert.loop")

# %% [markdown]
# ## 7. How good is it?
# **Sitting 5 of 6**, 60 minutes. Section 8 and its question must be done, exercise [[bert.macro_f1]] may be left out.
#
# Everything has been chosen by now. The data, the learning rate, the number of epochs and the best weights all came from
# the training and validation splits. So this is the moment for the [[term: test split | sentences that are looked at once, when nothing is left to be chosen]], which no cell has read so far.

# %%
test = movies.test[: sizes[2]]
logits = logits_of(classifier.eval(), test)
share_right = (logits.argmax(-1) == test.labels).float().mean().item()
give_or_take = 2 * math.sqrt(share_right * (1 - share_right) / len(test))
print(f"test: {share_right:.1%} of {len(test)} sentences right, give or take {give_or_take:.1%}")

# %% [markdown]
# "Give or take" is twice the [[term: standard error | the standard deviation of a measured share; for a share a of n answers it is the root of a(1 - a)/n]] of a share $a$ among $n$ answers, $2\sqrt{a (1 - a) / n}$.
#
# One number, the accuracy, hides a lot. If nine of ten labels are *positive*, a model that has learned nothing has
# an accuracy of 90%. **Macro F1** gives each class the same say. For class $c$, count the places where it was
# predicted and where it was true. The places that are both are the
# [[term: true positives | places where the class was predicted and is true; house word: both]].
#
# [[formula: Precision, recall and macro F1 | counts of each class c in C]]
# $$P_c = \frac{\text{both}}{\text{predicted}}, \qquad R_c = \frac{\text{both}}{\text{true}}, \qquad
# F_c = \frac{2 P_c R_c}{P_c + R_c} = \frac{2\,\text{both}}{\text{predicted} + \text{true}}, \qquad
# \text{macro } F = \frac1{|C|} \sum_{c \in C} F_c$$

# %% [markdown]
# ### Exercise [[bert.macro_f1]]: Mend macro F1
# core · importance 2 of 5 · 10 minutes · 1 point
#
# The function below calls itself macro F1. For a model that always says *positive* it gives the same number as the
# accuracy, which should make you suspicious. Mend it. `macro_f1(predictions, labels)` returns a number from 0 to 1. Places
# whose label is -100 have no label and are dropped. $C$ holds the classes that occur among the predictions **or** the
# labels that are left; without any, the result is 0. $F_c$ is 0 where nothing is right, never NaN.
#
# <details><summary>Hint 1</summary>
#
# The counts are added up over all classes before the division. Where does the formula have its sum?
# </details>
# <details><summary>Hint 2</summary>
#
# The classes are `torch.cat([predictions, labels]).unique()` after dropping. A class in it occurs at least once, so the
# second form of $F_c$ never divides 0 by 0.
# </details>
# <details><summary>Hint 3</summary>
#
# With `p == c` and `y == c`, *both* is `((p == c) & (y == c)).sum()`. Make a list of $F_c$, and divide its sum by
# `max(len(...), 1)`.
# </details>

# %%
def given_f1(predictions, labels):
    """Macro F1, as a colleague left it."""
    keep = labels != -100
    p, y = predictions[keep], labels[keep]
    classes = torch.cat([p, y]).unique()
    both = sum(((p == c) & (y == c)).sum().item() for c in classes)
    predicted, true = (sum((x == c).sum().item() for c in classes) for x in (p, y))
    return 2 * both / max(predicted + true, 1)


always = torch.ones_like(test.labels)
always_right = (always == test.labels).float().mean()
print(f"always 'positive': accuracy {always_right:.3f}, so-called macro F1 {given_f1(always, test.labels):.3f}")

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

# %%
macro_of = use("bert.macro_f1", macro_f1)
predictions = logits.argmax(-1)
print(f"accuracy {share_right:.3f}, macro F1 {macro_of(predictions, test.labels):.3f}")
print(f"always 'positive': accuracy {always_right:.3f}, macro F1 {macro_of(always, test.labels):.3f}")
M = torch.bincount(2 * test.labels + predictions, minlength=4).view(2, 2)
fig = heatmap(M, rows="readers say", columns="model says", row_labels=movies.names, column_labels=movies.names,
              unit="sentences", limits=(0, int(M.max())), numbers=".0f")
show(fig, "bert.confusion", tn=int(M[0, 0]), fp=int(M[0, 1]), tp=int(M[1, 1]), fn=int(M[1, 0]))

# %% [markdown]
# The diagonal is right, the rest is wrong. This table is a [[term: confusion matrix | how often each class was taken for each other one]]. With two classes of almost the same size, macro F1 says what accuracy says. A
# model that always says *positive* shows the difference: half of the answers are right, and macro F1 is a third, because
# the class that it never finds has an F of 0.
#
# ### Does it know when it is unsure?
# The softmax gives a probability with each answer. If it is honest, then of all answers given with 80%, four in five are
# right. We sort the answers into bins by their confidence and compare.

# %% [markdown]
# The gap, averaged with the bins' sizes as weights, is the expected calibration error (Naeini et al. 2015; Guo et al.
# 2017).
#
# [[formula: Expected calibration error (ECE) | n answers in bins k of size n_k]]
# $$\text{ECE} = \sum_k \frac{n_k}{n} \left|\,\text{accuracy}_k - \text{confidence}_k\,\right|$$
#
# This network was trained to push the probability of the right class to 1.

# %%
predict("bert.calibration")

# %%
confidence = logits.softmax(-1).amax(-1)                          # (n), from 0.5 to 1
right = (predictions == test.labels).float()
bins = ((confidence - 0.5) / 0.05).long().clamp(max=9)            # ten bins, 0.05 wide
n_k = torch.bincount(bins, minlength=10)
filled_bins = n_k > 0
n_k = n_k[filled_bins]
claimed, true = (torch.bincount(bins, weights=x.double(), minlength=10)[filled_bins] / n_k for x in (confidence, right))
ece = (n_k / len(test) * (true - claimed).abs()).sum()
print(f"mean confidence {confidence.mean():.3f}, accuracy {right.mean():.3f}, expected calibration error {ece:.3f}")
came_out("bert.calibration", "Too much" if confidence.mean() > right.mean() else "Too little")

# %%
from coursekit.figures import reliability

fig = reliability(claimed, true, n_k, x_label="confidence, mean of the bin", y_label="share that is right")
gaps = true - claimed
show(fig, "bert.calibration", below=int((gaps < 0).sum()), bins=len(gaps), worst=gaps.abs().max().item(),
     ece=float(ece))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Where the points lie below the diagonal, the model claims more than it knows; where they lie above it, less. The bars
# are twice the standard error, and the bins at the left are small, so believe only what leaves its bar. Guo et al. found
# large modern networks overconfident, and one number repairs much of it. Divide all logits by a
# [[term: temperature | a number by which all logits are divided before the softmax]] that is chosen on the validation split.
# </details>
#
# ### What does it get wrong?
# Numbers do not say why. So we read the errors, the most confident first, and look for what they have in common.

# %%
predict("bert.errors")

# %%
import textwrap

positive = logits.softmax(-1)[:, 1]
wrong = (predictions != test.labels).nonzero()[:, 0]
for i in wrong[confidence[wrong].argsort(descending=True)][:8].tolist():
    told = f"{positive[i]:4.0%} positive, readers {test.ratings[i]:+.1f}: {test.texts[i]}"
    print(textwrap.fill(told, 100, subsequent_indent=" " * 30))


def share_wrong(chosen):
    chosen = torch.as_tensor(chosen)
    return f"{1 - right[chosen].mean():5.1%} of {int(chosen.sum()):4} wrong"


strength = test.ratings.abs()
turning = {"but", "not", "if", "though", "although", "despite", "yet", "would", "could", "without", "never"}
turns = [bool(turning & set(text.lower().replace("n't", " not").split())) for text in test.texts]
lukewarm, clear = share_wrong(strength < 1.5), share_wrong(strength > 2.5)
print(f"readers nearly neutral, below 1.5: {lukewarm}   clear, above 2.5: {clear}")
print(f"with a word that turns the sense:  {share_wrong(turns)}   without: {share_wrong([not t for t in turns])}")
came_out("bert.errors", "Lukewarm readers, and praise that is taken back")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Where the readers themselves were lukewarm, the model errs more than twice as often as where they were sure, so part of
# the "errors" are labels that could have gone the other way. And among the most confident errors are sentences that praise
# first and take it back. But beware of explaining by eight examples. The last line shows that over all sentences, a word
# that turns the sense hardly makes a difference. Look also for irony, for names, and for comparisons with another film.
# </details>

# %% [markdown]
# ### One threshold, two kinds of error
# Calling everything above 50% *positive* is a choice. To print a poster with praise, you want few wrong ones among those
# that you pick, which is high **precision**. To find every angry customer, you want few missed, which is high **recall**.
# Move the threshold. What does it cost to have a precision of 95%? Like everything that is chosen, a threshold is chosen
# on the validation split.

# %%
from coursekit.widgets import precision_and_recall

unsure = logits_of(classifier, validation).softmax(-1)[:, 1]
precision_and_recall(unsure, validation.labels)

# %%
enough_sure = [t / 100 for t in range(50, 100) if validation.labels[unsure >= t / 100].float().mean() >= 0.95]
threshold = enough_sure[0] if enough_sure else 0.99
picked = positive >= threshold
print(f"threshold {threshold:.2f} from the validation split; on the test split precision "
      f"{test.labels[picked].float().mean():.1%}, recall {picked[test.labels.bool()].float().mean():.1%}")

# %% [markdown]
# No threshold is right in itself. It follows from what each kind of error costs.

# %%
quiz("bert.threshold")

# %% [markdown]
# ## 8. The question, answered
#
# *How does filling in missing words teach a machine to judge a film review?* So far you have seen that a pretrained
# encoder, fine-tuned, judges reviews well. That does not answer the question. This encoder also learned from a large
# teacher and from a billion pairs of sentences, and perhaps any network would do. An answer takes
# [[term: controls | runs that differ in the one thing that is asked about, and in nothing else]].

# %% [markdown]
# | model | what it shows |
# |---|---|
# | counting words | what is to be had without any network |
# | tiny BERT, random weights | what the architecture does by itself |
# | tiny BERT after filling in prose | the same, after the run of section 4 |
# | tiny BERT after filling in prose, then reviews | the same, on text nearer to the task, without labels |
# | packaged encoder | filling in on thousands of times more text, imitation, sentence pairs |

# %% [markdown]
# Each can be read in two ways. **Frozen**, a linear classifier gets the mean of the last layer. **Fine-tuned**, every
# weight learns. And each can be given few labels or many. First a small version, live. It has 400 labels and frozen
# weights, and is measured on the validation split.

# %%
predict("bert.control")

# %%
from coursekit.material.controls import standardised

few = movies.train[: 16 if profile == "smoke" else 400]
torch.manual_seed(seed)
fresh = Pretraining(V, run["D"], run["L"], run["H"], longest).to(device)


@torch.no_grad()
def tiny_vectors(pretraining, part):
    """The mean (n, D) of each sentence's real tokens, from a tiny BERT that does not learn."""
    sentences = tokenizer(part.texts, truncation=True, max_length=longest)["input_ids"]
    rows, filled = batches_of(sentences, by_length, 100)
    bert = pretraining.eval().bert
    on_device = ((ids.to(device), real.to(device)) for ids, real in filled)
    return ordered(rows, [mean_of(bert(ids, torch.zeros_like(ids), real), real).cpu() for ids, real in on_device])

# %%
readers = {
    "tiny BERT, random weights": lambda part: tiny_vectors(fresh, part),
    "tiny BERT after filling in prose": lambda part: tiny_vectors(longer, part),
    "packaged encoder": lambda part: pooled(part.texts, mean_of),
}
features, _ = counted_words(few.texts, {"few": few.texts, "validation": validation.texts})
parts = {"validation": (features["validation"], validation.labels)}
frozen_right = {"counting words": linear_classifier(features["few"], few.labels, parts)}
for name, vectors_of in readers.items():
    Y, Y_new = standardised(vectors_of(few), vectors_of(validation))
    frozen_right[name] = linear_classifier(Y, few.labels, {"validation": (Y_new, validation.labels)})
found_right = {name: result["validation"] for name, result in frozen_right.items()}
for name, a in found_right.items():
    error = 2 * math.sqrt(a * (1 - a) / len(validation))
    print(f"{name:33} {a:6.1%} of {len(validation)}, give or take {error:.1%}")
gain = found_right["tiny BERT after filling in prose"] - found_right["tiny BERT, random weights"]
came_out("bert.control", round(100 * gain, 1))

# %% [markdown]
# One draw of 400 labels, with such errors, proves little. So here is the whole experiment, with 100 to 6,400 labels, drawn
# three times each, on all 1,500 test sentences. It took over half an hour, and `python -m prepare.filling_in` repeats it,
# fine-tuning with 400 labels included. Every choice (penalty, best step) was made on the validation split.

# %%
from statistics import mean, stdev
from coursekit.material.measured import filling_in

called = {"counted words": "counting words", "random": "tiny BERT, random weights", "prose": "tiny BERT after prose",
          "prose, reviews": "tiny BERT after prose, reviews", "packaged encoder": "packaged encoder"}
measured = {}                                                     # (how it is read, which model): accuracies by labels
for row in filling_in()["rows"]:
    by_size = measured.setdefault((row["read"], called[row["model"]]), {})
    by_size.setdefault(row["labels"], []).append(100 * row["test"])
sizes_of = sorted({n for by_size in measured.values() for n in by_size})

print(f"{'test accuracy (%), mean and deviation':44}" + "".join(f"{n:>14,}" for n in sizes_of))
for (how, name), by_size in measured.items():
    row = (f"{mean(by_size[n]):.1f} ± {stdev(by_size[n]):.1f}" if n in by_size else "" for n in sizes_of)
    print((f"{name + ', ' + how:44}" + "".join(f"{cell:>14}" for cell in row)).rstrip())
print(f"\npackaged encoder, fine-tuned in section 6 with {len(learned):,} labels: {100 * share_right:.1f}")

# %%
lines = {name: [mean(by_size[n]) for n in sizes_of] for (how, name), by_size in measured.items() if how != "fine-tuned"}
fig = curves(sizes_of, lines, x_label="labelled reviews", y_label="test accuracy (%), frozen", log="x", marker="o")
fig.axes[0].set_xticks(sizes_of, labels=[f"{n:,}" for n in sizes_of])
ends = "; ".join(f"{name}, {values[0]:.0f}% and {values[-1]:.0f}%" for name, values in lines.items())
show(fig, "bert.controls", ends=ends)

# %% [markdown]
# <details><summary>What the table says</summary>
#
# **Frozen, filling in helps the tiny BERT a little, when labels are few.** With 100 labels the prose is worth about three
# points over random weights, and reviews on top of it two more. With 6,400 labels the prose is worth nothing, and the
# reviews less than a point.
#
# **Fine-tuned with 400 labels, no gain is seen.** Random weights do as well as filled-in reviews, and the prose is even
# behind by more than its deviation. Counting words does as well as any of the three.
#
# **The packaged encoder is ahead of everything.** Frozen, it does with 100 labels about what counting words needs 1,600
# for. With 6,400 labels counting has nearly caught up, and fine-tuning takes the encoder further.
# </details>

# %% [markdown]
# ### Who gets the credit?
# So the honest answer has two sides. On less than a million tokens of speeches and whaling, filling in teaches a network of
# this size some grammar and topics, and next to nothing about opinions. Going on with the reviews adds a little. The table
# cannot say whether that is because they are nearer to the task or because the training was longer. The field calls it
# [[term: task-adaptive pretraining | filling in goes on with the texts of the task, without their labels]], and finds gains on eight tasks, with models of full size (Gururangan et al. 2020).
#
# With more text and more weights the other side shows. Larger models with BERT's two tasks did better on all four data
# sets that Devlin et al. compared (2019, section 5.2), even on one of 3,600 labels. And RoBERTa, which only fills in, did
# better on five of ten tasks when it was pretrained on nothing but the task's own texts than on books and Wikipedia
# (Krishna et al. 2023).

# %% [markdown]
# The packaged encoder had more of both, through its teacher, and imitation and sentence pairs besides. Its success is no
# evidence for filling in alone. To say how much each part gave, one would have to leave out each in turn. Under `full` one
# step of that is made for you. There the last line of the small version is BERT-base, which filled in and told pairs
# apart, and had no teacher.

# %%
quiz("bert.credit")

# %% [markdown]
# ### Question 3.A: What the table shows, and what it does not
# 15 minutes · 4 points · marked by a person
#
# Answer in your own words, in about 150 words altogether. Give numbers from the table of section 8 for each claim.
# 1. Somebody says: "Filling in words is what makes BERT understand opinions." Which two rows would you compare, and what
#    do they say?
# 2. With how many labels does filling in help most, and when not at all? Use the standard deviations.
# 3. Name one thing besides filling in tokens in which the packaged encoder differs from the tiny one, and an experiment
#    that would tell the two apart.

# %% [markdown] question="bert.read_controls"
# ### BEGIN SOLUTION
# **Model answer.** (1) *Random weights* against *after filling in prose*, read in the same way with the same number of
# labels; the two differ in nothing else. Frozen with 100 labels they have about 53 and 56%, with 6,400 labels 62 and 61%.
# So filling in is worth about three points with few labels and nothing with many. The packaged encoder's 81% cannot be
# used, because it differs in size, text, teacher and sentence pairs. (2) Most at 100 labels, where prose and reviews
# together are almost five points ahead of random weights, with standard deviations of about 2; least with 6,400, where
# prose is behind by less than a point, with deviations of 0.3 to 0.5. (3) For example text: a thousand times more.
# Experiment: the tiny BERT pretrained on ten times the text, all else equal. Or sentence pairs: the packaged encoder's own
# ancestor before its training on pairs, frozen, with the same labels; if it does as well, pairs get no credit.
#
# **Marking scheme, 4 points.**
# - 1 point: the right two rows, with numbers. Half a point if read in different ways or with different numbers of labels.
# - 1 point: says that these rows hardly support the claim, and that the packaged encoder is no evidence for it.
# - 1 point: names few labels (and near text) as where it helps and many as where it does not, and compares each difference
#   with the standard deviations. Half a point without the deviations.
# - 1 point: half for a real difference (text, size, teacher, pairs), half for an experiment that changes that one thing and
#   could come out either way.
# ### END SOLUTION

# %% [markdown]
# ## 9. Answers from a text
# **Sitting 6 of 6**, 85 minutes. Section 11 must be done. Exercises [[bert.spans]] and [[bert.word_labels]] and section 10
# may be left out.
#
# Classification looks at the sentence as a whole. In **extractive question answering** the answer stands in a text, and the
# model says where. BERT reads `[CLS] question [SEP] passage [SEP]` with segments 0 and 1. The head is one linear
# layer. It gives each token $t$ two logits, $S_t$ that the answer starts there and $E_t$ that it ends there (Devlin et al.
# 2019, sections 4.2 and 4.3).
#
# [[formula: Best span | S and E (B, T), tau is a margin]]
# $$s_{ij} = S_i + E_j, \qquad \text{answer} = \operatorname*{argmax}_{i \,\le\, j \,<\, i + \text{limit}} s_{ij}, \qquad
# \text{no answer if } \max s_{ij} \le S_0 + E_0 + \tau$$
#
# A question without an answer is taught to point at token 0, `[CLS]`, for start and end.

# %% [markdown]
# ### Exercise [[bert.spans]]: The best span, or no answer
# challenge · importance 2 of 5 · 30 minutes · 3 points
#
# For each row of the batch return the first and the last token of the best span, int64. Both lie where `context` is True, a
# span has at most `limit` tokens, first and last included. Where the best span does not beat token 0 by more than `margin`
# ($\tau$), or where there is no context, return (0, 0). Before you write it, ask why it is not enough to take the argmax of
# $S$ and the argmax of $E$. This is the challenge of the chapter, and its two hints stop before the code.
#
# <details><summary>Hint 1</summary>
#
# All pairs of a row fit into a table (T, T), with the start in the row and the end in the column. Which of its cells are
# allowed?
# </details>
# <details><summary>Hint 2</summary>
#
# The rules $i \le j$ and $j < i + \text{limit}$ are a band beside the diagonal. Forbidden cells get $-\infty$, for a 0 may be
# larger than all allowed scores. A best score of $-\infty$ then does the right thing by itself.
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
# How is an answer marked? **Exact match** is 1 where prediction and answer have the same words in the same order, and 0
# elsewhere. **Token F1** is the $F$ of section 7 between their words, where *both* counts the words that they share
# (Rajpurkar et al. 2016). Before that, both texts are put in lower case, lose their punctuation, and then their articles.
# In another order `"The` would keep its article.

# %%
import string


def words_of(text):
    """The words that count: in lower case, without punctuation, without articles."""
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def exact(prediction, answer):
    return float(words_of(prediction) == words_of(answer))


def overlap(prediction, answer):
    p, a = words_of(prediction), words_of(answer)
    return 2 * (Counter(p) & Counter(a)).total() / (len(p) + len(a)) if p or a else 1.0


told_so = "the tower in Paris"
for said_so in ("The iron tower, in Paris.", "an iron tower"):
    print(f"{said_so!r} for {told_so!r}: exact {exact(said_so, told_so):.0f}, F1 {overlap(said_so, told_so):.2f}")

# %% [markdown]
# Now questions. SQuAD has a hundred thousand, written by people. Ours are **synthetic**. True facts about buildings,
# elements, books and countries are put into sentences by a handful of templates, and asked about by others. A quarter have
# no answer in their passage. The test asks about things that training never mentions. Whatever comes out says something
# about these templates, not about English. To save time the lower two thirds of the encoder stay frozen, and above them one
# layer of exercise [[bert.encoder_layer]] learns together with the head.

# %%
from coursekit.material.passages import synthetic_questions

g = torch.Generator().manual_seed(seed)
n_train, n_test = (32, 16) if profile == "smoke" else (500, 150)
asked_first = synthetic_questions(n_train, g)
asked_later = synthetic_questions(n_test, g, test=True)
for q in asked_later[:3]:
    print(f"{q.question}\n    {q.passage}\n    {q.answer or '(no answer)'}")
lower = copy.deepcopy(encoder.model).eval()
lower.encoder.layer = lower.encoder.layer[: 2 * len(lower.encoder.layer) // 3]  # the lower two thirds, frozen

# %%
@torch.no_grad()
def read(questions):
    """Frozen features (n, T, D), real and context (n, T), first and last of each answer (n, 2), the encoding."""
    asked, passages = [q.question for q in questions], [q.passage for q in questions]
    inputs = encoder.tokenizer(asked, passages, padding=True, return_tensors="pt")
    X = torch.cat([lower(**{name: x[i : i + 50].to(device) for name, x in inputs.items()}).last_hidden_state
                   for i in range(0, len(questions), 50)])
    context = torch.tensor([[part == 1 for part in inputs.sequence_ids(b)] for b in range(len(questions))])
    token = inputs.char_to_token                                  # from a letter of the passage to its token
    places = [(token(b, q.first, 1), token(b, q.first + len(q.answer) - 1, 1)) if q.answer else (0, 0)
              for b, q in enumerate(questions)]
    real = inputs["attention_mask"].bool().to(device)
    return X, real, context.to(device), torch.tensor(places, device=device), inputs

# %%
class SpanReader(nn.Module):
    """A narrow encoder layer of ours and two logits for each token, on top of frozen features."""

    def __init__(self, D):
        super().__init__()
        self.narrow, self.layer, self.spans = nn.Linear(D, 128), Layer(128, 4, 512), nn.Linear(128, 2)

    def forward(self, X, real):
        return self.spans(self.layer(self.narrow(X), real)).masked_fill(~real[:, :, None], -torch.inf).unbind(-1)


X, real, context, places, _ = read(asked_first)
torch.manual_seed(seed)
reader = SpanReader(X.shape[-1]).to(device)
steps = (1 if profile == "smoke" else 10) * math.ceil(len(X) / 32)
optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
for _ in ck.track(range(steps), "spans"):
    i = torch.randint(len(X), (32,), generator=g)
    S, E = reader(X[i], real[i])
    loss = (F.cross_entropy(S, places[i, 0]) + F.cross_entropy(E, places[i, 1])) / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
print(f"{steps} steps; the last loss is {loss.item():.3f}")

# %%
best = use("bert.spans", best_spans)


@torch.no_grad()
def answers(questions, margin=0.0):
    X, real, context, _, inputs = read(questions)
    spans = best(*reader(X, real), context, 8, margin).tolist()
    letters = inputs.token_to_chars
    cuts = [(letters(b, i).start, letters(b, j).end) if i else (0, 0) for b, (i, j) in enumerate(spans)]
    return [q.passage[a:z] for q, (a, z) in zip(questions, cuts, strict=True)]


def report(name, questions):
    given = answers(questions)
    marks = torch.tensor([[exact(p, q.answer), overlap(p, q.answer)] for p, q in zip(given, questions, strict=True)])
    told = torch.tensor([bool(q.answer) for q in questions])
    print(f"{name:26} exact match {marks[:, 0].mean():.2f}, token F1 {marks[:, 1].mean():.2f}   "
          f"(with an answer {marks[told, 0].mean():.2f}, without {marks[~told, 0].mean():.2f})")
    return given, marks[told, 0].mean().item()

# %%
report("never seen, known things", synthetic_questions(n_test, g))
_, before = report("things never seen", asked_later)

# %% [markdown]
# On new things the reader does well. It has learned what an answer looks like. Now we add one sentence to each passage that
# tells the same fact of **another** thing.

# %%
predict("bert.distraction")

# %%
distracting = synthetic_questions(n_test, g, test=True, distract=True)
said_then, after = report("... and a distraction", distracting)
for p, q in [(p, q) for p, q in zip(said_then, distracting, strict=True) if not exact(p, q.answer)][:3]:
    print(q.question, *textwrap.wrap(q.passage, 90), sep="\n    ")
    print(f"    said {p or '(no answer)'}, told {q.answer or '(no answer)'}")
came_out("bert.distraction", round(100 * after / before) if before else 0)

# %% [markdown]
# <details><summary>What happened</summary>
#
# Of the questions with an answer, more than half of what was right is now lost. When asked for a year, the reader may take
# the year of the wrong thing, or say that there is no answer. Jia and Liang (2017) added such sentences for sixteen
# published readers of SQuAD, and their F1 fell from 75% to 36% on average. A test set that is made like the training set
# does not show it. The numbers of the second line are true, and say less than they seem to.
# </details>

# %%
quiz("bert.span_quiz")

# %% [markdown]
# ### Every token gets a label
# The diagram of section 5 has one more head, that of [[term: token classification | each token, or each word, gets a label: a name or none, noun or verb]]. It is one linear layer, and every token has an answer of its own. The best-known use finds the names of people and
# places, and people have marked every word of thousands of sentences for it. We get labels for free. Our encoder's
# tokenizer turns all text into lower case, so the encoder has never seen a capital. The speeches of section 4 have them.
# Which words inside a sentence were written with one?
#
# That is [[term: truecasing | giving the words of a text their capitals back]], and no search for names. *Iraq* has a capital, and so have *I* and *Congress*, and
# with some speakers *Nation*. Whether a name is a country's or a person's, no label says. The label is 1 for a capital and 0 for
# none. Where a sentence begins everybody writes a capital, and punctuation and numbers have none. They get -100, which
# cross-entropy skips.

# %%
import re

WORD = re.compile(r"\w+|[^\w\s]")


def words_and_labels(line):
    """The words of a line, and 1 for a capital, 0 for none, -100 where that says nothing."""
    found = WORD.findall(line)
    before = [".", *found[:-1]]                                   # behind these a sentence begins
    silent = [last in '.:?!"' or not word[0].isalpha() for last, word in zip(before, found, strict=True)]
    return found, [-100 if no else int(word[0].isupper()) for no, word in zip(silent, found, strict=True)]


met, met_labels = words_and_labels("I met Gorbachev in Reykjavik.")
cut_up = encoder.tokenizer(met, is_split_into_words=True)
for name, row in (("words", met), ("labels", met_labels), ("tokens", cut_up.tokens()), ("word ids", cut_up.word_ids())):
    print(f"{name:10}", *(f"{x!s:>10}" for x in row))

# %% [markdown]
# ### Exercise [[bert.word_labels]]: Mend the word labels
# stretch · importance 3 of 5 · 10 minutes · 2 points
#
# Words have labels, and tokens have logits. Devlin et al. (2019, section 5.3) let the **first piece** of a word answer for
# it. `labels[b]` holds the labels of the words of sentence $b$, some of them -100. `word_ids[b]` holds for each of its
# tokens which word it belongs to, counted from 0, and None for a special token, as a tokenizer of `transformers` gives it.
# Return int64 labels (B, T) for the tokens. A word's first piece has the word's label. Special tokens, later pieces, and
# filler on the right have -100. $T$ is the length of the longest row.
#
# The function below has three slips, and what it prints shows them. Yours must also serve other tokenizers. Special tokens
# may be anywhere or missing, and of a long text that was cut, only some words have tokens. The pieces of a word always
# stand together.
#
# <details><summary>Hint 1</summary>
#
# Compare each row of labels with the word ids above it. Which word has lost its label? Which token has one too
# many? And is 0 a label that filler may have?
# </details>
# <details><summary>Hint 2</summary>
#
# In Python `0` is as false as `None`. A variable that remembers the word before must be told of every token.
# </details>
# <details><summary>Hint 3</summary>
#
# In the loop over the tokens, `row.append(-100 if i is None or i == before else words[i])` and then `before = i`. Fill up
# with `[-100]`. `before` starts as None in every row.
# </details>

# %%
def given_word_labels(labels, word_ids):
    """The labels of tokens, as a colleague left it."""
    rows = []
    for words, ids in zip(labels, word_ids, strict=True):
        row, before = [], None
        for i in ids:
            row.append(words[i] if i and i != before else -100)
        rows.append(row)
    T = max(len(row) for row in rows)
    return torch.tensor([row + [0] * (T - len(row)) for row in rows])


two = [[None, 0, 1, 2, 2, None], [None, 0, None]]                # sentences of three words and of one
for ids, row in zip(two, given_word_labels([[1, 0, 1], [1]], two).tolist(), strict=True):
    print("word ids", *(f"{i!s:>5}" for i in ids))
    print("labels  ", *(f"{y:5}" for y in row))

# %% exercise="bert.word_labels"
def word_labels(labels: list[list[int]], word_ids: list[list[int | None]]) -> Int[Tensor, "B T"]:
    """The label of each word on its first piece; -100 on special tokens, later pieces and filler."""
    ### BEGIN SOLUTION
    rows = []
    for words, ids in zip(labels, word_ids, strict=True):
        row, before = [], None
        for i in ids:
            row.append(-100 if i is None or i == before else words[i])
            before = i
        rows.append(row)
    T = max(len(row) for row in rows)
    return torch.tensor([row + [-100] * (T - len(row)) for row in rows])
    ### END SOLUTION

# %% check="bert.word_labels"
check("bert.word_labels", word_labels)

# %% [markdown]
# The head learns from speeches before 1990 and is tested on those since 1995, so that no document is in both, and new
# names have come up. The encoder stays frozen and a linear layer learns, from the vectors of the tokens at one of three
# depths. Only the first token of each word is asked. The control is a dictionary. It gives each word the label that it
# mostly had in the training sentences, and a small letter to a word that it does not know.

# %%
spoken = [(int(title[:4]), line) for title, lines in prose().items() if title[:4].isdigit()  # without Moby-Dick
          for line in lines if 8 <= len(line.split()) <= 40]
shuffled = [spoken[k] for k in torch.randperm(len(spoken), generator=g).tolist()]
n_lines = 12 if profile == "smoke" else 300
taught = [line for year, line in shuffled if year < 1990][:n_lines]
later = [line for year, line in shuffled if year >= 1995][:n_lines]
depths = {"before the first layer": 0, "after two thirds of them": len(lower.encoder.layer), "after the last layer": -1}
labelled = use("bert.word_labels", word_labels)


@torch.no_grad()
def labelled_words(lines):
    """For the m words with a label: vectors (m, 3, D) at three depths, labels (m), lines (m), the words in lower case."""
    found, given = zip(*map(words_and_labels, lines), strict=True)
    inputs = encoder.tokenizer(list(found), is_split_into_words=True)
    y = labelled(list(given), [inputs.word_ids(b) for b in range(len(lines))])   # (n, T)
    X = torch.zeros(*y.shape, len(depths), encoder.model.config.hidden_size)     # (n, T, 3, D)
    for rows, (ids, real) in zip(*batches_of(inputs["input_ids"], by_length, 32), strict=True):
        states = encoder.model(ids.to(device), attention_mask=real.to(device), output_hidden_states=True).hidden_states
        X[rows, : ids.shape[1]] = torch.stack([states[k].cpu() for k in depths.values()], 2)
    marked = (label != -100 for labels in given for label in labels)
    spelled_low = [*itertools.compress((word.lower() for words in found for word in words), marked)]
    return X[y != -100], y[y != -100], (y != -100).nonzero()[:, 0], spelled_low

# %%
X, y, line_of, known = labelled_words(taught)
X_new, y_new, new_line_of, new = labelled_words(later)
for name, labels in (("to learn from", y), ("to test on", y_new)):
    print(f"{len(labels):,} words {name}, {labels.float().mean():.1%} of them with a capital")

# %%
predict("bert.capitals")

# %%
def capitals(X, y, X_new):
    """Which of the new words have a capital, says a linear head that has learned from the vectors X (m, D)."""
    head = nn.Linear(X.shape[-1], 2)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(10 if profile == "smoke" else 150):
        i = torch.randint(len(X), (256,), generator=g)
        loss = F.cross_entropy(head(X[i]), y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head(X_new).argmax(-1)


def f_of_capitals(said, true):
    """2 both / (predicted + true), in percent."""
    return 200 * (said & true).sum().item() / max((said.sum() + true.sum()).item(), 1)

# %%
from coursekit.material.controls import dictionary

torch.manual_seed(seed)
found_f = {}
for _ in range(3):                                                # each learns from another two thirds of the sentences
    part = torch.isin(line_of, torch.randperm(n_lines, generator=g)[: 2 * n_lines // 3])
    mostly, in_dictionary = dictionary(itertools.compress(known, part), y[part].tolist(), new)
    said_by = {"the dictionary": mostly}
    for k, name in enumerate(depths):
        said_by[name] = capitals(X[part][:, k], y[part], X_new[:, k])
    for name, labels in said_by.items():
        which = (torch.ones_like(in_dictionary), in_dictionary, ~in_dictionary)
        found_f.setdefault(name, []).append([f_of_capitals(labels[w] == 1, y_new[w] == 1) for w in which])
print(f"F of the capitals (%)    {'all words':>14}{'in training':>14}{'never seen':>14}")
averages = {name: torch.tensor(runs).mean(0) for name, runs in found_f.items()}
for name, average in averages.items():
    spread = torch.tensor(found_f[name]).std(0)
    print(f"{name:25}" + "".join(f"{m:8.1f} ±{s:4.1f}" for m, s in zip(average, spread, strict=True)))
came_out("bert.capitals", max(depths, key=lambda name: averages[name][2]).capitalize())

# %%
def with_capitals(line, labels):
    """The line in lower case, but for the words whose label is 1."""
    labels = iter(labels)
    return WORD.sub(lambda word: word[0].capitalize() if next(labels) == 1 else word[0], line.lower())


guessed = said_by["after two thirds of them"]
for k in new_line_of[(y_new == 1) & ~in_dictionary].unique()[:3].tolist():  # lines in which a word never seen has a capital
    here = new_line_of == k
    flags = iter(guessed[here].tolist())
    print(with_capitals(later[k], [label if label == -100 else next(flags) for label in words_and_labels(later[k])[1]]))
    print("    wrong:", " ".join(itertools.compress(new, (here & (guessed != y_new)).tolist())) or "nothing")

# %% [markdown]
# <details><summary>What happened</summary>
#
# **On words that it holds the dictionary is hard to beat.** Most words are always written in the same way, and no head is
# far ahead. Of all other words it knows nothing.
#
# **Among these a head finds many capitals before the first layer.** No token has seen its neighbours there. But names have
# vectors like those of other names, and what is learned of one holds for the next. Pretraining has put that into the table
# of tokens. "Never seen" is true of the head and its sentences only, for the encoder has read far more.
#
# **Two thirds of the layers find more.** Now the neighbours have their say, and so have the later pieces. Before the first
# layer nothing was left of *Gorbachev* but *go*.
#
# **After the last layer much of it is gone.** There even the dictionary does better on the words that it holds. This encoder
# was trained so that the mean of its last vectors tells what a sentence is about, and nothing asked it to keep what each
# word is. Whoever labels tokens with a frozen encoder tries more than its last layer.
#
# Three draws share most of their sentences, and all heads are tested on the same ones, so ± is less than the whole
# uncertainty. The printed lines have their capitals from the head, but for the first word, about which it was not asked.
# </details>

# %%
quiz("bert.unseen_words")

# %% [markdown]
# ## 10. What it learned, layer by layer
#
# Back to the films. Where in the encoder does the opinion sit, and what did fine-tuning change? We take the mean of the
# tokens after each layer, once in the encoder as it came and once in the tuned one. A very simple classifier reads them. It
# says whichever class's average is nearer. It cannot bend anything, so if it succeeds, the classes lie apart already.

# %%
predict("bert.depth")

# %%
from coursekit.figures import clouds

n = 16 if profile == "smoke" else 200
looked_at, shown = movies.train[:n], test[:n]


@torch.no_grad()
def by_layer(model, part):
    """The mean of each sentence's tokens before the first layer and after each: (L + 1, n, D)."""
    parts = [part.texts[i : i + 50] for i in range(0, len(part), 50)]
    batches = (encoder.tokenizer(some, padding=True, return_tensors="pt").to(device) for some in parts)
    return torch.cat([torch.stack([mean_of(X, batch["attention_mask"].bool()) for X in
                      model(**batch, output_hidden_states=True).hidden_states]).cpu() for batch in batches], 1)


def apart(name, layer):
    """Where the averages of both classes lie, the new vectors, and how often the nearer average is right."""
    known, new = states[name][0][layer], states[name][1][layer]
    low, high = (known[looked_at.labels == c].mean(0) for c in (0, 1))
    nearer = ((new - high).norm(dim=1) < (new - low).norm(dim=1)) == shown.labels.bool()
    return low, high, new, nearer.float().mean().item()


models = {"as it came": encoder.model, "fine-tuned": tuned.eval()}
states = {name: (by_layer(model, looked_at), by_layer(model, shown)) for name, model in models.items()}
L = len(tuned.encoder.layer)

# %%
def flattened(low, high, new):
    """Coordinates (n, 2): along the line between the averages, and the widest direction across it (by an SVD)."""
    along, rest = F.normalize(high - low, dim=0), new - new.mean(0)
    across = torch.linalg.svd(rest - (rest @ along)[:, None] * along, full_matrices=False).U[:, 0]
    XY = torch.stack([(new - (low + high) / 2) @ along, across], 1)
    return XY / XY.std(0)


right_at = {name: [apart(name, layer)[3] for layer in range(L + 1)] for name in models}
for layer, (came, after_tuning) in enumerate(zip(*right_at.values(), strict=True)):
    print(f"layer {layer}: as it came {came:.0%}, fine-tuned {after_tuning:.0%}")
panels = {f"{name}, layer {layer}: {right_at[name][layer]:.0%}": flattened(*apart(name, layer)[:3])
          for name in models for layer in (0, L // 2, L)}
first = next((l for l in range(L + 1) if right_at["fine-tuned"][l] > right_at["as it came"][l] + 0.02), L)
half = "lower" if first <= L // 2 else "upper"
came_out("bert.depth", f"In the {half} half" if first else "At the embeddings")
fig = clouds(panels, shown.labels, movies.names, x_label="along the line between the averages",
             y_label="widest direction across")
show(fig, "bert.depth", came=right_at["as it came"][L], tuned=right_at["fine-tuned"][L])

# %% [markdown]
# <details><summary>What happened</summary>
#
# The embeddings are the same, since they were frozen. Then the tuned encoder gets ahead, and the last layers add fewer
# right answers than they draw the two opinions apart, with the doubtful sentences between.
# </details>
#
# Tenney et al. (2019) found words and grammar low and meaning high, Merchant et al. (2020) that fine-tuning works
# mostly on the top layers. Ours is a small encoder. What you saw is a picture of a few hundred sentences, seen from the
# side that shows the difference best. It is no proof of what the layers are *for*.
#
# And attention? Choose a head and compare. The widget begins with the head that changed most on this sentence.

# %%
from coursekit.widgets import before_and_after

before_and_after(encoder, tuned)

# %%
quiz("bert.layers")

# %% [markdown]
# ## 11. What practitioners type
#
# You have written every part once. At work you would call the library, and now you can read what it does. Each name below
# is a part of yours.
#
# | library | yours |
# |---|---|
# | `AutoModelForSequenceClassification` | [[bert.classifier]], with the pooler's `[CLS]` in place of the mean |
# | `DataCollatorWithPadding` | `pad` of [[bert.batches]] |
# | `DataCollatorForTokenClassification` | the filler of [[bert.word_labels]] |
# | `Trainer` and `TrainingArguments` | [[bert.fine_tuning]] and the schedule of [[bert.parameter_groups]] |
# | `compute_metrics` and `evaluate` | `evaluate` of [[bert.fine_tuning]], and [[bert.macro_f1]] |
# | `EarlyStoppingCallback` with `load_best_model_at_end=True` | [[bert.early_stopping]] |
# | `save_pretrained`, `from_pretrained` | `state_dict`, with the configuration beside it |

# %%
import tempfile
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding
from transformers import PrinterCallback, Trainer, TrainingArguments
from coursekit.material.models import encoder_source, quiet


def examples(part):
    pairs = zip(part.texts, part.labels.tolist(), strict=True)
    return [encoder.tokenizer(text, truncation=True) | {"labels": label} for text, label in pairs]


def metrics(found):
    """Numbers of an evaluation by name, from all logits (n, C) and labels (n)."""
    return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}


n_learned, n_held = (16, 8) if profile == "smoke" else (96, 100)
label_names = dict(enumerate(movies.names))
with quiet():                                                     # without progress bars and load reports
    library_model = AutoModelForSequenceClassification.from_pretrained(
        encoder_source(profile), num_labels=2, id2label=label_names)

# %%
folder = tempfile.TemporaryDirectory()
settings = TrainingArguments(
    folder.name, learning_rate=1e-4, num_train_epochs=1, per_device_train_batch_size=32, warmup_steps=1, seed=seed,
    save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True, use_cpu=device.type == "cpu")
trainer = Trainer(
    library_model, settings, train_dataset=examples(movies.train[:n_learned]),
    eval_dataset=examples(movies.validation[:n_held]), compute_metrics=metrics,
    data_collator=DataCollatorWithPadding(encoder.tokenizer), processing_class=encoder.tokenizer)
trainer.remove_callback(PrinterCallback)                          # it prints dicts as they are
finished, evaluated = trainer.train(), trainer.evaluate()
print(f"{finished.global_step} steps, mean loss {finished.training_loss:.3f}")
print(f"validation loss {evaluated['eval_loss']:.3f}, accuracy {evaluated['eval_accuracy']:.1%} of {n_held}")

# %%
with quiet():
    trainer.save_model(folder.name)                               # weights, configuration and tokenizer
    again = AutoModelForSequenceClassification.from_pretrained(folder.name).eval()
    its_tokenizer = AutoTokenizer.from_pretrained(folder.name)
inputs = its_tokenizer("A joy from the first scene to the last.", return_tensors="pt")
with torch.no_grad():
    p = again(**inputs).logits.softmax(-1)[0]
print("loaded from a folder:", ", ".join(f"{again.config.id2label[c]} {p[c]:.2f}" for c in range(2)))

# %% [markdown]
# Three steps teach next to nothing. The loss is still near $\ln 2 = 0.69$, that of a coin. With the sentences and epochs of section 6
# the same calls would do what your loop did.
#
# Two things to know before you trust it. `Trainer` takes the sentences in random order and pads each batch to its longest,
# as you have seen in section 2; `train_sampling_strategy="group_by_length"` gets most of the sorting back. And
# "newly initialized" in the report on loading is no error. It names the head, which is random until you train it.

# %%
quiz("bert.library")

# %% [markdown]
# ## 12. Where it leads (November 2026)
#
# - **Encoders again.** ModernBERT ([2412.13663](https://arxiv.org/abs/2412.13663)) brought rotary positions, pre-norm, gated
#   feed-forward layers, alternating local and global attention and unpadded batches to the encoder, and hides 30% of the
#   tokens. mmBERT ([2509.06888](https://arxiv.org/abs/2509.06888)) does so for 1,800 languages and lowers the share as it goes.
# - **Encoder or decoder?** With one recipe for both, Ettin ([2507.11412](https://arxiv.org/abs/2507.11412)) finds encoders ahead
#   in classification and retrieval, decoders in writing. Learning to predict the next token first and to fill in
#   afterwards did best in 38 controlled runs ([2507.00994](https://arxiv.org/abs/2507.00994)).
# - **Vectors for search.** EmbeddingGemma ([2509.20354](https://arxiv.org/abs/2509.20354)) begins as a decoder and becomes an
#   encoder. Late interaction keeps a vector for each token (ColBERT, [2004.12832](https://arxiv.org/abs/2004.12832)).
# - **Filling in writes.** LLaDA ([2502.09992](https://arxiv.org/abs/2502.09992)) hides a random share, up to all, and writes
#   by filling in, round after round, a masked diffusion model with your loss.

# %% [markdown]
# Earlier steps on the same road were RoBERTa (no next-sentence task, ten times the text), ALBERT (shared layers), ELECTRA
# (tell real tokens from replaced ones), DeBERTa (content and place apart), DistilBERT and MiniLM (small students), and
# Sentence-BERT (the mean of [[bert.pooling]], trained so that like texts lie close).
#
# In the next cell your tiny BERT writes. It fills four gaps, the likeliest token first, as a masked diffusion model does.
# Under `full` an encoder of today, Ettin with 17 million weights, fills the same gaps.

# %%
@torch.no_grad()
def write_by_filling_in(model, tokenizer, text, gaps):
    """Fill the gaps one by one, always the one about which the model is surest."""
    ids = tokenizer(text.replace("_", tokenizer.mask_token * gaps), return_tensors="pt")["input_ids"]
    while (holes := (ids[0] == tokenizer.mask_token_id).nonzero()[:, 0]).numel():
        output = model(input_ids=ids.to(model.device))
        z = output.prediction_logits if hasattr(output, "prediction_logits") else output.logits
        p, best_token = z[0, holes.to(z.device)].softmax(-1).max(-1)
        k = int(p.argmax())
        ids[0, holes[k]] = best_token[k].cpu()
    return tokenizer.decode(ids[0], skip_special_tokens=True)


begun = "We must _ the american people."
print("tiny BERT:", write_by_filling_in(load_tiny_bert(device).model, tokenizer, begun, 4))
if profile == "full":
    from transformers import AutoModelForMaskedLM

    ettin = "jhu-clsp/ettin-encoder-17m"
    writer = AutoModelForMaskedLM.from_pretrained(ettin).to(device).eval()
    print("Ettin:", write_by_filling_in(writer, AutoTokenizer.from_pretrained(ettin), begun, 4))

# %% [markdown]
# Chat models are decoders, and they can classify too. Where a million texts have to be sorted or searched, an encoder of
# this size still does it for a small part of the cost.

# %%
quiz("bert.recipe")

# %% [markdown]
# ## Terms and formulas
#
# [[terms]]
#
# [[formulas]]

# %% [markdown]
# ## Papers
#
# - Devlin et al. 2019, [BERT](https://arxiv.org/abs/1810.04805): sections 3 and 4, appendices A and C
# - Wu et al. 2016, [Google's Neural Machine Translation System](https://arxiv.org/abs/1609.08144): section 4.1, WordPiece;
#   Sennrich et al. 2016, [BPE](https://arxiv.org/abs/1508.07909)
# - Gururangan et al. 2020, [Don't Stop Pretraining](https://arxiv.org/abs/2004.10964); Krishna et al. 2023, [Downstream Datasets
#   Make Surprisingly Good Pretraining Corpora](https://arxiv.org/abs/2209.14389)
# - Wettig et al. 2023, [Should You Mask 15%?](https://arxiv.org/abs/2202.08005); Nangia et al. 2020,
#   [CrowS-Pairs](https://arxiv.org/abs/2010.00133)
# - Liu et al. 2019, [RoBERTa](https://arxiv.org/abs/1907.11692); Lan et al. 2020, [ALBERT](https://arxiv.org/abs/1909.11942);
#   Clark et al. 2020, [ELECTRA](https://arxiv.org/abs/2003.10555); He et al. 2021, [DeBERTa](https://arxiv.org/abs/2006.03654)
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
#   Loss](https://arxiv.org/abs/2309.07311); Howard and Ruder 2018, [ULMFiT](https://arxiv.org/abs/1801.06146)
# - Hutto and Gilbert 2014, VADER (ICWSM): the rated film snippets
#
# *Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Code: BSD 3-Clause. Copyright: the authors of this course.*

# %%
progress()
