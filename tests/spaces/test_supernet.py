"""The supernet: against sums written out by hand, single paths, and its own promises."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tune_nas.layers.primitives import FactorizedReduce
from tune_nas.spaces import CellWeights, Space, Supernet, count_parameters, load_space
from tune_nas.spaces.mixed_cell import MixedCell
from tune_nas.spaces.skeletons import SKELETONS

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def replace(weights, **changes):
    fields = {"operations": weights.operations, "edges": weights.edges, "active": weights.active}
    return CellWeights(**{**fields, **changes})


def one_hot(space, seed):
    """Weights 1 for one random operation of each edge, NaN elsewhere, and that mask."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, cell in space.cells.items():
        scores = torch.rand(len(cell.edges), cell.n_operations, generator=generator)
        chosen = scores.masked_fill(~cell.mask(), -1).argmax(1)
        active = F.one_hot(chosen, cell.n_operations).bool()
        operations = torch.where(active, 1.0, torch.nan).double()
        weights[name] = CellWeights(operations, active=active)
    return weights


def test_cell_is_the_weighted_sum_written_out_by_hand():
    space = Space.from_dict(
        {
            "name": "by-hand",
            "cells": {
                "normal": {
                    "inputs": 1,
                    "nodes": 2,
                    "operations": ["nor_conv_1x1", "none", "skip_connect", "max_pool_3x3"],
                    "output": "last",
                }
            },
            "skeleton": {"layout": "stages", "cells": 1},
        }
    )
    norm = partial(nn.BatchNorm2d, affine=False, track_running_stats=False)
    cell = MixedCell(space.cells["normal"], 3, False, norm, norm_after_pools=True).double()
    x = torch.randn(5, 3, 6, 6, dtype=torch.float64)
    w = torch.rand(3, 4, dtype=torch.float64)  # rows: 0->1, 0->2, 1->2
    beta = torch.rand(3, dtype=torch.float64)

    def normalize(y):
        mean = y.mean((0, 2, 3), keepdim=True)
        variance = (y - mean).square().mean((0, 2, 3), keepdim=True)
        return (y - mean) / (variance + 1e-5).sqrt()

    def edge(row, y):
        kernel = cell.edges[row][0][1].weight
        convolution = normalize(torch.einsum("nihw,oi->nohw", y.clamp(min=0), kernel[:, :, 0, 0]))
        pool = normalize(F.max_pool2d(y, 3, 1, 1))
        return w[row, 0] * convolution + w[row, 2] * y + w[row, 3] * pool

    first = edge(0, x)
    torch.testing.assert_close(cell([x], CellWeights(w)), edge(1, x) + edge(2, first))
    first = beta[0] * edge(0, x)
    expected = beta[1] * edge(1, x) + beta[2] * edge(2, first)
    torch.testing.assert_close(cell([x], CellWeights(w, beta)), expected)


def test_gradient_of_the_weights_against_finite_differences(tiny_supernet, weigh):
    space = load_space("nasbench201")
    net = tiny_supernet(space)
    weights = weigh(space, edges=True)["normal"]

    def logits(operations, edges):
        return net(X[:2], {"normal": CellWeights(operations, edges)}).sum(0)

    inputs = (weights.operations.requires_grad_(), weights.edges.requires_grad_())
    assert torch.autograd.gradcheck(logits, inputs)


@pytest.mark.parametrize("size", [8, 7, 3])
def test_every_space_has_logits_and_gradients(space, tiny_supernet, weigh, size):
    net = tiny_supernet(space)
    weights = weigh(space)
    for cell in weights.values():
        cell.operations.requires_grad_()
    out = net(X[:, :, :size, :size], weights)
    assert out.shape == (4, 3) and out.dtype == torch.float64
    out.square().sum().backward()
    for name, cell in space.cells.items():
        gradient = weights[name].operations.grad
        assert gradient.isfinite().all()
        none = torch.tensor(
            [
                [*(operation == "none" for operation in row), *[True] * 9][: cell.n_operations]
                for row in cell.operations
            ]
        )
        assert not gradient[none].any(), "none, or a column of no operation, has a gradient"
    if size == 8:
        assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_one_hot_weights_equal_running_that_path_alone(space, tiny_supernet):
    if any("noise" in names for cell in space.cells.values() for names in cell.operations):
        pytest.skip("noise is drawn in the order of what runs")
    net = tiny_supernet(space).eval()
    for seed in range(3):
        weights = one_hot(space, seed)
        all_run = {
            name: CellWeights(cell.operations.nan_to_num(0.0)) for name, cell in weights.items()
        }
        torch.testing.assert_close(net(X, weights), net(X, all_run), rtol=1e-12, atol=1e-12)


def test_inactive_operations_are_not_run(tiny_supernet):
    space = load_space("darts")
    net = tiny_supernet(space)
    weights = one_hot(space, 0)
    ran = []
    for block in net.backbone.blocks:
        active = weights[block.cell].active
        for row, operations in enumerate(block.body.edges):
            for column, operation in enumerate(operations):
                record = partial(ran.append, (bool(active[row, column])))
                operation.register_forward_hook(lambda *_, record=record: record())
    net(X, weights).sum().backward()
    none = sum(
        bool(cell.active[row, 0]) for cell in weights.values() for row in range(14)
    )  # column 0 is `none`, which is never run
    assert none > 0 and all(ran)
    blocks = [block.cell for block in net.backbone.blocks]
    expected = sum(int(weights[cell].active[:, 1:].sum()) for cell in blocks)
    assert len(ran) == expected


def test_nothing_active_is_zero_not_an_error(space, tiny_supernet, weigh):
    net = tiny_supernet(space)
    weights = {
        name: replace(cell, active=torch.zeros_like(cell.operations, dtype=torch.bool))
        for name, cell in weigh(space).items()
    }
    out = net(X, weights)
    assert out.shape == (4, 3)
    if space.skeleton.layout == "thirds":  # the last cell is zero, so the classifier's bias is left
        assert torch.equal(out, net.backbone.classifier.bias.expand(4, 3))


def test_forward_is_pure(space, tiny_supernet, weigh):
    net = tiny_supernet(space).train()
    weights = weigh(space)
    x, copies = X.clone(), {name: cell.operations.clone() for name, cell in weights.items()}
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    random_state = torch.get_rng_state()
    first = net(x, weights)
    assert torch.equal(net(x, weights), first)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(x, X)
    for name, cell in weights.items():
        assert torch.equal(cell.operations.nan_to_num(), copies[name].nan_to_num())
    changed = {name for name, t in net.state_dict().items() if not torch.equal(t, state[name])}
    assert all("running_" in name or "num_batches" in name for name in changed)


def test_construction_is_seeded_by_the_global_generator(tiny_supernet, weigh):
    space = load_space("darts")
    first, second = tiny_supernet(space), tiny_supernet(space)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_darts_batch_norm_and_size_are_as_published():
    net = Supernet(load_space("darts"), n_classes=10)
    assert count_parameters(net) == 1_930_618  # what the authors' search prints
    cell = net.backbone.blocks[0].body
    norms = [m for m in cell.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(norm.affine for norm in norms)
    assert all(norm.track_running_stats for norm in norms)
    assert isinstance(cell.edges[0][1][1], nn.BatchNorm2d), "pools are followed by batch norm"
    assert net.backbone.stem[1].affine and net.backbone.stem[0].out_channels == 48


def test_darts_stack_is_as_published():
    cells = SKELETONS["thirds"].plan(16, 8)
    assert [index for index, cell in enumerate(cells) if cell.reduction] == [2, 5]
    assert [cell.channels for cell in cells] == [16, 16, 32, 32, 32, 64, 64, 64]
    net = Supernet(load_space("darts"), n_classes=10, init_channels=2)
    halves = [
        [isinstance(module, FactorizedReduce) for module in block.preprocess]
        for block in net.backbone.blocks
    ]
    assert [index for index, pair in enumerate(halves) if pair[0]] == [3, 6]
    assert not any(pair[1] for pair in halves)


def test_nasbench201_stack_and_batch_norm_are_as_published():
    cells = SKELETONS["stages"].plan(16, 5)
    assert [index for index, cell in enumerate(cells) if cell.cell is None] == [5, 11]
    assert [cells[index].channels for index in (4, 5, 11, 16)] == [16, 32, 64, 64]
    net = Supernet(load_space("nasbench201"), n_classes=10)
    cell = net.backbone.blocks[0].body
    norms = [m for m in cell.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.affine or norm.track_running_stats for norm in norms)
    assert isinstance(cell.edges[0][1], nn.Identity) and isinstance(cell.edges[0][4], nn.AvgPool2d)


def test_wrong_weights_are_told(tiny_supernet, weigh):
    space = load_space("darts")
    net = tiny_supernet(space)
    weights = weigh(space)
    normal = weights["normal"]
    for wrong, complaint in [
        ({"normal": normal}, "weights has no cell 'reduction'"),
        (
            {**weights, "normal": CellWeights(normal.operations[:, :7])},
            r"operations of cell 'normal' has the shape \(14, 7\), but must have \(14, 8\)",
        ),
        (
            {**weights, "normal": replace(normal, edges=torch.ones(13))},
            r"edges of cell 'normal' has the shape \(13,\), but must have \(14,\)",
        ),
        (
            {**weights, "normal": replace(normal, active=torch.ones(14, 8))},
            "active of cell 'normal' is torch.float32 on cpu, but must be torch.bool on the CPU",
        ),
    ]:
        with pytest.raises(ValueError, match=complaint):
            net(X, wrong)
    with pytest.raises(ValueError, match="cells is 0, but must be >= 1"):
        Supernet(space, n_classes=10, cells=0)
