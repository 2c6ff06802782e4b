"""YAML that people hand in: what is read, and what is refused before anything is made of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from yaml.constructor import BaseConstructor

from tune_nas import library, yaml_text
from tune_nas.yaml_text import MOST_CHARACTERS, MOST_LEVELS, parse_yaml

# What texts of settings are made of, and what parsers read differently.
PARTS = [
    *("a: ", "b", "- ", "  ", "\n", ": ", "? ", "[", "]", "{", "}", ", ", "'x'", '"y"', "''", "\t"),
    *("|\n", ">\n", "|2-\n", ">#", "#c\n", "!!int ", "!", "&a ", "*a", "<<: ", "---\n", "...\n"),
    *("%YAML 1.1\n", "1.5", "0x1F", "1e3", "~", "true", "no", "a:b", "-1", "010", "1_000", ".inf"),
    *("190:20:30", '"\\x41"', "\\", "@", "`", "\r\n", "\r", "é", "\x85", "\u2028", "\ufeff"),
    *("\x00", "2001-01-01", "\ud800", "😀"),
]

TENFOLD = "[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]"


def bomb(levels: int, most: str = "many") -> str:
    """Return a text in which each level is ten times the one below: 10 ** levels values."""
    lines = [f"level0: &level0 {most}"]
    lines += [f"level{n}: &level{n} {TENFOLD.format(f'*level{n - 1}')}" for n in range(1, levels)]
    return "\n".join(lines)


def test_aliases_are_replaced_by_their_values() -> None:
    text = "a: &a {x: 1, y: [2.5, null]}\nb: *a\nc: {<<: *a, x: true}\n"
    shared = {"x": 1, "y": [2.5, None]}
    assert parse_yaml(text) == {"a": shared, "b": shared, "c": {"x": True, "y": [2.5, None]}}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(bomb(30), id="lists"),
        pytest.param(bomb(2, "x" * (MOST_CHARACTERS // 5)), id="long text"),
        pytest.param(
            "a: &a {x: 1}\n"
            + "\n".join(
                f"{now}: &{now} {{<<: [{', '.join([f'*{before}'] * 10)}]}}"
                for before, now in zip("abcdefghijk", "bcdefghijkl", strict=True)
            ),
            id="merges",
        ),
    ],
)
def test_aliases_that_stand_for_too_much_are_refused_before_they_are_followed(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the content was built")

    monkeypatch.setattr(BaseConstructor, "construct_document", never)
    with pytest.raises(yaml.YAMLError, match="aliases stand for more than 4,000,000 characters"):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "an alias leads into the value that it is part of"),
        ("a: &a {b: {c: *a}}", "an alias leads into the value that it is part of"),
        ("a: 2024-01-31", "2024-01-31 is a date; write it in quotes"),
        ("a: !!binary aGk=", "a value of type !!binary, which no key takes"),
        ("a: !!set {x}", "a value of type !!set, which no key takes"),
        ("a: !!omap [x: 1]", "a value of type !!omap, which no key takes"),
        (f"a: {'9' * 101}", "an integer of 101 digits; at most 100"),
        ("a: !!int ''", "a value is not of the type that its tag names"),
        ("a: !!bool maybe", "a value is not of the type that its tag names"),
        ("a: !!float b", "could not convert string to float: 'b'"),
        ("a: !!int b", "invalid literal for int() with base 10: 'b'"),
        ("a: 0x_", "invalid literal for int() with base 16: ''"),
        (f"a: 0x{'f' * 5000}", "an integer of 5,002 digits; at most 100"),
        (f"a: 1{':1' * 3000}", "an integer of 6,001 digits; at most 100"),
        (f"{{{'k' * 999}: 1, {'k' * 999}: 2}}", f"the key '{'k' * 249}…' is there twice"),
        ("x" * (MOST_CHARACTERS + 1), "it has 4,000,001 characters; at most 4,000,000"),
    ],
)
def test_what_no_key_takes_is_refused(text: str, message: str) -> None:
    with pytest.raises(yaml.YAMLError) as error:
        parse_yaml(text)
    assert message in str(error.value)


def test_an_integer_of_a_hundred_digits_and_a_quoted_date_are_read() -> None:
    assert parse_yaml(f"[{'9' * 100}, '2024-01-31']") == [10**100 - 1, "2024-01-31"]


def outcome(text: str) -> object:
    """Return what a text is read as, or the message of the error."""
    try:
        return repr(parse_yaml(text))  # `nan` is not equal to itself
    except yaml.YAMLError as error:
        return str(error)


def without_libyaml(text: str) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        return outcome(text)


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
@example("b\t")
@example("!!int ''")
@example("!!int '_'")
@example("- ! ")
@example("a: >#\n")
@example("? ")
@example("[ud800: '\ud800']")
@example("a: 1\na: 2\n")
def test_values_and_messages_are_the_same_without_libyaml(text: str) -> None:
    assert outcome(text) == without_libyaml(text)


def test_the_shipped_files_are_read_by_libyaml_and_are_the_same_without() -> None:
    folder = Path(library.__file__).parents[1]
    files = [*folder.glob("search_spaces/**/*.yaml"), *folder.glob("trials/*.yaml")]
    texts = [file.read_text("utf-8") for file in files]
    expected = [without_libyaml(text) for text in texts]
    alike = sum(map(yaml_text._is_read_alike, texts))
    assert alike > 0.9 * len(texts) > 50
    assert [outcome(text) for text in texts] == expected


NESTED = {
    "lists": lambda n: "[" * n + "]" * n,
    "lists, a line each": lambda n: "[\n" * n + "]\n" * n,
    "mappings, a line each": lambda n: "{a:\n" * n + "}\n" * n,
    "dashes": lambda n: "- " * n + "x",
    "keys": lambda n: "\n".join(" " * level + "a:" for level in range(n)) + " x",
    "dashes and keys": lambda n: "\n".join(
        " " * 3 * level + text for level in range(n // 3) for text in ("a:", "- a:")
    ),
    "aliases": lambda n: "\n".join(
        ["- &a0 x", *(f"- &a{level} [*a{level - 1}]" for level in range(1, n))]
    ),
}


@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("levels", [90, 120, 450, 900, 2000])
def test_deep_nesting_is_refused_also_in_a_thread_with_little_memory(
    kind: str, levels: int
) -> None:
    found: list[object] = []
    before = threading.stack_size(1 << 20)
    try:
        thread = threading.Thread(target=lambda: found.append(outcome(NESTED[kind](levels))))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    too_deep = f"it is nested too deeply: at most {MOST_LEVELS} levels"
    assert (found == [too_deep]) == (levels > MOST_LEVELS), found
