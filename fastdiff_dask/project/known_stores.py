"""Stores that this user has used: a small file for each in the user's data folder, so that folders lead to them."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ..errors import FastDiffError, UsageError
from ..local_files import replace_file
from ..storage.files import Files
from ..storage.store import Store
from ..urls import is_url

__all__ = ["KnownStore", "forget_store", "known_stores", "remember_store", "touch_store"]


class KnownStore(NamedTuple):
    """A store that was used.

    Attributes
    ----------
    url
        Its address.
    folders
        Its folders by side; none if they are not known.
    used
        Time of the last use, in UTC.
    """

    url: str
    folders: dict[str, tuple[str, ...]]
    used: datetime

    @property
    def is_there(self) -> bool:
        """True if the store exists; one that is not on this machine is not asked."""
        with contextlib.suppress(UsageError):  # it cannot be read
            return is_url(self.url) or Store.exists(self.url)
        return False


def _folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("fastdiff_dask")) / "stores"


def _record(url: str) -> Path:
    digest = hashlib.blake2b(url.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return _folder() / f"{digest}.json"


def remember_store(url: str, folders: Mapping[str, Iterable[str]]) -> None:
    """Record that a store is used now; without a folder to write to, nothing is recorded."""
    values = {"store": url, "folders": {side: list(names) for side, names in folders.items()}}
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home
        path = _record(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(values).encode())
        _mark_used(path)


def touch_store(url: str) -> None:
    """Record that a store is used now, if it is known or a folder of this machine."""
    with contextlib.suppress(OSError, RuntimeError, FastDiffError):
        path = _record(url)
        if path.is_file():
            _mark_used(path)
        elif Files(url).local and Store.exists(url):
            remember_store(url, Store(url).roots)


def _mark_used(path: Path) -> None:
    now = time.time_ns()  # the file system's own time moves by 4 ms at once, and two uses may be nearer
    os.utime(path, ns=(now, now))


def forget_store(url: str) -> None:
    """Remove the record of a store."""
    with contextlib.suppress(OSError, RuntimeError):
        _record(url).unlink(missing_ok=True)


def known_stores() -> list[KnownStore]:
    """Give the stores that were recorded, the last used one first; also those that are not there any more."""
    return sorted(_recorded(), key=lambda one: one.used, reverse=True)


def _recorded() -> Iterator[KnownStore]:
    try:
        paths = sorted(_folder().glob("*.json"))
    except (OSError, RuntimeError):
        return
    for path in paths:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            values = json.loads(path.read_bytes())
            folders = {side: tuple(map(str, values["folders"].get(side, ()))) for side in ("a", "b")}
            used = datetime.fromtimestamp(path.stat().st_mtime_ns / 1e9, UTC)
            yield KnownStore(str(values["store"]), folders, used)
