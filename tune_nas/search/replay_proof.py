"""Proof of a captured function: its first replay is compared with the same function, run eagerly.

Both start from the same state of memory and of random generators. The eager run comes first, and
what it did is what remains, so that a replay that does something else has no effect on a search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from tune_nas.search.replay_differences import (
    Difference,
    Place,
    difference,
    distance_of,
    flat,
    flat_result,
    in_words,
)

State = Mapping[str, Mapping[str, Tensor]]
"""The tensors that a function may change, by kind, e.g. α, and name."""

_Result = TypeVar("_Result")


def run_and_compare(
    eager: Callable[[], _Result],
    replay: Callable[[], _Result],
    read_state: Callable[[], State],
    generators: Mapping[str, torch.Generator],
) -> tuple[_Result, str | None]:
    """Run a function eagerly, compare a replay with it, and keep the state of the eager run.

    Args:
        eager: Runs the function and returns its result: nested containers of tensors.
        replay: Captures the function and replays it once. It follows the eager run, so that it
            can use the memory that the eager run has freed.
        read_state: Returns everything that the function may change; the same tensors each time.
        generators: The random generators that it may use, by name.

    Returns:
        The result of the eager run, and in one line how the replay differs from it or why there is
        none; None if they are equal.
    """
    state = flat(read_state())
    copies = _Copies(state, generators)
    result = eager()
    left = flat(read_state())
    for place in {**state, **left}:
        if state.get(place) is not left.get(place):
            return result, f"it replaces a tensor of its state: {place.kind} ({place.name})"
    copies.measure_changes()
    copies.swap()
    try:
        found = [*_between(replay(), result), *copies.differences()]
    except RuntimeError as error:
        return result, first_line(error)
    finally:
        copies.swap()
    return result, in_words(found) if found else None


def default_generators(device: torch.device) -> dict[str, torch.Generator]:
    """Return torch's own generators by name: the one of the CPU, and the one of a GPU."""
    found = {"torch's on the CPU": torch.default_generator}
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        found[f"torch's on {device}"] = torch.cuda.default_generators[index]
    return found


def first_line(error: BaseException) -> str:
    """Return the first error message: a failure to end the capture only follows from it."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).partition("\n")[0]


class _Copies:
    """A second value of each tensor of a state, and a second state of each generator.

    Args:
        state: The tensors.
        generators: The generators, by name.
    """

    def __init__(
        self, state: Mapping[Place, Tensor], generators: Mapping[str, torch.Generator]
    ) -> None:
        self._state, self._generators = state, generators
        self._values = {place: tensor.detach().clone() for place, tensor in state.items()}
        self._generator_states = {name: each.get_state() for name, each in generators.items()}
        self._changes: dict[Place, Tensor] = {}

    @torch.no_grad()
    def measure_changes(self) -> None:
        """Measure how far each tensor is from its copy."""
        for place, tensor in self._state.items():
            self._changes[place] = distance_of(tensor, self._values[place])

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange values and copies, which takes the memory of one more tensor."""
        for place, tensor in self._state.items():
            before = tensor.detach().clone()
            tensor.copy_(self._values[place])
            self._values[place].copy_(before)
        for name, generator in self._generators.items():
            state = generator.get_state()
            generator.set_state(self._generator_states[name])
            self._generator_states[name] = state

    @torch.no_grad()
    def differences(self) -> list[Difference]:
        """Return the differences of the values from the copies."""
        found = [
            difference(place, tensor, self._values[place], self._changes[place])
            for place, tensor in self._state.items()
        ]
        advanced = [
            Difference(Place("random generator", name), math.nan, 0.0)
            for name, generator in self._generators.items()
            if not torch.equal(generator.get_state(), self._generator_states[name])
        ]
        return [each for each in found if each is not None] + advanced


@torch.no_grad()
def _between(replayed: object, truth: object) -> list[Difference]:
    """Return the differences of two results."""
    other = flat_result(truth)
    found = [
        difference(place, tensor, other[place], other[place].double().norm())
        for place, tensor in flat_result(replayed).items()
    ]
    return [each for each in found if each is not None]
