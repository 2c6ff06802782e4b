"""The recipes of retraining runs by name: the settings of the papers, as YAML files."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from tune_nas.text import shown

_FOLDER = Path(__file__).parent


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read_recipe(name: object) -> dict[str, object]:
    """Return the keys of the section ``retrain`` that a recipe sets.

    Raises:
        ValueError: If there is no recipe of this name; names the nearest one.
    """
    known = recipe_names()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(
            f"retrain.recipe is {shown(name)}, but must be one of {', '.join(known)}{hint}"
        )
    return dict(_content(str(name)))


def with_recipe(content: Mapping[str, object]) -> dict[str, object]:
    """Return a section ``retrain`` with the keys of its recipe; keys that are given win.

    Args:
        content: The section; unchanged if it names no recipe.

    Raises:
        ValueError: If there is no recipe of this name.
    """
    if content.get("recipe") is None:
        return dict(content)
    recipe = read_recipe(content["recipe"])
    given = content.get("augment")
    if isinstance(given, Mapping) and isinstance(own := recipe["augment"], Mapping):
        recipe["augment"] = {**own, **given}
        content = {key: value for key, value in content.items() if key != "augment"}
    return {**recipe, **content}


@cache  # every validation of a trial with a recipe needs it
def _content(name: str) -> Mapping[str, object]:
    content: Mapping[str, object] = yaml.safe_load(
        (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    )
    return content
