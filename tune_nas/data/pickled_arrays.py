"""Reading of pickled numbers, texts, containers and NumPy arrays without executing code.

`pickle.load` calls any function that a file names. `unpickle` imports nothing: it replaces the
names of ordered dictionaries, and those by which NumPy pickles arrays and numbers, by classes of
this module, which only record the contents, and rejects all other names.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import IO

import numpy as np

from tune_nas.errors import DataError, DataUnavailableError

Values = np.ndarray[tuple[int, ...], np.dtype[np.generic]]

_NUMBERS = "biuf"  # booleans, signed and unsigned integers, floating point


class _Recorded:
    """Base of the stand-ins; a pickle cannot change their attributes."""

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it sets the attributes of an object")


class _Dictionary(_Recorded, dict[object, object]):
    """Stands for ``collections.OrderedDict``."""


class _Type(_Recorded):
    """Stands for ``numpy.dtype``: a type of numbers."""

    def __init__(self, name: object, align: bool = False, copy: bool = True) -> None:
        self.type = np.dtype(name) if isinstance(name, str) else np.dtype(object)
        if self.type.kind not in _NUMBERS:
            raise pickle.UnpicklingError(f"it has an array of type '{name}'")

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("it has an array of unknown byte order")
        self.type = self.type.newbyteorder(order)


class _Array(_Recorded):
    """Stands for ``numpy.ndarray``, whose contents follow its creation."""

    values: Values = np.empty(0)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("it has an array of an unknown version")
        _, shape, kind, by_columns, content = state
        self.values = _array(content, kind, shape, "F" if by_columns else "C")


class _Reconstruct(_Recorded):
    """Stands for the function by which NumPy creates an empty array."""

    def __new__(cls, kind: object, shape: object, code: object) -> _Array:  # type: ignore[misc]
        return _Array()


class _FromBuffer(_Recorded):
    """Stands for the function by which NumPy creates an array of pickle protocol 5."""

    def __new__(cls, content: object, kind: object, shape: object, order: object) -> _Array:  # type: ignore[misc]
        array = _Array()
        array.values = _array(content, kind, shape, "F" if order == "F" else "C")
        return array


class _Scalar(_Recorded):
    """Stands for the function that creates a number of a NumPy type."""

    def __new__(cls, kind: object, content: object) -> object:  # type: ignore[misc]
        return _array(content, kind, (), "C").item()


class _Encoded(_Recorded):
    """Stands for the function that restores bytes in a pickle of protocol 2."""

    def __new__(cls, text: object, encoding: object = "latin1") -> bytes:  # type: ignore[misc]
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("it has bytes in an unknown encoding")
        return text.encode("latin1")


_NAMES: dict[tuple[str, str], type[_Recorded]] = {
    ("collections", "OrderedDict"): _Dictionary,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _Encoded,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")  # before and since NumPy 2
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _Reconstruct),
            ("multiarray", "scalar", _Scalar),
            ("numeric", "_frombuffer", _FromBuffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Recorded]:
        """Return the stand-in for a name.

        Raises:
            UnpicklingError: If it is any other name.
        """
        try:
            return _NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names '{module}.{name}', but must hold containers and numbers alone"
            ) from None


def unpickle(stream: IO[bytes]) -> object:
    """Return the content of a pickle, without executing anything that it names.

    Arrays in it are read by `array_of`. Strings of Python 2 are read as Latin-1.

    Raises:
        UnpicklingError: If it contains other objects. If it is damaged, almost any other exception.
    """
    content: object = _Unpickler(stream, encoding="latin1").load()
    return content


def read_pickle(file: Path) -> object:
    """Return the content of a pickle of a data set, as `unpickle` does.

    Args:
        file: The file.

    Raises:
        DataError: If it cannot be read, is damaged or contains other objects.
    """
    try:
        with file.open("rb") as opened:
            return unpickle(opened)
    except OSError as error:
        raise DataUnavailableError(
            f"data.dir: '{file}' cannot be read ({error.strerror})"
        ) from error
    except Exception as error:  # a damaged pickle can raise almost any
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"data.dir: '{file}' is not a pickle of arrays: {cause}") from error


def array_of(value: object) -> Values | None:
    """Return an array in the content of a pickle; None if the value is none."""
    return value.values if isinstance(value, _Array) else None


def _array(content: object, kind: object, shape: object, order: str) -> Values:
    if isinstance(content, str):  # a Python 2 string, read as Latin-1
        content = content.encode("latin1")
    if not isinstance(content, bytes | bytearray | memoryview) or not isinstance(kind, _Type):
        raise pickle.UnpicklingError("it has an array without numbers")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError("it has an array of unknown shape")
    if len(content) != math.prod(shape) * kind.type.itemsize:
        raise pickle.UnpicklingError("it has an array of another size than it states")
    values = np.frombuffer(content, dtype=kind.type)
    return values.reshape(shape, order="F" if order == "F" else "C")
