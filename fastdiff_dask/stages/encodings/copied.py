"""Vectors of two other stores → this one, which compares their images."""

from collections.abc import Iterator

from distributed import Client, Future

from ...errors import UsageError
from ...runtime.activity import stage
from ...runtime.waves import run_in_waves
from ...runtime.workers import capacity
from ...storage.derived.neighbour_files import remove_neighbours
from ...storage.derived.vectors import Vectors, remove_vectors
from ...storage.pending import check_encoded
from ...storage.store import Store
from ...tasks.copy_vectors import copy_vectors

__all__ = ["copied_vectors", "copy_blocks_of_vectors"]


def copied_vectors(store: Store, sources: dict[str, Store], name: str) -> Vectors:
    """Begin vectors of this store that are copied from two others.

    Copies of which one of the two has changed since are removed, with what was compared by them. Vectors that were made
    for this store stay as they are.

    Parameters
    ----------
    store
        The store, locked for writing.
    sources
        The stores of side a and side b.
    name
        Name of the vectors in both.

    Returns
    -------
    The vectors of this store.

    Raises
    ------
    UsageError
        If one of the two lacks them, or they were made in different ways.
    """
    vectors = Vectors(store, name)
    if vectors.finished_blocks() and vectors.copied() is None:
        return vectors
    found = {side: Vectors(source, name) for side, source in sources.items()}
    for source in sources.values():
        try:
            check_encoded(source, name)
        except UsageError as error:
            raise UsageError(f"in {source.url}: {error}") from None
    a, b = found["a"], found["b"]
    for what, one, other in (("made with", a.made(), b.made()), ("of the kind", a.kind(), b.kind())):
        if one != other:
            raise UsageError(
                f"vectors {name!r} are {what} {one} in {sources['a'].url} and {other} in {sources['b'].url}; make one "
                f"of them again as the other, under another name"
            )
    kind, marks = a.kind(), {side: one.mark() for side, one in found.items()}
    assert kind is not None
    if vectors.made() is not None and vectors.copied() != marks:
        remove_neighbours(store, name)
        remove_vectors(store, name)
    vectors.begin(a.made() or {}, marks)
    vectors.record(kind)
    return vectors


def copy_blocks_of_vectors(
    store: Store, client: Client, vectors: Vectors, sources: dict[str, Store], most: int | None = None
) -> Iterator[int]:
    """Copy the blocks that are missing; a block is committed as soon as it is copied.

    Parameters
    ----------
    store, client
        The store, locked for writing; and the cluster, whose workers see all three stores under the same paths.
    vectors
        What `copied_vectors` gave.
    sources
        The stores of side a and side b.
    most
        Largest number of tasks at once; by default the number of threads.

    Yields
    ------
    int
        1 for each block.
    """
    urls = {side: source.url for side, source in sources.items()}
    with stage(store.files, "encode") as run:

        def submit(block: int) -> list[Future]:
            return [client.submit(copy_vectors, store.url, urls, vectors.name, block, run, key=f"copy-{run}-{block}")]

        in_flight = 2 * capacity(client).threads
        for _ in run_in_waves(client, vectors.missing_blocks(), submit, in_flight=in_flight, most=most):
            yield 1
