"""YAML: untrusted texts run no code when read, and all failures raise the same exception."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from tune_nas.text import brief

MOST_CHARACTERS = 4_000_000
"""Maximum length of a text, also after its aliases are expanded."""

MOST_LEVELS = 100
"""Maximum depth of a text's containers, also after its aliases are expanded."""

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_DATE = f"{_TAG}timestamp"
# Values without a JSON equivalent: records and sweeps are written as JSON.
_NOT_PLAIN = {f"{_TAG}{name}": name for name in ("binary", "set", "omap", "pairs")}
_MOST_DIGITS = 100  # of an integer; Python does not print one with more than 4,300

# What libyaml reads differently, or reads where PyYAML's own parser reports an error.
_READ_DIFFERENTLY = re.compile("[!?\\t\\x85\\u2028\\u2029\\ufeff]|[|>]#")
_DEEPEST = 1000  # libyaml's composer calls itself for each level, without Python's limit


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML text as plain containers, strings, numbers, booleans and None.

    Raises:
        yaml.YAMLError: If it is not YAML, names a key twice, has a value of another type (a date,
            binary data, a set), is too long (also with expanded aliases), or is nested too deeply.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text):,} characters; at most {MOST_CHARACTERS:,}")
    if hasattr(yaml, "CSafeLoader") and _is_read_alike(text):
        try:
            return _content(yaml.CSafeLoader, text)
        except (yaml.YAMLError, ValueError):
            pass  # the parser below reports all errors: messages do not depend on libyaml
    return _content(yaml.SafeLoader, text)


def _is_read_alike(text: str) -> bool:
    """Whether libyaml reads a text as PyYAML's own parser does, in a tenth of the time.

    A value is nested at most as deeply as its text has brackets, plus two levels for each character
    of its longest line.
    """
    if _READ_DIFFERENTLY.search(text):
        return False
    deepest = text.count("[") + text.count("{") + 2 * max(map(len, text.splitlines()), default=0)
    return deepest <= _DEEPEST


def _content(loader_class: type[yaml.SafeLoader | yaml.CSafeLoader], text: str) -> Any:
    loader = loader_class(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _Checker().check(node)
        return loader.construct_document(node)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from error
    except LookupError as error:  # PyYAML's constructors of integers and booleans
        raise yaml.YAMLError("a value is not of the type that its tag names") from error
    finally:
        loader.dispose()


def dump_yaml(content: object) -> str:
    """Return plain containers as YAML in the order of their keys; by libyaml, where PyYAML has it.

    It takes a tenth of the time of PyYAML's own emitter, but cannot write lone surrogates, which a
    name that is not valid UTF-8 has.
    """
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    try:
        return str(yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True))
    except UnicodeEncodeError:
        return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


class _Size(NamedTuple):
    """Of a node with its aliases expanded."""

    characters: int
    levels: int


class _Checker:
    """Checks the nodes of a document before they are constructed, each node once."""

    def __init__(self) -> None:
        # By node; None while its own content is being checked.
        self._sizes: dict[int, _Size | None] = {}

    def check(self, node: yaml.Node) -> _Size:
        """Return the size of a node.

        Raises:
            yaml.YAMLError: If the node, or one in it, is not accepted by `parse_yaml`.
        """
        if id(node) in self._sizes:
            known = self._sizes[id(node)]
            if known is None:
                raise _problem(node, "an alias leads into the value that it is part of")
            return known
        self._sizes[id(node)] = None
        _check_type(node)
        size = _Size(len(node.value) + 1, 0)
        if isinstance(node, yaml.CollectionNode):
            size = self._check_content(node)
        self._sizes[id(node)] = size
        return size

    def _check_content(self, node: yaml.CollectionNode) -> _Size:
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            content = [self.check(part) for entry in node.value for part in entry]
        else:
            content = [self.check(part) for part in node.value]
        size = _Size(
            1 + sum(part.characters for part in content),
            1 + max((part.levels for part in content), default=0),
        )
        if size.characters > MOST_CHARACTERS:
            raise _problem(
                node, f"its aliases stand for more than {MOST_CHARACTERS:,} characters together"
            )
        if size.levels > MOST_LEVELS:
            raise _too_deep()
        return size


def _check_type(node: yaml.Node) -> None:
    """Raise a YAMLError if a node is not a plain value."""
    if node.tag == _DATE:
        raise _problem(node, f"{node.value} is a date; write it in quotes")
    if node.tag in _NOT_PLAIN:
        raise _problem(node, f"a value of type !!{_NOT_PLAIN[node.tag]}, which no key takes")
    if node.tag == f"{_TAG}int" and len(node.value) > _MOST_DIGITS:
        raise _problem(node, f"an integer of {len(node.value):,} digits; at most {_MOST_DIGITS}")


def _check_keys(node: yaml.Node) -> None:
    """Raise a YAMLError if a mapping has a duplicate key, as one value would be lost."""
    keys: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if (key.tag, key.value) in keys:
                raise _problem(key, f"the key '{brief(key.value)}' is there twice")
            keys.add((key.tag, key.value))


def _problem(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _too_deep() -> yaml.YAMLError:
    return yaml.YAMLError(f"it is nested too deeply: at most {MOST_LEVELS} levels")
