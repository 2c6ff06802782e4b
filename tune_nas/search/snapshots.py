"""Snapshots of the training of a search, from which it can continue later."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

from torch import Tensor
from torch.utils._pytree import tree_map_only

from tune_nas.checkpoint import State
from tune_nas.search.rules import Rule
from tune_nas.search.supernet_training import SupernetTraining


def take_snapshot(training: SupernetTraining, rules: Sequence[Rule]) -> State:
    """Return a copy of the state of w, α, batches, candidates and rules, tensors on the CPU.

    Args:
        training: The training.
        rules: Its rules; those that go back themselves are left out.
    """
    state = {**training.training_state(), "choices": training.choices.state_dict()}
    own = [rule.state_dict() for rule in rules if not rule.rolls_back]
    return {**cast(State, tree_map_only(Tensor, Tensor.cpu, state)), "rules": copy.deepcopy(own)}


def load_snapshot(training: SupernetTraining, rules: Sequence[Rule], snapshot: State) -> None:
    """Restore what `take_snapshot` returned, which stays as it is."""
    state = copy.deepcopy(snapshot)  # optimizers keep the tensors that they load
    training.load_training_state(state)
    training.choices.load_state_dict(state["choices"])
    restored = [rule for rule in rules if not rule.rolls_back]
    for rule, saved in zip(restored, state["rules"], strict=True):
        rule.load_state_dict(saved)
