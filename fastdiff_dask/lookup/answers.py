"""The answers for files that come one after the other, from an archive that may grow meanwhile."""

from collections.abc import Iterator

from ..errors import FastDiffError
from ..images.decode import changed_record
from ..text import one_line
from .archive import Archive
from .found import Found
from .watch import FolderWatch

__all__ = ["answers"]

# Files that are looked up together.
_TOGETHER = 16


def answers(archive: Archive, watch: FolderWatch) -> Iterator[Found | None]:
    """Look up each new file, by the archive as it is then; does not end.

    Parameters
    ----------
    archive, watch
        Where to look, and what for.

    Yields
    ------
    Found or None
        The answer for a file; None now and then if there is nothing new. If the store cannot be read, its files have
        that as an error, and later ones are looked up again.
    """
    for files in watch.new_files(_TOGETHER):
        if not files:
            yield None
            continue
        try:
            archive.refresh()
            found = list(archive.look_up(files))
        except (FastDiffError, OSError) as error:
            found = [Found(file, error=one_line(error, kind=isinstance(error, OSError))) for file in files]
        for one in found:
            if one.error == changed_record().error:
                watch.again(one.file)
            else:
                yield one
