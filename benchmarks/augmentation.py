"""Images a second: whole batches as tensors against one image at a time through Pillow.

Both pad by 4 and crop, flip, normalise, and cut out 16 × 16 pixels of 32 × 32 colour images, and
end in the same training batches of 64, on one CPU thread. The rounds of the two take turns, so
that what else the machine does falls on both alike.

    python benchmarks/augmentation.py [--rounds 15] [--steps 40] [--batch-size 64]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tune_nas.config import AugmentConfig
from tune_nas.data import Batches, Images
from tune_nas.data.vision import import_torchvision

MEAN = (0.49139968, 0.48215827, 0.44653124)
STD = (0.24703233, 0.24348505, 0.26158768)
PADDING, CUTOUT, SIDE, N_IMAGES = 4, 16, 32, 10_000

Step = Callable[[], tuple[Tensor, Tensor]]


def made_up_images() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (N_IMAGES, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(N_IMAGES) % 10)


def batched(images: Images, batch_size: int) -> Step:
    augment = AugmentConfig(crop_padding=PADDING, flip=True, cutout=CUTOUT)
    generator = torch.Generator().manual_seed(1)
    return Batches(images, batch_size, generator, augment, MEAN, STD).next


def cutout_one(image: Tensor) -> Tensor:
    row, column = (int(torch.randint(SIDE, ())) for _ in range(2))
    top, left = max(row - CUTOUT // 2, 0), max(column - CUTOUT // 2, 0)
    image[:, top : row + CUTOUT // 2, left : column + CUTOUT // 2] = 0
    return image


def one_at_a_time(images: Images, batch_size: int) -> Step:
    import_torchvision()
    from PIL import Image
    from torchvision import transforms

    pipeline = transforms.Compose(
        [
            transforms.RandomCrop(SIDE, padding=PADDING),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
            cutout_one,
        ]
    )
    pixels = images.images.permute(0, 2, 3, 1).contiguous().numpy()

    def order() -> Iterator[Tensor]:
        while True:
            whole = N_IMAGES // batch_size * batch_size
            yield from torch.randperm(N_IMAGES)[:whole].view(-1, batch_size)

    batches = order()

    def step() -> tuple[Tensor, Tensor]:
        index = next(batches)
        done = [pipeline(Image.fromarray(pixels[i])) for i in index.tolist()]
        return torch.stack(done), images.labels[index]

    return step


def images_per_second(step: Step, steps: int, batch_size: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * batch_size / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=40, help="batches in a round")
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = made_up_images()
    ways = {
        "one at a time (Pillow, torchvision)": one_at_a_time(images, options.batch_size),
        "whole batches (tune_nas.data)": batched(images, options.batch_size),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for step in ways.values():
        images_per_second(step, 3, options.batch_size)
    for _ in range(options.rounds):
        for name, step in ways.items():
            rates[name].append(images_per_second(step, options.steps, options.batch_size))
    first, second = rates.values()
    ratios = [fast / slow for slow, fast in zip(first, second, strict=True)]
    table = Table(title=f"Augmentation, batches of {options.batch_size}, {options.rounds} rounds")
    table.add_column("way")
    table.add_column("images/s, median", justify="right")
    table.add_column("lowest to highest", justify="right")
    for name, values in rates.items():
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        table.add_row(name, f"{statistics.median(values):,.0f}", spread)
    spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
    table.add_row("ratio within a round", f"{statistics.median(ratios):.1f}", spread)
    Console().print(table)


if __name__ == "__main__":
    main()
