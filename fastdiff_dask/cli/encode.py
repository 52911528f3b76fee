"""The command ``encode``: vectors of images, by an ONNX model or from a file."""

import shlex
from typing import TYPE_CHECKING, Any

import click

from ..config import VECTOR_TYPES
from ..errors import UsageError
from ..text import counted
from .find import CLUSTER, open_project
from .store_argument import store_argument
from .texts.grouped import GroupedCommand

if TYPE_CHECKING:
    from ..compat.fast_diff_py import FastDifPy

__all__ = ["encode"]

# Options that are for a model alone, and for a file alone, by the names of the arguments.
_OF_MODEL = ("size", "preset", "mean", "scale", "layout", "output", "bgr", "batch_size")
_OF_FILE = ("key", "column")


@click.command(cls=GroupedCommand, options=("quiet", *CLUSTER, "dashboard_address", "performance_report"))
@store_argument
@click.option("--name", required=True, metavar="NAME", help="Name of the vectors, for find --on.")
@click.option("--model", metavar="FILE", help="Make them by this ONNX model; needs onnxruntime.")
@click.option("--from", "source", metavar="FILE", help="Take them from this .npy, .npz or .parquet file.")
@click.option(
    "--preset",
    type=click.Choice(["clip", "dino", "imagenet"]),
    help="Prepare pictures as the authors of these models did.",
)
@click.option("--size", metavar="WxH", help="Pixels of a picture for the model.  [default: as the model tells]")
@click.option("--mean", metavar="M[,M,M]", help="Subtract this from values of 0 to 1.  [default: 0]")
@click.option("--scale", metavar="S[,S,S]", help="Divide by this then.  [default: 1]")
@click.option(
    "--layout",
    type=click.Choice(["channels-first", "channels-last"]),
    help="Input of the model.  [default: as it tells]",
)
@click.option("--output", metavar="NAME", help="Output of the model with the vectors.  [default: the first]")
@click.option("--bgr", is_flag=True, help="The model takes blue, green and red.")
@click.option("--batch-size", type=int, metavar="N", help="Pictures that the model gets at once.  [default: 64]")
@click.option(
    "--dtype",
    type=click.Choice(VECTOR_TYPES),
    help="Numbers to store.  [default: float32 of a model, else those of the file]",
)
@click.option("--key", metavar="COLUMN", help="Paths of the images, or numbers, in the file.  [default: path]")
@click.option("--column", metavar="COLUMN", help="Column of lists in the file.  [default: the only one]")
@click.option("--remove", is_flag=True, help="Remove the vectors of this name from STORE; pictures stay.")
def encode(
    store: str, name: str, model: str | None, source: str | None, remove: bool, quiet: bool, **options: Any
) -> None:
    """Make or add vectors of the images in STORE, for find --on.

    With --model, new images are listed and read first. After a stop at any moment, the same command goes on, and later
    it encodes new images only. With --from, vectors find their images by path: absolute, or below a searched folder.
    """
    if (model is not None) + (source is not None) + remove != 1:
        raise UsageError("vectors are made by --model, or come --from a file; give one of them, or --remove")
    given = {option: value for option, value in options.items() if value is not None and value is not False}
    if remove:
        from ..compat.fast_diff_py import FastDifPy

        needless = [option for option in (*_OF_MODEL, *_OF_FILE, "dtype") if option in given]
        if needless:
            raise UsageError(f"{needless[0]}= is for vectors that are made; leave it out to remove some")
        with FastDifPy.from_store(store, verbose=False) as db:
            db.remove_vectors(name)
        if not quiet:
            click.echo(f"Vectors {name}: removed, with the comparisons by them.")
        return
    others = [option for option in (_OF_FILE if source is None else _OF_MODEL) if option in given]
    if others:
        raise UsageError(f"{others[0]}= is for {'a file' if source is None else 'a model'}; leave it out")
    with open_project(store, quiet, **options) as db, db.writing():
        told = _by_model(db, name, str(model), given) if source is None else _from_file(db, name, source, given)
        command = _find_command(db, name)
    if not quiet:
        click.echo(f"Vectors {name}: {told}.")
        click.echo(f"Compare them: {command}")


def _by_model(db: "FastDifPy", name: str, model: str, given: dict[str, Any]) -> str:
    from ..vectors.onnx_encoder import onnx_encoder

    how: dict[str, Any] = {option: given[option] for option in ("preset", "layout", "output", "bgr") if option in given}
    how |= {option: _numbers(option, given[option]) for option in ("mean", "scale") if option in given}
    encoder = onnx_encoder(model, _size(given.get("size")), **how)
    counts = db.index()
    if counts.new + counts.changed:
        click.echo(f"Index: {counted(counts.new + counts.changed, 'new image')}", err=True)
    db.make_thumbnails()
    more = {option: given[option] for option in ("batch_size", "dtype") if option in given}
    return db.encode(encoder, name, **more).described


def _from_file(db: "FastDifPy", name: str, source: str, given: dict[str, Any]) -> str:
    more = {option: given[option] for option in (*_OF_FILE, "dtype") if option in given}
    return db.add_vectors(name, source, **more).described


def _find_command(db: "FastDifPy", name: str) -> str:
    """Command that compares the vectors."""
    from ..project.locations import default_store

    folders = [root.given for root in db.roots if root.side == "a"]
    others = [word for root in db.roots if root.side == "b" for word in ("--against", root.given)]
    store = [] if default_store(db.roots) == db.saved_url else ["--store", db.saved_url]
    return shlex.join(["fastdiff-dask", "find", *folders, *others, *store, "--on", name])


def _size(text: str | None) -> tuple[int, int] | None:
    from .options import parse_size

    if text is None:
        return None
    width, height = parse_size(text)
    return height, width


def _numbers(option: str, text: str) -> float | list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option}={text!r} cannot be used; use a number, or three with commas") from None
    return numbers[0] if len(numbers) == 1 else numbers
