"""Raw values of Medipix chips (R64), as the chips send them: bits and words in an order of their own.

A chip has 256 x 256 pixels and comes in words of 64 bits. 1 bit: the bits of a word are in reverse order. 6 bits: a
byte a pixel, the bytes of a word in reverse order. 12 bits: big-endian words of 16 bits, in groups of four, reversed.
24 bits: two frames of 12 bits, the high part first. Rows of four chips lie side by side, chip 0 first; in the image,
chips 3 and 2 are above, and 1 and 0 below, turned by 180 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHIP = 256
"""Pixels along a side."""
BYTES_PER_8 = {1: 1, 6: 8, 12: 16, 24: 32}
"""Bytes of eight pixels, by the depth of the counter."""


@dataclass(frozen=True)
class Raw:
    """How raw frames are stored.

    Parameters
    ----------
    bits : int
        Depth of the counter: 1, 6, 12 or 24.
    chips : int
        1, or 4 in a square.
    rows : int
        Of a chip.
    """

    bits: int
    chips: int = 1
    rows: int = CHIP

    @property
    def bytes(self) -> int:
        """Of a frame."""
        return self.rows * CHIP * self.chips // 8 * BYTES_PER_8[self.bits]

    @property
    def pattern(self) -> tuple[int, int]:
        """Pixels (ky, kx)."""
        return (2 * self.rows, 2 * CHIP) if self.chips == 4 else (self.rows, CHIP)

    @property
    def dtype(self) -> np.dtype:
        """Of the counts."""
        return np.dtype({1: "u1", 6: "u1", 12: "u2", 24: "u4"}[self.bits])

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Bytes [B, ...] of frames to counts [B, ky, kx]."""
        values = np.ascontiguousarray(values)
        if self.bits == 24:
            high, low = (self._image(part, 12).astype(np.uint32) for part in np.split(values, 2, axis=1))
            return (high << 12) + low
        return self._image(values, self.bits)

    def _image(self, values: np.ndarray, bits: int) -> np.ndarray:
        frames = len(values)
        if bits == 1:
            flat = np.unpackbits(values.reshape(-1, 8), axis=1)[:, ::-1]
        elif bits == 6:
            flat = values.reshape(-1, 8)[:, ::-1]
        else:
            flat = values.view(">u2").reshape(-1, 4)[:, ::-1].astype(np.uint16)
        image = flat.reshape(frames, self.rows, self.chips * CHIP)
        if self.chips == 1:
            return image
        c0, c1, c2, c3 = np.split(image, 4, axis=2)
        below = [chip[:, ::-1, ::-1] for chip in (c1, c0)]
        return np.concatenate([np.concatenate([c3, c2], axis=2), np.concatenate(below, axis=2)], axis=1)
