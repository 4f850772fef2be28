"""Arrays of the user's own, written by the safetensors library."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from ticketctl.errors import UnavailableError, UsageError


def arrays(**change):
    stream = np.random.default_rng(9)
    made = {
        "train_images": stream.integers(0, 256, (6, 3, 5, 4), dtype=np.uint8),
        "train_labels": np.array([0, 1, 2, 3, 0, 1]),
        "test_images": stream.integers(0, 256, (2, 3, 5, 4), dtype=np.uint8),
        "test_labels": np.array([1, 4]),
    }
    return {name: array for name, array in (made | change).items() if array is not None}


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_arrays_come_back_as_they_were_written(opened, tmp_path, dtype):
    wanted = arrays()
    labels = {name: wanted[name].astype(dtype) for name in ("train_labels", "test_labels")}
    save_file(wanted | labels, tmp_path / "x.safetensors")
    data = opened(f"tensors:{tmp_path / 'x.safetensors'}")
    for name, array in wanted.items():
        part, kind = name.split("_")
        got = getattr(getattr(data, part), kind)
        np.testing.assert_array_equal(got, array)
        assert got.dtype == array.dtype
    assert data.classes == ("0", "1", "2", "3", "4")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"train_images": np.zeros((6, 3, 5, 4), np.float32)},
        {"train_images": np.zeros((6, 5, 4), np.uint8)},
        {"test_images": np.zeros((2, 1, 5, 4), np.uint8)},
        {"test_labels": None},
        {"test_labels": np.array([0])},
        {"test_labels": np.array([0, -1])},
        {"test_labels": np.array([[0], [1]])},
        {"test_labels": np.array(1)},
        {"test_labels": np.array([0.0, 1.0])},
        {"train_labels": np.zeros(0, np.int64), "train_images": np.zeros((0, 3, 5, 4), np.uint8)},
    ],
)
def test_arrays_that_make_no_data_set_are_refused(opened, tmp_path, change):
    save_file(arrays(**change), tmp_path / "x.safetensors")
    with pytest.raises(UnavailableError):
        opened(f"tensors:{tmp_path / 'x.safetensors'}")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 40])
def test_what_is_no_safetensors_file_is_refused(opened, tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UnavailableError, match="not a safetensors file"):
        opened(f"tensors:{tmp_path / 'x'}")


def test_a_file_that_is_not_there_is_named(opened, tmp_path):
    with pytest.raises(UnavailableError, match="there is no"):
        opened(f"tensors:{tmp_path / 'x'}")
    with pytest.raises(UsageError, match="tensors:PATH"):
        opened("tensors")
    with pytest.raises(UnavailableError, match=r"cannot be read|not a regular file"):
        opened(f"tensors:{tmp_path}")
