"""The small JSON files of a store: settings, decisions."""

import contextlib
import json
import re
from typing import Any

from ..errors import FastDiffError
from .files import Files
from .validation import check_index

__all__ = ["DECISIONS", "SETTINGS", "Records"]

SETTINGS, DECISIONS = "settings.json", "decisions.json"
# More than that are no settings.
_LARGEST_SETTINGS = 1 << 22


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


class Records:
    """The small JSON files of a store.

    Parameters
    ----------
    files
        Files of the store.
    roots
        Folders of the store by side, which other names of files must be below.
    """

    def __init__(self, files: Files, roots: dict[str, list[str]]) -> None:
        self._files, self._roots = files, roots

    def read_index(self) -> dict[str, Any]:
        """What the last index run left out, as JSON values.

        Under "ignored" the number of files by rule; under "links" other names of listed files, see `walk_local.Link`.
        Both are empty if no index run came to its end.

        Raises
        ------
        FastDiffError
            If it is damaged.
        """
        try:
            content = self._files.read("index.json")
        except FileNotFoundError:
            return {"ignored": {}, "links": []}
        with self._files.reading("index.json"):
            return check_index(json.loads(content), self._roots)

    def write_index(self, index: dict[str, Any]) -> None:
        """Record what an index run left out, if it is not recorded so already."""
        with contextlib.suppress(FastDiffError):  # what is damaged is replaced
            if self.read_index() == index and "index.json" in self._files.names():
                return
        self._files.write("index.json", json.dumps(index).encode())

    def read_settings(self) -> dict[str, Any]:
        """What the last run was asked for, as JSON values, see `write_settings`; empty if that is not recorded.

        Raises
        ------
        FastDiffError
            If it is damaged. The values are not checked here.
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
        """Record what a run is asked for, if it is not recorded so already."""
        with contextlib.suppress(FastDiffError):  # what is damaged is replaced
            if self.read_settings() == values:
                return
        self._files.write(SETTINGS, json.dumps(values).encode())

    def read_not_duplicates(self) -> list[tuple[str, str]]:
        """Pairs of contents that people said are no duplicates, sorted: SHA-256 of both files.

        Raises
        ------
        FastDiffError
            If that is damaged.
        """
        try:
            content = self._files.read(DECISIONS)
        except FileNotFoundError:
            return []
        with self._files.reading(DECISIONS):
            pairs = [tuple(pair) for pair in json.loads(content)["not_duplicates"]]
            for a, b in pairs:
                if not (_is_digest(a) and _is_digest(b) and a <= b):
                    raise ValueError("what it has are no pairs of digests")
            return sorted(set(pairs))

    def write_not_duplicates(self, pairs: list[tuple[str, str]]) -> None:
        """Record what `read_not_duplicates` gives."""
        self._files.write(DECISIONS, json.dumps({"not_duplicates": pairs}).encode())
