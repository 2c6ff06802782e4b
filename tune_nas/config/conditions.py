"""The conditions under which a trial reads its keys; a key without any is always read.

`CONDITIONS` is the declaration; the part that an option belongs to follows from the option models.
The tests compare it with the code: they record which keys a search reads and change every key that
it does not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_nas import manifest
from tune_nas.config.options.option_keys import key_in_trial, split_option
from tune_nas.config.options.option_models import NAMED_PARTS, readers
from tune_nas.config.relaxation_config import NOT_ALL
from tune_nas.config.section import Content

_KIND, _WEIGHTS = "relaxation.kind", "relaxation.weights"


@dataclass(frozen=True)
class Condition:
    """A condition on other keys under which a key is read.

    Args:
        keys: The keys it depends on.
        holds: Whether it holds in a trial.
        needs: The requirement as text that follows "it needs".
        when: The condition as ``when`` of a swept key; empty if it cannot be expressed so.
    """

    keys: tuple[str, ...]
    holds: Callable[[Content], bool]
    needs: str
    when: Mapping[str, object] = field(default_factory=dict)

    def found(self, content: Content) -> str:
        """Return the values of the keys as text, e.g. ``relaxation.kind is 'softmax'``."""
        values = {key: value_of(content, key) for key in self.keys}
        if values.get(_WEIGHTS, "") is None:  # the same as `relaxation.kind`
            del values[_WEIGHTS]
        return " and ".join(f"{key} is {_shown(value)}" for key, value in values.items())


def value_of(content: Content, key: str) -> Any:
    """Return the value of a dotted key; None if its section is absent.

    An option of a shipped part has the value of the key that it stands for; None if a part does not
    have the option.
    """
    key = key_in_trial(key, content)
    is_option = split_option(key) is not None
    value: Any = content
    for part in key.split("."):
        if value is None or (is_option and part not in value):
            return None
        value = value[part]
    return value


def one_of(key: str, *values: object) -> Condition:
    """Return the condition that a key has one of the given values."""
    words = " or ".join(_shown(value) for value in values)
    wanted = values[0] if len(values) == 1 else list(values)
    return Condition(
        (key,), lambda trial: value_of(trial, key) in values, f"{key} {words}", {key: wanted}
    )


def _other_than(*values: str) -> Condition:
    """Return the condition that the relaxation is none of the given ones."""
    others = [name for name in manifest.SHIPPED["relaxations"] if name not in values]
    words = " or ".join(map(_shown, values))
    return Condition(
        (_KIND,),
        lambda trial: value_of(trial, _KIND) not in values,
        f"{_KIND} other than {words}",
        {_KIND: others},
    )


def _either_is(*values: str) -> Condition:
    """Return the condition that the relaxation of α, or another one of w, is one of the given."""
    words = " or ".join(map(_shown, values))
    return Condition(
        (_KIND, _WEIGHTS),
        lambda trial: value_of(trial, _KIND) in values or value_of(trial, _WEIGHTS) in values,
        f"{_KIND} {words}",
        {_KIND: list(values)},
    )


def _of_weights(trial: Content) -> object:
    """Return the relaxation of the passes that compute only w's gradient."""
    return value_of(trial, _WEIGHTS) or value_of(trial, _KIND)


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "given" if value else "empty"
    return "null" if value is None else repr(value)


def _positive(key: str) -> Condition:
    return Condition((key,), lambda trial: value_of(trial, key) > 0, f"{key} > 0")


def _own(key: str, what: str = "custom class (module:Class)") -> Condition:
    return Condition(
        (key,),
        lambda trial: not manifest.is_shipped(manifest.KINDS[key], value_of(trial, key)),
        f"a {what} as {key}",
    )


def _left_to_the_trial(key: str) -> Condition:
    """Return the condition that there are no stages, or one that does not set the key itself."""

    def holds(trial: Content) -> bool:
        stages = trial["schedule"]["stages"]
        return not stages or any(stage[key] is None for stage in stages)

    return Condition(("schedule.stages",), holds, f"a stage that leaves {key} to the trial")


def tunes(trial: Content) -> bool:
    """Return whether a search has, or may have, tuning epochs for w after its search epochs."""
    kind = trial["selection"]["kind"]
    own = not manifest.is_shipped("selections", kind)
    return own or (kind == "perturbation" and trial["schedule"]["greedy"] is None)


# Options that a relaxation also reads in passes that compute only w's gradient.
_OF_EITHER = ("relaxation.temperature", "relaxation.dropout")


def _option_conditions() -> Iterator[tuple[str, Condition]]:
    """Yield the keys that not all parts of a section read, each with the parts that do."""
    for section, parts in NAMED_PARTS.items():
        if section == "data":  # `check_data_keys`: a sweep may have several data sets
            continue
        named_by = f"{section}.{parts.named_by}"
        keys = [
            key
            for model, within in parts.options.values()
            for key in ([within] if within else model.model_fields)
        ]
        has_none = section == "relaxation.smoothing"  # `kind: none`
        for key in dict.fromkeys(keys):
            names = readers(parts, key)
            if has_none or len(names) < len(manifest.SHIPPED[parts.kind]):
                by_either = f"{section}.{key}" in _OF_EITHER
                condition = _either_is(*names) if by_either else one_of(named_by, *names)
                yield f"{section}.{key}", condition


def _cosine_moves(trial: Content) -> bool:
    schedule = trial["schedule"]
    restarts = schedule["stages"] and schedule["carry_over"] == "none"
    lengths = (
        [stage["epochs"] for stage in schedule["stages"]] if restarts else [schedule["epochs"]]
    )
    return any(length > 1 for length in lengths)


def _grows(trial: Content) -> bool:
    """Return whether a value that is linear in the epochs leaves that of the first epoch."""
    return trial["schedule"]["epochs"] > 1 or tunes(trial)


def _terms_differ(trial: Content) -> bool:
    """Return whether the two terms of α's loss have different factors."""
    update = trial["update"]
    if update["lambda_prime"] is not None:
        return bool(update["lambda_prime"] != 0.5)
    return update["lambda"] not in (None, 1.0)


def _warmup_counts(trial: Content) -> bool:
    schedule = trial["schedule"]
    stop, rules = schedule["stop"], schedule["rules"]
    read = stop["convolutions"] or stop["skips"] or stop["settled"] or schedule["lr_rule"] or rules
    return trial["update"]["level"] != "none" or bool(read)


def _has_table(trial: Content) -> bool:
    name = str(trial["space"]["name"])  # may also be a file
    return name == "nasbench201" or "/" in name or "." in name


def _drops_edges(trial: Content) -> bool:
    """Return whether a genotype may have fewer edges than the cells of the space."""
    return trial["space"]["name"] not in _KEEP_EVERY_EDGE


def _edges_are_ranked(trial: Content) -> bool:
    """Return whether operations of different edges are compared, to rank edges or remove skips."""
    return _drops_edges(trial) or bool(trial["selection"]["max_skips"])


def _zero_gradient_moves(trial: Content) -> bool:
    weights = trial["optimizer"]["weights"]
    return bool(weights["momentum"] or weights["weight_decay"])


_KEEP_EVERY_EDGE = ("nasbench201", "darts-all-edges")  # among the built-in spaces
_EPOCHS = "schedule.epochs"
_MOVES = one_of("update.level", "single", "bilevel", "mixed")
_LEARNS = one_of("update.level", "single", "bilevel", "mixed", "policy")
_SECOND_ORDER = one_of("update.order", 2)
_MIXED = one_of("update.level", "mixed")
_SEVERAL_EPOCHS = Condition(
    (_EPOCHS,), lambda trial: trial["schedule"]["epochs"] > 1, f"{_EPOCHS} > 1"
)
_HAS_ALPHA = _other_than("uniform-path", "controller")
# With `importance`, all gradients are of first order and at the same (w, α).
_USUAL_STEP = Condition(
    (_KIND, "relaxation.gradient"),
    lambda trial: (
        (value_of(trial, _KIND), trial["relaxation"]["gradient"]) != ("categorical", "importance")
    ),
    "relaxation.gradient other than 'importance'",
)
_TUNES = Condition(
    ("schedule.greedy",), lambda trial: trial["schedule"]["greedy"] is None, "schedule.greedy null"
)

_OF_OPTIONS = dict(_option_conditions())
_OTHERS: Mapping[str, tuple[Condition, ...]] = {
    "space.cells": (_left_to_the_trial("cells"),),
    "data.module_dir": (_own("data.name", "custom data set (module:function)"),),
    "data.single_level": (one_of("update.level", "single"),),
    "relaxation.init": (_HAS_ALPHA,),
    "relaxation.init_std": (_HAS_ALPHA,),
    "relaxation.temperature.end": (_SEVERAL_EPOCHS,),
    "relaxation.auxiliary_skip.end": (Condition((_EPOCHS,), _grows, f"{_EPOCHS} > 1"),),
    "relaxation.drop_path": (_SEVERAL_EPOCHS,),
    "relaxation.weights": (_other_than("uniform-path"),),
    "relaxation.smoothing": (
        Condition(
            (_KIND, _WEIGHTS),
            lambda trial: _of_weights(trial) not in NOT_ALL,
            f"{_KIND} other than {' or '.join(map(_shown, NOT_ALL))}",
            {_KIND: [name for name in manifest.SHIPPED["relaxations"] if name not in NOT_ALL]},
        ),
    ),
    "relaxation.smoothing.end": (Condition((_EPOCHS,), _grows, f"{_EPOCHS} > 1"),),
    "relaxation.partial_channels": (_left_to_the_trial("partial_channels"),),
    "relaxation.edge_normalization": (_HAS_ALPHA,),
    "relaxation.flops_weight": (_MOVES, _HAS_ALPHA),
    "relaxation.flops_bound": (_MOVES, _HAS_ALPHA, _positive("relaxation.flops_weight")),
    "relaxation.penalty": (_MOVES,),
    "relaxation.penalty.weight": (one_of("relaxation.penalty.kind", "kl", "kl-all", "zero-one"),),
    "relaxation.unsampled": (_MOVES,),
    "relaxation.gradient": (_MOVES,),
    "relaxation.samples": (_MOVES, one_of("relaxation.gradient", "importance")),
    "relaxation.likelihood": (_MOVES, one_of("relaxation.gradient", "importance")),
    "relaxation.options": (_own("relaxation.kind"),),
    "update.order": (one_of("update.level", "bilevel", "mixed"), _USUAL_STEP),
    "update.sequence": (_MOVES, _USUAL_STEP),
    "update.lambda": (_MIXED,),
    "update.lambda_prime": (_MIXED,),
    "update.hessian": (_SECOND_ORDER,),
    "update.epsilon": (_SECOND_ORDER, one_of("update.hessian", "finite-difference")),
    "update.unrolled_momentum": (_SECOND_ORDER, _positive("optimizer.weights.momentum")),
    "update.second_order_form": (
        _MIXED,
        _SECOND_ORDER,
        Condition(
            ("update.lambda", "update.lambda_prime"),
            _terms_differ,
            "update.lambda other than 1 or update.lambda_prime other than 0.5",
        ),
    ),
    "update.alpha_batch": (one_of("update.level", "single"),),
    "update.weight_steps": (_MOVES,),
    "update.policy": (one_of("update.level", "policy"),),
    "update.warmup": (
        Condition(("update.level",), _warmup_counts, "update.level other than 'none'"),
    ),
    "optimizer.weights.learning_rate_min": (
        Condition((_EPOCHS,), _cosine_moves, f"{_EPOCHS} > 1"),
    ),
    "optimizer.weights.nesterov": (_positive("optimizer.weights.momentum"),),
    "optimizer.weights.unsampled": (
        _either_is(*NOT_ALL),
        Condition(
            ("optimizer.weights.momentum", "optimizer.weights.weight_decay"),
            _zero_gradient_moves,
            "momentum or weight decay",
        ),
    ),
    "optimizer.alphas": (_LEARNS,),
    "optimizer.alphas.step_size": (one_of("optimizer.alphas.step_rule", "constant"),),
    "schedule.greedy.history": (
        Condition(
            ("schedule.greedy.criterion",),
            lambda trial: value_of(trial, "schedule.greedy.criterion") != 1,
            "schedule.greedy.criterion 2",
            {"schedule.greedy.criterion": 2},
        ),
    ),
    "schedule.carry_over": (
        Condition(
            ("schedule.stages",),
            lambda trial: len(trial["schedule"]["stages"]) > 1,
            "schedule.stages, at least two",
        ),
    ),
    "schedule.stop.patience": (
        Condition(
            ("schedule.stop.convolutions", "schedule.stop.skips"),
            lambda trial: bool(
                trial["schedule"]["stop"]["convolutions"] or trial["schedule"]["stop"]["skips"]
            ),
            "a bound in one of them",
        ),
    ),
    "schedule.eigenvalue.decay_factor": (one_of("schedule.eigenvalue.action", "roll-back"),),
    "schedule.eigenvalue.max_decay": (one_of("schedule.eigenvalue.action", "roll-back"),),
    "selection.rank_by": (
        one_of("relaxation.kind", "sigmoid", "dirichlet"),
        Condition(
            ("space.name", "selection.max_skips"),
            _edges_are_ranked,
            "a space whose genotypes drop edges, or selection.max_skips",
        ),
    ),
    "selection.perturbation.edges": (
        _TUNES,
        Condition(("space.name",), _drops_edges, "a space whose genotypes drop edges"),
    ),
    "selection.perturbation.order": (_TUNES,),
    "selection.perturbation.interval": (_TUNES,),
    "selection.perturbation.learning_rate_factor": (_TUNES,),
    "selection.options": (_own("selection.kind"),),
    "benchmark.table": (Condition(("space.name",), _has_table, "space.name 'nasbench201'"),),
    "retrain.learning_rate_min": (
        one_of("retrain.lr_schedule", "cosine"),
        Condition(
            ("retrain.epochs",), lambda trial: trial["retrain"]["epochs"] > 1, "retrain.epochs > 1"
        ),
    ),
    "retrain.lr_decay": (one_of("retrain.lr_schedule", "exponential", "step"),),
    "retrain.lr_step_epochs": (one_of("retrain.lr_schedule", "step"),),
    **{
        f"{section}.augment.{key}": (one_of(f"{section}.augment.crop", crop),)
        for section in ("data", "retrain")
        for key, crop in (("crop_padding", "padded"), ("crop_scale", "resized"))
    },
    "retrain.nesterov": (_positive("retrain.momentum"),),
}
CONDITIONS: Mapping[str, tuple[Condition, ...]] = {
    key: (*([_OF_OPTIONS[key]] if key in _OF_OPTIONS else []), *_OTHERS.get(key, ()))
    for key in (*_OF_OPTIONS, *_OTHERS)
}
"""Conditions by key or section; a key is read if all conditions of it and its sections hold."""
