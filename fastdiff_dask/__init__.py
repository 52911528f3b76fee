"""Find duplicate and similar images by comparing all with all, exactly: on Dask, resumable."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import FastDiffError, StoreLockedError, StoreMismatchError, UsageError

if TYPE_CHECKING:
    from .project.find import find_duplicates
    from .compat.fast_diff_py import FastDifPy
    from .results.clusters import Cluster
    from .results.result import Result
    from .runtime.workers import upload_package
    from .stages.estimate import Estimate
    from .stages.pairwise import pairwise_mse

__all__ = [
    "Cluster",
    "Estimate",
    "FastDifPy",
    "FastDiffError",
    "Result",
    "StoreLockedError",
    "StoreMismatchError",
    "UsageError",
    "__version__",
    "find_duplicates",
    "pairwise_mse",
    "upload_package",
]

# Dask, Zarr and pandas take a second to import, and `fastdiff-dask --help` needs none of them.
_HOMES = {
    "Cluster": "results.clusters",
    "Estimate": "stages.estimate",
    "FastDifPy": "compat.fast_diff_py",
    "Result": "results.result",
    "find_duplicates": "project.find",
    "pairwise_mse": "stages.pairwise",
    "upload_package": "runtime.workers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
