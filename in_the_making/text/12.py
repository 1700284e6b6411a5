# %% [markdown]
# ## 12. Tokens
# **Sitting 7 of 8**, 95 minutes, sections 12 and 13. Exercises [[core.bpe]] and [[core.large]] must be done, [[core.scaling_law]] may be left out.
#
# A language model does not read letters. A text becomes a list of whole numbers first, and the model learns a vector for each. Words are too many, and one that is new has no number. Bytes are only 256, and make long
# lists. **Byte pairs** lie between (Sennrich et al. 2016, on bytes since Radford et al. 2019). Start from bytes, and join the most frequent pair of neighbours, again and again.

# %% tags=["setup"]
import re
from collections import Counter


def words_of(text):
    """A text in words, each with the space before it; more spaces are a word of their own."""
    return re.findall(r" ?[^ ]+| +", text)

# %% tags=["nbval-check-output"]
pieces = [bytes([byte]) for byte in b"low lower lowest slow"]
for _ in range(4):
    pair, times = Counter(pairwise(pieces)).most_common(1)[0]
    joined, i = [], 0
    while i < len(pieces):
        both = tuple(pieces[i : i + 2]) == pair
        joined.append(pieces[i] + pieces[i + 1] if both else pieces[i])
        i += 1 + both
    pieces = joined
    print(f"{pair[0].decode()!r} + {pair[1].decode()!r} came {times} times:", " ".join(piece.decode() for piece in pieces).replace("  ", " ␣"))

# %% [markdown]
# Three details decide whether it works. Pairs are counted within words, or *of the* would become a token. Among equally frequent pairs a rule must say which comes first, or two runs disagree. And encoding joins the pair that was learned *first*, again and again,
# wherever in the word it stands.

# %% [markdown]
# ### Exercise [[core.bpe]]: Byte pairs
# core · importance 4 of 5 · 45 minutes · 4 points
#
# Write three functions. `words_of` above cuts a text into words, and nothing is joined across their borders.
#
# - `train(text, n)` learns up to $n$ merges from a text, as a list of pairs of bytes objects. It always takes the pair that comes most often, counted over all words. Of equally frequent ones it takes the smallest pair (Python compares
#   pairs of bytes by itself). In *aaaa* the pair *aa* comes three times and is joined twice, from the left. If no pair is left, it ends early.
# - `encode(text, merges, special)` gives the ids of a text. A byte has its own number as its id, and what merge $r$ joins has $256 + r$. In a word, the pair whose merge was learned first is joined first. `special` is a dictionary of texts with an id
#   each. Where one of them stands in the text it becomes its id. Where two begin at one place, it is the longer one.
# - `decode(ids, merges, special)` gives the bytes, whatever they spell.
#
# A text that only looks like a special token, and is not in `special`, is a text like any other. No argument is changed.
#
# <details><summary>Hint 1</summary>
#
# A word that comes a hundred times has the same pairs a hundred times. What would you count instead?
# </details>
# <details><summary>Hint 2</summary>
#
# `Counter(words_of(text))` gives words with their numbers. One function that joins a pair everywhere in a list of pieces serves `train` and `encode`.
# </details>
# <details><summary>Hint 3</summary>
#
# `min(counts, key=lambda pair: (-counts[pair], pair))` is the pair to join. In `encode`, as long as a pair of neighbours has a rank, join the one with the lowest. `re.split` with a group in
# its pattern keeps what it splits at, and `re.escape` quotes it.
# </details>

# %% exercise="core.bpe"
def train(text: str, n: int) -> list[tuple[bytes, bytes]]:
    """Up to n merges, in the order in which they are learned."""
    ### BEGIN SOLUTION
    words = [([bytes([byte]) for byte in word.encode()], times) for word, times in Counter(words_of(text)).items()]
    merges = []
    for _ in range(n):
        counts = Counter()
        for pieces, times in words:
            for pair in pairwise(pieces):
                counts[pair] += times
        if not counts:
            break
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        words = [(all_joined(pieces, merges[-1]), times) for pieces, times in words]
    return merges
    ### END SOLUTION


def encode(text: str, merges: list[tuple[bytes, bytes]], special: dict[str, int]) -> list[int]:
    """The ids of a text."""
    ### BEGIN SOLUTION
    rank = {pair: r for r, pair in enumerate(merges)}
    id_of = {bytes([byte]): byte for byte in range(256)} | {a + b: 256 + r for r, (a, b) in reversed([*enumerate(merges)])}
    longest_first = sorted(special, key=len, reverse=True)
    parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text) if special else [text]
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for word in words_of(part):
            pieces = [bytes([byte]) for byte in word.encode()]
            while pairs := [pair for pair in pairwise(pieces) if pair in rank]:
                pieces = all_joined(pieces, min(pairs, key=rank.get))
            ids += [id_of[piece] for piece in pieces]
    return ids
    ### END SOLUTION


def decode(ids: list[int], merges: list[tuple[bytes, bytes]], special: dict[str, int]) -> bytes:
    """The bytes that the ids stand for."""
    ### BEGIN SOLUTION
    made = {256 + r: a + b for r, (a, b) in enumerate(merges)} | {id: text.encode() for text, id in special.items()}
    return b"".join(made[id] if id in made else bytes([id]) for id in ids)
    ### END SOLUTION


### BEGIN SOLUTION
def all_joined(pieces: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """The pieces with every occurrence of the pair joined, from the left."""
    found, i = [], 0
    while i < len(pieces):
        both = tuple(pieces[i : i + 2]) == pair
        found.append(pieces[i] + pieces[i + 1] if both else pieces[i])
        i += 1 + both
    return found
### END SOLUTION

# %% check="core.bpe"
check("core.bpe", train, encode, decode)

# %%
predict("core.chinese")

# %%
from coursekit.material.data import prose_texts

train_pairs, to_ids, to_bytes = use("core.bpe", train, encode, decode)
speeches, unseen = prose_texts()
text = "\n".join(speeches)[: 5_000 if profile == "smoke" else 50_000]
merges = train_pairs(text, 20 if profile == "smoke" else 200)
print("learned", len(merges), "merges; the last five give", [(a + b).decode() for a, b in merges[-5:]])
samples = {
    "speeches, not seen": unseen[0][:2000],
    "German": "Ein Netz ist eine Formel mit vielen Zahlen, und Lernen heißt, dass sich diese Zahlen ändern.",
    "Chinese": "网络是一个包含许多数字的公式,学习意味着这些数字在变化。",
    "Python": "for p in params:\n    p.data -= lr * p.grad\n",
}
per_token = {}
for name, sample in samples.items():
    ids = to_ids(sample, merges, {})
    assert to_bytes(ids, merges, {}) == sample.encode()
    per_token[name] = len(sample.encode()) / len(ids)
    print(f"{name:19} {len(sample):5} characters, {len(ids):5} tokens, {per_token[name]:.2f} bytes each, {len(ids) / len(sample):.2f} tokens a character")
came_out("core.chinese", round(len(to_ids(samples["Chinese"], merges, {})) / len(samples["Chinese"]), 1))

# %% [markdown]
# <details><summary>What happened</summary>
#
# In UTF-8 a Chinese character has three bytes, and no pair of them was ever frequent in English speeches. So each becomes three tokens, and the same sentence costs several times as much in a model's window and on its bill. A tokenizer knows
# the texts that it was learned from, and nothing else. That is one of the quiet ways in which languages are unequal in these models (Petrov et al. 2023).
# </details>
#
# What happens when a list of such tokens is cut?

# %% tags=["nbval-check-output"]
ids = to_ids("数字", [], {})
for n in (3, 4, 5, 6):
    octets = to_bytes(ids[:n], [], {})
    print(n, "tokens:", octets, repr(octets.decode("utf-8", errors="replace")))

# %% [markdown]
# A character that is cut cannot be decoded. `decode()` without `errors="replace"` would raise, in the middle of a text that a model is writing. So whoever shows a text token by token waits until a character
# is whole. And whoever lets users write `<|end|>` into a text that is encoded with `special` has given them the model's own signs. It is why `special` is an argument and not a habit.

# @@ tokenizing

# %%
quiz("core.tokens")
