"""The shipped trials hold the numbers of the papers and their code, typed a second time."""

from __future__ import annotations

from typing import Any

import pytest
from supernet_trials import STRATEGY_TRIALS, SUPERNET_TRIALS

from tune_nas.config import TrialConfig, scaled
from tune_nas.library import load_trial, with_overrides
from tune_nas.shipped import shipped_names

# relaxation, level, order, sequence, selection | epochs, batch | rate of w, its end; rate of α
SHIPPED: dict[str, tuple[Any, ...]] = {
    "darts-1st": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "darts-2nd": ("softmax", "bilevel", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "darts-es": ("softmax", "bilevel", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "r-darts-ada": ("softmax", "bilevel", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "single-level": ("sigmoid", "single", 1, "both", "magnitude", 50, 64, 0.005, 0.0, 3e-4),
    "milenas": ("softmax", "mixed", 1, "w α", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "milenas-code": ("softmax", "mixed", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "milenas-2nd": ("softmax", "mixed", 2, "w α", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "milenas-2nd-code": ("softmax", "mixed", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "bilevel-then-milenas": ("softmax", "mixed", 1, "w α", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "bilevel-then-milenas-code": (
        *("softmax", "mixed", 1, "α w", "magnitude"),
        *(50, 64, 0.025, 0.001, 3e-4),
    ),
    "gdas": ("gumbel", "bilevel", 1, "w α", "magnitude", 250, 256, 0.025, 0.001, 3e-4),
    "gdas-code": ("gumbel", "bilevel", 1, "w α", "magnitude", 250, 64, 0.025, 0.001, 3e-4),
    "milenas-gumbel": ("gumbel", "mixed", 1, "w α", "magnitude", 250, 256, 0.025, 0.001, 3e-4),
    "milenas-gumbel-code": ("gumbel", "mixed", 1, "α w", "magnitude", 300, 128, 0.025, 0.001, 3e-4),
    "snas": ("concrete", "single", 1, "both", "magnitude", 150, 64, 0.025, 0.001, 3e-4),
    "darts-pt": ("softmax", "bilevel", 1, "α w", "perturbation", 50, 64, 0.025, 0.001, 3e-4),
    "sdarts-rs": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "sdarts-adv": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "sdarts-pt": ("softmax", "bilevel", 1, "α w", "perturbation", 50, 64, 0.025, 0.001, 3e-4),
    "sgas": ("softmax", "bilevel", 1, "α w", "greedy", 50, 64, 0.025, 0.001, 3e-4),
    "sgas-pt": ("softmax", "bilevel", 1, "α w", "perturbation", 50, 64, 0.025, 0.001, 3e-4),
    "pc-darts": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 256, 0.1, 0.0, 6e-4),
    "p-darts": ("softmax", "bilevel", 1, "α w", "magnitude", 75, 96, 0.025, 0.0, 6e-4),
    "p-darts-code": ("softmax", "bilevel", 1, "α w", "magnitude", 75, 96, 0.025, 0.0, 6e-4),
    "drnas": ("dirichlet", "bilevel", 1, "α w", "magnitude", 100, 64, 0.025, 0.001, 3e-4),
    "drnas-progressive": ("dirichlet", "bilevel", 1, "α w", "magnitude", 50, 64, 0.1, 0.0, 6e-4),
    "drnas-code": ("dirichlet", "bilevel", 1, "α w", "magnitude", 100, 64, 0.025, 0.001, 3e-4),
    "drnas-progressive-code": (
        *("dirichlet", "bilevel", 1, "α w", "magnitude"),
        *(50, 64, 0.1, 0.0, 6e-4),
    ),
    "fairdarts": ("sigmoid", "bilevel", 1, "α w", "magnitude", 50, 128, 0.005, 0.001, 3e-3),
    "gaea-bilevel": ("simplex", "bilevel", 1, "α w", "magnitude", 25, 64, 0.025, 0.013, 0.1),
    "gaea-erm": ("simplex", "single", 1, "α w", "magnitude", 25, 64, 0.025, 0.013, 0.1),
    "gaea-pc-darts": ("simplex", "bilevel", 1, "α w", "magnitude", 50, 256, 0.1, 0.0, 0.1),
    "gaea-gdas": ("gumbel", "bilevel", 1, "α w", "magnitude", 250, 64, 0.025, 0.001, 0.01),
    "xnas": ("simplex", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, None),
    "dsnas": ("categorical", "single", 1, "both", "magnitude", 240, 1024, 0.5, 0.0, 1e-3),
    "proxylessnas": ("categorical", "bilevel", 1, "w α", "magnitude", 120, 64, 0.025, 0.0, 1e-3),
    "parsec": ("categorical", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "darts-minus": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "r-darts-dp": ("softmax", "bilevel", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "dropnas": ("dropout", "single", 1, "both", "magnitude", 76, 96, 0.0375, 0.0015, 3e-4),
    "rsps": ("uniform-path", "none", 1, None, "sampled", 100, 64, 0.025, 0.001, None),
    "darts-plus": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "darts-plus-ranking": (
        *("softmax", "bilevel", 1, "α w", "magnitude"),
        *(50, 64, 0.025, 0.001, 3e-4),
    ),
    "stacnas": ("softmax", "single", 1, "both", "magnitude", 160, 64, 0.025, 0.001, 3e-4),
    "nasp": ("proximal", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "setn": ("softmax", "bilevel", 1, "w α", "sampled", 250, 64, 0.025, 0.001, 3e-4),
    "enas": ("controller", "policy", 1, "α w", "sampled", 250, 128, 0.05, 0.0005, 1e-3),
}
# kind, budget, levels
STRATEGIES: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "random-search": ("random", 300, (12,)),
    "regularized-evolution": ("evolution", 300, (12,)),
    "local-search": ("local-search", 300, (12,)),
    "successive-halving": ("successive-halving", 300, (3, 6, 12)),
    "asha-genotypes": ("asha", 300, (3, 6, 12)),
    "rank-nosh": ("rank-nosh", 292, (3, 6, 12)),
    "bananas": ("rank-nosh", 300, (12,)),
}
SEQUENCES = {"alphas-first": "α w", "weights-first": "w α", "simultaneous": "both"}

OWN_RETRAIN = (
    *("pc-darts", "gaea-pc-darts", "p-darts", "p-darts-code", "dropnas"),
    *("drnas", "drnas-code", "drnas-progressive", "drnas-progressive-code"),
)


def _rate(trial: TrialConfig) -> float | None:
    """Return α's learning rate, or the size of its multiplicative steps if it is given."""
    alphas = trial.optimizer.alphas
    if alphas.kind != "exponentiated":
        return alphas.learning_rate
    return alphas.step_size if alphas.step_rule == "constant" else None


def test_every_shipped_trial_is_listed_here() -> None:
    assert sorted(SHIPPED) == SUPERNET_TRIALS
    assert sorted(STRATEGIES) == STRATEGY_TRIALS


@pytest.mark.parametrize("name", STRATEGIES)
def test_shipped_strategies_have_one_budget_and_space(name: str) -> None:
    trial = load_trial(name)
    assert trial.strategy is not None and trial.description
    kind, budget, levels = STRATEGIES[name]
    assert (trial.strategy.kind, trial.strategy.budget, trial.strategy.levels) == (
        *(kind, budget),
        levels,
    )
    assert (trial.space.name, trial.data.name) == ("nasbench201", "digits")
    assert trial.retrain.recipe == "nasbench201"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_trials_are_the_papers(name: str) -> None:
    trial = load_trial(name)
    update, optimizer, schedule = trial.update, trial.optimizer, trial.schedule
    moves = update.level != "none"
    assert SHIPPED[name] == (
        trial.relaxation.kind,
        update.level,
        update.order,
        SEQUENCES[update.sequence] if moves else None,
        trial.selection.kind,
        schedule.epochs,
        schedule.batch_size,
        optimizer.weights.learning_rate,
        optimizer.weights.learning_rate_min,
        _rate(trial) if moves else None,
    )
    assert trial.data.name == "digits"
    assert (trial.retrain == TrialConfig().retrain) == (name not in OWN_RETRAIN)
    assert trial.description


@pytest.mark.parametrize("epochs", [6, 24, 50, 300])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_trial_can_be_scaled(name: str, epochs: int) -> None:
    trial = load_trial(name)
    shorter = with_overrides(trial, scaled(trial.to_dict(), epochs))
    assert shorter.schedule.epochs == epochs
    assert len(shorter.schedule.stages) == len(trial.schedule.stages)


@pytest.mark.parametrize("name", shipped_names("trial"))
def test_augmentation_is_stated_for_the_papers_images(name: str) -> None:
    """On smaller images it scales, and what is mirrored is the data set's to say."""
    trial = load_trial(name)
    searched = [trial.data.augment] if trial.strategy is None else []  # candidates: `retrain`
    for augment in (*searched, trial.retrain.augment):
        assert (augment.flip, augment.reference_size) == ("auto", 32)
