"""Make tests/storage/data/store-of-0.1.0.zip, a store as the code of version 0.1.0 wrote it.

Run once with the code from before the package had wings: ``python make_old_store.py store-of-0.1.0.zip``.
Only what is public is used: the command line and `FastDifPy`. Beside the store the file has the pictures, the settings
as TOML, and what the commands said. A store has absolute names of folders, so it is made and read in ``FOLDER``.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

FOLDER = Path("/tmp/fastdiff_dask-0.1.0")
# Date of all files, so that the same pictures are found unchanged after unpacking.
SECONDS = 1_000_000_000
# Options of the runs, by the name of the JSON file that each writes.
RUNS = {
    "at-100": ["--threshold", "100"],
    "at-600": ["--threshold", "600", "--mirror"],
    "of-like-shape": ["--threshold", "900", "--match-aspect-by", "1.5"],
}


def set_dates() -> None:
    """Give all pictures the same date."""
    for path in (FOLDER / "photos").iterdir():
        os.utime(path, (SECONDS, SECONDS))


def find(name: str, out: Path) -> list[str]:
    """Arguments of a run that writes its JSON file into a folder."""
    size = ["--thumbnail-size", "8", "--block-size", "8"]
    return [
        "find",
        f"{FOLDER}/photos",
        "--store",
        f"{FOLDER}/store",
        *size,
        *RUNS[name],
        "--json",
        f"{out}/{name}.json",
    ]


def main() -> None:
    """Make the pictures, run all commands, and pack what is there."""
    import fastdiff_dask as fd
    from fastdiff_dask.testing import simulate_images

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    simulate_images(FOLDER / "photos", images=9, duplicates=5, size=(64, 48))
    (FOLDER / "photos" / "bad.jpg").write_text("no picture")
    set_dates()

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "fastdiff_dask", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    run(*find("at-100", FOLDER), "--save-config", f"{FOLDER}/photos.toml")
    with fd.FastDifPy.from_store(FOLDER / "store", verbose=False) as db:
        db.second_loop_iteration(similarity_threshold=100.0)
        pair = db.pairs.iloc[0]
        db.not_duplicates([(pair.a, pair.b)])
    for name in RUNS:
        run(*find(name, FOLDER))
    (FOLDER / "status.txt").write_text(run("status", f"{FOLDER}/store"))
    run("export", f"{FOLDER}/store", f"{FOLDER}/pairs.csv", "--threshold", "50", "--comparison", "mse-100.0-rotations")
    # what tells of the processes that made it
    shutil.rmtree(FOLDER / "store" / "activity")
    for name in ("writer.json", "writer.lock"):
        (FOLDER / "store" / name).unlink()
    with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(FOLDER.rglob("*")):
            if path.is_file():
                info = zipfile.ZipInfo(str(path.relative_to(FOLDER)), (2001, 9, 9, 1, 46, 40))
                packed.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
