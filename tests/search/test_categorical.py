"""`categorical`: its samples, and α's gradients against formulas and exact expectations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from relaxing import (
    X,
    alphas_of,
    draws,
    generator_of,
    relaxation_of,
    tiny,
    two_edges_of_three,
)
from searching import small_trial
from torch import Tensor

from tune_nas.search import Search
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation import Relaxation
from tune_nas.search.relaxation.categorical import Categorical
from tune_nas.search.relaxation.relaxation import AlphaStep
from tune_nas.seeds import new_generator
from tune_nas.spaces import CellWeights, load_space

GRADIENTS = ("score", "full", "two", "importance")


def categorical(gradient: str, space: str = "nasbench201") -> Categorical:
    relaxation = relaxation_of("categorical", load_space(space), gradient=gradient)
    assert isinstance(relaxation, Categorical)
    return relaxation


def run_operations(relaxation: Categorical, alpha: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    mask = torch.ones_like(alpha, dtype=torch.bool)
    return relaxation.sample_path(alpha, mask, generator_of(seed))


def gate_gradients(
    net: torch.nn.Module, cells: dict[str, Tensor], active: dict[str, Tensor | None]
) -> dict[str, Tensor]:
    """Return ∂L/∂g of the operations that run, with plain leaf tensors as gates g."""
    gates = {name: path.double().requires_grad_() for name, path in cells.items()}
    mixing = {name: CellWeights(gate, active=active[name]) for name, gate in gates.items()}
    loss = net(X, mixing).square().sum()
    return dict(zip(gates, torch.autograd.grad(loss, list(gates.values())), strict=True))


def through_shares(gates: Tensor, shares: Tensor) -> Tensor:
    """Return Σ_j ∂L/∂g_j p_j (δ_ij − p_i) for each i, written out."""
    count = gates.shape[1]
    found = torch.zeros_like(gates)
    for i, j in itertools.product(range(count), range(count)):
        found[:, i] += gates[:, j] * shares[:, j] * (float(i == j) - shares[:, i])
    return found


@pytest.mark.parametrize("implementation", ["plain", "torch", "fast"])
@pytest.mark.parametrize("space_name", ["darts", "nasbench201"])
@pytest.mark.parametrize("gradient", ["score", "full", "two"])
def test_alpha_has_the_gradient_of_the_paper(
    gradient: str, space_name: str, implementation: str
) -> None:
    relaxation, space = categorical(gradient, space_name), load_space(space_name)
    net, plain = tiny(space, implementation), tiny(space)
    alphas = alphas_of(relaxation)
    for seed in range(3):
        weights = relaxation.weights(alphas, seed=seed)
        loss = net(X, weights).square().sum()
        found = dict(zip(alphas, torch.autograd.grad(loss, list(alphas.values())), strict=True))
        paths, runs = {}, {}
        for name, cell in weights.items():
            alpha = alphas[name].detach()
            mask = torch.ones_like(alpha, dtype=torch.bool)
            paths[name], runs[name] = relaxation.sample_path(alpha, mask, generator_of(seed, name))
            assert torch.equal(cell.operations.detach(), paths[name].double())  # exactly 1 and 0
            run_by_edge = {"score": 1, "two": 2, "full": alpha.shape[1]}[gradient]
            assert (runs[name].sum(dim=1) == run_by_edge).all()
            if gradient == "full":
                assert cell.active is None
            else:
                assert torch.equal(cell.active, runs[name])  # type: ignore[arg-type]
        active = {name: None if gradient == "full" else run for name, run in runs.items()}
        gates = gate_gradients(plain, paths, active)
        for name, alpha in alphas.items():
            within = alpha.detach().masked_fill(~runs[name], float("-inf")).softmax(dim=1)
            if gradient == "score":  # ∂L/∂g_k · ∇ log p_k = ∂L/∂g_k (δ_ik − p_i)
                at_path = (gates[name] * paths[name]).sum(dim=1, keepdim=True)
                truth = at_path * (paths[name].double() - alpha.detach().softmax(dim=1))
            else:
                truth = through_shares(gates[name], within)
            scale = float(truth.abs().max())
            assert scale > 0
            torch.testing.assert_close(found[name], truth, rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.parametrize("gradient", ["full", "two"])
def test_weights_are_trained_on_one_path(gradient: str) -> None:
    relaxation = categorical(gradient)
    alphas = alphas_of(relaxation)
    of_weights = relaxation.for_weights()
    for seed in range(5):
        cell = of_weights.weights(alphas, seed=seed)["normal"]
        assert cell.active is not None and (cell.active.sum(dim=1) == 1).all()
        assert torch.equal(cell.operations.detach(), cell.active.double())
        if gradient == "full":  # the same path as a pass for α with this seed
            same = relaxation.weights(alphas, seed=seed)["normal"].operations
            assert torch.equal(cell.operations.detach(), same.detach())
    assert of_weights.choices is relaxation.choices
    assert categorical("score").for_weights() is not relaxation


# Expectations, exactly: two edges with three operations each, the others decided.

COSTS = torch.tensor([[0.3, -1.1, 2.0], [0.7, 0.9, -0.4], [1.5, 0.2, 0.6]], dtype=torch.float64)


def two_edges(gradient: str) -> tuple[Relaxation, dict[str, Tensor]]:
    space, choices = two_edges_of_three()
    relaxation = relaxation_of("categorical", space, choices, gradient=gradient)
    return relaxation, alphas_of(relaxation)


def expected_gradient(gradient: str, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return Σ over all 9 paths of p(path) · the gradient of α that a pass with it gives."""
    relaxation, alphas = two_edges(gradient)
    alpha = alphas["normal"]
    shares = alpha.detach()[:2, :3].softmax(dim=1)
    found: dict[tuple[int, int], Tensor] = {}
    for seed in itertools.count():
        gates = relaxation.weights(alphas, seed=seed)["normal"].operations[:2, :3]
        path = (int(gates[0].argmax()), int(gates[1].argmax()))
        if path not in found:
            found[path] = torch.autograd.grad(loss(gates[0], gates[1]), [alpha])[0]
        if len(found) == 9:
            break
    parts = [shares[0, i] * shares[1, j] * gradient for (i, j), gradient in found.items()]
    return torch.stack(parts).sum(dim=0)


def gradient_of_expectation(values: Tensor) -> Tensor:
    """Return ∇α Σ_ij p_i q_j values_ij, by autograd through the sum over all paths."""
    _, alphas = two_edges("score")
    alpha = alphas["normal"]
    first, second = alpha[:2, :3].softmax(dim=1)
    return torch.autograd.grad((first[:, None] * second * values).sum(), [alpha])[0]


def test_the_score_gradient_is_unbiased_for_losses_linear_in_each_edge() -> None:
    found = expected_gradient("score", lambda a, b: (a[:, None] * b * COSTS).sum())
    truth = gradient_of_expectation(COSTS)
    torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-14)
    assert truth[:2, :3].abs().min() > 1e-3 and not found[2:].any() and not found[:, 3:].any()


def test_the_score_gradient_of_another_loss_is_that_of_its_linear_part() -> None:
    """A loss of degree 2 in each edge: ∂L/∂g is 2 L, so the expectation is twice the gradient."""
    found = expected_gradient("score", lambda a, b: (a[:, None] * b * COSTS).sum().square())
    truth = gradient_of_expectation(COSTS.square())
    torch.testing.assert_close(found, 2 * truth, rtol=1e-12, atol=1e-14)


def test_the_full_gradient_of_a_linear_loss_is_exact_in_expectation_over_other_edges() -> None:
    found = expected_gradient("full", lambda a, b: (a[:, None] * b * COSTS).sum())
    torch.testing.assert_close(found, gradient_of_expectation(COSTS), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_operations_are_sampled_as_often_as_their_probability(gradient: str) -> None:
    relaxation = categorical(gradient)
    alphas = alphas_of(relaxation)
    shares = alphas["normal"].detach().softmax(dim=1)
    torch.testing.assert_close(relaxation.weights(alphas)["normal"].operations, shares)
    truth = shares
    if gradient == "two":
        # P(k) = Σ_j P({k, j}) p_k / (p_k + p_j), P({k, j}) = p_k p_j (1/(1 − p_k) + 1/(1 − p_j))
        truth = torch.zeros_like(shares)
        for k, j in itertools.permutations(range(5), 2):
            p, q = shares[:, k], shares[:, j]
            truth[:, k] += p * q * (1 / (1 - p) + 1 / (1 - q)) * p / (p + q)
        torch.testing.assert_close(truth.sum(dim=1), torch.ones(6, dtype=torch.float64))
        assert (truth - shares).abs().max() > 0.02  # not softmax(α): of pairs without replacement
    n = 700
    sampled = draws(relaxation, alphas, n).detach()
    deviation = (truth * (1 - truth) / n).sqrt()
    assert ((sampled.mean(dim=0) - truth).abs() < 4.5 * deviation).all()
    if gradient == "two":  # w's paths are those of softmax(α)
        of_weights = draws(relaxation.for_weights(), alphas, n).detach().mean(dim=0)
        assert ((of_weights - shares).abs() < 4.5 * (shares * (1 - shares) / n).sqrt()).all()


def test_pairs_are_sampled_without_replacement() -> None:
    relaxation = categorical("two")
    alpha = alphas_of(relaxation)["normal"].detach()
    shares = alpha.softmax(dim=1)
    n = 700
    pairs = torch.stack([run_operations(relaxation, alpha, seed)[1] for seed in range(n)])
    assert (pairs.sum(dim=2) == 2).all()
    for k, j in itertools.combinations(range(5), 2):
        p, q = shares[:, k], shares[:, j]
        truth = p * q * (1 / (1 - p) + 1 / (1 - q))
        found = (pairs[:, :, k] & pairs[:, :, j]).double().mean(dim=0)
        assert ((found - truth).abs() < 4.5 * (truth * (1 - truth) / n).sqrt() + 1e-9).all()


def test_log_probability_is_that_of_the_path_of_the_seed() -> None:
    relaxation = categorical("importance", "darts")
    alphas = alphas_of(relaxation)
    for seed in range(3):
        found = relaxation.log_probability(alphas, seed, new_generator)
        weights = relaxation.weights(alphas, seed=seed)
        truth = torch.zeros((), dtype=torch.float64)
        for name, cell in weights.items():
            k = cell.operations.argmax(dim=1)
            truth = truth - F.cross_entropy(alphas[name], k, reduction="sum")
        torch.testing.assert_close(found, truth)
        (one, other) = (
            torch.autograd.grad(value, [alphas["normal"]], retain_graph=True)[0]
            for value in (found, truth)
        )
        torch.testing.assert_close(one, other)


def adjusted(relaxation: Categorical, before: Tensor, moved: Tensor, seeds: list[int]) -> Tensor:
    after = moved.clone()
    step = AlphaStep({"normal": before}, {"normal": after}, {}, seeds, new_generator)
    relaxation.adjust_alphas(step)
    return after


def test_the_pair_is_shifted_so_that_the_others_keep_their_probabilities() -> None:
    """By hand: log(2 + 3) − log(4 + 6) = −log 2 is added to both α of a pair that doubled."""
    relaxation = categorical("two")
    generator = torch.Generator().manual_seed(4)
    before = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    before[:, :2] = torch.tensor([2.0, 3.0], dtype=torch.float64).log()
    pair = run_operations(relaxation, before, 7)[1]
    doubled = before + pair * torch.tensor(2.0, dtype=torch.float64).log()
    torch.testing.assert_close(adjusted(relaxation, before, doubled, [7]), before)

    moved = before + pair * torch.randn(6, 5, generator=generator, dtype=torch.float64)
    after = adjusted(relaxation, before, moved, [7])
    shares, old = after.softmax(dim=1), before.softmax(dim=1)
    torch.testing.assert_close(shares[~pair], old[~pair], rtol=1e-12, atol=0)
    assert (shares[pair] - old[pair]).abs().min() > 1e-4
    assert torch.equal(after[~pair], before[~pair])
    # the two α keep the difference that the step gave them
    for row in range(6):
        i, j = pair[row].nonzero().flatten().tolist()
        assert float(after[row, i] - after[row, j]) == pytest.approx(
            float(moved[row, i] - moved[row, j]), rel=1e-12
        )


def test_the_pairs_of_two_passes_are_shifted_together() -> None:
    relaxation = categorical("two")
    generator = torch.Generator().manual_seed(4)
    before = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    union = run_operations(relaxation, before, 1)[1] | run_operations(relaxation, before, 2)[1]
    moved = before + union * torch.randn(6, 5, generator=generator, dtype=torch.float64)
    after = adjusted(relaxation, before, moved, [1, 2])
    torch.testing.assert_close(
        after.softmax(dim=1)[~union], before.softmax(dim=1)[~union], rtol=1e-12, atol=0
    )
    assert int(union.sum(dim=1).max()) > 2


def test_a_step_of_proxylessnas_moves_two_probabilities_of_an_edge(tmp_path: Path) -> None:
    changes = {"relaxation.kind": "categorical", "relaxation.gradient": "two"}
    adam = {"optimizer.alphas.betas": [0.0, 0.999], "optimizer.alphas.weight_decay": 0.0}
    double = {"runtime.dtype": "float64", "relaxation.init_std": 1.0}
    search = Search(small_trial(tmp_path, **changes, **adam, **double, **{"schedule.epochs": 4}))
    edges = 0
    while not search.done:
        before = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
        search.run_epoch()  # of one step
        for name, alpha in search.alphas.items():
            moved = alpha.detach() != before[name]
            assert set(moved.sum(dim=1).tolist()) <= {0, 2}
            old, new = before[name].softmax(dim=1), alpha.detach().softmax(dim=1)
            torch.testing.assert_close(new[~moved], old[~moved], rtol=1e-12, atol=0)
            edges += int(moved.any(dim=1).sum())
    assert edges > 20


def test_decided_pruned_and_removed_operations_are_left_alone() -> None:
    space = load_space("nasbench201")
    choices = CandidateMask(space)
    kept = torch.ones(6, 5, dtype=torch.bool)
    kept[3, :3] = False
    kept[4, 1:] = False  # an edge with a single operation that is not decided
    choices.keep("normal", kept)
    choices.decide("normal", 0, 2)
    choices.prune("normal", 1)
    for gradient in GRADIENTS:
        relaxation = relaxation_of("categorical", space, choices, gradient=gradient)
        assert isinstance(relaxation, Categorical)
        alphas = alphas_of(relaxation)
        for seed in range(10):
            cell = relaxation.weights(alphas, seed=seed)["normal"]
            assert cell.active is not None
            assert not (cell.active & ~choices.remaining("normal")).any()
            assert cell.operations[0, 2] == 1 and cell.operations[4, 0] == 1
            assert cell.operations[3].argmax() in (3, 4)
            total = (cell.operations * torch.arange(1, 6)).sum()
            total = total + relaxation.log_probability(alphas, seed, new_generator)
            (found,) = torch.autograd.grad(total, [alphas["normal"]])
            assert found.isfinite().all()
            assert not found[[0, 1, 4]].any() and not found[3, :3].any()
            assert found[3, 3:].any() and found[5].any()
        before = alphas["normal"].detach()
        moved = before + 1.0
        after = adjusted(relaxation, before, moved, [3])
        assert torch.equal(after[[0, 1]], moved[[0, 1]])  # the optimizer already leaves them
        assert after[4, 0] == pytest.approx(float(before[4, 0]))
