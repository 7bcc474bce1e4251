"""Pages with an image of a data set drawn on them, under conditions that photographs have.

A condition is a function (cover, draw, hard) -> page: cover (H, W) is 1 where there is ink; draw
is a random generator of NumPy; hard is the harder of two settings. Pages are in [0, 1], uint16
where the file is to have more than 8 bits.
"""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

__all__ = ["BLANK", "CONDITIONS", "cover_of", "on_paper"]

PAPER, INK = 0.93, 0.12


def cover_of(x: np.ndarray, draw: np.random.Generator, size: int = 240) -> np.ndarray:
    """A digit (28, 28) as ink, ``size`` pixels high, near the middle of a page of 800x600."""
    large = Image.fromarray((255 * x).astype(np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    page = np.zeros((800, 600))
    top, left = (int((n - size) / 2 + draw.integers(-60, 61)) for n in page.shape)
    page[top : top + size, left : left + size] = np.clip(
        (np.asarray(large) / 255 - 0.35) / 0.3, 0, 1
    )
    return page


def on_paper(cover: np.ndarray, ink: float = INK, paper: float = PAPER) -> np.ndarray:
    return paper * (1 - cover) + ink * cover


def _box(cover: np.ndarray, margin: int) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(cover.any(axis=k)) for k in (1, 0))
    return rows[0] - margin, rows[-1] + margin, columns[0] - margin, columns[-1] + margin


def clean(cover, draw, hard):
    return on_paper(cover)


def speck(cover, draw, hard):
    page, size = on_paper(cover), 6 if hard else 2
    top, left = draw.integers(20, 90), draw.integers(20, 560)
    page[top : top + size, left : left + size] = 0.2
    return page


def specks(cover, draw, hard):
    page = on_paper(cover)
    for _ in range(150 if hard else 30):
        top, left, size = draw.integers(0, 790), draw.integers(0, 590), draw.integers(1, 5)
        page[top : top + size, left : left + size] = draw.uniform(0.1, 0.5)
    return page


def frame(cover, draw, hard):
    page, margin, width = on_paper(cover), int(draw.integers(4, 40)), 8 if hard else 3
    inside = np.zeros(page.shape, bool)
    inside[margin:-margin, margin:-margin] = True
    page[inside & ~ndimage.binary_erosion(inside, iterations=width)] = 0.15
    return page


def form_box(cover, draw, hard):
    page, (top, bottom, left, right) = on_paper(cover), _box(cover, -8 if hard else 25)
    inside = np.zeros(page.shape, bool)
    inside[top:bottom, left:right] = True
    line = inside & ~ndimage.binary_erosion(inside, iterations=3)
    page[line] = np.minimum(page[line], 0.3)
    return page


def rules(cover, draw, hard):
    page, step = on_paper(cover), 45 if hard else 80
    for y in range(int(draw.integers(10, step)), 800, step):
        page[y : y + 2] = np.minimum(page[y : y + 2], 0.3 if hard else 0.65)
    return page


def shadow(cover, draw, hard):
    page = on_paper(cover)
    y, x = np.indices(page.shape)
    page[y + draw.uniform(-0.3, 0.3) * x > draw.uniform(550, 680)] *= 0.4 if hard else 0.65
    return page


def shadow_across(cover, draw, hard):
    page = on_paper(cover)
    y, x = np.indices(page.shape)
    page[y + draw.uniform(-0.3, 0.3) * x > draw.uniform(380, 420)] *= 0.4 if hard else 0.65
    return page


def soft_shadow(cover, draw, hard):
    y, x = np.indices(cover.shape)
    along = y + draw.uniform(-0.5, 0.5) * x - draw.uniform(350, 550)
    dark = 1 / (1 + np.exp(-along / draw.uniform(20, 70)))
    return on_paper(cover) * (1 - (0.65 if hard else 0.4) * dark)


def vignette(cover, draw, hard):
    y, x = np.indices(cover.shape)
    far = ((y - 400) / 500) ** 2 + ((x - 300) / 500) ** 2
    return on_paper(cover) * (1 - (0.8 if hard else 0.4) * far)


def pencil(cover, draw, hard):
    return on_paper(cover, ink=0.8 if hard else 0.7)


def pen(paper, ink):
    def coloured(cover, draw, hard):
        strength = (0.6 if hard else 1.0) * cover[..., None]
        return np.array(paper) * (1 - strength) + np.array(ink) * strength

    return coloured


def margin(cover, draw, hard):
    wide = 900 if hard else 300
    return np.pad(on_paper(cover), wide, constant_values=PAPER)


def low_ink(cover, draw, hard):
    worn = ndimage.gaussian_filter(draw.normal(size=cover.shape), 3)
    worn = np.clip(0.5 + worn / worn.std() * (0.4 if hard else 0.2), 0.15, 1)
    return on_paper(cover * worn)


def blur(cover, draw, hard):
    return ndimage.gaussian_filter(on_paper(cover), 8 if hard else 3)


def jpeg(cover, draw, hard):
    file = io.BytesIO()
    levels = np.clip(255 * on_paper(cover), 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(file, "jpeg", quality=8 if hard else 40)
    return np.asarray(Image.open(file)) / 255


def noise(cover, draw, hard):
    return on_paper(cover) + draw.normal(0, 0.12 if hard else 0.04, cover.shape)


def texture(cover, draw, hard):
    fine, coarse = (ndimage.gaussian_filter(draw.normal(size=cover.shape), s) for s in (2, 20))
    rough = fine / fine.std() + coarse / coarse.std()
    return on_paper(cover) * (1 + (0.05 if hard else 0.02) * rough)


def deep(cover, draw, hard):
    return (on_paper(cover) * (4095 if hard else 65535)).astype(np.uint16)


def dark_page(cover, draw, hard):
    return on_paper(cover, ink=0.6 if hard else 0.9, paper=0.2 if hard else 0.08)


def turned(cover, draw, hard):
    angle = draw.uniform(8, 14) * draw.choice([-1, 1]) if hard else draw.uniform(-6, 6)
    return ndimage.rotate(on_paper(cover), angle, reshape=False, order=1, mode="nearest")


CONDITIONS = {
    "clean": clean, "speck": speck, "many specks": specks, "frame": frame, "form box": form_box,
    "ruled lines": rules, "shadow": shadow, "shadow across": shadow_across,
    "soft shadow": soft_shadow, "vignette": vignette, "pencil": pencil,
    "yellow pen": pen((0.97, 0.97, 0.97), (1, 0.85, 0.1)),
    "blue pen": pen((0.95, 0.95, 0.92), (0.15, 0.2, 0.75)),
    "red pen": pen((0.95, 0.95, 0.92), (0.8, 0.1, 0.12)),
    "margin": margin, "low ink": low_ink, "blur": blur, "JPEG": jpeg, "noise": noise,
    "paper texture": texture, "16 bits, 12 bits": deep, "dark page": dark_page, "turned": turned,
}  # fmt: skip

# Conditions that leave a page without a digit a page without ink.
BLANK = (
    "clean", "frame", "ruled lines", "shadow", "soft shadow", "vignette", "JPEG", "noise",
    "paper texture", "dark page", "speck",
)  # fmt: skip
