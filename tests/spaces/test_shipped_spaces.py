"""The shipped spaces against the published ones, RobustDARTS's ``src/spaces.py``."""

from __future__ import annotations

import pytest

from tune_nas.spaces import load_space

SKIP, SEP, MAX, AVG = "skip_connect", "sep_conv_3x3", "max_pool_3x3", "avg_pool_3x3"
DIL3, DIL5 = "dil_conv_3x3", "dil_conv_5x5"

# The 14 edges by target node, as the authors list them.
S1_NORMAL = [
    *((SKIP, DIL3), (SKIP, DIL5)),
    *((SKIP, DIL5), (SKIP, SEP), (SKIP, DIL3)),
    *((MAX, SKIP), (SKIP, SEP), (SKIP, SEP), (SKIP, DIL3)),
    *((SKIP, SEP), (MAX, SKIP), (SKIP, DIL3), (DIL3, DIL5), (DIL3, DIL5)),
]
S1_REDUCTION = [
    *((MAX, AVG), (MAX, DIL3)),
    *((MAX, AVG), (MAX, AVG), (SKIP, DIL5)),
    *((MAX, AVG), (MAX, SEP), (SKIP, DIL3), (SKIP, DIL5)),
    *((MAX, AVG), (MAX, AVG), (SKIP, DIL5), (SKIP, DIL5), (SKIP, DIL5)),
]
EVERYWHERE = {
    "s2": (SKIP, SEP),
    "s3": ("none", SKIP, SEP),
    "s4": ("noise", SEP),
    "darts-no-none": (MAX, AVG, SKIP, SEP, "sep_conv_5x5", DIL3, DIL5),
    "darts-all-edges": ("none", MAX, AVG, SKIP, SEP, "sep_conv_5x5", DIL3, DIL5),
}


def test_s1_has_two_operations_on_each_edge() -> None:
    cells = load_space("s1").cells
    assert list(cells["normal"].operations) == S1_NORMAL
    assert list(cells["reduction"].operations) == S1_REDUCTION


@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_other_spaces_have_the_same_on_every_edge(name: str) -> None:
    for cell in load_space(name).cells.values():
        assert list(cell.operations) == [EVERYWHERE[name]] * 14
        assert cell.excluded == (("none",) if name == "s3" else ())


@pytest.mark.parametrize("name", ["s1", *EVERYWHERE])
def test_all_else_is_as_in_darts(name: str) -> None:
    found, darts = load_space(name), load_space("darts")
    assert (found.name, found.skeleton, found.supernet) == (name, darts.skeleton, darts.supernet)
    assert found.final_size == darts.final_size == (36, 20)
    for cell, of_darts in zip(found.cells.values(), darts.cells.values(), strict=True):
        kept = None if name == "darts-all-edges" else of_darts.inputs_per_node
        assert (cell.edges, cell.inputs_per_node) == (of_darts.edges, kept)
