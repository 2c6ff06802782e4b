"""A user's text in messages: cut, and without what a terminal would obey."""

from __future__ import annotations

from typing import Any

import pytest

from tune_nas.text import brief, plain_text, printable, shown


@pytest.mark.parametrize(
    "value",
    [1, 0.5, None, True, "it's", [], (), {}, (1,), [1, "a"], {"a": [1, (2, 3)], 2: {"b": None}}],
)
def test_a_short_value_is_shown_as_python_writes_it(value: Any) -> None:
    assert shown(value) == repr(value)


def test_a_value_larger_than_any_memory_is_shown_by_its_beginning() -> None:
    value: Any = "many"
    for _ in range(100):
        value = [value] * 10
    assert shown(value) == f"{'[' * 59}…"
    assert shown(["x" * 10**6, value], 20) == f"['{'x' * 17}…"
    assert shown({"key": [1] * 10**6}, 20) == "{'key': [1, 1, 1, 1…"


def test_text_is_cut_to_its_length() -> None:
    assert brief("a" * 10, 10) == "a" * 10
    assert brief("a" * 11, 10) == "aaaaaaaaa…"
    assert plain_text("softmax") == "softmax"
    assert plain_text(["softmax"]) == "['softmax']"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("λ = 1 · 図\nnext") == "λ = 1 · 図\nnext"
    text = "\x1b[31mred\x1b[0m \x07\r\x9b2J \u202ecba\udcff"
    assert printable(text) == r"\x1b[31mred\x1b[0m \x07\r\x9b2J \u202ecba\udcff"
