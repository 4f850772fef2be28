"""The shipped digits are scikit-learn's, scaled and split as documented."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ticketctl.data.digits import FILE


def truth():
    digits = load_digits()
    images = np.array([[[round(x * 255 / 16) for x in row] for row in image] for image in digits.images])
    return images[:, None], digits.target


def test_digits_are_those_of_scikit_learn_scaled_to_bytes(opened):
    data = opened("digits")
    images, labels = truth()
    test = np.arange(1797) % 5 == 4
    np.testing.assert_array_equal(data.train.images, images[~test])
    np.testing.assert_array_equal(data.train.labels, labels[~test])
    np.testing.assert_array_equal(data.test.images, images[test])
    np.testing.assert_array_equal(data.test.labels, labels[test])
    assert (len(data.train), len(data.test), data.shape) == (1438, 359, (1, 8, 8))
    assert data.train.images.min() == 0
    assert data.train.images.max() == 255


def test_digits_are_normalised_by_their_train_split(opened):
    data = opened("digits")
    pixels = data.train.images / 255
    assert data.mean == (round(pixels.mean(), 4),)
    assert data.std == (round(pixels.std(), 4),)


@pytest.mark.long
def test_the_shipped_file_is_what_its_script_writes():
    script = __file__.replace("test_digits", "make_digits")
    code = f"import runpy; print(runpy.run_path({script!r})['packed']().hex())"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert bytes.fromhex(made.stdout) == FILE.read_bytes()


def test_the_shipped_file_has_its_licence_beside_it():
    text = FILE.with_name("digits.LICENCE.txt").read_text()
    assert "CC BY 4.0" in text
    assert "Alpaydin" in text


def test_the_fingerprint_of_the_digits_stands_for_ever(opened):
    wanted = "sha256:59068e8c5759f911381bdd0e441b2570f44a891c68cb301888108eb7246bd4b9"
    assert opened("digits").fingerprint == wanted


def test_digits_write_nothing(opened, tmp_path):
    opened("digits")
    assert list(tmp_path.iterdir()) == []


def test_loading_data_does_not_import_torch():
    code = (
        "import sys, pathlib; from ticketctl import plugins; from ticketctl.data import load\n"
        "for name in plugins.plugins('data'): plugins.load('data', name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
