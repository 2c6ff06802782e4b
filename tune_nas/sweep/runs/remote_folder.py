"""A folder in a remote storage, as pyarrow reaches it."""

from __future__ import annotations

from pyarrow.fs import FileSelector, FileSystem, FileType

from tune_nas.errors import StorageError


class RemoteFolder:
    """Small files under a URI.

    Args:
        uri: A URI that pyarrow supports (``s3://…``, ``gs://…``, ``mock://…``).

    Raises:
        StorageError: If the URI is not valid, or it cannot be reached.
    """

    def __init__(self, uri: str) -> None:
        self._system: FileSystem
        self._base: str
        try:
            self._system, self._base = FileSystem.from_uri(uri)
        except (OSError, ValueError) as error:
            raise StorageError(f"storage {uri} cannot be reached: {error}") from error
        self._made: set[str] = set()

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: If it does not exist, or cannot be read.
        """
        with self._system.open_input_stream(f"{self._base}/{name}") as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file; it becomes visible when it is complete.

        Raises:
            OSError: If it cannot be written.
        """
        target = f"{self._base}/{name}"
        folder = target.rpartition("/")[0]
        if folder not in self._made:  # three requests to S3 instead of one
            self._system.create_dir(folder, recursive=True)
            self._made.add(folder)
        with self._system.open_output_stream(target) as stream:
            stream.write(content)

    def entries(self, folder: str = "") -> list[tuple[str, float]]:
        """Return the names in a folder below, each with its last change in seconds since 1970.

        Raises:
            OSError: If it cannot be listed.
        """
        selector = FileSelector(f"{self._base}/{folder}".rstrip("/"), allow_not_found=True)
        entries = self._system.get_file_info(selector)
        return [(str(entry.base_name), (entry.mtime_ns or 0) / 1e9) for entry in entries]

    def size(self) -> int:
        """Return the number of bytes of all files below the folder.

        Raises:
            OSError: If it cannot be listed.
        """
        selector = FileSelector(self._base, allow_not_found=True, recursive=True)
        return sum(entry.size or 0 for entry in self._system.get_file_info(selector))

    def delete(self, name: str) -> None:
        """Delete a file, if it exists.

        Raises:
            OSError: If it cannot be deleted.
        """
        path = f"{self._base}/{name}"
        if self._system.get_file_info(path).type != FileType.NotFound:
            self._system.delete_file(path)

    def clear(self) -> None:
        """Remove everything in the folder.

        Raises:
            OSError: If something cannot be removed.
        """
        self._system.delete_dir_contents(self._base, missing_dir_ok=True)
