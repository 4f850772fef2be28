"""The image tower of CLIP (Radford et al. 2021, a ViT) from a folder of the user's, without the package transformers.

The folder is one of the Hugging Face Hub's, as `openai/clip-vit-base-patch32`: `config.json`, `model.safetensors`.
Nothing is fetched. Only what the image tower needs is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from ticketctl.errors import ArtifactError, UnavailableError
from ticketctl.store.documents import parse_json
from ticketctl.store.files import read_bytes

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels that it was trained on (the preprocessing published with its weights)."""
USUAL = {"hidden_act": "quick_gelu", "image_size": 224, "layer_norm_eps": 1e-5, "num_attention_heads": 12}
"""What a configuration leaves out."""
_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True)
class Tower:
    """Weights float32 by their names in the file, and how they are put together."""

    weights: Mapping[str, Tensor]
    size: int
    """Images are made so large, in pixels."""
    heads: int
    eps: float
    quick: bool
    """x sigmoid(1.702 x) for GELU."""

    @property
    def layers(self) -> int:
        """Blocks."""
        return 1 + max(int(name.split(".")[3]) for name in self.weights if ".encoder.layers." in name)

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> Tensor:
        """Images [n, 1 or 3, H, W] in [0, 1] to vectors [n, D] of length 1."""
        x = self._prepared(pixels)
        x = F.conv2d(
            x, patch := self.weights["vision_model.embeddings.patch_embedding.weight"], stride=patch.shape[-1]
        )
        first = self.weights["vision_model.embeddings.class_embedding"].expand(len(x), 1, -1)
        x = torch.cat([first, x.flatten(2).transpose(1, 2)], 1)
        x = x + self.weights["vision_model.embeddings.position_embedding.weight"]
        x = self._norm(x, "vision_model.pre_layrnorm")
        for number in range(self.layers):
            x = self._block(x, f"vision_model.encoder.layers.{number}")
        x = self._norm(x[:, 0], "vision_model.post_layernorm")
        return F.normalize(x @ self.weights["visual_projection.weight"].T)

    def _prepared(self, pixels: Tensor) -> Tensor:
        """Shorter side to `size`, bicubic, the centre cut out, three channels, normalised."""
        height, width = pixels.shape[2:]
        scale = self.size / min(height, width)
        sides = [max(self.size, round(side * scale)) for side in (height, width)]
        x = F.interpolate(pixels, sides, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((side - self.size) // 2 for side in sides)
        x = x[:, :, top : top + self.size, left : left + self.size].expand(-1, 3, -1, -1)
        mean, std = (x.new_tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
        return (x - mean) / std

    def _block(self, x: Tensor, name: str) -> Tensor:
        x = x + self._attention(self._norm(x, f"{name}.layer_norm1"), f"{name}.self_attn")
        inner = self._linear(self._norm(x, f"{name}.layer_norm2"), f"{name}.mlp.fc1")
        inner = inner * torch.sigmoid(1.702 * inner) if self.quick else F.gelu(inner)
        return x + self._linear(inner, f"{name}.mlp.fc2")

    def _attention(self, x: Tensor, name: str) -> Tensor:
        count, length, width = x.shape
        query, key, value = (
            self._linear(x, f"{name}.{part}_proj").view(count, length, self.heads, -1).transpose(1, 2)
            for part in ("q", "k", "v")
        )
        found = F.scaled_dot_product_attention(query, key, value)
        return self._linear(found.transpose(1, 2).reshape(count, length, width), f"{name}.out_proj")

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(
            x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], self.eps
        )

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])


def read_clip(folder: Path, device: torch.device) -> Tower:
    """The image tower in `folder`, on `device`.

    Raises:
        UnavailableError: no such folder, no CLIP in it, or a file that is damaged.
    """
    config = _config(folder)
    weights = {}
    try:
        with safe_open(_there(folder, WEIGHTS), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # no mapping
                if name.startswith("vision_model.") or name == "visual_projection.weight":
                    weights[name] = file.get_tensor(name).float().to(device)
    except SafetensorError as error:
        raise UnavailableError(f"{folder / WEIGHTS}: {error}") from None
    tower = Tower(
        weights, _whole(config, "image_size", folder), _whole(config, "num_attention_heads", folder),
        float(config["layer_norm_eps"]), config["hidden_act"] == "quick_gelu",
    )  # fmt: skip
    try:
        tower.embed(torch.zeros(1, 3, tower.size, tower.size, device=device))
    except (KeyError, RuntimeError, ValueError) as error:
        said = str(error).splitlines()[0][:100]
        raise UnavailableError(f"{folder / WEIGHTS} is not the CLIP that {CONFIG} says: {said}") from None
    return tower


def content(folder: Path) -> str:
    """A digest of the folder's two files.

    Raises:
        UnavailableError: one is not there.
    """
    found = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with _there(folder, name).open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{found.hexdigest()}"


def _config(folder: Path) -> dict[str, Any]:
    path = _there(folder, CONFIG)
    try:
        found = parse_json(read_bytes(path, limit=_CONFIG_BYTES), where=str(folder / CONFIG), code="E_FORMAT")
    except ArtifactError as error:
        raise UnavailableError(str(error)) from None
    own = found.get("vision_config", found) if isinstance(found, dict) else None
    if not isinstance(own, dict) or own.get("hidden_act", "quick_gelu") not in ("quick_gelu", "gelu"):
        raise UnavailableError(f"{folder / CONFIG}: not the configuration of a CLIP with quick_gelu or gelu")
    return {**USUAL, **own}


def _whole(config: Mapping[str, Any], key: str, folder: Path) -> int:
    value = config.get(key)
    if type(value) is not int or not 1 <= value <= 4096:
        raise UnavailableError(f"{folder / CONFIG}: {key} is {value!r}")
    return value


def _there(folder: Path, name: str) -> Path:
    """The file itself: the Hub's cache holds links."""
    path = (folder / name).resolve()
    if not path.is_file():
        raise UnavailableError(f"metrics.compression-position.clip: {folder} has no {name}")
    return path
