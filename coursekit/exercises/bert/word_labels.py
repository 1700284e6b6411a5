"""word_labels(labels, word_ids): the labels of words on the first pieces of these words, -100 elsewhere."""

import dataclasses
import itertools

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import some

IGNORED = -100
CLASSES = range(1, 128)  # more than any case of distinct labels has words: forty sentences have 110
LONG = 530
FAR = 1500  # Python keeps one object for each small number, its newer versions up to 1024: no `is` is right of this one


def words_in(ids):
    """The numbers of the words that have tokens, each once."""
    return [i for i in dict.fromkeys(ids) if i is not None]


def the_word_with(y, labels):
    """The word whose label this is; of several one would be a guess, and could lead astray."""
    found = [(i, b) for b, words in enumerate(labels) for i, label in enumerate(words) if label == y != IGNORED]
    return "word {} of sentence {}".format(*found[0]) if len(found) == 1 else ""


def as_it_does(y, labels):
    """Who else has the label, at the end of a sentence that says who has it."""
    return f", as {word} does" if (word := the_word_with(y, labels)) else ""


def each_word_is_labelled_once(case, outputs):
    """Of the pieces of a word one has a label, and none where the word has none."""
    Y, labels = outputs["token labels"].tolist(), case["labels"]
    for b, (words, ids) in enumerate(zip(labels, case["word_ids"], strict=True)):
        for i in words_in(ids):
            pieces = [y for y, j in zip(Y[b], ids, strict=False) if j == i]
            n, wanted = sum(y != IGNORED for y in pieces), int(words[i] != IGNORED)
            if n != wanted:
                of = f"{len(pieces)} piece{'s' * (len(pieces) > 1)}"
                told = f"word {i} of sentence {b} (label {words[i]}) has a label on {n} of {of}, expected on {wanted}"
                others = ((y, the_word_with(y, labels)) for y in pieces if y != words[i])
                return told + next((f" ({y} is the label of {word})" for y, word in others if word), "")
    return None


def only_words_are_labelled(case, outputs):
    """Special tokens and filler have none."""
    for b, (y, ids) in enumerate(zip(outputs["token labels"].tolist(), case["word_ids"], strict=True)):
        for t, found in enumerate(y):
            if found != IGNORED and (t >= len(ids) or ids[t] is None):
                what = "filler" if t >= len(ids) else "a special token"
                told = f"token {t} of sentence {b} is {what}, and has the label {found}"
                return told + as_it_does(found, case["labels"])
    return None


def first_pieces_have_their_words_labels(case, outputs):
    """Said where each word is labelled once: another piece of it is, or the label is another word's."""
    Y, labels = outputs["token labels"].tolist(), case["labels"]
    for b, (words, ids) in enumerate(zip(labels, case["word_ids"], strict=True)):
        for i in words_in(ids):
            t = ids.index(i)
            if (found := Y[b][t]) != words[i]:
                told = f"token {t} of sentence {b} is the first piece of word {i} (label {words[i]}), and has {found}"
                return told + as_it_does(found, labels)
    return None


def cases(g):
    def case(part, label, rows, labels=None, times=1, first=0):
        """Rows are sentences, a letter a token: "-" is a special token, "a" a piece of the first word."""
        word_ids = [[None if c == "-" else ord(c) - ord("a") + first for c in row] for row in rows.split() * times]
        return drawn(part, label, word_ids, labels)

    def drawn(part, label, word_ids, labels=None):
        counts = [1 + max(words_in(ids), default=-1) for ids in word_ids]
        given = [labels(n) for n in counts] if labels else distinct(counts)
        return Case(part, label, {"labels": given, "word_ids": word_ids})

    def distinct(counts):
        """Labels of so many words a sentence: none is 0, and no two are equal, so that a label tells whose it is."""
        left = iter(some(g, CLASSES, sum(counts)))
        return [[*itertools.islice(left, n)] for n in counts]

    def among(*values):
        """Labels that are these by turns, whichever comes first: one comes again, and never behind itself."""
        start = int(torch.randint(len(values), (1,), generator=g))
        return lambda n: [values[(start + k) % len(values)] for k in range(n)]

    def pieces(tokens):
        """Word ids of a sentence of so many tokens: words of one to three pieces between two special tokens."""
        lengths = torch.randint(1, 4, (tokens,), generator=g)
        inside = torch.arange(tokens).repeat_interleave(lengths)[: tokens - 2].tolist()
        return [None, *inside, None]

    def many(n):
        return some(g, range(1, 50_000), n)

    def far(n):
        return [0] * FAR + some(g, CLASSES, n - FAR)

    def other(case, label, **given):
        """The same but for one argument."""
        return dataclasses.replace(case, label=label, inputs=case.inputs | given)

    mixed = case("first pieces", "words of one, two and three pieces", "-abbcccd- -aabcdde- -aaabcde-")
    again = distinct([len(words) for words in mixed.inputs["labels"]])
    cut_again = case("first pieces", "the same labels, other tokens", "-aabbccd- -abccdde- -abccdee-")
    batch = "-abbc- -aab- -abcddde- -a-"
    return [
        case("first pieces", "words of one piece", "-abcd- -abcd-"),
        mixed,
        other(mixed, "the same tokens, other labels", labels=again),
        other(cut_again, cut_again.label, labels=mixed.inputs["labels"]),
        case("first pieces", "a batch of one sentence", "-aabbc-"),
        # Before the neighbours: who labels each class once is wrong here, and who compares labels is not.
        case("first pieces", "class 0 among others", "-aabcdd- -abccde-", among(0, 3, 0, 8)),
        case("first pieces", "neighbours of the same class", "-aabcd- -abbcd-", lambda n: some(g, CLASSES, 1) * n),
        case("first pieces", "words without a label", "-aabcdd- -abccde-", among(IGNORED, 2, IGNORED, 5)),
        case("first pieces", "words without a token", "-abbe- -aace-"),
        case("first pieces", "cut before the last words", "-abbc- -aabc-", lambda n: some(g, CLASSES, n + 3)),
        case("first pieces", "a window that begins with word 3", "-deef- -ddef-"),
        case("first pieces", "a late window, then an early one", "-ijjk- -aabc-"),
        case("first pieces", f"a window that begins with word {FAR}", "-aabc- -abbc-", far, first=FAR),
        case("first pieces", "no special tokens", "aabc abbc abcd"),
        case("first pieces", "no special tokens, sentences of one word", "aa aa aa"),
        case("first pieces", "one special token in the middle", "-ab-cdd- -aab-cc-"),
        case("first pieces", "special tokens side by side", "---abbc-- -aa---bc-"),
        case("first pieces", "one token", "a"),
        case("padding", "sentences of unlike length", batch),
        case("padding", "the longest sentence comes last", "-ab- -a- -aabbcd-"),
        case("padding", "a sentence without words", "-- -abcc-"),
        case("padding", "no special tokens, unlike length", "aab a abbbc a"),
        case("padding", "forty sentences", batch, times=10),
        drawn("padding", f"a sentence of {LONG} tokens", [pieces(9), pieces(LONG)], many),
        drawn("padding", "many classes", [pieces(12), pieces(20)], many),
    ]


EXERCISE = Exercise(
    id="bert.word_labels",
    title="Mend the word labels",
    parts={"first pieces": 1, "padding": 1},
    minutes=10,
    difficulty="stretch",
    importance=3,
    calls=("word_labels(labels, word_ids) -> token labels",),
    cases=cases,
    laws=(each_word_is_labelled_once, only_words_are_labelled, first_pieces_have_their_words_labels),
)
