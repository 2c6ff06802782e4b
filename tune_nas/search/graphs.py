"""Steps as CUDA graphs, each launched once regardless of the number of its kernels.

A graph replays the kernels of one step on the same memory. Values that differ between steps are
written there first: the picks of the batches and the seeds of the generators. The learning rate of
w is read on the device. Everything else a step depends on is constant as long as `Step.constants`
is; when that changes, the graphs are dropped and captured again. The first replay of each graph is
compared with an eager run of the same step: see `run_and_compare`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tune_nas import manifest
from tune_nas.config import RuntimeConfig, TrialConfig
from tune_nas.search.capture import WARM_UP, Capture, capture_for, log_eager
from tune_nas.search.captured_functions import CapturedFunctions
from tune_nas.search.objective import Objective
from tune_nas.search.relaxation import Relaxation
from tune_nas.search.replay_proof import default_generators, run_and_compare
from tune_nas.search.rng import Draws, RngReplay, RngTape
from tune_nas.search.stepping import BatchIndices, Step, StepResult, Steps
from tune_nas.spaces import CellWeights, MixingWeights, Supernet


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
    if runtime.recompute == "cell":
        log_eager("runtime.recompute is 'cell'; to capture steps, leave it at 'never'")
        return Steps(draws)
    if not (relaxation.capturable and relaxation.for_weights().capturable):
        kind = relaxation.config.kind
        if relaxation.capturable and relaxation.config.weights is not None:
            kind = relaxation.config.weights
        log_eager(f"relaxation '{kind}' draws what runs, or does not say that it can be captured")
        return Steps(draws)
    if uncapturable is not None:
        log_eager(f"{uncapturable} is a custom part, which may read values on the host")
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

        key = (tuple(images.shape), supernet.training, supernet.skip_weight, running, fields)
        return self._predictions.run(
            key, function, images, tensors, state=lambda: dict(supernet.named_buffers())
        )

    def run(self, moves_alphas: bool) -> StepResult:
        """Run the next step, captured if it can be."""
        picks = self.step.pick(moves_alphas)
        if self._gave_up:
            return self.step.run(picks)
        captured = self._captured.get(moves_alphas)
        if captured is not None:
            return captured(picks)
        tapes = self._tapes.setdefault(moves_alphas, [])
        if len(tapes) >= WARM_UP:
            return self._run_and_capture(picks, tapes[-1])
        with self.draws.recording() as tape:
            seen = self.step.run(picks)
        tapes.append(tape)
        return seen

    def _run_and_capture(self, picks: BatchIndices, tape: RngTape) -> StepResult:
        """Run a step eagerly and capture it for the next ones, if its replay does the same."""
        captured: list[CapturedStep] = []

        def replay() -> StepResult:
            captured.append(CapturedStep(self.step, picks, tape, self.draws, self._capture))
            return captured[0](picks)

        device = picks.train.index.device
        seen, fault = run_and_compare(
            lambda: self.step.run(picks),
            replay,
            self.step.state,
            {"the search's": self.draws.host, **default_generators(device)},
        )
        if fault is None:
            self._captured[picks.moves_alphas] = captured[0]
        else:
            self._drop_steps()
            self._gave_up = True
            log_eager(fault)
        return seen
