"""Starting a private Ray: on a machine that is too slow at first, and under a long path."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from standin import TASKS, MakeSweep

from tune_nas.errors import StorageError
from tune_nas.sweep import RunOptions, run_sweep
from tune_nas.sweep.ray import environment, local_ray

TIMED_OUT = Exception("The current node timed out during startup. This could happen because …")

# The first node fails when its processes run already, as one does that times out.
FAILS_ONCE = """
import os
from pathlib import Path
from ray._private import services
from tune_nas.sweep.ray.cluster import connect

get_node, asked = services.get_node, []

def servers():
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z" and name in ("gcs_server", "raylet"):
            found.append(name)
    return sorted(found)

def fails_once(*arguments):
    asked.append(servers())
    if len(asked) == 1:
        raise Exception("timed out")
    return get_node(*arguments)

services.get_node = fails_once
with connect(None):
    import ray
    print(asked[0], servers(), ray.get(ray.remote(lambda: 42).remote()))
print(servers())
"""


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The error of each attempt to start Ray, None for none; an attempt removes its entry."""
    outcomes: list[Any] = []

    def init(**_: Any) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return outcomes


def test_a_ray_that_does_not_start_in_time_is_tried_once_more(
    tries: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    tries += [TIMED_OUT, None]
    local_ray.start()
    assert tries == []
    assert "Ray did not start, and is tried once more: The current node timed" in caplog.text


def test_a_ray_that_never_starts_is_one_line(tries: list[Any]) -> None:
    tries += [TIMED_OUT, TIMED_OUT, None]
    with pytest.raises(StorageError) as error:
        local_ray.start()
    assert str(error.value).startswith("Ray cannot be started on this machine: The current node")
    assert "\n" not in str(error.value)
    assert tries == [None]


@pytest.mark.parametrize(
    "reason", [OSError(errno.ENOSPC, "No space left on device", "/tmp/ray"), KeyboardInterrupt()]
)
def test_what_a_second_try_cannot_mend_is_not_tried_again(
    tries: list[Any], reason: BaseException
) -> None:
    tries += [reason, None]
    with pytest.raises((StorageError, KeyboardInterrupt)) as error:
        local_ray.start()
    assert isinstance(reason, KeyboardInterrupt) or "'/tmp/ray'" in str(error.value)
    assert tries == [None]


@pytest.mark.sweep
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_processes_of_the_first_try_are_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILS_ONCE], capture_output=True, text=True, timeout=180
    )
    assert done.stdout.splitlines() == [
        "['gcs_server', 'raylet'] ['gcs_server', 'raylet'] 42",
        "[]",
    ], done.stderr


def test_a_folder_too_long_for_sockets_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, make_sweep: MakeSweep, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment.sys, "platform", "linux")
    monkeypatch.setattr(environment, "_is_running", lambda: False)
    monkeypatch.setattr(environment, "_LONGEST_SOCKET", 107)
    monkeypatch.setattr(os, "getpid", lambda: 12345)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    # /tmp/…/ray/session_2026-11-28_19-18-06_963750_12345/sockets/plasma_store: 66 bytes below it
    fits, too_long = "/" + 40 * "x", "/" + 41 * "x"
    monkeypatch.setenv("TMPDIR", fits)
    environment.check_temporary_folder()
    monkeypatch.setenv("TMPDIR", too_long)
    with pytest.raises(StorageError) as error:
        run_sweep(make_sweep(), RunOptions(storage=str(tmp_path / "runs")), tasks=TASKS)
    assert str(error.value) == (
        f"TMPDIR is '{too_long}', but must have at most 41 bytes (it has 42), as Ray's sockets are "
        "below it; set RAY_TMPDIR to a short absolute path, e.g. RAY_TMPDIR=/tmp"
    )
    assert not (tmp_path / "runs").exists()
    monkeypatch.setenv("TMPDIR", "/" + 20 * "ü" + "xx")  # bytes count, not characters
    with pytest.raises(StorageError, match=r"at most 41 bytes \(it has 43\)"):
        environment.check_temporary_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # goes before TMPDIR
    environment.check_temporary_folder()
    monkeypatch.setenv("RAY_TMPDIR", "tmp")
    with pytest.raises(StorageError, match="RAY_TMPDIR is 'tmp', but must be absolute for Ray"):
        environment.check_temporary_folder()
    monkeypatch.setattr(environment, "_is_running", lambda: True)  # and has its folder
    environment.check_temporary_folder()


@pytest.mark.sweep
@pytest.mark.skipif(sys.platform == "win32", reason="there is no niceness")
def test_trials_have_the_priority_of_the_command() -> None:
    code = (
        "import os\n"
        "from tune_nas.sweep.ray.cluster import connect\n"
        "with connect(None):\n"
        "    import ray\n"
        "    print(ray.get(ray.remote(lambda: os.nice(0)).remote()))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "RAY_worker_niceness"}
    for more in (0, 3):
        command = ["nice", "-n", str(more), sys.executable, "-c", code]
        printed = subprocess.check_output(command, env=environment, text=True, timeout=120)
        assert int(printed) == os.nice(0) + more
