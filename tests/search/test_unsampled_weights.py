"""What a step does to the weights of operations that its pass did not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, small_trial
from torch import Tensor, nn

from tune_nas.config import OptimizerConfig, UpdateConfig
from tune_nas.search import Search
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.objective import Gradients
from tune_nas.search.optimizers import Optimizers
from tune_nas.search.unrolled import _unrolled_weights
from tune_nas.spaces import load_space

SHAPES = [(3, 4), (5,), (2, 2, 2), (4,)]
SETTINGS: dict[str, dict[str, Any]] = {
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "weight decay alone": {"momentum": 0.0},
    "clipped": {"momentum": 0.9, "clip": 0.5},
}


class Weights(nn.Module):
    """Tensors in the place of a supernet."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.held = nn.ParameterList(
            torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES
        )


def gradients_of(step: int) -> Gradients:
    """Gradients of a pass: the last tensor is first sampled in step 3, others now and then."""
    generator = torch.Generator().manual_seed(100 + step)
    found: Gradients = []
    for index, shape in enumerate(SHAPES):
        gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
        sampled = step == 3 or step > 6 if index == 3 else (step + index) % 3 != 0
        found.append(gradient if sampled else None)
    return found


def optimizers_of(weights: Weights, settings: dict[str, Any], capturable: bool) -> Optimizers:
    own = {"learning_rate": 0.1, "weight_decay": 0.02, "clip": 0.0, **settings}
    config = OptimizerConfig(weights={"unsampled": "update", **own})
    alphas = {"normal": torch.zeros(6, 5, requires_grad=True)}
    return Optimizers(
        config, weights, alphas, {}, CandidateMask(load_space("nasbench201")), capturable
    )


def as_before_pytorch_2(settings: dict[str, Any], steps: int) -> list[list[Tensor]]:
    """Return w after each step of torch's SGD whose zero_grad leaves gradients of 0."""
    weights = Weights()
    parameters = list(weights.parameters())
    options = {key: value for key, value in settings.items() if key != "clip"}
    sgd = torch.optim.SGD(parameters, lr=0.1, weight_decay=0.02, **options)
    found = []
    for step in range(steps):
        sgd.zero_grad(set_to_none=False)
        for parameter, gradient in zip(parameters, gradients_of(step), strict=True):
            if gradient is not None:
                parameter.grad = gradient.clone()
        if "clip" in settings:
            torch.nn.utils.clip_grad_norm_(parameters, settings["clip"])
        sgd.step()
        found.append([parameter.detach().clone() for parameter in parameters])
    return found


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("case", SETTINGS)
def test_updating_them_is_sgd_as_it_was_before_pytorch_2(case: str, capturable: bool) -> None:
    """Also where the state is saved and loaded on the way, before a weight was ever sampled."""
    settings = SETTINGS[case]
    truth = as_before_pytorch_2(settings, 10)
    weights = Weights()
    optimizers = optimizers_of(weights, settings, capturable)
    start = [parameter.detach().clone() for parameter in weights.parameters()]
    for step in range(10):
        if step in (2, 5):
            state = optimizers.state_dict()
            optimizers = optimizers_of(weights, settings, capturable)
            optimizers.load_state_dict(state)
        optimizers.step_weights(gradients_of(step))
        for found, wanted in zip(weights.parameters(), truth[step], strict=True):
            torch.testing.assert_close(found.detach(), wanted, rtol=1e-13, atol=1e-14)
        if step < 3:  # nothing has sampled it yet
            assert torch.equal(list(weights.parameters())[3], start[3])


def test_an_unrolled_step_moves_what_the_real_one_does() -> None:
    weights = Weights()
    optimizers = optimizers_of(weights, {"momentum": 0.9}, False)
    for step in range(4):
        optimizers.step_weights(gradients_of(step))
    parameters = [parameter.detach() for parameter in weights.parameters()]
    gradients = gradients_of(4)
    assert sum(gradient is None for gradient in gradients) == 2
    config = UpdateConfig(level="bilevel", order=2, unrolled_momentum=True)
    ahead = _unrolled_weights(parameters, gradients, optimizers.sgd_state(), config)
    before = [parameter.clone() for parameter in parameters]
    optimizers.step_weights(gradients)
    for found, moved, old in zip(ahead, weights.parameters(), before, strict=True):
        torch.testing.assert_close(found, moved.detach(), rtol=1e-13, atol=1e-14)
        assert not torch.equal(found, old)


@pytest.mark.parametrize("unsampled", ["keep", "update"])
def test_a_search_keeps_or_updates_the_operations_that_were_not_sampled(
    unsampled: str, tmp_path: Path
) -> None:
    """An operation moves in a step that does not sample it if, and only if, it is updated."""
    changes = {"relaxation.kind": "gumbel", "optimizer.weights.unsampled": unsampled}
    search = Search(small_trial(tmp_path, **changes, **{"update.level": "bilevel"}))
    seen: list[list[bool]] = []
    step_weights = search.optimizers.step_weights
    moved_unsampled = []

    def watched(gradients: Gradients) -> None:
        seen.append([gradient is not None for gradient in gradients])
        known = [any(earlier) for earlier in zip(*seen, strict=True)]
        before = [parameter.detach().clone() for parameter in search.supernet.parameters()]
        step_weights(gradients)
        for parameter, old, sampled, ever in zip(
            search.supernet.parameters(), before, seen[-1], known, strict=True
        ):
            if not sampled:
                moved = not torch.equal(parameter, old)
                assert moved == (ever and unsampled == "update")
                moved_unsampled.append(moved)

    search.optimizers.step_weights = watched  # type: ignore[method-assign]
    while not search.done:
        search.run_epoch()
    assert moved_unsampled
    assert any(moved_unsampled) == (unsampled == "update")


def test_a_search_that_updates_them_resumes_to_the_bit(tmp_path: Path) -> None:
    changes = {"relaxation.kind": "gumbel", "optimizer.weights.unsampled": "update"}
    assert_resumes_to_the_bit(small_trial(tmp_path, **changes), tmp_path)
