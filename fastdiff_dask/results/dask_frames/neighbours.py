"""The nearest neighbours of all images as a Dask DataFrame."""

from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask import delayed

from ...kernels.transforms import Transform
from ...stages.listing.roots import Root
from ...storage.derived.neighbour_files import NeighbourFiles, NeighbourSettings
from ...storage.schema import FILE_NAME
from ...storage.store import Store
from ..collect import shown_paths

__all__ = ["neighbours_frame"]

_DEGREES = np.array([Transform.lowest(mask).degrees if mask else 0 for mask in range(256)])
_MIRRORED = np.array([bool(mask) and Transform.lowest(mask).mirrored for mask in range(256)])


def neighbours_frame(files: NeighbourFiles, roots: list[Root]) -> dd.DataFrame:
    """Give neighbours that were found, with the paths of images.

    Parameters
    ----------
    files
        The neighbours, of all blocks.
    roots
        The folders as the user gives them now.

    Returns
    -------
    A row a neighbour: a, b (paths), rank (from 1), the value, rotation, mirrored, image_a, image_b (numbers of the
    images, as in `Project.images`); a partition a block, whose images are alike.
    """
    blocks = range(len(files.blocks()))
    meta = _rows(
        files, np.zeros((0, files.settings.k, 3), np.int64), np.zeros(0, np.int64), pd.Series([], dtype=object)
    )
    if not blocks:
        return dd.from_pandas(meta, npartitions=1)
    names = delayed(_paths, pure=True)(files.store.url, roots)
    parts = [
        delayed(_block, pure=True)(files.store.url, files.settings, files.digest, number, names) for number in blocks
    ]
    return dd.from_delayed(parts, meta=meta, verify_meta=False)


def _paths(url: str, roots: list[Root]) -> pd.Series:
    """Read the paths of all current images, by number."""
    frame = Store(url).read_images(["image", "side", *FILE_NAME, "current"])
    frame = frame[frame.current]
    return pd.Series(np.array(shown_paths(frame, roots), object), index=frame.image.to_numpy())


def _block(url: str, settings: NeighbourSettings, digest: str, number: int, names: pd.Series) -> pd.DataFrame:
    files = NeighbourFiles(Store(url), settings, digest)
    places = files.blocks()[number]
    found, numbers = files.read_block(number), files.read_order("a")[places.start : places.stop]
    order = np.argsort(numbers)
    return _rows(files, found[order], numbers[order], names)


def _rows(files: NeighbourFiles, found: Any, numbers: Any, names: pd.Series) -> pd.DataFrame:
    there = found[..., 0] >= 0
    others, masks = found[..., 0][there], found[..., 2][there]
    own = np.repeat(numbers, there.sum(axis=1))
    height, width, _ = files.store.thumbnail_settings.shape
    frame: dict[str, Any] = {
        "a": _named(names, own),
        "b": _named(names, others),
        "rank": np.broadcast_to(np.arange(1, files.settings.k + 1), there.shape)[there],
    }
    if files.settings.vectors:
        frame["value"] = np.ascontiguousarray(found[..., 1][there]).view(np.float64)
    else:
        frame["mse"] = found[..., 1][there] / (height * width)
        frame["rotation"], frame["mirrored"] = _DEGREES[masks], _MIRRORED[masks]
    return pd.DataFrame(frame | {"image_a": own, "image_b": others})


def _named(names: pd.Series, numbers: Any) -> pd.Series:
    return pd.Series(names.loc[numbers].to_numpy(object), dtype=object) if len(numbers) else pd.Series([], dtype=object)
