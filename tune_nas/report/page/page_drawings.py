"""The drawings of a report page: plots, the best cells, and α by edge within a size limit."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tune_nas.errors import TuneNasError
from tune_nas.figures import draw_cells, plot_alphas
from tune_nas.paths import is_file
from tune_nas.report.comparison import Comparison, best_of
from tune_nas.report.page.inline_svg import inline_svg
from tune_nas.report.plots.draw_plots import draw_plots
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import Row
from tune_nas.report.run_details import RunDetails
from tune_nas.shipped import shipped_names
from tune_nas.spaces import Genotype, load_space

MOST_PLOT_CHARACTERS = 1_600_000
MOST_ALPHA_CHARACTERS = 800_000
"""Size of all drawings of α in a page; those of the best configurations come first."""
_MOST_CELLS = 5
_HALF_PAGE = 7.5  # inches
_MOST_EPOCHS = 50

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Args:
        key: Its id.
        title: Its heading.
        caption: A sentence about its content.
        svg: The figure; empty if it cannot be drawn.
        text: A text that belongs to it, e.g. a genotype.
        large: Whether it is too wide for half of a page.
    """

    key: str
    title: str
    caption: str
    svg: Markup
    text: str = ""
    large: bool = False


def plots(comparison: Comparison, details: RunDetails) -> tuple[list[Drawing], list[str]]:
    """Return the plots of the comparison, and the titles of those that the page has no room for."""
    if not details.plotted:
        return [], []
    drawn: list[Drawing] = []
    left_out: list[str] = []
    for plot in draw_plots(comparison):
        try:
            svg = inline_svg(plot.figure, plot.key, plot.title)
        except Exception as error:  # e.g. of an axis near the largest number
            reason = f"{type(error).__name__}: {error}"
            _logger.warning("the plot '%s' is left out: %s", plot.title, reason)
            continue
        if sum(len(other.svg) for other in drawn) + len(svg) > MOST_PLOT_CHARACTERS:
            left_out.append(plot.title)
        else:
            large = plot.figure.get_figwidth() > _HALF_PAGE
            drawn.append(Drawing(plot.key, plot.title, plot.caption, svg, large=large))
    return drawn, left_out


def best_cells(comparison: Comparison, details: RunDetails) -> list[Drawing]:
    """Return the genotypes of the best configurations, best first, each one once."""
    spaces = {trial.result.trial_id: trial.space for trial in details.trials}
    drawn: dict[str, Drawing] = {}
    for row, best in _bests(comparison):
        text = best.genotype
        if text is None or text in drawn:
            continue
        if len(drawn) == _MOST_CELLS:
            break
        key = f"cells-{len(drawn)}"
        title = _title(row, best)
        svg = _cells(text, spaces.get(best.trial_id, ""), key, title)
        drawn[text] = Drawing(key, title, _amount(comparison, row), svg, text)
    return list(drawn.values())


def alpha_drawings(comparison: Comparison, details: RunDetails) -> list[Drawing]:
    """Return α by edge of the best trial of each configuration, as far as they fit."""
    drawn: list[Drawing] = []
    size = 0
    for number, (row, best) in enumerate(_bests(comparison)):
        table = details.read_alphas(best.trial_id)
        if table is None:
            continue
        title = _title(row, best)
        try:
            svg = inline_svg(plot_alphas(thinned(table, _MOST_EPOCHS)), f"alpha-{number}", title)
        except TuneNasError as error:
            _logger.info("no drawing of α of %s: %s", best.trial_id, error)
            continue
        if size + len(svg) > MOST_ALPHA_CHARACTERS:
            break
        size += len(svg)
        drawn.append(Drawing(f"alpha-{number}", title, "", svg))
    return drawn


def thinned(table: bytes, most: int) -> bytes:
    """Return an α history with at most so many epochs: first, last, and evenly spaced others."""
    reader = csv.reader(io.StringIO(table.decode("utf-8", "replace")))
    header, *lines = list(reader) or [[]]
    if "epoch" not in header:
        return table
    column = header.index("epoch")
    lines = [line for line in lines if len(line) > column]
    epochs = list(dict.fromkeys(line[column] for line in lines))
    if len(epochs) <= most:
        return table
    last = len(epochs) - 1
    kept = {epochs[round(step * last / (most - 1))] for step in range(most)}
    text = io.StringIO()
    csv.writer(text).writerows([header, *(line for line in lines if line[column] in kept)])
    return text.getvalue().encode()


def _bests(comparison: Comparison) -> Sequence[tuple[Row, TrialResult]]:
    rows = [*comparison.ranking(), *comparison.not_repeated()]
    key, mode, bounds = comparison.rank_by.key, comparison.mode, comparison.constraints
    return [(row, best_of(row, key, mode, bounds)) for row in rows]


def _title(row: Row, best: TrialResult) -> str:
    who = f"{best.trial_id}, seed {best.seed}"
    return f"{row.label} ({who})" if row.label else who


def _amount(comparison: Comparison, row: Row) -> str:
    name = comparison.rank_by
    statistic = row.statistics[name.key]
    amount = statistic.text(name) if name.spread else f"{statistic.mean:,.{name.digits}f}"
    return f"{name.words} of the configuration {amount}{name.unit}, n = {statistic.n}"


def _cells(text: str, space: str, key: str, title: str) -> Markup:
    """Return the drawing of a genotype; empty if its space is not known here."""
    try:
        genotype = Genotype.parse(text)
        name = space or genotype.space
        if name not in shipped_names("space") and not is_file(name):
            return Markup("")
        return inline_svg(draw_cells(genotype, load_space(name)), key, f"Cells of {title}")
    except TuneNasError as error:
        _logger.info("no drawing of the cells of %s: %s", title, error)
        return Markup("")
