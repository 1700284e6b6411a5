"""What a learner's notebook imports: checks that explain, progress, figures, quizzes, pretrained models."""

# Each function replaces the submodule of the same name, so these imports must stay here and be eager.
from coursekit.check import check, use
from coursekit.device import device
from coursekit.models import load_encoder
from coursekit.progress import progress
from coursekit.quiz import quiz
from coursekit.show import show

__all__ = ["check", "device", "load_encoder", "progress", "quiz", "show", "use"]
__version__ = "0.1.0"
