#!/usr/bin/env bash
# mlflow 3.17.2: Model.log(run_id=...), and so mlflow.pytorch.log_model(run_id=...), puts the model into the active experiment, not into that of its run.
# The model names the run as its source, but a search for the models of the run's experiment does not find it.
# Seen:
#   run in experiment 1, its model in experiment 0; models found in the run's experiment: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  mlflow-skinny==3.17.2 sqlalchemy==2.0.43 alembic==1.16.5 pandas==2.3.3 numpy==2.3.3
cd "$folder"
MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import mlflow

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = mlflow.MlflowClient()
experiment = client.create_experiment("mine")
run = client.create_run(experiment)


class Double(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return 2 * model_input


# what mlflow.pytorch.log_model(..., run_id=...) calls
info = mlflow.models.Model.log(
    artifact_path=None,
    name="n",
    flavor=mlflow.pyfunc,
    run_id=run.info.run_id,
    python_model=Double(),
    pip_requirements=["numpy"],
)
model = client.get_logged_model(info.model_id)
assert model.source_run_id == run.info.run_id
found = len(client.search_logged_models([experiment]))
print(
    f"run in experiment {experiment}, its model in experiment {model.experiment_id}; "
    f"models found in the run's experiment: {found}"
)
assert (experiment, model.experiment_id, found) == ("1", "0", 0)
PYTHON
