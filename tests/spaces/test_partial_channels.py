"""Partial channels (PC-DARTS): against a cell written out by hand, and as DARTS where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.selection import select_by_magnitude
from tune_nas.spaces import CellWeights, Space, Supernet, count_parameters, load_space
from tune_nas.spaces.mixed_cell import MixedCell

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Weigh = Callable[..., dict[str, CellWeights]]


@pytest.fixture
def two_nodes() -> Space:
    return Space.from_dict(
        {
            "name": "two-nodes",
            "cells": {
                name: {
                    "inputs": 2,
                    "nodes": 1,
                    "operations": ["skip_connect", "max_pool_3x3", "none"],
                    "output": "last",
                }
                for name in ("normal", "reduction")
            },
            "skeleton": {"layout": "thirds", "cells": 3},
        }
    )


@pytest.mark.parametrize("size", [6, 5])
@pytest.mark.parametrize("reduction", [False, True])
def test_a_cell_is_split_halved_joined_and_shuffled_as_by_hand(
    two_nodes: Space, reduction: bool, size: int
) -> None:
    torch.manual_seed(0)
    norm = partial(nn.BatchNorm2d, affine=False, track_running_stats=False)
    cell = MixedCell(two_nodes.cells["normal"], 6, reduction, norm, True, partial_channels=3)
    cell = cell.double()
    inputs = [torch.randn(3, 6, size, size, dtype=torch.float64) for _ in range(2)]
    w = torch.rand(2, 3, dtype=torch.float64)
    beta = torch.rand(2, dtype=torch.float64)

    def normalize(y: Tensor) -> Tensor:
        return nn.functional.batch_norm(y, None, None, training=True)

    def edge(row: int, x: Tensor) -> Tensor:
        """w · operations on the first 2 of 6 channels, and the other 4 as they are or halved."""
        part, rest = x[:, :2], x[:, 2:]
        skip, pool = cell.edges[row][0], cell.edges[row][1]  # type: ignore[index]
        assert (reduction and skip(part).shape[1] == 2) or skip(part) is part
        stride = 2 if reduction else 1
        pooled = normalize(nn.functional.max_pool2d(part, 3, stride, 1))
        torch.testing.assert_close(pool(part), pooled)
        if reduction:
            odd = size % 2
            padded = nn.functional.pad(rest, (0, odd, 0, odd), value=-torch.inf)
            corners = [padded[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
            rest = torch.stack(corners).max(dim=0).values
        mixed = w[row, 0] * skip(part) + w[row, 1] * pooled
        whole = torch.cat([mixed, rest], dim=1)
        # three groups of two channels: the first of each group, then the second of each
        return whole[:, [0, 2, 4, 1, 3, 5]]

    truth = edge(0, inputs[0]) + edge(1, inputs[1])
    torch.testing.assert_close(cell(inputs, CellWeights(w)), truth)
    truth = beta[0] * edge(0, inputs[0]) + beta[1] * edge(1, inputs[1])
    torch.testing.assert_close(cell(inputs, CellWeights(w, beta)), truth)
    # a pruned edge is not there, its channels around the operations neither
    active = torch.tensor([[True, True, True], [False, False, False]])
    truth = beta[0] * edge(0, inputs[0])
    torch.testing.assert_close(cell(inputs, CellWeights(w, beta, active)), truth)
    # an edge that has `none` alone is there: the channels around it come through
    active = torch.tensor([[True, True, True], [False, False, True]])
    nothing = CellWeights(torch.cat([w[:1], torch.zeros(1, 3).double()]))
    torch.testing.assert_close(
        cell(inputs, CellWeights(w, active=active)), cell(inputs, nothing), rtol=0, atol=1e-12
    )


def test_gradients_with_partial_channels_and_edge_weights(weigh: Weigh) -> None:
    space = load_space("nasbench201")
    torch.manual_seed(0)
    net = Supernet(space, n_classes=3, in_channels=1, init_channels=4, cells=1, partial_channels=2)
    net.double()
    weights = weigh(space, edges=True)["normal"]
    assert weights.edges is not None

    def logits(operations: Tensor, edges: Tensor) -> Tensor:
        found: Tensor = net(X[:2, :, :4, :4], {"normal": CellWeights(operations, edges)})
        return found.sum(0)

    inputs = (weights.operations.requires_grad_(), weights.edges.requires_grad_())
    assert torch.autograd.gradcheck(logits, inputs)


def test_one_part_and_equal_edges_are_darts(space: Space, weigh: Weigh) -> None:
    """K = 1 and β uniform is DARTS at operation weights divided by the node's number of edges.

    Each edge weight is then 1/m, exact in what is selected and, up to rounding, in every value;
    edge weights of 1, or none, change no bit.
    """
    nets = []
    for options in ({}, {"partial_channels": 1}):
        torch.manual_seed(0)
        cells = 3 if space.skeleton.layout == "thirds" else 1
        size = {"init_channels": 2, "cells": cells, **options}
        nets.append(Supernet(space, n_classes=3, in_channels=1, **size).double())
    darts, pc = nets
    weights = weigh(space)
    relaxation = make_relaxation(RelaxationConfig(edge_normalization=True, init="normal"), space)
    ones, uniform, divided = {}, {}, {}
    for name, cell in weights.items():
        betas = torch.full((len(space.cells[name].edges),), 0.3, dtype=torch.float64)
        edges = relaxation.weights({name: cell.operations}, {name: betas})[name].edges
        assert edges is not None
        for node in space.cells[name].nodes:
            rows = list(space.cells[name].incoming(node))
            torch.testing.assert_close(edges[rows], torch.full_like(edges[rows], 1 / len(rows)))
        ones[name] = replace(cell, edges=torch.ones_like(edges))
        uniform[name] = replace(cell, edges=edges)
        divided[name] = replace(cell, operations=cell.operations * edges[:, None])
    assert torch.equal(darts(X, weights), pc(X, weights))
    assert torch.equal(darts(X, weights), pc(X, ones))
    torch.testing.assert_close(darts(X, divided), pc(X, uniform), rtol=1e-9, atol=1e-11)
    found, truth = select_by_magnitude(space, uniform), select_by_magnitude(space, weights)
    assert found == truth


@pytest.mark.parametrize("form", ["torch", "fast"])
def test_gradients_stay_in_channels_last(form: str) -> None:
    space = load_space("darts")
    net = Supernet(
        space,
        n_classes=3,
        in_channels=1,
        init_channels=16,
        cells=4,
        partial_channels=4,
        implementation=form,  # type: ignore[arg-type]
    ).to(torch.float64, memory_format=torch.channels_last)
    layouts: list[bool] = []

    def note(gradient: Tensor) -> None:
        layouts.append(gradient.is_contiguous(memory_format=torch.channels_last))

    def watch(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        for bridged in arguments[0]:
            bridged.register_hook(note)

    for block in net.backbone.blocks[:-1]:  # pooling hands the last one an expanded gradient
        block.body.register_forward_pre_hook(watch)
    images = X.contiguous(memory_format=torch.channels_last)
    weights = {
        name: CellWeights(torch.ones(len(cell.edges), cell.n_operations).double())
        for name, cell in space.cells.items()
    }
    net(images, weights).sum().backward()
    assert len(layouts) == 2 * 3 and all(layouts)


def test_operations_have_a_kth_of_the_channels() -> None:
    space = load_space("darts")
    whole = Supernet(space, n_classes=10, init_channels=16, cells=8)
    part = Supernet(space, n_classes=10, init_channels=16, cells=8, partial_channels=4)
    convolutions = [
        [
            module
            for module in net.backbone.blocks[0].body.modules()
            if isinstance(module, nn.Conv2d)
        ]
        for net in (whole, part)
    ]
    assert {module.in_channels for module in convolutions[0]} == {16}
    assert {module.in_channels for module in convolutions[1]} == {4}
    assert count_parameters(part) < count_parameters(whole) / 3


def test_channels_that_cannot_be_divided_are_told() -> None:
    space = load_space("darts")
    with pytest.raises(ConfigError, match="init_channels is 6, but must be a multiple of partial"):
        Supernet(space, n_classes=10, init_channels=6, partial_channels=4)
    with pytest.raises(ValueError, match="partial_channels is 0, but must be >= 1"):
        Supernet(space, n_classes=10, partial_channels=0)
