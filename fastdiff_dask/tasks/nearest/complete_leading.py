"""Make a file of leading values from the signatures of some blocks, and commit it."""

import contextlib

from ...errors import FastDiffError
from ...storage.derived.leading_files import LeadingFiles
from ...storage.store import Store

__all__ = ["complete_leading"]


def complete_leading(url: str, span: range, run: str) -> None:
    """Make the file of a span of blocks; if that fails, the first lookup makes it. Memory: 110 MB.

    Parameters
    ----------
    url
        The store.
    span
        Numbers of the blocks, see `LeadingFiles.spans`.
    run
        Number of the run.
    """
    with contextlib.suppress(FastDiffError, OSError):
        LeadingFiles(Store(url, run)).complete(span)
