"""Any relaxation goes with any update; what makes no sense together gets one line that says why."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.search import Search, relaxation_names, selection_names

Shrink = Callable[..., TrialConfig]
GradientsOf = Callable[[Search], list[list[bool]]]

NOT_BY_ALPHA = {"uniform-path": "rsps", "controller": "enas"}  # each with its trial
MOVED_BY_ALPHA = [name for name in relaxation_names() if name not in NOT_BY_ALPHA]
# What a relaxation needs of other parts.
NEEDS: dict[str, dict[str, Any]] = {
    "simplex": {"optimizer.alphas": {"kind": "exponentiated", "step_size": 0.1}}
}
LEVELS = [("single", 1), *product(("bilevel", "mixed"), (1, 2))]
SEQUENCES = ("simultaneous", "weights-first", "alphas-first")


def run_one_epoch(trial: TrialConfig, gradients_of: GradientsOf) -> Search:
    """Run an epoch of one step in which every α has a gradient; return the search."""
    search = Search(trial)
    alphas = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
    seen = gradients_of(search)
    metrics = search.run_epoch()
    assert 0 < metrics["train_loss"] < 20
    assert len(seen) == 1 and all(seen[0])
    assert all(not alphas[name].equal(alpha) for name, alpha in search.alphas.items())
    search.genotype.check(search.space)
    return search


@pytest.mark.parametrize(("level", "order"), LEVELS)
@pytest.mark.parametrize("relaxation", MOVED_BY_ALPHA)
def test_any_relaxation_with_any_update(
    relaxation: str, level: str, order: int, shrink: Shrink, gradients_of: GradientsOf
) -> None:
    """Each relaxation meets each level and order, and over them each sequence."""
    turn = MOVED_BY_ALPHA.index(relaxation) + LEVELS.index((level, order))
    update = {"level": level, "order": order, "sequence": SEQUENCES[turn % len(SEQUENCES)]}
    own = {"relaxation.kind": relaxation, "relaxation.init_std": 0.1, "update": update}
    own |= NEEDS.get(relaxation, {})
    run_one_epoch(shrink("darts-1st", **own), gradients_of)


@pytest.mark.parametrize(("level", "order"), LEVELS)
@pytest.mark.parametrize("gradient", ["full", "two", "importance"])
def test_any_gradient_of_sampled_operations_with_any_update(
    gradient: str, level: str, order: int, shrink: Shrink, gradients_of: GradientsOf
) -> None:
    update: dict[str, Any] = {"level": level, "order": order, "sequence": "simultaneous"}
    own = {
        "relaxation.kind": "categorical",
        "relaxation.gradient": gradient,
        "relaxation.init_std": 0.1,
        "update": update,
    }
    if (gradient != "full" and order == 2) or (gradient == "importance" and level == "mixed"):
        with pytest.raises(ConfigError, match=f"relaxation.gradient is '{gradient}'.* must be"):
            shrink("darts-1st", **own)
        return
    run_one_epoch(shrink("darts-1st", **own), gradients_of)


EXTRAS: dict[str, dict[str, Any]] = {
    "random smoothing": {"relaxation.smoothing.kind": "random"},
    "adversarial smoothing": {"relaxation.smoothing.kind": "adversarial"},
    "partial channels": {"relaxation.partial_channels": 2, "relaxation.edge_normalization": True},
    "a decision": {"schedule.greedy": {"warmup": 0, "every": 1}, "schedule.epochs": 5},
    "early fixing": {"schedule.early_fixing": {"gap": 0.1}},
    "an auxiliary skip": {"relaxation.auxiliary_skip.start": 1.0, "relaxation.drop_path": 0.2},
    "stages": {"schedule.stages": [{"epochs": 1}, {"epochs": 2, "operations": 2}]},
}


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("relaxation", MOVED_BY_ALPHA)
def test_any_relaxation_with_any_schedule(
    relaxation: str, extra: str, shrink: Shrink, gradients_of: GradientsOf
) -> None:
    if relaxation in ("gumbel", "categorical", "dropout", "proximal") and "smoothing" in extra:
        pytest.skip("refused, see below")
    own = {"space.init_channels": 4} if extra == "partial channels" else {}
    own |= NEEDS.get(relaxation, {})
    trial = shrink("milenas", **{"relaxation.kind": relaxation, **EXTRAS[extra], **own})
    run_one_epoch(trial, gradients_of)


@pytest.mark.parametrize("selection", [s for s in selection_names() if s != "greedy"])
@pytest.mark.parametrize("relaxation", relaxation_names())
def test_any_selection_with_any_relaxation(relaxation: str, selection: str, shrink: Shrink) -> None:
    if relaxation == "uniform-path" and selection == "magnitude":
        pytest.skip("refused, see below")
    trial = shrink(
        NOT_BY_ALPHA.get(relaxation, "milenas"),
        **{
            "relaxation.kind": relaxation,
            "selection.kind": selection,
            "selection.perturbation": {"interval": 1, "batches": 1},
            "selection.sampled": {"genotypes": 2},
            "schedule.epochs": 1,
            **NEEDS.get(relaxation, {}),
        },
    )
    search = Search(trial)
    for _ in range(2 if selection == "perturbation" else 1):
        search.run_epoch()
    search.genotype.check(search.space)
    assert search.done == (selection != "perturbation")


@pytest.mark.parametrize(
    ("trial", "overrides", "message"),
    [
        (
            "milenas",
            {"relaxation.kind": "uniform-path"},
            "relaxation.kind is 'uniform-path', which has no α to move, but update.level is "
            "'mixed'; "
            "it must be 'none'",
        ),
        (
            "milenas",
            {"update.level": "none", "update.lambda": None},
            "update.level is 'none', so that α never moves, but selection.kind 'magnitude' reads "
            "α; take 'perturbation' or 'sampled'",
        ),
        (
            "sdarts-rs",
            {"relaxation.kind": "gumbel"},
            "relaxation.smoothing.kind is 'random', but relaxation.kind 'gumbel' runs one "
            "operation per edge: it has no weights to smooth",
        ),
        (
            "sdarts-rs",
            {"relaxation.kind": "dropout"},
            "relaxation.smoothing.kind is 'random', but relaxation.kind 'dropout' does not run "
            "every operation whose weight would be smoothed; take 'softmax'",
        ),
        (
            "fairdarts",
            {"relaxation.kind": "softmax"},
            "relaxation.penalty.kind is 'zero-one', but belongs to relaxation.kind 'sigmoid', not "
            "'softmax'",
        ),
        (
            "darts-1st",
            {"selection.kind": "greedy"},
            "selection.kind is 'greedy', but nothing is decided while the search runs; give "
            "schedule.greedy",
        ),
        (
            "sgas",
            {"schedule.early_fixing": {}},
            "schedule.greedy and schedule.early_fixing exclude each other; give one (null for the "
            "other)",
        ),
        (
            "rsps",
            {"schedule.early_fixing": {}},
            "update.level is 'none', so that α never moves, but schedule.early_fixing decides by α",
        ),
        (
            "sgas",
            {"schedule.stages": [{"epochs": 50}]},
            "schedule.greedy and schedule.stages exclude each other; give one",
        ),
        (
            "p-darts",
            {"schedule.epochs": 60},
            "schedule.stages take 75 epochs, but schedule.epochs is 60; they must be equal",
        ),
        (
            "p-darts",
            {"selection.kind": "perturbation"},
            "selection.max_skips is given, but belongs to selection.kind 'magnitude', not "
            "'perturbation'",
        ),
        (
            "pc-darts",
            {"schedule.epochs": 10},
            "update.warmup is 15, but the search has 10 epochs (schedule.epochs)",
        ),
        (
            "bilevel-then-milenas",
            {"schedule.epochs": 30},
            "update.phases.0.until is 35, but the search has 30 epochs (schedule.epochs)",
        ),
        (
            "rsps",
            {"schedule.greedy": {}},
            "update.level is 'none', so that α never moves, but schedule.greedy decides by α",
        ),
        (
            "snas",
            {"update.order": 2},
            "update.order is 2, but must be 1 where update.level is 'single' (order 2 needs "
            "'bilevel' or 'mixed')",
        ),
        (
            "milenas",
            {"update.alpha_batch": "separate"},
            "update.alpha_batch is 'separate', but belongs to update.level 'single', not 'mixed'",
        ),
        (
            "milenas",
            {"relaxation.options": {"end": 0.1}},
            "relaxation.options.end is not an option of 'softmax'; 'softmax' has no options",
        ),
    ],
)
def test_what_makes_no_sense_together_is_refused(
    trial: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_trial(trial, overrides)
    assert str(error.value) == f"trial '{trial}': {message}"


@pytest.mark.parametrize(
    ("trial", "overrides", "message"),
    [
        ("sgas", {"schedule.epochs": 3}, "schedule.greedy makes 4 decisions"),
        ("pc-darts", {"space.init_channels": 6}, "partial_channels"),
        ("p-darts", {"selection.max_skips": {"nromal": 2}}, "nromal"),
        ("milenas", {"schedule.stop": {"convolutions": {"nromal": 2}}}, "nromal"),
        ("milenas", {"schedule.rules": ["no_such_module:Rule"]}, "no_such_module"),
    ],
)
def test_what_does_not_fit_the_space_is_refused(
    trial: str, overrides: dict[str, Any], message: str, shrink: Shrink
) -> None:
    with pytest.raises(ConfigError) as error:
        Search(shrink(trial, **overrides))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
