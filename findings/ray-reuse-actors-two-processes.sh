#!/usr/bin/env bash
# ray[tune] 2.60.0, Linux: with reuse_actors=True, a trial that never fails is set up in two processes.
#
# Tune requests a process for each trial. If another trial ends while that process still starts, the trial runs in the
# process that the other has left (reset_config). The requested one is not needed anymore, but its setup() has the
# config of the same trial, and runs at the same time; then cleanup() runs there without any step, for a trial that is
# still running elsewhere. What setup() takes or cleanup() releases by the id of the trial (a slot, a lock, a row in a
# database, a scratch folder) is thus taken and released under the running trial. No error, warning or failure is
# reported.
#
# Expected: setup() or reset_config() once per trial, and cleanup() once. Seen:
#   slow: set up in the process of slow, no step there, cleaned up there
#   slow: switched to in the process of quick, 2 steps there, cleaned up there
#   errors: 0
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  'ray[tune]==2.60.0' 'pandas<3' 'setuptools<81'
cd "$folder"
cat > seen.py <<'PYTHON'
import os
import time
from pathlib import Path

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on 127.0.0.1 alone
}
import ray
from ray import tune

events = Path("events").resolve()


class Training(tune.Trainable):
    def note(self, event):
        with events.open("a") as file:
            file.write(f"{self.config['name']} {os.getpid()} {event}\n")

    def setup(self, config):
        self.note("set up")
        if config["name"] == "slow":  # as with data that take a while to load
            time.sleep(8)

    def reset_config(self, config):
        self.config = config
        self.note("switched to")
        return True

    def step(self):
        self.note("step")
        time.sleep(0.5)
        return {"done": self.iteration == 1}

    def cleanup(self):
        self.note("cleaned up")

    def save_checkpoint(self, folder):
        Path(folder, "state").write_text("")

    def load_checkpoint(self, folder):
        pass


ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
results = tune.Tuner(
    Training,
    param_space={"name": tune.grid_search(["quick", "slow"])},
    tune_config=tune.TuneConfig(reuse_actors=True),
    run_config=tune.RunConfig(storage_path=str(Path("results").resolve()), verbose=0),
).fit()
time.sleep(2)
ray.shutdown()

found = [line.split(maxsplit=2) for line in events.read_text().splitlines()]
first = {process: name for name, process, _ in reversed(found)}  # for whom it was started
of_slow = {}
for name, process, event in found:
    if name == "slow":
        of_slow.setdefault(first[process], []).append(event)
for owner, done in sorted(of_slow.items(), reverse=True):
    print(f"slow, in the process of {owner}: {', '.join(done)}")
print(f"errors: {results.num_errors}")
PYTHON
"$folder/venv/bin/python" seen.py > out.txt 2> err.txt || { tail -5 err.txt; exit 1; }
grep -E "^(slow|errors)" out.txt | tee seen.txt
cat > expected.txt <<'SEEN'
slow, in the process of slow: set up, cleaned up
slow, in the process of quick: switched to, step, step, cleaned up
errors: 0
SEEN
diff expected.txt seen.txt
