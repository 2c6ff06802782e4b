"""Seconds of a pass over the plain and the fast form of a supernet, side by side.

Both hold the same weights and see the same batch; they take turns within each round. A full pass
takes the gradients of w and α, the other of α alone. Printed are medians over the rounds and the
ratio plain : fast.

    python benchmarks/supernet_forms.py --space nasbench201 --init-channels 8 --cells 3 \
        --resolution 16 --output benchmarks/results/supernet_forms.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.relaxation import make_relaxation
from tune_nas.spaces import Supernet, load_space

FORMS: tuple[Literal["plain", "fast"], ...] = ("plain", "fast")


def time_passes(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Return seconds by form, by what is differentiated, and by round."""
    space = load_space(options.space)
    relaxation = make_relaxation(RelaxationConfig(), space)
    alphas = {
        name: alpha.requires_grad_()
        for name, alpha in relaxation.initial_alphas(torch.Generator(), torch.float32).items()
    }
    shape = (options.batch_size, 3, options.resolution, options.resolution)
    images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, shape[:1])
    supernets = {}
    for form in FORMS:
        torch.manual_seed(0)
        supernet = Supernet(
            space,
            n_classes=10,
            init_channels=options.init_channels,
            cells=options.cells,
            implementation=form,
        )
        supernets[form] = supernet.to(memory_format=torch.channels_last)

    def run(supernet: Supernet, of_weights: bool) -> None:
        parameters: list[Tensor] = list(supernet.parameters())
        for parameter in parameters:
            parameter.requires_grad_(of_weights)
        loss = F.cross_entropy(supernet(images, relaxation.weights(alphas)), labels)
        wanted = [*alphas.values(), *(parameters if of_weights else [])]
        torch.autograd.grad(loss, wanted, allow_unused=True)

    seconds: dict[str, dict[str, list[float]]] = {
        form: {"w and α": [], "α alone": []} for form in FORMS
    }
    for round_ in range(options.rounds + 1):
        for form, supernet in supernets.items():
            for what, of_weights in (("w and α", True), ("α alone", False)):
                start = time.perf_counter()
                run(supernet, of_weights)
                if round_ > 0:  # the first warms up
                    seconds[form][what].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Time, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--space", default="darts")
    parser.add_argument("--init-channels", type=int, default=16)
    parser.add_argument("--cells", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = time_passes(options)
    medians = {
        form: {what: statistics.median(values) for what, values in found.items()}
        for form, found in seconds.items()
    }
    for what in ("w and α", "α alone"):
        plain, fast = medians["plain"][what], medians["fast"][what]
        print(f"{what}: plain {plain:.3f} s, fast {fast:.3f} s, {plain / fast:.2f} times faster")
    if options.output is not None:
        settings = {key: value for key, value in vars(options).items() if key != "output"}
        report = {
            "settings": settings,
            "machine": platform.machine(),
            "torch": torch.__version__,
            "seconds": seconds,
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
