"""Pair filters leave out pairs by what is known of the pictures, and nothing else; against all pairs, one by one."""

import json
from fractions import Fraction
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse.csgraph import connected_components
from support.results import as_bytes

import fastdiff_dask as fd
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.hashes import find_copies
from fastdiff_dask.kernels.pair_filters import PairFilters, picture_keys
from fastdiff_dask.outputs.store_state import describe_store
from fastdiff_dask.storage.comparisons import Comparison

SIZES = [(16, 12), (12, 16), (32, 24), (18, 12), (16, 16), (17, 12)]
# what is asked for: (match_aspect_by, only_matching_hash, skip_matching_hash)
RULES = [
    (0, False, False),
    (1, False, False),
    (1.2, False, False),
    (1.5, True, False),
    (None, True, False),
    (None, False, True),
    (1, False, True),
]
THRESHOLD = 900.0


def write(folder: Path, numbers: range, seed: int = 3) -> None:
    """Pictures like others, turned and of other shapes, among them plain ones whose thumbnails are equal."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 256, (4, 4, 4, 3), np.uint8)
    folder.mkdir(exist_ok=True)
    for number in numbers:
        rng = np.random.default_rng((seed, number))
        size = SIZES[rng.integers(len(SIZES))]
        if number % 4 == 0:
            picture = Image.new("RGB", size, (200, 200, 190 + 2 * int(rng.integers(3))))
        else:
            picture = Image.fromarray(patterns[rng.integers(4)]).resize(size, Image.Resampling.BICUBIC)
            noisy = np.asarray(picture) + rng.integers(0, 1 + number % 3, (*size[::-1], 3))
            picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).rotate(90 * (number % 2), expand=True)
        picture.save(folder / f"{number:03d}.png")


def same_aspect(a: tuple[int, int], b: tuple[int, int], factor: float, turned: bool) -> bool:
    if factor == 0:
        return a == b or (turned and a == b[::-1])
    allowed = Fraction(factor)
    ratio = Fraction(*a) / Fraction(*b)
    turned_ratio = Fraction(*a) / Fraction(*b[::-1])
    return 1 / allowed <= ratio <= allowed or (turned and 1 / allowed <= turned_ratio <= allowed)


def expected(
    db: fd.FastDifPy, rule: tuple, *, rotations: bool = True, mirror: bool = False, threshold: float = THRESHOLD
) -> set[tuple[str, str, float]]:
    """All pairs, one by one, from the dense matrix and the metadata."""
    factor, same, other = rule
    frame = db.images.compute()
    mse = db.mse(rotations=rotations, mirror=mirror).compute().tolist()
    hashes = frame["hash_key" if rotations else "hash_0"]
    images = [
        (f"{row.root}/{row.path}", (int(row.width), int(row.height)), key)
        for row, key in zip(frame.itertuples(), hashes, strict=True)
    ]
    side_a, side_b = ([image for image, one in zip(images, frame.side, strict=True) if one == side] for side in "ab")
    pairs = product(enumerate(side_a), enumerate(side_b)) if side_b else combinations(enumerate(side_a), 2)
    found = set()
    for (i, (name_a, shape_a, hash_a)), (j, (name_b, shape_b, hash_b)) in pairs:
        if not mse[i][j] <= threshold or (same and hash_a != hash_b) or (other and hash_a == hash_b):
            continue
        if factor is None or same_aspect(shape_a, shape_b, factor, rotations):
            found.add((*((name_a, name_b) if side_b else sorted((name_a, name_b))), mse[i][j]))
    return found


def known_duplicates(db: fd.FastDifPy, rule: tuple, **options) -> set[tuple[str, str]]:
    """All pairs with equal hashes, if these are not compared."""
    factor, _, other = rule
    return {(a, b) for a, b, _ in expected(db, (factor, True, False), threshold=np.inf, **options)} if other else set()


def connected(pairs: set[tuple[str, str]]) -> set[frozenset[str]]:
    clusters: dict[str, frozenset[str]] = {path: frozenset([path]) for pair in pairs for path in pair}
    for a, b in pairs:
        both = clusters[a] | clusters[b]
        clusters |= dict.fromkeys(both, both)
    return set(clusters.values())


def clusters_of(result: fd.Result) -> set[frozenset[str]]:
    return {frozenset([cluster.keep, *cluster.low_quality]) for cluster in result.clusters}


def search(db: fd.FastDifPy, rule: tuple, **options) -> fd.Result:
    db.index_the_dirs()
    db.first_loop_iteration(compute_hash=True)
    factor, same, other = rule
    options = {"tile_side": 2} | options
    db.second_loop_iteration(
        THRESHOLD, match_aspect_by=factor, only_matching_hash=same, skip_matching_hash=other, **options
    )
    return db.result()


def rows_of(pairs: pd.DataFrame) -> set[tuple[str, str, float]]:
    return set(zip(pairs.a, pairs.b, pairs.iloc[:, 2], strict=True))


def open_project(
    folder: Path, client, *sides: str, block_size: int = 16, store: str = "store", thumbnail_size_y: int = 8
) -> fd.FastDifPy:
    return fd.FastDifPy(
        *(folder / side for side in sides or ("a",)),
        store=folder / store,
        client=client,
        block_size=block_size,
        thumbnail_size_x=8,
        thumbnail_size_y=thumbnail_size_y,
        verbose=False,
    )


@pytest.mark.parametrize("sides", [("a",), ("a", "b")])
def test_the_result_is_that_of_all_pairs(tmp_path, client, sides):
    write(tmp_path / "a", range(45))
    write(tmp_path / "b", range(100, 125))
    with open_project(tmp_path, client, *sides) as db:
        db.index_the_dirs()
        everything = rows_of(search(db, (None, False, False), sub_block=8).pairs)
        for rule in RULES:
            result = search(db, rule, sub_block=8)
            wanted = expected(db, rule)
            assert rows_of(result.pairs) == wanted
            assert 0 < len(wanted) < len(everything)
            assert wanted <= everything
            assert result.pair_count == len(wanted)
            assert result.settings["match_aspect_by"] == rule[0]
            assert result.stats["pairs_compared"] == len(expected(db, rule, threshold=np.inf))
            assert clusters_of(result) == connected({(a, b) for a, b, _ in wanted} | known_duplicates(db, rule))


def test_without_rotations_a_turned_picture_is_another_one(tmp_path, client):
    write(tmp_path / "a", range(50))
    with open_project(tmp_path, client) as db:
        for number in (0, 1, 2, 4, 6):
            turned = rows_of(search(db, RULES[number]).pairs)
            result = search(db, RULES[number], rotations=False)
            found = rows_of(result.pairs)
            assert found == expected(db, RULES[number], rotations=False)
            assert found != turned
        known = known_duplicates(db, RULES[6], rotations=False)
        assert known < known_duplicates(db, RULES[6])
        assert clusters_of(result) == connected({(a, b) for a, b, _ in found} | known)


@pytest.mark.parametrize("options", [{"mirror": True}, {"thumbnail_size_y": 16}])
def test_other_transforms(tmp_path, client, options):
    write(tmp_path / "a", range(40))
    mirror = options.pop("mirror", False)
    with open_project(tmp_path, client, **options) as db:
        for rule in (RULES[1], RULES[3], RULES[6]):
            found = search(db, rule, mirror=mirror, sub_block=8)
            assert rows_of(found.pairs) == expected(db, rule, mirror=mirror)


def test_more_pairs_than_are_listed(tmp_path, client, monkeypatch):
    write(tmp_path / "a", range(40))
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", 3)
    with open_project(tmp_path, client) as db:
        for rule in RULES:
            result = search(db, rule)
            wanted = expected(db, rule)
            assert result.pair_count == len(wanted) > 3
            assert not result.pairs_complete
            listed = rows_of(result.pairs)
            assert listed <= wanted
            assert connected({(a, b) for a, b, _ in listed}) == connected({(a, b) for a, b, _ in wanted})


@pytest.mark.parametrize("rule", [RULES[2], RULES[3], RULES[5]])
def test_pictures_that_are_added_and_removed(tmp_path, client, rule):
    write(tmp_path / "a", range(40))
    with open_project(tmp_path, client) as db:
        search(db, rule, sub_block=8)
    write(tmp_path / "a", range(40, 60))
    for number in (4, 5, 8):
        (tmp_path / "a" / f"{number:03d}.png").unlink()
    with open_project(tmp_path, client) as db:
        result = search(db, rule, sub_block=5)
        assert db.images_read == 20
    with open_project(tmp_path, client, block_size=7, store="anew") as db:
        anew = search(db, rule, sub_block=16)
        assert rows_of(result.pairs) == rows_of(anew.pairs) == expected(db, rule)
    assert result.clusters == anew.clusters


def write_alike(folder: Path, images: int) -> None:
    """Pictures near each other, of five shapes in turn; each has an equal hash with the one ten further on, or none."""
    folder.mkdir()
    for number in range(images):
        rng = np.random.default_rng(number % 10 if number < 20 else number)
        pixels = 100 + 16 * rng.integers(0, 2, (8, 8, 3)) + number // 10 % 2
        picture = Image.fromarray(pixels.astype(np.uint8)).resize(
            [(8, 8), (16, 8), (8, 24), (32, 8), (40, 8)][number % 5], 0
        )
        picture.save(folder / f"{number:03d}.png")


def work(db: fd.FastDifPy) -> dict[str, int]:
    """Pairs that the stages of the cascade left, over all tiles of the comparison."""
    totals = sum(plan.counts.sum(axis=0) for plan in db._comparison.plans())
    return dict(zip(["similar", *SearchCounts.names()], totals.tolist(), strict=True))


PRUNED = {"shape": ((1, False, False), 5 * 20 * 19 // 2), "size": ((0, False, False), 5 * 20 * 19 // 2)}
PRUNED |= {"hash": ((None, True, False), 10), "both": ((1.5, True, False), 10)}
PRUNED |= {"other hash": ((None, False, True), 100 * 99 // 2 - 10), "other": ((1, False, True), 5 * 20 * 19 // 2 - 10)}


@pytest.mark.parametrize("case", PRUNED)
def test_they_prune_before_comparing(tmp_path, client, case):
    rule, pairs = PRUNED[case]
    write_alike(tmp_path / "a", 100)
    note = str(tmp_path / "note")

    def mean_error(a, b):
        with Path(note).open("a") as log:
            print(len(a) * len(b), file=log)
        return ((a[:, None].astype(float) - b[None]) ** 2).sum(axis=(2, 3, 4)) / 64

    with open_project(tmp_path, client) as db:
        result = search(db, rule, sub_block=10, tile_side=20)  # one tile
        assert result.stats["tiles"] == 1
        done = work(db)
        assert done["pairs"] == result.stats["pairs_compared"] == pairs
        # sub-blocks have other pairs beside those that are wanted, on both sides of the diagonal
        assert pairs <= done["near"] + 10 <= 1.2 * pairs + 100
        assert done["leading"] <= pairs
        assert done["candidates"] + done["low"] <= 1.2 * pairs + 100
        assert done["exact"] + done["dense"] <= 1.2 * pairs + 100
        found = search(db, rule, compare=mean_error, rotations=False, sub_block=10)
        # each pair once, as it is
        assert work(db)["pairs"] == pairs <= sum(map(int, Path(note).read_text().split())) <= 2.4 * pairs + 60
        assert rows_of(found.pairs) == expected(db, rule, rotations=False)


def test_a_comparison_with_pair_filters_answers_no_other_question(tmp_path, client):
    write(tmp_path / "a", range(30))
    with open_project(tmp_path, client) as db:
        names = []
        for rule in (*RULES, (None, False, False)):
            search(db, rule)
            names.append(db._comparison.name)
        assert len(set(names)) == len(names) == len(Comparison.all_in(db.store))
        # a lower threshold is answered by it
        db.second_loop_iteration(100.0, match_aspect_by=0)
        assert db._comparison.name == names[0]
        db.second_loop_iteration(THRESHOLD, only_matching_aspect=True)
        assert db._comparison.name == names[1]
        # other hashes are another question
        db.second_loop_iteration(THRESHOLD, skip_matching_hash=True)
        db.first_loop_iteration(compute_hash=True, amount=0)
        with pytest.raises(fd.UsageError, match="by hashes of sha256 4 and the images have those of sha256 0; compare"):
            db.result()
        db.second_loop_iteration(THRESHOLD, only_matching_hash=True)
        assert db._comparison.name not in names
        assert rows_of(db.pairs) == expected(db, RULES[4])


def test_what_cannot_be_asked_for(tmp_path, client):
    write(tmp_path / "a", range(6))
    with open_project(tmp_path, client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        for options, line in (
            ({"only_matching_hash": True}, r"not all images have hashes of one kind; call first_loop_iteration\(comp"),
            ({"only_matching_hash": True, "skip_matching_hash": True}, "leave no pairs together; use one of them"),
            (
                {"match_aspect_by": 0.5},
                "match_aspect_by=0.5 cannot be used; use 0 for the same size, 1 for the same",
            ),
            ({"match_aspect_by": True}, "match_aspect_by=True"),
            ({"match_aspect_by": float("nan")}, "match_aspect_by=nan"),
            ({"only_matching_aspect": True, "match_aspect_by": 2}, "only_matching_aspect= means match_aspect_by=1"),
            ({"only_matching_aspect": 1}, "only_matching_aspect=1 cannot be used; use True or False"),
            ({"skip_matching_hash": "yes"}, "skip_matching_hash='yes' cannot be used; use True or False"),
        ):
            with pytest.raises(fd.UsageError, match=line):
                db.second_loop_iteration(THRESHOLD, **options)


COMMANDS = {
    "size": (("--match-aspect-by", "0"), RULES[0]),
    "shape": (("--only-matching-aspect",), RULES[1]),
    "hash": (("--only-matching-hash",), RULES[4]),
    "another hash": (("--only-matching-hash", "--hash-shift", "2"), RULES[4]),
    "other hash": (("--skip-matching-hash",), RULES[5]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_on_the_command_line(tmp_path, client, case):
    options, rule = COMMANDS[case]
    write(tmp_path / "a", range(40))
    out = tmp_path / "out.json"
    arguments = ["find", tmp_path / "a", "--store", tmp_path / "store", "--thumbnail-size", "8x8", "--threads", "1"]
    arguments += ["--threshold", THRESHOLD, "--json", out, "--quiet", *options]
    done = CliRunner().invoke(commands, [str(argument) for argument in arguments], catch_exceptions=False)
    assert (done.exit_code, done.output) == (0, "")
    content = json.loads(out.read_text())
    with open_project(tmp_path, client, block_size=1024) as db:
        db.index_the_dirs()
        hashed = db.images.compute().hash_shift
        assert (hashed == (2 if "another" in case else 4 if "hash" in case else 0)).all()
        assert {(pair["a"], pair["b"], pair["mse"]) for pair in content["pairs"]} == expected(db, rule)
        known = {(pair["a"], pair["b"]) for pair in content.get("hash_pairs", [])}
        assert ("hash_pairs" in content) == (case == "other hash")
        assert connected(known) == connected(known_duplicates(db, rule))


MISTAKES = {
    "factor": (("--match-aspect-by", "0.9"), "--match-aspect-by 0.9 cannot"),
    "both": (("--only-matching-hash", "--skip-matching-hash"), "use one of them"),
    "two shapes": (("--only-matching-aspect", "--match-aspect-by", "2"), "use one of them"),
    "shift": (
        ("--only-matching-hash", "--hash-shift", "9"),
        "--hash-shift 9 cannot be used",
    ),
    "shift of nothing": (("--hash-shift", "3"), "--hash-shift is for"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_on_the_command_line_write_nothing(tmp_path, case):
    options, message = MISTAKES[case]
    (tmp_path / "a").mkdir()
    with pytest.raises(fd.UsageError, match=message):
        CliRunner().invoke(commands, ["find", str(tmp_path / "a"), *options], catch_exceptions=False)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a"]


def in_one_call(folder: Path, client, **options) -> fd.Result:
    options = {
        "store": folder / "store",
        "client": client,
        "verbose": False,
        "similarity_threshold": THRESHOLD,
    } | options
    return fd.find_duplicates(folder / "a", thumbnail_size_x=8, thumbnail_size_y=8, **options)


def test_in_one_call(tmp_path, client):
    write(tmp_path / "a", range(30))
    asked = {0: {"match_aspect_by": 0}, 1: {"only_matching_aspect": True}, 4: {"only_matching_hash": True}}
    asked[5] = {"skip_matching_hash": True}
    found = {number: in_one_call(tmp_path, client, **options) for number, options in asked.items()}
    with open_project(tmp_path, client, block_size=1024) as db:
        for number, result in found.items():
            assert rows_of(result.pairs) == expected(db, RULES[number])
    with pytest.raises(fd.UsageError, match="use one of them"):
        in_one_call(tmp_path, client, only_matching_hash=True, skip_matching_hash=True)


@pytest.mark.parametrize("rule", [RULES[3], RULES[6]])
def test_results_are_equal_to_the_byte(tmp_path, client, rule):
    """For all sizes of blocks and tiles, additions, and runs that were stopped."""
    write(tmp_path / "a", range(30))
    with open_project(tmp_path, client, store="added", block_size=4) as db:
        search(db, rule, sub_block=3)
    write(tmp_path / "a", range(30, 45))
    found = []
    with open_project(tmp_path, client, store="added", block_size=4) as db:
        found.append(as_bytes(search(db, rule, sub_block=5), tmp_path))
        assert len(db._comparison.plans()) == 2
    for block_size, sub_block in ((7, 4), (64, 256)):
        with open_project(tmp_path, client, store=f"store-{block_size}", block_size=block_size) as db:
            found.append(as_bytes(search(db, rule, sub_block=sub_block), tmp_path))
    with open_project(tmp_path, client, store="store-7", block_size=7) as db:
        marks = sorted((tmp_path / "store-7").glob("arrays.zarr/comparisons/*/*/compared/c.*"))
        for mark in marks[::2]:
            mark.unlink()
        result = search(db, rule)
        assert result.stats["tiles_resumed"] == len(marks) // 2
        found.append(as_bytes(result, tmp_path))
    assert set(found) == {found[0]}


def test_two_stores_that_were_indexed_apart(tmp_path, client):
    write(tmp_path / "a", range(30))
    write(tmp_path / "b", range(30, 60))
    for side in ("a", "b"):
        with open_project(tmp_path, client, side, store=f"store-{side}") as db:
            db.index_the_dirs()
            db.first_loop_iteration()
    stores = tmp_path / "store-a", tmp_path / "store-b"
    with fd.FastDifPy.from_stores(*stores, store=tmp_path / "both", client=client, verbose=False) as db:
        for rule in (RULES[1], RULES[3], RULES[6]):
            result = search(db, rule)
            assert rows_of(result.pairs) == expected(db, rule)
            assert clusters_of(result) == connected(
                {(a, b) for a, b, _ in expected(db, rule)} | known_duplicates(db, rule)
            )


def test_a_comparison_of_an_older_version_is_still_one(tmp_path, client):
    write(tmp_path / "a", range(20))
    with open_project(tmp_path, client) as db:
        found = search(db, (None, False, False))
        (path,) = (tmp_path / "store").glob("arrays.zarr/comparisons/*/zarr.json")
        metadata = json.loads(path.read_text())
        for name in ("match_aspect_by", "only_matching_hash", "skip_matching_hash", "hashes"):
            del metadata["attributes"]["settings"][name]
        path.write_text(json.dumps(metadata))
        assert [one.settings for one in Comparison.all_in(db.store)] == [db._comparison.settings]
        again = search(db, (None, False, False))
        assert again.stats["tiles_resumed"] == again.stats["tiles"] > 0
        assert again.pairs.equals(found.pairs)


def test_the_status_names_them(tmp_path, client):
    write(tmp_path / "a", range(8))
    with open_project(tmp_path, client) as db:
        for rule in RULES:
            search(db, rule)
    lines = [line.partition("rotations")[2] for line in describe_store(str(tmp_path / "store")).splitlines()]
    shown = sorted(line.partition(":")[0] for line in lines if line and "as shown on" not in line)
    assert shown == sorted(
        [
            ", of the same size",
            ", of the same aspect ratio",
            ", aspect ratios within 1.2",
            ", aspect ratios within 1.5, equal hashes",
            ", equal hashes",
            ", different hashes",
            ", of the same aspect ratio, different hashes",
        ]
    )


lengths = st.one_of(st.integers(1, 40), st.integers(1, 2**31 - 1))
pictures = st.lists(st.tuples(lengths, lengths, st.sampled_from("abc")), max_size=9)


def keys_of(some: list[tuple[int, int, str]]) -> np.ndarray:
    width, height = (np.array([picture[number] for picture in some], np.int64) for number in (0, 1))
    return picture_keys(width, height, [picture[2] for picture in some])


def matrix(rows: list, columns: list, filters: PairFilters) -> np.ndarray:
    """Pairs that are wanted, by two loops and fractions."""
    wanted = np.ones((len(rows), len(columns)), bool)
    for (i, a), (j, b) in product(enumerate(rows), enumerate(columns)):
        if filters.aspect is not None:
            wanted[i, j] &= same_aspect(a[:2], b[:2], filters.aspect, filters.turned)
        if filters.hashes:
            wanted[i, j] &= (a[2] == b[2]) == filters.same_hash
    return wanted


factors = st.sampled_from([None, 0.0, 1.0, 1.1, 1.5, 2.0, 3.0, 1e300])
rules = st.builds(
    lambda factor, turned, hashes: PairFilters(factor, turned, *hashes),
    factors,
    st.booleans(),
    st.sampled_from([(False, False), (True, False), (False, True)]),
)


@given(pictures, pictures, rules)
def test_pairs_are_those_of_two_loops(rows, columns, filters):
    wanted = matrix(rows, columns, filters)
    allowed = filters.allowed(keys_of(rows), keys_of(columns))
    i, j = np.ogrid[: len(rows), : len(columns)]
    assert (allowed.wanted(i, j) == wanted).all()
    partners = allowed.partners()
    assert [count.tolist() for count in partners] == [wanted.sum(axis=1).tolist(), wanted.sum(axis=0).tolist()]
    assert allowed.pairs() == wanted.sum()
    # equal kinds are wanted with the same others
    kinds = [tuple(kind) for kind in filters.kinds(keys_of(rows)).tolist()]
    for first, second in combinations(range(len(rows)), 2):
        assert kinds[first] != kinds[second] or (wanted[first] == wanted[second]).all()
    # without those that have no partner, the others keep theirs
    some = partners[0] > 0
    assert allowed.take(some, slice(None)).pairs() == wanted.sum()


@given(pictures, rules, st.integers(1, 4))
def test_pairs_of_one_side_are_those_of_two_loops(rows, filters, size):
    wanted = np.triu(matrix(rows, rows, filters), 1)
    allowed = filters.allowed(keys_of(rows))
    assert allowed.pairs() == wanted.sum()
    assert allowed.partners()[0].tolist() == (wanted | wanted.T).sum(axis=0).tolist()
    bins = filters.bins(keys_of(rows))
    order = np.arange(len(rows)) if bins is None else np.argsort(bins, kind="stable")
    ordered = allowed.take(order, order)
    cuts = [range(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]
    near = ordered.near(cuts, cuts)
    for (m, upper), (n, lower) in product(enumerate(cuts), repeat=2):
        inside = (wanted | wanted.T)[np.ix_(order[upper.start : upper.stop], order[lower.start : lower.stop])]
        assert near[m, n] or not inside.any()


def test_sub_blocks_of_other_shapes_and_hashes_are_left_out():
    shapes = [(4, 3, "a")] * 4 + [(4, 2, "a")] * 4 + [(4, 2, "b")] * 4
    cuts = [range(start, start + 4) for start in (0, 4, 8)]
    diagonal = np.eye(3, dtype=bool)
    assert (
        PairFilters(None, same_hash=True).allowed(keys_of(shapes)).near(cuts, cuts)[1:, 1:] == diagonal[1:, 1:]
    ).all()
    assert (PairFilters(1.0, same_hash=True).allowed(keys_of(shapes)).near(cuts, cuts) == diagonal).all()
    near = PairFilters(1.1).allowed(keys_of(shapes)).near(cuts, cuts)
    assert near.tolist() == [[True, False, False], [False, True, True], [False, True, True]]


@given(pictures, pictures, rules, st.booleans())
def test_equal_hashes_connect_what_all_such_pairs_connect(side_a, side_b, filters, two_sides):
    everything = side_a + side_b
    on_b = np.arange(len(everything)) >= len(side_a)
    equal = matrix(everything, everything, PairFilters(filters.aspect, filters.turned, same_hash=True))
    np.fill_diagonal(equal, False)
    if two_sides:
        equal &= on_b[:, None] != on_b[None]
    few = np.zeros_like(equal)
    pairs = filters.equal_hashes(keys_of(everything), on_b if two_sides else None)
    assert len(pairs) <= 2 * len(everything)
    for i, j in pairs.tolist():
        assert equal[i, j]
        assert not two_sides or (not on_b[i] and on_b[j])
        few[i, j] = True
    if everything:
        assert connected_components(few)[1].tolist() == connected_components(equal)[1].tolist()


def test_copies_are_of_one_kind():
    digests = np.ones((4, 4, 16), np.uint8)
    found = find_copies(digests, (0, 1, 2, 3), np.array([[5, 4], [5, 3], [5, 4], [5, 3]]))
    assert (found.representatives.tolist(), found.copies.tolist(), found.originals.tolist()) == ([0, 1], [2, 3], [0, 1])
