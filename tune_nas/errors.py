"""What a user can get wrong, as exceptions; the command line prints one line and exits 2.

A message names an option of a run, or a key that has a flag, in backticks: "`concurrency` is 0, but
must be >= 1". The command line prints the flag instead.
"""


class TuneNasError(Exception):
    """Root of all errors that this package raises on purpose.

    The message is one line: what is wrong, where, and what would be right.

    Attributes:
        passing: Whether the same work may succeed later, without a change of its input.
    """

    passing = False


class ConfigError(TuneNasError, ValueError):
    """A trial, sweep or space description is not valid."""


class GenotypeError(TuneNasError, ValueError):
    """A genotype does not parse, or does not belong to its space."""


class DataError(TuneNasError, OSError):
    """A data set is absent, unreadable or damaged."""


class DataUnavailableError(DataError):
    """The files of a data set cannot be reached now; they may be later."""

    passing = True


class CheckpointError(TuneNasError, OSError):
    """A checkpoint is absent, damaged or of another trial."""

    passing = True


class DivergedError(TuneNasError, ArithmeticError):
    """The loss of a search or of a training is no longer finite."""


class StorageError(TuneNasError, OSError):
    """A folder, store or cluster that a command needs cannot be used."""

    passing = True


class NameTakenError(StorageError):
    """A run's name is another one's, which lies in the same storage or is running there."""
