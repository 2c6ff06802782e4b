"""The files of examples/cluster: what can be run of SLURM and KubeRay on one machine.

SLURM's commands are stand-ins that run a step on this machine, so its two nodes are two Ray nodes.
Of KubeRay, the entry point of its job is run by `ray job submit`, as its submitter does.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_alone import run_alone

from tune_nas.errors import StorageError
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

FILES = Path(__file__).parents[2] / "examples" / "cluster"
BIN = Path(sys.executable).parent
SWEEP = {
    "trial": "milenas",
    "set": {
        "data.train_images": 256,
        "space.init_channels": 4,
        "space.cells": 3,
        "schedule.epochs": 4,
        "schedule.batch_size": 32,
        "runtime.implementation": "torch",
    },
    "parameters": {"update.lambda": {"grid": [0, 1]}},
    "retrain": 0,
}
NOT_YET = ("Failed to connect", "No available agent")  # of a Ray head that is starting
STAND_INS = {
    "scontrol": """
if [ "$1" = show ]; then printf 'node0\\nnode1\\n'; else echo "$*" >> "$STAND_INS/requeued"; fi
""",
    "srun": """
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
""",
    "hostname": "echo '127.0.0.1 10.0.0.1'\n",
}


def epochs(storage: Path) -> int:
    """Return the number of recorded epochs of the sweep of a job; 0 before it has started."""
    try:
        records = Records(Storage(storage).within("small"), "search")
        return sum(record.epoch for record in records)
    except StorageError:  # there is no folder, or a record was written while it was read
        return 0


def check_losses(storage: Path, name: str) -> None:
    """Check that a sweep has the losses of the same searches run in this process."""
    records = list(Records(Storage(storage).within(name), "search"))
    assert len(records) == 2
    for record in records:
        history, _ = run_alone(record)
        losses = [epoch["train_loss"] for epoch in history]
        assert [epoch["train_loss"] for epoch in record.history] == losses


def environment_of(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a job of SLURM whose commands are the stand-ins."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, body in STAND_INS.items():
        (commands / name).write_text(f"#!/usr/bin/env bash\n{body}", encoding="utf-8")
        (commands / name).chmod(0o755)
    own = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return {
        **own,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "STAND_INS": str(commands),
        "VIRTUAL_ENV": str(BIN.parent),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "node[0-1]",
        "SLURM_CPUS_PER_TASK": "1",
        "TUNE_NAS_STORAGE": str(tmp_path / "runs"),
    }


@pytest.mark.sweep
@pytest.mark.skipif(sys.platform != "linux", reason="SLURM runs on Linux")
def test_a_slurm_job_resumes_after_its_time_limit(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(SWEEP), encoding="utf-8")
    command = ["bash", str(FILES / "slurm.sh"), str(file)]
    with (tmp_path / "log").open("w") as log:
        job = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + 120
            while epochs(tmp_path / "runs") < 2:
                assert job.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.2)
        finally:
            job.send_signal(signal.SIGTERM)
            job.wait(timeout=120)
    assert job.returncode != 0
    requeued = tmp_path / "commands" / "requeued"
    assert requeued.read_text() == f"requeue {os.getpid()}\n"
    assert epochs(tmp_path / "runs") < 8

    again = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert again.returncode == 0, again.stdout + again.stderr
    check_losses(tmp_path / "runs", "small")
    assert len(requeued.read_text().splitlines()) == 1


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of the job server of a Ray cluster on this machine."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for each in (one, two, three):
            each.bind(("127.0.0.1", 0))
        port, dashboard, agent = (each.getsockname()[1] for each in (one, two, three))
    command = [BIN / "ray", "start", "--head", f"--port={port}", "--num-cpus=1", "--block"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=true"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    # Jobs are submitted to the agent; its usual port is taken if another Ray runs on the machine.
    command += [f"--dashboard-agent-listen-port={agent}"]
    with (tmp_path / "head").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{dashboard}"
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.mark.sweep
def test_the_entry_point_of_the_kuberay_job_runs_and_resumes(tmp_path: Path, head: str) -> None:
    pytest.importorskip("aiohttp_cors", reason="ray[default] is not installed")
    job = yaml.safe_load((FILES / "kuberay.yaml").read_text("utf-8"))
    entry = job["spec"]["entrypoint"]
    file = tmp_path / "lambda.yaml"
    file.write_text(yaml.safe_dump({**SWEEP, "name": "lambda"}), encoding="utf-8")
    # The sweep of this test, on this machine: other options are those of the file.
    own = entry.replace("tune-nas", str(BIN / "tune-nas")).replace("sweep lambda", f"sweep {file}")
    for option in ("--data cifar10", "--data-dir /data/cifar", "--epochs 50"):
        assert option in own
        own = own.replace(option, "")
    own = own.replace("--gpus-per-trial 0.25", "--concurrency 1")
    variables = {"TUNE_NAS_STORAGE": str(tmp_path / "runs")}
    submit = [str(BIN / "ray"), "job", "submit", "--address", head, "--log-style=record"]
    submit += ["--runtime-env-json", json.dumps({"env_vars": variables}), "--", *shlex.split(own)]

    def submitted() -> subprocess.CompletedProcess[str]:
        return subprocess.run(submit, capture_output=True, text=True, timeout=240)

    deadline = time.monotonic() + 60
    while "succeeded" not in (done := submitted()).stdout.lower():
        starting = any(text in done.stderr for text in NOT_YET) and time.monotonic() < deadline
        assert starting, done.stdout + done.stderr
        time.sleep(1)
    check_losses(tmp_path / "runs", "lambda")


def test_the_kuberay_file_is_consistent() -> None:
    job: dict[str, Any] = yaml.safe_load((FILES / "kuberay.yaml").read_text("utf-8"))
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [group["template"]["spec"]["containers"][0] for group in groups]
    assert len({container["image"] for container in containers}) == 1
    assert containers[0]["env"] == containers[1]["env"]
    assert cluster["authOptions"] == {"mode": "token"}
    volumes = groups[1]["template"]["spec"]["volumes"]
    assert [mount["name"] for mount in containers[1]["volumeMounts"]] == [
        volume["name"] for volume in volumes
    ]
