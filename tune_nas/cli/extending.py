"""The work of `tune-nas extend`."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from tune_nas import sweep as sweeps
from tune_nas.cli.option_values import run_options
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.run_names import interruptible
from tune_nas.cli.run_summary import print_outcome
from tune_nas.cli.running import parse_seeds
from tune_nas.cli.shared_options import ExecutionOptions
from tune_nas.cli.tables import print_table
from tune_nas.errors import ConfigError
from tune_nas.sweep.extension import extended, extent, missing_searches
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import brief
from tune_nas.yaml_text import parse_yaml


def extend(
    run: str,
    execution: ExecutionOptions,
    *,
    seeds: str | None,
    values: Sequence[str],
    trials: str | None,
    concurrency: int | None,
    together: int | None,
    workers: int | None,
    dry_run: bool,
    output: Format,
) -> None:
    """Extend a sweep and print its report, or print the searches that would be run.

    Raises:
        ConfigError: If nothing is added, or an option has another form.
        StorageError: If the sweep does not exist, or it is running.
    """
    if seeds is None and not values and trials is None:
        raise ConfigError("nothing is added; give --seeds, --values or --trials")
    total, more = (None, None) if trials is None else _parse_trials(trials)
    extension = sweeps.Extension(
        seeds=None if seeds is None else parse_seeds(seeds),
        values=_parse_values(values),
        trials=total,
        more_trials=more,
    )
    name = existing_run(run, execution.storage).name
    if dry_run:
        _print_missing(name, execution.storage, extension, output)
        return
    options = run_options(execution, concurrency, together, workers)
    with interruptible(name, execution.storage):
        outcome = sweeps.extend_sweep(name, extension, options)
    print_outcome(outcome, output, execution.storage)


def _print_missing(name: str, storage: str, extension: sweeps.Extension, output: Format) -> None:
    plan = extended(read_plan(Storage(storage).within(name)), extension)
    rows = [{"trial": j.id, **j.parameters, "seed": j.seed} for j in missing_searches(plan)]
    if output is Format.JSON:
        print_json({"sweep": plan.sweep.to_dict(), "searches": rows})
        return
    if rows:
        print_table(list(dict.fromkeys(key for row in rows for key in row)), rows)
    else:
        echo(f"'{name}' will have: {extent(plan.sweep)}")


def _parse_trials(text: str) -> tuple[int | None, int | None]:
    """Return a new number of trials, or a number of further ones."""
    number = text.removeprefix("+")
    if not number.isascii() or not number.isdecimal() or int(number) < 1:
        raise ConfigError(
            f"--trials is '{brief(text)}', but must be a number of trials, or +N for N more"
        )
    return (None, int(number)) if text.startswith("+") else (int(number), None)


def _parse_values(texts: Sequence[str]) -> dict[str, list[object]]:
    """Return the values to add, by key; they are written as in a YAML list without brackets."""
    values: dict[str, list[object]] = {}
    for text in texts:
        key, equals, listed = text.partition("=")
        try:
            parsed = parse_yaml(f"[{listed}]") if equals and key.strip() else None
        except yaml.YAMLError:
            parsed = None
        if not isinstance(parsed, list) or not parsed:
            raise ConfigError(
                f"--values is '{brief(text)}', but must be KEY=VALUES, e.g. update.lambda=3,30"
            )
        values.setdefault(key.strip(), []).extend(parsed)
    return values
