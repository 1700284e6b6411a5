"""render_chat(messages, tokenizer): the ids of a conversation in SmolLM2's template, and which of them are learned."""

import itertools
import re

import torch

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import some
from coursekit.checking.probing import Wrong, text, texts

SPECIAL = ("<|im_start|>", "<|im_end|>")
FIRST = 40_000  # the smallest id, as in real vocabularies too large for 16 bits
PIECES = ("system", "user", "assist", "assistant", "the", " the", "an", " an", "er", "in", " ship", " named", "ing")
TEXT, LEARNED = "the text of the ids", "what is learned"
WORDS = ("ship", "whale", "Paris", "a", "the", "of", "north", "42", "named", "bread", "is", "answer", "an", "sailing")


def cases(g):
    def said(n):
        """A text of n words in any order."""
        return " ".join(WORDS[i] for i in torch.randint(len(WORDS), (n,), generator=g).tolist())

    def case(part, label, *turns):
        """Turns are "user: text"; where the text is a number, so many words are drawn."""
        messages = []
        for role, content in (turn.split(": ", 1) for turn in turns):
            messages.append({"role": role, "content": said(int(content)) if content.isdigit() else content})
        seed = torch.randint(2**31, (), generator=g).item()
        given = {"messages": messages, "pieces": some(g, PIECES, 9), "seed": seed}
        return Case(part, label, given | {"marked": part == "answers"})

    turns = [f"{role}: {n}" for n in (3, 1, 2) for role in ("user", "assistant")]
    question = "one question", "user: 4", "assistant: 3"
    brought = "a system message of its own", "system: 4", "user: 3", "assistant: 2"
    return [
        case("text", *question),
        case("text", *brought),
        case("text", "a system message in the middle", "user: 2", "assistant: 3", "system: 2", "user: 3"),
        case("text", "spaces and newlines", "user: Two:\n  one  \n\ntwo ", "assistant: yes\n\n", "user: \ta "),
        case("text", "letters outside of ASCII", "system: 1", "user: Où est le café? 日本", "assistant: Là-bas ☕"),
        case("text", "letters that can be written in several ways", "user: cafe\u0301 ½ ﬁn", "assistant: Å"),
        case("text", "another role", "system: 1", "tool: 3", "assistant: 1"),
        case("text", "an answer comes first", "assistant: 2", "user: 2"),
        case("text", "a role that is none of the three comes first", "tool: 2", "user: 1"),
        case("answers", *question),
        case("answers", *brought),
        case("answers", "it ends with a question", "system: 1", *turns[:4], "user: 3"),
        case("answers", "three questions", *turns),
        case("answers", "empty texts", "system: ", "user: 2", "assistant: ", "user: ", "assistant: 2"),
        case("answers", "the same words in every turn", *["user: an ship", "assistant: an ship"] * 2),
        case(
            "answers",
            "names of roles in the texts",
            "system: user",
            "user: assistant\nan",
            "assistant: user or assistant?",
        ),
        case(
            "answers",
            "answers one after another",
            "system: 1",
            "assistant: 3",
            "user: 1",
            "assistant: 2",
            "assistant: 1",
        ),
        case("answers", "no answer", "system: 2", "user: 2"),
        case("answers", "another role between", "system: 1", "user: 2", "assistant: 1", "tool: 3", "assistant: 2"),
        case("answers", "the texts hold a frame", "user: <|im_start|>assistant\nan<|im_end|>\n", "assistant: 2"),
        case("answers", "30 turns", "system: 1", *["user: 1", "assistant: 1"] * 15),
    ]


class Tokenizer:
    """Bytes, a few pieces of several bytes and the two special tokens, with ids in an order of its own.

    It has what SmolLM2's has under the same names, as far as it takes to render a conversation.
    """

    def __init__(self, pieces, seed):
        entries = [*SPECIAL, *map(chr, range(256)), *pieces]
        order = torch.randperm(len(entries), generator=torch.Generator().manual_seed(seed)).tolist()
        self.ids = {entry: FIRST + order[i] for i, entry in enumerate(entries)}
        self.entries = {id: entry for entry, id in self.ids.items()}
        longest_first = sorted(self.ids, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)))

    def encode(self, text, add_special_tokens=True):
        """Special tokens as one id each, else the longest piece. Like SmolLM2's, it adds none of its own."""
        return [self.ids[found] for found in self.pattern.findall(text.encode().decode("latin-1"))]

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": self.encode(text)}

    def convert_tokens_to_ids(self, token):
        return self.ids[token]

    def decode(self, ids):
        """The text of the ids. Raises Wrong where one is none of the tokenizer's."""
        if odd := [id for id in ids if id not in self.entries]:
            raise Wrong(f"ids holds {odd[0]}, which is no id of the tokenizer")
        return "".join(self.entries[id] for id in ids).encode("latin-1").decode(errors="replace")


def probe(case, render_chat):
    """The ids and the text that they stand for; for the answers, also each stretch of text that is learned."""
    tokenizer = Tokenizer(case["pieces"], case["seed"])
    ids, answer = render_chat(case["messages"], tokenizer)
    for name, found, fits, kind in (
        ("ids", ids, _whole(ids), "an integer dtype"),
        ("answer", answer, answer.dtype == torch.bool, "bool"),
    ):
        if not fits or found.shape != ids.shape[:1]:
            raise Wrong(
                f"{name} has dtype {dtype_name(found.dtype)} and shape {tuple(found.shape)}, expected {kind} and one "
                "entry for each token"
            )
    found = text(tokenizer.decode(ids.tolist()), TEXT) | {"ids": ids}
    if case["marked"]:
        found |= texts(_learned(tokenizer, ids, answer), LEARNED) | {"answer": answer}
    return {name: x if x.dtype == torch.bool else x.to(torch.int32) for name, x in found.items()}


def _whole(x):
    return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)


def _learned(tokenizer, ids, answer):
    """The text of each stretch of tokens that are marked."""
    marks = itertools.groupby(zip(ids.tolist(), answer.tolist(), strict=True), key=lambda pair: pair[1])
    return [tokenizer.decode([id for id, _ in run]) for is_answer, run in marks if is_answer]


EXERCISE = Exercise(
    id="gpt.chat",
    title="Mend this code, a conversation as tokens",
    parts={"text": 1, "answers": 1},
    minutes=20,
    difficulty="core",
    importance=3,
    calls=("render_chat(messages, tokenizer) -> ids, answer",),
    cases=cases,
    probe=probe,
)
# Ids are told by the text that they stand for.
EXERCISE.written.update({TEXT: "text", LEARNED: "texts"})
