"""Every registered relaxation keeps the contract; each against its formula."""

from __future__ import annotations

import math

import pytest
import torch
import yaml

from tune_nas.config import RelaxationConfig
from tune_nas.search.relaxation import make_relaxation, relaxation_names
from tune_nas.spaces import Space, load_space

SPACES = ["darts", "nasbench201"]
WITH_ALPHA = [kind for kind in relaxation_names() if kind not in ("uniform-path", "controller")]


@pytest.fixture
def ragged() -> Space:
    """A space whose edges have two, three and one operations."""
    description = """
    name: ragged
    cells:
      normal:
        inputs: 1
        nodes: 2
        edges: all
        operations:
          0->1: [skip_connect, nor_conv_3x3]
          0->2: [none, skip_connect, nor_conv_1x1]
          1->2: [nor_conv_3x3]
        output: last
    skeleton: {layout: stages, init_channels: 4, cells: 1}
    """
    content = yaml.safe_load(description)
    shipped = load_space("nasbench201").to_dict()
    content["skeleton"] = {**shipped["skeleton"], **content["skeleton"]}
    return Space.from_dict(content)


@pytest.mark.parametrize("space_name", SPACES)
@pytest.mark.parametrize("kind", WITH_ALPHA)
def test_weights_are_in_reach_and_alpha_gets_its_gradient(kind: str, space_name: str) -> None:
    space = load_space(space_name)
    relaxation = make_relaxation(RelaxationConfig(kind=kind), space)
    alphas = relaxation.initial_alphas(torch.Generator().manual_seed(0), torch.float64)
    assert alphas.keys() == space.cells.keys()
    for name, alpha in alphas.items():
        assert alpha.shape == (len(space.cells[name].edges), space.cells[name].n_operations)
        alpha.requires_grad_()
    weights = relaxation.weights(alphas)
    torch.manual_seed(0)
    loss = torch.stack(
        [(w.operations * torch.rand_like(w.operations)).sum() for w in weights.values()]
    )
    for name, gradient in zip(
        alphas, torch.autograd.grad(loss.sum(), list(alphas.values())), strict=True
    ):
        assert (weights[name].operations >= 0).all() and (weights[name].operations <= 1).all()
        assert gradient.isfinite().all() and gradient.abs().max() > 0


@pytest.mark.parametrize("kind", WITH_ALPHA)
def test_operations_that_an_edge_lacks_have_no_weight_and_no_gradient(
    kind: str, ragged: Space
) -> None:
    relaxation = make_relaxation(RelaxationConfig(kind=kind, init="normal", init_std=1.0), ragged)
    alphas = relaxation.initial_alphas(torch.Generator().manual_seed(0), torch.float64)
    alpha = alphas["normal"].requires_grad_()
    mask = ragged.cells["normal"].mask()
    weights = relaxation.weights(alphas)["normal"].operations
    assert (weights[~mask] == 0).all() and (alpha[~mask] == 0).all()
    torch.manual_seed(0)
    (gradient,) = torch.autograd.grad((weights * torch.rand_like(weights)).sum(), [alpha])
    assert gradient.isfinite().all() and (gradient[~mask] == 0).all()


def test_softmax_is_its_formula(ragged: Space) -> None:
    relaxation = make_relaxation(RelaxationConfig(), ragged)
    alpha = torch.tensor([[1.0, -2.0, 0.0], [0.5, 0.0, 3.0], [7.0, 0.0, 0.0]], dtype=torch.float64)
    weights = relaxation.weights({"normal": alpha})["normal"].operations
    first = [math.exp(1.0), math.exp(-2.0)]
    second = [math.exp(0.5), 1.0, math.exp(3.0)]
    truth = [
        [*(x / sum(first) for x in first), 0.0],
        [x / sum(second) for x in second],
        [1.0, 0, 0],
    ]
    torch.testing.assert_close(weights, torch.tensor(truth, dtype=torch.float64))


def test_sigmoid_starts_at_one_over_n_and_is_its_formula() -> None:
    space = load_space("nasbench201")
    relaxation = make_relaxation(RelaxationConfig(kind="sigmoid"), space)
    alphas = relaxation.initial_alphas(torch.Generator().manual_seed(0), torch.float64)
    torch.testing.assert_close(alphas["normal"], torch.full((6, 5), -math.log(4)).double())
    weights = relaxation.weights(alphas)["normal"].operations
    torch.testing.assert_close(weights, torch.full((6, 5), 0.2).double())
    alpha = torch.linspace(-3, 3, 30, dtype=torch.float64).reshape(6, 5)
    weights = relaxation.weights({"normal": alpha})["normal"].operations
    torch.testing.assert_close(weights, 1 / (1 + (-alpha).exp()))


def test_alpha_is_drawn_from_the_seed_alone() -> None:
    space = load_space("darts")
    relaxation = make_relaxation(RelaxationConfig(init_std=0.5), space)

    def draw(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.cat(list(relaxation.initial_alphas(generator, torch.float64).values()))

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
    assert draw(3).std().item() == pytest.approx(0.5, rel=0.15)  # 224 draws
