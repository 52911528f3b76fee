"""Where the images of a project come from: folders, whose pictures are read, or two stores, whose rows are copied."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from distributed import Client

from .catalog import IndexCounts, index_images
from .errors import UsageError
from .hashes import HashSettings
from .places import check_outside, checked_store, default_store, default_store_of_two
from .remote import is_url
from .roots import Root, full_path, overlap, resolve_roots
from .settings import Settings
from .store import Store
from .thumbnails import read_blocks
from .transfer import copy_blocks, index_stores, open_sources, roots_of
from .workers import check_visible, is_embedded

__all__ = ["Folders", "Opened", "Origin", "TwoStores", "open_folders", "open_two_stores"]

_Advance = Callable[[int], None]


class Folders:
    """Folders of pictures.

    Attributes
    ----------
    roots
        The folders.
    stores
        Addresses of the stores that are compared, by side: none.
    """

    def __init__(self, roots: list[Root]) -> None:
        self.roots = roots
        self.stores: dict[str, str] = {}

    def check_shared(self, store_url: str) -> None:
        """Refuse what workers in other processes cannot see.

        Raises
        ------
        UsageError
            If the store or the pictures are in the memory of this process.
        """
        _check_no_memory([store_url])
        if any(root.absolute.startswith("memory:") for root in self.roots):
            raise UsageError("workers in other processes cannot see pictures in memory; name a folder or a bucket")

    def check_visible(self, client: Client, store: Store) -> None:
        """See that workers elsewhere see the store, and, of each folder, it and a file."""
        if is_embedded(client):
            return
        frame = store.read_images(["root", "path", "path_bytes", "current", "size"])
        frame = frame[frame.current & (frame["size"] >= 0)].drop_duplicates("root")
        paths = [full_path(row.root, row.path, row.path_bytes) for row in frame.itertuples()]
        check_visible(client, store.url, [*frame.root, *paths])

    def index(self, store: Store, settings: Settings, advance: _Advance) -> IndexCounts:
        """List the images in the store; `advance` is called with the number listed since the last call."""
        return index_images(
            store,
            self.roots,
            settings.index,
            advance,
            time_limit=settings.time_limit,
            pixel_limit=settings.pixel_limit,
        )

    def read(
        self,
        store: Store,
        client: Client,
        unread: dict[int, int],
        settings: Settings,
        hashing: HashSettings | None,
        most: int | None,
    ) -> Iterator[tuple[int, int]]:
        """Read blocks of pictures, see `thumbnails.read_blocks`."""
        return read_blocks(store, client, unread, settings.reading, hashing, most)


class TwoStores:
    """Two stores of images that were read, which are compared.

    Attributes
    ----------
    roots
        The folders that they are about.
    stores
        Their addresses, by side.
    """

    def __init__(self, roots: list[Root], stores: dict[str, str]) -> None:
        self.roots, self.stores = roots, stores

    def check_shared(self, store_url: str) -> None:
        """Refuse what workers in other processes cannot see.

        Raises
        ------
        UsageError
            If one of the stores is in the memory of this process.
        """
        _check_no_memory([store_url, *self.stores.values()])

    def check_visible(self, client: Client, store: Store) -> None:
        """See that workers elsewhere see all three stores."""
        if is_embedded(client):
            return
        for url in (*self.stores.values(), store.url):
            check_visible(client, url, [])

    def index(self, store: Store, settings: Settings, advance: _Advance) -> IndexCounts:
        """List their current images in the store; `advance` is called with the number listed since the last call."""
        return index_stores(store, open_sources(self.stores), advance)

    def read(
        self,
        store: Store,
        client: Client,
        unread: dict[int, int],
        settings: Settings,
        hashing: HashSettings | None,
        most: int | None,
    ) -> Iterator[tuple[int, int]]:
        """Copy blocks of images, see `transfer.copy_blocks`."""
        return copy_blocks(store, client, unread, open_sources(self.stores), most)


Origin = Folders | TwoStores


def _check_no_memory(urls: list[str]) -> None:
    if any(url.startswith("memory:") for url in urls):
        raise UsageError("workers in other processes cannot see a store in memory; name a folder as the store")


class Opened(NamedTuple):
    """What a project begins with.

    Attributes
    ----------
    settings
        What was asked for, with places that do not depend on the current folder.
    origin
        Where the images come from.
    store_url
        Address of the store.
    """

    settings: Settings
    origin: Origin
    store_url: str


def open_folders(settings: Settings) -> Opened:
    """Find the folders that settings name, and the place of the store; writes nothing.

    Raises
    ------
    UsageError
        If one cannot be used.
    """
    # the current folder may be another one later
    ignored = tuple(
        path if is_url(path) else os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111
        for path in settings.ignore_paths
    )
    settings = replace(settings, ignore_paths=ignored)
    if settings.retain_config:
        settings.check_target()
    roots = resolve_roots({"a": list(settings.p_root_dir_a), "b": list(settings.p_root_dir_b)})
    if not any(root.side == "a" for root in roots):
        raise UsageError("no folder to search; name at least one")
    store_url = default_store(roots) if settings.store is None else checked_store(settings.store, roots)
    if settings.sl_make_diff_plots and settings.sl_plot_output_dir is not None:
        check_outside(settings.sl_plot_output_dir, roots)
    return Opened(settings, Folders(roots), store_url)


def open_two_stores(urls: dict[str, str], settings: Settings) -> Opened:
    """Find the stores of both sides, and the place of that which compares them; writes nothing.

    Raises
    ------
    UsageError
        If one cannot be used, or their thumbnails cannot be compared.
    """
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
