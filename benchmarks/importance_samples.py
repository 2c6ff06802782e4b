"""How many of PARSEC's K samples count in a step, for both readings of the likelihood.

The effective number of samples is 1 / Σ ω², between 1 and K. A short search with the trial `parsec`
in NAS-Bench-201, on the embedded digits.

    python benchmarks/importance_samples.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tune_nas.config import scaled
from tune_nas.library import load_trial, with_overrides
from tune_nas.search import Search, importance


def effective_samples(likelihood: str, epochs: int, samples: int) -> list[float]:
    """Return the mean effective number of samples of the steps of each epoch."""
    trial = load_trial("parsec")
    changes = {
        **scaled(trial.to_dict(), epochs),
        "space": {"name": "nasbench201", "init_channels": 8, "cells": 1},
        "relaxation.likelihood": likelihood,
        "relaxation.samples": samples,
        "runtime.device": "cpu",
    }
    search = Search(with_overrides(trial, changes))
    weigh, counts, means = importance.importance_weights, list[float](), list[float]()

    def recorded(log_likelihoods: Tensor) -> Tensor:
        weights = weigh(log_likelihoods)
        counts.append(1 / float(weights.square().sum()))
        return weights

    with patch.object(importance, "importance_weights", recorded):
        while not search.done:
            counts.clear()
            search.run_epoch()
            means.append(sum(counts) / len(counts))
    return means


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table with a row per reading."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = Table("epoch", *(str(epoch + 1) for epoch in range(given.epochs)))
    for likelihood in ("batch", "image"):
        means = effective_samples(likelihood, given.epochs, given.samples)
        table.add_row(likelihood, *(f"{mean:.2f}" for mean in means))
    Console().print(table)


if __name__ == "__main__":
    main()
