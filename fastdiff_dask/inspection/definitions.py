"""Definitions of what is remarkable in a collection, each by a figure and a limit.

===============  ================  =====================================================================================
column           figure            true if
===============  ================  =====================================================================================
``blank``        ``value_range``   the largest range of Y, Cb and Cr in the thumbnail is at most 0.05
``dark``         ``highlights``    99 % of the thumbnail is darker than 0.32: ``highlights`` < 0.32
``bright``       ``shadows``       95 % of it is brighter than 0.95: ``shadows`` > 0.95
``low_contrast`` ``contrast``      P(0.99) − P(0.01) of Y is less than 0.15
``blurred``      ``blur``          ``blur`` > 0.5
``odd_size``     ``size_distance`` log2 √(width · height) is more than 3 interquartile ranges below the first, or above
                                   the third quartile of the collection; the range counts as 1/3 at least, so that less
                                   than twice the size, or more than half of it, is never odd
``odd_aspect``   ``aspect``        min(width / height, height / width) < 0.35
``odd_mode``     ``mode_share``    at most 0.1 of the images, or one image, have its mode, and another mode is the most
                                   frequent one
``grey``         ``colour``        P(0.99) of \\|Cb − 128\\| and \\|Cr − 128\\| is at most 0.04 (5 levels)
``byte_equal``   ``equal_files``   there are other files with the same bytes: how many
``near_equal``   ``near_value``    it is similar to another image of other bytes: the least difference (MSE)
``leak``         ``leak_value``    it, or one that is byte-equal or similar, is in another part as well: the least
                                   difference (MSE)
===============  ================  =====================================================================================

The figures of a picture are defined in `images.figures`. Those of an image that could not be read are not known, and it
is only byte-equal, or not. The rules do not exclude each other: a black picture is blank, dark, grey and low in
contrast.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import UsageError

__all__ = ["FIGURE_OF", "ISSUES", "Collection", "Limits", "describe_rule", "judge", "sizes_of"]

# Column of each issue → column of the figure that it rests on, in the order in which people see them.
FIGURE_OF = {
    "blank": "value_range",
    "dark": "highlights",
    "bright": "shadows",
    "low_contrast": "contrast",
    "blurred": "blur",
    "odd_size": "size_distance",
    "odd_aspect": "aspect",
    "odd_mode": "mode_share",
    "grey": "colour",
    "byte_equal": "equal_files",
    "near_equal": "near_value",
    "leak": "leak_value",
}
ISSUES = tuple(FIGURE_OF)
# Least interquartile range of log2 of the size.
_LEAST_RANGE = 1 / 3


@dataclass(frozen=True)
class Limits:
    """Limits of the figures, see `inspection.definitions`.

    Attributes
    ----------
    blank, dark, bright, low_contrast, blurred, odd_aspect, odd_mode, grey
        Limits of the figures, 0 to 1.
    odd_size
        Interquartile ranges beyond the quartiles, from 0.

    Raises
    ------
    UsageError
        If a limit is no such number.
    """

    blank: float = 0.05
    dark: float = 0.32
    bright: float = 0.95
    low_contrast: float = 0.15
    blurred: float = 0.5
    odd_size: float = 3.0
    odd_aspect: float = 0.35
    odd_mode: float = 0.1
    grey: float = 0.04

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            highest = math.inf if field.name == "odd_size" else 1.0
            is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not is_number or not 0 <= value <= highest:
                upto = "from 0" if highest == math.inf else "from 0 to 1"
                raise UsageError(f"{field.name}={value!r} is no number {upto}; {field.default} is the usual one")


class Collection(NamedTuple):
    """Sizes and modes of a collection, with which each image is compared.

    Attributes
    ----------
    quartiles
        The first and the third quartile of log2 √(width · height); NaN if no image was read.
    modes
        Mode → number of the images that were read.
    """

    quartiles: tuple[float, float]
    modes: dict[str, int]

    @classmethod
    def of(cls, sizes: NDArray[np.float64], modes: dict[str, int]) -> "Collection":
        """Make it from log2 √(width · height) of all images that were read."""
        low, high = np.quantile(sizes, (0.25, 0.75)).tolist() if len(sizes) else (math.nan, math.nan)
        return cls((low, high), modes)


def sizes_of(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Give log2 √(width · height) of images that were read."""
    return np.asarray((np.log2(frame.width.to_numpy(float)) + np.log2(frame.height.to_numpy(float))) / 2)


def judge(frame: pd.DataFrame, collection: Collection, limits: Limits) -> dict[str, NDArray[Any]]:
    """Judge images by the figures of their pictures, and among their collection.

    Parameters
    ----------
    frame
        Metadata: width, height, mode, error, and the columns `FIGURES`.
    collection
        The collection.
    limits
        The limits.

    Returns
    -------
    Column → values: the issues up to "grey", bool; and the figures size_distance, aspect, mode_share, float64, NaN of
    an image that was not read.
    """
    read = frame.error.isna().to_numpy() & (frame.width > 0).to_numpy() & (frame.height > 0).to_numpy()
    width, height = (frame[name].to_numpy(float).clip(1) for name in ("width", "height"))
    low, high = collection.quartiles
    size = (np.log2(width) + np.log2(height)) / 2
    distance = np.maximum(np.maximum(low - size, size - high), 0) / max(high - low, _LEAST_RANGE)
    total, most = sum(collection.modes.values()), max(collection.modes.values(), default=0)
    counts = frame["mode"].map(collection.modes).fillna(0).to_numpy(float)
    figures = {
        "size_distance": np.where(read, distance, math.nan),
        "aspect": np.where(read, np.minimum(width / height, height / width), math.nan),
        "mode_share": np.where(read, counts / max(total, 1), math.nan),
    }
    stored = {name: frame[name].to_numpy(float) for name in ("value_range", "highlights", "shadows", "contrast")}
    stored |= {name: frame[name].to_numpy(float) for name in ("blur", "colour")}
    with np.errstate(invalid="ignore"):  # figures that are not known
        return figures | {
            "blank": stored["value_range"] <= limits.blank,
            "dark": stored["highlights"] < limits.dark,
            "bright": stored["shadows"] > limits.bright,
            "low_contrast": stored["contrast"] < limits.low_contrast,
            "blurred": stored["blur"] > limits.blurred,
            "odd_size": figures["size_distance"] > limits.odd_size,
            "odd_aspect": figures["aspect"] < limits.odd_aspect,
            "odd_mode": read & (counts < most) & (counts <= max(limits.odd_mode * total, 1)),
            "grey": stored["colour"] <= limits.grey,
        }


def describe_rule(issue: str, limits: Limits, value: str = "difference (MSE)") -> str:
    """Describe in words when an image has an issue.

    Parameters
    ----------
    issue
        Its column.
    limits
        The limits.
    value
        The measure by which images are similar.

    Returns
    -------
    The rule, in one line.

    Examples
    --------
    >>> describe_rule("dark", Limits(dark=0.25))
    '99 % of the pixels are darker than 0.25'
    """
    return {
        "blank": f"all pixels are alike, within {limits.blank:g}",
        "dark": f"99 % of the pixels are darker than {limits.dark:g}",
        "bright": f"95 % of the pixels are brighter than {limits.bright:g}",
        "low_contrast": f"from the darkest to the brightest pixels it is less than {limits.low_contrast:g}",
        "blurred": f"edges are as wide as after blurring, by more than {limits.blurred:g}",
        "odd_size": f"more than {limits.odd_size:g} times the usual range smaller or larger than the others",
        "odd_aspect": f"the shorter side is less than {limits.odd_aspect:g} of the longer one",
        "odd_mode": f"few others, at most {limits.odd_mode:.0%}, have this colour mode",
        "grey": f"no colour beyond {limits.grey:g}",
        "byte_equal": "another file has the same bytes",
        "near_equal": f"similar to another file of other bytes, by its {value}",
        "leak": "the same file, or a similar image, is in another part of the data set",
    }[issue]
