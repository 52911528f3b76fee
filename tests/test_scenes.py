"""Drawn scenes: another one each time, the same for a seed, far apart from each other and near to their copies."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from fastdiff_dask.scenes import draw_scene
from fastdiff_dask.testing import reference_sse, simulate_images


def thumbnail(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC))[None]


@pytest.mark.parametrize("size", [(160, 120), (90, 160), (16, 16), (1, 1), (700, 900)])
def test_a_scene_has_the_size_asked_for_and_is_of_its_seed(size):
    first, again, other = (draw_scene(np.random.default_rng(seed), *size) for seed in (4, 4, 5))
    assert (first.size, first.mode) == (size, "RGB")
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_scenes_have_smooth_parts_edges_and_colours():
    """Neighbours are near, as in a photo and not in noise; and there is much of all that is not near."""
    for seed in range(12):
        pixels = np.asarray(draw_scene(np.random.default_rng(seed), 320, 240), float)
        steps = np.abs(np.diff(pixels.mean(axis=2), axis=1))
        assert np.median(steps) < 4
        assert np.percentile(steps, 99.5) > 6
        assert pixels.std() > 12


@pytest.mark.parametrize("size", [(160, 120), (40, 30)])
def test_pictures_are_far_apart_and_copies_near(size, tmp_path):
    photos = simulate_images(tmp_path, images=28, duplicates=28, size=size)
    for copy, original in photos.duplicates.items():
        assert reference_sse(thumbnail(original), thumbnail(copy))[0, 0] / 64**2 < 200
    for a, b in combinations(photos.originals, 2):
        assert reference_sse(thumbnail(a), thumbnail(b), mirror=True)[0, 0] / 64**2 > 900


def test_the_same_seed_writes_the_same_files(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_images(tmp_path / name, images=3, duplicates=3, size=(64, 48), seed=seed)
    a, b, c = ([path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in "abc")
    assert a == b
    assert not set(a) & set(c)
