"""Vectors for tests: of all kinds that floats can be, with pairs near each other; and tiles of them."""

import numpy as np

from fastdiff_dask.vectors.directions import Projection
from fastdiff_dask.vectors.metrics import usable
from fastdiff_dask.vectors.search import VectorSide

FLOATS = ["float16", "float32", "float64"]
DTYPES = [*FLOATS, "uint8", "int8"]
KINDS = ["normal", "clusters", "huge", "tiny", "subnormal", "mixed", "sparse", "few", "equal", "wide", "far"]


def make_vectors(rng, metric, kind, count, length, dtype):
    """Vectors (n, length), n ≤ count, that are usable, of a kind."""
    if np.dtype(dtype).kind != "f":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max + 1
        values = rng.integers(low, high, (count, length)) if kind != "few" else rng.integers(0, 2, (count, length))
        values = values.astype(dtype)
    else:
        top = np.finfo(dtype).maxexp
        values = rng.standard_normal((count, length))
        if kind in ("clusters", "few"):
            centres = rng.standard_normal((max(1, count // 5), length))
            values = centres[rng.integers(0, len(centres), count)] + values * 10.0 ** rng.uniform(-9, -0.5, (count, 1))
        if kind == "mixed":
            values = np.ldexp(values, rng.integers(6 - top, top - 8, (count, 1)))
        elif kind == "sparse":
            values = values * (rng.random(values.shape) < 0.1)
        elif kind == "equal":
            values = values[rng.integers(0, min(3, count), count)]
        elif kind == "wide":
            values = np.ldexp(values, rng.integers(-40, 1, (1, length)) if dtype != "float16" else 0)
        elif kind == "far":
            values += 300 * rng.standard_normal(length)
        else:
            values = np.ldexp(values, {"huge": top - 9, "tiny": 4 - top, "subnormal": -top - 4}.get(kind, 0))
        values = values.astype(dtype)
    return values[usable(metric, values)]


def cuts_of(rng, count, largest=20):
    """Cut rows into sub-blocks of random sizes."""
    stops = np.unique(np.concatenate([[0, count], rng.integers(0, count + 1, count // largest + 1)]))
    return [range(start, stop) for start, stop in zip(stops[:-1].tolist(), stops[1:].tolist(), strict=True)]


def side_of(rng, projection: Projection, vectors) -> VectorSide:
    """A side of a tile in memory."""
    return VectorSide(projection.apply(vectors), cuts_of(rng, len(vectors)), lambda: vectors)
