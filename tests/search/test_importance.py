"""PARSEC's step: weights of samples; both gradients against enumeration and written-out sums."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from relaxing import X, alphas_of, relaxation_of, tiny, two_edges_of_three
from torch import Tensor, nn

from tune_nas.config import UpdateConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.search.importance import ImportanceUpdate, importance_weights, make_update
from tune_nas.search.objective import Batch, Gradients, Objective
from tune_nas.search.rng import Draws
from tune_nas.search.unrolled import SgdState
from tune_nas.search.update import StepOutput, Update
from tune_nas.spaces import MixingWeights, load_space

F64 = torch.float64
TRAIN = (X, torch.tensor([0, 1, 2, 0]))
VALID = (X.flip(0) + 0.1, torch.tensor([2, 1, 0, 1]))


def objective_of(samples: int, likelihood: str = "batch") -> Objective:
    space = load_space("nasbench201")
    relaxation = relaxation_of(
        "categorical", space, gradient="importance", samples=samples, likelihood=likelihood
    )
    draws = Draws(torch.Generator().manual_seed(11))
    return Objective(tiny(space), relaxation, alphas_of(relaxation), draws=draws)


def step(
    objective: Objective, level: str, train: Batch, valid: Batch
) -> tuple[Gradients, Gradients, StepOutput]:
    """Return the gradients that a step gives to the optimizers of w and α, and its output."""
    update = make_update(UpdateConfig(level=level, sequence="simultaneous"), objective, None)
    assert isinstance(update, ImportanceUpdate)
    given: dict[str, Gradients] = {}

    def no_sgd() -> SgdState:
        raise AssertionError

    output = update.step(
        train,
        valid if update.needs_valid else None,
        step_weights=lambda gradients: given.update(w=gradients),
        step_alphas=lambda gradients: given.update(a=gradients),
        sgd=no_sgd,
    )
    return given["w"], given["a"], output


def seeds_of(samples: int) -> list[int]:
    draws = Draws(torch.Generator().manual_seed(11))
    return [draws.seed() for _ in range(samples)]


def log_likelihood(objective: Objective, mixing: MixingWeights, batch: Batch) -> Tensor:
    """Return log p(y | w, architecture), summed over the images of a batch."""
    logits = objective.supernet(batch[0], mixing)
    return logits.log_softmax(dim=1)[torch.arange(len(batch[1])), batch[1]].sum()


@pytest.mark.parametrize("level", ["bilevel", "single"])
@pytest.mark.parametrize(("samples", "likelihood"), [(1, "batch"), (3, "batch"), (3, "image")])
def test_both_gradients_are_the_weighted_sums_of_the_formula(
    samples: int, likelihood: str, level: str
) -> None:
    objective = objective_of(samples, likelihood)
    alphas, parameters = objective.alphas, list(objective.supernet.parameters())
    statistics = {key: value.clone() for key, value in objective.supernet.state_dict().items()}
    of_w, of_a, output = step(objective, level, TRAIN, VALID)
    objective.supernet.load_state_dict(statistics)

    architectures = [objective.relaxation.weights(alphas, seed=seed) for seed in seeds_of(samples)]
    judged = VALID if level == "bilevel" else TRAIN
    logs = torch.stack([log_likelihood(objective, a, judged) for a in architectures]).detach()
    if likelihood == "image":
        logs = logs / len(judged[1])
    omega = logs.exp() / logs.exp().sum()
    assert samples == 1 or 1e-6 < float(omega.min()) < 0.9
    on_train = [log_likelihood(objective, a, TRAIN) / len(TRAIN[1]) for a in architectures]
    prior = [
        -sum(
            F.cross_entropy(alphas[name], cell.operations.argmax(dim=1), reduction="sum")
            for name, cell in architecture.items()
        )
        for architecture in architectures
    ]
    wanted_w = -sum(weight * log for weight, log in zip(omega, on_train, strict=True))
    wanted_a = -sum(weight * log for weight, log in zip(omega, prior, strict=True))
    truth = torch.autograd.grad(wanted_w, parameters, allow_unused=True)
    for found, true in zip(of_w, truth, strict=True):
        assert (found is None) == (true is None)
        if found is not None and true is not None:
            torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-12)
    for found, true in zip(of_a, torch.autograd.grad(wanted_a, list(alphas.values())), strict=True):
        assert found is not None and found.any()
        torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(output.train_loss, wanted_w.detach())
    shares = sum(
        weight * objective.supernet(TRAIN[0], a).softmax(dim=1)
        for weight, a in zip(omega, architectures, strict=True)
    )
    torch.testing.assert_close(output.train_logits.exp(), shares.detach())


def test_one_sample_trains_w_as_a_sampled_path_and_only_makes_it_more_probable() -> None:
    """ω_1 = 1: ∇α is p − onehot for any loss, unlike the score function's gradient."""
    one = objective_of(1)
    of_w, of_a, _ = step(one, "bilevel", TRAIN, VALID)
    (seed,) = seeds_of(1)
    path = one.relaxation.weights(one.alphas, seed=seed)["normal"].operations.detach()
    truth = one.alphas["normal"].detach().softmax(dim=1) - path
    assert of_a[0] is not None
    torch.testing.assert_close(of_a[0], truth)
    other = objective_of(1)
    _, again, _ = step(other, "bilevel", TRAIN, (VALID[0], (VALID[1] + 1) % 3))
    assert again[0] is not None and torch.equal(again[0], of_a[0])

    plain = objective_of(1)
    given: list[Gradients] = []
    Update(UpdateConfig(level="bilevel"), plain).step_weights_alone(TRAIN, given.append)
    for found, true in zip(of_w, given[0], strict=True):
        assert (found is None) == (true is None)
        if found is not None and true is not None:
            torch.testing.assert_close(found, true)


class Toy(nn.Module):
    """Logits that depend on w and on the operations of two edges: (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.w = nn.Parameter(torch.randn(2, 3, generator=generator, dtype=F64))

    def forward(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        gates = mixing["normal"].operations[:2, :3]
        logit = (self.w * gates).sum() * images
        return torch.stack([logit, -logit], dim=1)


def toy_objective(samples: int) -> Objective:
    space, choices = two_edges_of_three()
    relaxation = relaxation_of(
        "categorical", space, choices, gradient="importance", samples=samples
    )
    draws = Draws(torch.Generator().manual_seed(3))
    return Objective(Toy(), relaxation, alphas_of(relaxation), draws=draws)


def paths() -> Iterator[tuple[int, int]]:
    return itertools.product(range(3), range(3))


def test_many_samples_give_the_gradient_of_the_marginal_likelihood() -> None:
    """∇ log Σ_α p(y | w, α) p(α | π), by enumeration of all 9 architectures: PARSEC's objective."""
    samples = 3000
    objective = toy_objective(samples)
    alpha, w = objective.alphas["normal"], objective.weight_list[0]
    images = torch.tensor([0.5, -1.0, 0.8], dtype=F64)
    labels = torch.tensor([0, 1, 1])
    first, second = alpha[:2, :3].softmax(dim=1)
    joint = []
    for i, j in paths():
        logit = (w[0, i] + w[1, j]) * images
        on_all = torch.stack([logit, -logit], dim=1).log_softmax(dim=1)
        joint.append(on_all[torch.arange(3), labels].sum() + (first[i] * second[j]).log())
    marginal = torch.stack(joint).logsumexp(dim=0)
    true_a, true_w = torch.autograd.grad(marginal, [alpha, w])
    of_w, of_a, _ = step(objective, "single", (images, labels), (images, labels))
    assert of_a[0] is not None and of_w[0] is not None
    size = float(true_a.abs().max())
    assert size > 0.1
    torch.testing.assert_close(-of_a[0], true_a, rtol=0, atol=0.15 * size)
    # w's loss is a mean over the images
    size = float(true_w.abs().max())
    torch.testing.assert_close(-3 * of_w[0], true_w, rtol=0, atol=0.15 * size)
    # without the weights (ω = 1 / K) the expectation of ∇α is 0
    assert float(true_a.abs().max()) > 0.15 * size


def test_weights_are_normalized_likelihoods_also_where_they_underflow() -> None:
    logs = torch.tensor([0.5, 0.25, 0.25], dtype=F64).log()
    assert importance_weights(logs).tolist() == pytest.approx([0.5, 0.25, 0.25], abs=1e-15)
    assert importance_weights(logs - 5000).tolist() == pytest.approx([0.5, 0.25, 0.25], abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"update.order": 2}, "'importance', but update.order is 2; it must be 1"),
        (
            {"update.level": "mixed"},
            "'importance', which weights by one likelihood, but update.level is 'mixed'; it must "
            "be 'bilevel' or 'single'",
        ),
        (
            {"relaxation.edge_normalization": True},
            "'importance', which gives β no gradient, but relaxation.edge_normalization is true; "
            "it must be false",
        ),
        (
            {"relaxation.weights": "uniform-path"},
            "'importance', whose architectures train both w and α, but relaxation.weights is "
            "'uniform-path'; it must be null",
        ),
        (
            {"relaxation.gradient": "two", "update.order": 2},
            "'two', but update.order is 2; it must be 1",
        ),
        (
            {"relaxation.smoothing.kind": "random"},
            "relaxation.smoothing.kind is 'random', but relaxation.kind 'categorical' runs one "
            "operation per edge: it has no weights to smooth",
        ),
    ],
)
def test_updates_without_a_meaning_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_trial("parsec", changes)
    assert str(error.value).endswith(message)
