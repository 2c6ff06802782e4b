"""The multiplicative optimizer of α: numbers by hand, mirror descent, its rate by the length."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from relaxing import X, alphas_of, tiny
from searching import DARTS, tiny_trial
from torch import Tensor, nn

from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.search import Search
from tune_nas.search.exponentiated import ExponentiatedGradient, alpha_steps, regret_rate
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.relaxation.simplex_alphas import projected
from tune_nas.spaces import load_space

EXPONENTIATED: dict[str, Any] = {
    "relaxation.kind": "simplex",
    "optimizer.alphas.kind": "exponentiated",
    "optimizer.alphas.weight_decay": 0.0,
}
REGRET = {
    **EXPONENTIATED,
    "optimizer.alphas.step_rule": "regret",
    "optimizer.alphas.reward_bound": 2.0,
}


def moved(alpha: Tensor, gradient: Tensor, **options: Any) -> Tensor:
    """Return α after one step, without a projection."""
    parameter = alpha.clone().requires_grad_()
    optimizer = ExponentiatedGradient([parameter], **options)
    parameter.grad = gradient
    optimizer.step()
    return parameter.detach()


def double(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_a_step_by_hand() -> None:
    """Gradients of ∓ln 2 at η = 1 double and halve; the projection divides by 2.0."""
    alpha, gradient = double(0.25, 0.5, 0.25), double(-math.log(2), 0.0, math.log(2))
    found = moved(alpha, gradient, lr=1.0)
    torch.testing.assert_close(found, double(0.5, 0.5, 0.125), rtol=1e-14, atol=0)
    everywhere = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(projected(found, everywhere), double(4 / 9, 4 / 9, 1 / 9))
    # half the rate: factors √2, 1, 1/√2
    found = moved(alpha, gradient, lr=0.5)
    torch.testing.assert_close(found, double(0.25 * math.sqrt(2), 0.5, 0.25 / math.sqrt(2)))


def test_a_step_with_entropy_by_hand() -> None:
    """η = 1, decay 1/2, no gradient: α ← α^(1/2), and 1/16, 9/16 become 1/4, 3/4."""
    found = moved(double(1 / 16, 9 / 16, 0.0), double(0, 0, 0), lr=1.0, weight_decay=0.5)
    torch.testing.assert_close(found, double(1 / 4, 3 / 4, 0.0), rtol=1e-14, atol=0)


def test_rewards_are_clipped_at_their_bound() -> None:
    found = moved(double(1, 1, 1), double(-5, 0.25, 3), lr=1.0, bound=0.5)
    torch.testing.assert_close(found, double(math.exp(0.5), math.exp(-0.25), math.exp(-0.5)))
    # the entropy term is added to the clipped gradient
    found = moved(double(math.exp(-4)), double(-5), lr=0.5, weight_decay=1.0, bound=0.5)
    torch.testing.assert_close(found, double(math.exp(-4 + 0.5 * (0.5 + 4))))


def test_a_step_is_mirror_descent_with_the_negative_entropy() -> None:
    """The minimizer of η ⟨g + decay · log α, p⟩ + KL(p ‖ α) over the simplex, found numerically."""
    torch.manual_seed(0)
    alpha = torch.randn(4, 5, dtype=torch.float64).softmax(dim=1)
    gradient = torch.randn(4, 5, dtype=torch.float64)
    everywhere = torch.ones(4, 5, dtype=torch.bool)
    for rate, decay in ((0.1, 0.0), (0.7, 0.3)):
        after = projected(moved(alpha, gradient, lr=rate, weight_decay=decay), everywhere)
        logits = torch.zeros(4, 5, dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS(
            [logits],
            max_iter=500,
            tolerance_grad=1e-14,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def objective(
            rate: float = rate,
            decay: float = decay,
            logits: Tensor = logits,
            solver: torch.optim.LBFGS = solver,
        ) -> Tensor:
            solver.zero_grad()
            p = logits.softmax(dim=1)
            linear = rate * ((gradient + decay * alpha.log()) * p).sum()
            value = linear + (p * (p / alpha).log()).sum()
            value.backward()
            return value

        solver.step(objective)
        torch.testing.assert_close(after, logits.detach().softmax(dim=1), rtol=1e-6, atol=1e-8)


def test_the_entropy_term_has_its_fixed_point() -> None:
    """Under a constant gradient g, α converges to softmax(−g / decay), from any start."""
    gradient = double(0.3, -0.2, 0.0, 0.1)
    everywhere = torch.ones(1, 4, dtype=torch.bool)
    truth = (-gradient / 0.25).softmax(dim=1)
    for start in (double(0.25, 0.25, 0.25, 0.25), double(0.97, 0.01, 0.01, 0.01)):
        alpha = start
        for _ in range(300):
            alpha = projected(moved(alpha, gradient, lr=0.5, weight_decay=0.25), everywhere)
        torch.testing.assert_close(alpha, truth, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        projected(moved(truth, gradient, lr=0.5, weight_decay=0.25), everywhere), truth
    )


def test_zeros_stay_and_huge_gradients_stay_finite() -> None:
    alpha = torch.tensor([[0.0, 0.5, 0.5]])
    found = moved(alpha, torch.tensor([[-1e9, 1e9, -1e9]]), lr=1.0, weight_decay=0.1)
    assert found.isfinite().all() and found[0, 0] == 0 and found[0, 1] >= 0
    after = projected(found, torch.ones(1, 3, dtype=torch.bool))
    assert after[0, 2] > 0.99999


def test_a_search_moves_alpha_by_the_formula() -> None:
    """A step of a search: its own gradient, put into the formula."""
    trial = tiny_trial(
        **EXPONENTIATED,
        **{
            "optimizer.alphas.step_size": 0.5,
            "schedule.epochs": 1,
            "schedule.steps_per_epoch": 1,
            "runtime.dtype": "float64",
            "relaxation.init_std": 1.0,
        },
    )
    search = Search(trial)
    before = search.alphas["normal"].detach().clone()
    seen: list[Tensor] = []
    step = search.optimizers.step_alphas

    def recorded(gradients: Any) -> None:
        seen.append(gradients[0].clone())
        step(gradients)

    search.optimizers.step_alphas = recorded  # type: ignore[method-assign]
    search.run_epoch()
    truth = (before.log() - 0.5 * seen[0]).softmax(dim=1)
    assert float((truth - before).abs().max()) > 1e-4
    torch.testing.assert_close(search.alphas["normal"].detach(), truth, rtol=1e-9, atol=1e-12)


def test_the_rate_of_regret_by_hand() -> None:
    """N = 8, T = 600, L = 1: √(2 ln 8 / 600) = 0.083255; L = 2 halves it, 4 T too."""
    assert regret_rate(8, 600, 1.0) == pytest.approx(0.0832553, rel=1e-5)
    assert regret_rate(8, 600, 2.0) == pytest.approx(0.0832553 / 2, rel=1e-5)
    assert regret_rate(8, 2400, 1.0) == pytest.approx(0.0832553 / 2, rel=1e-5)


def test_the_rate_follows_from_the_length_of_the_trial() -> None:
    """3 epochs of 2 steps; N is 5 in NAS-Bench-201 and 8 in the space of DARTS."""
    found = Search(tiny_trial(**REGRET)).run_epoch()["learning_rate/alphas"]
    assert found == pytest.approx(math.sqrt(2 * math.log(5) / (6 * 4)))
    longer = {"schedule.epochs": 12, "update.warmup": 2, "space": DARTS}
    search = Search(tiny_trial(**REGRET, **longer))
    rate = math.sqrt(2 * math.log(8) / (20 * 4))
    assert search.optimizers.alphas.param_groups[0]["lr"] == pytest.approx(rate)
    search.restart_alphas()
    assert search.optimizers.alphas.param_groups[0]["lr"] == pytest.approx(rate)


def test_steps_of_alpha_are_counted_as_they_are_made() -> None:
    """Against a count of the steps themselves: warm-up, phases without α, several w steps."""
    changes: dict[str, Any] = {
        **EXPONENTIATED,
        "schedule.epochs": 4,
        "schedule.steps_per_epoch": 3,
        "update": {
            **{"level": "bilevel", "warmup": 1, "weight_steps": 2},
            "phases": [
                {"until": 2, "set": {"level": "none"}},
                {"until": 3, "set": {"weight_steps": 3}},
            ],
        },
    }
    search = Search(tiny_trial(**changes))
    count, counts = [0], []
    step = search.optimizers.step_alphas

    def counting(gradients: Any) -> None:
        count[0] += 1
        step(gradients)

    search.optimizers.step_alphas = counting  # type: ignore[method-assign]
    while not search.done:
        search.run_epoch()
        counts.append(count[0])
    assert counts == [0, 0, 1, 3]
    trial = search.trial
    assert [alpha_steps(trial, 3, epochs) for epochs in (1, 2, 3, 4)] == counts
    assert alpha_steps(trial, 3) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {**EXPONENTIATED, "optimizer.alphas.step_rule": "regret"},
            "optimizer.alphas.step_rule is 'regret', but needs optimizer.alphas.reward_bound, "
            "e.g. 1",
        ),
        (
            {
                **EXPONENTIATED,
                "optimizer.alphas.step_size": 2.0,
                "optimizer.alphas.weight_decay": 0.5,
            },
            "optimizer.alphas.step_size × weight_decay is 1, but must be < 1: a step "
            "multiplies log α by 1 − it",
        ),
    ],
)
def test_options_that_make_no_step_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        tiny_trial(**changes)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("bound", "size"), [(1e-300, "7.32447e+299"), (5e-324, "inf"), (1e-4, "7324.47")]
)
def test_a_bound_that_makes_no_step_is_refused(bound: float, size: str) -> None:
    """η = √(2 ln 5 / 6) / L = 0.732447 / L for 5 operations and 6 steps."""
    trial = tiny_trial(
        **{
            **REGRET,
            "optimizer.alphas.weight_decay": 0.001,
            "optimizer.alphas.reward_bound": bound,
        }
    )
    message = rf"^optimizer.alphas.reward_bound is {bound:g}, .* step size of {re.escape(size)}; .*"
    with pytest.raises(ConfigError, match=message):
        Search(trial)


def test_a_bound_above_all_gradients_takes_tiny_steps() -> None:
    assert regret_rate(8, 600, 1e300) == pytest.approx(0.0832553e-300, rel=1e-5)


def test_the_gradient_is_the_negative_reward_of_xnas() -> None:
    """−⟨∂L/∂(edge output), operation's output⟩, summed over the cells; outputs by hooks."""
    space = load_space("nasbench201")
    relaxation = make_relaxation(RelaxationConfig(kind="simplex", init_std=1.0), space)
    net = tiny(space)
    alphas = alphas_of(relaxation)
    outputs: dict[tuple[int, int], list[Tensor]] = {}
    edges = [block.body.edges for block in net.backbone.blocks if hasattr(block, "body")]
    cells = [each for each in edges if isinstance(each, nn.ModuleList)]
    assert len(cells) == 3
    for cell in cells:
        for row, operations in enumerate(cell):
            for column in (2, 3):  # the convolutions

                def keep(_: Any, __: Any, out: Tensor, key: Any = (row, column)) -> None:
                    out.retain_grad()
                    outputs.setdefault(key, []).append(out)

                operations[column].register_forward_hook(keep)
    logits = net(X, relaxation.weights(alphas))
    loss = F.cross_entropy(logits, torch.tensor([0, 1, 2, 0]))
    loss.backward()
    gradient = alphas["normal"].grad
    assert gradient is not None and len(outputs) == 12
    for (row, column), seen in outputs.items():
        assert len(seen) == 3
        # the output enters the edge with the factor α, so its gradient is α · ∂L/∂(edge output)
        weight = float(alphas["normal"][row, column].detach())
        rewards = [
            -float((out.grad * out).detach().sum()) / weight for out in seen if out.grad is not None
        ]
        assert gradient[row, column].item() == pytest.approx(-sum(rewards), rel=1e-9)
