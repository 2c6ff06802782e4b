"""Storage of sweeps: a local folder, or any URI that pyarrow supports."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from tune_nas.errors import StorageError
from tune_nas.files import folder_bytes, make_folder, write_atomically
from tune_nas.paths import expanded, is_file, is_uri
from tune_nas.text import brief


class Storage:
    """Small files under a root. A file is written completely or not at all.

    Args:
        root: A path, a ``file://`` URI, or another URI (``s3://…``, ``gs://…``, ``mock://…``).

    Raises:
        StorageError: If the kind of URI is unknown, if it has a query, or the path is a file.
    """

    def __init__(self, root: str | Path) -> None:
        text = str(root)
        if not text.strip():
            raise StorageError("storage is empty, but must be a folder or a URI")
        self.local: Path | None = None
        if not is_uri(text) or text.startswith("file://"):
            self.local = expanded(text.removeprefix("file://")).absolute()
            self.root = str(self.local)
            if is_file(self.local):
                raise StorageError(f"storage {self.root} is a file, but must be a folder")
            return
        if "?" in text:
            raise StorageError(
                f"storage is '{text}', but must have no '?'; where S3 is a server of your own, "
                "AWS_ENDPOINT_URL says where"
            )
        from tune_nas.sweep.runs.remote_folder import RemoteFolder  # no local storage needs pyarrow

        self.root = text.rstrip("/")
        self._remote = RemoteFolder(self.root)

    def within(self, name: str) -> Storage:
        """Return the storage of a folder in this one."""
        return Storage(f"{self.root}/{name}")

    def read(self, name: str) -> str | None:
        """Return a file's text, or None if the file does not exist.

        Raises:
            StorageError: If it exists but cannot be read.
        """
        content = self.read_bytes(name)
        try:
            return None if content is None else content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise StorageError(f"{self.root}/{name} cannot be read: {error}") from error

    def read_bytes(self, name: str) -> bytes | None:
        """Return a file's content, or None if the file does not exist.

        Raises:
            StorageError: If it exists but cannot be read.
        """
        try:
            if self.local is not None:
                return (self.local / name).read_bytes()
            return self._remote.read(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self.root}/{name} cannot be read: {error}") from error

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file; a crash or power cut leaves either the old or the new content.

        Raises:
            StorageError: If it cannot be written; names the file.
        """
        data = content.encode("utf-8") if isinstance(content, str) else content
        try:
            if self.local is not None:
                path = self.local / name
                make_folder(path.parent)
                write_atomically(path, data)
                return
            self._remote.write(name, data)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(
                f"storage {self.root} cannot be written: {name}: {reason}"
            ) from error

    def names(self, folder: str = "") -> list[str]:
        """Return the sorted names in a folder; empty if the folder does not exist.

        Raises:
            StorageError: If it cannot be listed.
        """
        if self.local is not None:
            path = self.local / folder
            try:
                return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
            except OSError as error:
                reason = error.strerror or str(error)
                raise StorageError(f"{brief(str(path))} cannot be listed: {reason}") from error
        return sorted(name for name, _ in self._entries(folder))

    def modified(self, folder: str) -> float:
        """Return when a file in a folder was last written, in seconds since 1970; 0 for never.

        Raises:
            StorageError: If it cannot be listed.
        """
        if self.local is not None:
            path = self.local / folder
            entries = path.iterdir() if path.is_dir() else iter(())
            return max((entry.stat().st_mtime for entry in entries), default=0.0)
        return max((changed for _, changed in self._entries(folder)), default=0.0)

    def size(self) -> int:
        """Return the number of bytes of all files; 0 if the folder does not exist.

        Raises:
            StorageError: If it cannot be listed.
        """
        if self.local is not None:
            return folder_bytes(self.local)
        try:
            return self._remote.size()
        except OSError as error:
            raise StorageError(f"storage {self.root} cannot be listed: {error}") from error

    def delete(self, name: str) -> None:
        """Delete a file, if it exists.

        Raises:
            StorageError: If it cannot be deleted.
        """
        try:
            if self.local is not None:
                (self.local / name).unlink(missing_ok=True)
            else:
                self._remote.delete(name)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(f"{self.root}/{name} cannot be deleted: {reason}") from error

    def _entries(self, folder: str) -> list[tuple[str, float]]:
        """Return the names in a remote folder, each with the time of its last change."""
        try:
            return self._remote.entries(folder)
        except OSError as error:
            raise StorageError(f"storage {self.root} cannot be listed: {error}") from error

    def remove(self) -> None:
        """Remove the whole folder, as far as possible."""
        if self.local is not None:
            shutil.rmtree(self.local, ignore_errors=True)
        else:
            with suppress(OSError):
                self._remote.clear()
