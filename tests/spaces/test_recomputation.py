"""Cells that are recomputed in the backward pass, compared bit for bit with cells that are not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from test_fast import CASES, every_space, leaves, mixing, small_supernet, squared_gradient
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from tune_nas.spaces import MixingWeights, Space, Supernet, load_space
from tune_nas.spaces.backbone import plan_blocks
from tune_nas.spaces.recomputation import recomputed_blocks

IMAGES = torch.randn(4, 2, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
FORMS = ("plain", "torch", "fast")
SPACES = ("darts", "s4", "nasbench201-learning")  # tracked statistics, noise, learned scales


def pair(space: Space, form: str, partial_channels: int = 1, cells: int = 3) -> list[Supernet]:
    """Two supernets with the same weights; the second recomputes."""
    nets = [
        small_supernet(space, form, partial_channels, cells, recompute=recompute)
        for recompute in (False, True)
    ]
    nets[1].load_state_dict(nets[0].state_dict())
    return nets


def gradients(net: Supernet, weights: MixingWeights) -> Sequence[Tensor | None]:
    images = IMAGES.clone().requires_grad_()
    logits = net(images, weights)
    wanted = [images, *net.parameters(), *leaves(weights)]
    return [logits.detach(), *torch.autograd.grad(logits.sin().sum(), wanted, allow_unused=True)]


def assert_equal(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> None:
    for a, b in zip(one, other, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)  # type: ignore[arg-type]


@pytest.mark.parametrize(("case", "partial_channels"), [("plain", 1), ("beta", 2), ("masked", 1)])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SPACES)
def test_gradients_and_statistics_are_the_same_bit_for_bit(
    name: str, form: str, case: str, partial_channels: int
) -> None:
    space = next(space for space in every_space() if space.name == name)
    nets = pair(space, form, partial_channels)
    assert nets[1].recomputes and not nets[0].recomputes
    weights = mixing(space, **CASES[case])
    for net in nets:
        net.train()
        net.skip_dropout, net.drop_path = 0.3, 0.4
        net.seed_draws(5)
    for _ in range(2):
        assert_equal(gradients(nets[0], weights), gradients(nets[1], weights))
    states = [net.state_dict() for net in nets]
    assert states[0].keys() == states[1].keys()
    assert_equal(list(states[0].values()), list(states[1].values()))
    counts = [value for key, value in states[1].items() if key.endswith("num_batches_tracked")]
    assert not counts or max(map(int, counts)) == 2, "statistics were updated twice in a pass"


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_are_right(form: str) -> None:
    space = load_space("darts")
    weights = mixing(space, **CASES["beta"])
    found = []
    for net in pair(space, form):
        total, parameters = squared_gradient(net, IMAGES, weights)
        found.append(torch.autograd.grad(total, [*leaves(weights), *parameters]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12 * float(one.abs().max()))


@pytest.mark.parametrize("form", FORMS)
def test_replaced_weights_are_those_of_the_recomputation(form: str) -> None:
    """They are replaced in the forward pass alone, and functions of others."""
    space = load_space("darts")
    weights = mixing(space, **CASES["plain"])
    found = []
    for net in pair(space, form):
        own = dict(net.named_parameters())
        logits = functional_call(
            net, {name: 1.5 * value for name, value in own.items()}, (IMAGES, weights)
        )
        found.append(torch.autograd.grad(logits.sin().sum(), [*own.values(), *leaves(weights)]))
    assert_equal(*found)
    scaled, _ = pair(space, form)
    assert any(float(gradient.abs().max()) > 0 for gradient in found[1])
    assert not torch.equal(found[1][-1], gradients(scaled, weights)[-1])  # type: ignore[arg-type]


class Drawing(nn.Module):
    """An operation that draws from torch's global generator and counts its passes in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros((), dtype=torch.float64))
        self.passes: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return float(self.passes) * torch.nn.functional.dropout(x * x, 0.5)


def test_custom_operations_draw_the_same_and_change_their_buffers_once() -> None:
    found, states = [], []
    space = load_space("nasbench201")
    weights = mixing(space, **CASES["plain"])
    for net in pair(space, "plain"):
        edge = net.get_submodule("backbone.blocks.0.body.edges.0")
        edge.add_module("1", Drawing())  # in place of an operation
        torch.manual_seed(3)
        found.append([gradients(net, weights) for _ in range(2)])
        states.append((torch.get_rng_state(), net.state_dict()))
    for one, other in zip(*found, strict=True):
        assert_equal(one, other)
    assert torch.equal(states[0][0], states[1][0])
    assert_equal(list(states[0][1].values()), list(states[1][1].values()))
    assert int(states[1][1]["backbone.blocks.0.body.edges.0.1.passes"]) == 2


def test_evaluation_and_passes_without_gradients_are_not_recomputed() -> None:
    nets = pair(load_space("darts"), "fast")
    weights = mixing(nets[0].space, **CASES["plain"])
    with torch.no_grad():
        assert torch.equal(*(net.train()(IMAGES, weights) for net in nets))
    for net in nets:
        net.eval()
    assert_equal(gradients(nets[0], weights), gradients(nets[1], weights))


def test_a_backward_pass_in_another_mode_is_rejected() -> None:
    _, net = pair(load_space("darts"), "fast")
    logits = net.train()(IMAGES, mixing(net.space, **CASES["plain"]))
    net.eval()
    with pytest.raises(RuntimeError, match="must be in training mode"):
        torch.autograd.grad(logits.sum(), list(net.parameters()), allow_unused=True)


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("darts", 8, "RRRRR..."),  # 1/4 + 1/4 + 1/4 fit into 1, and 1/2 more do not
        ("darts", 3, "R.."),
        ("darts", 2, "R."),
        ("nasbench201", 1, "R...."),  # with the two residual blocks, which are none
        ("nasbench201", 3, "RRR.RRR...."),
    ],
)
def test_the_last_cells_are_kept_if_they_fit(name: str, cells: int, expected: str) -> None:
    found = recomputed_blocks(plan_blocks(load_space(name), 16, cells))
    assert "".join("R" if again else "." for again in found) == expected


def kept_mb(net: Supernet, images: Tensor, weights: MixingWeights) -> float:
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        net(images, weights)
    return sum(kept.values()) / 1e6


@pytest.mark.parametrize("form", FORMS)
def test_a_pass_keeps_little(form: str) -> None:
    """As in benchmarks/steps.py, at a smaller size; with 16 channels the share is the same."""
    space = load_space("darts")
    weights = mixing(space, **CASES["plain"])
    images = torch.randn(2, 2, 16, 16, dtype=torch.float64)
    kept, recomputed = (kept_mb(net.train(), images, weights) for net in pair(space, form, cells=8))
    assert recomputed <= 0.35 * kept
