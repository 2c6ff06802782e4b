"""Go back to an earlier epoch when the curvature of the validation loss in α grows.

Zela et al., "Understanding and Robustifying Differentiable Architecture Search", ICLR 2020,
arXiv:1909.09656: early stopping (DARTS-ES) and adaptive regularization (R-DARTS, ADA). Code:
automl/RobustDARTS, ``EVLocalAvg`` in ``src/utils.py`` and ``src/search/train_search.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from tune_nas.checkpoint import State
from tune_nas.search.curvature import hessian_eigenvalue
from tune_nas.search.probes.hessian_probe import HESSIAN_EIGENVALUE
from tune_nas.search.rules.rule import Rule
from tune_nas.search.view import SearchControl


class EigenvalueRule(Rule):
    """Compares local means of the dominant eigenvalue, and goes back to the earlier one's epoch.

    The whole state of the training is that of the earlier epoch then: w, α, their optimizers, the
    batches, what other rules have decided. With ``stop``, the search ends with it. With
    ``roll-back``, the schedule continues from that epoch with a larger weight decay of w, until
    that is ``max_decay``.

    Args:
        search: The search.
    """

    rolls_back = True

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        trial = search.trial
        assert trial.schedule.eigenvalue is not None
        self.config = trial.schedule.eigenvalue
        self._decays = self.config.decays(trial.optimizer.weights.weight_decay)
        self._rollbacks = 0
        self._values: list[tuple[int, float]] = []  # by epoch of the schedule (0-based)
        self._snapshots: dict[int, State] = {}  # likewise

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Compute the eigenvalue, and go back if the means have grown too much."""
        search, config = self.search, self.config
        epoch = search.schedule_epoch - 1
        metrics["genotype_epoch"] = search.epoch
        if config.action == "roll-back":
            metrics["weight_decay/weights"] = search.weight_decay
        if epoch % config.every:
            return
        value = metrics[HESSIAN_EIGENVALUE] = hessian_eigenvalue(search, config.batches)
        self._values.append((epoch, value))
        means = self._means()
        if means:
            metrics["hessian_eigenvalue_mean"] = means[-1]
        if not self._may_act(epoch):
            self._snapshots.clear()
            return
        self._keep_snapshot(epoch)
        target = epoch - config.distance
        if target >= config.start and has_grown(means, config.lag, config.factor):
            metrics["genotype_epoch"] = self._snapshots[target]["epoch"]
            self._go_back(target, means[-1] / means[-1 - config.lag])

    def _may_act(self, epoch: int) -> bool:
        """Whether the rule may act in this epoch (0-based) or a later one."""
        search, config = self.search, self.config
        if search.epoch >= search.search_epochs:  # ended, or after the last epoch
            return False
        return config.action == "stop" or self._rollbacks < len(self._decays)

    def _means(self) -> list[float]:
        return local_means([value for _, value in self._values], self.config.window)

    def _keep_snapshot(self, epoch: int) -> None:
        """Keep this epoch, and the earlier ones to which this or a later rollback may go."""
        if epoch < self.config.start:
            return
        self._snapshots[epoch] = self.search.snapshot()
        # After a rollback the next one may follow soon, and go back further.
        left = max(1, len(self._decays) - self._rollbacks)
        oldest = epoch - left * self.config.distance
        self._snapshots = {at: held for at, held in self._snapshots.items() if at >= oldest}

    def _go_back(self, target: int, quotient: float) -> None:
        search, config = self.search, self.config
        snapshot, ended = self._snapshots[target], search.epoch
        search.go_back(snapshot)
        self._values = [(epoch, value) for epoch, value in self._values if epoch <= target]
        self._snapshots = {at: held for at, held in self._snapshots.items() if at <= target}
        if config.action == "stop":
            self._snapshots.clear()
            search.stop(
                f"stopped at epoch {ended} with the state of epoch {snapshot['epoch']}: the "
                f"dominant eigenvalue has grown by a factor of {quotient:.2f} since"
            )
            return
        search.set_weight_decay(self._decays[self._rollbacks])
        self._rollbacks += 1
        if self._rollbacks == len(self._decays):
            self._snapshots.clear()

    def state_dict(self) -> State:
        """Return the eigenvalues, the number of rollbacks and the states that it may restore."""
        return {
            "values": [list(entry) for entry in self._values],
            "rollbacks": self._rollbacks,
            "snapshots": [[epoch, held] for epoch, held in self._snapshots.items()],
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self._values = [(epoch, value) for epoch, value in state["values"]]
        self._rollbacks = state["rollbacks"]
        self._snapshots = dict(state["snapshots"])


def local_means(values: Sequence[float], window: int) -> list[float]:
    """Return the means over a window centered on each value, as far as they are known.

    A window that would start before the first value starts with it. The first mean needs half a
    window, rounded up; the last one is centered half a window before the last value.

    Args:
        values: The values in order.
        window: Number of values per mean.
    """
    return [
        fmean(values[max(0, end - window) : end])
        for end in range((window + 1) // 2, len(values) + 1)
    ]


def has_grown(means: Sequence[float], lag: int, factor: float) -> bool:
    """Return whether the last mean exceeds ``factor`` times the one ``lag`` means before.

    False if that one does not exist or is not positive, where a quotient says nothing.
    """
    if len(means) <= lag:
        return False
    earlier = means[-1 - lag]
    return earlier > 0 and means[-1] > factor * earlier
