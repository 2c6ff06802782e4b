from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.exceptions import RayTaskError

from tune_nas.sweep.ray.endings import error_line, stop_reason, summarize_error

TRACEBACK = """\x1b[36mray::Trainable.train()\x1b[39m (pid=1, ip=127.0.0.1)
  File "trainable.py", line 3, in step
    raise CheckpointError("search.pt: damaged: checksum differs")
tune_nas.errors.CheckpointError: search.pt: damaged: checksum differs
"""


def test_a_traceback_becomes_its_last_error() -> None:
    assert summarize_error(TRACEBACK) == "CheckpointError: search.pt: damaged: checksum differs"


def test_what_ray_wraps_is_unwrapped() -> None:
    wrapped = RayTaskError("step", TRACEBACK, ValueError("loss is nan"))
    assert summarize_error(wrapped) == "ValueError: loss is nan"


def test_an_error_without_message_is_its_type() -> None:
    assert summarize_error(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_long_error_is_cut() -> None:
    line = summarize_error(ValueError("x" * 1000))
    assert len(line) == 300
    assert line.endswith("…")


def test_the_newest_of_several_errors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "error.txt"
    path.write_text(
        f"Failure # 1 (occurred at 2026-01-01_10-00-00)\n{TRACEBACK}\n"
        "Failure # 2 (occurred at 2026-01-01_10-00-09)\nThe actor died unexpectedly.\n\tpid: 7\n"
    )
    trial: Any = SimpleNamespace(error_file=str(path), get_error=lambda: None)
    assert error_line(trial) == "The actor died unexpectedly."
    trial.error_file = str(tmp_path / "elsewhere.txt")
    assert error_line(trial) == "no error was recorded"


def test_a_reason_names_the_metric_where_it_is_known() -> None:
    assert stop_reason("ASHA", 3, 12, "valid_accuracy", 41.234) == (
        "stopped by ASHA after epoch 3 of 12, at valid_accuracy 41.23"
    )
    assert stop_reason("ASHA", 3, 12, "x") == "stopped by ASHA after epoch 3 of 12"
