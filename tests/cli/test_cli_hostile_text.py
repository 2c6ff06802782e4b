"""Text that is too long, has control characters, or expands beyond any memory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tune_nas.cli.output import print_json

LONG = "a" * 5000
# A search that would take a second if it were not rejected.
SEARCH = ("search", "milenas", "--epochs", "1", "--set", "schedule.steps_per_epoch=1", "--quiet")
TENFOLD = "[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]"
BOMB = "[&a0 x, " + ", ".join(f"&a{n} {TENFOLD.format(f'*a{n - 1}')}" for n in range(1, 30)) + "]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", LONG),
        ("sweep", LONG),
        ("show", LONG),
        ("inspect", LONG),
        ("retrain", LONG),
        (*SEARCH, "--space", LONG),
        (*SEARCH, "--set", f"{LONG}=1"),
        (*SEARCH, "--set", LONG),
        (*SEARCH, "--set", f"update.level={LONG}"),
        (*SEARCH, "--set", f"relaxation.options={{a: {LONG}}}"),
        (*SEARCH, "--data", "folder", "--data-dir", LONG),
        (*SEARCH, "--data", "cifar10", "--data-dir", LONG),
        (*SEARCH, "--name", LONG),
        (*SEARCH, "--set", f"start_from={LONG}"),
        (*SEARCH, "--set", f"runtime.device={LONG}"),
        (*SEARCH, "--storage", LONG),
        ("resume", LONG),
        ("select", LONG, "--selection", "magnitude"),
    ],
)
def test_five_thousand_characters_are_refused_in_a_line(command_line, arguments) -> None:
    assert len(command_line.refused(*arguments)) <= 2000


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "no\x1b[31mpe"),
        ("sweep", "no\x1b[31mpe"),
        (*SEARCH, "--space", "no\x1b[31mpe"),
        (*SEARCH, "--name", "no\x1b[31mpe"),
        (*SEARCH, "--set", "no\x1b[31mpe=1"),
        (*SEARCH, "--data-dir", "no\x1b[31mpe", "--data", "folder"),
        ("resume", "no\x1b[31mpe"),
    ],
)
def test_a_name_with_an_escape_is_shown_escaped(command_line, arguments) -> None:
    message = command_line.refused(*arguments)
    assert r"\x1b[31m" in message
    assert message.isprintable()


def test_json_escapes_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "a\x9b2J \u202eb λ"}
    print_json(value)
    printed = capsys.readouterr().out
    assert printed == '{\n  "name": "a\\u009b2J \\u202eb λ"\n}\n'
    assert json.loads(printed) == value


@pytest.mark.parametrize(
    "arguments",
    [
        (*SEARCH, "--set", f"data.dir={BOMB}"),
        (*SEARCH, "--set", f"relaxation.options={BOMB}"),
        ("sweep", "lambda", "--set", f"update.phases={BOMB}"),
    ],
)
def test_aliases_that_stand_for_too_much(command_line, arguments) -> None:
    assert "aliases stand for more than 4,000,000 characters" in command_line.refused(*arguments)


def test_aliases_that_stand_for_too_much_as_swept_values(command_line) -> None:
    Path("mine.yaml").write_text(
        f"trial: milenas\nparameters:\n  update.lambda:\n    grid: {BOMB}\n", encoding="utf-8"
    )
    message = command_line.refused("sweep", "mine.yaml")
    assert "mine.yaml: not valid YAML, line 4: its aliases stand for more than" in message


def test_a_yaml_error_is_one_line(command_line) -> None:
    Path("mine.yaml").write_bytes(b"name: \x00\n")
    message = command_line.refused("search", "mine.yaml")
    assert "special characters are not allowed" in message
    Path("mine.yaml").write_text("a: [1, 2\nb: }\n", encoding="utf-8")
    assert "mine.yaml: not valid YAML, line" in command_line.refused("search", "mine.yaml")


def test_a_file_with_ten_thousand_wrong_keys_names_the_first(command_line) -> None:
    keys = "\n".join(f"wrong{number}: 1" for number in range(10_000))
    Path("mine.yaml").write_text(keys, encoding="utf-8")
    message = command_line.refused("search", "mine.yaml")
    assert message.startswith("mine.yaml: unknown key 'wrong0'")
    assert message.endswith("; and 9990 more")


def test_a_file_that_is_too_large_is_not_read(command_line) -> None:
    with Path("large.yaml").open("wb") as file:
        os.truncate(file.fileno(), 2**40)  # a sparse file: it takes no room on the disk
    message = command_line.refused("show", "large.yaml")
    assert message == "large.yaml: has 1,099,511,627,776 bytes, too many for a file of settings"


def test_a_user_who_does_not_exist_has_no_home(command_line) -> None:
    for arguments in (
        ("search", "~nosuchuser/x.yaml"),
        (*SEARCH, "--storage", "~nosuchuser/runs"),
        (*SEARCH, "--data", "folder", "--set", "data.dir=~nosuchuser/x"),
        (*SEARCH, "--data", "folder", "--data-dir", "~nosuchuser/x"),
    ):
        assert "'~nosuchuser' has no home directory" in command_line.refused(*arguments)


@pytest.mark.parametrize(
    ("key", "base"),
    [
        ("relaxation.kind", "Relaxation"),
        ("selection.kind", "Selection"),
        ("schedule.rules", "Rule"),
    ],
)
def test_an_own_part_that_exits_is_named(command_line, monkeypatch, key: str, base: str) -> None:
    module = f"exits_{base.lower()}"
    Path(f"{module}.py").write_text("import sys\n\nsys.exit('enough')\n", encoding="utf-8")
    value = f"{module}:Part"
    setting = f"{key}=[{value!r}]" if key == "schedule.rules" else f"{key}={value}"
    message = command_line.refused(*SEARCH, "--set", setting)
    assert message == (f"{key} is '{value}', but importing it fails: it calls sys.exit ('enough')")
    # the same in a class that is imported well, and exits when it is made
    own = f"made_{base.lower()}"
    Path(f"{own}.py").write_text(
        f"import sys\nfrom tune_nas.search import {base}\n\n\nclass Part({base}):\n"
        "    relax = genotype = None\n\n"
        "    def __init__(self, *args, **options):\n        sys.exit(3)\n",
        encoding="utf-8",
    )
    message = command_line.refused(*SEARCH, "--set", setting.replace(module, own))
    assert message == f"{key} is '{own}:Part', but it calls sys.exit (3)"
