"""A custom task, used by the sweep own-task.yaml.

cd examples && tune-nas sweep own-task.yaml
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tune_nas.checkpoint import load_state, save_state
from tune_nas.config import TrialConfig
from tune_nas.data import SearchData, load_data
from tune_nas.errors import CheckpointError
from tune_nas.tasks import Inputs, Task

STATE = "linear.pt"


class LinearProbe(Task):
    """Trains a linear classifier on the pixels, a baseline for networks."""

    name = "linear-probe"
    section = "retrain"
    finds_genotypes = False

    def epochs(self, trial: TrialConfig) -> int:
        """Return the number of retraining epochs."""
        return trial.retrain.epochs

    def build(self, trial: TrialConfig, inputs: Inputs, together: Any = None) -> LinearClassifier:
        """Return the untrained classifier."""
        return LinearClassifier(trial)


class LinearClassifier:
    """A `tune_nas.learner.Learner`: softmax regression by full-batch gradient descent."""

    def __init__(self, trial: TrialConfig) -> None:
        device = torch.device("cpu")
        data = load_data(trial.data, seed=trial.seed, device=device, for_search=True)
        assert isinstance(data, SearchData)
        self.data, self.recipe, self.epoch = data, trial.retrain, 0
        generator = torch.Generator().manual_seed(trial.seed)
        pixels = data.train.images[0].numel()
        self.weights = 0.01 * torch.randn(pixels, data.n_classes, generator=generator)

    @property
    def done(self) -> bool:
        """Whether the last epoch has been run."""
        return self.epoch >= self.recipe.epochs

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Mapping[str, Any]:
        """Take one step on the training half; return the validation accuracy in percent."""
        inputs, labels = self.data.train.images.flatten(1) / 255, self.data.train.labels
        errors = (inputs @ self.weights).softmax(dim=1)
        errors[torch.arange(len(labels)), labels] -= 1
        self.weights -= self.recipe.learning_rate * inputs.T @ errors / len(labels)
        self.epoch += 1
        valid = self.data.valid
        found = (valid.images.flatten(1) / 255 @ self.weights).argmax(dim=1)
        accuracy = 100 * (found == valid.labels).float().mean().item()
        return {"epoch": self.epoch, "valid_accuracy": accuracy}

    def result(self) -> None:
        """Return None; there is no genotype."""

    def remarks(self) -> dict[str, str]:
        """Return no remarks."""
        return {}

    def artifacts(self) -> dict[str, str]:
        """Return the weight norm of each class as CSV."""
        rows = [f"{number},{norm:.6f}" for number, norm in enumerate(self.weights.norm(dim=0))]
        return {"norms.csv": "\n".join(["class,norm", *rows]) + "\n"}

    def save(self, folder: Path) -> None:
        """Write the weights and the table."""
        state = {"epoch": self.epoch, "weights": self.weights}
        save_state(folder, state, name=STATE, files=self.artifacts())

    def load(self, folder: Path) -> None:
        """Restore the weights.

        Raises:
            CheckpointError: If the checkpoint is damaged or from different images.
        """
        state = load_state(folder, name=STATE)
        if state["weights"].shape != self.weights.shape:
            raise CheckpointError(f"{folder}: the checkpoint is of other images")
        self.epoch, self.weights = state["epoch"], state["weights"]
