"""Wrong labels: how many, which, and what they say (spend-audit T23), and files of labels that nobody vouches for."""

import math
import os
from fractions import Fraction

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.data.labels import read_labels
from ticketctl.data.noise import (
    PATRINI,
    class_map,
    flipped,
    given_labels,
    labels_digest,
    pair_flip,
    symmetric,
    usual_map,
)
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.seeds import Seeds

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RATES = st.fractions(0, 1, max_denominator=1000)


def clean_labels(count, classes, seed=0):
    return np.random.default_rng(seed).integers(0, classes, count)


# ------------------------------------------------------------------------------------------------------ how many


@given(rate=RATES, count=st.integers(1, 400), classes=st.integers(2, 12), root=st.integers(0, 9))
def test_exactly_the_ceiling_of_the_rate_is_drawn_and_nothing_else_changes(rate, count, classes, root):
    clean = clean_labels(count, classes, root)
    found = symmetric(clean, rate, classes, Seeds(root), per_class=False)
    assert found.drawn.sum() == math.ceil(rate * count)
    np.testing.assert_array_equal(found.given[~found.drawn], clean[~found.drawn])
    np.testing.assert_array_equal(found.clean, clean)
    assert found.given.dtype == np.int64
    assert found.given.min() >= 0
    assert found.given.max() < classes


@given(rate=RATES, count=st.integers(1, 400), classes=st.integers(2, 12), root=st.integers(0, 9))
def test_per_class_the_ceiling_of_the_rate_is_drawn_of_each(rate, count, classes, root):
    clean = clean_labels(count, classes, root)
    for found in (
        symmetric(clean, rate, classes, Seeds(root), per_class=True),
        flipped(clean, rate, pair_flip(classes), Seeds(root)),
    ):
        for name in range(classes):
            own = clean == name
            assert found.drawn[own].sum() == math.ceil(rate * own.sum())


def test_a_rate_is_exact_where_binary_numbers_are_not():
    """0.1 * 10 images is one image; in floating point 0.1 + 0.2 of 10 would be four."""
    for rate, drawn in (
        (Fraction("0.1"), 1),
        (Fraction("0.3"), 3),
        (Fraction("0.7"), 7),
        (Fraction(1, 3), 4),
    ):
        found = symmetric(clean_labels(10, 3), rate, 3, Seeds(0), per_class=False)
        assert found.drawn.sum() == drawn


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("rate", [Fraction("0.2"), Fraction("0.4"), Fraction("0.8")])
def test_the_share_of_wrong_labels_is_the_rate_without_the_lucky_ones(rate, classes):
    """T23: within three standard deviations of rate * (1 - 1/K), paper 002's 18, 36, 72 and 19.8, 39.6, 79.2 %."""
    count = 50_000
    clean = clean_labels(count, classes)
    found = symmetric(clean, rate, classes, Seeds(1), per_class=False)
    lucky = 1 / classes
    deviation = math.sqrt(float(rate) * lucky * (1 - lucky) / count)
    assert abs((found.given != clean).mean() - float(rate) * (1 - lucky)) < 3 * deviation


def test_drawn_labels_are_uniform_over_all_classes_and_know_nothing_of_the_clean_one():
    """Chi-square of the table clean class x drawn class, 10 x 10: 99 degrees of freedom, under 3 deviations."""
    clean = clean_labels(60_000, 10)
    found = symmetric(clean, Fraction(1), 10, Seeds(0), per_class=False)
    table = np.zeros((10, 10))
    np.add.at(table, (clean, found.given), 1)
    expected = np.bincount(clean)[:, None] / 10
    assert ((table - expected) ** 2 / expected).sum() < 90 + 3 * math.sqrt(2 * 90)


# ---------------------------------------------------------------------------------------------------------- which


def test_the_same_seed_gives_the_same_labels_and_others_follow_their_stream_alone():
    clean = clean_labels(500, 10)
    first, again, other = (
        symmetric(clean, Fraction("0.4"), 10, seeds, per_class=False)
        for seeds in (Seeds(3), Seeds(8, {"labels": 3}), Seeds(3, {"labels": 4}))
    )
    assert first.digest == again.digest != other.digest
    np.testing.assert_array_equal(first.given, again.given)


def test_a_larger_rate_draws_the_same_images_and_labels_and_more():
    clean = clean_labels(500, 10)
    few, many = (symmetric(clean, Fraction(rate), 10, Seeds(0), per_class=False) for rate in ("0.2", "0.8"))
    assert not (few.drawn & ~many.drawn).any()
    np.testing.assert_array_equal(few.given[few.drawn], many.given[few.drawn])


def test_no_rate_changes_nothing():
    clean = clean_labels(50, 3)
    for found in (
        symmetric(clean, Fraction(0), 3, Seeds(0), per_class=False),
        flipped(clean, Fraction(0), pair_flip(3), Seeds(0)),
    ):
        np.testing.assert_array_equal(found.given, clean)
        assert not found.drawn.any()


# ----------------------------------------------------------------------------------------------- class to class


def test_the_map_of_cifar_10_is_patrinis():
    """Patrini et al. 2017, section 5: truck to automobile, bird to airplane, deer to horse, cat and dog exchanged."""
    to = class_map(usual_map(CIFAR10), CIFAR10)
    assert {CIFAR10[old]: CIFAR10[new] for old, new in enumerate(to) if old != new} == {
        "truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat",
    }  # fmt: skip
    assert usual_map(CIFAR10) is not PATRINI


def test_classes_that_no_map_names_keep_their_labels():
    clean = clean_labels(1000, 10)
    found = flipped(clean, Fraction(1), class_map({"cat": "dog", "9": "0"}, CIFAR10), Seeds(0))
    truth = np.where(clean == 3, 5, np.where(clean == 9, 0, clean))
    np.testing.assert_array_equal(found.given, truth)
    np.testing.assert_array_equal(found.drawn, truth != clean)


def test_pair_flip_goes_around():
    clean = np.array([0, 1, 2, 0, 1, 2])
    found = flipped(clean, Fraction(1), pair_flip(3), Seeds(0))
    assert found.given.tolist() == [1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [({"catt": "dog"}, "did you mean 'cat'"), ({"cat": "10"}, "no class '10'"), ({"cat": "cat"}, "no class is"),
     ({}, "no class is"), ({"-1": "cat"}, "no class '-1'"), ({"cat": "٣"}, "no class")],
)  # fmt: skip
def test_a_map_of_unknown_classes_or_of_none_is_refused(wanted, said):
    with pytest.raises(UsageError, match=said):
        class_map(wanted, CIFAR10)


def test_no_map_is_made_up_for_other_classes():
    with pytest.raises(UsageError, match=r"--set data\.noise\.map\.0=9"):
        usual_map(tuple("0123456789"))


# ---------------------------------------------------------------------------------------------------- from files


WRITERS = {
    "labels.npy": lambda path, table: np.save(path, table["worse_label"]),
    "labels.safetensors": lambda path, table: safetensors.numpy.save_file(table, path),
    "new.pt": lambda path, table: torch.save(table, path),
    "old.pt": lambda path, table: torch.save(table, path, _use_new_zipfile_serialization=False),
    "tensors.PTH": lambda path, table: torch.save({k: torch.from_numpy(v) for k, v in table.items()}, path),
}


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", ">i2"])
@pytest.mark.parametrize("name", WRITERS)
def test_labels_are_read_as_the_libraries_wrote_them(name, dtype, tmp_path):
    worse = clean_labels(70, 10)
    table = {"worse_label": worse.astype(dtype), "clean_label": clean_labels(70, 10, 1).astype(dtype)}
    if not name.endswith(("npy", "pt")):
        table = {key: value.astype(np.dtype(dtype).newbyteorder("=")) for key, value in table.items()}
    WRITERS[name](tmp_path / name, table)
    labels, clean = read_labels(tmp_path / name, key=None if name.endswith("npy") else "worse_label")
    np.testing.assert_array_equal(labels, worse)
    assert labels.dtype == np.int64
    if not name.endswith("npy"):
        np.testing.assert_array_equal(clean, table["clean_label"])
    assert labels_digest(labels) == labels_digest(worse)


def test_a_column_of_a_table_is_picked_whatever_its_memory_order(tmp_path):
    table = np.asfortranarray(clean_labels(60, 10).reshape(20, 3))
    np.save(tmp_path / "a.npy", table)
    torch.save({"all": table}, tmp_path / "a.pt")
    for column in range(3):
        for name in ("a.npy", "a.pt"):
            found, _ = read_labels(tmp_path / name, column=column)
            np.testing.assert_array_equal(found, table[:, column])


@pytest.mark.parametrize(
    ("array", "column", "said"),
    [
        (np.zeros(4), None, "float64"), (np.zeros((2, 2, 2), int), None, "2 x 2 x 2"), (np.int64(3), None, "one"),
        (np.zeros((4, 2), int), None, "a column from 0 to 1"), (np.zeros((4, 2), int), 2, "a column from 0 to 1"),
        (np.zeros(4, int), 0, "no columns"), (np.zeros(4, bool), None, "bool"),
        (np.full(4, 2**63, np.uint64), None, "a label of 9223372036854775808"),
    ],
)  # fmt: skip
def test_what_is_no_column_of_whole_numbers_is_refused(array, column, said, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UsageError, match=said):
        read_labels(tmp_path / "a.npy", column=column)


def test_an_array_that_is_not_there_has_a_near_miss(tmp_path):
    torch.save({"worse_label": np.zeros(3, int), "aggre_label": np.zeros(3, int)}, tmp_path / "a.pt")
    with pytest.raises(UsageError, match="did you mean 'worse_label'"):
        read_labels(tmp_path / "a.pt", key="worst_label")
    with pytest.raises(UsageError, match="say which array"):
        read_labels(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.csv", "a", "a.npz"])
def test_other_kinds_of_files_are_refused_by_their_name(name, tmp_path):
    with pytest.raises(UsageError, match=r"\.npy, \.safetensors"):
        read_labels(tmp_path / name)


@pytest.mark.parametrize("name", ["a.npy", "a.safetensors", "a.pt"])
def test_missing_damaged_and_empty_files_are_refused_in_one_line(name, tmp_path):
    path = tmp_path / name
    with pytest.raises(UnavailableError, match="cannot be read"):
        read_labels(path)
    table = {"worse_label": clean_labels(50, 10)}
    writer = next(write for other, write in WRITERS.items() if other.endswith(path.suffix))
    writer(path, table)
    whole = path.read_bytes()
    for data in (
        b"",
        whole[:9],
        whole[: len(whole) // 2],
        b"\x93NUMPY\x01\x00\xff\xff" + whole,
        b"\x00" * 200,
    ):
        path.write_bytes(data)
        with pytest.raises(UnavailableError) as refused:
            read_labels(path)
        assert "\n" not in str(refused.value)
        assert "weights_only" not in str(refused.value)  # torch would say how to run the file


def test_a_header_that_claims_more_than_memory_holds_is_refused(tmp_path):
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999,), }"
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(UnavailableError):
        read_labels(tmp_path / "a.npy")


class _Runs:
    """What a pickle would run when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_run(tmp_path):
    np.save(tmp_path / "a.npy", np.array([_Runs(tmp_path / "ran")], dtype=object), allow_pickle=True)
    torch.save({"worse_label": _Runs(tmp_path / "ran")}, tmp_path / "a.pt")
    torch.save({"worse_label": np.array([_Runs(tmp_path / "ran")], dtype=object)}, tmp_path / "b.pt")
    for name in ("a.npy", "a.pt", "b.pt"):
        with pytest.raises(UnavailableError):
            read_labels(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)  # the file would have
    assert (tmp_path / "ran").exists()


class _State:
    """An array whose pickle carries a state of our own."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        rebuilt, arguments, _ = np.zeros(2, np.int64).__reduce__()
        return rebuilt, arguments, self.state


@pytest.mark.parametrize(
    "state",
    [
        (1, (10**12,), np.dtype("i8"), False, b"\x00" * 16), (1, (-2,), np.dtype("i8"), False, b""),
        (1, (2,), np.dtype("f8"), False, b"\x00" * 16), (1, (1,), np.dtype("O"), False, [1]),
        (1, ("2",), np.dtype("i8"), False, b"\x00" * 16), (1, (2,), np.dtype("i8"), False, "text"), (), (1, 2),
        (1, (2,), np.dtype("i8"), False, b"\x00" * 15), (1, None, np.dtype("i8"), False, b""),
    ],
)  # fmt: skip
def test_a_made_up_state_of_an_array_is_refused(state, tmp_path):
    torch.save({"worse_label": _State(*state)}, tmp_path / "a.pt")
    with pytest.raises((UnavailableError, UsageError)):  # usage: a sound array, of numbers that are not whole
        read_labels(tmp_path / "a.pt")


def test_given_labels_must_fit_the_data():
    clean = clean_labels(20, 3)
    worse = (clean + (np.arange(20) < 5)) % 3
    found = given_labels(worse, clean, 3, "file")
    np.testing.assert_array_equal(found.drawn, np.arange(20) < 5)
    for bad, said in ((worse[:-1], "19 labels"), (worse - 1, "from -1"), (worse + 1, "0 to 2")):
        with pytest.raises(UsageError, match=said):
            given_labels(bad, clean, 3, "file")
