"""The statistics of a comparison as text: tables, and lines that say how to read them."""

from __future__ import annotations

import math

from tune_nas.report.bootstrap import RESAMPLES, coverage
from tune_nas.report.columns import TextTable
from tune_nas.report.comparison import Comparison
from tune_nas.report.genotype_orders import genotype_orders
from tune_nas.report.labels import MetricName, axis_label, metric_name, value_label, values_label
from tune_nas.report.seed_statistics import (
    MOST_ROWS,
    RowStatistics,
    SeedStatistics,
)
from tune_nas.report.signed_rank import p_text, smallest_p
from tune_nas.text import listed, plural

STATISTICS_TITLE = "Statistics over seeds"
ORDERS_TITLE = "Order of the genotypes"
_MISSING = "–"


def statistics_table(comparison: Comparison) -> TextTable | None:
    """Return intervals, differences to the best row, p-values and rank stability of each row.

    The rows are those that are ranked, best first. None if each of them has one seed.
    """
    found = comparison.over_seeds
    if all(row.interval is None for row in found.rows):
        return None
    name = comparison.rank_by
    header = [*map(axis_label, comparison.axes), "n", name.title, "95 % interval"]
    header += ["best − this", "95 % interval", "pairs", "p", "p (Holm)"] * bool(found.tests)
    header += ["first"] * bool(found.n_rows)
    lines = [_line(comparison, found, row) for row in found.rows]
    return TextTable(header, lines, len(comparison.axes), 0, counts_diverged=False)


def orders_table(comparison: Comparison) -> TextTable | None:
    """Return Kendall's τ between each two measures of the same genotypes; None without any."""
    found = genotype_orders(comparison)
    lines = [
        [
            *each.measures,
            str(each.n),
            _MISSING if each.tau is None else f"{each.tau:.2f}",
            _MISSING if each.p is None else p_text(each.p),
        ]
        for each in found
        if each.n > 1
    ]
    header = ["measure", "and", "genotypes", "τ", "p"]
    return TextTable(header, lines, 2, None, counts_diverged=False) if lines else None


def statistical_notes(comparison: Comparison) -> list[str]:
    """Return a line for each kind of statistic: how it is computed, and what it can show."""
    found = comparison.over_seeds
    return [
        *race_lines(comparison),
        *_interval_lines(comparison, found),
        *_test_lines(found),
        *_stability_lines(comparison, found),
        *_order_lines(comparison),
    ]


def race_lines(comparison: Comparison) -> list[str]:
    """Return a line about the race over seeds: the trials it saved, and what was dropped when."""
    race, rule = comparison.race, comparison.race_rule
    if race is None or rule is None:
        return []
    n, most = len(race.trials), race.most
    entrants = plural(most // len(rule.seeds), "configuration")
    state = f"{most - n} saved" if race.over else "not over yet"
    text = (
        f"race over seeds: {plural(n, 'repeat')} instead of {most} ({entrants} × "
        f"{len(rule.seeds)} seeds), {state}"
    )
    name = metric_name(rule.metric)
    drops = []
    for values, drop in race.dropped.items():
        label = values_label(dict(zip(comparison.axes, values, strict=True)))
        why = (
            "diverged or without a result"
            if drop.behind is None
            else f"{drop.behind:.{name.digits}f} behind"
        )
        drops.append(f"{label} after {drop.seeds} seeds, {why}")
    return [f"{text}; dropped: {'; '.join(drops)}" if drops else text]


def interval_text(interval: tuple[float, float] | None, name: MetricName) -> str:
    """Return an interval as text; a dash for None."""
    if interval is None:
        return _MISSING
    low, high = interval
    return f"[{low:.{name.digits}f}, {high:.{name.digits}f}]"


def _line(comparison: Comparison, found: SeedStatistics, own: RowStatistics) -> list[str]:
    row, name = own.row, comparison.rank_by
    statistic = row.statistics[name.key]
    line = [value_label(row.values[axis]) for axis in comparison.axes]
    line += [str(statistic.n), statistic.text(name), interval_text(own.interval, name)]
    if found.tests:
        test = own.test
        if test is None:
            line += [_MISSING] * 5
        else:
            corrected = _MISSING if test.corrected is None else p_text(test.corrected)
            difference = f"{test.difference:.{name.digits}f}"
            interval = interval_text(test.interval, name)
            line += [difference, interval, str(test.n), p_text(test.p), corrected]
    if found.n_rows:
        line.append(_MISSING if own.first is None else f"{100 * own.first:.0f} %")
    return line


def _interval_lines(comparison: Comparison, found: SeedStatistics) -> list[str]:
    key = comparison.rank_by.key
    sizes = [own.row.statistics[key].n for own in found.rows] + [test.n for test in found.tests]
    known = {n: percent for n in sorted(set(sizes)) if (percent := coverage(n)) is not None}
    if max(sizes, default=0) < 2:
        return []
    text = f"95 % intervals: BCa bootstrap over the seeds, {RESAMPLES:,} resamples"
    if known:
        each = listed([f"{percent} % of cases with n = {n}" for n, percent in known.items()])
        text += f"; for normal data, they contain the true mean in {each}"
    lines = [text]
    if len(found.rows) == MOST_ROWS:
        lines.append(f"the statistics are of the best {MOST_ROWS} rows")
    return lines


def _test_lines(found: SeedStatistics) -> list[str]:
    if not found.tests:
        return []
    sizes = sorted({test.n for test in found.tests})
    pairs = plural(sizes[0], "pair") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} pairs"
    tests = f"{plural(found.n_tests, 'pair')} of rows"
    text = (
        "p: Wilcoxon's signed-rank test of the differences at the same seeds, two-sided, exact, "
        f"corrected by Holm's method for {tests}; with {pairs} of seeds, p is at least "
        f"{p_text(smallest_p(found.most_pairs))} before and {p_text(found.smallest)} after it"
    )
    if not found.can_differ:
        needed = 1 + math.ceil(math.log2(found.n_tests / 0.05))
        text += f", so no difference can be shown at 5 % (that needs at least {needed} pairs)"
    return [text]


def _stability_lines(comparison: Comparison, found: SeedStatistics) -> list[str]:
    if not found.n_rows:
        return []
    best = found.rows[0]
    first = 0.0 if best.first is None else best.first
    text = (
        f"first: how often a row has the best mean if the {plural(found.n_seeds, 'seed')} that "
        f"these rows share are resampled; {best.row.label} remains first in {100 * first:.0f} % of "
        "resamples"
    )
    lines = [text]
    if found.seed_tau is not None:
        over = f"{plural(found.n_seed_pairs, 'pair')} of seeds"
        lines.append(
            f"the orders of {found.n_rows} rows by two single seeds agree with Kendall's τ = "
            f"{found.seed_tau:.2f} (mean of {over}; 1: the same order, 0: unrelated)"
        )
    return lines


def _order_lines(comparison: Comparison) -> list[str]:
    if orders_table(comparison) is None:
        return []
    return [
        "order of the genotypes: Kendall's τ-b between two measures of the same genotypes, with "
        "the p-value of τ = 0; each search counts as one genotype, although searches with the same "
        "swept values are not independent, so p is optimistic"
    ]
