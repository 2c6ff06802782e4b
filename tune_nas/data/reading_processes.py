"""Processes that read batches ahead of a training, each through a separate pipe.

They share no lock. A worker of torch's DataLoader that is killed, e.g. for its memory, can leave a
lock behind for which the training would then wait forever; here, its pipe ends.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TypeVar

import torch

from tune_nas.errors import DataUnavailableError

Item = TypeVar("Item")
Batch = TypeVar("Batch")


def read_ahead(
    read: Callable[[Item], Batch], plan: Iterator[Item], workers: int
) -> Generator[Batch]:
    """Yield batches as planned, in order, read with one CPU thread each.

    Each process reads every n-th batch and waits until it is taken. The processes end with the
    iterator, or with the process that started them, even if that is killed.

    Args:
        read: Returns a batch, never None.
        plan: What to read; not started yet.
        workers: Number n of processes; 0 to read in this one, as on systems without fork, where
            other processes cannot be sent the functions of a custom data set.

    Raises:
        DataUnavailableError: If a process ends unexpectedly.
    """
    if workers == 0 or "fork" not in multiprocessing.get_all_start_methods():
        for item in plan:
            with _one_thread():
                batch = read(item)
            yield batch
        return
    context = multiprocessing.get_context("fork")
    ends: list[Connection] = []
    processes: list[multiprocessing.process.BaseProcess] = []
    try:
        for rank in range(workers):
            end, other = context.Pipe(duplex=False)
            ends.append(end)
            own = itertools.islice(plan, rank, None, workers)  # a copy in each process
            process = context.Process(
                target=_serve, args=(read, own, other, tuple(ends)), daemon=True
            )
            process.start()
            processes.append(process)
            other.close()
        for end in itertools.cycle(ends):
            try:
                received = end.recv()
            except (EOFError, OSError) as error:
                raise DataUnavailableError(
                    "a process that reads images (data.workers) ended unexpectedly; it may have "
                    "run out of memory"
                ) from error
            if received is None:
                return
            yield received
    finally:
        for end in ends:
            end.close()
        for each in processes:
            each.kill()
            each.join()


def _serve(
    read: Callable[[Item], Batch],
    plan: Iterator[Item],
    out: Connection,
    inherited: Sequence[Connection],
) -> None:
    """Send the planned batches, then None.

    Args:
        read: Returns a batch.
        plan: What to read.
        out: The end of the pipe of this process.
        inherited: Other ends of pipes. They are closed: a pipe ends only if no process holds its
            other end.
    """
    for end in inherited:
        end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the training's
    torch.set_num_threads(1)
    with suppress(BrokenPipeError):  # the training has ended
        for item in plan:
            out.send(read(item))
        out.send(None)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one CPU thread in the block, as the processes do: sums depend on it."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
