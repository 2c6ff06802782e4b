"""The penalty on expected multiply-adds: its costs and gradient by hand, its resume, its effect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from searching import assert_resumes_to_the_bit, assert_same_state, finished, tiny_trial
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search import relaxation_names
from tune_nas.search.expected_cost import expected_cost
from tune_nas.search.objective import Objective
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.supernet_size import SupernetSize
from tune_nas.spaces import Genotype, Supernet, load_space, model_size
from tune_nas.spaces.operation_costs import operation_multiply_adds

FLOPS = "relaxation.flops_weight"


def test_costs_of_nasbench201_by_hand() -> None:
    """A cell each with 2, 4 and 8 channels on 8, 4 and 2 pixels: C² · side² is 256 in each."""
    space = load_space("nasbench201")
    found = operation_multiply_adds(space, image_size=8, init_channels=2, cells=1)
    by_name = {"none": 0, "skip_connect": 0, "nor_conv_1x1": 3 * 256, "nor_conv_3x3": 27 * 256}
    by_name["avg_pool_3x3"] = 0
    (cell,), (costs,) = space.cells.values(), found.values()
    assert costs.tolist() == [[by_name[name] for name in names] for names in cell.operations]


@pytest.mark.parametrize("operation", ["sep_conv_3x3", "dil_conv_5x5", "skip_connect"])
def test_costs_are_the_difference_that_an_operation_makes(operation: str) -> None:
    """Also of edges of stride 2, in the cells of DARTS's skeleton, whose bridges do not count."""
    space = load_space("darts")
    costs = operation_multiply_adds(space, image_size=9, init_channels=4, cells=5)

    def multiply_adds(names: dict[str, str]) -> int:
        cells = {
            cell: {
                f"{source}->{target}": names[cell]
                for source, target in (
                    (0, 2),
                    (1, 2),
                    (0, 3),
                    (2, 3),
                    (0, 4),
                    (2, 4),
                    (1, 5),
                    (4, 5),
                )
            }
            for cell in ("normal", "reduction")
        }
        text = str({"space": "darts", "cells": cells})
        size = {"image_size": 9, "n_classes": 10, "init_channels": 4, "cells": 5}
        return model_size(Genotype.parse(text), space, **size).multiply_adds

    for cell in ("normal", "reduction"):
        pools = {"normal": "max_pool_3x3", "reduction": "max_pool_3x3"}
        own = space.cells[cell]
        kept = {(0, 2), (1, 2), (0, 3), (2, 3), (0, 4), (2, 4), (1, 5), (4, 5)}
        expected = sum(
            int(costs[cell][row, own.operations[row].index(operation)])
            for row, edge in enumerate(own.edges)
            if tuple(edge) in kept
        )
        assert multiply_adds({**pools, cell: operation}) - multiply_adds(pools) == expected
        assert (expected > 0) == (operation != "skip_connect" or cell == "reduction")


def test_a_part_of_the_channels_costs_its_square() -> None:
    space = load_space("nasbench201")
    whole = operation_multiply_adds(space, image_size=8, init_channels=8, cells=1)
    half = operation_multiply_adds(
        space, image_size=8, init_channels=8, cells=1, partial_channels=2
    )
    for name, costs in whole.items():
        assert torch.equal(half[name], costs / 4)


def problem(kind: str, weight: float = 0.7) -> tuple[Objective, dict[str, Tensor]]:
    """An objective in float64 with the penalty, and c / Σ max c by cell type."""
    space = load_space("darts")
    relaxation = make_relaxation(RelaxationConfig(kind=kind, init_std=0.5), space)
    generator = torch.Generator().manual_seed(1)
    alphas = {
        name: alpha.requires_grad_()
        for name, alpha in relaxation.initial_alphas(generator, torch.float64).items()
    }
    size = SupernetSize(init_channels=2, cells=3, partial_channels=1)
    cost = expected_cost(weight, space, size, 8, like=next(iter(alphas.values())))
    supernet = Supernet(space, n_classes=3, init_channels=2, cells=3).double()
    found = operation_multiply_adds(space, image_size=8, init_channels=2, cells=3)
    most = sum(float(row.max()) for costs in found.values() for row in costs)
    return Objective(supernet, relaxation, alphas, cost=cost), {
        name: costs / most for name, costs in found.items()
    }


@pytest.mark.parametrize("kind", ["softmax", "gumbel", "concrete", "categorical"])
def test_gradient_of_softmax_weights_by_hand(kind: str) -> None:
    """d/dα_k of Σ p c is p_k (c_k − Σ p c) on each edge."""
    objective, shares = problem(kind)
    for (name, alpha), found in zip(objective.alphas.items(), objective.penalty(), strict=True):
        assert found is not None
        p = torch.exp(alpha.detach())
        p = p / p.sum(dim=1, keepdim=True)
        mean = (p * shares[name]).sum(dim=1, keepdim=True)
        torch.testing.assert_close(found, 0.7 * p * (shares[name] - mean), rtol=1e-12, atol=1e-15)
        assert found.abs().max() > 1e-4


def test_gradient_of_sigmoid_weights_by_hand() -> None:
    objective, shares = problem("sigmoid")
    for (name, alpha), found in zip(objective.alphas.items(), objective.penalty(), strict=True):
        assert found is not None
        p = 1 / (1 + torch.exp(-alpha.detach()))
        torch.testing.assert_close(found, 0.7 * p * (1 - p) * shares[name], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "kind", [kind for kind in relaxation_names() if kind not in ("uniform-path", "controller")]
)
def test_it_is_one_if_every_edge_has_its_most_expensive_operation_alone(kind: str) -> None:
    objective, shares = problem(kind, weight=1.0)
    low, high = (0.0, 1.0) if kind in ("simplex", "proximal") else (-300.0, 300.0)
    with torch.no_grad():
        for name, alpha in objective.alphas.items():
            most = shares[name] == shares[name].amax(dim=1, keepdim=True)
            alpha.copy_(torch.where(most, high, low))
        assert objective.cost is not None
        found = float(objective.cost(objective.relaxation.weights(objective.alphas)))
    assert found == pytest.approx(1.0, abs=0.03)  # elu(−300) + 1 of dirichlet is 0, e.g.


def test_it_counts_only_above_a_bound() -> None:
    """Just above the quotient, term and gradient are 0; just below it, they are those without."""
    objective, _ = problem("categorical")
    assert objective.cost is not None
    share = float(objective.cost(objective.relaxation.weights(objective.alphas)).detach()) / 0.7
    assert 0.1 < share < 0.9
    truth = objective.penalty()
    for factor, counts in ((1.001, False), (0.999, True)):
        bounded = replace(objective, cost=replace(objective.cost, bound=factor * share))
        for found, true in zip(bounded.penalty(), truth, strict=True):
            assert found is not None and true is not None
            assert torch.equal(found, true if counts else torch.zeros_like(true))


def test_it_is_added_to_the_penalty_of_a_relaxation() -> None:
    objective, _ = problem("sigmoid")
    alone = objective.penalty()
    config = RelaxationConfig.model_validate({"kind": "sigmoid", "penalty": {"kind": "zero-one"}})
    relaxation = make_relaxation(config, load_space("darts"))
    both = Objective(objective.supernet, relaxation, objective.alphas, cost=objective.cost)
    other = Objective(objective.supernet, relaxation, objective.alphas)
    for one, two, total in zip(alone, other.penalty(), both.penalty(), strict=True):
        assert one is not None and two is not None
        torch.testing.assert_close(total, one + two)


def test_a_search_with_it_resumes_to_the_bit(tmp_path: Path) -> None:
    plain = finished(tiny_trial())
    with_it = assert_resumes_to_the_bit(tiny_trial(**{FLOPS: 0.5}), tmp_path)
    assert not torch.equal(plain.alphas["normal"], with_it.alphas["normal"])
    zero = finished(tiny_trial(**{FLOPS: 0.0}))
    assert_same_state(plain.state_dict(), zero.state_dict())


def test_the_genotype_gets_smaller_as_the_weight_grows() -> None:
    """On the digits: the parameters of the genotype's network, by weight."""
    found = []
    for weight in (0.0, 0.5, 3.0):
        trial = tiny_trial(
            **{
                "seed": 1,
                "data": {"name": "digits", "train_images": 256},
                "schedule": {"epochs": 4, "batch_size": 32},
                "optimizer.alphas.learning_rate": 0.05,
                FLOPS: weight,
            }
        )
        found.append(finished(trial).metrics["genotype/parameters"])
    assert found[0] > found[1] > found[2], "parameters"
