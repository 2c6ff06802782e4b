"""The relaxation `proximal` by hand: what is chosen, its gradient, and the box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from relaxing import X, alphas_of, relaxation_of, tiny
from searching import assert_resumes_to_the_bit, small_trial
from torch import Tensor
from torch.nn.functional import cross_entropy

from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.search import CandidateMask, Search
from tune_nas.search.objective import Objective
from tune_nas.search.relaxation.relaxation import AlphaStep
from tune_nas.spaces import CellWeights, Space, load_space

# The edges 0->2, 1->2 and 0->3, 1->3, 2->3 of the small space; the first operation is `none`.
ALPHA = torch.tensor(
    [
        [0.9, 0.1, 0.2, 0.7, 0.3],  # `none` is never chosen: the fourth
        [0.0, 0.0, 0.0, 0.0, 0.0],  # a tie: the first that may be chosen
        [0.1, 0.2, 0.6, 0.2, 0.1],  # of the three into node 3, the weakest
        [0.1, 0.9, 0.2, 0.2, 0.1],
        [0.1, 0.2, 0.3, 0.2, 0.7],
    ],
    dtype=torch.float64,
)
CHOSEN = [[0, 3], [1, 1], [3, 1], [4, 4]]


def small(tmp_path: Path, **changes: Any) -> Search:
    search = Search(
        small_trial(
            tmp_path, **{"relaxation.kind": "proximal", "runtime.dtype": "float64", **changes}
        )
    )
    with torch.no_grad():
        for alpha in search.alphas.values():
            alpha.copy_(ALPHA)
    return search


def places(operations: Tensor) -> list[list[int]]:
    found: list[list[int]] = operations.detach().nonzero().tolist()
    return found


def test_alpha_starts_at_one_half() -> None:
    relaxation = Search(load_trial("nasp", {"space.init_channels": 2, "space.cells": 3})).relaxation
    alphas = relaxation.initial_alphas(torch.Generator().manual_seed(0), torch.float64)
    for alpha in alphas.values():
        assert torch.equal(alpha, torch.full((14, 7), 0.5, dtype=torch.float64))


def test_each_pass_has_the_strongest_operation_and_as_many_edges_as_a_genotype(
    tmp_path: Path,
) -> None:
    search = small(tmp_path)
    of_alpha = search.relaxation.weights(search.alphas, seed=0)["normal"]
    of_w = search.relaxation.for_weights().weights(search.alphas, seed=1)["normal"]
    for weights in (of_alpha, of_w):
        assert places(weights.operations) == CHOSEN
        assert set(weights.operations.unique().tolist()) == {0.0, 1.0}
    assert of_alpha.active is None  # all run, for the gradient of each
    assert of_w.active is not None and places(of_w.active) == CHOSEN
    assert not of_w.operations.requires_grad
    genotype = search.genotype.cells["normal"]  # by the continuous α: the same
    cell = search.space.cells["normal"]
    assert [
        [cell.edges.index((e.source, e.target)), cell.operations[0].index(e.operation)]  # type: ignore[arg-type]
        for e in genotype.edges
    ] == CHOSEN


def test_none_is_chosen_only_if_its_alpha_is_the_largest() -> None:
    space = load_space("nasbench201")
    relaxation = relaxation_of("proximal", space, init="half")
    alpha = torch.full((6, 5), 0.5, dtype=torch.float64)
    alpha[2, 0] = 0.6
    alpha[3, 0] = alpha[3, 4] = 0.6
    weights = relaxation.weights({"normal": alpha}, seed=0)["normal"].operations
    assert places(weights) == [[0, 1], [1, 1], [2, 0], [3, 4], [4, 1], [5, 1]]


def test_decided_edges_come_first_and_pruned_or_removed_ones_never(tmp_path: Path) -> None:
    search = small(tmp_path)
    search.choices.decide("normal", 2, 3)
    search.choices.prune("normal", 3)
    keep = torch.ones(5, 5, dtype=torch.bool)
    keep[0, 3] = False
    search.choices.keep("normal", keep)
    for relaxation in (search.relaxation, search.relaxation.for_weights()):
        weights = relaxation.weights(search.alphas, seed=0)["normal"]
        assert places(weights.operations) == [[0, 4], [1, 1], [2, 3], [4, 4]]
        if weights.active is not None and relaxation is not search.relaxation:
            assert places(weights.active) == [[0, 4], [1, 1], [2, 3], [4, 4]]


def test_the_gradient_is_that_of_all_operations_at_the_discretized_weights() -> None:
    space = load_space("darts-no-none")
    supernet = tiny(space)
    relaxation = relaxation_of("proximal", space, init="half")
    alphas = alphas_of(relaxation)
    labels = torch.tensor([0, 1, 2, 0])
    objective = Objective(supernet, relaxation, alphas)
    found = objective.differentiate(objective.seeded((X, labels)), weights=False, alphas=True)
    # by hand: the weights are leaves, of 0 and 1
    leaves = {name: _by_hand(space, name, alpha.detach()) for name, alpha in alphas.items()}
    mixing = {name: CellWeights(leaf.requires_grad_()) for name, leaf in leaves.items()}
    truth = torch.autograd.grad(cross_entropy(supernet(X, mixing), labels), list(leaves.values()))
    for gradient, wanted in zip(found.alphas, truth, strict=True):
        assert gradient is not None and (wanted != 0).double().mean() > 0.9
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)


def _by_hand(space: Space, name: str, alpha: Tensor) -> Tensor:
    """Return 1 at the largest α of the two edges of each node with the largest ones."""
    weights = torch.zeros_like(alpha)
    for node in space.cells[name].nodes:
        rows = list(space.cells[name].incoming(node))
        for row in sorted(rows, key=lambda row: -float(alpha[row].max()))[:2]:
            weights[row, int(alpha[row].argmax())] = 1.0
    return weights


def test_w_has_the_gradient_of_the_chosen_operations_alone(tmp_path: Path) -> None:
    search = small(tmp_path)
    objective = search.objective
    images, labels = search.data.train.images[:8].double(), search.data.train.labels[:8]
    batch = objective.seeded((images, labels))
    of_w = objective.differentiate(batch, weights=True, alphas=False)
    # the same weights by the pass of α, in which those that were not chosen have the weight 0
    everything = objective.differentiate(
        batch, weights=True, alphas=True, mixing=objective.mixing(batch)
    )
    torch.testing.assert_close(of_w.loss, everything.loss, rtol=1e-12, atol=0)
    absent = 0
    for gradient, wanted in zip(of_w.weights, everything.weights, strict=True):
        assert wanted is not None
        if gradient is None:
            absent += 1
            assert not wanted.any()
        else:
            torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)
    assert absent > 0


def test_alpha_is_clipped_to_the_box_after_its_step(tmp_path: Path) -> None:
    search = small(tmp_path)
    before = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
    after = {name: (3.0 * (alpha - 0.4)).clone() for name, alpha in before.items()}
    search.relaxation.adjust_alphas(
        AlphaStep(before, after, {}, [0], search.objective.draws.generator)
    )
    wanted = [min(max(3.0 * (value - 0.4), 0.0), 1.0) for value in ALPHA[0].tolist()]
    assert after["normal"][0].tolist() == pytest.approx(wanted)
    assert wanted == pytest.approx([1.0, 0.0, 0.0, 0.9, 0.0])

    rate = small(tmp_path, **{"optimizer.alphas.learning_rate": 5.0})
    rate.run_epoch()  # Adam's first step has the size of the rate, or 0 without a gradient
    for alpha in rate.alphas.values():
        assert set(alpha.detach().unique().tolist()) <= {0.0, 1.0}
        assert {0.0, 1.0} <= set(alpha.detach().unique().tolist())


def test_an_edge_whose_alphas_are_all_zero_breaks_nothing(tmp_path: Path) -> None:
    greedy = {"schedule.epochs": 4, "schedule.greedy": {"warmup": 0, "every": 1, "criterion": 2}}
    search = small(tmp_path, **greedy)
    with torch.no_grad():
        for alpha in search.alphas.values():
            alpha.zero_()
            alpha[0, 0] = 1.0  # only `none`
    while not search.done:
        metrics = search.run_epoch()
        assert all(value == value for value in metrics.values())
    search.genotype.check(search.space)


def test_a_killed_search_ends_as_another(tmp_path: Path) -> None:
    trial = small_trial(tmp_path, **{"relaxation.kind": "proximal"})
    search = assert_resumes_to_the_bit(trial, tmp_path)
    assert isinstance(search.choices, CandidateMask)
    for alpha in search.alphas.values():
        assert float(alpha.detach().min()) >= 0 and float(alpha.detach().max()) <= 1


def test_smoothing_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load_trial("nasp", {"relaxation.smoothing.kind": "random"})
    assert str(caught.value) == (
        "trial 'nasp': relaxation.smoothing.kind is 'random', but relaxation.kind 'proximal' runs "
        "one operation per edge: it has no weights to smooth"
    )
