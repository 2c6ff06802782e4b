"""Selection, statistics and model sizes, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import yaml

from tune_nas.search.model_size import BestBySize
from tune_nas.search.selection import select_by_magnitude
from tune_nas.search.statistics import entropies, genotype_counts, skip_advantage
from tune_nas.spaces import CellWeights, Genotype, load_space

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
SKIPS = [f"skip_connect~{source}|" for source in range(3)]
ALL_SKIP = "+".join("|" + "".join(SKIPS[:node]) for node in (1, 2, 3))


def darts_weights() -> dict[str, CellWeights]:
    """Rising weights along the edges; on each edge `none` is the largest, then sep_conv_3x3."""
    space = load_space("darts")
    operations = space.cells["normal"].operations[0]
    weights = torch.full((14, 8), 0.01, dtype=torch.float64)
    weights[:, operations.index("none")] = 0.9
    weights[:, operations.index("sep_conv_3x3")] = torch.linspace(0.1, 0.4, 14)
    weights[3, operations.index("skip_connect")] = 0.8  # edge 1->3
    return {"normal": CellWeights(weights), "reduction": CellWeights(weights.clone())}


def test_magnitude_keeps_the_two_strongest_edges_and_never_none() -> None:
    genotype = select_by_magnitude(load_space("darts"), darts_weights())
    normal = [(e.operation, e.source, e.target) for e in genotype.cells["normal"].edges]
    sep = "sep_conv_3x3"
    assert normal == [
        (sep, 0, 2), (sep, 1, 2),
        ("skip_connect", 1, 3), (sep, 2, 3),
        (sep, 2, 4), (sep, 3, 4),
        (sep, 3, 5), (sep, 4, 5),
    ]  # fmt: skip
    genotype.check(load_space("darts"))


def test_edge_weights_scale_the_operations_of_their_edge() -> None:
    weights = darts_weights()
    edges = torch.ones(14, dtype=torch.float64)
    edges[12] = edges[13] = 0.01  # 3->5 and 4->5
    scaled = {"normal": CellWeights(weights["normal"].operations, edges=edges)}
    genotype = select_by_magnitude(load_space("darts"), {**weights, **scaled})
    last = [e.source for e in genotype.cells["normal"].edges if e.target == 5]
    assert last == [1, 2]


def test_nasbench201_keeps_every_edge_and_may_choose_none() -> None:
    space = load_space("nasbench201")
    names = space.cells["normal"].operations[0]
    wanted = [
        "nor_conv_3x3",
        "none",
        "skip_connect",
        "avg_pool_3x3",
        "nor_conv_1x1",
        "nor_conv_3x3",
    ]
    weights = torch.zeros(6, 5)
    for edge, operation in enumerate(wanted):
        weights[edge, names.index(operation)] = 1
    genotype = select_by_magnitude(space, {"normal": CellWeights(weights)})
    assert genotype.to_nasbench201() == CELL


def test_entropies_are_those_of_the_shares() -> None:
    uniform = CellWeights(torch.full((6, 5), 0.2))  # also what a sigmoid starts from
    peaked = CellWeights(torch.tensor([[0.5, 0.5, 0, 0, 0]] * 6))
    found = entropies({"normal": uniform, "reduction": peaked})
    assert found["entropy/normal"] == pytest.approx(math.log(5))
    assert found["entropy/reduction"] == pytest.approx(math.log(2))
    assert found["entropy/mean"] == pytest.approx((math.log(5) + math.log(2)) / 2)
    assert entropies({"normal": CellWeights(torch.full((6, 5), 0.7))})["entropy/mean"] == (
        pytest.approx(math.log(5))
    )
    pruned = torch.full((6, 5), 0.2)
    pruned[2] = 0
    assert entropies({"normal": CellWeights(pruned)})["entropy/mean"] == pytest.approx(math.log(5))


def test_skip_advantage_is_the_mean_difference_of_the_softmaxes() -> None:
    space = load_space("nasbench201")
    names = space.cells["normal"].operations[0]
    alpha = torch.zeros(6, 5, dtype=torch.float64)
    assert skip_advantage(space, {"normal": alpha}) == pytest.approx(0, abs=1e-12)
    alpha[:, names.index("skip_connect")] = math.log(3)
    # softmax: 3/7 for skip, 1/7 for each of the others
    assert skip_advantage(space, {"normal": alpha}) == pytest.approx(3 / 7 - 1 / 7)


def test_genotype_counts_are_those_of_the_cell() -> None:
    counts = genotype_counts(Genotype.parse(CELL))
    assert counts == {
        "genotype/skips": 1,
        "genotype/pools": 1,
        "genotype/convolutions": 3,
        "non_learnable_share": 0.5,
    }


def test_the_best_genotype_of_each_size_is_kept() -> None:
    best = BestBySize()
    cell, skip = Genotype.parse(CELL), Genotype.parse(ALL_SKIP)
    for epoch, (genotype, accuracy) in enumerate(
        [(cell, 50.0), (skip, 20.0), (cell, 60.0), (cell, 60.0), (skip, 10.0)], start=1
    ):
        best.see(genotype, epoch, accuracy)
    entries = yaml.safe_load(best.to_yaml())
    assert list(entries) == [0, 3]
    space = {"space": "nasbench201"}
    assert entries[3] == {"epoch": 3, "valid_accuracy": 60.0, **space, "genotype": CELL}
    assert entries[0] == {"epoch": 2, "valid_accuracy": 20.0, **space, "genotype": ALL_SKIP}
    again = BestBySize()
    again.load_state_dict(best.state_dict())
    assert again.entries == best.entries
