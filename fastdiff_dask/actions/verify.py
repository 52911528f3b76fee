"""Verification of a removal: both images are read and compared once more, right before one of them goes."""

import contextlib
import filecmp
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..config import DEFAULT_THRESHOLDS, EDITED_COPY, CompareSettings
from ..images.contents import NEVER_GIVEN_UP, lacking
from ..images.decode import ImageRecord
from ..images.decoder_pool import reader
from ..images.decoder_process import ListedFile, Request
from ..images.exif_merge import NotMergedError, merged
from ..kernels.measures import apply_measure, resolve_measure
from ..kernels.similarity import similar_pairs, similarity_limit
from ..kernels.transforms import available_transforms
from ..results.values import PairValue
from ..storage.store import Store
from .choice import Chosen
from .disk import place_of, replace_content
from .files.file_moves import check_removal
from .history import History
from .journal import Record
from .removals import Removal, Seen, StaysError

__all__ = ["Verifier"]


class Verifier:
    """Reads the two images of each removal again and compares them.

    Parameters
    ----------
    store
        The store.
    removals
        The removals, each with its entry in the removal plan.
    settings
        The settings of the comparison.
    keep_metadata
        True to copy the date and the geographic place from a removed JPEG file into the kept file.
    give_up
        Parts that a removed file may have and the kept one lacks; None for any.
    """

    def __init__(
        self,
        store: Store,
        removals: "dict[Removal, Chosen]",
        settings: CompareSettings,
        keep_metadata: bool,
        give_up: frozenset[str] | None = None,
    ) -> None:
        self._store, self._settings, self._keep_metadata, self._give_up = store, settings, keep_metadata, give_up
        # the key is the path alone: size and time of a kept file change when a date is copied into it
        self._chosen = {removal.file.path: one for removal, one in removals.items()}
        self._removals, self._kept = list(removals), dict[int, Seen]()
        self.history, self.record = History([]), Record("")
        # number of each kept image whose file has changed → SHA-256 of the file before
        self.changed: dict[int, str] = {}
        numbers = sorted({number for one in removals.values() for number in (one.image, one.kept_image)})
        found = store.image_rows(np.array(numbers, np.int64), ["content_hash"]).content_hash
        self._hashes = dict(zip(numbers, found.tolist(), strict=True))

    def digests(self, removal: Removal) -> tuple[str, str]:
        """Give the SHA-256 of both files, which `verify` has just confirmed."""
        one = self._chosen.get(removal.file.path)
        if one is None:  # a sidecar
            return "", ""
        return self._hashes[one.image], self._hashes[one.kept_image]

    def why(self, removal: Removal) -> str:
        """Give the reason why a file goes; empty for a sidecar."""
        one = self._chosen.get(removal.file.path)
        return "" if one is None else one.why

    def as_it_is_now(self, removal: Removal) -> Removal:
        """Give a removal with the present state of the kept file, into which a date may have been copied."""
        return removal._replace(kept=self._kept.get(self._chosen[removal.file.path].kept_image, removal.kept))

    def verify(self, removal: Removal) -> Removal:
        """Check that both files are unchanged and similar; give the removal with the present state of the kept file.

        Raises
        ------
        StaysError
            If the file must stay.
        """
        one = self._chosen[removal.file.path]
        removal = self.as_it_is_now(removal)
        check_removal(removal)
        place, kept = (place_of(seen.path) for seen in removal)
        if self.history.is_aside(kept):
            raise StaysError(
                f"the file to keep, {removal.kept.path}, lies in a trash, or where such files are moved to"
            )
        if self.history.is_aside(place):
            raise StaysError("it lies in a trash, or where such files are moved to")
        mine, other = self.digests(removal)
        reason = self.history.is_target(place)
        if reason is None and mine != other:
            reason = self.history.why_needed(place, mine)
        if reason is not None:
            raise StaysError(reason)
        if self._settings.of_files:
            self._check_equal(removal, one)
            return removal
        thumbnails, parts = [], []
        for seen, number in zip(removal, (one.image, one.kept_image), strict=True):
            name = "it" if number == one.image else f"the file to keep, {one.kept},"
            record, thumbnail = self._read(seen, name)
            if record.content_hash != self._hashes[number]:
                raise StaysError(f"{name} has changed since it was compared")
            thumbnails.append(thumbnail)
            parts.append(frozenset(record.extras.split(", ")) - {""})
        # stores of earlier versions do not know the parts of a file
        lacks = frozenset[str]() if mine == other else lacking(*parts)
        lacks = lacks & NEVER_GIVEN_UP if self._give_up is None else lacks - (self._give_up - NEVER_GIVEN_UP)
        if lacks:
            raise StaysError(f"it has what {one.kept} lacks: {', '.join(sorted(lacks))}")
        # both contents are as they were when the pictures were looked at, so that an edited copy is one still
        if one.verdict != EDITED_COPY and not self._is_similar(*thumbnails):
            raise StaysError(f"it is not similar to {one.kept} when both are read now")
        return self._merge(removal, one, thumbnails[1]) if self._keep_metadata else removal

    def _check_equal(self, removal: Removal, one: Chosen) -> None:
        """Compare two files byte for byte, and their content with the one that was compared; none is decoded."""
        digests = []
        for seen, number in zip(removal, (one.image, one.kept_image), strict=True):
            with Path(seen.path).open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
            if digests[-1] != self._hashes[number]:
                name = "it" if number == one.image else f"the file to keep, {one.kept},"
                raise StaysError(f"{name} has changed since it was compared")
        if digests[0] != digests[1] or not filecmp.cmp(removal.file.path, removal.kept.path, shallow=False):
            raise StaysError(f"it is not equal to {one.kept}")

    def merge_all(self) -> None:
        """Copy all dates and places before the first link is made: a link keeps the content that its file has then."""
        for removal in self._removals if self._keep_metadata else ():
            with contextlib.suppress(StaysError, OSError):  # the later outcome of this removal names the reason
                self.verify(removal)

    def _read(self, seen: Seen, name: str) -> tuple[ImageRecord, Any]:
        """Read the record and the thumbnail (1, h, w, 3) of a file."""
        record, content = self._decoded(ListedFile(os.fsencode(seen.path), seen.size, seen.mtime_ns))
        if record.error:
            raise StaysError(f"{name} cannot be read now ({record.error})")
        return record, np.frombuffer(content, np.uint8).reshape(1, *self._store.thumbnail_settings.shape)

    def _decoded(self, listed: ListedFile) -> tuple[ImageRecord, bytes]:
        """Decode a file, or bytes in memory, as the store does; give the metadata and the bytes of the thumbnail."""
        made = self._store.thumbnail_settings
        request = Request([listed], made.width, made.height, made.exact_decode, 2**62, 0.0, ahead=0, at_once=1)
        with reader() as decoder:
            (answer,) = decoder.read(request)
        (record,) = answer.records
        return record, bytes(answer.thumbnails)

    def _merge(self, removal: Removal, one: Chosen, thumbnail: Any) -> Removal:
        """Copy date and place into the file to keep, or raise `StaysError`: then the other file stays."""
        kept = removal.kept
        before = Path(kept.path).read_bytes()
        if hashlib.sha256(before).hexdigest() != self._hashes[one.kept_image]:
            raise StaysError(f"the file to keep, {one.kept}, has changed since it was compared")
        why_not = f"its date or place is not in {one.kept} and cannot be copied:"
        try:
            content = merged(before, Path(removal.file.path).read_bytes())
        except NotMergedError as error:
            raise StaysError(f"{why_not} it {error}") from None
        if content is None:
            return removal
        if one.kept_is_protected:
            raise StaysError(f"{why_not} it is in a protected folder")
        if self.history.is_linked(place_of(kept.path)):
            raise StaysError(f"{why_not} another image was replaced by a link to it, and has to come back as it was")
        record, picture = self._decoded(ListedFile(b"", len(content), 0, content))
        if record.error or picture != thumbnail.tobytes():
            raise StaysError(f"{why_not} its picture would change")
        if not os.access(os.path.dirname(removal.file.path), os.W_OK | os.X_OK):  # noqa: PTH120
            raise StaysError("its folder cannot be written")
        after = hashlib.sha256(content).hexdigest()
        try:
            self.record.add("metadata", kept.path, before=self._hashes[one.kept_image], sha256=after)
            self._kept[one.kept_image] = replace_content(kept, content)
        except StaysError as error:
            self.record.add("stay", kept.path, reason=str(error))
            check_removal(removal)
            raise StaysError(f"{why_not} {error}") from None
        self.changed.setdefault(one.kept_image, self._hashes[one.kept_image])
        self._hashes[one.kept_image] = after
        return removal._replace(kept=self._kept[one.kept_image])

    def remember(self) -> None:
        """Record the files with changed content in the store, which is locked for writing.

        The pictures in these files are unchanged: nothing needs to be read or compared again, and decisions still hold.
        """
        store, size = self._store, self._store.thumbnail_settings.block_size
        for block in sorted({number // size for number in self._kept}):
            frame = store.read_partition(block)
            for number, seen in self._kept.items():
                if number // size == block:
                    row = frame.index[frame.image == number][0]
                    values = [seen.size, seen.mtime_ns, self._hashes[number]]
                    frame.loc[row, ["size", "mtime_ns", "content_hash"]] = values
            store.write_partition(block, frame)
        new = {before: self._hashes[number] for number, before in self.changed.items()}
        pairs = store.records.read_not_duplicates()
        more = [(new.get(a, a), new.get(b, b)) for a, b in pairs if a in new or b in new]
        if more:
            store.records.write_not_duplicates(sorted({*pairs, *((min(pair), max(pair)) for pair in more)}))

    def _is_similar(self, a: Any, b: Any) -> bool:
        """Compare two thumbnails once more, by the measure and the threshold of the comparison."""
        value = PairValue(self._settings, self._store.thumbnail_settings)
        height, width, _ = a.shape[1:]
        transforms = available_transforms(
            height, width, rotations=self._settings.rotations, mirror=self._settings.mirror
        )
        if self._settings.by_signatures:
            limit = similarity_limit(self._settings, height, width)
            return bool(len(similar_pairs(a, b, limit=limit, transforms=transforms)))
        known = self._settings.measure in DEFAULT_THRESHOLDS and not self._settings.vectors
        measure = resolve_measure(self._settings.measure) if known else None
        if measure is not None:
            values, _ = apply_measure(measure, a, b, transforms)
            stored = values.view(np.int64)
        else:
            # neither functions nor vectors are at hand; both contents are as compared, so the pair is similar still
            return True
        return bool(value.similar(stored)[0, 0])
