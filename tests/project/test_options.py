"""Settings: checked, kept in the store, read from files; and each declared with its help."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from support.command_line import invoke

import fastdiff_dask as fd
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.project.options import GROUPS, ClientOptions, Settings, declarations
from fastdiff_dask.project.saved_settings import read_settings, write_settings
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

# A value for each setting that is not its default.
OTHER = {
    "p_root_dir_a": ("a",),
    "p_root_dir_b": ("b",),
    "like": "x.jpg",
    "thumbnail_size_x": 32,
    "thumbnail_size_y": 48,
    "block_size": 7,
    "exact_decode": True,
    "time_limit": 5.0,
    "pixel_limit": 1000,
    "recursive": False,
    "supported_file_types": (".png", ".jpg"),
    "ignore_names": ("copy_*",),
    "ignore_paths": ("a/x",),
    "frames_every": 2.5,
    "min_size": "1KB",
    "max_size": 10_000,
    "min_pixels": 4,
    "max_pixels": "0.5MP",
    "min_width": 2,
    "min_height": 3,
    "verbose": False,
    "fl_compute_thumbnails": False,
    "fl_compute_hash": True,
    "fl_shift_amount": 2,
    "fl_cpu_proc": 3,
    "similarity_threshold": 12.5,
    "sl_compare": "hamming",
    "sl_vectors": "clip",
    "sl_metric": "inner",
    "sl_rotations": False,
    "sl_mirror": True,
    "sl_matching_aspect": True,
    "sl_match_aspect_by": 1.0,
    "sl_matching_hash": True,
    "sl_skip_matching_hash": True,
    "sl_within_folder": True,
    "sl_across_folders": True,
    "sl_cpu_proc": 5,
    "sl_gpu_proc": 1,
    "sl_make_diff_plots": True,
    "sl_plot_output_dir": "plots",
    "sl_plot_limit": 9,
    "edited": True,
    "identical": True,
    "verify": False,
    "verify_limit": 11,
    "verify_size": 99,
    "store": "store",
    "in_memory": True,
    "update_timeout": 1.5,
    "cfg_path": "settings.toml",
    "retain_config": True,
}


def names_of_settings() -> set[str]:
    return {field.name for field in fields(Settings)}


def test_each_option_is_declared_with_its_help():
    for kind in (Settings, ClientOptions):
        for name, (declared, option) in declarations(kind).items():
            assert re.fullmatch(r"[A-Z].*\.", option.help), name
            assert not option.flag or option.group in GROUPS
            assert hasattr(kind, declared.name)  # its default


@pytest.mark.parametrize("name", OTHER)
def test_each_setting_survives_json_and_toml(tmp_path, name):
    assert OTHER.keys() == names_of_settings()
    more = {"cfg_path": "x.toml"} if name == "retain_config" else {}
    settings = Settings(**{name: OTHER[name]}, **more)
    assert settings != Settings(**more)
    assert Settings.from_values(json.loads(json.dumps(settings.to_values()))) == settings
    placed = settings.placed(tmp_path)
    write_settings(placed, tmp_path / "settings.toml")
    # who reads a file does not write it
    nothing = {"cfg_path": None, "retain_config": False}
    assert read_settings(tmp_path / "settings.toml") == replace(placed, **nothing)


names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=9)


@given(
    folders=st.lists(names, min_size=1, max_size=3),
    ignored=st.lists(names, max_size=3),
    threshold=st.none() | st.floats(0, 1e5),
    seconds=st.floats(0.001, 1e6),
)
def test_whatever_names_and_numbers(tmp_path_factory, folders, ignored, threshold, seconds):
    folder = tmp_path_factory.mktemp("settings")
    settings = Settings(
        p_root_dir_a=tuple(f"/{name}" for name in folders),
        ignore_names=tuple(ignored),
        similarity_threshold=threshold,
        update_timeout=seconds,
    )
    write_settings(settings, folder / "s.toml")
    # of a folder, "/x/" is the same name as "/x"
    assert read_settings(folder / "s.toml") == settings.placed(Path("/"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"p_root_dir_a": 3}, "p_root_dir_a=3 cannot be used; use a folder or a list of folders"),
        ({"p_root_dir_b": [1]}, "p_root_dir_b"),
        ({"recursive": 1}, "recursive=1 cannot be used; use True or False"),
        ({"verbose": "yes"}, "verbose"),
        ({"fl_cpu_proc": 0}, "fl_cpu_proc=0 cannot be used; use a whole number from 1"),
        ({"sl_cpu_proc": True}, "sl_cpu_proc"),
        ({"sl_gpu_proc": -1}, "sl_gpu_proc=-1 cannot be used; use a whole number from 0"),
        ({"sl_plot_limit": 0}, "sl_plot_limit"),
        ({"sl_plot_limit": None}, "sl_plot_limit"),
        ({"update_timeout": 0}, "update_timeout=0 cannot be used; use seconds"),
        ({"update_timeout": "1"}, "update_timeout"),
        ({"retain_config": True}, "name it by cfg_path"),
        ({"store": 1}, "store=1 cannot"),
        ({"sl_compare": 1}, "sl_compare"),
        ({"fl_shift_amount": 8}, "fl_shift_amount=8"),
        ({"thumbnail_size_x": 1}, "thumbnail_size_x=1 "),
        ({"similarity_threshold": -1}, "similarity_threshold=-1"),
        ({"sl_matching_hash": True, "sl_skip_matching_hash": True}, "leave no pairs"),
        ({"sl_matching_aspect": True, "sl_match_aspect_by": 2.0}, "use one of them"),
        ({"supported_file_types": ["."]}, "is no ending of a file"),
        ({"time_limit": -1}, "time_limit=-1 "),
        ({"similarty_threshold": 3}, "no setting 'similarty_threshold'; did you mean similarity_threshold?"),
        ({"xyz": 3}, "no setting 'xyz'; there are p_root_dir_a, "),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, values, message):
    with pytest.raises(fd.UsageError, match=re.escape(message)):
        Settings.from_values(values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory; name a TOML file"),
        (b"a = ", "are no TOML"),
        (b"\xff", "are no TOML"),
        (b"recursive = 3", "recursive=3 cannot be used; use true or false"),
        (b"[first]\nloop = 1", "no setting 'first'"),
        (b"#" * 2_000_000, "too large"),
        (b'store = "' + b"x" * 99 + b'\x01"', "are no TOML"),
    ],
)
def test_files_that_are_no_settings(tmp_path, content, message):
    if content is not None:
        (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(fd.UsageError, match=message) as error:
        fd.FastDifPy.from_config(tmp_path / "s.toml")
    assert str(tmp_path / "s.toml") in str(error.value)
    with pytest.raises(fd.UsageError, match="cannot be written"):
        write_settings(Settings(), tmp_path / "none" / "s.toml")


def test_a_settings_file_is_taken_and_written(tmp_path, simulated, client):
    (tmp_path / "in.toml").write_text(
        'p_root_dir_a = "photos"\nstore = "store"\nignore_names = ["copy_*"]\nthumbnail_size_x = 16\n'
        "thumbnail_size_y = 8\nsimilarity_threshold = 30\nsl_mirror = true\nfl_compute_hash = true\n"
        'fl_shift_amount = 1\ncfg_path = "out.toml"\nretain_config = true\n'
    )
    with fd.FastDifPy.from_config(tmp_path / "in.toml", client=client) as db:
        assert db.index_the_dirs().new == 12
        db.first_loop_iteration()
        db.second_loop_iteration()
        found = db.result().settings
    assert (found["similarity_threshold"], found["mirror"], found["thumbnail_size_x"]) == (30.0, True, 16)
    assert set(db.store.read_images(["hash_shift"]).hash_shift) == {1}
    assert Path(db.saved_url) == tmp_path / "store"
    written = read_settings(tmp_path / "out.toml")
    assert written == replace(
        read_settings(tmp_path / "in.toml"),
        similarity_threshold=30.0,
        p_root_dir_a=(str(tmp_path / "photos"),),
        cfg_path=None,
        retain_config=False,
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'block_size'"):
        fd.FastDifPy.from_config(tmp_path / "in.toml", block_size=3)


def test_a_run_goes_on_from_its_store_alone(tmp_path, simulated, client):
    options = {"ignore_names": ["copy_00001*"], "thumbnail_size_x": 16, "block_size": 5, "time_limit": 7.0}
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, **options) as db:
        assert db.config.state == "init"
        db.index_the_dirs()
    again = fd.FastDifPy.from_store(tmp_path / "store", client=client)
    assert again.config.state == "indexed_dirs"
    assert again.settings == db.settings.placed(tmp_path)
    again.first_loop_iteration(compute_hash=True, amount=3, cpu_proc=2)
    third = fd.FastDifPy.from_store(tmp_path / "store", client=client)
    assert (third.config.state, third.config.fl_inserted_counter) == ("first_loop_done", 16)
    assert (third.settings.fl_compute_hash, third.settings.fl_shift_amount, third.settings.fl_cpu_proc) == (True, 3, 2)
    # new pictures are read as the others
    simulate_images(tmp_path / "photos" / "more", images=2, duplicates=0, seed=9)
    third.index_the_dirs()
    assert third.config.state == "first_loop_in_progress"
    third.first_loop_iteration()
    assert third.images_read == 2
    assert set(third.store.read_images(["hash_shift"]).hash_shift) == {3}
    third.second_loop_iteration(150.0, only_matching_hash=True, rotations=False)
    last = fd.FastDifPy.from_store(tmp_path / "store", client=client)
    assert last.config.state == "second_loop_done"
    assert last.config.sl_queue_status["tiles"] == last.config.sl_queue_status["tiles_done"] > 0
    last.second_loop_iteration()
    found = last.result()
    assert found.stats["tiles_resumed"] == found.stats["tiles"]
    wanted = {"similarity_threshold": 150.0, "only_matching_hash": True, "rotations": False}
    assert found.settings.items() >= wanted.items()
    # what is given goes before what is recorded, and excludes what cannot be beside it
    last.second_loop_iteration(skip_matching_hash=True)
    assert last.result().settings.items() >= {"skip_matching_hash": True, "only_matching_hash": False}.items()
    last.second_loop_iteration(match_aspect_by=1.5, compare="mse")
    assert last.result().settings["match_aspect_by"] == 1.5


def test_recorded_options_of_a_loop_that_exclude_each_other(tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(only_matching_aspect=True)
        again = fd.FastDifPy.from_store(tmp_path / "store", client=client)
        again.second_loop_iteration(match_aspect_by=2.0)
        assert again.result().settings["match_aspect_by"] == 2.0
        third = fd.FastDifPy.from_store(tmp_path / "store", client=client)
        third.second_loop_iteration(only_matching_aspect=True)
        assert third.result().settings["match_aspect_by"] == 1.0
        third.second_loop_iteration(only_matching_aspect=False)
        assert third.result().settings["match_aspect_by"] is None
        with pytest.raises(fd.UsageError, match="use one of them"):
            third.second_loop_iteration(only_matching_aspect=True, match_aspect_by=2.0)


def test_the_threshold_is_that_of_the_measure(tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(35.0)
        again = fd.FastDifPy.from_store(tmp_path / "store", client=client)
        again.second_loop_iteration(compare="hamming")
        assert again.result().settings["similarity_threshold"] == 6.0
        again = fd.FastDifPy.from_store(tmp_path / "store", client=client)
        again.second_loop_iteration()
        assert again.result().settings.items() >= {"measure": "hamming", "similarity_threshold": 6.0}.items()


def test_a_comparison_of_stores_goes_on_from_its_store(tmp_path, simulated, client):
    for name in ("a", "b"):
        with fd.FastDifPy(tmp_path / "photos", store=tmp_path / name, client=client) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
    with fd.FastDifPy.from_stores(tmp_path / "a", tmp_path / "b", store=tmp_path / "both", client=client) as db:
        db.index_the_dirs()
    again = fd.FastDifPy.from_store(tmp_path / "both", client=client)
    assert (again.config.state, again.config.has_dir_b) == ("indexed_dirs", True)
    again.first_loop_iteration()
    again.second_loop_iteration()
    assert len(again.pairs) > 17
    assert again.index_the_dirs().unchanged == 34


def test_a_store_from_someone_else_names_no_place_to_write_to(tmp_path, simulated, client, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
    values = Store(str(tmp_path / "store")).records.read_settings()
    bad = {"cfg_path": "evil.toml", "retain_config": True, "sl_make_diff_plots": True, "sl_plot_output_dir": "evil"}
    bad |= {"store": "evil", "p_root_dir_a": ["/"]}
    (tmp_path / "store" / "settings.json").write_text(json.dumps({**values, "settings": values["settings"] | bad}))
    before = set(tmp_path.iterdir())
    again = fd.FastDifPy.from_store("store", client=client)
    again.index_the_dirs()
    again.first_loop_iteration()
    again.second_loop_iteration()
    assert again.saved_url == str(tmp_path / "store")
    assert [root.absolute for root in again.roots] == [str(tmp_path / "photos")]
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "content",
    [b"x", b"[1]", b'{"settings": 3}', b'{"settings": {"x": 1}}', b'{"stores": {"c": "x"}}', b"[" * 9_000_000],
)
def test_damaged_settings_are_one_error(tmp_path, simulated, client, content):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        (tmp_path / "store" / "settings.json").write_bytes(content)
        with pytest.raises(fd.FastDiffError, match="settings"):
            fd.FastDifPy.from_store(tmp_path / "store")
        (tmp_path / "store" / "settings.json").unlink()
        assert fd.FastDifPy.from_store(tmp_path / "store").settings.block_size == 1024
        (tmp_path / "store" / "settings.json").write_bytes(content)
        db.index_the_dirs()  # replaces it
        assert fd.FastDifPy.from_store(tmp_path / "store").settings.block_size == 1024


def test_names_of_folders_stay_as_they_were_given(tmp_path, simulated, client, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with fd.FastDifPy("photos", store="store", client=client) as db:
        db.index_the_dirs()
    assert [root.given for root in fd.FastDifPy.from_store("store").roots] == ["photos"]
    monkeypatch.chdir("/")
    assert [root.given for root in fd.FastDifPy.from_store(tmp_path / "store").roots] == [str(tmp_path / "photos")]


def test_state_without_enough_pictures(tmp_path, client):
    (tmp_path / "photos").mkdir()
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        assert (db.config.enough_images_to_compare, db.config.sl_has_thumb, db.config.fl_inserted_counter) == (
            False,
            False,
            0,
        )
        db.index_the_dirs()
        assert (db.config.state, db.config.enough_images_to_compare) == ("indexed_dirs", False)
        simulate_images(tmp_path / "photos", images=2, duplicates=0)
        db.index_the_dirs()
        assert (db.config.enough_images_to_compare, db.config.sl_has_thumb) == (True, False)
        assert db.config.sl_queue_status is None
        db.first_loop_iteration()
        assert db.config.sl_has_thumb
        assert Path(db.config.thumb_dir_a).is_dir()
        assert (db.config.thumb_dir_b, db.config.has_dir_b) == (None, False)
        with pytest.raises(AttributeError, match="read only here"):
            db.config.similarity_threshold = 3
        with pytest.raises(AttributeError, match="nothing"):
            _ = db.config.nothing


# -- on the command line -----------------------------------------------------------------------------------------------


def test_find_takes_and_saves_settings(tmp_path, simulated):
    base = ["find", tmp_path / "photos", "--store", tmp_path / "store", "--dashboard-address", "127.0.0.1:0"]
    code, output = invoke(*base, "--mirror", "--threshold", "40", "--ignore-name", "copy_00000*",
                       "--save-config", tmp_path / "s.toml", "--quiet")  # fmt: skip
    assert code == 0, output
    saved = read_settings(tmp_path / "s.toml")
    assert (saved.sl_mirror, saved.similarity_threshold, saved.ignore_names) == (True, 40.0, ("copy_00000*",))
    assert saved.p_root_dir_a == (str(tmp_path / "photos"),)

    def settings_of(*arguments: object) -> dict[str, object]:
        more = ["--json", tmp_path / "out.json", "--dashboard-address", "127.0.0.1:0", "--quiet"]
        code, output = invoke("find", "--config", tmp_path / "s.toml", *arguments, *more)
        assert code == 0, output
        return json.loads((tmp_path / "out.json").read_text())["settings"]

    found = settings_of()
    assert found.items() >= {"mirror": True, "similarity_threshold": 40.0}.items()
    # what is said on the command line goes before
    found = settings_of("--threshold", "20", "--only-matching-aspect")
    assert found.items() >= {"mirror": True, "similarity_threshold": 20.0, "match_aspect_by": 1.0}.items()
    found = settings_of("--compare", "hamming")
    assert found.items() >= {"measure": "hamming", "similarity_threshold": 6.0}.items()
    simulate_images(tmp_path / "other", images=1, duplicates=1)
    found = settings_of(tmp_path / "other", "--store", tmp_path / "second")
    assert found["directories_a"] == [str(tmp_path / "other")]
    assert "Missing argument 'DIR...'." in invoke("find")[1]
    assert "--plot-limit is for --diff-plots" in invoke(*base, "--plot-limit", "3")[1]


# -- what a review found -----------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path, simulated, client):
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    return db


def test_one_name_is_a_list_of_one(tmp_path, simulated, client):
    options = {"ignore_names": "copy_*", "ignore_paths": str(tmp_path / "photos" / "x"), "extensions": ".jpg"}
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, **options) as db:
        assert db.index_the_dirs().new == 12
        settings = db.settings
    assert settings.ignore_names == ("copy_*",)
    assert settings.ignore_paths == (str(tmp_path / "photos" / "x"),)
    assert settings.supported_file_types == (".jpg",)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((5,), {}),
        ((b"p",), {}),
        (([b"p"],), {}),
        ((["p", None],), {}),
        (("p",), {"ignore_paths": 3}),
        (("p",), {"cfg_path": 5}),
        (("p",), {"store": 5}),
    ],
)
def test_what_is_no_name_is_said(arguments, options):
    with pytest.raises(fd.UsageError, match=r"is no folder, nor a list of folders|use the name of a place"):
        fd.FastDifPy(*arguments, **options)


@pytest.mark.parametrize("name", ["p_root_dir_a", "ignore_paths", "store", "cfg_path", "sl_plot_output_dir"])
@pytest.mark.parametrize("value", ["", "x\\u0000y"])
def test_names_that_are_none_in_a_file(tmp_path, name, value):
    (tmp_path / "s.toml").write_text(f'{name} = "{value}"')
    with pytest.raises(fd.UsageError, match=rf"s\.toml: {name}= has a name (that is empty|with a zero character)"):
        read_settings(tmp_path / "s.toml")


def test_ignored_paths_do_not_depend_on_the_current_folder(tmp_path, simulated, client, monkeypatch):
    (tmp_path / "photos" / "sub").mkdir()
    for path in (tmp_path / "photos").glob("copy_*"):
        path.rename(tmp_path / "photos" / "sub" / path.name)
    monkeypatch.chdir(tmp_path)
    with fd.FastDifPy("photos", store="store", ignore_paths=["photos/sub"], client=client) as db:
        assert db.index_the_dirs().new == 12
    monkeypatch.chdir("/")
    with fd.FastDifPy.from_store(tmp_path / "store", client=client) as db:
        assert db.index_the_dirs().new == 0


def test_what_failed_is_no_setting(tmp_path, finished, client):
    with pytest.raises(fd.UsageError):
        finished.second_loop_iteration(gpu_proc=1)
    with pytest.raises(fd.UsageError):
        finished.second_loop_iteration(sub_block=0, mirror=True)
    assert finished.settings.sl_gpu_proc == 0
    finished.first_loop_iteration()
    again = fd.FastDifPy.from_store(tmp_path / "store", client=client)
    again.second_loop_iteration()
    assert (again.settings.sl_gpu_proc, again.settings.sl_mirror) == (0, False)


def test_the_state_knows_of_other_hashes(tmp_path, finished):
    finished.first_loop_iteration(compute_hash=True, amount=4)
    finished.second_loop_iteration(only_matching_hash=True)
    assert finished.config.state == "second_loop_done"
    finished.first_loop_iteration(compute_hash=True, amount=-2)
    assert finished.config.state == "first_loop_done"
    finished.second_loop_iteration(only_matching_hash=True)
    assert finished.config.state == "second_loop_done"


def test_a_function_must_be_given_again(tmp_path, finished, client):
    finished.second_loop_iteration(5.0, compare=lambda a, b: (a[:, None, 0, 0, 0] != b[None, :, 0, 0, 0]) * 1.0)
    again = fd.FastDifPy.from_store(tmp_path / "store", client=client)
    with pytest.raises(fd.UsageError, match="give it again, as compare="):
        again.second_loop_iteration()


def test_nothing_else_is_replaced_by_settings(tmp_path, simulated, client):
    picture = simulated.originals[0]
    before = picture.read_bytes()
    for place, message in (
        (picture, "has no settings, and stays"),
        (tmp_path, "no file in a folder"),
        (tmp_path / "x" / "y", "no file in a folder"),
    ):
        with pytest.raises(fd.UsageError, match=message):
            fd.FastDifPy(tmp_path / "photos", store=tmp_path / "s", cfg_path=place, retain_config=True, client=client)
        arguments = ["find", str(tmp_path / "photos"), "--store", str(tmp_path / "s"), "--save-config", str(place)]
        assert message in str(CliRunner().invoke(commands, arguments).exception)
    done = CliRunner().invoke(commands, ["find", str(tmp_path / "photos"), "--json", str(picture)])
    assert "is no JSON, and stays" in str(done.exception)
    assert "has no name of a file" in str(CliRunner().invoke(commands, ["find", "x", "--save-config", ""]).exception)
    assert picture.read_bytes() == before
    assert not (tmp_path / "s").exists()


def test_a_file_of_the_user_stays(tmp_path, finished, client):
    """Only what was written here is removed, and only who asks for it writes."""
    mine = tmp_path / "mine.toml"
    mine.write_text('# mine\np_root_dir_a = "photos"\nstore = "store"\ncfg_path = "mine.toml"\nretain_config = true\n')
    with fd.FastDifPy.from_config(mine, client=client) as db:
        db.clean_up(thumbs=False, db=False)
    assert mine.read_text().startswith("# mine")
    with fd.FastDifPy(
        tmp_path / "photos", store=tmp_path / "b", cfg_path=tmp_path / "b.toml", retain_config=True, client=client
    ) as db:
        db.index_the_dirs()
        written = (tmp_path / "b.toml").read_text()
    with fd.FastDifPy.from_config(tmp_path / "b.toml", client=client) as other:
        other.index_the_dirs()
        other.first_loop_iteration()
        other.second_loop_iteration(5.0)
    assert (tmp_path / "b.toml").read_text() == written
    db.clean_up()
    assert not (tmp_path / "b.toml").exists()


@pytest.mark.parametrize(
    ("content", "arguments", "found"),
    [
        ("sl_match_aspect_by = 1.5", ["--only-matching-aspect"], {"match_aspect_by": 1.0}),
        ("sl_matching_aspect = true", ["--match-aspect-by", "2"], {"match_aspect_by": 2.0}),
        ("sl_skip_matching_hash = true", ["--only-matching-hash"], {"only_matching_hash": True}),
        ("sl_matching_hash = true", ["--skip-matching-hash"], {"skip_matching_hash": True}),
        ("sl_matching_hash = true", ["--hash-shift", "3"], {"only_matching_hash": True}),
        ("similarity_threshold = 7.0", ["--compare", "mse"], {"similarity_threshold": 7.0}),
    ],
)
def test_the_command_line_goes_before_the_file(tmp_path, simulated, content, arguments, found):
    (tmp_path / "s.toml").write_text(f'p_root_dir_a = "photos"\nstore = "store"\n{content}\n')
    out = tmp_path / "out.json"
    command = ["find", "--config", str(tmp_path / "s.toml"), "--json", str(out), "--quiet", *arguments]
    done = CliRunner().invoke(commands, [*command, "--dashboard-address", "127.0.0.1:0"])
    assert done.exit_code == 0, done.exception
    values = json.loads(out.read_text())["settings"]
    assert {name: values[name] for name in found} == found


def test_without_thumbnails_that_is_said(tmp_path, finished):
    finished.second_loop_iteration()
    finished.clean_up(thumbs=True, db=False, config=False)
    with pytest.raises(fd.UsageError, match="were removed by clean_up; first_loop_iteration"):
        finished.report(tmp_path / "r.html")
    finished.first_loop_iteration()
    finished.second_loop_iteration()
    assert finished.report(tmp_path / "r.html") == 5


@pytest.mark.parametrize("value", ["foo", "", "MSE"])
def test_measures_that_there_are_not(value):
    with pytest.raises(fd.UsageError, match="; use 'mse', 'correlation', 'ssim', 'hamming'"):
        Settings(sl_compare=value)


def test_plots_are_no_photos(tmp_path, simulated, client, finished):
    inside = tmp_path / "photos" / "plots"
    with pytest.raises(fd.UsageError, match="would be among the pictures of"):
        finished.second_loop_iteration(make_diff_plots=True, diff_location=inside)
    done = CliRunner().invoke(commands, ["find", str(tmp_path / "photos"), "--diff-plots", str(inside)])
    assert "would be among the pictures of" in str(done.exception)
    assert not inside.exists() or not list(inside.iterdir())


def test_what_stays_is_said(tmp_path, finished, capsys):
    finished.second_loop_iteration(make_diff_plots=True)
    assert finished.config.sl_plot_output_dir == f"{tmp_path / 'store'}/plots"
    assert "similarity_threshold" in dir(finished.config)
    finished.clean_up()
    assert "5 pictures of pairs" in capsys.readouterr().err
    assert len(list((tmp_path / "store" / "plots").iterdir())) == 5


def test_errors_of_a_store_in_memory_name_its_place(tmp_path, simulated):
    options = {"store": tmp_path / "store", "in_memory": True, "dashboard_address": "127.0.0.1:0", "verbose": False}
    with fd.FastDifPy(tmp_path / "photos", **options) as db:
        db.index_the_dirs()
    with (
        fd.FastDifPy(tmp_path / "photos", thumbnail_size_x=16, **options) as db,
        pytest.raises(fd.FastDiffError) as caught,
    ):
        db.index_the_dirs()
    assert "memory://" not in str(caught.value)
    assert str(tmp_path / "store") in str(caught.value)


def test_a_current_folder_that_is_gone_is_no_matter(tmp_path, simulated, client, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    options = {"store": tmp_path / "store", "ignore_paths": [tmp_path / "x"], "client": client}
    with fd.FastDifPy(tmp_path / "photos", **options) as db:
        assert db.index_the_dirs().new == 17
