"""Encoders from ONNX model files, by onnxruntime: one session a process, nothing of it pickled but path and digest."""

import hashlib
import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import FastDiffError, UsageError
from ..extras import need
from ..text import one_line, printable

__all__ = ["PRESETS", "OnnxEncoder", "Preset", "onnx_encoder"]


class Preset(NamedTuple):
    """Preparation of pictures by the authors of a family of models.

    Attributes
    ----------
    size
        Height and width, where the model takes any.
    mean, scale
        Subtracted from values of 0 to 1, and then divided by; red, green, blue.
    outputs
        Names of outputs of its usual export, the best one first.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    outputs: tuple[str, ...] = ()


# Mean and deviation of ImageNet, as of ResNet (He, Zhang, Ren and Sun 2015) in torchvision, and of DINO.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PRESETS = {
    # Radford et al. 2021, "Learning transferable visual models from natural language supervision"
    "clip": Preset(
        (224, 224),
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
        ("image_embeds", "pooler_output", "last_hidden_state"),
    ),
    # Caron et al. 2021, "Emerging properties in self-supervised vision transformers"; Oquab et al. 2023, DINOv2
    "dino": Preset((224, 224), *_IMAGENET, ("pooler_output", "last_hidden_state")),
    "imagenet": Preset((224, 224), *_IMAGENET),
}
_LAYOUTS = ("channels-first", "channels-last")
# Types of inputs of ONNX, as NumPy has them; bytes are taken as they are.
_INPUTS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class _How(NamedTuple):
    """Options of an encoder: all that makes it but the file of the model."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    layout: str
    output: str
    bgr: bool


def onnx_encoder(
    path: str | os.PathLike[str],
    size: tuple[int, int] | int | None = None,
    *,
    preset: str | None = None,
    mean: float | Sequence[float] | None = None,
    scale: float | Sequence[float] | None = None,
    layout: str | None = None,
    output: str | None = None,
    bgr: bool | None = None,
) -> "OnnxEncoder":
    """Make an encoder of an ONNX model file, for `FastDifPy.encode`.

    The model gets ``(value / 255 − mean) / scale`` of pictures in red, green and blue, or the bytes if its input is of
    bytes. Pictures are resized as a whole, without cutting off their sides.

    What is not given is that of the preset, else of the metadata of the model (``size``, ``mean``, ``scale`` or
    ``std``, ``bgr``), else as below. A size and a layout that the model has are its own.

    Parameters
    ----------
    path
        The file; workers must see it, or a copy, under the same path.
    size
        Height and width of the pictures; needed if the model takes any.
    preset
        "clip", "dino" or "imagenet": size, mean, scale and output of the models of these papers, see `PRESETS`.
    mean, scale
        A number, or one for each channel; 0 and 1.
    layout
        "channels-first" for inputs (n, 3, h, w), "channels-last" for (n, h, w, 3); by default as the input tells.
    output
        Name of the output with the vectors; by default that of the preset, else the first one. Of an output (n, t, d)
        the first of t is taken, the class token of a transformer; of (n, d, h, w) the mean over positions.
    bgr
        The model takes blue, green and red; False.

    Returns
    -------
    The encoder, a function of images (n, h, w, 3) uint8.

    Raises
    ------
    UsageError
        If onnxruntime is not installed, the file is no such model, or an argument is needed or does not fit.
    """
    need("onnxruntime", "onnxruntime", "onnx")
    place = os.path.abspath(os.path.expanduser(os.fspath(path)))  # noqa: PTH100, PTH111 - Path raises without a home
    try:
        digest = _digest(place)
    except OSError as error:
        raise UsageError(f"the model {printable(place)} cannot be read: {error.strerror}") from None
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"preset={preset!r} is not known; use {', '.join(map(repr, PRESETS))}")
    session = _session(place, digest)
    known = dict(session.get_modelmeta().custom_metadata_map)
    chosen = None if preset is None else PRESETS[preset]
    inputs = [one for one in session.get_inputs() if one.name not in ("input_ids", "attention_mask")]
    pictures = [one for one in inputs if len(one.shape) == 4]
    if len(pictures) != 1 or len(session.get_inputs()) != 1:
        shown = ", ".join(f"{one.name} {one.shape}" for one in session.get_inputs())
        raise UsageError(f"the model {printable(place)} takes {shown}; it must take pictures alone, as (n, 3, h, w)")
    order = _layout_of(pictures[0].shape, layout, place)
    how = _How(
        _size_of(pictures[0].shape, order, size, chosen, known, place),
        _channels("mean", mean, chosen, known.get("mean"), 0.0),
        _channels("scale", scale, chosen, known.get("scale", known.get("std")), 1.0),
        order,
        _output_of(session, output, chosen, place),
        known.get("bgr", "").lower() in ("1", "true") if bgr is None else bool(bgr),
    )
    return OnnxEncoder(place, digest, how)


class OnnxEncoder:
    """A function of images that runs an ONNX model; made by `onnx_encoder`.

    Pickled, it is the path, the digest of the file, and the options. A process that gets it opens the file, sees that
    it is the same, and keeps one session for all threads.

    Parameters
    ----------
    path, digest
        The file, absolute, and its SHA-256.
    how
        What is done with pictures and output.

    Attributes
    ----------
    size
        Height and width of the pictures.
    identity
        Name that tells it from others: the file's name, and a digest of content and options.
    """

    def __init__(self, path: str, digest: str, how: _How) -> None:
        self._path, self._digest, self._how = path, digest, how
        self.size = how.size
        name = "".join(c if c.isalnum() or c in "_." else "_" for c in Path(path).name)[-80:]
        made = hashlib.sha256(f"{digest} {tuple(how)}".encode()).hexdigest()
        self.identity = f"{name}-{made[:16]}"

    def __repr__(self) -> str:
        height, width = self.size
        return f"<OnnxEncoder {Path(self._path).name} of {height}×{width} pixels>"

    def __reduce__(self) -> tuple[Any, ...]:
        return OnnxEncoder, (self._path, self._digest, self._how)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Run the model.

        Parameters
        ----------
        images
            (n, h, w, 3) uint8, of `size`.

        Returns
        -------
        (n, d) numbers.
        """
        session = _session(self._path, self._digest)
        (given,) = session.get_inputs()
        pixels = self._prepared(images, _INPUTS.get(given.type, np.float32))
        # a model that was exported for so many pictures takes no other number
        most = given.shape[0] if isinstance(given.shape[0], int) and given.shape[0] > 0 else len(pixels)
        found = []
        for start in range(0, len(pixels), most):
            some = pixels[start : start + most]
            filled = np.concatenate([some, np.zeros((most - len(some), *some.shape[1:]), some.dtype)])
            (values,) = session.run([self._how.output], {given.name: filled})
            found.append(_as_rows(np.asarray(values), self._how.output)[: len(some)])
        return np.concatenate(found)

    def _prepared(self, images: NDArray[np.uint8], dtype: Any) -> NDArray[Any]:
        how = self._how
        if how.bgr:
            images = images[..., ::-1]
        if dtype is not np.uint8:
            mean, scale = np.array(how.mean, np.float32), np.array(how.scale, np.float32)
            images = ((images.astype(np.float32) / np.float32(255) - mean) / scale).astype(dtype)
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2) if how.layout == _LAYOUTS[0] else images)


def _as_rows(values: NDArray[Any], output: str) -> NDArray[Any]:
    """Make rows of an output: class tokens of (n, t, d), means over positions of (n, d, h, w)."""
    if values.ndim == 3:
        values = values[:, 0]
    elif values.ndim == 4:
        values = values.astype(np.float64).mean(axis=(2, 3))
    if values.ndim != 2:
        raise FastDiffError(f"output {output} of the model has shape {values.shape}, no vectors (n, d); name another")
    return values


# -- what the file tells -----------------------------------------------------------------------------------------------


def _layout_of(shape: Sequence[Any], asked: str | None, path: str) -> str:
    if asked is not None and asked not in _LAYOUTS:
        raise UsageError(f"layout={asked!r} is not known; use {', '.join(map(repr, _LAYOUTS))}")
    first, last = (isinstance(shape[axis], int) and shape[axis] == 3 for axis in (1, 3))
    fixed = [isinstance(shape[axis], int) and shape[axis] > 0 for axis in (1, 3)]
    possible = [name for name, fits, known in zip(_LAYOUTS, (first, last), fixed, strict=True) if fits or not known]
    told = [name for name, fits in zip(_LAYOUTS, (first, last), strict=True) if fits]
    if asked is None and len(told) == 1:
        return told[0]
    if asked is None and len(possible) == 2:
        return _LAYOUTS[0]  # nothing tells; most models are so
    if asked in possible:
        return str(asked)
    raise UsageError(f"the model {printable(path)} takes pictures of shape {list(shape)}, not of three channels so")


def _size_of(
    shape: Sequence[Any],
    layout: str,
    asked: tuple[int, int] | int | None,
    preset: Preset | None,
    known: dict[str, str],
    path: str,
) -> tuple[int, int]:
    own = shape[2:4] if layout == _LAYOUTS[0] else shape[1:3]
    fixed = [side if isinstance(side, int) and side > 0 else None for side in own]
    default: Any = asked
    if default is None:
        default = _numbers(known.get("size", "")) or (None if preset is None else preset.size)
    if isinstance(default, int):
        default = (default,)
    if default is not None and len(default) == 1:
        default = (*default, *default)
    if default is None and None not in fixed:
        default = fixed
    if default is None or len(default) != 2:
        raise UsageError(f"the model {printable(path)} takes pictures of any size; give it by size=, as (224, 224)")
    wanted = tuple(int(side) for side in default)
    if asked is None:
        wanted = tuple(own if own is not None else side for own, side in zip(fixed, wanted, strict=True))
    if any(own not in (None, side) for own, side in zip(fixed, wanted, strict=True)):
        sizes = f"{fixed[0]}×{fixed[1]}, not {wanted[0]}×{wanted[1]}"
        raise UsageError(f"the model {printable(path)} takes pictures of {sizes}")
    return wanted[0], wanted[1]


def _channels(
    name: str, asked: float | Sequence[float] | None, preset: Preset | None, known: str | None, usual: float
) -> tuple[float, ...]:
    value: Any = asked
    if value is None and preset is not None:
        value = getattr(preset, name)
    if value is None:
        value = (None if known is None else _numbers(known)) or usual
    try:
        found = np.broadcast_to(np.asarray(value, np.float64), (3,))
    except (TypeError, ValueError):
        raise UsageError(f"{name}={value!r} cannot be used; use a number, or one for each of three channels") from None
    if not np.isfinite(found).all() or (name == "scale" and not found.all()):
        raise UsageError(f"{name}={value!r} cannot be used; use finite numbers{', not 0' if name == 'scale' else ''}")
    return tuple(found.tolist())


def _numbers(text: str) -> tuple[float, ...] | None:
    """Read numbers from the metadata of a model, as ``[0.5, 0.5, 0.5]`` or ``224``; None or nothing of other texts."""
    inside = text.strip()
    if inside[:1] + inside[-1:] in ("[]", "()"):
        inside = inside[1:-1].strip().removesuffix(",")
    try:
        found = tuple(float(one) for one in inside.split(",")) if inside else ()
    except ValueError:
        return None
    return found if all(math.isfinite(one) for one in found) else None


def _output_of(session: Any, asked: str | None, preset: Preset | None, path: str) -> str:
    names = [one.name for one in session.get_outputs()]
    if asked is not None and asked not in names:
        raise UsageError(f"the model {printable(path)} has no output {asked!r}; it has {', '.join(names)}")
    wanted = () if preset is None else preset.outputs
    return asked or next((name for name in wanted if name in names), names[0])


# -- sessions ----------------------------------------------------------------------------------------------------------

_sessions: dict[tuple[str, str], Any] = {}
_opening = threading.Lock()


def _digest(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()


def _session(path: str, digest: str) -> Any:
    """Give the session of a model in this process; it is made once, and used by all threads."""
    with _opening:
        if (path, digest) not in _sessions:
            _sessions[path, digest] = _opened(path, digest)
        return _sessions[path, digest]


def _opened(path: str, digest: str) -> Any:
    need("onnxruntime", "onnxruntime", "onnx")
    import onnxruntime

    try:
        found = _digest(path)
    except OSError as error:
        raise FastDiffError(f"a worker cannot read the model {printable(path)}: {error.strerror}") from None
    if found != digest:
        raise FastDiffError(
            f"the model {printable(path)} is another file on a worker, or has changed; make it the same"
        )
    options = onnxruntime.SessionOptions()
    # a thread of a worker is one core
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = [name for name in _PROVIDERS if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # of many types of its own
        raise UsageError(f"{printable(path)} cannot be used as an ONNX model: {one_line(error, 200)}") from None
