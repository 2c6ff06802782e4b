"""Shipped trials at a size at which a test takes a second, with all that happens in them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tune_nas.config import TrialConfig, scaled
from tune_nas.library import load_trial, with_overrides
from tune_nas.search import Search

sys.path.insert(0, str(Path(__file__).parent))  # what these tests share is importable

# Two nodes, so that the second has an edge more than a genotype keeps; two types of cell.
_CELL = {
    "inputs": 2,
    "nodes": 2,
    "edges": "all",
    "operations": ["none", "max_pool_3x3", "skip_connect", "nor_conv_3x3"],
    "output": "concat",
    "inputs_per_node": 2,
    "excluded": ["none"],
}
_SPACE = {
    "name": "small",
    "cells": {"normal": _CELL, "reduction": _CELL},
    "skeleton": {
        "layout": "thirds",
        "init_channels": 2,
        "cells": 3,
        "stem_multiplier": 1,
    },
    "final": {"init_channels": 4, "cells": 3},
}
TINY: dict[str, Any] = {
    "data.name": "fake",
    "data.train_images": 32,
    "data.resolution": 8,
    "schedule.batch_size": 8,
    "schedule.steps_per_epoch": 1,
    "runtime.device": "cpu",
}
EPOCHS = 3

# Lengths at which what a trial is about happens within a few epochs, in the small space.
_PERTURBATION = {
    "schedule.epochs": 1,
    "selection.perturbation.interval": 2,
    "selection.perturbation.batches": 1,
}
_GREEDY = {"schedule.epochs": 5, "schedule.greedy.warmup": 0, "schedule.greedy.every": 1}
_CONVOLUTIONS = ("nor_conv_3x3", "nor_conv_1x1")
_EIGENVALUE = {
    "schedule.epochs": 5,
    "schedule.eigenvalue.every": 1,
    "schedule.eigenvalue.window": 1,
    "schedule.eigenvalue.lag": 2,
    "schedule.eigenvalue.start": 1,
    "schedule.eigenvalue.factor": 0.1,  # acts as soon as it may, in epoch 4
}
OWN: dict[str, dict[str, Any]] = {
    "darts-es": _EIGENVALUE,
    "r-darts-ada": _EIGENVALUE,
    "darts-pt": _PERTURBATION,
    "sdarts-pt": {**_PERTURBATION, "selection.perturbation.interval": 1},
    "sgas": _GREEDY,
    "sgas-pt": {**_GREEDY, "selection.perturbation.batches": 1},
    "pc-darts": {"space.init_channels": 4, "update.warmup": 1},
    "gaea-pc-darts": {"space.init_channels": 4},
    "xnas": {"schedule.wipe_out.factor": 0.002},  # else nothing is sure before the last step
    "p-darts": {
        "schedule.epochs": 6,
        "update.warmup": 1,
        "schedule.stages": [
            {"epochs": 2, "cells": 3, "operations": 4, "skip_dropout": 0.0},
            {"epochs": 2, "cells": 4, "operations": 3, "skip_dropout": 0.4},
            {"epochs": 2, "cells": 5, "operations": 2, "skip_dropout": 0.7},
        ],
    },
    "p-darts-code": {
        "schedule.epochs": 3,
        "schedule.stages": [
            {"epochs": 1, "cells": cells, "operations": operations, "skip_dropout": dropout}
            for cells, operations, dropout in ((3, 4, 0.1), (4, 3, 0.4), (5, 2, 0.7))
        ],
    },
    "drnas-progressive": {
        "schedule.epochs": 4,
        "space.init_channels": 12,
        "update.warmup": 1,
        "schedule.stages": [
            {"epochs": 2, "partial_channels": 6, "operations": 3},
            {"epochs": 2, "partial_channels": 4, "operations": 2},
        ],
    },
    "dropnas": {"relaxation.dropout.rate": 0.3, "relaxation.dropout.groups": "none"},
    "rsps": {"selection.sampled.genotypes": 3},
    "dsnas": {"relaxation.init_std": 1.0, "optimizer.weights.learning_rate": 0.05},
    "parsec": {"relaxation.samples": 2},
    "darts-plus-ranking": {"schedule.stop.settled": 1},
    "stacnas": {
        "schedule.epochs": 4,
        "schedule.stages": [
            {
                "epochs": 2,
                "cells": 3,
                "groups": [["skip_connect"], ["nor_conv_3x3", "nor_conv_1x1"]],
            },
            {"epochs": 2, "cells": 4, "open_groups": 1},
        ],
    },
    "setn": {"selection.sampled.genotypes": 3},
    "enas": {"selection.sampled.genotypes": 3, "update.policy": {"steps": 2, "samples": 3}},
}
OWN["drnas-progressive-code"] = OWN["drnas-progressive"]


TWO_CONVOLUTIONS = ("darts-plus-ranking", "stacnas")  # rank or group the operations of an edge


def small_space(
    folder: Path, *, with_none: bool = True, further_operations: tuple[str, ...] = ()
) -> str:
    """Write the small space to a folder and return its path."""
    operations = _CELL["operations"] if with_none else _CELL["operations"][1:]
    operations = [*operations, *further_operations]
    cell = {**_CELL, "operations": operations, "excluded": ["none"] if with_none else []}
    path = folder / ("small.yaml" if with_none else "small-no-none.yaml")
    content = {**_SPACE, "cells": {"normal": cell, "reduction": cell}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


class Shrink(Protocol):
    """Makes a shipped trial small; the keyword arguments are further keys of it."""

    def __call__(self, name: str, **overrides: Any) -> TrialConfig: ...


@pytest.fixture
def shrink(tmp_path: Path) -> Shrink:
    """Return a function that puts a shipped trial into the small space, for a few short epochs."""

    def shrunk(name: str, **overrides: Any) -> TrialConfig:
        trial = load_trial(name)
        epochs = 2 if name.endswith("-code") and name not in OWN else EPOCHS
        changes = {
            **scaled(trial.to_dict(), epochs),
            **TINY,
            "space.name": small_space(
                tmp_path,
                with_none="no-none" not in trial.space.name,
                further_operations=("nor_conv_1x1",) if name in TWO_CONVOLUTIONS else (),
            ),
            "space.cells": 3,
            "space.init_channels": 2,
            **OWN.get(name, {}),
            **overrides,
        }
        return with_overrides(trial, changes)

    return shrunk


@pytest.fixture
def gradients_of() -> Callable[[Search], list[list[bool]]]:
    """Return a function that records, at each α step, which of α and β have a nonzero gradient.

    It fails at the step where a gradient is not finite.
    """

    def record(search: Search) -> list[list[bool]]:
        seen: list[list[bool]] = []
        step = search.optimizers.step_alphas

        def recorded(gradients: Any) -> None:
            assert all(found.isfinite().all() for found in gradients if found is not None)
            seen.append([found is not None and bool(found.any()) for found in gradients])
            step(gradients)

        search.optimizers.step_alphas = recorded  # type: ignore[method-assign]
        return seen

    return record
