"""The answer to a lookup: what an archive has of a picture, as a table, as JSON, and as pictures in a notebook."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..config import SAME_FILE, SAME_PICTURE, SAME_PIXELS, VERDICT_NAMES
from ..images.display import GroupToShow, facts_html, gallery_html
from ..kernels.transforms import Transform
from ..text import counted, printable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Found", "Lookup", "Match"]

# Verdicts of images that are copies of a picture.
_COPIES = tuple(VERDICT_NAMES[code] for code in (SAME_FILE, SAME_PIXELS, SAME_PICTURE))
_COLUMNS = ("file", "rank", "path", "verdict", "mse", "rotation", "mirrored", "image", "itself", "lacks", "error")
# Pictures that a notebook shows.
_SHOWN = 24


@dataclass(frozen=True)
class Match:
    """An image of a store that is like a picture.

    Attributes
    ----------
    path
        Its path.
    verdict
        What a look at both files found: "same file" (byte for byte), "same pixels", "same picture", "similar", or "not
        looked at" if the file of the image is not as it was indexed.
    mse
        The exact MSE of the thumbnails, lowest over the turns of the picture.
    rotation, mirrored
        Degrees counter-clockwise by which the picture is turned to be like the image; True if it is mirrored before.
    image
        Number of the image in the store, as in `images`.
    itself
        True if the picture that was looked up is this very file, by this or another name.
    lacks
        What the picture has and the image lacks, or may have otherwise, such as "more pixels", "raw data",
        "transparency"; only of copies.
    """

    path: str
    verdict: str
    mse: float
    rotation: int
    mirrored: bool
    image: int
    itself: bool = False
    lacks: tuple[str, ...] = ()

    @property
    def is_copy(self) -> bool:
        """True if the image was proved to be the same picture."""
        return self.verdict in _COPIES

    @property
    def lies(self) -> str:
        """Say how the image lies against the picture; empty if it lies the same way."""
        return Transform.of(self.rotation, self.mirrored).words


@dataclass(frozen=True)
class Found:
    """The answer for one picture: the images of the archive that are like it.

    Attributes
    ----------
    file
        The picture: its path, or a name for an array.
    matches
        The most similar images: copies first, by certainty, then by MSE.
    error
        Reason why the picture could not be read, in one line; else empty.
    """

    file: str
    matches: tuple[Match, ...] = ()
    error: str = ""

    @property
    def is_there(self) -> bool:
        """True if the archive has the picture: another file that was proved to be the same picture, and lacks nothing.

        Never true of a file of the archive: of two copies in it, each would be there because of the other.
        """
        return not self.is_itself and any(match.is_copy and not match.lacks for match in self.matches)

    @property
    def is_itself(self) -> bool:
        """True if the picture is a file of the archive itself."""
        return any(match.itself for match in self.matches)

    @property
    def answer(self) -> str:
        """The answer in words."""
        if self.error:
            return "not looked up"
        if self.is_there:
            return "in the archive"
        if self.is_itself:
            return "a file of the archive itself"
        if any(match.is_copy for match in self.matches):
            return "not in the archive with all that it has"
        return "not in the archive, similar images are" if self.matches else "not in the archive"

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return {
            "file": self.file,
            "in_archive": None if self.error else self.is_there,
            "error": self.error or None,
            "images": [asdict(match) for match in self.matches],
        }


class Lookup:
    """The answers to a lookup, one for each picture; a notebook shows pictures, and a table.

    Parameters
    ----------
    found
        The answers.
    """

    def __init__(self, found: list[Found]) -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, place: int) -> Found:
        return self._found[place]

    def __iter__(self) -> Iterator[Found]:
        return iter(self._found)

    def __repr__(self) -> str:
        there, errors = sum(one.is_there for one in self), sum(bool(one.error) for one in self)
        texts = [counted(len(self), "picture"), f"{there:,} in the archive"]
        return f"Lookup of {', '.join(texts + ([f'{errors:,} not read'] if errors else []))}"

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """The answers as a table.

        A row an image: file, rank (from 1), path, verdict, mse, rotation, mirrored, image, itself, lacks, error. A
        picture without an image has one row with rank 0.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for one in self:
            for rank, match in enumerate(one.matches, 1):
                row = {"file": one.file, "rank": rank, **asdict(match)}
                rows.append(row | {"lacks": ", ".join(match.lacks)})
            if not one.matches:
                rows.append({"file": one.file, "rank": 0, "error": one.error or None})
        frame = pd.DataFrame(rows, columns=list(_COLUMNS))
        return frame.astype({"rank": "int64", "mse": "float64", "rotation": "Int64", "image": "Int64"}).astype(
            {"mirrored": "boolean", "itself": "boolean"}
        )

    def _repr_html_(self) -> str:
        groups = [_shown(one) for one in self._found[:_SHOWN]]
        lines = [repr(self)] + ([f"the first {_SHOWN} are shown"] if len(self) > _SHOWN else [])
        pictures = gallery_html(groups, lines) if groups else facts_html(lines)
        table = str(self.frame._repr_html_() or "")
        return f"{pictures}<details><summary>table</summary>{table}</details>"


def _shown(one: Found) -> GroupToShow:
    paths = [one.file, *(match.path for match in one.matches)] if os.path.exists(one.file) else []  # noqa: PTH110
    notes = ["looked up"] if paths else []
    if not paths:  # an array
        paths = [match.path for match in one.matches]
    notes += [f"{match.verdict}, difference (MSE) {match.mse:.4g}" for match in one.matches]
    return GroupToShow(paths, notes=notes, title=f"{printable(one.file)}: {printable(one.error) or one.answer}")
