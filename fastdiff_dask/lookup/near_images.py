"""The images of a store that are nearest to some thumbnails, exactly: leading values, signatures, thumbnails."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.bounds import listed_limit, search_radius
from ..kernels.nearest.leading import bounds_of, bounds_reach, leading_rows, mirrored_rows
from ..kernels.signatures import as_mirrored, signature_length, signatures
from ..kernels.squared_errors import transformed_squared_errors
from ..storage.derived.leading_files import LeadingFiles, LeadingPart
from ..storage.store import Store

__all__ = ["Near", "NearImages"]

# Pictures that are compared with the leading values at the same time.
_PICTURES = 16
# Images that are near by leading values, from which the nearest ones are looked at first, to need fewer of the others;
# and how many of these, at least.
_MANY, _FIRST = 512, 64
# Images whose signatures, and whose thumbnails, are read at once.
_SIGNATURES, _THUMBNAILS = 1 << 13, 1 << 9


class Near(NamedTuple):
    """The nearest images of a picture, nearest first, and of equally near ones that of the lower number.

    Attributes
    ----------
    numbers
        (k,) int64: numbers of the images.
    errors
        (k,) int64: sums of squared errors, lowest over the transforms of the picture.
    masks
        (k,) uint8: bit masks of the transforms that reach it.
    """

    numbers: NDArray[np.int64]
    errors: NDArray[np.int64]
    masks: NDArray[np.uint8]

    @classmethod
    def none(cls) -> "Near":
        """No images."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))

    def at(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> "Near":
        """Some of the images."""
        return Near(self.numbers[places], self.errors[places], self.masks[places])

    def joined(self, other: "Near", most: int) -> "Near":
        """The nearest of these and others."""
        both = Near(
            np.concatenate([self.numbers, other.numbers]),
            np.concatenate([self.errors, other.errors]),
            np.concatenate([self.masks, other.masks]),
        )
        return both.at(np.lexsort((both.numbers, both.errors))[:most])


class NearImages:
    """The images of a store, to find those that are near some pictures.

    Memory: 68 bytes an image.

    Parameters
    ----------
    store
        The store; its thumbnails are there as far as it was read.
    transforms
        Numbers of the transforms of a picture that count.
    mirror
        True if there are mirror images among these.
    """

    def __init__(self, store: Store, transforms: tuple[int, ...], mirror: bool) -> None:
        self._store, self._transforms, self._mirror = store, transforms, mirror
        self._shape = store.thumbnail_settings.shape
        self._parts: list[LeadingPart] | None = None

    def nearest(self, thumbnails: NDArray[np.uint8], k: int, limit: int | None = None) -> list[Near]:
        """Find the images nearest to each of some pictures; vanished images count as well.

        Parameters
        ----------
        thumbnails
            (n, h, w, c) uint8: the pictures, made as the thumbnails of the store are.
        k
            Images to find for each, at most.
        limit
            Largest sum of squared errors; None finds the nearest ones however far they are.

        Returns
        -------
        The nearest images of each.
        """
        found: list[Near] = []
        for start in range(0, len(thumbnails), _PICTURES):
            found += self._nearest(thumbnails[start : start + _PICTURES], k, limit)
        return found

    def _nearest(self, thumbnails: NDArray[np.uint8], k: int, limit: int | None) -> list[Near]:
        signed = signatures(thumbnails)
        leading = self._as_compared(leading_rows(signed, np.ones(len(signed), bool)))
        if self._mirror:
            signed = as_mirrored(signed, *self._shape)
        searches = [_Search(self, *one, k, limit) for one in zip(thumbnails, signed, strict=True)]
        for part in self._leading():
            for search, bounds in zip(searches, bounds_of(part.rows, leading), strict=True):
                search.look_at(part.first, bounds)
        return [search.best for search in searches]

    def _leading(self) -> Iterator[LeadingPart]:
        """Leading values of all images; read when they are first asked for."""
        if self._parts is not None:
            yield from self._parts
            return
        parts = []
        for part in LeadingFiles(self._store).parts():
            parts.append(part._replace(rows=self._as_compared(part.rows)))
            yield parts[-1]
        self._parts = parts

    def _as_compared(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return mirrored_rows(rows, self._shape) if self._mirror else rows

    def distances(self, signature: NDArray[np.float32], numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Squared distances of a signature from those of some images, as `bounds.listed_limit` has them: (n,)."""
        rows = self._store.arrays.signature_rows(numbers)
        differences = (as_mirrored(rows, *self._shape) if self._mirror else rows) - signature
        return np.vecdot(differences, differences)

    def errors(self, thumbnail: NDArray[np.uint8], numbers: NDArray[np.int64]) -> Near:
        """Compare a picture with the thumbnails of some images."""
        rows = self._store.arrays.thumbnail_rows(numbers)
        errors, masks = transformed_squared_errors(thumbnail[None], rows, self._transforms)
        return Near(numbers, errors[0], masks[0])

    def reach(self, limit: int | None) -> tuple[float, float]:
        """Largest bound by leading values, and by signatures, of images with such a sum of squared errors."""
        if limit is None:
            return math.inf, math.inf
        radius = search_radius(limit, self._shape)
        return bounds_reach(radius, self._shape), listed_limit(radius, signature_length(*self._shape))


class _Search:
    """The search for the images nearest to one picture, part by part: the radius shrinks with what is found."""

    def __init__(
        self,
        images: NearImages,
        thumbnail: NDArray[np.uint8],
        signature: NDArray[np.float32],
        k: int,
        limit: int | None,
    ) -> None:
        self._images, self._thumbnail, self._signature, self._k, self._limit = images, thumbnail, signature, k, limit
        self.best = Near.none()

    def look_at(self, first: int, bounds: NDArray[np.float32]) -> None:
        """Look at consecutive images, by the number of the first one and the bounds of all, NaN where there is none.

        Those of a part have higher numbers than those of the parts before.
        """
        if len(self.best.numbers) == self._k and not self.best.errors[-1]:
            return  # equally near ones have lower numbers
        reach, _ = self._images.reach(self._limit)
        places = np.flatnonzero(bounds <= reach)
        if len(places) > _MANY:
            few = min(max(_FIRST, 4 * self._k), len(places) - 1)
            order = np.argpartition(bounds[places], few)
            near, places = places[order[:few]], places[order[few:]]
            self._compare(near + first)
            reach, _ = self._images.reach(self._limit)
            places = np.sort(places[bounds[places] <= reach])
        self._compare(places + first)

    def _compare(self, numbers: NDArray[np.int64]) -> None:
        for start in range(0, len(numbers), _SIGNATURES):
            some = numbers[start : start + _SIGNATURES]
            distances = self._images.distances(self._signature, some)
            order = np.argsort(distances, kind="stable")
            for begin in range(0, len(some), _THUMBNAILS):
                places = order[begin : begin + _THUMBNAILS]
                _, reach = self._images.reach(self._limit)
                places = places[distances[places] <= reach]
                if not len(places):
                    break
                self._add(self._images.errors(self._thumbnail, some[places]))

    def _add(self, found: Near) -> None:
        if self._limit is not None:
            found = found.at(found.errors <= self._limit)
        self.best = self.best.joined(found, self._k)
        if len(self.best.numbers) == self._k:
            self._limit = int(self.best.errors[-1])
