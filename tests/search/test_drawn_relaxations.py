"""Relaxations that draw: against the distributions, gradients and losses that the papers name."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from relaxing import X, alphas_of, draws, relaxation_of, tiny
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation import Relaxation, make_relaxation
from tune_nas.spaces import load_space


@pytest.mark.parametrize("kind", ["gumbel", "concrete", "dirichlet", "categorical", "uniform-path"])
def test_a_seed_decides_the_draw_and_cell_types_draw_for_themselves(kind: str) -> None:
    relaxation = relaxation_of(kind, load_space("darts"))
    alpha = alphas_of(relaxation)["normal"]
    alphas = {"normal": alpha, "reduction": alpha}
    random_state = torch.get_rng_state()
    one, same, other = (relaxation.weights(alphas, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(one["normal"].operations, same["normal"].operations)
    assert not torch.equal(one["normal"].operations, other["normal"].operations)
    assert not torch.equal(one["normal"].operations, one["reduction"].operations)
    sums = one["normal"].operations.sum(dim=1)
    kept = torch.ones(14) if kind != "uniform-path" else one["normal"].active.any(dim=1)
    torch.testing.assert_close(sums, kept.double())


@pytest.mark.parametrize("kind", ["gumbel", "concrete"])
def test_operations_are_drawn_as_often_as_softmax_says_at_any_temperature(kind: str) -> None:
    relaxation = relaxation_of(kind, load_space("nasbench201"))
    alphas = alphas_of(relaxation)
    truth = alphas["normal"].softmax(dim=1)
    torch.testing.assert_close(relaxation.weights(alphas)["normal"].operations, truth)
    n = 700
    largest = draws(relaxation, alphas, n).argmax(dim=2)
    found = F.one_hot(largest, 5).double().mean(dim=0)
    deviation = (truth * (1 - truth) / n).sqrt()
    assert ((found - truth).abs() < 4.5 * deviation).all()  # 30 frequencies


def test_concrete_is_softmax_of_alpha_and_gumbel_noise_over_the_temperature() -> None:
    relaxation = relaxation_of("concrete", load_space("nasbench201"))
    alphas = alphas_of(relaxation)

    def centered(values: Tensor) -> Tensor:
        return values - values.mean(dim=-1, keepdim=True)

    def noise(n: int) -> Tensor:
        """α + g up to a number per edge is τ · log w; what is left without α is g."""
        logs = draws(relaxation, alphas, n).detach().log() * relaxation.metrics()["temperature"]
        return centered(logs) - centered(alphas["normal"].detach())

    found = []
    for epoch in (0, 5, 9):
        relaxation.set_epoch(epoch, 10)
        found.append(noise(3))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])
    # Gumbel(0, 1) has the variance π²/6; a fifth of it is in the mean of five
    assert noise(400).var(dim=0).mean().item() == pytest.approx(math.pi**2 / 6 * 4 / 5, rel=0.05)


def test_the_temperature_is_linear_and_stays_after_the_search() -> None:
    config = RelaxationConfig(kind="gumbel", temperature={"start": 10.0, "end": 0.1})
    relaxation = make_relaxation(config, load_space("nasbench201"))
    found = []
    for epoch in (0, 124, 249):  # GDAS's 250 epochs: 10 − 9.9 · e / 249
        relaxation.set_epoch(epoch, 250)
        found.append(relaxation.metrics()["temperature"])
    assert found == pytest.approx([10.0, 10 - 9.9 * 124 / 249, 0.1])
    relaxation.set_epoch(0, 1)
    assert relaxation.metrics()["temperature"] == 10.0


def test_dirichlet_has_the_mean_and_variance_of_its_distribution() -> None:
    relaxation = relaxation_of("dirichlet", load_space("nasbench201"))
    alphas = alphas_of(relaxation)
    truth = Dirichlet(F.elu(alphas["normal"].detach()) + 1)
    expected = relaxation.weights(alphas)["normal"].operations
    concentration = F.elu(alphas["normal"]) + 1
    torch.testing.assert_close(expected, concentration / concentration.sum(dim=1, keepdim=True))
    torch.testing.assert_close(expected.detach(), truth.mean)
    n = 700
    found = draws(relaxation, alphas, n).detach()
    assert ((found.mean(dim=0) - truth.mean).abs() < 4.5 * (truth.variance / n).sqrt()).all()
    torch.testing.assert_close(found.var(dim=0), truth.variance, rtol=0.35, atol=3e-3)


def test_dirichlet_draws_have_the_gradient_of_what_they_estimate() -> None:
    """The mean gradient of Σ c·w over many draws is that of Σ c·E[w], known in closed form."""
    relaxation = relaxation_of("dirichlet", load_space("nasbench201"))
    alphas = alphas_of(relaxation)
    torch.manual_seed(0)
    factors = torch.randn(6, 5, dtype=torch.float64)
    expected = (factors * relaxation.weights(alphas)["normal"].operations).sum()
    (truth,) = torch.autograd.grad(expected, [alphas["normal"]])
    found = torch.stack([gradient_of(relaxation, alphas, factors, seed) for seed in range(500)])
    error = (found.mean(dim=0) - truth).abs()
    assert (error < 4.5 * found.std(dim=0) / math.sqrt(500) + 1e-9).all()
    assert truth.abs().max() > 0.1


def gradient_of(
    relaxation: Relaxation, alphas: dict[str, Tensor], factors: Tensor, seed: int
) -> Tensor:
    weights = relaxation.weights(alphas, seed=seed)["normal"].operations
    return torch.autograd.grad((factors * weights).sum(), [alphas["normal"]])[0]


def test_dirichlet_is_finite_at_concentrations_that_draw_nothing_but_zeros() -> None:
    relaxation = relaxation_of("dirichlet", load_space("nasbench201"))
    alpha = torch.full((6, 5), -30.0).requires_grad_()
    weights = relaxation.weights({"normal": alpha}, seed=0)["normal"].operations
    (gradient,) = torch.autograd.grad(weights[:, 0].sum(), [alpha])
    assert weights.isfinite().all() and gradient.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(6))


def test_kl_is_that_of_torch_over_the_open_edges() -> None:
    space = load_space("darts")
    choices = CandidateMask(space)
    config = RelaxationConfig(kind="dirichlet", init_std=1.0, penalty={"kind": "kl", "weight": 0.5})
    relaxation = make_relaxation(config, space, choices)
    alphas = alphas_of(relaxation)

    def truth(edges: dict[str, list[int]], kept: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for name, rows in edges.items():
            for row in rows:
                own = F.elu(alphas[name][row][kept[row]]) + 1
                total = total + kl_divergence(Dirichlet(own), Dirichlet(torch.ones_like(own)))
        return 0.5 * total

    every = torch.ones(14, 8, dtype=torch.bool)
    both = {"normal": list(range(14)), "reduction": list(range(14))}
    found = relaxation.penalty(alphas)
    assert found is not None
    torch.testing.assert_close(found, truth(both, every))
    every[3, 2:] = False
    for name in both:
        choices.keep(name, every)
        choices.decide(name, 0, 1)
        choices.prune(name, 5)
    left = [row for row in range(14) if row not in (0, 5)]
    found, true = relaxation.penalty(alphas), truth({"normal": left, "reduction": left}, every)
    assert found is not None
    torch.testing.assert_close(found, true)
    for one, other in zip(
        torch.autograd.grad(found, list(alphas.values())),
        torch.autograd.grad(true, list(alphas.values())),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    for name in both:
        for row in choices.open(name):
            choices.decide(name, row, 0)
    assert relaxation.penalty(alphas) is None


def test_kl_all_counts_pruned_operations_and_decided_edges() -> None:
    """KL of the code of DrNAS: over every operation of every edge, whatever was pruned."""
    space = load_space("darts-no-none")
    choices = CandidateMask(space)
    relaxation = relaxation_of(
        "dirichlet", space, choices, penalty={"kind": "kl-all", "weight": 0.5}
    )
    alphas = alphas_of(relaxation)
    true = torch.zeros((), dtype=torch.float64)
    for alpha in alphas.values():
        own = F.elu(alpha) + 1
        true = true + 0.5 * kl_divergence(Dirichlet(own), Dirichlet(torch.ones_like(own))).sum()
    (wanted, _) = torch.autograd.grad(true, list(alphas.values()))
    kept = torch.ones(14, 7, dtype=torch.bool)
    kept[3, 2:] = False
    for prune in (False, True):
        if prune:
            choices.keep("normal", kept)
            choices.decide("normal", 0, 1)
        found = relaxation.penalty(alphas)
        assert found is not None
        torch.testing.assert_close(found, true)
        (gradient, _) = torch.autograd.grad(found, list(alphas.values()))
        torch.testing.assert_close(gradient, wanted)
        assert gradient[3, 2:].all()


def test_the_zero_one_loss_has_its_gradient_and_leaves_decided_edges_alone() -> None:
    space = load_space("nasbench201")
    choices = CandidateMask(space)
    config = RelaxationConfig(
        kind="sigmoid", init="normal", init_std=1.0, penalty={"kind": "zero-one", "weight": 10.0}
    )
    relaxation = make_relaxation(config, space, choices)
    alphas = alphas_of(relaxation)
    alpha = alphas["normal"]

    def check(counted: Tensor) -> None:
        n, share = counted.sum(), alpha.detach().sigmoid()
        found = relaxation.penalty(alphas)
        assert found is not None
        torch.testing.assert_close(found, -10 * (share[counted] - 0.5).square().sum() / n)
        # d/dα of −10/n (σ − ½)² = −20/n (σ − ½) σ (1 − σ)
        truth = -20 / n * (share - 0.5) * share * (1 - share) * counted
        torch.testing.assert_close(torch.autograd.grad(found, [alpha])[0], truth)

    counted = torch.ones(6, 5, dtype=torch.bool)
    check(counted)
    choices.decide("normal", 2, 3)
    counted[2] = False
    check(counted)
    assert make_relaxation(RelaxationConfig(kind="sigmoid"), space).penalty(alphas) is None


@pytest.mark.parametrize("kind", ["gumbel", "concrete", "dirichlet", "categorical", "uniform-path"])
def test_draws_respect_what_was_decided_pruned_and_taken_away(kind: str) -> None:
    space = load_space("darts")
    choices = CandidateMask(space)
    relaxation = relaxation_of(kind, space, choices)
    alphas = alphas_of(relaxation)
    mask = torch.ones(14, 8, dtype=torch.bool)
    mask[7, :5] = False
    choices.keep("normal", mask)
    choices.decide("normal", 2, 4)
    choices.prune("normal", 3)
    for seed in range(20):
        weights = relaxation.weights(alphas, seed=seed)["normal"]
        assert weights.active is not None
        remaining = choices.remaining("normal")
        assert not (weights.active & ~remaining).any()
        assert not weights.operations[~remaining].any()
        assert weights.operations[2, 4] == 1
        if weights.operations.requires_grad:
            total = (weights.operations * torch.arange(8)).sum()
            if weights.offsets is not None:
                total = total + weights.offsets.sum()
            (gradient,) = torch.autograd.grad(total, [alphas["normal"]])
            assert gradient.isfinite().all()
            assert not gradient[2].any() and not gradient[3].any() and not gradient[7, :5].any()
            assert gradient[7, 5:].any()
    net = tiny(space)
    assert net(X, relaxation.weights(alphas, seed=0)).isfinite().all()
    assert net(X, relaxation.weights(alphas)).isfinite().all()


def test_a_path_is_an_architecture_of_the_space_and_all_are_as_likely() -> None:
    space = load_space("darts")
    cell = space.cells["normal"]
    relaxation = relaxation_of("uniform-path", space)
    n = 700
    found = draws(relaxation, alphas_of(relaxation), n)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert (found.sum(dim=2) <= 1).all() and not found[:, :, 0].any()  # never `none`
    for node in cell.nodes:
        rows = list(cell.incoming(node))
        assert (found[:, rows].sum(dim=(1, 2)) == 2).all()
        truth = 2 / len(rows) / 7
        spread = 4.5 * math.sqrt(truth * (1 - truth) / n)
        assert (found[:, rows, 1:].mean(dim=0) - truth).abs().max() < spread
    expected = relaxation.weights(alphas_of(relaxation))["normal"].operations
    torch.testing.assert_close(expected[2:5, 1:], torch.full((3, 7), 2 / 3 / 7).double())
    assert not expected[:, 0].any()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "gumbel", "smoothing": {"kind": "random"}}, "has no weights to smooth"),
        ({"kind": "categorical", "smoothing": {"kind": "random"}}, "has no weights to smooth"),
        ({"kind": "softmax", "penalty": {"kind": "kl"}}, "belongs to relaxation.kind 'dirichlet'"),
        ({"kind": "gumbel", "penalty": {"kind": "kl-all"}}, "belongs to relaxation.kind 'dirichl"),
        ({"kind": "uniform-path", "edge_normalization": True}, "samples edges regardless of β"),
        (
            {"kind": "uniform-path", "partial_channels": 3},
            "partial_channels is 3, but must divide the ch",
        ),
    ],
)
def test_what_makes_no_sense_together_is_refused_in_a_line(
    changes: dict[str, object], complaint: str
) -> None:
    trial = {"relaxation": changes, "update": {"level": "none"}, "selection": {"kind": "sampled"}}
    trial["space"] = {"name": "darts", "init_channels": 16}
    with pytest.raises(ConfigError, match=complaint) as raised:
        with_overrides(trial, {})
    assert "\n" not in str(raised.value)
