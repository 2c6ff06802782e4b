"""Ctrl-C, SIGTERM, SIGHUP and `tune-nas stop`: raised where safe, ignored at the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "SIGHUP, a closed terminal",
}
_STOP_COMMAND = "tune-nas stop"


class Interruption:
    """Turns Ctrl-C, SIGTERM, SIGHUP and a request from elsewhere into one KeyboardInterrupt.

    Within `deferred` the first signal waits for the next `check`: raised anywhere, it can be lost
    in Ray's event loop or cut a write to MLflow in half. A second signal is raised at once. Once
    one was raised, further signals are ignored until the end of `watch`, so that nothing is left
    half-closed.

    Args:
        requested: Whether `tune-nas stop` was used in another terminal; called by `check`.

    Attributes:
        reason: Name of the signal; Ctrl-C if none has arrived, as for other KeyboardInterrupts.
    """

    def __init__(self, requested: Callable[[], bool] = lambda: False) -> None:
        self.reason = _NAMES[signal.SIGINT]
        self._requested = requested
        self._pressed = self._raised = self._deferring = False

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Handle the signals within the block; possible only in a main thread.

        An ignored signal, e.g. SIGHUP under ``nohup``, stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heard = [n for n in _NAMES if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer the first signal to `check` within the block."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    @property
    def pressed(self) -> bool:
        """Whether a signal has arrived."""
        return self._pressed

    def check(self, error: type[BaseException] = KeyboardInterrupt) -> None:
        """Raise a signal that was deferred, or was raised before and lost.

        Args:
            error: The error to raise.

        Raises:
            KeyboardInterrupt: After a signal or request, unless another error is given.
        """
        if not self._pressed and self._requested():
            self.reason, self._pressed = _STOP_COMMAND, True
        if self._pressed:
            self._raised = True
            raise error from None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._raised:
            return
        self.reason = _NAMES[signal.Signals(number)]
        waits = self._deferring and not self._pressed
        self._pressed = True
        if not waits:
            self._raised = True
            raise KeyboardInterrupt
