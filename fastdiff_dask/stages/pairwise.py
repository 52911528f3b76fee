"""The dense matrix of MSE between images, as a lazy blocked Dask array."""

import functools
import hashlib
import warnings
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from ..errors import StoreMismatchError, UsageError
from ..kernels.transforms import available_transforms
from ..storage.derived.matrix import DenseMatrix
from ..tasks.mse_chunk import digest, mse_chunk, transposed, write_chunk

__all__ = ["lazy_matrix", "pairwise_mse"]

# Images of a chunk, for arrays that have no chunks. With large chunks each image is prepared less often, but a small
# matrix would have too few of them.
_CHUNK, _LARGE_CHUNK, _LARGE = 1024, 2048, 8192
# Up to so many blocks along its side, the graph of a matrix of images with themselves computes each pair once. It lists
# its tasks one by one, which takes long for a larger matrix (128 GB), of which only a part is wanted.
_MOST_BLOCKS = 128
# Blocks that are computed and written at a time: several for each thread of a large cluster, and still a small graph.
_AT_ONCE = 256


def pairwise_mse(
    a: Any,
    b: Any = None,
    *,
    rotations: bool = True,
    mirror: bool = False,
    persist: bool = False,
    store: str | None = None,
) -> da.Array:
    """Compute the exact MSE of each image of `a` with each of `b`, as a lazy Dask array.

    The MSE is the sum of the squared differences over all pixels and channels, an integer, divided by height × width
    (the definition of fast_diff_py; difPy's is a third of it for three channels). In a matrix of images with
    themselves, each pair is computed once (up to 128 chunks along a side).

    Memory of a task: 8 bytes for each pair of its chunk, and at most 550 MB for the images.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8: NumPy, CuPy or Dask arrays. `b` is `a` by default.
    rotations
        Take the minimum over each image of `a` turned by 0, 90, 180 and 270 degrees (0 and 180 if not square).
    mirror
        Take the minimum over mirror images as well.
    persist
        Compute now, and write chunk by chunk to `store`. Chunks that are there already are not computed again: the same
        call goes on after it was stopped. The images must be the same; they are read once more to see that.
    store
        Folder or fsspec URL of the matrix, a Zarr array; only with `persist`. The workers must see it.

    Returns
    -------
    (m, n) float64 Dask array. Its chunks are NumPy or CuPy arrays as the input (NumPy if persisted), and as long along
    both axes as those of the images; of arrays without chunks 1,024 images, or 2,048 from 8,192 images on.

    Raises
    ------
    UsageError
        If the arrays are not uint8 images of one shape, or `persist` and `store` do not go together.
    StoreMismatchError
        If there is something else in the store.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((3, 8, 8, 3), np.uint8)
    >>> images[2] = 2
    >>> pairwise_mse(images).compute().tolist()
    [[0.0, 0.0, 12.0], [0.0, 0.0, 12.0], [12.0, 12.0, 0.0]]
    """
    if persist != (store is not None):
        raise UsageError("persist=True needs a folder as store=" if persist else "store= needs persist=True")
    first = _as_images("a", a)
    second = first if b is None or b is a else _as_images("b", b)
    if first.shape[1:] != second.shape[1:]:
        raise UsageError(f"images of a have shape {first.shape[1:]}, those of b {second.shape[1:]}; make them alike")
    transforms = available_transforms(*first.shape[1:3], rotations=rotations, mirror=mirror)
    lazy = _lazy(first, second, transforms)
    if store is None:
        return lazy
    symmetric = second is first
    digests = [_content(images) for images in ([first] if symmetric else [first, second])]
    return _persisted(lazy, store, {"images": digests, "transforms": list(transforms)}, symmetric)


def _lazy(a: da.Array, b: da.Array, transforms: tuple[int, ...]) -> da.Array:
    """Build the graph of the matrix: each pair once where images meet themselves, else a task a chunk."""
    name = f"mse-{da.core.tokenize(a.name, b.name, transforms)}"
    meta = a._meta.astype(np.float64).reshape(-1)[:0].reshape(0, 0)
    if a is b and a.numblocks[0] <= _MOST_BLOCKS:
        return _symmetric(a, transforms, name, meta)
    with warnings.catch_warnings():
        # all with all makes more chunks than went in: that is what was asked for
        warnings.simplefilter("ignore", da.PerformanceWarning)
        # the images' own axes are one chunk each, so blockwise hands whole chunks over once they are contracted
        return da.blockwise(
            mse_chunk,
            "ij",
            a,
            "ihwc",
            b,
            "jhwc",
            transforms=transforms,
            concatenate=True,
            dtype=np.float64,
            meta=meta,
            name=name,
        )


def _symmetric(images: da.Array, transforms: tuple[int, ...], name: str, meta: Any) -> da.Array:
    """Compare images with themselves: chunks below the diagonal are those above it, transposed.

    The transforms are a group, so that turning one image or the other makes no difference to the smallest error.
    """
    compare = functools.partial(mse_chunk, transforms=transforms)
    blocks = range(images.numblocks[0])
    keys = [(images.name, block, 0, 0, 0) for block in blocks]
    tasks: dict[Any, Any] = {(name, i, j): (compare, keys[i], keys[j]) for i in blocks for j in blocks if i <= j}
    tasks |= {(name, j, i): (transposed, (name, i, j)) for i in blocks for j in blocks if i < j}
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[images])
    return da.Array(graph, name, chunks=(images.chunks[0], images.chunks[0]), meta=meta)


def lazy_matrix(matrix: DenseMatrix) -> da.Array:
    """Give a matrix on disk as a Dask array with the same chunks."""
    array = matrix.described()
    if array is None:
        raise StoreMismatchError(f"what is at {matrix.url} is no matrix; name another, or delete it")
    if 0 in array.shape:
        return da.zeros(array.shape, chunks=array.chunks)
    chunks = da.core.normalize_chunks(array.chunks, array.shape)
    return da.map_blocks(_read_chunk, chunks=chunks, meta=np.zeros((0, 0)), url=matrix.url)


def _persisted(lazy: da.Array, url: str, identity: dict[str, Any], symmetric: bool) -> da.Array:
    """Write the chunks that are not there yet, and give the matrix on disk."""
    if any(len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0] for sizes in lazy.chunks if sizes):
        raise UsageError("the images are in chunks of different sizes; make them regular with rechunk()")
    rows, columns = map(range, lazy.numblocks)
    matrix = DenseMatrix(url)
    matrix.open_or_create(lazy.shape, lazy.chunksize, identity)
    pending = matrix.pending([(i, j) for i in rows for j in columns if i <= j or not symmetric], symmetric)
    if pending:
        blocks = lazy.to_delayed()
        write = dask.delayed(write_chunk, pure=False)
        for start in range(0, len(pending), _AT_ONCE):
            dask.compute(
                *(write(matrix.url, blocks[i, j], i, j, symmetric) for i, j in pending[start : start + _AT_ONCE])
            )
    return lazy_matrix(matrix)


def _content(images: da.Array) -> str:
    """Compute a digest of the images: the names of Dask arrays tell their source, and not its content."""
    delayed_digest = dask.delayed(digest)
    blocks = images.to_delayed().ravel().tolist()
    return hashlib.sha256(repr(dask.compute(*map(delayed_digest, blocks))).encode()).hexdigest()


def _as_images(name: str, images: Any) -> da.Array:
    if len(getattr(images, "shape", ())) != 4 or images.dtype != np.uint8:
        found = f"{getattr(images, 'dtype', type(images).__name__)} of shape {getattr(images, 'shape', 'none')}"
        raise UsageError(f"{name} is {found}; pass images as (n, height, width, channels) uint8")
    if isinstance(images, da.Array):
        return images.rechunk({1: -1, 2: -1, 3: -1})
    chunk = _CHUNK if images.shape[0] < _LARGE else _LARGE_CHUNK
    return da.from_array(images, chunks=(chunk, -1, -1, -1), asarray=False)


def _read_chunk(url: str, block_id: tuple[int, int]) -> NDArray[np.float64]:
    return DenseMatrix(url).read(*block_id)
