"""What stands in for "Rotary positions" while it is unsolved, from public libraries."""

import functools


def from_library(Q, K, positions, base=10000.0):
    cohere, embedding = _cohere(Q.shape[-1], base)
    cos, sin = embedding(Q.float(), positions)
    return cohere.apply_rotary_pos_emb(Q, K, cos.to(Q.device), sin.to(Q.device))


@functools.cache
def _cohere(d, base):
    from transformers import CohereConfig  # here, because it takes seconds to import
    from transformers.models.cohere import modeling_cohere as cohere

    rope = {"rope_type": "default", "rope_theta": base}
    config = CohereConfig(hidden_size=d, num_attention_heads=1, rope_parameters=rope)
    return cohere, cohere.CohereRotaryEmbedding(config)


LIBRARY = (from_library,)
