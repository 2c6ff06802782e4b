"""The options of the data sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from tune_nas.config.decides import Decides
from tune_nas.config.section import Section

STARTS = Decides.SEARCH_STARTS | Decides.RETRAIN_STARTS
IMAGES = Decides.SEARCH | Decides.RETRAIN | STARTS


class FilesOptions(Section):
    """Options of ``imagenet16-120``.

    Args:
        dir: Directory with the data set's files.
    """

    dir: Annotated[str | None, STARTS] = None


class CifarOptions(FilesOptions):
    """Options of ``cifar10``, ``cifar100`` and ``svhn``.

    Args:
        dir: Directory with the data set's files.
        download: Download the files if they are missing. Otherwise, nothing is downloaded.
    """

    download: Annotated[bool, STARTS] = False


class FolderOptions(FilesOptions):
    """Options of ``folder``.

    Args:
        dir: Directory with the data set's files.
        layout: ``splits``: one folder for training and one for testing; ``classes``: one folder per
            class; ``auto``: splits if it has folders with such names.
        fit: How non-square images are resized: ``crop`` takes the center square, ``stretch``
            changes the aspect ratio, ``pad`` adds margins.
        background: Color behind transparent images and of margins: ``white``, ``black`` or
            ``#rrggbb``.
    """

    layout: Annotated[Literal["auto", "splits", "classes"], IMAGES] = "auto"
    fit: Annotated[Literal["crop", "stretch", "pad"], IMAGES] = "crop"
    background: Annotated[str, IMAGES] = "white"

    @field_validator("background")
    @classmethod
    def _color(cls, value: str) -> str:
        digits = value.removeprefix("#").lower()
        is_hex = value != digits and len(digits) == 6 and set(digits) <= set("0123456789abcdef")
        if value not in ("white", "black") and not is_hex:
            raise ValueError("must be white, black or #rrggbb, e.g. '#808080'")
        return value
