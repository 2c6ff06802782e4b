"""The command line: thin commands that parse, call and print.

Nothing here imports torch, ray, optuna or mlflow before a command needs them, so that
``tune-nas --help`` answers at once.
"""

from tune_nas.cli.app import app, main

__all__ = ["app", "main"]
