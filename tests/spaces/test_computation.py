"""Canonical forms against what cells and networks compute when they run."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random

import pytest
import torch
from cell_functions import CellFunctions, fill
from torch import nn

from tune_nas.layers.primitives import FactorizedReduce
from tune_nas.spaces import (
    CellGenotype,
    Genotype,
    Network,
    Space,
    build_network,
    build_operation,
    load_space,
    register_operation,
)
from tune_nas.spaces.architectures import Architectures
from tune_nas.spaces.computation import CellComputation, Role, role_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-operations.yaml"
DARTS_OPERATIONS = ["none", "skip_connect", "max_pool_3x3", "avg_pool_3x3", "dil_conv_3x3"]


def thirds(
    name: str, nodes: int, operations: list[str], kept: int | None, output: str, inputs: int = 2
) -> Space:
    cell = {
        "inputs": inputs,
        "nodes": nodes,
        "operations": operations,
        "inputs_per_node": kept,
        "output": output,
    }
    skeleton = {"layout": "thirds", "init_channels": 4, "cells": 3}
    return Space.from_dict(
        {"name": name, "cells": {"normal": cell, "reduction": cell}, "skeleton": skeleton}
    )


POOLS = ["none", "skip_connect", "max_pool_3x3", "dil_conv_3x3"]
SMALL = [
    thirds("zeros", 2, DARTS_OPERATIONS, None, "concat"),
    thirds("last", 2, ["none", "skip_connect", "max_pool_3x3", "sep_conv_3x3"], None, "last"),
    thirds("two-inputs", 3, ["skip_connect", "sep_conv_3x3"], 2, "concat"),
    thirds("pools", 3, POOLS, None, "concat", inputs=1),
    thirds("noise", 2, ["skip_connect", "noise", "sep_conv_3x3", "avg_pool_3x3"], 2, "concat"),
]


def cells_of(space: Space, name: str, most: int) -> list[CellGenotype]:
    """Return all cells of a type, or a sample without repetition."""
    architectures = Architectures(space)
    choices = architectures._cells[name]
    if choices.size <= most:
        return [choices.at(index) for index in range(choices.size)]
    return [choices.at(index) for index in sorted(Random(0).sample(range(choices.size), most))]


def compare(space: Space, name: str, most: int = 4096, side: int = 16) -> tuple[int, int]:
    """Check that equal texts are of equal functions; return the numbers of texts and functions."""
    functions = CellFunctions(space.cells[name], name == "reduction", side)
    computation = CellComputation(space.cells[name], name == "reduction")
    texts, outputs = defaultdict(set), defaultdict(set)
    for cell in cells_of(space, name, most):
        text, output = computation.text(cell), functions.output(cell)[0]
        texts[output].add(text)
        outputs[text].add(output)
    assert {text: found for text, found in outputs.items() if len(found) > 1} == {}
    return len(outputs), len(texts)


def test_the_cells_of_nasbench201_compute_5554_functions() -> None:
    assert compare(load_space("nasbench201"), "normal", 15_625, side=5) == (5554, 5554)


@pytest.mark.parametrize("cell", ["normal", "reduction"])
@pytest.mark.parametrize("space", SMALL, ids=lambda space: space.name)
def test_texts_are_equal_exactly_for_equal_functions(space: Space, cell: str) -> None:
    found, functions = compare(space, cell)
    assert found == functions > 1


def test_custom_operations_are_told_apart() -> None:
    found, functions = compare(load_space(EXAMPLE), "normal")
    # That the median of 2·x is twice that of x is not known.
    assert functions <= found < 3**6


@pytest.mark.parametrize(
    ("name", "most"), [("darts", 60), ("darts-all-edges", 20), ("s1", 60), ("s4", 10)]
)
def test_sampled_cells_of_large_spaces(name: str, most: int) -> None:
    for cell in ("normal", "reduction"):
        found, functions = compare(load_space(name), cell, most)
        assert found == functions


def set_weights(network: Network, space: Space, functions: dict[str, CellFunctions]) -> None:
    """Set generic weights of a network that depend on the functions of its cells alone.

    Operations get them by name and number, as `CellFunctions` numbers them; whatever follows a
    cell, by the nodes in the order of their values.
    """
    fill(network, "network")
    orders = []
    for index, block in enumerate(network.backbone.blocks):
        if not hasattr(block, "cell"):
            orders.append(None)
            continue
        cell = functions[block.cell]
        _, slots, order = cell.output(network.genotype.cells[block.cell])
        for position, slot in slots.items():
            fill(block.body.operations[position], f"{index}/{slot}")
        orders.append(order)
        n = space.n_inputs
        for place, bridge in enumerate(block.preprocess):
            before = index - n + place
            if before >= 0 and orders[before] is not None:
                for module in _first_convolutions(bridge):
                    reorder(module.weight, orders[before])
    reorder(network.backbone.classifier.weight, orders[-1])


def _first_convolutions(bridge: nn.Module) -> list[nn.Module]:
    if isinstance(bridge, FactorizedReduce):
        return [bridge.straight, bridge.shifted]
    return [module for module in bridge.modules() if isinstance(module, nn.Conv2d)]


def reorder(weight: torch.Tensor, order: list[int]) -> None:
    """Move the columns of the nodes from the order of their values to that of their numbers."""
    columns = weight.detach().clone().chunk(len(order), dim=1)
    by_node = [columns[order.index(node)] for node in range(len(order))]
    weight.data.copy_(torch.cat(by_node, dim=1))


def logits(genotype: Genotype, space: Space, functions: dict[str, CellFunctions]) -> torch.Tensor:
    """Return the logits of a network in evaluation and in training mode, (2, n, 5)."""
    network = build_network(genotype, space, n_classes=5, init_channels=4, cells=3).double()
    set_weights(network, space, functions)
    x = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        return torch.stack([network.eval()(x), network.train()(x)])


WITHOUT_NOISE = [load_space("nasbench201"), *SMALL[:-1]]


@pytest.mark.parametrize("space", WITHOUT_NOISE, ids=lambda space: space.name)
def test_networks_of_equal_keys_have_equal_outputs(space: Space) -> None:
    architectures = Architectures(space)
    functions = {
        name: CellFunctions(cell, name == "reduction") for name, cell in space.cells.items()
    }
    rng = Random(1)
    computations = {
        name: CellComputation(cell, name == "reduction") for name, cell in space.cells.items()
    }
    groups: dict[str, list[list[CellGenotype]]] = {}
    for name in space.cells:
        by_text: dict[str, list[CellGenotype]] = defaultdict(list)
        for cell in cells_of(space, name, 4096):
            by_text[computations[name].text(cell)].append(cell)
        groups[name] = [cells for cells in by_text.values() if len(cells) > 1]
    outputs = []
    for _ in range(6):
        chosen = {name: rng.choice(some) for name, some in groups.items()}
        pairs = {name: rng.sample(some, 2) for name, some in chosen.items()}
        first, second = (
            Genotype(space.name, {name: pair[n] for name, pair in pairs.items()}) for n in (0, 1)
        )
        assert first != second and architectures.key(first) == architectures.key(second)
        a, b = logits(first, space, functions), logits(second, space, functions)
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        outputs.append((architectures.key(first), a))
    different = [(a, b) for key, a in outputs for other, b in outputs if key != other]
    assert different and all((a - b).abs().max() > 1e-6 for a, b in different)


def text_of(space: str, cell: str, edges: list[tuple[int, int, str]]) -> str:
    described = load_space(space).cells[cell]
    return CellComputation(described, cell == "reduction").text(CellGenotype.of(edges))


def nasbench201(*operations: str) -> str:
    short = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3"}
    pairs = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    names = [short.get(each, "avg_pool_3x3") for each in operations]
    return text_of("nasbench201", "normal", [(*p, n) for p, n in zip(pairs, names, strict=True)])


def test_the_text_of_some_cells_by_hand() -> None:
    assert nasbench201(*"000000") == "0"
    assert nasbench201(*"s0s00s") == "x0"
    assert nasbench201(*"s0ss0s") == "2*x0"
    assert nasbench201(*"3330s0") == "nor_conv_3x3(x0)"
    # one convolution twice is not two convolutions
    assert nasbench201(*"30s0ss") == "2*nor_conv_3x3(x0)"
    assert nasbench201(*"3300ss") == "nor_conv_3x3(x0)+nor_conv_3x3(x0)"
    # of two convolutions of the input, one occurs twice
    both = "y0 = nor_conv_3x3(x0); nor_conv_1x1(y0)+nor_conv_3x3(x0)+y0"
    assert nasbench201(*"3310ss") == both
    # the average of a sum, and of zeros; a convolution of zeros
    assert nasbench201(*"3ss00a") == "avg_pool_3x3(nor_conv_3x3(x0))+avg_pool_3x3(x0)"
    assert nasbench201(*"00000a") == "0"
    assert nasbench201(*"000003") == "nor_conv_3x3(0)"


def test_a_skip_is_an_identity_at_stride_1_only() -> None:
    edges = [
        *[(0, 2, "skip_connect"), (1, 2, "skip_connect")],
        *[(0, 3, "skip_connect"), (2, 3, "skip_connect")],
        *[(0, 4, "max_pool_3x3"), (3, 4, "skip_connect")],
        *[(2, 5, "skip_connect"), (3, 5, "skip_connect")],
    ]
    normal = "[2*x0+max_pool_3x3(x0)+x1, 2*x0+x1, 2*x1+3*x0, x0+x1]"
    assert text_of("darts", "normal", edges) == normal
    reduction = text_of("darts", "reduction", edges)
    assert reduction.count("skip_connect(x0)") == 2
    assert reduction.count("skip_connect(x1)") == 1


@pytest.mark.parametrize("operation", ["nor_conv_1x1", "nor_conv_3x3", "dil_conv_5x5"])
def test_a_convolution_of_zeros_is_its_shift(operation: str) -> None:
    block = build_operation(operation, 4, 1, nn.BatchNorm2d)
    shift = torch.tensor([1.0, -2.0, 0.5, 3.0])
    block.stages[-1].norm.bias.data.copy_(shift)
    for training in (True, False):
        out = block.train(training)(torch.zeros(2, 4, 6, 6))
        assert torch.equal(out, shift[None, :, None, None].expand_as(out))


@pytest.mark.parametrize(
    ("operation", "stride", "role"),
    [
        ("none", 1, Role.ZERO),
        ("skip_connect", 1, Role.IDENTITY),
        ("skip_connect", 2, Role.WEIGHTED),
        ("avg_pool_3x3", 2, Role.MEAN),
        ("max_pool_3x3", 1, Role.MAXIMUM),
        ("sep_conv_3x3", 1, Role.WEIGHTED),
        ("dil_conv_5x5", 1, Role.CONVOLUTION),
        ("nor_conv_1x1", 1, Role.CONVOLUTION),
        ("noise", 1, Role.NOISE),
    ],
)
def test_roles(operation: str, stride: int, role: Role) -> None:
    assert role_of(operation, stride) is role


def test_roles_of_custom_operations_follow_from_what_they_build() -> None:
    load_space(EXAMPLE)
    assert role_of("own_operations:conv_5x5", 1) is Role.WEIGHTED
    assert role_of("own_operations:median_3x3", 1) is Role.FIXED

    @register_operation("a_skip_that_bounds", kind="skip")
    def bounds(channels, stride, norm):
        return nn.Sequential(nn.Tanh(), nn.AvgPool2d(1, stride))

    @register_operation("a_padded_mean", kind="pool")
    def padded(channels, stride, norm):
        return nn.AvgPool2d(3, stride, padding=1)

    assert role_of("a_skip_that_bounds", 1) is Role.FIXED
    assert role_of("a_padded_mean", 1) is Role.FIXED  # padding with zeros changes constant maps


def test_a_large_symmetric_cell_has_a_text() -> None:
    """Nine convolutions of the input, all in the last two nodes, have 9! orders."""
    space = thirds("large", 12, ["none", "skip_connect", "sep_conv_3x3"], None, "last")
    cell = space.cells["normal"]
    edges = [(0, node, "sep_conv_3x3") for node in range(2, 11)]
    edges += [(node, 11, "skip_connect") for node in range(2, 11)]
    edges += [(node, 12, "skip_connect") for node in range(2, 11)]
    edges += [(11, 13, "sep_conv_3x3"), (12, 13, "sep_conv_3x3")]
    text = CellComputation(cell, False).text(CellGenotype.of(edges))
    names = "+".join(f"y{number}" for number in range(9))
    assert text.endswith(f"; sep_conv_3x3({names})+sep_conv_3x3({names})")
    assert text.count("= sep_conv_3x3(x0)") == 9


def test_a_chain_of_one_hundred_nodes_has_a_text() -> None:
    space = thirds("chain", 100, ["none", "skip_connect", "sep_conv_3x3"], None, "last")
    edges = [
        (node, node + step, operation)
        for node in range(1, 101)
        for step, operation in ((1, "sep_conv_3x3"), (2, "skip_connect"))
        if node + step <= 101
    ]
    text = CellComputation(space.cells["normal"], False).text(CellGenotype.of(edges))
    assert text.count("sep_conv_3x3") == 100 and text.startswith("y0 = sep_conv_3x3(x1); ")
