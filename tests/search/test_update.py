"""Every level, order, sequence and λ against gradients written out with plain autograd, float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from plain_steps import plain_step
from torch import Tensor
from torch.func import functional_call

from tune_nas.config import RelaxationConfig, UpdateConfig
from tune_nas.search.objective import Gradients, Objective
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.unrolled import SgdState, unrolled_alpha_gradients
from tune_nas.search.update import Update, coefficients
from tune_nas.spaces import Supernet, load_space

LAMBDAS = [0.0, 0.1, 1.0, 999.0, math.inf]
SEQUENCES = ["simultaneous", "weights-first", "alphas-first"]
W_RATE, A_RATE, MOMENTUM, DECAY = 0.05, 0.3, 0.9, 3e-4


@dataclass
class Problem:
    """A small NAS-Bench-201 supernet, its α and three batches, in float64."""

    objective: Objective
    train: tuple[Tensor, Tensor]
    valid: tuple[Tensor, Tensor]
    buffers: list[Tensor]

    def sgd(self) -> SgdState:
        return SgdState(W_RATE, MOMENTUM, DECAY, False, self.buffers)


@pytest.fixture
def problem() -> Problem:
    torch.manual_seed(0)
    space = load_space("nasbench201")
    supernet = Supernet(space, n_classes=3, in_channels=1, init_channels=2, cells=1).double()
    relaxation = make_relaxation(RelaxationConfig(init_std=0.5), space)
    generator = torch.Generator().manual_seed(1)
    alphas = {
        name: alpha.requires_grad_()
        for name, alpha in relaxation.initial_alphas(generator, torch.float64).items()
    }
    batches = [
        (torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.randint(3, (6,))) for _ in range(2)
    ]
    buffers = [0.1 * torch.randn_like(parameter) for parameter in supernet.parameters()]
    return Problem(Objective(supernet, relaxation, alphas), *batches, buffers)


# The truth, written out: a loss as a function of explicit w and α, and plain autograd.


def loss_at(
    problem: Problem, w: Sequence[Tensor], a: Sequence[Tensor], batch: tuple[Tensor, Tensor]
) -> Tensor:
    objective = problem.objective
    names = [name for name, _ in objective.supernet.named_parameters()]
    mixing = objective.relaxation.weights(dict(zip(objective.alphas, a, strict=True)))
    logits = functional_call(
        objective.supernet, dict(zip(names, w, strict=True)), (batch[0], mixing)
    )
    return F.cross_entropy(logits, batch[1])


def leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def true_w_gradient(problem: Problem, w: Sequence[Tensor], a: Sequence[Tensor]) -> list[Tensor]:
    w = leaves(w)
    return list(torch.autograd.grad(loss_at(problem, w, a, problem.train), w))


def true_a_gradient(
    problem: Problem,
    w: Sequence[Tensor],
    a: Sequence[Tensor],
    pair: tuple[float, float],
    order: int,
) -> list[Tensor]:
    """d/dα of pair[0]·L_train + pair[1]·L_valid at w, or at w'(α) one SGD step ahead."""
    w, a = leaves(w), leaves(a)
    at: list[Tensor] = w
    if order == 2:
        step = torch.autograd.grad(loss_at(problem, w, a, problem.train), w, create_graph=True)
        at = [
            x - W_RATE * (g + DECAY * x + MOMENTUM * m)
            for x, g, m in zip(w, step, problem.buffers, strict=True)
        ]
    total = pair[0] * loss_at(problem, at, a, problem.train)
    total = total + pair[1] * loss_at(problem, at, a, problem.valid)
    return list(torch.autograd.grad(total, a))


def true_step(
    problem: Problem, sequence: str, pair: tuple[float, float], order: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Plain gradient steps on both, in the order that the sequence says."""
    w = [x.detach().clone() for x in problem.objective.weight_list]
    a = [x.detach().clone() for x in problem.objective.alpha_list]

    def move_w(at_a: list[Tensor]) -> list[Tensor]:
        found = true_w_gradient(problem, w, at_a)
        return [x - W_RATE * g for x, g in zip(w, found, strict=True)]

    def move_a(at_w: list[Tensor]) -> list[Tensor]:
        found = true_a_gradient(problem, at_w, a, pair, order)
        return [x - A_RATE * g for x, g in zip(a, found, strict=True)]

    if sequence == "simultaneous":
        return move_w(a), move_a(w)
    if sequence == "weights-first":
        moved = move_w(a)
        return moved, move_a(moved)
    moved_a = move_a(w)
    return move_w(moved_a), moved_a


def run_step(problem: Problem, config: UpdateConfig) -> tuple[list[Tensor], list[Tensor]]:
    """The same with the code under test; w and α move by plain gradient steps."""
    objective = problem.objective
    update = Update(config, objective)

    update.step(
        problem.train,
        problem.valid if update.needs_valid else None,
        step_weights=plain_step(objective.weight_list, W_RATE),
        step_alphas=plain_step(objective.alpha_list, A_RATE),
        sgd=problem.sgd,
    )
    return (
        [x.detach().clone() for x in objective.weight_list],
        [x.detach().clone() for x in objective.alpha_list],
    )


def assert_near(found: Sequence[Tensor], truth: Sequence[Tensor], tolerance: float) -> None:
    scale = max(float(x.abs().max()) for x in truth)
    for one, other in zip(found, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * scale)


def pair_of(lambda_: float) -> tuple[float, float]:
    return (0.0, 1.0) if math.isinf(lambda_) else (1.0, lambda_)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("lambda_", LAMBDAS)
@pytest.mark.parametrize("order", [1, 2])
def test_mixed_level_moves_w_and_alpha_as_written_out(
    problem: Problem, order: int, lambda_: float, sequence: str
) -> None:
    truth = true_step(problem, sequence, pair_of(lambda_), order)
    config = UpdateConfig(
        level="mixed", lambda_=lambda_, order=order, sequence=sequence, hessian="exact"
    )
    w, a = run_step(problem, config)
    assert_near(w, truth[0], 1e-12)
    assert_near(a, truth[1], 1e-12)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize(("level", "order"), [("single", 1), ("bilevel", 1), ("bilevel", 2)])
def test_single_and_bilevel_move_w_and_alpha_as_written_out(
    problem: Problem, level: str, order: int, sequence: str
) -> None:
    pair = (1.0, 0.0) if level == "single" else (0.0, 1.0)
    truth = true_step(problem, sequence, pair, order)
    config = UpdateConfig(level=level, order=order, sequence=sequence, hessian="exact")
    w, a = run_step(problem, config)
    assert_near(w, truth[0], 1e-12)
    assert_near(a, truth[1], 1e-12)


@pytest.mark.parametrize("lambda_prime", [0.0, 0.25, 0.5, 1.0])
def test_lambda_prime_is_the_convex_combination(problem: Problem, lambda_prime: float) -> None:
    truth = true_step(problem, "simultaneous", (1 - lambda_prime, lambda_prime), 1)
    config = UpdateConfig(level="mixed", lambda_prime=lambda_prime, sequence="simultaneous")
    _, a = run_step(problem, config)
    assert_near(a, truth[1], 1e-12)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize(
    ("mixed", "limit"),
    [
        ({"lambda_": 0.0}, "single"),
        ({"lambda_prime": 0.0}, "single"),
        ({"lambda_": math.inf}, "bilevel"),
        ({"lambda_prime": 1.0}, "bilevel"),
    ],
)
def test_the_limits_of_lambda_are_exact_to_the_bit(
    problem: Problem, mixed: dict[str, float], limit: str, sequence: str
) -> None:
    start = [x.detach().clone() for x in problem.objective.weight_list]
    start_a = [x.detach().clone() for x in problem.objective.alpha_list]
    of_mixed = run_step(problem, UpdateConfig(level="mixed", sequence=sequence, **mixed))
    with torch.no_grad():
        for x, y in zip(problem.objective.weight_list, start, strict=True):
            x.copy_(y)
        for x, y in zip(problem.objective.alpha_list, start_a, strict=True):
            x.copy_(y)
    of_limit = run_step(problem, UpdateConfig(level=limit, sequence=sequence))
    for one, other in zip(of_mixed, of_limit, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(of_limit[1], start_a, strict=True)), (
        "α did not move"
    )


@pytest.mark.parametrize("lambda_", [0.1, 1.0, math.inf])
@pytest.mark.parametrize("nesterov", [False, True])
def test_exact_second_order_is_the_derivative_of_the_loss_one_step_ahead(
    problem: Problem, lambda_: float, nesterov: bool
) -> None:
    """Against central differences of F(w'(α), α), w' by torch's own SGD: no autograd of ours."""
    pair = pair_of(lambda_)
    objective = problem.objective
    sgd = SgdState(W_RATE, MOMENTUM, DECAY, nesterov, problem.buffers)
    terms = [(f, b) for f, b in zip(pair, (problem.train, problem.valid), strict=True) if f]
    config = UpdateConfig(level="mixed", lambda_=lambda_, order=2, hessian="exact")
    found = unrolled_alpha_gradients(objective, problem.train, terms, sgd=sgd, config=config)

    def ahead(a: list[Tensor]) -> float:
        w = leaves(objective.weight_list)
        optimizer = torch.optim.SGD(
            w, lr=W_RATE, momentum=MOMENTUM, weight_decay=DECAY, nesterov=nesterov
        )
        for x, buffer in zip(w, problem.buffers, strict=True):
            optimizer.state[x]["momentum_buffer"] = buffer.clone()
            x.grad = None
        for x, g in zip(w, true_w_gradient(problem, w, a), strict=True):
            x.grad = g
        optimizer.step()
        return sum(f * loss_at(problem, w, a, b).item() for f, b in terms)

    generator = torch.Generator().manual_seed(5)
    a = [x.detach().clone() for x in objective.alpha_list]
    for _ in range(3):
        along = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in a]
        h = 1e-5
        plus = ahead([x + h * d for x, d in zip(a, along, strict=True)])
        minus = ahead([x - h * d for x, d in zip(a, along, strict=True)])
        slope = sum(float((g * d).sum()) for g, d in zip(found, along, strict=True))
        assert slope == pytest.approx((plus - minus) / (2 * h), rel=1e-4, abs=1e-8)


def test_weights_first_looks_ahead_with_the_momentum_of_the_step_that_was_taken(
    problem: Problem,
) -> None:
    objective = problem.objective
    optimizer = torch.optim.SGD(
        objective.weight_list, lr=W_RATE, momentum=MOMENTUM, weight_decay=DECAY
    )

    def move(gradients: Gradients) -> None:
        for weight, gradient in zip(objective.weight_list, gradients, strict=True):
            weight.grad = gradient
        optimizer.step()

    def buffers() -> list[Any]:
        return [optimizer.state[w].get("momentum_buffer") for w in objective.weight_list]

    found: list[Any] = []
    Update(
        UpdateConfig(level="bilevel", order=2, sequence="weights-first", hessian="exact"), objective
    ).step(
        problem.train,
        problem.valid,
        step_weights=move,
        step_alphas=found.extend,
        sgd=lambda: SgdState(W_RATE, MOMENTUM, DECAY, False, buffers()),
    )
    problem.buffers = buffers()
    truth = true_a_gradient(problem, objective.weight_list, objective.alpha_list, (0.0, 1.0), 2)
    assert_near(found, truth, 1e-12)


@pytest.mark.parametrize("lambda_", [0.1, 1.0, math.inf])
def test_finite_differences_approach_the_exact_product(problem: Problem, lambda_: float) -> None:
    def gradient(**options: object) -> list[Tensor]:
        config = UpdateConfig(level="mixed", lambda_=lambda_, order=2, **options)
        pair = pair_of(lambda_)
        terms = [(f, b) for f, b in zip(pair, (problem.train, problem.valid), strict=True) if f]
        return unrolled_alpha_gradients(
            problem.objective, problem.train, terms, sgd=problem.sgd(), config=config
        )

    exact = gradient(hessian="exact")
    first_order = true_a_gradient(
        problem, problem.objective.weight_list, problem.objective.alpha_list, pair_of(lambda_), 1
    )

    def distance(one: list[Tensor], other: list[Tensor]) -> float:
        return math.sqrt(
            sum(float((x - y).square().sum()) for x, y in zip(one, other, strict=True))
        )

    size = math.sqrt(sum(float(x.square().sum()) for x in exact))
    # Central differences: the error falls with the square of the step, here by 100, until it
    # meets the rounding of float64. (At steps that cross kinks of ReLU there is no such rate.)
    coarse, fine = (
        distance(gradient(hessian="finite-difference", epsilon=epsilon), exact)
        for epsilon in (1e-4, 1e-5)
    )
    assert coarse < 1e-5 * size
    assert fine == pytest.approx(coarse / 100, rel=0.2)
    assert distance(first_order, exact) > 0.05 * size, "the second-order term would not show"


def test_second_order_leaves_w_and_statistics_as_they_were() -> None:
    torch.manual_seed(3)
    space = load_space("darts")
    supernet = Supernet(space, n_classes=3, in_channels=1, init_channels=2, cells=3).double()
    relaxation = make_relaxation(RelaxationConfig(), space)
    alphas = relaxation.initial_alphas(torch.Generator().manual_seed(1), torch.float64)
    objective = Objective(
        supernet, relaxation, {name: alpha.requires_grad_() for name, alpha in alphas.items()}
    )
    batch = (torch.randn(4, 1, 8, 8, dtype=torch.float64), torch.randint(3, (4,)))
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    assert any("running" in name for name in before)
    sgd = SgdState(0.1, 0.9, 3e-4, False, [None] * len(objective.weight_list))
    for hessian in ("finite-difference", "exact"):
        config = UpdateConfig(level="bilevel", order=2, hessian=hessian)
        unrolled_alpha_gradients(objective, batch, [(1.0, batch)], sgd=sgd, config=config)
        after = supernet.state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_the_printed_second_order_form_swaps_the_factors() -> None:
    printed = {"level": "mixed", "order": 2, "lambda_": 0.1, "second_order_form": "train-weighted"}
    found = coefficients(UpdateConfig(**printed))
    assert (found.train, found.valid) == (0.1, 1.0)
    found = coefficients(UpdateConfig(**{**printed, "second_order_form": "eq6"}))
    assert (found.train, found.valid) == (1.0, 0.1)
    found = coefficients(UpdateConfig(**{**printed, "order": 1}))
    assert (found.train, found.valid) == (1.0, 0.1)


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({"level": "single", "sequence": "simultaneous"}, 1),
        ({"level": "mixed", "lambda_": 0.0, "sequence": "simultaneous"}, 1),
        ({"level": "bilevel", "sequence": "simultaneous"}, 2),
        ({"level": "mixed", "lambda_": 1.0, "sequence": "simultaneous"}, 2),
        ({"level": "mixed", "lambda_": math.inf, "sequence": "alphas-first"}, 2),
        ({"level": "mixed", "lambda_": 1.0, "sequence": "alphas-first"}, 3),
        ({"level": "mixed", "lambda_": 1.0, "sequence": "weights-first"}, 3),
        ({"level": "bilevel", "order": 2, "sequence": "simultaneous"}, 4),
        ({"level": "bilevel", "order": 2, "sequence": "alphas-first"}, 5),
    ],
)
def test_no_pass_is_wasted(problem: Problem, options: dict[str, object], passes: int) -> None:
    calls = []
    handle = problem.objective.supernet.register_forward_hook(lambda *_: calls.append(1))
    run_step(problem, UpdateConfig(**options))
    handle.remove()
    assert len(calls) == passes
