"""What draws in a network: noise and dropout on skips, from the seed of a pass alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tune_nas.layers.primitives import run_operation
from tune_nas.spaces import (
    CellGenotype,
    CellWeights,
    Genotype,
    Space,
    Supernet,
    build_network,
    build_operation,
)

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def noisy(*operations: str) -> Space:
    cell = {"inputs": 2, "nodes": 2, "operations": list(operations), "inputs_per_node": 2}
    return Space.from_dict(
        {
            "name": "noisy",
            "cells": {name: {**cell, "output": "concat"} for name in ("normal", "reduction")},
            "skeleton": {"layout": "thirds", "init_channels": 4, "cells": 3},
        }
    )


def supernet(space: Space) -> tuple[Supernet, dict[str, CellWeights]]:
    torch.manual_seed(0)
    net = Supernet(space, n_classes=3, in_channels=1).double()
    weights = {
        name: CellWeights(torch.full((5, cell.n_operations), 0.5, dtype=torch.float64))
        for name, cell in space.cells.items()
    }
    return net, weights


@pytest.mark.parametrize("stride", [1, 2])
def test_noise_is_standard_normal_whatever_comes_in(stride: int) -> None:
    noise = build_operation("noise", 8, stride, nn.BatchNorm2d)
    assert not list(noise.parameters())
    x = torch.full((16, 8, 15, 15), 7.0, dtype=torch.float64, requires_grad=True)
    draws = torch.Generator().manual_seed(0)
    out = run_operation(noise, x, draws)
    side = -(-15 // stride)
    assert out.shape == (16, 8, side, side) and out.dtype == x.dtype and not out.requires_grad
    n = out.numel()
    assert out.mean().abs() < 4.5 / n**0.5
    assert abs(out.var() - 1) < 4.5 * (2 / n) ** 0.5
    assert abs(out.pow(4).mean() - 3) < 4.5 * (96 / n) ** 0.5
    again = run_operation(noise, torch.zeros_like(x), torch.Generator().manual_seed(0))
    assert torch.equal(again, out) and not torch.equal(run_operation(noise, x, draws), out)


@pytest.mark.parametrize("drawing", ["noise", "dropout"])
def test_a_supernet_draws_from_its_seed_alone(drawing: str) -> None:
    operations = ["noise", "sep_conv_3x3"] if drawing == "noise" else ["skip_connect", "none"]
    net, weights = supernet(noisy(*operations))
    net.skip_dropout = 0.5 if drawing == "dropout" else 0.0
    random_state = torch.get_rng_state()
    found = []
    for seed in (1, 1, 2):
        net.seed_draws(seed)
        found.append(net(X, weights))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert torch.equal(net(X, weights), found[2]), "a pass is no function of its seed"
    assert torch.equal(torch.get_rng_state(), random_state)


def test_dropout_drops_identities_in_training_alone() -> None:
    net, weights = supernet(noisy("skip_connect", "max_pool_3x3"))
    plain = {mode: net.train(mode)(X, weights) for mode in (True, False)}
    net.skip_dropout = 0.4
    assert torch.equal(net.eval()(X, weights), plain[False])
    assert not torch.equal(net.train()(X, weights), plain[True])
    x = torch.ones(64, 4, 16, 16, dtype=torch.float64)
    draws = torch.Generator().manual_seed(0)
    out = run_operation(nn.Identity(), x, draws, 0.4)
    kept = out != 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.6))
    assert abs(kept.double().mean() - 0.6) < 4.5 * (0.24 / x.numel()) ** 0.5
    for name, stride in (("skip_connect", 2), ("max_pool_3x3", 1), ("sep_conv_3x3", 1)):
        operation = build_operation(name, 4, stride, nn.BatchNorm2d).double()
        torch.manual_seed(0)
        first = run_operation(operation, x, draws, 0.4)
        assert torch.equal(first, run_operation(operation, x, draws, 0.0)), f"{name} is dropped"


def test_a_final_network_takes_its_noise_from_its_generator() -> None:
    space = noisy("noise", "sep_conv_3x3")
    edges: list[Any] = [(0, 2, "noise"), (1, 2, "sep_conv_3x3")]
    edges += [(1, 3, "noise"), (2, 3, "sep_conv_3x3")]
    cell = CellGenotype.of(edges)
    genotype = Genotype("noisy", {"normal": cell, "reduction": cell})
    assert genotype.count("noise") == 4 and genotype.count("convolution") == 4
    torch.manual_seed(0)
    net = build_network(genotype, space, n_classes=3, in_channels=1, init_channels=4, cells=3)
    net.double().eval()
    random_state = torch.get_rng_state()
    found = []
    for seed in (1, 1, 2):
        net.generator = torch.Generator().manual_seed(seed)
        found.append(net(X))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), random_state)
