"""An image as lines of characters, for a terminal."""

import numpy as np

__all__ = ["block_image"]

SHADES, ASCII_SHADES = " ░▒▓█", " .:*#"
COLUMNS = 56


def block_image(x: np.ndarray, encoding: str | None = "utf-8") -> str:
    """Draw an image (C, H, W) in [0, 1] with one character for two pixels, one above the other.

    Dark is blank, as on a dark terminal; an image wider than 56 pixels is drawn smaller. encoding:
    of the stream; one without block characters gets punctuation. A frame shows the image's edges.
    """
    grey = np.asarray(x, float).mean(axis=0)
    step = -(-grey.shape[1] // COLUMNS)
    rows, columns = -(-grey.shape[0] // (2 * step)), -(-grey.shape[1] // step)
    fill = (rows * 2 * step - grey.shape[0], columns * step - grey.shape[1])
    grey = np.pad(grey, ((0, fill[0]), (0, fill[1])), mode="edge")
    cells = grey.reshape(rows, 2 * step, columns, step).mean(axis=(1, 3))
    shades, corners = SHADES, "┌─┐│└┘"
    try:
        (shades + corners).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        shades, corners = ASCII_SHADES, "+-+|++"
    index = np.clip(np.round(cells * (len(shades) - 1)), 0, len(shades) - 1).astype(int)
    line = corners[1] * columns
    drawn = [corners[3] + "".join(shades[k] for k in row) + corners[3] for row in index]
    lines = [corners[0] + line + corners[2], *drawn, corners[4] + line + corners[5]]
    return "\n".join(f"  {text}" for text in lines)
