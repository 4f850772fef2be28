"""Noise images: the numbers of their distribution, and the same images however many are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm

from ticketctl.data.others import KIN, NO_LABEL, Strangers, among, noise
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds


def test_pixels_are_clipped_gaussian_noise_about_the_middle() -> None:
    values = noise((3, 16, 16), np.arange(200), Seeds(0)).images / 255
    assert values.mean() == pytest.approx(0.5, abs=0.002)
    assert (values == 1).mean() == pytest.approx(norm.sf(2) + norm.sf(2) * 0.02, abs=0.003)
    inner = (values > 0) & (values < 1)
    assert values[inner].std() == pytest.approx(
        0.5 * 0.5 * 0.8796, abs=0.003
    )  # a normal cut at two deviations


def test_an_image_depends_on_its_number_and_the_seed_alone() -> None:
    few, many = (noise((1, 8, 8), np.array(numbers), Seeds(0)) for numbers in ([7, 0, 3], range(10)))
    assert (few.images == many.images[[7, 0, 3]]).all()
    assert (many.images != noise((1, 8, 8), np.arange(10), Seeds(1)).images).mean() > 0.9
    assert len({image.tobytes() for image in many.images}) == 10
    assert set(np.unique(few.labels)) == {NO_LABEL}


def test_kin_are_data_sets() -> None:
    assert {*KIN, *(name for kin in KIN.values() for name in kin)} <= set(plugins("data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Like ImageNet-O: two class folders, three images of different sizes, and a text beside them."""
    for number, (name, size) in enumerate(
        {"n02/b.JPEG": (20, 16), "n02/a.png": (8, 8), "n01/z.png": (8, 12)}.items()
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", size, (100, 50 * number, 0)).save(tmp_path / name)
    (tmp_path / "README.txt").write_text("about")
    return tmp_path


def test_a_folder_is_read_in_the_order_of_classes_and_files_at_the_size_of_the_net(folder: Path) -> None:
    ours = Strangers(folder, (3, 8, 8))
    assert (len(ours), ours.classes) == (3, ["n01", "n02"])
    split = ours.read(np.array([2, 0]))
    assert split.images.shape == (2, 3, 8, 8)
    assert split.images[:, 1].mean(axis=(1, 2)).tolist() == pytest.approx([0, 100], abs=2)
    assert split.labels.tolist() == [NO_LABEL] * 2
    before = ours.fingerprint
    Image.new("RGB", (9, 9)).save(folder / "n01/z.png")
    assert Strangers(folder, (3, 8, 8)).fingerprint != before


def test_a_folder_without_images_of_the_form_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"not \[3, 6, 8\]"):
        Strangers(folder, (3, 6, 8)).read(np.array([1]))
    with pytest.raises(UsageError, match=r"not \[1, 8, 8\]"):
        Strangers(folder, (1, 8, 8)).read(np.array([1]))
    with pytest.raises(UnavailableError, match="no images in CLASS"):
        len(Strangers(folder / "n01", (3, 8, 8)))


def test_class_folders_mean_classes_where_they_are_some_of_the_nets_own_and_no_others() -> None:
    own = ("n09", "n01", "n05")
    assert among(["n05", "n09"], own) == [0, 2]
    for theirs in (["n05", "n09", "n01"], ["n05", "n77"], ["n77"]):
        assert among(theirs, own) is None
