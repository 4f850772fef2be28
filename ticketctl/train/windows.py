"""Every crop of every image and of its mirror, cut out row by row.

A row of a crop lies in one piece in the padded image, and images whose colours lie together have few and long rows:
to copy them is a lookup, four times as fast as one that goes over single pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Windows:
    """Images padded with black, and their mirrors, as they are cut."""

    def __init__(self, pixels: Tensor, padding: int) -> None:
        """`pixels` [N, C, H, W]; `padding`: pixels on each side."""
        count, channels, height, width = pixels.shape
        self.count, self.size = count, (height, width, channels)
        self.high, self.wide = height + 2 * padding, width + 2 * padding
        both = pixels.new_zeros((2, count, self.high, self.wide, channels))
        inside = both[:, :, padding : padding + height, padding : padding + width].permute(0, 1, 4, 2, 3)
        inside[0] = pixels
        inside[1] = pixels.flip(3)
        starts = max(both.numel() // channels - width + 1, 0)
        self.rows = both.as_strided((starts, width * channels), (channels, 1))
        """What begins at each pixel and is as long as a row of a crop; of these, most run over an edge."""
        self.below = torch.arange(height, device=pixels.device) * self.wide

    def cut(self, image: Tensor, flip: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """Crops [B, C, H, W] in channels-last memory, of the pixels' kind.

        Args:
            image: their indices [B].
            flip: 1 for the mirror, int64 [B].
            down: rows to cut off at the top, 0 ... 2 * padding, int64 [B].
            right: columns to cut off at the left, after mirroring.
        """
        return self.at(self.corners(image, flip, down, right))

    def corners(self, image: Tensor, flip: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """Where each crop of `cut` begins, int64 [B]."""
        return ((flip * self.count + image) * self.high + down) * self.wide + right

    def at(self, corner: Tensor) -> Tensor:
        """The crops [B, C, H, W] that begin at `corner` [B]."""
        rows = self.rows.index_select(0, (corner[:, None] + self.below).flatten())
        return rows.view(len(corner), *self.size).permute(0, 3, 1, 2)
