"""Auxiliary skips: β · skip(x) beside the operations of an edge, by hand, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_nas.search.together.stack import PassOutputs, Stack
from tune_nas.spaces import CellWeights, MixingWeights, Space, Supernet, load_space
from tune_nas.spaces.auxiliary_skip import with_skips
from tune_nas.spaces.estimate import estimate_supernet

FORMS = ("plain", "torch", "fast")
BETA = 0.7
X = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def supernet(space: Space, form: Any = "plain", *, skip: bool = True, k: int = 1) -> Supernet:
    torch.manual_seed(0)
    net = Supernet(
        space,
        n_classes=3,
        in_channels=2,
        init_channels=4 * k,
        cells=1 if space.skeleton.layout == "stages" else 3,
        partial_channels=k,
        auxiliary_skip=skip,
        implementation=form,
    )
    return net.double()


def ragged() -> Space:
    """Return a space whose edges have one, two or three operations."""
    cell = {
        "inputs": 2,
        "nodes": 2,
        "edges": ["0->2", "1->2", "1->3", "2->3"],
        "operations": {
            "0->2": ["skip_connect", "sep_conv_3x3", "none"],
            "1->2": ["max_pool_3x3", "dil_conv_3x3"],
            "1->3": ["nor_conv_1x1"],
            "2->3": ["avg_pool_3x3", "nor_conv_1x1"],
        },
        "output": "concat",
        "inputs_per_node": 1,
        "excluded": ["none"],
    }
    skeleton = {"layout": "thirds", "init_channels": 4, "cells": 3, "stem_multiplier": 2}
    cells = {"normal": cell, "reduction": cell}
    return Space.from_dict({"name": "ragged", "cells": cells, "skeleton": skeleton})


def mixing(space: Space, *, full: bool = False) -> MixingWeights:
    """Return random mixing weights; full: with edge weights, numbers and a mask."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        found = torch.rand(shape, generator=generator, dtype=torch.float64)
        return found.requires_grad_()

    weights = {}
    for name, cell in space.cells.items():
        edges = len(cell.edges)
        active = torch.rand(edges, cell.n_operations, generator=generator) > 0.5
        active[0] = False  # an edge that does not exist
        active[-1] = cell.mask()[-1]
        own = CellWeights(random(edges, cell.n_operations))
        if full:
            own = replace(own, edges=random(edges), active=active, offsets=random(edges))
        weights[name] = own
    return weights


def by_hand(space: Space, weights: MixingWeights, beta: float) -> MixingWeights:
    """Return the weights of a supernet that has the skip as an ordinary last operation."""
    found = {}
    for name, own in weights.items():
        edges, n = own.operations.shape
        operations = torch.zeros(edges, n + 1, dtype=torch.float64)
        active = torch.zeros(edges, n + 1, dtype=torch.bool)
        for row, names in enumerate(space.cells[name].operations):
            width = len(names)
            operations[row, :width] = own.operations[row, :width]
            operations[row, width] = beta
            if own.active is not None:
                active[row, :width] = own.active[row, :width]
                active[row, width] = own.active[row].any()
        found[name] = replace(
            own, operations=operations, active=None if own.active is None else active
        )
    return found


def leaves(weights: MixingWeights) -> list[Tensor]:
    return [tensor for own in weights.values() for tensor in own.tensors().values()]


def assert_close(found: Sequence[Tensor | None], truth: Sequence[Tensor | None]) -> None:
    for one, other in zip(found, truth, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_an_edge_sums_its_operations_and_the_identity_times_beta() -> None:
    """One node, edges 0->1 with w · o(x) + β · x, written out."""
    cell = {
        "inputs": 1,
        "nodes": 1,
        "edges": "all",
        "operations": ["nor_conv_1x1", "avg_pool_3x3", "none"],
        "output": "last",
        "excluded": ["none"],
    }
    skeleton = {"layout": "stages", "init_channels": 4, "cells": 1}
    space = Space.from_dict({"name": "one-edge", "cells": {"normal": cell}, "skeleton": skeleton})
    net = supernet(space)
    net.skip_weight = BETA
    body = next(module for module in net.modules() if type(module).__name__ == "MixedCell")
    x = torch.randn(4, 4, 8, 8, dtype=torch.float64)
    w = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    from_net: list[Tensor] = []
    body.register_forward_hook(lambda _, given, out: from_net.extend([given[0][0], out]))
    net(X, {"normal": CellWeights(w)})
    x, out = from_net[0], from_net[1]
    convolution, pool, none, skip = body.operations_of(0)  # type: ignore[operator]
    assert isinstance(skip, nn.Identity)
    truth = 0.2 * convolution(x) + 0.5 * pool(x) + BETA * x
    torch.testing.assert_close(out, truth, rtol=1e-12, atol=1e-12)
    assert not none(x).any()


@pytest.mark.parametrize(
    ("name", "k", "full"),
    [("darts", 2, True), ("nasbench201", 1, False), ("ragged", 1, False), ("ragged", 1, True)],
)
@pytest.mark.parametrize("form", FORMS)
def test_outputs_and_gradients_are_those_of_an_ordinary_skip_of_weight_beta(
    form: str, name: str, k: int, full: bool
) -> None:
    space = ragged() if name == "ragged" else load_space(name)
    weights = mixing(space, full=full)
    net = supernet(space, form, k=k)
    ordinary = supernet(with_skips(space), "plain", skip=False, k=k)
    ordinary.load_state_dict(net.state_dict())
    net.skip_weight = BETA
    for training in (True, False):
        out = net.train(training)(X, weights)
        truth = ordinary.train(training)(X, by_hand(space, weights, BETA))
        torch.testing.assert_close(out, truth, rtol=1e-10, atol=1e-11)
        found, wanted = (
            torch.autograd.grad(
                logits.square().sum(), [*each.parameters(), *leaves(weights)], allow_unused=True
            )
            for logits, each in ((out, net), (truth, ordinary))
        )
        assert_close(found, wanted)


@pytest.mark.parametrize("form", FORMS)
def test_at_zero_the_skip_does_not_run_and_the_rest_is_the_supernet_without_it(form: str) -> None:
    space = load_space("darts")
    for full in (False, True):
        weights = mixing(space, full=full)
        net, without = supernet(space, form), supernet(space, form, skip=False)
        known, held = without.state_dict(), net.state_dict()
        without.load_state_dict({key: held[key] for key in known})
        assert torch.equal(net(X, weights), without(X, weights))
        found = torch.autograd.grad(
            net(X, weights).square().sum(), list(net.parameters()), allow_unused=True
        )
        skips = [
            gradient
            for (key, _), gradient in zip(net.named_parameters(), found, strict=True)
            if key not in known
        ]
        assert skips and all(gradient is None for gradient in skips)


def test_an_edge_without_an_operation_has_no_skip() -> None:
    space = load_space("nasbench201")
    cell = space.cells["normal"]
    net = supernet(space)
    net.skip_weight = 1.0
    active = torch.zeros(len(cell.edges), cell.n_operations, dtype=torch.bool)
    weights = CellWeights(torch.ones(active.shape, dtype=torch.float64), active=active)
    one = net(X, {"normal": weights})
    assert torch.equal(one, net(X.flip(0), {"normal": weights}))  # nothing reaches the output


def test_weights_that_sum_to_one_make_it_the_all_skip_supernet() -> None:
    """Σ w_o · (o(x) + x) = Σ w_o · o(x) + x, for every operation with an identity beside it."""
    space = load_space("nasbench201")
    cell, net = space.cells["normal"], supernet(space)
    column = cell.operations[0].index("skip_connect")
    net.skip_weight = 1.0
    generator = torch.Generator().manual_seed(0)
    shape = (len(cell.edges), cell.n_operations)
    shares = torch.rand(shape, generator=generator, dtype=torch.float64).softmax(dim=1)
    out = net(X, {"normal": CellWeights(shares)})
    all_skip = shares.clone()
    all_skip[:, column] += shares.sum(dim=1)  # each operation brings its weight in identities
    net.skip_weight = 0.0
    truth = net(X, {"normal": CellWeights(all_skip)})
    torch.testing.assert_close(out, truth, rtol=1e-11, atol=1e-11)


def test_parameters_are_those_of_the_estimate() -> None:
    space = load_space("darts")
    net = supernet(space, k=2)
    estimate = estimate_supernet(
        *(with_skips(space),),
        n_classes=3,
        in_channels=2,
        image_size=8,
        init_channels=8,
        cells=3,
        partial_channels=2,
    )
    assert estimate.parameters == sum(parameter.numel() for parameter in net.parameters())


def test_supernets_that_run_together_have_beta() -> None:
    space = load_space("darts")
    nets = [supernet(space, "torch"), supernet(space, "torch")]
    weights = {name: CellWeights(own.operations.detach()) for name, own in mixing(space).items()}
    for net in nets:
        net.skip_weight = BETA
    truth = torch.stack([net(X, weights) for net in nets])
    assert nets[0].build == nets[1].build != supernet(space, "torch", skip=False).build
    stack = Stack(nets, nets[0].meta_copy(), None)
    active = (("normal", None), ("reduction", None))
    wanted = PassOutputs(False, False, (), active, False, True, BETA)
    stacked = {
        name: {"operations": torch.stack([own.operations] * 2)} for name, own in weights.items()
    }
    found = stack.run(wanted, torch.stack([X, X]), None, stacked)
    torch.testing.assert_close(found.logits, truth, rtol=1e-10, atol=1e-11)
