"""The options of the data sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

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


class ImageNetOptions(FilesOptions):
    """Options of ``imagenet``.

    Args:
        dir: Directory with the data set's files.
        workers: Number of processes that read the images of a retraining run if they are not kept
            in memory; 0 for none besides that of the training. It does not change results.
    """

    workers: Annotated[int, Field(ge=0, le=1024), Decides.NOTHING] = 4


class FolderOptions(ImageNetOptions):
    """Options of ``folder``.

    Args:
        dir: Directory with the data set's files.
        layout: ``splits``: one folder for training and one for testing; ``classes``: one folder per
            class; ``auto``: splits if it has folders with such names.
        fit: How non-square images are resized: ``crop`` takes the center square, ``stretch``
            changes the aspect ratio, ``pad`` adds margins.
        background: Color behind transparent images and of margins: ``white``, ``black`` or
            ``#rrggbb``.
        streaming: Read images when a retraining run needs them, instead of keeping all in memory.
        workers: Number of processes that read the images then; 0 for none besides that of the
            training. It does not change results.
    """

    layout: Annotated[Literal["auto", "splits", "classes"], IMAGES] = "auto"
    fit: Annotated[Literal["crop", "stretch", "pad"], IMAGES] = "crop"
    background: Annotated[str, IMAGES] = "white"
    streaming: Annotated[bool, Decides.RETRAIN | Decides.RETRAIN_STARTS] = False

    @field_validator("background")
    @classmethod
    def _color(cls, value: str) -> str:
        digits = value.removeprefix("#").lower()
        is_hex = value != digits and len(digits) == 6 and set(digits) <= set("0123456789abcdef")
        if value not in ("white", "black") and not is_hex:
            raise ValueError("must be white, black or #rrggbb, e.g. '#808080'")
        return value
