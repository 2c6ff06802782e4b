"""Captured functions of tensors, e.g. the pass of an evaluation."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from tune_nas.search.capture import WARM_UP, Capture, log_eager
from tune_nas.search.replay_proof import default_generators, run_and_compare

_Result = TypeVar("_Result")

# Maximum number of captured functions; each needs memory, and a selection evaluates many masks.
KEPT = 6


class CapturedFunctions:
    """Runs functions of tensors on the device; frequent ones are captured.

    The first replay of each is compared with an eager run: see `run_and_compare`.

    Args:
        capture: Captures them; None to run all eagerly.
        what: Their description, for the line that is logged on failure.
    """

    def __init__(self, capture: Capture | None, what: str) -> None:
        self._capture, self._what = capture, what
        # by thread: initialization by libraries at the first call in a thread cannot be captured
        self._runs: Counter[tuple[Hashable, int]] = Counter()
        self._captured: dict[Hashable, _CapturedFunction[Any]] = {}

    def run(
        self,
        key: Hashable,
        function: Callable[..., _Result],
        *inputs: object,
        state: Callable[[], Mapping[str, Tensor]] = dict,
    ) -> _Result:
        """Return the result of a function: nested containers of tensors.

        Args:
            key: Equal for equal functions on inputs of equal structure, shapes and types.
            function: Reads its inputs, and reads and changes memory at fixed addresses.
            inputs: Nested containers of tensors.
            state: Returns the memory that the function changes, by name.
        """
        if self._capture is None:
            return function(*inputs)
        captured = self._captured.get(key)
        if captured is None:
            here = (key, threading.get_ident())
            self._runs[here] += 1
            if self._runs[here] <= WARM_UP:
                return function(*inputs)
            return self._capture_function(key, self._capture, function, inputs, state)
        self._captured[key] = self._captured.pop(key)  # the most recent is last
        return cast(_Result, captured(inputs))

    def _capture_function(
        self,
        key: Hashable,
        capture: Capture,
        function: Callable[..., _Result],
        inputs: tuple[object, ...],
        state: Callable[[], Mapping[str, Tensor]],
    ) -> _Result:
        """Return the eager result of a function, and capture it for its next runs."""
        captured: list[_CapturedFunction[_Result]] = []

        def replay() -> _Result:
            captured.append(_CapturedFunction(function, inputs, capture))
            return captured[0](inputs)

        result, fault = run_and_compare(
            lambda: function(*inputs),
            replay,
            lambda: {"statistics": state()},
            default_generators(_device(inputs)),
        )
        if fault is not None:
            self._capture = None
            self.reset()
            log_eager(fault, self._what)
            return result
        if len(self._captured) >= KEPT:
            oldest = next(iter(self._captured))
            del self._captured[oldest]
            for run in [run for run in self._runs if run[0] == oldest]:
                del self._runs[run]
        self._captured[key] = captured[0]
        return result

    def reset(self) -> None:
        """Drop all captured functions."""
        self._runs.clear()
        self._captured.clear()


class _CapturedFunction(Generic[_Result]):
    """A captured function; its result is a copy, as the next run overwrites the original."""

    def __init__(
        self, function: Callable[..., _Result], inputs: tuple[object, ...], capture: Capture
    ) -> None:
        self._inputs = tree_map_only(Tensor, _copy, inputs)
        given: list[_Result] = []

        def run() -> None:
            given[:] = [function(*self._inputs)]

        self._replay = capture(run, ())
        self._given = given[0]

    def __call__(self, inputs: tuple[object, ...]) -> _Result:
        for own, tensor in zip(tree_leaves(self._inputs), tree_leaves(inputs), strict=True):
            if isinstance(own, Tensor):
                own.copy_(tensor.detach())
        self._replay()
        return cast(_Result, tree_map_only(Tensor, _copy, self._given))


def _copy(tensor: Tensor) -> Tensor:
    """Return a copy that keeps no reference to the tensor's origin."""
    return tensor.detach().clone()


def _device(inputs: tuple[object, ...]) -> torch.device:
    return next(leaf.device for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor))
