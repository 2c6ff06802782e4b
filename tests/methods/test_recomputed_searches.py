"""Whole searches with `runtime.recompute: cell`: their results are those without, bit for bit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from other_values import run

from tune_nas.config import RuntimeConfig
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.graphs import make_steps
from tune_nas.search.rng import Draws
from tune_nas.search.stepping import Steps
from tune_nas.search.together import SharedObjective, Together
from tune_nas.search.together.shared import PassRequest
from tune_nas.testing.states import differences

RECOMPUTE = {"runtime.recompute": "cell"}
KERNELS = {"space.init_channels": 4}  # a number of channels for which there are some
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "first order": ("darts-1st", KERNELS),
    "finite difference": ("darts-2nd", KERNELS),
    "exact second order": ("darts-2nd", {"update.hessian": "exact"}),
    "several gradients": ("milenas", {**KERNELS, "update.sequence": "simultaneous"}),
    "sampled paths": ("gdas", KERNELS),
    "drop path": ("r-darts-dp", {**KERNELS, "relaxation.drop_path": 0.4}),
    "dropout and stages": ("p-darts", {}),
    "partial channels": ("pc-darts", {}),
    "adversary": ("sdarts-adv", {}),
    "a policy": ("enas", {}),
    "auxiliary skips": ("darts-minus", {}),
    "Hessian": ("darts-1st", {**KERNELS, "probes": ["hessian"]}),
    "mixed precision": ("darts-1st", {"runtime.autocast": True}),
    "noise": ("darts-1st", {"space.name": "s4", "space.init_channels": 2, "space.cells": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_search_ends_the_same(case: str, shrink: Any) -> None:
    name, changes = CASES[case]
    trial = shrink(name, **changes)
    assert differences(run(trial), run(with_overrides(trial, RECOMPUTE))) == []


@pytest.mark.parametrize("case", ["first order", "drop path"])
def test_checkpoints_go_on_with_and_without_it(case: str, shrink: Any, tmp_path: Path) -> None:
    name, changes = CASES[case]
    trial = shrink(name, **changes)
    forms = [trial, with_overrides(trial, RECOMPUTE)]
    straight = Search(forms[0])
    while not straight.done:
        straight.run_epoch()
    for first, then in (forms, forms[::-1], forms[1:] * 2):
        killed = Search(first)
        killed.run_epoch()
        killed.save(tmp_path / "checkpoint")
        resumed = Search(then)
        resumed.load(tmp_path / "checkpoint")
        while not resumed.done:
            resumed.run_epoch()
        found = differences(straight.state_dict(), resumed.state_dict())
        assert [where for where in found if where != "state.trial.runtime.recompute"] == []


def test_steps_are_not_captured(
    shrink: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tune_nas.search.graphs.capture_for", lambda *_: SimpleNamespace())
    search = Search(shrink("darts-1st"))
    device = torch.device("cpu")
    for recompute, captures in (("never", True), ("cell", False)):
        runtime = RuntimeConfig(recompute=recompute)  # type: ignore[arg-type]
        caplog.clear()
        steps = make_steps(runtime, device, search.relaxation, Draws())
        assert steps.captures == captures
        assert len(caplog.records) == (0 if captures else 1)
    assert "runtime.recompute is 'cell'" in caplog.text
    assert type(steps) is Steps


def test_passes_do_not_run_jointly(shrink: Any) -> None:
    """A joint pass keeps all activations; evaluations may still be joint."""
    together = Together()
    trial = with_overrides(shrink("darts-1st"), RECOMPUTE)
    asked: list[PassRequest] = []
    together.ask = asked.append  # type: ignore[assignment, method-assign]
    search = Search(trial, together=together)
    assert isinstance(search.objective, SharedObjective)
    search.run_epoch()
    assert asked and all(each.labels is None for each in asked)
