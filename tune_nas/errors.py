"""Exceptions for user errors; the command line prints one line and exits with 2.

A message names an option of a run or a key that has a flag in backticks: "`concurrency` is 0, but
must be >= 1". The command line prints the flag instead.
"""


class TuneNasError(Exception):
    """Base of all errors that this package raises deliberately.

    The message is one line: the problem, its location, and the fix.

    Attributes:
        passing: Whether the same work may succeed later with unchanged input.
    """

    passing = False


class ConfigError(TuneNasError, ValueError):
    """A trial, sweep or space description is invalid."""


class GenotypeError(TuneNasError, ValueError):
    """A genotype cannot be parsed or does not belong to its space."""


class DataError(TuneNasError, OSError):
    """A data set is missing, unreadable or damaged."""


class DataUnavailableError(DataError):
    """The files of a data set are temporarily unavailable."""

    passing = True


class CheckpointError(TuneNasError, OSError):
    """A checkpoint is missing, damaged or of another trial."""

    passing = True


class DivergedError(TuneNasError, ArithmeticError):
    """The loss of a search or training is not finite anymore."""


class StorageError(TuneNasError, OSError):
    """A folder, store or cluster that a command needs cannot be used."""

    passing = True


class ExportError(TuneNasError, OSError):
    """A network cannot be written in a format, or its file does not give the same results."""


class NameTakenError(StorageError):
    """The name is taken by another run that is stored, or running, in the same storage."""
