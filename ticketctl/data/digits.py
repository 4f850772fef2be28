"""The 1,797 real 8x8 digits of the UCI repository, as scikit-learn carries them: needs no download.

Raw values 0 … 16 become round(value * 255 / 16). There is no official split here: every fifth image, those
with index % 5 == 4, is test (359), the others train (1,438). `digits.LICENCE.txt` has licence and citation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ticketctl.data._sources import no_target
from ticketctl.data.sets import Decoded, Found, Source, Split
from ticketctl.store.files import read_bytes
from ticketctl.store.tensors import parse_tensors

NAMES = {"digits": "1,797 real 8x8 grey digits (UCI), shipped with ticketctl"}
FORMS = {"digits": ((1, 8, 8), 10)}

FILE = Path(__file__).with_name("digits.safetensors")


def find(name: str, source: Source) -> Found:
    """The shipped file; nothing is cached."""
    no_target(name, source)
    return Found(identity="shipped", read=_read, keep=False)


def _read() -> Decoded:
    tensors, _ = parse_tensors(read_bytes(FILE, limit=1 << 20), where=str(FILE))
    raw = tensors["images"].array().astype(np.float64)
    images = np.round(raw * 255 / 16).astype(np.uint8)
    labels = tensors["labels"].array().astype(np.int64)
    test = np.arange(len(labels)) % 5 == 4
    return Decoded(
        train=Split(images[~test], labels[~test]),
        test=Split(images[test], labels[test]),
        classes=tuple("0123456789"),
        augment="none",
    )
