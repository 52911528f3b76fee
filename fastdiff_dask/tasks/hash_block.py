"""Hash the thumbnails of a block."""

from ..kernels.hashes import HashSettings
from ..runtime.faults import retried
from ..storage.store import Store
from .read_block import set_hashes

__all__ = ["hash_block"]


@retried
def hash_block(url: str, block: int, hashing: HashSettings, run: str = "") -> bool:
    """Hash the thumbnails of a finished block as far as they were not, or in another way; True if it did."""
    store = Store(url, run)
    frame = store.read_partition(block)
    readable = frame.error.isna().to_numpy()
    wanted = hashing.missing(frame[readable])
    if wanted is None:
        return False
    set_hashes(frame, wanted.columns(store.arrays.read_thumbnails(block)[: len(frame)][readable]))
    store.write_partition(block, frame)
    return True
