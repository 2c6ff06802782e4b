#!/usr/bin/env bash
# mlflow 3.17.2, sqlite store: a filter by the status of a logged model compares with a number, in silence.
# search_logged_models("status = 'READY'") finds nothing although a model is READY, status != 'READY' finds
# it, and status = 2 works. The same filter on runs, "attributes.status = 'FINISHED'", takes the word.
# Seen:
#   models by status = 'READY': 0, != 'READY': 1, = 2: 1
#   runs by attributes.status = 'FINISHED': 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  mlflow-skinny==3.17.2 sqlalchemy==2.0.43 alembic==1.16.5
cd "$folder"
MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

from mlflow import MlflowClient

here = Path.cwd()
client = MlflowClient(f"sqlite:///{here}/mlflow.db")
experiment = client.create_experiment("e", (here / "art").as_uri())
client.set_terminated(client.create_run(experiment).info.run_id)
model = client.create_logged_model(experiment, name="m")
ready = client.finalize_logged_model(model.model_id, "READY")
assert str(ready.status) == "READY", ready.status


def models(text):
    return len(client.search_logged_models([experiment], text))


word, other, number = models("status = 'READY'"), models("status != 'READY'"), models("status = 2")
print(f"models by status = 'READY': {word}, != 'READY': {other}, = 2: {number}")
runs = len(client.search_runs([experiment], "attributes.status = 'FINISHED'"))
print(f"runs by attributes.status = 'FINISHED': {runs}")
assert (word, other, number, runs) == (0, 1, 1, 1)
PYTHON
