"""The Triton kernels: by the interpreter, on a GPU if there is one, and compiled for one."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_nas.native import Chain, gpu, kernels_for, mix, stages_of
from tune_nas.spaces.operations import (
    dil_conv_3x3,
    dil_conv_5x5,
    nor_conv_3x3,
    sep_conv_3x3,
    sep_conv_5x5,
)

CASES = Path(__file__).with_name("gpu_cases.py")
SHARED_MEMORY = 227 * 1024  # of an H100, for one program

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="no Triton (pip install tune-nas[test])"
)


def run_cases(**environment: str) -> None:
    """Run the cases in a process of their own: whether it interprets, Triton asks when imported."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(CASES), "-q", "-p", "no:cacheprovider"],
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@needs_triton
def test_the_interpreter_finds_what_torch_does() -> None:
    run_cases(TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_finds_what_torch_does() -> None:
    run_cases()


class _Compiler:
    """Stands for a kernel: what is launched is compiled for an H100, and not run."""

    def __init__(self, kernel: Any, done: list[str]) -> None:
        self.kernel, self.done = kernel, done

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return self._compile

    def _compile(self, *arguments: Any, num_stages: int, num_warps: int = 4, **known: Any) -> None:
        import triton
        from triton.backends.compiler import GPUTarget

        kinds = {torch.float32: "*fp32", torch.float64: "*fp64", torch.int64: "*i64"}
        signature: dict[str, Any] = dict.fromkeys(known, "constexpr")
        aligned = [["tt.divisibility", 16]]
        attributes: dict[tuple[int, ...], Any] = {}
        for i, (name, value) in enumerate(zip(self.kernel.arg_names, arguments, strict=False)):
            if isinstance(value, tuple):
                signature[name] = tuple(kinds[tensor.dtype] for tensor in value)
                attributes |= {(i, k): aligned for k in range(len(value))}
            elif isinstance(value, Tensor):
                signature[name], attributes[i,] = kinds[value.dtype], aligned
            else:
                signature[name] = "i32"
        in_order = {name: signature[name] for name in self.kernel.arg_names}
        compiled = triton.compile(
            triton.compiler.ASTSource(self.kernel, in_order, known, attributes),
            target=GPUTarget("cuda", 90, 32),
            options={"num_stages": num_stages, "num_warps": num_warps},
        )
        assert compiled.asm["cubin"]
        assert compiled.metadata.shared <= SHARED_MEMORY
        self.done.append(self.kernel.__name__)


def _kernels_stand_in(monkeypatch: pytest.MonkeyPatch, stand_in: Callable[[Any], Any]) -> set[str]:
    """Put what a function makes of each kernel in its place; return the names of all kernels."""
    from triton.runtime.jit import JITFunction

    from tune_nas.native.gpu.kernels import backward, forward, sums

    names = set()
    for module in (forward, backward, sums):
        for name, kernel in vars(module).copy().items():
            own = isinstance(kernel, JITFunction) and kernel.fn.__module__ == module.__name__
            if own and not name.startswith("_"):
                names.add(name)
                monkeypatch.setattr(module, name, stand_in(kernel))
    return names


compiles = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets here"
)


@needs_triton
@compiles
def test_every_kernel_is_compiled_for_a_gpu_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from tune_nas.native.gpu.launch import TritonKernels

    done = list[str]()
    names = _kernels_stand_in(monkeypatch, lambda kernel: _Compiler(kernel, done))
    norm = partial(nn.BatchNorm2d, affine=False)
    x, scales = torch.zeros(8, 16, 8, 8, requires_grad=True), torch.ones(2, requires_grad=True)
    built = [build(16, 1, norm) for build in (sep_conv_3x3, nor_conv_3x3)]
    chains = [
        Chain(x, stages_of(operation) or [], scale)
        for operation, scale in zip(built, scales.unbind(), strict=True)
    ]
    mix(None, [], chains, TritonKernels()).sum().backward()
    assert set(done) == names
    assert len(names) == 10


class _Counter:
    """Stands for a kernel: launches are counted, and nothing is run."""

    def __init__(self, kernel: Any, launched: list[str]) -> None:
        self.name, self.launched = kernel.__name__, launched

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return lambda *arguments, **known: self.launched.append(self.name)


@needs_triton
@compiles
@pytest.mark.parametrize(("edges", "more"), [(2, 0), (3, 0), (5, 1)])
def test_the_number_of_edges_does_not_change_that_of_launches(
    edges: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But where a sum has more addends than a launch takes: here 20, of four chains an edge."""
    from tune_nas.native.gpu.launch import TritonKernels

    launched = list[str]()
    _kernels_stand_in(monkeypatch, lambda kernel: _Counter(kernel, launched))
    norm = partial(nn.BatchNorm2d, affine=False)
    builders = (sep_conv_3x3, sep_conv_5x5, dil_conv_3x3, dil_conv_5x5)
    chains = [
        Chain(x, stages_of(build(4, 1, norm)) or [], scale)
        for x in torch.zeros(edges, 2, 4, 4, 4, requires_grad=True).unbind()
        for build, scale in zip(builders, torch.ones(4).unbind(), strict=True)
    ]
    out = mix(None, [], chains, TritonKernels())
    forwards = len(launched)
    out.sum().backward()
    assert (forwards, len(launched) - forwards) == (13 + more, 22 + 2 * more)


@pytest.fixture
def fresh() -> Iterator[None]:
    gpu._has_triton.cache_clear()
    yield
    gpu._has_triton.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_without_triton_one_line_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    x = torch.zeros(1, 4, 2, 2)
    with caplog.at_level(logging.WARNING):
        assert not gpu.gpu_kernels_for(x)
        assert not gpu.gpu_kernels_for(x)
    (record,) = caplog.records
    assert record.message == "no Triton, torch's operations are used on the GPU"


def test_many_channels_and_other_devices_are_left_to_torch() -> None:
    assert not gpu.gpu_kernels_for(torch.zeros(1, gpu.MOST_CHANNELS + 4, 2, 2))
    assert not kernels_for(torch.zeros(1, 4, 2, 2, device="meta"))
