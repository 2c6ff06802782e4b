"""A sweep: its trials, the swept keys, the sampler and the later phases."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from tune_nas.config.flat_settings import overlaps
from tune_nas.manifest import is_reference
from tune_nas.report.labels import RETRAIN
from tune_nas.report.race import RaceRule
from tune_nas.sweep.baseline_key import baseline_of
from tune_nas.sweep.keys import DEFAULT_BEST, SEEDS, SweepKeys
from tune_nas.sweep.parameters import MOST_TRIALS, TRIAL, ordered
from tune_nas.sweep.retrain_grid import Genotypes, RetrainGrid
from tune_nas.sweep.searchers import check_keys, check_priors
from tune_nas.sweep.sweep_objectives import check_objectives, objectives_of, search_objectives

_DEFAULT_TRIALS = 20
EPOCHS = "schedule.epochs"
_OF_RETRAIN_SECTION = "retrain."  # keys of a trial
_RECIPE = f"{_OF_RETRAIN_SECTION}recipe"
_NOT_SWEPT = {"seed": "seeds", "name": "name", "description": "description"}


class SweepConfig(SweepKeys):
    """Many searches and their comparison: keys that go together, and what follows from them."""

    @model_validator(mode="after")
    def _consistent(self) -> SweepConfig:
        for key, option in _NOT_SWEPT.items():
            if key in self.parameters or key in self.set or key in self.embedded:
                raise ValueError(f"'{key}' of a trial is set by the sweep's '{option}'")
        self._check_trial()
        self._check_repeats()
        ordered(self.parameters)
        both = sorted(self.parameters.keys() & self.set.keys())
        if both:
            raise ValueError(f"'{both[0]}' is under parameters and under set; give it once")
        check_objectives(self)
        _check_retrain_grid(self)
        ranks = [objective.key for objective in objectives_of(self)]
        if RETRAIN in ranks and self.retrained == 0:
            raise ValueError(f"metric is '{RETRAIN}', but retrain is 0; retrain 'each'")
        check_keys(self.searcher, self.parameters, self.sampler)
        check_priors(self.searcher, self.parameters, self.n_drawn)
        if self.searcher == "grid":
            self._check_grid()
        if self.baseline is not None:
            baseline_of(self.parameters, self.baseline)
        section = self.set.get("schedule")
        inner = section if isinstance(section, Mapping) else {}
        lengths = {*self.parameters, *self.set, *(f"schedule.{key}" for key in inner)}
        if self.epochs is not None and EPOCHS in lengths:
            raise ValueError(f"epochs and {EPOCHS} say the same; give one")
        return self

    @property
    def seed_list(self) -> list[int]:
        """The seeds as a list."""
        if isinstance(self.seeds, int):
            return [self.seed + offset for offset in range(self.seeds)]
        return list(self.seeds)

    @property
    def repeat_seeds(self) -> list[int]:
        """The seeds of the repeat phase; of a race, all that a configuration may get."""
        searched = self.seed_list if self.searcher == "grid" else self.seed_list[:1]
        repeats = None if self.repeat is None else self.repeat.max_seeds or self.repeat.seeds
        first = max(searched) + 1
        return [first + offset for offset in range(repeats or len(self.seed_list))]

    @property
    def next_seed(self) -> int:
        """The first seed for a configuration that is sampled again; unused by any other phase."""
        repeats = self.repeat_seeds if self.repeat_best else []
        return max([self.seed_list[0], *repeats]) + 1

    @property
    def repeat_best(self) -> int:
        """Number of configurations that the repeat phase repeats; 0 without that phase."""
        if self.repeat is not None:
            return self.repeat.best
        drawn = self.searcher != "grid" and len(self.seed_list) > 1
        return min(DEFAULT_BEST, self.n_drawn) if drawn else 0

    @property
    def retrained(self) -> int | Genotypes:
        """The genotypes that are retrained: how they are chosen, or a number of them."""
        return self.retrain_grid.genotypes

    @property
    def retrain_grid(self) -> RetrainGrid:
        """The grid of retraining runs; a number or ``each`` is one with a run per genotype."""
        own = self.retrain
        return own if isinstance(own, RetrainGrid) else RetrainGrid(genotypes=own)

    @property
    def search_metric(self) -> str:
        """The metric by which searches are sampled, stopped and selected."""
        return search_objectives(self)[0].key

    @property
    def n_drawn(self) -> int:
        """Number of configurations that are sampled."""
        return self.trials or _DEFAULT_TRIALS

    def _check_trial(self) -> None:
        swept = self.parameters.get(TRIAL)
        if (self.trial is None) == (swept is None):
            if swept is None:
                raise ValueError(f"key '{TRIAL}' is missing, and so it is under parameters")
            raise ValueError(f"'{TRIAL}' is given, and under parameters too; give it once")
        if swept is not None and (
            swept.is_range or swept.when or not all(isinstance(v, str) for v in swept.values)
        ):
            raise ValueError(
                f"{TRIAL} under parameters must be a list of names or paths, without conditions"
            )
        names = [self.trial] if swept is None else swept.values
        for name in self.set_in:
            if name not in names:
                raise ValueError(f"set_in has '{name}', but the sweep has no such trial")

    def _check_repeats(self) -> None:
        """Reject repeats that could not start after the search phase, or would not end."""
        if not self.repeat_best:
            return
        rule = race_rule(self)
        if rule is not None and len(rule.seeds) <= rule.least:
            raise ValueError(
                f"repeat.max_seeds is {len(rule.seeds)}, but must be more than the {rule.least} "
                "seeds that every configuration gets (repeat.seeds)"
            )
        last, count = self.repeat_seeds[-1], self.repeat_best * len(self.repeat_seeds)
        if last >= SEEDS:
            raise ValueError(
                f"the repeats take the seeds {self.repeat_seeds[0]} to {last}, those after the "
                f"sweep's own, but a seed must be <= {SEEDS - 1}"
            )
        if count > MOST_TRIALS:
            raise ValueError(
                f"repeat takes {count:,} trials, repeat.best times repeat."
                f"{'seeds' if rule is None else 'max_seeds'}, but must take at most {MOST_TRIALS:,}"
            )

    def _check_grid(self) -> None:
        if self.invalid == "redraw":
            raise ValueError(
                "invalid is 'redraw', but searcher 'grid' runs every combination; take searcher "
                "'random' or 'tpe'"
            )
        for key, parameter in self.parameters.items():
            if parameter.is_range:
                raise ValueError(
                    f"{key} is a range ({parameter.kind}), which searcher 'grid' cannot run "
                    "through; take searcher 'random' or 'tpe', or list the values"
                )
        if self.trials is not None:
            raise ValueError(
                f"trials is {self.trials}, but searcher 'grid' runs every combination; "
                "take searcher 'random' or 'tpe'"
            )


def race_rule(sweep: SweepConfig) -> RaceRule | None:
    """Return the rule by which a sweep's repeats race over seeds; None without a race."""
    repeat = sweep.repeat
    if repeat is None or repeat.max_seeds is None:
        return None
    least = repeat.seeds or len(sweep.seed_list)
    return RaceRule(tuple(sweep.repeat_seeds), least, sweep.search_metric, sweep.mode)


def _check_retrain_grid(sweep: SweepConfig) -> None:
    """Reject keys of a setting that the sweep gives too, and too many or too large seeds."""
    grid = sweep.retrain_grid
    seeds = grid.seeds_from(sweep.seed_list[0])
    if seeds and seeds[-1] >= SEEDS:
        raise ValueError(
            f"retrain.seeds takes the seeds {seeds[0]} to {seeds[-1]}, but a seed must be <= "
            f"{SEEDS - 1}"
        )
    grid.check_count(grid.genotypes if isinstance(grid.genotypes, int) else 1)
    swept = [key for key in sweep.parameters if key.startswith(_OF_RETRAIN_SECTION)]
    if grid.recipes and swept:
        raise ValueError(
            f"'{swept[0]}' is under parameters, but retrain.recipes has the settings of the "
            "retraining runs; vary it there"
        )
    recipes = sweep.parameters.get(_RECIPE)
    for name in [] if recipes is None else [*(recipes.grid or ()), *(recipes.choice or ())]:
        if is_reference(name):  # unlike a setting, it would be called again on a resume
            raise ValueError(
                f"'{_RECIPE}' under parameters has '{name}', but a custom recipe cannot be swept; "
                "list it under retrain: recipes"
            )
    for setting in grid.settings:
        keys = [_OF_RETRAIN_SECTION + key for key in setting.keys]
        for key in sweep.set:
            if any(overlaps(own, key) for own in keys):
                raise ValueError(
                    f"'{key}' is under set, but the setting '{setting.name}' of "
                    "retrain.recipes gives it too; give it once"
                )
