"""Operations that gumbel did not sample: how they enter the sums, and the gradient of α."""

from __future__ import annotations

import pytest
import torch
from relaxing import X, alphas_of, generator_of, relaxation_of, tiny
from torch import Tensor

from tune_nas.spaces import CellWeights, load_space

# How operations that a pass did not sample enter the sums, and whether as numbers.
UNSAMPLED = [
    ("darts", "auto", False),
    ("darts", "as-numbers", True),
    ("nasbench201", "auto", True),
    ("nasbench201", "left-out", False),
]


@pytest.mark.parametrize(("space_name", "unsampled", "numbers"), UNSAMPLED)
def test_gumbel_runs_one_path_as_the_full_computation_would(
    space_name: str, unsampled: str, numbers: bool
) -> None:
    space = load_space(space_name)
    relaxation, net = relaxation_of("gumbel", space, unsampled=unsampled), tiny(space)
    relaxation.set_epoch(1, 2)
    for seed in range(3):
        weights = relaxation.weights(alphas_of(relaxation), seed=seed)
        full = {name: CellWeights(cell.operations) for name, cell in weights.items()}
        for cell in weights.values():
            assert cell.active is not None and (cell.active.sum(dim=1) == 1).all()
            assert torch.equal(cell.operations.detach(), cell.active.double())
            assert (cell.offsets is not None) == numbers
            assert cell.offsets is None or not cell.offsets.any()
        one, all_run = net(X, weights), net(X, full)
        assert torch.equal(one, all_run)
        parameters = list(net.parameters())
        found = torch.autograd.grad(one.square().sum(), parameters, allow_unused=True)
        truth = torch.autograd.grad(all_run.square().sum(), parameters)
        assert any(gradient is None for gradient in found)
        for gradient, true in zip(found, truth, strict=True):
            if gradient is None:
                assert not true.any()
            else:
                torch.testing.assert_close(gradient, true, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("implementation", ["plain", "torch", "fast"])
@pytest.mark.parametrize(("space_name", "unsampled", "numbers"), UNSAMPLED)
def test_gumbel_gives_alpha_the_gradient_of_gdas(
    space_name: str, unsampled: str, numbers: bool, implementation: str
) -> None:
    """dL/dα_j = Σ_k p_k (δ_kj − p_j) / τ · G_k, by hand, in float64.

    G_k is ⟨dL/dy, o_k(x)⟩ for the sampled operation, where y is the sum over the edge. For the
    others it is Σ dL/dy where they enter as a number, and 0 where they are left out: the edge is
    then the sampled operation times its weight, so that only this weight has a gradient.
    """
    space = load_space(space_name)
    relaxation = relaxation_of("gumbel", space, unsampled=unsampled)
    net, plain = tiny(space, implementation), tiny(space)
    relaxation.set_epoch(9, 10)
    tau = relaxation.metrics()["temperature"]
    alphas = alphas_of(relaxation)
    moved = torch.zeros(len(space.cells["normal"].edges))
    for seed in range(4):
        weights = relaxation.weights(alphas, seed=seed)
        loss = net(X, weights).square().sum()
        found = dict(zip(alphas, torch.autograd.grad(loss, list(alphas.values())), strict=True))

        ones, by_hand, sums = {}, {}, {}
        for name, cell in weights.items():
            assert cell.active is not None
            ones[name] = cell.active.double().requires_grad_()
            sums[name] = torch.zeros(len(cell.active), dtype=torch.float64, requires_grad=True)
            by_hand[name] = CellWeights(ones[name], active=cell.active, offsets=sums[name])
        again = plain(X, by_hand).square().sum()
        leaves = [*ones.values(), *sums.values()]
        gradients = torch.autograd.grad(again, leaves)
        for place, (name, cell) in enumerate(weights.items()):
            of_sampled, of_number = gradients[place], gradients[place + len(weights)]
            others = of_number[:, None] if numbers else torch.zeros(())
            reached = torch.where(cell.active, of_sampled, others)  # type: ignore[arg-type]
            # the noise of this draw, as the seed has it
            soft = relaxation.soft_choice(  # type: ignore[attr-defined]
                alphas[name], torch.ones_like(cell.active), generator_of(seed, name)
            ).detach()
            mean = (soft * reached).sum(dim=1, keepdim=True)
            truth = soft * (reached - mean) / tau
            scale = float(truth.abs().max())
            torch.testing.assert_close(found[name], truth, rtol=1e-9, atol=1e-12 * scale)
        moved += found["normal"].abs().sum(dim=1) > 0
        sampled_none = weights["normal"].active[:, 0]  # type: ignore[index]
        if not numbers:  # nothing of such an edge depends on α
            assert not found["normal"][sampled_none].any()
    assert (moved > 0).all()


def test_an_edge_that_drew_none_still_has_a_gradient() -> None:
    """Its number is in the node's sum: dL/dnumber = Σ dL/dy, also where nothing is run."""
    space = load_space("nasbench201")
    net = tiny(space)
    active = torch.zeros(6, 5, dtype=torch.bool)
    active[:, 3] = True  # nor_conv_3x3
    active[4] = torch.tensor([True, False, False, False, False])  # none

    def loss(numbers: Tensor) -> Tensor:
        weights = CellWeights(active.double(), active=active, offsets=numbers)
        return net(X, {"normal": weights}).square().sum()

    numbers = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (numbers,))
    (gradient,) = torch.autograd.grad(loss(numbers), [numbers])
    assert gradient[4].abs() > 0
