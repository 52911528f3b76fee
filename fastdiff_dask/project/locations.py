"""Places of the store and of the plots: as named, or by default, and never among the pictures."""

import contextlib
import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ..errors import FastDiffError, UsageError
from ..stages.listing.roots import Root, resolve_roots
from ..stages.sources import Folders, Origin, TwoStores
from ..storage.files import Files, check_store_address
from ..storage.store import Store
from ..text import printable
from ..urls import is_url, is_within, overlap
from .known_stores import KnownStore, known_stores, touch_store
from .options import Settings
from .saved_settings import check_settings_file

__all__ = [
    "Opened",
    "absolute_store",
    "check_outside",
    "checked_store",
    "default_store",
    "default_store_of_two",
    "is_searched",
    "open_folders",
    "open_two_stores",
    "plot_folder",
    "store_of",
    "stores_here",
]


class Opened(NamedTuple):
    """Settings, source of images and store, with which a project begins.

    Attributes
    ----------
    settings
        The settings, with places that do not depend on the current folder.
    origin
        The source of the images: folders, or two stores.
    store_url
        Address of the store.
    """

    settings: Settings
    origin: Origin
    store_url: str


def default_store(roots: Sequence[Root]) -> str:
    """Default address of the store of some folders: always the same one, in the cache folder of the user."""
    return _cache_place(roots[0].absolute, "\0".join(f"{root.side}:{root.absolute}" for root in roots))


def default_store_of_two(stores: dict[str, str]) -> str:
    """Default address of the store that compares two others, by side; in the same folder as all defaults."""
    return _cache_place(stores["a"], "\0".join(("stores", *stores.values())))


def _cache_place(first: str, identity: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in Path(first).name)[:40] or "root"
    digest = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
    return str(Path(_cache_folder(), f"{name}-{digest}"))


def _cache_folder() -> str:
    """Folder of all default stores."""
    import platformdirs

    try:
        return str(Path(platformdirs.user_cache_dir("fastdiff_dask"), "stores"))
    except RuntimeError:
        raise UsageError("this user has no home folder; name a folder for the work with store=") from None


def _is_default(place: str) -> bool:
    """Tell whether a place is among the default stores, which may lie below the pictures: the index skips them."""
    with contextlib.suppress(UsageError):
        return is_within(place, str(Path(_cache_folder()).resolve()))
    return False


def absolute_store(store: str) -> str:
    """Address of a store as it is recorded: of a folder, the absolute path."""
    files = Files(store)
    return str(Path(files.root).absolute()) if files.local else store.rstrip("/")


def checked_store(store: str, roots: Sequence[Root] = ()) -> str:
    """Check the address of a store, and make it absolute, because workers may run in other folders.

    Raises
    ------
    UsageError
        If the address is none of a store, or inside one of the folders of pictures.
    """
    if not store or "::" in store:
        raise UsageError(f"store {store!r} is no folder and no simple address; name a folder")
    check_store_address(store)
    files = Files(store)
    place = str(Path(files.root).resolve()) if files.local else store
    for root in roots:
        if is_within(place, root.absolute) and not (files.local and _is_default(place)):
            raise UsageError(f"the store {store} is inside the photo folder {root.given}; name another place")
    if files.local:
        return str(Path(files.root).absolute())
    return store.rstrip("/") if store.rstrip("/")[-1] != ":" else store


# -- the store that an argument means ----------------------------------------------------------------------------------


def store_of(argument: str | Sequence[str] | None = None) -> str:
    """Address of the store that somebody means, for a command that looks at a store.

    Parameters
    ----------
    argument
        Address of a store, or the folder or folders that were searched. Nothing means the store that was used last; a
        line on standard error says which.

    Returns
    -------
    The address. If it is that of nothing, opening it says so.

    Raises
    ------
    UsageError
        If folders belong to no store, or to several of them; or if nothing is named, and no store was used yet.
    """
    given = [argument] if isinstance(argument, str) else list(argument or ())
    if not given:
        return _last_store()
    if "" in given:
        raise UsageError("the name of a store is empty; name a folder, . is the current one")
    url = absolute_store(given[0]) if len(given) == 1 else ""
    if not url or not _is_store(url):
        found = _store_of_folders(given)
        if found is None and (not url or Path(url).is_dir()):
            raise UsageError(_no_store_of(given))
        url = found or url
    touch_store(url)
    return url


def _is_store(url: str) -> bool:
    return url in [one.url for one in known_stores()] if is_url(url) else Store.exists(url)


def _last_store() -> str:
    from ..outputs.progress_bar import show_line

    for one in known_stores():
        if one.is_there and not _is_of_difpy(one.url):
            show_line(f"Store: {printable(one.url)} (the last one used)")
            touch_store(one.url)
            return one.url
    raise UsageError("no store was used yet; name a folder that find has searched, or the address of a store")


def is_searched(folders: Sequence[str]) -> bool:
    """Tell whether folders, or an address, lead to a store that `store_of` would find."""
    url = absolute_store(folders[0]) if len(folders) == 1 else ""
    return bool(url and _is_store(url)) or _store_of_folders(folders) is not None


def _store_of_folders(given: Sequence[str]) -> str | None:
    """Find the one store of some folders, None if there is none."""
    folders = {_absolute_folder(name) for name in given}
    # all folders of a store, then those of its side a, then some of them: p is its own store, not one against another
    levels: tuple[dict[str, KnownStore], ...] = ({}, {}, {})
    for one in (one for one in stores_here() if not _is_of_difpy(one.url)):
        both = {*one.folders["a"], *one.folders["b"]}
        fits = (folders == both, folders == set(one.folders["a"]), folders <= both)
        if any(fits):
            levels[fits.index(True)][one.url] = one
    found = list((levels[0] or levels[1] or levels[2]).values())
    if len(found) > 1:
        listed = ", ".join(printable(one.url) for one in found)
        raise UsageError(f"{_shown(given)} belongs to {len(found)} stores, name one of them: {listed}")
    return found[0].url if found else None


def _is_of_difpy(url: str) -> bool:
    """Tell by its name that a default store is one of `compat.difpy`, which has other thumbnails."""
    return re.search(r"-difpy-\w+$", url) is not None


def _no_store_of(given: Sequence[str]) -> str:
    folders = [_absolute_folder(name) for name in given]
    for one in stores_here():
        for root in (*one.folders["a"], *one.folders["b"]):
            if folders and all(is_within(folder, root) for folder in folders):
                return f"no store at {_shown(given)}: find has searched {printable(root)}, which it is in; name that"
    return f"no store at {_shown(given)}, and find has not searched it yet; fastdiff-dask find {_shown(given)} does"


def _shown(given: Sequence[str]) -> str:
    return printable(shlex.join(given))


def _absolute_folder(name: str) -> str:
    """Name of a folder as a store records it; the folder need not be there."""
    if is_url(name):
        return name.rstrip("/")
    return os.path.realpath(os.path.expanduser(name))  # noqa: PTH111 - Path raises without a home


def stores_here() -> list[KnownStore]:
    """Give the stores that are there: those that were recorded, the last used one first, and other default stores."""
    found = [one for one in known_stores() if one.is_there]
    with contextlib.suppress(UsageError, OSError):
        for path in sorted(Path(_cache_folder()).iterdir()):
            if str(path) not in [one.url for one in found] and Store.exists(str(path)):
                found.append(_unrecorded(path))
    return found


def _unrecorded(path: Path) -> KnownStore:
    folders: dict[str, tuple[str, ...]] = {"a": (), "b": ()}
    with contextlib.suppress(FastDiffError):  # of another format, or damaged
        folders = {side: tuple(names) for side, names in Store(str(path)).roots.items()}
    return KnownStore(str(path), folders, datetime.fromtimestamp(path.stat().st_mtime, UTC))


def plot_folder(folder: str | None, store: str, roots: Sequence[Root]) -> str:
    """Folder for plots: the named one, else ``plots`` in the store.

    Raises
    ------
    UsageError
        If none is named and the store is no folder, or if the folder is inside one of the folders of pictures.
    """
    if folder is None:
        files = Files(store)
        if not files.local:
            raise UsageError("the store is not a folder; name one for the plots by diff_location=")
        folder = str(Path(files.root) / "plots")
    check_outside(folder, roots)
    return folder


def check_outside(folder: str, roots: Sequence[Root], what: str = "plots") -> None:
    """Refuse a folder for plots, or another place to write to, that is inside one of the folders of pictures.

    Raises
    ------
    UsageError
        With both folders.
    """
    place = Path(os.path.realpath(os.path.expanduser(folder)))  # noqa: PTH111 - Path raises without a home
    for root in roots:
        if place.is_relative_to(root.absolute):
            raise UsageError(
                f"{what} in {printable(folder)} would be among the pictures of {printable(root.given)}; name a place "
                f"outside"
            )


def open_folders(settings: Settings) -> Opened:
    """Find the folders that the settings name, and the address of the store. Nothing is written.

    Raises
    ------
    UsageError
        If a folder cannot be used.
    """
    # the current folder may be another one later
    ignored = tuple(
        path if is_url(path) else os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111
        for path in settings.ignore_paths
    )
    settings = replace(settings, ignore_paths=ignored)
    if settings.retain_config:
        check_settings_file(Path(str(settings.cfg_path)))
    settings = _with_like(settings)
    roots = resolve_roots({"a": list(settings.p_root_dir_a), "b": list(settings.p_root_dir_b)})
    if not any(root.side == "a" for root in roots):
        raise UsageError("no folder to search; name at least one")
    if settings.retain_config:
        check_outside(str(settings.cfg_path), roots, "settings")
    store_url = default_store(roots) if settings.store is None else checked_store(settings.store, roots)
    if settings.sl_make_diff_plots and settings.sl_plot_output_dir is not None:
        check_outside(settings.sl_plot_output_dir, roots)
    return Opened(settings, Folders(roots), store_url)


def _with_like(settings: Settings) -> Settings:
    """Compare with the file whose copies are asked for, if it lies in none of the folders.

    Raises
    ------
    UsageError
        If there is no such file, or there is a side b already.
    """
    if settings.like is None:
        return settings
    path = Path(os.path.expanduser(settings.like))  # noqa: PTH111 - Path raises without a home
    if not path.is_file():
        raise UsageError(f"like= names {printable(settings.like)}, which is no file; name one")
    settings = replace(settings, like=str(path.absolute()))
    roots = resolve_roots({"a": list(settings.p_root_dir_a), "b": list(settings.p_root_dir_b)})
    if any(is_within(str(path.resolve()), root.absolute) for root in roots):
        return settings
    if settings.p_root_dir_b:
        raise UsageError(f"like= names {printable(str(path))}, which lies in neither collection; name one of theirs")
    return replace(settings, p_root_dir_b=(str(settings.like),))


def open_two_stores(urls: dict[str, str], settings: Settings) -> Opened:
    """Find the stores of both sides, and the address of the store of their comparison. Nothing is written.

    Raises
    ------
    UsageError
        If a store cannot be used, or the thumbnails of the two cannot be compared.
    """
    from ..stages.transfer import open_sources, roots_of

    urls = {side: checked_store(url) for side, url in urls.items()}
    sources = open_sources(urls)
    roots, made = roots_of(sources), sources["a"].thumbnail_settings
    settings = replace(
        settings, thumbnail_size_x=made.width, thumbnail_size_y=made.height, exact_decode=made.exact_decode
    )
    store_url = default_store_of_two(urls) if settings.store is None else checked_store(settings.store, roots)
    for source in urls.values():
        if overlap(store_url, source):
            raise UsageError(f"{store_url} is one of the stores to compare, or in it; name another place for the work")
    return Opened(settings, TwoStores(roots, urls), store_url)
