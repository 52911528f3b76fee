"""Find duplicate and similar images by comparing all with all, exactly: on Dask, resumable."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import FastDiffError, StoreLockedError, StoreMismatchError, UsageError

if TYPE_CHECKING:
    from .clusters import Cluster
    from .estimate import Estimate
    from .finding import find_duplicates
    from .pairwise import pairwise_mse
    from .project import FastDifPy
    from .results import Result
    from .workers import upload_package

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

__version__ = "0.1.0"

# Dask, Zarr and pandas take a second to import, and `fastdiff-dask --help` needs none of them.
_HOMES = {
    "Cluster": "clusters",
    "Estimate": "estimate",
    "FastDifPy": "project",
    "Result": "results",
    "find_duplicates": "finding",
    "pairwise_mse": "pairwise",
    "upload_package": "workers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
