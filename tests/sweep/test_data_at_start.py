"""Output and checks of a run on its images when it starts. Ray is not started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from standin import TASKS, MakeSweep

from tune_nas.config import check_data_keys
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.sweep import RunOptions
from tune_nas.sweep.first_checks import data_sections
from tune_nas.sweep.resolve import resolve_trials
from tune_nas.sweep.runner import run_search
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.storage import Storage


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """End a run before its first trial starts."""
    monkeypatch.setattr("tune_nas.sweep.runner._run", lambda *_, **__: None)


def _classes(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8)).save(root / name / f"{number}.png")


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("quiet", [False, True])
def test_classes_and_counts_are_named_unless_quiet(
    quiet: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _classes(tmp_path / "images", "cat", "dog")
    data = {"data.name": "folder", "data.dir": str(tmp_path / "images")}
    trial = with_overrides({}, {**data, "name": "trial"})
    options = RunOptions(storage=str(tmp_path / "runs"), quiet=quiet)
    run_search(trial, options, tasks=TASKS)
    line = f"data: 2 classes in '{tmp_path}/images', 8 training + 2 test images: cat 4+1, dog 4+1\n"
    assert capsys.readouterr() == ("", "" if quiet else line)


@pytest.mark.usefixtures("started")
def test_known_data_sets_need_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = RunOptions(storage=str(tmp_path / "runs"))
    run_search(with_overrides({}, {"name": "trial"}), options, tasks=TASKS)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("started")
def test_a_run_from_before_the_checks_can_be_read(tmp_path: Path) -> None:
    # `data.dir` beside digits was accepted, and a plan has no keys that are newer than it.
    options = RunOptions(storage=str(tmp_path / "runs"), quiet=True)
    run_search(with_overrides({}, {"name": "trial"}), options, tasks=TASKS)
    file = tmp_path / "runs" / "trial" / "trials.yaml"
    lines = file.read_text().replace("dir: null", "dir: /images").splitlines()
    newer = ("reference_size:", "layout:", "fit:", "background:")
    kept = [line for line in lines if not line.strip().startswith(newer)]
    file.write_text("\n".join(kept).replace("flip: auto", "flip: true"))
    trial = read_plan(Storage(tmp_path / "runs" / "trial")).bases.first
    assert trial.data.dir == "/images"
    # A retraining whose cutout would blank the digits scales it; other sizes stay as stated.
    for augment, size in ((trial.data.augment, None), (trial.retrain.augment, 32)):
        assert (augment.crop_padding, augment.flip, augment.reference_size) == (4, True, size)


@pytest.mark.parametrize("searcher", ["grid", "random"])
def test_a_key_that_one_of_the_swept_data_sets_uses_is_accepted(
    make_sweep: MakeSweep, searcher: str
) -> None:
    def sections(**kept: Any) -> list[Any]:
        sweep = make_sweep(
            set={"data.dir": "/data"}, searcher=searcher, repeat=None, seeds=1, **kept
        )
        return data_sections(sweep, [trial for _, _, trial in resolve_trials(sweep)])

    check_data_keys(sections(parameters={"data.name": {"choice": ["digits", "cifar10"]}}))
    with pytest.raises(ConfigError, match=r"data\.dir is '/data', but data set 'digits'"):
        check_data_keys(sections(parameters={"data.name": {"choice": ["digits", "fake"]}}))
