"""Databases: what is in them, again and again, all or nothing, and no word of a password. SQLite and a real MariaDB."""

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
import pytest
import sqlalchemy as sa
from support import mariadb
from support.outputs import UNDECODABLE, make_photos, shown

import fastdiff_dask as fd
from fastdiff_dask.outputs import sql
from fastdiff_dask.outputs.tables import Tables

DATABASES = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[mariadb.Server]:
    if (name := mariadb.missing()) is not None:
        pytest.skip(f"{name} is not installed (Debian: mariadb-server)")
    with mariadb.serve(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


class Database(NamedTuple):
    """A new database: its address, and how to look into it."""

    url: str
    query: Callable[..., list[tuple]]
    server: mariadb.Server | None

    def tables(self) -> dict[str, list[tuple]]:
        names = ("images", "pairs", "clusters", "errors", "fastdiff_dask")
        return {name: sorted(self.query(f"SELECT * FROM {name}"), key=str) for name in names}

    def names(self) -> set[str]:
        listed = "SHOW TABLES" if self.server else "SELECT name FROM sqlite_master WHERE type = 'table'"
        return {name for (name,) in self.query(listed)}


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request, tmp_path) -> Database:
    if request.param == "sqlite":

        def look(*statements: str) -> list[tuple]:
            with sqlite3.connect(tmp_path / "diff.db") as connection:
                found = [connection.execute(statement).fetchall() for statement in statements]
            connection.close()
            return found[-1]

        return Database(f"sqlite:///{tmp_path / 'diff.db'}", look, None)
    server = request.getfixturevalue("server")
    name = f"diff_{next(DATABASES)}"
    server.run(f"CREATE DATABASE {name}")
    url = f"mysql+pymysql://{mariadb.USER}:{quote(mariadb.PASSWORD, safe='')}@127.0.0.1:{server.port}/{name}"
    return Database(url, lambda *statements: server.run(*statements, database=name), server)


def test_the_tables_are_what_was_found(db, database):
    counts = db.to_sql(database.url)
    result = db.result()
    assert counts == {"images": 8, "pairs": 4, "clusters": 5, "errors": 2}
    dark = database.query("SELECT path, brightness FROM images WHERE brightness < 0.5 ORDER BY path")
    images = db.inspect().table.query("brightness < 0.5").sort_values("path")
    assert sorted(dark) == sorted(
        (shown(row.path), pytest.approx(row.brightness, abs=1e-6)) for row in images.itertuples()
    )
    # the joins that the guide has
    pairs = database.query(
        "SELECT x.path, y.path, mse, rotation, mirrored, verdict FROM pairs"
        " JOIN images x ON x.image = a JOIN images y ON y.image = b ORDER BY x.path, y.path"
    )
    wanted = [(shown(a), shown(b), *rest) for a, b, *rest in result.pairs.itertuples(index=False, name=None)]
    assert sorted(pairs) == sorted(wanted)
    assert {row[2] for row in pairs} == {0.0, 12.0}
    clusters = database.query(
        "SELECT cluster, path, keep FROM clusters JOIN images USING (image) ORDER BY cluster, position"
    )
    assert clusters == [
        (number, shown(path), path == cluster.keep)
        for number, cluster in enumerate(result.clusters)
        for path in (cluster.keep, *cluster.low_quality)
    ]
    errors = database.query("SELECT path, errors.error FROM errors JOIN images USING (image) ORDER BY path")
    assert errors == [tuple(row) for row in result.errors.itertuples(index=False)]
    images = database.query("SELECT path, path_bytes, width, hash_key IS NULL FROM images")
    broken = ("bad.png", "worse.png")
    assert sorted(images) == sorted(
        (
            shown(str(path)),
            os.fsencode(path) if path.name == UNDECODABLE else None,
            0 if path.name in broken else 8,
            path.name in broken,
        )
        for path in Path(db.roots[0].absolute).iterdir()
    )
    settings = dict(database.query("SELECT name, value FROM fastdiff_dask"))
    assert settings["format"] == "1"
    assert '"similarity_threshold": 50.0' in settings["settings"]


def test_again_and_again_it_is_the_same(db, database):
    db.to_sql(database.url)
    first, names = database.tables(), database.names()
    database.query("CREATE TABLE notes (id INTEGER)", "INSERT INTO notes VALUES (7)")
    for _ in range(2):
        db.to_sql(database.url)
        assert database.tables() == first
    assert database.names() == names | {"notes"}  # nothing is left behind, nothing else is touched
    assert database.query("SELECT id FROM notes") == [(7,)]
    assert db.to_sql(database.url, similarity=0)["pairs"] == 2
    assert len(database.tables()["pairs"]) == 2


def test_what_a_kill_left_behind_is_removed(db, server):
    """After the new tables have taken their place and before the old ones are gone, or before they were full."""
    name = f"diff_{next(DATABASES)}"
    left = [f"{table}__fastdiff_{age}" for table in ("images", "errors") for age in ("old", "new")]
    server.run(f"CREATE DATABASE {name}")
    server.run(*(f"CREATE TABLE {table} (x INTEGER)" for table in left), "SELECT 1", database=name)
    url = f"mysql://{mariadb.USER}@127.0.0.1:{server.port}/{name}"
    assert db.to_sql(url, password=mariadb.PASSWORD)["errors"] == 2
    names = {table for (table,) in server.run("SHOW TABLES", database=name)}
    assert names == {"images", "pairs", "clusters", "errors", "fastdiff_dask"}


def test_keys_refer_to_images(db, database):
    db.to_sql(database.url)
    db.to_sql(database.url)  # and still do when the tables were replaced
    engine = sa.create_engine(database.url)
    found = sa.inspect(engine)
    references = {
        (name, *key["constrained_columns"], key["referred_table"], *key["referred_columns"])
        for name in database.names()
        for key in found.get_foreign_keys(name)
    }
    assert references == {
        ("pairs", "a", "images", "image"), ("pairs", "b", "images", "image"),
        ("clusters", "image", "images", "image"), ("errors", "image", "images", "image"),
    }  # fmt: skip
    assert found.get_pk_constraint("pairs")["constrained_columns"] == ["a", "b"]
    indexed = {tuple(index["column_names"]) for index in found.get_indexes("images")}
    assert {("path",), ("content_hash",), ("hash_key",)} <= indexed
    engine.dispose()


class FullError(Exception):
    pass


@pytest.mark.parametrize("table", ["images", "pairs", "errors"])
def test_an_error_halfway_leaves_the_former_tables(db, database, table, monkeypatch):
    db.to_sql(database.url, similarity=0)
    former, names = database.tables(), database.names()
    whole = Tables.parts

    def broken(self: Tables, name: str) -> Iterator[pd.DataFrame]:
        for part in whole(self, name):
            yield part
            if name == table:
                raise FullError

    monkeypatch.setattr(Tables, "parts", broken)
    with pytest.raises(FullError):
        db.to_sql(database.url)
    assert (database.tables(), database.names()) == (former, names)
    monkeypatch.setattr(Tables, "parts", whole)
    assert db.to_sql(database.url)["pairs"] == 4


def test_a_first_export_that_fails_leaves_nothing(db, database, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.outputs.sql._fill", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        db.to_sql(database.url)
    assert database.names() == set()


KILLED = """
import os, signal, sys
from fastdiff_dask.outputs import sql
from fastdiff_dask.outputs.tables import Tables

whole, at = Tables.parts, sys.argv[3]

def parts(self, name):
    for part in whole(self, name):
        yield part
        if name == at:
            os.kill(os.getpid(), signal.SIGKILL)

Tables.parts = parts
sql.write_sql(Tables.of_store(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize("table", ["images", "errors"])
def test_a_kill_halfway_leaves_the_former_tables(db, database, table):
    db.to_sql(database.url, similarity=0)
    former, names = database.tables(), database.names()
    done = subprocess.run([sys.executable, "-c", KILLED, db.store_url, database.url, table], check=False)
    assert done.returncode == -signal.SIGKILL
    assert database.tables() == former
    deadline = time.monotonic() + 20
    while True:  # the server may take a moment to notice that its client is gone
        try:
            assert db.to_sql(database.url)["pairs"] == 4
            break
        except fd.FastDiffError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert database.names() == names


def test_many_pairs_go_in_parts(db, database, monkeypatch):
    wanted = db.result().pairs
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", 1)
    monkeypatch.setattr("fastdiff_dask.outputs.sql._ROWS", 1)
    monkeypatch.setattr("fastdiff_dask.outputs.tables._CLUSTER_ROWS", 2)
    assert db.to_sql(database.url) == {"images": 8, "pairs": len(wanted), "clusters": 5, "errors": 2}
    assert sorted(database.query("SELECT mse FROM pairs")) == sorted((mse,) for mse in wanted.mse)


def test_tables_of_something_else_are_refused(db, database):
    database.query("CREATE TABLE pairs (mine INTEGER)")
    with pytest.raises(fd.UsageError, match=r"tables of something else: pairs; .*force=True"):
        db.to_sql(database.url)
    assert database.names() == {"pairs"}
    db.to_sql(database.url, force=True)
    assert len(database.tables()["pairs"]) == 4
    database.query("DROP TABLE fastdiff_dask", "CREATE TABLE fastdiff_dask (other INTEGER)")
    with pytest.raises(fd.UsageError, match="tables of something else"):
        db.to_sql(database.url)


def test_a_table_that_refers_to_ours_is_refused(db, database):
    db.to_sql(database.url, similarity=0)
    former = database.tables()
    database.query("CREATE TABLE notes (image BIGINT, FOREIGN KEY (image) REFERENCES images (image))")
    for force in (False, True):
        with pytest.raises(fd.UsageError, match="table notes of the database has a foreign key to these tables"):
            db.to_sql(database.url, force=force)
    assert database.tables() == former
    database.query("DROP TABLE notes")
    db.to_sql(database.url)


def test_values_of_another_measure(db, database, tmp_path, client):
    shutil.copytree(db.store_url, tmp_path / "store")
    options = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "block_size": 3, "verbose": False}
    with fd.FastDifPy(db.roots[0].absolute, store=tmp_path / "store", client=client, **options) as other:
        other.second_loop_iteration(10, compare="hamming")
        other.to_sql(database.url)
        values = {value for (value,) in database.query("SELECT value FROM pairs")}
        assert values == set(other.result().pairs.value)
    sql.write_sql(Tables.of_store(str(tmp_path / "store")), database.url)
    assert {value for (value,) in database.query("SELECT value FROM pairs")} == values
    (tmp_path / "store" / "shown.json").unlink()
    with pytest.raises(
        fd.UsageError, match=r"several kinds \(hamming-10\.0-rotations, mse-50\.0-rotations\); name one"
    ):
        sql.write_sql(Tables.of_store(str(tmp_path / "store")), database.url)
    sql.write_sql(Tables.of_store(str(tmp_path / "store"), "mse-50.0-rotations"), database.url)
    assert len(database.query("SELECT mse FROM pairs")) == 4


def test_before_anything_was_compared(tmp_path, client):
    make_photos(tmp_path / "photos")
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        with pytest.raises(fd.UsageError, match="nothing was compared yet"):
            db.to_sql(f"sqlite:///{tmp_path / 'diff.db'}")
    assert not (tmp_path / "diff.db").exists()


def test_the_default_is_a_file_in_the_current_folder(db, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    db.to_sql()
    with sqlite3.connect(tmp_path / "diff.db") as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (8,)
    connection.close()


def test_a_sqlite_file_that_another_one_holds(db, tmp_path, monkeypatch):
    db.to_sql(f"sqlite:///{tmp_path / 'diff.db'}")
    with sqlite3.connect(tmp_path / "diff.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(fd.FastDiffError, match=r"diff\.db cannot be written \(database is locked\); the former"):
            db.to_sql(f"sqlite:///{tmp_path / 'diff.db'}?timeout=0.1")
    other.close()


BAD_URLS = {
    "no url": ("diff", "looks like sqlite:///diff.db"),
    "no port": ("mysql://u:geheim@h:x/db", "looks like sqlite:///diff.db"),
    "postgres": ("postgresql://u:geheim@h/db", "databases of postgresql cannot be written"),
    "driver": ("mysql+mysqldb://u:geheim@h/db", r"databases of mysql\+mysqldb cannot be written"),
    "memory": ("sqlite://", "names no file"),
    "no database": ("mysql+pymysql://u:geheim@127.0.0.1", "names no database"),
    "option": ("mysql+pymysql://u@127.0.0.1/db?passwd=geheim", "has a password among its options"),
    "refused": (
        "mysql+pymysql://u:geheim@127.0.0.1:1/db",
        r"mysql\+pymysql://u@127.0.0.1:1/db cannot be opened",
    ),
    "host": ("mysql+pymysql://u:geheim@host.invalid/db", "cannot be opened"),
    "folder": ("sqlite:////nothing/diff.db", r"cannot be opened \(unable to open database file\)"),
    "charset": ("mysql+pymysql://u:geheim@127.0.0.1:1/db?charset=geheim", "."),
}


@pytest.mark.parametrize("case", BAD_URLS)
def test_addresses_that_cannot_be_used(db, case):
    url, message = BAD_URLS[case]
    with pytest.raises(fd.UsageError, match=message) as caught:
        db.to_sql(url)
    assert "\n" not in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_file_that_is_no_database(db, tmp_path):
    (tmp_path / "diff.db").write_text("something else, which is longer than a header of SQLite " * 20)
    with pytest.raises(fd.FastDiffError, match="file is not a database"):
        db.to_sql(f"sqlite:///{tmp_path / 'diff.db'}", force=True)
    assert (tmp_path / "diff.db").read_text().startswith("something else")


def test_wrong_passwords_databases_and_rights_are_one_line(db, server):
    server.run("CREATE DATABASE diff_rights")
    where = f"127.0.0.1:{server.port}"
    with pytest.raises(
        fd.UsageError, match=r"Access denied for user 'diff'@'127\.0\.0\.1'.*check the address"
    ) as error:
        db.to_sql(f"mysql+pymysql://diff@{where}/diff_rights", password="falsches")
    assert "falsches" not in str(error.value)
    quoted = quote(mariadb.PASSWORD, safe="")
    with pytest.raises(fd.UsageError, match=r"Access denied.*other"):
        db.to_sql(f"mariadb://diff:{quoted}@{where}/other")
    with pytest.raises(fd.UsageError, match="Unknown database 'diff_none'"):
        db.to_sql(f"mariadb+pymysql://diff:{quoted}@{where}/diff_none")
    with pytest.raises(fd.UsageError, match=r"command denied.*; the former tables stay") as error:
        db.to_sql(f"mysql://reader:{quoted}@{where}/diff_rights")
    assert mariadb.PASSWORD not in str(error.value)
    with pytest.raises(fd.UsageError, match="given twice"):
        db.to_sql(f"mysql://diff:{quoted}@{where}/diff_rights", password=mariadb.PASSWORD)
    assert server.run("SHOW TABLES", database="diff_rights") == []


def test_two_exports_at_the_same_time(db, server):
    server.run("CREATE DATABASE diff_two")
    with server.connect("diff_two") as other, other.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('fastdiff_dask.diff_two', 0)")
        url = f"mysql://diff@127.0.0.1:{server.port}/diff_two"
        with pytest.raises(fd.FastDiffError, match="another export is writing"):
            db.to_sql(url, password=mariadb.PASSWORD)
    assert db.to_sql(url, password=mariadb.PASSWORD)["pairs"] == 4


def test_a_server_that_ends_halfway(db, tmp_path, monkeypatch):
    if mariadb.missing() is not None:
        pytest.skip("mariadbd is not installed (Debian: mariadb-server)")
    whole = Tables.parts
    with mariadb.serve(tmp_path) as server:
        server.run("CREATE DATABASE diff_end")

        def ended(self: Tables, name: str) -> Iterator[pd.DataFrame]:
            for part in whole(self, name):
                yield part
                server.process.kill()
                server.process.wait()

        monkeypatch.setattr(Tables, "parts", ended)
        with pytest.raises(fd.FastDiffError, match=r"cannot be written.*; the former tables stay") as error:
            db.to_sql(f"mysql://diff@127.0.0.1:{server.port}/diff_end", password=mariadb.PASSWORD)
        assert mariadb.PASSWORD not in str(error.value)


def everything_written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


@pytest.mark.parametrize("way", ["address", "file", "environment", "python"])
def test_the_password_is_nowhere(db, server, tmp_path, run, way, monkeypatch, caplog, capfd):
    caplog.set_level("DEBUG")
    name = f"diff_{next(DATABASES)}"
    server.run(f"CREATE DATABASE {name}")
    plain = f"mysql+pymysql://{mariadb.USER}@127.0.0.1:{server.port}/{name}"
    quoted = quote(mariadb.PASSWORD, safe="")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "password").write_text(f"{mariadb.PASSWORD}\nmore\n")
    arguments: list[Any] = ["export", db.store_url, plain]
    if way == "address":
        arguments[2] = plain.replace("@", f":{quoted}@")
    elif way == "file":
        arguments += ["--password-file", secret / "password"]
    elif way == "environment":
        monkeypatch.setenv("FASTDIFF_DASK_SQL_PASSWORD", mariadb.PASSWORD)
    if way == "python":
        db.to_sql(plain, password=mariadb.PASSWORD)
        out = err = repr(db) + repr(vars(db))
    else:
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert out.startswith("Wrote images: 8, pairs: 4, clusters: 5, errors: 2\n")
        if way != "address":
            code, out, err = run(*arguments[:2], plain.replace(name, "diff_none"), *arguments[3:])
            assert code == 2
            assert "Unknown database" in err
    (secret / "password").unlink()
    for text in (out, err, caplog.text, *map(str, database_rows(server, name))):
        assert mariadb.PASSWORD not in text
        assert quoted not in text
    for path, content in itertools.chain(everything_written(tmp_path), everything_written(Path(db.store_url))):
        assert mariadb.PASSWORD.encode() not in content, path
        assert quoted.encode() not in content, path


def database_rows(server: mariadb.Server, name: str) -> list[tuple]:
    return [
        row
        for (table,) in server.run("SHOW TABLES", database=name)
        for row in server.run(f"SELECT * FROM {name}.{table}")
    ]


def test_the_password_can_be_asked_for(db, server, run, monkeypatch):
    server.run("CREATE DATABASE diff_asked")
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda prompt: mariadb.PASSWORD)
    plain = f"mysql+pymysql://{mariadb.USER}@127.0.0.1:{server.port}/diff_asked"
    code, out, err = run("export", db.store_url, plain, "--ask-password")
    assert (code, out.splitlines()[0]) == (0, "Wrote images: 8, pairs: 4, clusters: 5, errors: 2")
    assert mariadb.PASSWORD not in err
