"""The figure of an analysis: panels, series and points are those of its table."""

from __future__ import annotations

import math

import pytest
from matplotlib.figure import Figure

from tune_nas.analysis_table import AnalysisTable, TableAxes, Value
from tune_nas.figures import plot_analysis, render

COLUMNS = ("epoch", "half", "edge", "operation", "gradient")
ROWS: list[tuple[Value, ...]] = [
    (epoch, half, edge, operation, value + epoch)
    for epoch in (1, 2)
    for half in ("train", "valid")
    for edge, operation, value in (
        ("0->1", "skip", 0.1),
        ("0->1", "conv", 0.2),
        ("0->2", "skip", 0.3),
        ("0->2", "conv", math.nan),
    )
]


def points(figure: Figure, panel: int) -> dict[str, list[tuple[float, float]]]:
    lines = figure.axes[panel].get_lines()
    return {str(line.get_label()): [tuple(each) for each in line.get_xydata()] for line in lines}


def test_points_by_panel_and_series() -> None:
    axes = TableAxes("edge", "gradient", "operation", ("half",))
    figure = plot_analysis(AnalysisTable("k", COLUMNS, ROWS[:8], axes))
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["train", "valid"]
    for panel in (0, 1):
        found = points(figure, panel)
        assert found["skip"] == [(0.0, 1.1), (1.0, 1.3)]
        assert found["conv"] == [(0.0, 1.2)]  # nan is not drawn
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["0->1", "0->2"]
    assert render(figure, "svg").startswith(b"<?xml")


def test_values_of_an_epoch_are_averaged() -> None:
    axes = TableAxes("epoch", "gradient", "operation", ("half",), connected=True)
    found = points(plot_analysis(AnalysisTable("k", COLUMNS, ROWS, axes)), 1)
    assert found["skip"] == [(1.0, pytest.approx(1.2)), (2.0, pytest.approx(2.2))]
    assert found["conv"] == [(1.0, pytest.approx(1.2)), (2.0, pytest.approx(2.2))]


def test_epochs_with_equal_values_stay_apart_and_in_order() -> None:
    rows: list[tuple[Value, ...]] = [(1, 10.0, 0.1), (2, 20.0, 0.3), (3, 10.0, 0.2)]
    axes = TableAxes("accuracy", "gap", connected=True, own_epochs=True)
    found = points(plot_analysis(AnalysisTable("k", ("epoch", "accuracy", "gap"), rows, axes)), 0)
    (drawn,) = found.values()
    assert drawn == [(10.0, 0.1), (20.0, 0.3), (10.0, 0.2)]


def test_panels_without_numbers_are_left_out() -> None:
    rows: list[tuple[Value, ...]] = [(1, "first", math.nan), (1, "last", 0.5), (1, "", 0.1)]
    axes = TableAxes("cell", "value", panels=("position",))
    figure = plot_analysis(AnalysisTable("k", ("cell", "position", "value"), rows, axes))
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["last", "others"]
    assert [list(points(figure, panel).values()) for panel in (0, 1)] == [
        [[(1, 0.5)]],
        [[(1, 0.1)]],
    ]


def test_nothing_to_draw() -> None:
    table = AnalysisTable("k", ("x", "y"), [(1, math.nan)], TableAxes("x", "y"))
    with pytest.raises(ValueError, match="column y of the analysis 'k' has no number"):
        plot_analysis(table)
