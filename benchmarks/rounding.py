"""How far rounding alone leads a search away from itself, by form of the supernet and type.

The search is that of the sweep `collapse`: bilevel, softmax, seed 0. In float64 all forms give the
same search; in float32 each of them gives another one after a few dozen steps.

    python benchmarks/rounding.py --data-dir CIFAR --epochs 3
"""

from __future__ import annotations

import argparse

import torch
from rich.console import Console
from rich.table import Table

from tune_nas.library import load_trial
from tune_nas.search import Search
from tune_nas.sweep.resolve import load_sweep

FORMS = (
    ("plain", "float64"),
    ("fast", "float64"),
    ("plain", "float32"),
    ("torch", "float32"),
    ("fast", "float32"),
)


def main() -> None:
    """Run the searches and print what each epoch saw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
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
