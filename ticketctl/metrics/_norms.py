"""What the metrics that name a policy for BatchNorm share: its keys, its cost, its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ticketctl.errors import UsageError


@dataclass(frozen=True)
class NormKeys:
    """Keys of what BatchNorm normalises by: `ticketctl.train.features.batchnorm` takes them."""

    bn: Literal["recalibrate", "stored", "batch"] = "recalibrate"
    """Statistics of BatchNorm: of the training images shown, the net's own, or of each 500 images."""
    bn_images: int = 0
    """Training images that they are of, evenly spaced; 0: all."""


def check_norms(metric: str, keys: NormKeys) -> None:
    """Raises UsageError: `bn_images` below 0."""
    if keys.bn_images < 0:
        raise UsageError(f"metrics.{metric}.bn_images = {keys.bn_images} must be 0 (all) or more")


def taken_anew(sizes: Mapping[str, int], keys: NormKeys) -> int:
    """Forward passes of single images that the statistics cost."""
    train = sizes["train"]
    return min(keys.bn_images or train, train) if keys.bn == "recalibrate" else 0


def policy(keys: NormKeys, used: int) -> dict[str, Any]:
    """For the protocol; `used` is what `batchnorm` gave."""
    return {"policy": keys.bn, "images": used}
