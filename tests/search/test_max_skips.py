"""At most so many skip connections in a cell, as P-DARTS takes them out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from searching import small_trial

from tune_nas.search import Search
from tune_nas.search.selection import select_by_magnitude
from tune_nas.spaces import CellWeights, Genotype, load_space

SKIP, SEP, DIL = "skip_connect", "sep_conv_3x3", "dil_conv_3x3"


def weights() -> dict[str, CellWeights]:
    """Each edge: a skip connection, weaker from edge to edge, and a weaker convolution."""
    space = load_space("darts")
    names = space.cells["normal"].operations[0]
    operations = torch.zeros(14, 8, dtype=torch.float64)
    operations[:, names.index("none")] = 1.0
    operations[:, names.index(SKIP)] = torch.linspace(0.9, 0.77, 14, dtype=torch.float64)
    operations[:, names.index(SEP)] = torch.linspace(0.3, 0.17, 14, dtype=torch.float64)
    operations[4, names.index(DIL)] = 0.75  # edge 2->3
    return {"normal": CellWeights(operations), "reduction": CellWeights(operations.clone())}


def edges(genotype: Genotype, cell: str = "normal") -> list[tuple[str, int, int]]:
    return [(e.operation, e.source, e.target) for e in genotype.cells[cell].edges]


def skips(genotype: Genotype, cell: str = "normal") -> int:
    return sum(operation == SKIP for operation, _, _ in edges(genotype, cell))


ALL_SKIPS = [(SKIP, source, target) for target in (2, 3, 4, 5) for source in (0, 1)]


def test_without_a_bound_the_strongest_stay() -> None:
    genotype = select_by_magnitude(load_space("darts"), weights())
    assert edges(genotype) == ALL_SKIPS


def test_the_weakest_gives_way_and_the_cell_is_selected_again() -> None:
    # The weakest skip is 1->5 (0.80): 2->5, 3->5 and 4->5 have skips that are next in strength,
    # so they are taken out in turn, until 1->5 comes back with the strongest of what is left.
    space = load_space("darts")
    genotype = select_by_magnitude(space, weights(), {"normal": 7})
    assert edges(genotype)[:-1] == ALL_SKIPS[:-1]
    # edges into node 5, 0->5 to 4->5: convolutions of 0.21, 0.20, 0.19, 0.18, 0.17
    assert edges(genotype)[-1] == (SEP, 1, 5)
    assert edges(genotype, "reduction") == ALL_SKIPS


def test_another_edge_may_come_in_for_it() -> None:
    # Of node 3 the skip of 0->3 stays; that of 1->3 goes, and 2->3 has the next best: its skip is
    # weaker than its neighbors', so that it goes first of all, and its convolution is left.
    genotype = select_by_magnitude(load_space("darts"), weights(), {"normal": 3})
    assert edges(genotype)[:4] == [(SKIP, 0, 2), (SKIP, 1, 2), (SKIP, 0, 3), (DIL, 2, 3)]
    assert skips(genotype) == 3


@pytest.mark.parametrize("bound", range(9))
def test_any_bound_is_kept_and_the_genotype_legal(bound: int) -> None:
    space = load_space("darts")
    genotype = select_by_magnitude(space, weights(), {"normal": bound})
    assert skips(genotype) == bound
    genotype.check(space)


def test_what_nothing_can_replace_stays() -> None:
    space = load_space("darts")
    only = weights()["normal"]
    active = torch.zeros(14, 8, dtype=torch.bool)
    names = space.cells["normal"].operations[0]
    active[:, names.index(SKIP)] = True
    active[5:, names.index(SEP)] = True  # into the nodes 4 and 5
    given = {"normal": CellWeights(only.operations, active=active)}
    genotype = select_by_magnitude(space, given, {"normal": 0})
    # node 2 has two edges alone; node 3 has three, but needs two of them
    assert skips(genotype) == 4


def test_a_search_has_the_bound_of_its_trial(tmp_path: Path) -> None:
    trial = small_trial(tmp_path, **{"selection.max_skips": {"normal": 1}})
    search = Search(trial)
    with torch.no_grad():
        for alpha in search.alphas.values():
            alpha[:, 1] = 3.0
    assert skips(search.genotype) == 1
    assert skips(search.genotype, "reduction") == 4
