"""Base class of the analyses of a search's checkpoint, as a task runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tune_nas.checkpoint import State, check_same_trial, load_state, save_state, taking
from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.errors import ConfigError
from tune_nas.library import trial_of_checkpoint

STATE_FILE = "analysis.pt"


class CheckpointAnalysis(ABC):
    """An analysis of a checkpoint of a search, resumable.

    Args:
        trial: The trial of the search; ``start_from`` is the checkpoint.

    Raises:
        ConfigError: If there is no checkpoint.
    """

    def __init__(self, trial: TrialConfig) -> None:
        if trial.start_from is None:
            raise ConfigError(
                "start_from is null, but must be the checkpoint of the search to analyze"
            )
        self.trial = trial

    @abstractmethod
    def artifacts(self) -> dict[str, str]:
        """Return the table as JSON and as CSV."""

    @abstractmethod
    def measures(self) -> State:
        """Return the measures so far as plain containers."""

    @abstractmethod
    def load_measures(self, state: State) -> None:
        """Restore what `measures` returned."""

    def result(self) -> None:  # noqa: B027
        """Return None: an analysis finds no genotype."""

    def state_dict(self) -> State:
        """Return the trial and the measures so far as plain containers."""
        return {"trial": self.trial.to_dict(), **self.measures()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a state of the same analysis.

        Raises:
            CheckpointError: If it is of another one.
        """
        saved = trial_of_checkpoint(state["trial"])
        for mark in (Decides.SEARCH, Decides.ANALYSIS):
            check_same_trial(decided_by(self.trial, mark), decided_by(saved, mark))
        self.load_measures(dict(state))

    def save(self, folder: Path) -> None:
        """Write ``analysis.pt`` and the artifacts to a folder."""
        save_state(folder, self.state_dict(), name=STATE_FILE, files=self.artifacts())

    def load(self, folder: Path) -> None:
        """Resume from a checkpoint folder.

        Raises:
            CheckpointError: If it is damaged, missing or of another analysis.
        """
        state = load_state(folder, name=STATE_FILE)
        with taking(folder):
            self.load_state_dict(state)
