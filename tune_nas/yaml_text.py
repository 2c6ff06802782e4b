"""Reading YAML that people hand in: no tag in it runs anything, and it fails in one way."""

from __future__ import annotations

from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


def parse_yaml(text: str) -> Any:
    """Return what a text says, as plain containers.

    Raises:
        yaml.YAMLError: If it is not YAML, names a key twice, has a date that is none, or is nested
            too deeply.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node, set())
        return loader.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


def _check_keys(node: yaml.Node, seen: set[int]) -> None:
    """Raise a YAMLError if a mapping has a key twice: of the two, one would be lost."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            _check_keys(entry, seen)
        return
    keys: set[tuple[str, str]] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if (key.tag, key.value) in keys:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key.value}' is there twice", problem_mark=key.start_mark
                )
            keys.add((key.tag, key.value))
        _check_keys(value, seen)
