"""Sources of the images of a project: folders, whose pictures are read, or two stores, whose rows are copied."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..config import IndexSettings, ReadSettings
from ..errors import UsageError
from ..kernels.hashes import HashSettings
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..urls import full_path
from .index import IndexCounts, index_images
from .listing.roots import Root

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Folders", "Origin", "TwoStores"]

_Advance = Callable[[int], None]


class Folders:
    """Source of images: folders of pictures.

    Attributes
    ----------
    roots
        The folders.
    stores
        Side → address of the store that is compared; empty.
    """

    def __init__(self, roots: list[Root]) -> None:
        self.roots = roots
        self.stores: dict[str, str] = {}

    def check_shared(self, store_url: str) -> None:
        """Refuse a store and pictures that workers in other processes cannot see.

        Raises
        ------
        UsageError
            If the store or the pictures are in the memory of this process.
        """
        _check_no_memory([store_url])
        if any(root.absolute.startswith("memory:") for root in self.roots):
            raise UsageError("workers in other processes cannot see pictures in memory; name a folder or a bucket")

    def check_visible(self, client: "Client", store: Store) -> None:
        """See that workers elsewhere see the store, the folders, and a file of each folder."""
        from ..runtime.workers import check_visible, is_embedded

        if is_embedded(client):
            return
        frame = store.read_images([*FILE_NAME, "current", "size"])
        frame = frame[frame.current & (frame["size"] >= 0)].drop_duplicates("root")
        paths = [full_path(row.root, row.path, row.path_bytes) for row in frame.itertuples()]
        check_visible(client, store.url, [*frame.root, *paths])

    def index(self, store: Store, which: IndexSettings, limits: ReadSettings, advance: _Advance) -> IndexCounts:
        """List the images in the store; `advance` is called with the number listed since the last call."""
        return index_images(
            store,
            self.roots,
            which,
            advance,
            time_limit=limits.time_limit,
            pixel_limit=limits.pixel_limit,
        )

    def read(
        self,
        store: Store,
        client: "Client",
        unread: dict[int, int],
        limits: ReadSettings,
        hashing: HashSettings | None,
        most: int | None,
    ) -> Iterator[tuple[int, int]]:
        """Read blocks of pictures, see `thumbnails.read_blocks`."""
        from .thumbnails import read_blocks

        return read_blocks(store, client, unread, limits, hashing, most)


class TwoStores:
    """Source of images: two stores, which are compared.

    Attributes
    ----------
    roots
        The folders of both stores.
    stores
        Side → address of the store.
    """

    def __init__(self, roots: list[Root], stores: dict[str, str]) -> None:
        self.roots, self.stores = roots, stores

    def check_shared(self, store_url: str) -> None:
        """Refuse a store and pictures that workers in other processes cannot see.

        Raises
        ------
        UsageError
            If one of the stores is in the memory of this process.
        """
        _check_no_memory([store_url, *self.stores.values()])

    def check_visible(self, client: "Client", store: Store) -> None:
        """See that workers elsewhere see all three stores."""
        from ..runtime.workers import check_visible, is_embedded

        if is_embedded(client):
            return
        for url in (*self.stores.values(), store.url):
            check_visible(client, url, [])

    def index(self, store: Store, which: IndexSettings, limits: ReadSettings, advance: _Advance) -> IndexCounts:
        """List the images of both stores in the store; call `advance` with the number listed since the last call."""
        from .transfer import index_stores, open_sources

        return index_stores(store, open_sources(self.stores), advance)

    def read(
        self,
        store: Store,
        client: "Client",
        unread: dict[int, int],
        limits: ReadSettings,
        hashing: HashSettings | None,
        most: int | None,
    ) -> Iterator[tuple[int, int]]:
        """Copy blocks of images, see `transfer.copy_blocks`."""
        from .transfer import copy_blocks, open_sources

        return copy_blocks(store, client, unread, open_sources(self.stores), most)


Origin = Folders | TwoStores


def _check_no_memory(urls: list[str]) -> None:
    if any(url.startswith("memory:") for url in urls):
        raise UsageError("workers in other processes cannot see a store in memory; leave out in_memory=True or them")
