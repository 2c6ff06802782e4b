"""Output on stdout for a planned sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tune_nas.cli.flags import with_flags
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.showing import print_content
from tune_nas.cli.tables import print_table
from tune_nas.config import TrialConfig, check_data_keys
from tune_nas.data import described_once
from tune_nas.sweep import RunOptions, SweepConfig, estimate
from tune_nas.sweep.distinct import check_distinct, check_distinct_settings
from tune_nas.sweep.first_checks import data_sections
from tune_nas.sweep.memory_use import MemoryUse, memory_use
from tune_nas.sweep.parameters import Parameter
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.resolve import resolve_points
from tune_nas.tasks import Inputs, find_task, task_of
from tune_nas.text import listed, plain_text, plural


@described_once()
def print_plan(
    sweep: SweepConfig, bases: BaseTrials, options: RunOptions, output: Format, *, timed: bool
) -> None:
    """Print the swept keys and trials of a sweep, and their cost.

    Args:
        sweep: The sweep.
        bases: Its trials, from `base_trials`.
        options: Where and how it would run.
        output: Format of the output.
        timed: Whether to time a few steps for the cost.
    """
    trials, points = resolve_points(sweep, bases)
    check_data_keys(data_sections(sweep, [trial for _, _, trial in trials]))
    for base in bases.trials.values():
        find_task(task_of(sweep.task, base)).check_memory(base, Inputs())
    cost = estimate(sweep, bases, options, timed=timed)
    memory = memory_use(
        sweep.task, [trial for _, _, trial in trials], at_once=int(str(cost["at_once"]))
    )
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
                "memory": None if memory is None else memory.to_dict(),
            }
        )
        return
    if sweep.parameters:
        print_table(["key", "values", "when"], [_swept(*each) for each in sweep.parameters.items()])
    if sweep.searcher == "grid":
        rows: list[Mapping[str, object]] = [
            {**parameters, "seed": seed} for parameters, seed, _ in trials
        ]
        print_table(list(dict.fromkeys(key for row in rows for key in row)), rows)
    else:
        echo(f"{plural(sweep.n_drawn, 'trial')} sampled by {sweep.searcher}")
    grid = sweep.retrain_grid
    if sweep.retrained and grid.runs_per_genotype > 1:
        names = [setting.name for setting in grid.settings]
        under = f" under {listed(names)}" if names else ""
        seeds = f", with {plural(grid.seeds, 'seed')} each" if grid.seeds else ""
        echo(f"each genotype: {grid.runs_per_genotype} retraining runs{under}{seeds}")
    if memory is not None:
        echo(with_flags(str(memory)))
    echo(str(cost))


def print_run(
    trials: Sequence[TrialConfig],
    cost: Mapping[str, object],
    output: Format,
    *,
    genotype: str = "",
    memory: MemoryUse | None = None,
) -> None:
    """Print the resolved trials of a search or of retraining runs, and their cost.

    Args:
        trials: The trials, in the order in which they run.
        cost: Their cost, which converts to a sentence.
        output: Format of the output.
        genotype: The genotype that is retrained, as YAML.
        memory: Estimated memory of a search; None if it is not known.
    """
    if output is Format.JSON:
        own = {"genotype": genotype} if genotype else {}
        plan = {"trials": [trial.to_dict() for trial in trials], **own, "estimate": cost}
        print_json({**plan, "memory": None if memory is None else memory.to_dict()})
        return
    for trial in trials:
        print_content(trial.to_dict())
    if memory is not None:
        echo(with_flags(str(memory)))
    echo(str(cost))


def _swept(key: str, parameter: Parameter) -> dict[str, object]:
    """Return the row of a swept key: its values or range, and its conditions."""
    values = parameter.values
    if parameter.is_range:
        low, high = values
        form = "" if parameter.kind == "uniform" else f", {parameter.kind}"
        text = f"{plain_text(low)} to {plain_text(high)}{form}"
    else:
        text = ", ".join(plain_text(value) for value in values)
    when = "; ".join(f"{other} = {_wanted(value)}" for other, value in parameter.when.items())
    return {"key": key, "values": text, "when": when}


def _wanted(value: object) -> str:
    return " or ".join(map(plain_text, value)) if isinstance(value, list) else plain_text(value)
