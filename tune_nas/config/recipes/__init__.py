"""The recipes of retraining runs: settings of the papers as YAML files, or a custom function."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

import yaml

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.text import shown
from tune_nas.user_code import import_named, said

_FOLDER = Path(__file__).parent


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read_recipe(name: object) -> dict[str, object]:
    """Return the keys of the section ``retrain`` that a recipe sets.

    Args:
        name: A name of a recipe; or ``module:function``, a function without arguments (or a class)
            that returns them.

    Raises:
        ConfigError: If a custom recipe cannot be imported, or fails, or returns something else.
        ValueError: If there is no recipe of this name; names the nearest one.
    """
    if manifest.is_reference(name):
        return _custom(str(name))
    known = recipe_names()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ", or module:function"
        raise ValueError(
            f"retrain.recipe is {shown(name)}, but must be one of {', '.join(known)}{hint}"
        )
    return dict(_content(str(name)))


def with_recipe(content: Mapping[str, object], keys: Collection[str]) -> dict[str, object]:
    """Return a section ``retrain`` with the keys of its recipe; keys that are given win.

    Args:
        content: The section; unchanged if it names no recipe.
        keys: All keys of the section. If all are given, as in a stored trial, the recipe is not
            read: the result does not depend on a custom function that may have changed since.

    Raises:
        ConfigError: If a custom recipe cannot be used.
        ValueError: If there is no recipe of this name.
    """
    if content.get("recipe") is None or content.keys() >= set(keys):
        return dict(content)
    recipe = read_recipe(content["recipe"])
    given = content.get("augment")
    if isinstance(given, Mapping) and isinstance(own := recipe.get("augment"), Mapping):
        recipe["augment"] = {**own, **given}
        content = {key: value for key, value in content.items() if key != "augment"}
    return {**recipe, **content}


@cache  # every validation of a trial with a recipe needs it
def _content(name: str) -> Mapping[str, object]:
    content: Mapping[str, object] = yaml.safe_load(
        (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    )
    return content


def _custom(name: str) -> dict[str, object]:
    where = f"retrain.recipe is '{name}', but"
    function = import_named("retrain.recipe", name)
    if not callable(function):
        raise ConfigError(f"{where} must be a function or a class in that module")
    try:
        settings = function()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{where} calling it fails: {said(error)}") from error
    keys = list(settings) if isinstance(settings, Mapping) else ["recipe"]
    if "recipe" in keys or not all(isinstance(key, str) for key in keys):
        raise ConfigError(f"{where} must return a mapping of other keys of the section retrain")
    return dict(settings)
