"""The exceptions that callers may catch. Each message is one line: what was found, and what to do about it."""

__all__ = ["FastDiffError", "StoreLockedError", "StoreMismatchError", "UsageError"]


class FastDiffError(Exception):
    """The job cannot go on; what is finished is kept (exit code 1 of the command line)."""


class UsageError(FastDiffError, ValueError):
    """A setting or a path that cannot be used; nothing was computed (exit code 2 of the command line)."""


class StoreMismatchError(UsageError):
    """The store was made by another format or with other settings."""


class StoreLockedError(FastDiffError):
    """Another process is writing to the store."""
