"""The recorded calls of a strategy, by which it is restored from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tune_nas.errors import CheckpointError
from tune_nas.strategies.strategy import Request, Strategy

Event = list[object]


class History:
    """The sequence of calls of a strategy.

    Every `Strategy.ask` and `Strategy.tell` must be recorded, in order. An event is one of::

        ["ask", None]                                          nothing to train for now
        ["ask", [number, candidate, genotype, start, epochs]]  a request, its genotype as text
        ["tell", number, accuracy]                             None for a failed training

    An ``ask`` without a request is recorded once, however often it is repeated.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self._events)

    def record_ask(self, request: Request | None) -> None:
        """Add the result of `Strategy.ask`."""
        event: Event = ["ask", None if request is None else _as_list(request)]
        if request is not None or self._events[-1:] != [event]:
            self._events.append(event)

    def record_tell(self, request: Request, accuracy: float | None) -> None:
        """Add a call of `Strategy.tell`."""
        failed = accuracy is None or not math.isfinite(accuracy)
        self._events.append(["tell", request.number, None if failed else accuracy])

    def to_state(self) -> dict[str, list[Event]]:
        """Return the events as plain containers, which a checkpoint or JSON can hold."""
        return {"events": [list(event) for event in self._events]}

    @classmethod
    def restore(cls, strategy: Strategy, state: Mapping[str, object]) -> History:
        """Repeat the recorded calls on a new strategy.

        Its pending requests (`Strategy.pending`) are then those that had no answer.

        Args:
            strategy: A new strategy with the same inputs.
            state: The result of `to_state`.

        Returns:
            The history, to be continued.

        Raises:
            CheckpointError: If the state is damaged, or the strategy now asks for other jobs.
        """
        history = cls()
        asked: dict[int, Request] = {}
        for event in _events(state):
            match event:
                case ["ask", wanted]:
                    request = strategy.ask()
                    found = None if request is None else _as_list(request)
                    if found != wanted:
                        raise CheckpointError(
                            "the checkpoint's decisions are not those of this version: call "
                            f"{len(history) + 1} asked for {_shown(wanted)}, now for "
                            f"{_shown(found)}; start the search again"
                        )
                    if request is not None:
                        asked[request.number] = request
                    history.record_ask(request)
                case ["tell", int(number), float() | int() | None as accuracy] if number in asked:
                    request = asked.pop(number)
                    strategy.tell(request, accuracy)
                    history.record_tell(request, accuracy)
                case _:
                    raise CheckpointError(f"the search's history is damaged: {event!r:.80}")
        return history


def _events(state: object) -> list[object]:
    events = state.get("events") if isinstance(state, Mapping) else None
    if not isinstance(events, list):
        raise CheckpointError("the search's history is damaged: it has no list of events")
    return events


def _as_list(request: Request) -> Event:
    genotype = str(request.genotype)
    return [request.number, request.candidate, genotype, request.start, request.epochs]


def _shown(wanted: object) -> str:
    match wanted:
        case [_, candidate, genotype, start, epochs]:
            return f"candidate {candidate} ({genotype}) from epoch {start} to {epochs}"
    return "nothing"
