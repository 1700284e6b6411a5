# %% [markdown]
# ### Exercise [[gpt.chat]]: Mend this code, a conversation as tokens
# core · importance 3 of 5 · 20 minutes · 2 points
#
# A chat model is a language model that was trained on conversations. They are written as one text, in the model's own
# **chat template**. This is SmolLM2's, with a newline at the end of each line that you see.
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
# - `tokenizer.encode(text)` gives a list of ids, in which `<|im_start|>` and `<|im_end|>` are one id each.
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
# then comes a newline. Encode each by itself. Only the second one can be learned.
# </details>
# <details><summary>Hint 3</summary>
#
# Put the model's system message before the others with `[{"role": "system", "content": SYSTEM}, *messages]`, if
# `messages[0]["role"]` asks for it. The parts are then `(header, False)`, `(content, role == "assistant")` and
# `("\n", False)`, and the last line of the given function has no place here.
# </details>

# %%
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


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
