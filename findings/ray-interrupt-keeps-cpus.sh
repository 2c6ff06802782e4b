#!/usr/bin/env bash
# ray[tune] 2.60.0: an Exception that leaves Tuner.fit() has the trials' actors stopped and their CPUs given
# back; a KeyboardInterrupt does not. Where Ray's own handler of Ctrl-C is off (its documented variable
# TUNE_DISABLE_SIGINT_HANDLER=1) and Ray is not shut down, as in a notebook, the actors of interrupted trials
# keep their CPUs from the trials of the next fit().
# Seen, 15 seconds after fit() was left, with 2 CPUs:
#   RuntimeError in a callback: 2 CPUs free
#   Ctrl-C: 1 CPUs free
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
import signal
import sys
import time
from pathlib import Path

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on 127.0.0.1 alone
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
import ray
from ray import tune


class Trainable(tune.Trainable):
    def step(self):
        time.sleep(0.1)
        return {"value": 1}

    def save_checkpoint(self, checkpoint_dir):
        return {"value": 1}

    def load_checkpoint(self, checkpoint):
        pass


class Leave(tune.Callback):
    def __init__(self, how):
        self.how = how

    def on_trial_result(self, iteration, trials, trial, result, **info):
        if result["training_iteration"] == 3:
            self.how()


def fail():
    raise RuntimeError("a callback fails")


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.FATAL)
free = {}
for name, how in {"RuntimeError in a callback": fail, "Ctrl-C": press_ctrl_c}.items():
    tuner = tune.Tuner(
        Trainable,
        run_config=tune.RunConfig(
            name=how.__name__,
            storage_path=str(Path("results").absolute()),
            callbacks=[Leave(how)],
            stop={"training_iteration": 1000},
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except (Exception, KeyboardInterrupt):
        time.sleep(15)
        free[name] = int(ray.available_resources().get("CPU", 0))
        print(f"{name}: {free[name]} CPUs free", flush=True)
ray.shutdown()
sys.exit(list(free.values()) != [2, 1])
PYTHON
"$folder/venv/bin/python" run.py 2> errors.txt || { tail -5 errors.txt >&2; exit 1; }
