"""Probes of one's own: their metrics and files, their state, and that they change nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from searching import assert_same_state, small_trial, tiny_trial

from tune_nas.checkpoint import load_state, save_state
from tune_nas.errors import ConfigError
from tune_nas.search import Probe, Search, SearchView

OWN = {"probes": [f"{__name__}:Steadiness"]}
PER_EPOCH = ("seconds", "memory_mib")


class Steadiness(Probe):
    """Counts the epochs in which the genotype stayed, and evaluates it on the side."""

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        self._genotypes: list[str] = []

    def after_epoch(self, search: SearchView) -> Mapping[str, float]:
        self._genotypes.append(str(search.genotype))
        loss, _ = search.evaluate(search.epoch_weights, batches=1, batch_statistics=True)
        assert search.metrics["epoch"] == search.epoch == len(search.history) + 1
        steady = sum(str(search.genotype) == before for before in self._genotypes) - 1
        return {"steady_epochs": steady, "one_batch_loss": loss}

    def artifacts(self) -> Mapping[str, str | bytes]:
        return {"genotypes.json": json.dumps(self._genotypes), "raw.bin": b"\x00\xff"}

    def state_dict(self) -> dict[str, Any]:
        return {"genotypes": list(self._genotypes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._genotypes = list(state["genotypes"])


class Overwriting(Probe):
    def after_epoch(self, search: SearchView) -> Mapping[str, float]:
        return {"valid_accuracy": 100.0}


class Wordy(Probe):
    def after_epoch(self, search: SearchView) -> Mapping[str, Any]:
        return {"remark": "fine"}


class Taking(Probe):
    name = "alphas.csv"

    def after_epoch(self, search: SearchView) -> Mapping[str, float]:
        return {}

    def artifacts(self) -> Mapping[str, str]:
        return {self.name: ""}


class Outside(Taking):
    name = "../outside.txt"


class State(Taking):
    name = "search.pt"


def stripped(state: dict[str, Any], *more: str) -> dict[str, Any]:
    history = [
        {k: v for k, v in metrics.items() if k not in (*PER_EPOCH, *more)}
        for metrics in state["history"]
    ]
    return {
        **{k: v for k, v in state.items() if k not in ("trial", "probes")},
        "history": history,
    }


def run(search: Search) -> Search:
    while not search.done:
        search.run_epoch()
    return search


def test_a_probe_adds_metrics_and_files_and_changes_no_bit(tmp_path: Path) -> None:
    perturbing = {"selection.kind": "perturbation", "selection.perturbation.interval": 1}
    plain = run(Search(small_trial(tmp_path, **perturbing)))
    probed = run(Search(small_trial(tmp_path, **perturbing, **OWN)))
    assert all("steady_epochs" in metrics for metrics in probed.history)  # while it tunes, too
    assert probed.epoch > probed.search_epochs
    assert_same_state(
        stripped(plain.state_dict()),
        stripped(probed.state_dict(), "steady_epochs", "one_batch_loss"),
    )
    probed.save(tmp_path / "checkpoint")
    genotypes = json.loads((tmp_path / "checkpoint" / "genotypes.json").read_text())
    assert len(genotypes) == probed.epoch
    assert (tmp_path / "checkpoint" / "raw.bin").read_bytes() == b"\x00\xff"


def test_a_probe_remembers_when_a_search_is_resumed(tmp_path: Path) -> None:
    straight = Search(tiny_trial(**OWN))
    straight.run_epoch()
    straight.save(tmp_path)
    run(straight)
    resumed = Search(tiny_trial(**OWN))
    resumed.load(tmp_path)
    assert_same_state(straight.artifacts(), run(resumed).artifacts())


def test_a_probe_may_be_added_and_left_out_when_a_search_is_resumed(tmp_path: Path) -> None:
    for before, after in (({}, OWN), (OWN, {})):
        search = Search(tiny_trial(**before))
        search.run_epoch()
        search.save(tmp_path)
        resumed = Search(tiny_trial(**after))
        resumed.load(tmp_path)
        assert ("steady_epochs" in resumed.run_epoch()) == bool(after)


def test_a_checkpoint_from_before_there_were_probes_loads(tmp_path: Path) -> None:
    search = Search(tiny_trial())
    search.run_epoch()
    search.save(tmp_path)
    state = load_state(tmp_path, name="search.pt")
    del state["probes"], state["trial"]["probes"]
    save_state(tmp_path, state, name="search.pt")
    resumed = Search(tiny_trial(**OWN))
    resumed.load(tmp_path)
    assert_same_state(stripped(search.state_dict()), stripped(resumed.state_dict()))


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("Overwriting", "changes the metric 'valid_accuracy' of the search"),
        ("Wordy", "adds the metric 'remark' of type str, but a metric must be a number"),
    ],
)
def test_what_is_no_metric_of_a_probe_is_refused(probe: str, message: str) -> None:
    search = Search(tiny_trial(probes=[f"{__name__}:{probe}"]))
    with pytest.raises(ConfigError, match=message):
        search.run_epoch()


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("Taking", "writes 'alphas.csv', but another part writes a file of that name"),
        ("State", "writes 'search.pt', but another part writes a file of that name"),
        ("Outside", "writes '../outside.txt', but must give a plain file name"),
    ],
)
def test_what_is_no_file_of_a_probe_is_refused(probe: str, message: str, tmp_path: Path) -> None:
    search = Search(tiny_trial(probes=[f"{__name__}:{probe}"]))
    with pytest.raises(ConfigError, match=message):
        search.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{__name__}:OWN", "probes is '.*:OWN', but must be a class derived from Probe"),
        ("no_such_module:Mine", "probes is 'no_such_module:Mine', but importing it fails"),
    ],
)
def test_what_is_no_probe_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Search(tiny_trial(probes=[name]))


def test_files_follow_the_order_of_the_parts(tmp_path: Path) -> None:
    search = run(Search(small_trial(tmp_path, **OWN)))
    assert list(search.artifacts()) == [
        *("genotype.yaml", "alphas.csv", "best_by_size.yaml", "genotypes.json", "raw.bin")
    ]
