"""Genotypes in YAML and JSON: this project's form, and the files and outputs that contain it.

These are a genotype's file, a checkpoint's table by size and its reports of each epoch,
``results.json``, a trial's record, a retraining run's ``state.json`` and the output of
``--format json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.cells import Cells, Reading
from tune_nas.spaces.notation.edge_list import read_mapping
from tune_nas.spaces.notation.excerpts import shorten
from tune_nas.spaces.notation.scan import Candidate, find_all
from tune_nas.yaml_text import parse_yaml

_KEYS = ("genotype", "best_genotype")
_NAMES = ("trial_id", "id", "name")
_SIGNS = ("Genotype(", "~", "->")
_MAX_DEPTH = 6


def parse_document(text: str) -> object:
    """Return the content of JSON or YAML.

    Raises:
        GenotypeError: If it is neither.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass  # it may be YAML, or Python
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise GenotypeError(
            f"'{shorten(text)}' is no genotype and not valid YAML: {' '.join(str(error).split())}"
        ) from error


def read_yaml(text: str) -> Reading:
    """Read only this project's YAML form.

    Raises:
        GenotypeError: If it has another form.
    """
    content = parse_document(text)
    return _own_form(content if isinstance(content, dict) else {})


def find_in_document(content: object) -> list[Candidate]:
    """Return the genotypes that a document contains, by their names there."""
    return list(_walk(content, "", None, 0))


def is_own_form(content: object) -> bool:
    """Return whether a document is intended as a single genotype in the YAML form."""
    return isinstance(content, dict) and isinstance(content.get("space"), str)


def _walk(content: object, name: str, space: str | None, depth: int) -> Iterator[Candidate]:
    """Yield the genotypes in a document.

    Args:
        content: A part of it.
        name: Its name in the document.
        space: The space that is named next to it.
        depth: Its depth in the document.
    """
    if depth > _MAX_DEPTH:
        return
    if isinstance(content, str):
        yield from (_renamed(entry, name, space) for entry in _in_text(content))
    elif isinstance(content, list):
        for index, entry in enumerate(content):
            label = entry.get("epoch", index) if isinstance(entry, dict) else index
            if isinstance(entry, dict | list):
                yield from _walk(entry, str(label), space, depth + 1)
    elif isinstance(content, dict):
        yield from _in_mapping(content, name, space, depth)


def _in_mapping(
    content: Mapping[object, object], name: str, space: str | None, depth: int
) -> Iterator[Candidate]:
    names = (content.get(key) for key in _NAMES)
    named = next((given for given in names if isinstance(given, str)), name)
    own, edges = content.get("space"), content.get("edges")
    if isinstance(own, str):
        space = own
        if isinstance(edges, dict):
            yield Candidate(named, 0, lambda: Reading(_cells(edges), own, False))
            return
        if isinstance(content.get("cells"), dict) or set(content) <= {"space", "cells"}:
            yield Candidate(named, 0, lambda: _own_form(content))
            return
    found = [content[key] for key in _KEYS if isinstance(content.get(key), str | dict)]
    if found:
        yield from _walk(found[0], named, space, depth + 1)
        return
    for key, entry in content.items():
        if not isinstance(entry, str) or any(sign in entry for sign in _SIGNS):
            yield from _walk(entry, str(key), space, depth + 1)


def _own_form(content: Mapping[object, object]) -> Reading:
    space, cells = read_mapping(content)
    return Reading(cells, space, assumed=False)


def _cells(edges: Mapping[str, Any]) -> Cells:
    """Read ``edges`` of ``inspect --format json``."""
    try:
        return {
            str(cell): [
                (int(edge["source"]), int(edge["target"]), str(edge["operation"]))
                for edge in listed
            ]
            for cell, listed in edges.items()
        }
    except (TypeError, KeyError, ValueError) as error:
        raise GenotypeError(
            "edges must have source, target and operation, as inspect --format json prints them"
        ) from error


def _in_text(text: str) -> list[Candidate]:
    """Return the genotypes in a text of a document, which may itself be YAML."""
    found = find_all(text)
    if found or "space:" not in text:
        return found
    try:
        content = parse_document(text)
    except GenotypeError as error:
        failure = error

        def fail() -> Reading:
            raise failure

        return [Candidate("", 0, fail)]
    if isinstance(content, dict) and is_own_form(content):
        return [Candidate("", 0, lambda: _own_form(content))]
    return []


def _renamed(candidate: Candidate, name: str, space: str | None) -> Candidate:
    def read() -> Reading:
        reading = candidate.read()
        if space is None or not reading.assumed:
            return reading
        return Reading(reading.cells, space, assumed=False)

    return Candidate(name or candidate.name, 0, read)
