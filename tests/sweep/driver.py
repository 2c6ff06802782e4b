"""A driver to be killed: `python driver.py start|resume STORAGE CONCURRENCY [SWEEP.yaml]`."""

from __future__ import annotations

import signal
import sys

from tune_nas.sweep.ray.environment import prepare_environment


def main() -> None:
    # A shell that starts jobs in the background makes them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare_environment(None)
    import ray.cloudpickle
    import standin

    from tune_nas.sweep import RunOptions, load_sweep, resume_sweep, run_sweep

    ray.cloudpickle.register_pickle_by_value(standin)
    command, storage, concurrency = sys.argv[1:4]
    options = RunOptions(storage=storage, concurrency=int(concurrency), quiet=True)
    if command == "start":
        run_sweep(load_sweep(sys.argv[4]), options, "killed", tasks=standin.TASKS)
    else:
        resume_sweep("killed", options, tasks=standin.TASKS)


if __name__ == "__main__":
    main()
