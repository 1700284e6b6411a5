"""What stands in for "Token F1" while it is unsolved, from public libraries."""

from coursekit.library.bert.macro_f1 import overlap
from coursekit.library.bert.words import from_the_library

LIBRARY = (lambda prediction, answer: overlap(from_the_library(prediction), from_the_library(answer)),)
