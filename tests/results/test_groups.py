"""Equal thumbnails are compared once, and their pairs are those of comparing all: by brute force, and with 30,000."""

import itertools
import json
import resource
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.groups import brute_force, components, drawn, expanded

import fastdiff_dask as fd
from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.kernels.hashes import find_copies, thumbnail_digests
from fastdiff_dask.kernels.signatures import signatures
from fastdiff_dask.kernels.transforms import available_transforms
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.results.groups import Groups, PairChunk
from fastdiff_dask.storage.schema import UNREAD
from fastdiff_dask.storage.store import Store

# -- find_copies ---------------------------------------------------------------------------------------------------


@given(drawn(), st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_copies_are_what_is_equal_after_a_turn(case, seed):
    images, turns = case.images, case.turns
    digests = thumbnail_digests(images)
    unread = np.random.default_rng(seed).random(len(images)) < 0.2
    digests[unread] = 0
    copies = find_copies(digests, turns)
    first: dict[int, int] = {}
    for row in np.flatnonzero(~unread).tolist():
        equal = (o for o in first if any(np.array_equal(np.rot90(images[o], t), images[row]) for t in turns))
        first[row] = next(equal, row)
        if first[row] != row:
            del first[row]
    assert copies.representatives.tolist() == sorted(first)
    everything = np.concatenate([copies.representatives, copies.copies])
    assert sorted(everything.tolist()) == np.flatnonzero(~unread).tolist()
    assert (np.diff(copies.copies) > 0).all()
    assert set(copies.originals.tolist()) <= set(first)
    for copy, original, turn in zip(copies.copies, copies.originals, copies.turns, strict=True):
        assert turn in turns
        np.testing.assert_array_equal(np.rot90(images[original], turn), images[copy])
    for original, symmetry in zip(copies.representatives, copies.symmetries, strict=True):
        same = [t for t in turns if np.array_equal(np.rot90(images[original], t), images[original])]
        assert symmetry == sum(1 << t for t in same)


@pytest.mark.parametrize("turns", [(0,), (0, 2), (0, 1, 2, 3)])
def test_no_images_have_no_copies(turns):
    assert [len(part) for part in find_copies(np.zeros((0, 4, 16), np.uint8), turns)] == [0] * 5
    assert [len(part) for part in find_copies(np.zeros((3, 4, 16), np.uint8), turns)] == [0] * 5


def test_digests_that_share_their_first_half_are_not_equal():
    digests = np.ones((4, 4, 16), np.uint8)
    digests[1:3, :, 15] = 2
    digests[3, :, 0] = 2
    copies = find_copies(digests, (0,))
    assert copies.representatives.tolist() == [0, 1, 3]
    assert copies.originals.tolist() == [1]
    # the smallest digest of all turns is told by their second halves
    digests = np.ones((2, 4, 16), np.uint8)
    digests[0, :, 15] = 4, 3, 2, 1
    digests[1, :, 15] = 2, 1, 4, 3
    copies = find_copies(digests, (0, 1, 2, 3))
    assert (copies.originals.tolist(), copies.turns.tolist()) == ([0], [2])


# -- Groups --------------------------------------------------------------------------------------------------------


def as_list(chunk: PairChunk) -> list[tuple[int, int, int, int]]:
    """Pairs with the turns that reach the value; mirror images only where no turn does.

    Copies are known to be equal after a turn, whether a mirror image is equal as well is not asked.
    """
    masks = np.where(chunk.masks & 15, chunk.masks & 15, chunk.masks)
    return list(zip(*(part.tolist() for part in (chunk.a, chunk.b, chunk.values, masks)), strict=True))


def wanted_list(pairs: dict[tuple[int, int], tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    return sorted((a, b, value, mask & 15 or mask) for (a, b), (value, mask) in pairs.items())


@given(expanded(), st.sampled_from([1, 2, 3, 7, 1000]))
@settings(max_examples=300, deadline=None)
def test_expanded_pairs_are_those_of_comparing_all(case, at_once):
    chunks = list(case.groups.pairs(at_once))
    assert sorted(pair for chunk in chunks for pair in as_list(chunk)) == wanted_list(case.pairs)
    assert max((len(chunk.a) for chunk in chunks), default=0) <= at_once
    assert case.groups.count() == len(case.pairs)


@given(expanded())
@settings(max_examples=200, deadline=None)
def test_a_mask_between_different_thumbnails_has_the_mirror_images_too(case):
    groups = case.groups
    equal = np.repeat(np.arange(len(groups.starts) - 1), np.diff(groups.starts))
    group = dict(zip(groups.members.tolist(), equal.tolist(), strict=True))
    for chunk in groups.pairs(1000):
        for a, b, mask in zip(chunk.a.tolist(), chunk.b.tolist(), chunk.masks.tolist(), strict=True):
            if group[a] != group[b]:
                assert mask == case.pairs[a, b][1]


@given(expanded())
@settings(max_examples=200, deadline=None)
def test_stars_are_pairs_that_connect_the_same_images(case):
    stars = case.groups.stars()
    found, wanted = as_list(stars), wanted_list(case.pairs)
    assert len(set(found)) == len(found)
    assert set(found) <= set(wanted)
    # equal components have equal images
    assert components(stars.a, stars.b) == components([pair[0] for pair in wanted], [pair[1] for pair in wanted])


@given(expanded(), st.data())
@settings(max_examples=200, deadline=None)
def test_between_is_a_part_of_all_pairs(case, data):
    names = case.groups.members.tolist()
    one = data.draw(st.sampled_from(names))
    others = data.draw(st.lists(st.sampled_from([*names, 1]), max_size=2 * len(names)))  # 1 names no image
    chunk = case.groups.between(one, np.array(others, np.int64))
    wanted = [pair for pair in wanted_list(case.pairs) if one in pair[:2] and {*pair[:2]} - {one} <= {*others}]
    assert sorted(as_list(chunk)) == wanted


def test_many_pairs_are_counted_in_integers_without_an_end():
    groups = Groups(
        members=np.zeros(0, np.int64),
        starts=np.arange(0, 5 * 10**9, 10**9),
        turns=np.zeros(0, np.int64),
        symmetries=np.ones(4, np.uint8),
        first=np.repeat(np.arange(4), 4),
        second=np.tile(np.arange(4), 4),
        values=np.zeros(16, np.int64),
        masks=np.ones(16, np.uint8),
        two_sides=False,
    )
    assert groups.count() == 12 * 10**18 + 2 * 4 * (10**9 * (10**9 - 1) // 2)  # more than an int64 holds


# -- the whole job ---------------------------------------------------------------------------------------------------


def transforms_of(rotations: bool, mirror: bool) -> tuple[int, ...]:
    return available_transforms(8, 8, rotations=rotations, mirror=mirror)


def reference(first: list[Path], second: list[Path], threshold: float, transforms: tuple[int, ...]):
    """Similar pairs of files by two loops: path, path, mse, degrees, mirrored; of the lowest transform."""
    pixels = {path: np.asarray(Image.open(path).convert("RGB")) for path in {*first, *second}}
    wanted = itertools.product(first, second) if second else itertools.combinations(sorted(first), 2)
    pairs = []
    for a, b in wanted:
        smallest, masks = brute_force(pixels[a][None], pixels[b][None], transforms)
        if smallest[0, 0] / 64 <= threshold:
            lowest = next(t for t in transforms if masks[0, 0] >> t & 1)
            pairs.append((str(a), str(b), smallest[0, 0] / 64, lowest % 4 * 90, lowest >= 4))
    return sorted(pairs)


def listed(frame: pd.DataFrame):
    return list(frame.drop(columns="verdict", errors="ignore").itertuples(index=False, name=None))


class Folder:
    """Pictures of few kinds, turned at random, some of them changed by a little."""

    def __init__(self, path: Path, kinds: np.ndarray, rng: np.random.Generator) -> None:
        self.path, self.kinds, self.rng = path, kinds, rng
        path.mkdir(parents=True)

    def draw(self) -> np.ndarray:
        pixels = self.kinds[self.rng.integers(len(self.kinds))].copy()
        if self.rng.random() < 0.25:
            pixels[self.rng.integers(8), self.rng.integers(8)] += np.uint8(self.rng.integers(1, 40))
        if self.rng.random() < 0.2:
            pixels = np.fliplr(pixels)
        return np.rot90(pixels, self.rng.integers(4))

    def save(self, path: Path) -> None:
        Image.fromarray(np.ascontiguousarray(self.draw())).save(path)

    def add(self, images: int) -> None:
        for _ in range(images):
            self.save(self.path / f"{self.rng.integers(10**8):08d}.png")

    def files(self) -> list[Path]:
        return sorted(self.path.iterdir())


def check_result(db: fd.FastDifPy, folders: list[Folder], threshold: float, rotations: bool, mirror: bool) -> None:
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(threshold, rotations=rotations, mirror=mirror, sub_block=3, tile_side=2)
    result = db.result()
    first, second = folders[0].files(), folders[1].files() if len(folders) > 1 else []
    wanted = reference(first, second, threshold, transforms_of(rotations, mirror))
    assert listed(result.pairs) == wanted
    assert result.pair_count == len(wanted)
    assert result.pairs_complete
    lazily = [listed(part) for part in result.iter_pairs(5)]
    assert sorted(itertools.chain(*lazily)) == wanted
    paths = sorted({path for pair in wanted for path in pair[:2]})
    assert list(result.images.index) == paths
    number = {path: n for n, path in enumerate(paths)}
    parts = components([number[pair[0]] for pair in wanted], [number[pair[1]] for pair in wanted])
    clusters = [sorted([part.keep, *part.low_quality]) for part in result.clusters]
    assert sorted(clusters) == sorted([paths[n] for n in part] for part in parts)
    for path in paths[:2]:
        assert listed(result.similar_to(path, paths)) == [pair for pair in wanted if path in pair[:2]]


@given(
    seed=st.integers(0, 10**6),
    kinds=st.integers(1, 3),
    two_sides=st.booleans(),
    rotations=st.booleans(),
    mirror=st.booleans(),
    threshold=st.sampled_from([0, 6.0, 1500.0]),
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_copies_that_come_and_go(tmp_path_factory, client, seed, kinds, two_sides, rotations, mirror, threshold):
    rng = np.random.default_rng(seed)
    pictures = rng.choice(np.array([0, 20, 90], np.uint8), (kinds, 8, 8, 3))
    pictures[0] = np.maximum(pictures[0], np.rot90(pictures[0], 2))
    if rng.random() < 0.4:
        pictures[-1] = 90  # a blank page
    folder = tmp_path_factory.mktemp("copies")
    folders = [Folder(folder / name, pictures, rng) for name in ("a", "b")[: 1 + two_sides]]
    for one in folders:
        one.add(int(rng.integers(2, 7)))
    with fd.FastDifPy(
        folders[0].path,
        folders[1].path if two_sides else None,
        store=folder / "store",
        client=client,
        thumbnail_size_x=8,
        thumbnail_size_y=8,
        block_size=4,
        verbose=False,
    ) as db:
        check_result(db, folders, threshold, rotations, mirror)
        original, changed = folders[0].files()[:2]  # the first ones stand for their copies
        for one in folders:
            one.add(int(rng.integers(1, 4)))
        check_result(db, folders, threshold, rotations, mirror)
        original.unlink()
        folders[0].save(changed)
        check_result(db, folders, threshold, rotations, mirror)


def test_similar_images_are_turned_the_right_way_in_whatever_order_they_are_compared(tmp_path, client, rng):
    folder = Folder(tmp_path / "photos", rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8), rng)
    for number in range(16):
        pixels = folder.kinds[0].copy()
        pixels[number // 8 + 3, number % 8] ^= 31  # no two are equal
        Image.fromarray(np.ascontiguousarray(np.rot90(pixels, rng.integers(4)))).save(folder.path / f"{number:02d}.png")
    options = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "verbose": False}
    with fd.FastDifPy(folder.path, store=tmp_path / "store", client=client, **options) as db:
        check_result(db, [folder], 100.0, True, False)
        assert db.result().pair_count == 120
        assert set(db.pairs.rotation) == {0, 90, 180, 270}


# -- 20,000 blank pages ----------------------------------------------------------------------------------------------

SIZE, BLANK, TURNED, DISTINCT = 8, 20_000, 60, 9_939
IMAGES = BLANK + TURNED + 1 + DISTINCT
NEAR = BLANK + TURNED  # before it: blank pages, turned copies of one picture; then a page with one speck


def make_store(folder: Path, root: Path, thumbnails: np.ndarray) -> Store:
    """Make a store as the first two stages would have left it, without any image files."""
    made = ThumbnailSettings(width=SIZE, height=SIZE)
    store = Store.open_or_create(str(folder), {"a": [str(root)], "b": []}, made)
    blocks, size = -(-len(thumbnails) // made.block_size), made.block_size
    constants = {
        **{"side": "a", "root": str(root), "path_bytes": b"", "size": 1000, "mtime_ns": 0, "current": True},
        **UNREAD,
        **{"width": 100, "height": 80, "format": "PNG", "mode": "RGB", "error": None},
        **dict.fromkeys(("device", "inode", "changed_ns"), 0),
    }
    for block in range(blocks):
        numbers = np.arange(block * size, min((block + 1) * size, len(thumbnails)))
        frame = pd.DataFrame({"image": numbers, "path": [f"{number:06d}.png" for number in numbers]})
        store.write_partition(block, frame.assign(**constants))
    store.add_generation(Generation(range(blocks), range(blocks, blocks), len(thumbnails), 0))
    for block in range(blocks):
        rows = thumbnails[block * size : (block + 1) * size]
        arrays = rows, signatures(rows), thumbnail_digests(rows)
        whole = [np.concatenate([part, np.zeros((size - len(rows), *part.shape[1:]), part.dtype)]) for part in arrays]
        store.arrays.write_images(block, *whole)
    return store


class BlankPages(NamedTuple):
    """30,000 images in random order, most of them blank pages, compared."""

    result: fd.Result
    store: Path
    names: list[str]  # path of the blank pages, the turned copies, the page with a speck, the distinct pictures
    pages: np.ndarray
    peak: int  # bytes by which the largest memory of the process grew
    compared: int  # pairs of thumbnails that were compared


def peak_memory() -> int:
    """Largest memory of this process so far, in bytes; its threads are the workers."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kibibytes


@pytest.fixture(scope="module")
def blank_pages(tmp_path_factory, client) -> BlankPages:
    folder = tmp_path_factory.mktemp("blank")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(7)
    pages = np.full((IMAGES, SIZE, SIZE, 3), 255, np.uint8)
    picture = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    for number in range(TURNED):
        pages[BLANK + number] = np.rot90(picture, number)
    pages[NEAR, 2, 3] = 215
    pages[NEAR + 1 :] = rng.integers(0, 256, (DISTINCT, SIZE, SIZE, 3), dtype=np.uint8)
    places = rng.permutation(IMAGES)
    shuffled = np.empty_like(pages)
    shuffled[places] = pages
    make_store(folder / "store", folder / "photos", shuffled)
    with fd.FastDifPy(
        folder / "photos",
        store=folder / "store",
        client=client,
        thumbnail_size_x=SIZE,
        thumbnail_size_y=SIZE,
        verbose=False,
    ) as db:
        before = peak_memory()
        db.second_loop_iteration(200.0)
        result = db.result()
        assert len(result.clusters) == 2
        assert len(result.pairs) > 0
        write_json(result, str(folder / "out.json"))
        for _, _ in zip(range(3), result.iter_pairs(10_000), strict=False):
            pass
        peak = peak_memory() - before
        compared = sum(int(plan.counts[:, 1].sum()) for plan in db._comparison.plans())
    names = [str(folder / "photos" / f"{place:06d}.png") for place in places]
    return BlankPages(result, folder, names, pages, peak, compared)


def test_blank_pages_take_little_memory_and_disk(blank_pages):
    # 200 million pairs take 6.4 GB as numbers alone
    assert blank_pages.peak < 500e6
    comparison = blank_pages.store / "store" / "arrays.zarr" / "comparisons"
    sizes = {path: path.stat().st_size for path in comparison.rglob("*") if path.is_file()}
    pairs = [size for path, size in sizes.items() if path.parent.name.startswith("pairs-")]
    assert 0 < sum(pairs) < 100_000
    assert sum(sizes.values()) < 20e6  # nearly all of it signatures
    assert (blank_pages.store / "out.json").stat().st_size < 20e6


def test_blank_pages_are_compared_once(blank_pages):
    kinds = DISTINCT + 3
    assert blank_pages.compared == kinds * (kinds - 1) // 2


def test_pairs_of_blank_pages_are_counted(blank_pages):
    wanted = BLANK * (BLANK - 1) // 2 + TURNED * (TURNED - 1) // 2 + BLANK
    assert blank_pages.result.pair_count == wanted
    assert blank_pages.result.stats["pairs"] == wanted
    assert blank_pages.result.stats["pairs_compared"] == IMAGES * (IMAGES - 1) // 2
    assert not blank_pages.result.pairs_complete


def test_blank_pages_are_listed_by_their_first(blank_pages):
    pairs, names = blank_pages.result.pairs, blank_pages.names
    blank, copies = sorted(names[:BLANK]), sorted(names[BLANK:NEAR])
    assert len(pairs) == BLANK - 1 + TURNED - 1 + 1
    own = pairs[pairs.a.eq(blank[0]) & pairs.b.isin(blank)]
    assert own.b.to_list() == blank[1:]
    assert set(own.mse) == {0.0}
    assert set(own.rotation) == {0}
    assert pairs[pairs.a.eq(copies[0])].b.to_list() == copies[1:]
    near = pairs[pairs.mse > 0]
    assert listed(near[["a", "b", "mse"]]) == [(*sorted((blank[0], names[NEAR])), 3 * 40**2 / 64)]
    assert set(pairs.a) | set(pairs.b) == set(names[: NEAR + 1])


def test_clusters_of_blank_pages(blank_pages):
    names = blank_pages.names
    blank, copies = sorted([*names[:BLANK], names[NEAR]]), sorted(names[BLANK:NEAR])
    wanted = sorted([(blank[0], blank[1:], ()), (copies[0], copies[1:], ())])
    assert [tuple(one) for one in blank_pages.result.clusters] == wanted
    assert blank_pages.result.low_quality == sorted([*blank[1:], *copies[1:]])


def test_pairs_of_blank_pages_are_made_when_asked_for(blank_pages):
    result, names = blank_pages.result, blank_pages.names
    page = dict(zip(names, blank_pages.pages, strict=True))
    seen, everything = set(), 0
    for frame, _ in zip(result.iter_pairs(20_000), range(5), strict=False):
        assert len(frame) <= 20_000
        assert (frame.a < frame.b).all()
        everything += len(frame)
        seen |= set(zip(frame.a, frame.b, strict=True))
        for row in frame[:: max(len(frame) // 50, 1)].itertuples():
            smallest, masks = brute_force(page[row.a][None], page[row.b][None], (0, 1, 2, 3))
            assert row.mse == smallest[0, 0] / SIZE**2
            assert row.rotation == (int(masks[0, 0]) & -int(masks[0, 0])).bit_length() * 90 - 90
    assert len(seen) == everything > 50_000


def test_what_is_similar_to_one_of_many(blank_pages):
    result, names = blank_pages.result, blank_pages.names
    copies = names[BLANK:NEAR]
    for one in (0, 1, 7):
        found = result.similar_to(copies[one], [*copies, *names[:5]])
        assert sorted({*found.a, *found.b}) == sorted(copies)
        assert len(found) == TURNED - 1
        for row in found.itertuples():
            quarters = (copies.index(row.b) - copies.index(row.a)) % 4
            assert (row.a < row.b, row.mse, row.rotation) == (True, 0.0, 90 * quarters)
    speck = result.similar_to(names[NEAR], [*names[100:200], *copies])
    assert sorted({*speck.a, *speck.b} - {names[NEAR]}) == sorted(names[100:200])
    assert set(speck.mse) == {75.0}


def test_json_of_blank_pages_has_the_short_form(blank_pages):
    content = json.loads((blank_pages.store / "out.json").read_text())
    assert len(content["pairs"]) == BLANK + TURNED - 1
    assert content["stats"]["pairs"] == blank_pages.result.pair_count
    assert sum(1 + len(part["low_quality"]) for part in content["clusters"]) == BLANK + TURNED + 1
