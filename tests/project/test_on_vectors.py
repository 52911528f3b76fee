"""Pairs by vectors: against brute force, A against B, additions, thresholds; the result everywhere; what may go."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import invoke
from support.pictures import write_noise

import fastdiff_dask as fd
from fastdiff_dask.dashboard.monitor import Monitor
from fastdiff_dask.errors import UsageError
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.outputs.store_state import describe_store, store_state
from fastdiff_dask.results.stored import choose_stored
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.store import Store
from fastdiff_dask.vectors.metrics import distances, limit_of

IMAGES = 23


def make(folder: Path, client: object, *more: str, **options: object) -> fd.FastDifPy:
    given = {"block_size": 4, "verbose": False} | options
    db = fd.FastDifPy(folder / "photos", *(folder / name for name in more), store=folder / "s", client=client, **given)
    db.index_the_dirs()
    db.first_loop_iteration()
    return db


@pytest.fixture
def vectors(rng) -> np.ndarray:
    """Vectors in a few bunches, two of them equal, one not there and one zero."""
    centres = rng.normal(size=(6, 5))
    values = (centres[rng.integers(0, 6, IMAGES)] + 0.2 * rng.normal(size=(IMAGES, 5))).astype(np.float32)
    values[7] = values[3]
    values[9], values[11] = np.nan, 0
    return values


@pytest.fixture
def db(tmp_path, client, vectors) -> fd.FastDifPy:
    write_noise(tmp_path / "photos", IMAGES, seed=4)
    db = make(tmp_path, client)
    db.add_vectors("v", vectors)
    return db


def expected(values: np.ndarray, metric: str, threshold: float) -> dict[tuple[int, int], float]:
    """Similar pairs by their numbers, from all pairs one by one."""
    found = {}
    for i, j in itertools.combinations(range(len(values)), 2):
        a, b = values[[i]], values[[j]]
        if np.isnan([a, b]).any() or (metric == "cosine" and not (a.any() and b.any())):
            continue
        distance = float(distances(metric, a, b)[0])
        if distance <= limit_of(metric, threshold):
            found[i, j] = distance
    return found


def found_pairs(pairs) -> dict[tuple[int, int], float]:
    numbers = ([int(Path(path).stem.split("-")[1]) for path in pairs[side]] for side in "ab")
    return {(a, b): value for a, b, value in zip(*numbers, pairs.value, strict=True)}


METRICS = [("cosine", 0.95), ("cosine", 0.5), ("inner", 4.0), ("inner", -1.0), ("euclidean", 0.75), ("euclidean", 0.0)]


@pytest.mark.parametrize(("metric", "threshold"), METRICS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pairs_are_those_of_all_pairs_one_by_one(tmp_path, client, vectors, metric, threshold, dtype):
    write_noise(tmp_path / "photos", IMAGES, seed=4)
    db = make(tmp_path, client)
    db.add_vectors("v", vectors, dtype=dtype)
    wanted = expected(vectors.astype(dtype), metric, threshold)
    pairs = db.find_pairs(on="v", metric=metric, threshold=threshold, sub_block=3, tile_side=1)
    assert len(wanted)
    assert found_pairs(pairs) == wanted
    assert set(pairs.rotation) == {0}


def test_bits_are_compared_by_hamming_distance(tmp_path, client, rng):
    write_noise(tmp_path / "photos", IMAGES, seed=4)
    db = make(tmp_path, client)
    flags = np.repeat(rng.random((4, 40)) < 0.5, 6, axis=0)[:IMAGES] ^ (rng.random((IMAGES, 40)) < 0.05)
    db.add_vectors("bits", flags)
    pairs = db.find_pairs(on="bits", metric="hamming", threshold=5)
    differing = (flags[:, None] != flags[None]).sum(axis=2)
    wanted = {(i, j): float(differing[i, j]) for i, j in itertools.combinations(range(IMAGES), 2)}
    assert found_pairs(pairs) == {pair: bits for pair, bits in wanted.items() if bits <= 5}
    with pytest.raises(UsageError, match="metric='hamming' has no usual threshold; give one by threshold="):
        db.find_pairs(on="bits", metric="hamming")


def test_one_collection_against_another(tmp_path, client, vectors):
    write_noise(tmp_path / "photos", 10, seed=4)
    write_noise(tmp_path / "other", IMAGES - 10, seed=4, first=10)
    db = make(tmp_path, client, "other")
    db.add_vectors("v", vectors)
    wanted = {pair: value for pair, value in expected(vectors, "cosine", 0.9).items() if pair[0] < 10 <= pair[1]}
    assert wanted
    assert found_pairs(db.find_pairs(on="v", threshold=0.9)) == wanted


def test_two_stores_are_compared_by_their_vectors(tmp_path, client, vectors):
    """Copied once, and those of new images later; not if they were made in different ways."""
    sides = {}
    for name, first, images in (("a", 0, 10), ("b", 10, IMAGES - 10)):
        write_noise(tmp_path / name / "photos", images, seed=4, first=first)
        sides[name] = make(tmp_path / name, client)
        sides[name].add_vectors("v", vectors[first : first + images])
    urls = [tmp_path / name / "s" for name in "ab"]

    def compared() -> fd.FastDifPy:
        db = fd.FastDifPy.from_stores(*urls, store=tmp_path / "both", client=client, block_size=4, verbose=False)
        db.index_the_dirs()
        db.first_loop_iteration()
        return db

    found = found_pairs(compared().find_pairs(on="v", threshold=0.9))
    wanted = {pair: value for pair, value in expected(vectors, "cosine", 0.9).items() if pair[0] < 10 <= pair[1]}
    assert found == wanted
    write_noise(tmp_path / "a" / "photos", 2, seed=4, first=IMAGES)
    again = make(tmp_path / "a", client)
    with pytest.raises(UsageError, match=r"in .*/a/s: 2 images new since then have no vectors 'v' yet"):
        compared().find_pairs(on="v", threshold=0.9)
    again.add_vectors("v", vectors[[10, 12]], keys=[f"4-{IMAGES:03}.png", f"4-{IMAGES + 1:03}.png"])
    more = found_pairs(compared().find_pairs(on="v", threshold=0.9))
    assert found.items() <= more.items()
    assert len(more) > len(found)
    _check_changed_sources(compared, again, vectors)
    again.encode(lambda images: images.mean(axis=(1, 2)), "w")
    sides["b"].encode(lambda images: images.mean(axis=(1, 2)) + 1, "w")
    with pytest.raises(UsageError, match=r"vectors 'w' are made with .* and .*; make one of them again as the other"):
        compared().find_pairs(on="w")


def _check_changed_sources(compared, a, vectors):
    """Vectors of a store that come late, or others under their name, are copied again; those made here stay."""
    both, turned = compared(), vectors[::-1]
    both.encode(lambda images: images.mean(axis=(1, 2)), "own")
    own = found_pairs(both.find_pairs(on="own", threshold=-1))
    assert len(own) == 12 * (IMAGES - 10)
    names = [f"4-{number:03}.png" for number in range(10)]
    for keys in (names[:4], names):  # of another array, and then of more images of blocks that are finished
        if keys == names[:4]:
            a.remove_vectors("v")
        a.add_vectors("v", turned[: len(keys)], keys=keys)
        found = found_pairs(compared().find_pairs(on="v", threshold=0.9))
        mixed = np.concatenate([turned[: len(keys)], vectors[10:]])
        first = len(keys)
        wanted = {
            (i, j - first + 10): value for (i, j), value in expected(mixed, "cosine", 0.9).items() if i < first <= j
        }
        assert found == wanted
    assert found_pairs(compared().find_pairs(on="own", threshold=-1)) == own


def test_images_that_come_later_are_compared_with_all(db, tmp_path, client, vectors):
    first = found_pairs(db.find_pairs(on="v", threshold=0.9))
    write_noise(tmp_path / "photos", 5, seed=4, first=IMAGES)
    again = make(tmp_path, client)
    with pytest.raises(UsageError, match="5 images new since then have no vectors 'v' yet; call encode"):
        again.find_pairs(on="v", threshold=0.9)
    more = np.concatenate([vectors, vectors[:5]])
    assert again.add_vectors("v", more).added == 5
    pairs = found_pairs(again.find_pairs(on="v", threshold=0.9))
    assert pairs == expected(more, "cosine", 0.9)
    assert first.items() <= pairs.items()
    (comparison,) = Comparison.all_in(Store(again.store_url))
    assert [part.generations for part in comparison.parts()] == [range(1), range(1, 2)]


def test_a_finished_comparison_answers_a_nearer_threshold_without_comparing(db, vectors):
    db.find_pairs(on="v", threshold=0.5)
    db.find_pairs(on="v", threshold=0.9)
    assert [one.name for one in Comparison.all_in(db.store)] == ["cosine-of-v-0.5"]
    assert found_pairs(db.pairs) == expected(vectors, "cosine", 0.9)
    assert found_pairs(db.result(threshold=0.99).pairs) == expected(vectors, "cosine", 0.99)
    with pytest.raises(UsageError, match=r"compared up to a value of 0.5, not 0.25; call"):
        db.result(threshold=0.25)
    found = found_pairs(db.find_pairs(on="v", metric="euclidean", threshold=0.5))
    assert found == expected(vectors, "euclidean", 0.5)


def test_vectors_that_come_late_to_images_that_were_compared_are_compared(tmp_path, client, vectors):
    names = [path.name for path in write_noise(tmp_path / "photos", IMAGES, seed=4)]
    db = make(tmp_path, client)
    db.add_vectors("v", vectors[:10], keys=names[:10])
    assert found_pairs(db.find_pairs(on="v", threshold=0.9)) == expected(vectors[:10], "cosine", 0.9)
    db.add_vectors("v", vectors[10:], keys=names[10:])
    assert Comparison.all_in(db.store) == []
    assert found_pairs(db.find_pairs(on="v", threshold=0.9)) == expected(vectors, "cosine", 0.9)


def test_find_duplicates_takes_vectors_of_the_store(db, tmp_path, client, vectors):
    where = {"store": tmp_path / "s", "client": client, "block_size": 4, "verbose": False}
    result = fd.find_duplicates(tmp_path / "photos", on="v", threshold=0.9, **where)
    assert found_pairs(result.pairs) == expected(vectors, "cosine", 0.9)
    result = fd.find_duplicates(tmp_path / "photos", on="v", metric="euclidean", threshold=0.75, **where)
    assert found_pairs(result.pairs) == expected(vectors, "euclidean", 0.75)
    with pytest.raises(UsageError, match="no vectors 'w' in the store"):
        fd.find_duplicates(tmp_path / "photos", on="w", **where)


def test_a_result_whose_comparison_was_removed_is_told_in_one_line(db, tmp_path, vectors):
    db.add_vectors("few", vectors[:5], keys=np.arange(5))
    db.find_pairs(on="few", threshold=0.9)
    db.add_vectors("few", vectors[5:6], keys=[5])
    with pytest.raises(UsageError, match="no finished comparison in the store") as error:
        choose_stored(Store(db.store_url))
    assert len(str(error.value).splitlines()) == 1


def test_a_store_in_memory_has_vectors_when_it_was_saved(tmp_path, client, vectors):
    write_noise(tmp_path / "photos", IMAGES, seed=4)
    db = make(tmp_path, client, in_memory=True)
    db.add_vectors("v", vectors)
    db.encode(lambda images: images.mean(axis=(1, 2)), "means")
    assert found_pairs(db.find_pairs(on="v", threshold=0.9)) == expected(vectors, "cosine", 0.9)
    saved = fd.FastDifPy.from_store(tmp_path / "s", client=client)
    assert saved.vector_names == ["means", "v"]
    np.testing.assert_array_equal(saved.vectors("v").compute(), db.vectors("v").compute())


def test_a_store_in_a_bucket_has_vectors(tmp_path, bucket, vectors):
    write_noise(tmp_path / "photos", IMAGES, seed=4)
    with fd.FastDifPy(
        tmp_path / "photos", store=f"{bucket.url}/s", block_size=8, threads=2, verbose=False,
        dashboard_address="127.0.0.1:0",
    ) as db:  # fmt: skip
        db.index_the_dirs()
        db.first_loop_iteration()
        db.add_vectors("v", vectors)
        db.encode(lambda images: images.mean(axis=(1, 2)), "means", size=8)
        assert not np.isnan(db.vectors("means").compute()).any()
        assert found_pairs(db.find_pairs(on="v", threshold=0.9)) == expected(vectors, "cosine", 0.9)


def test_thumbnails_are_compared_as_before_beside_vectors(db):
    db.find_pairs(on="v", threshold=0.9)
    pairs = db.find_pairs(threshold=3000)
    assert "mse" in pairs
    assert db.result().value.described == "difference (MSE) ≤ 3000 with rotations"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"on": "w"}, "no vectors 'w' in the store, which has: v; call encode"),
        ({"on": "../v"}, "'../v' cannot be used for vectors"),
        ({"on": "v", "metric": "manhattan"}, "metric='manhattan' cannot be used; use 'cosine', 'inner'"),
        ({"on": "v", "threshold": 200}, "threshold=200 cannot be used with metric='cosine'; use a number from -1 to 1"),
        ({"on": "v", "metric": "euclidean"}, "metric='euclidean' has no usual threshold; give one by threshold="),
        ({"on": "v", "metric": "euclidean", "threshold": -1}, "use a number from 0"),
        ({"on": "v", "metric": "inner", "threshold": float("nan")}, "use a number that is finite"),
        ({"on": "v", "metric": "hamming", "threshold": 1}, "counts bits, and the vectors are float32"),
        ({"on": "v", "compare": "ssim"}, "compare= is for thumbnails, and on= for vectors; compare those by metric="),
        ({"on": "v", "mirror": True}, "are for thumbnails, not for vectors"),
        ({"on": "v", "gpu_proc": 1}, "a GPU compares by MSE alone"),
        ({"metric": "inner"}, "metric= is for vectors; name them by on="),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(db, options, text):
    with pytest.raises(UsageError, match=text) as error:
        db.find_pairs(**options)
    assert len(str(error.value).splitlines()) == 1
    assert Comparison.all_in(db.store) == []


def test_the_result_names_the_metric_everywhere(db, tmp_path, vectors):
    db.find_pairs(on="v", threshold=0.9)
    wanted = expected(vectors, "cosine", 0.9)
    result = db.result()
    assert "compared by cosine distance of v ≤ 0.1" in repr(result)
    write_json(result, str(tmp_path / "r.json"))
    values = json.loads((tmp_path / "r.json").read_text())
    assert {(Path(one["a"]).stem, one["value"]) for one in values["pairs"]} == {
        (f"4-{a:03}", value) for (a, _), value in wanted.items()
    }
    assert values["settings"]["vectors"] == "v"
    assert values["settings"]["measure"] == "cosine"
    assert db.report(tmp_path / "r.html") == len(result.clusters)
    text = (tmp_path / "r.html").read_text()
    assert "cosine distance of v" in text
    assert "with rotations" not in text.split("<script")[0]
    assert db.export(tmp_path / "t.csv", "pairs") == {"pairs": len(wanted)}
    db.to_sql(f"sqlite:///{tmp_path}/d.db")
    state = store_state(db.store_url)
    assert state["result"]["described"] == "cosine distance of v ≤ 0.1"
    assert "Compare:    cosine distance of v ≤ 0.1: " in describe_store(db.store_url)
    again = fd.FastDifPy.from_store(tmp_path / "s", client=db.client)
    assert again.settings.sl_vectors == "v"
    assert found_pairs(again.result().pairs) == wanted


def test_similar_vectors_are_no_copies_until_the_files_were_looked_at(tmp_path, client, rng):
    """Of four pictures with one vector, two are the same picture and two look otherwise: one goes."""
    photos = tmp_path / "photos"
    photos.mkdir()
    small = rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    for number, pixels in enumerate(small):
        Image.fromarray(pixels).resize((100, 80), Image.Resampling.BICUBIC).save(photos / f"{number}.png")
    Image.open(photos / "0.png").save(photos / "copy.jpg", quality=90)
    db = make(tmp_path, client)
    db.encode(lambda images: np.ones((len(images), 4)), "same")
    pairs = db.find_pairs(on="same", threshold=0.99)
    assert len(pairs) == 6
    assert set(pairs.value) == {0.0}
    plan = db.plan()
    assert [Path(one.path).name for one in plan.chosen] == ["copy.jpg"]
    assert plan.only_similar == []
    outcomes = db.apply(plan, "move", tmp_path / "moved")
    assert [Path(one.path).name for one in outcomes if one.reason is None] == ["copy.jpg"]
    assert sorted(path.name for path in photos.iterdir()) == ["0.png", "1.png", "2.png"]


def test_the_live_page_names_the_metric(db):
    db.find_pairs(on="v", threshold=0.9)
    (comparison,) = Monitor(db.store_url).snapshot().comparisons
    assert comparison.title == "cosine distance of v ≤ 0.1"


def test_with_vectors_go_the_neighbours_and_comparisons_by_them(db, tmp_path, vectors):
    db.find_pairs(on="v", threshold=0.9)
    before = db.neighbours(2, on="v").compute()
    db.neighbours(2).compute()
    kept = {path.name for path in (tmp_path / "s" / "neighbours").rglob("*") if "-of-v-" not in str(path)}
    db.remove_vectors("v")
    assert db.vector_names == []
    assert Comparison.all_in(db.store) == []
    left = {path.name for path in (tmp_path / "s" / "neighbours").rglob("*")}
    assert left == kept
    with pytest.raises(UsageError, match="nothing was compared yet"):
        db.result()
    db.add_vectors("v", -vectors[::-1])
    assert not db.neighbours(2, on="v").compute().equals(before)


def test_similar_vectors_alone_take_nothing(db, tmp_path):
    db.find_pairs(on="v", threshold=0.9)
    assert len(db.pairs)
    with pytest.raises(UsageError, match="similar vectors are no proof of a copy"):
        db.plan(include_similar=True)
    plan = db.plan()
    assert (plan.chosen, plan.only_similar) == ([], [])
    code, said = invoke("apply", tmp_path / "s", "--include", "similar", "--move", tmp_path / "out", "--yes-really")
    assert code
    assert "similar vectors are no proof of a copy" in said
    assert len(list((tmp_path / "photos").iterdir())) == IMAGES
