"""Decodes images that may be hostile: JPEG, PNG and WebP within limits, and nothing else.

The rules, in the order in which they are kept:

1. No more bytes than allowed; the format is told by the first bytes, never by a name.
2. The file is taken apart (`jpeg`, `png`, `webp`): dimensions within the limits, one picture, whole, and nothing
   but padding behind it. Only the parts that make pixels go on.
3. The decoder of that one format decodes all of it. A JPEG file is checked at an eighth of its size: all its
   entropy-coded data is read, only the inverse transform is spared. `entropy` reads regular ones, if it is built.

Colour profiles are not applied. Functions here hold no state and may run on many threads at once.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import MissingExtra
from isthmus.imaging import entropy, fingerprint, jpeg, png, webp
from isthmus.imaging.anatomy import Anatomy, BeyondLimits, Format, ImageLimits, ImageRefused

try:
    from PIL import Image
except ModuleNotFoundError as error:
    raise MissingExtra.named("Pillow", "gallery") from error

try:  # twice as fast as Pillow, and it tells of damage that Pillow paints grey
    import simplejpeg  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ModuleNotFoundError:
    simplejpeg = None

__all__ = ["Checked", "Format", "ImageLimits", "ImageRefused", "Looked", "check", "look", "pixels", "reduced"]

LIMITS = ImageLimits()

_DECODER = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    LookupError,
    TypeError,
    ArithmeticError,
)
_HARMLESS = ("extraneous bytes before marker", "Invalid SOS parameters", "Adobe color transform", "JFIF")
"""Warnings of libjpeg about files that nevertheless are whole; cameras write such."""

_OTHERS = (
    (b"%!PS", "EPS"), (b"\xc5\xd0\xd3\xc6", "EPS"), (b"%PDF", "PDF"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"PK", "a ZIP archive"), (b"MZ", "a program"),
    (b"\x7fELF", "a program"), (b"<", "SVG, XML or HTML"), (b"\xef\xbb\xbf<", "SVG, XML or HTML"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """An image that can be decoded; width and height of the upright picture, in pixels."""

    format: Format
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Looked:
    """A checked image with what one pass over it tells beside.

    `exif` is its EXIF block, `grey` the picture in small, upright, of shape (height, width), at least 32 pixels a
    side where it has them; `anatomy` is the file taken apart.
    """

    checked: Checked
    exif: bytes
    grey: NDArray[np.uint8]
    anatomy: Anatomy


def look(content: bytes, limits: ImageLimits = LIMITS) -> Looked:
    """Decode an image, tell what it is and what it looks like in small. Raises ImageRefused with the reason."""
    anatomy = _dissect(content, limits)
    if anatomy.format == "jpeg" and anatomy.channels < 4 and simplejpeg is not None:
        grey = _check_jpeg(anatomy.bare, fingerprint.SIDE)
    else:
        grey = np.asarray(_grey(_decoded(anatomy, small=True, least=(fingerprint.SIDE, fingerprint.SIDE))))
    upright = _upright(grey, anatomy.orientation)
    return Looked(Checked(anatomy.format, *anatomy.shown), anatomy.exif, upright, anatomy)


def check(content: bytes, limits: ImageLimits = LIMITS) -> Checked:
    """Decode an image and tell what it is. Raises ImageRefused with the reason."""
    anatomy = _dissect(content, limits)
    if anatomy.format == "jpeg" and anatomy.channels < 4 and simplejpeg is not None:
        _check_jpeg(anatomy.bare)
    else:
        _decoded(anatomy, small=True)
    return Checked(anatomy.format, *anatomy.shown)


def pixels(content: bytes, limits: ImageLimits = LIMITS) -> NDArray[np.uint8]:
    """Decode an image to RGB of shape (height, width, 3), upright by its EXIF orientation.

    Transparent pixels are laid over white; 16 bits become the upper 8; CMYK is converted. Raises ImageRefused.
    """
    anatomy = _dissect(content, limits)
    return _upright(_rgb(_decoded(anatomy, small=False)), anatomy.orientation)


def reduced(content: bytes, edge: int, limits: ImageLimits = LIMITS) -> NDArray[np.uint8]:
    """Decode an image as `pixels` does, but JPEG only as large as its longest edge of `edge` pixels needs it, or

    up to twice that. Of shape (height, width, 3), upright. Raises ImageRefused.
    """
    anatomy = _dissect(content, limits)
    longest = max(anatomy.width, anatomy.height)
    share = min(1.0, edge / longest)
    least = (max(1, round(anatomy.width * share)), max(1, round(anatomy.height * share)))
    return _upright(_rgb(_decoded(anatomy, small=False, least=least)), anatomy.orientation)


def _dissect(content: bytes, limits: ImageLimits) -> Anatomy:
    if len(content) > limits.most_bytes:
        raise BeyondLimits(f"the image has {len(content)} bytes, more than {limits.most_bytes}", "send it smaller")
    if content.startswith(jpeg.START):
        return jpeg.dissect(content, limits)
    if content.startswith(png.START):
        return png.dissect(content, limits)
    if webp.is_webp(content):
        return webp.dissect(content, limits)
    kind = next((name for start, name in _OTHERS if content.lstrip().startswith(start)), "no image")
    raise ImageRefused(f"the content is {kind if content else 'empty'}", "send JPEG, PNG or WebP")


def _check_jpeg(bare: bytes, least: int = 1) -> NDArray[np.uint8]:
    """Decode all, as small as can be but not below `least` pixels a side; grey, of shape (height, width)."""
    quickly = entropy.eighth(bare, least)
    if quickly is not None:
        return quickly
    factor = 8 if least == 1 else 1

    def decode(strict: bool) -> NDArray[np.uint8]:
        grey: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            bare, "GRAY", fastdct=True, min_height=least, min_width=least, min_factor=factor, strict=strict
        )
        return grey[:, :, 0]

    try:
        return decode(strict=True)
    except ValueError as error:
        if not any(warning in str(error) for warning in _HARMLESS):
            raise ImageRefused(f"the JPEG file cannot be decoded: {error}") from error
        try:
            return decode(strict=False)
        except ValueError as worse:
            raise ImageRefused(f"the JPEG file cannot be decoded: {worse}") from worse


def _decoded(anatomy: Anatomy, small: bool, least: tuple[int, int] | None = None) -> Image.Image:
    """Decode; `small` in grey and as small as can be, but not below `least`, which may also be given alone."""
    try:
        image = Image.open(io.BytesIO(anatomy.bare), formats=[_DECODER[anatomy.format]])
        if image.size != (anatomy.width, anatomy.height):
            raise ImageRefused("the decoder sees other dimensions than the header tells")
        if (small or least) and anatomy.format == "jpeg":
            image.draft("L" if small else None, least or (1, 1))
        image.load()
    except _DECODER_ERRORS as error:
        reason = " ".join(str(error).split())
        raise ImageRefused(f"the {anatomy.format} file cannot be decoded: {reason}") from error
    return image


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16 bits of grey
        grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        white.alpha_composite(over)
        image = white
    return np.asarray(image.convert("RGB"))


def _grey(image: Image.Image) -> Image.Image:
    """Return a picture in grey, made smaller first where it is large; transparent pixels are laid over white."""
    by = min(image.size) // (4 * fingerprint.SIDE)
    if by > 1 and image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        image = image.reduce(by)
    return image if image.mode == "L" else Image.fromarray(_rgb(image)).convert("L")


def _upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror as EXIF 2.32, 4.6.4 says: 2 is mirrored, 3 a half turn, 6 and 8 are quarter turns."""
    if orientation >= 5:
        rgb = rgb.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
