"""Lookups by the settings of a project or of a store."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config import check_threshold, check_whole
from ..errors import UsageError
from ..stages.listing.roots import Root
from ..storage.store import Store
from .options import Settings
from .saved_settings import recorded_settings

if TYPE_CHECKING:
    from ..lookup.archive import Archive
    from ..lookup.found import Lookup

__all__ = ["open_archive", "pictures_of", "project_lookup"]


def open_archive(url: str, k: int | None, threshold: float | None) -> "Archive":
    """Open a store for lookups, by the settings of its last run.

    Parameters
    ----------
    url
        Address of the store.
    k, threshold
        As for `Project.lookup`.

    Returns
    -------
    The archive.
    """
    settings, _ = recorded_settings(Store(url))
    return _archive(url, settings, (), k, threshold)


def project_lookup(
    url: str, settings: Settings, roots: Sequence[Root], pictures: Any, k: int | None, threshold: float | None
) -> "Lookup":
    """Look pictures up in the store of a project; arguments as of `Project.lookup`."""
    from ..images.decoder_pool import close_readers
    from ..lookup.found import Lookup

    several = pictures_of(pictures)
    try:
        return Lookup(list(_archive(url, settings, roots, k, threshold).look_up(several)))
    finally:
        close_readers()


def _archive(url: str, settings: Settings, roots: Sequence[Root], k: int | None, threshold: float | None) -> "Archive":
    from ..lookup.archive import Archive, ArchiveSettings

    given: dict[str, Any] = {}
    if k is not None:
        check_whole("k", k, 1, 10_000)
        given["k"] = k
    if threshold is not None:
        given["threshold"] = check_threshold("threshold", threshold)
    rules = ArchiveSettings(
        rotations=settings.sl_rotations,
        mirror=settings.sl_mirror,
        size=settings.verify_size,
        reading=settings.reading,
        **given,
    )
    return Archive(url, rules, {(root.side, root.absolute): root.given for root in roots})


def pictures_of(pictures: Any) -> list[Any]:
    """Give one picture, or several, as a list: paths, and arrays (h, w, 3) uint8.

    Raises
    ------
    UsageError
        If something else is among them.
    """
    single = isinstance(pictures, str | bytes | os.PathLike) or (hasattr(pictures, "ndim") and pictures.ndim < 4)
    if not single and not isinstance(pictures, Sequence) and not hasattr(pictures, "ndim"):
        single = hasattr(pictures, "__array__") or not hasattr(pictures, "__iter__")
    found = [pictures] if single else list(pictures)
    for one in found:
        if not isinstance(one, str | bytes | os.PathLike) and not hasattr(one, "__array__"):
            raise UsageError(f"pictures={one!r} is no picture; use a path, an array (h, w, 3) uint8, or a list of them")
    return found
