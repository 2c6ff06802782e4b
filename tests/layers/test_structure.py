"""What operations say that they are built of, and what is read of a user's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tune_nas.layers.primitives import FactorizedReduce, after_relu
from tune_nas.layers.structure import (
    Convolutions,
    ConvolutionStages,
    NormedOperation,
    Pooling,
    Stage,
    structure_of,
)
from tune_nas.spaces import build_operation, operation_names

CONVOLUTIONS = {
    "sep_conv_3x3": [True, True],
    "sep_conv_5x5": [True, True],
    "dil_conv_3x3": [True],
    "dil_conv_5x5": [True],
    "nor_conv_1x1": [False],
    "nor_conv_3x3": [False],
}
OPAQUE = ("none", "noise", "skip_connect")
POOLS = ("avg_pool_3x3", "max_pool_3x3")


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels)


def flat(operation: nn.Module) -> nn.Sequential:
    """The same layers in the container that users write."""
    return nn.Sequential(*operation.children())


def same(one: Convolutions, other: Convolutions) -> bool:
    def parts(stages: tuple[Stage, ...]) -> list[tuple[object, ...]]:
        return [(stage.depthwise, stage.dense, stage.norm) for stage in stages]

    return (
        one.body == other.body
        and one.norm is other.norm
        and parts(one.stages) == parts(other.stages)
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_every_shipped_operation_says_what_it_is(stride: int) -> None:
    shipped = [name for name in operation_names() if ":" not in name]
    known = {*CONVOLUTIONS, *OPAQUE, *POOLS}
    assert known <= set(shipped)
    for name in known:
        structure = structure_of(build_operation(name, 4, stride, norm))
        if name in CONVOLUTIONS:
            assert isinstance(structure, Convolutions)
            assert [s.depthwise is not None for s in structure.stages] == CONVOLUTIONS[name]
        elif name in POOLS:
            assert isinstance(structure, Pooling)
            assert structure.norm is None
        else:
            assert structure is None


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_layers_of_a_users_own_are_read_as_the_same(name: str, stride: int) -> None:
    operation = build_operation(name, 4, stride, norm)
    said, read = structure_of(operation), structure_of(flat(operation))
    assert isinstance(said, Convolutions) and isinstance(read, Convolutions)
    assert same(said, read)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_parts_compute_what_the_whole_does(name: str) -> None:
    torch.manual_seed(0)
    operation = build_operation(name, 4, 2, norm).eval()
    x = torch.randn(2, 4, 5, 5)
    structure = structure_of(operation)
    assert isinstance(structure, Convolutions)
    truth = operation(x)
    assert torch.equal(truth, structure.norm(structure.before_norm(x.relu())))
    assert torch.equal(truth, after_relu(operation, x.relu()))


def test_a_normed_pool_says_both() -> None:
    pool, after = nn.MaxPool2d(3, 1, 1), norm(4)
    for operation in (NormedOperation(pool, after), nn.Sequential(pool, after)):
        assert structure_of(operation) == Pooling(pool, after)


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def convolution() -> nn.Conv2d:
    return nn.Conv2d(4, 4, 1, bias=False)


@pytest.mark.parametrize(
    "operation",
    [
        nn.Identity(),
        nn.Sequential(),
        nn.Sequential(nn.ReLU()),
        nn.Sequential(nn.ReLU(), convolution()),
        nn.Sequential(convolution(), norm(4), nn.ReLU()),
        nn.Sequential(nn.ReLU(), convolution(), nn.GroupNorm(1, 4)),
        nn.Sequential(nn.ReLU(), convolution(), nn.BatchNorm2d(4, momentum=None)),
        nn.Sequential(Doubling(), norm(4)),
        NormedOperation(Doubling(), norm(4)),
        NormedOperation(nn.MaxPool2d(3, 1, 1), nn.GroupNorm(1, 4)),
        ConvolutionStages(Stage(None, convolution(), nn.GroupNorm(1, 4))),  # type: ignore[arg-type]
        FactorizedReduce(4, 4, norm),
    ],
)
def test_what_is_built_of_anything_else_is_opaque(operation: nn.Module) -> None:
    assert structure_of(operation) is None


@pytest.mark.parametrize(
    "layers",
    [
        [nn.ReLU(), Doubling(), norm(4)],
        [nn.ReLU(), convolution(), convolution(), convolution(), norm(4)],
        [nn.ReLU(), norm(4), norm(4)],
        [nn.ReLU(), convolution(), norm(4), convolution(), norm(4)],
    ],
)
def test_other_layers_before_a_normalization_are_no_stages(layers: list[nn.Module]) -> None:
    structure = structure_of(nn.Sequential(*layers))
    assert isinstance(structure, Convolutions)
    assert structure.stages == ()
    assert structure.body == tuple(layers[1:-1])


def test_a_copy_and_a_replaced_layer_are_read_as_they_are() -> None:
    operation = build_operation("sep_conv_3x3", 4, 1, norm)
    assert isinstance(operation, ConvolutionStages)
    replaced = copy.deepcopy(operation)
    replaced[3] = norm(4)
    for each in (operation, replaced):
        structure = structure_of(each)
        assert isinstance(structure, Convolutions)
        modules = set(each.modules())
        assert {layer for s in structure.stages for layer in s.layers()} <= modules
    assert list(operation.state_dict()) == list(flat(operation).state_dict())
