"""The public surface of `FastDifPy` and `find_duplicates`: every name, parameter and default of the first version."""

import inspect
import json
from pathlib import Path

import pytest

import fastdiff_dask as fd
from fastdiff_dask.project.options import ClientOptions, Settings, declarations

RECORDED = json.loads(Path(__file__).with_name("signatures.json").read_text())
STAGES = {"fl_": fd.FastDifPy.first_loop_iteration, "sl_": fd.FastDifPy.second_loop_iteration}


def shown(function) -> str:
    """The signature without annotations."""
    found = inspect.signature(function)
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in found.parameters.values()]
    return str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("name", RECORDED)
def test_a_name_and_its_parameters_are_as_recorded(name):
    if name == "find_duplicates":
        assert shown(fd.find_duplicates) == RECORDED[name]
    elif RECORDED[name] == "property":
        assert isinstance(inspect.getattr_static(fd.FastDifPy, name), property)
    else:
        assert shown(getattr(fd.FastDifPy, name)) == RECORDED[name]


@pytest.mark.parametrize("name", [*RECORDED, *fd.__all__])
def test_every_parameter_of_the_public_surface_is_written_out(name):
    """For type checkers, and for completion."""
    found = getattr(fd.FastDifPy, name, None) or getattr(fd, name, None)
    if not callable(found) or (inspect.isclass(found) and issubclass(found, Exception)):
        return
    kinds = {one.kind for one in inspect.signature(found).parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


def test_the_stages_of_find_pairs_are_those_of_the_comparison():
    assert RECORDED["find_pairs"] == RECORDED["second_loop_iteration"]


def test_type_checkers_find_the_types():
    assert Path(fd.__file__).with_name("py.typed").is_file()


@pytest.mark.parametrize("name", (declarations(Settings) | declarations(ClientOptions)).keys())
def test_the_default_of_an_argument_is_that_of_its_option(name):
    field, option = (declarations(Settings) | declarations(ClientOptions))[name]
    # the command line and `find_duplicates` ask for these, or not
    if name in ("verify", "edited", "identical", "like"):
        return
    stage = STAGES.get("sl_" if name == "similarity_threshold" else name[:3])
    if name.startswith("verify_"):
        stage = fd.FastDifPy.verify
    default = inspect.signature(stage or fd.FastDifPy).parameters[option.argument or name].default
    if stage is not None:
        assert default is None  # that of the project
    elif name not in ("p_root_dir_a", "p_root_dir_b"):
        assert default == field.default


def test_the_defaults_of_find_duplicates_are_those_of_the_settings():
    for name, parameter in inspect.signature(fd.find_duplicates).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            if name in ("similarity_threshold", "threshold", "similarity"):
                assert parameter.default is None  # that of the measure
            elif name in ("verify", "edited", "identical"):  # stages that the command line asks for
                assert parameter.default is False
            elif name not in declarations(ClientOptions):
                found = [
                    one for one, option in declarations(Settings).values() if (option.argument or one.name) == name
                ]
                assert [parameter.default] == [one.default for one in found], name


def test_every_argument_is_declared():
    declared = {option.argument or name for name, (_, option) in declarations(Settings).items()}
    arguments = set(inspect.signature(fd.FastDifPy).parameters)
    assert arguments <= declared | declarations(ClientOptions).keys()


def test_the_names_of_fast_diff_py_that_make_a_project(tmp_path):
    (tmp_path / "photos").mkdir()
    db = fd.FastDifPy.init_new(tmp_path / "photos", progress=False, store=tmp_path / "store")
    assert (db.saved_url, db.verbose) == (str(tmp_path / "store"), False)
    (tmp_path / "s.toml").write_text('p_root_dir_a = "photos"\nsimilarity_threshold = 7\n')
    assert fd.FastDifPy.init_preexisting_config(config_path=tmp_path / "s.toml").settings.similarity_threshold == 7
