"""Another selection from a checkpoint."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_same_state, finished

from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError
from tune_nas.library import with_overrides
from tune_nas.search import Search, total_epochs

PT = {"selection.kind": "perturbation", "selection.perturbation.interval": 1}


def selecting(trial: TrialConfig, checkpoint: Path, **changes: Any) -> TrialConfig:
    return with_overrides(trial, {"start_from": str(checkpoint), **changes})


def test_selecting_from_a_checkpoint_is_the_end_of_the_whole_search(
    trial: TrialConfig, checkpoint: Path, tmp_path: Path
) -> None:
    """Also where it is killed on the way."""
    whole = finished(with_overrides(trial, PT))
    own = selecting(trial, checkpoint, **PT)
    assert total_epochs(own) == whole.epochs == 2 + 6
    first = Search(own)
    assert (first.epoch, first.epochs) == (2, 8)
    for _ in range(3):
        first.run_epoch()
    first.save(tmp_path)
    again = Search(own)
    again.load(tmp_path)
    while not again.done:
        again.run_epoch()
    found, wanted = again.state_dict(), whole.state_dict()
    assert {found.pop("trial")["start_from"], wanted.pop("trial")["start_from"]} == {
        str(checkpoint),
        None,
    }
    assert_same_state(wanted, found)
    assert again.genotype == whole.genotype
    rows = list(csv.DictReader((tmp_path / "decisions.csv").open()))
    assert [row["epoch"] for row in rows] == ["3", "3", "4", "4", "5", "5"]
    assert [row["cell"] for row in rows] == ["normal", "reduction"] * 3
    seen = list(csv.DictReader((tmp_path / "perturbation.csv").open()))
    assert len(seen) == 6 * 4  # four operations that a genotype may have
    chosen = [(row["cell"], row["edge"], row["without"]) for row in seen if row["chosen"] == "1"]
    assert chosen == [(row["cell"], row["edge"], row["operation"]) for row in rows]
    accuracy = {row["without"]: float(row["accuracy"]) for row in seen[:4]}
    assert accuracy[chosen[0][2]] == min(accuracy.values())


@pytest.mark.parametrize("kind", ["magnitude", "sampled"])
def test_a_selection_that_does_not_tune_takes_one_epoch_and_trains_nothing(
    kind: str, trial: TrialConfig, checkpoint: Path
) -> None:
    source = Search(trial)
    source.load(checkpoint)
    own = selecting(trial, checkpoint, **{"selection.kind": kind, "selection.sampled.genotypes": 3})
    search = Search(own)
    metrics = search.run_epoch()
    assert search.done
    assert (metrics["epoch"], total_epochs(own)) == (3, 3)
    assert metrics["valid_accuracy"] == source.history[-1]["valid_accuracy"]
    assert "train_loss" not in metrics
    for key in ("supernet", "alphas", "optimisers", "draws", "train_batches", "choices"):
        assert_same_state(source.state_dict()[key], search.state_dict()[key], key)
    if kind == "magnitude":
        assert search.genotype == source.genotype
    search.genotype.check(search.space)


def test_only_the_end_of_the_same_search_will_do(
    trial: TrialConfig, checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    def refused(where: Path, **changes: Any) -> str:
        with pytest.raises(CheckpointError) as caught:
            Search(selecting(trial, where, **changes))
        return str(caught.value)

    assert "is not finished: 1 of 2 epochs" in refused(folder / "unfinished")
    assert "another trial: seed differ" in refused(checkpoint, seed=5)
    assert "no whole checkpoint" in refused(tmp_path / "nowhere")
    after = Search(selecting(trial, checkpoint, **PT))
    after.run_epoch()
    after.save(tmp_path / "after")
    text = refused(tmp_path / "after")
    assert "'perturbation', has gone on since the search ended with epoch 2" in text
    shutil.copytree(checkpoint, tmp_path / "damaged")
    (tmp_path / "damaged" / "search.pt").write_bytes(b"no")
    assert "damaged checkpoint" in refused(tmp_path / "damaged")
    moved = shutil.copytree(checkpoint, tmp_path / "moved")
    assert Search(selecting(trial, Path(moved), **{"data.dir": "elsewhere"})).epoch == 2


def test_an_evaluation_on_few_batches_takes_them_from_the_whole_half(
    trial: TrialConfig, checkpoint: Path
) -> None:
    search = Search(trial)
    search.load(checkpoint)
    valid = search.data.valid
    search.data.valid.labels.copy_(torch.arange(len(valid)) // 8)  # in the order of the classes
    seen: list[int] = []
    evaluation_batches = type(search.data).evaluation_batches

    def watch(images: Any, size: int) -> Any:
        for batch in evaluation_batches(search.data, images, size):
            seen.extend(batch[1].tolist())
            yield batch

    object.__setattr__(search.data, "evaluation_batches", watch)
    search.evaluate(search.expected_weights(), batches=1)
    assert len(seen) == 8
    assert set(seen) == set((torch.arange(len(valid)) // 8).tolist())
