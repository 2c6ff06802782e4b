"""Tables of docs/results.md from the finished searches of one or more sweeps, which are merged.

Prints as Markdown the report (means by swept value, and the summary sentence), then a line for
each search with its cell, and the maximum number of skips in any epoch's genotype.

    python benchmarks/result_tables.py runs/lambda runs/lambda-rest --figure figure.png

A long sweep can be run in parts, e.g. one seed at a time and on several machines. --save writes
the finished searches of all sources, with few metrics of each epoch; such a file is a source like
a folder.

    tune-nas sweep methods --seeds 3, --data-dir CIFAR
    python benchmarks/result_tables.py runs/methods --save seed-3.json
    python benchmarks/result_tables.py seed-0.json seed-3.json --baseline rsps
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from tune_nas.figures.rendering import render
from tune_nas.report.axis_plot import plot_axis
from tune_nas.report.labels import axis_label, order_key, value_label
from tune_nas.report.report import Report
from tune_nas.report.results import TrialResult
from tune_nas.spaces import Genotype
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

TRUE = "benchmark/cifar10_test"
SAVED = ("epoch", "seconds", "genotype/skips")
"""The metrics of each epoch that the tables need."""


def finished(sources: list[Path]) -> list[TrialResult]:
    """Return the finished searches of folders and saved files, by their values and seeds."""
    found: dict[tuple[object, ...], TrialResult] = {}
    for source in sources:
        for result in _stored(source):
            if result.status != "finished":
                continue
            labels = [(key, value_label(value)) for key, value in result.parameters.items()]
            own = (*labels, result.seed)
            if _brief(found.setdefault(own, result)) != _brief(result):
                raise SystemExit(f"{source}: another source has {own} with another result")
    return sorted(
        found.values(),
        key=lambda each: ([order_key(v) for v in each.parameters.values()], each.seed),
    )


def _stored(source: Path) -> list[TrialResult]:
    if source.is_file():
        return [TrialResult.from_dict(entry) for entry in json.loads(source.read_text("utf-8"))]
    return [record.result() for record in Records(Storage(source), "search")]


def _brief(result: TrialResult) -> TrialResult:
    """Return a result as it is saved."""
    history = [{key: epoch[key] for key in SAVED if key in epoch} for epoch in result.history]
    return replace(result, history=history)


def trial_line(result: TrialResult) -> str:
    genotype = Genotype.from_yaml(result.genotype or "")
    skips = [int(metrics["genotype/skips"]) for metrics in result.history]
    values = [value_label(value) for value in result.parameters.values()]
    names = ("valid_accuracy", "gap", TRUE)
    figures = [f"{result.metrics[name]:.2f}" if name in result.metrics else "–" for name in names]
    figures.append(str(max(skips)))
    text = genotype.to_nasbench201() if genotype.space == "nasbench201" else str(genotype)
    cell = text.replace("|", r"\|")
    return f"| {' | '.join([*values, str(result.seed), *figures])} | `{cell}` |"


def main() -> None:
    """Print the tables, save the searches, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", nargs="+", type=Path, help="folders of runs, saved files")
    parser.add_argument("--metric", default="valid_accuracy", help="what is ranked by")
    parser.add_argument("--baseline", help="value of the swept key that others are compared with")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the searches for later")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    results = finished(options.sources)
    axes = list(results[0].parameters)
    baseline = None if options.baseline is None else {axes[0]: options.baseline}
    name = options.sources[0].stem
    report = Report(name, axes, results, options.metric, baseline=baseline)
    print(report.markdown())
    titles = [*map(axis_label, axes), "seed", "valid %", "gap", "benchmark %", "most skips", "cell"]
    print(f"| {' | '.join(titles)} |")
    print("|" + "---|" * len(axes) + "---:|" * 5 + "---|")
    for result in results:
        print(trial_line(result))
    if options.save is not None:
        lines = [json.dumps(_brief(result).to_dict(), ensure_ascii=False) for result in results]
        options.save.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
    if options.figure is not None:
        options.figure.write_bytes(render(plot_axis(report), "png"))


if __name__ == "__main__":
    main()
