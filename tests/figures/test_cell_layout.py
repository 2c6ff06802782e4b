"""The layout of cells: what a drawing needs to be legible, over every NAS-Bench-201-like cell."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_nas.figures.cell_layout import (
    BEND,
    NODE,
    OPERATION,
    OUTPUT,
    CellLayout,
    count_crossings,
    lay_out,
)

DARTS_V2 = [(0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (1, 4), (0, 5), (2, 5)]
ALL_OF_FOUR = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]


def check(layout: CellLayout, edges: list[tuple[int, int]]) -> None:
    for layer in layout.layers:
        heights = sorted(layout.y[vertex] for vertex in layer)
        kinds = {vertex[0] for vertex in layer}
        gap = 0.3 if kinds <= {NODE, OPERATION, OUTPUT} else 0.16
        assert all(b - a > gap for a, b in itertools.pairwise(heights))
    for route in layout.routes:
        assert [vertex[2] for vertex in route] == list(range(route[0][2], route[-1][2] + 1))
    for number, (source, target) in enumerate(edges):
        route = layout.routes[number]
        assert (route[0][:2], route[-1][:2]) == ((NODE, source), (NODE, target))
        assert route[-2][:2] == (OPERATION, number)
        assert all(vertex[0] == BEND for vertex in route[1:-2])


@pytest.mark.parametrize(
    ("edges", "inputs", "nodes", "output"),
    [(DARTS_V2, 2, (2, 3, 4, 5), True), (ALL_OF_FOUR, 1, (1, 2, 3), False)],
)
def test_published_spaces(
    edges: list[tuple[int, int]], inputs: int, nodes: tuple[int, ...], output: bool
) -> None:
    layout = lay_out(edges, inputs, nodes, output=output)
    check(layout, edges)
    assert len(layout.routes) == len(edges) + (len(nodes) if output else 0)
    assert layout == lay_out(edges, inputs, nodes, output=output)


def test_a_cell_that_needs_no_crossing_has_none() -> None:
    layout = lay_out(ALL_OF_FOUR, 1, (1, 2, 3), output=False)
    assert count_crossings(layout.layers, layout.routes) == 0


def test_the_first_input_is_on_top() -> None:
    layout = lay_out(DARTS_V2, 2, (2, 3, 4, 5), output=True)
    assert layout.y[(NODE, 0, 0)] > layout.y[(NODE, 1, 0)]


@st.composite
def darts_cells(draw: st.DrawFn) -> list[tuple[int, int]]:
    edges = []
    for target in range(2, 6):
        sources = draw(st.lists(st.integers(0, target - 1), min_size=2, max_size=2, unique=True))
        edges += [(source, target) for source in sorted(sources)]
    return edges


@settings(max_examples=25, deadline=None)
@given(darts_cells())
def test_no_darts_cell_has_overlapping_parts(edges: list[tuple[int, int]]) -> None:
    check(lay_out(edges, 2, (2, 3, 4, 5), output=True), edges)
