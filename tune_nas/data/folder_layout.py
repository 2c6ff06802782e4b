"""Layout of an image folder: which folders are splits and which are classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tune_nas.data.decode import EXTENSIONS
from tune_nas.errors import DataError, DataUnavailableError
from tune_nas.paths import holds_runs, is_of_run

RULE = "data.dir must hold train/ and test/, or classes, with a folder of images per class"

_SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation"),
}
# Left by systems and archives next to user files; hidden ones start with a dot.
_NO_CLASSES = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")


@dataclass(frozen=True)
class Layout:
    """Folders of the images.

    Attributes:
        train: Folder of the training images, or of all of them.
        test: Folder of the test images; None if they are split off the training images.
        unread: Names of the other folders.
    """

    train: Path
    test: Path | None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The images of one folder, unopened.

    Attributes:
        files: Image files by class, sorted by path.
        labels: Class of each file.
        classes: Names of the classes, sorted.
        other: Number of files that are not images, by suffix.
    """

    files: list[Path]
    labels: list[int]
    classes: tuple[str, ...]
    other: dict[str, int]


def find_layout(root: Path, wanted: Literal["auto", "splits", "classes"]) -> Layout:
    """Find the splits of a folder by their usual names, ignoring case.

    Args:
        root: The folder.
        wanted: ``splits`` or ``classes``; ``auto``: splits if a folder is named train or test.

    Raises:
        DataError: If it has only one split or several folders for one, or if the splits are inside
            the classes.
    """
    folders = _folders(root)
    found = {
        split: [folder for folder in folders if folder.name.lower() in names]
        for split, names in _SPLITS.items()
    }
    if wanted == "classes" or (wanted == "auto" and not (found["train"] or found["test"])):
        if wanted == "auto":
            _check_no_splits_within(folders)
        return Layout(root, None)
    for split, several in found.items():
        if len(several) > 1:
            names = " and ".join(f"'{folder.name}'" for folder in several)
            raise DataError(f"data.dir: '{root}' has {names} for {split}; keep one; {RULE}")
    tests = found["test"] or found["validation"]
    if not found["train"] or not tests:
        absent = root / ("test" if found["train"] else "train")
        named = (*found["train"], *tests)
        hint = f"; if '{named[0].name}' is a class, set data.layout to classes" if named else ""
        raise DataUnavailableError(f"data.dir: '{absent}' does not exist; {RULE}{hint}")
    train, test = found["train"][0], tests[0]
    unread = (f.name for f in folders if f not in (train, test) and not holds_runs(f))
    return Layout(train, test, tuple(unread))


def list_images(root: Path) -> Listing:
    """List the images of a folder of classes, including subfolders of a class's folder.

    Hidden files, hidden folders and folders of runs are skipped: a storage inside the image folder
    is not a class, and its figures are not images.

    Raises:
        DataError: If there are fewer than 2 classes, or one without images.
    """
    files, labels, classes, other = list[Path](), list[int](), list[str](), dict[str, int]()
    for folder in _folders(root):
        found = list(_files_below(folder))
        images = [file for file in found if file.suffix.lower() in EXTENSIONS]
        if not images and holds_runs(folder):
            continue
        if not images:
            raise DataError(
                f"data.dir: class '{folder.name}' in '{root}' has no images; "
                f"files that are read end in {', '.join(EXTENSIONS)}"
            )
        files += images
        labels += [len(classes)] * len(images)
        classes.append(folder.name)
        for file in found:
            if (ending := file.suffix.lower()) not in EXTENSIONS:
                other[ending] = other.get(ending, 0) + 1
    if not classes:
        # e.g. a mount point whose file system is not mounted
        raise DataUnavailableError(f"data.dir: '{root}' has no folder of a class; {RULE}")
    if len(classes) < 2:
        raise DataError(f"data.dir: '{root}' has one class, but must have at least 2")
    return Listing(files, labels, tuple(classes), other)


def _check_no_splits_within(classes: list[Path]) -> None:
    """Reject classes that contain splits: their training and test images would be mixed."""
    for folder in classes:
        below = {child.name.lower() for child in _folders(folder)}
        if below & {*_SPLITS["train"]} and below & {*_SPLITS["test"], *_SPLITS["validation"]}:
            raise DataError(
                f"data.dir: '{folder}' holds splits ({', '.join(sorted(below))}), but they must be "
                "above the classes, e.g. train/CLASS; or set data.layout to classes to mix them"
            )


def _folders(root: Path) -> list[Path]:
    """Return the subfolders that can contain images, sorted by name."""
    try:
        with os.scandir(root) as entries:
            found = [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError as error:
        raise DataUnavailableError(
            f"data.dir: '{root}' cannot be read ({error.strerror})"
        ) from error
    return sorted(folder for folder in found if _can_hold_images(folder))


def _can_hold_images(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _NO_CLASSES
    return not hidden and not is_of_run(folder)


def _files_below(root: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders, by folder, then by name."""
    visited, found = set[str](), list[tuple[str, list[str]]]()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link to a parent folder would never end
            inner.clear()
            continue
        visited.add(real)
        inner[:] = [name for name in inner if _can_hold_images(Path(folder, name))]
        found.append((folder, sorted(name for name in names if not name.startswith("."))))
    for folder, names in sorted(found):
        yield from (Path(folder, name) for name in names)
