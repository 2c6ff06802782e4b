#!/usr/bin/env bash
# ray 2.60.0: the processes of tasks and actors lower their own priority (niceness 15, the setting
# worker_niceness of its C++ side), while the driver keeps its own. Reserving a CPU (num_cpus=1) does not help: beside one ordinary
# busy process on the same core, a task gets a few percent of it, so that anything else that computes on the machine
# slows trials down by far more than its share. RAY_worker_niceness=0, set where Ray is started, makes them equal.
# Seen, for a task and an ordinary process that are busy on the same core for 6 seconds:
#   by default: niceness 15, the task had 4 % of the core (driver: niceness 0)
#   RAY_worker_niceness=0: niceness 0, the task had 50 % of the core (driver: niceness 0)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'ray==2.60.0' 'setuptools<81'
cd "$folder"
cat > run.py <<'PYTHON'
import logging
import os
import subprocess
import sys
import time

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
import ray

BUSY = "import os; os.sched_setaffinity(0, [{0}])\nwhile True: pass"
core = min(os.sched_getaffinity(0))
ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.FATAL)


@ray.remote(num_cpus=1)
def share():
    os.sched_setaffinity(0, [core])
    end, cpu = time.monotonic() + 6, time.process_time()
    while time.monotonic() < end:
        pass
    return os.nice(0), round(100 * (time.process_time() - cpu) / 6)


ray.get(ray.remote(lambda: None).remote())  # the first process has started
other = subprocess.Popen([sys.executable, "-c", BUSY.format(core)])
try:
    niceness, percent = ray.get(share.remote())
finally:
    other.kill()
print(f"niceness {niceness}, the task had {percent} % of the core (driver: niceness {os.nice(0)})")
ray.shutdown()
expected = int(os.environ.get("RAY_worker_niceness", "15"))
sys.exit(niceness != expected or os.nice(0) != 0 or (percent > 15) != (expected == 0))
PYTHON
echo -n "by default: " && "$folder/venv/bin/python" run.py
echo -n "RAY_worker_niceness=0: " && RAY_worker_niceness=0 "$folder/venv/bin/python" run.py
