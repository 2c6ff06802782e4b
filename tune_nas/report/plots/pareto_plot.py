"""The Pareto front: accuracy against parameters and multiply-adds."""

from __future__ import annotations

from tune_nas.figures.palette import QUIET
from tune_nas.pareto import pareto_front
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import RETRAIN, metric_name
from tune_nas.report.plots.panels import format_counts, metric_label, new_figure, style_axes
from tune_nas.report.plots.point_plots import best_known_accuracies, draw_points
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.series import Style, lay_out_series
from tune_nas.report.rows import metric_value

_COSTS = ("genotype/parameters", "genotype/multiply_adds")

Point = tuple[float, float]


def plot_pareto_front(comparison: Comparison) -> ReportPlot | None:
    """Draw accuracy against parameters and multiply-adds, with the front of single searches.

    None if fewer than two searches have both an accuracy and a size.
    """
    known = best_known_accuracies(comparison)
    name = known.name
    layout = lay_out_series(comparison, facets=False)
    costs: dict[str, list[tuple[Style, list[Point]]]] = {}
    for cost in _COSTS:
        of_groups = [
            (
                one.style,
                [
                    (size, known.values[trial.trial_id])
                    for trial in one.group.trials
                    if trial.trial_id in known.values
                    and (size := metric_value(trial, cost)) is not None
                ],
            )
            for one in layout.series
        ]
        if name.key != cost and sum(len(of_group) for _, of_group in of_groups) > 1:
            costs[cost] = of_groups
    if not costs:
        return None
    figure = new_figure(2.8 * len(costs), layout.legend(lines=False))
    for number, (cost, groups) in enumerate(costs.items()):
        panel = figure.add_subplot(len(costs), 1, number + 1)
        for style, points in groups:
            draw_points(panel, points, style, size=6)
        pairs = [pair for _, points in groups for pair in points]
        front = sorted({pairs[at] for at in pareto_front(pairs, ("min", known.mode))})
        panel.plot(
            *zip(*front, strict=True),
            color=QUIET,
            linewidth=1.2,
            drawstyle="steps-post",
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgewidth=1.0,
            zorder=2,
        )
        style_axes(panel, metric_label(metric_name(cost)), metric_label(name), grid="both")
        format_counts(panel, x=True)
    what = "one search that ran to its end, with the size of its final network"
    if name.key == RETRAIN:
        what = "one retrained genotype, with its size"
        if known.most > 1:
            what += f"; several runs of one are their mean (n up to {known.most})"
    caption = (
        f"A point is {what}. Circled points are the Pareto front: no other point is at least as "
        "good in both and better in one. It is of single searches, so its accuracies are "
        f"overestimates. {layout.colors}"
    )
    return ReportPlot("pareto-front", "Accuracy and size", " ".join(caption.split()), figure)
