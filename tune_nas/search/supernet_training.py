"""The supernet of a search and its training: objective, optimizers and batches."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.config import TrialConfig
from tune_nas.data import SearchData, load_data
from tune_nas.runtime import set_up_runtime
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.expected_cost import expected_cost
from tune_nas.search.exponentiated import with_step_size
from tune_nas.search.factory import (
    batch_needed,
    check_batches,
    initial_architecture,
    make_streams,
    make_supernet,
)
from tune_nas.search.graphs import make_steps, uncapturable_part
from tune_nas.search.objective import Objective
from tune_nas.search.optimizers import Optimizers
from tune_nas.search.policy import Policy
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.relaxation.controller import Controller
from tune_nas.search.rng import Draws
from tune_nas.search.smoothing import make_smoothing
from tune_nas.search.supernet_size import SupernetSize
from tune_nas.search.together import SharedObjective, Together
from tune_nas.search.widening import momenta_of, widen, widen_momenta
from tune_nas.seeds import make_generator
from tune_nas.spaces import Supernet, check_cells_occur, check_channels, load_space


class SupernetTraining:
    """w and α of a search with their optimizers and training batches.

    Args:
        trial: The trial.
        together: Searches whose passes run jointly with its own; None for none.

    Raises:
        ConfigError: If the space, a part or the device is not available, or parts do not fit.
        DataError: If the images cannot be read.
    """

    def __init__(self, trial: TrialConfig, together: Together | None) -> None:
        self.trial = trial
        self._make_objective = (
            Objective if together is None else partial(SharedObjective, together=together)
        )
        self.space = load_space(trial.space.name, trial.space.skeleton)
        check_channels(self.space, trial.space.init_channels, "space.init_channels")
        if trial.space.cells is not None:
            check_cells_occur(self.space, trial.space.cells, "space.cells")
        self.device, self.dtype = set_up_runtime(trial.runtime)
        data = load_data(
            trial.data, seed=trial.seed, device=self.device, dtype=self.dtype, for_search=True
        )
        least = batch_needed(trial, self.space, data.image_size)
        self.data: SearchData = dataclasses.replace(data, smallest_batch=least)
        self.choices = CandidateMask(self.space)
        self.relaxation = make_relaxation(trial.relaxation, self.space, self.choices)
        self.smoothing = make_smoothing(trial.relaxation.smoothing)
        self._draws = make_generator(trial.seed, "draws")
        self._steps = make_steps(
            trial.runtime,
            self.device,
            self.relaxation,
            Draws(self._draws),
            together is None,
            uncapturable_part(trial),
        )
        self.alphas, self.betas = initial_architecture(
            self.relaxation, trial.seed, self.device, self.dtype
        )
        self.policy = (
            Policy(trial.update.policy, trial.optimizer.alphas, self.relaxation)
            if isinstance(self.relaxation, Controller)
            else None
        )
        self.size = SupernetSize(
            trial.space.init_channels, trial.space.cells, trial.relaxation.partial_channels
        )
        self.supernet = self._make_supernet(self.size)
        self.batch_size = trial.schedule.batch_size
        self._train, self._valid = make_streams(trial, self.data)
        check_batches(trial, self.data, (self._train, self._valid))
        self.optimizers = Optimizers(
            with_step_size(trial, self.space, self.steps_per_epoch),
            self.supernet,
            self.alphas,
            self.betas,
            self.choices,
            capturable=self._steps.captures,
        )
        self._connect()

    def _make_supernet(self, size: SupernetSize) -> Supernet:
        return make_supernet(self.space, self.data, size, self.trial, self.device, self.dtype)

    def _connect(self) -> None:
        """Connect the objective and the update to the current supernet."""
        self.objective = self._make_objective(
            self.supernet,
            self.relaxation,
            self.alphas,
            self.betas,
            self._steps.draws,
            bfloat16=self.trial.runtime.autocast,
            cost=expected_cost(
                self.trial.relaxation.flops_weight,
                *(self.space, self.size, self.data.image_size),
                like=next(iter(self.alphas.values())),
                bound=self.trial.relaxation.flops_bound,
            ),
        )

    @property
    def optimisers(self) -> Optimizers:
        """The optimizers, under the name that custom rules use; until version 0.2."""
        return self.optimizers

    @property
    def steps_per_epoch(self) -> int:
        """Number of w steps per epoch."""
        return self.trial.schedule.steps_per_epoch or self._train.steps_per_epoch

    def set_batch_size(self, batch_size: int) -> None:
        """Change the batch size from now on; both streams start a new pass."""
        self.batch_size = batch_size
        self._train.resize(batch_size)
        self._valid.resize(batch_size)

    def rebuild(self, size: SupernetSize) -> Supernet:
        """Replace the supernet by a newly initialized one of another size; return the old one.

        w's optimizer is reset.
        """
        old, self.size = self.supernet, size
        self._steps.reset()  # frees memory before the new one is allocated
        self.supernet = self._make_supernet(size)
        self.supernet.skip_weight, self.supernet.drop_path = old.skip_weight, old.drop_path
        self.optimizers.restart_weights(self.supernet)
        self._connect()
        return old

    def widen(self, size: SupernetSize, generator: torch.Generator) -> None:
        """Replace the supernet by a wider one that keeps its weights and their momentum."""
        momenta = momenta_of(self.supernet, self.optimizers.weights)
        old = self.rebuild(size)
        origins = widen(old, self.supernet, generator)
        widen_momenta(momenta, self.supernet, self.optimizers.weights, origins)

    def restart_weights(self) -> None:
        """Restart the optimizer of w; w itself stays."""
        self.optimizers.restart_weights(self.supernet)

    def restart_alphas(self, seed: int | None = None) -> None:
        """Restart the optimizer of α; with a seed, sample α and β again too."""
        if seed is not None:
            sampled = initial_architecture(self.relaxation, seed, self.device, self.dtype)
            assign((self.alphas, self.betas), sampled)
        self.optimizers.restart_alphas()
        if self.policy is not None:
            self.policy.restart()

    def training_state(self) -> State:
        """Return the state of w, α, their optimizers and batches."""
        return {
            "size": self.size._asdict(),
            "supernet": _copies(self.supernet.state_dict()),
            "alphas": _copies(self.alphas),
            "betas": _copies(self.betas),
            "optimisers": copy.deepcopy(self.optimizers.state_dict()),
            "draws": self._draws.get_state(),
            **({} if self.policy is None else {"policy": self.policy.state_dict()}),
            "batch_size": self.batch_size,
            "train_batches": self._train.state_dict(),
            "valid_batches": self._valid.state_dict(),
        }

    def load_training_state(self, state: State) -> None:
        """Restore what `training_state` returned."""
        self._steps.reset()
        if SupernetSize(**state["size"]) != self.size:
            self.rebuild(SupernetSize(**state["size"]))
        self.supernet.load_state_dict(state["supernet"])
        assign((self.alphas, self.betas), (state["alphas"], state["betas"]))
        self.optimizers.load_state_dict(state["optimisers"])
        if self.policy is not None:
            self.policy.load_state_dict(state["policy"])
        self._draws.set_state(state["draws"])
        self.set_batch_size(state["batch_size"])
        self._train.load_state_dict(state["train_batches"])
        self._valid.load_state_dict(state["valid_batches"])


def assign(targets: Sequence[Mapping[str, Tensor]], values: Sequence[Mapping[str, Tensor]]) -> None:
    """Copy values to the tensors of the same names."""
    with torch.no_grad():
        for held, given in zip(targets, values, strict=True):
            for name, tensor in held.items():
                tensor.copy_(given[name])


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors: saving a view would save its whole base tensor."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
