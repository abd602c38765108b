"""Folders of images, and images of examples."""

from __future__ import annotations

__all__ = ["IMAGE_ENDINGS", "example_image", "image_grid", "read_images", "refuse_not_images"]

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.contents import Arrays, quoted
from ptheta.data.folders import files_of, labels_and_parts
from ptheta.data.streaming import file_key, fits_in_memory, mapped_array
from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Discrete, Space

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

_ORIENTATION = 0x0112  # the EXIF tag; from 5 on, the image lies on its side


def read_images(
    folder: Path,
    image_size: int | None = None,
    *,
    strict: bool = False,
    channels: int | None = None,
    stream: bool | None = None,
) -> Arrays:
    """The images of a folder and its sub-folders, in the order of their names.

    Grey images have one channel; where one image has colour, all have three. The first level of
    sub-folders gives the label; if these are train, val and test, they give the splits, and the
    second level the label.

    Arguments:
        folder: The folder.
        image_size: The side to scale and crop all images to; None needs images of one size.
        strict: Whether an image that cannot be read is an error rather than left out and counted.
        channels: The number of channels; None infers it.
        stream: Whether the pixels are kept on disk; None keeps them there where memory is short.

    Raises:
        PthetaError: There are no images, or they differ in size, or one cannot be read.
    """
    paths = files_of(folder, IMAGE_ENDINGS)
    if not paths:
        raise PthetaError(
            f"{folder} holds no images and no recordings. Give a folder with files ending in "
            f"{', '.join(IMAGE_ENDINGS[:3])} or the like, or in .wav."
        )
    size, mode = _size_and_mode(folder, paths, image_size, channels)
    pixels, kept, unread = _decode_all(paths, size, mode, stream)
    broken = [str(path.relative_to(folder)) for path in unread]
    if broken and strict:
        raise PthetaError(f"{broken[0]} cannot be read as an image. Remove it or mend it.")
    if not kept:
        raise PthetaError(f"none of the {len(paths)} images of {folder} can be read.")
    labels, parts = labels_and_parts(folder, kept)
    note = f"{len(kept)} images of {size[0]} x {size[1]} pixels, {'grey' if mode == 'L' else mode}."
    skipped = (
        (
            f"{len(broken)} image{'s'[: len(broken) != 1]} could not be read and left out: "
            f"{quoted(broken, 3)}.",
        )
        if broken
        else ()
    )
    return Arrays(
        where=str(folder),
        x=pixels,
        labels=labels,
        space=Discrete(pixels.shape[1:], 256, layout="image"),
        parts=parts,
        notes=(note, *skipped),
        names={"file": [str(path.relative_to(folder)) for path in kept]},
    )


def _size_and_mode(
    folder: Path, paths: Sequence[Path], image_size: int | None, channels: int | None
) -> tuple[tuple[int, int], str]:
    sizes: Counter[tuple[int, int]] = Counter()
    example: dict[tuple[int, int], Path] = {}
    coloured: list[Path] = []
    for path in paths:
        found = _open(path)
        if found is not None:
            sizes[found[0]] += 1
            example.setdefault(found[0], path)
            if found[1] not in ("1", "L", "LA") and not found[1].startswith("I"):
                coloured.append(path)
    if channels == 1:
        _refuse_colour(folder, coloured)
    mode = {None: "RGB" if coloured else "L", 1: "L", 3: "RGB", 4: "RGBA"}[channels]
    if image_size is not None:
        return (image_size, image_size), mode
    if len(sizes) > 1:
        (first, _), (second, _) = sizes.most_common(2)
        raise PthetaError(
            f"the images of {folder} differ in size: {example[first].name} is "
            f"{first[0]} x {first[1]}, {example[second].name} is {second[0]} x {second[1]}. Give "
            f"one size to scale and crop them to (--size {min(*first, *second)})."
        )
    return next(iter(sizes), (0, 0)), mode


def _open(path: Path) -> tuple[tuple[int, int], str] | None:
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            return ((height, width) if turned else (width, height)), image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _refuse_colour(folder: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        pixels = _decode(path, None, "RGB")
        # grey images are often saved with three channels
        if pixels is not None and (pixels != pixels[:1]).any():
            raise PthetaError(
                f"{path.relative_to(folder)} is in colour, and grey images are expected. Turn the "
                f"images of {folder} grey first."
            )


def _decode_all(
    paths: Sequence[Path], size: tuple[int, int], mode: str, stream: bool | None
) -> tuple[NDArray[np.uint8], list[Path], list[Path]]:
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    shape = (len(paths), channels, size[1], size[0])
    if stream or (stream is None and not fits_in_memory(math.prod(shape))):
        # rows cannot be left out of an array on disk, so what fails is found in a pass before
        good = [_decode(path, size, mode) is not None for path in paths]
        kept, broken = _sort_out(paths, good)
        key = (*map(file_key, kept), mode)
        on_disk = mapped_array(
            key, (len(kept), *shape[1:]), np.uint8, lambda out: _fill(out, kept, size, mode)
        )
        return on_disk, kept, broken
    pixels = np.empty(shape, dtype=np.uint8)
    good = _fill(pixels, paths, size, mode)
    kept, broken = _sort_out(paths, good)
    return (pixels[np.array(good)] if broken else pixels), kept, broken


def _fill(
    pixels: NDArray[Any], paths: Sequence[Path], size: tuple[int, int], mode: str
) -> list[bool]:
    good: list[bool] = []
    for i, path in enumerate(paths):
        image = _decode(path, size, mode)
        good.append(image is not None)
        if image is not None:
            pixels[i] = image
    return good


def _sort_out(paths: Sequence[Path], good: Sequence[bool]) -> tuple[list[Path], list[Path]]:
    kept = [path for path, fine in zip(paths, good, strict=True) if fine]
    broken = [path for path, fine in zip(paths, good, strict=True) if not fine]
    return kept, broken


def _decode(path: Path, size: tuple[int, int] | None, mode: str) -> NDArray[np.uint8] | None:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            found = _to_mode(ImageOps.exif_transpose(image), mode)
            if size is not None and found.size != size:
                found = ImageOps.fit(found, size, Image.Resampling.BOX)
            pixels = np.asarray(found)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _to_mode(image: Image, mode: str) -> Image:
    from PIL import Image

    if image.mode.startswith("I"):
        # sixteen bits: Pillow's own conversion cuts off instead of scaling
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
    return image.convert(mode)


def example_image(x: Tensor, space: Space) -> Image:
    """One example as an image.

    Arguments:
        x: The example, with shape (channels, height, width).
        space: Its space: levels are spread over grey values, reals over their range.

    Raises:
        PthetaError: The space is not one of images of 1, 3 or 4 channels.
    """
    from PIL import Image

    refuse_not_images(space)
    return Image.fromarray(_pixels(x[None], space)[0])


def image_grid(x: Tensor, space: Space, columns: int = 8, zoom: int | None = None) -> Image:
    """Examples as one image, row by row.

    Arguments:
        x: The examples, with shape (batch, channels, height, width).
        space: Their space.
        columns: The number of examples in a row.
        zoom: The screen pixels a side of each pixel; None makes small images visible.

    Raises:
        PthetaError: The space is not one of images of 1, 3 or 4 channels.
    """
    from PIL import Image

    refuse_not_images(space)
    pixels = _pixels(x, space)
    height, width = pixels.shape[1:3]
    zoom = zoom or max(1, 56 // max(height, width))
    columns = max(1, min(columns, len(pixels)))
    rows = math.ceil(len(pixels) / columns)
    pixels = pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    high, wide = height * zoom + 2, width * zoom + 2
    canvas = np.full((rows * high + 2, columns * wide + 2, *pixels.shape[3:]), 128, dtype=np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * high + 2, i % columns * wide + 2
        canvas[top : top + high - 2, left : left + wide - 2] = image
    return Image.fromarray(canvas)


def refuse_not_images(space: Space) -> None:
    """Checks that a space is one of images.

    Arguments:
        space: The space.

    Raises:
        PthetaError: It is not, or has another number of channels than 1, 3 or 4.
    """
    if space.layout != "image" or len(space.shape) != 3 or space.shape[0] not in (1, 3, 4):
        raise PthetaError(
            f"{space.describe()} cannot be shown as images, which have 1, 3 or 4 channels."
        )


def _pixels(x: Tensor, space: Space) -> NDArray[np.uint8]:
    values = x.detach().cpu().double().numpy()
    if isinstance(space, Discrete | Categorical):
        top = (space.levels if isinstance(space, Discrete) else space.categories) - 1
        low = 0.0
    else:
        low, top = (
            (float(values.min()), float(np.ptp(values)) or 1.0) if values.size else (0.0, 1.0)
        )
    scaled = np.round((values - low) * (255 / top)).clip(0, 255).astype(np.uint8)
    scaled = scaled.transpose(0, 2, 3, 1)
    return scaled[..., 0] if scaled.shape[3] == 1 else scaled
