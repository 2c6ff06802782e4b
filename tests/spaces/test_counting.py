"""Sizes against published ones: DARTS's and P-DARTS's networks, NAS-Bench-201's table."""

import csv
import gzip
import random

import pytest
import torch
from torch import nn

from tune_nas.spaces import (
    Genotype,
    build_network,
    count_multiply_adds,
    count_parameters,
    load_space,
    model_size,
)

CIFAR = {"n_classes": 10, "init_channels": 36, "cells": 20}


def test_darts_v2_has_its_published_parameters(published):
    genotype = Genotype.parse(published["DARTS_V2"])
    size = model_size(genotype, load_space("darts"), image_size=32, **CIFAR)
    assert size.parameters == 3_349_342


def test_pdarts_has_its_published_parameters_with_and_without_auxiliary_head(published):
    genotype = Genotype.parse(published["PDARTS"])
    network = build_network(genotype, load_space("darts"), auxiliary=True, **CIFAR)
    assert count_parameters(network) == 3_433_798
    assert count_parameters(network, without_auxiliary=False) == 3_910_224


def rows(folder):
    with gzip.open(folder / "nasbench201.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def test_a_sample_of_nasbench201_networks_has_the_tables_sizes(shared_data_dir):
    space = load_space("nasbench201")
    for row in random.Random(0).sample(rows(shared_data_dir), 200):
        size = model_size(Genotype.parse(row["arch"]), space, image_size=32, n_classes=10)
        # the network's own count; `c10_params_api` has other values for 150 cells
        assert (size.parameters, size.multiply_adds) == (
            int(row["c10_params"]),
            int(row["c10_flops"]),
        ), row["arch"]


@pytest.mark.parametrize(
    ("data", "n_classes", "image_size"), [("c10", 10, 32), ("c100", 100, 32), ("in16", 120, 16)]
)
def test_all_nasbench201_cells_have_the_tables_sizes(shared_data_dir, data, n_classes, image_size):
    """Sizes add up over edges, so four networks give those of all 15,625 cells."""
    space = load_space("nasbench201")

    def size(operation):
        text = f"|{operation}~0|+|none~0|none~1|+|none~0|none~1|none~2|"
        found = model_size(Genotype.parse(text), space, image_size=image_size, n_classes=n_classes)
        return torch.tensor([found.parameters, found.multiply_adds])

    empty, free = size("none"), size("skip_connect")
    assert torch.equal(empty, free) and torch.equal(empty, size("avg_pool_3x3"))
    small, large = size("nor_conv_1x1") - empty, size("nor_conv_3x3") - empty
    table = rows(shared_data_dir)
    assert len(table) == 15_625
    for row in table:
        n_small, n_large = row["arch"].count("conv_1x1"), row["arch"].count("conv_3x3")
        expected = empty + n_small * small + n_large * large
        assert expected.tolist() == [int(row[f"{data}_params"]), int(row[f"{data}_flops"])]


def test_multiply_adds_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 4×5 outputs of 8 × (3·9)
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),  # 4×5 outputs of 8 × (25 + a bias)
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),  # 10 × (8 + a bias)
    )
    expected = 20 * 8 * 27 + 20 * 8 * 26 + 10 * 9
    assert count_multiply_adds(network, (8, 10)) == expected


def test_counting_leaves_no_trace(space, last_genotype):
    torch.manual_seed(0)
    network = build_network(
        last_genotype(space), space, n_classes=3, in_channels=1, init_channels=2, auxiliary=True
    ).train()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()
    counted = count_multiply_adds(network, 8, in_channels=1)
    sizes = {"n_classes": 3, "in_channels": 1, "init_channels": 2}
    size = model_size(last_genotype(space), space, image_size=8, **sizes)
    assert (size.parameters, size.multiply_adds) == (count_parameters(network), counted)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert network.training and not any(m._forward_hooks for m in network.modules())
    assert all(torch.equal(t, state[name]) for name, t in network.state_dict().items())
