"""What stands in for "Mend this code, a conversation as tokens" while it is unsolved: the model's template in Jinja."""

import functools
import itertools

import torch

TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{ '<|im_start|>' + message['role'] + '\n' }}{{ mark(message) }}{{ message['content'] + '<|im_end|>' }}"
    "{{ mark(message) }}{{ '\n' }}{% endfor %}"
)
MARK = "\x00"  # stands before and behind the answers while the template is filled in


@functools.cache
def template():
    import jinja2  # here, because nothing else needs it

    return jinja2.Environment(keep_trailing_newline=True).from_string(TEMPLATE)


def library(messages, tokenizer):
    """The template with marks around the answers: every second part between two marks is one."""

    def mark(message):
        return MARK if message["role"] == "assistant" else ""

    parts = template().render(messages=messages, mark=mark).split(MARK)
    encoded = [tokenizer.encode(part) for part in parts]
    answer = [i % 2 == 1 for i, ids in enumerate(encoded) for _ in ids]
    return torch.tensor(list(itertools.chain.from_iterable(encoded))), torch.tensor(answer)


LIBRARY = (library,)
