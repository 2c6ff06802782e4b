"""The shipped rules, and the example of a user's own, keep the contract."""

from __future__ import annotations

from typing import ClassVar

from tune_nas.testing import RuleContract


class TestStages(RuleContract):
    trial = "p-darts"
    settings: ClassVar[dict[str, object]] = {
        "schedule.epochs": 2,
        "update.warmup": 0,
        "schedule.stages": [
            {"epochs": 1, "cells": 3, "operations": 4, "skip_dropout": 0.1},
            {"epochs": 1, "cells": 4, "operations": 2, "skip_dropout": 0.4},
        ],
    }


class TestGreedy(RuleContract):
    settings: ClassVar[dict[str, object]] = {
        "schedule.epochs": 5,
        "schedule.greedy": {"warmup": 0, "every": 1},
    }


class TestLowerRate(RuleContract):
    settings: ClassVar[dict[str, object]] = {"schedule.lr_rule": {"share": 0.1, "factor": 0.5}}


class TestStop(RuleContract):
    settings: ClassVar[dict[str, object]] = {"schedule.stop": {"convolutions": {"normal": 4}}}


class TestEigenvalueStops(RuleContract):
    epochs = 5
    settings: ClassVar[dict[str, object]] = {
        "schedule.eigenvalue": {"every": 1, "window": 1, "lag": 1, "start": 0, "factor": 0.1}
    }


class TestEigenvalueRollsBack(RuleContract):
    settings: ClassVar[dict[str, object]] = {
        "schedule.eigenvalue": {
            **{"action": "roll-back", "max_decay": 0.003},
            **{"every": 1, "window": 1, "lag": 1, "start": 0, "factor": 0.1},
        }
    }


class TestStopWhenSettled(RuleContract):
    rule = "own_parts:StopWhenSettled"
    epochs = 6
    settings: ClassVar[dict[str, object]] = {"optimizer.alphas.learning_rate": 0.0}
