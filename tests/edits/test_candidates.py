"""Candidates against a search in plain loops; no split of the images into parts changes them."""

import tracemalloc

import numpy as np
import pytest

from fastdiff_dask.edits import candidates
from fastdiff_dask.edits.candidates import (
    NEAREST,
    Candidates,
    Columns,
    channel_boxes,
    find_candidates,
    nearest,
)
from fastdiff_dask.edits.contents import CONTENT_BYTES, Contents
from fastdiff_dask.edits.view_values import NORM, PARTS, WHOLES, Least, ViewValues, view_values
from fastdiff_dask.edits.views import CUTS, VIEWS, View, view_images
from fastdiff_dask.kernels.transforms import Transform, apply_transform

BORDERED, FIRST_CUT = len(VIEWS), len(VIEWS) + 1


def smooth(rng, height=64, width=64):
    """A picture of soft waves, in colour."""
    y, x = np.mgrid[:height, :width] / 64
    waves = np.zeros((height, width, 3))
    for _ in range(12):
        u, v, phase = rng.uniform(-9, 9), rng.uniform(-9, 9), rng.uniform(0, 6.3)
        waves += np.sin(u * x + v * y + phase)[..., None] * rng.uniform(0.5, 1.5, 3)
    waves -= waves.min()
    return (waves * (255 / waves.max())).astype(np.uint8)


def stretched(picture):
    rows, columns = (np.arange(64) * side // 64 for side in picture.shape[:2])
    return picture[rows][:, columns]


def thumbnails(seed, originals=4):
    """Pictures cropped, bordered, mirrored, turned, faint and with a caption; and one of one colour."""
    rng = np.random.default_rng(seed)
    some = [np.full((64, 64, 3), 90, np.uint8)]
    for _ in range(originals):
        picture = smooth(rng)
        top, left = rng.integers(0, 7, 2)
        bordered, caption = np.zeros_like(picture), picture.copy()
        bordered[8:56, 8:56] = stretched(picture)[np.arange(48) * 64 // 48][:, np.arange(48) * 64 // 48]
        caption[54:] = rng.integers(0, 2, (10, 64, 1)) * 255
        turn = Transform(int(rng.integers(1, 8)))
        some += [
            picture,
            stretched(picture[top : top + 57, left : left + 57]),
            stretched(picture[:, 8:56]),
            bordered,
            np.ascontiguousarray(bordered[:, ::-1]),
            caption,
            np.ascontiguousarray(caption[:, ::-1]),
            np.ascontiguousarray(apply_transform(picture[None], turn)[0]),
            picture // 4,
        ]
    images = rng.permutation(3 * len(some))[: len(some)]
    return Contents.of_thumbnails(np.sort(images).astype(np.int64), np.stack(some)[rng.permutation(len(some))])


def turned(pictures, turn):
    return view_values(np.ascontiguousarray(apply_transform(pictures[..., None], turn)[..., 0]))


def reference(some: Contents, others: Contents) -> set[tuple[int, ...]]:
    """All pairs, views and turns, one after the other: a, b, channel, transform of a, product."""
    cuts = view_images(others.contents, CUTS)
    wholes = view_images(others.contents, VIEWS[:1])[:, 0]
    found = set()

    def compare(place, picture, channel, targets, turn, least):
        """Turning image b by some transform makes it look like a view of a."""
        own, values = view_values(picture[None]), turned(targets, turn)
        for other, (first, every) in enumerate(zip(values.first, values.every, strict=True)):
            a, b = int(some.images[place]), int(others.images[other])
            value = int(own.every[0] @ every)
            if a != b and own.first[0] @ first >= least.first * NORM**2 and value >= least.every * NORM**2:
                found.add((a, b, channel, int(turn.inverse), value))

    for place, content in enumerate(some.contents):
        views = view_images(content[None], VIEWS + CUTS)[0]
        for turn in Transform:
            straight = turn in (Transform.IDENTITY, Transform.MIRROR)
            whole_least = WHOLES if turn is Transform.IDENTITY else PARTS
            compare(place, views[0], 0, wholes, turn, whole_least)
            if some.boxes[place].tolist() != [0, 0, 64, 64]:
                compare(place, some.bordered[place], BORDERED, others.bordered, turn, PARTS)
            if not straight:
                continue
            for number in range(len(VIEWS)):
                compare(place, views[number], number, wholes, turn, PARTS)
            for number in range(len(CUTS)):
                # left and right change places in a mirror image
                other = (0, 1, 3, 2)[number] if turn is Transform.MIRROR else number
                compare(place, views[len(VIEWS) + number], FIRST_CUT + number, cuts[:, other], turn, PARTS)
    return found


def best(found: set[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The best of each pair, and the best pairs of each image."""
    pairs: dict[tuple[int, int], tuple[int, ...]] = {}
    for row in sorted(found, key=lambda row: (-row[4], row[2], row[3])):
        pairs.setdefault(row[:2], row)
    kept = []
    for a in sorted({a for a, _ in pairs}):
        rows = sorted((row for row in pairs.values() if row[0] == a), key=lambda row: (-row[4], row[1]))
        kept += rows[:NEAREST]
    return kept


def rows_of(found: Candidates) -> list[tuple[int, ...]]:
    return list(map(tuple, found.stored().tolist()))


@pytest.mark.parametrize("seed", range(2))
def test_candidates_are_those_of_plain_loops(seed):
    some = thumbnails(seed)
    expected = reference(some, some)
    found = find_candidates(some, Columns.of(some))
    assert rows_of(found) == best(expected)
    channels, turns = {row[2] for row in expected}, {row[3] for row in expected}
    assert {0, BORDERED, *range(FIRST_CUT, FIRST_CUT + 4)} < channels
    assert {Transform.IDENTITY, Transform.MIRROR} < turns
    assert len(expected) > 3 * len(found.a) > 100
    assert all(a != b for a, b, *_ in rows_of(found))


def test_images_against_others_in_groups_of_any_size(monkeypatch):
    """Boxes around a few views prove much; and all hits of a pair are in the last groups, which are short."""
    some, others = thumbnails(5, originals=2), thumbnails(5, originals=3)
    others = others._replace(images=others.images + 1000)
    expected = best(reference(some, others))
    assert expected
    for group in (4, 37):
        monkeypatch.setattr(candidates, "_GROUP", group)
        assert rows_of(find_candidates(some, Columns.of(others))) == expected


@pytest.mark.parametrize("least", [PARTS, WHOLES, Least(0.5, 0.4)])
@pytest.mark.parametrize("group", [1, 16])
def test_groups_that_are_left_out_have_no_hit(rng, monkeypatch, group, least):
    monkeypatch.setattr(candidates, "_GROUP", group)
    pictures = view_images(np.stack([smooth(rng)[..., 1] for _ in range(120)]), VIEWS[:2]).reshape(-1, 16, 16)
    noisy = np.clip(pictures.astype(int) + rng.integers(-40, 41, pictures.shape), 0, 255).astype(np.uint8)
    a, b = (candidates._Grouped.of(view_values(some)) for some in (pictures, noisy))
    near = candidates._near(a, b, least)
    hits = (a.values.first @ b.values.first.T >= least.first * NORM**2).nonzero()
    assert len(hits[0]) > 100
    assert near[hits[0] // group, hits[1] // group].all()
    if group == 1:
        assert not near.all()
    found = {
        pair for i, j, _ in candidates._correlated(a, b, least) for pair in zip(i.tolist(), j.tolist(), strict=True)
    }
    all_hits = {
        (int(a.order[i]), int(b.order[j]))
        for i, j in zip(*hits, strict=True)
        if a.values.every[i] @ b.values.every[j] >= least.every * NORM**2
    }
    assert found == all_hits


def at(some: Contents, places) -> Contents:
    return some.at(np.asarray(places, np.int64))


@pytest.mark.parametrize("seed", range(2))
def test_no_split_into_rectangles_changes_them(seed, monkeypatch):
    monkeypatch.setattr(candidates, "NEAREST", 5)  # so that the parts have more than is kept
    some = thumbnails(seed)
    whole = rows_of(find_candidates(some, Columns.of(some)))
    rng = np.random.default_rng(seed)
    for _ in range(2):
        number = len(some.images)
        cuts = [np.array_split(np.arange(number), np.sort(rng.integers(0, number + 1, 3))) for _ in "ab"]
        parts = []
        for rows in cuts[0]:
            for columns in cuts[1]:
                joined = Columns.joined([Columns.of(at(some, columns[::2])), Columns.of(at(some, columns[1::2]))])
                parts.append(find_candidates(at(some, rows), joined))
        rng.shuffle(parts)
        assert rows_of(nearest(Candidates.joined(parts))) == whole


def test_candidates_that_wait_are_reduced_in_between(monkeypatch):
    some = thumbnails(2)
    whole = rows_of(find_candidates(some, Columns.of(some)))
    monkeypatch.setattr(candidates, "_WAITING", 3)
    assert rows_of(find_candidates(some, Columns.of(some))) == whole


def test_the_nearest_of_many_are_kept(rng):
    number = 4000
    a, b = rng.integers(0, 40, number), rng.integers(0, 150, number)
    found = Candidates(a, b, rng.integers(0, 60, number), rng.integers(0, 8, number), rng.integers(10, 30, number))
    kept = rows_of(nearest(found))
    assert kept == best(set(rows_of(found)))
    assert max(sum(row[0] == image for row in kept) for image in range(40)) == NEAREST
    assert rows_of(nearest(nearest(found))) == kept
    assert rows_of(nearest(found.at(rng.permutation(number)))) == kept
    assert rows_of(nearest(Candidates.joined([]))) == []


def test_nothing_has_no_candidates(rng):
    some = thumbnails(0)
    assert not len(find_candidates(at(some, []), Columns.of(some)).a)
    assert not len(find_candidates(some, Columns.of(at(some, []))).a)
    blank = Contents.of_thumbnails(np.arange(3), np.full((3, 64, 64, 3), 128, np.uint8))
    assert not len(find_candidates(blank, Columns.of(blank)).a)
    alone = at(some, [4])
    assert not len(find_candidates(alone, Columns.of(alone)).a)


def test_pages_take_no_part():
    """Images with much flat ground are no candidates, on either side, whatever correlates."""
    some = thumbnails(3)
    flat = np.arange(len(some.images)) % 3 == 0
    pages = some._replace(flat=np.where(flat, candidates.MOST_FLAT + 1, candidates.MOST_FLAT).astype(np.uint8))
    expected = find_candidates(at(some, np.flatnonzero(~flat)), Columns.of(at(some, np.flatnonzero(~flat))))
    assert rows_of(find_candidates(pages, Columns.of(pages))) == rows_of(expected) != []


def test_memory_is_as_stated(rng):
    """The figures of `EDITED_BYTES`, for each image; no step takes more."""
    noise = rng.integers(0, 256, (600, 16, 16, 1), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    some = Contents.of_thumbnails(np.arange(600), noise)
    few = at(some, range(8))

    def peak(rows, columns):
        tracemalloc.start()
        find_candidates(rows, Columns.of(columns))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(some, few) < 30_000 * 600 + 30_000_000
    assert peak(few, some) < 2_000 * 600 + 30_000_000


def test_contents_are_packed_as_rows_of_bytes():
    some = thumbnails(1)
    rows = some.packed()
    assert rows.shape == (len(some.images), CONTENT_BYTES)
    assert rows.dtype == np.uint8
    for one, other in zip(Contents.unpacked(some.images, rows), some, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    none = Contents.unpacked(some.images[:0], at(some, []).packed())
    assert none.contents.shape == (0, 64, 64)


def test_candidates_are_stored_as_an_array():
    found = Candidates(*np.array([[1, 2], [3, 4], [0, FIRST_CUT + 3], [7, 0], [9, 8]]))
    assert rows_of(found) == rows_of(Candidates.of_stored(found.stored()))
    for wrong in ({"channel": [0, FIRST_CUT + 4]}, {"channel": [-1, 0]}, {"transform": [8, 0]}, {"transform": [0, -1]}):
        values = found._replace(**{name: np.array(some) for name, some in wrong.items()}).stored()
        with pytest.raises(ValueError, match="a channel or transform is not below"):
            Candidates.of_stored(values)


def one_candidate(channel, transform):
    return Candidates(*(np.array([value], np.int64) for value in (0, 1, channel, transform, 0)))


def test_parts_that_correlate():
    full, box = np.array([[0, 0, 64, 64]], np.uint8), np.array([[16, 0, 48, 32]], np.uint8)
    for channel, view in enumerate(VIEWS):
        own, other = channel_boxes(one_candidate(channel, Transform.MIRROR), box, box)
        assert own[0].tolist() == list(view)
        assert other[0].tolist() == [0, 0, 1, 1]
    # the whole image, in shares of a content that is its middle half, and its left half
    own, other = channel_boxes(one_candidate(BORDERED, 0), box, full)
    assert own[0].tolist() == [-0.5, 0, 1.5, 2]
    assert other[0].tolist() == [0, 0, 1, 1]
    for number, cut in enumerate(CUTS):
        own, other = channel_boxes(one_candidate(FIRST_CUT + number, Transform.IDENTITY), box, full)
        assert own[0].tolist() == other[0].tolist() == list(cut)
        own, other = channel_boxes(one_candidate(FIRST_CUT + number, Transform.MIRROR), box, full)
        assert own[0].tolist() == list(cut)
        assert other[0].tolist() == pytest.approx([cut.top, 1 - cut.right, cut.bottom, 1 - cut.left])


@pytest.mark.parametrize("seed", range(2))
def test_parts_look_alike_after_the_transform(seed):
    """Parts of pictures correlate as `channel_boxes` and the transform say."""
    some = thumbnails(seed)
    found = find_candidates(some, Columns.of(some))
    place = {int(image): number for number, image in enumerate(some.images)}
    a, b = ([place[image] for image in images.tolist()] for images in (found.a, found.b))
    parts = channel_boxes(found, some.boxes[a], some.boxes[b])
    for number in range(len(found.a)):
        if found.channel[number] == BORDERED:
            continue
        own, other = (
            view_images(some.contents[[image]], (View(*box.tolist()),))[:, 0]
            for image, box in ((a[number], parts[0][number]), (b[number], parts[1][number]))
        )
        turned_own: ViewValues = turned(own, Transform(int(found.transform[number])))
        product = float(turned_own.every[0] @ view_values(other).every[0])
        assert product / NORM**2 == pytest.approx(found.value[number] / NORM**2, abs=0.02)
