"""Order 2 with drawn weights: the passes of one gradient see one draw, against plain autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from tune_nas.config import RelaxationConfig, UpdateConfig
from tune_nas.search.objective import Objective, SeededBatch
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.unrolled import SgdState, unrolled_alpha_gradients
from tune_nas.search.update import Update
from tune_nas.spaces import Space, Supernet, load_space

RATE, MOMENTUM, DECAY = 0.05, 0.9, 3e-4


def noisy_space() -> Space:
    content = load_space("nasbench201").to_dict()
    content["cells"]["normal"]["operations"] = ["none", "skip_connect", "nor_conv_1x1", "noise"]
    return Space.from_dict({**content, "name": "noisy"})


def problem(kind: str, space: Space) -> tuple[Objective, SeededBatch, SeededBatch, SgdState]:
    torch.manual_seed(0)
    net = Supernet(space, n_classes=3, in_channels=1, init_channels=2, cells=1).double()
    net.skip_dropout = 0.3
    relaxation = make_relaxation(RelaxationConfig(kind=kind, init_std=0.5), space)
    relaxation.set_epoch(1, 2)
    alphas = relaxation.initial_alphas(torch.Generator().manual_seed(1), torch.float64)
    objective = Objective(net, relaxation, {n: a.requires_grad_() for n, a in alphas.items()})
    train, valid = (
        SeededBatch(torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.randint(3, (6,)), seed)
        for seed in (11, 12)
    )
    buffers = [0.1 * torch.randn_like(parameter) for parameter in net.parameters()]
    return objective, train, valid, SgdState(RATE, MOMENTUM, DECAY, False, buffers)


def true_gradient(
    objective: Objective, train: SeededBatch, valid: SeededBatch, sgd: SgdState
) -> Tensor:
    """d/dα of L_train + 2 L_valid one SGD step ahead; each batch has one draw wherever it is."""
    net = objective.supernet
    assert isinstance(net, Supernet)
    names = [name for name, _ in net.named_parameters()]
    w = [parameter.detach().clone().requires_grad_() for parameter in net.parameters()]
    alpha = objective.alphas["normal"].detach().clone().requires_grad_()

    def loss(at: list[Tensor], batch: SeededBatch) -> Tensor:
        assert batch.seed is not None
        mixing = objective.relaxation.weights({"normal": alpha}, seed=batch.seed)
        net.seed_draws(batch.seed)
        logits = functional_call(net, dict(zip(names, at, strict=True)), (batch.images, mixing))
        return F.cross_entropy(logits, batch.labels)

    step = torch.autograd.grad(loss(w, train), w, create_graph=True, allow_unused=True)
    ahead = [
        x if g is None else x - RATE * (g + DECAY * x + MOMENTUM * m)
        for x, g, m in zip(w, step, [b for b in sgd.buffers if b is not None], strict=True)
    ]
    total = loss(ahead, train) + 2 * loss(ahead, valid)
    return torch.autograd.grad(total, [alpha])[0]


@pytest.mark.parametrize("kind", ["softmax", "gumbel", "concrete", "dirichlet"])
def test_second_order_is_exact_with_one_draw_per_batch(kind: str) -> None:
    objective, train, valid, sgd = problem(kind, noisy_space())
    truth = true_gradient(objective, train, valid, sgd)

    def gradient(**options: Any) -> Tensor:
        config = UpdateConfig(level="mixed", lambda_=2.0, order=2, **options)
        terms = [(1.0, train), (2.0, valid)]
        (found,) = unrolled_alpha_gradients(objective, train, terms, sgd=sgd, config=config)
        assert found is not None
        return found

    torch.testing.assert_close(gradient(hessian="exact"), truth, rtol=1e-9, atol=1e-12)
    near = gradient(hessian="finite-difference", epsilon=1e-4)
    torch.testing.assert_close(near, truth, rtol=1e-4, atol=1e-5 * float(truth.abs().max()))
    if kind != "softmax":  # with another draw in one of the passes it would not be
        other = true_gradient(objective, train._replace(seed=13), valid, sgd)
        assert (other - truth).abs().max() > 0.05 * truth.abs().max()


def test_every_pass_of_a_step_has_a_draw_of_its_own_from_the_objectives_generator() -> None:
    objective, train, valid, sgd = problem("concrete", load_space("nasbench201"))
    seeds: list[int] = []
    plain = objective.relaxation.weights

    def watch(alphas: Any, betas: Any, seed: int | None, generators: Any) -> Any:
        assert seed is not None
        seeds.append(seed)
        return plain(alphas, betas, seed, generators)

    objective.relaxation.weights = watch  # type: ignore[method-assign]

    def step(order: Any, generator_seed: int) -> list[int]:
        seeds.clear()
        objective.draws.host.manual_seed(generator_seed)
        update = Update(UpdateConfig(level="mixed", lambda_=1.0, order=order), objective)
        update.step(
            (train.images, train.labels),
            (valid.images, valid.labels),
            step_weights=lambda gradients: None,
            step_alphas=lambda gradients: None,
            sgd=lambda: sgd,
        )
        return list(seeds)

    first = step(1, 0)
    assert len(set(first)) == 3  # α on train, α on valid, w
    assert step(1, 0) == first and not set(step(1, 1)) & set(first)
    # the unrolled step, its term, both sides of the difference; valid; then w
    second = step(2, 0)
    assert sorted(second.count(seed) for seed in set(second)) == [1, 1, 4]
