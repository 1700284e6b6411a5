"""What stands in for "The words that count" while it is unsolved, from public libraries."""


def from_the_library(text):
    """What tokenizers' normalisers make of the text, as a list of words."""
    from tokenizers import Regex, normalizers  # here, because a notebook without it need not wait

    steps = [
        normalizers.Lowercase(),
        normalizers.Replace(Regex(r"[[:punct:]]"), ""),
        normalizers.Replace(Regex(r"\b(an?|the)\b"), " "),
    ]
    return normalizers.Sequence(steps).normalize_str(text).split()


LIBRARY = (from_the_library,)
