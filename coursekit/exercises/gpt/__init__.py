"""Chapter 04, GPT."""

from coursekit.checking.contract import Chapter

CHAPTER = Chapter(
    slug="04_gpt",
    title="GPT",
    # An optimiser's first step imports torch._dynamo: a second of a processor.
    preload=("torch._dynamo", "transformers.models.gpt2.modeling_gpt2"),
    exercises=(
        "gpt.test_blocks",
        "gpt.init",
        "gpt.decoder",
        "gpt.loss",
        "gpt.train_step",
        "gpt.filter",
        "gpt.penalise",
        "gpt.cache",
        "gpt.beams",
        "gpt.speculate",
        "gpt.draft_gain",
        "gpt.llama_block",
        "gpt.route",
        "gpt.latent",
        "gpt.muon",
        "gpt.chat",
        "gpt.translate",
    ),
)
