"""Contents within borders, against their description in two plain loops; integers only."""

import numpy as np
import pytest

from fastdiff_dask.edits.borders import contents, flat_shares


def grey_levels(image):
    """Luma in 256ths, rounded down."""
    if image.shape[2] == 1:
        return [[int(pixel[0]) for pixel in row] for row in image]
    return [[(77 * int(r) + 150 * int(g) + 29 * int(b)) // 256 for r, g, b in row] for row in image]


def edges(start, stop):
    """Edges of 64 cells, at whole units of 1 / 64 pixel."""
    return [start + ((stop - start) * cell + 32) // 64 for cell in range(65)]


def shares(low, high):
    """Pixels of a cell, and how many 64ths of each are in it."""
    return [
        (pixel, min(high, 64 * pixel + 64) - max(low, 64 * pixel)) for pixel in range(low // 64, (high - 1) // 64 + 1)
    ]


def stretched(grey, box):
    """Averages of 64 × 64 cells of a part, half up."""
    height, width = len(grey), len(grey[0])
    top, left, bottom, right = box
    rows = edges(64 * top * height // 64, 64 * bottom * height // 64)
    columns = edges(64 * left * width // 64, 64 * right * width // 64)
    result = np.zeros((64, 64), np.uint8)
    for i in range(64):
        for j in range(64):
            cells = [
                (weight * other, grey[y][x])
                for y, weight in shares(rows[i], rows[i + 1])
                for x, other in shares(columns[j], columns[j + 1])
            ]
            area = sum(weight for weight, _ in cells)
            result[i, j] = (2 * sum(weight * level for weight, level in cells) + area) // (2 * area)
    return result


def is_flat(line):
    """Four of five pixels are within 10 levels of the median."""
    median = sorted(line)[len(line) // 2]
    return 5 * sum(abs(level - median) <= 10 for level in line) >= 4 * len(line)


def box_of(grey):
    """Lines are taken away at the edges, rows and then columns, until none is flat or 0.3 of a side is left."""
    top, left, bottom, right = 0, 0, 64, 64

    def row(number):
        return is_flat([int(level) for level in grey[number, left:right]])

    def column(number):
        return is_flat([int(level) for level in grey[top:bottom, number]])

    before = None
    while before != (top, left, bottom, right):
        before = top, left, bottom, right
        while bottom - top > 0.3 * 64 and row(top):
            top += 1
        while bottom - top > 0.3 * 64 and row(bottom - 1):
            bottom -= 1
        while right - left > 0.3 * 64 and column(left):
            left += 1
        while right - left > 0.3 * 64 and column(right - 1):
            right -= 1
    return before


def check(thumbnails):
    found, boxes, whole = contents(thumbnails)
    assert (found.dtype, boxes.dtype, whole.dtype) == (np.uint8, np.uint8, np.uint8)
    for number, image in enumerate(thumbnails):
        expected = stretched(grey_levels(image), (0, 0, 64, 64))
        np.testing.assert_array_equal(whole[number], expected)
        box = box_of(expected)
        assert tuple(boxes[number].tolist()) == box
        np.testing.assert_array_equal(found[number], stretched(expected.tolist(), box))
    return boxes


def framed(rng, height, width, channels):
    """Noise with no border, white bars, a frame of two colours with a little noise, and a frame with a logo."""
    images = rng.integers(0, 256, (4, height, width, channels), dtype=np.uint8)
    images[1, : height // 6] = images[1, -(height // 5) :] = 255
    frame = max(1, height // 8), max(1, width // 8)
    images[2, : frame[0]], images[2, -frame[0] :] = 20, 230
    images[2, :, : frame[1]] = rng.integers(100, 106, (height, frame[1], channels))
    images[3, :, -frame[1] :], images[3, -frame[0] :] = 0, 0
    images[3, -frame[0] :, : width // 6] = 255
    return images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(64, 64), (48, 64), (64, 100), (7, 5), (1, 1), (1, 90)])
def test_contents_equal_two_plain_loops(rng, shape, channels):
    boxes = check(framed(rng, *shape, channels))
    if shape == (64, 64):
        assert boxes[0].tolist() == [0, 0, 64, 64]
        assert boxes[1].tolist() == [10, 0, 52, 64]
        assert boxes[2].tolist() == [8, 8, 56, 64]
        assert boxes[3].tolist() == [0, 0, 56, 56]


@pytest.mark.parametrize("shape", [(300, 300), (256, 257)])
def test_sums_that_single_precision_rounds_stay_exact(shape):
    """A white picture, and one in which half a level decides."""
    images = np.full((2, *shape, 1), 255, np.uint8)
    images[1, ::2, ::2] = 254
    check(images[1:])
    assert (contents(images)[2][0] == 255).all()


@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_of_one_colour_keeps_a_part(level):
    found, boxes, _ = contents(np.full((1, 64, 64, 3), level, np.uint8))
    assert (found == level).all()
    top, left, bottom, right = boxes[0].tolist()
    assert 0 < bottom - top < 64
    assert 0 < right - left < 64
    check(np.full((1, 64, 64, 3), level, np.uint8))


def test_no_images():
    found, boxes, whole = contents(np.zeros((0, 64, 64, 3), np.uint8))
    assert (found.shape, boxes.shape, whole.shape) == ((0, 64, 64), (0, 4), (0, 64, 64))
    assert flat_shares(found).shape == (0,)


def test_an_image_alone_has_the_content_it_has_among_others(rng):
    images = framed(rng, 40, 64, 3)
    together = contents(images)
    for number in range(len(images)):
        for alone, among in zip(contents(images[number : number + 1]), together, strict=True):
            np.testing.assert_array_equal(alone[0], among[number])


def test_shares_of_flat_ground_equal_a_count(rng):
    some = rng.integers(0, 256, (6, 9, 11), dtype=np.uint8)
    some[1] = 255
    some[2] = 0
    some[3, :5], some[3, 5:] = 3, rng.integers(0, 20, (4, 11))
    some[4, :7] = rng.integers(250, 256, (7, 11))
    for image, share in zip(some, flat_shares(some).tolist(), strict=True):
        levels = image.ravel().tolist()
        commonest = min(range(256), key=lambda level: (-levels.count(level), level))
        near = sum(abs(level - commonest) <= 8 for level in levels)
        assert share == near * 255 // len(levels)
