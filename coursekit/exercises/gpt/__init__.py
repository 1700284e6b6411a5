"""Chapter 04, GPT."""

from coursekit.checking.contract import Chapter, Question

CHAPTER = Chapter(
    slug="04_gpt",
    title="GPT",
    questions=(Question("gpt.which_settings", "Which settings made which text", 3),),
    # An optimiser's first step imports torch._dynamo: a second of a processor.
    preload=("torch._dynamo", "transformers.models.gpt2.modeling_gpt2"),
    exercises=(
        "gpt.test_blocks",
        "gpt.decoder",
        "gpt.init",
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
