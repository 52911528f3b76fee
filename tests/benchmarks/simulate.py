"""Photo-like thumbnails in any number, made block by block, whose pairwise distances resemble those of real photos.

A comparison that skips what it has proved to be far apart is as fast as the pictures let it be, so a benchmark on
noise says nothing. The model below is fitted to 150 real photos (64 × 64 thumbnails). Each picture draws its own mean
colour, contrast, spectral slope, direction, sharpness of edges and strength of colour, because real photos differ in
them a lot, and then its own discrete cosine coefficients. See how well it fits with

    python simulate.py --check FOLDER_OF_PHOTOS

The distance of two pictures is the project's MSE: the squared difference summed over all pixels and channels, divided
by height × width, and the smallest of the four quarter turns where rotations count.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Images whose random numbers come from one generator: small against any block, large against the cost of a generator.
CHUNK = 256
# Images that are synthesized together: their planes of 64 × 64 float32 fit into the processor's cache.
BATCH = 16

# Orthonormal colours: luma, red − blue, and the green–magenta difference.
COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])

# What follows was fitted to the photos; rows and columns are: mean luma, log of luma's standard deviation over the
# picture, luma's spectral slope (power ∝ (u² + v²)^slope), log standard deviations of both chromas, chroma's slope.
# The logarithms make low contrast rarer and rarer instead of cutting it off at the flattest of 150 photos.
MEANS = np.array([197.8, 4.455, -1.115, 2.96, 2.10, -1.055])
DEVIATIONS = np.array([59.0, 0.355, 0.185, 0.60, 0.79, 0.19])
CORRELATIONS = np.array(
    [
        [1.00, 0.24, -0.12, -0.14, -0.20, 0.04],
        [0.24, 1.00, -0.60, 0.07, 0.04, -0.12],
        [-0.12, -0.60, 1.00, -0.06, -0.02, 0.46],
        [-0.14, 0.07, -0.06, 1.00, 0.53, -0.38],
        [-0.20, 0.04, -0.02, 0.53, 1.00, -0.38],
        [0.04, -0.12, 0.46, -0.38, -0.38, 1.00],
    ]
)
GREY_SHARE = 3 / 150
CHROMA_MEANS, CHROMA_MEAN_SCALES = np.array([12.0, -2.0]), np.array([15.0, 8.0])  # Student's t: both are heavy-tailed
TILT_DEVIATION = 0.40  # of the log power of vertical against horizontal frequencies
MIXING_DEVIATION = 0.45  # of the correlation (as arctanh) of each chroma with luma
# Power of the lowest frequencies (rows: vertical) as a multiple of the power law: skies are brighter than the ground,
# and what is photographed is in the middle.
LOWEST = np.array(
    [[0.0, 0.42, 2.04, 1.35], [0.79, 0.37, 0.71, 0.74], [2.57, 0.65, 1.45, 0.86], [2.52, 0.77, 1.24, 1.1]]
)

CHROMA_FREQUENCIES = 32  # less than a tenth of the chroma's small energy is above
LAYOUT_FREQUENCIES = 6  # the large shapes, to which edges are given
EDGE_MEDIAN, EDGE_DEVIATION = 1.1, 0.5  # steepness of the shapes' edges, log-normal
PATCHINESS = 0.75  # of the log strength of texture over the picture: smooth skies, busy leaves
PATCH_FREQUENCIES = 5


class Copy(NamedTuple):
    """An altered copy in a simulated collection.

    Attributes
    ----------
    original, copy
        Numbers of the two images; the original comes first, and no image is in two copies.
    turns
        Quarter turns of the copy against the original.
    kind
        How it was altered besides: "equal", "noise" or "brighter".
    """

    original: int
    copy: int
    turns: int
    kind: str


def known_copies(
    images: int, seed: int = 0, *, size: tuple[int, int] = (64, 64), duplicates: float = 0.01
) -> list[Copy]:
    """List the copies among the first `images` simulated images, without making any image."""
    chunks = range(-(-images // CHUNK))
    copies = [copy for chunk in chunks for copy in _chunk_copies(seed, chunk, size, duplicates)]
    return [copy for copy in copies if copy.copy < images]


def simulate_thumbnails(
    images: int, seed: int = 0, *, size: tuple[int, int] = (64, 64), duplicates: float = 0.01
) -> NDArray[np.uint8]:
    """Make photo-like thumbnails.

    Parameters
    ----------
    images
        How many. More images of one seed begin with the same images.
    seed
        Seed of everything random.
    size
        (height, width).
    duplicates
        Share of images that are altered copies of an earlier one, at most 0.5; `known_copies` lists them.

    Returns
    -------
    (images, height, width, 3) uint8.

    Examples
    --------
    >>> simulate_thumbnails(3, size=(16, 24)).shape
    (3, 16, 24, 3)
    """
    return simulate_range(0, images, seed, size=size, duplicates=duplicates)


def simulate_blocks(
    images: int, block_size: int, seed: int = 0, *, size: tuple[int, int] = (64, 64), duplicates: float = 0.01
) -> Iterator[NDArray[np.uint8]]:
    """Yield the same images as `simulate_thumbnails` in consecutive blocks."""
    for start in range(0, images, block_size):
        yield simulate_range(start, min(start + block_size, images), seed, size=size, duplicates=duplicates)


def simulate_range(
    start: int, stop: int, seed: int = 0, *, size: tuple[int, int] = (64, 64), duplicates: float = 0.01
) -> NDArray[np.uint8]:
    """Make images start ≤ number < stop of a collection, so that workers can each make their own.

    Ranges that begin and end at multiples of 256 waste no work.
    """
    result = np.empty((stop - start, *size, 3), np.uint8)
    for chunk in range(start // CHUNK, -(-stop // CHUNK)):
        images = _chunk(seed, chunk, size, duplicates)
        first, last = max(start, chunk * CHUNK), min(stop, (chunk + 1) * CHUNK)
        result[first - start : last - start] = images[first - chunk * CHUNK : last - chunk * CHUNK]
    return result


def _chunk_copies(seed: int, chunk: int, size: tuple[int, int], duplicates: float) -> list[Copy]:
    if not 0 <= duplicates <= 0.5:
        raise ValueError(f"duplicates is {duplicates}; each copy needs an original of its own, so use 0 to 0.5")
    rng = np.random.default_rng((seed, chunk, 1))
    number = min(int(duplicates * CHUNK + rng.random()), CHUNK // 2)  # right on average
    pairs = np.sort(rng.permutation(CHUNK)[: 2 * number].reshape(number, 2), axis=1) + chunk * CHUNK
    turns = rng.integers(4, size=number) if size[0] == size[1] else 2 * rng.integers(2, size=number)
    kinds = rng.choice(["equal", "noise", "brighter"], number)
    return [
        Copy(int(original), int(copy), int(turn), str(kind))
        for (original, copy), turn, kind in zip(pairs, turns, kinds, strict=True)
    ]


def _chunk(seed: int, chunk: int, size: tuple[int, int], duplicates: float) -> NDArray[np.uint8]:
    """Make the CHUNK images of one chunk; they depend on nothing but the arguments."""
    rng = np.random.Generator(np.random.SFC64((seed, chunk)))
    images = np.empty((CHUNK, *size, 3), np.uint8)
    looks = _draw_looks(rng, CHUNK)
    for first in range(0, CHUNK, BATCH):
        batch = slice(first, first + BATCH)
        _synthesize(rng, {name: values[batch] for name, values in looks.items()}, images[batch])
    for copy in _chunk_copies(seed, chunk, size, duplicates):
        images[copy.copy % CHUNK] = _altered(rng, images[copy.original % CHUNK], copy)
    return images


def _altered(rng: np.random.Generator, image: NDArray[np.uint8], copy: Copy) -> NDArray[np.uint8]:
    turned = np.rot90(image, copy.turns).astype(np.float32)
    if copy.kind == "noise":
        turned += rng.normal(0, 3, turned.shape)  # an MSE of about 27
    elif copy.kind == "brighter":
        turned += 5  # an MSE of 75 where nothing clips
    return np.clip(np.rint(turned), 0, 255).astype(np.uint8)


def _draw_looks(rng: np.random.Generator, images: int) -> dict[str, NDArray[np.float32]]:
    """Draw what makes pictures differ from each other, each shaped (images, 1, 1) to work on their planes."""
    factor = np.linalg.cholesky(CORRELATIONS)
    joint = MEANS + DEVIATIONS * (rng.standard_normal((images, 6)) @ factor.T)
    chroma = CHROMA_MEANS + CHROMA_MEAN_SCALES * rng.standard_t(4, (images, 2))
    coloured = rng.random(images) >= GREY_SHARE
    mixing = np.tanh(MIXING_DEVIATION * rng.standard_normal((images, 2)))
    looks = {
        "mean": joint[:, 0],
        "contrast": np.exp(joint[:, 1]),
        "slope": joint[:, 2],
        "chroma_slope": joint[:, 5],
        "tilt": TILT_DEVIATION * rng.standard_normal(images),
        "edges": EDGE_MEDIAN * np.exp(EDGE_DEVIATION * rng.standard_normal(images)),
        "patchiness": PATCHINESS * np.abs(rng.standard_normal(images)),
    }
    for number in range(2):
        looks[f"chroma_mean_{number}"] = chroma[:, number] * coloured
        looks[f"chroma_contrast_{number}"] = np.exp(joint[:, 3 + number]) * coloured
        looks[f"mixing_{number}"] = mixing[:, number]
    return {name: values.astype(np.float32).reshape(-1, 1, 1) for name, values in looks.items()}


def _synthesize(rng: np.random.Generator, looks: dict[str, NDArray[np.float32]], out: NDArray[np.uint8]) -> None:
    """Fill `out` (n, height, width, 3) with pictures of the given looks."""
    images, height, width = out.shape[:3]
    chroma_rows, chroma_columns = min(height, CHROMA_FREQUENCIES), min(width, CHROMA_FREQUENCIES)
    white = rng.standard_normal((images, height, width), dtype=np.float32)
    coefficients = white * _amplitudes(height, width, looks["slope"], looks["tilt"])
    layout = coefficients[:, :LAYOUT_FREQUENCIES, :LAYOUT_FREQUENCIES].copy()
    coefficients[:, :LAYOUT_FREQUENCIES, :LAYOUT_FREQUENCIES] = 0

    shapes = _standardized(_inverse_dct(layout, height, width))
    share = np.sqrt(np.square(layout).sum((1, 2), keepdims=True) / (height * width))
    shapes = _standardized(np.tanh(looks["edges"] * shapes)) * share
    patches = rng.standard_normal((images, PATCH_FREQUENCIES, PATCH_FREQUENCIES), dtype=np.float32)
    strength = np.exp(looks["patchiness"] * _standardized(_inverse_dct(patches, height, width)))
    strength /= np.sqrt(np.square(strength).mean((1, 2), keepdims=True))
    luma = _standardized(shapes + strength * _inverse_dct(coefficients, height, width))
    luma *= looks["contrast"]
    luma += looks["mean"]

    planes = [luma]
    amplitudes = _amplitudes(chroma_rows, chroma_columns, looks["chroma_slope"], looks["tilt"])
    for number in range(2):
        mixing = looks[f"mixing_{number}"]
        own = rng.standard_normal((images, chroma_rows, chroma_columns), dtype=np.float32)
        own *= np.sqrt(1 - mixing * mixing)
        own += mixing * white[:, :chroma_rows, :chroma_columns]
        chroma = _standardized(_inverse_dct(own * amplitudes, height, width))
        chroma *= looks[f"chroma_contrast_{number}"]
        chroma += looks[f"chroma_mean_{number}"]
        planes.append(chroma)
    for channel, weights in enumerate(COLOURS.T.astype(np.float32)):
        levels = sum(weight * plane for weight, plane in zip(weights, planes, strict=True) if weight)
        np.rint(levels, out=levels)
        out[..., channel] = np.clip(levels, 0, 255, out=levels)


def _amplitudes(rows: int, columns: int, slope: NDArray[np.float32], tilt: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (images, rows, columns): the coefficients' standard deviations, up to a factor an image."""
    u, v = np.mgrid[:rows, :columns].astype(np.float32)
    square = np.maximum(u * u + v * v, 1)
    radius, angle = np.sqrt(square), np.arctan2(v, u)
    # Upright lines and horizons: more power along the axes. The exponential is the blur of resizing.
    fixed = 1.75 * np.exp(0.45 * np.cos(4 * angle) - radius / 42)
    low = fixed[:4, :4]
    low[...] = LOWEST[: low.shape[0], : low.shape[1]]
    exponents = slope * (np.log(square) / 2)
    exponents += tilt * (np.cos(2 * angle) / 2)
    np.exp(exponents, out=exponents)
    exponents *= np.sqrt(fixed)
    return exponents


def _inverse_dct(coefficients: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Turn (images, u, v) coefficients, with u ≤ height and v ≤ width, into (images, height, width) planes.

    One small product an image stays on one core in the usual BLAS, so workers beside each other do not fight, and the
    order of its additions does not depend on how many images are made at once.
    """
    rows, columns = coefficients.shape[1:]
    return np.matmul(np.matmul(_dct_basis(height, rows).T, coefficients), _dct_basis(width, columns))


def _dct_basis(length: int, frequencies: int) -> NDArray[np.float32]:
    """Return the (frequencies, length) first rows of the orthonormal DCT-II matrix."""
    angles = np.pi / length * np.outer(np.arange(frequencies), np.arange(length) + 0.5)
    scales = np.sqrt(np.where(np.arange(frequencies) == 0, 1, 2) / length)
    return (np.cos(angles) * scales[:, None]).astype(np.float32)


def _standardized(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give each plane the mean 0 and the standard deviation 1."""
    planes = planes - planes.mean((1, 2), keepdims=True)
    planes /= np.sqrt(np.square(planes).mean((1, 2), keepdims=True)) + np.float32(1e-6)
    return planes


def load_photos(folder: Path, size: tuple[int, int] = (64, 64)) -> NDArray[np.uint8]:
    """Make the thumbnails of a folder's photos, without the altered copies that its truth.json lists.

    The reference for the model: Pillow's bicubic reduction of the upright RGB picture.
    """
    truth = folder / "truth.json"
    copies = {entry["variant"] for entry in json.loads(truth.read_text())} if truth.exists() else set()
    thumbnails = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != truth and path.relative_to(folder).as_posix() not in copies:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
            thumbnails.append(np.asarray(upright.resize(size[::-1], Image.Resampling.BICUBIC)))
    return np.stack(thumbnails)


def pair_distances(thumbnails: NDArray[np.uint8], *, rotations: bool) -> NDArray[np.float64]:
    """Return the MSE of each unordered pair, (n (n − 1) / 2,): rounded by float32 products, for quantiles only."""
    images = len(thumbnails)
    pixels = thumbnails.shape[1] * thumbnails.shape[2]
    # Centring keeps the products small, so that rounding them to float32 costs less than an MSE of 1.
    flat = thumbnails.reshape(images, -1).astype(np.float32) - 128
    norms = np.square(flat).sum(1, dtype=np.float64)
    tuples = []
    for start in range(0, images, 1000):
        block = slice(start, start + 1000)
        best = None
        for turns in range(4) if rotations else (0,):
            turned = np.rot90(thumbnails[block], turns, axes=(1, 2)).reshape(-1, flat.shape[1]).astype(np.float32) - 128
            products = turned @ flat[start:].T
            best = products if best is None else np.maximum(best, products, out=best)
        errors = (norms[block, None] + norms[None, start:] - 2.0 * best) / pixels
        tuples.append(errors[np.triu_indices(errors.shape[0], 1, errors.shape[1])])
    return np.concatenate(tuples)


def describe(thumbnails: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Measure each picture, (images,) float64 a name: the quantities that the model has to get right."""
    images, height, width = thumbnails.shape[:3]
    planes = np.einsum("nhwc,kc->nkhw", thumbnails.astype(np.float64), COLOURS)
    rows, columns = _dct_basis(height, height).astype(np.float64), _dct_basis(width, width).astype(np.float64)
    power = np.square(rows @ planes @ columns.T) / (height * width)
    power[:, :, 0, 0] = 0
    total, low = power.sum((2, 3)), power[:, :, :12, :12].sum((2, 3))
    radius = np.hypot(*np.mgrid[:height, :width])
    octaves = [(radius >= 2**k) & (radius < 2 ** (k + 1)) for k in range(6)]
    spectrum = np.log([power[:, 0, octave].mean(1) + 1e-9 for octave in octaves])
    luma, means = planes[:, 0].reshape(images, -1), planes.mean((2, 3))
    centred = luma - luma.mean(1, keepdims=True)
    gradients = np.diff(planes[:, 0], axis=1).reshape(images, -1)
    return {
        "contrast norm": np.sqrt(total.sum(1)),
        "tail energy": (total - low).sum(1),
        "tail share": ((total - low).sum(1) / (total.sum(1) + 1e-9)),
        "mean luma": means[:, 0],
        "mean chroma 1": means[:, 1],
        "mean chroma 2": means[:, 2],
        "luma rms": np.sqrt(total[:, 0]),
        "chroma 1 rms": np.sqrt(total[:, 1]),
        "chroma 2 rms": np.sqrt(total[:, 2]),
        "slope": np.polyfit(2 * np.log(2) * np.arange(6), spectrum, 1)[0],
        "luma kurtosis": _kurtosis(centred),
        "gradient kurtosis": _kurtosis(gradients),
        "% at 0 or 255": 100 * np.isin(thumbnails, (0, 255)).mean((1, 2, 3)),
    }


def _kurtosis(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values**4).mean(1) / (np.square(values).mean(1) ** 2 + 1e-9) - 3


def check(real: NDArray[np.uint8], simulated: NDArray[np.uint8]) -> str:
    """Tabulate quantiles of real and simulated pictures beside each other."""
    lines = [f"{len(real)} real, {len(simulated)} simulated"]

    def table(name: str, a: NDArray[Any], b: NDArray[Any], shares: list[float]) -> None:
        lines.append(f"{name:>22} " + " ".join(f"{100 * share:8g}%" for share in shares))
        for kind, values in (("real", a), ("simulated", b)):
            lines.append(f"{kind:>22} " + " ".join(f"{value:9.4g}" for value in np.quantile(values, shares)))

    for rotations in (False, True):
        name = "MSE, 4 rotations" if rotations else "MSE, no rotation"
        distances = [pair_distances(images, rotations=rotations) for images in (real, simulated)]
        table(name, *distances, [0, 0.001, 0.01, 0.1, 0.5, 0.9])
    described = describe(simulated)
    for name, values in describe(real).items():
        table(name, values, described[name], [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98])
    return "\n".join(lines)


def main() -> None:
    """Make thumbnails, or compare the model with photos."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="tabulate real photos against simulated ones")
    parser.add_argument("--tails", type=int, metavar="N", help="print the smallest distances among N images")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the thumbnails (.npy)")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.check:
        print(check(load_photos(options.check), simulate_thumbnails(options.images, options.seed, duplicates=0)))
    if options.tails:
        print_tails(options.tails, options.seed)
    if options.output:
        write(options.output, options.images, options.seed)


def print_tails(images: int, seed: int) -> None:
    """Print low quantiles of the MSE among distinct images: what no few hundred photos can show."""
    thumbnails = simulate_thumbnails(images, seed, duplicates=0)
    for rotations in (False, True):
        distances = pair_distances(thumbnails, rotations=rotations)
        values = "  ".join(f"{share:g}: {np.quantile(distances, share):.0f}" for share in (0, 1e-6, 1e-5, 1e-4, 1e-3))
        print(f"MSE among {images} distinct images, {'4 rotations' if rotations else 'no rotation'}:  {values}")


def write(path: Path, images: int, seed: int, block_size: int = 16 * CHUNK) -> None:
    """Write `images` thumbnails as one .npy file, holding one block in memory at a time."""
    started = time.perf_counter()
    target = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(images, 64, 64, 3))
    for number, block in enumerate(simulate_blocks(images, block_size, seed)):
        target[number * block_size : number * block_size + len(block)] = block
    target.flush()
    print(f"{images} images in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
