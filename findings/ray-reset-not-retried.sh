#!/usr/bin/env bash
# ray[tune] 2.60.0: FailureConfig(max_failures=3) does not count for a trial that takes over the process of
# another one. With reuse_actors=True, a class Trainable whose reset_config() raises (e.g. as a file server
# cannot be reached for a moment) ends in ERROR after one try; the same error in setup() of a new process is
# tried again three times. (Actors are reused only where a trial starts after another has ended.)
# Seen:
#   reuse_actors=False: 4 tries, ERROR
#   reuse_actors=True: 1 tries, ERROR
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  'ray[tune]==2.60.0' 'pandas<3' 'setuptools<81'
cd "$folder"
cat > run.py <<'PYTHON'
import logging
import os
import sys
from pathlib import Path

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on 127.0.0.1 alone
    "RAY_AIR_NEW_OUTPUT": "0",
}
import ray
from ray import tune


class Trainable(tune.Trainable):
    def setup(self, config):
        if config["number"] == 1:
            with open(config["tries"], "a") as file:
                file.write("tried\n")
            raise OSError("the file server does not answer")

    def reset_config(self, config):
        self.setup(config)
        return True

    def step(self):
        return {"value": 1, "done": True}

    def save_checkpoint(self, checkpoint_dir):
        return {"value": 1}

    def load_checkpoint(self, checkpoint):
        pass


ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.FATAL)
counts = {}
for reuse in (False, True):
    tries = Path(f"tries-{reuse}").absolute()
    tuner = tune.Tuner(
        Trainable,
        param_space={"number": tune.grid_search([0, 1]), "tries": str(tries)},
        tune_config=tune.TuneConfig(reuse_actors=reuse, max_concurrent_trials=1),
        run_config=tune.RunConfig(
            name=f"reuse-{reuse}",
            storage_path=str(Path("results").absolute()),
            failure_config=tune.FailureConfig(max_failures=3),
            verbose=0,
        ),
    )
    (failed,) = [result for result in tuner.fit() if result.error]
    counts[reuse] = len(tries.read_text().splitlines())
    print(f"reuse_actors={reuse}: {counts[reuse]} tries, ERROR", flush=True)
ray.shutdown()
sys.exit(counts != {False: 4, True: 1})
PYTHON
"$folder/venv/bin/python" run.py 2> errors.txt || { tail -5 errors.txt >&2; exit 1; }
