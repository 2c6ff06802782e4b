from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest


def test_the_ui_links_to_the_runs_and_ends_cleanly(command_line) -> None:
    from tune_nas.tracking import Experiment, MlflowTracker

    experiment = Experiment(f"sqlite:///{command_line.folder}/runs/mlflow.db")
    tracker = MlflowTracker(experiment)
    sweep = tracker.sweep_run("lambda", {})
    tracker.trial_run(sweep, "t1", phase="search", parameters={"a": 1}, tags={"a": "1"})
    tracker.finish(sweep)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("tune-nas")), "ui", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        base = f"http://127.0.0.1:{port}"
        assert line == (
            f"runs: {base}/#/experiments/{experiment.experiment_id}/runs"
            "?workflowType=machine_learning\n"
        )
        view = process.stdout.readline()
        assert view == f"sweep 'lambda': {line.strip()[6:]}&viewStateShareKey={sweep}\n"
        with urlopen(f"{base}/api/2.0/mlflow/experiments/get?experiment_id=1", timeout=10) as page:
            assert json.load(page)["experiment"]["name"] == "tune-nas"
        taken = command_line.refused("ui", "--port", str(port))
        assert taken == f"port {port} is taken; give another with --port"
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


def test_a_server_has_its_ui_already(command_line) -> None:
    uri = "http://127.0.0.1:9"  # the discard port; nothing answers
    assert uri in command_line.ok("ui", "--mlflow", uri)
