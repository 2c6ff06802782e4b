#!/usr/bin/env bash
# mlflow 3.17.2, sqlite store: a tag is cut and checked by set_tag, but not if it is given to create_run.
# set_tag cuts a value of 9,000 characters to 8,000 and refuses the key "a?b"; create_run(tags=...) stores
# both as they are. A run that is found again and gets the same tag by set_tag thus has another value.
# Seen:
#   value of 9,000 characters: set_tag keeps 8000, create_run keeps 9000
#   key 'a?b': set_tag raises MlflowException, create_run stores it
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
from mlflow.exceptions import MlflowException

here = Path.cwd()
client = MlflowClient(f"sqlite:///{here}/mlflow.db")
experiment = client.create_experiment("e", (here / "art").as_uri())


def tags(run):
    return client.get_run(run.info.run_id).data.tags


def set_tag(key, value):
    run = client.create_run(experiment)
    try:
        client.set_tag(run.info.run_id, key, value)
    except MlflowException:
        return "raises MlflowException"
    return tags(run)[key]


long = "v" * 9000
by_set_tag = len(set_tag("long", long))
by_create_run = len(tags(client.create_run(experiment, tags={"long": long}))["long"])
print(f"value of 9,000 characters: set_tag keeps {by_set_tag}, create_run keeps {by_create_run}")
refused = set_tag("a?b", "v")
stored = tags(client.create_run(experiment, tags={"a?b": "v"})).get("a?b")
print(f"key 'a?b': set_tag {refused}, create_run {'stores it' if stored == 'v' else stored}")
assert (by_set_tag, by_create_run) == (8000, 9000)
assert (refused, stored) == ("raises MlflowException", "v")
PYTHON
