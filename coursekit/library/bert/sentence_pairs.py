"""What stands in for "Pairs of sentences: next, or from elsewhere" while it is unsolved, from public libraries."""

import itertools

import torch


def _library(documents, longest, cls, sep, g):
    """Pairs framed, cut and numbered by the tokenizers library, whose words here are the ids."""
    from tokenizers import Tokenizer, models, processors

    ids = {cls, sep}.union(*itertools.chain.from_iterable(documents))
    framed = Tokenizer(models.WordLevel({str(i): i for i in ids}, unk_token=str(sep)))
    framed.post_processor = processors.BertProcessing((str(sep), sep), (str(cls), cls))
    framed.enable_truncation(longest, strategy="longest_first")
    words = [[list(map(str, sentence)) for sentence in document] for document in documents]
    following = [pair for document in words for pair in itertools.pairwise(document)]
    owners = [d for d, document in enumerate(words) for _ in document[1:]]
    labels = torch.randint(2, (len(owners),), generator=g).tolist()
    others = [words[:d] + words[d + 1 :] for d in range(len(words))]
    draws = torch.rand(len(owners), 2, generator=g).tolist()
    pairs = [
        (a, b if label else _at(v, _at(u, others[d])))
        for (a, b), d, label, (u, v) in zip(following, owners, labels, draws, strict=True)
    ]
    encoded = framed.encode_batch(pairs, is_pretokenized=True)
    return [(e.ids, e.type_ids, label) for e, label in zip(encoded, labels, strict=True)]


def _at(share, items):
    return items[int(share * len(items))]


LIBRARY = (_library,)
