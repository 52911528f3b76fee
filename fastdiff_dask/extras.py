"""Optional dependencies: a missing one is named, with the command that installs it."""

from .errors import UsageError

__all__ = ["need"]


def need(module: str, package: str, extra: str) -> None:
    """Refuse to go on without a package, and name the command that installs it.

    Raises
    ------
    UsageError
        If the module cannot be imported.
    """
    try:
        __import__(module)
    except ImportError:
        raise UsageError(f"{package} is not installed; install it with: pip install 'fastdiff_dask[{extra}]'") from None
