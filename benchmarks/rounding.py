"""The effect of rounding, by form of the supernet and type.

First the distance of the gradients of one pass from those in float64, in the Euclidean norm over
all of w and all of α: the initial supernet of DARTS, in train mode. Then how far rounding alone
makes a search diverge: that of the sweep `collapse`, bilevel, softmax, seed 0. In float64
all forms give the same search; in float32 each gives a different one after a few dozen steps.

    python benchmarks/rounding.py --data-dir CIFAR --epochs 3
"""

from __future__ import annotations

import argparse

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tune_nas.library import load_trial
from tune_nas.search import Search
from tune_nas.search.stepping import channels_last
from tune_nas.sweep.resolve import load_sweep

FORMS = (
    ("plain", "float64"),
    ("fast", "float64"),
    ("plain", "float32"),
    ("torch", "float32"),
    ("fast", "float32"),
)


# Form, type, mixed precision.
PASSES = (
    ("plain", "float64", False),
    ("fast", "float64", False),
    ("plain", "float32", False),
    ("torch", "float32", False),
    ("fast", "float32", False),
    ("plain", "float32", True),
)


def gradients(form: str, dtype: str, autocast: bool, size: int) -> tuple[Tensor, Tensor]:
    """Return the gradients of w and of α of one pass, each as one vector in float64."""
    changes = {
        "data.train_images": 2 * size,
        "schedule.batch_size": size,
        "runtime.implementation": form,
        "runtime.dtype": dtype,
        "runtime.autocast": autocast,
        "runtime.threads": 1,
    }
    search = Search(load_trial("darts-1st", {"data.name": "fake", **changes}))
    search.supernet.train()
    with torch.no_grad():
        for alpha in search.alphas.values():  # samples depend on the type
            alpha.copy_(torch.linspace(-1e-3, 1e-3, alpha.numel()).view_as(alpha))
    images, labels = next(search.data.evaluation_batches(search.data.train, size))
    found = search.objective.differentiate(
        search.objective.seeded(channels_last((images, labels))), weights=True, alphas=True
    )
    w, alphas = (
        torch.cat([each.flatten().double() for each in held if each is not None])
        for held in (found.weights, found.alphas)
    )
    return w, alphas


def show_gradients(size: int) -> None:
    """Print the distance of the gradients from those in float64."""
    truth = gradients(*PASSES[0], size)
    table = Table("form", "type", "of w", "of α", title=f"relative error, a batch of {size}")
    for form, dtype, autocast in PASSES[1:]:
        found = gradients(form, dtype, autocast, size)
        errors = (
            float((own - true).norm() / true.norm()) for own, true in zip(found, truth, strict=True)
        )
        name = "bfloat16 (autocast)" if autocast else dtype
        table.add_row(form, name, *(f"{error:.1e}" for error in errors))
    Console().print(table)


def main() -> None:
    """Print the gradients' errors, run the searches and print the metrics of each epoch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data-dir", help="where CIFAR-10 is; without it, no searches")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    show_gradients(options.batch_size)
    if options.data_dir is None:
        return
    size = {**load_sweep("collapse").set, "data.dir": options.data_dir}
    table = Table("form", "type", "epoch", "train loss", "valid loss", "valid %")
    for form, dtype in FORMS:
        kind = {"runtime.implementation": form, "runtime.dtype": dtype, "runtime.threads": 1}
        search = Search(load_trial("darts-1st", {**size, **kind}))
        for epoch in range(1, options.epochs + 1):
            found = search.run_epoch()
            losses = (f"{found[name]:.6f}" for name in ("train_loss", "valid_loss"))
            table.add_row(form, dtype, str(epoch), *losses, f"{found['valid_accuracy']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
