"""The options of shipped parts: ``options: {…}`` is another spelling of the keys of a section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas import manifest
from tune_nas.config import TrialConfig
from tune_nas.config.conditions import value_of
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.config.options.option_models import NAMED_PARTS, RULES
from tune_nas.config.section import inner_section
from tune_nas.errors import ConfigError
from tune_nas.library import check_key, load_trial, with_overrides
from tune_nas.search import Search

Content = dict[str, Any]

# section, part, the content that the part needs elsewhere, its options, and the same as keys
CASES: list[tuple[str, str, Content, Content, Content]] = [
    (
        *("relaxation", "gumbel", {"optimizer": {"alphas": {"kind": "mine:optimizer"}}}),
        {"temperature": {"start": 5.0, "end": 0.5}, "unsampled": "as-numbers"}
        | {"alphas": "probabilities"},
        {"temperature": {"start": 5.0, "end": 0.5}, "unsampled": "as-numbers"}
        | {"alphas": "probabilities"},
    ),
    (
        *("relaxation", "concrete", {}),
        {"temperature": {"end": 0.5}},
        {"temperature": {"end": 0.5}},
    ),
    (
        *("relaxation", "sigmoid", {}),
        {"penalty": {"kind": "zero-one", "weight": 10.0}},
        {"penalty": {"kind": "zero-one", "weight": 10.0}},
    ),
    (
        *("relaxation", "dirichlet", {}),
        {"penalty": {"kind": "kl-all"}},
        {"penalty": {"kind": "kl-all"}},
    ),
    (
        *("relaxation", "categorical", {}),
        {"gradient": "importance", "samples": 3, "likelihood": "image"},
        {"gradient": "importance", "samples": 3, "likelihood": "image"},
    ),
    (
        *("relaxation", "dropout", {}),
        {"dropout": {"rate": 0.1, "groups": "none"}},
        {"dropout": {"rate": 0.1, "groups": "none"}},
    ),
    (
        *("relaxation", "controller", {"update": {"level": "policy"}}),
        {"controller": {"hidden": 8, "layers": 1, "tanh_scale": 1.0}},
        {"controller": {"hidden": 8, "layers": 1, "tanh_scale": 1.0}},
    ),
    ("relaxation.smoothing", "random", {}, {"start": 0.1, "end": 0.2}, {"start": 0.1, "end": 0.2}),
    ("relaxation.smoothing", "adversarial", {}, {"steps": 2}, {"steps": 2}),
    (
        *("selection", "magnitude", {"relaxation": {"kind": "dirichlet"}}),
        {"max_skips": {"normal": 1}, "rank_by": "softmax"},
        {"max_skips": {"normal": 1}, "rank_by": "softmax"},
    ),
    (
        *("selection", "perturbation", {}),
        {
            "criterion": "loss",
            "order": "fixed",
            "edges": "one-by-one",
            "interval": 2,
            "learning_rate_factor": 0.5,
            "batches": 1,
        },
        {
            "perturbation": {
                "criterion": "loss",
                "order": "fixed",
                "edges": "one-by-one",
                "interval": 2,
                "learning_rate_factor": 0.5,
                "batches": 1,
            }
        },
    ),
    (
        *("selection", "sampled", {}),
        {"candidates": "most-probable", "genotypes": 4, "batches": 2},
        {"sampled": {"candidates": "most-probable", "genotypes": 4, "batches": 2}},
    ),
    (
        *("optimizer.alphas", "adam", {}),
        {"learning_rate": 0.01, "weight_decay": 0.02, "betas": [0.4, 0.9], "epsilon": 0.1},
        {"learning_rate": 0.01, "weight_decay": 0.02, "betas": [0.4, 0.9], "epsilon": 0.1},
    ),
    (
        *("optimizer.alphas", "sgd", {}),
        {"learning_rate": 0.01, "weight_decay": 0.02, "momentum": 0.5},
        {"learning_rate": 0.01, "weight_decay": 0.02, "momentum": 0.5},
    ),
    (
        *("optimizer.alphas", "exponentiated", {"relaxation": {"kind": "simplex"}}),
        {"step_size": 0.2, "weight_decay": 0.01, "step_rule": "regret", "reward_bound": 2.0},
        {"step_size": 0.2, "weight_decay": 0.01, "step_rule": "regret", "reward_bound": 2.0},
    ),
    (
        *("data", "cifar10", {}),
        {"dir": "/images", "download": True},
        {"dir": "/images", "download": True},
    ),
    (
        *("data", "cifar100", {}),
        {"dir": "/images", "download": True},
        {"dir": "/images", "download": True},
    ),
    (
        *("data", "svhn", {}),
        {"dir": "/images", "download": True},
        {"dir": "/images", "download": True},
    ),
    (*("data", "imagenet16-120", {}), {"dir": "/images"}, {"dir": "/images"}),
    (*("data", "imagenet", {}), {"dir": "/images", "workers": 2}, {"dir": "/images", "workers": 2}),
    (
        *("data", "folder", {"data": {"resolution": 16}}),
        {
            **{"dir": "/images", "layout": "splits", "fit": "pad", "background": "#102030"},
            **{"streaming": True, "workers": 0},
        },
        {
            **{"dir": "/images", "layout": "splits", "fit": "pad", "background": "#102030"},
            **{"streaming": True, "workers": 0},
        },
    ),
]
IDS = [f"{section}: {name}" for section, name, *_ in CASES]
# a rule, its options, and the same as keys of `schedule`
RULE_CASES: list[tuple[str, Content, Content]] = [
    ("greedy", {"criterion": 2, "history": 2}, {"greedy": {"criterion": 2, "history": 2}}),
    ("greedy", {}, {"greedy": {}}),
    ("early_fixing", {"gap": 0.2}, {"early_fixing": {"gap": 0.2}}),
    ("lr_rule", {"share": 0.2}, {"lr_rule": {"share": 0.2}}),
    ("wipe_out", {"factor": 0.5}, {"wipe_out": {"factor": 0.5}}),
    ("stop", {"skips": {"normal": 2}}, {"stop": {"skips": {"normal": 2}}}),
    ("eigenvalue", {"factor": 1.5}, {"eigenvalue": {"factor": 1.5}}),
    ("eigenvalue", {}, {"eigenvalue": {}}),
    (
        "stages",
        {"stages": [{"epochs": 20}, {"epochs": 30, "operations": 4}], "carry_over": "none"},
        {"stages": [{"epochs": 20}, {"epochs": 30, "operations": 4}], "carry_over": "none"},
    ),
]
# What a rule needs elsewhere in the trial.
RULE_NEEDS: dict[str, Content] = {
    "wipe_out": {
        "relaxation": {"kind": "simplex"},
        "optimizer": {"alphas": {"kind": "exponentiated", "reward_bound": 1.0}},
    }
}
SMALL: Content = {
    "data": {"name": "fake", "train_images": 32, "resolution": 8},
    "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
    "schedule": {"epochs": 2, "batch_size": 8},
}


def nested(section: str, content: Content) -> Content:
    for part in reversed(section.split(".")):
        content = {part: content}
    return content


def merged(one: Content, other: Content) -> Content:
    both = dict(one)
    for key, value in other.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, dict) else value
    return both


def dotted(section: str, content: Content) -> Content:
    """Return the leaves of the content of a section by dotted key."""
    flat: Content = {}
    for key, value in content.items():
        is_section = isinstance(value, dict) and key != "max_skips"
        flat |= dotted(f"{section}.{key}", value) if is_section else {f"{section}.{key}": value}
    return flat


def whole(section: str, keys: Content) -> Content:
    """Return the options of a section as settings of their keys."""
    if keys.keys() & {"perturbation", "sampled"}:
        return dotted(section, keys)
    return {f"{section}.{key}": value for key, value in keys.items()}


def named(section: str, name: str) -> Content:
    return {NAMED_PARTS[section].named_by: name}


def file_of(folder: Path, content: Content) -> Path:
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_tables_have_every_option_of_every_shipped_part() -> None:
    tested = {(section, name): set(options) for section, name, _, options, _ in CASES}
    for section, parts in NAMED_PARTS.items():
        assert parts.options.keys() <= manifest.SHIPPED[parts.kind].keys()
        for name, (model, _) in parts.options.items():
            if name not in ("concrete", "adversarial"):  # share those of others
                assert tested[section, name] == set(model.model_fields)
            assert (section, name) in tested
    assert {name for name, *_ in RULE_CASES} == set(RULES.options)


def test_an_option_is_declared_in_its_model_alone() -> None:
    """The field of a section is that of the option model: default, bounds and marks."""
    for section, parts in NAMED_PARTS.items():
        model: Any = TrialConfig
        for key in section.split("."):
            model = inner_section(model.model_fields[key].annotation)
        for options, within in parts.options.values():
            if within:
                assert model.model_fields[within].annotation is options
                continue
            for name, field in options.model_fields.items():
                assert issubclass(model, options) and name not in model.__annotations__
                assert repr(model.model_fields[name]) == repr(field)


@pytest.mark.parametrize(("section", "name", "more", "options", "keys"), CASES, ids=IDS)
def test_both_spellings_are_the_same_trial(
    section: str, name: str, more: Content, options: Content, keys: Content, tmp_path: Path
) -> None:
    own = named(section, name)
    moves = {"update": {"level": "bilevel"}}
    base = merged(moves, more)
    flat = load_trial(file_of(tmp_path, merged(base, nested(section, {**own, **keys}))))
    spelled = load_trial(
        file_of(tmp_path, merged(base, nested(section, {**own, "options": options})))
    )
    assert flat == spelled and flat != load_trial(
        file_of(tmp_path, merged(base, nested(section, own)))
    )
    assert decided_by(flat, Decides.SEARCH) == decided_by(spelled, Decides.SEARCH)
    # as settings, one by one and together, which is what `--set` and a sweep do
    start = load_trial(file_of(tmp_path, merged(base, nested(section, own))))
    one_by_one = dotted(f"{section}.options", options)
    for key in one_by_one:
        check_key(key, "--set")
    assert with_overrides(start, one_by_one) == flat
    # each option as a whole, like its key
    together = with_overrides(start, {f"{section}.options": options})
    assert together == with_overrides(start, whole(section, keys))
    for key, value in one_by_one.items():
        held = value_of(flat.to_dict(), key)
        assert (list(held) if isinstance(held, tuple) else held) == value


@pytest.mark.parametrize(("section", "name", "more", "options", "keys"), CASES, ids=IDS)
def test_different_values_in_both_spellings_are_one_line(
    section: str, name: str, more: Content, options: Content, keys: Content
) -> None:
    default = TrialConfig.model_validate(merged(more, nested(section, named(section, name))))
    for key, value in dotted(section, keys).items():
        other = value_of(default.to_dict(), key)
        content = nested(section, {**named(section, name), "options": options})
        clash = merged(
            merged(more, content), nested(*key.rsplit(".", 1)[:1], {key.rsplit(".", 1)[1]: other})
        )
        if other == value or isinstance(other, tuple):
            continue
        with pytest.raises(ValueError, match=f"{key}, the same key, is .*give one of them"):
            TrialConfig.model_validate(clash)
        option = key if ".options." in key else _option_of(section, key)
        with pytest.raises(ConfigError, match=r", the same key, is .*; give one of them") as error:
            with_overrides(default, {key: other, option: value})
        assert "\n" not in str(error.value)
    again = merged(
        nested(section, keys), nested(section, {**named(section, name), "options": options})
    )
    TrialConfig.model_validate(merged(more, again))  # the same values: nothing to refuse


def _option_of(section: str, key: str) -> str:
    rest = key.removeprefix(f"{section}.")
    for within in ("perturbation.", "sampled."):
        rest = rest.removeprefix(within)
    return f"{section}.options.{rest}"


@pytest.mark.parametrize(("rule", "options", "keys"), RULE_CASES)
def test_rules_too(rule: str, options: Content, keys: Content, tmp_path: Path) -> None:
    needs = RULE_NEEDS.get(rule, {})

    def with_schedule(schedule: Content) -> TrialConfig:
        return load_trial(file_of(tmp_path, {**needs, "schedule": schedule}))

    flat = with_schedule(keys)
    listed: list[Content] = [{"kind": rule, "options": options}]
    assert with_schedule({"rules": listed}) == flat
    assert load_trial(file_of(tmp_path, needs), {"schedule.rules": listed}) == flat
    assert with_schedule({**keys, "rules": listed}) == flat
    target = manifest.SHIPPED["rules"][rule]
    assert with_schedule({"rules": [{**listed[0], "kind": target}]}) == flat


def test_a_setting_replaces_an_option_of_the_file(tmp_path: Path) -> None:
    content = {"relaxation": {"kind": "gumbel", "options": {"temperature": {"end": 0.5}}}}
    path = file_of(tmp_path, content)
    for key in ("relaxation.temperature.end", "relaxation.options.temperature.end"):
        assert load_trial(path, {key: 0.25}).relaxation.temperature.end == 0.25
    softmax = load_trial(path, {"relaxation.kind": "softmax"})
    assert softmax.relaxation.temperature.end == 0.5  # without effect, like the key


def test_options_of_a_custom_part_are_its_arguments() -> None:
    own = {"relaxation.kind": "mine:Part", "relaxation.options.temperature.end": 3}
    trial = load_trial("darts-1st", own)
    assert trial.relaxation.options == {"temperature": {"end": 3}}
    assert trial.relaxation.temperature == TrialConfig().relaxation.temperature
    content = trial.to_dict()
    assert value_of(content, "relaxation.options.temperature.end") == 3
    assert value_of(content, "relaxation.options.other") is None


def test_a_search_has_the_same_result_bit_for_bit() -> None:
    options = {"temperature": {"start": 5.0}, "unsampled": "as-numbers"}
    alphas = []
    for content in (options, {"options": options}):
        trial = TrialConfig.model_validate({**SMALL, "relaxation": {"kind": "gumbel", **content}})
        search = Search(trial)
        search.run_epoch()
        alphas.append({name: alpha.tolist() for name, alpha in search.alphas.items()})
    assert alphas[0] == alphas[1]


def test_the_documentation_lists_every_option() -> None:
    text = (Path(__file__).parents[1] / "docs" / "methods.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    names = {
        "relaxation": "relaxation",
        "relaxation.smoothing": "smoothing",
        "selection": "selection",
        "optimizer.alphas": "optimizer of α",
        "data": "data set",
        "schedule": "rule",
    }
    for parts in (*NAMED_PARTS.values(), RULES):
        word = names[parts.section]
        for name, (model, within) in parts.options.items():
            keys = f"`{parts.section}.{within}.…`" if within else f"`{parts.section}.…`"
            (row,) = [
                row
                for row in rows
                if row[0].startswith((f"{word} ", f"{word}s ")) and f"`{name}`" in row[0]
                if row[-1] == keys
            ]
            assert row[1] == ", ".join(f"`{option}`" for option in model.model_fields)
