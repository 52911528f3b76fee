"""Find duplicate and similar images by comparing all with all, exactly: on Dask, resumable.

The map of the house. Each folder is a layer, a *wing*, and imports go down this list only:

- `cli`: the command line; arguments, printing, exit codes.
- `compat`: the names of two other programs, fast_diff_py (`FastDifPy`) and difPy.
- `project`: one project; its options, its client, its stages one after the other.
- `review`: the server of the page on which people look, mark, apply and undo.
- `outputs`: terminal, progress bars, report, plots, tables, JSON, SQL.
- `actions`: the images that may go; removal and undo.
  `evaluation`, beside it: scores against known copies, and calibration.
  `lookup`, beside it: one picture against a store.
- `results`: similar pairs, groups of equal thumbnails, clusters, the image to keep.
- `stages`: index, thumbnails, comparison, as a client submits them; its docstring tells the journey of an image.
  `dashboard`, beside it: the live page of a store.
- `tasks`: the functions that run on workers, a module for each bar of Dask's dashboard.
- `runtime`: Dask; clients, workers, waves of tasks, memory, faults, signals.
- `storage`: the store on disk; its files, locks, plans, and the work that is pending.
  `edits`, beside it: views of an image, alignment of two, and what was done to a copy.
  `vectors`, beside it: encodings and hashes of images; the exact search for near ones.
- `kernels`: arrays in, arrays out; distances, bounds, hashes, on NumPy or CuPy.
  `images`, beside it: a picture file becomes metadata and a thumbnail.
- The rooms at the top: `testing`, `scenes`, `urls`, `user_functions`, `local_files`, `config`, `extras`, `text`,
  `errors`.

The public names are imported when they are asked for, see `__all__`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import FastDiffError, StoreLockedError, StoreMismatchError, UsageError

if TYPE_CHECKING:
    from .compat.fast_diff_py import FastDifPy
    from .evaluation.scores import Evaluation, evaluate
    from .project.find import find_duplicates
    from .results.clusters import Cluster
    from .results.result import Result
    from .runtime.workers import upload_package
    from .stages.estimate import Estimate
    from .stages.pairwise import pairwise_mse
    from .vectors.onnx_encoder import onnx_encoder

__all__ = [
    "Cluster",
    "Estimate",
    "Evaluation",
    "FastDifPy",
    "FastDiffError",
    "Result",
    "StoreLockedError",
    "StoreMismatchError",
    "UsageError",
    "__version__",
    "evaluate",
    "find_duplicates",
    "onnx_encoder",
    "pairwise_mse",
    "upload_package",
]

# Dask, Zarr and pandas take a second to import, and `fastdiff-dask --help` needs none of them.
_HOMES = {
    "Cluster": "results.clusters",
    "Estimate": "stages.estimate",
    "Evaluation": "evaluation.scores",
    "FastDifPy": "compat.fast_diff_py",
    "Result": "results.result",
    "evaluate": "evaluation.scores",
    "find_duplicates": "project.find",
    "onnx_encoder": "vectors.onnx_encoder",
    "pairwise_mse": "stages.pairwise",
    "upload_package": "runtime.workers",
}


if not TYPE_CHECKING:  # for whom a wrong name would be a right one

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
