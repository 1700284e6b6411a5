"""softmax(q_i . k_j / sqrt(d) - m_h (i - j)), j <= i, m_h = 2^(-8h/H). Press et al. 2022, section 3."""

import torch
import torch.nn.functional as F

from grader.contract import Trusted
from grader.steps import attention as steps


def distance(Q):
    """i - j for every query and key, (T T)."""
    i = torch.arange(Q.shape[2], device=Q.device)
    return i[:, None] - i


def slopes(H, like):
    """m_1 to m_H, (H 1 1)."""
    h = torch.arange(1, H + 1, device=like.device, dtype=like.dtype)
    return (2 ** (-8 * h / H))[:, None, None]


def penalty(Q):
    return slopes(Q.shape[1], Q) * distance(Q)


def attend(Q, K, V, bias, attention=steps.Attention):
    """Causal attention with `bias` added to the scaled scores."""
    return attention()(Q, K, V, distance(Q) >= 0, bias)


def reference(Q, K, V):
    Z = Q @ K.mT / Q.shape[-1] ** 0.5 - penalty(Q)
    return torch.softmax(Z.masked_fill(distance(Q) < 0, -torch.inf), -1) @ V


TRUSTED = Trusted(reference, budget="slopes of its own, beside what any causal attention gets wrong")
TRUSTED.add_slips(
    lambda attention: lambda Q, K, V: attend(Q, K, V, -penalty(Q), attention),
    steps.NotScaled,
    steps.FiniteFill,
    steps.MaskAfterSoftmax,
    steps.RenormalisedAfterSoftmax,
    steps.OneMaximum,
    steps.WeightsDetached,
)


@TRUSTED.mistake("There is no penalty: this is plain causal attention, which cannot tell near keys from far ones.")
def no_penalty(Q, K, V):
    return attend(Q, K, V, None)


@TRUSTED.mistake("Your penalty has the wrong sign: scores rise with the distance, so the farthest key wins.")
def wrong_sign(Q, K, V):
    return attend(Q, K, V, penalty(Q))


@TRUSTED.mistake(
    "The slopes start at 1 instead of $2^{-8/H}$: $h$ counts from 1 to $H$, and `torch.arange(H)` counts from 0."
)
def heads_from_zero(Q, K, V):
    return attend(Q, K, V, -penalty(Q) * 2 ** (8 / Q.shape[1]))


@TRUSTED.mistake("The slopes are in reverse order: head 1 has the steepest one, head H the gentlest.")
def slopes_reversed(Q, K, V):
    return attend(Q, K, V, -penalty(Q).flip(0))


@TRUSTED.mistake("All heads share one slope: each head h has a slope of its own, so that some see far and some near.")
def one_slope(Q, K, V):
    return attend(Q, K, V, -penalty(Q)[:1])


@TRUSTED.mistake(
    "This does what the code as it was given does: its slopes are $2^{-h}$ whatever H is. What should the last of them "
    "be for 2 heads, and for 16?"
)
def slopes_for_eight_heads(Q, K, V):
    h = torch.arange(1, Q.shape[1] + 1, device=Q.device, dtype=Q.dtype)
    return attend(Q, K, V, -(2**-h)[:, None, None] * distance(Q))


@TRUSTED.mistake(
    "The exponent -8h/H is rounded to a whole number (`//`): for 3 heads, or for 16, it lies between whole numbers."
)
def whole_exponents(Q, K, V):
    m = torch.tensor([2.0 ** (-8 * h // Q.shape[1]) for h in range(1, Q.shape[1] + 1)], dtype=Q.dtype, device=Q.device)
    return attend(Q, K, V, -m[:, None, None] * distance(Q))


@TRUSTED.mistake(
    "8 / H is rounded to a whole number (`//`) before it is multiplied by h: it is right for 1, 2, 4 and 8 heads only."
)
def whole_quotient(Q, K, V):
    h = torch.arange(1, Q.shape[1] + 1, device=Q.device, dtype=Q.dtype)
    return attend(Q, K, V, -(2 ** -(8 // Q.shape[1] * h))[:, None, None] * distance(Q))


@TRUSTED.mistake(
    "Where H is no power of two these are the slopes of the paper's code, which puts two sequences together. Here the "
    "formula is asked for any H."
)
def papers_code(Q, K, V):
    H = Q.shape[1]
    power = 2 ** (H.bit_length() - 1)
    m = torch.cat([slopes(power, Q), slopes(2 * power, Q)[0::2][: H - power]])
    return attend(Q, K, V, -m * distance(Q))


@TRUSTED.mistake("The penalty is divided by sqrt(d) together with the scores: subtract it after the scaling.")
def penalty_scaled(Q, K, V):
    return attend(Q, K, V, -penalty(Q) / Q.shape[-1] ** 0.5)


@TRUSTED.mistake(
    "Later keys are penalised like earlier ones, not hidden: ALiBi is causal, the future must get weight 0."
)
def symmetric(Q, K, V):
    return steps.Attention()(Q, K, V, bias=-penalty(Q).abs())


@TRUSTED.mistake(
    "Later keys are not hidden, and their negative distance even raises their scores: add the causal mask."
)
def no_mask(Q, K, V):
    return steps.Attention()(Q, K, V, bias=-penalty(Q))


@TRUSTED.mistake("The penalty comes after the softmax, so the weights no longer sum to 1 and can be negative.")
def after_the_softmax(Q, K, V):
    return attend(Q, K, V, None) - penalty(Q).clamp_min(0) @ V


@TRUSTED.alternative
def loop_over_heads_and_queries(Q, K, V):
    B, H, T, d = Q.shape
    heads = []
    for h in range(H):
        rows = []
        for i in range(T):
            z = torch.einsum("bd,bjd->bj", Q[:, h, i], K[:, h, : i + 1]) / d**0.5
            z = z - 2 ** (-8 * (h + 1) / H) * torch.arange(i, -1, -1, device=Q.device)
            rows.append((z.softmax(-1)[..., None] * V[:, h, : i + 1]).sum(1))
        heads.append(torch.stack(rows, 1))
    return torch.stack(heads, 1)


@TRUSTED.alternative
def by_key_position_alone(Q, K, V):
    """-m (i - j) and +m j differ by a constant in each row, which the softmax does not see."""
    return attend(Q, K, V, slopes(Q.shape[1], Q) * torch.arange(K.shape[2], device=Q.device))


@TRUSTED.alternative
def library_with_a_float_mask(Q, K, V):
    bias = (-penalty(Q)).masked_fill(distance(Q) < 0, -torch.inf)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=bias)
