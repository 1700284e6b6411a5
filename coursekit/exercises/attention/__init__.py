"""Chapter 02, attention."""

from coursekit.contract import Chapter, Question

CHAPTER = Chapter(
    slug="02_attention",
    title="Attention",
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
        "attention.grouped_query",
        "attention.sliding_window",
        "attention.blockwise",
        "attention.alibi",
        "attention.block",
    ),
    questions=(Question("attention.read_heat_map", "Read a heat map", 3),),
)
