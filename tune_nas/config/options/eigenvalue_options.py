"""The options of the rule `eigenvalue`, which goes back to an earlier epoch of a search."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tune_nas.config.section import Count, Epochs, EpochsOrNone, Positive, Section

_ROUNDING = 1e-9  # of a product of factors


class EigenvalueOptions(Section):
    """Options of ``eigenvalue``: act on a growing curvature in α (RobustDARTS, arXiv:1909.09656).

    Args:
        action: ``stop``: end the search with the state of an earlier epoch (DARTS-ES);
            ``roll-back``: continue from it with a larger weight decay of w (R-DARTS, ADA).
        every: Epochs between two eigenvalues; the first is that of epoch 1.
        window: Number of eigenvalues in a local mean.
        lag: Number of eigenvalues between the two means that are compared.
        factor: Quotient of the current and the earlier mean above which the rule acts.
        start: Number of first epochs to which the search does not go back.
        batches: Number of validation batches of the loss whose eigenvalue is computed.
        decay_factor: Factor on the weight decay of w at each rollback.
        max_decay: Upper bound of that weight decay; the rule no longer acts when it is reached.
    """

    action: Literal["stop", "roll-back"] = "stop"
    every: Epochs = 2
    window: Epochs = 5
    lag: Epochs = 4
    factor: Positive = 1.3
    start: EpochsOrNone = 10
    batches: Count = 1
    decay_factor: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 10.0
    max_decay: Positive = 0.03

    @property
    def distance(self) -> int:
        """Number of epochs by which the search goes back.

        The earlier mean is centered on the epoch to which it goes, and the current one half a
        window before the current epoch.
        """
        return self.every * (self.window // 2 + self.lag)

    def decays(self, weight_decay: float) -> list[float]:
        """Return the weight decays after each rollback; empty if the rule stops the search."""
        found, current = list[float](), weight_decay
        if self.action == "roll-back" and weight_decay > 0:
            while current < self.max_decay:
                current *= self.decay_factor
                if current > self.max_decay * (1 - _ROUNDING):
                    current = self.max_decay
                found.append(current)
        return found

    def most_repeated(self, epochs: int, weight_decay: float) -> int:
        """Return the maximum number of epochs that are run again after rollbacks.

        Args:
            epochs: Epochs of the schedule; the rule does not act after the last one.
            weight_decay: The initial weight decay of w.
        """
        first = self.start + self.distance  # 0-based, in which it may act at the earliest
        first += -first % self.every
        return len(self.decays(weight_decay)) * self.distance if first < epochs - 1 else 0
