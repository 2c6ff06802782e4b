"""A search step of the published form and of each form of the supernet, side by side.

For each method the forms take turns, a few steps each (--steps). Prints medians over the rounds and
the speedup over the form `published` (the authors' loop, benchmarks/published.py).
One more pass of each form is traced for the rest: operations that run (launches on a GPU), values
read back, bytes kept for the backward pass. The share of the machine's peak is the floating-point
operations of the convolutions of a step, counted directly, over those of a large matrix product
in the same time, in the same run. On a GPU the form `fast` is replaced by `triton`; `torch graphs`
and `triton graphs` are replayed as a CUDA graph, and the others are launched kernel by kernel;
seconds are also given for a search epoch of CIFAR-10.

    python benchmarks/steps.py --output benchmarks/results/steps.json --docs docs/speed.md

Each method is measured in a separate process. The output is written after each method; with
--resume, methods in the output are not repeated.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pages import replace_table
from published import PublishedStep
from rich.console import Console
from rich.table import Table
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from tune_nas.checkpoint import write_atomically
from tune_nas.library import load_trial
from tune_nas.search import Search

SETTINGS = ("init_channels", "cells", "resolution", "steps", "device", "date", "machine")
FORMS = ("published", "plain", "torch", "fast")
GRAPHS = {"torch graphs": "torch", "triton graphs": "triton"}  # name: implementation
ON_GPU = ("published", "plain", "torch", "triton", *GRAPHS)
CIFAR_10 = 25_000  # train images of an epoch of a search
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel")  # torch's and Triton's
DRAWS = 16  # samples of a random pass, of which the one that keeps most is used

# Name: trial, changes, and passes of a step (forward; backward of activations; of weights), as in
# the form `fast`.
METHODS: dict[str, tuple[str, dict[str, Any], tuple[int, int, int]]] = {
    "DARTS, first order": ("darts-1st", {}, (2, 2, 1)),
    "DARTS, second order": ("darts-2nd", {}, (5, 5, 3)),
    "MiLeNAS, simultaneous": ("milenas", {"update.sequence": "simultaneous"}, (2, 2, 1)),
    "MiLeNAS, alphas first": ("milenas", {"update.sequence": "alphas-first"}, (3, 3, 1)),
    "MiLeNAS, weights first": ("milenas", {"update.sequence": "weights-first"}, (3, 3, 1)),
    "single level": ("single-level", {"update.sequence": "simultaneous"}, (1, 1, 1)),
    "DARTS in NAS-Bench-201": ("darts-1st", {"space.name": "nasbench201"}, (2, 2, 1)),
    "GDAS in NAS-Bench-201": ("gdas", {"space.name": "nasbench201"}, (2, 2, 1)),
    "PC-DARTS": ("pc-darts", {"update.warmup": 0}, (2, 2, 1)),
    "DrNAS": ("drnas", {"update.warmup": 0}, (2, 2, 1)),
}


def forms_on(device: str) -> tuple[str, ...]:
    """Return the forms available on a device."""
    return ON_GPU if device.startswith("cuda") else FORMS


def now(device: str) -> float:
    """Return the time after the device has finished all pending work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak(device: str, rounds: int = 5) -> float:
    """Return the floating-point operations per second of a matrix product, the best of some."""
    side = 8192 if device.startswith("cuda") else 1024
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(rounds):
        start = now(device)
        a @ b
        best = min(best, now(device) - start)
    return 2 * side**3 / best


def make_turn(search: Search) -> Callable[[], float]:
    """Return a function that runs some steps of this project and returns the time of one."""
    device = str(search.device)

    def turn() -> float:
        start, took = now(device), list[float]()

        def mark(done: int, steps: int) -> None:
            if done == steps:
                took.append((now(device) - start) / steps)

        search.run_epoch(mark)
        return took[0]

    return turn


def make_published_turn(search: Search) -> Callable[[], float]:
    published, device = PublishedStep(search), str(search.device)
    steps = search.trial.schedule.steps_per_epoch or 1

    def turn() -> float:
        start = now(device)
        for _ in range(steps):
            published()
        return (now(device) - start) / steps

    return turn


def trace(search: Search, form: str) -> dict[str, float]:
    """Return the operations, read-backs and kept bytes of a full pass of a search's supernet."""
    size = search.trial.schedule.batch_size
    images, labels = next(search.data.evaluation_batches(search.data.train, size))
    if form != "published":
        images = images.contiguous(memory_format=torch.channels_last)
    batch = search.objective.seeded((images, labels))
    wanted = [*search.objective.weight_list, *search.objective.alpha_list]
    kept: dict[int, int] = {}
    most = 0.0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    on_gpu = search.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(search.device)
    search.supernet.train()
    for _ in range(1 if search.relaxation.capturable else DRAWS):
        kept.clear()
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            loss, _ = search.objective.loss(search.objective.seeded((images, labels)))
        torch.autograd.grad(loss, wanted, allow_unused=True)
        most = max(most, sum(kept.values()) / 1e6)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as traced:
        loss, _ = search.objective.loss(batch)
        torch.autograd.grad(loss, wanted, allow_unused=True)
    events = [event for event in traced.events() if "::" in event.name]
    leaves = [event for event in events if not any("::" in c.name for c in event.cpu_children)]
    read = sum(event.name == "aten::_local_scalar_dense" for event in events)
    launches = sum(event.name.startswith(LAUNCHES) for event in traced.events())
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        search.objective.loss(batch)
    return {
        "operations": launches if on_gpu else len(leaves),
        "read_back": read,
        "kept_mb": most,
        "peak_mb": torch.cuda.max_memory_allocated(search.device) / 1e6 if on_gpu else None,
        "forward_gflop": flops.get_total_flops() / 1e9,
    }


def measure(name: str, batch_size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the measurements of a method, by form."""
    trial, changes, passes = METHODS[name]
    searches, turns = {}, {}
    forms = forms_on(options.device)
    # The first rounds are not counted: a graph is captured after two ordinary steps.
    warm_up = 4 if GRAPHS.keys() & forms else 1
    for form in forms:
        implementation = {"published": "plain", **GRAPHS}.get(form, form)
        config = load_trial(
            trial,
            {
                "space.init_channels": options.init_channels,
                "space.cells": options.cells,
                "data.name": options.data,
                "data.resolution": options.resolution,
                "data.train_images": min(256, 2 * batch_size * options.steps),
                "schedule.batch_size": batch_size,
                "schedule.steps_per_epoch": options.steps,
                "schedule.epochs": options.rounds + warm_up + 1,
                "runtime.implementation": implementation,
                "runtime.graphs": "always" if form in GRAPHS else "never",
                "runtime.device": options.device,
                **({"space.cells": 3} if "space.name" in changes else {}),
                **changes,
            },
        )
        searches[form] = Search(config)
        maker = make_published_turn if form == "published" else make_turn
        turns[form] = maker(searches[form])
    seconds: dict[str, list[float]] = {form: [] for form in turns}
    for round_ in range(options.rounds + warm_up):
        for form, turn in turns.items():
            duration = turn()
            if round_ >= warm_up:
                seconds[form].append(duration)
    traces = {form: trace(searches[form], form) for form in searches if form not in GRAPHS}
    for form in GRAPHS.keys() & searches.keys():  # it has the kernels of its implementation
        captured = getattr(searches[form]._steps, "n_captured", 0)
        traces[form] = {**traces[GRAPHS[form]], "captured_steps": captured}
    medians = {form: statistics.median(values) for form, values in seconds.items()}
    work = sum(passes) * traces["plain"]["forward_gflop"] * 1e9
    return {
        form: {
            "seconds": seconds[form],
            "times_faster": medians["published"] / medians[form],
            "epoch_seconds": medians[form] * (CIFAR_10 // batch_size),
            "share_of_peak": work / medians[form] / options.peak,
            **traces[form],
        }
        for form in turns
    }


def measure_alone(name: str, batch_size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return what `measure` returns in a separate process.

    The loaders of `published` fork their workers in each step. That takes longer the more memory a
    process has: after the supernets of other methods, a step of GDAS took 1.6 times as long.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "steps.json"
        command = [sys.executable, __file__, "--methods", name, "--batch-size", str(batch_size)]
        for key in ("init_channels", "cells", "resolution", "rounds", "steps", "device", "data"):
            command += [f"--{key.replace('_', '-')}", str(getattr(options, key))]
        subprocess.run([*command, "--output", str(output)], check=True)
        results = json.loads(output.read_text())["results"]
    measured: dict[str, Any] = results[str(batch_size)]["methods"][name]
    return measured


def as_markdown(batch_size: str, measured: dict[str, Any], options: argparse.Namespace) -> str:
    """Return the table of a batch size for the documentation."""
    columns = forms_on(options.device)
    best = "triton" if "triton" in columns else "fast"
    lines = [
        f"{options.date}, {options.machine}; {options.init_channels} channels, {options.cells} "
        f"cells (NAS-Bench-201: 3 a stage), {options.resolution} pixels, batch "
        f"{batch_size}, rounds: {measured['rounds']}.",
        "",
        "| method | "
        + " | ".join(columns)
        + f" | kept: plain | {best} | operations: plain | {best} |"
        f" share of peak: {best} |",
        "|---|" + "---:|" * (len(columns) + 5),
    ]
    for name in METHODS:
        forms = measured["methods"].get(name)
        if forms is None:
            continue
        shown = [f"{forms[f]['times_faster']:.2f} ×" for f in columns]
        plain, fast = forms["plain"], forms[best]
        lines.append(
            f"| {name} | {' | '.join(shown)} | {plain['kept_mb']:,.0f} MB | "
            f"{fast['kept_mb']:,.0f} MB | {plain['operations']:,} | {fast['operations']:,} | "
            f"{100 * fast['share_of_peak']:.0f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    """Time, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--init-channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1, help="steps of a form in a round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", default="digits", help="or fake, which needs torch alone")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true", help="keep what the output has")
    parser.add_argument("--docs", type=Path, help="a page whose table of steps is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.date = time.strftime("%Y-%m-%d")
    on_gpu = options.device.startswith("cuda")
    where = torch.cuda.get_device_name() if on_gpu else f"{platform.machine()} CPU, one thread"
    options.machine = f"{where}, torch {torch.__version__.split('+')[0]}"
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    settings = {key: str(getattr(options, key)) for key in SETTINGS}
    record: dict[str, Any] = {"settings": settings, "results": {}}
    if options.resume and options.output is not None and options.output.exists():
        record = json.loads(options.output.read_text())
        if record["settings"] != settings:
            parser.error(f"{options.output} is of other settings: {record['settings']}")
    for batch_size in options.batch_size:
        of_size = {"rounds": options.rounds, "methods": {}}
        of_size = record["results"].setdefault(str(batch_size), of_size)
        if of_size["rounds"] != options.rounds:
            parser.error(f"{options.output} has {of_size['rounds']} rounds of batch {batch_size}")
        for name in options.methods:
            if name in of_size["methods"]:
                continue
            if len(options.batch_size) * len(options.methods) > 1:
                measured = measure_alone(name, batch_size, options)
            else:
                options.peak = peak(options.device)
                measured = measure(name, batch_size, options)
                show(f"{name}, batch {batch_size}", measured)
            of_size["methods"][name] = measured
            if options.output is not None:
                write_atomically(options.output, (json.dumps(record, indent=1) + "\n").encode())
    if options.docs is not None:
        tables = (as_markdown(size, found, options) for size, found in record["results"].items())
        replace_table(options.docs, "steps", "\n\n".join(tables))


def show(title: str, results: dict[str, Any]) -> None:
    """Print the measurements of a method."""
    columns = ("form", "s/step", "s/epoch", "times faster", "operations", "read back", "kept MB")
    table = Table(*columns)
    for form, found in results.items():
        table.add_row(
            form,
            f"{statistics.median(found['seconds']):.4f}",
            f"{found['epoch_seconds']:,.1f}",
            f"{found['times_faster']:.2f}",
            f"{found['operations']:,}",
            str(found["read_back"]),
            f"{found['kept_mb']:,.0f}",
        )
        if found.get("captured_steps") == 0:
            table.caption = f"{form}: no step could be captured"
    table.title = title
    Console().print(table)


if __name__ == "__main__":
    main()
