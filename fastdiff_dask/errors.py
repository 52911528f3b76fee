"""Exceptions that callers may catch. Each message is one line: the fault, and the remedy."""

__all__ = ["FastDiffError", "StoreLockedError", "StoreMismatchError", "UsageError"]


class FastDiffError(Exception):
    """The job cannot go on. Finished work stays in the store (exit code 1 of the command line)."""


class UsageError(FastDiffError, ValueError):
    """A setting or a path cannot be used, and nothing was computed (exit code 2 of the command line)."""


class StoreMismatchError(UsageError):
    """The store was made by another format or with other settings."""


class StoreLockedError(FastDiffError):
    """Another process is writing to the store."""
