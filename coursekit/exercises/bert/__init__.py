"""Chapter 03, BERT."""

from coursekit.checking.contract import Chapter, Question

CHAPTER = Chapter(
    slug="03_bert",
    title="BERT",
    preload=("transformers.models.bert.modeling_bert",),
    questions=(Question("bert.read_controls", "What the table shows, and what it does not", 4),),
    exercises=(
        "bert.wordpiece",
        "bert.batches",
        "bert.embeddings",
        "bert.encoder_layer",
        "bert.count_weights",
        "bert.test_mask",
        "bert.mask_tokens",
        "bert.mlm_head",
        "bert.sentence_pairs",
        "bert.pooling",
        "bert.classifier",
        "bert.parameter_groups",
        "bert.fine_tuning",
        "bert.early_stopping",
        "bert.macro_f1",
        "bert.spans",
        "bert.word_labels",
    ),
)
