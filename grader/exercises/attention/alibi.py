"""softmax(q_i . k_j / sqrt(d) - m_h (i - j)), j <= i, m_h = 2^(-8h/H). Press et al. 2022, section 3."""

import torch
import torch.nn.functional as F

from grader.contract import Trusted


def parts(Q, K):
    """Scaled scores (B H T T), distances i - j (T T), slopes (H 1 1)."""
    H, T, d = Q.shape[1], Q.shape[2], Q.shape[3]
    i = torch.arange(T, device=Q.device)
    h = torch.arange(1, H + 1, device=Q.device, dtype=Q.dtype)
    return Q @ K.mT / d**0.5, i[:, None] - i, (2 ** (-8 * h / H))[:, None, None]


def causal(Z, distance):
    return torch.softmax(Z.masked_fill(distance < 0, -torch.inf), -1)


def reference(Q, K, V):
    Z, distance, m = parts(Q, K)
    return causal(Z - m * distance, distance) @ V


TRUSTED = Trusted(reference)


@TRUSTED.mistake("There is no penalty: this is plain causal attention, which cannot tell near keys from far ones.")
def no_penalty(Q, K, V):
    Z, distance, m = parts(Q, K)
    return causal(Z, distance) @ V


@TRUSTED.mistake("Your penalty has the wrong sign: scores rise with the distance, so the farthest key wins.")
def wrong_sign(Q, K, V):
    Z, distance, m = parts(Q, K)
    return causal(Z + m * distance, distance) @ V


@TRUSTED.mistake(
    "The slopes start at 1 instead of $2^{-8/H}$: $h$ counts from 1 to $H$, and `torch.arange(H)` counts from 0."
)
def heads_from_zero(Q, K, V):
    Z, distance, m = parts(Q, K)
    return causal(Z - m * 2 ** (8 / Q.shape[1]) * distance, distance) @ V


@TRUSTED.mistake("The slopes are in reverse order: head 1 has the steepest one, head H the gentlest.")
def slopes_reversed(Q, K, V):
    Z, distance, m = parts(Q, K)
    return causal(Z - m.flip(0) * distance, distance) @ V


@TRUSTED.mistake("All heads share one slope: each head h has a slope of its own, so that some see far and some near.")
def one_slope(Q, K, V):
    Z, distance, m = parts(Q, K)
    return causal(Z - m[:1] * distance, distance) @ V


@TRUSTED.mistake(
    "The slopes are $2^{-h}$ whatever H is; the exponent is $-8h/H$, so that the last slope is always 1/256."
)
def slopes_for_eight_heads(Q, K, V):
    Z, distance, m = parts(Q, K)
    h = torch.arange(1, Q.shape[1] + 1, device=Q.device, dtype=Q.dtype)
    return causal(Z - (2**-h)[:, None, None] * distance, distance) @ V


@TRUSTED.mistake("The penalty is divided by sqrt(d) together with the scores: subtract it after the scaling.")
def penalty_scaled(Q, K, V):
    Z, distance, m = parts(Q, K)
    return causal(Z - m * distance / Q.shape[-1] ** 0.5, distance) @ V


@TRUSTED.mistake("The scores are not divided by sqrt(d): the penalty does not replace the scale.")
def no_scale(Q, K, V):
    Z, distance, m = parts(Q, K)
    return causal(Z * Q.shape[-1] ** 0.5 - m * distance, distance) @ V


@TRUSTED.mistake(
    "Later keys are penalised like earlier ones, not hidden: ALiBi is causal, the future must get weight 0."
)
def symmetric(Q, K, V):
    Z, distance, m = parts(Q, K)
    return torch.softmax(Z - m * distance.abs(), -1) @ V


@TRUSTED.mistake(
    "Later keys are not hidden, and their negative distance even raises their scores: add the causal mask."
)
def no_mask(Q, K, V):
    Z, distance, m = parts(Q, K)
    return torch.softmax(Z - m * distance, -1) @ V


@TRUSTED.mistake("The penalty comes after the softmax, so the weights no longer sum to 1 and can be negative.")
def after_the_softmax(Q, K, V):
    Z, distance, m = parts(Q, K)
    return (causal(Z, distance) - m * distance.clamp_min(0)) @ V


@TRUSTED.mistake(
    "Hidden keys get a finite score. A finite number is a score like any other: where visible scores lie lower, the "
    "hidden keys win. Only -inf is below every score."
)
def finite_fill(Q, K, V):
    Z, distance, m = parts(Q, K)
    return torch.softmax((Z - m * distance).masked_fill(distance < 0, -1e4), -1) @ V


@TRUSTED.alternative
def loop_over_heads_and_queries(Q, K, V):
    B, H, T, d = Q.shape
    heads = []
    for h in range(H):
        rows = []
        for i in range(T):
            z = torch.stack([(Q[:, h, i] * K[:, h, j]).sum(-1) / d**0.5 for j in range(i + 1)], -1)
            z = z - 2 ** (-8 * (h + 1) / H) * torch.arange(i, -1, -1, device=Q.device)
            rows.append((z.softmax(-1)[..., None] * V[:, h, : i + 1]).sum(1))
        heads.append(torch.stack(rows, 1))
    return torch.stack(heads, 1)


@TRUSTED.alternative
def by_key_position_alone(Q, K, V):
    """-m (i - j) and +m j differ by a constant in each row, which the softmax does not see."""
    Z, distance, m = parts(Q, K)
    j = torch.arange(K.shape[2], device=Q.device)
    return causal(Z + m * j, distance) @ V


@TRUSTED.alternative
def library_with_a_float_mask(Q, K, V):
    Z, distance, m = parts(Q, K)
    bias = (-m * distance).masked_fill(distance < 0, -torch.inf)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=bias)
