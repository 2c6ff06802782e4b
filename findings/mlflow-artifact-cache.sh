#!/usr/bin/env bash
# mlflow 3.17.2: two clients of two stores, in one process, share a cache of where a run's files are,
# and its key is the run's id alone. For a store and its copy (same run ids, each with its own artifact
# locations), the second client writes files into the folder of the first store, without an error, and
# its own list of the run's files then lacks them.
# Seen:
#   location according to the second store: …/copy/art/RUN/artifacts
#   written by the second client to:        …/first/art/RUN/artifacts/two.txt
#   listed by the second client:            ['one.txt']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  mlflow-skinny==3.17.2 sqlalchemy==2.0.43 alembic==1.16.5
cd "$folder"
MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" - <<'PYTHON'
import shutil
import sqlite3
from pathlib import Path

from mlflow import MlflowClient

here = Path.cwd()
(here / "first").mkdir()
first = MlflowClient(f"sqlite:///{here}/first/mlflow.db")
experiment = first.create_experiment("e", (here / "first" / "art").as_uri())
run = first.create_run(experiment).info.run_id
Path("one.txt").write_text("one")
Path("two.txt").write_text("two")
first.log_artifact(run, "one.txt")

# A copy whose locations are those of its own folder.
shutil.copytree(here / "first", here / "copy")
with sqlite3.connect(here / "copy" / "mlflow.db") as connection:
    for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
        connection.execute(
            f"UPDATE {table} SET {column} = replace({column}, '/first/art', '/copy/art')"
        )
connection.close()

second = MlflowClient(f"sqlite:///{here}/copy/mlflow.db")
location = second.get_run(run).info.artifact_uri
second.log_artifact(run, "two.txt")
(written,) = here.rglob("artifacts/two.txt")
listed = sorted(entry.path for entry in second.list_artifacts(run))
print("location according to the second store:", location)
print("written by the second client to:       ", written)
print("listed by the second client:           ", listed)
assert "/copy/art/" in location
assert "/first/art/" in str(written), "the second client now writes to its own store"
assert listed == ["one.txt"], "the second client now lists what it wrote"
PYTHON
