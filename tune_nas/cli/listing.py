"""The rows of `tune-nas list` that need no torch: shipped files and the names of parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tune_nas import manifest
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.tables import print_table
from tune_nas.config.recipes import read_recipe, recipe_names
from tune_nas.library import read_yaml
from tune_nas.shipped import find, shipped_names

Rows = list[dict[str, object]]


def print_rows(rows: Sequence[Mapping[str, object]], output: Format, empty: str) -> None:
    """Print rows as a table or JSON; in place of an empty table, a line."""
    if output is Format.JSON:
        print_json(rows)
    elif rows:
        print_table(list(dict.fromkeys(key for row in rows for key in row)), rows)
    else:
        echo(empty)


def shipped_rows(kind: str) -> Rows:
    """Return name and description of the shipped files of a kind."""
    return [
        {"name": name, "description": read_yaml(find(kind, name)).get("description", "")}
        for name in shipped_names(kind)
    ]


def part_rows() -> Rows:
    """Return every name of the manifest, with the key that accepts it and its meaning."""
    keys = {kind: key for key, kind in manifest.KINDS.items()}
    return [
        {"key": keys[kind], "name": name, "part": manifest.target(kind, name)}
        for kind in manifest.SHIPPED
        for name in manifest.names(kind)
    ]


def recipe_rows() -> Rows:
    """Return the recipes of retraining runs, each with its main settings."""
    keys = ("epochs", "batch_size", "init_channels", "cells", "learning_rate", "drop_path")
    return [
        {"name": name, **{key: recipe[key] for key in keys}}
        for name, recipe in ((name, read_recipe(name)) for name in recipe_names())
    ]
