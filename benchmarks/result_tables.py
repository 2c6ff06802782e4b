"""Tables of docs/results.md from the finished trials of one or more sweeps, which are merged.

Prints as Markdown the report (means by swept value, and the summary sentence), then a line for
each trial with its cell, and for each trial the maximum number of skips in any epoch's genotype.

    python benchmarks/result_tables.py runs/lambda runs/lambda-rest --figure figure.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tune_nas.figures.rendering import render
from tune_nas.report.axis_plot import plot_axis
from tune_nas.report.labels import axis_label, order_key, value_label
from tune_nas.report.report import Report
from tune_nas.spaces import Genotype
from tune_nas.sweep.runs.records import Record, Records
from tune_nas.sweep.runs.storage import Storage

TRUE = "benchmark/cifar10_test"


def finished(folders: list[Path]) -> list[Record]:
    """Return the finished searches, in the order of their values and seeds."""
    records = [
        record
        for folder in folders
        for record in Records(Storage(folder), "search")
        if record.status == "finished"
    ]
    return sorted(
        records,
        key=lambda r: ([order_key(v) for v in r.job.parameters.values()], r.job.seed),
    )


def trial_line(record: Record) -> str:
    last = record.history[-1]
    genotype = Genotype.from_yaml(record.genotype or "")
    most_skips = max(int(metrics["genotype/skips"]) for metrics in record.history)
    values = [value_label(value) for value in record.job.parameters.values()]
    cell = genotype.to_nasbench201().replace("|", r"\|")
    figures = [f"{last['valid_accuracy']:.2f}", f"{last['gap']:.2f}", f"{last[TRUE]:.2f}"]
    return (
        f"| {' | '.join([*values, str(record.job.seed), *figures, str(most_skips)])} | `{cell}` |"
    )


def main() -> None:
    """Print the tables, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--metric", default="valid_accuracy", help="what is ranked by")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    records = finished(options.folders)
    axes = list(records[0].job.parameters)
    results = [record.result() for record in records]
    report = Report(options.folders[0].name, axes, results, options.metric)
    print(report.markdown())
    titles = [*map(axis_label, axes), "seed", "valid %", "gap", "benchmark %", "most skips", "cell"]
    print(f"| {' | '.join(titles)} |")
    print("|" + "---|" * len(axes) + "---:|" * 5 + "---|")
    for record in records:
        print(trial_line(record))
    if options.figure is not None:
        options.figure.write_bytes(render(plot_axis(report), "png"))


if __name__ == "__main__":
    main()
