"""Retraining in channels_last: equal to NCHW, and everything lies as it must."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tune_nas.config import TrialConfig
from tune_nas.retrain import Retrain
from tune_nas.shipped import shipped_names
from tune_nas.spaces import Genotype, Network, Space, build_network, load_space

SPACES = shipped_names("space")


Draw = Callable[[Space, int], Genotype]


@pytest.fixture(scope="session")
def drawn_genotype(picker: Callable[[Space, Callable[[list, int], list]], Genotype]) -> Draw:
    def draw(space: Space, seed: int) -> Genotype:
        generator = torch.Generator().manual_seed(seed)

        def pick(options: list, n: int) -> list:
            return [options[i] for i in torch.randperm(len(options), generator=generator)[:n]]

        return picker(space, pick)

    return draw


def build(space: Space, genotype: Genotype, channels: int) -> Network:
    torch.manual_seed(0)
    cells = 1 if space.skeleton.layout == "stages" else 3
    sizes = {"n_classes": 3, "init_channels": channels, "cells": cells}
    network = build_network(genotype, space, **sizes, auxiliary=True).double().train()
    network.drop_path_probability = 0.3
    return network


def run(network: Network, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the logits of a step, and gradients and statistics."""
    network.generator = torch.Generator().manual_seed(1)
    logits = network(images)
    (logits[0].logsumexp(1).mean() + logits[1][:, 0].square().mean()).backward()
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
    return [scores.detach() for scores in logits], [*found, *network.buffers()]


def distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference, in units of the largest number."""
    scale = max(float(tensor.abs().max()) for tensor in expected)
    pairs = zip(found, expected, strict=True)
    return max(float((one.double() - other).abs().max()) for one, other in pairs) / scale


@pytest.mark.parametrize("channels", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("name", SPACES)
def test_channels_last_is_nchw(name: str, channels: int, drawn_genotype: Draw) -> None:
    """At 2 to 6 channels torch's strided 1×1 convolution would write outside of its memory."""
    space = load_space(name)
    generator = torch.Generator().manual_seed(channels)
    for seed in range(3):
        genotype = drawn_genotype(space, 10 * channels + seed)
        images = torch.randn(4, 3, 9, 9, generator=generator, dtype=torch.float64)
        expected = run(build(space, genotype, channels), images)
        for dtype, bounds in ((torch.float64, (1e-12, 1e-12)), (torch.float32, (1e-3, 1e-2))):
            if dtype is torch.float32 and genotype.count("noise"):
                continue  # its draws are others
            last = build(space, genotype, channels).to(dtype).to(memory_format=torch.channels_last)
            layout = torch.channels_last
            found = run(last, images.to(dtype).contiguous(memory_format=layout))
            for values, truth, bound in zip(found, expected, bounds, strict=True):
                assert distance(values, truth) <= bound, (genotype, dtype)


@pytest.mark.parametrize("name", SPACES)
def test_no_other_convolution_of_one_pixel_has_a_stride(name: str, drawn_genotype: Draw) -> None:
    space = load_space(name)
    for seed in range(10):
        for module in build(space, drawn_genotype(space, seed), 4).modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
                assert module.stride == (1, 1), module


def trial_of(name: str, **recipe: object) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "space": {"name": name},
            "data": {"name": "fake", "train_images": 64},
            "runtime": {"device": "cpu", "dtype": "float64"},
            "retrain": {
                **{"epochs": 3, "batch_size": 16, "init_channels": 4, "drop_path": 0.3},
                **{"cells": 1 if name == "nasbench201" else 3, "clip": 0.5},
                **{"augment": {"crop_padding": 1, "flip": True, "cutout": 3}, **recipe},
            },
        }
    )


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_two_epochs_are_those_of_nchw_and_plain_sgd(
    name: str, nesterov: bool, drawn_genotype: Draw
) -> None:
    genotype = drawn_genotype(load_space(name), 5)
    trial = trial_of(name, nesterov=nesterov)
    retrain, twin = Retrain(trial, genotype), Retrain(trial, genotype)
    network = twin.network.to(memory_format=torch.contiguous_format)
    sgd = torch.optim.SGD(
        network.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4, nesterov=nesterov
    )
    for epoch in range(2):
        metrics = retrain.run_epoch()
        sgd.param_groups[0]["lr"] = metrics["learning_rate"]
        network.train().drop_path_probability = 0.3 * epoch / 3
        for _ in range(4):
            images, labels = twin._train.next()
            sgd.zero_grad()
            logits, auxiliary = network(images)
            loss = nn.functional.cross_entropy(logits, labels)
            (loss + 0.4 * nn.functional.cross_entropy(auxiliary, labels)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            sgd.step()
        found, expected = (list(net.state_dict().values()) for net in (retrain.network, network))
        assert distance(found, expected) < 1e-10
        assert metrics["test_loss"] == pytest.approx(twin._evaluate()[0], rel=1e-9)


@pytest.mark.parametrize("name", SPACES)
def test_images_weights_gradients_and_momentum_lie_alike(name: str, drawn_genotype: Draw) -> None:
    """Fused SGD goes through memory in its order: one that lies otherwise is silently wrong."""
    retrain = Retrain(trial_of(name), drawn_genotype(load_space(name), 6))
    seen: list[bool] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        tensors = (out, *inputs) if module is retrain.network.backbone.stem[0] else (out,)
        seen.extend(t.is_contiguous(memory_format=torch.channels_last) for t in tensors)

    for module in retrain.network.modules():
        if isinstance(module, nn.BatchNorm2d) or module is retrain.network.backbone.stem[0]:
            module.register_forward_hook(look)
    retrain.run_epoch()
    assert seen and all(seen)
    state = retrain.training.optimizer.state
    stepped = [p for p in retrain.network.parameters() if p.grad is not None]
    assert any(p.stride() != p.contiguous().stride() for p in stepped)
    for parameter in stepped:
        assert parameter.grad is not None
        for tensor in (parameter.grad, state[parameter]["momentum_buffer"]):
            sides = zip(tensor.stride(), parameter.stride(), parameter.shape, strict=True)
            assert all(one == other for one, other, side in sides if side > 1)
