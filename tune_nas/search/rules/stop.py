"""Stop a search when its genotype has become too small, or has collapsed.

By model size: He et al., "MiLeNAS", CVPR 2020, Sec. 4.3. By skip connections: Liang et al.,
"DARTS+", arXiv:1909.06035, criterion 1.
"""

from __future__ import annotations

from tune_nas.checkpoint import State
from tune_nas.search.plugins import check_cells
from tune_nas.search.rules.rule import Rule
from tune_nas.search.view import SearchControl
from tune_nas.spaces import Genotype


class Stop(Rule):
    """Ends the search once the genotype has met a bound for ``patience`` consecutive epochs.

    Warm-up epochs do not count: α, and thus the genotype, is still the initial one.

    Args:
        search: The search.

    Raises:
        ConfigError: If a named cell does not exist in the space.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        self.config = search.trial.schedule.stop
        check_cells("schedule.stop.convolutions", self.config.convolutions, search.space)
        check_cells("schedule.stop.skips", self.config.skips, search.space)
        self._epochs = 0

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Stop the search if due."""
        search = self.search
        if not search.moves_alphas(search.epoch - 1):
            return
        reason = self._reason(search.genotype)
        self._epochs = 0 if reason is None else self._epochs + 1
        if self._epochs >= self.config.patience and search.epoch < search.search_epochs:
            held = "" if self._epochs == 1 else f", for {self._epochs} epochs"
            search.stop(f"stopped at epoch {search.epoch}: {reason}{held}")

    def _reason(self, genotype: Genotype) -> str | None:
        """Return a text with the bound that a genotype meets; None for none."""
        bounds = self.config.convolutions
        found = {name: genotype.count("convolution", name) for name in bounds}
        if bounds and all(found[name] <= bound for name, bound in bounds.items()):
            (first, n), *others = found.items()
            words = [f"{n} convolution{'' if n == 1 else 's'} in the {first} cell"]
            return ", ".join([*words, *(f"{n} in the {name} cell" for name, n in others)])
        for name, bound in self.config.skips.items():
            skips = genotype.count("skip", name)
            if skips >= bound:
                return f"{skips} skip connection{'' if skips == 1 else 's'} in the {name} cell"
        return None

    def state_dict(self) -> State:
        """Return the number of epochs for which the bound has been met."""
        return {"epochs": self._epochs}

    def load_state_dict(self, state: State) -> None:
        """Restore it."""
        self._epochs = state["epochs"]
