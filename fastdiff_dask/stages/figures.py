"""Figures of pictures that an earlier version has read: from their thumbnails, and the blur from their files."""

from collections.abc import Iterator

from distributed import Client, Future

from ..config import ReadSettings
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.schema import CLEANED
from ..storage.store import Store
from ..tasks.measure_block import UNMEASURED, measure_block, unmeasured_rows

__all__ = ["measure_blocks", "unmeasured_blocks"]


def unmeasured_blocks(store: Store, reading: bool = True) -> dict[int, int]:
    """Blocks with images that lack figures, and how many.

    Parameters
    ----------
    store
        The store.
    reading
        Count images as well of which the blur alone is not known, which takes the file.

    Returns
    -------
    Block → number of such images.
    """
    blocks = range(store.blocks) if CLEANED in store.files.names() else sorted(store.finished_blocks())
    counts = {block: unmeasured_rows(store.read_partition(block, list(UNMEASURED)), reading).sum() for block in blocks}
    return {block: int(number) for block, number in counts.items() if number}


def measure_blocks(
    store: Store, client: Client, blocks: dict[int, int], limits: ReadSettings, reading: bool
) -> Iterator[tuple[int, int]]:
    """Complete the figures of blocks; each is committed by itself. Memory: a block of thumbnails for each thread.

    Yields
    ------
    tuple of int
        Images that were looked at, and those of them that still lack a figure.
    """
    store.use_this_format()
    run = store.files.begin_run()
    keys = {f"measure-{run}-{block}": images for block, images in blocks.items()}

    def submit(block: int) -> list[Future]:
        return [client.submit(measure_block, store.url, block, limits, reading, run, key=f"measure-{run}-{block}")]

    for future in run_in_waves(client, list(blocks), submit, in_flight=2 * capacity(client).threads):
        yield keys[future.key], future.result()
