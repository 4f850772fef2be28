"""How a recipe has images read: held decoded, or streamed from their files."""

from __future__ import annotations

from typing import Any

from ticketctl import plugins
from ticketctl.data.crops import Crop
from ticketctl.data.sets import DataSet
from ticketctl.data.stream import Streamed
from ticketctl.errors import UsageError
from ticketctl.recipe_data import DataSpec


def options_of(spec: DataSpec) -> dict[str, Any]:
    """What the data set's module is told.

    Raises:
        UsageError: images are to be streamed of a set that is held decoded.
    """
    cuts = spec.augment == "resized-crop"
    base = spec.name.partition(":")[0]
    known = getattr(plugins.load("data", base), "OPTIONS", ()) if cuts or spec.stream else ("stream",)
    if "stream" not in known and (cuts or spec.stream == "always"):
        key = "augment = resized-crop" if cuts else "stream = always"
        raise UsageError(f"data.{key}: {base} does not lie in image files of its own; imagefolder:PATH does")
    stream = "always" if cuts else spec.stream
    found = {"size": spec.size, "resize": spec.resize, "stream": stream if "stream" in known else None}
    return {name: value for name, value in found.items() if value}


def crop_of(spec: DataSpec) -> Crop | None:
    """The boxes that training images are cut to; None: no such augmentation."""
    if spec.augment != "resized-crop":
        return None
    usual = Crop()
    return Crop(spec.crop_scale or usual.scale, spec.crop_ratio or usual.ratio)


def settled_crop(spec: DataSpec) -> dict[str, tuple[float, float]]:
    """The keys of boxes, settled: an artifact says what was used, whatever a later version takes."""
    crop = crop_of(spec)
    return {} if crop is None else {"crop_scale": crop.scale, "crop_ratio": crop.ratio}


def decoder_of(data: DataSet) -> dict[str, str]:
    """What decodes the images while they are trained on, for provenance; nothing, where they are held decoded."""
    images: object = data.train.images
    return {"decoder": images.decoder.name} if isinstance(images, Streamed) else {}


def bytes_held(data: DataSet, padding: int | None) -> int:
    """Bytes of all images on the device; those to be cropped are there padded, and once more mirrored."""
    if data.streamed:
        return 0
    count, channels, height, width = data.train.images.shape
    pad = 2 * (padding or 0)
    copies = 1 if padding is None else 1 + 2 * (height + pad) * (width + pad) / (height * width)
    return int(count * channels * height * width * copies) + int(data.test.images.size)
