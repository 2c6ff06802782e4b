"""The manifest: shipped names, those of installed packages, and those registered in a process."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tune_nas import manifest
from tune_nas.config import RelaxationConfig, TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.predictor import Encoder, PredictorLoss
from tune_nas.proxies import Proxy
from tune_nas.search import Relaxation, Rule, Search, Selection, register_relaxation
from tune_nas.search.graphs import uncapturable_part
from tune_nas.search.relaxation.plain import Softmax
from tune_nas.search.smoothing import Smoothing
from tune_nas.spaces import (
    load_space,
    operation_kind,
    operation_names,
    operation_registry,
    register_operation,
)

BASES = {
    "relaxations": Relaxation,
    "smoothings": Smoothing,
    "selections": Selection,
    "rules": Rule,
    "proxies": Proxy,
    "encoders": Encoder,
    "predictor_losses": PredictorLoss,
}
SMALL: dict[str, Any] = {
    "data.name": "fake",
    "data.train_images": 32,
    "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
    "schedule.batch_size": 8,
    "schedule.epochs": 1,
}


@pytest.mark.parametrize(
    ("kind", "target"),
    [(kind, target) for kind, parts in manifest.SHIPPED.items() for target in parts.values()],
)
def test_every_shipped_name_stands_for_a_part(kind: str, target: str) -> None:
    module, _, name = target.partition(":")
    part = getattr(importlib.import_module(module), name)
    assert issubclass(part, BASES[kind]) if kind in BASES else callable(part)
    assert part.__module__ == module and part.__doc__


def test_every_kind_of_part_is_named_by_a_key() -> None:
    assert set(manifest.KINDS.values()) == set(manifest.SHIPPED)


@pytest.fixture(autouse=True)
def registers_nothing_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_registered", {})
    monkeypatch.setattr(operation_registry, "_loaded", dict(operation_registry._loaded))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Return a function that installs a package with entry points and a module."""

    def install(module: str, code: str, **points: str) -> None:
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        folder = tmp_path / f"{module}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {module}\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"[tune_nas.{kind}]\n{line}\n" for kind, line in points.items()]
        (folder / "entry_points.txt").write_text("".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        manifest._entry_points.cache_clear()

    yield install
    manifest._entry_points.cache_clear()


CODE = """
from torch import nn
from tune_nas.search.relaxation.plain import Softmax
from tune_nas.search.smoothing import RandomSmoothing
from tune_nas.search import Rule
from tune_nas.spaces import register_operation

class Doubled(Softmax):
    reads = ()
    def __init__(self, config, space, choices=None, *, factor=2.0):
        super().__init__(config, space, choices)
        self.factor = factor
    def relax(self, alphas, mask):
        return super().relax(self.factor * alphas, mask)

class Quiet(RandomSmoothing):
    reads = ("relaxation.smoothing.end",)

class Count(Rule):
    def after_epoch(self, metrics):
        metrics["counted"] = 1

@register_operation("added_median", kind="pool")
def added_median(channels, stride, norm):
    return nn.AvgPool2d(3, stride=stride, padding=1)
"""


def test_an_installed_package_adds_parts(installed: Callable[..., None], tmp_path: Path) -> None:
    installed(
        "package_with_parts",
        CODE,
        relaxations="doubled = package_with_parts:Doubled",
        smoothings="quiet = package_with_parts:Quiet",
        rules="count = package_with_parts:Count",
        operations="added_median = package_with_parts:added_median",
    )
    assert manifest.names("relaxations")[-2:] == ("controller", "doubled")
    settings = {
        **SMALL,
        "relaxation.kind": "doubled",
        "relaxation.options": {"factor": 3.0},
        "relaxation.smoothing.kind": "quiet",
        "schedule.rules": ["count"],
    }
    search = Search(load_trial("darts-1st", settings))
    assert search.run_epoch()["counted"] == 1
    alphas, mask = torch.tensor([[0.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool)
    expected = torch.tensor([[0.0, 3.0]]).softmax(dim=1)
    torch.testing.assert_close(search.relaxation.relax(alphas, mask), expected)
    with pytest.raises(ConfigError, match=r"relaxation\.temperature\.end is 1\.0, but has no eff"):
        load_trial("darts-1st", {**settings, "relaxation.temperature.end": 1.0})

    space = tmp_path / "mine.yaml"
    space.write_text(
        "cells: {normal: {inputs: 1, nodes: 2, operations: [skip_connect, added_median], "
        "output: last}}\nskeleton: {layout: stages, init_channels: 4, cells: 1}\n",
        encoding="utf-8",
    )
    load_space(space)
    assert operation_kind("added_median") == "pool"
    assert "added_median" in operation_names()


def test_entry_points_that_cannot_be_taken_are_ignored_with_a_line(
    installed: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    installed(
        "package_with_clashes",
        "",
        relaxations="softmax = package_with_clashes:Softmax",
        selections="mine = package_with_clashes:Outer.Inner",
    )
    with caplog.at_level(logging.WARNING):
        assert manifest.names("relaxations") == tuple(manifest.SHIPPED["relaxations"])
        assert manifest.names("selections") == tuple(manifest.SHIPPED["selections"])
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "entry point 'softmax = package_with_clashes:Softmax' of tune_nas.relaxations is ignored: "
        "there is another part of that name",
        "entry point 'mine = package_with_clashes:Outer.Inner' of tune_nas.selections is ignored: "
        "it must be written NAME = module:Class",
    ]


def test_a_package_that_fails_is_one_line(installed: Callable[..., None]) -> None:
    installed("failing_package", "1 / 0", selections="failing = failing_package:Part")
    trial = load_trial("darts-1st", {**SMALL, "selection.kind": "failing"})
    with pytest.raises(ConfigError, match="'failing_package:Part', but importing it fails: divis"):
        Search(trial)


def test_a_registered_relaxation_can_be_named() -> None:
    for factor in (1.0, 2.0):  # as the cell of a notebook that is run twice

        @register_relaxation("registered-in-a-test")
        class Scaled(Softmax):
            """Softmax of scaled α."""

            scale = factor

    trial = load_trial("darts-1st", {**SMALL, "relaxation.kind": "registered-in-a-test"})
    relaxation = Search(trial).relaxation
    assert type(relaxation) is Scaled and relaxation.scale == 2.0


def test_a_shipped_class_is_the_shipped_part() -> None:
    config = RelaxationConfig(kind="tune_nas.search.relaxation.path:UniformPath")
    assert config.kind == "uniform-path"
    with pytest.raises(ConfigError, match=r"options\.a is not an option of .softmax"):
        load_trial(
            "darts-1st",
            {
                "relaxation.kind": "tune_nas.search.relaxation.plain:Softmax",
                "relaxation.options": {"a": 1},
            },
        )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "relaxation.kind",
            "softmx",
            "must be one of softmax, sigmoid, gumbel, concrete, dirichlet, uniform-path, "
            "controller, or a custom module:Class; did you mean 'softmax'?",
        ),
        (
            "relaxation.smoothing.kind",
            "advers",
            "must be one of none, random, adversarial, or a custom mod",
        ),
        ("selection.kind", "greed", "did you mean 'greedy'?"),
        ("schedule.rules", ["stop"], "must not have 'stop': schedule.stop turns it on"),
        ("schedule.rules", ["mine"], "must name each rule as module:Class, but has 'mine'"),
        ("optimizer.alphas.kind", "adm", "must be one of adam, sgd, or a custom module:function"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_trial("darts-1st", {key: value})
    assert message in str(error.value)


OPTIMIZERS = """
import torch

def rmsprop(parameters, config):
    return torch.optim.RMSprop(parameters, lr=config.learning_rate)

def number(parameters, config):
    return 3

def failing(parameters, config):
    raise KeyError("lr")
"""


def test_an_own_optimizer_moves_alpha_and_resumes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own_optimizers.py").write_text(OPTIMIZERS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = {
        **SMALL,
        "schedule.epochs": 2,
        "optimizer.alphas.kind": "own_optimizers:rmsprop",
        "optimizer.alphas.learning_rate": 0.1,
    }
    trial = load_trial("darts-1st", settings)
    assert uncapturable_part(trial) == "optimizer.alphas.kind 'own_optimizers:rmsprop'"
    straight, resumed = Search(trial), Search(trial)
    assert type(straight.optimizers.alphas) is torch.optim.RMSprop
    straight.run_epoch()
    straight.save(tmp_path / "checkpoint")
    straight.run_epoch()
    resumed.load(tmp_path / "checkpoint")
    resumed.run_epoch()
    for name, alpha in straight.alphas.items():
        assert torch.equal(alpha, resumed.alphas[name])
        assert alpha.abs().max() > 0.05  # it starts within some thousandths

    for name, message in (
        ("number", "which returns a int, but must return a torch.optim.Optimizer"),
        ("failing", "which fails: 'lr'"),
        ("nothing", "but must be a function"),
    ):
        wrong = {**settings, "optimizer.alphas.kind": f"own_optimizers:{name}"}
        with pytest.raises(ConfigError, match=message):
            Search(load_trial("darts-1st", wrong))


def test_defaults_are_shipped_names() -> None:
    trial = TrialConfig()
    for key, kind in manifest.KINDS.items():
        value: Any = trial
        for name in key.split(".") if key not in manifest.NOT_OF_TRIALS else []:
            value = getattr(value, name, None)  # a section that is absent
        if isinstance(value, str) and value != "none":
            assert manifest.is_shipped(kind, value)


def test_an_operation_may_be_registered_again_by_the_same_function_alone() -> None:
    def define(kind: Any) -> None:
        @register_operation("registered-in-a-test", kind=kind)
        def build(channels: int, stride: int, norm: Any) -> torch.nn.Module:
            return torch.nn.Identity()

    define("pool")
    define("skip")
    assert operation_kind("registered-in-a-test") == "skip"
    with pytest.raises(ValueError, match=r"'registered-in-a-test' is registered already, by .*man"):
        register_operation("registered-in-a-test", kind="pool")(lambda channels, stride, norm: None)
