"""What is true of every corruption, whichever it is; what randomness depends on; single ones against their text."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom, chisquare, kstest, norm, poisson

from tests.data.corruption_pictures import pictures
from ticketctl.data import corrupted
from ticketctl.data.corrupted import EXTRA, SEVERITIES, STANDARD, Generated, Stamp, corrupt, stamp
from ticketctl.data.corruptions import blur, noise, weather
from ticketctl.data.corruptions import photographs as photographs_module
from ticketctl.data.corruptions.constants import LEVELS
from ticketctl.data.corruptions.numbers import Numbers
from ticketctl.data.corruptions.photographs import FILES, photographs
from ticketctl.data.sets import Split
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.seeds import Seeds

NAMES = STANDARD + EXTRA
FIXED = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "gaussian_blur",
         "saturate")  # fmt: skip
"""Those without random numbers."""
IMAGES = pictures()
PLACES = np.arange(len(IMAGES))


def made(name: str, severity: int = 3, images: np.ndarray = IMAGES, seed: int = 0) -> np.ndarray:
    return corrupt(images, name, severity, np.arange(len(images)), Seeds(seed))


def test_there_are_15_standard_corruptions_and_4_extra_in_the_papers_order() -> None:
    assert len(STANDARD) == 15
    assert STANDARD[:3] == ("gaussian_noise", "shot_noise", "impulse_noise")
    assert EXTRA == ("speckle_noise", "gaussian_blur", "spatter", "saturate")
    assert all(len(levels) == SEVERITIES == 5 for levels in LEVELS.values())


@pytest.mark.parametrize("name", NAMES)
def test_bytes_go_in_and_come_out_and_differ_from_image_to_image(name: str) -> None:
    before = IMAGES.copy()
    for severity in (1, 5):
        found = made(name, severity)
        assert found.dtype == np.uint8
        assert found.shape == IMAGES.shape
        assert len({one.tobytes() for one in found}) == len(IMAGES)
        assert (found != IMAGES).any()
    assert (before == IMAGES).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bytes_and_another_one_others_where_there_is_chance(name: str) -> None:
    one = made(name)
    assert (one == made(name)).all()
    assert (one == made(name, seed=1)).all() == (name in FIXED)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_depends_on_its_place_and_not_on_which_others_are_made(name: str) -> None:
    some = np.array([17, 3, 11])
    alone = corrupt(IMAGES[some], name, 4, some, Seeds(0))
    assert (alone == made(name, 4)[some]).all()


@pytest.mark.parametrize("name", sorted({*NAMES} - {*FIXED}))
def test_the_same_image_at_another_place_and_severity_has_other_numbers(name: str) -> None:
    same = np.repeat(IMAGES[5:6], 8, axis=0)
    found = made(name, 5, same)
    assert len({one.tobytes() for one in found}) > 1


@pytest.mark.parametrize(
    "name",
    [
        "gaussian_blur",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "pixelate",
        "elastic_transform",
    ],
)
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_an_even_image_stays_as_it_is_under_blurs_zoom_and_pixels(name: str, severity: int) -> None:
    even = np.repeat(np.arange(256, dtype=np.uint8)[::5], 3 * 32 * 32).reshape(-1, 3, 32, 32)
    found = made(name, severity, even)
    assert np.abs(found.astype(int) - even).max() <= (name == "elastic_transform")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8), (3, 45, 45)])
def test_other_sizes_and_grey_images_are_corrupted_too(name: str, shape: tuple[int, int, int]) -> None:
    images = pictures(4, shape[1])[:, : shape[0]]
    found = made(name, 5, images)
    assert found.shape == images.shape
    # grey has no saturation, and a disk of a quarter pixel is a pixel
    still = (name, shape) in (("saturate", (1, 28, 28)), ("defocus_blur", (3, 8, 8)))
    assert (found == images).all() == still


# Recorded with numpy 2.4.6. Single bytes may turn where another library rounds a logarithm or a cosine otherwise.
DIGESTS = {
    "gaussian_noise": "8f4baffbe5a65582",
    "shot_noise": "018763cd4ce6218a",
    "impulse_noise": "8756788b449fd349",
    "defocus_blur": "955d3b82f7629b0d",
    "glass_blur": "88ea4a114b2d0e1e",
    "motion_blur": "792dc15dee802a91",
    "zoom_blur": "fac7f60fed5ec6e0",
    "snow": "4302d787939368f8",
    "frost": "22a3ee9301cbc31d",
    "fog": "3f57c3af4c228c9e",
    "brightness": "f6496a7dfd33f1a6",
    "contrast": "44dc3c7ba7613aec",
    "elastic_transform": "460695f3badebffb",
    "pixelate": "a02ea1b1f3c0cb59",
    "speckle_noise": "f50918071686e0d7",
    "gaussian_blur": "dc3333182d723732",
    "spatter": "9c677140c5aabfec",
    "saturate": "23b0d3d67a769fb1",
}


@pytest.mark.parametrize("name", sorted({*NAMES} - {"jpeg_compression"}))
def test_the_bytes_are_those_recorded(name: str) -> None:
    i, j, c, n = np.mgrid[:32, :32, :3, :4]
    images = ((7 * i + j * j + 40 * c + i * j * n) % 256).astype(np.uint8).transpose(3, 2, 0, 1)
    found = made(name, 3, images)
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == DIGESTS[name]


def test_jpeg_is_near_what_was_recorded() -> None:
    i, j, c, n = np.mgrid[:32, :32, :3, :4]  # libjpeg's bytes are its own
    images = ((4 * i + 3 * j + 40 * c + 9 * n) % 256).astype(np.uint8).transpose(3, 2, 0, 1)
    errors = [np.abs(made("jpeg_compression", s, images).astype(int) - images).mean() for s in range(1, 6)]
    assert errors == pytest.approx(JPEG, rel=0.05)


JPEG = [4.638, 5.68, 5.726, 6.355, 6.617]


def test_photons_are_counted_by_poissons_distribution() -> None:
    means = np.arange(256) / 255 * 75
    ours = noise.poisson(means, 75)
    assert ours == pytest.approx(poisson.cdf(np.arange(75), means[:, None]), abs=1e-11)
    grey = np.full((40, 3, 32, 32), 102, dtype=np.uint8)  # 0.4: 30 photons of 75
    seen, counts = np.unique(made("shot_noise", 4, grey), return_counts=True)
    photons = np.round(seen / 255 * 75 + 0.49).astype(int)
    expected = poisson.pmf(photons, 30) * grey.size
    inner = expected > 20
    scaled = expected[inner] * counts[inner].sum() / expected[inner].sum()
    assert chisquare(counts[inner], scaled).pvalue > 0.001


def test_noise_is_normal_and_impulses_are_as_many_as_said() -> None:
    numbers = Numbers(Seeds(0), "gaussian_noise", 1, np.arange(20)).normal("noise", 3, 32, 32)
    assert kstest(numbers.ravel(), norm.cdf).pvalue > 0.001
    assert np.abs(np.corrcoef(numbers.reshape(20, -1)) - np.eye(20)).max() < 0.1
    grey = np.full((40, 3, 32, 32), 128, dtype=np.uint8)
    hit = made("impulse_noise", 5, grey)
    for value in (0, 255):
        count = int((hit == value).sum())
        assert 0.001 < binom.cdf(count, grey.size, 0.035) < 0.999


@pytest.mark.parametrize("reach", [1, 2])
def test_glass_over_all_images_at_once_is_the_loop_over_each(reach: int) -> None:
    shifts = np.random.default_rng(0).integers(-reach, reach, (len(IMAGES), 2, 32, 32))
    together = blur.shuffled(IMAGES, shifts, reach)
    for image, shift, ours in zip(IMAGES, shifts, together, strict=True):
        found = image.transpose(1, 2, 0).copy()
        for row in range(32 - reach, reach, -1):
            for column in range(32 - reach, reach, -1):
                down, right = shift[:, row, column]
                there, here = (
                    found[row + down, column + right],
                    found[row, column],
                )  # views, as in the released code
                found[row, column], found[row + down, column + right] = there, here
        assert (ours.transpose(1, 2, 0) == found).all()


def test_glass_takes_as_many_turns_as_its_severity_says() -> None:
    assert (made("glass_blur", 2) != made("glass_blur", 4)).any()
    assert np.abs(made("glass_blur", 1).astype(int) - IMAGES).mean() > 1


def test_plasma_is_made_of_the_means_of_its_neighbours_and_lies_in_0_to_1() -> None:
    clouds = weather.plasma(np.random.default_rng(0).random((5, 1023)), 2.5)
    assert clouds.min(axis=(1, 2)).tolist() == [0] * 5
    assert clouds.max(axis=(1, 2)).tolist() == [1] * 5
    still = np.full((1, 63), 0.5)
    still[0, 0] = 1.0  # the first centre alone moves: every other point is the mean of the four about it
    cloud = weather.plasma(still, 2.0)[0]
    around = [np.roll(np.roll(cloud, a, 0), b, 1) for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    odd = (np.add.outer(np.arange(8), np.arange(8)) % 2) == 1
    assert cloud[odd] == pytest.approx(np.mean(around, axis=0)[odd])


def test_fog_keeps_black_images_black_and_the_brightest_value() -> None:
    assert not made("fog", 5)[2].any()
    assert (made("fog", 5).max(axis=(1, 2, 3)) <= IMAGES.max(axis=(1, 2, 3))).all()


def test_frost_takes_pieces_of_the_users_photographs(tmp_path) -> None:
    colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (200, 200, 10), (10, 200, 200), (99, 99, 99)]
    for name, colour in zip((*FILES, "frost6.jpg"), colours, strict=True):
        Image.new("RGB", (400, 300), colour).save(tmp_path / name, quality=100)
    black = np.zeros((60, 3, 32, 32), dtype=np.uint8)
    found = corrupt(black, "frost", 2, np.arange(60), Seeds(0), frost=tmp_path)
    seen = {tuple(np.round(one.mean(axis=(1, 2)) / 0.3 / 10).astype(int) * 10) for one in found}
    assert len(seen) == 5
    assert (100, 100, 100) not in seen  # the sixth
    (tmp_path / FILES[3]).unlink()
    with pytest.raises(UnavailableError, match=r"no frost4\.jpg"):
        corrupt(black, "frost", 2, np.arange(60), Seeds(0), frost=tmp_path)
    Image.new("RGB", (400, 100)).save(tmp_path / FILES[3])
    with pytest.raises(UsageError, match="at least 166 pixels"):
        photographs(tmp_path, 32)


def test_what_images_are_is_said_of_them(tmp_path) -> None:
    assert stamp((3, 32, 32), "fog", None) == Stamp("generated", "")
    assert stamp((3, 32, 32), "frost", tmp_path).kind == "generated"
    assert stamp((3, 32, 32), "frost", None) == Stamp(
        "modified", "a texture of our own in the place of the photographs"
    )
    assert stamp((1, 28, 28), "fog", None) == Stamp(
        "modified", "lengths scaled by 28/32; first of three equal channels"
    )


def test_generated_images_are_those_of_corrupt_and_known_by_image_set_seed_and_photographs(tmp_path) -> None:
    base = Split(IMAGES, np.arange(len(IMAGES)) % 7)
    ours = Generated(base, "abc", Seeds(0))
    places = np.array([5, 2, 9])
    split = ours.read("snow", 2, places)
    assert (split.images == made("snow", 2)[places]).all()
    assert split.labels.tolist() == [5, 2, 2]
    assert (ours.count, ours.names(), ours.severities("fog"), ours.missing()) == (
        24,
        NAMES,
        (1, 2, 3, 4, 5),
        (),
    )
    for folder, shade in (("a", 10), ("b", 20)):
        (tmp_path / folder).mkdir()
        for name in FILES:
            Image.new("RGB", (200, 200), (shade,) * 3).save(tmp_path / folder / name)
    kinds = [ours, Generated(base, "abd", Seeds(0)), Generated(base, "abc", Seeds(1))]
    assert len({one.fingerprint("fog") for one in kinds}) == 3
    frosty = [Generated(base, "abc", Seeds(0), tmp_path / folder) for folder in "ab"]
    assert len({one.fingerprint("frost") for one in (ours, *frosty)}) == 3
    assert len({one.fingerprint("fog") for one in (ours, *frosty)}) == 1
    assert (
        ours.fingerprint("fog")
        == Generated(base, "abc", Seeds(0)).fingerprint("fog")
        != ours.fingerprint("snow")
    )


def test_jpeg_images_are_known_by_what_wrote_and_read_them_too(monkeypatch) -> None:
    base = Split(IMAGES, np.arange(len(IMAGES)) % 7)
    for change in (
        lambda: monkeypatch.setattr("PIL.__version__", "0.0"),
        lambda: monkeypatch.setattr(corrupted.features, "version_feature", lambda said: f"{said} 0.0"),
        lambda: monkeypatch.setattr(corrupted.features, "version_codec", lambda said: f"{said} 0.0"),
    ):
        before = {name: Generated(base, "abc", Seeds(0)).fingerprint(name) for name in NAMES}
        change()
        after = {name: Generated(base, "abc", Seeds(0)).fingerprint(name) for name in NAMES}
        assert [name for name in NAMES if before[name] != after[name]] == ["jpeg_compression"]


def test_frost_is_made_once_however_many_pieces_are_read(monkeypatch) -> None:
    made_by, calls = photographs_module.textures, []
    monkeypatch.setattr(photographs_module, "textures", lambda *said: calls.append(1) or made_by(*said))
    ours = Generated(Split(IMAGES, np.arange(len(IMAGES)) % 7), "abc", Seeds(0))
    parts = [ours.read("frost", severity, np.arange(4)).images for severity in (1, 2)]
    assert len(calls) == 1
    assert (parts[1] == corrupt(IMAGES[:4], "frost", 2, np.arange(4), Seeds(0))).all()


def test_what_cannot_be_corrupted_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'fog'"):
        corrupt(IMAGES, "fogg", 1, PLACES, Seeds(0))
    for severity in (0, 6):
        with pytest.raises(UsageError, match="1 to 5"):
            corrupt(IMAGES, "fog", severity, PLACES, Seeds(0))
    for shape in ((2, 3, 32, 28), (2, 2, 32, 32), (2, 3, 4, 4), (3, 32, 32)):
        with pytest.raises(UsageError, match="square"):
            corrupt(np.zeros(shape, np.uint8), "fog", 1, PLACES[:2], Seeds(0))


def test_it_can_be_stopped() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corrupt(IMAGES, "fog", 1, PLACES, Seeds(0), stop)


def test_it_takes_numpy_and_pillow_alone() -> None:
    others = "{'torch', 'scipy', 'cv2', 'skimage'}"
    code = f"import sys, ticketctl.data.corrupted_folder; sys.exit(bool({others} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
