"""difPy's command line: its files, in its units, by two loops over the pictures; and what it moves and deletes."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import invoke

from fastdiff_dask.images.decode import read_image
from fastdiff_dask.testing import simulate_photo

SIZES = [(20, 20), (20, 20), (30, 20)]


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two folders with pictures like others, equal, turned, a little brighter, and of other sizes; and no picture."""
    for folder, numbers in (("one", range(12)), ("two", range(12, 18))):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for number in numbers:
            rng = np.random.default_rng(number % 4)
            blocks = rng.integers(40, 216, (4, 4, 3)) + number // 8 % 2
            picture = Image.fromarray(blocks.astype(np.uint8)).resize(SIZES[number // 4 % 3], Image.Resampling.NEAREST)
            turned = picture.rotate(90 * (number // 4 % 2), expand=True)
            turned.save(tmp_path / "photos" / folder / f"{number:02d}.png")
    (tmp_path / "photos" / "one" / "note.txt").write_text("no picture")
    return tmp_path / "photos"


def written(folder: Path) -> dict[str, object]:
    """The three files of the only run that wrote there."""
    files = {path.stem.split("_", 2)[2]: path for path in folder.glob("difPy_*.json")}
    assert set(files) == {"results", "lower_quality", "stats"}
    return {name: json.loads(path.read_text()) for name, path in files.items()}


def expected(paths: list[Path], limit: float, *, rotate: bool = True, same_dim: bool = True) -> dict[str, list]:
    """Each image with the first one by path that it is similar to; MSE per pixel and channel."""
    read = {str(path): read_image(str(path), 50, 50, exact_decode=True) for path in paths}
    shapes = {path: (record.width, record.height) for path, (record, _) in read.items()}
    groups: dict[str, list] = {}
    taken = set()
    for a, b in combinations(sorted(read), 2):
        if same_dim and shapes[b] not in ((shapes[a], shapes[a][::-1]) if rotate else (shapes[a],)):
            continue
        x, y = (np.asarray(read[path][1]).astype(int) for path in (a, b))
        mse = min(((np.rot90(x, turn) - y) ** 2).mean() for turn in (range(4) if rotate else (0,)))
        if mse <= limit and b not in taken:
            groups.setdefault(a, []).append([b, mse])
            taken.add(b)
    return groups


def same(found: dict[str, list], wanted: dict[str, list]) -> bool:
    assert {a: [path for path, _ in others] for a, others in found.items()} == {
        a: [path for path, _ in others] for a, others in wanted.items()
    }
    for a, others in found.items():
        assert [mse for _, mse in others] == pytest.approx([mse for _, mse in wanted[a]])
    return bool(wanted)


@pytest.mark.parametrize(
    ("arguments", "limit", "options"),
    [
        ((), 0, {}),
        (("-s", "similar"), 5, {}),
        (("-s", "similar", "-ro", "false"), 5, {"rotate": False}),
        (("-s", "400", "-dim", "false"), 400, {"same_dim": False}),
        (("-s", "400"), 400, {"same_dim": True}),
    ],
)
def test_the_results_are_those_of_two_loops(photos, tmp_path, arguments, limit, options):
    code, output = invoke("difpy", "-D", photos, "-Z", tmp_path / "out", "-p", "false", *arguments)
    assert code == 0, output
    files = written(tmp_path / "out")
    paths = sorted(photos.rglob("*.png"))
    wanted = expected(paths, limit, **options)
    assert same(files["results"], wanted)
    assert all(wanted != expected(paths, limit, **{name: not value}) for name, value in options.items())
    stats = files["stats"]
    assert stats["total_files"] == 19
    assert stats["invalid_files"] == {"count": 1, "logs": {str(photos / "one" / "note.txt"): "Unsupported file type"}}
    assert stats["process"]["search"]["files_searched"] == 18
    found = [mse for others in wanted.values() for _, mse in others]
    duplicates = sum(mse == 0 for mse in found)
    matches = {"duplicates": duplicates, "similar": len(found) - duplicates}
    assert stats["process"]["search"]["matches_found"] == matches
    # what may go is in a group, and one of each group stays
    grouped = [{a, *(path for path, _ in others)} for a, others in wanted.items()]
    assert set(files["lower_quality"]) < set.union(*grouped)
    assert all(group - set(files["lower_quality"]) for group in grouped)


def test_each_folder_by_itself(photos, tmp_path):
    folders = [photos / "one", photos / "two"]
    code, output = invoke("difpy", "-D", *folders, "-Z", tmp_path / "out", "-i", "true", "-s", "similar", "-p", "false")
    assert code == 0, output
    results = written(tmp_path / "out")["results"]
    assert list(results) == [str(folder) for folder in folders]
    for folder in folders:
        assert same(results[str(folder)], expected(sorted(folder.glob("*.png")), 5))


def test_moving_overwrites_nothing(photos, tmp_path):
    before = {path: path.read_bytes() for path in photos.rglob("*.png")}
    options = ("-D", photos, "-Z", tmp_path / "out", "-s", "similar", "-p", "false")
    (tmp_path / "moved").mkdir()
    for path in before:
        (tmp_path / "moved" / path.name).write_bytes(b"not ours")
    assert invoke("difpy", *options, "-mv", tmp_path / "moved")[0] == 0
    lower = written(tmp_path / "out")["lower_quality"]
    assert lower
    assert {path for path in before if not path.exists()} == {Path(path) for path in lower}
    for path in map(Path, lower):
        assert (tmp_path / "moved" / path.name).read_bytes() == b"not ours"
        assert (tmp_path / "moved" / f"{path.stem}_1.png").read_bytes() == before[path]


@pytest.mark.parametrize(
    ("arguments", "answer", "goes"), [((), "n\n", 0), ((), "", 0), ((), "y\n", 1), (("-sd", "1"), "", 1)]
)
def test_deleting_asks_first(photos, tmp_path, arguments, answer, goes):
    before = set(photos.rglob("*.png"))
    code, output = invoke(
        "difpy", "-D", photos, "-Z", tmp_path / "out", "-p", "false", "-d", "true", *arguments, answer=answer
    )
    assert code == 0, output
    assert ("Delete" in output and "cannot be undone" in output) == (not arguments)
    lower = {Path(path) for path in written(tmp_path / "out")["lower_quality"]}
    assert lower
    assert before - set(photos.rglob("*.png")) == (lower if goes else set())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-s", "near"), "--similarity 'near' cannot be used; use duplicates, similar, or an MSE"),
        (("-px", "5"), "--px_size 5 cannot be used; use a whole number from 10 to 1024"),
        (("-proc", "0"), "--processes 0 cannot be used; use a whole number from 1"),
        (("-ch", "0"), "--chunksize 0 cannot"),
        (("-d", "true", "-mv", "there"), "--move_to and --delete exclude each other"),
        (("-mv", "{photos}"), "is the one to move to, or in it"),
        (("-la", "true"), "-la / --lazy is -dim / --same_dim"),
        (("-D", "{photos}", "{photos}/"), "is named twice"),
        (("-D", "nofolder"), "no folder 'nofolder'"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(photos, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    given = [argument.format(photos=photos) for argument in arguments]
    code, output = invoke("difpy", *(() if "-D" in given else ("-D", photos)), *given, "-p", "false")
    assert code != 0
    assert message in output
    assert not list(tmp_path.glob("difPy_*"))


def test_thumbnails_are_those_of_difpy(tmp_path):
    """A large JPEG is decoded at full scale, as difPy does it: its MSE to another one is the same number."""
    (tmp_path / "photos").mkdir()
    first = simulate_photo(np.random.default_rng(3), 1200, 900)
    Image.fromarray(first).save(tmp_path / "photos" / "a.jpg", quality=95)
    Image.fromarray(np.clip(first.astype(int) + 3, 0, 255).astype(np.uint8)).save(tmp_path / "photos" / "b.jpg")
    arguments = ("-D", tmp_path / "photos", "-Z", tmp_path / "out", "-s", "200", "-p", "false", "-px", "50")
    assert invoke("difpy", *arguments)[0] == 0
    thumbnails = [
        np.asarray(Image.open(path).convert("RGB").resize((50, 50), resample=Image.Resampling.BICUBIC), np.int64)
        for path in sorted((tmp_path / "photos").iterdir())
    ]
    reduced = []
    for path in sorted((tmp_path / "photos").iterdir()):
        with Image.open(path) as picture:
            picture.draft("RGB", (100, 100))
            reduced.append(np.asarray(picture.resize((50, 50), resample=Image.Resampling.BICUBIC), np.int64))
    mse, other = (((one[0] - one[1]) ** 2).mean() for one in (thumbnails, reduced))
    assert mse != other
    ((_, ((_, found),)),) = written(tmp_path / "out")["results"].items()
    assert found == pytest.approx(mse, rel=1e-12)
