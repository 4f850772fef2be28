"""A trained net as metrics see it that need more than its answers: in float32, evaluation mode, pixels going in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.masks.mask import Mask
from ticketctl.progress import Reporter, Silent
from ticketctl.seeds import Seeds
from ticketctl.train.feed import Images, Scaling
from ticketctl.train.predict import batch_on


@dataclass(frozen=True)
class Specimen:
    """A net under audit. Metrics leave its weights, buffers, mode and gradients as they found them."""

    model: nn.Module
    """Float32, evaluation mode, on its device; pruned weights are 0."""
    mask: Mask | None
    """Of its prunable weights, by their names in the model; None: the net is dense."""
    images: Mapping[str, Images]
    """`train` (unaugmented), `val` if any, `test`: the very images, in the order, of `Exam.answers` of that name."""
    classes: int
    scaling: Scaling
    """Pixels 0 to 255 to what the net takes."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the files that hold it, by name."""
    poll: Callable[[], None] = lambda: None
    """To be called at least once a second of work: it raises where somebody asked to stop."""
    reporter: Reporter = field(default_factory=Silent)

    @property
    def device(self) -> torch.device:
        """Where the net and its images are."""
        return self.scaling.scale.device

    def pixels(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Images start..stop-1 of the set `name`, float32 [n, C, H, W] in [0, 1]."""
        images = self.images[name]
        index = torch.arange(
            start, min(len(images) if stop is None else stop, len(images)), device=self.device
        )
        return images.take(index).float() / 255

    def labels(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Their labels, int64 [n]."""
        return self.images[name].labels[start:stop]

    def numbers(self, name: str, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which images of the data those at `places` int64 [n] of the set are, whichever of the data it shows.

        Random numbers of an image are drawn at its number, so that they are its own in every subset.
        """
        rows = self.images[name].rows
        return places if rows is None else rows[places]

    def drawn(self, name: str, most: int, seeds: Seeds, stream: str) -> NDArray[np.int64]:
        """Places of `most` images of a set, int64 [n], ascending; all, for 0 or where there are no more.

        Images are ranked by a random word of their number, so more contain fewer. What is drawn of the whole set and
        is in a subset of it is drawn of the subset too; which others make up the count is the subset's own.
        """
        places = np.arange(len(self.images[name]))
        if not 0 < most < len(places):
            return places
        numbers = self.numbers(name, places)
        words = seeds.raw(stream, "images", count=int(numbers.max()) + 1)[numbers]
        return np.sort(np.argsort(words, kind="stable")[:most])

    def few(self, name: str, most: int, seeds: Seeds, stream: str) -> Specimen:
        """The same net, of whose set `name` only `most` images are shown, drawn as `drawn` draws them; 0: all."""
        places = self.drawn(name, most, seeds, stream)
        if len(places) == len(self.images[name]):
            return self
        return replace(self, images={**self.images, name: self.images[name].pick(places)})

    def logits(self, pixels: Tensor) -> Tensor:
        """What the net says to pixels in [0, 1], float32 [n, K]: differentiable, the normalisation inside."""
        found: Tensor = self.model(self.scaling(pixels * 255))
        return found

    def said(self, pixels: Tensor) -> Tensor:
        """The same in batches and without gradients."""
        parts = []
        with torch.no_grad():
            for part in pixels.split(batch_on(self.device)):
                self.poll()
                parts.append(self.logits(part))
        return torch.cat(parts)

    def masks(self) -> dict[str, Tensor]:
        """Of each prunable weight, 1 where it is kept and 0 where not, in its own dtype and device; {} if dense."""
        weights = dict(self.model.named_parameters())
        keeps = {} if self.mask is None else self.mask.keep
        return {name: keep.to(weights[name]) for name, keep in keeps.items()}
