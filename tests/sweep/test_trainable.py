"""The trainables without a Ray session: checkpoints, damage, reuse of a process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from standin import StandInTrainable

from tune_nas.config import TrialConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.trainable import EpochTrainable
from tune_nas.tasks import Inputs

EPOCHS = 5
TINY = {
    "space": {"name": "darts", "init_channels": 4, "cells": 3},
    "data": {"name": "fake", "train_images": 32},
    "schedule": {"epochs": 3, "batch_size": 8, "steps_per_epoch": 1},
    "retrain": {"epochs": 2, "batch_size": 8, "init_channels": 4, "cells": 3},
}


def config(seed: int = 0, content: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    content = content or {"schedule": {"epochs": EPOCHS}, "description": "{}"}
    trial = TrialConfig.model_validate({**content, "seed": seed})
    task, inputs = more.pop("task", "search"), more.pop("inputs", Inputs())
    job = Job(more.pop("id", "search-00000"), task, task, trial, inputs=inputs)
    return {"job": job.to_dict(), "resume_from": [], "recorded": 0, **more}


def run(trainable: EpochTrainable, folder: Path, epochs: int) -> list[dict[str, Any]]:
    """Run epochs, with a checkpoint after each as Ray would make it."""
    reports = []
    for _ in range(epochs):
        reports.append(trainable.step())
        checkpoint = folder / f"checkpoint_{int(reports[-1]['epoch']) - 1:06d}"
        checkpoint.mkdir(parents=True)
        trainable.save_checkpoint(str(checkpoint))
    return reports


def damage(folder: Path) -> None:
    path = folder / "search.pt"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    whole = run(StandInTrainable(config()), tmp_path / "whole", EPOCHS)
    run(StandInTrainable(config()), tmp_path / "a", 3)
    damage(tmp_path / "a" / "checkpoint_000002")
    again = StandInTrainable(config())
    with pytest.warns(UserWarning, match="skipped a damaged checkpoint"):
        again.load_checkpoint(str(tmp_path / "a" / "checkpoint_000002"))
    reports = [again.step() for _ in range(EPOCHS - 2)]
    assert "skipped a damaged checkpoint" in reports[0].pop("notes")
    assert reports == whole[2:]
    assert [report["epoch"] for report in reports] == [3, 4, 5]


def test_damaged_results_are_a_damaged_checkpoint(tmp_path: Path) -> None:
    whole = run(StandInTrainable(config()), tmp_path / "a", 3)
    (tmp_path / "a" / "checkpoint_000002" / "reports.json").write_text('[{"epo')
    again = StandInTrainable(config())
    with pytest.warns(UserWarning, match="reports.json"):
        again.load_checkpoint(str(tmp_path / "a" / "checkpoint_000002"))
    report = again.step()
    report.pop("notes")
    assert report == whole[2]


def test_a_trial_without_any_whole_checkpoint_starts_again(tmp_path: Path) -> None:
    whole = run(StandInTrainable(config()), tmp_path / "a", 1)
    damage(tmp_path / "a" / "checkpoint_000000")
    again = StandInTrainable(config())
    with pytest.warns(UserWarning, match="damaged"):
        again.load_checkpoint(str(tmp_path / "a" / "checkpoint_000000"))
    report = again.step()
    report.pop("notes")
    assert report == whole[0]


@pytest.mark.parametrize("recorded", range(4))
def test_a_resumed_trial_reports_what_the_driver_has_not_recorded(
    tmp_path: Path, recorded: int
) -> None:
    whole = run(StandInTrainable(config()), tmp_path / "whole", EPOCHS)
    run(StandInTrainable(config()), tmp_path / "first", 3)
    folders = [str(tmp_path / "first"), str(tmp_path / "never-began")]
    resumed = StandInTrainable(config(resume_from=folders, recorded=recorded))
    reports = [resumed.step() for _ in range(EPOCHS - recorded)]
    assert reports == whole[recorded:]


def test_a_trial_that_was_killed_after_its_last_epoch_reports_it_again(tmp_path: Path) -> None:
    whole = run(StandInTrainable(config()), tmp_path / "a", EPOCHS)
    again = StandInTrainable(config(resume_from=[str(tmp_path / "a")], recorded=EPOCHS))
    assert again.step() == whole[-1]
    assert whole[-1]["done"]


def test_the_newest_session_is_tried_first(tmp_path: Path) -> None:
    run(StandInTrainable(config()), tmp_path / "a", 2)
    later = StandInTrainable(config(resume_from=[str(tmp_path / "a")], recorded=2))
    run(later, tmp_path / "a.1", 1)
    folders = [str(tmp_path / "a"), str(tmp_path / "a.1")]
    assert StandInTrainable(config(resume_from=folders, recorded=3)).step()["epoch"] == 4


def results(reports: list[dict[str, Any]]) -> str:
    measured = ("seconds", "memory_mib")
    return json.dumps([{k: v for k, v in r.items() if k not in measured} for r in reports])


def test_a_search_in_a_used_process_is_bit_identical(tmp_path: Path) -> None:
    """Starting a process costs seconds per trial; `reset_config` must leave nothing behind."""
    small = {"name": "nasbench201", "init_channels": 4, "cells": 1}
    sigmoid, two = {"kind": "sigmoid"}, {"threads": 2}
    other = {**TINY, "space": small, "relaxation": sigmoid, "runtime": two}
    fresh = EpochTrainable(config(3, TINY))
    expected = results(run(fresh, tmp_path / "fresh", 3))
    used = EpochTrainable(config(1, other))
    used.step()
    assert used.reset(config(3, TINY))
    assert results(run(used, tmp_path / "used", 3)) == expected
    assert torch.get_num_threads() == 1
    names = ["search.pt", "alphas.csv", "genotype.yaml"]
    for name in names:
        one, two = (tmp_path / kind / "checkpoint_000002" / name for kind in ("fresh", "used"))
        if name == "search.pt":
            saved, other = (torch.load(path, weights_only=True) for path in (one, two))
            assert saved.keys() == other.keys()
            for part in ("supernet", "alphas"):
                for key, tensor in saved[part].items():
                    assert torch.equal(tensor, other[part][key]), key
        else:
            assert one.read_text() == two.read_text()


def test_a_real_search_falls_back_and_ends_bit_identical(tmp_path: Path) -> None:
    expected = run(EpochTrainable(config(0, TINY)), tmp_path / "a", 3)
    damage(tmp_path / "a" / "checkpoint_000001")
    again = EpochTrainable(config(0, TINY))
    with pytest.warns(UserWarning, match="damaged"):
        again.load_checkpoint(str(tmp_path / "a" / "checkpoint_000001"))
    reports = [again.step() for _ in range(2)]
    reports[0].pop("notes")
    assert results(reports) == results(expected[1:])


def test_a_retrain_is_resumed_from_an_earlier_session(tmp_path: Path) -> None:
    genotype = (Path(__file__).parent / "genotype.yaml").read_text()
    inputs = Inputs(genotype=genotype)
    settings = config(0, TINY, task="retrain", id="retrain-00000", inputs=inputs)
    expected = run(EpochTrainable(settings), tmp_path / "a", 2)
    resumed = {**settings, "resume_from": [str(tmp_path / "b")], "recorded": 1}
    run(EpochTrainable(settings), tmp_path / "b", 1)
    assert results([EpochTrainable(resumed).step()]) == results(expected[1:])
    assert "test_accuracy" in expected[1]
