"""Parts in a file of one's own: the example runs, resumes to the bit, and says what is wrong."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.search import Search
from tune_nas.search.probes import make_probes
from tune_nas.sweep.resolve import load_sweep, resolve_trials

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL: dict[str, Any] = {
    "data.train_images": 64,
    "space.init_channels": 2,
    "schedule.batch_size": 16,
    "schedule.epochs": 6,
    "retrain.init_channels": 2,
    "retrain.cells": 3,
}


@pytest.fixture
def in_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)


def example(**overrides: Any) -> TrialConfig:
    return load_trial("own-parts.yaml", {**SMALL, **overrides})


def test_the_example_runs_and_resumes_to_the_bit(in_examples: None, tmp_path: Path) -> None:
    straight = Search(example())
    temperatures = []
    while not straight.done:
        straight.save(tmp_path / str(straight.epoch))
        temperatures.append(straight.run_epoch()["temperature"])
    # from 1 to 0.2 over 6 epochs
    expected = [1 - 0.8 * epoch / 5 for epoch in range(len(temperatures))]
    assert temperatures == pytest.approx(expected)
    straight.genotype.check(straight.space)

    resumed = Search(example())
    resumed.load(tmp_path / "2")
    while not resumed.done:
        resumed.run_epoch()
    assert resumed.stop_reason == straight.stop_reason
    assert resumed.genotype == straight.genotype
    assert resumed.epoch == straight.epoch
    for name, alpha in straight.alphas.items():
        assert torch.equal(alpha, resumed.alphas[name])


def test_the_rule_stops_a_search_whose_genotype_stays(in_examples: None) -> None:
    search = Search(example(**{"optimizer.alphas.learning_rate": 0.0}))
    while not search.done:
        metrics = search.run_epoch()
    assert (search.epoch, metrics["settled_epochs"]) == (3, 3)
    assert search.stop_reason == "the genotype is the same for 3 epochs"


def test_the_weights_are_those_of_the_formula(in_examples: None) -> None:
    search = Search(example())
    search.relaxation.set_epoch(5, 6)
    alphas = torch.tensor([[0.0, 0.2 * math.log(3)]])
    weights = search.relaxation.relax(alphas, torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75]]))


def test_the_probe_counts_the_edges_that_are_nearly_undecided(in_examples: None) -> None:
    search = Search(example())
    cell = search.space.cells["normal"]
    with torch.no_grad():
        search.alphas["normal"].zero_()
        search.alphas["normal"][:2, 0] = 5.0  # as large at any temperature up to 1
    search.epoch_weights = search.expected_weights()
    (probe,) = make_probes(search).values()
    assert probe.after_epoch(search) == {"close_edges": len(cell.edges) - 2}
    assert search.run_epoch()["close_edges"] <= len(cell.edges)


def test_the_page_shows_the_probe_of_the_example() -> None:
    page = (EXAMPLES.parent / "docs" / "custom-parts.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(class Alternatives.*?)```", page, flags=re.DOTALL)
    assert block in (EXAMPLES / "own_parts.py").read_text(encoding="utf-8")


def test_the_relaxation_of_the_page_bounds_alphas_and_trains_w_flat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (EXAMPLES.parent / "docs" / "custom-parts.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(from torch import Tensor.*?)```", page, flags=re.DOTALL)
    (tmp_path / "bounded_parts.py").write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    bounded = {"kind": "bounded_parts:Bounded", "options": {"bound": 0.001}}
    space = {"name": "nasbench201", "init_channels": 2, "cells": 1}
    search = Search(load_trial("darts-1st", {**SMALL, "space": space, "relaxation": bounded}))
    search.choices.decide("normal", 0, 1)
    with torch.no_grad():
        search.alphas["normal"][0, 1] = 5.0  # decided, so it stays
    search.run_epoch()
    alphas = search.alphas["normal"].detach()
    assert float(alphas[0, 1]) == 5.0
    # α₀ has a standard deviation of 0.001, so some of 25 are beyond it
    assert float(alphas[1:].abs().max()) == pytest.approx(0.001)
    flat = search.relaxation.for_weights().weights(search.alphas)["normal"].operations
    torch.testing.assert_close(flat[1:], (alphas[1:] / 10).softmax(dim=1))
    assert flat[0].tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(("power", "kept"), [(0.0, [1, 2]), (1.0, [0, 1])])
def test_a_clear_choice_comes_before_a_large_weight(
    in_examples: None, power: float, kept: list[int]
) -> None:
    """Node 3 has three edges: 0.45, 0.45, 0.1 is clearer than 0.48 and seven times 0.52 / 7."""
    darts = {"name": "darts", "init_channels": 2, "cells": 3}
    search = Search(example(**{"space": darts, "selection.options": {"power": power}}))
    clear = torch.tensor([1e-9] * 5 + [0.1, 0.45, 0.45])
    large = torch.tensor([0.52 / 7] * 7 + [0.48])
    cell = search.space.cells["normal"]
    with torch.no_grad():
        search.relaxation.set_epoch(0, 6)
        for row, weights in zip(cell.incoming(3), (clear, large, large), strict=True):
            search.alphas["normal"][row] = weights.log()
    edges = search.genotype.cells["normal"].edges
    assert [edge.source for edge in edges if edge.target == 3] == kept


def test_the_sweep_of_the_page_resolves(in_examples: None, tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "custom-parts.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(trial: .*?)```", page, flags=re.DOTALL)
    path = tmp_path / "own-sweep.yaml"
    path.write_text(block, encoding="utf-8")
    trials = resolve_trials(load_sweep(path))
    assert len(trials) == 3 * 2 * 2  # values of `end`, selections, seeds
    assert {trial.relaxation.options["end"] for _, _, trial in trials} == {0.1, 0.5, 1.0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"relaxation.options": {"end": 2}},
            "relaxation.options.end is 2, but must be > 0 and <= 1",
        ),
        (
            {"relaxation.options": {"ned": 1}},
            "relaxation.options do not fit 'own_parts:Sharpening': Sharpening.__init__() got an "
            "unexpected keyword argument 'ned'",
        ),
        (
            {"relaxation.kind": "own_parts:Nope"},
            "relaxation.kind is 'own_parts:Nope', but must be a class derived from Relaxation",
        ),
        (
            {"schedule.rules": ["own_parts:MostCertain2"]},
            "schedule.rules is 'own_parts:MostCertain2', but must be a class derived from Rule",
        ),
        (
            {"selection.kind": "no_parts:Mine"},
            "selection.kind is 'no_parts:Mine', but importing it fails: No module named 'no_parts'",
        ),
    ],
)
def test_what_is_no_part_is_refused(
    in_examples: None, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        Search(example(**overrides))
    assert str(error.value) == message
