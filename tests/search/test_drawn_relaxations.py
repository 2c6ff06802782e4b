"""Relaxations that draw: against the distributions, gradients and losses that the papers name."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation import Relaxation, make_relaxation
from tune_nas.seeds import derive_seed
from tune_nas.spaces import CellWeights, Space, Supernet, load_space

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def relaxation_of(
    kind: str, space: Space, choices: CandidateMask | None = None, **changes: Any
) -> Relaxation:
    return make_relaxation(RelaxationConfig(kind=kind, init_std=1.0, **changes), space, choices)


def alphas_of(relaxation: Relaxation, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = relaxation.initial_alphas(generator, torch.float64)
    return {name: alpha.requires_grad_() for name, alpha in found.items()}


def draws(relaxation: Relaxation, alphas: dict[str, Tensor], n: int) -> Tensor:
    """(n, edges, operations) of the normal cell."""
    normal = {"normal": alphas["normal"]}
    return torch.stack(
        [relaxation.weights(normal, seed=seed)["normal"].operations for seed in range(n)]
    )


def tiny(space: Space, implementation: Any = "plain") -> Supernet:
    torch.manual_seed(0)
    cells = 3 if space.skeleton.layout == "thirds" else 1
    net = Supernet(
        space,
        n_classes=3,
        in_channels=1,
        init_channels=2,
        cells=cells,
        implementation=implementation,
    )
    return net.double()


@pytest.mark.parametrize("kind", ["gumbel", "concrete", "dirichlet", "uniform-path"])
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

    def centred(values: Tensor) -> Tensor:
        return values - values.mean(dim=-1, keepdim=True)

    def noise(n: int) -> Tensor:
        """α + g up to a number per edge is τ · log w; what is left without α is g."""
        logs = draws(relaxation, alphas, n).detach().log() * relaxation.metrics()["temperature"]
        return centred(logs) - centred(alphas["normal"].detach())

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


# How operations that a pass did not sample enter the sums, and whether as numbers.
UNSAMPLED = [
    ("darts", "auto", False),
    ("darts", "as-numbers", True),
    ("nasbench201", "auto", True),
    ("nasbench201", "left-out", False),
]


@pytest.mark.parametrize(("space_name", "unsampled", "numbers"), UNSAMPLED)
def test_gumbel_runs_one_path_as_the_full_computation_would(
    space_name: str, unsampled: str, numbers: bool
) -> None:
    space = load_space(space_name)
    relaxation, net = relaxation_of("gumbel", space, unsampled=unsampled), tiny(space)
    relaxation.set_epoch(1, 2)
    for seed in range(3):
        weights = relaxation.weights(alphas_of(relaxation), seed=seed)
        full = {name: CellWeights(cell.operations) for name, cell in weights.items()}
        for cell in weights.values():
            assert cell.active is not None and (cell.active.sum(dim=1) == 1).all()
            assert torch.equal(cell.operations.detach(), cell.active.double())
            assert (cell.offsets is not None) == numbers
            assert cell.offsets is None or not cell.offsets.any()
        one, all_run = net(X, weights), net(X, full)
        assert torch.equal(one, all_run)
        parameters = list(net.parameters())
        found = torch.autograd.grad(one.square().sum(), parameters, allow_unused=True)
        truth = torch.autograd.grad(all_run.square().sum(), parameters)
        assert any(gradient is None for gradient in found)
        for gradient, true in zip(found, truth, strict=True):
            if gradient is None:
                assert not true.any()
            else:
                torch.testing.assert_close(gradient, true, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("implementation", ["plain", "torch", "fast"])
@pytest.mark.parametrize(("space_name", "unsampled", "numbers"), UNSAMPLED)
def test_gumbel_gives_alpha_the_gradient_of_gdas(
    space_name: str, unsampled: str, numbers: bool, implementation: str
) -> None:
    """dL/dα_j = Σ_k p_k (δ_kj − p_j) / τ · G_k, by hand, in float64.

    G_k is ⟨dL/dy, o_k(x)⟩ for the sampled operation, where y is the sum over the edge. For the
    others it is Σ dL/dy where they enter as a number, and 0 where they are left out: the edge is
    then the sampled operation times its weight, so that only this weight has a gradient.
    """
    space = load_space(space_name)
    relaxation = relaxation_of("gumbel", space, unsampled=unsampled)
    net, plain = tiny(space, implementation), tiny(space)
    relaxation.set_epoch(9, 10)
    tau = relaxation.metrics()["temperature"]
    alphas = alphas_of(relaxation)
    moved = torch.zeros(len(space.cells["normal"].edges))
    for seed in range(4):
        weights = relaxation.weights(alphas, seed=seed)
        loss = net(X, weights).square().sum()
        found = dict(zip(alphas, torch.autograd.grad(loss, list(alphas.values())), strict=True))

        ones, by_hand, sums = {}, {}, {}
        for name, cell in weights.items():
            assert cell.active is not None
            ones[name] = cell.active.double().requires_grad_()
            sums[name] = torch.zeros(len(cell.active), dtype=torch.float64, requires_grad=True)
            by_hand[name] = CellWeights(ones[name], active=cell.active, offsets=sums[name])
        again = plain(X, by_hand).square().sum()
        leaves = [*ones.values(), *sums.values()]
        gradients = torch.autograd.grad(again, leaves)
        for place, (name, cell) in enumerate(weights.items()):
            of_sampled, of_number = gradients[place], gradients[place + len(weights)]
            others = of_number[:, None] if numbers else torch.zeros(())
            reached = torch.where(cell.active, of_sampled, others)  # type: ignore[arg-type]
            # the noise of this draw, as the seed has it
            soft = relaxation.soft_choice(  # type: ignore[attr-defined]
                alphas[name], torch.ones_like(cell.active), generator_of(seed, name)
            ).detach()
            mean = (soft * reached).sum(dim=1, keepdim=True)
            truth = soft * (reached - mean) / tau
            scale = float(truth.abs().max())
            torch.testing.assert_close(found[name], truth, rtol=1e-9, atol=1e-12 * scale)
        moved += found["normal"].abs().sum(dim=1) > 0
        sampled_none = weights["normal"].active[:, 0]  # type: ignore[index]
        if not numbers:  # nothing of such an edge depends on α
            assert not found["normal"][sampled_none].any()
    assert (moved > 0).all()


def generator_of(seed: int, name: str = "normal") -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, name))


def test_an_edge_that_drew_none_still_has_a_gradient() -> None:
    """Its number is in the node's sum: dL/dnumber = Σ dL/dy, also where nothing is run."""
    space = load_space("nasbench201")
    net = tiny(space)
    active = torch.zeros(6, 5, dtype=torch.bool)
    active[:, 3] = True  # nor_conv_3x3
    active[4] = torch.tensor([True, False, False, False, False])  # none

    def loss(numbers: Tensor) -> Tensor:
        weights = CellWeights(active.double(), active=active, offsets=numbers)
        return net(X, {"normal": weights}).square().sum()

    numbers = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (numbers,))
    (gradient,) = torch.autograd.grad(loss(numbers), [numbers])
    assert gradient[4].abs() > 0


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


@pytest.mark.parametrize("kind", ["gumbel", "concrete", "dirichlet", "uniform-path"])
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
        ({"kind": "softmax", "penalty": {"kind": "kl"}}, "belongs to relaxation.kind 'dirichlet'"),
        ({"kind": "gumbel", "penalty": {"kind": "kl-all"}}, "belongs to relaxation.kind 'dirichl"),
        ({"kind": "uniform-path", "edge_normalization": True}, "draws edges whatever β is"),
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
