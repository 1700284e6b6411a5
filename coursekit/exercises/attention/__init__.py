"""Chapter 02, attention."""

from coursekit.checking.contract import Chapter, Question

CHAPTER = Chapter(
    slug="02_attention",
    title="Attention",
    preload=("transformers.models.bert.modeling_bert",),
    exercises=(
        "attention.softmax",
        "attention.sdpa",
        "attention.masks",
        "attention.empty_rows",
        "attention.heads",
        "attention.multihead",
        "attention.backward",
        "attention.sinusoidal",
        "attention.rotary",
        "attention.alibi",
        "attention.cache_bytes",
        "attention.grouped_query",
        "attention.test_window",
        "attention.flops",
        "attention.blockwise",
        "attention.layer_norm",
        "attention.block",
    ),
    questions=(Question("attention.read_heat_map", "Read a heat map", 3),),
)
