"""Chapter 05, distributed training."""

from coursekit.checking.contract import Chapter, Question

CHAPTER = Chapter(
    slug="05_distributed",
    title="Distributed training",
    questions=(Question("distributed.hang", "Why does the job hang?", 3),),
    preload=("torch._dynamo",),
    exercises=(
        "distributed.ring",
        "distributed.collectives",
        "distributed.gradients",
        "distributed.rank_indices",
        "distributed.average_gradients",
        "distributed.overlap",
        "distributed.global_norm",
        "distributed.training_bytes",
        "distributed.sharded_adamw",
        "distributed.sharded_linear",
        "distributed.parallel_mlp",
        "distributed.vocab_loss",
        "distributed.ring_attention",
        "distributed.pipeline",
        "distributed.experts",
        "distributed.test_reshard",
    ),
)
