"""The command line without secrets, also as MLflow's tag, and the commit of a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tune_nas.invocation import command_line, commit_of, is_changed, without_secrets
from tune_nas.tracking.source_tags import COMMAND, SOURCE, source_tags


def test_changes_of_a_checkout_are_noticed(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        own = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *own, *arguments], check=True)

    assert (commit_of(tmp_path), is_changed(tmp_path)) == ("", False)
    git("init", "--quiet")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "--quiet", "--message", "x")
    commit = commit_of(tmp_path)
    assert len(commit) == 40 and not is_changed(tmp_path)
    (tmp_path / "untracked").write_text("a")
    assert not is_changed(tmp_path)
    (tmp_path / "file").write_text("b")
    assert (commit_of(tmp_path), is_changed(tmp_path)) == (commit, True)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--mlflow", "http://me:pa:s@s/w@host"], "--mlflow 'http://me:…@host'"),
        (["--mlflow=postgresql://u:p@h/db"], "'--mlflow=postgresql://u:…@h/db'"),
        (["http://host/x?token=abc&y=1"], "'http://host/x?token=…&y=1'"),
        (["--password", "hunter2", "next"], "--password … next"),
        (["--set", "data.api_key=abc"], "--set 'data.api_key=…'"),
        (["s3://bucket/nas", "--set", "update.lambda=1"], "s3://bucket/nas --set update.lambda=1"),
    ],
)
def test_secrets_of_a_command_line_are_left_out(arguments: list[str], shown: str) -> None:
    assert without_secrets(arguments) == shown


def test_the_tags_of_a_run_have_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["/usr/bin/tune-nas", "sweep", "lambda", "--mlflow", "http://me:hunter2@host"]
    monkeypatch.setattr(sys, "argv", arguments)
    tags = source_tags()
    assert tags[COMMAND] == "tune-nas sweep lambda --mlflow 'http://me:…@host'"
    assert tags[SOURCE] == "tune-nas sweep lambda"  # MLflow shows what follows the last slash


def test_the_package_is_the_command_line_too() -> None:
    command = [sys.executable, "-m", "tune_nas", "list", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("tune-nas: invalid value for 'kind': 'nothing' is not one of")


def test_the_command_line_of_a_script_and_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    for program, expected in (
        ("/opt/bin/tune-nas", "tune-nas list trials"),
        ("/opt/tune_nas/__main__.py", "python -m tune_nas list trials"),
    ):
        monkeypatch.setattr(sys, "argv", [program, "list", "trials"])
        assert command_line() == expected
    monkeypatch.setattr(sys, "argv", [])
    assert command_line() == ""
