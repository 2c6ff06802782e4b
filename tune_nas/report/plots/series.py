"""Colors, markers and line styles of the swept values, the same in all plots of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D

from tune_nas.figures.palette import PALETTE, QUIET, sequential_color
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import axis_label, order_key, value_label, values_label
from tune_nas.report.plots.panels import shortened
from tune_nas.report.plots.trial_groups import ENDINGS, TrialGroup, group_trials

Dash = str | tuple[int, tuple[int, ...]]

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Dash, ...] = (
    "solid",
    *((0, (6, 2)), (0, (1, 1)), (0, (5, 2, 1, 2)), (0, (9, 2))),
    *((0, (3, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (2, 3))),
)
MOST_STYLES = len(PALETTE)
"""More values than this are distinguished only by a sequence of colors."""
_MOST_FACETS = 4
_SAMPLES = 5
_END_MARKS = dict(zip(ENDINGS, ("x", "1", "2"), strict=True))


@dataclass(frozen=True)
class Style:
    """How the trials of a group are drawn.

    Args:
        color: As ``#rrggbb``.
        marker: Marker of its points.
        dash: Line style of its mean.
        many: Whether there are so many groups that lines are thin and have no markers.
    """

    color: str
    marker: str = "o"
    dash: Dash = "solid"
    many: bool = False


@dataclass(frozen=True)
class Series:
    """A group with its style.

    Args:
        group: The trials.
        label: Its values as text.
        style: How it is drawn.
        facet: Number of its panel, from 0.
    """

    group: TrialGroup
    label: str
    style: Style
    facet: int = 0


@dataclass(frozen=True)
class SeriesLayout:
    """The groups of a comparison, and how they are told apart.

    Args:
        series: The groups with their styles.
        facets: Titles of the panels; a single empty one unless there are small multiples.
        colors: A sentence that explains the colors; empty if the legend has each group.
        entries: Legend entries: label, style and group of each; None if it is about several.
    """

    series: tuple[Series, ...]
    facets: tuple[str, ...]
    colors: str
    entries: tuple[tuple[str, Style, TrialGroup | None], ...]

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings that occur among the trials."""
        found = {end for one in self.series for end in one.group.endings.values()}
        return tuple(ending for ending in ENDINGS if ending in found)

    def legend(self, *, lines: bool) -> list[Line2D]:
        """Return legend entries, with n for each group that has one.

        Args:
            lines: Whether the groups are drawn as lines, with a mark where a trial ended early,
                rather than as points.
        """
        handles = []
        for label, style, group in self.entries:
            count = "" if group is None else f"n = {group.row.n}"
            text = f"{label} ({count})" if label and count else label or count
            handles.append(
                Line2D(
                    [],
                    [],
                    color=style.color,
                    linestyle=style.dash if lines else "none",
                    marker="none" if lines and style.many else style.marker,
                    markersize=5,
                    linewidth=1.8,
                    label=text,
                )
            )
        return handles + [
            Line2D([], [], color=QUIET, linestyle="none", marker=_END_MARKS[ending], label=ending)
            for ending in (self.endings if lines else ())
        ]


def end_mark(ending: str) -> str:
    """Return the marker of a trial's last value; see `ENDINGS`."""
    return _END_MARKS[ending]


def lay_out_series(comparison: Comparison, *, facets: bool = True) -> SeriesLayout:
    """Distinguish the groups of a comparison.

    Up to eight have a color, marker and line style each. More values of one key have a sequence of
    colors in the order of the values. More combinations of several keys become small multiples by
    a key with few values, if eight are enough in each; otherwise the sequence of colors is the
    ranking.

    Args:
        comparison: The comparison.
        facets: Whether there may be small multiples.
    """
    groups = group_trials(comparison)
    if len(groups) <= MOST_STYLES:
        series = tuple(
            Series(group, shortened(group.row.label), _style(number))
            for number, group in enumerate(groups)
        )
        entries = tuple((each.label, each.style, each.group) for each in series)
        return SeriesLayout(series, ("",), "", entries)
    if facets and (layout := _small_multiples(comparison, groups)) is not None:
        return layout
    if len(comparison.axes) == 1:
        name = axis_label(comparison.axes[0])
        return _sequence(
            groups, f"The color is the order of the values of {name}; the legend names some."
        )
    ranked = {id(row): place for place, row in enumerate(_ranking(comparison))}
    known = sorted(
        (group for group in groups if id(group.row) in ranked), key=lambda g: ranked[id(g.row)]
    )
    unknown = [group for group in groups if id(group.row) not in ranked]
    text = (
        f"The color is the rank by {comparison.rank_by.words}, from blue (best) to yellow (last); "
    )
    text += "the legend names some"
    return _sequence(
        known, f"{text}; gray ones are not ranked." if unknown else f"{text}.", unknown
    )


def _ranking(comparison: Comparison) -> list[object]:
    return [*comparison.ranking(), *comparison.not_repeated()]


def _style(number: int) -> Style:
    return Style(PALETTE[number], _MARKERS[number], _DASHES[number])


def _sequence(
    groups: Sequence[TrialGroup], colors: str, unknown: Sequence[TrialGroup] = ()
) -> SeriesLayout:
    last = max(len(groups) - 1, 1)
    series = [
        Series(group, shortened(group.row.label), Style(sequential_color(number / last), many=True))
        for number, group in enumerate(groups)
    ]
    series += [
        Series(group, shortened(group.row.label), Style(QUIET, many=True)) for group in unknown
    ]
    places = sorted({round(step * last / (_SAMPLES - 1)) for step in range(_SAMPLES)})
    entries = tuple(
        (series[place].label, series[place].style, series[place].group)
        for place in places
        if place < len(groups)
    )
    return SeriesLayout(tuple(series), ("",), colors, entries)


def _small_multiples(comparison: Comparison, groups: Sequence[TrialGroup]) -> SeriesLayout | None:
    """Return panels by the key with the fewest values, or None if that is not enough."""
    values = {
        axis: sorted({group.row.values[axis] for group in groups}, key=order_key)
        for axis in comparison.axes
    }
    for axis in sorted(comparison.axes, key=lambda axis: len(values[axis])):
        rest = [other for other in comparison.axes if other != axis]
        kept = [tuple(group.row.values[other] for other in rest) for group in groups]
        found = dict.fromkeys(kept)
        if not (2 <= len(values[axis]) <= _MOST_FACETS and len(found) <= MOST_STYLES):
            continue
        combinations = sorted(found, key=lambda key: [order_key(value) for value in key])
        labels = [
            shortened(values_label(dict(zip(rest, key, strict=True)))) for key in combinations
        ]
        places = [combinations.index(key) for key in kept]
        series = tuple(
            Series(group, labels[at], _style(at), values[axis].index(group.row.values[axis]))
            for group, at in zip(groups, places, strict=True)
        )
        counts = sorted({group.row.n for group in groups})
        count = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]}–{counts[-1]}"
        entries = tuple(
            (f"{label} ({count})", _style(number), None) for number, label in enumerate(labels)
        )
        facets = tuple(f"{axis_label(axis)} = {value_label(value)}" for value in values[axis])
        return SeriesLayout(series, facets, "", entries)
    return None
