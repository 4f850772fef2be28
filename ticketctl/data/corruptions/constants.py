"""What the released code says of each severity (hendrycks/robustness, create_c/make_cifar_c.py).

Lengths are in pixels of an image 32 wide; intensities are in [0, 1].
"""

from __future__ import annotations

Level = tuple[float, ...]

LEVELS: dict[str, tuple[Level, Level, Level, Level, Level]] = {
    # standard deviation
    "gaussian_noise": ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
    # photons of full white
    "shot_noise": ((500,), (250,), (100,), (75,), (50,)),
    # share of values hit
    "impulse_noise": ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
    # radius, deviation of what smooths the disk
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    # deviation, farthest neighbour, turns
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    # radius, deviation
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    # end of the zooms
    "zoom_blur": ((1.06,), (1.11,), (1.16,), (1.21,), (1.26,)),
    # mean, deviation, zoom, threshold, radius and deviation of the fall, share of the image
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    # share of the image, of the frost
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    # thickness, how quickly detail fades
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    # added to the HSV value
    "brightness": ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
    # factor about the mean
    "contrast": ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
    # strength, deviation and corner shift, in image widths
    "elastic_transform": ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    # size in between
    "pixelate": ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
    # quality
    "jpeg_compression": ((80,), (65,), (58,), (50,), (40,)),
    # deviation, in parts of the value
    "speckle_noise": ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,)),
    # deviation
    "gaussian_blur": ((0.4,), (0.6,), (0.7,), (0.8,), (1,)),
    # mean, deviation, smoothing, threshold, strength (of mud: its smoothing), 0 water or 1 mud
    "spatter": (
        (0.62, 0.1, 0.7, 0.7, 0.5, 0),
        (0.65, 0.1, 0.8, 0.7, 0.5, 0),
        (0.65, 0.3, 1, 0.69, 0.5, 0),
        (0.65, 0.1, 0.7, 0.69, 0.6, 1),
        (0.65, 0.1, 0.5, 0.68, 0.6, 1),
    ),
    # factor and summand of the HSV saturation
    "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
}  # fmt: skip
"""By corruption, in the order of the paper and then the four extra ones; severities 1 to 5."""
