#!/usr/bin/env bash
# torch 2.13.0, Python 3.11, Linux: where two meet, DataLoader and a process pool.
#
# ProcessPoolExecutor(mp_context=get_context("spawn")) is used so that the processes of the pool do not inherit
# torch's threads. It also changes the default start method *inside* these processes: multiprocessing sets it to the
# method by which the process itself was started. A DataLoader with num_workers > 0 that such a process creates
# therefore spawns its workers instead of forking them: each imports torch again, and the dataset is pickled. A dataset
# with a lambda, which works in the main process, fails there; torch's warning then explains it by Python 3.14, which
# this is not. DataLoader(multiprocessing_context="fork") restores it.
#
# Expected: the same DataLoader starts its workers in the same way in both processes. Seen:
#   main process: default fork, 8 samples
#   process of the pool: default spawn, the dataset cannot be pickled
#   process of the pool, multiprocessing_context='fork': 8 samples
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.0
cd "$folder"
cat > seen.py <<'PYTHON'
import multiprocessing
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor

from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __init__(self):
        self.transform = lambda number: 2 * number

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.transform(index)


def read(context):
    default = multiprocessing.get_start_method()
    warnings.simplefilter("ignore")
    try:
        loader = DataLoader(Numbers(), batch_size=4, num_workers=2, multiprocessing_context=context)
        return default, f"{sum(len(batch) for batch in loader)} samples"
    except (AttributeError, pickle.PicklingError):  # by the version of Python
        return default, "the dataset cannot be pickled"


if __name__ == "__main__":
    default, found = read(None)
    print(f"main process: default {default}, {found}")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        in_pool = pool.submit(read, None).result()
        forked = pool.submit(read, "fork").result()
    print(f"process of the pool: default {in_pool[0]}, {in_pool[1]}")
    print(f"process of the pool, multiprocessing_context='fork': {forked[1]}")
    assert (default, found, *in_pool, forked[1]) == (
        "fork", "8 samples", "spawn", "the dataset cannot be pickled", "8 samples",
    )
PYTHON
"$folder/venv/bin/python" seen.py
