"""How often DrNAS's genotype depends on whether softmax(α) or the mean weight ranks the edges.

Random α ~ N(0, std) in the space of DARTS without `none`. On one edge both orders are the same,
since both grow with α; among the edges into a node they need not be.

    python benchmarks/edge_ranking.py
"""

from __future__ import annotations

import argparse

import torch
from rich.console import Console
from rich.table import Table

from tune_nas.config import RelaxationConfig
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.selection import select_by_magnitude
from tune_nas.spaces import load_space

SPREADS = (0.001, 0.01, 0.1, 0.3, 1.0, 2.0)


def differing(std: float, genotypes: int, seed: int) -> int:
    """Return how many of a number of random genotypes differ between the two rankings."""
    space = load_space("darts-no-none")
    relaxations = [
        make_relaxation(RelaxationConfig(kind=kind, init="normal", init_std=std), space)
        for kind in ("dirichlet", "softmax")
    ]
    generator = torch.Generator().manual_seed(seed)
    found = 0
    for _ in range(genotypes):
        alphas = relaxations[0].initial_alphas(generator, torch.float64)
        by_mean, by_softmax = (
            select_by_magnitude(space, relaxation.weights(alphas)) for relaxation in relaxations
        )
        found += by_mean != by_softmax
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genotypes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    table = Table("std of α", f"other genotypes, of {arguments.genotypes}")
    for std in SPREADS:
        count = differing(std, arguments.genotypes, arguments.seed)
        table.add_row(f"{std:g}", str(count))
    Console().print(table)


if __name__ == "__main__":
    main()
