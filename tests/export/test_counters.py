"""Other packages count the same layers of a loaded network; docs/export.md explains the rest."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
from types import ModuleType

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from trained_runs import DARTS, NASBENCH201

from tune_nas.data.vision import import_torchvision
from tune_nas.export.architecture import architecture_of
from tune_nas.export.plain_network import PlainNetwork
from tune_nas.spaces import Genotype, count_multiply_adds, count_parameters, load_space

SIDE, CLASSES = 8, 10
IMAGES = torch.zeros(1, 3, SIDE, SIDE)


@pytest.fixture(params=[DARTS, NASBENCH201], ids=["darts", "nasbench201"])
def network(request: pytest.FixtureRequest) -> PlainNetwork:
    """A network as people get it in their hands."""
    genotype: Genotype = request.param
    sizes = {"n_classes": CLASSES, "in_channels": 3, "init_channels": 4, "cells": 3}
    space = load_space(genotype.space)
    return PlainNetwork(architecture_of(genotype, space, image_size=SIDE, **sizes)).eval()


@pytest.fixture
def layers(network: PlainNetwork) -> int:
    """Multiply-adds of convolutions and linear layers, without the additions of the bias."""
    return count_multiply_adds(network, SIDE) - CLASSES


def counter(name: str) -> ModuleType:
    """Import a package, or skip the test; some import torchvision."""
    import_torchvision()
    pytest.importorskip(name)
    return importlib.import_module(name)


def test_torch_counts_a_multiply_add_as_two(network: PlainNetwork, layers: int) -> None:
    with FlopCounterMode(display=False) as found, torch.no_grad():
        network(IMAGES)
    assert found.get_total_flops() == 2 * layers


@pytest.mark.filterwarnings("ignore")
def test_fvcore_adds_normalization_and_the_last_pooling(network: PlainNetwork, layers: int) -> None:
    counter("fvcore")
    found = importlib.import_module("fvcore.nn").FlopCountAnalysis(network, IMAGES)
    found.unsupported_ops_warnings(False)
    parts = found.by_operator()
    assert parts["conv"] + parts["linear"] == layers
    assert set(parts) <= {"conv", "linear", "batch_norm", "adaptive_avg_pool2d"}


@pytest.mark.filterwarnings("ignore")
def test_thop_finds_every_layer(network: PlainNetwork, layers: int) -> None:
    multiply_adds, parameters = counter("thop").profile(
        copy.deepcopy(network), (IMAGES,), verbose=False
    )
    assert parameters == count_parameters(network)
    assert multiply_adds >= layers


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backend", ["aten", "pytorch"])
def test_ptflops_finds_every_layer(network: PlainNetwork, layers: int, backend: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        multiply_adds, parameters = counter("ptflops").get_model_complexity_info(
            network,
            (3, SIDE, SIDE),
            as_strings=False,
            print_per_layer_stat=False,
            backend=backend,
        )
    assert parameters == count_parameters(network)
    if backend == "aten":
        assert multiply_adds == layers + CLASSES
    else:
        assert multiply_adds >= layers + CLASSES


def test_torchinfo_adds_the_parameters_of_normalization(network: PlainNetwork, layers: int) -> None:
    found = counter("torchinfo").summary(network, input_size=IMAGES.shape, verbose=0)
    scales = sum(
        module.weight.numel() + module.bias.numel()
        for module in network.modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    )
    assert found.total_params == count_parameters(network)
    assert found.total_mult_adds == layers + CLASSES + scales
