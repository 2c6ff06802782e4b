"""A stand-in for a CUDA graph on a CPU: it repeats torch's operations on the same memory.

As with a graph, capturing changes no memory, what Python knew at capture is what it was then, and
reading a value back to the host cannot be captured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

# They need a value, or a shape that follows from values, on the host.
READS = {
    "aten::_local_scalar_dense",
    "aten::is_nonzero",
    "aten::equal",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::lift_fresh",  # a tensor made from Python's numbers: sent to the device
}
NORMS = {"aten::native_batch_norm", "aten::_native_batch_norm_legit"}  # write to their statistics


class Recording(TorchDispatchMode):
    """The operations of a function, in order."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        # torch hands an operation another object for the same generator: they are told by seeds
        self.seeds = {
            generator.manual_seed(i).initial_seed() for i, generator in enumerate(generators)
        }
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0
        self._before: dict[int, tuple[torch.Tensor, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        self._check(func, name, args, kwargs)
        for tensor in self._written(func, name, args, kwargs):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._before:
                self._before[storage.data_ptr()] = (tensor, storage.clone())
        out = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, out))
        return out

    def _check(self, func: Any, name: str, args: Any, kwargs: Any) -> None:
        if name in READS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        if name.startswith("aten::index") and len(args) > 1:
            picked = tree_flatten(args[1])[0] if isinstance(args[1], list | tuple) else []
            if any(isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in picked):
                raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        if torch.Tag.nondeterministic_seeded in func.tags:
            named = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)}
            used = {**named, **kwargs}.get("generator")
            if used is None or used.initial_seed() not in self.seeds:
                raise RuntimeError(f"{name} draws from a generator that is not registered")

    @staticmethod
    def _written(func: Any, name: str, args: Any, kwargs: Any) -> list[torch.Tensor]:
        schema = func._schema.arguments
        given = [*zip(schema, args, strict=False)]
        given += [(a, kwargs[a.name]) for a in schema if a.name in kwargs]
        found = [value for a, value in given if a.alias_info is not None and a.alias_info.is_write]
        if name in NORMS:
            found += [args[3], args[4]]
        return [each for each in tree_flatten(found)[0] if isinstance(each, torch.Tensor)]

    @property
    def is_step(self) -> bool:
        """Whether it has gradients, and so is no pass of an evaluation."""
        return any("backward" in func._schema.name for func, *_ in self.calls)

    def undo(self) -> None:
        """Put all memory back that was written to."""
        for tensor, before in self._before.values():
            tensor.untyped_storage().copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        """Run the operations again on the memory that they were captured with."""
        self.replays += 1
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            own, new = tree_flatten(out)[0], tree_flatten(again)[0]
            returns = func._schema.returns
            aliases = any(each.alias_info is not None for each in returns)
            for old, value in zip(own, new, strict=True):
                if not aliases and isinstance(old, torch.Tensor):
                    old.copy_(value)


class Recorder:
    """Captures functions as recordings."""

    def __init__(self) -> None:
        self.recordings: list[Recording] = []

    def __call__(
        self, function: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> Callable[[], None]:
        recording = Recording(generators)
        try:
            with recording:
                function()
        finally:
            recording.undo()
        self.recordings.append(recording)
        return recording.replay


class FaultyRecorder(Recorder):
    """Captures functions as recordings whose replays also do something wrong.

    Args:
        fault: Called with the recording after each replay.
        steps_only: Whether passes of evaluations are replayed without it.
    """

    def __init__(self, fault: Callable[[Recording], None], steps_only: bool = True) -> None:
        super().__init__()
        self._fault, self._steps_only = fault, steps_only

    def __call__(
        self, function: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> Callable[[], None]:
        replay = super().__call__(function, generators)
        recording = self.recordings[-1]

        def replay_wrongly() -> None:
            replay()
            if recording.is_step or not self._steps_only:
                self._fault(recording)

        return replay_wrongly


class Refuser:
    """Captures nothing."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(
        self, function: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> Callable[[], None]:
        self.asked += 1
        raise RuntimeError("operation not permitted\nand more lines")
