"""Places of the store and of the plots: as named, or by default, and never among the pictures."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..errors import UsageError
from ..stages.roots import Root, resolve_roots
from ..stages.sources import Folders, Origin, TwoStores
from ..storage.files import Files, check_store_address
from ..text import printable
from ..urls import is_url, is_within, overlap
from .options import Settings
from .saved_settings import check_settings_file

__all__ = [
    "Opened",
    "absolute_store",
    "check_outside",
    "checked_store",
    "default_store",
    "default_store_of_two",
    "open_folders",
    "open_two_stores",
    "plot_folder",
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
    roots = resolve_roots({"a": list(settings.p_root_dir_a), "b": list(settings.p_root_dir_b)})
    if not any(root.side == "a" for root in roots):
        raise UsageError("no folder to search; name at least one")
    if settings.retain_config:
        check_outside(str(settings.cfg_path), roots, "settings")
    store_url = default_store(roots) if settings.store is None else checked_store(settings.store, roots)
    if settings.sl_make_diff_plots and settings.sl_plot_output_dir is not None:
        check_outside(settings.sl_plot_output_dir, roots)
    return Opened(settings, Folders(roots), store_url)


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
