"""Plots by epoch: the lines, bands and counts are those computed by hand."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tune_nas.figures.palette import PALETTE, sequential_color
from tune_nas.report import Report, TrialResult
from tune_nas.report.plots.accuracy_by_epoch import plot_accuracy_by_epoch
from tune_nas.report.plots.gap_by_epoch import plot_gap_by_epoch
from tune_nas.report.plots.operations_by_epoch import plot_operations_by_epoch
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.size_by_epoch import plot_size_by_epoch
from tune_nas.report.plots.thinning import thin
from tune_nas.report.plots.true_accuracies import plot_true_accuracies

Make = Callable[..., TrialResult]


def searched(make: Make, value: object, accuracies: Sequence[float], **more: object) -> TrialResult:
    """A search with these validation accuracies by epoch."""
    history = [{"valid_accuracy": accuracy} for accuracy in accuracies]
    return make(value, accuracies[-1], history=history, **more)


def report(results: list[TrialResult], *axes: str) -> Report:
    return Report("s", list(axes or ["update.lambda"]), results, "valid_accuracy")


def drawn(plot: ReportPlot | None) -> Figure:
    assert plot is not None
    return plot.figure


def lines(panel: Axes, *, thick: bool) -> list[tuple[str, list[float], list[float]]]:
    """Color, epochs and values of the lines of means (thick), or of single trials."""
    return [
        (str(line.get_color()), list(line.get_xdata()), list(line.get_ydata()))
        for line in panel.lines
        if line.get_linestyle() != "None" and (line.get_linewidth() == 2) == thick
    ]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_mean_has_its_band_its_n_and_the_single_trials(make_result: Make) -> None:
    results = [
        searched(make_result, 1, (10.0, 30.0, 50.0), seed=0),
        searched(make_result, 1, (20.0, 20.0, 80.0), seed=1),
        searched(make_result, 1, (30.0, 40.0, 50.0), seed=2),
        searched(make_result, "inf", (5.0, 6.0, 7.0), seed=0),
    ]
    plot = plot_accuracy_by_epoch(report(results))
    figure = drawn(plot)
    (panel,) = figure.axes
    assert lines(panel, thick=True) == [(PALETTE[0], [1, 2, 3], [20.0, 30.0, 60.0])]
    assert [values for _, _, values in lines(panel, thick=False)] == [
        *([10, 30, 50], [20, 20, 80], [30, 40, 50]),
        [5, 6, 7],
    ]
    (band,) = panel.patches
    assert band.get_xy().tolist()[:6] == [[1, 10], [2, 20], [3, 50], [3, 80], [2, 40], [1, 30]]
    assert legend(figure) == ["λ = 1 (n = 3)", "λ = inf (n = 1)"]
    assert plot is not None and "mean of the n = 3 searches" in plot.caption
    assert "smallest to the largest" in plot.caption and "MiLeNAS, Fig. 2b" in plot.caption
    assert panel.get_ylabel() == "supernet valid accuracy [%]"


def test_what_ended_early_is_marked_and_in_no_mean(make_result: Make) -> None:
    results = [
        searched(make_result, 1, (10.0, 30.0), seed=0),
        searched(make_result, 1, (20.0, 50.0), seed=1),
        searched(make_result, 1, (90.0,), seed=2, status="stopped early"),
        searched(make_result, 1, (80.0, math.nan), seed=3),
        searched(make_result, 1, (70.0,), seed=4, status="failed", error="OSError: disk"),
    ]
    plot = plot_accuracy_by_epoch(report(results))
    figure = drawn(plot)
    (panel,) = figure.axes
    assert lines(panel, thick=True) == [(PALETTE[0], [1, 2], [15.0, 40.0])]
    marks = {
        str(line.get_marker()): (list(line.get_xdata()), list(line.get_ydata()))
        for line in panel.lines
        if line.get_linestyle() == "None"
    }
    assert marks == {"x": ([1], [90]), "2": ([1], [80]), "1": ([1], [70])}
    assert legend(figure) == ["λ = 1 (n = 2)", "stopped early", "failed", "diverged"]
    assert plot is not None
    assert "marked as stopped early, failed or diverged are excluded from means" in plot.caption


def test_a_mean_ends_where_not_all_have_a_value(make_result: Make) -> None:
    one = searched(make_result, 1, (10.0, 30.0, 50.0), seed=0)
    other = searched(make_result, 1, (20.0, math.inf, 70.0), seed=1)
    shorter = searched(make_result, 1, (30.0, 60.0), seed=2)
    (panel,) = drawn(plot_accuracy_by_epoch(report([one, other, shorter]))).axes
    ((_, epochs, means),) = lines(panel, thick=True)
    assert (epochs, means) == ([1], [20.0])
    values = lines(panel, thick=False)[1][2]
    assert values[::2] == [20.0, 70.0] and math.isnan(values[1])


def test_repeats_have_the_mean_and_their_search_a_line(make_result: Make) -> None:
    results = [searched(make_result, 1, (90.0, 95.0))]
    results += [
        searched(
            make_result, 1, (10.0, 20.0 + seed), seed=seed, phase="repeat", trial_id=f"r{seed}"
        )
        for seed in (1, 2)
    ]
    plot = plot_accuracy_by_epoch(report(results))
    (panel,) = drawn(plot).axes
    assert lines(panel, thick=True) == [(PALETTE[0], [1, 2], [10.0, 21.5])]
    assert [values for *_, values in lines(panel, thick=False)] == [[10, 21], [10, 22], [90, 95]]
    assert plot is not None and "n = 2 repeats" in plot.caption


def test_one_trial_of_one_epoch_is_a_point(make_result: Make) -> None:
    plot = plot_accuracy_by_epoch(report([searched(make_result, 1, (12.5,))]))
    (panel,) = drawn(plot).axes
    (line,) = panel.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1], [12.5])
    assert line.get_marker() == "o" and line.get_markersize() == 4
    low, high = panel.get_xlim()
    assert [tick for tick in panel.get_xticks() if low <= tick <= high] == [1]
    assert plot is not None and "mean" not in plot.caption.replace("no mean", "")


def test_without_data_there_is_no_plot(make_result: Make) -> None:
    empty = report([])
    old = report([make_result(1, 90.0)])  # no history
    lost = report([searched(make_result, 1, (math.nan,))])
    for plot in (plot_accuracy_by_epoch, plot_gap_by_epoch, plot_operations_by_epoch):
        assert [plot(each) for each in (empty, old, lost)] == [None] * 3
    assert plot_size_by_epoch(lost) is None and plot_true_accuracies(lost) is None


def test_many_values_of_one_key_are_a_sequence_of_colors(make_result: Make) -> None:
    results = [searched(make_result, value, (1.0, float(value))) for value in range(10)]
    plot = plot_accuracy_by_epoch(report(results))
    figure = drawn(plot)
    colors = [color for color, *_ in lines(figure.axes[0], thick=False)]
    assert colors == [sequential_color(value / 9) for value in range(10)]
    assert len(set(colors)) == 10
    assert legend(figure) == [f"λ = {value} (n = 1)" for value in (0, 2, 4, 7, 9)]
    assert plot is not None and "order of the values of λ" in plot.caption


def two_keys(make: Make, first: int, second: int) -> list[TrialResult]:
    return [
        searched(
            make,
            f"{a}-{b}",
            (10.0, 10.0 * a + b),
            parameters={"optimizer.weights.learning_rate": 0.1 + a, "update.order": b},
        )
        for a in range(first)
        for b in range(second)
    ]


def test_combinations_of_two_keys_are_small_multiples(make_result: Make) -> None:
    results = two_keys(make_result, 6, 2)
    axes = ["optimizer.weights.learning_rate", "update.order"]
    figure = drawn(plot_accuracy_by_epoch(report(results, *axes)))
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["order = 0", "order = 1"]
    for order, panel in enumerate(figure.axes):
        shown = lines(panel, thick=False)
        assert [color for color, *_ in shown] == list(PALETTE[:6])
        assert [values[-1] for *_, values in shown] == [10.0 * a + order for a in range(6)]
    assert legend(figure)[0] == "w learning rate = 0.1 (n = 1)"


def test_many_combinations_are_colored_by_rank(make_result: Make) -> None:
    results = two_keys(make_result, 10, 6)
    axes = ["optimizer.weights.learning_rate", "update.order"]
    plot = plot_accuracy_by_epoch(report(results, *axes))
    shown = lines(drawn(plot).axes[0], thick=False)
    best_first = [color for color, *_ in sorted(shown, key=lambda line: -line[2][-1])]
    assert best_first == [sequential_color(place / 59) for place in range(60)]
    assert plot is not None and "blue (best)" in plot.caption


def test_many_keys_that_all_vary_are_colored_by_rank(make_result: Make) -> None:
    """Of 12 keys with 60 values each there are 10^21 combinations, of which 60 were tried."""
    keys = [f"extra.key{number}" for number in range(12)]
    results = [
        searched(make_result, f"t{n}", (10.0, 20.0 + n), parameters=dict.fromkeys(keys, n))
        for n in range(60)
    ]
    plot = plot_accuracy_by_epoch(report(results, *keys))
    shown = lines(drawn(plot).axes[0], thick=False)
    best_first = [color for color, *_ in sorted(shown, key=lambda line: -line[2][-1])]
    assert best_first == [sequential_color(place / 59) for place in range(60)]


def test_each_metric_has_a_panel_of_its_own(make_result: Make) -> None:
    names = ("gap", "genotype/skips", "genotype/convolutions", "genotype/parameters")
    history = [{name: 10.0 * at + place for at, name in enumerate(names)} for place in range(3)]
    history = [
        {**epoch, "benchmark/cifar10_test": 90.0, "benchmark/cifar100_test": 70.0 + place}
        | {"benchmark/cifar10_valid": 80.0, "benchmark/cifar10_test_regret": 4.0}
        for place, epoch in enumerate(history)
    ]
    made = report([make_result(1, 90.0, history=history)])
    found = {
        plot.key: [(panel.get_ylabel(), list(panel.lines[0].get_ydata())) for panel in axes]
        for draw in (plot_gap_by_epoch, plot_operations_by_epoch, plot_size_by_epoch)
        if (plot := draw(made)) and (axes := plot.figure.axes)
    }
    assert found == {
        "gap-by-epoch": [("train-valid gap [points]", [0, 1, 2])],
        "operations-by-epoch": [
            ("number of skips", [10, 11, 12]),
            ("number of convolutions", [20, 21, 22]),
        ],
        "size-by-epoch": [("number of parameters", [30, 31, 32])],
    }
    true = drawn(plot_true_accuracies(made)).axes
    assert [(panel.get_ylabel(), list(panel.lines[0].get_ydata())) for panel in true] == [
        ("cifar10 test [%]", [90, 90, 90]),
        ("cifar100 test [%]", [70, 71, 72]),
    ]


def test_thinning_keeps_ends_and_spikes() -> None:
    line = [(float(x), 0.0) for x in range(100)]
    line[37] = (37.0, 5.0)
    kept = thin(line, 5)
    assert len(kept) == 5 and kept[0] == line[0] and kept[-1] == line[-1]
    assert line[36] in kept and line[37] in kept and line[38] in kept
    assert thin(line[:5], 5) == line[:5]
    broken = [*line[:50], (50.0, math.nan), *line[51:]]
    assert len(thin(broken, 7)) == 7


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.6, 0.9, 1.0])
def test_colors_of_a_sequence_are_readable_on_light_and_dark(share: float) -> None:
    """Contrast by WCAG 2: at least 3 for graphics."""
    channels = np.array(list(bytes.fromhex(sequential_color(share)[1:]))) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    assert 1.05 / (luminance + 0.05) >= 3
    assert (luminance + 0.05) / (0.009 + 0.05) >= 3  # on #14181d
