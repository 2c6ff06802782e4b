"""A worker of the retraining runs of `test_distributed`.

Arguments: the rank, the number of workers, and a folder with ``runs.json``, where it writes the
history and the checkpoint of each run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from tune_nas.config import TrialConfig
from tune_nas.errors import TuneNasError
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype


def run(order: dict[str, Any], folder: Path) -> Any:
    torch.manual_seed(1 + distributed.get_rank())  # nothing may use torch's global generator
    try:
        retrain = Retrain(
            TrialConfig.model_validate(order["trial"]), Genotype.parse(order["genotype"])
        )
    except TuneNasError as error:
        return str(error)
    if "start" in order:
        retrain.load(Path(order["start"]))
    for _ in range(order["epochs"]):
        retrain.run_epoch()
    retrain.save(folder)
    return retrain.history


def main(rank: int, size: int, folder: Path) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=size
    )
    for name, order in json.loads((folder / "runs.json").read_text()).items():
        found = run(order, folder / f"{name}.{rank}")
        (folder / f"{name}.{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
