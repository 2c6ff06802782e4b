"""Which option model each shipped part has, and where a trial holds its options.

The sections of a trial inherit the fields of these models, so that default, bound and description
of an option are declared once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tune_nas import manifest
from tune_nas.config.options.categorical_options import CategoricalOptions
from tune_nas.config.options.controller_options import ControllerOptions
from tune_nas.config.options.dataset_options import (
    CifarOptions,
    FilesOptions,
    FolderOptions,
    ImageNetOptions,
)
from tune_nas.config.options.dropout_options import DropoutOptions
from tune_nas.config.options.early_fixing_options import EarlyFixingOptions
from tune_nas.config.options.eigenvalue_options import EigenvalueOptions
from tune_nas.config.options.exponentiated_options import ExponentiatedOptions, WipeOutOptions
from tune_nas.config.options.optimizer_options import AdamOptions, SgdOptions
from tune_nas.config.options.relaxation_options import (
    ConcreteOptions,
    GumbelOptions,
    PenaltyOptions,
)
from tune_nas.config.options.rule_options import (
    GreedyOptions,
    LowerRateOptions,
    StagesOptions,
    StopOptions,
)
from tune_nas.config.options.selection_options import (
    MagnitudeOptions,
    PerturbationOptions,
    SampledOptions,
)
from tune_nas.config.options.smoothing_options import AdversarialOptions, RandomOptions
from tune_nas.config.section import Section


class PartOptions(NamedTuple):
    """The options of a shipped part.

    Attributes:
        model: Their model.
        within: The key of the part's section that holds them; empty for the section itself.
    """

    model: type[Section]
    within: str = ""


@dataclass(frozen=True)
class NamedParts:
    """The shipped parts that a section of a trial can name.

    Args:
        section: The dotted name of the section.
        named_by: The key of the section that names the part.
        kind: The kind of the parts.
        options: The options by part; parts without options are not listed.
    """

    section: str
    named_by: str
    kind: manifest.Kind
    options: Mapping[str, PartOptions]


_ALL = (
    NamedParts(
        *("relaxation", "kind", "relaxations"),
        options={
            "sigmoid": PartOptions(PenaltyOptions),
            "gumbel": PartOptions(GumbelOptions),
            "concrete": PartOptions(ConcreteOptions),
            "dirichlet": PartOptions(PenaltyOptions),
            "categorical": PartOptions(CategoricalOptions),
            "dropout": PartOptions(DropoutOptions),
            "controller": PartOptions(ControllerOptions),
        },
    ),
    NamedParts(
        *("relaxation.smoothing", "kind", "smoothings"),
        options={
            "random": PartOptions(RandomOptions),
            "adversarial": PartOptions(AdversarialOptions),
        },
    ),
    NamedParts(
        *("selection", "kind", "selections"),
        options={
            "magnitude": PartOptions(MagnitudeOptions),
            "perturbation": PartOptions(PerturbationOptions, "perturbation"),
            "sampled": PartOptions(SampledOptions, "sampled"),
        },
    ),
    NamedParts(
        *("optimizer.alphas", "kind", "alpha_optimizers"),
        options={
            "adam": PartOptions(AdamOptions),
            "sgd": PartOptions(SgdOptions),
            "exponentiated": PartOptions(ExponentiatedOptions),
        },
    ),
    NamedParts(
        *("data", "name", "datasets"),
        options={
            "cifar10": PartOptions(CifarOptions),
            "cifar100": PartOptions(CifarOptions),
            "svhn": PartOptions(CifarOptions),
            "imagenet16-120": PartOptions(FilesOptions),
            "folder": PartOptions(FolderOptions),
            "imagenet": PartOptions(ImageNetOptions),
        },
    ),
)
NAMED_PARTS: Mapping[str, NamedParts] = {parts.section: parts for parts in _ALL}
"""The parts that a trial names, by section."""

RULES = NamedParts(
    *("schedule", "rules", "rules"),
    options={
        "stages": PartOptions(StagesOptions),
        "greedy": PartOptions(GreedyOptions, "greedy"),
        "early_fixing": PartOptions(EarlyFixingOptions, "early_fixing"),
        "lr_rule": PartOptions(LowerRateOptions, "lr_rule"),
        "wipe_out": PartOptions(WipeOutOptions, "wipe_out"),
        "stop": PartOptions(StopOptions, "stop"),
        "eigenvalue": PartOptions(EigenvalueOptions, "eigenvalue"),
    },
)
"""The shipped rules; a trial can use any number of them."""


def readers(parts: NamedParts, key: str) -> tuple[str, ...]:
    """Return the names of the shipped parts that read a key of their section as an option."""
    return tuple(
        name
        for name, (model, within) in parts.options.items()
        if key == within or (not within and key in model.model_fields)
    )
