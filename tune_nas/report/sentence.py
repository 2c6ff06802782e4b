"""The sentence that summarizes a sweep's table, and claims no more than the numbers support."""

from __future__ import annotations

import itertools

from tune_nas.report.comparison import Comparison
from tune_nas.report.front import has_front
from tune_nas.report.front_sentence import front_parts, infeasible_parts
from tune_nas.report.labels import BENCHMARK, RETRAIN, VALID_ACCURACY, MetricName, metric_name
from tune_nas.report.rows import Row, Statistic
from tune_nas.report.seed_statistics import ALPHA, SeedStatistics
from tune_nas.report.signed_rank import p_text, smallest_p
from tune_nas.text import listed, plural

_REFERENCES = (RETRAIN, BENCHMARK)
_STABLE = 0.95  # share of resamples in which the best row is best


def compose(report: Comparison) -> str:
    """Return the sentence: the best value, by which metric, how certain, and further evidence.

    A difference counts as within one standard deviation if it is no larger than the larger of
    the two rows' sample standard deviations.
    """
    ranking = report.ranking()
    if not ranking:
        return _nothing(report)
    if has_front(report):
        left = [row for row in ranking if report.diverged(row)]
        parts = [*front_parts(report), *infeasible_parts(report)]
        parts += [*_diverged(report, ranked_last=left), *_left_out(report)]
        return "; ".join(parts) + "."
    name = report.rank_by
    complete = [row for row in ranking if not report.diverged(row)] or ranking
    sound = [row for row in complete if not row.dropped] or complete
    best, others = sound[0], report.not_repeated()
    parts = []
    if len(sound) > 1:
        parts.append(f"{best.label} best by {name.words} ({_amount_of(best, name)})")
        parts.append(_difference(sound, name))
        parts += _evidence(report, sound)
    elif len(complete) > 1:
        parts.append(f"{best.label} best by {name.words} ({_amount_of(best, name)})")
    else:
        parts.append(f"{best.label or report.sweep}: {name.words} {_amount_of(best, name)}")
        if not others:
            parts.append(_alone(report))
    if len(complete) > len(sound):
        dropped = _shortened([row.label for row in complete[len(sound) :]])
        parts.append(f"the race over seeds was lost by {dropped}")
    if others:
        parts.append(_beside_repeats(best, others, name, report.mode))
    parts += _references(report, ranking)
    parts += _diverged(report, ranked_last=ranking[len(complete) :])
    parts += [*infeasible_parts(report), *_left_out(report)]
    return "; ".join(parts) + "."


def _nothing(report: Comparison) -> str:
    rows = report.rows()
    finished = sum(row.n for row in rows)
    if infeasible := infeasible_parts(report):
        return f"Nothing can be ranked: {infeasible[0]}."
    if finished and has_front(report):
        names = listed([metric_name(each.key).words for each in report.goals])
        return f"No trial has a value of {names}, so nothing can be ranked."
    if finished:
        return f"No trial has a value of {report.rank_by.words}, so nothing can be ranked."
    failed = sum(row.failed + row.retrains_failed for row in rows)
    stopped = sum(row.stopped for row in rows)
    diverged = sum(row.diverged + row.retrains_diverged for row in rows)
    also = f", {diverged} diverged" if diverged else ""
    return (
        f"Nothing can be ranked: no trial ran to its end "
        f"({failed} failed, {stopped} stopped early{also})."
    )


def _amount(statistic: Statistic, name: MetricName) -> str:
    mean = f"{statistic.mean:,.{name.digits}f}"
    spread = "" if statistic.std is None else f" ± {statistic.std:.{name.digits}f}"
    return f"{mean}{spread}{name.unit}, n = {statistic.n}"


def _amount_of(row: Row, name: MetricName) -> str:
    """Return a row's amount; n is marked if it counts repeats."""
    statistic = row.statistics[name.key]
    amount = _amount(statistic, name)
    if row.phase != "repeat" or name.key == RETRAIN:
        return amount
    return f"{amount} repeat{'' if statistic.n == 1 else 's'}"


def _alone(report: Comparison) -> str:
    """Say why only one row is ranked without reservation."""
    if len(report.ranking()) > 1:
        return "everything else has seeds that diverged"
    if report.rank_by.key == RETRAIN and sum(row.n > 0 for row in report.rows()) > 1:
        return "nothing else was retrained to compare it to"
    return "there is nothing to compare it to"


def _beside_repeats(best: Row, others: list[Row], name: MetricName, mode: str) -> str:
    """Compare the best of the repeated rows with the best of those that were not repeated."""
    own, other = (row.statistics[name.key] for row in (best, others[0]))
    which = "one" if len(others) == 1 else f"best of {len(others)}"
    text = f"the {which} not repeated is {others[0].label} ({_amount(other, name)})"
    gap = (other.mean - own.mean) * (1 if mode == "max" else -1)
    if gap == 0:
        return f"{text}, the same"
    text += f", {abs(gap):.{name.digits}f} {'better' if gap > 0 else 'worse'}"
    threshold = _threshold(own, other)
    if threshold is None:
        return text
    within = "within" if abs(gap) <= threshold else "more than"
    return f"{text} and {within} one standard deviation ({threshold:.{name.digits}f})"


def _difference(ranking: list[Row], name: MetricName) -> str:
    """Compare the best row with all others, and with the runner-up in numbers."""
    first, second = (row.statistics[name.key] for row in ranking[:2])
    gap = abs(first.mean - second.mean)
    to_second = f"{ranking[1].label} ({_amount_of(ranking[1], name)})"
    threshold = _threshold(first, second)
    if gap == 0:
        same = ranking[0].has_searches_of(ranking[1])
        text = f"tied with {to_second}{', whose searches are the same to the last digit' * same}"
        return text + _beside_tie(ranking, name)
    if threshold is None:
        sure = "with one seed each, nothing says that the difference is more than chance"
        return f"{gap:.{name.digits}f} from {to_second}; {sure}"
    near = [row.label for row in ranking[1:] if _is_within(first, row.statistics[name.key])]
    deviation = f"{threshold:.{name.digits}f}"
    if gap <= threshold:
        others = near[1:]
        also = f", and so are those to {_shortened(others)}" if others else ""
        text = (
            f"the difference to {to_second}, {gap:.{name.digits}f}, is within one standard "
            f"deviation ({deviation}){also}"
        )
    else:
        times = f"; {gap / threshold:.1f} times it" if threshold > 0 else ""
        text = (
            f"the difference to {to_second}, {gap:.{name.digits}f}, is more than one standard "
            f"deviation ({deviation}{times})"
        )
        if near:
            text += f", but that to {_shortened(near)} is within one"
    paired = len(set(first.seeds) & set(second.seeds)) > 1
    if min(first.n, second.n) <= 2 and not paired:
        text += "; with so few seeds, the deviation is a rough estimate"
    return text


def _tied(ranking: list[Row], name: MetricName) -> list[Row]:
    """Return the first row of a ranking with those that are tied with it."""
    best = ranking[0].statistics[name.key].mean
    return [row for row in ranking if row.statistics[name.key].mean == best]


def _beside_tie(ranking: list[Row], name: MetricName) -> str:
    """Name the further rows that are tied with the best, and those within one deviation of it."""
    first = ranking[0].statistics[name.key]
    level = len(_tied(ranking, name))
    below = ranking[level:]
    near = [row.label for row in below if _is_within(first, row.statistics[name.key])]
    text = f", and with {_shortened([row.label for row in ranking[2:level]])}" if level > 2 else ""
    if below and first.std is None:
        text += "; with one seed each, nothing says that the others differ by more than chance"
    elif near:
        which = "difference" if len(near) == 1 else "differences"
        verb = "is" if len(near) == 1 else "are"
        text += f"; the {which} to {_shortened(near)} {verb} within one standard deviation"
    return text


def _evidence(report: Comparison, sound: list[Row]) -> list[str]:
    """Say what the seeds show: the paired tests, and if the best row does not stay best.

    That it stays best under resampling of few seeds is no evidence, so it is not said.
    """
    tied = [row.label for row in _tied(sound, report.rank_by)]
    if len(tied) == len(sound):
        return []
    found = report.over_seeds
    parts = [_tested(found, tied)] if found.tests else []
    first = found.rows[0].first
    if len(tied) == 1 and first is not None and first < _STABLE:
        parts.append(
            f"{sound[0].label} remains first in only {100 * first:.0f} % of resamples of the seeds"
        )
    return parts


def _tested(found: SeedStatistics, tied: list[str]) -> str:
    """Say what the tests show of the best row against the rows that are not tied with it."""
    n = found.most_pairs
    if not found.can_differ:
        among = "" if smallest_p(n) > ALPHA else f" among {plural(found.n_tests, 'comparison')}"
        return f"n = {n} pairs of seeds cannot show a difference at 5 %{among}"
    tests = {row.row.label: row.test for row in found.rows if row.test is not None}
    shown = [label for label, test in tests.items() if test.significant]
    method = "by Wilcoxon's signed-rank test with Holm's correction"
    pairs = f"n = {n} pairs of seeds"
    if not shown:
        least = min(test.corrected for test in tests.values() if test.corrected is not None)
        return f"{pairs} show no difference at 5 % {method} (least p = {p_text(least)})"
    largest = max(p for label in shown if (p := tests[label].corrected) is not None)
    text = f"{pairs} show the difference to {_shortened(shown)} at 5 % {method}"
    text += f" (p {'=' if len(shown) == 1 else '≤'} {p_text(largest)})"
    rest = [label for label in tests if label not in (*shown, *tied)]
    return f"{text}, but not that to {_shortened(rest)}" if rest else text


def _threshold(first: Statistic, second: Statistic) -> float | None:
    known = [std for std in (first.std, second.std) if std is not None]
    return max(known) if known else None


def _is_within(first: Statistic, other: Statistic) -> bool:
    threshold = _threshold(first, other)
    return threshold is not None and abs(first.mean - other.mean) <= threshold


def _references(report: Comparison, ranking: list[Row]) -> list[str]:
    """Say whether retraining or benchmark accuracies rank the rows in the same way.

    If the rows are ranked by one of these, say how the accuracies of the searches rank them.
    """
    name, mode = report.rank_by, report.mode
    known = [key for key in _REFERENCES if any(key in row.statistics for row in ranking)]
    if name.key in _REFERENCES:
        searched = any(VALID_ACCURACY in row.statistics for row in ranking)
        return [_reference(ranking, name, report.valid_accuracy, mode)] if searched else []
    if not known:
        missing = f"nothing was retrained, so this compares {report.compared}"
        return [missing] if name.key in (VALID_ACCURACY, "gap") else []
    return [_reference(ranking, name, metric_name(key), mode) for key in known]


def _reference(ranking: list[Row], name: MetricName, other: MetricName, mode: str) -> str:
    rows = [row for row in ranking if other.key in row.statistics]
    if len(rows) == 1:
        amount = _amount(rows[0].statistics[other.key], other)
        if len(ranking) == 1:
            return f"{other.words} {amount}"
        return f"{other.words} is known for {rows[0].label} alone ({amount})"
    by_other = sorted(rows, key=lambda row: -row.statistics[other.key].mean)
    top = by_other[0]
    alike, pairs = _pairs_alike(rows, name, other, mode)
    agreement = f", {alike} of {plural(pairs, 'pair')} in the same order" if pairs else ""
    amount = _amount(top.statistics[other.key], other)
    if ranking[0] not in rows:
        return f"{other.words}, not known for it, is best for {top.label} ({amount})"
    own = ranking[0].statistics[other.key]
    if own.mean == top.statistics[other.key].mean:
        level = [row.label for row in rows[1:] if row.statistics[other.key].mean == own.mean]
        tied = f", tied with {_shortened(level)}" if level else ""
        return f"{other.words} puts it first too{tied} ({amount}){agreement}"
    if top.statistics[name.key].mean == ranking[0].statistics[name.key].mean:
        return (
            f"{other.words} puts {top.label} first of the tied ({amount}, against "
            f"{_amount(own, other)}){agreement}"
        )
    return (
        f"{other.words} disagrees: best for {top.label} ({amount}, against "
        f"{_amount(own, other)}){agreement}"
    )


def _pairs_alike(
    rows: list[Row], name: MetricName, other: MetricName, mode: str
) -> tuple[int, int]:
    """Return the number of pairs that both metrics order alike, and of pairs without ties."""
    sign = 1 if mode == "max" else -1
    alike = pairs = 0
    for one, two in itertools.combinations(rows, 2):
        by_name = sign * (one.statistics[name.key].mean - two.statistics[name.key].mean)
        by_other = one.statistics[other.key].mean - two.statistics[other.key].mean
        pairs += by_name * by_other != 0
        alike += by_name * by_other > 0
    return alike, pairs


def _diverged(report: Comparison, ranked_last: list[Row]) -> list[str]:
    """Say which seeds diverged, and that rows with such seeds rank last."""
    rows = [row for row in report.rows() if row.diverged]
    retrains = sum(row.retrains_diverged for row in report.rows())
    parts = []
    if rows:
        counts = [
            f"{row.diverged} of {plural(row.n + row.failed + row.diverged, 'seed')} of {row.label}"
            for row in rows
        ]
        total = sum(row.diverged for row in rows)
        if len(rows) > 3 or not all(row.label for row in rows):
            counts = [f"{plural(total, 'trial')} of {plural(len(rows), 'value')}"]
        last = ", so it ranks last" if len(rows) == 1 else ", so these rank last"
        parts.append(f"{listed(counts)} diverged{last if ranked_last else ''}")
    if retrains:
        parts.append(f"{plural(retrains, 'retrain')} diverged")
    return parts


def _left_out(report: Comparison) -> list[str]:
    rows = report.rows()
    failed, stopped = sum(row.failed for row in rows), sum(row.stopped for row in rows)
    retrains = sum(row.retrains_failed for row in rows)
    parts = []
    if failed or stopped:
        counts = [f"{plural(failed, 'trial')} failed"] if failed else []
        if stopped:
            verb = "was" if stopped == 1 else "were"
            counts.append(f"{plural(stopped, 'trial')} {verb} stopped early")
        survivors = any(row.n and (row.stopped or row.failed) for row in rows)
        hint = ", so some means are of the survivors alone" if survivors else ""
        verb = "counts" if failed + stopped == 1 else "count"
        parts.append(f"{listed(counts)} and {verb} in no mean{hint}")
    if retrains:
        parts.append(f"{plural(retrains, 'retrain')} did not finish")
    return parts


def _shortened(labels: list[str]) -> str:
    return listed(labels) if len(labels) <= 3 else f"{plural(len(labels), 'other value')}"
