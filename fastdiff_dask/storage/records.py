"""The small JSON files of a store: settings, decisions."""

import re

__all__ = ["DECISIONS", "LARGEST_SETTINGS", "SETTINGS", "is_digest"]

SETTINGS, DECISIONS = "settings.json", "decisions.json"
# More than that are no settings.
LARGEST_SETTINGS = 1 << 22


def is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
