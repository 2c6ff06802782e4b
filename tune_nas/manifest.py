"""The parts of a trial by name: each name refers to a ``module:Class`` or ``module:function``.

A custom part is named in that form directly. An installed package adds names with entry points in
the group ``tune_nas.<kind>``, e.g. ``tune_nas.relaxations``; they are read when a name is not built
in. This module imports none of the parts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Literal

_LOG = logging.getLogger(__name__)

Kind = Literal[
    "relaxations",
    "smoothings",
    "selections",
    "rules",
    "probes",
    "analyses",
    "operations",
    "datasets",
    "alpha_optimizers",
    "tasks",
    "searchers",
    "report_formats",
    "export_formats",
    "strategies",
    "encoders",
    "predictor_losses",
    "proxies",
]

_ANALYSES = {
    "gradient-correlation": "tune_nas.search.analyses.gradient_correlation:GradientCorrelation",
    "gradient-bias": "tune_nas.search.analyses.gradient_bias:GradientBias",
    "discretization": "tune_nas.search.analyses.discretization:Discretization",
    "edge-shuffle": "tune_nas.search.analyses.edge_shuffle:EdgeShuffle",
    "skip-gap": "tune_nas.search.analyses.skip_gap:SkipGap",
    "hessian": "tune_nas.search.probes.hessian_probe:HessianProbe",
}

SHIPPED: Mapping[Kind, Mapping[str, str]] = {
    "relaxations": {
        "softmax": "tune_nas.search.relaxation.plain:Softmax",
        "sigmoid": "tune_nas.search.relaxation.plain:Sigmoid",
        "gumbel": "tune_nas.search.relaxation.gumbel:Gumbel",
        "concrete": "tune_nas.search.relaxation.concrete:Concrete",
        "dirichlet": "tune_nas.search.relaxation.dirichlet:Dirichlet",
        "categorical": "tune_nas.search.relaxation.categorical:Categorical",
        "dropout": "tune_nas.search.relaxation.operation_dropout:OperationDropout",
        "uniform-path": "tune_nas.search.relaxation.path:UniformPath",
        "simplex": "tune_nas.search.relaxation.simplex:Simplex",
        "proximal": "tune_nas.search.relaxation.proximal:Proximal",
        "controller": "tune_nas.search.relaxation.controller:Controller",
    },
    "smoothings": {
        "random": "tune_nas.search.smoothing.random:RandomSmoothing",
        "adversarial": "tune_nas.search.smoothing.adversarial:AdversarialSmoothing",
    },
    "selections": {
        "magnitude": "tune_nas.search.selection.magnitude:Magnitude",
        "greedy": "tune_nas.search.selection.decided:Decided",
        "perturbation": "tune_nas.search.selection.perturbation:Perturbation",
        "sampled": "tune_nas.search.selection.sampled:Sampled",
    },
    # Named as the keys of `schedule` that turn them on.
    "rules": {
        "stages": "tune_nas.search.rules.stages:Stages",
        "greedy": "tune_nas.search.rules.sequential_decisions:SequentialDecisions",
        "early_fixing": "tune_nas.search.rules.early_fixing:EarlyFixing",
        "lr_rule": "tune_nas.search.rules.rate:LowerRate",
        "wipe_out": "tune_nas.search.rules.wipe_out:WipeOut",
        "stop": "tune_nas.search.rules.stop:Stop",
        "eigenvalue": "tune_nas.search.rules.eigenvalue:EigenvalueRule",
    },
    "probes": _ANALYSES,  # further built-in ones observe every search
    "analyses": {"strength": "tune_nas.search.analysis:Analysis", **_ANALYSES},
    "operations": {
        "none": "tune_nas.spaces.operations:none",
        "max_pool_3x3": "tune_nas.spaces.operations:max_pool_3x3",
        "avg_pool_3x3": "tune_nas.spaces.operations:avg_pool_3x3",
        "skip_connect": "tune_nas.spaces.operations:skip_connect",
        "sep_conv_3x3": "tune_nas.spaces.operations:sep_conv_3x3",
        "sep_conv_5x5": "tune_nas.spaces.operations:sep_conv_5x5",
        "dil_conv_3x3": "tune_nas.spaces.operations:dil_conv_3x3",
        "dil_conv_5x5": "tune_nas.spaces.operations:dil_conv_5x5",
        "nor_conv_1x1": "tune_nas.spaces.operations:nor_conv_1x1",
        "nor_conv_3x3": "tune_nas.spaces.operations:nor_conv_3x3",
        "noise": "tune_nas.spaces.operations:noise",
    },
    "datasets": {
        "digits": "tune_nas.data.small:read_digits",
        "cifar10": "tune_nas.data.cifar:read_cifar10",
        "cifar100": "tune_nas.data.cifar:read_cifar100",
        "svhn": "tune_nas.data.svhn:read_svhn",
        "imagenet16-120": "tune_nas.data.imagenet16:read_imagenet16",
        "folder": "tune_nas.data.folder:read_folder",
        "imagenet": "tune_nas.data.imagenet_folder:read_imagenet",
        "fake": "tune_nas.data.small:read_fake",
    },
    "alpha_optimizers": {
        "adam": "tune_nas.search.optimizers:make_adam",
        "sgd": "tune_nas.search.optimizers:make_sgd",
        "exponentiated": "tune_nas.search.optimizers:make_exponentiated",
    },
    "tasks": {
        "search": "tune_nas.tasks.search_task:SearchTask",
        "candidates": "tune_nas.tasks.candidates_task:CandidatesTask",
        "retrain": "tune_nas.tasks.retrain_task:RetrainTask",
        "analysis": "tune_nas.tasks.analysis_task:AnalysisTask",
    },
    "searchers": {},  # built-in ones are names of Optuna's samplers
    "report_formats": {
        "terminal": "tune_nas.report.terminal:Terminal",
        "markdown": "tune_nas.report.markdown:Markdown",
        "json": "tune_nas.report.json_document:Json",
        "html": "tune_nas.report.page.html_format:Html",
    },
    "export_formats": {
        "torch-export": "tune_nas.export.torch_export:TorchExport",
        "onnx": "tune_nas.export.onnx_file:OnnxFile",
        "safetensors": "tune_nas.export.safetensors_file:SafetensorsFile",
        "standalone": "tune_nas.export.standalone:Standalone",
    },
    "strategies": {
        "random": "tune_nas.strategies.random_search:RandomSearch",
        "evolution": "tune_nas.strategies.evolution:RegularizedEvolution",
        "local-search": "tune_nas.strategies.local_search:LocalSearch",
        "successive-halving": "tune_nas.strategies.halving:SuccessiveHalving",
        "asha": "tune_nas.strategies.asha:Asha",
        "rank-nosh": "tune_nas.strategies.nosh:RankNosh",
    },
    "encoders": {
        "gin": "tune_nas.predictor.gin:Gin",
        "mlp": "tune_nas.predictor.mlp:Mlp",
    },
    "predictor_losses": {
        "ranking": "tune_nas.predictor.losses:Ranking",
        "regression": "tune_nas.predictor.losses:Regression",
    },
    "proxies": {
        "parameters": "tune_nas.proxies.size:Parameters",
        "multiply-adds": "tune_nas.proxies.size:MultiplyAdds",
        "synflow": "tune_nas.proxies.synflow:Synflow",
        "naswot": "tune_nas.proxies.naswot:Naswot",
        "grad-norm": "tune_nas.proxies.grad_norm:GradNorm",
    },
}

KINDS: Mapping[str, Kind] = {
    "relaxation.weights": "relaxations",
    "relaxation.kind": "relaxations",
    "relaxation.smoothing.kind": "smoothings",
    "selection.kind": "selections",
    "schedule.rules": "rules",
    "probes": "probes",
    "analysis.kind": "analyses",
    "optimizer.alphas.kind": "alpha_optimizers",
    "data.name": "datasets",
    "operations": "operations",
    "task": "tasks",
    "searcher": "searchers",
    "format": "report_formats",
    "to": "export_formats",
    "strategy.kind": "strategies",
    "strategy.predictor.encoder": "encoders",
    "strategy.predictor.loss": "predictor_losses",
    "strategy.nosh.proxy": "proxies",
}
"""The kind of part that a key names: of a trial, a space (``operations``), a sweep (``task``,
``searcher``), a report (``format``) or an export (``to``)."""

NOT_OF_TRIALS = ("operations", "task", "searcher", "format", "to")
"""The keys among them that are not keys of a trial."""

_registered: dict[Kind, dict[str, object]] = {}


def names(kind: Kind) -> tuple[str, ...]:
    """Return the names of all parts of a kind: the built-in ones in order, then the others."""
    others = {*_entry_points(kind), *_registered.get(kind, {})} - SHIPPED[kind].keys()
    return (*SHIPPED[kind], *sorted(others))


def is_shipped(kind: Kind, name: str) -> bool:
    """Return whether a name is that of a built-in part."""
    return name in SHIPPED[kind]


def is_known(kind: Kind, name: str) -> bool:
    """Return whether a name is that of a part, built in or not; ``module:Class`` is not a name."""
    return is_shipped(kind, name) or registered(kind, name) is not None or is_added(kind, name)


def is_added(kind: Kind, name: str) -> bool:
    """Return whether an installed package adds a name."""
    return ":" not in name and name in _entry_points(kind)


def target(kind: Kind, name: str) -> str | None:
    """Return the ``module:Class`` that a name refers to; None if the manifest has no such name."""
    if is_shipped(kind, name):
        return SHIPPED[kind][name]
    return _entry_points(kind)[name] if is_added(kind, name) else None


def short_name(kind: Kind, text: str) -> str:
    """Return the built-in name of a ``module:Class``; the text itself if there is none."""
    return next((name for name, meant in SHIPPED[kind].items() if meant == text), text)


def is_reference(text: object) -> bool:
    """Return whether a text has the form ``module:name``, with or without dots in the module."""
    if not isinstance(text, str):
        return False
    module, _, name = text.partition(":")
    return all(part.isidentifier() for part in [*module.split("."), name])


def registered(kind: Kind, name: str) -> object | None:
    """Return the object that was registered under a name in this process; None if none was."""
    return _registered.get(kind, {}).get(name)


def register(kind: Kind, name: str, part: object) -> None:
    """Register a part under a name in this process, replacing a part that had the name."""
    _registered.setdefault(kind, {})[name] = part


def owner(kind: Kind, name: str, part: object | None = None) -> str | None:
    """Return the module whose part already has a name; None if the name is free.

    Args:
        kind: The kind of part.
        name: The name.
        part: The part to be named. A redefined part, e.g. in a notebook cell that is run again, is
            the same part: its module and qualified name are equal. None if it is not known yet:
            then only names of built-in parts are taken.
    """
    if is_shipped(kind, name):
        return SHIPPED[kind][name].partition(":")[0]
    other = registered(kind, name)
    if other is None or part is None or _identity(other) == _identity(part):
        return None
    return str(getattr(other, "__module__", "a function"))


def _identity(part: object) -> tuple[object, object]:
    name = getattr(part, "__qualname__", None)
    return getattr(part, "__module__", None), id(part) if name is None else name


@cache
def _entry_points(kind: Kind) -> Mapping[str, str]:
    """Return the names that installed packages add, each with its ``module:Class``."""
    from importlib.metadata import entry_points  # parses every installed package

    group, found = f"tune_nas.{kind}", dict[str, str]()
    for point in sorted(entry_points(group=group), key=lambda each: (each.name, each.value)):
        if point.name in SHIPPED[kind] or found.get(point.name, point.value) != point.value:
            reason = "there is another part of that name"
        elif ":" in point.name or not is_reference(point.value):
            reason = "it must be written NAME = module:Class"
        else:
            found[point.name] = point.value
            continue
        _LOG.warning(
            "entry point '%s = %s' of %s is ignored: %s", point.name, point.value, group, reason
        )
    return found
