"""What stands in for "Keep the best epoch" while it is unsolved, from public libraries."""

import io

import torch


class Library:
    """torch's ReduceLROnPlateau counts the bad epochs, torch.save keeps the weights."""

    def __init__(self, model, patience):
        self.model, self.patience, self.kept = model, patience, None
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=10**9, threshold=0)

    def update(self, loss):
        self.plateau.step(loss)
        if not self.plateau.num_bad_epochs:
            self.kept = io.BytesIO()
            torch.save(self.model.state_dict(), self.kept)
        return self.plateau.num_bad_epochs >= self.patience

    def restore(self):
        self.kept.seek(0)
        self.model.load_state_dict(torch.load(self.kept))


LIBRARY = (Library,)
