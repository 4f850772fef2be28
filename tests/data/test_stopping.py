"""Somebody who asks to stop while data are prepared is heard: nothing half-made stays, and the next call does all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticketctl.data.load import load
from ticketctl.errors import StoppedError
from ticketctl.progress import Attentive, Silent


def folder_of_images(root: Path) -> Path:
    numbers = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("a", "b"):
            (root / split / label).mkdir(parents=True)
            for index in range(5):
                pixels = numbers.integers(0, 256, (6, 6, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / label / f"{index}.png")
    return root


def test_decoding_stops_in_the_middle_and_is_done_again(tmp_path: Path) -> None:
    source, asked = folder_of_images(tmp_path / "images"), iter(range(100))

    def poll() -> None:
        if next(asked) > 7:
            raise StoppedError("stopped", 130)

    name, cache = f"imagefolder:{source}", tmp_path / "cache"
    with pytest.raises(StoppedError) as stopped:
        load(name, cache=cache, reporter=Attentive(Silent(), poll))
    assert stopped.value.exit_code == 130
    assert not list(cache.rglob("*.safetensors"))
    assert len(load(name, cache=cache, reporter=Silent()).train) == 10
