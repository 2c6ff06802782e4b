"""The YAML model of a trial's images: which, how they are read, divided and augmented."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tune_nas import manifest
from tune_nas.config.decides import Decides
from tune_nas.config.section import Count, Pixels, Section, check_part
from tune_nas.errors import ConfigError

PUBLISHED_SIZE = 32
"""Side of CIFAR's images in pixels, for which the papers state their augmentation."""

_STARTS = Decides.SEARCH_STARTS | Decides.RETRAIN_STARTS
_IMAGES = Decides.SEARCH | Decides.RETRAIN | _STARTS

_READS: dict[str, tuple[str, ...]] = {
    "digits": (),
    "fake": (),
    "cifar10": ("dir", "download"),
    "cifar100": ("dir", "download"),
    "folder": ("dir", "layout", "fit", "background"),
}
"""The keys that only some data sets read, by data set."""


class AugmentConfig(Section):
    """Random changes to training images, batched on the trial's device.

    Args:
        crop_padding: Pixels of zero padding before the random crop; 0 for no crop.
        flip: Mirror half of the images left to right. ``auto``: where a mirrored image keeps its
            class, which the data set says (not for digits).
        cutout: Side of the square that is blanked, in pixels; 0 for none.
        reference_size: Side of the images that ``crop_padding`` and ``cutout`` are stated for, in
            pixels: both scale with the images. None: they are pixels of the images at hand.
    """

    crop_padding: Annotated[int, Field(ge=0, le=4096)] = 4
    flip: Literal["auto"] | bool = "auto"
    cutout: Annotated[int, Field(ge=0, le=4096)] = 0
    # None, so that a section that is written out, or saved before this key was there, means what
    # it says. The defaults of `data.augment` and `retrain.augment` scale.
    reference_size: Count | None = None

    @field_validator("flip", mode="before")
    @classmethod
    def _true_false_or_auto(cls, value: Any) -> Any:
        if not isinstance(value, bool) and value != "auto":
            raise ValueError("must be true, false or auto")
        return value


class DataConfig(Section):
    """The images, and how the training images are divided.

    Args:
        name: ``digits``, ``cifar10``, ``cifar100``, ``folder`` or ``fake``; or
            ``module:function`` of your own.
        module_dir: The folder in which the module of your own data set is looked for first. None:
            that of the trial's file, if the module is there; else as Python finds it, or in the
            folder that the command runs in.
        dir: Where the files lie; not needed by ``digits`` and ``fake``.
        download: Fetch the files if they are absent. Nothing is downloaded otherwise.
        layout: How a ``folder`` is divided: ``splits``: it has a folder for training and one for
            testing; ``classes``: it has a folder per class; ``auto``: splits if it has folders
            that are named so.
        train_images: Use that many training images (a seeded draw); None for all.
        resolution: Resize the images to this side, in pixels, at least 4; None leaves them.
        fit: How an image of a ``folder`` that is not square is resized: ``crop`` cuts it to a
            square about its center, ``stretch`` changes its aspect ratio, ``pad`` adds margins.
        background: Color behind transparent images of a ``folder`` and in margins: ``white``,
            ``black`` or ``#rrggbb``.
        train_portion: Share of the training images that becomes the train half.
        split: ``seed``: divided by the trial's seed; ``fixed``: the same in every trial.
        single_level: Where single-level search takes its images: the ``train`` half alone
            (as MiLeNAS compares it) or ``all`` of them (as Hou and Jin run it).
        augment: Augmentation in the search.
    """

    name: Annotated[str, _IMAGES] = "digits"
    module_dir: Annotated[str | None, _STARTS] = None
    dir: Annotated[str | None, _STARTS] = None
    download: Annotated[bool, _STARTS] = False
    layout: Annotated[Literal["auto", "splits", "classes"], _IMAGES] = "auto"
    train_images: Annotated[Count | None, _IMAGES] = None
    resolution: Annotated[Pixels | None, _IMAGES] = None
    fit: Annotated[Literal["crop", "stretch", "pad"], _IMAGES] = "crop"
    background: Annotated[str, _IMAGES] = "white"
    train_portion: Annotated[float, Field(gt=0, lt=1)] = 0.5
    split: Annotated[Literal["seed", "fixed"], _IMAGES] = "seed"
    single_level: Literal["train", "all"] = "train"
    augment: AugmentConfig = AugmentConfig(reference_size=PUBLISHED_SIZE)

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("data.name", value, "module:function")

    @field_validator("background")
    @classmethod
    def _color(cls, value: str) -> str:
        digits = value.removeprefix("#").lower()
        is_hex = value != digits and len(digits) == 6 and set(digits) <= set("0123456789abcdef")
        if value not in ("white", "black") and not is_hex:
            raise ValueError("must be white, black or #rrggbb, e.g. '#808080'")
        return value


def check_data_keys(sections: Iterable[DataConfig]) -> None:
    """Refuse keys that are set, but that no data set of a run reads. A user's own may read all.

    Args:
        sections: The data sections of all trials of the run.

    Raises:
        ConfigError: If there is such a key; names the data sets that read it.
    """
    sections = list(sections)
    for key in ("dir", "download", "layout", "fit", "background"):
        default = DataConfig.model_fields[key].default
        users = [name for name, keys in _READS.items() if key in keys]
        unused = next((data for data in sections if getattr(data, key) != default), None)
        if unused is None or any(_may_read(data.name, users) for data in sections):
            continue
        raise ConfigError(
            f"data.{key} is {_yaml(getattr(unused, key))}, but data set '{unused.name}' does not "
            f"use it; choose one that does (`data.name` {', '.join(users)}), or set data.{key} to "
            f"{_yaml(default)}"
        )
    stretched = next((data for data in sections if data.fit != "crop"), None)
    if stretched is not None and all(data.resolution is None for data in sections):
        raise ConfigError(
            f"data.fit is '{stretched.fit}', but has no effect without data.resolution; set "
            f"data.resolution, e.g. to {PUBLISHED_SIZE}"
        )


def _may_read(name: str, users: list[str]) -> bool:
    return name in users or not manifest.is_shipped("datasets", name)


def _yaml(value: Any) -> str:
    return {None: "null", False: "false", True: "true"}.get(value, f"'{value}'")
