"""Texts of the helps: commands in sections, examples, exit codes, and the versions that matter."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXIT_CODES", "SECTIONS", "describe_versions", "format_sections", "give_examples"]

# Commands in a line, under their headings; one that is in none comes under the last one.
SECTIONS = {
    "Find copies": {
        "find": "find copies and similar images below folders",
        "compare": "compare two collections that were searched",
        "lookup": "tell whether the archive has a file already",
        "encode": "make or add vectors of images, to compare those",
        "neighbours": "find the nearest images of each image",
        "estimate": "tell what a first run takes: time, disk",
    },
    "Look at what was found": {
        "review": "look, mark and clean up in the browser",
        "report": "write the groups as one HTML file",
        "status": "show what is done and what is left",
        "dashboard": "watch a run of another process live",
        "thresholds": "count pairs between thresholds, with samples",
        "inspect": "find blank, dark, blurred, odd and leaked images",
        "export": "write tables to a file or a database",
        "evaluate": "compare what was found with known copies",
        "calibrate": "measure which threshold finds which edits",
    },
    "Remove copies, and bring them back": {
        "apply": "move copies to the trash or elsewhere; lists first",
        "undo": "bring back what apply took",
        "decisions": "list pairs that are not duplicates; forget them",
    },
    "More": {
        "stores": "list or remove what find has stored",
        "guide": "show the manual",
        "completion": "let the shell complete commands",
        "difpy": "run with the options and files of difPy",
    },
}
EXIT_CODES = """\b
Exit codes:
  0    done
  1    the job failed or was stopped halfway, or some files stay as they are
  2    it cannot be run as asked; nothing was done
  130  stopped by Ctrl-C (143 by SIGTERM): the same command goes on

Colours are left out if the environment variable NO_COLOR is set, and where the output is no terminal."""
# Command lines of each command, with what they are for.
_EXAMPLES = {
    "find": (
        ("fastdiff-dask find ~/Pictures", "all copies below a folder"),
        ("fastdiff-dask find ~/Pictures --against /mnt/camera", "pictures of the camera that are there already"),
        ("fastdiff-dask find ~/Pictures --similarity strict --csv -", "the surest pairs, for a program"),
        ("fastdiff-dask find ~/Pictures --on clip --threshold 0.95", "vectors that encode has made, by cosine"),
    ),
    "encode": (
        ("fastdiff-dask encode ~/Pictures --model clip.onnx --preset clip --name clip", "vectors by a model"),
        ("fastdiff-dask encode ~/Pictures --from vectors.parquet --name mine", "vectors that exist, by path"),
    ),
    "compare": (("fastdiff-dask compare STORE_A STORE_B", "two collections, by what was read of them"),),
    "lookup": (
        ("fastdiff-dask lookup ~/Pictures new.jpg", "is it there already, and where"),
        ("fastdiff-dask lookup STORE *.jpg --json -", "a line of JSON for each file"),
        ("fastdiff-dask lookup ~/Pictures --watch ~/Downloads", "what comes in, as it comes"),
    ),
    "neighbours": (("fastdiff-dask neighbours ~/Pictures -k 5 --csv near.csv", "five images for each, as a table"),),
    "estimate": (("fastdiff-dask estimate ~/Pictures", "what a first run takes"),),
    "review": (("fastdiff-dask review", "the result that was found last, in the browser"),),
    "report": (
        ("fastdiff-dask report ~/Pictures", "write report.html"),
        ("fastdiff-dask report --verdict similar -o similar.html", "only what is not proved to be a copy"),
    ),
    "status": (("fastdiff-dask status", "how far the last find is"),),
    "dashboard": (("fastdiff-dask dashboard ~/Pictures", "watch a find that another process runs"),),
    "thresholds": (("fastdiff-dask thresholds ~/Pictures", "pairs between each two thresholds, with a sample"),),
    "inspect": (
        ("fastdiff-dask inspect ~/Pictures", "dark, blurred, odd, equal images"),
        ("fastdiff-dask inspect data --splits train,test --csv issues.csv", "copies in both parts, and a table"),
    ),
    "export": (
        ("fastdiff-dask export ~/Pictures pairs.csv", "the pairs as a table"),
        ("fastdiff-dask export ~/Pictures sqlite:///diff.db", "all tables into a database"),
    ),
    "evaluate": (("fastdiff-dask evaluate ~/Pictures truth.csv", "how many known copies were found"),),
    "calibrate": (("fastdiff-dask calibrate ~/Pictures --sample 20", "which threshold finds which edits"),),
    "apply": (
        ("fastdiff-dask apply ~/Pictures --trash", "list what would be moved to the trash"),
        ("fastdiff-dask apply ~/Pictures --trash --yes", "do it"),
        ("fastdiff-dask apply --prefer ~/Pictures/best --move ~/copies", "keep what is in one folder"),
    ),
    "undo": (
        ("fastdiff-dask undo --list", "what can be brought back"),
        ("fastdiff-dask undo --yes", "bring back what the last apply took"),
    ),
    "decisions": (("fastdiff-dask decisions --forget 3", "the third pair may be copies again"),),
    "stores": (
        ("fastdiff-dask stores", "list them"),
        ("fastdiff-dask stores remove ~/Pictures", "remove what find made of a folder; no picture"),
    ),
    "guide": (("fastdiff-dask guide thresholds", "the page about thresholds"),),
    "completion": (('eval "$(fastdiff-dask completion bash)"', "for this shell; or add the line to ~/.bashrc"),),
    "difpy": (("fastdiff-dask difpy -D ~/Pictures", "the command line of difPy"),),
}
# Packages by the extra that installs them; those of no extra are always there.
_VERSIONS = (
    *(("numpy", ""), ("dask", ""), ("distributed", ""), ("zarr", ""), ("Pillow", ""), ("pandas", ""), ("pyarrow", "")),
    *(("pillow-heif", "heif"), ("pillow-jxl-plugin", "jxl"), ("ImageHash", "hashes"), ("scikit-image", "ssim")),
    *(
        ("matplotlib", "plot"),
        ("piexif", "metadata"),
        ("s3fs", "s3"),
        ("SQLAlchemy", "sql"),
        ("watchdog", "watch"),
        ("cupy", "cuda12"),
    ),
)


def give_examples(name: str, command: click.Command) -> None:
    """Put examples below the help of a command."""
    examples = _EXAMPLES.get(name, ())
    if examples:
        lines = [line for text, purpose in examples for line in (f"  # {purpose}", f"  {text}")]
        command.epilog = "\n".join(["\b", "Examples:", *lines])


def format_sections(
    formatter: click.HelpFormatter, commands: "Mapping[str, click.Command]", sections: "Mapping[str, Mapping[str, str]]"
) -> None:
    """Write the commands with a line on each, under the headings of their sections."""
    placed = {name for names in sections.values() for name in names}
    others = {name: one.get_short_help_str() for name, one in commands.items() if name not in placed and not one.hidden}
    for place, (heading, lines) in enumerate(sections.items(), 1):
        here = {name: text for name, text in lines.items() if name in commands}
        rows = list((here | others if place == len(sections) else here).items())
        with formatter.section(heading):
            formatter.write_dl(rows)


def describe_versions() -> str:
    """Name the versions that matter in a report of an error: of this program, of Python, and of packages."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from ..._version import __version__

    lines = [f"fastdiff-dask, version {__version__}", f"Python {platform.python_version()} on {platform.platform()}"]
    missing = []
    for name, extra in _VERSIONS:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(f"{name} ({extra})" if extra else name)
    if missing:
        lines.append(f"not installed, with the extra that has it: {', '.join(missing)}")
    return "\n".join(lines)
