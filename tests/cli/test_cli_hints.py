"""One helpful line for a name of another kind, a missing file, and a key given as an option."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tune_nas.shipped import shipped_folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "lambda"], "'lambda' is a sweep, not a trial; run it with: tune-nas sweep la"),
        (["sweep", "milenas"], "'milenas' is a trial, not a sweep; run it with: tune-nas search m"),
        (["search", "s1"], "'s1' is a space, not a trial; give it as --space s1"),
        (["search", "milenas", "--space", "gdas"], "'gdas' is a trial, not a space; run it with"),
        (["search", "milena"], "neither a file nor a shipped trial; did you mean 'milenas'?"),
        (["search", "xyzzy"], "neither a file nor a shipped trial; see `tune-nas list trials`"),
    ],
)
def test_a_name_of_another_kind(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused(*arguments)


@pytest.mark.parametrize(
    ("command", "kind", "name", "use"),
    [
        ("search", "sweep", "lambda", "run it with: tune-nas sweep"),
        ("sweep", "trial", "milenas", "run it with: tune-nas search"),
        ("search", "space", "s1", "give it as --space"),
    ],
)
def test_a_file_of_another_kind(command_line, command: str, kind: str, name: str, use: str) -> None:
    file = command_line.folder / "mine.yaml"
    file.write_text((shipped_folder(kind) / f"{name}.yaml").read_text("utf-8"), encoding="utf-8")
    wanted = "trial" if command == "search" else "sweep"
    message = command_line.refused(command, "mine.yaml")
    assert message == f"'mine.yaml' is a {kind}, not a {wanted}; {use} mine.yaml"


def test_a_file_of_no_known_kind_is_told_by_its_keys(command_line) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({"colour": "red"}), encoding="utf-8")
    assert "unknown key 'colour'" in command_line.refused("sweep", "mine.yaml")
    assert "unknown key 'colour'" in command_line.refused("search", "mine.yaml")


@pytest.mark.parametrize("text", ["absent.yaml", "some/absent.yaml", "absent.txt:NAME", "a.PY"])
@pytest.mark.parametrize("command", ["retrain", "inspect"])
def test_a_genotype_file_that_does_not_exist(command_line, command: str, text: str) -> None:
    path = text.partition(":")[0]
    assert command_line.refused(command, text) == f"there is no genotype file '{path}'"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "lambda", "--lambda", "3"], "; set the key of the trial: --set update.lambda="),
        (["search", "gdas", "--batch-size", "3"], "--set schedule.batch_size=VALUE or --set retra"),
        (
            ["search", "gdas", "--cells", "3"],
            "--set space.cells=VALUE or --set retrain.cells=VALUE",
        ),
        (["search", "gdas", "--update.level", "3"], "key of the trial: --set update.level=VALUE"),
    ],
)
def test_a_key_as_an_option(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["search", "gdas", "--epoch", "3"],
            "no such option: --epoch (Possible options: --epochs)",
        ),
        (["search", "gdas", "--nothing-like-it"], "no such option: --nothing-like-it"),
        (["list", "trials", "--lambda"], "no such option: --lambda"),  # it sets no keys
    ],
)
def test_other_options_have_no_such_hint(command_line, arguments: list[str], line: str) -> None:
    assert command_line.refused(*arguments) == line


@pytest.mark.parametrize(
    ("file", "name"),
    [("cifar-10-batches-py", "cifar10"), ("cifar-100-python", "cifar100"), ("train", "folder")],
)
def test_a_folder_without_the_name_of_its_data_set(command_line, file: str, name: str) -> None:
    (command_line.folder / "images" / file).mkdir(parents=True)
    message = command_line.refused("search", "gdas", "--data-dir", "images")
    assert f"does not use it; give --data {name}, which the folder has, or set data.dir" in message


def test_a_folder_of_no_known_data_set(command_line) -> None:
    (command_line.folder / "images").mkdir()
    message = command_line.refused("search", "gdas", "--data-dir", "images")
    assert "choose one that does (--data cifar10, cifar100" in message
