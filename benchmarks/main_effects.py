"""The effect of each swept key of a full grid on the true accuracy, with all other keys paired.

Trials that differ only in one key are paired: same values of the other keys, same seed. The
differences of all pairs are averaged and tested with Wilcoxon's signed-rank test; so is the mean
difference of each seed, over the settings. Prints Markdown: the settings with their means, then the
pairs; with --within, the pairs once more for each value of another key.

    python benchmarks/main_effects.py runs/level-activation-rate \
        --within optimizer.weights.learning_rate
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from result_tables import TRUE, finished

from tune_nas.report.bootstrap import bootstrap_interval
from tune_nas.report.labels import axis_label, order_key, value_label
from tune_nas.report.results import TrialResult
from tune_nas.report.signed_rank import holm, p_text, signed_rank_p
from tune_nas.spaces import Genotype

Setting = tuple[str, ...]
Scores = dict[Setting, dict[int, float]]


def scores_of(results: Sequence[TrialResult], axes: Sequence[str], metric: str) -> Scores:
    """Return the last value of a metric by setting and seed."""
    scores: Scores = {}
    for result in results:
        setting = tuple(value_label(result.parameters.get(axis, "")) for axis in axes)
        scores.setdefault(setting, {})[result.seed] = result.metrics[metric]
    return scores


def interval_text(values: Sequence[float]) -> str:
    """Return the bootstrap interval of a mean as text; a dash for one value."""
    interval = bootstrap_interval(values)
    return "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def setting_lines(scores: Scores, skips: Scores, axes: Sequence[str]) -> Iterator[str]:
    """Yield a table of the settings: n, mean, standard deviation, interval, extremes, skips."""
    yield f"| {' | '.join(map(axis_label, axes))} | n | mean | 95 % | lowest, highest | skips |"
    yield "|---" * len(axes) + "|---:|---:|---:|---:|---:|"
    for setting, by_seed in scores.items():
        values = list(by_seed.values())
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        yield (
            f"| {' | '.join(setting)} | {len(values)} | {statistics.fmean(values):.2f} ± "
            f"{spread:.2f} | {interval_text(values)} | {min(values):.2f}, {max(values):.2f} | "
            f"{statistics.fmean(skips[setting].values()):.1f} |"
        )


def paired(scores: Scores, place: int, first: str, second: str) -> dict[int, list[float]]:
    """Return the differences first − second by seed, over all values of the other keys."""
    differences: dict[int, list[float]] = {}
    for setting, by_seed in scores.items():
        other = (*setting[:place], second, *setting[place + 1 :])
        if setting[place] != first or other not in scores:
            continue
        for seed in by_seed.keys() & scores[other].keys():
            differences.setdefault(seed, []).append(by_seed[seed] - scores[other][seed])
    return differences


def pair_lines(scores: Scores, axes: Sequence[str]) -> Iterator[str]:
    """Yield a table of the differences between each two values of a key."""
    rows = []
    for place, axis in enumerate(axes):
        values = list(dict.fromkeys(setting[place] for setting in scores))
        for first, second in itertools.combinations(values, 2):
            by_seed = paired(scores, place, first, second)
            pairs = [each for seed in sorted(by_seed) for each in by_seed[seed]]
            means = [statistics.fmean(by_seed[seed]) for seed in sorted(by_seed)]
            if not pairs:
                continue
            rows.append((axis, first, second, pairs, means))
    corrected = holm([signed_rank_p(pairs) for *_, pairs, _ in rows])
    yield "| key | difference | pairs | mean | won, tied, lost | p | corrected | seeds | of seeds |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for (axis, first, second, pairs, means), p in zip(rows, corrected, strict=True):
        won, lost = sum(each > 0 for each in pairs), sum(each < 0 for each in pairs)
        yield (
            f"| {axis_label(axis)} | {first} − {second} | {len(pairs)} | "
            f"{statistics.fmean(pairs):+.2f} | {won}, {len(pairs) - won - lost}, {lost} | "
            f"{p_text(signed_rank_p(pairs))} | {p_text(p)} | {len(means)} | "
            f"{p_text(signed_rank_p(means))} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--metric", default=TRUE)
    parser.add_argument("--within", metavar="KEY", help="repeat the pairs for each of its values")
    options = parser.parse_args()
    results = finished(options.sources)
    axes = list(dict.fromkeys(axis for result in results for axis in result.parameters))
    results = sorted(
        results,
        key=lambda each: [order_key(each.parameters.get(axis, "")) for axis in axes],
    )
    scores = scores_of(results, axes, options.metric)
    skips = scores_of(results, axes, "genotype/skips")
    print("\n".join(setting_lines(scores, skips, axes)), end="\n\n")
    print("\n".join(pair_lines(scores, axes)), end="\n\n")
    if options.within is not None:
        place = axes.index(options.within)
        for value in dict.fromkeys(setting[place] for setting in scores):
            part = {setting: own for setting, own in scores.items() if setting[place] == value}
            print(f"{axis_label(options.within)} = {value}\n")
            print("\n".join(pair_lines(part, axes)), end="\n\n")
    seeds = sorted({result.seed for result in results})
    print(f"{len(results)} trials, seeds {seeds}")
    collapsed = [
        each for each in results if Genotype.from_yaml(each.genotype or "").count("skip") == 6
    ]
    print(f"{len(collapsed)} ended with six skip connections")


if __name__ == "__main__":
    main()
