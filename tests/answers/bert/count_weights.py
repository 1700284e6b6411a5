"""Answers to bert.count_weights."""

import math
from fractions import Fraction

import numpy as np
import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.count_weights",
    spared={
        "given": "nothing is handed in",
        "again": "one number is returned, always the same",
        "onward": "nothing happens after which it goes on",
        "ones": "there is no dimension",
        "far": "there are no numbers to lie apart",
        "large": "there is one size",
        "dependence": "nothing is drawn",
        "unwatched": "one number is compared",
        "surroundings": "nothing lies around that a count would touch",
    },
)
wrong = ANSWERS.wrong
V, D, L, T = 30522, 768, 12, 512


@wrong("plain", "the number of the paper, rounded", told="right number, rounded")
def of_the_paper():
    return 110_000_000


@wrong("plain", "what transformers prints for BertModel, pooler and all", true="with_pooler")
def with_the_pooler():
    return 109_482_240


@wrong("plain", "only the twelve layers", true="only_layers")
def only_layers():
    return L * (12 * D**2 + 13 * D)


@wrong("plain", "no biases anywhere, norms neither", told="too small by 0.11 percent")
def only_matrices():
    return (V + T + 2) * D + L * 12 * D**2


@wrong("plain", "one layer", true="one_layer")
def one_layer():
    return (V + T + 2 + 2) * D + 12 * D**2 + 13 * D


@wrong("named", "the norms have a factor and no offset", true="norms_half")
def rms_norms():
    return (V + T + 2 + 1) * D + L * (12 * D**2 + 11 * D)


@wrong("named", "no norm above the embeddings", true="norm_of_embeddings")
def without_the_first_norm():
    return (V + T + 2) * D + L * (12 * D**2 + 13 * D)


@wrong("plain", "query, key and value, and no output map", true="three_maps")
def without_output():
    return (V + T + 2 + 2) * D + L * (11 * D**2 + 12 * D)


@wrong("plain", "the feed-forward network is as wide as the model", true="square_feed_forward")
def square():
    return (V + T + 2 + 2) * D + L * (4 * (D**2 + D) + 2 * (D**2 + D) + 4 * D)


@wrong("plain", "positions as sinusoids, which are not learned", true="without_positions")
def sinusoids():
    return (V + 2 + 2) * D + L * (12 * D**2 + 13 * D)


@wrong("plain", "a text with thousands separators", told="text|str")
def as_text():
    return "108,891,648"


@wrong("plain", "in millions", told="too small by a factor of 1,000,000")
def in_millions():
    return 108.891648


@ANSWERS.right
def in_one_line():
    return 108_891_648


@ANSWERS.right
def by_torch():
    with torch.device("meta"):
        layer = nn.TransformerEncoderLayer(D, 12, 4 * D)
        rest = [nn.Embedding(n, D) for n in (V, 2, T)] + [nn.LayerNorm(D)]
    in_layer, *others = (sum(p.numel() for p in module.parameters()) for module in (layer, *rest))
    return L * in_layer + sum(others)


@ANSWERS.right
def as_a_tensor():
    return torch.tensor((V + T + 4) * D + L * (12 * D * D + 13 * D))


OF_TABLES, OF_LAYER = (V + 2 + T) * D, 12 * D**2 + 13 * D


@wrong("plain", "without biases, and with both numbers of each norm", true="without_biases")
def without_biases():
    return OF_TABLES + 2 * D + L * (12 * D**2 + 4 * D)


@wrong("plain", "without segments", true="norm_of_embeddings")
def without_segments():
    return (V + T) * D + 2 * D + L * OF_LAYER


@wrong("plain", "one norm a layer", true="one_norm")
def one_norm():
    return OF_TABLES + 2 * D + L * (OF_LAYER - 2 * D)


@wrong("plain", "projections at full width for each of the 12 heads")
def heads_at_full_width():
    return OF_TABLES + 2 * D + L * (OF_LAYER + 11 * 3 * (D**2 + D))


@wrong("named", "BERT-large")
def bert_large():
    return (V + 2 + T + 2) * 1024 + 24 * (12 * 1024**2 + 13 * 1024)


@wrong("plain", "bytes", true="in_bytes")
def in_bytes():
    return 4 * (OF_TABLES + 2 * D + L * OF_LAYER)


@wrong("plain", "with the whole head of pretraining: its map, norm and bias", true="with_head")
def with_mlm_head():
    return OF_TABLES + 2 * D + L * OF_LAYER + D**2 + 3 * D + V


@wrong("plain", "the bias of the map up is as wide as the model", true="narrow_bias")
def narrow_bias():
    return OF_TABLES + 2 * D + L * (OF_LAYER - 3 * D)


@wrong("plain", "rounded to thousands", told="right number, rounded")
def to_thousands():
    return 108_892_000


@wrong("plain", "the norms of all layers are forgotten, the first one is counted", true="norms_of_layers")
def only_the_first_norm():
    return OF_TABLES + 2 * D + L * (OF_LAYER - 4 * D)


@wrong("plain", "only the matrices of layers, and all tables with their norm", true="one_feed_forward")
def no_way_down():
    return OF_TABLES + 2 * D + L * (OF_LAYER - 4 * D**2 - D)


@ANSWERS.right
def a_float():
    return 108_891_648.0


@ANSWERS.right
def by_shapes():
    square, norm = [(D, D), (D,)], [(D,), (D,)]
    layer = 4 * square + [(4 * D, D), (4 * D,), (D, 4 * D), (D,)] + 2 * norm
    return sum(math.prod(shape) for shape in [(V, D), (2, D), (T, D), *norm, *(L * layer)])


@ANSWERS.right
def in_numpy():
    return np.polyval([12 * L, 13 * L + V + 2 + T + 2, 0], D)


@wrong("plain", "one too many", told="too large by 0.001 percent")
def one_too_many():
    return 108_891_649 + 7


@wrong("plain", "4D = 3072 counted as 3000")
def three_thousand():
    return OF_TABLES + 2 * D + L * (4 * (D**2 + D) + D * 3000 + 3000 + 3000 * D + D + 4 * D)


@wrong("plain", "the decoder's own table is counted, as large as that of the tokens")
def table_twice():
    return OF_TABLES + V * D + 2 * D + L * OF_LAYER


@wrong("plain", "distilled: six layers", told=r"too small by a factor of 1\.641")
def six_layers():
    return OF_TABLES + 2 * D + 6 * OF_LAYER


@ANSWERS.right
def as_a_fraction():
    return Fraction(2 * (OF_TABLES + 2 * D + L * OF_LAYER), 2)
