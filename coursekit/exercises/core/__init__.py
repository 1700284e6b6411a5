"""Chapter 01, core concepts."""

from coursekit.checking.contract import Chapter, Question

CHAPTER = Chapter(
    slug="01_core_concepts",
    title="Core concepts",
    questions=(Question("core.explain", "Explain one run to a colleague", 3),),
    # An optimiser's first step imports torch._dynamo: a second of a processor.
    preload=("torch._dynamo",),
    exercises=(
        "core.shapes",
        "core.autograd",
        "core.linear_gelu",
        "core.norms",
        "core.cross_entropy",
        "core.init",
        "core.optimisers",
        "core.schedule",
        "core.clip",
        "core.regularise",
        "core.test_norm",
        "core.loop",
        "core.bpe",
        "core.large",
        "core.scaling_law",
        "core.clinic",
    ),
)
