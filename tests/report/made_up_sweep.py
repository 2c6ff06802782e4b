"""A made-up sweep as large as a real one: trials with histories, genotypes and α."""

from __future__ import annotations

import math
import random

from tune_nas.report import Comparison, TrialResult
from tune_nas.report.run_details import RunDetails, Session, TrialDetails
from tune_nas.spaces import CellGenotype, Genotype, load_space

LAMBDAS: tuple[object, ...] = (0, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, "inf")
OPERATIONS = 8


def results(n_seeds: int = 4, epochs: int = 50) -> list[TrialResult]:
    """Return a search for each of ten λ and each seed, as DARTS on CIFAR-10 would report it."""
    rng = random.Random(0)
    found = []
    for place, value in enumerate(LAMBDAS):
        for seed in range(n_seeds):
            final = 80 + 8 * math.exp(-((place - 5) ** 2) / 9) + rng.gauss(0, 0.5)
            history = [_epoch(rng, epoch, epochs, final) for epoch in range(1, epochs + 1)]
            found.append(
                TrialResult(
                    trial_id=f"search-{len(found):05d}",
                    phase="search",
                    parameters={"update.lambda": value},
                    seed=seed,
                    status="finished",
                    metrics=history[-1],
                    history=history,
                    genotype=genotype(rng).to_yaml(),
                )
            )
    return found


def comparison(trials: list[TrialResult]) -> Comparison:
    return Comparison("made-up", ["update.lambda"], trials, "valid_accuracy")


def details(trials: list[TrialResult], epochs: int = 50) -> RunDetails:
    table = alphas(epochs)
    return RunDetails(
        trials=tuple(
            TrialDetails(result, result.status, epochs, space="darts") for result in trials
        ),
        sessions={
            "made-up": (
                Session(
                    started=1.7e9,
                    ended=1.7e9 + 7200,
                    command="tune-nas sweep lambda",
                    outcome="finished",
                    versions={"Python": "3.11.7"},
                ),
            )
        },
        files={"made-up": "name: made-up\n"},
        read_alphas=lambda _: table,
    )


def genotype(rng: random.Random) -> Genotype:
    """Return a sampled genotype of the DARTS space."""
    cells = {}
    for name, cell in load_space("darts").cells.items():
        edges = []
        for node in cell.nodes:
            for row in rng.sample(list(cell.incoming(node)), cell.kept_inputs(node)):
                legal = [o for o in cell.operations[row] if o not in cell.excluded]
                edges.append((*cell.edges[row], rng.choice(legal)))
        cells[name] = CellGenotype.of(edges)
    return Genotype("darts", cells)


def alphas(epochs: int) -> bytes:
    """Return the α history of a search in the DARTS space: 28 edges of 8 operations."""
    rng = random.Random(1)
    lines = ["epoch,cell,source,target,operation,alpha,weight"]
    for epoch in range(1, epochs + 1):
        for name, cell in load_space("darts").cells.items():
            for row, (source, target) in enumerate(cell.edges):
                shares = [rng.random() for _ in cell.operations[row]]
                lines += [
                    f"{epoch},{name},{source},{target},{operation},0,{share / sum(shares)!r}"
                    for operation, share in zip(cell.operations[row], shares, strict=True)
                ]
    return "\n".join(lines).encode()


def _epoch(rng: random.Random, epoch: int, epochs: int, final: float) -> dict[str, float]:
    progress = 1 - math.exp(-4 * epoch / epochs)
    accuracy = final * progress + rng.gauss(0, 0.4)
    return {
        "epoch": epoch,
        "seconds": 60 + rng.random(),
        "train_loss": 2.3 * (1 - 0.8 * progress),
        "valid_loss": 2.3 * (1 - 0.75 * progress),
        "train_accuracy": accuracy + 4 * progress,
        "valid_accuracy": accuracy,
        "gap": 4 * progress,
        "genotype/skips": rng.randint(0, 8),
        "genotype/convolutions": rng.randint(4, 14),
        "genotype/pools": rng.randint(0, 4),
        "genotype/parameters": 2.5e6 + 1.5e6 * rng.random(),
        "genotype/multiply_adds": 4e8 + 2e8 * rng.random(),
        "skip_advantage": rng.gauss(0, 0.1),
    }
