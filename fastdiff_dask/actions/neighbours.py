"""The groups of similar images beside an image."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..results.result import Result

__all__ = ["Neighbours"]


class Neighbours:
    """The groups of equal thumbnails to which an image is similar."""

    def __init__(self, result: Result) -> None:
        groups = result.groups
        self._own = groups.makes_own_pairs
        of = np.repeat(np.arange(len(groups.starts) - 1), np.diff(groups.starts))
        self._group = dict(zip(groups.members.tolist(), of.tolist(), strict=True))
        ends: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
        ends += [np.stack([chunk.first, chunk.second], axis=1) for chunk in groups.group_pairs()]
        both = np.concatenate(ends)
        both = both[both[:, 0] != both[:, 1]]
        both = np.concatenate([both, both[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        self._others = both[:, 1]
        self._starts = np.searchsorted(both[:, 0], np.arange(len(groups.starts)))

    def group(self, row: int) -> int:
        """The group of an image; a group of its own for an image in no pair of thumbnails."""
        return self._group.get(row, -1 - row)

    def groups(self, row: int) -> Iterator[int]:
        """All groups whose images are similar to an image."""
        group = self._group.get(row)
        if group is None:
            return
        if self._own:
            yield group
        yield from self._others[self._starts[group] : self._starts[group + 1]].tolist()
