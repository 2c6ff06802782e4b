"""Devices, types and the process's set-up."""

import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tune_nas.config import RuntimeConfig
from tune_nas.errors import ConfigError
from tune_nas.runtime import (
    peak_memory_mib,
    reset_peak_memory,
    resident_memory_mib,
    resolve_device,
    resolve_dtype,
    supernet_form,
)


def test_devices_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("cuda") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="is 'cuda:2', but this machine has 2 usable GPUs"):
        resolve_device("cuda:2")


def test_a_gpu_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"runtime\.device is 'cuda', but .* 0 usable GPUs"):
        resolve_device("cuda")


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "cpu:0", "mps"])
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be auto, cpu, cuda or cuda:N"):
        resolve_device(text)


def test_types_by_name() -> None:
    assert resolve_dtype("float32") is torch.float32
    assert resolve_dtype("float64") is torch.float64
    with pytest.raises(ConfigError, match=r"runtime\.dtype is 'half', but must be one of float32"):
        resolve_dtype("half")


@pytest.mark.parametrize(
    ("implementation", "on_cpu", "on_gpu"),
    [
        ("plain", "plain", "plain"),
        ("torch", "torch", "torch"),
        ("fast", "fast", "torch"),  # Triton's kernels have not been measured on a GPU
        ("triton", "fast", "fast"),
    ],
)
def test_kernels_are_used_on_a_gpu_only_if_they_are_asked_for(
    implementation: Any, on_cpu: str, on_gpu: str
) -> None:
    config = RuntimeConfig(implementation=implementation)
    assert supernet_form(config, torch.device("cpu")) == on_cpu
    assert supernet_form(config, torch.device("cuda", 1)) == on_gpu


def test_set_up_is_for_repeatable_results_and_says_nothing() -> None:
    # In a process of its own: it changes the whole process.
    program = f"""
import torch
from tune_nas.config import RuntimeConfig
from tune_nas.runtime import set_up_runtime
config = RuntimeConfig.model_validate({RuntimeConfig(device="cpu", threads=2).to_dict()!r})
for _ in range(2):
    assert set_up_runtime(config) == (torch.device("cpu"), torch.float32)
assert torch.get_num_threads() == 2
assert torch.are_deterministic_algorithms_enabled()
assert torch.get_float32_matmul_precision() == "highest"
assert not torch.backends.cuda.matmul.allow_tf32
assert not torch.backends.cudnn.allow_tf32
assert not torch.backends.cudnn.benchmark
"""
    command = [sys.executable, "-W", "error", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_peak_memory_is_that_of_this_process() -> None:
    before = peak_memory_mib(torch.device("cpu"))
    assert before > 50  # torch itself
    block = torch.ones(400 * 2**20, dtype=torch.uint8)
    after = peak_memory_mib(torch.device("cpu"))
    assert int(block[-1]) == 1
    assert 200 < after < 1e5 and after >= before


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone resets the peak")
def test_the_peak_can_be_reset() -> None:
    cpu = torch.device("cpu")
    block = torch.ones(400 * 2**20, dtype=torch.uint8)  # so large that it is returned to the system
    size = block.numel() / 2**20
    with_block = peak_memory_mib(cpu)
    del block
    reset_peak_memory(cpu)
    without = peak_memory_mib(cpu)
    assert without < with_block - size / 2
    assert resident_memory_mib() == pytest.approx(without, rel=0.1)


def test_the_peak_of_the_process_is_reported_where_there_is_no_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("_STATUS", "_CLEAR_REFS"):
        monkeypatch.setattr(f"tune_nas.runtime.{name}", tmp_path / "absent" / name)
    reset_peak_memory(torch.device("cpu"))
    assert 50 < peak_memory_mib(torch.device("cpu")) < 1e5
    assert math.isnan(resident_memory_mib())


_FAULTS = """
import resource, torch
from tune_nas.config import RuntimeConfig
from tune_nas.runtime import set_up_runtime

set_up_runtime(RuntimeConfig(device="cpu", threads=1))

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(2**20) for _ in range(32)]
    del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(min(faults() for _ in range(5)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_memory_that_a_step_frees_stays_for_the_next_one() -> None:
    """128 MiB, which are 32,768 pages of 4 KiB; handed back, nearly each would be a fault again."""
    out = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True
    )
    assert int(out.stdout) < 8192
