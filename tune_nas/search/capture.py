"""Capture of a function's effects on memory, as CUDA graphs do it."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from tune_nas.config import RuntimeConfig
from tune_nas.stability import experimental

_LOG = logging.getLogger(__name__)

# Number of eager runs before a capture: they fill caches, create the optimizers' states and compile
# kernels. They are normal steps of the search.
WARM_UP = 2


class Capture(Protocol):
    """Captures a function's effects on memory without running it; returns a function that does."""

    def __call__(
        self, function: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> Callable[[], None]:
        """Capture a function.

        Args:
            function: Runs kernels on memory at fixed addresses.
            generators: The generators on the device that the function uses. The returned function
                uses the seeds that they have when it is called.

        Raises:
            RuntimeError: If it does something that cannot be captured, e.g. reading a value back.
        """


@experimental("CUDA graphs", "not yet run on a GPU")
class CudaCapture:
    """Captures with CUDA graphs that share their memory, as they never run concurrently.

    The outputs of a graph are not shared while they are referenced.

    Args:
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # cuBLAS keeps a workspace for each stream it has seen
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None
        self._alive: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()

    def __call__(
        self, function: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> Callable[[], None]:
        """See `Capture`."""
        with torch.cuda.device(self.device):
            graph = torch.cuda.CUDAGraph()
            for generator in generators:
                graph.register_generator_state(generator)
            if self._stream is None:
                self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            if not self._alive:  # torch does not reuse a pool whose graphs are all deleted
                self._pool = torch.cuda.graph_pool_handle()
            with (
                # torch does not restore the stream if a capture cannot be ended
                torch.cuda.stream(torch.cuda.current_stream(self.device)),
                torch.cuda.graph(
                    graph,
                    pool=self._pool,
                    stream=self._stream,
                    # concurrent searches of the process do not invalidate it
                    capture_error_mode="thread_local",
                ),
            ):
                function()
        self._alive.add(graph)
        return graph.replay


def capture_for(runtime: RuntimeConfig, device: torch.device) -> Capture | None:
    """Return the capture of steps on a device; None if all steps run eagerly."""
    wanted = runtime.graphs == "always" and device.type == "cuda"
    return CudaCapture(device) if wanted else None


def log_eager(reason: str, what: str = "a step") -> None:
    """Log in one line why something is not captured."""
    _LOG.warning("no CUDA graphs, each kernel of %s is launched by itself: %s", what, reason)
