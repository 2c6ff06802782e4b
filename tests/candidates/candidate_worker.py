"""A process of the searches of `test_processes`.

Arguments: the rank, the number of processes, and a folder with ``trial.json``, in which it writes
the metrics and the checkpoint of each epoch. With a fourth argument, it resumes from that
checkpoint.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from small_searches import lasting
from torch import distributed

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.config import TrialConfig


def main(rank: int, size: int, folder: Path, start: str = "") -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=size
    )
    torch.manual_seed(1 + rank)  # nothing may use torch's global generator
    trial = TrialConfig.model_validate(json.loads((folder / "trial.json").read_text()))
    search = CandidateSearch(trial, [str(folder)])
    if start:
        search.load(Path(start))
    found = []
    while not search.done:
        found.append(lasting(search.run_epoch()))
        if rank == 0:  # the other processes do not know of it
            search.save(folder / f"{search.epoch}")
    table = search.artifacts()["candidates.csv"]
    (folder / f"{rank}.json").write_text(json.dumps([found, table]))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
