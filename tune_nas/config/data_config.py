"""The ``data`` section of a trial: the images, and how they are read, split and augmented."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from tune_nas import manifest
from tune_nas.config.data_folders import data_set_in
from tune_nas.config.options.dataset_options import IMAGES, STARTS, CifarOptions, FolderOptions
from tune_nas.config.options.option_models import NAMED_PARTS, readers
from tune_nas.config.part_section import PartSection
from tune_nas.config.section import Count, Pixels, Rate, Section, check_part
from tune_nas.errors import ConfigError

PUBLISHED_SIZE = 32
"""Side of CIFAR images in pixels; the papers specify augmentation for this size."""

_Share = Annotated[float, Field(gt=0, le=1)]
_OPTIONS = tuple(dict.fromkeys((*CifarOptions.model_fields, *FolderOptions.model_fields)))


class AugmentConfig(Section):
    """Random changes to training images, batched on the trial's device.

    Args:
        crop: ``padded``: a window of the image's size, at a random position of the padded image;
            ``resized``: a random rectangle, resized to the image's size (torchvision's
            ``RandomResizedCrop``), which needs images that are not kept in memory.
        crop_scale: Smallest and largest share of the image's area in a ``resized`` crop.
        crop_padding: Pixels of zero padding before the random crop; 0 for no crop.
        flip: Mirror half of the images left to right. ``auto``: if a mirrored image keeps its
            class, as declared by the data set (e.g. not for digits).
        color_jitter: Strengths of random changes of brightness, contrast, saturation (each a factor
            in [1 - strength, 1 + strength]) and hue (a shift of at most 0.5); 0 for no change. It
            needs images that are not kept in memory.
        cutout: Side of the blanked square in pixels; 0 for none.
        reference_size: Image side in pixels for which ``crop_padding`` and ``cutout`` are given;
            both scale with the image size. None: they are pixels of the actual images.
    """

    crop: Literal["padded", "resized"] = "padded"
    crop_scale: tuple[_Share, _Share] = (0.08, 1.0)
    crop_padding: Annotated[int, Field(ge=0, le=4096)] = 4
    flip: Literal["auto"] | bool = "auto"
    color_jitter: tuple[Rate, Rate, Rate, Annotated[Rate, Field(le=0.5)]] = (0.0, 0.0, 0.0, 0.0)
    cutout: Annotated[int, Field(ge=0, le=4096)] = 0
    # None, so that an explicit section, or one saved before this key existed, keeps its meaning.
    # The defaults of `data.augment` and `retrain.augment` scale.
    reference_size: Count | None = None

    @field_validator("flip", mode="before")
    @classmethod
    def _true_false_or_auto(cls, value: object) -> object:
        if not isinstance(value, bool) and value != "auto":
            raise ValueError("must be true, false or auto")
        return value

    @field_validator("crop_scale")
    @classmethod
    def _in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("must be the smallest and the largest share")
        return value


class _DataName(PartSection):
    section = "data"

    name: Annotated[str, IMAGES] = "digits"
    module_dir: Annotated[str | None, STARTS] = None

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("data.name", value, "module:function")


class DataConfig(FolderOptions, CifarOptions, _DataName):
    """The data set and how its training images are split.

    The options of the shipped data sets are keys of this section.

    Args:
        name: A data set (`tune-nas list data` lists them), or ``module:function`` for a custom one.
        module_dir: Folder searched first for the module of a custom data set. None: the folder of
            the trial file if it contains the module; else Python's import path, or the current
            working directory.
        train_images: Number of training images to use (a seeded random sample); None for all.
        resolution: Resize the images to this side in pixels, at least 4; None for no resizing.
        train_portion: Fraction of the training images used for training; the rest are used for
            validation.
        split: ``seed``: determined by the trial's seed; ``fixed``: the same in every trial.
        single_level: Images used in single-level search: the ``train`` half only (as in the
            comparison of MiLeNAS) or ``all`` (as in Hou and Jin).
        augment: Augmentation during the search.
    """

    train_images: Annotated[Count | None, IMAGES] = None
    resolution: Annotated[Pixels | None, IMAGES] = None
    train_portion: Annotated[float, Field(gt=0, lt=1)] = 0.5
    split: Annotated[Literal["seed", "fixed"], IMAGES] = "seed"
    single_level: Literal["train", "all"] = "train"
    augment: AugmentConfig = AugmentConfig(reference_size=PUBLISHED_SIZE)


def check_data_keys(sections: Iterable[DataConfig]) -> None:
    """Reject keys that are set but read by no data set of a run. A custom one may read all.

    Args:
        sections: The data sections of all trials of the run.

    Raises:
        ConfigError: If there is such a key; the message names the data sets that read it.
    """
    sections = list(sections)
    for key in _OPTIONS:
        default = DataConfig.model_fields[key].default
        users = readers(NAMED_PARTS["data"], key)
        unused = next((data for data in sections if getattr(data, key) != default), None)
        if unused is None or any(_may_read(data.name, users) for data in sections):
            continue
        found = data_set_in(unused.dir) if key == "dir" else None
        choice = (
            f"give `data.name` {found}, which the folder has"
            if found
            else (f"choose one that does (`data.name` {', '.join(users)})")
        )
        raise ConfigError(
            f"data.{key} is {_yaml(getattr(unused, key))}, but data set '{unused.name}' does not "
            f"use it; {choice}, or set data.{key} to {_yaml(default)}"
        )
    workers = DataConfig.model_fields["workers"].default
    idle = next((data for data in sections if data.workers != workers), None)
    if idle is not None and all(data.name == "folder" and not data.streaming for data in sections):
        raise ConfigError(
            f"data.workers is {idle.workers}, but has no effect without data.streaming; set "
            f"data.streaming to true, or data.workers to {workers}"
        )
    stretched = next((data for data in sections if data.fit != "crop"), None)
    if stretched is not None and all(data.resolution is None for data in sections):
        raise ConfigError(
            f"data.fit is '{stretched.fit}', but has no effect without data.resolution; set "
            f"data.resolution, e.g. to {PUBLISHED_SIZE}"
        )


def other_data(data: DataConfig, name: str) -> dict[str, object]:
    """Return the changes with which a trial uses another data set, without its name.

    What describes the present images gets its default: their number, where they are, and the
    options of the data set, except those that both have, as CIFAR-10 and CIFAR-100 do.

    Args:
        data: The data section of the trial.
        name: The other data set.

    Returns:
        Values by dotted key; empty if it is the same data set.
    """
    if name == data.name:
        return {}
    models = [NAMED_PARTS["data"].options.get(each) for each in (data.name, name)]
    keys = {"train_images", "module_dir"}
    if models[0] is None or models[0] != models[1]:
        keys |= set(_OPTIONS)
    return {f"data.{key}": DataConfig.model_fields[key].default for key in sorted(keys)}


def _may_read(name: str, users: Sequence[str]) -> bool:
    return name in users or not manifest.is_shipped("datasets", name)


def _yaml(value: object) -> str:
    words: dict[object, str] = {None: "null", False: "false", True: "true"}
    return words.get(value, str(value) if isinstance(value, int) else f"'{value}'")
