"""The work of `tune-nas extend`."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from tune_nas import sweep as sweeps
from tune_nas.cli.option_values import run_options
from tune_nas.cli.output import Format
from tune_nas.cli.run_names import interruptible
from tune_nas.cli.run_summary import print_outcome
from tune_nas.cli.running import parse_seeds
from tune_nas.cli.shared_options import ExecutionOptions
from tune_nas.errors import ConfigError
from tune_nas.sweep.runs.lookup import existing_run
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
    output: Format,
) -> None:
    """Extend a sweep and print its report.

    Raises:
        ConfigError: If nothing is added, or an option has another form.
        StorageError: If there is no such sweep, or it is running.
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
    options = run_options(execution, concurrency, together, workers)
    with interruptible(name, execution.storage):
        outcome = sweeps.extend_sweep(name, extension, options)
    print_outcome(outcome, output, execution.storage)


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
