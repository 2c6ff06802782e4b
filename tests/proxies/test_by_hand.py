"""Synflow, naswot and the gradient norm on networks small enough to work them out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.config import DataConfig
from tune_nas.proxies import inputs_for
from tune_nas.proxies.grad_norm import gradient_norms
from tune_nas.proxies.naswot import Naswot, log_determinant, relu_kernel
from tune_nas.proxies.network_proxy import weights_of
from tune_nas.proxies.synflow import Synflow, synaptic_flow
from tune_nas.spaces import Genotype, Network, build_network, load_space

# Codes 101, 110 and 000: each two differ in two of three bits.
IMAGES = torch.tensor([[1.0, -1, 1], [1, 2, -3], [-1, 0, -1]])
EMPTY = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
ONE_CONVOLUTION = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def linear(*rows: list[float], bias: list[float] | None = None) -> nn.Linear:
    """Return a linear layer with these weights, (outputs, inputs), in float64."""
    layer = nn.Linear(len(rows[0]), len(rows), bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def test_the_flow_of_two_layers_is_twice_the_product_of_their_absolute_weights() -> None:
    # |W1| · 1 = (3, 7); R = 1·3 + 2·7 = 17, and each layer conserves it.
    module = nn.Sequential(linear([1, -2], [3, 4]), nn.ReLU(), linear([-1, 2]))
    assert synaptic_flow(module, (2,)) == pytest.approx(math.log(34), abs=1e-14)


def test_a_bias_adds_to_the_flow_of_later_layers_only() -> None:
    # W1: 17 as before. W2 sees (3 + 1, 7): 1·4 + 2·7 = 18.
    module = nn.Sequential(linear([1, -2], [3, 4], bias=[-1, 0]), nn.ReLU(), linear([-1, 2]))
    assert synaptic_flow(module, (2,)) == pytest.approx(math.log(35), abs=1e-14)


def test_a_flow_of_nothing_and_one_beyond_float64_are_finite() -> None:
    assert synaptic_flow(linear([0, 0]), (2,)) == pytest.approx(-708.396, abs=1e-3)
    deep = nn.Sequential(*(linear([1e200]) for _ in range(3)))
    assert synaptic_flow(deep, (1,)) == pytest.approx(709.783, abs=1e-3)


@pytest.mark.parametrize("name", ["DARTS_V2", "NB201"])
def test_the_flow_of_a_network_is_the_derivative_by_the_scale_of_its_weights(
    name: str, darts_v2: str, nb201: str
) -> None:
    """d/dt R at the weights (1 + t) · |θ| is Σ |θ| · ∂R/∂|θ|: no gradients are needed."""
    genotype = Genotype.parse(darts_v2 if name == "DARTS_V2" else nb201)
    space = load_space(genotype.space)
    cells = 3 if space.skeleton.layout == "thirds" else 1
    data = DataConfig(name="fake")
    proxy = Synflow(inputs_for(space, data, init_channels=4, cells=cells))
    measured: list[Network] = []

    class Kept(Synflow):
        def measure(self, network: Network) -> float:
            measured.append(network)
            return super().measure(network)

    score = Kept(proxy.inputs).score(genotype)
    assert score == proxy.score(genotype)
    [network] = measured
    weights = weights_of(network)

    def flow(factor: float) -> float:
        with torch.no_grad():
            for weight in weights:
                weight.mul_(factor)
            total = float(network(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum())  # type: ignore[union-attr]
            for weight in weights:
                weight.div_(factor)
        return total

    step = 1e-5
    expected = (flow(1 + step) - flow(1 - step)) / (2 * step)
    assert math.exp(score) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "relu",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        F.relu,
        torch.relu,
        Tensor.relu,
    ],
)
def test_the_kernel_counts_equal_bits(relu: Callable[[Tensor], Tensor]) -> None:
    class Module(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return relu(x)

    kernel = relu_kernel(Module(), IMAGES.clone())
    assert kernel.tolist() == [[3, 1, 1], [1, 3, 1], [1, 1, 3]]
    assert log_determinant(kernel) == pytest.approx(math.log(20), abs=1e-13)  # (3 − 1)² (3 + 2)


def test_layers_add_up() -> None:
    # The second ReLU sees no positive number: all three bits are equal for all.
    negated = linear([-1, 0, 0], [0, -1, 0], [0, 0, -1]).float()
    kernel = relu_kernel(nn.Sequential(nn.ReLU(), negated, nn.ReLU()), IMAGES)
    assert kernel.tolist() == [[6, 4, 4], [4, 6, 4], [4, 4, 6]]
    assert log_determinant(kernel) == pytest.approx(math.log(56), abs=1e-13)


def test_a_singular_kernel_is_below_every_regular_one() -> None:
    twice = relu_kernel(nn.ReLU(), IMAGES[[0, 1, 0]])
    assert log_determinant(twice) == -1  # two different codes of three images
    assert log_determinant(relu_kernel(nn.ReLU(), IMAGES[[2, 2, 2]])) == -2
    assert log_determinant(torch.eye(3, dtype=torch.float64)) == 0  # the smallest regular one
    assert log_determinant(torch.zeros(3, 3, dtype=torch.float64)) == -3


@pytest.mark.parametrize(("cell", "units"), [(EMPTY, 640), (ONE_CONVOLUTION, 640 + 448)])
def test_every_relu_of_a_network_counts(cell: str, units: int) -> None:
    """The diagonal of the kernel is the number of ReLU units, counted here layer by layer.

    4 channels on 8 × 8 pixels: the two reductions have 4·64 + 8·16 and 8·16 + 16·4, the last layer
    16·4; a convolution in each of three cells has 4·64 + 8·16 + 16·4.
    """
    space = load_space("nasbench201")
    inputs = inputs_for(space, DataConfig(name="fake"), init_channels=4, cells=1, batch_size=5)
    network = build_network(Genotype.parse(cell), space, n_classes=4, init_channels=4, cells=1)
    kernel = relu_kernel(network, inputs.batch()[0])
    assert kernel.diagonal().tolist() == [units] * 5
    assert torch.equal(kernel, kernel.round()) and torch.equal(kernel, kernel.T)


def test_no_path_through_the_cells_is_the_worst_score() -> None:
    space = load_space("nasbench201")
    inputs = inputs_for(space, DataConfig(name="fake"), init_channels=4, cells=1, batch_size=5)
    assert Naswot(inputs).score(Genotype.parse(EMPTY)) == -4


def test_the_norms_of_two_layers() -> None:
    """Logits (4, 4): δ = (−1/2, 1/2) for class 0; both layers have ‖δ‖ · ‖(3, 4)‖ = 5 / √2."""
    module = nn.Sequential(linear([1, 0], [0, 1]), nn.ReLU(), linear([1, 0], [0, 1], bias=[1, 0]))
    image, label = torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.tensor([0])
    expected = 10 / math.sqrt(2)
    assert gradient_norms(module, image, label) == pytest.approx(expected, abs=1e-14)
    # The loss is a mean: the same image twice has the same gradient, with both labels it has none.
    twice = image.repeat(2, 1)
    same = gradient_norms(module, twice, torch.tensor([0, 0]))
    assert same == pytest.approx(expected, abs=1e-14)
    assert gradient_norms(module, twice, torch.tensor([0, 1])) == pytest.approx(0, abs=1e-14)
