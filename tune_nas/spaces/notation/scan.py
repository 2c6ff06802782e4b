"""Finding genotypes in any text: a log, a genotypes.py, terminal output."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.cells import Reading
from tune_nas.spaces.notation.darts import read_darts
from tune_nas.spaces.notation.edge_list import ONE_LINE, read_edge_list
from tune_nas.spaces.notation.excerpts import error_at
from tune_nas.spaces.notation.expression import Expression
from tune_nas.spaces.notation.nasbench201 import SPACE, read_nasbench201
from tune_nas.spaces.notation.published import refuse_other_name

DARTS = "darts"
"""The space used if a text does not name it."""

_CALL = re.compile(r"(?<!\w)(?:\w+\.)*Genotype\s*(\()")
_DICTIONARY = re.compile(r"(\{)\s*['\"](?:normal|reduce)(?:_concat)?['\"]\s*:")
_DEFINITION = re.compile(r"(?:class|def)\s+$")
_NAME = re.compile(r"([A-Za-z_][\w.-]*)['\"]?[ \t]*[=:][ \t]*['\"]?$")
_ALIAS = re.compile(r"(?m)^[ \t]*([A-Za-z_]\w*)[ \t]*=[ \t]*([A-Za-z_]\w*)[ \t]*(?:#.*)?$")
_STRUCTURE = re.compile(r"\w*Structure\((\d+) nodes with\s*['\"]?$")
_PIECE = re.compile(r"[\s'\"\\,;()\[\]{}]*([^\s'\"\\,;()\[\]{}]+)['\"\\,;()\[\]{}]*")
_CONTINUES = re.compile(r"\+|\w+~\d+(?:\||$)")  # continuation of a cell that could end
_MARK = re.compile(r"[|~+]")  # in the end of a name cut by a line break
_OPERATION = re.compile(r"\w~\d")
_LOOK_BACK = 100  # characters before a genotype searched for its name


@dataclass(frozen=True)
class Candidate:
    """A genotype found in a text.

    Args:
        name: Its name in the text; empty if there is none.
        line: Its first line (1-based).
        read: Reads it; raises a GenotypeError if it is invalid.
    """

    name: str
    line: int
    read: Callable[[], Reading]


def find_all(text: str) -> list[Candidate]:
    """Return the possible genotypes in a text, in order, and alternative names of the same."""
    found = sorted(
        [*_python(text), *_nasbench201(text), *_edge_lists(text)], key=lambda entry: entry[0]
    )
    candidates = [candidate for _, candidate in found]
    by_name = {candidate.name: candidate for candidate in candidates}
    for match in _ALIAS.finditer(text):
        if match[2] in by_name and match[1] not in by_name:
            line = _line(text, match.start())
            by_name[match[1]] = Candidate(match[1], line, by_name[match[2]].read)
            candidates.append(by_name[match[1]])
    return candidates


def cell_at(text: str, start: int) -> tuple[str, list[int], int]:
    """Return the cell in NAS-Bench-201's notation that starts at an offset.

    It may be interrupted by quotes and white space, e.g. by a terminal or an editor.

    Returns:
        The cell without them, the offset of each of its characters, and the end offset.
    """
    characters, end = "", start
    offsets: list[int] = []
    for match in _PIECE.finditer(text, start):
        begins = match.start(1)
        continues = _CONTINUES.match if characters.endswith("|") else _MARK.search
        if characters and not continues(match[1]):
            break
        characters += match[1]
        offsets += range(begins, begins + len(match[1]))
        end = match.end()
        if text[end : end + 1].strip():  # more than quotes follows in the same word
            break
    return characters, offsets, end


def _python(text: str) -> Iterator[tuple[int, Candidate]]:
    end = 0
    starts = [*_CALL.finditer(text), *_DICTIONARY.finditer(text)]
    for match in sorted(starts, key=lambda found: found.start()):
        before = text[max(0, match.start() - _LOOK_BACK) : match.start()]
        if match.start() < end or _DEFINITION.search(before):
            continue
        try:
            end = Expression(text, match.start(), match.start(1)).end
        except GenotypeError:
            end = match.end()
        name = _name(before)
        yield match.start(), _candidate(text, name, match.start(), _darts(text, match))


def _darts(text: str, match: re.Match[str]) -> Callable[[], Reading]:
    def read() -> Reading:
        expression = Expression(text, match.start(), match.start(1))
        return Reading(read_darts(expression), DARTS, assumed=True)

    return read


def _nasbench201(text: str) -> Iterator[tuple[int, Candidate]]:
    position = text.find("|")
    while position >= 0:
        cell, offsets, end = cell_at(text, position)
        if not _OPERATION.search(cell):
            position = text.find("|", max(end, position + 1))
            continue
        before = text[max(0, position - _LOOK_BACK) : position]
        yield (
            position,
            _candidate(text, _name(before), position, _cell(text, cell, offsets, before)),
        )
        position = text.find("|", end)


def _cell(text: str, cell: str, offsets: list[int], before: str) -> Callable[[], Reading]:
    def read() -> Reading:
        structure = _STRUCTURE.search(before)
        n_nodes = cell.count("+") + 2
        if structure and int(structure[1]) != n_nodes:
            start = offsets[0] - len(before) + structure.start()
            raise error_at(text, start, structure[0], f"is not true: the cell has {n_nodes} nodes")
        return Reading(read_nasbench201(cell, text, offsets), SPACE, assumed=True)

    return read


def _edge_lists(text: str) -> Iterator[tuple[int, Candidate]]:
    for match in ONE_LINE.finditer(text):
        before = text[max(0, match.start() - _LOOK_BACK) : match.start()]
        start, end = match.span()

        def read(start: int = start, end: int = end) -> Reading:
            cells = read_edge_list(text, start, end)
            space = SPACE if set(cells) == {"normal"} else DARTS
            return Reading(cells, space, assumed=True)

        yield start, _candidate(text, _name(before), start, read)


def _candidate(text: str, name: str, start: int, read: Callable[[], Reading]) -> Candidate:
    def read_by_name() -> Reading:
        try:
            return read()
        except GenotypeError:
            refuse_other_name(name)  # gives a better message for those
            raise

    return Candidate(name, _line(text, start), read_by_name)


def _name(before: str) -> str:
    match = _NAME.search(_STRUCTURE.sub("", before))
    return match[1] if match else ""


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
