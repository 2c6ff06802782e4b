"""The sections of the searchers in a sweep's file, and custom samplers."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import optuna
import pytest
from sampled_keys import BATCH, LAMBDA, LEVEL, RATE
from standin import MakeSweep

from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.runner import run_sweep
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.samplers import make_sampler

ONE: dict[str, Any] = {RATE: {"loguniform": [0.001, 0.5]}}
TWO: dict[str, Any] = {**ONE, BATCH: {"int": [16, 64]}}
SAMPLERS = """
import optuna

class Good(optuna.samplers.RandomSampler):
    def __init__(self, step=1, seed=None):
        super().__init__(seed=seed)
        self.step, self.seed = step, seed

class NoSeed(optuna.samplers.RandomSampler):
    def __init__(self):
        super().__init__()

class Failing(Good):
    def sample_independent(self, *args):
        raise RuntimeError("no sample\\ntoday")

class Stubborn(Good):
    def __init__(self, seed):
        raise ValueError("not today")

class Other:
    pass
"""


@pytest.fixture(autouse=True)
def my_samplers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "samplers_of_mine.py").write_text(SAMPLERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "samplers_of_mine", raising=False)


def test_every_argument_is_recorded(make_sweep: MakeSweep) -> None:
    def recorded(name: str, **changes: Any) -> dict[str, Any]:
        sweep = make_sweep(searcher=name, parameters=TWO, **changes)
        content = sweep.to_dict()
        assert SweepConfig.model_validate(content) == sweep
        sections = {"gp", "cmaes", "nsga2", "sampler"} & content.keys()
        assert sections == ({name} | changes.keys()) - {"tpe", "random"}
        return content

    assert recorded("gp")["gp"] == {"n_startup_trials": 10, "deterministic_objective": False}
    assert recorded("cmaes")["cmaes"] == {
        "n_startup_trials": 1,
        "popsize": 6,  # 4 + floor(3 ln 2)
        "use_separable_cma": False,
        "lr_adapt": False,
        "consider_pruned_trials": False,
    }
    assert recorded("nsga2", nsga2={"population_size": 6})["nsga2"] == {
        "population_size": 6,
        "mutation_prob": None,
        "crossover_prob": 0.9,
        "swapping_prob": 0.5,
    }
    recorded("random", gp={"n_startup_trials": 3})  # of another searcher, but in the file
    recorded("tpe")


@pytest.mark.parametrize(
    ("name", "arguments", "attributes"),
    [
        ("gp", {"n_startup_trials": 3, "deterministic_objective": True}, {"_deterministic": True}),
        ("cmaes", {"popsize": 5, "lr_adapt": True}, {"_popsize": 5, "_lr_adapt": True}),
        ("cmaes", {"use_separable_cma": True}, {"_popsize": 6, "_use_separable_cma": True}),
        ("nsga2", {"population_size": 7}, {"_population_size": 7}),
    ],
)
def test_arguments_reach_the_sampler(
    make_sweep: MakeSweep,
    name: str,
    arguments: dict[str, Any],
    attributes: dict[str, Any],
    recwarn: pytest.WarningsRecorder,
) -> None:
    if name == "cmaes":
        pytest.importorskip("cmaes")
    sweep = make_sweep(**{"searcher": name, "parameters": TWO, name: arguments})
    sampler = make_sampler(sweep, 3)
    assert {key: getattr(sampler, key) for key in attributes} == attributes
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"searcher": "nsga3"}, "searcher is 'nsga3', but must be one of grid, .*; did you mean"),
        ({"searcher": "a b:C"}, "searcher is 'a b:C', but must be written module:Class"),
        ({"searcher": "optunahub:auto"}, "must be written optunahub:PACKAGE:Class or"),
        ({"searcher": "cmaes", "parameters": ONE}, "needs at least 2 ranges .* has 1; take"),
        (
            {
                "searcher": "cmaes",
                "parameters": {
                    **TWO,
                    LEVEL: {"choice": ["mixed", "bilevel"]},
                    LAMBDA: {"uniform": [0, 1], "when": {LEVEL: "mixed"}},
                },
            },
            "update.lambda is a range with a condition, which searcher 'cmaes' cannot sample",
        ),
        ({"searcher": "cmaes", "cmaes": {"popsize": 3}}, "cmaes.popsize is 3, but must be >= 4"),
        ({"searcher": "cmaes", "cmaes": {"sigma0": 3}}, "'cmaes.sigma0'"),
        (
            {"searcher": "cmaes", "cmaes": {"lr_adapt": True, "use_separable_cma": True}},
            "lr_adapt is true, but must be false with use_separable_cma: true",
        ),
        ({"searcher": "nsga2", "nsga2": {"population_size": 1}}, "population_size is 1, but must"),
        (
            {"searcher": "gp", "sampler": {"n": 1}},
            "sampler has arguments of a module:Class, but searcher is 'gp'; those of gp are under",
        ),
        ({"searcher": "m:C", "sampler": {"seed": 1}}, "sampler.seed is given, but follows from"),
    ],
)
def test_bad_sections_say_what_is_wrong(
    make_sweep: MakeSweep, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        make_sweep(**{"parameters": TWO, **changes})
    assert "\n" not in str(raised.value)


def test_cma_es_without_its_package(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "cmaes" else find(n))
    sweep = make_sweep(searcher="cmaes", parameters=TWO)
    runs = tmp_path / "runs"
    with pytest.raises(ConfigError, match=r"not installed; run pip install 'tune-nas\[cmaes\]'"):
        run_sweep(sweep, RunOptions(storage=str(runs), quiet=True))
    assert not runs.exists()


def test_a_custom_class(make_sweep: MakeSweep) -> None:
    name = "samplers_of_mine:Good"
    sweep = make_sweep(searcher=name, sampler={"step": 3}, parameters=ONE, seed=2)
    sampler = make_sampler(sweep, 5)
    assert (sampler.step, sampler.seed) == (3, 2 * 100_003 + 5)
    assert sweep.to_dict()["sampler"] == {"step": 3}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere_at_all:Good", "but importing it fails: No module named 'nowhere_at_all'"),
        ("samplers_of_mine:Missing", "must be a class derived from optuna.samplers.BaseSampler"),
        ("samplers_of_mine:Other", "must be a class derived from optuna.samplers.BaseSampler"),
        ("samplers_of_mine:NoSeed", "but must take the argument seed, which decides its samples"),
        ("samplers_of_mine:Stubborn", "but creating it fails: not today"),
        ("optunahub:samplers/x:Y", "but OptunaHub is not installed; run pip install optunahub"),
    ],
)
def test_a_class_that_cannot_be_used(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    find = importlib.util.find_spec
    absent = ("optunahub",)
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in absent else find(n))
    with pytest.raises(ConfigError, match=message) as raised:
        make_sampler(make_sweep(searcher=name, parameters=ONE), 0)
    assert "\n" not in str(raised.value) and f"searcher is '{name}'" in str(raised.value)


def test_an_argument_that_it_does_not_have(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(searcher="samplers_of_mine:Good", sampler={"stp": 1}, parameters=ONE)
    with pytest.raises(ConfigError, match=r"creating it fails: .*'stp'"):
        make_sampler(sweep, 0)


def test_a_class_that_fails_to_sample(make_sweep: MakeSweep, tmp_path: Path) -> None:
    sweep = make_sweep(searcher="samplers_of_mine:Failing", parameters=ONE)
    source = OptunaSource(sweep, base_trials(sweep), Records(Storage(tmp_path), "search"))
    with pytest.raises(ConfigError, match="'samplers_of_mine:Failing' fails to sample: no sample"):
        source.next()


def test_optunahub(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stub with OptunaHub's function: the real one downloads packages."""
    asked: list[tuple[str, str]] = []

    def load_module(package: str, *, ref: str = "main") -> types.ModuleType:
        asked.append((package, ref))
        if package == "samplers/away":
            raise OSError("no network")
        module = types.ModuleType("auto")
        vars(module).update(AutoSampler=optuna.samplers.RandomSampler, helper=len)
        return module

    hub = types.ModuleType("optunahub")
    vars(hub).update(load_module=load_module)
    hub.__spec__ = importlib.util.spec_from_loader("optunahub", None)
    monkeypatch.setitem(sys.modules, "optunahub", hub)

    def sampler(name: str) -> optuna.samplers.BaseSampler:
        return make_sampler(make_sweep(searcher=f"optunahub:{name}", parameters=ONE), 0)

    assert type(sampler("samplers/auto_sampler:AutoSampler")) is optuna.samplers.RandomSampler
    sampler("samplers/auto_sampler@v1.2:AutoSampler")
    assert asked == [("samplers/auto_sampler", "main"), ("samplers/auto_sampler", "v1.2")]
    with pytest.raises(ConfigError, match="but loading it fails: no network"):
        sampler("samplers/away:AutoSampler")
    for name in ("helper", "Missing"):
        with pytest.raises(ConfigError, match="package 'samplers/auto' has no sampler of this"):
            sampler(f"samplers/auto:{name}")
