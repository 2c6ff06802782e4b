"""The state of a process that a trial changes: torch's settings, warnings, the environment."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from tune_nas.without_compiler import set_deterministic


@contextmanager
def restored_state() -> Iterator[None]:
    """Restore the process after the block, so that a caller of a run finds it unchanged.

    Restored are torch's number of threads, its rules of determinism and precision, the states of
    the random number generators, the filters of warnings and the environment variables. The C
    library still keeps freed memory (`tune_nas.runtime.set_up_runtime`).
    """
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    precision = torch.get_float32_matmul_precision()
    cudnn, filling = torch.backends.cudnn, torch.utils.deterministic
    flags = (cudnn.allow_tf32, cudnn.benchmark)
    filled = filling.fill_uninitialized_memory  # type: ignore[attr-defined]
    environment = dict(os.environ)
    devices = range(torch.accelerator.device_count())  # all; without them, torch warns of it
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(drawn)
        np.random.set_state(drawn_by_numpy)
        set_deterministic(deterministic, warn_only=warn_only)  # changes the environment, too
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        filling.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        cudnn.allow_tf32, cudnn.benchmark = flags
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)


@contextmanager
def blas_threads() -> Iterator[None]:
    """Give numpy's linear algebra the threads within the block that it has in a Ray worker.

    Ray sets ``OMP_NUM_THREADS`` to 1 for a trial with one CPU, unless the user has set it; sums in
    another number of threads may differ in the last bit.
    """
    text = os.environ.get("OMP_NUM_THREADS", "")
    number = int(text) if text.isdecimal() and int(text) > 0 else 1
    with threadpool_limits(number, user_api="blas"):
        yield
