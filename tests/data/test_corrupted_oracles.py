"""Each corruption's parts against OpenCV, scikit-image, SciPy and ImageMagick.

The released code reckons in floats of [0, 1] and cuts: where its result is a whole grey level, rounding decides
whether it comes out one lower. Ours is exact there, hence "one level apart, on few pixels".
"""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import gaussian

from tests.data.corruption_pictures import pictures
from ticketctl.data.corrupted import corrupt
from ticketctl.data.corruptions import digital, edges, filters, photographs, spatter
from ticketctl.data.corruptions.constants import LEVELS
from ticketctl.data.corruptions.numbers import Numbers
from ticketctl.seeds import Seeds

IMAGES = pictures()
PLACES = np.arange(len(IMAGES))
SEVERITIES = pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])


def made(name: str, severity: int) -> np.ndarray:
    return corrupt(IMAGES, name, severity, PLACES, Seeds(0))


def constants(name: str, severity: int) -> tuple[float, ...]:
    return LEVELS[name][severity - 1]


def theirs(change) -> np.ndarray:
    """`change` of each image, float [H, W, 3] in [0, 1], cut to bytes."""
    found = [np.clip(change(image / 255), 0, 1) * 255 for image in IMAGES.transpose(0, 2, 3, 1)]
    return np.stack(found).astype(np.uint8).transpose(0, 3, 1, 2)


def assert_near(ours: np.ndarray, other: np.ndarray, share: float) -> None:
    apart = np.abs(ours.astype(int) - other)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= share


def numbers(name: str, severity: int) -> Numbers:
    return Numbers(Seeds(0), name, severity, PLACES)


@SEVERITIES
def test_gaussian_blur_is_that_of_scikit_image(severity: int) -> None:
    (sigma,) = constants("gaussian_blur", severity)
    other = theirs(lambda image: gaussian(image, sigma=sigma, channel_axis=-1))
    assert_near(made("gaussian_blur", severity), other, 0.02)


@SEVERITIES
def test_defocus_is_opencvs_filter_with_the_released_disk(severity: int) -> None:
    radius, sigma = constants("defocus_blur", severity)
    line = np.arange(-8, 9)
    disk = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disk / disk.sum(), (3, 3), sigmaX=sigma)
    assert_near(made("defocus_blur", severity), theirs(lambda image: cv2.filter2D(image, -1, kernel)), 0.08)


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """The middle of `image`, [H, W, planes], zoomed by SciPy, cut to the size of `image`."""
    size = len(image)
    kept = int(np.ceil(size / factor))
    first = (size - kept) // 2
    larger = ndimage.zoom(image[first : first + kept, first : first + kept], (factor, factor, 1), order=1)
    trim = (len(larger) - size) // 2
    return larger[trim : trim + size, trim : trim + size]


@cache
def all_zoomed(factor: float) -> np.ndarray:
    """All images at once, [H, W, n, 3] in [0, 1]. The factors of one severity are among those of the next."""
    images = (IMAGES / 255).transpose(2, 3, 0, 1)
    return zoomed(images.reshape(*images.shape[:2], -1), factor).reshape(images.shape)


@SEVERITIES
def test_zoom_blur_is_the_mean_of_scipys_zooms(severity: int) -> None:
    factors = np.arange(1, constants("zoom_blur", severity)[0], 0.01)
    images = (IMAGES / 255).transpose(2, 3, 0, 1)
    mean = (images + sum(all_zoomed(z) for z in factors)) / (len(factors) + 1)
    other = (np.clip(mean, 0, 1) * 255).astype(np.uint8).transpose(2, 3, 0, 1)
    assert_near(made("zoom_blur", severity), other, 0.06)


@SEVERITIES
def test_glass_is_blurred_shuffled_and_blurred_with_scikit_image(severity: int) -> None:
    sigma, _, turns = constants("glass_blur", severity)
    found = theirs(lambda image: gaussian(image, sigma=sigma, channel_axis=-1)).transpose(0, 2, 3, 1)
    for turn in range(int(turns)):
        words = numbers("glass_blur", severity).words(f"turn {turn}", 2048) % np.uint64(2)
        shifts = words.astype(int).reshape(-1, 2, 32, 32) - 1
        for image, (down, right) in zip(found, shifts, strict=True):
            for row, column in ((r, c) for r in range(31, 1, -1) for c in range(31, 1, -1)):
                image[row, column] = image[row + down[row, column], column + right[row, column]]
    again = [np.clip(gaussian(one / 255, sigma=sigma, channel_axis=-1), 0, 1) * 255 for one in found]
    other = np.stack(again).astype(np.uint8).transpose(0, 3, 1, 2)
    apart = np.abs(made("glass_blur", severity).astype(int) - other)
    assert apart.max() <= 2  # cut twice
    assert (apart > 0).mean() < 0.03


def motion_cases() -> list[dict]:
    text = (Path(__file__).parent / "corrupted_motion.json").read_text(encoding="utf-8")
    return json.loads(text)["cases"]


@pytest.mark.parametrize(
    "case", motion_cases(), ids=lambda case: f"{case['radius']}x{case['sigma']}{case['angle']:+}"
)
def test_motion_blur_is_imagemagicks_bit_for_bit(case: dict) -> None:
    i, j, c = np.mgrid[:12, :12, :3]
    image = ((7 * i * i + 37 * j + 5 * i * j + 91 * c) % 256).astype(np.uint8).transpose(2, 0, 1)
    words = np.frombuffer(base64.b64decode(case["words"]), dtype="<u2").reshape(12, 12, 3).astype(int)
    ours = filters.motion(image[None], case["radius"], case["sigma"], np.array([case["angle"]]))[0]
    assert (ours.transpose(1, 2, 0) == (words + 128) // 257).all()


def test_motion_blur_at_no_angle_moves_along_rows_only_and_its_kernel_adds_up_to_one() -> None:
    dot = np.zeros((1, 1, 32, 32), dtype=np.uint8)
    dot[..., 16, 16] = 255
    found = filters.motion(dot, 6, 2, np.zeros(1))[0, 0].astype(int)
    assert not np.delete(found, 16, axis=0).any()
    assert not found[16, 17:].any()
    assert found[16].sum() == pytest.approx(255, abs=4)  # 13 roundings
    assert (np.diff(found[16, 4:17]) >= 0).all()
    even = np.full((3, 3, 32, 32), 77, dtype=np.uint8)
    assert (filters.motion(even, 14, 12, np.array([-135.0, -90.0, 12.3])) == 77).all()


@SEVERITIES
def test_snow_is_the_released_formula_over_scipys_zoom_and_opencvs_grey(severity: int) -> None:
    mean, deviation, factor, threshold, radius, sigma, share = constants("snow", severity)
    draws = numbers("snow", severity)
    noise = mean + deviation * draws.normal("flakes", 32, 32)
    angles = 90 * draws.uniform("angle", 1)[:, 0] - 135
    found = []
    for image, layer, angle in zip(IMAGES.transpose(0, 2, 3, 1), noise, angles, strict=True):
        flakes = zoomed(layer[..., None], factor)[..., 0]
        flakes[flakes < threshold] = 0
        blurred = (np.clip(flakes, 0, 1) * 255).astype(np.uint8)[None, None]
        fallen = filters.motion(blurred, radius, sigma, np.array([angle]))[0, 0, ..., None] / 255
        pixels = (image / 255).astype(np.float32)
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
        pale = share * pixels + (1 - share) * np.maximum(pixels, grey * 1.5 + 0.5)
        found.append(np.clip(pale + fallen + np.rot90(fallen, k=2), 0, 1) * 255)
    other = np.stack(found).astype(np.uint8).transpose(0, 3, 1, 2)
    assert_near(made("snow", severity), other, 0.1)


def test_the_photographs_shrink_as_opencv_shrinks_them(tmp_path) -> None:
    draws = np.random.default_rng(0)
    for name in photographs.FILES:
        cv2.imwrite(str(tmp_path / name), draws.integers(0, 256, (333, 403, 3), dtype=np.uint8))
    for name, ours in zip(photographs.FILES, photographs.photographs(tmp_path, 32), strict=True):
        other = cv2.resize(cv2.imread(str(tmp_path / name)), (0, 0), fx=0.2, fy=0.2)[..., ::-1]
        apart = np.abs(ours.transpose(1, 2, 0).astype(int) - other)
        assert apart.max() <= (0 if name.endswith("png") else 3)  # two decoders of JPEG


@SEVERITIES
def test_brightness_and_saturation_are_those_of_scikit_images_hsv(severity: int) -> None:
    (more,), (factor, plus) = constants("brightness", severity), constants("saturate", severity)

    def lighter(image: np.ndarray) -> np.ndarray:
        hsv = rgb2hsv(image)
        hsv[..., 2] = np.clip(hsv[..., 2] + more, 0, 1)
        return hsv2rgb(hsv)

    def redder(image: np.ndarray) -> np.ndarray:
        hsv = rgb2hsv(image)
        hsv[..., 1] = np.clip(hsv[..., 1] * factor + plus, 0, 1)
        return hsv2rgb(hsv)

    assert_near(made("brightness", severity), theirs(lighter), 0.15)
    assert_near(made("saturate", severity), theirs(redder), 0.15)


@SEVERITIES
def test_contrast_shrinks_about_the_mean_of_each_channel(severity: int) -> None:
    (factor,) = constants("contrast", severity)

    def paler(image: np.ndarray) -> np.ndarray:
        means = image.mean(axis=(0, 1), keepdims=True)
        return (image - means) * factor + means

    assert_near(made("contrast", severity), theirs(paler), 0.1)


@SEVERITIES
def test_pixels_are_means_over_boxes(severity: int) -> None:
    small = int(32 * constants("pixelate", severity)[0])
    there, back = boxes(32, small), boxes(small, 32)
    low = rounded(there @ rounded(IMAGES @ there.T))
    assert_near(made("pixelate", severity), rounded(back @ rounded(low @ back.T)), 0)


def rounded(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5)


def boxes(old: int, new: int) -> np.ndarray:
    """Means over the pixels whose middles lie in each new pixel, or of the nearest: [new, old]."""
    apart = np.arange(old) + 0.5 - (np.arange(new)[:, None] + 0.5) * old / new
    inside = (np.abs(apart) < max(old / new, 1) / 2).astype(float)
    return inside / inside.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("mode", ["mirror", "reflect"])
def test_sampling_is_that_of_scipys_map_coordinates(mode: str) -> None:
    places = np.mgrid[:32, :32] + 6 * np.random.default_rng(0).normal(size=(len(IMAGES), 2, 32, 32))
    ours = digital.sample(IMAGES, places, digital._mirrored if mode == "mirror" else digital._doubled)
    for image, place, found in zip(IMAGES, places, ours, strict=True):
        for channel in range(3):
            other = ndimage.map_coordinates(image[channel].astype(float), place, order=1, mode=mode)
            assert found[channel] == pytest.approx(other, abs=1e-10)


def test_the_moved_plane_is_that_of_opencvs_affine_transform() -> None:
    moves = np.random.default_rng(0).uniform(-2.5, 2.5, (len(IMAGES), 3, 2)).astype(np.float32)
    places = digital.affine(32, moves.astype(np.float64))
    corners = np.array([[26, 26], [26, 6], [6, 6]], dtype=np.float32)
    ours = digital.sample(IMAGES, places, digital._mirrored)
    for image, move, found in zip(IMAGES, moves, ours, strict=True):
        matrix = cv2.getAffineTransform(corners, corners + move)
        pixels = image.transpose(1, 2, 0).astype(np.float32)
        other = cv2.warpAffine(pixels, matrix, (32, 32), borderMode=cv2.BORDER_REFLECT_101)
        assert found.transpose(1, 2, 0) == pytest.approx(
            other, abs=8.0
        )  # OpenCV 4 rounds places to 1/32 pixel
        assert np.abs(found.transpose(1, 2, 0) - other).mean() < 0.7


@SEVERITIES
def test_the_random_fields_are_those_of_scikit_images_gaussian(severity: int) -> None:
    sigma = 32 * constants("elastic_transform", severity)[1]
    field = np.random.default_rng(0).uniform(-1, 1, (32, 32))
    if sigma:
        bell = filters.bell(sigma, truncate=3)
        ours = filters.smooth(field, bell / bell.sum(), "symmetric")
        assert ours == pytest.approx(gaussian(field, sigma, mode="reflect", truncate=3), abs=1e-12)


def drops() -> np.ndarray:
    """As spatter has them at severity 3, then one without drops, one even, and some of noise."""
    draws = np.random.default_rng(0)
    fields = 0.65 + 0.3 * ndimage.gaussian_filter(draws.normal(size=(100, 32, 32)), (0, 1, 1))
    fields[fields < 0.69] = 0
    found = (255 * np.clip(fields, 0, 1)).astype(np.uint8)
    found[0], found[1] = 0, 200
    return np.concatenate([found, draws.integers(0, 256, (20, 32, 32), dtype=np.uint8)])


def test_edges_distances_and_histograms_are_opencvs() -> None:
    images = drops()
    ours = edges.canny(images, 50, 150)
    assert (ours == np.stack([cv2.Canny(image, 50, 150) > 0 for image in images])).all()
    far = np.minimum(edges.distances(ours) / edges.ONE, 50)
    inverse = [np.where(edge, 0, 255).astype(np.uint8) for edge in ours]
    other = np.stack([cv2.distanceTransform(image, cv2.DIST_L2, 5) for image in inverse])
    assert far == pytest.approx(np.minimum(other, 50), abs=1e-3)
    assert (edges.equalised(images) == np.stack([cv2.equalizeHist(image) for image in images])).all()


def test_drops_shine_as_the_released_chain_of_opencv_makes_them() -> None:
    images = drops()
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    for image, ours in zip(images, spatter.shine(images, 20), strict=True):
        far = cv2.distanceTransform(255 - cv2.Canny(image, 50, 150), cv2.DIST_L2, 5)
        _, near = cv2.threshold(far, 20, 20, cv2.THRESH_TRUNC)
        even = cv2.equalizeHist(cv2.blur(near, (3, 3)).astype(np.uint8))
        bright = cv2.blur(cv2.filter2D(even, cv2.CV_8U, emboss), (3, 3)).astype(np.float32)
        other = image * bright
        assert ours == pytest.approx(other / max(other.max(), 1), abs=1e-6)


@SEVERITIES
def test_spatter_is_the_released_formula(severity: int) -> None:
    mean, deviation, sigma, threshold, strength, mud = constants("spatter", severity)
    noise = mean + deviation * numbers("spatter", severity).normal("drops", 32, 32)
    found = []
    for image, field in zip(IMAGES.transpose(0, 2, 3, 1) / 255, noise, strict=True):
        liquid = gaussian(field, sigma=sigma)
        liquid[liquid < threshold] = 0
        if mud:
            cover = gaussian((liquid > threshold).astype(float), sigma=strength)[..., None]
            cover[cover < 0.8] = 0
            found.append(image * (1 - cover) + cover * np.array([63, 42, 20]) / 255)
        else:
            shine = spatter.shine((255 * np.minimum(liquid, 1)).astype(np.uint8)[None], 20)[
                0
            ]  # theirs wraps above 1
            found.append(image + strength * shine[..., None] * np.array([175, 238, 238]) / 255)
    other = (np.clip(found, 0, 1) * 255).astype(np.uint8).transpose(0, 3, 1, 2)
    assert_near(made("spatter", severity), other, 0.05)
