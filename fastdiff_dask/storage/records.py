"""The small JSON files of a store: the last index run, settings, the last result shown, decisions of people."""

import contextlib
import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..config import CompareSettings
from ..errors import FastDiffError
from .files import Files
from .schema import DECISIONS, INDEX, SETTINGS, SHOWN
from .validation import check_index

__all__ = ["Records", "Shown"]

# A larger file has no settings.
_LARGEST_SETTINGS = 1 << 22


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


class Shown(NamedTuple):
    """A result that was shown.

    Attributes
    ----------
    settings
        The measure, the options, and the threshold of the result.
    at
        Time at which it was shown, in UTC.
    verdicts
        Numbers of its pairs by verdict; empty if they are not known.
    """

    settings: CompareSettings
    at: datetime
    verdicts: dict[str, int]


class Records:
    """The JSON files of a store.

    Parameters
    ----------
    files
        The files of the store.
    roots
        Its folders, by side.
    """

    def __init__(self, files: Files, roots: dict[str, list[str]]) -> None:
        self._files, self._roots = files, roots

    def has_index(self) -> bool:
        """Tell whether an index run came to its end."""
        return INDEX in self._files.names()

    def read_index(self) -> dict[str, Any]:
        """Read the files that the last index run left out.

        Returns
        -------
        JSON values. Under "ignored" the number of files by rule; under "links" other names of listed files, see
        `walk_local.Link`. Both are empty if no index run came to its end.

        Raises
        ------
        FastDiffError
            If the record is damaged.
        """
        try:
            content = self._files.read(INDEX)
        except FileNotFoundError:
            return {"ignored": {}, "links": []}
        with self._files.reading(INDEX):
            return check_index(json.loads(content), self._roots)

    def write_index(self, index: dict[str, Any]) -> None:
        """Record the files that an index run left out, if they are not recorded so already."""
        with contextlib.suppress(FastDiffError):  # a damaged record is replaced
            if self.read_index() == index and self.has_index():
                return
        self._files.write(INDEX, json.dumps(index).encode())

    def read_settings(self) -> dict[str, Any]:
        """Read the settings of the last run as JSON values, unchecked; none if they are not recorded.

        Raises
        ------
        FastDiffError
            If the record is damaged.
        """
        try:
            content = self._files.read(SETTINGS, _LARGEST_SETTINGS + 1)
        except FileNotFoundError:
            return {}
        with self._files.reading(SETTINGS):
            if len(content) > _LARGEST_SETTINGS:
                raise ValueError("it is too large")
            return dict(json.loads(content))

    def write_settings(self, values: dict[str, Any]) -> None:
        """Record the settings of a run, if they are not recorded so already."""
        with contextlib.suppress(FastDiffError):  # a damaged record is replaced
            if self.read_settings() == values:
                return
        self._files.write(SETTINGS, json.dumps(values).encode())

    def read_shown(self) -> Shown | None:
        """Read the settings of the result that was shown last; None if that is not recorded, or damaged."""
        try:
            values = json.loads(self._files.read(SHOWN, _LARGEST_SETTINGS))
            at = datetime.fromisoformat(values["at"]).astimezone(UTC)
            counts = {str(name): int(number) for name, number in values.get("verdicts", {}).items()}
            return Shown(CompareSettings.from_json(values["settings"]), at, counts)
        except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError, RecursionError, AttributeError):
            return None

    def write_shown(self, settings: CompareSettings, verdicts: dict[str, int]) -> None:
        """Record that a result with so many pairs by verdict is shown now."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        values = {"at": at, "settings": settings.to_json(), "verdicts": verdicts}
        self._files.write(SHOWN, json.dumps(values).encode())

    def read_not_duplicates(self) -> list[tuple[str, str]]:
        """Read the pairs of contents that people said are no duplicates, sorted: SHA-256 of both files.

        Raises
        ------
        FastDiffError
            If the record is damaged.
        """
        try:
            content = self._files.read(DECISIONS)
        except FileNotFoundError:
            return []
        with self._files.reading(DECISIONS):
            pairs = [tuple(pair) for pair in json.loads(content)["not_duplicates"]]
            for a, b in pairs:
                if not (_is_digest(a) and _is_digest(b) and a <= b):
                    raise ValueError("its pairs are no pairs of digests")
            return sorted(set(pairs))

    def write_not_duplicates(self, pairs: list[tuple[str, str]]) -> None:
        """Record pairs as `read_not_duplicates` gives them."""
        self._files.write(DECISIONS, json.dumps({"not_duplicates": pairs}).encode())
