"""The tables of a store in a database, by SQLAlchemy and pandas: SQLite and MariaDB, all or nothing.

::

    images          image (key), side, path, path_bytes, size, width, ...: every image, also those with errors
    pairs           a, b (key, → images), mse or value, rotation, mirrored, verdict
    clusters        image (key, → images), cluster, position (0: the best), keep
    errors          image (key, → images), error
    edited_copies   original, copy (key, → images), confidence, words, part, ...; only if there are edited copies
    fastdiff_dask   name (key), value: what wrote the others, and the settings of the comparison

In SQLite all is one transaction. MariaDB ends a transaction at each statement that makes or drops a table, so there new
tables are filled beside the old ones, and all of them change names in one statement.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._version import __version__
from ..errors import FastDiffError, UsageError
from ..text import one_line, printable
from .tables import EDITED_TABLE, TABLES, Tables, decodable

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["PASSWORD_VARIABLE", "is_database", "read_password", "write_sql"]

PASSWORD_VARIABLE = "FASTDIFF_DASK_SQL_PASSWORD"
_MARK = "fastdiff_dask"
_FORMAT = 1
_NEW, _OLD = "__fastdiff_new", "__fastdiff_old"
_KINDS = {"sqlite": "sqlite", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
_OTHERS = ("postgresql", "postgres", "oracle", "mssql", "duckdb")
# A binary collation, as file names may differ in case or accents alone; MariaDB refuses longer keys.
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_SHORT = {"side": 1, "verdict": 16, "format": 64, "mode": 64, "content_hash": 64}
# Rows that are sent at once.
_ROWS = 10_000
# MariaDB's error numbers for missing rights.
_DENIED = {1044, 1045, 1142, 1143, 1227, 1370, 1698}
# Columns of edited copies that name the images, whose numbers are the key.
_NAMED = ("original", "copy", "original_image", "copy_image")
# Name of the value that lists the tables of an export.
_WRITTEN = "tables"
_PATH_KEY, _HASH_KEY = 255, 64


def is_database(target: str) -> bool:
    """Find whether a target is the URL of a database rather than a path.

    Examples
    --------
    >>> is_database("sqlite:///diff.db"), is_database("mysql+pymysql://host/db"), is_database("out/diff.csv")
    (True, True, False)
    """
    kind = target.partition(":")[0].partition("+")[0].lower()
    return ":" in target and (kind in _KINDS or kind in _OTHERS)


def read_password(url: str, given: str | None = None, file: str | os.PathLike[str] | None = None) -> str | None:
    """Find the password of a database: as given, in a file, or in the environment; None if it is in the URL.

    Parameters
    ----------
    url
        Address of the database.
    given
        A password.
    file
        File whose first line is the password.

    Returns
    -------
    The password; None if it is in the URL, or there is none.

    Raises
    ------
    UsageError
        If there are two passwords, or the file cannot be read.
    """
    if file is not None:
        if given is not None:
            raise UsageError("the password of the database was given twice; use a file or the other way")
        try:
            given = Path(file).read_text().partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no text"
            raise UsageError(f"the password cannot be read from {printable(str(file))} ({reason})") from None
    address = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if given is None and ":" not in address and not url.lower().startswith("sqlite"):
        given = os.environ.get(PASSWORD_VARIABLE)
    return given


def write_sql(tables: Tables, url: str, *, password: str | None = None, force: bool = False) -> dict[str, int]:
    """Write the tables into a database, in place of those of an earlier call.

    All or nothing: after an error or a kill the former tables are unchanged, and the next call removes unfinished ones.
    Other tables are not touched. Memory: as `Tables`, and 10,000 rows.

    Parameters
    ----------
    tables
        The tables.
    url
        SQLAlchemy's URL: ``sqlite:///FILE``, ``mysql+pymysql://USER@HOST/DATABASE``, or the same with ``mariadb``.
    password
        Password of the database, if it is not in the URL; by default that in the environment variable
        ``FASTDIFF_DASK_SQL_PASSWORD``.
    force
        Replace tables of the same names that no export wrote.

    Returns
    -------
    Number of rows of each table.

    Raises
    ------
    UsageError
        If the URL cannot be used, the database cannot be reached, or no export wrote its tables of these names.
    FastDiffError
        If writing fails.
    """
    address, secret = _address(url, read_password(url, password))
    _ = tables.result  # fails before a file is made
    engine = _engine(address, secret)
    secrets = [url, quote(secret, safe=""), secret] if secret else []
    try:
        with _errors(engine, "opened", secrets, always_usage=True), engine.connect() as connection:
            connection.close()
        with _errors(engine, "written", secrets), engine.connect() as connection:
            return (_write_sqlite if engine.dialect.name == "sqlite" else _write_mariadb)(connection, tables, force)
    finally:
        engine.dispose()


# -- the address -------------------------------------------------------------------------------------------------------


def _address(url: str, password: str | None) -> tuple["sa.URL", str]:
    """Split a URL into the address and the password."""
    try:
        from sqlalchemy.engine import URL, make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise UsageError("a package is missing to write to a database: pip install 'fastdiff_dask[sql]'") from None
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise UsageError(
            "the address of the database is none; it looks like sqlite:///diff.db or mysql+pymysql://user@host/database"
        ) from None
    kind, _, driver = address.drivername.partition("+")
    if kind not in _KINDS or driver not in ("", "pymysql" if kind != "sqlite" else "pysqlite"):
        raise UsageError(
            f"databases of {printable(address.drivername)} cannot be written; use sqlite:///FILE or "
            f"mysql+pymysql://USER@HOST/DATABASE"
        )
    if any("pass" in name for name in address.query):
        raise UsageError("the address of the database has a password among its options; give it in another way")
    if kind == "sqlite":
        if password is not None:
            raise UsageError("a SQLite file has no password; leave it out")
        if address.database in (None, "", ":memory:"):
            raise UsageError("sqlite:// names no file; use sqlite:///diff.db")
    else:
        if password is not None and address.password is not None:
            raise UsageError("the password of the database was given twice; leave it out of the address")
        if not address.database:
            raise UsageError("the address names no database; use mysql+pymysql://USER@HOST/DATABASE")
    secret = str(address.password or "") if password is None else password
    # SQLAlchemy's address is without the password
    parts = {name: getattr(address, name) for name in ("username", "host", "port", "database", "query")}
    return URL.create(_KINDS[kind], **parts), secret


def _engine(address: "sa.URL", secret: str) -> "sa.Engine":
    import sqlalchemy as sa

    options: dict[str, Any] = {"hide_parameters": True, "poolclass": sa.pool.NullPool}
    if address.get_backend_name() == "mysql":
        # texts that are too long are errors, not cut off silently
        strict = "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
        # as bytes: the driver encodes text as Latin-1
        options["connect_args"] = {"connect_timeout": 10, "init_command": strict, "password": secret.encode()}
    try:
        engine = sa.create_engine(address, **options)
    except ImportError:
        raise UsageError("a package is missing to write to MariaDB: pip install 'fastdiff_dask[sql]'") from None
    if engine.dialect.name == "sqlite":
        # Python's sqlite3 would begin a transaction late, and not at all before CREATE and DROP
        @sa.event.listens_for(engine, "connect")
        def _connect(connection: Any, _: Any) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA foreign_keys=ON")

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextlib.contextmanager
def _errors(engine: "sa.Engine", what: str, secrets: list[str], *, always_usage: bool = False) -> Iterator[None]:
    """Make errors of a database or its driver one line without passwords."""
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    shown = str(engine.url.set(query={}))
    try:
        yield
    except FastDiffError:
        raise
    except Exception as error:
        if not always_usage and not isinstance(error, SQLAlchemyError | OSError):
            raise  # drivers raise anything for bad options of an address; while writing, other errors are bugs of ours
        cause = getattr(error, "orig", None) or error
        code = cause.args[0] if cause.args and isinstance(cause.args[0], int) else 0
        text = str(cause.args[1] if code and len(cause.args) > 1 else cause)
        for secret in secrets:
            text = text.replace(secret, "***")
        remedy = "check the address, the name and the password" if always_usage else "the former tables stay"
        if isinstance(error, IntegrityError):
            remedy += "; the store may have changed meanwhile, try again"
        message = f"the database {printable(shown)} cannot be {what} ({one_line(text)}); {remedy}"
        raise (UsageError if always_usage or code in _DENIED else FastDiffError)(message) from None


# -- the tables --------------------------------------------------------------------------------------------------------


def _metadata(tables: Tables, suffix: str = "") -> dict[str, "sa.Table"]:
    """Describe the tables by name, those that others refer to first."""
    import sqlalchemy as sa

    metadata = sa.MetaData()
    kinds = {"int64": sa.BigInteger, "int32": sa.Integer, "int16": sa.SmallInteger, "int8": sa.SmallInteger}
    kinds |= {"string": sa.Text, "binary": sa.LargeBinary, "bool": sa.Boolean, "double": sa.Double}

    def column(table: str, name: str, *more: Any, **rest: Any) -> "sa.Column[Any]":
        kind = kinds[str(tables.schema(table).field(name).type)]
        return sa.Column(name, sa.String(_SHORT[name]) if name in _SHORT else kind, *more, **rest)

    def number(name: str = "image") -> "sa.Column[Any]":
        return sa.Column(name, sa.BigInteger, sa.ForeignKey(f"images{suffix}.image"), primary_key=True)

    def table(name: str, *parts: Any, **more: Any) -> "sa.Table":
        return sa.Table(f"{name}{suffix}", metadata, *parts, **_OPTIONS, **more)

    images, value = tables.schema("images").names[1:], tables.schema("pairs").names[2]
    found = [
        table(
            "images",
            sa.Column("image", sa.BigInteger, primary_key=True, autoincrement=False),
            *(column("images", name, nullable=name not in ("side", "path", "size")) for name in images),
            sa.Index("images_path", "path", mysql_length=_PATH_KEY),
            sa.Index("images_content_hash", "content_hash"),
            sa.Index("images_hash_key", "hash_key", mysql_length=_HASH_KEY),
        ),
        table(
            "pairs",
            number("a"),
            number("b"),
            *(column("pairs", name, nullable=False) for name in (value, "rotation", "mirrored", "verdict")),
            sa.Index("pairs_b", "b"),
            sa.Index(f"pairs_{value}", value),
            sqlite_with_rowid=False,
        ),
        table(
            "clusters",
            number(),
            *(column("clusters", name, nullable=False) for name in ("cluster", "position", "keep")),
            sa.Index("clusters_cluster", "cluster"),
        ),
        table("errors", number(), column("errors", "error", nullable=False)),
        table(_MARK, sa.Column("name", sa.String(64), primary_key=True), sa.Column("value", sa.Text, nullable=False)),
    ]
    columns = [] if EDITED_TABLE not in tables.names else tables.schema(EDITED_TABLE).names
    edited = [column(EDITED_TABLE, name, nullable=False) for name in columns if name not in _NAMED]
    if edited:
        ends = number("original"), number("copy"), sa.Index("edited_copies_copy", "copy")
        found.append(table(EDITED_TABLE, *ends, *edited))
    return dict(zip((*TABLES, _MARK, EDITED_TABLE), found, strict=False))


def _fill(
    connection: "sa.Connection", tables: Tables, targets: dict[str, "sa.Table"], commit: Callable[[], None]
) -> dict[str, int]:
    """Make the tables and insert all rows; `commit` is called after each part."""
    import sqlalchemy as sa

    for table in targets.values():
        connection.execute(sa.schema.CreateTable(table))
    counts = dict.fromkeys(tables.names, 0)
    for name in tables.names:
        target = targets[name]
        kinds = {column.name: column.type for column in target.columns}
        for part in tables.parts(name):
            if name == "pairs":
                part = part.drop(columns=["a", "b"]).rename(columns={"a_image": "a", "b_image": "b"})
            if name == EDITED_TABLE:
                part = part.drop(columns=["original", "copy"])
                part = part.rename(columns={"original_image": "original", "copy_image": "copy"})
            rows = decodable(part[list(kinds)]) if name == "images" else part[list(kinds)]
            rows.to_sql(target.name, connection, if_exists="append", index=False, chunksize=_ROWS, dtype=kinds)
            counts[name] += len(rows)
            commit()
        for index in target.indexes:  # at once, which is faster than row by row
            index.create(connection)
    about = {"format": _FORMAT, "version": __version__, "settings": json.dumps(tables.result.settings)}
    about |= {_WRITTEN: ", ".join(tables.names)}
    connection.execute(targets[_MARK].insert(), [{"name": name, "value": str(about[name])} for name in about])
    return counts


def _check_foreign(connection: "sa.Connection", tables: Tables, force: bool) -> set[str]:
    """Name all tables; refuse those that no export wrote, and foreign keys that would be lost."""
    import sqlalchemy as sa

    names = set(sa.inspect(connection).get_table_names())
    foreign = names & {*TABLES, _MARK}
    if _MARK in names:
        columns = {column["name"] for column in sa.inspect(connection).get_columns(_MARK)}
        foreign = set() if columns == {"name", "value"} else foreign
    if EDITED_TABLE in names and EDITED_TABLE in tables.names and not _wrote_edited(connection, names):
        foreign.add(EDITED_TABLE)
    if foreign and not force:
        raise UsageError(
            f"the database has tables of something else: {', '.join(sorted(foreign))}; name another database, or "
            f"replace them with force=True"
        )
    own = {f"{name}{suffix}" for name in (*TABLES, EDITED_TABLE, _MARK) for suffix in ("", _NEW, _OLD)}
    for name in sorted(names - own):
        if {key["referred_table"] for key in sa.inspect(connection).get_foreign_keys(name)} & own:
            # the key would refer to nothing when the tables are replaced
            raise UsageError(f"table {printable(name)} of the database has a foreign key to these tables; drop the key")
    return names


def _wrote_edited(connection: "sa.Connection", names: set[str]) -> bool:
    """Find whether the last export had a table of edited copies; another one of this name is somebody else's."""
    query = f"SELECT value FROM {_MARK} WHERE name = '{_WRITTEN}'"
    written = connection.exec_driver_sql(query).scalar() if _MARK in names else None
    return EDITED_TABLE in (written or "").split(", ")


def _replaced(connection: "sa.Connection", tables: Tables, names: set[str]) -> list[str]:
    """Name the tables that are replaced, those that others refer to first."""
    edited = EDITED_TABLE in tables.names or _wrote_edited(connection, names)
    return [*TABLES, *([EDITED_TABLE] if edited else []), _MARK]


def _write_sqlite(connection: "sa.Connection", tables: Tables, force: bool) -> dict[str, int]:
    with connection.begin():
        names = _check_foreign(connection, tables, force)
        for name in reversed(_replaced(connection, tables, names)):
            if name in names:
                connection.exec_driver_sql(f"DROP TABLE {name}")
        return _fill(connection, tables, _metadata(tables), lambda: None)


def _write_mariadb(connection: "sa.Connection", tables: Tables, force: bool) -> dict[str, int]:
    # the lock ends with the connection, also after a kill
    lock = f"{_MARK}.{connection.engine.url.database}"[:64]
    if connection.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (lock,)).scalar() != 1:
        raise FastDiffError("another export is writing to this database; wait for its end")
    names = _check_foreign(connection, tables, force)
    everything = _replaced(connection, tables, names)
    _drop(connection, [f"{name}{suffix}" for suffix in (_NEW, _OLD) for name in (*everything, EDITED_TABLE)], names)
    targets = _metadata(tables, _NEW)
    try:
        counts = _fill(connection, tables, targets, connection.commit)
        connection.commit()
        moves = [f"{name} TO {name}{_OLD}" for name in everything if name in names]
        moves += [f"{name}{_NEW} TO {name}" for name in targets]
        connection.exec_driver_sql(f"RENAME TABLE {', '.join(moves)}")
    except Exception:  # tables that are half filled are removed after any error
        with contextlib.suppress(Exception):  # the connection may be gone, and the next run removes them
            connection.rollback()
            _drop(connection, [table.name for table in targets.values()], None)
        raise
    _drop(connection, [f"{name}{_OLD}" for name in everything], None)
    return counts


def _drop(connection: "sa.Connection", wanted: list[str], names: set[str] | None) -> None:
    """Drop tables, at last those that others refer to; with `names`, only tables among these."""
    for name in sorted(wanted, key=lambda one: one.startswith("images")):
        if names is None or name in names:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
    connection.commit()
