"""All plots of a report together: which there are, how large they are, and what they show."""

import math
from collections.abc import Callable

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tune_nas.figures import render
from tune_nas.report import Report, TrialResult
from tune_nas.report.plots.draw_plots import draw_plots

Make = Callable[..., TrialResult]
SAMPLED = ("optimizer.weights.learning_rate", "update.level", "update.lambda")


def epoch_metrics(rng: np.random.Generator, epoch: int, level: float) -> dict[str, float]:
    noise = rng.normal(size=8)
    size = float(rng.integers(2, 9))
    return {
        "epoch": epoch,
        "seconds": 3.0 + abs(noise[0]),
        "valid_accuracy": 90 * level * (1 - 0.9**epoch) + noise[1],
        "gap": 5 + noise[2],
        "genotype/skips": 8 - size,
        "genotype/convolutions": size,
        "genotype/parameters": 1e6 + 1e5 * size + abs(noise[3]),
        "genotype/multiply_adds": 1e8 + 1e7 * size + abs(noise[4]),
        "skip_advantage": noise[5] / 100,
        "benchmark/cifar10_test": 93 + noise[6],
        "benchmark/cifar100_test": 70 + noise[7],
    }


def sampled_sweep(make: Make, n_trials: int = 40, n_epochs: int = 50) -> list[TrialResult]:
    """Searches of a sampled sweep with a condition, two of which diverge; two are repeated."""
    rng = np.random.default_rng(0)
    results = []
    for number in range(n_trials):
        parameters = {SAMPLED[0]: 10 ** rng.uniform(-2.5, -0.5), SAMPLED[1]: "bilevel"}
        if number % 2:
            parameters |= {SAMPLED[1]: "mixed", SAMPLED[2]: [0.1, 1.0, "inf"][number % 3]}
        level = rng.uniform(0.3, 1)
        early = number % 4 == 3
        length = n_epochs // 3 or 1 if early else n_epochs
        for seed in range(3 if number < 2 else 1):
            history = [epoch_metrics(rng, epoch + 1, level) for epoch in range(length)]
            if number in (5, 6):
                history[-1] |= {"valid_accuracy": math.nan, "gap": math.inf}
            results.append(
                make(
                    number,
                    trial_id=f"t{number}-{seed}",
                    seed=seed,
                    phase="repeat" if seed else "search",
                    parameters=parameters,
                    status="stopped early" if early and not seed else "finished",
                    metrics=history[-1],
                    history=history,
                )
            )
    return results


def svg(figure: Figure) -> bytes:
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # as a page has it
        return render(figure, "svg")


def test_every_plot_of_forty_trials_is_small(make_result: Make) -> None:
    results = sampled_sweep(make_result)
    plots = list(draw_plots(Report("s", list(SAMPLED), results, "valid_accuracy")))
    assert [plot.key for plot in plots] == [
        *("by-value", "accuracy-by-epoch", "true-accuracies", "gap-by-epoch"),
        *("operations-by-epoch", "skip-dominance", "size-by-epoch", "accuracy-by-size"),
        *("search-time", "pareto-front", "anytime", "importance", "parallel-coordinates"),
    ]
    for plot in plots:
        content = svg(plot.figure)
        # A page rounds its numbers, a quarter less; these random genotypes visit every size.
        most = 95_000 if plot.key == "accuracy-by-size" else 85_000
        assert len(content) < most, plot.key
        assert b"<image" not in content, plot.key
        assert plot.caption.endswith(".") and "  " not in plot.caption
        assert "nan" not in plot.caption and plot.title


def test_without_trials_there_are_no_plots(make_result: Make) -> None:
    assert list(draw_plots(Report("s", ["update.lambda"], [], "valid_accuracy"))) == []
    failed = make_result(1, status="failed", error="OSError: disk full")
    assert list(draw_plots(Report("s", ["update.lambda"], [failed], "valid_accuracy"))) == []


def test_retraining_runs_without_searches_are_no_points_by_value(make_result: Make) -> None:
    """Two retraining grids, compared: each row has retraining runs alone."""
    results = [
        make_result(
            name, phase="retrain", parameters={"sweep": name}, metrics={"test_accuracy": value}
        )
        for name, value in (("a", 90.0), ("b", 80.0))
    ]
    report = Report("a, b", ["sweep"], results, "retrain/test_accuracy")
    assert [row.values for row in report.ranking()] == [{"sweep": "a"}, {"sweep": "b"}]
    assert "by-value" not in [plot.key for plot in draw_plots(report)]


def test_a_single_search_without_swept_keys(make_result: Make) -> None:
    rng = np.random.default_rng(0)
    history = [epoch_metrics(rng, 1, 0.5)]
    result = make_result(1, parameters={}, metrics=history[-1], history=history)
    plots = list(draw_plots(Report("s", [], [result], "valid_accuracy")))
    assert [plot.key for plot in plots] == [
        *("accuracy-by-epoch", "true-accuracies", "gap-by-epoch", "operations-by-epoch"),
        *("skip-dominance", "size-by-epoch", "accuracy-by-size"),
    ]
    for plot in plots:
        assert len(svg(plot.figure)) > 1000
    assert [text.get_text() for text in plots[0].figure.legends[0].get_texts()] == ["n = 1"]


def test_few_sampled_searches_have_no_importance_and_the_reason(make_result: Make) -> None:
    results = sampled_sweep(make_result, n_trials=6, n_epochs=3)
    plots = list(draw_plots(Report("s", list(SAMPLED), results, "valid_accuracy")))
    assert "importance" not in [plot.key for plot in plots]
    assert "not estimated from fewer than 10 searches; here are 6" in plots[-1].caption


def test_long_labels_neither_overlap_nor_leave_the_figure(make_result: Make) -> None:
    rng = np.random.default_rng(0)
    results = []
    for number in range(8):
        name = f"a-trial-file-with-a-long-name-for-the-space-and-the-relaxation-{number}.yaml"
        history = [epoch_metrics(rng, epoch, 0.5) for epoch in (1, 2)]
        results.append(
            make_result(
                0,
                trial_id=name,
                parameters={"trial": name, "relaxation.kind": "softmax"},
                metrics=history[-1],
                history=history,
            )
        )
    report = Report("s", ["trial", "relaxation.kind"], results, "valid_accuracy")
    for plot in draw_plots(report):
        canvas = FigureCanvasAgg(plot.figure)
        canvas.draw()
        width, height = canvas.get_width_height()
        texts = [text for legend in plot.figure.legends for text in legend.get_texts()]
        for panel in plot.figure.axes:
            low, high = panel.get_xlim()
            texts += [
                tick.label1
                for tick in panel.xaxis.get_major_ticks()
                if low <= tick.get_loc() <= high and tick.label1.get_visible()
            ]
        boxes = [t.get_window_extent(canvas.get_renderer()) for t in texts if t.get_text()]
        assert all(box.x0 >= -1 and box.x1 <= width + 1 for box in boxes), plot.key
        assert all(box.y0 >= -1 and box.y1 <= height + 1 for box in boxes), plot.key
        corners = [box.shrunk(0.98, 0.98) for box in boxes]
        overlapping = [
            (texts[i].get_text(), texts[j].get_text())
            for i, box in enumerate(corners)
            for j in range(i)
            if box.overlaps(corners[j]) and plot.key != "by-value"  # rotated: boxes overlap
        ]
        assert overlapping == [], plot.key
