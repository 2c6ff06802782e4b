import math
from collections.abc import Callable

import pytest
from matplotlib.axes import Axes

from tune_nas.figures import render
from tune_nas.report import Report, TrialResult, plot_axis

Make = Callable[..., TrialResult]


def lambda_report(make: Make, values: tuple[object, ...] = (999, "inf", 0, 0.1, 1)) -> Report:
    results = [
        make(value, 80.0 + seed, seed=seed, metrics={"gap": 1.0 + seed})
        for value in values
        for seed in range(3)
    ]
    return Report("lambda", ["update.lambda"], results, "valid_accuracy")


def test_lambda_is_an_ordered_axis_with_inf_last(make_result: Make) -> None:
    figure = plot_axis(lambda_report(make_result))
    accuracy, gap = figure.axes
    for panel in (accuracy, gap):
        assert [tick.get_text() for tick in panel.get_xticklabels()] == [
            *("0", "0.1", "1", "999", "inf")
        ]
        assert panel.get_xlabel() == "λ"
    assert accuracy.get_ylabel() == "supernet valid accuracy [%]"
    dots = [line for line in accuracy.lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in dots] == [[80.0, 81.0, 82.0]] * 5
    (means,) = accuracy.containers
    assert list(means.lines[0].get_ydata()) == [81.0] * 5
    bars = means.lines[2][0].get_segments()
    assert [(low[1], high[1]) for low, high in bars] == [(80.0, 82.0)] * 5
    assert render(figure, "svg").startswith(b"<?xml")


def test_activations_are_an_axis_too(make_result: Make) -> None:
    results = [
        make_result(0, 90.0, trial_id=kind, parameters={"relaxation.kind": kind})
        for kind in ("softmax", "sigmoid")
    ]
    report = Report("activation", ["relaxation.kind"], results, "valid_accuracy")
    (panel,) = plot_axis(report).axes
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["sigmoid", "softmax"]
    assert panel.get_xlabel() == "relaxation"


def test_a_second_axis_is_a_color(make_result: Make) -> None:
    results = [
        make_result(
            value,
            90.0,
            trial_id=f"{value}{order}",
            parameters={"update.lambda": value, "update.order": order},
        )
        for value in (0, math.inf)
        for order in (2, 1)
    ]
    report = Report("s", ["update.lambda", "update.order"], results, "valid_accuracy")
    (panel,) = plot_axis(report).axes
    legend = panel.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["order = 1", "order = 2"]


def test_many_axes_are_panels_and_many_numbers_a_scale(make_result: Make) -> None:
    results = [
        make_result(0, 90.0, trial_id=str(i), parameters={"a": 10.0 ** -(i / 5), "b": i, "c": "x"})
        for i in range(20)
    ]
    first, second, third = plot_axis(Report("s", ["a", "b", "c"], results, "valid_accuracy")).axes
    assert (first.get_xscale(), second.get_xscale()) == ("log", "linear")
    assert [tick.get_text() for tick in third.get_xticklabels()] == ["x"]


def test_the_names_of_many_methods_stay_apart(make_result: Make) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    names = [f"bilevel-then-milenas-{letter}" for letter in "abcdefghijklmnopqrstu"]
    results = [make_result(0, 90.0, trial_id=name, parameters={"trial": name}) for name in names]
    figure = plot_axis(Report("methods", ["trial"], results, "valid_accuracy"))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == names
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
    assert all(box.y0 >= 0 for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def sampled(make: Make) -> list[TrialResult]:
    """Eight searches, of which λ = 2 and λ = 3 were repeated with two new seeds each."""
    results = [make(value, 80.0 + value) for value in range(8)]
    return results + [
        make(value, 70.0 + value + seed, seed=seed, phase="repeat", trial_id=f"r{value}{seed}")
        for value in (2, 3)
        for seed in (1, 2)
    ]


def marks(panel: Axes, marker: str) -> list[tuple[float, list[float]]]:
    """Return what is drawn with a marker: x rounded to a category, and the heights."""
    lines = [line for line in panel.lines if line.get_marker() == marker and len(line.get_xdata())]
    points = [(round(float(line.get_xdata()[0])), list(line.get_ydata())) for line in lines]
    return sorted(points)


def test_a_sampled_sweep_shows_every_search_and_marks_the_repeats(make_result: Make) -> None:
    figure = plot_axis(Report("s", ["update.lambda"], sampled(make_result), "valid_accuracy"))
    (panel,) = figure.axes
    assert marks(panel, "o") == [(value, [80.0 + value]) for value in range(8)]
    assert marks(panel, "s") == [(2, [73.0, 74.0]), (3, [74.0, 75.0])]
    (means,) = panel.containers
    heights = list(means.lines[0].get_ydata())
    assert heights[2:4] == [73.5, 74.5] and all(map(math.isnan, heights[:2] + heights[4:]))
    assert "a dot is a search, a square a repeat" in figure.get_suptitle()


def test_single_trials_are_not_joined(make_result: Make) -> None:
    values = {0: (90.0, 92.0), 1: (80.0,), 2: (70.0, 72.0), 3: (60.0, 62.0)}
    results = [make_result(v, a, seed=s) for v, of in values.items() for s, a in enumerate(of)]
    results += [
        make_result(
            v, phase="retrain", trial_id=f"r{v}", parent=f"{v}-0", metrics={"test_accuracy": 9}
        )
        for v in values
    ]
    report = Report("s", ["update.lambda"], results, "valid_accuracy")
    accuracy, retrained = plot_axis(report).axes
    (means,) = accuracy.containers
    heights = list(means.lines[0].get_ydata())
    assert math.isnan(heights[1]) and heights[:1] + heights[2:] == [91.0, 71.0, 61.0]
    assert marks(accuracy, "o")[1] == (1, [80.0])
    # Every value was retrained once: four points, no line.
    assert retrained.containers == [] and len(marks(retrained, "o")) == 4
    assert all(line.get_linestyle() == "None" for line in retrained.lines)


def test_two_ranges_are_two_panels_and_absent_values_have_no_place(make_result: Make) -> None:
    results = [
        make_result(0, 80.0, trial_id=str(i), parameters={"a": 1.5**i, "b": i}) for i in range(14)
    ]
    results.append(make_result(0, 85.0, trial_id="x", parameters={"a": 1.0}))
    one, two = plot_axis(Report("s", ["a", "b"], results, "valid_accuracy")).axes
    assert (len(marks(one, "o")), len(marks(two, "o"))) == (15, 14)
    assert one.get_legend() is None
    assert two.get_xlim()[1] < 20


def test_nothing_to_plot_is_said(make_result: Make) -> None:
    with pytest.raises(ValueError, match="no search that can be ranked"):
        plot_axis(Report("s", ["update.lambda"], [], "valid_accuracy"))


def test_searches_that_ended_otherwise_are_crosses_and_in_no_mean(make_result: Make) -> None:
    """With early stopping, most searches of a sampled sweep are not finished."""
    results = [make_result(v, 80.0 + v) for v in range(3)]
    results += [make_result(v, 20.0 + v, status="stopped early") for v in range(3, 7)]
    results.append(make_result(7, 5.0, metrics={"train_loss": math.nan}))
    results += [
        make_result(2, 70.0 + seed, seed=seed, phase="repeat", trial_id=f"r{seed}")
        for seed in (1, 2)
    ]
    figure = plot_axis(Report("s", ["update.lambda"], results, "valid_accuracy"))
    (panel,) = figure.axes
    assert [tick.get_text() for tick in panel.get_xticklabels()] == [*map(str, range(8))]
    assert marks(panel, "o") == [(0, [80.0]), (1, [81.0]), (2, [82.0])]
    assert marks(panel, "x") == [*((v, [20.0 + v]) for v in range(3, 7)), (7, [5.0])]
    assert marks(panel, "s") == [(2, [71.0, 72.0])]
    (means,) = panel.containers
    assert [height for height in means.lines[0].get_ydata() if not math.isnan(height)] == [71.5]
    title = figure.get_suptitle()
    assert (
        "a cross one that ended otherwise (stopped early or diverged), excluded from means" in title
    )
    assert "mean of n = 2 ±" in title


def test_different_n_are_written_beside_the_means(make_result: Make) -> None:
    values = {0: (90.0, 92.0), 1: (80.0, 82.0, 84.0), 2: (70.0,)}
    results = [make_result(v, a, seed=s) for v, of in values.items() for s, a in enumerate(of)]
    report = Report("s", ["update.lambda"], results, "valid_accuracy")
    figure = plot_axis(report)
    assert [(text.get_text(), text.xy) for text in figure.axes[0].texts] == [
        ("n=2", (0.0, 91.0)),
        ("n=3", (1.0, 82.0)),
    ]
    assert "mean ±" in figure.get_suptitle()
    same = plot_axis(lambda_report(make_result))
    assert "mean of n = 3 ±" in same.get_suptitle() and not same.axes[0].texts


def test_stacked_panels_share_the_width_of_a_page(make_result: Make) -> None:
    figure = plot_axis(lambda_report(make_result), stacked=True)
    assert figure.get_figwidth() == 5.4 and figure.get_suptitle() == ""
    upper, lower = (panel.get_subplotspec().rowspan.start for panel in figure.axes)
    assert (upper, lower) == (0, 1)


def test_the_end_of_a_slanted_label_is_below_its_tick(make_result: Make) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    names = [f"bilevel-then-milenas-{letter}" for letter in "abcdef"]
    results = [make_result(0, 90.0, trial_id=name, parameters={"trial": name}) for name in names]
    figure = plot_axis(Report("methods", ["trial"], results, "valid_accuracy"), stacked=True)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    panel = figure.axes[0]
    for place, label in enumerate(panel.get_xticklabels()):
        box = label.get_window_extent(canvas.get_renderer())
        tick, _ = panel.transData.transform((place, 0))
        assert box.x1 - 12 <= tick <= box.x1 + 12 and box.x0 >= 0 and box.y0 >= 0
