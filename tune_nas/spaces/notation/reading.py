"""Reading one genotype from a text in any known form."""

from __future__ import annotations

import difflib
import re

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.cells import Reading
from tune_nas.spaces.notation.documents import find_in_document, parse_document
from tune_nas.spaces.notation.excerpts import shorten
from tune_nas.spaces.notation.nasbench201 import (
    SPACE,
    cell_of_index,
    cells_of_numbers,
    read_nasbench201,
)
from tune_nas.spaces.notation.published import find_published, nearest_published
from tune_nas.spaces.notation.scan import Candidate, cell_at, find_all

_NAME = re.compile(r"(?:published:)?[A-Za-z_][\w.-]*")
_INDEX = re.compile(r"(?:nasbench201:)?(-?\d{1,9})")
_NUMBERS = re.compile(r"[(\[]\s*[0-4]\s*(?:,\s*[0-4]\s*){5},?\s*[)\]]")
_KEY = re.compile(r"\s*(?:#.*\n\s*)*(?:---\s*)?['\"]?[\w./-]+['\"]?[ \t]*:(?:\s|$)")
_MAX_LISTED = 12


def read_genotype(text: str, pick: str | None = None) -> Reading:
    """Read the genotype in a text, in any form; if there are several, the named one.

    Args:
        text: The text.
        pick: Name of the genotype, or its first line number.

    Raises:
        GenotypeError: If it has none or several, or the genotype is invalid.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    bare = text.strip()
    if pick is None:
        named = read_name(bare)
        if named is not None:
            return named
    candidates = _candidates(text)
    if not candidates:
        if bare.startswith("|"):
            cell, offsets, _ = cell_at(text, text.find("|"))
            return Reading(read_nasbench201(cell, text, offsets), SPACE, assumed=True)
        raise _no_genotype(bare)
    return _chosen(candidates, pick)


def read_name(text: str) -> Reading | None:
    """Read a published name or a number of NAS-Bench-201; None if the text is neither.

    Either may be prefixed with ``published:`` or ``nasbench201:`` if its name is ambiguous.

    Raises:
        GenotypeError: If no cell has this number, or the name is of another space.
    """
    index = _INDEX.fullmatch(text)
    if index:
        return Reading(cell_of_index(int(index[1])), SPACE, assumed=False)
    if not _NAME.fullmatch(text):
        return None
    found = find_published(text)
    return None if found is None else found.read()


def _candidates(text: str) -> list[Candidate]:
    """Return the candidates in a text: as a document if it is one, else by scanning it."""
    if _KEY.match(text) or text.lstrip()[:1] in ("{", "["):
        try:
            content = parse_document(text)
        except GenotypeError:
            content = None
        found = find_in_document(content)
        if found:
            return found
    return find_all(text)


def _chosen(candidates: list[Candidate], pick: str | None) -> Reading:
    labels = _labels(candidates)
    if pick is None:
        if len(candidates) == 1 or _all_alike(candidates):
            return candidates[0].read()
        raise GenotypeError(
            f"has {len(candidates)} genotypes; name one, e.g. FILE:{labels[-1]}: {_listed(labels)}"
        )
    named = [entry for entry in candidates if pick in (entry.name, str(entry.line or ""))]
    if not named:
        near = difflib.get_close_matches(pick, labels, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"it has {_listed(labels)}"
        raise GenotypeError(f"has no genotype '{pick}'; {hint}")
    if len(named) > 1 and not _all_alike(named):
        lines = _listed([str(entry.line) for entry in named])
        raise GenotypeError(
            f"has {len(named)} genotypes '{pick}'; name one by the line that it starts in: {lines}"
        )
    return named[0].read()


def _all_alike(candidates: list[Candidate]) -> bool:
    try:
        readings = [candidate.read() for candidate in candidates]
    except GenotypeError:
        return False
    first = {name: sorted(edges) for name, edges in readings[0].cells.items()}
    return all(
        reading.space == readings[0].space
        and {name: sorted(edges) for name, edges in reading.cells.items()} == first
        for reading in readings
    )


def _labels(candidates: list[Candidate]) -> list[str]:
    """Return the label to pick each candidate: its name, or its line if the name is not unique."""
    names = [entry.name for entry in candidates]
    return [
        entry.name if entry.name and names.count(entry.name) == 1 else str(entry.line or entry.name)
        for entry in candidates
    ]


def _listed(labels: list[str]) -> str:
    shown = labels[:_MAX_LISTED]
    more = len(labels) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _no_genotype(text: str) -> GenotypeError:
    if _NUMBERS.fullmatch(text):
        numbers = [int(number) for number in re.findall(r"\d", text)]
        listed = " or ".join(f"{order}: {cell}" for order, cell in cells_of_numbers(numbers))
        return GenotypeError(f"'{text}' does not say in whose order it is; write {listed}")
    near = nearest_published(text) if _NAME.fullmatch(text) else None
    if near:
        return GenotypeError(f"'{text}' is no genotype; did you mean the published '{near}'?")
    try:
        content = parse_document(text)
    except GenotypeError as error:
        return error
    if isinstance(content, dict) and {"space", "cells"} & set(content):
        return GenotypeError("a genotype has the keys 'space' and 'cells', and no others")
    if isinstance(content, dict | list):
        return GenotypeError("has no genotype; in YAML it has the keys 'space' and 'cells'")
    return GenotypeError(
        f"'{shorten(text)}' is no genotype; write Genotype(normal=…), |op~0|+…, YAML, a published "
        "name as DARTS_V2 or a number of NAS-Bench-201"
    )
