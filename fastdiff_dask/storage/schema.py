"""The layout on disk: names of files and arrays, columns of an image, and the version of all that.

::

    <store>/
      images.parquet/block-00000000.parquet   one partition per block: the metadata of its images
      arrays.zarr/                            attributes: format, roots, thumbnail settings, generations
        thumbnails                            (image, y, x, channel) uint8, one chunk per block
        signatures                            (image, value) float32, one chunk per block
        digests                               (image, turn, byte) uint8, one chunk per block
        features/<function>/<transform>       (image, ...), of thumbnails turned so, one chunk per block; see `arrays`
        vectors/<name>/values, there          (image, value) and (image), one chunk per block; see `derived.vectors`
        comparisons/<comparison>/             see `comparisons`
        mse[-rotations][-mirror]/             (image, image) float64, see `matrix`; if it was asked for
      verdicts.parquet/                       pairs of images that were looked at again, see `verdicts`
      index.json                              what the last index run left out: ignored files, other names of files
      decisions.json                          what people said are no duplicates, see `decisions`
      marks/                                  images that people marked to keep or to remove, see `review.marks`
      settings.json                           what the last run was asked for, see `options`
      shown.json                              the result that was shown last, see `records`
      cleaned                                 thumbnails were removed after they were compared, see `cleanup`
      calibration/                            copies that were made to calibrate thresholds, see `calibrations`
      lookup/                                 leading values of the signatures, see `leading_files`
      neighbours/                             the nearest images of each image, see `neighbour_files`
      edited/                                 contents, candidates and looks of edited copies, see `edited`
      plots/                                  pictures of pairs, if no other folder was named, see `plots`
      writer.lock, writer.json                locked by the process that is writing; see `locks`
      run                                     number of the run whose tasks may write; see `Files.begin_run`
      activity/                               what tasks are doing, for those who watch; see `activity`

Image number i is row ``i % block_size`` of block ``i // block_size``; the last block of each side of a generation may
be part empty. Every file is written under a temporary name and renamed, or is one object of an object store, so it is
there as a whole or not at all. That, and that what was written is read and listed at once by everyone, is all that a
store needs of a backend, besides that only one of two processes can create an object, for the lock;
`locks.check_backend` tries it out. Object stores do so; SFTP, FTP, SMB and HTTP do not, and are refused. What counts as
finished, and is written last:

- a generation: its entry in the attributes of ``arrays.zarr``;
- a block: its chunk of ``thumbnails`` (after its partition, which the thumbnail stage completes, its signatures and its
  digests; an image that could not be read has a digest of zeros).

A chunk of thumbnails that equals the fill value must be stored too (Zarr leaves such chunks out by default): a block of
black pictures, or of unreadable ones, is finished. These arrays are not compressed, so that single rows can be read.
Each chunk of them is a shard of Zarr's sharding codec: its rows one after the other, and then the index. Rows after the
last image are left out, up to the next 16, so that a day's five new pictures take 0.2 MB and not a block's 13.
"""

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..kernels.hashes import HASH_COLUMNS, HASH_KEY, HASHED_BY, IMAGE_HASH_COLUMNS

if TYPE_CHECKING:
    from zarr.core.chunk_key_encodings import ChunkKeyEncodingParams

__all__ = [
    "ACTIVITY",
    "ADDED",
    "ARRAYS",
    "CALIBRATION",
    "CLEANED",
    "COMPARISONS",
    "DECISIONS",
    "DIGESTS",
    "EDITED",
    "FEATURES",
    "FIGURES",
    "FILE_NAME",
    "FLAT_KEYS",
    "FORMAT",
    "FORMAT_VERSION",
    "HASHED_BY",
    "HASHES",
    "HASH_KEY",
    "HASH_VALUES",
    "IMAGE_SCHEMA",
    "INDEX",
    "KEEP_COLUMNS",
    "LEASE",
    "LOCK",
    "LOOKUP",
    "MARKS",
    "NEIGHBOURS",
    "PARTITIONS",
    "PLOTS",
    "READABLE_VERSIONS",
    "RUN",
    "SETTINGS",
    "SHOWN",
    "SIGNATURES",
    "THUMBNAILS",
    "UNREAD",
    "VECTORS",
    "VERDICTS",
]

# The files and folders of a store; its layout is in the docstring of `store`.
ARRAYS, PARTITIONS, INDEX = "arrays.zarr", "images.parquet", "index.json"
CALIBRATION = "calibration"
EDITED = "edited"
LOOKUP, NEIGHBOURS = "lookup", "neighbours"
SETTINGS, DECISIONS, SHOWN, CLEANED = "settings.json", "decisions.json", "shown.json", "cleaned"
LOCK, LEASE, RUN = "writer.lock", "writer.json", "run"
ACTIVITY, MARKS, PLOTS, VERDICTS = "activity", "marks", "plots", "verdicts.parquet"
# The arrays with a row an image, and the group of the comparisons.
THUMBNAILS, SIGNATURES, DIGESTS, COMPARISONS = "thumbnails", "signatures", "digests", "comparisons"
# The group of the features that functions made of thumbnails.
FEATURES = "features"
# The group of the vectors of images, which are not made of thumbnails alone.
VECTORS = "vectors"
# Columns of an image: the name of its file, its hashes, and the same with their origin.
FILE_NAME = ("root", "path", "path_bytes")
HASH_VALUES = (*HASH_COLUMNS, HASH_KEY, *IMAGE_HASH_COLUMNS)
HASHES = (*HASH_VALUES, *HASHED_BY)
# Columns with figures of the picture, see `images.figures`.
FIGURES = ("brightness", "shadows", "highlights", "contrast", "value_range", "colour", "blur")
# Columns by which the image to keep is chosen, see `results.keep_rules`.
KEEP_COLUMNS = ("side", "width", "height", "size", "mtime_ns", "format", "camera", "captured", "signs")
FORMAT_VERSION = 7
# Earlier formats that are read: their images lack the columns that were `ADDED` later.
READABLE_VERSIONS = (5, 6, 7)
FORMAT = "fastdiff_dask"
# c.5.0.0.0 rather than c/5/0/0/0: one directory to list, not one for each chunk
FLAT_KEYS: "ChunkKeyEncodingParams" = {"name": "default", "separator": "."}
IMAGE_SCHEMA = pa.schema(
    [
        ("image", pa.int64()),  # number of the image: row in the array of thumbnails
        ("side", pa.string()),  # "a" or "b"
        ("root", pa.string()),  # absolute folder
        ("path", pa.string()),  # below the root; undecodable bytes shown as U+FFFD
        ("path_bytes", pa.binary()),  # the name itself where `path` cannot hold it, else empty
        ("size", pa.int64()),  # bytes; -1 for what could not even be listed
        ("mtime_ns", pa.int64()),
        ("device", pa.uint64()),  # with `inode`, tells names of the same file; 0 where the file system has none
        ("inode", pa.uint64()),
        ("changed_ns", pa.int64()),  # time of the last change of content or status; 0 where it is not known
        ("current", pa.bool_()),  # False: vanished, or changed and listed again under another number
        ("width", pa.int32()),  # pixels as shown to a person; 0 while not known
        ("height", pa.int32()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("error", pa.string()),  # null if the image can be compared, or was not read yet
        ("retry", pa.bool_()),  # the error was in reading, not in decoding
        ("time_limit", pa.float64()),  # seconds that reading took longer than, if that is the error; else 0
        ("pixel_limit", pa.int64()),  # pixels of which the image has more, if that is the error; else 0
        ("warnings", pa.string()),  # what the decoder complained of, one line; null if nothing
        ("content_hash", pa.string()),  # SHA-256 of the file; null while it was not read
        ("camera", pa.string()),  # maker and model, by the EXIF data; null if not known
        ("captured", pa.string()),  # when it was taken, by the EXIF data: ISO 8601, no time zone; null if not known
        ("frames", pa.int32()),  # frames of an animation, or pages of a document; 0 while not known
        ("extras", pa.string()),  # what a plain 8-bit copy would lack, see `images.contents`; null if nothing
        ("signs", pa.int8()),  # signs of an original, see `images.provenance`; -1 for a lossless copy of a JPEG
        # its number in the store that it was copied from; -1 if its file is read, see `transfer`
        ("source", pa.int64()),
        # figures of the picture, see `images.figures`; null while not known
        *((name, pa.float32()) for name in FIGURES),
        ("hash_function", pa.string()),  # what made the hashes; null if nothing
        ("hash_shift", pa.int8()),  # bits by which values were shifted for the hashes
        *((name, pa.string()) for name in HASH_VALUES),
    ]
)
# Columns that stores of `READABLE_VERSIONS` may lack, by the format that has them first, and the values that stand for
# them.
ADDED: dict[int, dict[str, Any]] = {
    6: {"changed_ns": 0, "frames": 0, "extras": None, "signs": 0},
    7: dict.fromkeys(FIGURES),
}
# What is known of an image before it is read.
UNREAD: dict[str, Any] = {
    **{"width": 0, "height": 0, "format": "", "mode": "", "retry": False, "time_limit": 0.0, "pixel_limit": 0},
    "frames": 0,
    "signs": 0,
    **dict.fromkeys(("warnings", "content_hash", "camera", "captured", "extras", *HASHES)),
    **dict.fromkeys(FIGURES, math.nan),
    "hash_shift": 0,
    "source": -1,
}
