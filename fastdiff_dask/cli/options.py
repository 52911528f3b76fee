"""Options of the commands that search, made from the declarations in `project.options`."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, get_args

import click

from ..config import DEFAULT_SAMPLE, SIMILARITIES
from ..errors import UsageError
from ..project.options import (
    COMPARE,
    LOOK,
    RUN,
    WRITE,
    ClientOptions,
    Option,
    Settings,
    declarations,
    excluded_by,
)

__all__ = ["arguments_of", "asked_settings", "make_options", "parse_size"]

_SETTINGS = declarations(Settings)
# Settings that say what a threshold is one of.
_MEASURES = ("sl_compare", "sl_vectors", "sl_metric")


class _GroupedOption(click.Option):
    """An option with its group, and the settings that it fills.

    Parameters
    ----------
    *args
        As for `click.Option`.
    group
        Heading in ``--help``.
    fills
        Names of settings.
    values_of
        Value on the command line → a value for each of these settings.
    **more
        As for `click.Option`.
    """

    def __init__(
        self,
        *args: Any,
        group: str,
        fills: tuple[str, ...] = (),
        values_of: Callable[[Any], tuple[Any, ...]] = lambda value: (value,),
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self.group, self.fills, self.values_of = group, fills, values_of


def _option(*names: str, **more: Any) -> Callable[[], click.Option]:
    """Prepare an option, of which each command gets one of its own."""
    return lambda: _GroupedOption(names, **more)


def _declared(name: str, kind: Any, default: Any, option: Option) -> Callable[[], click.Option]:
    """Make the option of the command line for a setting, or for an option of the client."""
    several = isinstance(default, tuple)
    shows = not several and default is not None and not option.shown_default
    known: dict[str, Any] = {"default": default, "show_default": shows}
    if kind is bool:
        known = {"is_flag": True, "default": False}
    elif option.choices:
        known["type"] = click.Choice(option.choices)
    else:
        kinds = get_args(kind) or (kind,)
        known["type"] = next((one for one in (str, float, int) if one in kinds), str)
    text = (option.flag_help or option.help) + (f"  [default: {option.shown_default}]" if option.shown_default else "")
    if name in _SETTINGS:
        known["fills"] = (name,)
        if kind is bool:
            known["values_of"] = lambda _: (not default,)
    return _option(
        f"--{option.flag}", name, group=option.group, multiple=several, metavar=option.metavar, help=text, **known
    )


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of a thumbnail, from ``64x64`` or ``64``."""
    try:
        width, _, height = (text if "x" in text.lower() else f"{text}x{text}").lower().partition("x")
        return int(width), int(height)
    except ValueError:
        raise UsageError(f"size {text!r} is not of the form 64x64") from None


def _file_to_write(path: str) -> tuple[str, bool]:
    if path == "":
        raise UsageError("--save-config has no name of a file; name one")
    return path, True


# Options that are of no use where no picture is decoded.
_OF_PICTURES = frozenset(
    (
        *("similarity_threshold", "similarity", "sl_compare", "sl_rotations", "sl_mirror", "sl_matching_aspect"),
        *("sl_match_aspect_by", "sl_matching_hash", "sl_skip_matching_hash", "fl_shift_amount", "edited", "verify"),
        *("sl_within_folder", "sl_across_folders"),
        *(
            "sl_on",
            "sl_metric",
            "verify_limit",
            "verify_size",
            "exact_decode",
            "diff_plots",
            "sl_plot_limit",
            "gpu",
            "gpu_tasks",
        ),
        *("frames_every", "min_pixels", "max_pixels", "min_width", "min_height"),
        *("workers", "scheduler", "scheduler_file", "performance_report"),
    )
)
# Options that are no setting, or that fill several.
_OTHERS = {
    "config": _option(
        "--config", metavar="FILE", group=LOOK, help="TOML file of settings; options of the command line go before."
    ),
    "thumbnail_size": _option(
        "--thumbnail-size",
        metavar="WxH",
        default="64x64",
        show_default=True,
        group=COMPARE,
        fills=("thumbnail_size_x", "thumbnail_size_y"),
        values_of=parse_size,
        help="Pixels that are compared.",
    ),
    "similarity": _option(
        "--similarity",
        type=click.Choice(list(SIMILARITIES)),
        group=COMPARE,
        fills=("similarity_threshold",),
        values_of=lambda word: (SIMILARITIES[word],),
        help="The threshold as a word: equal thumbnails, up to 50, 200, or 1000.",
    ),
    "gpu": _option(
        "--gpu",
        is_flag=True,
        group=RUN,
        fills=("sl_gpu_proc",),
        values_of=lambda given: (int(given),),
        help="Compare on GPUs; needs CuPy.",
    ),
    "gpu_tasks": _option(
        "--gpu-tasks",
        type=int,
        metavar="N",
        group=RUN,
        fills=("sl_gpu_proc",),
        help="Tasks on each GPU at once, if not 1; the same as --gpu.",
    ),
    "json_path": _option(
        "--json",
        "json_path",
        metavar="FILE",
        group=WRITE,
        help="Write the result as JSON, compressed if FILE ends in .gz; - is standard output.",
    ),
    "csv_path": _option(
        "--csv", "csv_path", metavar="FILE", group=WRITE, help="Write the pairs as CSV; - is standard output."
    ),
    "jsonl_path": _option(
        "--jsonl",
        "jsonl_path",
        metavar="FILE",
        group=WRITE,
        help="Write the pairs as JSON, an object a line; - is standard output.",
    ),
    "diff_plots": _option(
        "--diff-plots",
        metavar="DIR",
        group=WRITE,
        fills=("sl_plot_output_dir", "sl_make_diff_plots"),
        values_of=lambda folder: (folder, True),
        help="Draw similar pairs into this folder, the most similar ones first.",
    ),
    "save_config": _option(
        "--save-config",
        metavar="FILE",
        group=WRITE,
        fills=("cfg_path", "retain_config"),
        values_of=_file_to_write,
        help="Write the settings of this run to a TOML file, for --config.",
    ),
    "quiet": _option(
        "--quiet",
        is_flag=True,
        group=WRITE,
        fills=("verbose",),
        values_of=lambda quiet: (False if quiet else None,),
        help="Print errors only.",
    ),
    "sample": _option(
        "--sample",
        type=int,
        default=DEFAULT_SAMPLE,
        show_default=True,
        metavar="N",
        group=LOOK,
        help="Files to read for it.",
    ),
    "scheduler": _option(
        "--scheduler", metavar="ADDRESS", group=RUN, help="Run on this Dask cluster, tcp:// or tls://host:port."
    ),
    "scheduler_file": _option(
        "--scheduler-file", metavar="FILE", group=RUN, help="Run on the Dask cluster whose scheduler wrote this file."
    ),
    "tls_ca_file": _option(
        "--tls-ca-file", metavar="FILE", group=RUN, help="Certificates of those who sign for the scheduler."
    ),
    "tls_cert": _option("--tls-cert", metavar="FILE", group=RUN, help="Certificate to show to a scheduler at tls://."),
    "tls_key": _option("--tls-key", metavar="FILE", group=RUN, help="Its key, if that is not in the same file."),
}
_OPTIONS = _OTHERS | {
    name: _declared(name, declared.type, declared.default, option)
    for kind in (Settings, ClientOptions)
    for name, (declared, option) in declarations(kind).items()
    if option.flag
}


def make_options(names: Iterable[str]) -> list[click.Parameter]:
    """Make the named options of a command, in this order."""
    return [_OPTIONS[name]() for name in names]


def arguments_of(option: click.Option) -> tuple[str, ...]:
    """Names of the settings and arguments that an option fills, as messages of the library have them."""
    settings = getattr(option, "fills", ())
    return (str(option.name), *settings, *(_SETTINGS[name][1].argument for name in settings))


def asked_settings(config: str | None = None, **more: Any) -> Settings:
    """Settings that the current command was given, over those of a file or the defaults.

    Parameters
    ----------
    config
        A TOML file of settings.
    **more
        Settings that are given by no option.

    Returns
    -------
    The settings of the run.

    Raises
    ------
    UsageError
        If a setting cannot be used, or is of no use without another one.
    """
    from ..kernels.measures import resolve_measure
    from ..project.saved_settings import read_settings

    given = _given_settings() | more
    _check_similarity(given)
    if (
        config is None
        and "fl_shift_amount" in given
        and not {"sl_matching_hash", "sl_skip_matching_hash"} & given.keys()
    ):
        raise UsageError("--hash-shift is for --only-matching-hash and --skip-matching-hash; use one of them, too")
    if config is None and "sl_plot_limit" in given and "sl_make_diff_plots" not in given:
        raise UsageError("--plot-limit is for --diff-plots; name a folder by that, too")
    settings = Settings() if config is None else read_settings(config)
    if given.get("identical", settings.identical):
        _check_identical()
    _check_vectors(given, settings)
    if any(given.get(name, getattr(settings, name)) != getattr(settings, name) for name in _MEASURES):
        given.setdefault("similarity_threshold", None)  # that of a measure is its own
    settings = replace(settings, **excluded_by(given), **given)
    resolve_measure(settings.sl_compare)  # its package may be missing
    return settings


def _check_vectors(given: dict[str, Any], settings: Settings) -> None:
    """Refuse options of vectors without a name of vectors, and measures of thumbnails with one."""
    on = given.get("sl_vectors", settings.sl_vectors)
    if "sl_metric" in given and not on:
        raise UsageError("--metric is for vectors; name them by --on")
    if on and "sl_compare" in given:
        raise UsageError("--compare is for thumbnails, and --on for vectors; compare those by --metric")
    if on and click.get_current_context().params.get("similarity") is not None:
        raise UsageError("--similarity is for thumbnails; give vectors a --threshold")


def _check_similarity(given: dict[str, Any]) -> None:
    """Refuse a word for a threshold beside a number, or for another measure than MSE."""
    ctx = click.get_current_context()
    asked = {name for name in ("similarity", "similarity_threshold") if ctx.params.get(name) is not None}
    if len(asked) > 1:
        raise UsageError("--similarity and --threshold are two ways to say one thing; use one of them")
    if "similarity" in asked and given.get("sl_compare", "mse") != "mse":
        raise UsageError(f"--similarity is for MSE; give {given['sl_compare']} a --threshold")


def _check_identical() -> None:
    """Refuse options that are of no use where no picture is decoded."""
    ctx = click.get_current_context()
    for option in ctx.command.params:
        source = ctx.get_parameter_source(str(option.name))
        if source is click.core.ParameterSource.COMMANDLINE and option.name in _OF_PICTURES:
            name = max(option.opts, key=len)
            raise UsageError(f"{name} is of no use with --identical, which decodes no picture; leave one of them out")


def _given_settings() -> dict[str, Any]:
    ctx = click.get_current_context()
    given: dict[str, Any] = {}
    for option in ctx.command.params:
        source = ctx.get_parameter_source(str(option.name))
        if isinstance(option, _GroupedOption) and source is click.core.ParameterSource.COMMANDLINE:
            given |= zip(option.fills, option.values_of(ctx.params[str(option.name)]), strict=False)
    return given
