"""Settings of the stages: frozen, checked when they are made, recorded in a store as plain JSON values."""

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self

from .errors import UsageError

__all__ = [
    "ALL_BY_CERTAINTY",
    "BY_CERTAINTY",
    "DEFAULT_BLOCK_SIZE",
    "DEFAULT_COPIED",
    "DEFAULT_SAMPLE",
    "DEFAULT_THRESHOLDS",
    "EDITED_SIZE",
    "HASH_KINDS",
    "METRICS",
    "METRIC_THRESHOLDS",
    "NOT_LOOKED_AT",
    "PIXEL_LIMIT",
    "SAME_FILE",
    "SAME_FILES",
    "SAME_PICTURE",
    "SAME_PIXELS",
    "SIMILAR",
    "SIMILARITIES",
    "TIME_LIMIT",
    "VECTOR_TYPES",
    "VERDICT_NAMES",
    "VERIFY_SIZE",
    "CompareSettings",
    "IndexSettings",
    "ReadSettings",
    "ThumbnailSettings",
    "amount_of",
    "aspect_factor",
    "check_flag",
    "check_shift",
    "check_threshold",
    "check_vectors_name",
    "check_verdicts",
    "check_whole",
    "default_threshold",
    "describe_verdicts",
    "threshold_of",
]

DEFAULT_BLOCK_SIZE = 1024
# Files that an estimate reads.
DEFAULT_SAMPLE = 200
# Images that a calibration copies.
DEFAULT_COPIED = 100
# Kinds of perceptual hashes, each a measure, and bits of 64 that differ in altered copies. With sides of 8 bits, the
# measure has the name of the kind, as "phash", else "phash-16". Among 150 photos, other pictures differ in 11 bits and
# more by dhash, 14 by phash, 3 by ahash and 4 by whash; of half a million other pairs, one differs in 6 by dhash.
HASH_KINDS = {"dhash": 6.0, "phash": 10.0, "ahash": 2.0, "whash": 2.0}
# By measure: below these, the values of altered copies stay as a rule.
DEFAULT_THRESHOLDS = {"mse": 200.0, "correlation": 0.1, "ssim": 0.1, "hamming": HASH_KINDS["dhash"]} | {
    kind if side == 8 else f"{kind}-{side}": bits * (side // 8) ** 2
    for side in (8, 16, 32)
    for kind, bits in HASH_KINDS.items()
}
DEFAULT_THRESHOLDS["pdq"] = 31.0  # of 256 bits: that of its authors
# Measures that count the different bits of hashes.
_HASH_MEASURES = frozenset(
    name for name in DEFAULT_THRESHOLDS if name.partition("-")[0] in {*HASH_KINDS, "hamming", "pdq"}
)
# Words for a threshold of MSE: equal thumbnails, small edits, the usual one, loosely alike.
SIMILARITIES = {"identical": 0.0, "strict": 50.0, "normal": DEFAULT_THRESHOLDS["mse"], "loose": 1000.0}
# Measures whose values signatures bound from below, and by which equal thumbnails are 0 apart.
_BY_SIGNATURES = ("mse", "correlation")
# The measure of files that are equal byte for byte, which is 0 for all pairs; no picture was decoded for it.
SAME_FILES = "same-file"
# Metrics of vectors, and their names for people. The value of a pair is a distance, see `vectors.metrics`.
METRICS = ("cosine", "inner", "euclidean", "hamming")
# What people give as a threshold if they give none: the least cosine. Other numbers depend on the vectors.
METRIC_THRESHOLDS = {"cosine": 0.95}
_METRIC_TITLES = {
    "cosine": "cosine distance",
    "inner": "negative inner product",
    "euclidean": "Euclidean distance",
    "hamming": "different bits",
}
# Types of vectors that are stored.
VECTOR_TYPES = ("float16", "float32", "float64", "uint8", "int8")
# A folder in the store; its last character keeps the names of comparisons apart.
_VECTORS_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?")
# A number, its power of 1,000 or 1,024, and its unit.
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(i)?)?\s*(?:b|p|px)?\s*", re.I)
# Seconds for a file, and pixels of a picture (the number at which Pillow refuses one).
TIME_LIMIT = 60.0
PIXEL_LIMIT = 178_956_970
# Pixels of the longer side at which pictures are looked at again.
VERIFY_SIZE = 512
# Pixels of the longer side of pictures that may be edited copies: they are found as well as at 512.
EDITED_SIZE = 320
# Codes of the verdicts of a second look, which are places in `VERDICT_NAMES`. Only the last three are kept in a store.
NOT_LOOKED_AT, SAME_FILE, SAME_PIXELS, SAME_PICTURE, SIMILAR = range(5)
# The pictures differ, and one was made from the other; held apart from the verdicts of pairs of thumbnails.
EDITED_COPY = "edited copy"
VERDICT_NAMES = ("not looked at", "same file", "same pixels", "same picture", "similar")
# The names in the order of certainty, that of lists and counts.
BY_CERTAINTY = tuple(VERDICT_NAMES[code] for code in (SAME_FILE, SAME_PIXELS, SAME_PICTURE, NOT_LOOKED_AT, SIMILAR))
# The same with edited copies, which are copies more certainly than what nobody looked at.
ALL_BY_CERTAINTY = (*BY_CERTAINTY[:3], EDITED_COPY, *BY_CERTAINTY[3:])
_LARGEST_MSE = 4 * 255**2  # black against white in four channels; floats are exact far beyond it


def check_whole(name: str, value: object, lowest: int = 1, highest: int | None = None, unit: str = "") -> None:
    """Refuse a value that is no whole number, or is out of its range.

    Parameters
    ----------
    name, value
        The argument and its value.
    lowest, highest
        The range.
    unit
        Unit for the message, such as " of bits".

    Raises
    ------
    UsageError
        With the name and the value.
    """
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or value < lowest or (highest is not None and value > highest):  # type: ignore[operator]
        to = "" if highest is None else f" to {highest}"
        raise UsageError(f"{name}={value!r} cannot be used; use a whole number{unit} from {lowest}{to}")


def check_shift(amount: object, name: str = "amount") -> None:
    """Refuse a shift, in bits, that leaves nothing of a byte."""
    check_whole(name, amount, -7, 7, " of bits")


def amount_of(name: str, value: object) -> int | None:
    """Whole number that is written as a number or a text: bytes as "100KB" or "2 GiB", pixels as "0.5MP".

    K, M, G and T are powers of 1,000, Ki, Mi, Gi and Ti of 1,024. None stays None.

    Raises
    ------
    UsageError
        With the name and the value.

    Examples
    --------
    >>> amount_of("min_size", "1.5 MB"), amount_of("min_size", "2KiB"), amount_of("min_pixels", "0.5MP")
    (1500000, 2048, 500000)
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UsageError(f"{name}={value!r} cannot be used; use a number, as 5000, 100KB, 2MiB or 0.5MP")
    base = 1024 if found[3] else 1000
    return round(float(found[1]) * base ** " kmgt".index((found[2] or " ").lower()))


def check_flag(name: str, value: object) -> None:
    """Refuse a value that is neither True nor False."""
    if not isinstance(value, bool):
        raise UsageError(f"{name}={value!r} cannot be used; use True or False")


def check_verdicts(names: str | Iterable[str]) -> tuple[str, ...]:
    """Check names of verdicts: several, or a text with commas; a hyphen may stand for a space.

    Returns
    -------
    The verdicts as in `ALL_BY_CERTAINTY`, each once, the most certain first.

    Raises
    ------
    UsageError
        If there is no such verdict.

    Examples
    --------
    >>> check_verdicts(["similar, same-picture", "same file"])
    ('same file', 'same picture', 'similar')
    """
    found = set()
    for text in [names] if isinstance(names, str) else names:
        for part in text.split(","):
            name = " ".join(part.lower().replace("-", " ").replace("_", " ").split())
            if name not in ALL_BY_CERTAINTY:
                known = ", ".join(ALL_BY_CERTAINTY)
                raise UsageError(f"verdict={part.strip()!r} is none of the verdicts: {known}")
            found.add(name)
    return tuple(name for name in ALL_BY_CERTAINTY if name in found)


def describe_verdicts(counts: dict[str, int]) -> str:
    """Describe numbers of pairs by verdict in words, the most certain first; others and zeros are left out.

    Examples
    --------
    >>> describe_verdicts({"similar": 2, "same file": 1, "same pixels": 0})
    '1 same file, 2 similar'
    """
    return ", ".join(f"{counts[name]:,} {name}" for name in ALL_BY_CERTAINTY if counts.get(name))


def check_threshold(name: str, value: object, measure: str = "mse") -> float:
    """Give a threshold as a number that an MSE, or a value of another measure, can be compared with.

    Raises
    ------
    UsageError
        With the name and the value.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    lowest = 0 if measure in _BY_SIGNATURES else -math.inf
    # also refuses NaN
    if not number or not lowest <= value < math.inf or value == -math.inf:  # type: ignore[operator]
        at_least = " from 0" if measure in _BY_SIGNATURES else ""
        usual = f", for example {DEFAULT_THRESHOLDS[measure]:g}" if measure in DEFAULT_THRESHOLDS else ""
        raise UsageError(f"{name}={value!r} cannot be used; use a number{at_least}{usual}")
    return float(value) + 0.0  # type: ignore[arg-type]  # −0.0 becomes 0.0


def check_vectors_name(name: object) -> str:
    """Check the name of vectors: 1 to 64 letters, digits, ``_``, ``.`` and ``-``, not at both ends.

    Raises
    ------
    UsageError
        If it cannot be used.

    Examples
    --------
    >>> check_vectors_name("clip-vit-b32")
    'clip-vit-b32'
    """
    if not isinstance(name, str) or not _VECTORS_NAME.fullmatch(name):
        raise UsageError(
            f"name={name!r:.100} cannot be used for vectors; use up to 64 letters, digits, dots, hyphens and "
            f"underscores, with a letter or digit at both ends"
        )
    return name


def threshold_of(similarity: str) -> float:
    """Give the threshold of MSE that a word stands for.

    Raises
    ------
    UsageError
        If there is no such word.

    Examples
    --------
    >>> threshold_of("strict")
    50.0
    """
    if similarity not in SIMILARITIES:
        raise UsageError(f"similarity={similarity!r} is not known; use {', '.join(map(repr, SIMILARITIES))}")
    return SIMILARITIES[similarity]


def default_threshold(compare: object) -> float:
    """Threshold of a measure, by its name or its function, if none is given.

    Examples
    --------
    >>> default_threshold("mse"), default_threshold("ssim"), default_threshold(max)
    (200.0, 0.1, 200.0)
    """
    return DEFAULT_THRESHOLDS.get(compare if isinstance(compare, str) else "mse", DEFAULT_THRESHOLDS["mse"])


def _strings(name: str, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        shown = list(value) if isinstance(value, tuple) else value
        raise UsageError(f"{name}={shown!r} cannot be used; use a text or a list of texts")


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """Rules for the files that are images of the collection.

    The rules may change from run to run over one store. A file that they exclude leaves the results, not the store.

    Attributes
    ----------
    recursive
        Look into sub-folders as well.
    extensions
        Endings that mark an image, with the dot or without, in any case; empty means all that Pillow can decode by
        itself, ``.*`` all files.
    ignore_names
        Patterns (`fnmatch`) of file and folder names that are skipped.
    ignore_paths
        Files and folders that are skipped, with all below them.
    min_size, max_size
        Bytes that a file has at least, and at most; numbers, or texts as `amount_of` reads them.
    min_pixels, max_pixels, min_width, min_height
        Pixels, width × height, width and height that an image has at least, or at most, as a person sees it. An image
        is read before it is left out for that.
    films
        Without `extensions`, list films as well.
    frames_every
        Seconds from one frame of a film or an animation to the next one; each of them is an image. 0: films are no
        images, and of an animation the first frame alone is one.
    """

    recursive: bool = True
    extensions: tuple[str, ...] = ()
    ignore_names: tuple[str, ...] = ()
    ignore_paths: tuple[str, ...] = ()
    frames_every: float = 0.0
    min_size: int | str | None = None
    max_size: int | str | None = None
    min_pixels: int | str | None = None
    max_pixels: int | str | None = None
    min_width: int | None = None
    min_height: int | None = None
    films: bool = False

    def __post_init__(self) -> None:
        every = self.frames_every
        if isinstance(every, bool) or not isinstance(every, int | float) or not (every == 0 or 0.04 <= every < 1e9):
            raise UsageError(f"frames_every={every!r} cannot be used; use seconds from 0.04, 0 for no frames of films")
        object.__setattr__(self, "frames_every", round(float(every), 3))
        for name in ("extensions", "ignore_names", "ignore_paths"):
            _strings(name, getattr(self, name))
        endings = tuple(one if one.startswith(".") else f".{one}" for one in self.extensions)
        object.__setattr__(self, "extensions", endings)
        for ending in endings:
            if len(ending) < 2 or "/" in ending:
                raise UsageError(f"extensions={ending!r} is no ending of a file; write it as '.jpg'")
        for name in ("min_size", "max_size", "min_pixels", "max_pixels", "min_width", "min_height"):
            object.__setattr__(self, name, amount_of(name, getattr(self, name)))
        for least, most in (("min_size", "max_size"), ("min_pixels", "max_pixels")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise UsageError(f"{least}={low} is more than {most}={high}, so that no image is left; exchange them")

    def has_size(self, size: int) -> bool:
        """Tell whether a file has a size, in bytes, that is asked for."""
        return _is_between(self.min_size, size, self.max_size)

    @property
    def by_resolution(self) -> bool:
        """True if images are left out by their pixels."""
        return any(one is not None for one in (self.min_pixels, self.max_pixels, self.min_width, self.min_height))

    def has_resolution(self, width: int, height: int) -> bool:
        """Tell whether an image has pixels that are asked for."""
        wide, high = (_is_between(least, n, None) for least, n in ((self.min_width, width), (self.min_height, height)))
        return wide and high and _is_between(self.min_pixels, width * height, self.max_pixels)


def _is_between(least: Any, value: int, most: Any) -> bool:
    return (least is None or least <= value) and (most is None or value <= most)


@dataclass(frozen=True, kw_only=True)
class ThumbnailSettings:
    """Making of thumbnails, and of blocks; fixed for the life of a store.

    Attributes
    ----------
    width, height
        Size of a thumbnail in pixels, 8 to 1,024 each.
    block_size
        Images in a block: the unit of reading, of a thumbnail chunk and of resuming, 1 to 65,536.
    exact_decode
        Decode JPEG pictures at full scale and resize all by the plain bicubic filter, see `decode.read_opened`.
    """

    width: int = 64
    height: int = 64
    block_size: int = DEFAULT_BLOCK_SIZE
    exact_decode: bool = False

    def __post_init__(self) -> None:
        check_whole("thumbnail_size_x", self.width, 8, 1024)
        check_whole("thumbnail_size_y", self.height, 8, 1024)
        check_whole("block_size", self.block_size, 1, 65_536)
        check_flag("exact_decode", self.exact_decode)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one thumbnail: (height, width, channels)."""
        return self.height, self.width, 3

    @property
    def block_bytes(self) -> int:
        """Bytes of one block of thumbnails."""
        return self.block_size * math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Give the settings as they are recorded in a store."""
        return {**asdict(self), "resampling": "bicubic"}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Make the settings from the values in a store."""
        names = ("width", "height", "block_size", "exact_decode")
        return cls(**{name: values[name] for name in names})


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """Limits of reading a file; they may change from run to run.

    A file beyond a limit is listed as an error. A later run with a higher limit reads it again.

    Attributes
    ----------
    time_limit
        Seconds for a file, 0 for no limit. Not on systems without alarm signals (Windows).
    pixel_limit
        Pixels of a picture, width × height.
    """

    time_limit: float = TIME_LIMIT
    pixel_limit: int = PIXEL_LIMIT

    def __post_init__(self) -> None:
        limit = self.time_limit
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < 1e9:
            raise UsageError(f"time_limit={limit!r} cannot be used; use seconds for a file, 0 for no limit, below 1e9")
        object.__setattr__(self, "time_limit", float(limit))
        check_whole("pixel_limit", self.pixel_limit, 1, 2**62)


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Rules for a similar pair.

    Attributes
    ----------
    similarity_threshold
        Largest MSE of a similar pair, inclusive: squared grey levels summed over the channels, per pixel; or the
        largest value of another measure.
    measure
        Name of the measure: "mse", "correlation", or that of a `measures.Measure`; of vectors, one of `METRICS`.
    vectors
        Name of the vectors that are compared, without `rotations` and `mirror`; empty for thumbnails.
    rotations
        Take the minimum over image a turned by 0, 90, 180 and 270 degrees (0 and 180 if thumbnails are not square).
    mirror
        Take the minimum over mirror images as well.
    match_aspect_by
        Compare only pictures of the same size (0), or whose aspect ratios are within a factor (from 1); with
        `rotations`, up to a quarter turn. None: of any shape.
    only_matching_hash, skip_matching_hash
        Compare only pictures with equal hashes; only pictures with different ones.
    hashes
        Kind of the hashes: their function and shift.
    within_folder, across_folders
        Compare only pictures of one folder; only pictures of two folders.
    """

    similarity_threshold: float = DEFAULT_THRESHOLDS["mse"]
    rotations: bool = True
    mirror: bool = False
    measure: str = "mse"
    match_aspect_by: float | None = None
    only_matching_hash: bool = False
    skip_matching_hash: bool = False
    hashes: str = ""
    vectors: str = ""
    within_folder: bool = False
    across_folders: bool = False

    def __post_init__(self) -> None:
        if self.vectors:
            self._check_vectors()
        measure = "" if self.vectors else self.measure  # a distance may be below 0
        threshold = check_threshold("similarity_threshold", self.similarity_threshold, measure)
        object.__setattr__(self, "similarity_threshold", threshold)
        factor = self.match_aspect_by
        if factor is not None:
            number = isinstance(factor, int | float) and not isinstance(factor, bool)
            if not number or not (factor == 0 or 1 <= factor < math.inf):
                raise UsageError(
                    f"match_aspect_by={factor!r} cannot be used; use 0 for the same size, 1 for the same aspect ratio, "
                    f"or a larger number for ratios within this factor"
                )
            object.__setattr__(self, "match_aspect_by", float(factor) + 0.0)
        for name in ("only_matching_hash", "skip_matching_hash", "within_folder", "across_folders"):
            check_flag(name, getattr(self, name))
        if self.only_matching_hash and self.skip_matching_hash:
            raise UsageError("only_matching_hash= and skip_matching_hash= leave no pairs together; use one of them")
        if self.within_folder and self.across_folders:
            raise UsageError("within_folder= and across_folders= leave no pairs together; use one of them")
        if self.skip_matching_hash and self.across_folders:
            raise UsageError("skip_matching_hash= and across_folders= cannot be used together; use one of them")

    def _check_vectors(self) -> None:
        check_vectors_name(self.vectors)
        if self.measure not in METRICS:
            raise UsageError(f"metric={self.measure!r} cannot be used; use {', '.join(map(repr, METRICS))}")
        if self.rotations or self.mirror:
            raise UsageError("rotations= and mirror= are for thumbnails, not for vectors; leave them out")

    @property
    def measure_title(self) -> str:
        """Name of the measure for people."""
        if self.vectors:
            return _METRIC_TITLES[self.measure]
        return {"mse": "MSE", "correlation": "correlation distance", SAME_FILES: "bytes that differ"}.get(
            self.measure, self.measure
        )

    @property
    def question(self) -> str:
        """Measure and threshold in words.

        Examples
        --------
        >>> CompareSettings().question
        'difference (MSE) ≤ 200'
        """
        if self.of_files:
            return "equal byte for byte"
        name = "difference (MSE)" if self.measure == "mse" else self.measure_title
        name += f" of {self.vectors}" if self.vectors else ""
        return f"{name} ≤ {self.similarity_threshold:g}"

    @property
    def transforms_shown(self) -> str:
        """Transforms that count, in words; empty for vectors, which have none."""
        if self.vectors:
            return ""
        return ("with" if self.rotations else "without") + " rotations" + (", mirrored" if self.mirror else "")

    @property
    def of_files(self) -> bool:
        """Files are compared, and not pictures."""
        return self.measure == SAME_FILES

    @property
    def by_signatures(self) -> bool:
        """Signatures bound the measure from below, and equal thumbnails are 0 apart."""
        return self.measure in _BY_SIGNATURES

    @property
    def by_hashes(self) -> bool:
        """The measure counts different bits, of hashes of thumbnails or of vectors."""
        return self.measure == "hamming" if self.vectors else self.measure in _HASH_MEASURES

    @property
    def by_directions(self) -> bool:
        """Signatures along directions of vectors bound the measure."""
        return bool(self.vectors) and not self.by_hashes

    def sse_limit(self, height: int, width: int) -> int:
        """Largest sum of squared errors that gives an MSE at or below the threshold.

        The MSE that users see is the correctly rounded quotient ``sse / (height * width)``. The limit is the largest
        integer whose quotient, so rounded, is not above the threshold: comparing integers with it and comparing the
        reported numbers with the threshold then never disagree.

        Examples
        --------
        >>> CompareSettings(similarity_threshold=200).sse_limit(64, 64)
        819200
        """
        pixels = height * width
        if self.similarity_threshold >= _LARGEST_MSE:
            return pixels * _LARGEST_MSE
        limit = math.floor(Fraction(self.similarity_threshold) * pixels)
        while (limit + 1) / pixels <= self.similarity_threshold:
            limit += 1
        return limit

    def to_json(self) -> dict[str, Any]:
        """Give the settings as they are recorded in a store; earlier versions read those without newer ones."""
        newer = ("vectors", "within_folder", "across_folders")
        return {name: value for name, value in asdict(self).items() if value or name not in newer}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Make the settings from the values in a store."""
        return cls(**values)


def aspect_factor(only_matching_aspect: bool, match_aspect_by: float | None) -> float | None:
    """Merge the two ways to ask for `CompareSettings.match_aspect_by`.

    Raises
    ------
    UsageError
        If they contradict each other.

    Examples
    --------
    >>> aspect_factor(True, None), aspect_factor(False, 1.5)
    (1.0, 1.5)
    """
    check_flag("only_matching_aspect", only_matching_aspect)
    if not only_matching_aspect:
        return match_aspect_by
    if match_aspect_by not in (None, 1):
        raise UsageError(f"only_matching_aspect= means match_aspect_by=1, not {match_aspect_by!r}; use one of them")
    return 1.0
