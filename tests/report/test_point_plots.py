"""Plots of points: sizes, search times, fronts and the best so far are those found by hand."""

import math
from collections.abc import Callable

import pytest
from matplotlib.axes import Axes

from tune_nas.report import Report, TrialResult
from tune_nas.report.plots.accuracy_by_size import plot_accuracy_by_size
from tune_nas.report.plots.anytime_plot import anytime_curve, plot_anytime
from tune_nas.report.plots.pareto_plot import plot_pareto_front
from tune_nas.report.plots.search_time import plot_search_time, times_by_update
from tune_nas.report.plots.skip_dominance import plot_skip_dominance

Make = Callable[..., TrialResult]


def report(
    results: list[TrialResult], *axes: str, rank_by: str = "valid_accuracy", mode: str = "max"
) -> Report:
    return Report("s", list(axes or ["update.lambda"]), results, rank_by, mode)


def points(panel: Axes) -> list[tuple[float, float]]:
    """The filled points of a panel."""
    found = [
        point
        for line in panel.lines
        if line.get_linestyle() == "None"
        for point in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]
    return [(float(x), float(y)) for x, y in found]


def test_the_best_epoch_of_each_size(make_result: Make) -> None:
    def search(value: int, *epochs: tuple[float, float]) -> TrialResult:
        history = [{"genotype/convolutions": n, "valid_accuracy": a} for n, a in epochs]
        return make_result(value, 1.0, history=history)

    results = [search(0, (3, 10), (3, 30), (5, 20)), search(1, (5, 40), (3, math.nan), (4, 5))]
    plot = plot_accuracy_by_size(report(results))
    assert plot is not None
    (panel,) = plot.figure.axes
    rounded = sorted((round(x), y) for x, y in points(panel))
    assert rounded == [(3, 30), (4, 5), (5, 20), (5, 40)]
    bars = {round((left + right) / 2): y for ((left, y), (right, _)) in _bars(panel)}
    assert bars == {3: 30, 4: 5, 5: 40}
    # the two searches of five convolutions are beside each other
    first, second = sorted(x for x, y in points(panel) if y in (20, 40))
    assert second - first == pytest.approx(0.28)
    assert plot_accuracy_by_size(report([make_result(1, 90.0)])) is None


def _bars(panel: Axes) -> list[list[tuple[float, float]]]:
    return [segment.tolist() for bars in panel.collections for segment in bars.get_segments()]


def test_skip_dominance_is_a_path_for_each_search(make_result: Make) -> None:
    history = [
        {"valid_accuracy": 10.0, "skip_advantage": -0.1},
        {"valid_accuracy": math.nan, "skip_advantage": 0.0},
        {"valid_accuracy": 30.0, "skip_advantage": 0.2},
    ]
    plot = plot_skip_dominance(report([make_result(1, 30.0, history=history)]))
    assert plot is not None
    (panel,) = plot.figure.axes
    path = panel.lines[0]
    assert (list(path.get_xdata()), list(path.get_ydata())) == ([10.0, 30.0], [-0.1, 0.2])
    assert points(panel) == [(30.0, 0.2)]
    other = [{"valid_accuracy": 10.0}]  # of a space without skip connections
    assert plot_skip_dominance(report([make_result(1, 30.0, history=other)])) is None


def test_search_time_by_level_and_order(make_result: Make) -> None:
    def search(level: str, value: float, seed: int, **more: object) -> TrialResult:
        parameters = {"update.level": level, "update.lambda": value}
        history = [{"seconds": 10.0 * value}, {"seconds": 5.0 + seed}]
        name = f"{level}{value}{seed}"
        return make_result(
            0, 1.0, seed=seed, trial_id=name, parameters=parameters, history=history, **more
        )

    results = [search("mixed", 1.0, 0), search("mixed", 2.0, 1), search("bilevel", 1.0, 0)]
    results.append(search("bilevel", 1.0, 1, status="stopped early"))
    made = report(results, "update.level", "update.lambda")
    assert times_by_update(made) == {("bilevel",): [15.0], ("mixed",): [15.0, 26.0]}
    plot = plot_search_time(made)
    assert plot is not None and "over all values of λ" in plot.caption
    (panel,) = plot.figure.axes
    labels = [tick.get_text() for tick in panel.get_xticklabels()]
    assert labels == ["level bilevel\nn = 1", "level mixed\nn = 2"]
    (mean,) = panel.containers
    assert list(mean.lines[0].get_ydata()) == [20.5]
    ((low, high),) = ([y for _, y in bar] for bar in mean.lines[2][0].get_segments())
    assert (high - low) / 2 == pytest.approx(11 / math.sqrt(2))
    assert plot_search_time(report([make_result(1, 90.0)])) is None


def sized(
    make: Make, value: int, accuracy: float, parameters: float, **more: object
) -> TrialResult:
    return make(value, accuracy, metrics={"genotype/parameters": parameters}, **more)


def test_the_front_of_accuracy_and_parameters(make_result: Make) -> None:
    """(100, 50), (200, 70), (400, 90) are the front; (300, 60) and (400, 80) are dominated."""
    data = {0: (50.0, 100), 1: (70.0, 200), 2: (60.0, 300), 3: (90.0, 400), 4: (80.0, 400)}
    results = [sized(make_result, v, a, p) for v, (a, p) in data.items()]
    results.append(sized(make_result, 5, 99.0, 50, status="stopped early"))
    results.append(sized(make_result, 6, math.nan, 50))
    plot = plot_pareto_front(report(results))
    assert plot is not None
    (panel,) = plot.figure.axes  # multiply-adds are not known
    assert sorted(points(panel)) == [(100, 50), (200, 70), (300, 60), (400, 80), (400, 90)]
    (front,) = [line for line in panel.lines if line.get_markersize() == 11]
    assert list(zip(front.get_xdata(), front.get_ydata(), strict=True)) == [
        *((100, 50), (200, 70), (400, 90)),
    ]
    assert plot_pareto_front(report(results[:1])) is None


def test_a_smaller_loss_is_better_on_the_front(make_result: Make) -> None:
    results = [
        make_result(v, 1.0, metrics={"genotype/multiply_adds": size, "valid_loss": loss})
        for v, size, loss in ((0, 10, 3.0), (1, 20, 2.0), (2, 30, 2.5))
    ]
    plot = plot_pareto_front(report(results, rank_by="valid_loss", mode="min"))
    assert plot is not None
    (panel,) = plot.figure.axes
    (front,) = [line for line in panel.lines if line.get_markersize() == 11]
    assert (list(front.get_xdata()), list(front.get_ydata())) == ([10, 20], [3.0, 2.0])
    assert panel.get_xlabel() == "number of multiply-adds"


def test_the_front_prefers_retrained_accuracies(make_result: Make) -> None:
    results = [sized(make_result, v, 90.0 - v, 100 + v) for v in range(3)]
    results += [
        make_result(
            v, phase="retrain", trial_id=f"r{v}{n}", parent=f"{v}-0", metrics={"test_accuracy": a}
        )
        for v, n, a in ((0, 0, 60.0), (0, 1, 70.0), (2, 0, 80.0))
    ]
    plot = plot_pareto_front(report(results))
    assert plot is not None and "n up to 2" in plot.caption
    assert sorted(points(plot.figure.axes[0])) == [(100, 65), (102, 80)]
    assert plot.figure.axes[0].get_ylabel() == "retrain test accuracy [%]"


def test_the_best_so_far_by_hand(make_result: Make) -> None:
    def search(number: int, accuracy: float, seconds: float, **more: object) -> TrialResult:
        history = [{"seconds": seconds / 2}] * 2
        return make_result(number, accuracy, history=history, **more)

    results = [
        search(0, 10.0, 4.0),
        search(1, 99.0, 2.0, status="stopped early"),
        search(2, 30.0, 6.0),
        search(3, math.nan, 2.0),
        search(4, 20.0, 2.0),
        search(4, 98.0, 2.0, seed=1, phase="repeat"),
    ]
    curve = anytime_curve(report(results))
    assert [point.epochs for point in curve] == [2, 4, 6, 8, 10]
    assert [point.seconds for point in curve] == [4.0, 6.0, 12.0, 14.0, 16.0]
    assert [point.best for point in curve] == [10.0, 10.0, 30.0, 30.0, 30.0]
    worst = anytime_curve(report(results, mode="min"))
    assert [point.best for point in worst] == [10.0] * 5
    plot = plot_anytime(report(results))
    assert plot is not None and "A cross is a search that did not run" in plot.caption
    epochs, seconds = plot.figure.axes
    assert sorted(points(epochs)) == [(2, 10), (4, 99), (6, 30), (10, 20)]
    assert sorted(points(seconds)) == [(4, 10), (6, 99), (12, 30), (16, 20)]
    assert plot_anytime(report(results[:2])) is None


def test_large_numbers_have_units(make_result: Make) -> None:
    results = [sized(make_result, v, 90.0 + v, size) for v, size in ((0, 500.0), (1, 1.5e6))]
    plot = plot_pareto_front(report(results))
    assert plot is not None
    write = plot.figure.axes[0].xaxis.get_major_formatter()
    assert [write(number) for number in (500, 12_500, 1_500_000)] == ["500", "12.5 k", "1.5 M"]
