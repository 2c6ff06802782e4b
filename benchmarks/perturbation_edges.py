"""The two rules by which perturbation compares the edges of a node, on the same supernets.

For each seed, one search of DARTS-PT on the embedded digits, in the space of DARTS, decides the
operations; then each rule decides the edges from that state. Prints the validation accuracy of the
remaining supernet, the test accuracy of the retrained genotype, and in how many of the six nodes
with surplus edges the rules keep different edges. (In the NAS-Bench-201 space a genotype keeps
every edge: there is nothing to compare.)

    python benchmarks/perturbation_edges.py --trial darts-pt --seeds 4
"""

from __future__ import annotations

import argparse
import copy
import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from tune_nas.config import TrialConfig
from tune_nas.library import load_trial, with_overrides
from tune_nas.retrain import Retrain
from tune_nas.search import Search
from tune_nas.spaces import Genotype

RULES = ("alone", "one-by-one")
SMALL: dict[str, Any] = {
    "data.train_images": 512,
    "data.augment": {"crop_padding": 1, "flip": False},
    "space.init_channels": 4,
    "space.cells": 3,
    "schedule.epochs": 10,
    "schedule.batch_size": 64,
    "optimizer.alphas.learning_rate": 0.025,
    "selection.perturbation.interval": 1,
    "selection.perturbation.batches": 2,  # half of the validation images
    "retrain.epochs": 10,
    "retrain.batch_size": 48,
    "retrain.init_channels": 8,
    "retrain.cells": 3,
    "retrain.drop_path": 0.0,
    "retrain.auxiliary_weight": 0.0,
    "retrain.augment": {"crop_padding": 1, "flip": False, "cutout": 0},
}


def selections(trial: TrialConfig) -> dict[str, Search]:
    """Return one finished search of the trial per rule; they are equal until edges are decided."""
    common = Search(trial)
    decisions = max(len(cell.edges) for cell in common.space.cells.values())
    while common.epoch < trial.schedule.epochs + decisions:
        common.run_epoch()
    state = copy.deepcopy(common.state_dict())
    found = {}
    for rule in RULES:
        own = with_overrides(trial, {"selection.perturbation.edges": rule})
        found[rule] = Search(own)
        found[rule].load_state_dict({**copy.deepcopy(state), "trial": own.to_dict()})
        while not found[rule].done:
            found[rule].run_epoch()
    return found


def retrained(trial: TrialConfig, genotype: Genotype) -> float:
    """Return the test accuracy of a retrained genotype, in percent."""
    retrain = Retrain(trial, genotype)
    while not retrain.done:
        metrics = retrain.run_epoch()
    return metrics["test_accuracy"]


def other_nodes(one: Genotype, other: Genotype) -> int:
    """Return the number of nodes at which two genotypes keep edges from different sources."""
    found = 0
    for name, cell in one.cells.items():
        for node in {edge.target for edge in cell.edges}:
            sources = [
                {edge.source for edge in genotype.cells[name].edges if edge.target == node}
                for genotype in (one, other)
            ]
            found += sources[0] != sources[1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trial", default="darts-pt")
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    console = Console()
    accuracies: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
    table = Table("seed", *(f"{rule}: valid %, test %" for rule in RULES), "other nodes, of 6")
    for seed in range(arguments.seeds):
        trial = load_trial(arguments.trial, {**SMALL, "seed": seed})
        searches = selections(trial)
        for rule, search in searches.items():
            test = retrained(trial, search.genotype)
            accuracies[rule].append((search.history[-1]["valid_accuracy"], test))
        pairs = [f"{valid:.2f}, {test:.2f}" for valid, test in (accuracies[r][-1] for r in RULES)]
        nodes = other_nodes(*(search.genotype for search in searches.values()))
        table.add_row(str(seed), *pairs, str(nodes))
        console.print(f"seed {seed}: {' | '.join(pairs)} | {nodes}")
    means = [
        ", ".join(
            f"{statistics.mean(column):.2f} ± {statistics.stdev(column):.2f}"
            for column in zip(*accuracies[rule], strict=True)
        )
        for rule in RULES
    ]
    table.add_row("mean ± std", *means, "")
    console.print(table)


if __name__ == "__main__":
    main()
