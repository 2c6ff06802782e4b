"""Where the time of a step goes, by kernel, and what bounds it.

A search step of a method of benchmarks/steps.py, or a training step or an evaluation of the network
of benchmarks/retrain_speed.py (--what step, evaluation), with the compiled kernels, one thread,
time of the processor. For each kind of call of the compiled kernels (by operation, channels and
side) the time is given with its floating-point operations, as a share of those of a large matrix
product in the same time, and with the bytes of the tensors that it reads, keeps and writes, each
counted once, as a share of those of a large copy. A kind far below both shares is bound by neither:
by latency, by short loops, or by reading the same again. The rest of a step is torch's operations
and Python; the operations are listed by torch's profiler, in a step of its own and in wall time.

    python benchmarks/kernel_profile.py --method "DARTS, first order" --batch-size 64
    python benchmarks/kernel_profile.py --what evaluation

With --perf FILE, `perf record` samples the steps into that file, where perf is installed:
`perf report -i FILE --no-children` then shows the functions inside of the kernels.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from retrain_speed import evaluation, make_retrain, the_same_batch
from rich.console import Console
from rich.table import Table
from steps import METHODS
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tune_nas.library import load_trial
from tune_nas.native.bridges import BridgeNumber
from tune_nas.native.mix_layout import StageNumber
from tune_nas.search import Search

KERNELS = (
    "mix_forward",
    "mix_evaluate",
    "mix_backward",
    "bridges_forward",
    "bridges_evaluate",
    "bridges_backward",
    "pool_forward",
    "pool_backward",
    "normed_pool_forward",
    "normed_pool_backward",
    "partial_split",
    "partial_split_backward",
    "partial_node",
    "partial_node_backward",
)


@dataclass
class Calls:
    """The calls of a kind.

    Attributes:
        count: Their number.
        seconds: Their time.
        flops: The floating-point operations of their convolutions; a multiply-add is two.
        bytes: The bytes of the tensors that they read and return.
    """

    count: int = 0
    seconds: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0


@dataclass
class Recorder:
    """Records each call of the compiled kernels while `recording`."""

    calls: dict[str, Calls] = field(default_factory=lambda: defaultdict(Calls))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Put the recorder in front of the kernels."""
        kernels = torch.ops.tune_nas
        before = {name: getattr(kernels, name) for name in KERNELS}
        for name, kernel in before.items():
            setattr(kernels, name, self._recorded(name, kernel))
        try:
            yield
        finally:
            for name, kernel in before.items():
                setattr(kernels, name, kernel)

    def seconds(self) -> float:
        """Return the time of all calls."""
        return sum(found.seconds for found in self.calls.values())

    def _recorded(self, name: str, kernel: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            start = time.process_time()
            result = kernel(*arguments)
            seconds = time.process_time() - start
            maps = [t for t in tensors((arguments, result)) if t.dim() == 4 and is_map(t)]
            found = self.calls[f"{name} {maps[0].shape[1]} x {maps[0].shape[2]}"]
            found.count += 1
            found.seconds += seconds
            found.flops += flops(name, arguments, result)
            found.bytes += sum(t.numel() * t.element_size() for t in maps)
            return result

        return call


def tensors(value: object) -> Iterable[Tensor]:
    """Return each tensor in nested lists and tuples once."""
    found: dict[int, Tensor] = {}

    def visit(value: object) -> None:
        if isinstance(value, Tensor):
            found[value.data_ptr()] = value
        elif isinstance(value, list | tuple):
            for part in value:
                visit(part)

    visit(value)
    return found.values()


def is_map(tensor: Tensor) -> bool:
    """Whether a tensor of four dimensions is a map, and not a weight: a leaf that learns."""
    return not (tensor.is_leaf and tensor.requires_grad)


def flops(name: str, arguments: tuple[object, ...], result: object) -> float:
    """Return the floating-point operations of the convolutions of a call."""
    if name.startswith("bridges"):
        return _of_bridges(name, arguments, result)
    if name.startswith("mix"):
        return _of_mix(name, arguments)
    return 0.0


def _of_mix(name: str, arguments: tuple[object, ...]) -> float:
    backward = name == "mix_backward"
    inputs, weights = (arguments[k] for k in ((3, 5) if backward else (2, 3)))
    numbers = arguments[7 if backward else 5]
    assert isinstance(inputs, list | tuple) and isinstance(weights, list | tuple)
    assert isinstance(numbers, list)
    # backward: with gradients of the weights also these, and what is between is computed again
    times_dense = 1 if not backward else 2 if arguments[9] else 1
    times_taps = 1 if not backward else 3 if arguments[9] else 1
    left, total, pixels = iter(weights), 0.0, 0
    for at in range(0, len(numbers), len(StageNumber)):
        own = numbers[at : at + len(StageNumber)]
        if own[StageNumber.START] >= 0:
            x = inputs[own[StageNumber.START]]
            pixels = x.shape[0] * x.shape[2] * x.shape[3]
        outputs = pixels / own[StageNumber.STRIDE] ** 2
        if own[StageNumber.DEPTHWISE]:
            total += 2 * times_taps * outputs * next(left).numel()
        total += 2 * times_dense * outputs * next(left).numel()
        pixels = int(outputs)
        if own[StageNumber.AFFINE]:
            next(left), next(left)
    return total


def _of_bridges(name: str, arguments: tuple[object, ...], result: object) -> float:
    backward = name == "bridges_backward"
    parts, weights = arguments[1 if backward else 0], arguments[2 if backward else 1]
    numbers = arguments[4 if backward else 3]
    assert isinstance(parts, list | tuple) and isinstance(weights, list | tuple)
    assert isinstance(numbers, list)
    times = 1 if not backward else 2 if arguments[5] else 1
    pixels, left, total = parts[0][:, 0].numel(), iter(weights), 0.0
    for at in range(0, len(numbers), len(BridgeNumber)):
        halves, affine = numbers[at + BridgeNumber.HALVES], numbers[at + BridgeNumber.AFFINE]
        for _ in range(2 if halves else 1):
            total += 2 * times * (pixels / 4 if halves else pixels) * next(left).numel()
        if affine:
            next(left), next(left)
    return total


def peak(rounds: int = 5, side: int = 1024) -> float:
    """Return the floating-point operations per second of a matrix product, the best of some."""
    a, b = (torch.randn(side, side) for _ in range(2))
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        a @ b
        best = min(best, time.process_time() - start)
    return 2 * side**3 / best


def bandwidth(rounds: int = 5, numbers: int = 1 << 25) -> float:
    """Return the bytes per second that a copy larger than the caches reads and writes."""
    source, target = torch.ones(numbers), torch.ones(numbers)
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        target.copy_(source)
        best = min(best, time.process_time() - start)
    return 2 * 4 * numbers / best


def step_of(options: argparse.Namespace) -> Callable[[], object]:
    """Return the step that is profiled."""
    options.device = "cpu"
    if options.what == "search":
        return _search_step(options)
    retrain = make_retrain(options, "never", "fast")
    batch = next(the_same_batch(retrain)())
    step = retrain.training.step if options.what == "step" else evaluation(retrain)
    return lambda: step(*batch)


def _search_step(options: argparse.Namespace) -> Callable[[], object]:
    trial, changes, _ = METHODS[options.method]
    own = {
        "space.init_channels": options.init_channels,
        "space.cells": options.cells,
        "data.name": "fake",
        "data.resolution": 32,
        "data.train_images": 2 * options.batch_size,
        "schedule.batch_size": options.batch_size,
        "schedule.steps_per_epoch": 1,
        "schedule.epochs": 1000,
        "runtime.implementation": "fast",
        "runtime.device": "cpu",
    }
    search = Search(load_trial(trial, {**own, **changes}))

    class StepDoneError(Exception):
        pass

    def end(done: int, steps: int) -> None:
        if done == steps:
            raise StepDoneError  # before the evaluation at the end of an epoch

    def step() -> None:
        try:
            search.run_epoch(end)
        except StepDoneError:
            return

    return step


@contextmanager
def sampled(file: Path | None) -> Iterator[None]:
    """Sample this process with perf, if a file is given."""
    if file is None:
        yield
        return
    command = ["perf", "record", "-o", str(file), "-F", "1000", "-p", str(os.getpid())]
    perf = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    try:
        yield
    finally:
        perf.send_signal(signal.SIGINT)
        perf.wait()


def main() -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--what", choices=("search", "step", "evaluation"), default="search")
    parser.add_argument("--method", choices=METHODS, default="DARTS, first order")
    parser.add_argument("--init-channels", type=int, help="16, of a network 36")
    parser.add_argument("--cells", type=int, help="8, of a network 20")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3, help="their median is taken")
    parser.add_argument("--perf", type=Path)
    options = parser.parse_args()
    of_search = options.what == "search"
    options.init_channels = options.init_channels or (16 if of_search else 36)
    options.cells = options.cells or (8 if of_search else 20)
    torch.set_num_threads(1)
    peak_flops, peak_bytes = peak(), bandwidth()
    step = step_of(options)
    step()
    took = list[float]()
    with sampled(options.perf):
        for _ in range(options.steps):
            start = time.process_time()
            step()
            took.append(time.process_time() - start)
    recorders = [Recorder() for _ in range(options.steps)]
    for each in recorders:
        with each.recording():
            step()
    recorder = sorted(recorders, key=Recorder.seconds)[len(recorders) // 2]
    with profile(activities=[ProfilerActivity.CPU]) as traced:
        step()
    by_torch = {
        event.key: event.self_cpu_time_total / 1e6
        for event in traced.key_averages()
        if event.key.startswith("aten::")
    }
    show(sorted(took)[len(took) // 2], recorder, by_torch, peak_flops, peak_bytes)


def show(
    seconds: float,
    recorder: Recorder,
    by_torch: dict[str, float],
    peak_flops: float,
    peak_bytes: float,
) -> None:
    """Print the tables."""
    console = Console(width=110)
    kernels, calls = recorder.seconds(), recorder.calls
    table = Table(
        "kernel, channels x side", "calls", "ms", "share", "GFLOP/s", "of peak", "GB/s", "of copy"
    )
    table.title = (
        f"a step {seconds * 1e3:,.0f} ms; peak {peak_flops / 1e9:,.0f} GFLOP/s, "
        f"copy {peak_bytes / 1e9:,.1f} GB/s"
    )
    for name, found in sorted(calls.items(), key=lambda item: -item[1].seconds):
        rate, moved = found.flops / found.seconds, found.bytes / found.seconds
        table.add_row(
            name,
            str(found.count),
            f"{found.seconds * 1e3:,.1f}",
            f"{100 * found.seconds / seconds:.1f} %",
            f"{rate / 1e9:,.0f}",
            f"{100 * rate / peak_flops:.0f} %",
            f"{moved / 1e9:,.1f}",
            f"{100 * moved / peak_bytes:.0f} %",
        )
    console.print(table)
    others = sum(by_torch.values())
    largest = sorted(by_torch.items(), key=lambda item: -item[1])[:8]
    rest = ", ".join(f"{name[6:]} {1e3 * own:,.1f}" for name, own in largest)
    console.print(
        f"kernels {1e3 * kernels:,.0f} ms; torch's operations and Python "
        f"{1e3 * (seconds - kernels):,.0f} ms. The operations in torch's profiler, in wall time, "
        f"{1e3 * others:,.0f} ms: {rest}"
    )


if __name__ == "__main__":
    main()
