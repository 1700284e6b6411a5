"""Answers to attention.alibi."""

import math

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.alibi",
    spared={
        "onward": "no event comes, after which it would have to go on",
        "dependence": "nothing is drawn at random",
        "unwatched": "nothing is watched but the result",
    },
)


def slopes(H):
    return 2.0 ** (-8 * torch.arange(1, H + 1) / H).view(H, 1, 1)


def distances(T):
    at = torch.arange(T)
    return at[:, None] - at


def attended(Q, K, V, bias):
    Z = Q @ K.mT / Q.shape[-1] ** 0.5 + bias.to(Q.dtype)
    future = torch.ones(Z.shape[-2:], dtype=torch.bool).triu(1)
    return Z.masked_fill(future, -torch.inf).softmax(-1) @ V


@ANSWERS.wrong("plain", "h counts from 0", true="heads_from_zero")
def from_zero(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -(2.0 ** (-8 * torch.arange(H) / H).view(H, 1, 1)) * distances(T))


@ANSWERS.wrong("plain", "one slope, 2^-h, for any number of heads", true="slopes_for_eight_heads")
def powers_of_two(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -(2.0 ** -torch.arange(1, H + 1).view(H, 1, 1)) * distances(T))


@ANSWERS.wrong("plain", "the penalty is divided by sqrt(d) too", true="penalty_scaled")
def penalty_scaled(Q, K, V):
    H, T, d = Q.shape[1:]
    return attended(Q, K, V, -slopes(H) * distances(T) / d**0.5)


@ANSWERS.wrong("plain", "added where it should be subtracted: far keys are preferred", true="wrong_sign")
def rewarded(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, slopes(H) * distances(T))


@ANSWERS.wrong("plain", "j - i and a minus: two signs, and the far ones win", true="wrong_sign")
def two_signs(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -slopes(H) * distances(T).T)


@ANSWERS.wrong("plain", "no scale", true="NotScaled")
def unscaled(Q, K, V):
    H, T, d = Q.shape[1:]
    return attended(Q * d**0.5, K, V, -slopes(H) * distances(T))


@ANSWERS.wrong("plain", "the slopes in reverse order", true="slopes_reversed")
def last_head_first(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -slopes(H).flip(0) * distances(T))


@ANSWERS.wrong(
    "plain",
    "no scale, and the softmax over the queries",
    told="sum to 1 along dimension -1, but along dimension -2|must not see",
)
def two_slips(Q, K, V):
    H, T = Q.shape[1:3]
    Z = Q @ K.mT - slopes(H).to(Q.dtype) * distances(T)
    return Z.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf).softmax(-2) @ V


@ANSWERS.wrong("plain", "the penalty is added to the weights, behind the softmax", true="after_the_softmax")
def behind_the_softmax(Q, K, V):
    H, T, d = Q.shape[1:]
    Z = (Q @ K.mT / d**0.5).masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf)
    return (Z.softmax(-1) - slopes(H).to(Q.dtype) * distances(T).clamp(min=0)) @ V


@ANSWERS.wrong("plain", "K.T reverses all dimensions", told=r"`K\.T` reverses all 4 dimensions")
def all_dimensions_reversed(Q, K, V):
    H, T, d = Q.shape[1:]
    Z = Q @ K.T / d**0.5
    return (Z - slopes(H) * distances(T)).softmax(-1) @ V


@ANSWERS.wrong("named", "no causal mask: the distance to both sides", true="symmetric")
def both_sides(Q, K, V):
    H, T, d = Q.shape[1:]
    return (Q @ K.mT / d**0.5 - (slopes(H) * distances(T).abs()).to(Q.dtype)).softmax(-1) @ V


@ANSWERS.wrong("named", "no causal mask: the future is rewarded", true="no_mask")
def future_rewarded(Q, K, V):
    H, T, d = Q.shape[1:]
    return (Q @ K.mT / d**0.5 - (slopes(H) * distances(T)).to(Q.dtype)).softmax(-1) @ V


@ANSWERS.wrong("named", "no gradients: detached scores", told="no gradient can flow back")
def detached(Q, K, V):
    H, T = Q.shape[1:3]
    with torch.no_grad():
        return attended(Q, K, V, -slopes(H) * distances(T))


@ANSWERS.wrong("large", "-8 * h // H: whole exponents only, and H = 16 needs halves", true="whole_exponents")
def whole_exponents(Q, K, V):
    H, T = Q.shape[1:3]
    m = torch.tensor([2.0 ** (-8 * h // H) for h in range(1, H + 1)]).view(H, 1, 1)
    return attended(Q, K, V, -m * distances(T))


@ANSWERS.wrong(
    "large",
    "positions in 8 bits",
    told="T=300, .*Y differs",
    advice=r"right where T is 7 or less, wrong where it is \d+ or more",
)
def small_integers(Q, K, V):
    H, T = Q.shape[1:3]
    at = torch.arange(T).to(torch.int8)
    return attended(Q, K, V, -slopes(H) * (at[:, None] - at))


@ANSWERS.wrong("far", "softmax over everything, then the mask, then sums of 1 again", true="RenormalisedAfterSoftmax")
def renormalised(Q, K, V):
    H, T, d = Q.shape[1:]
    A = (Q @ K.mT / d**0.5 - (slopes(H) * distances(T)).to(Q.dtype)).softmax(-1).tril()
    return A / A.sum(-1, keepdim=True) @ V


@ANSWERS.wrong("far", "the future gets -10000, which is not far enough", true="FiniteFill")
def finite_mask(Q, K, V):
    H, T, d = Q.shape[1:]
    Z = Q @ K.mT / d**0.5 - (slopes(H) * distances(T)).to(Q.dtype)
    return torch.where(torch.ones(T, T).tril() == 0, -1e4, Z).softmax(-1) @ V


@ANSWERS.wrong("far", "one maximum for all rows", true="OneMaximum")
def one_maximum(Q, K, V):
    H, T, d = Q.shape[1:]
    Z = Q @ K.mT / d**0.5 - (slopes(H) * distances(T)).to(Q.dtype)
    Z = Z.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf)
    E = (Z - Z.max()).exp()
    return E / E.sum(-1, keepdim=True) @ V


@ANSWERS.wrong("ones", "squeeze takes the only sequence or the only head away", told="lost a dimension of size 1")
def squeezed(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -slopes(H) * distances(T)).squeeze()


_BIAS = {}


@ANSWERS.wrong("again", "the penalty is kept by length, whatever the number of heads")
def bias_by_length(Q, K, V):
    H, T = Q.shape[1:3]
    if T not in _BIAS:
        _BIAS[T] = -slopes(H) * distances(T)
    return attended(Q, K, V, _BIAS[T][:H])


@ANSWERS.wrong("given", "scales the queries in place", told="changes its input Q in place")
def scaled_in_place(Q, K, V):
    H, T, d = Q.shape[1:]
    with torch.no_grad():
        Q.mul_(d**-0.5)
    return attended(Q * d**0.5, K, V, -slopes(H) * distances(T))


@ANSWERS.wrong("surroundings", "sets the seed", told="it sets the seed")
def seeded(Q, K, V):
    torch.manual_seed(0)
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -slopes(H) * distances(T))


@ANSWERS.wrong("plain", "the square of the distance")
def squared(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -slopes(H) * distances(T) ** 2)


@ANSWERS.wrong("large", "slopes in half precision: exact up to H = 8 only", told="a step in a coarser dtype")
def halved_slopes(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -slopes(H).half().float() * distances(T))


@ANSWERS.wrong(
    "plain", "the token itself is hidden too", told="takes nothing from the value of key 0, which it must see"
)
def not_itself(Q, K, V):
    H, T, d = Q.shape[1:]
    Z = Q @ K.mT / d**0.5 - (slopes(H) * distances(T)).to(Q.dtype)
    return Z.masked_fill(torch.ones(T, T).triu(0).bool(), -torch.inf).softmax(-1).nan_to_num() @ V


@ANSWERS.wrong("plain", "one slope for all, and no scale", told=r"the scores are 1 Q K\^T, expected 0\.4472")
def one_slope_and_no_scale(Q, K, V):
    H, T, d = Q.shape[1:]
    return attended(Q * d**0.5, K, V, (-slopes(H)[:1] * distances(T)).expand(H, T, T))


@ANSWERS.wrong(
    "large",
    "distances beyond 255 count as 255",
    told="T=300, .*Y differs",
    advice=r"right where T is 7 or less, wrong where it is \d+ or more",
)
def far_is_far(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -slopes(H) * distances(T).clamp(max=255))


@ANSWERS.right
def press(Q, K, V):
    """The paper's code: a geometric sequence, and the key's position for the distance."""
    H, T = Q.shape[1:3]
    start = 2 ** (-(2 ** -(math.log2(H) - 3)))
    m = torch.tensor([start * start**i for i in range(H)], dtype=Q.dtype).view(H, 1, 1)
    return attended(Q, K, V, m * torch.arange(T))


@ANSWERS.right
def fused(Q, K, V):
    H, T = Q.shape[1:3]
    bias = (-slopes(H) * distances(T)).masked_fill(distances(T) < 0, -torch.inf)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=bias.to(Q.dtype))


@ANSWERS.right
def query_by_query(Q, K, V):
    B, H, T, d = Q.shape
    Y = []
    for i in range(T):
        Z = torch.einsum("bhd,bhjd->bhj", Q[:, :, i], K[:, :, : i + 1]) * d**-0.5
        Z = Z - slopes(H)[:, :, 0].to(Q.dtype) * torch.arange(i, -1, -1)
        Y.append(torch.einsum("bhj,bhje->bhe", Z.softmax(-1), V[:, :, : i + 1]))
    return torch.stack(Y, 2)


@ANSWERS.right
def as_one_more_entry(Q, K, V):
    """q . k + m j is a dot product of vectors that are longer by one."""
    B, H, T, d = Q.shape
    m = slopes(H).to(Q.dtype).expand(B, H, T, 1)
    at = torch.arange(T, dtype=Q.dtype).view(1, 1, T, 1).expand(B, H, T, 1)
    return F.scaled_dot_product_attention(
        torch.cat((Q * d**-0.5, m), -1), torch.cat((K, at), -1), V, is_causal=True, scale=1.0
    )


@ANSWERS.right
def in_double(Q, K, V):
    H, T = Q.shape[1:3]
    Q, K, V = Q.double(), K.double(), V.double()
    Z = torch.einsum("bhid,bhjd->bhij", Q, K) / math.sqrt(Q.shape[-1])
    Z = Z + torch.stack([-(2.0 ** (-8 * h / H)) * distances(T) for h in range(1, H + 1)])
    E = (Z - Z.detach().amax(-1, keepdim=True).clamp(max=torch.inf)).masked_fill(distances(T) < 0, -torch.inf)
    E = (E - E.detach().amax(-1, keepdim=True)).exp()
    return E / E.sum(-1, keepdim=True) @ V


@ANSWERS.right
def one_more_for_all(Q, K, V):
    """Distances from 1: the same number more in each row, which no softmax sees."""
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -slopes(H) * (distances(T) + 1))


def with_slopes(m, Q, K, V):
    return attended(Q, K, V, -m.view(-1, 1, 1) * distances(Q.shape[2]))


@ANSWERS.wrong("plain", "8 // H in whole numbers: 0 where there are more than 8 heads", true="whole_quotient")
def whole_quotient(Q, K, V):
    H = Q.shape[1]
    return with_slopes(2.0 ** -(8 // H * torch.arange(1, H + 1)), Q, K, V)


@ANSWERS.wrong(
    "named", "for other numbers of heads than powers of two, the paper's code and not the formula", true="papers_code"
)
def papers_code(Q, K, V):
    def of_power(n):
        return [2 ** (-8 * h / n) for h in range(1, n + 1)]

    H = Q.shape[1]
    power = 2 ** math.floor(math.log2(H))
    return with_slopes(torch.tensor(of_power(power) + of_power(2 * power)[0::2][: H - power]), Q, K, V)


@ANSWERS.wrong("plain", "base e", told=r"adds 0\.1353 to the score, expected 0\.25")
def base_e(Q, K, V):
    H = Q.shape[1]
    return with_slopes(torch.exp(-8 * torch.arange(1, H + 1) / H), Q, K, V)


@ANSWERS.wrong(
    "plain",
    "equal steps of the exponent from 1 to 8, which is right for 8 heads",
    told=r"adds 0\.5 to the score, expected 0\.25",
)
def equal_steps(Q, K, V):
    return with_slopes(2.0 ** -torch.linspace(1, 8, Q.shape[1]), Q, K, V)


@ANSWERS.wrong("plain", "a slope for each query, in place of each head")
def slopes_by_query(Q, K, V):
    H, T = Q.shape[1:3]
    return attended(Q, K, V, -(2.0 ** (-8 * torch.arange(1, T + 1) / H))[:, None] * distances(T))


@ANSWERS.wrong("plain", "the first slope is right, and each further one half of it", told=r"adds 0\.125 to the score")
def halved(Q, K, V):
    H = Q.shape[1]
    return with_slopes(2 ** (-8 / H) * 0.5 ** torch.arange(H), Q, K, V)


@ANSWERS.wrong("plain", "8 and H have changed places in the exponent", told=r"adds 0\.7071 to the score")
def exponent_upside_down(Q, K, V):
    H = Q.shape[1]
    return with_slopes(2.0 ** (-H * torch.arange(1, H + 1) / 8), Q, K, V)


@ANSWERS.wrong(
    "named", "right for 8 heads and more: fewer are taken for the first of 8", told=r"adds 0\.5 to the score"
)
def first_of_eight(Q, K, V):
    H = Q.shape[1]
    return with_slopes(2.0 ** (-8 * torch.arange(1, H + 1) / max(H, 8)), Q, K, V)


@ANSWERS.wrong("plain", "the right slopes, and the scale gone with the line that was mended", true="NotScaled")
def scale_gone(Q, K, V):
    H, T, d = Q.shape[1:]
    bias = -(2.0 ** (-8 * torch.arange(1, H + 1) / H)).view(H, 1, 1) * distances(T)
    return attended(Q * d**0.5, K, V, bias)


@ANSWERS.wrong(
    "named",
    "slopes on a straight line from the first to the last",
    told=r"in head 2, each step to a later key adds 0\.168",
)
def straight_slopes(Q, K, V):
    H = Q.shape[1]
    return with_slopes(torch.linspace(2 ** (-8 / H), 2.0**-8, H), Q, K, V)


@ANSWERS.right
def through_sdpa(Q, K, V):
    H, T = Q.shape[1:3]
    m = torch.logspace(-8 / H, -8, H, base=2, dtype=Q.dtype)
    bias = torch.tensor([[j - i if j <= i else -math.inf for j in range(T)] for i in range(T)], dtype=Q.dtype)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=m.view(H, 1, 1) * bias)


@ANSWERS.right
def mended_in_one_place(Q, K, V):
    """The given code, with its slopes raised to the power of 8 / H."""
    H, T, d = Q.shape[-3:]
    m = (2.0 ** -torch.arange(1, H + 1, device=Q.device, dtype=Q.dtype)) ** (8 / H)
    distance = distances(T)
    Z = Q @ K.mT / math.sqrt(d) - m[:, None, None] * distance
    return Z.masked_fill(distance < 0, -torch.inf).softmax(-1) @ V


@ANSWERS.right
def one_head_after_another(Q, K, V):
    """Each slope from the one before it."""
    H, T = Q.shape[1:3]
    m, heads = 1.0, []
    for h in range(H):
        m *= 0.5 ** (8 / H)
        heads.append(attended(Q[:, h], K[:, h], V[:, h], -m * distances(T)))
    return torch.stack(heads, 1)


@ANSWERS.wrong("plain", "a penalty for each step but the first: distance less 1")
def first_step_free(Q, K, V):
    H, T = Q.shape[1:3]
    m = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    return attended(Q, K, V, -m.view(H, 1, 1) * (distances(T) - 1).clamp_min(0))


@ANSWERS.wrong("plain", "distances as shares of the length", told=r"each step to a later key adds 0\.04167")
def shares_of_the_length(Q, K, V):
    H, T = Q.shape[1:3]
    m = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    return attended(Q, K, V, -m.view(H, 1, 1) * distances(T) / T)


@ANSWERS.wrong("plain", "the slope multiplies the score, not the distance", told=r"the scores are 0\.1118 Q K")
def slope_on_scores(Q, K, V):
    H, T = Q.shape[1:3]
    m = (2.0 ** (-8 * torch.arange(1, H + 1) / H)).view(H, 1, 1).to(Q.dtype)
    return attended(Q * m, K, V, -distances(T))


@ANSWERS.wrong("given", "the scale is put into K in place", told="changes its input K in place")
def cut_in_place(Q, K, V):
    H, T = Q.shape[1:3]
    m = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    with torch.no_grad():
        K /= Q.shape[-1] ** 0.5
    return attended(Q * Q.shape[-1] ** 0.5, K, V, -m.view(H, 1, 1) * distances(T))


@ANSWERS.right
def by_exponents_of_weights(Q, K, V):
    """Each weight is multiplied by 2 to the power of the penalty, and all are normalised again."""
    H, T = Q.shape[1:3]
    m = 2.0 ** (-8 * torch.arange(1, H + 1, dtype=Q.dtype) / H)
    bias = -m.view(H, 1, 1) * distances(T).clamp_min(0)
    Z = Q @ K.mT / Q.shape[-1] ** 0.5 + bias
    Z = torch.where(distances(T) < 0, -torch.inf, Z)
    E = (Z - Z.amax(-1, keepdim=True)).exp()
    return E / E.sum(-1, keepdim=True) @ V
