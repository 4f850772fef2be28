"""Writes ticketctl/data/digits.safetensors from scikit-learn's copy: `python tests/data/make_digits.py`."""

import numpy as np
from sklearn.datasets import load_digits

from ticketctl.data.digits import FILE
from ticketctl.store.files import write_atomic
from ticketctl.store.tensors import Tensor, pack_tensors


def packed() -> bytes:
    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    labels = digits.target.astype(np.uint8)
    return pack_tensors({"images": Tensor.of(images), "labels": Tensor.of(labels)})


if __name__ == "__main__":
    write_atomic(FILE, packed())
