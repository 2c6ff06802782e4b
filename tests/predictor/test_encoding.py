"""Genotypes as graphs and as paths, against graphs drawn by hand."""

from __future__ import annotations

import torch

from tune_nas.predictor.encoding import GraphEncoding, PathEncoding, live_edges, paths
from tune_nas.spaces import CellGenotype, Genotype, Space, load_space

SKIP, ONE, THREE, POOL = "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"


def cell(*edges: tuple[int, int, str]) -> CellGenotype:
    return CellGenotype.of(edges)


# Node 1 gets nothing, so that its edges compute nothing; what is left is 0→2→3 and 0→3.
DEAD = cell(
    *((0, 1, "none"), (0, 2, THREE), (1, 2, ONE)),
    *((0, 3, SKIP), (1, 3, POOL), (2, 3, ONE)),
)
_OWN_CELL = {
    "inputs": 2,
    "nodes": 2,
    "edges": ["0->2", "1->3", "2->3"],
    "operations": {"0->2": [SKIP, POOL], "1->3": ["none", THREE], "2->3": [THREE]},
}
OWN = Space.from_dict(
    {
        "name": "own",
        "cells": {
            "normal": {**_OWN_CELL, "output": "concat"},
            "reduction": {**_OWN_CELL, "output": "last"},
        },
        "skeleton": {"layout": "thirds", "init_channels": 4, "cells": 3},
    }
)


def test_edges_that_compute_nothing_are_left_out() -> None:
    space = load_space("nasbench201").cells["normal"]
    assert [(edge.source, edge.target) for edge in live_edges(space, DEAD)] == [
        *((0, 2), (0, 3), (2, 3))
    ]
    no_way_out = cell(*((0, 1, SKIP), (0, 2, SKIP), (1, 2, SKIP)), (2, 3, "none"), (1, 3, "none"))
    assert live_edges(space, no_way_out) == ()


def test_a_graph_by_hand() -> None:
    encoding = GraphEncoding(load_space("nasbench201"))
    nodes, adjacency = encoding.encode([Genotype("nasbench201", {"normal": DEAD})])
    # types: none, skip, 1x1, 3x3, pool, input, output; nodes: input, output, then the edges
    assert nodes.shape == (1, 1, 8, 7) and adjacency.shape == (1, 1, 8, 8)
    assert nodes[0, 0].nonzero().tolist() == [[0, 5], [1, 6], [2, 3], [3, 1], [4, 2]]
    expected = {(0, 2), (0, 3), (2, 4), (3, 1), (4, 1)}
    both = sorted(expected | {(after, before) for before, after in expected})
    assert [tuple(pair) for pair in adjacency[0, 0].nonzero().tolist()] == both


def test_the_graph_of_a_custom_space_with_two_outputs() -> None:
    edges = cell((0, 2, POOL), (1, 3, "none"), (2, 3, THREE))
    genotype = Genotype("own", {"normal": edges, "reduction": edges})
    nodes, adjacency = GraphEncoding(OWN).encode([genotype])
    # types: skip, pool, none, 3x3, inputs, output; nodes: inputs, output, then the edges
    assert nodes.shape == (1, 2, 6, 7)
    assert nodes[0, 0].nonzero().tolist() == [[0, 4], [1, 5], [2, 6], [3, 1], [4, 3]]
    assert (nodes[0, 1] == nodes[0, 0]).all()
    pairs = [
        [tuple(pair) for pair in one.nonzero().tolist() if pair[0] < pair[1]]
        for one in adjacency[0]
    ]
    assert pairs[0] == [(0, 3), (2, 3), (2, 4), (3, 4)]  # the output reads both nodes
    assert pairs[1] == [(0, 3), (2, 4), (3, 4)]  # the last one


def test_paths_by_hand() -> None:
    space = load_space("nasbench201").cells["normal"]
    assert paths(space, DEAD) == {("0", SKIP), ("0", THREE, ONE)}
    own = cell((0, 2, POOL), (1, 3, THREE), (2, 3, THREE))
    last = {("0", POOL, THREE), ("1", THREE)}
    assert paths(OWN.cells["reduction"], own) == last
    assert paths(OWN.cells["normal"], own) == last | {("0", POOL)}


def test_the_number_of_features() -> None:
    nasbench, darts = PathEncoding(load_space("nasbench201")), PathEncoding(load_space("darts"))
    assert nasbench.n_features == 4 + 4**2 + 4**3
    assert darts.n_features == 2 * 2 * (7 + 7**2 + 7**3)  # two cell types, two inputs
    found = nasbench.encode([Genotype("nasbench201", {"normal": DEAD})])
    assert found.sum() == 2 and found.dtype == torch.float32
