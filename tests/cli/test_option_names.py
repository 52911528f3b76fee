"""Messages of the library name arguments; those of the command line name options."""

import click
import pytest
from click.testing import CliRunner

import fastdiff_dask as fd
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.cli.texts.option_names import with_options


@pytest.mark.parametrize(
    ("command", "message", "named"),
    [
        ("find", "use block_size=512 or less", "use --block-size 512 or less"),
        ("status", "wait for it to end, or name another store=", "wait for it to end, or name another STORE"),
        ("find", "leave out gpu_proc=, or compare=", "leave out --gpu, or --compare"),
        ("export", "replace it with force=True", "replace it with --force"),
        ("export", "leave out table= and form=", "leave out --what and --format"),
        ("find", "leave out client= or verbose=False", "leave out client= or verbose=False"),
        ("find", "no folder /photos/store=/x, s3://b/k?store=1", "no folder /photos/store=/x, s3://b/k?store=1"),
        ("find", "no setting 'store='", "no setting 'store='"),
        ("find", "it has a == b", "it has a == b"),
        ("report", "no such place, name another store=", "no such place, name another STORE"),
        ("export", "target= is none", "TARGET is none"),
        ("find", "block_size=0 cannot be used", "--block-size 0 cannot be used"),
        ("find", "similarity_threshold=nan cannot be used", "--threshold nan cannot be used"),
        ("find", "time_limit=-3.0 cannot be used", "--time-limit -3.0 cannot be used"),
        ("find", "sl_gpu_proc=-2 cannot be used", "--gpu-tasks -2 cannot be used"),
        ("find", "dashboard_address='x' cannot be used", "--dashboard-address 'x' cannot be used"),
        ("difpy", "nothing but delete=", "nothing but --delete"),
    ],
)
def test_an_argument_becomes_its_option(command, message, named):
    assert with_options(message, commands, command) == named


def test_every_error_of_a_command_is_given_options(monkeypatch):
    @click.command()
    def failing():
        raise fd.StoreLockedError("it is locked; name another store=")

    monkeypatch.setitem(commands.commands, "failing", failing)
    error = CliRunner().invoke(commands, ["failing"]).exception
    assert isinstance(error, fd.StoreLockedError)
    assert str(error) == "it is locked; name another --store"
