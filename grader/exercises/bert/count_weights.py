"""(V + 2 + longest + 2) D + L (12 D^2 + 13 D). Devlin et al. 2019, section 3: 110 million, with the pooler."""

from grader.contract import Trusted

V, D, L, LONGEST = 30522, 768, 12, 512
MAP, UP, DOWN, NORM = D * D + D, 4 * D * D + 4 * D, 4 * D * D + D, 2 * D
LAYER = 4 * MAP + UP + DOWN + 2 * NORM
TABLES = (V + 2 + LONGEST) * D


def reference():
    return TABLES + NORM + L * LAYER


TRUSTED = Trusted(reference, budget="each part may be forgotten, or counted where it was not asked for")


def is_told(name, sentence, number):
    TRUSTED.add_mistake(name, sentence, lambda: number)


is_told("one_layer", "There are twelve layers, and you have counted one.", TABLES + NORM + LAYER)
is_told("only_layers", "The embeddings are missing: three tables and their norm.", L * LAYER)
is_told("only_tables", "The layers are missing: twelve of them, which hold most of the numbers.", TABLES + NORM)
is_told(
    "without_biases",
    "The biases of the linear maps are missing: a map from a to b has ab + b numbers.",
    reference() - L * (9 * D),
)
is_told("without_norms", "The layer norms are missing: each has 2D numbers.", reference() - NORM - L * 2 * NORM)
is_told(
    "norm_of_embeddings",
    "1,536 numbers are missing, which is 2D: the norm above the three tables, or the table of segments.",
    reference() - NORM,
)
is_told("one_norm", "A layer has two norms, one after attention and one at its end.", reference() - L * NORM)
is_told("norms_half", "A norm has 2D numbers, a factor and an offset for each.", TABLES + D + L * (LAYER - 2 * D))
is_told("three_maps", "The output map of attention is missing: there are four maps from D to D.", reference() - L * MAP)
is_told("one_feed_forward", "The way down from 4D to D is missing.", reference() - L * DOWN)
is_told("square_feed_forward", "The feed-forward network is 4D wide, not D.", reference() - L * (UP + DOWN - 2 * MAP))
is_told("without_positions", "The table of positions is missing: 512 rows.", reference() - LONGEST * D)
is_told("one_segment", "There are two segments, 0 and 1.", reference() - D)
is_told("with_pooler", "The pooler is counted, and it is no part of what was asked.", reference() + MAP)
is_told(
    "with_head",
    "The whole head for masked tokens is counted, its map, norm and bias, and it is no part of what was asked.",
    reference() + MAP + NORM + V,
)
is_told("narrow_bias", "The bias of the map from D to 4D has 4D numbers, not D.", reference() - L * 3 * D)
is_told(
    "in_bytes", "This is four times as much, as if bytes of float32 were counted: asked are numbers.", 4 * reference()
)
is_told(
    "norms_of_layers", "The norms of the layers are missing: two in each, of 2D numbers.", reference() - L * 2 * NORM
)
is_told("with_decoder", "The head for masked tokens is counted, and it is no part of what was asked.", reference() + V)

TRUSTED.add_alternative("as_a_float", lambda: 108891648.0)


@TRUSTED.alternative
def by_parts():
    embeddings = sum(rows * D for rows in (V, 2, LONGEST)) + 2 * D
    attention = 4 * D * (D + 1)
    feed_forward = 4 * D * (D + 1) + D * (4 * D + 1)
    return embeddings + 12 * (attention + feed_forward + 2 * 2 * D)
