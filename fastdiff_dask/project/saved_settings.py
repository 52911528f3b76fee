"""Settings that outlive a process: in a TOML file of the user, and in the store of a project."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path

from ..errors import StoreMismatchError, UsageError
from ..local_files import replace_file
from ..storage.store import Store
from ..text import one_line
from .options import Settings, declarations, renamed

__all__ = ["check_settings_file", "read_settings", "record_settings", "recorded_settings", "write_settings"]

_LARGEST_FILE = 1 << 20
# Settings by argument; an argument of two stages is of none.
_SETTINGS = {
    option.argument: name
    for name, (_, option) in declarations(Settings).items()
    if option.argument not in ("", "cpu_proc")
}


def read_settings(path: str | os.PathLike[str]) -> Settings:
    """Read settings from a TOML file; names of folders and files are relative to its folder.

    Raises
    ------
    UsageError
        If there is no such file, or it is not understood.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "photos.toml")
    ...     _ = file.write_text('p_root_dir_a = ["photos"]\\nsimilarity_threshold = 50')
    ...     settings = read_settings(file)
    >>> settings.similarity_threshold, Path(settings.p_root_dir_a[0]).name
    (50, 'photos')
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise UsageError(f"{path} is too large for settings; name a TOML file")
        values = tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(f"the settings in {path} cannot be read: {error.strerror}; name a TOML file") from None
    except UsageError:
        raise
    except ValueError as error:  # no TOML, or no UTF-8
        raise UsageError(
            f"the settings in {path} are no TOML: {one_line(error)}; write lines such as similarity_threshold = 200"
        ) from None
    try:
        settings = Settings.from_values(values)
    except UsageError as error:
        text = renamed(str(error), _SETTINGS).replace("True or False", "true or false")
        raise UsageError(f"in {path}: {text}") from None
    return settings.placed(file.absolute().parent)


def write_settings(settings: Settings, path: str | os.PathLike[str]) -> None:
    """Write settings as a TOML file, in place of a former one.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    import tomli_w

    values = settings.placed(Path.cwd()).to_values()
    # a run that reads the file does not write it
    values = {name: value for name, value in values.items() if name not in ("cfg_path", "retain_config")}
    try:
        replace_file(Path(path), tomli_w.dumps(values).encode())
    except OSError as error:
        raise UsageError(f"the settings cannot be written to {path}: {error.strerror}; name another file") from None
    except UnicodeEncodeError:
        raise UsageError(f"the settings cannot be written to {path}: a name in them is not UTF-8") from None


def check_settings_file(path: Path) -> None:
    """Refuse, before any work, a file that cannot be written or that has something else than settings.

    Raises
    ------
    UsageError
        With the reason.
    """
    folder, there = path.absolute().parent, path.exists()
    why_not = None
    if path.is_dir() or not folder.is_dir():
        why_not = "it is no file in a folder"
    elif not os.access(path if there else folder, os.W_OK):
        why_not = "Permission denied"
    if why_not is not None:
        raise UsageError(f"the settings cannot be written to {path}: {why_not}; name another file")
    if there:
        try:
            read_settings(path)
        except UsageError:
            raise UsageError(f"{path} has no settings, and stays; name another file for them") from None


def record_settings(store: Store, settings: Settings, sources: dict[str, str]) -> None:
    """Record the settings of a run in its store, with the addresses of two stores by side, if it compares two."""
    store.records.write_settings({"settings": settings.to_values(), "stores": sources})


def recorded_settings(store: Store) -> tuple[Settings, dict[str, str]]:
    """Settings of the last run, and the addresses of the two stores that it compared, by side.

    A store may come from someone else:

    - No place to write to is taken from its settings.
    - The folders are those of its images. They have the names of the settings where these name the same folders.

    Raises
    ------
    StoreMismatchError
        If the settings are damaged.
    """
    found = store.records.read_settings()
    made = store.thumbnail_settings
    try:
        values = dict(found.get("settings", {}))
        sources = {str(side): str(url) for side, url in dict(found.get("stores", {})).items()}
        if sources and set(sources) != {"a", "b"}:
            raise ValueError("its stores are not two")
        settings = Settings.from_values(values)
    except (UsageError, ValueError, TypeError) as error:
        raise StoreMismatchError(
            f"the store at {store.url} has damaged settings ({one_line(error, 200)}); remove settings.json from it to "
            f"go on with the usual ones"
        ) from None
    folders = (*settings.p_root_dir_a, *settings.p_root_dir_b)
    given = {os.path.realpath(os.path.expanduser(name)): name for name in folders}  # noqa: PTH111 - or URLs
    names = {side: tuple(given.get(folder, folder) for folder in store.roots[side]) for side in ("a", "b")}
    settings = replace(
        settings,
        p_root_dir_a=() if sources else names["a"],
        p_root_dir_b=() if sources else names["b"],
        thumbnail_size_x=made.width,
        thumbnail_size_y=made.height,
        block_size=made.block_size,
        exact_decode=made.exact_decode,
        sl_make_diff_plots=False,
        sl_plot_output_dir=None,
        cfg_path=None,
        retain_config=False,
    )
    return settings, sources
