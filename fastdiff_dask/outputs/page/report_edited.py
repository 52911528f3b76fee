"""The section of edited copies in a report: both pictures of each pair, and the part that the copy shows."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from ...errors import FastDiffError, UsageError
from ...results.result import Result
from ...storage.pending import unread_blocks
from ...storage.store import Store
from ...text import printable

__all__ = ["EDITED_LIMIT", "edited_section", "encoded_thumbnail", "stored_thumbnails"]

# Edited copies that a report shows at most, 5 kB each.
EDITED_LIMIT = 2_000
_QUALITY = 82
_PARTS = {
    "copy": "the copy shows a part only",
    "original": "the original shows a part only",
    "both": "each has something that the other one lacks",
}


def stored_thumbnails(store: Store, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Read thumbnails; grey ones where not all are made, as files were compared and not pictures."""
    try:
        return store.arrays.thumbnail_rows(numbers)
    except UsageError:  # they were removed
        raise
    except FastDiffError:
        if not unread_blocks(store):
            raise
        return np.full((len(numbers), *store.thumbnail_settings.shape), 200, np.uint8)


def encoded_thumbnail(thumbnail: NDArray[np.uint8]) -> str:
    """Encode a thumbnail as WebP, in base64."""
    content = io.BytesIO()
    Image.fromarray(thumbnail).save(content, "WEBP", quality=_QUALITY)
    return base64.b64encode(content.getvalue()).decode()


def edited_section(store: Store, result: Result, limit: int) -> dict[str, Any]:
    """Give the edited copies that were looked at, the surest first: the pairs that are shown, and the number of others.

    Parameters
    ----------
    store, result
        The store, and a result of it.
    limit
        Pairs to show at most.

    Returns
    -------
    pairs, each with its two pictures, words, confidence in percent, part and box in percent; all, the number of pairs.
    """
    edited = result.numbered_edited()
    edited = edited[edited.via == ""].sort_values(["confidence", "original"], ascending=[False, True], kind="stable")
    images = result.images.drop_duplicates("image").set_index("image")
    shown = edited.head(min(limit, EDITED_LIMIT))
    numbers = np.unique(shown[["original_image", "copy_image"]].to_numpy(np.int64))
    thumbnails = map(encoded_thumbnail, store.arrays.thumbnail_rows(numbers))
    encoded = dict(zip(numbers.tolist(), thumbnails, strict=True))
    return {"pairs": [_pair(encoded, images, row) for row in shown.itertuples()], "all": len(edited)}


def _pair(encoded: dict[int, str], images: pd.DataFrame, row: Any) -> dict[str, Any]:
    numbers = [row.original_image, row.copy_image]
    sizes = [(int(images.width[number]), int(images.height[number])) for number in numbers]
    width, height = sizes[0]
    box = {"top": row.top / height, "left": row.left / width}
    box |= {"height": (row.bottom - row.top) / height, "width": (row.right - row.left) / width}
    return {
        "pictures": [
            {"name": printable(name), "data": encoded[number], "width": size[0], "height": size[1]}
            for name, number, size in zip((row.original, row.copy), numbers, sizes, strict=True)
        ],
        "words": row.words or "nothing but its quality",
        "sure": f"{row.confidence:.0%}",
        "part": _PARTS.get(row.part, ""),
        "box": "; ".join(f"{name}: {100 * min(max(share, 0), 1):.1f}%" for name, share in box.items()),
        "pixels": f"{row.left}, {row.top} to {row.right}, {row.bottom}",
        "whole": box["height"] * box["width"] > 0.99,
    }
