"""The fast forms of the supernet against the plain one, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tune_nas.shipped import shipped_names
from tune_nas.spaces import CellWeights, MixingWeights, Space, Supernet, load_space

TOLERANCE = 1e-12


FORMS = ("torch", "fast")
LEARNING = ("darts", "nasbench201")  # two spaces once more, with affine batch normalization


def every_space() -> list[Space]:
    learning = []
    for name in LEARNING:
        content = load_space(name).to_dict()
        supernet = {**content.get("supernet", {}), "affine": True}
        changed = {"name": f"{name}-learning", "supernet": supernet}
        learning.append(Space.from_dict({**content, **changed}))
    return [load_space(name) for name in shipped_names("space")] + learning


def small_supernet(
    space: Space, form: str, partial_channels: int = 1, cells: int = 3, *, recompute: bool = False
) -> Supernet:
    return Supernet(
        space,
        n_classes=3,
        in_channels=2,
        partial_channels=partial_channels,
        implementation=form,  # type: ignore[arg-type]
        init_channels=4 * partial_channels,
        cells=1 if space.skeleton.layout == "stages" else cells,
        recompute=recompute,
    ).double()


def pair(space: Space, form: str, partial_channels: int = 1) -> tuple[Supernet, Supernet]:
    torch.manual_seed(0)
    plain, fast = (small_supernet(space, each, partial_channels) for each in ("plain", form))
    for weight in plain.parameters():
        if weight.dim() == 1:  # scale or shift of a normalization, which start at 1 and 0
            weight.data += 0.3 * torch.randn_like(weight)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def mixing(space: Space, *, beta: bool, masked: bool, offsets: bool) -> MixingWeights:
    weights = {}
    for name, cell in space.cells.items():
        shape = (len(cell.edges), cell.n_operations)
        active = torch.rand(shape) > 0.5 if masked else None
        if active is not None:
            active[0] = False  # an edge that is not there
            active[-1] = cell.mask()[-1]
        weights[name] = CellWeights(
            torch.rand(shape, dtype=torch.float64).requires_grad_(),
            edges=torch.rand(shape[0], dtype=torch.float64).requires_grad_() if beta else None,
            active=active,
            offsets=torch.randn(shape[0], dtype=torch.float64).requires_grad_()
            if offsets
            else None,
        )
    return weights


def leaves(weights: MixingWeights) -> list[Tensor]:
    found = [(cell.operations, cell.edges, cell.offsets) for cell in weights.values()]
    return [tensor for group in found for tensor in group if tensor is not None]


def squared_gradient(
    net: Supernet, images: Tensor, weights: MixingWeights
) -> tuple[Tensor, list[Tensor]]:
    """Return the squared norm of a gradient, to be differentiated again, and its parameters."""
    parameters: list[Tensor] = [p for p in net.parameters() if p.dim() == 4]
    first = torch.autograd.grad(net(images, weights).square().sum(), parameters, create_graph=True)
    return torch.stack([gradient.square().sum() for gradient in first]).sum(), parameters


def assert_close(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> None:
    scale = max(float(tensor.abs().max()) for tensor in one if tensor is not None)
    for a, b in zip(one, other, strict=True):
        a = torch.zeros(()) if a is None else a
        b = torch.zeros(()) if b is None else b
        assert float((a - b).abs().max()) <= TOLERANCE * scale


CASES = {
    "plain": {"beta": False, "masked": False, "offsets": False},
    "beta": {"beta": True, "masked": False, "offsets": False},
    "masked": {"beta": True, "masked": True, "offsets": True},
}


@pytest.mark.parametrize(
    ("case", "partial_channels"), [("plain", 1), ("beta", 1), ("masked", 1), ("masked", 2)]
)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("space", every_space(), ids=lambda space: space.name)
def test_outputs_gradients_and_statistics_are_those_of_the_plain_form(
    space: Space, form: str, case: str, partial_channels: int
) -> None:
    nets = pair(space, form, partial_channels)
    weights = mixing(space, **CASES[case])
    images = torch.randn(4, 2, 9, 9, dtype=torch.float64, requires_grad=True)
    target = torch.randn(4, 3, dtype=torch.float64)
    for training in (True, True, False):
        outputs, gradients = [], []
        for net in nets:
            net.train(training).skip_dropout = 0.3
            net.seed_draws(5)
            logits = net(images, weights)
            wanted = [images, *net.parameters(), *leaves(weights)]
            outputs.append(logits.detach())
            found = torch.autograd.grad((logits * target).sum(), wanted, allow_unused=True)
            gradients.append(found)
        assert_close([outputs[0]], [outputs[1]])
        assert_close(*gradients)
        states = [net.state_dict() for net in nets]
        for key, buffer in states[0].items():
            assert_close([buffer.double()], [states[1][key].double()])
    assert any(float(gradient.abs().max()) > 0 for gradient in gradients[0] if gradient is not None)


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_are_those_of_the_plain_form(form: str) -> None:
    space = load_space("darts")
    weights = mixing(space, **CASES["beta"])
    images = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    products = []
    for net in pair(space, form):
        total, _ = squared_gradient(net, images, weights)
        products.append(torch.autograd.grad(total, leaves(weights)))
    assert_close(*products)
