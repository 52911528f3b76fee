"""File systems and spellings: where numbers tell files apart, and where they do not."""

import os
import re
import unicodedata
from pathlib import Path

__all__ = ["NUMBERED", "folded_name", "type_of_mount"]

# File systems of one machine whose inode numbers are those on the disk: two numbers are two files.
NUMBERED = frozenset(("apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "hfs", "hfsplus", "jfs", "nilfs2"))
NUMBERED |= {"ntfs3", "ramfs", "reiserfs", "tmpfs", "udf", "ufs", "xfs", "zfs"}
_MOUNTS = Path("/proc/self/mountinfo")


def folded_name(name: str) -> str:
    r"""Give a name in the form that all its spellings share, whatever a file system takes for equal.

    Examples
    --------
    >>> folded_name("\u00c9.JPG") == folded_name("e\u0301.jpg")
    True
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def type_of_mount(path: Path) -> str:
    """Name the type of the file system of a path; empty if this system does not tell."""
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    around = os.path.realpath(path.parent)
    best, found = "", ""
    for line in lines:
        mount, _, system = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mount.split(" ")[4])
        # of two mounts on one point, the later one is seen
        if len(point) >= len(best) and (around + "/").startswith(point.rstrip("/") + "/"):
            best, found = point, system.split(" ")[0]
    return found
