"""α on the simplex: its values, its gradient, its projection after steps; GAEA's form of GDAS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from relaxing import draws, generator_of
from searching import DARTS, assert_resumes_to_the_bit, small_trial, tiny_trial
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.search import Search
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation import AlphaStep, Relaxation, make_relaxation
from tune_nas.search.relaxation.simplex_alphas import projected, renormalized
from tune_nas.search.selection.magnitude import select_by_magnitude
from tune_nas.search.selection.sampled import weights_of
from tune_nas.seeds import new_generator
from tune_nas.spaces import load_space

ON_SIMPLEX: dict[str, dict[str, Any]] = {
    "simplex": {"relaxation.kind": "simplex"},
    "gumbel": {"relaxation.kind": "gumbel", "relaxation.alphas": "probabilities"},
    "concrete": {"relaxation.kind": "concrete", "relaxation.alphas": "probabilities"},
}
MOVED = {"optimizer.alphas": {"kind": "exponentiated", "step_size": 1.0, "weight_decay": 0.01}}


def relaxation_of(
    kind: str, choices: CandidateMask | None = None, space: str = "nasbench201", **changes: Any
) -> Relaxation:
    if kind != "simplex":
        changes["alphas"] = "probabilities"
    return make_relaxation(RelaxationConfig(kind=kind, **changes), load_space(space), choices)


def double(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def points(seed: int = 0) -> Tensor:
    """α of the six edges of NAS-Bench-201, on the simplex."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 5, generator=generator, dtype=torch.float64).softmax(dim=1)


def adjusted(relaxation: Relaxation, before: Tensor, after: Tensor) -> Tensor:
    """Return α after the hook."""
    moved = after.clone()
    step = AlphaStep({"normal": before}, {"normal": moved}, {}, [], new_generator)
    relaxation.adjust_alphas(step)
    return moved


def check_on_simplex(search: Search) -> None:
    """α ≥ 0 sums to 1 over the operations of every edge that is open; β into every node."""
    for name, alpha in search.alphas.items():
        mask = search.choices.remaining(name)
        weights = search.expected_weights()[name]
        rows = mask.any(dim=1)
        assert (alpha >= 0).all() and (weights.operations >= 0).all()
        torch.testing.assert_close(weights.operations.sum(dim=1)[rows], torch.ones(int(rows.sum())))
        assert (weights.operations[~mask] == 0).all()
        if weights.edges is not None:
            for node in search.space.cells[name].nodes:
                there = [r for r in search.space.cells[name].incoming(node) if rows[r]]
                assert float(weights.edges[there].sum()) == pytest.approx(1, abs=1e-6)
                assert (search.betas[name] >= 0).all()


def test_alpha_starts_uniform_and_is_the_weight_itself() -> None:
    relaxation = relaxation_of("simplex")
    start = relaxation.initial_alphas(torch.Generator().manual_seed(0), torch.float64)
    assert torch.equal(start["normal"], torch.full((6, 5), 0.2, dtype=torch.float64))
    alpha = points()
    weights = relaxation.weights({"normal": alpha})["normal"].operations
    torch.testing.assert_close(weights, alpha, rtol=1e-15, atol=0)


def test_a_start_with_noise_is_the_softmax_of_it() -> None:
    for kind in ON_SIMPLEX:
        relaxation = relaxation_of(kind, init="normal", init_std=0.5)
        start = relaxation.initial_alphas(torch.Generator().manual_seed(0), torch.float64)
        noise = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        torch.testing.assert_close(start["normal"], (0.5 * noise).softmax(dim=1))


def test_weights_are_renormalized_over_what_is_left_with_the_gradient_of_the_identity() -> None:
    choices = CandidateMask(load_space("nasbench201"))
    keep = torch.ones(6, 5, dtype=torch.bool)
    keep[0] = torch.tensor([True, False, True, False, True])
    choices.keep("normal", keep)
    choices.decide("normal", 1, 3)
    choices.prune("normal", 2)
    alpha = points()
    alpha[0] = torch.tensor([0.1, 0.3, 0.2, 0.2, 0.2])
    alpha.requires_grad_()
    weights = relaxation_of("simplex", choices).weights({"normal": alpha})["normal"].operations
    torch.testing.assert_close(weights[0], double([[0.2, 0, 0.4, 0, 0.4]])[0])
    assert weights[1].tolist() == [0, 0, 0, 1, 0] and weights[2].tolist() == [0] * 5
    factors = torch.arange(30, dtype=torch.float64).reshape(6, 5)
    (gradient,) = torch.autograd.grad((factors * weights).sum(), [alpha])
    truth = factors * keep
    truth[1:3] = 0
    assert torch.equal(gradient, truth)


def test_the_projection_by_hand() -> None:
    """Clamp at 1e-5, then divide by the sum over the mask."""
    mask = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])
    found = projected(double([[0.6, 1.4, 2.0], [0.0, 5.0, 0.5], [0.3, 0.3, 0.4]]), mask)
    truth = double([[0.15, 0.35, 0.5], [1e-5 / 0.50001, 0, 0.5 / 0.50001], [0, 0, 0]])
    torch.testing.assert_close(found, truth, rtol=1e-14, atol=0)
    assert torch.equal(
        renormalized(double([[0.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool)),
        torch.zeros(1, 2, dtype=torch.float64),
    )


@pytest.mark.parametrize("kind", ON_SIMPLEX)
def test_the_hook_projects_open_edges_and_leaves_the_others(kind: str) -> None:
    choices = CandidateMask(load_space("nasbench201"))
    keep = torch.ones(6, 5, dtype=torch.bool)
    keep[0, 2:] = False
    choices.keep("normal", keep)
    choices.decide("normal", 1, 3)
    choices.prune("normal", 2)
    before, after = points(), 3 * points(1)
    moved = adjusted(relaxation_of(kind, choices), before, after)
    torch.testing.assert_close(moved[0, :2], after[0, :2] / after[0, :2].sum())
    assert moved[0, 2:].tolist() == [0, 0, 0]
    assert torch.equal(moved[1:3], before[1:3])
    torch.testing.assert_close(moved[3:], points(1)[3:])


def test_edge_weights_are_a_point_of_the_simplex_of_each_node() -> None:
    space = load_space("darts")
    choices = CandidateMask(space)
    relaxation = relaxation_of("simplex", choices, space="darts", edge_normalization=True)
    betas = relaxation.initial_betas(torch.Generator().manual_seed(0), torch.float64)
    truth = [1 / 2] * 2 + [1 / 3] * 3 + [1 / 4] * 4 + [1 / 5] * 5
    assert betas["normal"].tolist() == pytest.approx(truth, rel=1e-15)
    alphas = relaxation.initial_alphas(torch.Generator().manual_seed(0), torch.float64)
    choices.prune("normal", 4)  # the last of three edges into node 3
    beta = {name: beta.clone().requires_grad_() for name, beta in betas.items()}
    edges = relaxation.weights(alphas, beta)["normal"].edges
    assert edges is not None
    assert edges[2:5].tolist() == pytest.approx([0.5, 0.5, 0])
    (gradient,) = torch.autograd.grad((torch.arange(14) * edges).sum(), [beta["normal"]])
    assert gradient.tolist() == [0, 1, 2, 3, 0, *range(5, 14)]
    moved = {name: torch.arange(14, dtype=torch.float64) for name in beta}
    relaxation.adjust_alphas(AlphaStep({}, {}, moved, [], new_generator))
    assert moved["normal"][2:5].tolist() == pytest.approx([2 / 5, 3 / 5, 0])
    assert moved["normal"][:2].tolist() == pytest.approx([1e-5 / 1.00001, 1 / 1.00001])
    assert moved["reduction"][2:5].tolist() == pytest.approx([2 / 9, 3 / 9, 4 / 9])


@pytest.mark.parametrize("kind", ["gumbel", "concrete"])
def test_probabilities_are_the_logits_of_their_logarithms(kind: str) -> None:
    """The samples are those of log α as logits, and the gradient is that of log α times 1/α."""
    alpha = points().requires_grad_()
    logits = alpha.detach().log().requires_grad_()
    usual = make_relaxation(RelaxationConfig(kind=kind), load_space("nasbench201"))
    own = relaxation_of(kind)
    for epoch in (0, 9):
        usual.set_epoch(epoch, 10)
        own.set_epoch(epoch, 10)
        one = own.weights({"normal": alpha}, seed=3)["normal"].operations
        other = usual.weights({"normal": logits}, seed=3)["normal"].operations
        torch.testing.assert_close(one, other)
        factors = torch.arange(30, dtype=torch.float64).reshape(6, 5)
        (of_alpha,) = torch.autograd.grad((factors * one).sum(), [alpha])
        (of_logits,) = torch.autograd.grad((factors * other).sum(), [logits])
        torch.testing.assert_close(of_alpha, of_logits / alpha)
    torch.testing.assert_close(own.weights({"normal": alpha})["normal"].operations, alpha)


def test_gumbel_samples_operations_as_often_as_alpha_says() -> None:
    relaxation = relaxation_of("gumbel")
    alpha = {"normal": points()}
    found = draws(relaxation, alpha, 700).mean(dim=0)
    deviation = (alpha["normal"] * (1 - alpha["normal"]) / 700).sqrt()
    assert ((found - alpha["normal"]).abs() < 4.5 * deviation).all()


@pytest.mark.parametrize("kind", ["gumbel", "concrete"])
def test_an_alpha_of_zero_outside_of_the_mask_has_a_finite_gradient(kind: str) -> None:
    relaxation = relaxation_of(kind)
    mask = torch.ones(6, 5, dtype=torch.bool)
    mask[0, 2:] = False
    alpha = projected(points(), mask).requires_grad_()
    sample = relaxation.sample(alpha, mask, generator_of(0)).operations
    (gradient,) = torch.autograd.grad((sample * torch.rand_like(sample)).sum(), [alpha])
    assert gradient.isfinite().all() and (gradient[~mask] == 0).all()


@pytest.mark.parametrize("kind", ON_SIMPLEX)
def test_alpha_stays_on_the_simplex_through_steps_stages_and_resumes(
    kind: str, tmp_path: Path
) -> None:
    stages = [{"epochs": 2}, {"epochs": 1, "operations": 3}, {"epochs": 2, "operations": 2}]
    changes = {**ON_SIMPLEX[kind], **MOVED, "schedule.epochs": 5, "schedule.stages": stages}
    trial = small_trial(tmp_path, **changes, **{"relaxation.edge_normalization": True})
    search = Search(trial)
    check_on_simplex(search)
    while not search.done:
        start = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
        search.run_epoch()
        check_on_simplex(search)
        for name, alpha in search.alphas.items():
            assert not torch.equal(start[name], alpha)
            left = search.choices.remaining(name)
            torch.testing.assert_close(alpha.sum(dim=1), torch.ones(len(alpha)))
            assert (alpha[~left] == 0).all()
    assert_resumes_to_the_bit(trial, tmp_path)


@pytest.mark.parametrize("carry_over", ["weights", "none"])
@pytest.mark.parametrize("kind", ["simplex", "gumbel"])
def test_decisions_prunings_and_restarts_leave_alpha_on_the_simplex(
    kind: str, carry_over: str, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"schedule.greedy": {"warmup": 0, "every": 1}, "schedule.epochs": 5}
    if carry_over == "none":
        stages = [{"epochs": 2}, {"epochs": 2, "operations": 2}]
        more = {"schedule.stages": stages, "schedule.epochs": 4, "schedule.carry_over": "none"}
    search = Search(small_trial(tmp_path, **ON_SIMPLEX[kind], **MOVED, **more))
    while not search.done:
        search.run_epoch()
        check_on_simplex(search)
    if carry_over == "weights":
        assert search.choices.open("normal") == [] and search.choices.pruned("normal").any()
    search.genotype.check(search.space)


@pytest.mark.parametrize("selection", ["magnitude", "perturbation", "sampled"])
@pytest.mark.parametrize("kind", ["simplex", "gumbel"])
def test_selections_read_alpha_on_the_simplex(kind: str, selection: str, tmp_path: Path) -> None:
    changes = {
        "selection.kind": selection,
        "schedule.epochs": 1,
        "selection.perturbation": {"interval": 1, "batches": 1},
        "selection.sampled": {"genotypes": 2},
        "space": DARTS,
    }
    search = Search(tiny_trial(**ON_SIMPLEX[kind], **MOVED, **changes))
    with torch.no_grad():  # one strong operation per edge, edges in order
        for alpha in search.alphas.values():
            alpha.fill_(0.01)
            alpha[:, 5] = 0.5 + torch.arange(14) / 40
            alpha /= alpha.sum(dim=1, keepdim=True)
    if selection == "magnitude":
        for cell in search.genotype.cells.values():
            assert {edge.operation for edge in cell.edges} == {"sep_conv_5x5"}
            assert [edge.source for edge in cell.edges if edge.target == 5] == [3, 4]
    search.run_epoch()
    genotype = search.genotype
    genotype.check(search.space)
    if selection == "magnitude":
        assert genotype == select_by_magnitude(search.space, search.expected_weights())
    alone = weights_of(search, genotype)
    assert int(sum(cell.operations.sum() for cell in alone.values())) == 16


def test_ranking_by_softmax_is_ranking_by_alpha_itself(tmp_path: Path) -> None:
    """softmax(log α) = α: the option of DrNAS's code changes nothing."""
    genotypes = []
    for rank_by in ("weights", "softmax"):
        own = {**ON_SIMPLEX["simplex"], **MOVED, "relaxation.init_std": 1.0}
        trial = small_trial(tmp_path, **own, **{"selection.rank_by": rank_by})
        genotypes.append(Search(trial).genotype)
    assert genotypes[0] == genotypes[1]


def test_skip_advantage_is_that_of_alpha_itself(tmp_path: Path) -> None:
    own = {**ON_SIMPLEX["simplex"], **MOVED, "relaxation.init_std": 1.0, "schedule.epochs": 1}
    search = Search(small_trial(tmp_path, **own))
    found = search.run_epoch()["skip_advantage"]
    gaps = [alpha[:, 1] - alpha[:, 3:].mean(dim=1) for alpha in search.alphas.values()]
    assert found == pytest.approx(float(torch.cat(gaps).mean().detach()), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"relaxation.kind": "simplex"},
            "optimizer.alphas.kind is 'adam', but relaxation.kind 'simplex' has its α on the "
            "simplex, which its steps leave; take 'exponentiated'",
        ),
        (
            {**ON_SIMPLEX["gumbel"], "optimizer.alphas.kind": "sgd"},
            "optimizer.alphas.kind is 'sgd', but relaxation.kind 'gumbel' has its α on the "
            "simplex, which its steps leave; take 'exponentiated'",
        ),
        (
            {"optimizer.alphas.kind": "exponentiated"},
            "optimizer.alphas.kind is 'exponentiated', but relaxation.kind 'softmax' has its α off "
            "the simplex; take 'simplex', or 'gumbel' with relaxation.alphas 'probabilities'",
        ),
        (
            {"optimizer.alphas.kind": "exponentiated", "relaxation.kind": "gumbel"},
            "optimizer.alphas.kind is 'exponentiated', but relaxation.kind 'gumbel' has its α off "
            "the simplex; take 'simplex', or 'gumbel' with relaxation.alphas 'probabilities'",
        ),
    ],
)
def test_mixtures_that_leave_the_simplex_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        tiny_trial(**changes)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_own_parts_may_be_either(tmp_path: Path) -> None:
    """A custom optimizer or relaxation is taken at its word; a projection keeps α legal."""
    tiny_trial(**ON_SIMPLEX["simplex"], **{"optimizer.alphas.kind": f"{__name__}:steps"})
    tiny_trial(**MOVED, **{"relaxation.kind": f"{__name__}:Own"})
    trial = small_trial(
        tmp_path, **ON_SIMPLEX["simplex"], **{"optimizer.alphas.kind": f"{__name__}:steps"}
    )
    search = Search(trial)
    search.run_epoch()
    check_on_simplex(search)


def steps(parameters: list[Tensor], config: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=config.learning_rate)
