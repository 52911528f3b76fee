"""The paths of many images: the folder that they have in common, the folders below it, names and endings."""

import os
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..text import printable
from ..urls import common_folder

__all__ = ["Paths", "can_be_path"]


class Paths:
    """Paths of images, place by place, with what people see of them.

    Parameters
    ----------
    paths
        (k,) str: absolute paths, or URLs; undecodable bytes are surrogates.

    Attributes
    ----------
    common
        The folder in which all lie, "" if there is none.
    folders
        The folders of images, below `common`; "" for that itself.
    of_folder
        (k,) int64: the folder of each image, as a place in `folders`.
    """

    def __init__(self, paths: NDArray[np.object_]) -> None:
        self._paths = paths
        split = [_split(path) for path in paths]
        self._names = [name for _, name in split]
        folders, self.of_folder = np.unique(np.array([folder for folder, _ in split], object), return_inverse=True)
        self.of_folder = self.of_folder.astype(np.int64).ravel()
        self._whole = common_folder(paths)
        cut = len(self._whole) + 1 if self._whole else 0
        self.common = printable(self._whole)
        self.folders = [printable(folder[cut:]) for folder in folders.tolist()]
        self._absolute = dict(zip(self.folders, folders.tolist(), strict=True))

    @property
    def all(self) -> NDArray[np.object_]:
        """All paths, as the system knows them."""
        return self._paths

    def path(self, place: int) -> str:
        """Path of an image, as the system knows it."""
        return str(self._paths[place])

    def name(self, place: int) -> str:
        """Name of a file, printable."""
        return printable(self._names[place])

    def folder(self, place: int) -> str:
        """Folder of an image below the common one, printable."""
        return self.folders[self.of_folder[place]]

    def absolute(self, folder: str) -> str:
        """Path of a folder that is named as in `folders`, or that lies above some of these."""
        if folder in self._absolute:  # which may have characters that are not printable
            return self._absolute[folder]
        if not self._whole or folder.startswith("/") or "://" in folder:
            return folder
        return f"{self._whole}/{folder}".rstrip("/") if folder else self._whole

    def counts(self) -> list[tuple[str, int]]:
        """Numbers of images by folder, sorted by folder."""
        numbers = np.bincount(self.of_folder, minlength=len(self.folders)).tolist()
        return list(zip(self.folders, numbers, strict=True))

    @cached_property
    def _endings(self) -> tuple[list[str], NDArray[np.int64]]:
        endings = np.array([os.path.splitext(name)[1].lower() for name in self._names], object)  # noqa: PTH122
        known, of = np.unique(endings, return_inverse=True)
        return [str(one) for one in known], of.astype(np.int64).ravel()

    def ending_counts(self) -> list[tuple[str, int]]:
        """Numbers of images by the ending of their names in small letters, the most frequent first."""
        known, of = self._endings
        numbers = np.bincount(of, minlength=len(known)).tolist()
        counted = [(printable(ending), number) for ending, number in zip(known, numbers, strict=True)]
        return sorted(counted, key=lambda one: (-one[1], one[0]))

    def has_ending(self, ending: str) -> NDArray[np.bool_]:
        """(k,) bool: images with this ending."""
        known, of = self._endings
        return np.array([printable(one) == ending.lower() for one in known], bool)[of]

    def is_below(self, folder: str) -> NDArray[np.bool_]:
        """(k,) bool: images that lie in a folder, named as in `folders`, or below it."""
        start = folder.rstrip("/") + "/"
        return np.array([one == folder or one.startswith(start) for one in self.folders], bool)[self.of_folder]

    @cached_property
    def _searched(self) -> list[str]:
        return [name.casefold() for name in self._names]

    def contain(self, text: str) -> NDArray[np.bool_]:
        """(k,) bool: images whose name, or folder below the common one, has a text, in any case."""
        text = text.casefold()
        of_folder = np.array([text in folder.casefold() for folder in self.folders], bool)[self.of_folder]
        return np.fromiter((text in name for name in self._searched), bool, len(self._searched)) | of_folder


def can_be_path(text: str) -> bool:
    """Tell whether the system could have a file of this name."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _split(path: str) -> tuple[str, str]:
    """Split a path or a URL into its folder and its name."""
    folder, _, name = path.rpartition("/")
    if not folder and os.sep != "/":
        folder, name = os.path.split(path)
    return folder or "/", name
