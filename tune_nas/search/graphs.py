"""Steps as CUDA graphs, each launched once regardless of the number of its kernels.

A graph replays the kernels of one step on the same memory. Values that differ between steps are
written there first: the picks of the batches and the seeds of the generators. The learning rate of
w is read on the device. Everything else a step depends on is constant as long as `Step.constants`
is; when that changes, the graphs are dropped and captured again.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from tune_nas import manifest
from tune_nas.config import RuntimeConfig, TrialConfig
from tune_nas.search.objective import Objective
from tune_nas.search.relaxation import Relaxation
from tune_nas.search.rng import Draws, RngReplay, RngTape
from tune_nas.search.stepping import BatchIndices, Step, StepResult, Steps
from tune_nas.spaces import CellWeights, MixingWeights, Supernet

_LOG = logging.getLogger(__name__)

# Number of eager steps of a kind before it is captured: they fill caches, create the optimizers'
# states and compile kernels. They are normal steps of the search.
WARM_UP = 2
# Maximum number of captured functions; each needs memory, and a selection evaluates many masks.
KEPT = 6


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
    wanted = runtime.graphs == "auto" and device.type == "cuda"
    return CudaCapture(device) if wanted else None


def make_steps(
    runtime: RuntimeConfig,
    device: torch.device,
    relaxation: Relaxation,
    draws: Draws,
    alone: bool = True,
    uncapturable: str | None = None,
) -> Steps:
    """Return the runner of the steps of a search; log one line if they are not captured.

    Args:
        runtime: Whether they may be captured.
        device: Their device.
        relaxation: Whether it can be captured.
        draws: Random generators of the passes of the search.
        alone: False if passes run jointly with those of other searches.
        uncapturable: A part that cannot be captured, for the log line; None for none.
    """
    capture = capture_for(runtime, device) if alone else None
    if capture is None:
        return Steps(draws)
    if not relaxation.capturable:
        kind = relaxation.config.kind
        _tell(f"relaxation '{kind}' draws what runs, or does not say that it can be captured")
        return Steps(draws)
    if uncapturable is not None:
        _tell(f"{uncapturable} is a part of your own, which may read values on the host")
        return Steps(draws)
    return GraphedSteps(capture, draws)


def uncapturable_part(trial: TrialConfig) -> str | None:
    """Return key and name of a custom part whose steps cannot be captured; None if none."""
    smoothing, optimizer = trial.relaxation.smoothing.kind, trial.optimizer.alphas.kind
    if smoothing != "none" and not manifest.is_shipped("smoothings", smoothing):
        return f"relaxation.smoothing.kind '{smoothing}'"
    if not manifest.is_shipped("alpha_optimizers", optimizer):
        return f"optimizer.alphas.kind '{optimizer}'"
    return None


class CapturedFunctions:
    """Runs functions of tensors on the device; frequent ones are captured.

    Args:
        capture: Captures them; None to run all eagerly.
        what: Their description, for the line that is logged on failure.
    """

    def __init__(self, capture: Capture | None, what: str) -> None:
        self._capture, self._what = capture, what
        # by thread: initialization by libraries at the first call in a thread cannot be captured
        self._runs: Counter[tuple[Hashable, int]] = Counter()
        self._captured: dict[Hashable, _CapturedFunction] = {}

    def run(self, key: Hashable, function: Callable[..., Any], *inputs: Any) -> Any:
        """Return the result of a function: nested containers of tensors.

        Args:
            key: Equal for equal functions on inputs of equal structure, shapes and types.
            function: Reads and changes only its inputs and memory at fixed addresses.
            inputs: Nested containers of tensors.
        """
        if self._capture is None:
            return function(*inputs)
        captured = self._captured.get(key)
        if captured is None:
            here = (key, threading.get_ident())
            self._runs[here] += 1
            if self._runs[here] <= WARM_UP:
                return function(*inputs)
            try:
                captured = _CapturedFunction(function, inputs, self._capture)
            except RuntimeError as error:
                self._capture = None
                self.reset()
                _tell(_first_line(error), of=self._what)
                return function(*inputs)
            if len(self._captured) >= KEPT:
                oldest = next(iter(self._captured))
                del self._captured[oldest]
                for run in [run for run in self._runs if run[0] == oldest]:
                    del self._runs[run]
        self._captured[key] = self._captured.pop(key, captured)  # the most recent is last
        return captured(inputs)

    def reset(self) -> None:
        """Drop all captured functions."""
        self._runs.clear()
        self._captured.clear()


class _CapturedFunction:
    """A captured function; its result is a copy, as the next run overwrites the original."""

    def __init__(self, function: Callable[..., Any], inputs: Any, capture: Capture) -> None:
        self._inputs = tree_map_only(Tensor, _copy, inputs)
        given: list[Any] = []

        def run() -> None:
            given[:] = [function(*self._inputs)]

        self._replay = capture(run, ())
        self._given = given[0]

    def __call__(self, inputs: Any) -> Any:
        for own, tensor in zip(tree_leaves(self._inputs), tree_leaves(inputs), strict=True):
            if isinstance(own, Tensor):
                own.copy_(tensor.detach())
        self._replay()
        return tree_map_only(Tensor, _copy, self._given)


def _copy(tensor: Tensor) -> Tensor:
    """Return a copy that keeps no reference to the tensor's origin."""
    return tensor.detach().clone()


class CapturedStep:
    """A captured step that can be replayed.

    Args:
        step: The step.
        picks: Batch indices of a step of its kind.
        tape: The seeds and generators that a step of its kind requests.
        draws: Where the step requests them.
        capture: Captures it.

    Raises:
        RuntimeError: If it cannot be captured.
    """

    def __init__(
        self, step: Step, picks: BatchIndices, tape: RngTape, draws: Draws, capture: Capture
    ) -> None:
        self._picks = picks.clone()
        self._draws = draws
        self._player = RngReplay(tape)
        seen: list[StepResult] = []

        def function() -> None:
            with draws.playing(self._player):
                seen[:] = [step.run(self._picks)]

        self._replay = capture(function, self._player.generators)
        self._seen = seen[0]

    def __call__(self, picks: BatchIndices) -> StepResult:
        """Run it on other batches with new seeds; the next call overwrites its result."""
        self._picks.copy_(picks)
        self._player.seed_all(self._draws.host)
        self._replay()
        return self._seen


class GraphedSteps(Steps):
    """Runs steps as graphs, one per kind of step; steps that cannot be captured run eagerly.

    Args:
        capture: Captures a step.
        draws: Random generators of the passes of the search.
    """

    captures = True

    def __init__(self, capture: Capture, draws: Draws) -> None:
        super().__init__(draws)
        self._capture = capture
        self._predictions = CapturedFunctions(capture, "an evaluation")
        self._constants: dict[str, Any] = {}
        self._captured: dict[bool, CapturedStep] = {}
        self._tapes: dict[bool, list[RngTape]] = {}
        self._gave_up = False

    @property
    def n_captured(self) -> int:
        """Number of kinds of steps that are currently captured."""
        return len(self._captured)

    def begin(self, step: Step) -> None:
        """Set the step of a new epoch; graphs of a different one and their memory are dropped."""
        super().begin(step)
        constants = step.constants()
        if constants != self._constants:
            self._drop_steps()
            self._constants = constants

    def reset(self) -> None:
        """Drop all graphs."""
        self._drop_steps()
        self._predictions.reset()

    def _drop_steps(self) -> None:
        self._constants = {}
        self._captured.clear()
        self._tapes.clear()

    def predict(self, objective: Objective, images: Tensor, mixing: MixingWeights) -> Tensor:
        """Return the logits of images, with a separate graph unless the supernet is random."""
        supernet = objective.supernet
        if not isinstance(supernet, Supernet) or supernet.draws:
            return objective.predict(images, mixing)
        running = tuple(cell.running() for cell in mixing.values())
        tensors = {name: cell.tensors() for name, cell in mixing.items()}
        fields = tuple((name, tuple(of_cell)) for name, of_cell in tensors.items())

        def function(images: Tensor, tensors: Mapping[str, dict[str, Tensor]]) -> Tensor:
            weights = {
                name: CellWeights(**of_cell, active=mixing[name].active)
                for name, of_cell in tensors.items()
            }
            return objective.predict(images, weights)

        key = (tuple(images.shape), supernet.training, running, fields)
        logits: Tensor = self._predictions.run(key, function, images, tensors)
        return logits

    def run(self, moves_alphas: bool) -> StepResult:
        """Run the next step, captured if it can be."""
        picks = self.step.pick(moves_alphas)
        captured = None if self._gave_up else self._find(picks)
        if captured is not None:
            return captured(picks)
        if self._gave_up:
            return self.step.run(picks)
        with self.draws.recording() as tape:
            seen = self.step.run(picks)
        self._tapes.setdefault(moves_alphas, []).append(tape)
        return seen

    def _find(self, picks: BatchIndices) -> CapturedStep | None:
        """Return the graph of a kind of step, capturing it now if due; None if there is none."""
        kind = picks.moves_alphas
        tapes = self._tapes.get(kind, [])
        if kind not in self._captured and len(tapes) >= WARM_UP:
            try:
                self._captured[kind] = CapturedStep(
                    self.step, picks, tapes[-1], self.draws, self._capture
                )
            except RuntimeError as error:
                self._drop_steps()
                self._gave_up = True
                _tell(_first_line(error))
        return self._captured.get(kind)


def _first_line(error: BaseException) -> str:
    """Return the first error message: a failure to end the capture only follows from it."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).partition("\n")[0]


def _tell(reason: str, of: str = "a step") -> None:
    _LOG.warning("no CUDA graphs, each kernel of %s is launched by itself: %s", of, reason)
