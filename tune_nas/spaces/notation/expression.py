"""Python expressions in pasted text, parsed as syntax and never executed.

Only literals are read, and calls that occur in printed literals: ``range(2, 6)``, ``np.int64(0)``,
``list(range(2, 6))``.
"""

from __future__ import annotations

import ast

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.excerpts import MAX_LENGTH, MAX_NODES, error_at, place, shorten

_MAX_DEPTH = 20
_LARGEST = 10**6  # maximum of a node's number or an edge's weight
_OPEN, _CLOSE = "([{", ")]}"
_MODULES = ("np", "numpy", "torch")
_NUMBERS = (
    *("int", "int_", "intp", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"),
    *("uint64", "float", "float_", "float16", "float32", "float64", "tensor"),
)
_TEXTS = ("str", "str_")
_SEQUENCES = ("list", "tuple", "array", "asarray")


class Expression:
    """An expression that starts at an offset of a text and ends with its closing bracket.

    Args:
        text: The whole text.
        start: Offset of its first character.
        bracket: Offset of its first bracket.

    Raises:
        GenotypeError: If the bracket is never closed, the expression is too long or nested too
            deeply, or it is not Python.
    """

    def __init__(self, text: str, start: int, bracket: int) -> None:
        self.text, self.start = text, start
        self.end = _closing(text, start, bracket)
        self._source = text[start : self.end]
        try:
            self.root: ast.expr = ast.parse(self._source, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._no_syntax(error) from error

    def _no_syntax(self, error: Exception) -> GenotypeError:
        line, column = getattr(error, "lineno", None), getattr(error, "offset", None)
        message = " ".join(str(getattr(error, "msg", None) or error).split())
        offset = self.start if line is None else self._offset(line, max((column or 1) - 1, 0))
        return GenotypeError(f"{place(self.text, offset)}: does not parse: {message}")

    def _offset(self, line: int, column: int) -> int:
        lines = self._source.split("\n")
        return self.start + sum(len(entry) + 1 for entry in lines[: line - 1]) + column

    def error(self, node: ast.AST, rule: str) -> GenotypeError:
        """Return the error of a part: its position, its text, and the rule that it violates."""
        piece = ast.get_source_segment(self._source, node) or self._source
        return error_at(self.text, self.offset_of(node), piece, rule)

    def offset_of(self, node: ast.AST) -> int:
        """Return the offset of a part of the expression in the text."""
        number, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        line = self._source.split("\n")[number - 1]
        return self._offset(number, len(line.encode()[:column].decode(errors="ignore")))

    def items(self, node: ast.expr) -> list[ast.expr] | None:
        """Return the entries of a list, a tuple or a call that prints as one; None otherwise."""
        if isinstance(node, ast.List | ast.Tuple):
            return node.elts
        if _called(node) in _SEQUENCES and isinstance(node, ast.Call) and len(node.args) == 1:
            return self.items(node.args[0])
        return None

    def string(self, node: ast.expr) -> str | None:
        """Return a string; None if it is not one."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        inner = _argument(node, _TEXTS)
        return None if inner is None else self.string(inner)

    def number(self, node: ast.expr) -> int | float | None:
        """Return a number, plain or as printed by NumPy and torch; None if it is not one."""
        if isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, bool) or not isinstance(value, int | float):
                return None
            return value if abs(value) <= _LARGEST else None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            positive = self.number(node.operand) if isinstance(node.operand, ast.Constant) else None
            return None if positive is None else -positive
        inner = _argument(node, _NUMBERS)
        return None if inner is None else self.number(inner)

    def integer(self, node: ast.expr) -> int | None:
        """Return an integer, plain or as printed by NumPy; None if it is not one."""
        value = self.number(node)
        return value if isinstance(value, int) else None

    def nodes(self, node: ast.expr) -> list[int] | None:
        """Return the node numbers in a list, a tuple or a range; None if it is none of these."""
        called = _called(node)
        if called in _SEQUENCES and isinstance(node, ast.Call) and len(node.args) == 1:
            return self.nodes(node.args[0])
        items = node.args if isinstance(node, ast.Call) else self.items(node)
        if isinstance(node, ast.Call) and (called != "range" or node.keywords):
            return None
        numbers = [self.integer(item) for item in items or ()]
        found = [number for number in numbers if number is not None and 0 <= number <= MAX_NODES]
        if items is None or len(found) < len(numbers):
            return None
        if called != "range":
            return found
        try:
            return list(range(*found))
        except (TypeError, ValueError):
            return None


def _called(node: ast.AST) -> str | None:
    """Return the name of the function of a call, without its module."""
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
        return None
    return function.attr if function.value.id in _MODULES else None


def _argument(node: ast.AST, functions: tuple[str, ...]) -> ast.expr | None:
    """Return the only argument of a call of one of these functions, else None."""
    if _called(node) not in functions or not isinstance(node, ast.Call) or len(node.args) != 1:
        return None
    argument = node.args[0]
    return argument if isinstance(argument, ast.Constant | ast.UnaryOp) else None


def _closing(text: str, start: int, bracket: int) -> int:
    """Return the offset after the bracket that closes the first one; skips strings and comments."""
    depth, quote, position = 0, "", bracket
    last = min(len(text), start + MAX_LENGTH)
    while position < last:
        sign = text[position]
        if quote:
            if sign == "\\":
                position += 1
            elif sign == quote or sign == "\n":
                quote = ""
        elif sign in "'\"":
            quote = sign
        elif sign == "#":
            position = text.find("\n", position)
            if position < 0:
                break
        elif sign in _OPEN:
            depth += 1
            if depth > _MAX_DEPTH:
                raise error_at(text, position, text[start : bracket + 1], "is nested too deeply")
        elif sign in _CLOSE:
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    piece = shorten(text[start : bracket + 1])
    if last < len(text) and last == start + MAX_LENGTH:
        raise error_at(text, start, piece, f"is longer than {MAX_LENGTH:,} characters")
    raise error_at(text, start, piece, "does not parse: its bracket is never closed")
