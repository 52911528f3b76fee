"""A MariaDB server of the tests' own: a throw-away folder of data, on a free port of the loopback address."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pymysql

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])  # where Debian puts the server
USER, PASSWORD = "diff", "ge:he/im@1%"


def missing() -> str | None:
    """Name of the part that is not installed, if any."""
    return next((name for name in ("mariadb-install-db", "mariadbd") if shutil.which(name, path=PATH) is None), None)


class Server(NamedTuple):
    """A running server, whose user `USER` may do all in databases named diff_…, and nothing elsewhere."""

    port: int
    process: subprocess.Popen
    log: Path

    def connect(self, database: str | None = None, user: str = "root", password: str = "") -> pymysql.Connection:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, database=database, autocommit=True
        )

    def run(self, *statements: str, database: str | None = None) -> list[tuple]:
        """Run statements as root; gives the rows of the last one."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, log = folder / "data", folder / "log.txt"
    common = ["--no-defaults", f"--datadir={data}", f"--user={getpass.getuser()}"]
    install = [shutil.which("mariadb-install-db", path=PATH), *common]
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([*install, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = [shutil.which("mariadbd", path=PATH), *common, "--bind-address=127.0.0.1", f"--port={port}"]
    # the path of a socket has room for some hundred characters, and the folder of a test may have more
    server += [f"--socket=mariadb-{port}.sock", f"--pid-file={folder / 'pid'}", "--skip-name-resolve", "--general-log"]
    server += [f"--general-log-file={folder / 'queries.txt'}", "--innodb-buffer-pool-size=32M"]
    # this data need not outlive the machine
    server += ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0"]
    server += ["--innodb-file-per-table=0"]
    with log.open("w") as output:
        process = subprocess.Popen(server, stdout=output, stderr=output)
    try:
        running = Server(port, process, log)
        for _ in range(300):
            with contextlib.suppress(pymysql.OperationalError):
                running.connect().close()
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        running.run(
            rf"CREATE USER {USER}@127.0.0.1 IDENTIFIED BY '{PASSWORD}'",
            rf"GRANT ALL ON `diff\_%`.* TO {USER}@127.0.0.1",
            f"CREATE USER reader@127.0.0.1 IDENTIFIED BY '{PASSWORD}'",
            r"GRANT SELECT ON `diff\_%`.* TO reader@127.0.0.1",
        )
        yield running
    finally:
        process.terminate()
        process.wait(30)
