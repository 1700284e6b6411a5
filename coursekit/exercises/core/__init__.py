"""Chapter 01, core concepts."""

from coursekit.checking.contract import Chapter

CHAPTER = Chapter(
    slug="01_core_concepts",
    title="Core concepts",
    exercises=(
        "core.shapes",
        "core.autograd",
        "core.cross_entropy",
        "core.linear_gelu",
        "core.norms",
        "core.init",
        "core.schedule",
        "core.clip",
        "core.test_norm",
        "core.optimisers",
        "core.regularise",
        "core.loop",
        "core.bpe",
        "core.large",
        "core.scaling_law",
        "core.clinic",
    ),
)
