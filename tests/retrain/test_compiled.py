"""Retraining with a compiled network: the same result and checkpoint, and a way back to eager."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from genotypes import DARTS, NOISY
from torch import Tensor

from tune_nas.config import TrialConfig
from tune_nas.retrain import Retrain
from tune_nas.retrain.compiled import compile_pays
from tune_nas.spaces import Genotype

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def make(genotype: Genotype = DARTS, compile: str = "auto", **recipe: Any) -> Retrain:
    trial = {
        "space": {"name": genotype.space},
        "data": {"name": "fake", "train_images": 64},
        "runtime": {"device": "cpu", "dtype": "float64", "compile": compile},
        "retrain": {
            **{"epochs": 4, "batch_size": 32, "init_channels": 4, "cells": 3, "drop_path": 0.3},
            **{"augment": {"crop_padding": 1, "flip": True, "cutout": 3}, **recipe},
        },
    }
    return Retrain(TrialConfig.model_validate(trial), genotype)


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile on the CPU, too."""
    monkeypatch.setattr("tune_nas.retrain.retrain.compile_pays", lambda choice, _: choice == "auto")


def run(retrain: Retrain, epochs: int) -> dict[str, Any]:
    for _ in range(epochs):
        retrain.run_epoch()
    return retrain.state_dict()


def assert_same(state: dict[str, Any], expected: dict[str, Any], tolerance: float = 0.0) -> None:
    assert state["network"].keys() == expected["network"].keys()
    buffers = [
        [entry["momentum_buffer"] for entry in each["optimizer"]["state"].values()]
        for each in (state, expected)
    ]
    pairs = [*zip(*buffers, strict=True)]
    pairs += [(state["network"][key], value) for key, value in expected["network"].items()]
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    assert torch.equal(state["drop_path_generator"], expected["drop_path_generator"])
    assert state["history"][-1]["test_loss"] == pytest.approx(
        expected["history"][-1]["test_loss"], rel=max(tolerance, 1e-15)
    )


def test_auto_compiles_on_a_gpu_alone() -> None:
    assert compile_pays("auto", GPU)
    assert not compile_pays("auto", CPU)
    assert not compile_pays("never", GPU) and not compile_pays("never", CPU)


def test_a_cpu_never_compiles(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch, "compile", refuses)
    run(make(), 1)
    assert not caplog.records


@pytest.mark.parametrize("value", ["always", True, "off"])
def test_another_value_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"runtime\.compile\s.*'auto' or 'never'") as caught:
        TrialConfig.model_validate({"runtime": {"compile": value}})
    assert "runtime.compile" in str(caught.value)


@pytest.mark.usefixtures("forced")
def test_compiled_is_plain_and_so_are_its_checkpoints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Traced, and both passes run by torch's operations: no C++ compiler takes minutes."""
    versions: list[torch.fx.GraphModule] = []

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        versions.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    compiled = make()
    assert_same(run(compiled, 2), run(make(compile="never"), 2), 1e-12)
    # One graph for the epoch without drop path and the one with it.
    assert len(versions) == 1
    compiled.save(tmp_path)
    resumed = make(compile="never")
    resumed.load(tmp_path)
    assert_same(run(compiled, 1), run(resumed, 1), 1e-12)
    assert len(versions) == 1


def refuses(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    raise RuntimeError("Python 3.99 is not supported\nand more lines")


def refuses_the_first_batch(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    def call(images: Tensor, kept: Tensor | None) -> Any:
        function(images, kept)  # statistics and noise have moved
        raise ImportError("no triton")

    return call


class _Failing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise ValueError("no kernel for this gradient")


def refuses_backward(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    def call(images: Tensor, kept: Tensor | None) -> Any:
        first, second = function(images, kept)
        return first, _Failing.apply(second)

    return call


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("genotype", [DARTS, NOISY], ids=["darts", "noise"])
@pytest.mark.parametrize(
    ("stand_in", "reason"),
    [
        (refuses, "Python 3.99 is not supported"),
        (refuses_the_first_batch, "no triton"),
        (refuses_backward, "no kernel for this gradient"),
    ],
)
def test_what_cannot_be_compiled_runs_as_it_is_to_the_bit(
    stand_in: Callable[..., Any],
    reason: str,
    genotype: Genotype,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch, "compile", stand_in)
    retrain = make(genotype)
    with caplog.at_level(logging.WARNING):
        found = run(retrain, 2)
    (record,) = caplog.records
    line = record.getMessage()
    assert line == f"the network is not compiled, torch's operations are used: {reason}"
    assert_same(found, run(make(genotype, compile="never"), 2))


@pytest.mark.usefixtures("forced")
def test_an_operation_that_cannot_be_traced_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Noise takes a generator, which torch.compile does not trace."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    retrain = make(NOISY)
    with caplog.at_level(logging.WARNING, logger="tune_nas"):
        found = run(retrain, 1)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1 and lines[0].startswith("the network is not compiled")
    assert_same(found, run(make(NOISY, compile="never"), 1))


@pytest.mark.parametrize("recipe", [{}, {"momentum": 0.0}], ids=["momentum", "none"])
def test_a_checkpoint_of_before_goes_on_to_the_bit(recipe: dict[str, Any]) -> None:
    """In NCHW, of SGD that is not fused, of a trial without the key: that of the first version."""
    straight, resumed = make(**recipe), make(**recipe)
    straight.run_epoch()
    state = straight.state_dict()
    del state["trial"]["runtime"]["compile"]
    state["network"] = {key: value.clone().contiguous() for key, value in state["network"].items()}
    optimizer = state["optimizer"]
    optimizer["param_groups"] = [
        {**group, "fused": None, "foreach": None} for group in optimizer["param_groups"]
    ]
    optimizer["state"] = {
        key: {name: value.clone().contiguous() for name, value in entry.items()}
        for key, entry in optimizer["state"].items()
    }
    resumed.load_state_dict(state)
    for _ in range(2):
        straight.run_epoch()
        resumed.run_epoch()
    assert_same(resumed.state_dict(), straight.state_dict())
