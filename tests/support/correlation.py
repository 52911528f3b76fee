"""The correlation distance by two loops over Python's integers: slow and plain."""

import math

import numpy as np


def covariance(x: np.ndarray, y: np.ndarray) -> int:
    """n² times the covariance of two images of n pixels, each less the mean of its channel."""
    pixels, total = x.shape[0] * x.shape[1], 0
    for channel in range(x.shape[2]):
        u, v = x[..., channel].ravel().tolist(), y[..., channel].ravel().tolist()
        total += pixels * sum(p * q for p, q in zip(u, v, strict=True)) - sum(u) * sum(v)
    return total


def distance(product: int, x: np.ndarray, y: np.ndarray) -> float:
    """Give 1 − r for a covariance, to a multiple of 2⁻⁴⁰."""
    scale = math.sqrt(covariance(x, x)) * math.sqrt(covariance(y, y))
    apart = min(max(1 - product / scale, 0), 2) if scale else 1.0
    return round(apart * 2**40) / 2**40


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances of all pairs, as a function of the user gives them; equal images are 0 apart."""
    rows = [[0.0 if (x == y).all() else distance(covariance(x, y), x, y) for y in b] for x in a]
    return np.array(rows).reshape(len(a), len(b))
