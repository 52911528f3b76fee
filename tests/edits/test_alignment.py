"""Alignment of contents and of pictures: the right map, the same in any batch, and low scores for strangers."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from fastdiff_dask.edits.alignment import ALIGNED, align, refine
from fastdiff_dask.kernels.transforms import Transform, apply_transform

WHOLE = np.array([0.0, 0, 1, 1])


def a_scene(seed, height=320, width=480):
    """A picture with detail at all sizes, float32 levels."""
    rng = np.random.default_rng(seed)
    levels = sum(
        ndimage.gaussian_filter(rng.standard_normal((height, width)), size) * size for size in (1.5, 4, 10, 25, 60)
    )
    return np.clip(128 + 45 * levels / levels.std(), 0, 255).astype(np.float32)


def content(picture, box=None):
    """The picture, or a box of it in shares, stretched to 64 x 64."""
    height, width = picture.shape
    if box is not None:
        box = (box[1] * width, box[0] * height, box[3] * width, box[2] * height)
    return np.asarray(
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).resize((64, 64), Image.Resampling.BOX, box)
    )


def matrix_of_box(box):
    """Shares of a part → shares of the whole."""
    top, left, bottom, right = box
    return np.array([[bottom - top, 0, top], [0, right - left, left]])


def align_one(a, b, box_a=WHOLE, box_b=WHOLE, transform=0):
    found = align(a[None], b[None], np.array([box_a]), np.array([box_b]), np.array([transform]))
    return found.matrices[0], found.scores[0], found.coverage[0]


def some_pairs(k):
    """Copies with boxes a little off, mirrored, and strangers."""
    rng = np.random.default_rng(5)
    a, b, boxes_a, boxes_b, transforms = [], [], [], [], []
    for number in range(k):
        scene = content(a_scene(number))
        transform = number % 8
        other = scene if number % 3 else content(a_scene(1000 + number))
        a.append(scene)
        b.append(apply_transform(other[None, ..., None], transform)[0, ..., 0])
        boxes_a.append(WHOLE + rng.uniform(-0.02, 0.02, 4))
        boxes_b.append(WHOLE)
        transforms.append(transform)
    return np.array(a), np.array(b), np.array(boxes_a), np.array(boxes_b), np.array(transforms)


@pytest.mark.parametrize("transform", list(Transform))
def test_a_mirrored_or_turned_copy_has_its_transform_in_the_matrix(transform):
    scene = content(a_scene(1))
    copy = apply_transform(scene[None, ..., None], transform)[0, ..., 0]
    matrix, score, coverage = align_one(scene, copy, transform=transform)
    assert score > 0.99
    assert coverage > 0.95
    # each pixel of the copy is the pixel of the scene at the mapped place
    y, x = np.mgrid[4:60, 4:60]
    mapped = np.tensordot(matrix, np.stack([(y + 0.5) / 64, (x + 0.5) / 64, np.ones(y.shape)]), 1) * 64 - 0.5
    rows, columns = np.rint(mapped).astype(int)
    assert np.abs(mapped - np.rint(mapped)).max() < 0.1
    assert np.array_equal(scene[rows, columns], copy[y, x])


def test_a_crop_is_found_more_exactly_than_its_box_was():
    scene, cut = a_scene(2), np.array([0.13, 0.04, 0.93, 0.84])
    a, b = content(scene), content(scene * 1.15 + 5, cut)
    matrix, score, coverage = align_one(a, b, box_a=np.array([0.1, 0.066, 0.9, 0.866]))
    assert np.abs(matrix - matrix_of_box(cut)).max() < 0.01
    assert score > 0.9
    assert coverage == 1


def test_the_crop_may_be_the_first_one():
    scene, cut = a_scene(3), np.array([0.1, 0.1, 0.9, 0.85])
    matrix, score, coverage = align_one(content(scene, cut), content(scene), box_b=np.array([0.1, 0.1, 0.9, 0.9]))
    there = np.vstack([matrix_of_box(cut), [0, 0, 1]])
    assert np.abs(matrix - np.linalg.inv(there)[:2]).max() < 0.02
    assert score > 0.9
    assert coverage == pytest.approx(0.8 * 0.75, abs=0.04)


def test_a_slightly_turned_copy_is_turned_back():
    scene = a_scene(4, 400, 400)
    copy = ndimage.rotate(scene, 4, reshape=False, order=1)[40:360, 40:360]
    matrix, score, _ = align_one(content(scene), content(copy), box_a=np.array([0.1, 0.1, 0.9, 0.9]))
    assert score > 0.9
    assert abs(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0]))) == pytest.approx(4, abs=0.5)


def test_a_caption_beyond_the_boxes_does_not_count():
    scene = a_scene(5)
    caption = scene.copy()
    caption[268:] = np.where(np.random.default_rng(0).random((1, 480)) < 0.2, 0, 255)
    part = np.array([0, 0, 5 / 6, 1])
    matrix, score, _ = align_one(content(scene), content(caption), part, part)
    assert np.abs(matrix - matrix_of_box(WHOLE)).max() < 0.01
    assert score > 0.95


def test_strangers_are_not_aligned():
    a = np.array([content(a_scene(seed)) for seed in range(10, 20)])
    b = np.array([content(a_scene(seed)) for seed in range(30, 40)])
    boxes = np.tile(WHOLE, (10, 1))
    assert (align(a, b, boxes, boxes, np.zeros(10, np.int64)).scores < ALIGNED).all()


def test_contents_of_one_level_have_no_score():
    flat = np.full((64, 64), 77, np.uint8)
    _, score, _ = align_one(flat, flat)
    assert score < ALIGNED
    assert np.isfinite(align_one(flat, content(a_scene(6)))[0]).all()


def test_batches_and_order_change_no_byte():
    pairs = some_pairs(64)
    whole = align(*pairs)
    assert 0 < (whole.scores > ALIGNED).sum() < 64
    for size in (1, 7):
        parts = [align(*(column[first : first + size] for column in pairs)) for first in range(0, 64, size)]
        for one, other in zip(whole, map(np.concatenate, zip(*parts, strict=True)), strict=True):
            assert one.tobytes() == other.tobytes()
    mixed = np.random.default_rng(1).permutation(64)
    for one, other in zip(whole, align(*(column[mixed] for column in pairs)), strict=True):
        assert one[mixed].tobytes() == other.tobytes()


def test_no_pairs_have_no_maps():
    none = np.empty((0, 64, 64), np.uint8)
    found = align(none, none, np.empty((0, 4)), np.empty((0, 4)), np.empty(0, np.int64))
    assert found.matrices.shape == (0, 2, 3)
    assert found.scores.shape == found.coverage.shape == (0,)


def test_refined_pictures_of_other_sizes_lie_exactly_over_each_other():
    scene = a_scene(7, 360, 512)
    copy = np.asarray(Image.fromarray(scene[36:324, 64:448]).resize((300, 210), Image.Resampling.BILINEAR)) * 0.8
    exact = matrix_of_box((36 / 360, 64 / 512, 324 / 360, 448 / 512))
    matrix, score = refine(scene, copy, exact + np.array([[0.01, -0.005, 0.006], [0.004, -0.01, -0.008]]))
    assert np.abs(matrix - exact).max() < 0.5 / 512
    assert score > 0.9


def test_a_caption_does_not_move_a_refined_picture():
    scene = a_scene(8, 360, 512)
    copy = scene.copy()
    copy[300:] = 255
    copy[310:350, 100:400:7] = 0
    matrix, _ = refine(scene, copy, matrix_of_box((0.01, -0.01, 1.01, 0.99)))
    assert np.abs(matrix - matrix_of_box(WHOLE)).max() < 0.5 / 512


def test_a_refined_mirror_image_stays_one():
    scene = a_scene(9, 200, 256)
    matrix, score = refine(scene, scene[:, ::-1], np.array([[1, 0, 0.005], [0, -1, 0.995]]))
    assert np.abs(matrix - np.array([[1, 0, 0], [0, -1, 1]])).max() < 0.002
    assert score > 0.95


def test_a_small_picture_on_a_large_dark_screen_is_refined():
    scene = a_scene(12, 300, 200)
    screen = np.full((400, 700), 20, np.float32)
    screen[50:350, 250:450] = scene
    exact = np.array([[400 / 300, 0, -50 / 300], [0, 700 / 200, -250 / 200]])
    matrix, score = refine(scene, screen, exact + np.array([[0.01, 0, 0], [0, -0.02, 0.01]]))
    assert np.abs(matrix - exact).max() < 0.01
    assert score > 0.9


def test_pictures_that_share_nothing_have_no_refined_map():
    scene = a_scene(10, 64, 64)
    assert refine(scene, scene, np.array([[1, 0, 0.9], [0, 1, 0.9]])) == (None, -1.0)


def test_tiny_pictures_are_refined():
    scene = a_scene(11, 20, 40)
    matrix, _ = refine(scene, scene, matrix_of_box(WHOLE))
    assert np.abs(matrix - matrix_of_box(WHOLE)).max() < 1e-3
