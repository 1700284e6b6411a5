"""SmolLM2's chat template, as its tokenizer carries it (`chat_template`, in Jinja), and which tokens are an answer's.

For each message <|im_start|>role\\ncontent<|im_end|>\\n. Where the first message is not the system's, the model's own
system message comes first. A model learns to answer: the loss counts the assistant's contents and their <|im_end|>.
"""

import torch

from grader.contract import Trusted

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def reference(messages, tokenizer):
    ids, answer = [], []

    def put(text, learned):
        new = tokenizer.encode(text)
        ids.extend(new)
        answer.extend([learned] * len(new))

    if messages[0]["role"] != "system":
        put(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n", False)
    for message in messages:
        put(f"<|im_start|>{message['role']}\n", False)
        put(f"{message['content']}<|im_end|>", message["role"] == "assistant")
        put("\n", False)
    return torch.tensor(ids), torch.tensor(answer)


class Steps:
    """The same in steps: a mistake is written as the one in which it differs."""

    learns_header, learns_end, learns_newline = False, True, False
    behind = "\n"

    def __call__(self, messages, tokenizer):
        messages = self.begun(messages)
        ids, answer = [], []
        for i, message in enumerate(messages):
            role, content = message["role"], self.content(message["content"])
            learned = self.learned(role, i, messages)
            pieces = (
                (f"<|im_start|>{role}\n", [learned and self.learns_header]),
                (content, [learned]),
                ("<|im_end|>", [learned and self.learns_end]),
                (self.behind, [learned and self.learns_newline]),
            )
            for text, marks in pieces:
                new = tokenizer.encode(text)
                ids += new
                answer += self.marked(text, marks * len(new))
        return self.ended(ids, answer, tokenizer)

    def begun(self, messages):
        own = [{"role": "system", "content": SYSTEM}] * self.needs_own(messages)
        return own + messages

    def needs_own(self, messages):
        return messages[0]["role"] != "system"

    def content(self, content):
        return content

    def learned(self, role, i, messages):
        return role == "assistant"

    def marked(self, text, marks):
        return marks

    def ended(self, ids, answer, tokenizer):
        return torch.tensor(ids), torch.tensor(answer)


TRUSTED = Trusted(reference, budget="what is learned can go wrong in as many places as a conversation has")
(slip,) = TRUSTED.one_by_one(lambda steps: steps())


@slip("A system message always comes first, so that it stands there twice where the conversation brings its own.")
class SystemTwice(Steps):
    def needs_own(self, messages):
        return True


@slip(
    "A prompt for an answer (`<|im_start|>assistant` and a newline) stands at the end. It is for generating. In "
    "training the answers are there already."
)
class PromptAtTheEnd(Steps):
    def ended(self, ids, answer, tokenizer):
        new = tokenizer.encode("<|im_start|>assistant\n")
        return super().ended(ids + new, answer + [False] * len(new), tokenizer)


@slip(
    "What stands around an answer is learned too. `<|im_start|>assistant` is put there by whoever asks, and nobody "
    "asks for what follows `<|im_end|>`: mark the content and its `<|im_end|>` alone."
)
class WholeTurnLearned(Steps):
    learns_header = learns_newline = True


@slip(
    "This does what the code as it was given does. Which text does a conversation with a system message of its own "
    "give, what stands at the end, and which tokens does the model have to write when it answers?"
)
class AsGiven(SystemTwice, PromptAtTheEnd, WholeTurnLearned):
    pass


@slip("The header of an answer is learned, `<|im_start|>assistant` and a newline: whoever asks puts it there.")
class HeaderLearned(Steps):
    learns_header = True


@slip("The newline behind `<|im_end|>` is learned: generation has stopped by then.")
class NewlineLearned(Steps):
    learns_newline = True


@slip("`<|im_end|>` behind an answer is not learned: the model would never know when to stop.")
class EndNotLearned(Steps):
    learns_end = False


@slip("The first token of each answer is not learned. It is the first one that the model has to find.")
class FirstTokenNotLearned(Steps):
    def marked(self, text, marks):
        return [False, *marks[1:]] if marks and not text.startswith("<|") else marks


@slip("Everything is learned, questions too. Only the assistant's tokens are what the model should learn to write.")
class EverythingLearned(Steps):
    learns_header = learns_newline = True

    def learned(self, role, i, messages):
        return True


@slip("It is the users' tokens that are marked. The model should learn to write the assistant's.")
class UsersLearned(Steps):
    def learned(self, role, i, messages):
        return role == "user"


@slip("Only the last answer is learned: a conversation has several, and each of them is one to learn from.")
class LastAnswerLearned(Steps):
    def learned(self, role, i, messages):
        return role == "assistant" and all(m["role"] != "assistant" for m in messages[i + 1 :])


@slip(
    "`answer` is moved one place to the left, to where each token is guessed. Here it marks the tokens themselves: the "
    "shift comes with the targets."
)
class MarksShifted(Steps):
    def ended(self, ids, answer, tokenizer):
        return super().ended(ids, [*answer[1:], False], tokenizer)


@slip("The model's own system message is missing where the conversation brings none.")
class NoSystem(Steps):
    def needs_own(self, messages):
        return False


@slip(
    "The model's own system message is left out where one comes later in the conversation. The template looks at the "
    "first message alone."
)
class SystemAnywhere(Steps):
    def needs_own(self, messages):
        return all(m["role"] != "system" for m in messages)


@slip("There is no newline behind `<|im_end|>`: in the template each message ends with one.")
class NoNewline(Steps):
    behind = ""


@slip("Spaces and newlines around the contents are cut off (strip): the template takes them as they are.")
class Stripped(Steps):
    def content(self, content):
        return content.strip()


@TRUSTED.mistake(
    "Answers are looked for in the ids of the whole text. A user who writes the frame of an answer is taken for the "
    "assistant then: mark the tokens of a message when you encode it, by its role."
)
def from_the_whole_text(messages, tokenizer):
    own = [] if messages[0]["role"] == "system" else [{"role": "system", "content": SYSTEM}]
    turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in [*own, *messages]]
    ids = torch.tensor(tokenizer.encode("".join(turns)))
    header = torch.tensor(tokenizer.encode("<|im_start|>assistant\n"))
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    answer = torch.zeros(len(ids), dtype=torch.bool)
    for start in (ids == header[0]).nonzero().flatten().tolist():
        first = start + len(header)
        if torch.equal(ids[start:first], header):
            last = first + (ids[first:] == end).nonzero()[0].item()
            answer[first : last + 1] = True
    return ids, answer


@TRUSTED.alternative
def by_lengths(messages, tokenizer):
    """Encodes beginnings of each turn, and counts."""
    rows, marks = [], []
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": SYSTEM}, *messages]
    for m in messages:
        beginning = "<|im_start|>" + m["role"] + "\n"
        before, upto, whole = (
            tokenizer.encode(beginning + rest, add_special_tokens=False)
            for rest in ("", m["content"] + "<|im_end|>", m["content"] + "<|im_end|>\n")
        )
        place = torch.arange(len(whole))
        rows.append(torch.as_tensor(whole))
        marks.append((place >= len(before)) & (place < len(upto)) & (m["role"] == "assistant"))
    return torch.cat(rows), torch.cat(marks)


@TRUSTED.alternative
def piece_by_piece(messages, tokenizer):
    """Pieces and what is learned of them in two columns, with the end mark's id by itself."""
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    if messages[0]["role"] != "system":
        messages = ({"role": "system", "content": SYSTEM}, *messages)
    columns = []
    for m in messages:
        said, own = [*tokenizer(m["content"])["input_ids"], end], m["role"] == "assistant"
        columns += [(i, 0) for i in tokenizer(f"<|im_start|>{m['role']}\n")["input_ids"]]
        columns += [(i, own) for i in said] + [(i, 0) for i in tokenizer("\n")["input_ids"]]
    ids, answer = torch.tensor(columns).T
    return ids, answer.bool()
