"""A final network run by the kernels is the one run by torch, in a step and in evaluation."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_nas.config import TrialConfig
from tune_nas.layers.primitives import FactorizedReduce, relu_conv_norm, separable_conv
from tune_nas.native import bridge_of, bridges, build_kernels, stages_of
from tune_nas.native.mix import Chain, mix
from tune_nas.retrain import Retrain
from tune_nas.retrain.compiled import kernels_pay
from tune_nas.shipped import shipped_names
from tune_nas.spaces import (
    CellGenotype,
    Genotype,
    Network,
    Space,
    bridged_stack,
    build_network,
    load_space,
    native_network,
)
from tune_nas.spaces.native_network import NativeNetwork

Pick = Callable[[Space, Callable[[list, int], list]], Genotype]

_EDGES = [(0, 2), (1, 2), (0, 3), (2, 3), (1, 4), (3, 4), (0, 5), (4, 5)]
_NAMES = (
    "sep_conv_3x3",
    "dil_conv_5x5",
    "skip_connect",
    "max_pool_3x3",
    "avg_pool_3x3",
    "sep_conv_5x5",
)
_CELL = CellGenotype.of([(*edge, _NAMES[row % 6]) for row, edge in enumerate(_EDGES)])
DARTS = Genotype("darts", {"normal": _CELL, "reduction": _CELL})
_SEPARABLE = CellGenotype.of([(*edge, "sep_conv_3x3") for edge in _EDGES])
SEPARABLE = Genotype("darts", {"normal": _SEPARABLE, "reduction": _SEPARABLE})


@pytest.fixture(autouse=True)
def compiled() -> None:
    if not build_kernels():
        pytest.skip("no compiler")


def build(genotype: Genotype, channels: int, dtype: torch.dtype = torch.float64) -> Network:
    torch.manual_seed(0)
    space = load_space(genotype.space)
    cells = 1 if space.skeleton.layout == "stages" else 3
    network = build_network(
        genotype, space, n_classes=3, init_channels=channels, cells=cells, auxiliary=True
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.to(dtype).train().drop_path_probability = 0.3
    return network


def step(network: Network, images: Tensor, native: bool) -> list[Tensor]:
    """Return the logits, gradients and statistics of two steps, and the logits in evaluation."""
    run = NativeNetwork(network) if native else network.run
    network.generator = torch.Generator().manual_seed(1)
    seen: list[Tensor] = []
    for _ in range(2):
        output = run(images, network.draw_kept(images))
        logits, auxiliary = output
        (logits.logsumexp(1).mean() + auxiliary[:, 0].square().mean()).backward()
        seen += [logits.detach(), auxiliary.detach()]
    seen += [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
    seen += [buffer.clone() for buffer in network.buffers()]
    network.eval()
    with torch.no_grad():
        evaluated = run(images, None)
    assert isinstance(evaluated, Tensor)
    return [*seen, evaluated]


def distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference, each in units of the largest number of its tensor, or 1."""
    pairs = zip(found, expected, strict=True)
    return max(
        float((one.double() - other).abs().max()) / max(1.0, float(other.abs().max()))
        for one, other in pairs
    )


# 6 channels have no kernels; 9 and 10 pixels become 5 and 3 pixels
@pytest.mark.parametrize(("channels", "sides"), [(4, (9, 10)), (6, (8, 8)), (12, (9, 9))])
@pytest.mark.parametrize("name", shipped_names("space"))
def test_in_float64_a_step_and_an_evaluation_are_those_of_torch(
    name: str, channels: int, sides: tuple[int, int], picker: Pick
) -> None:
    space = load_space(name)
    for seed in range(2 if channels == 4 else 1):
        generator = torch.Generator().manual_seed(10 * channels + seed)

        def pick(options: list, n: int, draws: torch.Generator = generator) -> list:
            return [options[i] for i in torch.randperm(len(options), generator=draws)[:n]]

        genotype = picker(space, pick)
        images = torch.randn(4, 3, *sides, generator=generator, dtype=torch.float64)
        images = images.contiguous(memory_format=torch.channels_last)
        expected = step(build(genotype, channels), images, native=False)
        found = step(build(genotype, channels), images, native=True)
        assert distance(found, expected) <= 1e-12, genotype


def test_in_float32_they_are_as_near_to_float64_as_torch_is() -> None:
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    truth = step(build(DARTS, 20), images.double(), native=False)
    errors = [
        sum(
            float((one.double() - other).square().sum())
            for one, other in zip(
                step(build(DARTS, 20, torch.float32), images, native), truth, strict=True
            )
        )
        for native in (False, True)
    ]
    assert errors[1] <= 4 * errors[0]


def test_kernels_run_it_and_keep_less_memory() -> None:
    """Of what torch keeps for the backward pass, the kernels keep little more than half."""
    images = torch.randn(4, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    network = build(SEPARABLE, 8, torch.float32)
    kept = [0, 0]
    for native, run in enumerate((network.run, NativeNetwork(network))):
        storages = dict[int, int]()

        def keep(tensor: Tensor, storages: dict[int, int] = storages) -> Tensor:
            if not isinstance(tensor, nn.Parameter):
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = run(images, network.draw_kept(images))
        kept[native] = sum(storages.values())
        del output
    assert 0 < kept[1] < 0.6 * kept[0]


@pytest.mark.parametrize("shape", [(5, 4, 3), (2, 8, 8), (31, 1, 1), (2, 17, 16), (1, 3, 70)])
@pytest.mark.parametrize(("inputs", "outputs"), [([12], 8), ([4, 20], 16), ([36, 36], 72)])
def test_bridges_are_their_layers(
    inputs: list[int], outputs: int, shape: tuple[int, int, int]
) -> None:
    """Of both strides, from one place; in a training step and in evaluation."""
    torch.manual_seed(0)
    n, *sides = shape
    layers = [
        module.double()
        for module in (
            relu_conv_norm(sum(inputs), outputs, 1, 1, nn.BatchNorm2d),
            FactorizedReduce(sum(inputs), outputs, nn.BatchNorm2d),
            relu_conv_norm(sum(inputs), 4, 1, 1, nn.BatchNorm2d),
        )
    ]
    for layer in (module for each in layers for module in each.modules()):
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    parts = [torch.randn(n, c, *sides, dtype=torch.float64, requires_grad=True) for c in inputs]
    seen = list[list[Tensor]]()
    for native in (False, True):
        own = deepcopy(layers)
        over = [bridge for layer in own if (bridge := bridge_of(layer)) is not None]
        assert len(over) == len(own)
        outs = bridges(parts, over) if native else [layer(torch.cat(parts, 1)) for layer in own]
        torch.manual_seed(1)
        wanted = [*parts, *(p for layer in own for p in layer.parameters())]
        gradients = torch.autograd.grad(outs, wanted, [torch.randn(y.shape).to(y) for y in outs])
        buffers = [buffer.double() for layer in own for buffer in layer.buffers()]
        for layer in own:
            layer.eval()
        with torch.no_grad():
            rest = bridges(parts, over) if native else [layer(torch.cat(parts, 1)) for layer in own]
        seen.append([*(y.detach() for y in outs), *gradients, *buffers, *rest])
    assert distance(*seen) <= 1e-12


def test_second_derivatives_of_bridges() -> None:
    torch.manual_seed(0)
    layers = [
        relu_conv_norm(12, 8, 1, 1, partial(nn.BatchNorm2d, affine=False)).double(),
        FactorizedReduce(12, 8, nn.BatchNorm2d).double(),
    ]
    over = [bridge for layer in layers if (bridge := bridge_of(layer)) is not None]
    parts = [torch.randn(3, c, 5, 4, dtype=torch.float64, requires_grad=True) for c in (8, 4)]
    wanted = [*parts, *(p for layer in layers for p in layer.parameters())]
    for training in (True, False):
        for layer in layers:
            layer.train(training)
        seen = list[list[Tensor]]()
        for native in (False, True):
            x = torch.cat(parts, 1)
            outs = bridges(parts, over) if native else [layer(x) for layer in layers]
            loss = torch.stack([y.sin().sum() for y in outs]).sum()
            first = torch.autograd.grad(loss, wanted, create_graph=True)
            squares = torch.stack([g.square().sum() for g in first]).sum()
            second = torch.autograd.grad(squares, wanted)
            seen.append([*(g.detach() for g in first), *second])
        assert distance(*seen) <= 1e-12


def test_what_is_no_bridge() -> None:
    for module in (
        nn.Identity(),
        relu_conv_norm(8, 8, 1, 2, nn.BatchNorm2d),
        relu_conv_norm(8, 8, 3, 1, nn.BatchNorm2d),
        relu_conv_norm(8, 6, 1, 1, nn.BatchNorm2d),
        FactorizedReduce(8, 12, nn.BatchNorm2d),
        separable_conv(8, 3, 1, nn.BatchNorm2d),
    ):
        assert bridge_of(module) is None


def test_factors_of_images_scale_a_chain_and_its_gradients() -> None:
    torch.manual_seed(0)
    operation = separable_conv(8, 3, 1, nn.BatchNorm2d).double()
    stages = stages_of(operation)
    assert stages is not None
    x = torch.randn(4, 8, 5, 7, dtype=torch.float64, requires_grad=True)
    factors = torch.tensor([0.0, 1.25, 1.25, 0.0], dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    mine = mix(None, [], [Chain(x, stages, one, factors), Chain(x, stages, one)])
    theirs = operation(x) * factors[:, None, None, None] + operation(x)
    wanted = [x, *operation.parameters()]
    first, true_first = (
        torch.autograd.grad(y.pow(2).sum(), wanted, create_graph=True) for y in (mine, theirs)
    )
    assert distance([*first], [*true_first]) <= 1e-12
    second, true_second = (
        torch.autograd.grad(sum(g.square().sum() for g in each), x)[0]
        for each in (first, true_first)
    )
    assert (
        distance([second / true_second.abs().max()], [true_second / true_second.abs().max()])
        <= 1e-10
    )


def make(implementation: str = "fast", **recipe: Any) -> Retrain:
    trial = {
        "space": {"name": "darts"},
        "data": {"name": "fake", "train_images": 32},
        "runtime": {"device": "cpu", "implementation": implementation},
        "retrain": {
            **{"epochs": 3, "batch_size": 16, "init_channels": 4, "cells": 3, "drop_path": 0.3},
            **recipe,
        },
    }
    return Retrain(TrialConfig.model_validate(trial), DARTS)


def test_the_implementation_of_a_search_is_that_of_a_retraining_run() -> None:
    chosen = {
        name: kernels_pay(make(name).trial.runtime, torch.device("cpu"))
        for name in ("plain", "torch", "fast", "triton")
    }
    assert chosen == {"plain": False, "torch": False, "fast": True, "triton": True}
    assert not kernels_pay(make().trial.runtime, torch.device("cuda", 0))


def weights(retrain: Retrain) -> list[Tensor]:
    return [value.double() for value in retrain.network.state_dict().values()]


@pytest.mark.parametrize("kernels", [False, True])
def test_a_run_ends_in_the_implementation_in_which_it_started(
    kernels: bool, tmp_path: Path
) -> None:
    """Bit for bit; a checkpoint from before there were kernels does not name them."""
    whole = make("fast" if kernels else "torch", ema_decay=0.5)
    for _ in range(2):
        whole.run_epoch()
    begun = make("fast" if kernels else "torch", ema_decay=0.5)
    begun.run_epoch()
    state = begun.state_dict()
    assert state["kernels"] is kernels
    if not kernels:
        del state["kernels"]
    resumed = make(ema_decay=0.5)
    resumed.load_state_dict(state)
    found = resumed.run_epoch()
    assert resumed.training.kernels is kernels
    assert found["ema_test_loss"] == whole.history[-1]["ema_test_loss"]
    for one, other in zip(weights(resumed), weights(whole), strict=True):
        assert torch.equal(one, other)


def test_without_kernels_torch_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make("torch")
    expected.run_epoch()
    for module in (native_network, bridged_stack):
        monkeypatch.setattr(module, "kernels_for", lambda _: False)
    found = make()
    found.run_epoch()
    for one, other in zip(weights(found), weights(expected), strict=True):
        assert torch.equal(one, other)
