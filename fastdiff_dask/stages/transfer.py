"""Images of two other stores → this one: collections that were indexed apart are compared without their pictures.

A store made from two others has the same stages and layout as any. Only its index lists rows of the two instead of
folders, and its thumbnails are copied instead of read. The two are only read, and never locked: a row of a store keeps
its number and, once its block is finished, its thumbnail.
"""

import uuid
from collections.abc import Callable, Iterator

import pandas as pd
from distributed import Client, Future

from ..errors import UsageError
from ..runtime.activity import stage
from ..runtime.memory import check_memory
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.pending import unread_blocks
from ..storage.store import Store
from ..tasks.copy_block import copy_block
from ..urls import overlap
from .index import IndexCounts, record_listing, writing_alone
from .listing.roots import Root
from .listing.walk_local import Link, ListedImage

__all__ = ["copy_blocks", "index_stores", "open_sources", "roots_of"]


def open_sources(urls: dict[str, str]) -> dict[str, Store]:
    """Open the stores of side a and side b, and see that their images can be compared.

    Raises
    ------
    UsageError
        If there is no store, or their thumbnails were made in different ways.
    """
    if overlap(urls["a"], urls["b"]):
        raise UsageError(f"the store at {urls['a']} would be compared with itself; name two stores")
    sources = {side: Store(url) for side, url in urls.items()}
    a, b = (sources[side].thumbnail_settings for side in ("a", "b"))
    for name in ("width", "height", "exact_decode"):
        if getattr(a, name) != getattr(b, name):
            raise UsageError(
                f"thumbnails cannot be compared: {name} is {getattr(a, name)} in the store at {urls['a']} and "
                f"{getattr(b, name)} in the store at {urls['b']}; make one of them again with the other's setting"
            )
    return sources


def roots_of(sources: dict[str, Store]) -> list[Root]:
    """Give the folders of two stores, under the names that the stores have for them; a store is a side."""
    found = {
        Root(side, folder, folder)
        for side, source in sources.items()
        for folder in (*source.roots["a"], *source.roots["b"])
    }
    return sorted(found, key=lambda root: (root.side, root.absolute))


def index_stores(
    store: Store, sources: dict[str, Store], advance: Callable[[int], None] = lambda images: None
) -> IndexCounts:
    """List the current images of two stores as `index.index_images` lists those below folders.

    An image counts as unchanged if its row in the other store is current, and has the same number and error as before.

    Parameters
    ----------
    store
        The store to list them in, locked for writing.
    sources
        The stores of side a and side b.
    advance
        Called with the number of images listed since the last call.

    Returns
    -------
    Numbers of images, listed and ignored.

    Raises
    ------
    UsageError
        If one of the two has images without thumbnails.
    """
    ignored: dict[str, int] = {}
    listed, links = [], []
    for side, source in sources.items():
        if unread := sum(unread_blocks(source).values()):
            raise UsageError(
                f"the store at {source.url} has {unread} images without thumbnails; let the command that made it run "
                f"to its end first"
            )
        frame = source.read_images(["image", *ListedImage._fields, "content_hash", "current"])
        frame = frame[frame.current].rename(columns={"image": "source"})
        listed.append(frame.assign(side=side)[[*ListedImage._fields, "content_hash", "source"]])
        advance(len(frame))
        index = source.records.read_index()
        for rule, number in index["ignored"].items():
            ignored[rule] = ignored.get(rule, 0) + number
        links += [
            Link(side, link.root, link.path, side, link.same_root, link.same_path)
            for link in (Link(*values) for values in index["links"])
        ]
    with writing_alone(store, advance):
        return record_listing(store, pd.concat(listed, ignore_index=True), ignored, links, advance, copied=True)


def copy_blocks(
    store: Store, client: Client, unread: dict[int, int], sources: dict[str, Store], most: int | None = None
) -> Iterator[tuple[int, int]]:
    """Copy blocks of images from two other stores; a block is committed as soon as it is copied.

    Memory: two blocks of thumbnails a thread.

    Parameters
    ----------
    store
        The store, locked for writing.
    client
        Client of the cluster; its workers see all three stores under the same paths.
    unread
        Block → number of its images, as `pending.unread_blocks` gives them.
    sources
        The stores of side a and side b.
    most
        Largest number of tasks at once; by default the number of threads.

    Yields
    ------
    tuple of int
        Images copied by a task, and images with errors.

    Raises
    ------
    UsageError
        If a block does not fit into a worker's memory; nothing is copied then.
    """
    room = capacity(client)
    check_memory(store.thumbnail_settings, room.bytes_per_task)
    run = uuid.uuid4().hex[:8]
    urls = {side: source.url for side, source in sources.items()}

    with stage(store.files, "thumbnails") as activity:

        def submit(block: int) -> list[Future]:
            return [client.submit(copy_block, store.url, urls, block, activity, key=f"copy-{run}-{block}")]

        for future in run_in_waves(client, unread, submit, in_flight=2 * room.threads, most=most):
            yield future.result()
