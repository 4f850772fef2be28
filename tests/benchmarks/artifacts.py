"""Sizes and speeds of artifacts at ResNet-18's size: `python -m tests.benchmarks.artifacts`.

The masks are independent random ones with layer densities that differ, as a magnitude ladder's do: the worst case for
a compressor, since nothing but the counts can be learnt.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ticketctl.artifacts.ladder import Ladder, decode_ladder, encode_ladder
from ticketctl.artifacts.masks import encode_mask
from ticketctl.artifacts.ticket import write_ticket
from ticketctl.masks.ladder import ladder_counts, rounds_of_death
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top
from ticketctl.nets.build import build
from ticketctl.nets.initialise import initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.state import State

ROUNDS = 25


def ladder_of_random_masks() -> tuple[list[Mask], State]:
    """25 rounds of 20 % by global magnitude of a fresh ResNet-18, as omp would rank it at initialisation."""
    model = initialise_(build("resnet18", shape=(3, 32, 32), classes=10), "kaiming-normal", Seeds(0))
    state = State.of(model, 0)
    scores = {name: weight.abs() for name, weight in state.weights.items() if weight.dim() > 1}
    masks = [Mask.full({name: score.shape for name, score in scores.items()})]
    for count in ladder_counts(masks[0].size, rate=Fraction(1, 5), rounds=ROUNDS)[1:]:
        masks.append(top(scores, count, among=masks[-1]))
    return masks, state


def entropy_bytes(death: dict[str, np.ndarray]) -> float:
    """Bits that the rounds of death of each layer take at least, if they were independent; in bytes."""
    bits = 0.0
    for array in death.values():
        counts = np.bincount(array.reshape(-1), minlength=ROUNDS + 1)
        bits -= sum(count * math.log2(count / array.size) for count in counts if count)
    return bits / 8


def main() -> None:
    masks, state = ladder_of_random_masks()
    death = rounds_of_death(masks)
    began = time.process_time()
    packed = encode_ladder(
        Ladder(death, ROUNDS, tuple(mask.kept for mask in masks), ("tk1" + "a" * 29,) * 26, (None,) * 26)
    )
    encoding = time.process_time() - began
    began = time.process_time()
    decode_ladder(packed, where="ladder")
    decoding = time.process_time() - began
    bound = entropy_bytes(death)
    result = {
        "weights": masks[0].size,
        "ladder bytes": len(packed),
        "over the entropy bound": len(packed) / bound,
        "bits per weight": 8 * len(packed) / masks[0].size,
        "mask bytes": len(encode_mask(masks[10].to_arrays())),
        "ladder encode s": encoding,
        "ladder decode s": decoding,
    }
    result |= commands(masks, death, state)
    torch.set_num_threads(1)
    print(json.dumps(result, indent=1))


def commands(masks: list[Mask], death: dict[str, np.ndarray], state: State) -> dict[str, float]:
    """Seconds of the light commands on a ResNet-18 ticket with its ladder, best of three, cold processes."""
    with tempfile.TemporaryDirectory() as folder:
        arch = {"name": "resnet18", "source": "ticketctl", "num_classes": 10, "in_chans": 3, "size": [32, 32]}
        data = {"name": "none", "fingerprint": "none", "train": 1, "validation": 0, "test": 1}
        cost = {"steps": 0, "images": 0, "epochs": "0"}
        draw = {
            "method": "omp",
            "rounds": ROUNDS,
            "params": {},
            "recipe": {},
            "data": data,
            "seeds": {"root": 0},
        }
        levels = [
            {"level": level, "kept": mask.kept, "empty_layers": empty(mask), "cut": False, "effective": None}
            | {"metrics": {}}
            for level, mask in enumerate(masks)
        ]  # fmt: skip
        write_ticket(
            Path(folder), arch={**arch, "kwargs": {}}, keep=masks[-1].to_arrays(), init=state.tensors(),
            draw={**draw, "levels": levels, "cost": cost, "parents": []}, ladder=Ladder(death, ROUNDS, (), (), ()),
            level=ROUNDS, init_role="init",
        )  # fmt: skip
        return {
            f"{words[0]} s": best(words) for words in (["--help"], ["inspect", folder], ["verify", folder])
        }


def empty(mask: Mask) -> list[str]:
    """Layers that keep nothing."""
    return sorted(name for name, (kept, _) in mask.layers().items() if not kept)


def best(words: list[str]) -> float:
    """Wall seconds."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "ticketctl", *words], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    main()
