"""Rendezvous of threads, to compute equal kinds of requests jointly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Asked(Generic[Question, Answer]):
    """A question that waits for its answer or an error."""

    kind: Hashable
    question: Question
    rounds: int = 1
    answer: Answer | None = None
    error: BaseException | None = None
    done: bool = False


class Rendezvous(Generic[Question, Answer]):
    """Answers the questions of threads in groups of one kind.

    When all present threads have asked, one group is answered. Threads with the same sequence of
    kinds of questions thus synchronize, regardless of when they started: the larger group goes
    first, and the others wait until it has caught up. The waiting time of a group also counts, so
    that one that never meets the others gets its turn.

    Args:
        answer: Answers the questions of a group, one answer each, in order. Called by one thread at
            a time, while all others wait.
    """

    def __init__(self, answer: Callable[[Sequence[Question]], Sequence[Answer]]) -> None:
        self._answer = answer
        self._changed = threading.Condition()
        self._present = 0
        self._waiting: list[_Asked[Question, Answer]] = []

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Be present during the block: the others wait for this thread's questions."""
        with self._changed:
            self._present += 1
        try:
            yield
        finally:
            with self._changed:
                self._present -= 1
                self._changed.notify_all()

    def ask(self, kind: Hashable, question: Question) -> Answer:
        """Return the answer to a question when it is its group's turn.

        Args:
            kind: Questions of equal kinds are answered together.
            question: The question.

        Raises:
            Exception: The exception raised while answering the group.
        """
        asked: _Asked[Question, Answer] = _Asked(kind, question)
        with self._changed:
            self._waiting.append(asked)
            while not asked.done:
                if len(self._waiting) >= self._present:
                    self._serve()
                else:
                    self._changed.wait()
        if asked.error is not None:
            raise asked.error
        return cast(Answer, asked.answer)

    def _serve(self) -> None:
        """Answer the group with the largest size times rounds waited."""
        groups: dict[Hashable, list[_Asked[Question, Answer]]] = {}
        for asked in self._waiting:
            groups.setdefault(asked.kind, []).append(asked)
        group = max(groups.values(), key=lambda each: len(each) * max(one.rounds for one in each))
        self._waiting = [asked for asked in self._waiting if asked not in group]
        for asked in self._waiting:
            asked.rounds += 1
        try:
            answers = self._answer([asked.question for asked in group])
            for asked, answer in zip(group, answers, strict=True):
                asked.answer = answer
        except BaseException as error:  # raised in the asking threads, whichever thread computes
            for asked in group:
                asked.error = error
        for asked in group:
            asked.done = True
        self._changed.notify_all()
