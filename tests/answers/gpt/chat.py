"""Answers to gpt.chat."""

import itertools
import unicodedata

import torch

from tests.answers.collection import Answers

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
ANSWERS = Answers(
    "gpt.chat",
    spared={
        "far": "no arithmetic is done with the ids",
        "dependence": "nothing is drawn",
        "unwatched": "ids and flags alone are compared",
    },
)


class Chat:
    """Rendering in steps: a slip is written as the one in which it differs."""

    start, end = "<|im_start|>", "<|im_end|>"

    def __call__(self, messages, tokenizer):
        self.tokenizer = tokenizer
        ids, answer = [], []
        messages = self.all(messages)
        for n, message in enumerate(messages):
            for text, learned in self.parts(message, n, messages):
                new = self.encoded(text)
                ids += new
                answer += [learned] * len(new)
        return self.tensors(ids, answer)

    def encoded(self, text):
        return self.tokenizer.encode(text)

    def all(self, messages):
        return [{"role": "system", "content": SYSTEM}] * (messages[0]["role"] != "system") + messages

    def parts(self, message, n, messages):
        learned = self.learned(message, n, messages)
        return [(self.header(message), False), (self.content(message) + self.end, learned), (self.behind(), False)]

    def header(self, message):
        return f"{self.start}{message['role']}\n"

    def content(self, message):
        return message["content"]

    def behind(self):
        return "\n"

    def learned(self, message, n, messages):
        return message["role"] == "assistant"

    def tensors(self, ids, answer):
        return torch.tensor(ids), torch.tensor(answer)


def rendering(cls):
    def render_chat(messages, tokenizer):
        return cls()(messages, tokenizer)

    render_chat.__name__ = cls.__name__
    return render_chat


def slip(kind, says, **told):
    def register(cls):
        ANSWERS.wrong(kind, says, **told)(rendering(cls))
        return cls

    return register


@slip("plain", "the given code: the model's system message always, frames learned, a prompt behind", true="AsGiven")
class AsGiven(Chat):
    def all(self, messages):
        return [{"role": "system", "content": SYSTEM}, *messages]

    def parts(self, message, n, messages):
        learned = message["role"] == "assistant"
        parts = [(f"{self.header(message)}{message['content']}{self.end}\n", learned)]
        return parts + [("<|im_start|>assistant\n", False)] * (n + 1 == len(messages))


@slip("plain", "one slip left: the model's system message always comes first", true="SystemTwice")
class SystemAlways(Chat):
    def all(self, messages):
        return [{"role": "system", "content": SYSTEM}, *messages]


@slip("plain", "one slip left: the frame of an answer is learned", true="WholeTurnLearned")
class FrameLearned(Chat):
    def parts(self, message, n, messages):
        return [(text, self.learned(message, n, messages)) for text, _ in super().parts(message, n, messages)]


@slip(
    "plain",
    "one slip left: a prompt for the next answer stands at the end, add_generation_prompt",
    true="PromptAtTheEnd",
)
class PromptBehind(Chat):
    def parts(self, message, n, messages):
        last = [(f"{self.start}assistant\n", False)] * (n + 1 == len(messages))
        return super().parts(message, n, messages) + last


@slip(
    "plain",
    "two slips left: system always, and a prompt behind",
    true="PromptAtTheEnd",
    told=r"it has '.*<\|im_start\|>assistan', expected",
)
class TwoLeft(SystemAlways, PromptBehind):
    pass


@slip(
    "plain",
    "two slips left: frames learned, and a prompt behind",
    true="PromptAtTheEnd",
    told=r"it has '.*<\|im_start\|>assistan', expected",
)
class OtherTwoLeft(Chat):
    def parts(self, message, n, messages):
        parts = [(text, self.learned(message, n, messages)) for text, _ in super().parts(message, n, messages)]
        return parts + [(f"{self.start}assistant\n", False)] * (n + 1 == len(messages))


@slip("plain", "no system message is put in front", true="NoSystem")
class NoSystem(Chat):
    def all(self, messages):
        return messages


@slip("named", "the model's system message comes where no message is the system's", true="SystemAnywhere")
class SystemAnywhere(Chat):
    def all(self, messages):
        if any(m["role"] == "system" for m in messages):
            return messages
        return super().all(messages)


@slip(
    "named",
    "the system's message is moved to the front",
    told="system message in the middle: the text of the ids differs",
)
class SystemToTheFront(Chat):
    def all(self, messages):
        system = [m for m in messages if m["role"] == "system"]
        return (system or super().all(messages)[:1]) + [m for m in messages if m["role"] != "system"]


@slip(
    "named",
    "a system message that is empty is taken for none",
    told=r"empty texts: .*it has '<\|im_start\|>system.nYou are",
)
class EmptyIsNone(Chat):
    def all(self, messages):
        if messages[0]["role"] == "system" and messages[0]["content"]:
            return messages
        return super().all(messages[messages[0]["role"] == "system" :])


@slip("named", "<|im_end|> behind an answer is not learned: a model that never stops", true="EndNotLearned")
class EndNotLearned(Chat):
    def parts(self, message, n, messages):
        learned = self.learned(message, n, messages)
        return [
            (self.header(message), False),
            (self.content(message), learned),
            (self.end, False),
            (self.behind(), False),
        ]


@slip("plain", "the newline behind an answer is learned", true="NewlineLearned")
class NewlineLearned(Chat):
    def parts(self, message, n, messages):
        learned = self.learned(message, n, messages)
        return [(self.header(message), False), (self.content(message) + self.end + "\n", learned)]


@slip("plain", "the header of an answer is learned", true="HeaderLearned")
class HeaderLearned(Chat):
    def parts(self, message, n, messages):
        learned = self.learned(message, n, messages)
        return [(self.header(message) + self.content(message) + self.end, learned), ("\n", False)]


@slip("onward", "the last answer alone is learned", true="LastAnswerLearned")
class LastAnswer(Chat):
    def learned(self, message, n, messages):
        last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=-1)
        return n == last


@slip("onward", "the last message is learned, whoever wrote it", told="ends with a question: what is learned is")
class LastMessage(Chat):
    def learned(self, message, n, messages):
        return n + 1 == len(messages)


@slip("onward", "the first answer alone is learned", told=r"what is learned is \['[^']*'\], expected \['[^']*', ")
class FirstAnswer(Chat):
    def learned(self, message, n, messages):
        return message["role"] == "assistant" and all(m["role"] != "assistant" for m in messages[:n])


@slip("plain", "all but the user is learned", told=r"what is learned is \['You are a helpful AI")
class NotTheUser(Chat):
    def learned(self, message, n, messages):
        return message["role"] != "user"


@slip("plain", "everything is learned", true="EverythingLearned")
class Everything(Chat):
    def parts(self, message, n, messages):
        return [(text, True) for text, _ in super().parts(message, n, messages)]


@slip("plain", "nothing is learned", told=r"what is learned is \[\], expected")
class Nothing(Chat):
    def learned(self, message, n, messages):
        return False


@slip("plain", "every second message is an answer", told="answers one after another: what is learned is")
class EverySecond(Chat):
    def learned(self, message, n, messages):
        return n % 2 == 0 and n > 0


@slip(
    "plain",
    "the wrong way round, as a mask of what is ignored",
    told=r"what is learned differs first at place 0, where it has '<\|im_start\|>system",
)
class Ignored(Chat):
    def tensors(self, ids, answer):
        return torch.tensor(ids), ~torch.tensor(answer)


@slip("plain", "labels with -100 in place of flags", told="answer has dtype int64")
class Labels(Chat):
    def tensors(self, ids, answer):
        ids = torch.tensor(ids)
        return ids, ids.masked_fill(~torch.tensor(answer), -100)


@slip("plain", "flags as numbers", told="answer has dtype int64")
class AsNumbers(Chat):
    def tensors(self, ids, answer):
        return torch.tensor(ids), torch.tensor(answer).long()


@slip("plain", "shifted by one, as the loss wants its targets", true="MarksShifted")
class Shifted(Chat):
    def tensors(self, ids, answer):
        return torch.tensor(ids), torch.tensor([*answer[1:], False])


@slip("plain", "lists in place of tensors", told="it returned a list of")
class Lists(Chat):
    def tensors(self, ids, answer):
        return ids, answer


@slip("ones", "a batch of one", told=r"shape \(1, \d+\), expected an integer dtype and one")
class Batch(Chat):
    def tensors(self, ids, answer):
        return torch.tensor([ids]), torch.tensor([answer])


@slip("plain", "contents are stripped, as Llama's template does", true="Stripped")
class Stripped(Chat):
    def content(self, message):
        return message["content"].strip()


@slip("plain", "a space behind the role in place of a newline", told=r"<\|im_start\|>system You")
class SpaceBehindTheRole(Chat):
    def header(self, message):
        return f"{self.start}{message['role']} "


@slip("plain", "no newline behind a message", true="NoNewline")
class NoNewline(Chat):
    def behind(self):
        return ""


@slip("plain", "a newline in front of <|im_end|>", told=r"Hugging Face.n<\|im_end\|>")
class NewlineBeforeTheEnd(Chat):
    def content(self, message):
        return message["content"] + "\n"


@slip("plain", "the last newline is cut off", told=r"<\|im_end\|>', expected '.*<\|im_end\|>.n'")
class LastNewlineCut(Chat):
    def parts(self, message, n, messages):
        parts = super().parts(message, n, messages)
        return parts[:-1] if n + 1 == len(messages) else parts


@slip("plain", "Llama-2's frame", told=r"\[INST\] system")
class Llama(Chat):
    start, end = "[INST] ", " [/INST]"


@slip("plain", "an end of the text behind everything", told=r"<\|endoftext\|>', expected")
class EndOfText(Chat):
    def parts(self, message, n, messages):
        return super().parts(message, n, messages) + [("<|endoftext|>", False)] * (n + 1 == len(messages))


@slip("plain", "encoded word by word, each with the space behind it: pieces that begin with a space are lost")
class WordByWord(Chat):
    def encoded(self, text):
        pieces = text.replace(" ", " \0").split("\0")
        return [i for piece in pieces for i in self.tokenizer.encode(piece)]


@slip("named", "content and <|im_end|> are told apart by the first <|im_end|> in the whole text")
class ByTheWholeText(Chat):
    def __call__(self, messages, tokenizer):
        ids, _ = super().__call__(messages, tokenizer)
        end = tokenizer.encode(self.end)[0]
        answer, on = [], False
        text = ""
        for i in ids.tolist():
            answer.append(on)
            text += tokenizer.decode([i])
            if text.endswith("assistant\n"):
                on = True
            if i == end:
                on = False
        return ids, torch.tensor(answer)


@slip(
    "named",
    "an answer's tokens are looked for in the whole, where a question has the same words",
    told="what is learned is",
)
class LookedFor(Chat):
    def __call__(self, messages, tokenizer):
        ids, answer = super().__call__(messages, tokenizer)
        answer[:] = False
        row = ids.tolist()
        for m in messages:
            new = tokenizer.encode(m["content"] + self.end)
            at = next((i for i in range(len(row)) if row[i : i + len(new)] == new), None)
            if m["role"] == "assistant" and at is not None:
                answer[at : at + len(new)] = True
        return ids, answer


@slip("named", "roles that are not the three known ones are left out", told="another role: the text of the ids differs")
class KnownRoles(Chat):
    def all(self, messages):
        return [m for m in super().all(messages) if m["role"] in ("system", "user", "assistant")]


@slip("named", "empty messages are left out", told="empty texts: the text of the ids differs")
class EmptyLeftOut(Chat):
    def all(self, messages):
        return [m for m in super().all(messages) if m["content"]]


@slip("named", "answers one after another become one", told="answers one after another: the text of the ids differs")
class Merged(Chat):
    def all(self, messages):
        groups = itertools.groupby(super().all(messages), key=lambda m: m["role"])
        return [{"role": role, "content": "\n".join(m["content"] for m in group)} for role, group in groups]


@slip("named", "letters outside of ASCII are dropped", told="letters outside of ASCII: the text of the ids differs")
class Ascii(Chat):
    def content(self, message):
        return message["content"].encode("ascii", "ignore").decode()


@slip("large", "the last 20 messages", told="30 turns: the text")
class TwentyMessages(Chat):
    def all(self, messages):
        return super().all(messages)[-20:]


@slip("large", "cut at 256 tokens", told="30 turns: the text")
class Truncated(Chat):
    def tensors(self, ids, answer):
        return torch.tensor(ids[:256]), torch.tensor(answer[:256])


@slip("given", "the system's message is put into the caller's list", told="changes its input messages")
class Inserted(Chat):
    def all(self, messages):
        if messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": SYSTEM})
        return messages


@slip("given", "the frame is written into the caller's messages", told="changes its input messages")
class WrittenInto(Chat):
    def content(self, message):
        message["content"] += self.end
        return message["content"][: -len(self.end)]


IDS: list = []
KEPT: dict = {}


@slip("again", "ids are collected in a list of the module", told="keeps something from one call to the next")
class Collected(Chat):
    def tensors(self, ids, answer):
        IDS.extend(ids)
        return torch.tensor(IDS), torch.tensor(([False] * len(IDS) + answer)[-len(IDS) :])


@slip("again", "texts are encoded once, whatever the tokenizer")
class KeptTexts(Chat):
    def encoded(self, text):
        return KEPT.setdefault(text, super().encoded(text))


@slip("surroundings", "a seed for all random numbers", told="manual_seed")
class Seeds(Chat):
    def tensors(self, ids, answer):
        torch.manual_seed(0)
        return super().tensors(ids, answer)


@slip("plain", "two slips: no system message, and the newline learned")
class TwoSlips(NoSystem, NewlineLearned):
    pass


@ANSWERS.right
@rendering
class InSteps(Chat):
    pass


@ANSWERS.right
def message_by_message(messages, tokenizer):
    """Flags counted from the lengths of what is encoded, tensors put together at the end."""
    talk = list(messages)
    if talk[0]["role"] != "system":
        talk.insert(0, {"role": "system", "content": SYSTEM})
    rows, flags = [], []
    newline = tokenizer.encode("\n")
    for m in talk:
        head = tokenizer.encode("<|im_start|>" + m["role"] + "\n")
        body = [*tokenizer.encode(m["content"]), tokenizer.convert_tokens_to_ids("<|im_end|>")]
        row = torch.tensor(head + body + newline)
        flag = torch.zeros(len(row), dtype=torch.bool)
        flag[len(head) : len(head) + len(body)] = m["role"] == "assistant"
        rows.append(row)
        flags.append(flag)
    return torch.cat(rows), torch.cat(flags)


@ANSWERS.wrong(
    "named", "frames are looked for in the whole text, and a user may write one", told="the texts hold a frame"
)
def whole_text_first(messages, tokenizer):
    """The whole text is encoded at once, and a walk over the special tokens finds the answers."""
    first = [] if messages[0]["role"] == "system" else [{"role": "system", "content": SYSTEM}]
    talk = first + messages
    text = "".join("<|im_start|>{role}\n{content}<|im_end|>\n".format(**m) for m in talk)
    ids = torch.tensor(tokenizer(text)["input_ids"])
    start, end = map(tokenizer.convert_tokens_to_ids, ("<|im_start|>", "<|im_end|>"))
    answer = torch.zeros_like(ids, dtype=torch.bool)
    begins, ends = (ids == start).nonzero()[:, 0].tolist(), (ids == end).nonzero()[:, 0].tolist()
    head = len(tokenizer.encode("<|im_start|>assistant\n"))
    for m, a, b in zip(talk, begins, ends, strict=True):
        if m["role"] == "assistant":
            answer[a + head : b + 1] = True
    return ids, answer


@ANSWERS.right
def with_special_ids(messages, tokenizer):
    """Special tokens by their ids, and no text that holds them; add_special_tokens is off."""
    start, end = (tokenizer.encode(t, add_special_tokens=False) for t in ("<|im_start|>", "<|im_end|>"))

    def tokens(messages):
        for m in messages:
            yield from ((i, False) for i in start + tokenizer.encode(f"{m['role']}\n", add_special_tokens=False))
            yield from ((i, m["role"] == "assistant") for i in tokenizer.encode(m["content"]) + end)
            yield from ((i, False) for i in tokenizer.encode("\n"))

    system = {"role": "system", "content": SYSTEM}
    pairs = [*tokens(messages if messages[0]["role"] == "system" else [system, *messages])]
    return torch.tensor([i for i, _ in pairs]), torch.tensor([flag for _, flag in pairs])


# A second round.


@slip("plain", "<|im_end|> of every message is learned", told="what is learned")
class EveryEnd(Chat):
    def parts(self, message, n, messages):
        learned = self.learned(message, n, messages)
        return [
            (self.header(message), False),
            (self.content(message), learned),
            (self.end, True),
            (self.behind(), False),
        ]


@slip("named", "an answer is one whose question came right before it")
class BehindAQuestion(Chat):
    def learned(self, message, n, messages):
        return message["role"] == "assistant" and messages[n - 1]["role"] == "user"


@slip("plain", "the model's system message of an older model", told="You are a helpful assi")
class OtherSystem(Chat):
    def all(self, messages):
        return [{"role": "system", "content": "You are a helpful assistant."}] * (
            messages[0]["role"] != "system"
        ) + messages


@slip("named", "roles are written with a capital letter", told=r"it has '<\|im_start\|>System")
class Capitals(Chat):
    def header(self, message):
        return f"{self.start}{message['role'].capitalize()}\n"


@slip("onward", "what is learned stays learned from the first answer on")
class FromTheFirstAnswerOn(Chat):
    def parts(self, message, n, messages):
        on = any(m["role"] == "assistant" for m in messages[:n])
        return [(text, learned or on) for text, learned in super().parts(message, n, messages)]


@ANSWERS.right
@rendering
class SmallIntegers(Chat):
    """Ids of 32 bits are ids."""

    def tensors(self, ids, answer):
        return torch.tensor(ids, dtype=torch.int32), torch.tensor(answer, dtype=torch.bool)


# A third round.


@slip("named", "a system message only before a user's", told="comes first: the text of the ids")
class BeforeAUser(Chat):
    def all(self, messages):
        return [{"role": "system", "content": SYSTEM}] * (messages[0]["role"] == "user") + messages


@slip("named", "all is learned but what system and user say", told="another role between: what is learned")
class ToolsLearned(Chat):
    def learned(self, message, n, messages):
        return message["role"] not in ("system", "user")


@slip("named", "letters are normalised", told="several ways: the text of the ids")
class Normalised(Chat):
    def content(self, message):
        return unicodedata.normalize("NFC", message["content"])


@slip("large", "ids of 16 bits", told="ids holds -")
class ShortIds(Chat):
    def tensors(self, ids, answer):
        return torch.tensor(ids).to(torch.int16), torch.tensor(answer)
