"""Output on stdout for a planned sweep."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.tables import print_table
from tune_nas.config import check_data_keys
from tune_nas.sweep import RunOptions, SweepConfig, estimate
from tune_nas.sweep.distinct import check_distinct, check_distinct_settings
from tune_nas.sweep.first_checks import data_sections
from tune_nas.sweep.resolve import base_trials, resolve_points
from tune_nas.text import listed, plural


def print_plan(sweep: SweepConfig, options: RunOptions, output: Format) -> None:
    """Print the trials that a sweep would run, and their estimated cost."""
    bases = base_trials(sweep)
    trials, points = resolve_points(sweep, bases)
    check_data_keys(data_sections(sweep, [trial for _, _, trial in trials]))
    cost = estimate(sweep, bases, options)
    check_distinct(sweep, points)
    check_distinct_settings(sweep, bases)
    if output is Format.JSON:
        print_json(
            {
                "sweep": sweep.to_dict(),
                "trials": [
                    {"parameters": parameters, "seed": seed, "trial": trial.to_dict()}
                    for parameters, seed, trial in trials
                ],
                "estimate": cost,
            }
        )
        return
    rows: list[Mapping[str, object]] = [
        {**parameters, "seed": seed} for parameters, seed, _ in trials
    ]
    print_table(list(dict.fromkeys(key for row in rows for key in row)), rows)
    grid = sweep.retrain_grid
    if sweep.retrained and grid.runs_per_genotype > 1:
        names = [setting.name for setting in grid.settings]
        under = f" under {listed(names)}" if names else ""
        seeds = f", with {plural(grid.seeds, 'seed')} each" if grid.seeds else ""
        echo(f"each genotype: {grid.runs_per_genotype} retraining runs{under}{seeds}")
    echo(str(cost))
