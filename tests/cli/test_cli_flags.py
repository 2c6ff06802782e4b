"""Messages name keys in the library, and flags on the command line."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
import typer

from tune_nas.cli import app
from tune_nas.cli.flags import FLAGS, with_flags
from tune_nas.errors import ConfigError
from tune_nas.sweep import RunOptions

# Of a whole command, to be typed or named: `tune-nas resume NAME --storage FOLDER`.
COMMANDS = {
    ("tune_nas.sweep.options", " --storage "),
    (
        "tune_nas.spaces.notation.documents",
        "edges must have source, target and operation, as inspect --format json prints them",
    ),
}

# Options of other programs (git, nvidia-smi, ray) and variables of CSS.
OF_OTHERS = {
    *("--no-optional-locks", "--porcelain", "--untracked-files=no"),
    *("--query-gpu=name", "--format=csv,noheader"),
    *("--c", '" style="--width: ', "start it: ray start --head; then give its `address`"),
}


def test_keys_become_flags() -> None:
    with pytest.raises(ConfigError) as raised:
        RunOptions(cpus_per_trial=1, together=8, gpus_per_trial=0.5)
    message = str(raised.value)
    assert message.startswith("`together` is 8 with `gpus_per_trial` 0.5, but their product")
    assert with_flags(message).startswith(
        "--searches-per-process is 8 with --gpus-per-trial 0.5, but their"
    )
    assert with_flags("a `name` of `something` else") == "a --name of `something` else"


def test_every_flag_is_one_of_a_command() -> None:
    group: Any = typer.main.get_command(app)
    known = {
        flag
        for command in group.commands.values()
        for parameter in command.params
        for flag in parameter.opts
    }
    assert set(FLAGS.values()) <= known


def test_no_layer_below_names_a_flag(architecture: Any) -> None:
    found = set()
    for name, module in architecture.read_modules(architecture.PACKAGE).items():
        if name.startswith("tune_nas.cli"):
            continue
        docstrings = {
            id(node.value)
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        found |= {
            (name, node.value)
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if id(node) not in docstrings and re.search(r"(?<![\w-])--[a-z]", node.value)
        }
    assert {each for each in found - COMMANDS if each[1] not in OF_OTHERS} == set()
