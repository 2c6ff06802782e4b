"""Tests that every relaxation must pass: edge weights, gradients, reproducible samples."""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.search import Search
from tune_nas.search.relaxation import AlphaStep
from tune_nas.seeds import new_generator
from tune_nas.spaces import CellWeights
from tune_nas.testing.search_contract import PartContract


class RelaxationContract(PartContract):
    """The tests of a relaxation.

    Attributes:
        kind: ``relaxation.kind``: a shipped name, or ``module:Class``.
        options: ``relaxation.options``, for a custom class.
    """

    section = "relaxation"

    def test_operations_that_an_edge_does_not_have_weigh_nothing(self) -> None:
        """The weights (edges, operations) are finite, and 0 outside of the mask."""
        search = Search(self.make_trial())
        for alphas in _random_alphas(search).values():
            mask = _some_mask(alphas)
            weights = search.relaxation.relax(alphas, mask)
            assert weights.shape == alphas.shape
            assert bool(weights.isfinite().all())
            assert bool((weights[~mask] == 0).all()), "an absent operation has a weight"
            if search.relaxation.competes:
                sums = weights.sum(dim=1)[mask.any(dim=1)]
                torch.testing.assert_close(sums, torch.ones_like(sums), msg="sums are not 1")

    def test_the_gradient_is_that_of_the_weights(self) -> None:
        """Automatic differentiation agrees with finite differences in float64."""
        search = Search(self.make_trial())
        for alphas in _random_alphas(search).values():
            mask = _some_mask(alphas)
            inputs = alphas.double().requires_grad_()
            weights = search.relaxation.relax(inputs, mask)
            if weights.requires_grad and not search.relaxation.straight_through:
                assert torch.autograd.gradcheck(
                    lambda a, m=mask: search.relaxation.relax(a, m), (inputs,)
                )

    def test_a_seed_decides_what_a_pass_samples(self) -> None:
        """Samples depend on the seed alone, and torch's global generator is left unchanged."""
        search = Search(self.make_trial())
        alphas = _random_alphas(search)
        before = torch.get_rng_state()
        first = search.relaxation.weights(alphas, search.betas, seed=0)
        torch.manual_seed(1)
        second = search.relaxation.weights(alphas, search.betas, seed=0)
        torch.set_rng_state(before)
        others = [search.relaxation.weights(alphas, search.betas, seed=n) for n in range(1, 9)]
        assert torch.equal(torch.get_rng_state(), before), "it draws from torch's own generator"
        for name, cell in first.items():
            assert torch.equal(cell.operations, second[name].operations)
            _check_active(cell)
            same = [torch.equal(cell.operations, other[name].operations) for other in others]
            assert all(same) or search.relaxation.is_drawn, "it samples, but is_drawn is False"

    def test_decided_edges_weigh_one_and_pruned_edges_nothing(self) -> None:
        """The weights of an edge that is decided or pruned do not depend on α."""
        search = Search(self.make_trial())
        cell = next(iter(search.space.cells))
        search.choices.decide(cell, 0, 2)
        search.choices.prune(cell, 1)
        for seed in (None, 0, 1):
            weights = search.relaxation.weights(_random_alphas(search), search.betas, seed=seed)
            decided, pruned = weights[cell].operations[:2]
            expected = torch.zeros_like(decided)
            expected[2] = 1
            assert torch.equal(decided.detach(), expected)
            assert not bool(pruned.any())

    def test_adjustments_leave_decided_and_pruned_edges(self) -> None:
        """`adjust_alphas` changes no bit of the α of an edge that is decided or pruned."""
        search = Search(self.make_trial())
        if not search.relaxation.adjusts_alphas:
            return
        before = _random_alphas(search)
        cell = next(iter(search.space.cells))
        search.choices.decide(cell, 0, 2)
        search.choices.prune(cell, 1)
        after = {name: alphas.clone() for name, alphas in before.items()}
        for alphas in after.values():
            alphas[2:] += 0.5  # an optimizer's step, after which closed edges are restored
        with torch.no_grad():
            search.relaxation.adjust_alphas(AlphaStep(before, after, {}, [0], new_generator))
        assert torch.equal(after[cell][:2], before[cell][:2]), "α of a closed edge changed"

    def test_the_first_alphas_follow_from_the_seed(self) -> None:
        """α₀ is the same for the same generator, and 0 where an edge lacks an operation."""
        relaxation = Search(self.make_trial()).relaxation
        first, second = (
            relaxation.initial_alphas(torch.Generator().manual_seed(5), torch.float32)
            for _ in range(2)
        )
        for name, cell in relaxation.cells.items():
            assert torch.equal(first[name], second[name])
            assert not bool(first[name][~cell.mask()].any())


def _random_alphas(search: Search) -> dict[str, Tensor]:
    """Return α that differ between all operations and edges."""
    generator = torch.Generator().manual_seed(3)
    drawn = {
        name: torch.randn(alphas.shape, generator=generator)
        for name, alphas in search.alphas.items()
    }
    if search.relaxation.adjusts_alphas:  # a step leaves only such α
        step = AlphaStep(search.alphas, drawn, {}, [0], new_generator)
        with torch.no_grad():
            search.relaxation.adjust_alphas(step)
    return drawn


def _some_mask(alphas: Tensor) -> Tensor:
    """Return a mask with whole, partial and empty rows."""
    mask = torch.ones_like(alphas, dtype=torch.bool)
    mask[0, 0] = False
    mask[1, 1:] = False
    mask[2] = False
    return mask


def _check_active(cell: CellWeights) -> None:
    """Check the mask of the operations that a pass runs: (edges, operations), bool, on the CPU."""
    if cell.active is None:
        return
    assert cell.active.shape == cell.operations.shape
    assert (cell.active.dtype, cell.active.device.type) == (torch.bool, "cpu")
    outside = cell.operations.detach().cpu()[~cell.active]
    assert not bool(outside.any()), "an operation that is not run has a weight"
