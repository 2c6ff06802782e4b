"""The best genotype of each model size (He et al., "MiLeNAS", CVPR 2020, Sec. 4.3).

Size is the number of convolutions in the genotype; best means the highest validation accuracy so
far.
"""

from __future__ import annotations

from typing import TypedDict

import yaml

from tune_nas.checkpoint import State
from tune_nas.spaces import Genotype

BEST_BY_SIZE = "best_by_size.yaml"
"""Its file in a checkpoint; ``best.yaml`` in older ones."""


class Entry(TypedDict):
    """A genotype, the epoch that it was found in, and that epoch's accuracy in percent."""

    epoch: int
    valid_accuracy: float
    space: str
    genotype: str


class BestBySize:
    """Keeps, for each number of convolutions, the genotype of the best epoch so far."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}

    def see(self, genotype: Genotype, epoch: int, valid_accuracy: float) -> None:
        """Record an epoch's genotype; ties keep the earlier one."""
        size = genotype.count("convolution")
        known = self.entries.get(size)
        if known is None or valid_accuracy > known["valid_accuracy"]:
            self.entries[size] = {
                "epoch": epoch,
                "valid_accuracy": valid_accuracy,
                "space": genotype.space,
                "genotype": str(genotype),
            }

    def to_yaml(self) -> str:
        """Return the entries, smallest size first."""
        return yaml.safe_dump(dict(sorted(self.entries.items())), sort_keys=False)

    def state_dict(self) -> State:
        """Return the entries as plain containers."""
        return {"entries": [[size, entry.copy()] for size, entry in self.entries.items()]}

    def load_state_dict(self, state: State) -> None:
        """Restore the entries."""
        self.entries = {int(size): entry.copy() for size, entry in state["entries"]}
