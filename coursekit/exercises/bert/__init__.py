"""Chapter 03, BERT."""

from coursekit.checking.contract import Chapter

CHAPTER = Chapter(
    slug="03_bert",
    title="BERT",
    preload=("transformers.models.bert.modeling_bert",),
    exercises=(
        "bert.wordpiece",
        "bert.batches",
        "bert.embeddings",
        "bert.encoder_layer",
        "bert.mask_tokens",
        "bert.mlm_head",
        "bert.sentence_pairs",
        "bert.pooling",
        "bert.classifier",
        "bert.parameter_groups",
        "bert.fine_tuning",
        "bert.early_stopping",
        "bert.accuracy",
        "bert.macro_f1",
        "bert.words",
        "bert.exact_match",
        "bert.token_f1",
        "bert.spans",
    ),
)
