"""Cleanup: only files of the store are removed; a file that no store writes stays."""

import contextlib
import re
import sys
from pathlib import Path

from ..errors import UsageError
from ..text import counted, printable
from ..urls import is_url
from .files import Files
from .schema import ARRAYS, CLEANED, LEASE, LOCK, PLOTS
from .store import Store

__all__ = ["check_removable", "clean_store", "print_left", "remove_store"]

# Patterns of the names in a store, by purpose. Chunks are named c.0.0.0, or c/0 in arrays that Zarr writes.
_CHUNK, _PARTIAL = r"c((\.|/)\d+)*", r"(\.[0-9a-f]{32}\.partial)?"
_THUMBNAILS, _DIGESTS, _COMPARED, _MARK, _REST, _SETTINGS = (
    re.compile(f"({pattern}){_PARTIAL}")
    for pattern in (
        rf"arrays\.zarr/(thumbnails|signatures)/{_CHUNK}|lookup/[\w./-]+\.npy"
        rf"|arrays\.zarr/features/([\w.-]+/)*(zarr\.json|{_CHUNK})",
        rf"arrays\.zarr/digests/{_CHUNK}|arrays\.zarr/vectors/([\w.-]+/)*(zarr\.json|{_CHUNK})",
        rf"arrays\.zarr/(comparisons|mse[a-z-]*)/([\w.+-]+/)*(zarr\.json|{_CHUNK})|shown\.json"
        r"|verdicts\.parquet/[0-9a-f]+\.parquet|neighbours/[\w./-]+\.npy",
        r"arrays\.zarr/zarr\.json",
        r"arrays\.zarr/(thumbnails|signatures|digests)/zarr\.json|images\.parquet/block-\d+\.parquet|activity/[\w.-]+\.json"
        r"|index\.json|run|cleaned",
        r"(settings|decisions)\.json|marks/[0-9a-f]+\.json",
    )
)
_OTHERS = re.compile(r"writer\.(json|lock).*|plots/.*")

# All files of a store, of whatever format. Pictures of pairs have names that plots alone have.
_ANY = re.compile(
    rf"(arrays\.zarr|images\.parquet|verdicts\.parquet|activity|calibration|edited|marks|lookup|neighbours)/([\w.+-]+/)*"
    rf"(zarr\.json|{_CHUNK}|contents-\d+|[\w.+-]+\.(parquet|npy|npz|json)){_PARTIAL}"
    rf"|(index|settings|decisions|shown|marks)\.json{_PARTIAL}|(run|cleaned){_PARTIAL}|writer\.(json|lock).*"
    rf"|plots/[\w.-]+_[0-9a-f]{{16}}\.png"
)


def check_removable(url: str) -> list[str]:
    """Give the names of all files of a store that `remove_store` can remove.

    Raises
    ------
    UsageError
        If there is no store, or something else among its files.
    """
    if not Store.exists(url):
        raise UsageError(f"no store at {printable(url)}; nothing was removed")
    if not Store.is_own(url):
        raise UsageError(f"the Zarr group at {printable(url)} is no store of fastdiff_dask; nothing was removed")
    names = list(Files(url).tree())
    others = sorted(name for name in names if not _ANY.fullmatch(name))
    if others:
        raise UsageError(
            f"{counted(len(others), 'file')} in {printable(url)} of which no store has any, such as "
            f"{printable(others[0])}; nothing was removed: take them out, or remove the folder by hand"
        )
    return names


def remove_store(url: str) -> None:
    """Remove a whole store, and nothing else: not one file of it if there is any that no store writes.

    Parameters
    ----------
    url
        Address of the store.

    Raises
    ------
    UsageError
        As `check_removable`.
    StoreLockedError
        If a process writes it.
    """
    files = Files(url)
    check_removable(url)  # before a lock is made there
    with Store.lock(url):
        # marks of what is finished go first, so that a removal that is stopped leaves no data that count; the mark of
        # a store goes last, so that it can be removed again
        mark = f"{ARRAYS}/zarr.json"
        for name in sorted(check_removable(url), key=lambda name: (name == mark, not name.endswith("zarr.json"))):
            if name not in (LOCK, LEASE):
                files.remove(name)
        if files.local:
            files.remove(LEASE)
            with contextlib.suppress(OSError):  # Windows removes no open file
                files.remove(LOCK)
            files.remove_empty_folders()


def clean_store(url: str, *, thumbs: bool, db: bool, config: bool) -> list[str]:
    """Remove parts of a store, which is locked for writing.

    Parameters
    ----------
    url
        Address of the store.
    thumbs
        Remove the thumbnails. Comparisons stay: results can be read. Pictures that are read again are compared again.
    db
        Remove the comparisons and, with `thumbs`, also vectors and the metadata of the pictures, so that no data are
        left.
    config
        Remove the recorded settings.

    Returns
    -------
    Names of the files that stay because no store writes them.
    """
    files = Files(url)
    if not Store.exists(url):
        raise UsageError(f"no store at {url}; there is nothing to clean up")
    wanted = []
    if thumbs:
        files.write(CLEANED, b"")
    if thumbs and db:
        # the order matters if a cleanup is stopped: thumbnails and comparisons go first, and no file that is left is
        # taken for finished data
        wanted = [_THUMBNAILS, _COMPARED, _DIGESTS, _MARK, _REST]
    elif thumbs:
        wanted = [_THUMBNAILS]
    elif db:
        wanted = [_COMPARED]
    if config:
        wanted.append(_SETTINGS)
    names = list(files.tree())
    for pattern in wanted:
        found = [name for name in names if pattern.fullmatch(name)]
        # files that mark data as there, or as finished, go before the data
        for name in sorted(found, key=lambda name: not (name.endswith("zarr.json") or "/thumbnails/" in name)):
            files.remove(name)
    if files.local:
        if thumbs and db:
            files.remove(LEASE)
        if list(files.tree()) == [LOCK]:
            with contextlib.suppress(OSError):  # Windows removes no open file
                files.remove(LOCK)  # a process that waits for it sees that it has gone, and makes another
        files.remove_empty_folders()
    known = (_THUMBNAILS, _DIGESTS, _COMPARED, _MARK, _REST, _SETTINGS, _OTHERS)
    return sorted(name for name in files.tree() if not any(pattern.fullmatch(name) for pattern in known))


def print_left(url: str, others: list[str], *, plots: bool) -> None:
    """Print the names and numbers of files that stay in a cleaned store.

    Parameters
    ----------
    url
        Address of the store.
    others
        Names that `clean_store` gave.
    plots
        True if comparisons were removed: pictures of their pairs stay, and are counted.
    """
    folder = Path(url, PLOTS)
    drawn = len(list(folder.iterdir())) if plots and not is_url(url) and folder.is_dir() else 0
    if drawn:
        print(f"{drawn} pictures of pairs in {printable(str(folder))} stay", file=sys.stderr)
    if others:
        print(
            f"{len(others)} files in {url} are not of a store and stay, such as {printable(others[0])}",
            file=sys.stderr,
        )
