"""Many searches on one machine: in separate processes, and together in one.

A number of searches run concurrently, each for some steps, in three ways: one after another in one
process; each in a separate process, as ``--gpus-per-trial 1/K`` puts them on a GPU; and as the
threads of one process that run their passes as one (``--searches-per-process K``). Every way starts
all of its searches at the same time and ends with the last of them. On a CPU the ways take turns,
every process has one thread, and the shared one as many as there are searches; on a GPU, which has
no room for the searches of all ways, each way runs in one piece. Steps before the first timed one
are a warm-up: kernels compile, graphs are captured.

    python benchmarks/together.py --searches 2 --docs docs/speed.md
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from pages import replace_table

from tune_nas.library import load_trial
from tune_nas.search import Search
from tune_nas.search.capture import capture_for
from tune_nas.search.together import Together

WARM_UP = 4


def trial_changes(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    return {
        "space.name": options.space,
        "space.init_channels": options.init_channels,
        "space.cells": options.cells,
        "data.name": "fake",
        "data.resolution": options.resolution,
        "data.train_images": 2 * options.batch_size,
        "schedule.batch_size": options.batch_size,
        "schedule.steps_per_epoch": 1,
        "schedule.epochs": 10_000,
        "runtime.device": options.device,
        "runtime.graphs": options.graphs,
        "update.lambda": 0.5 * (1 + seed),
        "seed": seed,
    }


def steps(search: Search, count: int) -> None:
    """Run steps of a search, without the work at the end of an epoch."""
    search.supernet.train()
    for _ in range(count):
        search._train_epoch(False, None)
    if search.device.type == "cuda":
        torch.cuda.synchronize(search.device)


def make_search(options: argparse.Namespace, seed: int, together: Together | None) -> Search:
    search = Search(load_trial(options.trial, trial_changes(options, seed)), together)
    search.run_epoch()  # creates its update
    return search


@contextmanager
def one_after_another(options: argparse.Namespace) -> Iterator[Callable[[], float]]:
    searches = [make_search(options, seed, None) for seed in range(options.searches)]
    for search in searches:
        steps(search, WARM_UP)

    def run() -> float:
        torch.set_num_threads(1)
        start = time.perf_counter()
        for search in searches:
            steps(search, options.steps)
        return time.perf_counter() - start

    yield run


def in_process(options: argparse.Namespace, seed: int, orders: Any, ready: Any) -> None:
    """Run steps on request, until asked to end."""
    torch.set_num_threads(1)
    search = make_search(options, seed, None)
    steps(search, WARM_UP)
    ready.wait()
    with suppress(EOFError):  # the end of the benchmark
        while orders.recv():
            steps(search, options.steps)
            orders.send(True)


@contextmanager
def in_processes(options: argparse.Namespace) -> Iterator[Callable[[], float]]:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(options.searches + 1)
    pipes, processes = [], []
    for seed in range(options.searches):
        ours, theirs = context.Pipe()
        arguments = (options, seed, theirs, ready)
        processes.append(context.Process(target=in_process, args=arguments, daemon=True))
        pipes.append(ours)
    for process in processes:
        process.start()
    ready.wait()

    def run() -> float:
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send(True)
        for pipe in pipes:
            pipe.recv()
        return time.perf_counter() - start

    yield run
    for pipe in pipes:
        pipe.send(False)
    for process in processes:
        process.join()


@contextmanager
def all_together(options: argparse.Namespace) -> Iterator[Callable[[], float]]:
    config = load_trial(options.trial, trial_changes(options, 0)).runtime
    together = Together(capture_for(config, torch.device(options.device)))
    searches: list[Search | None] = [None] * options.searches

    def at_once(work: Callable[[int], None]) -> None:
        def attended(seed: int) -> None:
            torch.set_num_threads(1 if options.device != "cpu" else options.searches)
            with together.attended():
                barrier.wait()  # no search runs alone while others are not ready yet
                work(seed)

        barrier = threading.Barrier(options.searches)
        with ThreadPoolExecutor(options.searches) as pool:
            list(pool.map(attended, range(options.searches)))

    def make(seed: int) -> None:
        searches[seed] = make_search(options, seed, together)

    def advance(seed: int, count: int) -> None:
        search = searches[seed]
        assert search is not None
        steps(search, count)

    at_once(make)
    at_once(lambda seed: advance(seed, WARM_UP))

    def run() -> float:
        start = time.perf_counter()
        at_once(lambda seed: advance(seed, options.steps))
        return time.perf_counter() - start

    yield run


WAYS = {
    "one after another": one_after_another,
    "processes": in_processes,
    "together": all_together,
}


def as_markdown(record: dict[str, Any]) -> str:
    """Return the table for the documentation."""
    settings, found = record["settings"], record["results"]
    lines = [
        f"{settings['date']}, {settings['machine']}; `{settings['trial']}` in "
        f"{settings['space']}, {settings['init_channels']} channels, {settings['cells']} cells, "
        f"{settings['resolution']} pixels, batch {settings['batch_size']}; "
        f"{settings['searches']} searches of {settings['steps']} steps, rounds: "
        f"{settings['rounds']}.",
        "",
        "| way | searches' steps a second | times as many |",
        "|---|---:|---:|",
    ]
    for way, figures in found.items():
        lines.append(f"| {way} | {figures['rate']:.2f} | {figures['times']:.2f} × |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Time, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--searches", type=int, default=2)
    parser.add_argument("--trial", default="milenas")
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--init-channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--graphs", default="auto", help="runtime.graphs, e.g. always")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--docs", type=Path, help="a page whose table is replaced")
    options = parser.parse_args(arguments)
    on_gpu = options.device.startswith("cuda")
    where = torch.cuda.get_device_name() if on_gpu else f"{platform.machine()} CPU"
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for group in [[way] for way in WAYS] if on_gpu else [list(WAYS)]:
        with ExitStack() as stack:
            runs = {way: stack.enter_context(WAYS[way](options)) for way in group}
            for _ in range(options.rounds):
                for way, run in runs.items():
                    seconds[way].append(run())
        del runs, run
        if on_gpu:
            gc.collect()
            torch.cuda.empty_cache()
    done = options.searches * options.steps
    rates = {way: done / statistics.median(each) for way, each in seconds.items()}
    one = rates[next(iter(WAYS))]
    record = {
        "settings": {
            **{k: str(v) for k, v in vars(options).items() if k not in ("output", "docs")},
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{where}, torch {torch.__version__.split('+')[0]}",
        },
        "results": {
            way: {"seconds": seconds[way], "rate": rates[way], "times": rates[way] / one}
            for way in WAYS
        },
    }
    print(as_markdown(record))
    if options.output is not None:
        options.output.write_text(json.dumps(record, indent=1) + "\n")
    if options.docs is not None:
        replace_table(options.docs, "together", as_markdown(record))


if __name__ == "__main__":
    main()
