"""Images per second of retraining and of its data pipeline, against torchvision's pipeline.

Data alone, steps alone (on one existing batch), evaluation of that batch, and whole steps are
timed; all ways take turns in each round. Prints medians over the rounds, and the median speedup of
a way over the first of its kind in the same round. `torchvision` is a DataLoader whose images pass
one by one through Pillow: pad and crop, mirror, normalize, cutout. Its workers start and end with
its turn, so that they do not slow the other ways. `batched` is `tune_nas.data`. `NCHW` is a step in
torch's default layout with SGD that is not fused, as in the authors' code; `torch` is the step of a
retraining run with `runtime.implementation: torch`; `now` is that of a retraining run by default,
on a CPU by the kernels; `compiled` is the same with torch.compile, on a GPU only. For steps, the
memory that a forward pass keeps for the backward pass is printed, too. With other work on the
machine, `--clock process` counts the time of the processor in this process.

    python benchmarks/retrain_speed.py --output benchmarks/results/retrain.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pages import replace_table
from published import OneByOne, plain_retraining
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.data import DataLoader

from tune_nas.config import TrialConfig
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype
from tune_nas.spaces.native_network import NativeNetwork

SIDE, CUTOUT = 32, 16
KINDS = ("data", "step", "evaluation", "whole")
# The second-order cell of the DARTS paper: DARTS_V2 of its published code.
GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)

Batches = Iterator[tuple[Tensor, Tensor]]
Source = Callable[[], Batches]
Step = Callable[[Tensor, Tensor], object]


@dataclass(frozen=True)
class Way:
    """One way of doing one kind of work.

    Attributes:
        kind: ``data``, ``step``, ``evaluation`` or ``whole``; ways of a kind are compared.
        name: Its name in the tables.
        source: Starts its batches, on the device.
        step: Function applied to each batch; None for nothing.
    """

    kind: str
    name: str
    source: Source
    step: Step | None = None


def make_retrain(
    options: argparse.Namespace, compile: str, implementation: str = "fast"
) -> Retrain:
    trial = TrialConfig.model_validate(
        {
            "space": "darts",
            "data": {"name": "fake", "resolution": SIDE},
            "runtime": {
                "device": options.device,
                "compile": compile,
                "implementation": implementation,
            },
            "retrain": {
                "init_channels": options.init_channels,
                "cells": options.cells,
                "batch_size": options.batch_size,
                "augment": {"crop_padding": SIDE // 8, "flip": True, "cutout": CUTOUT},
            },
        }
    )
    retrain = Retrain(trial, Genotype.parse(GENOTYPE))
    retrain.network.train().drop_path_probability = 0.1
    return retrain


def torchvision_source(retrain: Retrain, workers: int) -> Source:
    dataset = OneByOne(retrain.data.train, 10_000, CUTOUT)
    device = retrain.device
    loader = DataLoader(
        dataset,
        retrain.trial.retrain.batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )

    def batches() -> Batches:
        for images, labels in loader:
            yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    return batches


def batched_source(retrain: Retrain) -> Source:
    recipe = retrain.trial.retrain
    stream = retrain.data.batches(
        retrain.data.train, recipe.batch_size, torch.Generator().manual_seed(1), recipe.augment
    )

    def batches() -> Batches:
        while True:
            yield stream.next()

    return batches


def the_same_batch(retrain: Retrain) -> Source:
    batch = next(batched_source(retrain)())

    def batches() -> Batches:
        while True:
            yield batch

    return batches


def all_ways(options: argparse.Namespace) -> list[Way]:
    plain, by_torch, fused = (
        make_retrain(options, "never", name) for name in ("torch", "torch", "fast")
    )
    steps: dict[str, Step] = {
        "NCHW": plain_retraining(plain),
        "torch": by_torch.training.step,
        "now": fused.training.step,
    }
    evaluated = dict[str, Retrain]()
    if "evaluation" in options.kinds:
        for name, implementation in (("NCHW", "torch"), ("torch", "torch"), ("now", "fast")):
            evaluated[name] = make_retrain(options, "never", implementation)
        evaluated["NCHW"].network.to(memory_format=torch.contiguous_format)
    if options.device.startswith("cuda"):
        steps["compiled"] = make_retrain(options, "auto").training.step
    loaders = {
        f"torchvision, {workers} workers" if workers else "torchvision, no workers": (
            torchvision_source(fused, workers)
        )
        for workers in sorted({0, options.workers})
    }
    batched, same = batched_source(fused), the_same_batch(fused)
    loader_name, loader = list(loaders.items())[-1]
    ways = [
        *(Way("data", name, source) for name, source in loaders.items()),
        Way("data", "batched", batched),
        *(Way("step", name, same, step) for name, step in steps.items()),
        *(Way("evaluation", name, same, evaluation(made)) for name, made in evaluated.items()),
        *(Way("whole", f"{loader_name}; {name}", loader, step) for name, step in steps.items()),
        *(Way("whole", f"batched; {name}", batched, step) for name, step in steps.items()),
    ]
    return [way for way in ways if way.kind in options.kinds]


def evaluation(retrain: Retrain) -> Step:
    """Return the classification of a batch in evaluation mode, in the network's layout.

    The network stays in that mode, as for all batches of a test set.
    """
    network = retrain.network.eval()
    run = NativeNetwork(network) if retrain.training.kernels else network.run
    layout = torch.channels_last if _is_channels_last(network) else torch.contiguous_format

    @torch.no_grad()
    def classify(images: Tensor, _: Tensor) -> object:
        return run(images.contiguous(memory_format=layout), None)

    return classify


def _is_channels_last(network: nn.Module) -> bool:
    kernel = next(p for p in network.parameters() if p.dim() == 4 and p.shape[1] > 1)
    return kernel.is_contiguous(memory_format=torch.channels_last)


def kept_mb(way: Way) -> float:
    """Return the MB that the forward pass of a step keeps for the backward pass."""
    images, labels = next(way.source())
    kept = dict[int, int]()

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    assert way.step is not None
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        way.step(images, labels)
    return sum(kept.values()) / 1e6


def images_per_second(way: Way, options: argparse.Namespace) -> float:
    """Return the rate of one turn, after some batches that are not timed."""
    steps = options.data_steps if way.kind == "data" else options.steps
    batches = way.source()

    def take(n: int) -> float:
        for _ in range(n):
            images, labels = next(batches)
            if way.step is not None:
                way.step(images, labels)
        if options.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.process_time() if options.clock == "process" else time.perf_counter()

    # Batches that workers have ready by then are not timed: two per worker.
    start = take(2 * options.workers if way.kind == "data" else 1)
    return steps * options.batch_size / (take(steps) - start)


def measure(ways: list[Way], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a record for each way."""
    rates: list[list[float]] = [[] for _ in ways]
    for round_ in range(options.rounds + 1):
        for way, found in zip(ways, rates, strict=True):
            rate = images_per_second(way, options)
            if round_ > 0:  # the first warms up, and compiles
                found.append(rate)
    first = {way.kind: found for way, found in reversed(list(zip(ways, rates, strict=True)))}
    return [
        {
            "kind": way.kind,
            "way": way.name,
            "images_per_second": found,
            "median": statistics.median(found),
            "times_faster": statistics.median(
                own / reference for own, reference in zip(found, first[way.kind], strict=True)
            ),
            "kept_mb": kept_mb(way) if way.kind == "step" else None,
        }
        for way, found in zip(ways, rates, strict=True)
    ]


def as_markdown(records: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """Return the table for the documentation."""
    lines = [
        f"{options.date}, {options.machine}; DARTS_V2, {options.init_channels} channels, "
        f"{options.cells} cells, {SIDE} pixels, batch {options.batch_size}, rounds: "
        f"{options.rounds}, clock: {options.clock}.",
        "",
        "| | way | images/s | lowest to highest | times faster | kept |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for record in records:
        rates = record["images_per_second"]
        lines.append(
            f"| {record['kind']} | {record['way']} | {record['median']:,.0f} | "
            f"{min(rates):,.0f} to {max(rates):,.0f} | {record['times_faster']:.2f} × | "
            f"{_kept(record)} |"
        )
    return "\n".join(lines)


def _kept(record: dict[str, Any]) -> str:
    return "" if record["kept_mb"] is None else f"{record['kept_mb']:,.0f} MB"


def main() -> None:
    """Time, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--init-channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps of a turn")
    parser.add_argument("--data-steps", type=int, default=40, help="batches of a turn of data")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--clock", choices=("wall", "process"), default="wall")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--docs", type=Path, help="a page in which a table is replaced")
    parser.add_argument("--table", default="retraining", help="the name of that table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.date = time.strftime("%Y-%m-%d")
    on_gpu = options.device.startswith("cuda")
    where = torch.cuda.get_device_name() if on_gpu else f"{platform.machine()} CPU, one thread"
    options.machine = f"{where}, torch {torch.__version__.split('+')[0]}"
    records = measure(all_ways(options), options)
    table = Table("kind", "way", "images/s", "lowest to highest", "times faster", "kept")
    for record in records:
        rates = record["images_per_second"]
        table.add_row(
            record["kind"],
            record["way"],
            f"{record['median']:,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            f"{record['times_faster']:.2f}",
            _kept(record),
        )
    Console().print(table)
    if options.output is not None:
        settings = {k: str(v) for k, v in vars(options).items() if k not in ("output", "docs")}
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(
            json.dumps({"settings": settings, "results": records}, indent=1) + "\n"
        )
    if options.docs is not None:
        replace_table(options.docs, options.table, as_markdown(records, options))


if __name__ == "__main__":
    main()
