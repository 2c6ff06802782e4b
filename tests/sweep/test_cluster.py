"""A sweep on a cluster of several nodes, with remote storage and an MLflow server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow_server import serving
from run_alone import run_alone

from tune_nas.errors import StorageError
from tune_nas.sweep.runs.origin import find_origin
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.testing.states import differences
from tune_nas.tracking import RunReader

TUNE_NAS = str(Path(sys.executable).with_name("tune-nas"))
SWEEP = {
    "trial": "milenas",
    "set": {
        "data.train_images": 256,
        "space.init_channels": 4,
        "space.cells": 3,
        "schedule.epochs": 6,
        "schedule.batch_size": 32,
        "runtime.implementation": "torch",
        "retrain.epochs": 2,
        "retrain.init_channels": 4,
        "retrain.cells": 3,
    },
    "parameters": {"update.lambda": {"grid": [0, 1, float("inf")]}},
    "seeds": 1,
    "retrain": 1,
}
EPOCHS = {"search-00000": 6, "search-00001": 6, "search-00002": 6, "retrain-00000": 2}


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path / "server") as address:
        yield address


@pytest.fixture
def cluster(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Return the address of a cluster of two nodes with one CPU each, and its process."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)
    command = [sys.executable, str(Path(__file__).with_name("nodes.py")), "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def run(folder: Path, *arguments: str) -> Any:
    """Return the JSON that a command prints; it must print nothing else."""
    command = [TUNE_NAS, *arguments, "--format", "json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "it ended early"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.2)


@pytest.mark.sweep
def test_a_driver_and_a_node_that_are_killed_change_nothing(
    tmp_path: Path, bucket: str, mlflow_server: str, cluster: tuple[str, subprocess.Popen[str]]
) -> None:
    file = tmp_path / "far.yaml"
    file.write_text(yaml.safe_dump(SWEEP))
    address, nodes = cluster
    far = Storage(bucket).within("far")
    where = ("--storage", bucket, "--address", address, "--mlflow", mlflow_server)

    def epochs() -> int:
        try:
            return sum(record.epoch for record in Records(far, "search"))
        except StorageError:  # a record was written while it was read
            return 0

    driver = subprocess.Popen([TUNE_NAS, "sweep", str(file), *where], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: epochs() >= 4, driver)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    before = epochs()
    assert before < 18
    resume = [TUNE_NAS, "resume", *where, "--format", "json"]
    with subprocess.Popen(
        resume, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as resumed:
        wait_for(lambda: epochs() >= before + 1, resumed)
        second = subprocess.run(resume, capture_output=True, text=True)
        running = f"tune-nas: {bucket}/far is running, by another driver of the cluster\n"
        assert (second.returncode, second.stderr) == (2, running)
        wait_for(lambda: epochs() >= before + 3, resumed)
        nodes.send_signal(signal.SIGUSR1)
        out, err = resumed.communicate(timeout=300)
    assert resumed.returncode == 0
    found = json.loads(out)  # and no line of MLflow's or Ray's
    assert "Traceback" not in err
    assert far.read("log.txt")  # of the node's death

    records = [record for phase in ("search", "retrain") for record in Records(far, phase)]
    assert {record.job.id: record.epoch for record in records} == EPOCHS
    for record in records:
        history, genotype = run_alone(record)
        assert differences(record.history, history, record.job.id) == []
        assert record.genotype == genotype
    runs = RunReader(mlflow_server).list_runs()
    assert sorted(r.phase for r in runs) == ["retrain", "search", "search", "search", "sweep"]
    assert {r.status for r in runs} == {"finished"}

    best = found["best_genotype_path"]
    assert best.startswith(f"{bucket}/far/")
    assert run(tmp_path, "inspect", best)["space"] == "darts"
    origin = find_origin("far/search-00001", bucket)
    assert origin.checkpoint.startswith(f"{bucket}/far/search/search-00001")
    assert find_origin(origin.checkpoint, bucket) == origin
    selected = run(
        tmp_path,
        "select",
        "far/search-00001",
        "--selection",
        "magnitude",
        "--name",
        "again",
        *where,
    )
    (again,) = Records(Storage(bucket).within("again"), "search")
    assert again.genotype == Records(far, "search")["search-00001"].genotype
    assert selected["best_genotype_path"].startswith(f"{bucket}/again/")


def test_storage_that_cannot_be_used_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"must have no '\?'.*AWS_ENDPOINT_URL says where"):
        Storage(f"{bucket}?endpoint_override=127.0.0.1:9000")
    with pytest.raises(StorageError, match=r"storage s3://other/nas cannot be written: .*'other'"):
        Storage("s3://other/nas").write("state.json", "{}")
    Storage("s3://other/nas").remove()
    server = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # where nothing answers
    with pytest.raises(StorageError, match=f"storage {bucket} cannot be listed: .*connect"):
        Storage(bucket).names()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    storage = Storage(bucket)
    assert storage.names() == [] and storage.read("none") is None
    storage.write("a/b.txt", "ü")
    storage.write("a/b.txt", "ä")
    assert (storage.read("a/b.txt"), storage.within("a").names()) == ("ä", ["b.txt"])
    storage.within("a").remove()
    assert storage.names("a") == []


def test_a_port_that_is_not_rays_is_not_tried_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from tune_nas.sweep.ray.environment import prepare_environment\n"
        "prepare_environment({!r})\n"
        "from ray._private import ray_constants\n"
        "print(ray_constants.NUM_REDIS_GET_RETRIES)"
    )
    monkeypatch.delenv("RAY_NUM_REDIS_GET_RETRIES", raising=False)
    printed = [
        subprocess.check_output([sys.executable, "-c", code.format(address)], text=True)
        for address in ("127.0.0.1:6379", None)
    ]
    assert int(printed[0]) < 3 <= int(printed[1])
