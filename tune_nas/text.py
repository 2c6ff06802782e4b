"""Text in messages: lists, counts and durations as text; user text shortened and escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_VALUE, _NAME = 60, 250


def shown(value: object, most: int = _VALUE) -> str:
    """Return the ``repr`` of a value, truncated to a number of characters.

    Containers are read only as far as shown: a value with shared parts (YAML aliases) may expand
    beyond any memory.
    """
    text = ""
    for piece in _pieces(value, most):
        text += piece
        if len(text) > most:
            break
    return brief(text, most)


def plain_text(value: object) -> str:
    """Return a value for a message; strings have no quotes."""
    return brief(value, _VALUE) if isinstance(value, str) else shown(value)


def brief(text: str, most: int = _NAME) -> str:
    """Return a text, truncated to a number of characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """Return a text with escapes (``\\x1b``) for all unprintable characters except line breaks."""
    return "\n".join(
        line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n")
    )


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def listed(words: list[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def plural(count: int, word: str) -> str:
    """Return ``1 trial`` or ``3 trials``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units: ``2 h 05 min``, ``3 min 20 s``, ``12 s``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _pieces(value: object, most: int) -> Iterator[str]:
    """Yield the parts of a ``repr`` one after another."""
    if isinstance(value, Mapping):
        yield "{"
        for index, (key, entry) in enumerate(value.items()):
            yield ", " if index else ""
            yield from _pieces(key, most)
            yield ": "
            yield from _pieces(entry, most)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "[" if isinstance(value, list) else "("
        for index, entry in enumerate(value):
            yield ", " if index else ""
            yield from _pieces(entry, most)
        alone = isinstance(value, tuple) and len(value) == 1
        yield "]" if isinstance(value, list) else ",)" if alone else ")"
    elif isinstance(value, str):
        yield repr(value[: most + 1])
    else:
        yield repr(value)
