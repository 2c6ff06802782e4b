"""YAML that people hand in: what is read, and what is refused before anything is made of it."""

from __future__ import annotations

import pytest
import yaml

from tune_nas.yaml_text import MOST_CHARACTERS, parse_yaml

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

    monkeypatch.setattr(yaml.SafeLoader, "construct_document", never)
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
