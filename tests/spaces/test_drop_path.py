"""Drop path in the supernet: the output of an edge, image by image, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_auxiliary_skip import X, leaves, mixing, supernet
from torch import Tensor

from tune_nas.spaces import CellWeights, Space, load_space
from tune_nas.spaces.mixed_cell import MixedCell

P = 0.4


@pytest.mark.parametrize(
    ("name", "k", "full"), [("darts", 2, True), ("nasbench201", 1, False), ("darts", 1, False)]
)
@pytest.mark.parametrize("form", ["torch", "fast"])
def test_every_implementation_drops_the_same(form: Any, name: str, k: int, full: bool) -> None:
    space = load_space(name)
    weights = mixing(space, full=full)
    plain, fast = supernet(space, k=k), supernet(space, form, k=k)
    fast.load_state_dict(plain.state_dict())
    outputs, gradients = [], []
    for net in (plain, fast):
        net.drop_path, net.skip_weight = P, 0.5
        assert net.draws
        net.seed_draws(5)
        logits = net(X, weights)
        outputs.append(logits)
        wanted = [*net.parameters(), *leaves(weights)]
        gradients.append(torch.autograd.grad(logits.square().sum(), wanted, allow_unused=True))
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-10, atol=1e-11)
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-10)
    plain.drop_path = 0.0
    assert not outputs[0].equal(plain(X, weights))


def one_edge() -> Space:
    cell = {
        "inputs": 1,
        "nodes": 1,
        "edges": "all",
        "operations": ["skip_connect", "avg_pool_3x3"],
        "output": "last",
    }
    skeleton = {"layout": "stages", "init_channels": 4, "cells": 1}
    content = {"name": "one-edge", "cells": {"normal": cell}, "skeleton": skeleton}
    return Space.from_dict({**content, "supernet": {"norm_after_pools": False}})


def cell_of(space: Space, form: Any = "plain") -> MixedCell:
    net = supernet(space, form, skip=False)
    return next(module for module in net.modules() if isinstance(module, MixedCell))


@pytest.mark.parametrize("form", ["plain", "torch", "fast"])
def test_an_image_is_dropped_whole_or_divided_by_one_minus_p(form: str) -> None:
    cell = cell_of(one_edge(), form)
    x = torch.rand(50, 4, 6, 6, dtype=torch.float64) + 1.0
    weights = CellWeights(torch.tensor([[0.3, 0.7]], dtype=torch.float64))

    def run(p: float) -> Tensor:
        return cell([x], weights, torch.Generator().manual_seed(2), 0.0, p)  # type: ignore[no-any-return]

    full, dropped = run(0.0), run(P)
    kept = torch.rand((1, 50, 1, 1, 1), generator=torch.Generator().manual_seed(2)) >= P
    assert 0 < int(kept.sum()) < 50
    torch.testing.assert_close(dropped, full * kept[0].double() / (1 - P), rtol=1e-12, atol=0.0)
    cell.eval()
    assert torch.equal(run(P), run(0.0))


def test_the_mean_over_samples_is_the_output_without_drop_path() -> None:
    cell = cell_of(one_edge())
    x = torch.rand(1, 4, 3, 3, dtype=torch.float64).expand(100_000, -1, -1, -1)
    weights = CellWeights(torch.tensor([[0.3, 0.7]], dtype=torch.float64))
    full = cell([x[:1]], weights)
    mean = cell([x], weights, torch.Generator().manual_seed(0), 0.0, P).mean(dim=0)
    # the factor has the standard deviation √(p / (1 − p)) = 0.82: 5 of its mean's are 0.013
    torch.testing.assert_close(mean, full[0], rtol=0.013, atol=0.0)


def test_edges_are_dropped_independently() -> None:
    cell = cell_of(load_space("nasbench201"))
    x = torch.zeros(20_000, 4, 1, 1)
    kept = cell.draw_kept(x, torch.Generator().manual_seed(0), P)
    assert kept is not None
    table = torch.stack(list(kept)).flatten(1) > 0
    assert table.shape == (6, 20_000)
    assert float((table.double().mean(dim=1) - 0.6).abs().max()) < 0.02
    together = torch.corrcoef(table.double()) - torch.eye(6)
    assert float(together.abs().max()) < 0.03
