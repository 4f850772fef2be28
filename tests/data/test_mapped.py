"""Mapped safetensors files: the library's own bytes, strictly read."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from ticketctl.errors import ArtifactError, ResourceError
from ticketctl.store.mapped import map_tensors, write_arrays
from ticketctl.store.tensors import Tensor, pack_tensors

ARRAYS = {
    "b": np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::-1],
    "a": np.array([1, -2, 3]),
    "c": np.zeros((0, 3), np.float32),
    "d": np.array(7.5),
}


def test_what_is_written_is_the_canonical_file_and_loads_elsewhere(tmp_path):
    write_arrays(tmp_path / "x", ARRAYS, {"k": "v"})
    wanted = pack_tensors({name: Tensor.of(array) for name, array in ARRAYS.items()}, {"k": "v"})
    assert (tmp_path / "x").read_bytes() == wanted
    for name, array in load_file(tmp_path / "x").items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_mapped_arrays_are_equal_and_read_only(tmp_path):
    write_arrays(tmp_path / "x", ARRAYS, {"k": "v"})
    tensors, metadata = map_tensors(tmp_path / "x")
    assert metadata == {"k": "v"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[name].array(), array)
        assert not tensors[name].array().flags.writeable


def test_a_mapping_outlives_the_file_it_shows(tmp_path):
    write_arrays(tmp_path / "x", ARRAYS, {})
    array = map_tensors(tmp_path / "x")[0]["a"].array()
    write_arrays(tmp_path / "x", {"a": np.array([9])}, {})
    (tmp_path / "x").unlink()
    np.testing.assert_array_equal(array, ARRAYS["a"])


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, "E_FILE_MISSING"),
        (lambda path: path.mkdir(), "E_PATH"),
        (lambda path: path.symlink_to("/etc/passwd"), "E_PATH"),
        (lambda path: path.write_bytes(b""), "E_FORMAT"),
        (lambda path: path.write_bytes(b"short"), "E_FORMAT"),
        (lambda path: __import__("os").mkfifo(path), "E_PATH"),
    ],
)
def test_what_is_no_file_of_ours_is_refused(tmp_path, make, code):
    make(tmp_path / "x")
    with pytest.raises(ArtifactError) as caught:
        map_tensors(tmp_path / "x")
    assert caught.value.code == code


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ResourceError):
        write_arrays(tmp_path / "no" / "x", ARRAYS, {})
