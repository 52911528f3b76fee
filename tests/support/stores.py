"""Files of a store."""

from pathlib import Path


def files_of(folder: Path, pattern: str = "*") -> dict[Path, int]:
    """Times of the files that hold results."""
    found = [*(folder / "arrays.zarr").rglob(pattern), *(folder / "images.parquet").rglob(pattern)]
    return {path: path.stat().st_mtime_ns for path in found if path.is_file()}
