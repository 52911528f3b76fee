"""The folders that files are moved or copied to: one for all, or as they lie below their roots."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["Target", "remove_empty"]


class Target:
    """Gives the folder for each file, and makes it.

    Parameters
    ----------
    folder
        An existing folder.
    below
        Path of a file → its folder below `folder`, without links or ".."; files that are not in it go to `folder`.
    """

    def __init__(self, folder: str | os.PathLike[str], below: Mapping[str, str] | None = None) -> None:
        self._folder, self._below = os.fspath(folder), {} if below is None else below

    @property
    def places(self) -> set[str]:
        """All folders, whether they are there or not."""
        return {self._folder, *(os.path.join(self._folder, one) for one in self._below.values())}  # noqa: PTH118

    @contextlib.contextmanager
    def of(self, path: str) -> Iterator[tuple[Path, list[str]]]:
        """Give the folder for a file, and those folders that were made for it, the outer ones first.

        After an error the made folders are taken away again, as far as they are empty.

        Raises
        ------
        OSError
            If it cannot be made, as a file has its name.
        """
        folder = Path(os.path.join(self._folder, self._below.get(path, "")))  # noqa: PTH118 - may be undecodable
        made: list[str] = []
        try:
            _make(folder, made)
            yield folder, made
        except BaseException:
            remove_empty(made)
            raise


def _make(folder: Path, made: list[str]) -> None:
    """Make a folder and those around it that are not there; each is added to `made`."""
    if folder.is_dir():
        return
    _make(folder.parent, made)
    folder.mkdir()
    made.append(str(folder))


def remove_empty(folders: Sequence[str]) -> None:
    """Remove folders, the last one first, up to the first one in which something is."""
    with contextlib.suppress(OSError):
        for folder in reversed(folders):
            Path(folder).rmdir()
