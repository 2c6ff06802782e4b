"""Ctrl-C and SIGTERM, raised only where safe."""

import os
import signal
import threading

import pytest

from tune_nas.sweep.interruption import Interruption


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_between_two_steps_the_first_signal_waits_and_the_second_does_not() -> None:
    interruption = Interruption()
    with interruption.watch(), interruption.deferred():
        interruption.check()
        send(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert interruption.reason == "SIGTERM"

    interruption = Interruption()
    with interruption.watch(), interruption.deferred():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):  # if Ray's event loop has lost it
            interruption.check()
    assert interruption.reason == "Ctrl-C"


def test_elsewhere_it_is_raised_at_once_and_what_follows_is_ignored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    interruption = Interruption()
    with interruption.watch():
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
        send(signal.SIGINT)
        send(signal.SIGTERM)
        assert interruption.reason == "SIGTERM"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_thread_has_no_signals() -> None:
    seen = []

    def run() -> None:
        with Interruption().watch():
            seen.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [True]
