"""Images per second of streaming, against torchvision's ImageFolder and DataLoader.

JPEGs of 256 pixels are generated in a temporary folder. All ways read them for training: random
resized crop to 224 pixels, flip, color jitter, normalization. `torchvision, Pillow` changes them as
Pillow's images, as the authors' code does, `torchvision, tensors` as tensors; `tune-nas` crops
tensors and leaves colors to Pillow. The ways take turns in each round; starting the processes is
not timed. Prints medians over the rounds, the median ratio to each of torchvision's ways in the
same round and, where no other process reads, the processor time of an image.

    python benchmarks/streaming.py --docs docs/data.md
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pages import publish_table
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from tune_nas.config import AugmentConfig, DataConfig
from tune_nas.data import StreamedData, load_data
from tune_nas.data.vision import import_torchvision, import_transforms

SIDE, STORED_SIDE = 224, 256
JITTER = (0.4, 0.4, 0.4, 0.2)
OURS = "`tune-nas`"
PILLOW, TENSORS = "torchvision, Pillow", "torchvision, tensors"

Batches = Iterator[tuple[Tensor, Tensor]]
Start = Callable[[Path, int, int], tuple[Batches, Callable[[], None]]]


def write_images(folder: Path, n: int) -> None:
    """Write n JPEGs in two classes, half of them again for testing."""
    generator = np.random.default_rng(0)
    for part, count in (("train", n), ("val", 2)):
        for number in range(count):
            coarse = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((STORED_SIDE,) * 2, Image.Resampling.BICUBIC)
            file = folder / part / f"n{number % 2}" / f"{number}.JPEG"
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file, quality=90)


def start_ours(folder: Path, batch_size: int, workers: int) -> tuple[Batches, Callable[[], None]]:
    config = DataConfig.model_validate({"name": "imagenet", "dir": str(folder), "workers": workers})
    data = load_data(config, seed=0, device=torch.device("cpu"), for_search=False)
    assert isinstance(data, StreamedData)
    augment = AugmentConfig(crop="resized", color_jitter=JITTER)
    stream = data.train_stream(batch_size, 0, augment, "retrain.augment")
    return iter(stream.next, None), stream.close


def start_torchvision(as_tensors: bool) -> Start:
    """Return a way that changes Pillow's images, or tensors."""
    datasets: Any = import_torchvision().datasets
    import_transforms()
    from torchvision.transforms import v2

    changes = [v2.RandomResizedCrop(SIDE), v2.RandomHorizontalFlip(), v2.ColorJitter(*JITTER)]
    first, last = ([v2.PILToTensor()], []) if as_tensors else ([], [v2.PILToTensor()])
    norm = v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    steps = [*first, *changes, *last, v2.ToDtype(torch.float32, scale=True), norm]

    def start(folder: Path, batch_size: int, workers: int) -> tuple[Batches, Callable[[], None]]:
        images = datasets.ImageFolder(str(folder / "train"), v2.Compose(steps))
        loader = DataLoader(
            images, batch_size, shuffle=True, num_workers=workers, drop_last=True,
            persistent_workers=workers > 0,
        )  # fmt: skip
        running = [endless(loader)]
        return running[0], running.clear

    return start


def endless(loader: Any) -> Batches:
    while True:
        yield from loader


def measure(
    start: Start, folder: Path, batch_size: int, workers: int, steps: int
) -> tuple[float, float]:
    """Return the images per second of one turn, and this process's milliseconds per image."""
    batches, close = start(folder, batch_size, workers)
    for _ in range(2 * workers + 1):  # what was prefetched before the clock starts
        next(batches)
    begin, begin_here = time.perf_counter(), time.process_time()
    for _ in range(steps):
        next(batches)
    seconds, here = time.perf_counter() - begin, time.process_time() - begin_here
    close()
    return batch_size * steps / seconds, 1000 * here / (batch_size * steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12, help="batches of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--docs", type=Path, help="page whose table is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = {
        PILLOW: start_torchvision(as_tensors=False),
        TENSORS: start_torchvision(as_tensors=True),
        OURS: start_ours,
    }
    rates: dict[tuple[str, int], list[float]] = {}
    alone: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), options.images)
        for _ in range(options.rounds):
            for workers in options.workers:
                for name, start in ways.items():
                    size, steps = options.batch_size, options.steps
                    found, milliseconds = measure(start, Path(folder), size, workers, steps)
                    rates.setdefault((name, workers), []).append(found)
                    if workers == 0:
                        alone[name].append(milliseconds)
    lines = [
        f"| processes | {PILLOW} | {TENSORS} | {OURS} | ratio to Pillow | ratio to tensors |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for workers in options.workers:
        ours = rates[OURS, workers]
        medians = [f"{statistics.median(rates[name, workers]):.0f}" for name in ways]
        ratios = [
            f"{statistics.median(map(float.__truediv__, ours, rates[name, workers])):.2f}"
            for name in (PILLOW, TENSORS)
        ]
        lines.append(f"| {' | '.join([str(workers), *medians, *ratios])} |")
    if 0 in options.workers:
        times = [statistics.median(alone[name]) for name in ways]
        shares = [f"{each / times[-1]:.2f}" for each in times[:-1]]
        cells = [*(f"{each:.1f} ms" for each in times), *shares]
        lines.append(f"| processor time | {' | '.join(cells)} |")
    publish_table(options.docs, "streaming", "\n".join(lines))


if __name__ == "__main__":
    main()
