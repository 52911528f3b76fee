"""`db.config` under the names of fast_diff_py 0.2.0."""

import pytest

import fastdiff_dask as fd
from fastdiff_dask.compat.run_state import NEEDLESS, RunState
from fastdiff_dask.project.options import Settings, declarations

# All options in the table of its README.
ITS_OPTIONS = {
    *("cfg_path", "update_timeout", "retain_config", "thumbnail_size_x", "thumbnail_size_y", "p_root_dir_a"),
    *("p_root_dir_b", "thumb_dir_a", "thumb_dir_b", "has_dir_b", "similarity_threshold", "ignore_names"),
    *("ignore_paths", "enough_images_to_compare", "supported_file_types", "verbose", "state", "fl_compute_thumbnails"),
    *("fl_compute_hash", "fl_shift_amount", "fl_cpu_proc", "fl_inserted_counter", "sl_matching_hash", "sl_has_thumb"),
    *("sl_matching_aspect", "sl_make_diff_plots", "sl_plot_output_dir", "sl_gpu_proc", "sl_cpu_proc"),
    *("sl_queue_status", "database", "retain_db", "less_optimized", "sl_use_special_b_algo", "sl_base_a"),
    *("max_queue_size", "retry_limit", "fl_use_workers", "sl_use_workers", "cli_args"),
}


@pytest.fixture
def config(tmp_path):
    (tmp_path / "photos").mkdir()
    return fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store").config


def test_the_declarations_say_which_are_its_options():
    declared = {name for name, (_, option) in declarations(Settings).items() if option.theirs}
    properties = {name for name, value in vars(RunState).items() if isinstance(value, property)}
    assert declared == ITS_OPTIONS & declarations(Settings).keys()
    assert ITS_OPTIONS - declared == (properties | NEEDLESS.keys()) - declared - {"images", "fl_errors"}


@pytest.mark.parametrize("name", sorted(ITS_OPTIONS))
def test_each_option_is_there_or_says_why_not(config, name):
    if name in NEEDLESS:
        with pytest.raises(AttributeError, match=f"{name} is of no use here: "):
            getattr(config, name)
    else:
        getattr(config, name)
        with pytest.raises(AttributeError, match="read only"):
            setattr(config, name, 1)


def test_options_of_one_value(config, tmp_path):
    assert config.database == {"type": "zarr", "path": str(tmp_path / "store")}
    assert (config.retain_db, config.fl_use_workers, config.sl_use_workers) == (True, True, True)
    assert (config.less_optimized, config.cli_args) == (False, None)
