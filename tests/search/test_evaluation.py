"""The valid accuracy: of the expected weights, or of draws where only draws are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from searching import DARTS, assert_resumes_to_the_bit, assert_same_state, finished, tiny_trial
from torch import Tensor

from tune_nas.search import Search
from tune_nas.search.relaxation.gumbel import Gumbel
from tune_nas.search.relaxation.path import UniformPath as DrawnPath
from tune_nas.search.relaxation.plain import Softmax
from tune_nas.seeds import derive_seed
from tune_nas.spaces import CellWeights, MixingWeights

# the last of the valid batches is short
SHORT = {"data.train_images": 88, "schedule.batch_size": 16}
GUMBEL: dict[str, Any] = {"relaxation.kind": "gumbel", "relaxation.init_std": 1.0, **SHORT}
PAIRS = {**GUMBEL, "relaxation.kind": "categorical", "relaxation.gradient": "two"}
CONCRETE = {**GUMBEL, "relaxation.kind": "concrete"}
RSPS: dict[str, Any] = {
    **SHORT,
    "relaxation.kind": "uniform-path",
    "update.level": "none",
    "selection.kind": "sampled",
    "selection.sampled.genotypes": 2,
}


def by_hand(search: Search, weights: list[MixingWeights], train_mode: bool) -> tuple[float, float]:
    """Return loss and accuracy in percent over the valid half, batch by batch."""
    search.supernet.train(train_mode)
    loss = right = 0.0
    size = search.batch_size
    batches = search.data.evaluation_batches(search.data.valid, size)
    with torch.no_grad(), search.objective.keeping_statistics():
        for (images, labels), mixing in zip(batches, weights, strict=True):
            logits = search.supernet(images, mixing).double()
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            right += float((logits.argmax(dim=1) == labels).sum())
    n = len(search.data.valid.labels)
    return loss / n, 100 * right / n


def generator_of(search: Search, batch: int, cell: str) -> torch.Generator:
    seed = derive_seed(derive_seed(search.trial.seed, "evaluation"), f"batch {batch}")
    return torch.Generator().manual_seed(derive_seed(seed, cell))


def gumbel_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return -torch.empty_like(like).exponential_(generator=generator).log()


def drawn_by_hand(search: Search, kind: str) -> list[MixingWeights]:
    """Return the weights that the papers draw, by batch: from τ, α and the noise."""
    found: list[MixingWeights] = []
    tau = search.history[-1].get("temperature", 1.0)
    for batch in range(3):  # 44 images by 16
        weights = {}
        for cell, alpha in search.alphas.items():
            noise = gumbel_noise(alpha.detach(), generator_of(search, batch, cell))
            soft = ((alpha.detach() + noise) / tau).softmax(dim=1)
            if kind != "concrete":
                soft = F.one_hot(soft.argmax(dim=1), alpha.shape[1]).to(alpha)
            weights[cell] = CellWeights(soft)
        found.append(weights)
    return found


@pytest.mark.parametrize("overrides", [GUMBEL, CONCRETE, PAIRS, {**GUMBEL, "space": DARTS}])
def test_valid_accuracy_is_that_of_drawn_weights(overrides: dict[str, Any]) -> None:
    search = Search(tiny_trial(**overrides))
    for _ in range(2):
        metrics = search.run_epoch()
        weights = drawn_by_hand(search, overrides["relaxation.kind"])
        loss, accuracy = by_hand(search, weights, train_mode=True)
        assert metrics["valid_loss"] == pytest.approx(loss, rel=1e-5)
        assert metrics["valid_accuracy"] == pytest.approx(accuracy)
        assert metrics["gap"] == metrics["train_accuracy"] - metrics["valid_accuracy"]


def test_valid_accuracy_of_random_search_is_that_of_one_architecture_a_batch() -> None:
    search = Search(tiny_trial(**RSPS, space=DARTS))
    metrics = search.run_epoch()
    seed = derive_seed(search.trial.seed, "evaluation")
    weights = [
        search.relaxation.weights(search.alphas, seed=derive_seed(seed, f"batch {batch}"))
        for batch in range(3)
    ]
    for drawn in weights:  # two edges into each of four nodes, in two cells
        assert sum(int(cell.operations.sum()) for cell in drawn.values()) == 16
    loss, accuracy = by_hand(search, weights, train_mode=True)
    assert metrics["valid_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["valid_accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("kind", ["softmax", "dirichlet"])
def test_valid_accuracy_of_a_trained_mixture_is_that_of_the_expected_weights(kind: str) -> None:
    search = Search(tiny_trial(**{**GUMBEL, "relaxation.kind": kind}))
    metrics = search.run_epoch()
    loss, accuracy = by_hand(search, [search.expected_weights()] * 3, train_mode=False)
    assert metrics["valid_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["valid_accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize(("overrides", "kind"), [(GUMBEL, Gumbel), (RSPS, DrawnPath)])
def test_how_a_search_is_evaluated_changes_nothing_else_of_it(
    overrides: dict[str, Any], kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = tiny_trial(**overrides, space=DARTS)
    drawn = finished(trial).state_dict()
    monkeypatch.setattr(kind, "evaluates_draws", False)
    expected = finished(trial).state_dict()
    losses = []
    for state in (drawn, expected):
        losses.append([metrics.pop("valid_loss") for metrics in state["history"]])
        for metrics in state["history"]:
            del metrics["valid_accuracy"], metrics["gap"]
        del state["findings"]  # the best genotype of each size, by valid accuracy
    assert_same_state(drawn, expected)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("overrides", [GUMBEL, RSPS])
def test_a_resumed_search_has_the_same_valid_accuracies(
    overrides: dict[str, Any], tmp_path: Path
) -> None:
    search = assert_resumes_to_the_bit(tiny_trial(**overrides), tmp_path)
    assert len({metrics["valid_loss"] for metrics in search.history}) == 3


class Drawing(Softmax):
    """A relaxation of a user's that wants its draws evaluated."""

    evaluates_draws = True


def test_a_relaxation_of_ones_own_says_what_it_wants() -> None:
    """One that draws nothing draws the expected weights."""
    search = Search(tiny_trial(**{**GUMBEL, "relaxation.kind": f"{__name__}:Drawing"}))
    metrics = search.run_epoch()
    loss, accuracy = by_hand(search, [search.expected_weights()] * 3, train_mode=True)
    assert metrics["valid_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["valid_accuracy"] == pytest.approx(accuracy)
