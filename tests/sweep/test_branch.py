"""A trial that starts from a checkpoint of another: what it reports, and what damage does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sharing_standin import SHARING, SWITCH, Sharing, epochs_run

from tune_nas.config import TrialConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.made_with import made_with
from tune_nas.sweep.sharing.branch import Branch, keep, kept_epoch
from tune_nas.sweep.trial_epochs import TrialEpochs, TrialSetup

EPOCHS = 6


def trial(rate: float, lambda_: float = 0, seed: int = 0) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "seed": seed,
            "schedule": {"epochs": EPOCHS},
            "update": {"level": "mixed", "lambda": lambda_},
            "optimizer": {"alphas": {"learning_rate": rate}},
        }
    )


class Run:
    """A trial with a checkpoint after each epoch; it can be killed and resumed."""

    def __init__(self, folder: Path, own: TrialConfig, **more: Any) -> None:
        self.folder = folder
        job = Job("search-00000", "search", "search", own).to_dict()
        self.setup: TrialSetup = {"job": job, "folder": str(folder), "recorded": 0}
        self.setup.update(more)  # type: ignore[typeddict-item]
        self.reports: list[dict[str, Any]] = []
        self.start()

    def start(self) -> None:
        self.epochs = TrialEpochs()
        self.epochs.setup(self.setup, SHARING["search"])

    def go(self, epochs: int = EPOCHS) -> list[dict[str, Any]]:
        for _ in range(epochs):
            self.reports.append(self.epochs.step())
            self.save()
        return self.reports

    def save(self) -> None:
        for old in sorted(self.folder.glob("checkpoint_*"))[:-1]:
            shutil.rmtree(old)
        path = self.folder / f"checkpoint_{len(self.reports):06d}"
        path.mkdir(parents=True)
        self.epochs.save_checkpoint(str(path))

    def again(self, recorded: int) -> None:
        """Start again in another session, as after a kill."""
        self.setup["resume_from"] = [str(self.folder)]
        self.folder = self.folder.with_name(f"{self.folder.name}.1")
        self.setup["folder"], self.setup["recorded"] = str(self.folder), recorded
        self.start()


def alone(own: TrialConfig) -> list[dict[str, Any]]:
    learner = Sharing(own, None)
    return [learner.run_epoch() for _ in range(EPOCHS)]


def own_entries(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    others = ("done", "genotype", "taken", "taken_from", "notes", "made_with")
    return [{k: v for k, v in report.items() if k not in others} for report in reports]


def first_of(folder: Path) -> Branch:
    Run(folder / "first", trial(0.01), keep=[SWITCH]).go()
    return branch_of_first(folder)


def branch_of_first(folder: Path, epochs: int = SWITCH) -> Branch:
    return Branch(
        trial="first",
        epochs=epochs,
        folders=[str(folder / "first")],
        made_with=made_with(TrialConfig()),
    )


def test_it_reports_all_epochs_as_if_it_had_run_them(tmp_path: Path) -> None:
    branch = first_of(tmp_path)
    second = Run(tmp_path / "second", trial(0.2, lambda_=3), branches=[branch])
    found = second.go()
    assert own_entries(found) == alone(trial(0.2, lambda_=3))
    assert [report.get("taken_from") for report in found] == ["first"] * SWITCH + [None] * 3
    assert {report["taken"] for report in found[:SWITCH]} == {str(SWITCH)}
    assert [report["done"] for report in found] == [False] * 5 + [True]


@pytest.mark.parametrize("killed_after", range(EPOCHS + 1))
def test_killed_in_any_epoch_and_resumed(tmp_path: Path, killed_after: int) -> None:
    branch = first_of(tmp_path)
    second = Run(tmp_path / "second", trial(0.2), branches=[branch])
    second.go(killed_after)
    second.again(recorded=killed_after)
    second.go(max(EPOCHS - killed_after, 1))
    found = own_entries(second.reports)
    assert found[:killed_after] + found[-max(EPOCHS - killed_after, 1) :] == found
    assert found[:EPOCHS] == alone(trial(0.2))


def test_a_failure_while_results_are_taken_over_loses_none(tmp_path: Path) -> None:
    branch = first_of(tmp_path)
    second = Run(tmp_path / "second", trial(0.2), branches=[branch])
    second.go(1)
    second.start()  # Ray starts the process again, and restores the newest checkpoint
    second.epochs.load_checkpoint(str(second.folder / "checkpoint_000001"))
    assert own_entries(second.go(EPOCHS - 1)) == alone(trial(0.2))


def test_a_trial_that_cannot_be_reached_is_asked_once(tmp_path: Path) -> None:
    """As on a node without the credentials of the storage, where each attempt takes a minute."""
    branch = first_of(tmp_path)
    (tmp_path / "away").write_text("not a folder")
    away = Branch(**{**branch, "trial": "away", "folders": [str(tmp_path / "away")]})
    with pytest.warns(UserWarning, match="runs the epochs of trial away itself: storage"):
        found = Run(tmp_path / "second", trial(0.2), branches=[away]).go()
    assert own_entries(found) == alone(trial(0.2))
    assert ["runs the epochs of trial away itself" in r.get("notes", "") for r in found] == [
        True,
        *[False] * (EPOCHS - 1),
    ]
    with pytest.warns(UserWarning, match="runs the epochs of trial away itself"):
        found = Run(tmp_path / "third", trial(0.2), branches=[away, branch]).go()
    assert [report.get("taken_from") for report in found] == ["first"] * SWITCH + [None] * 3


def test_results_of_another_version_are_not_taken_over(tmp_path: Path) -> None:
    branch = first_of(tmp_path)
    ran = tmp_path / "ran"
    own = trial(0.2).model_copy(update={"description": f'{{"ran": "{ran}"}}'})
    Run(tmp_path / "second", own, branches=[{**branch, "made_with": "torch 1.0"}]).go()
    assert len(epochs_run(ran)) == EPOCHS


def test_its_state_is_never_further_than_the_next_stop(tmp_path: Path) -> None:
    """A scheduler may stop it after epoch 2: its checkpoint is then that of epoch 2."""
    Run(tmp_path / "first", trial(0.01), keep=[2, SWITCH]).go()
    branch = branch_of_first(tmp_path)
    second = Run(tmp_path / "second", trial(0.2), branches=[branch], stops=[2, 4])
    epochs = []
    for _ in range(EPOCHS):
        second.go(1)
        epochs.append(second.epochs._learner.epoch)
    assert epochs == [2, 2, 3, 4, 5, 6]
    assert own_entries(second.reports) == alone(trial(0.2))
    assert [report.get("taken") for report in second.reports[:4]] == ["2", "2", "3", None]


def test_the_end_of_a_trial_that_was_stopped_early(tmp_path: Path) -> None:
    Run(tmp_path / "first", trial(0.01)).go(2)
    branch = branch_of_first(tmp_path)
    second = Run(tmp_path / "second", trial(0.2), branches=[branch])
    assert own_entries(second.go()) == alone(trial(0.2))
    assert second.reports[0]["taken"] == "2"


def test_a_twin_runs_nothing(tmp_path: Path) -> None:
    Run(tmp_path / "first", trial(0.01)).go()
    branch = branch_of_first(tmp_path, EPOCHS)
    ran = tmp_path / "ran"
    own = trial(0.01, lambda_=2).model_copy(update={"description": f'{{"ran": "{ran}"}}'})
    second = Run(tmp_path / "second", own, branches=[branch])
    assert own_entries(second.go()) == alone(trial(0.01, lambda_=2))
    assert second.reports[-1]["done"] and not ran.exists()


@pytest.mark.parametrize("what", ["state", "results", "all"])
def test_a_damaged_or_missing_checkpoint_costs_time_alone(tmp_path: Path, what: str) -> None:
    branch = first_of(tmp_path)
    (kept,) = (tmp_path / "first").glob("kept_*")
    assert kept_epoch(kept.name) == SWITCH and kept_epoch("checkpoint_000003") is None
    if what == "all":
        shutil.rmtree(tmp_path / "first")
    else:
        (kept / ("search.pt" if what == "state" else "reports.json")).write_text("[{}")
    ran = tmp_path / "ran"
    own = trial(0.2).model_copy(update={"description": f'{{"ran": "{ran}"}}'})
    second = Run(tmp_path / "second", own, branches=[branch])
    if what == "all":
        second.go()
    else:
        with pytest.warns(UserWarning, match="skipped a checkpoint of trial first: ") as seen:
            second.go()
        assert len(seen) == 1  # it is not tried again after each epoch
    assert own_entries(second.reports) == alone(trial(0.2))
    assert len(epochs_run(ran)) == EPOCHS


def test_a_damaged_later_checkpoint_loses_no_state(tmp_path: Path) -> None:
    """The trial has taken over 2 epochs; the checkpoint for the third is damaged."""
    Run(tmp_path / "first", trial(0.01), keep=[2, SWITCH]).go()
    (tmp_path / "first" / f"kept_{SWITCH:06d}" / "search.pt").write_text("damaged")
    branch = branch_of_first(tmp_path)
    second = Run(tmp_path / "second", trial(0.2), branches=[branch], stops=[2])
    with pytest.warns(UserWarning, match="skipped a checkpoint of trial first: "):
        second.go()
    assert own_entries(second.reports) == alone(trial(0.2))


def test_a_checkpoint_that_cannot_be_kept_ends_no_trial(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def save(folder: str) -> None:
        Path(folder, "x").write_text("x")

    keep(str(tmp_path / "file"), 1, save)
    keep(str(tmp_path / "folder"), 1, save)
    assert (tmp_path / "folder" / "kept_000001" / "x").exists()
