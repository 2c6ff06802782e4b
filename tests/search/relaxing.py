"""Relaxations of a given kind, their α and samples, and a tiny supernet to put them in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation import Relaxation, make_relaxation
from tune_nas.seeds import derive_seed
from tune_nas.spaces import Space, Supernet, load_space

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def relaxation_of(
    kind: str, space: Space, choices: CandidateMask | None = None, **changes: Any
) -> Relaxation:
    return make_relaxation(RelaxationConfig(kind=kind, init_std=1.0, **changes), space, choices)


def alphas_of(relaxation: Relaxation, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = relaxation.initial_alphas(generator, torch.float64)
    return {name: alpha.requires_grad_() for name, alpha in found.items()}


def draws(relaxation: Relaxation, alphas: dict[str, Tensor], n: int) -> Tensor:
    """(n, edges, operations) of the normal cell."""
    normal = {"normal": alphas["normal"]}
    return torch.stack(
        [relaxation.weights(normal, seed=seed)["normal"].operations for seed in range(n)]
    )


def tiny(space: Space, implementation: Any = "plain") -> Supernet:
    torch.manual_seed(0)
    cells = 3 if space.skeleton.layout == "thirds" else 1
    net = Supernet(
        space,
        n_classes=3,
        in_channels=1,
        init_channels=2,
        cells=cells,
        implementation=implementation,
    )
    return net.double()


def generator_of(seed: int, name: str = "normal") -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, name))


def two_edges_of_three() -> tuple[Space, CandidateMask]:
    """NAS-Bench-201 with three operations on two edges, and the others decided: 9 cells."""
    space = load_space("nasbench201")
    choices = CandidateMask(space)
    kept = torch.ones(6, 5, dtype=torch.bool)
    kept[:2, 3:] = False
    choices.keep("normal", kept)
    for row in range(2, 6):
        choices.decide("normal", row, 1)
    return space, choices
