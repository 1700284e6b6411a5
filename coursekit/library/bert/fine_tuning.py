"""What stands in for "Train and evaluate" while it is unsolved, from public libraries."""

import contextlib
import io
import random
import tempfile

import numpy.random
import torch
from torch import nn

from coursekit.exercises.bert.fine_tuning import NAMES


class _ByPosition(nn.Module):
    """Trainer calls a model by its parameters' names, the exercise by their places."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, real):
        return self.model(ids, real)


def _trainer(model, batches, device, optimizers=(None, None), **options):
    """transformers' Trainer, its examples whole batches in order, with the losses and hits that it sees."""
    from transformers import Trainer, TrainingArguments  # here, because it takes seconds to import

    losses, hits = [], []

    def loss(logits, labels, **_):
        each = nn.functional.cross_entropy(logits, labels, reduction="none")
        losses.append(each.detach())
        hits.append((logits.argmax(-1) == labels).double())
        return each.mean()

    arguments = TrainingArguments(
        tempfile.gettempdir(),
        num_train_epochs=1,
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        train_sampling_strategy="sequential",
        use_cpu=torch.device(device).type == "cpu",
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        prediction_loss_only=True,
        **options,
    )
    data = [{name: x.to(device) for name, x in zip(NAMES, batch, strict=True)} for batch in batches]
    trainer = Trainer(
        _ByPosition(model), arguments, lambda one: one[0], data, compute_loss_func=loss, optimizers=optimizers
    )
    # Before each training it collects the garbage of the whole process, which takes longer than all the rest.
    trainer.accelerator.free_memory = lambda *objects: objects
    return trainer, losses, hits


def _train(model, batches, optimizer, scheduler, clip, device):
    with _silent():
        trainer, losses, _ = _trainer(model, batches, device, (optimizer, scheduler), max_grad_norm=clip)
        trainer.train()
    return torch.cat(losses).mean()


def _evaluate(model, batches, device):
    mode = model.training
    with _silent():
        trainer, losses, hits = _trainer(model, batches, device)
        trainer.predict(trainer.train_dataset)
    model.train(mode)
    return torch.cat(losses).mean(), torch.cat(hits).mean()


@contextlib.contextmanager
def _silent():
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    states = random.getstate(), numpy.random.get_state()  # noqa: NPY002 (the one that Trainer sets)
    try:
        # Trainer sets the seed of all random numbers: torch's, Python's and NumPy's.
        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])  # noqa: NPY002
        logging.set_verbosity(level)


LIBRARY = (_train, _evaluate)
