"""Running the command line in a separate folder, as a user would."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing
from typer.testing import CliRunner

from tune_nas.cli import app
from tune_nas.library import with_overrides
from tune_nas.search import Search

VARIABLES = ("TUNE_NAS_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS")


@dataclass
class CommandLine:
    """The command line, in an empty folder."""

    folder: Path

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit status, stdout and stderr; our own errors are raised unchanged."""
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    def ok(self, *arguments: str) -> str:
        """Return stdout of a command that succeeds and prints nothing to stderr."""
        status, out, err = self.run(*arguments)
        assert (status, err) == (0, "")
        return out

    def json(self, *arguments: str) -> Any:
        """Return the one JSON document that a command prints."""
        return json.loads(self.ok(*arguments, "--format", "json"))

    def refused(self, *arguments: str) -> str:
        """Return the one line of a rejected command: status 2, nothing written."""
        before = sorted(self.folder.rglob("*"))
        status, out, err = self.run(*arguments)
        assert (status, out) == (2, ""), err
        assert err.startswith("tune-nas: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert sorted(self.folder.rglob("*")) == before
        return err.removeprefix("tune-nas: ").rstrip("\n")


@pytest.fixture(scope="session", autouse=True)
def _commands_built_once() -> Iterator[None]:
    """Let typer build the commands once for all tests, and not for each that runs one."""
    with pytest.MonkeyPatch.context() as patch:
        built_once = functools.cache(typer.main.get_command)
        patch.setattr(typer.testing, "_get_command", built_once, raising=False)
        yield


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A command line in an empty folder, without the variables that it honors."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return CommandLine(tmp_path)


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The trial of the search whose checkpoint the commands read."""
    return {
        "name": "tiny",
        "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
        "data": {"name": "fake", "train_images": 32, "resolution": 8},
        "schedule": {"epochs": 1, "batch_size": 16},
        "retrain": {"init_channels": 4, "cells": 1},
    }


@pytest.fixture
def checkpoint(command_line: CommandLine, tiny: dict[str, Any]) -> str:
    """Save a finished search in the folder and return the name of its checkpoint."""
    search = Search(with_overrides(tiny, {}))
    search.run_epoch()
    search.save(command_line.folder / "end")
    return "end"
