"""Pictures that look alike and differ: templates with other contents, as people have them by the hundred."""

import io
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

__all__ = ["KINDS", "copies", "encoded", "moved_subject", "reduced", "thumbnail"]

Rng = np.random.Generator
_LETTERS = list("abcdefghijklmnopqrstuvwxyz    ")
_BLACK, _WHITE, _GREY = (0, 0, 0), (255, 255, 255), (128, 128, 128)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _words(rng: Rng, count: int) -> str:
    return "".join(rng.choice(_LETTERS, count))


def _ints(rng: Rng, low: int, high: int, count: int) -> list[int]:
    return [int(value) for value in rng.integers(low, high, count)]


def _sheet(width: int, height: int, colour: tuple[int, int, int] = _WHITE) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (width, height), colour)
    return picture, ImageDraw.Draw(picture)


def _smooth(rng: Rng, low: int = 0, high: int = 256, size: tuple[int, int] = (1000, 750)) -> Image.Image:
    """Draw something with the slow changes of a photo out of focus."""
    coarse = rng.integers(low, high, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def _chat(rng: Rng) -> Image.Image:
    picture, draw = _sheet(720, 1560, (236, 229, 221))
    draw.rectangle([0, 0, 720, 120], fill=(7, 94, 84))
    for line in range(14):
        x, y = (200 if line % 2 else 26), 160 + 97 * line
        draw.rounded_rectangle([x, y, x + 493, y + 73], 14, fill=(220, 248, 198) if line % 2 else _WHITE)
        draw.text((x + 20, y + 23), _words(rng, int(rng.integers(10, 32))), font=_font(24), fill=_BLACK)
    return picture


def _form(rng: Rng, changing: range = range(20)) -> Image.Image:
    picture, draw = _sheet(1240, 1754)
    same = np.random.default_rng(7)
    for line in range(20):
        y, source = 150 + 70 * line, rng if line in changing else same
        draw.text((100, y), f"Field {line}:", font=_font(28), fill=_BLACK)
        draw.line([330, y + 35, 1100, y + 35], fill=_BLACK, width=2)
        draw.text((350, y - 2), _words(source, 20), font=_font(30), fill=(30, 30, 30))
    return picture


def _form_field(rng: Rng) -> Image.Image:
    return _form(rng, range(11, 12))


def _page(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1240, 1754, (252, 252, 252))
    x, y = _ints(rng, 100, 1100, 2)
    draw.ellipse([x, y, x + 24, y + 24], fill=(60, 60, 60))
    return picture


def _text(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1240, 1754)
    for y in range(120, 1640, 34):
        draw.text((110, y), _words(rng, 88)[: int(rng.integers(80, 88))], font=_font(22), fill=(90, 90, 90))
    return picture


def _receipt(rng: Rng) -> Image.Image:
    picture, draw = _sheet(600, 1400, (245, 245, 245))
    draw.text((200, 40), "MARKET", font=_font(44), fill=(20, 20, 20))
    for y in range(140, 1100, 76):
        draw.text((40, y), "article of some kind", font=_font(26), fill=(40, 40, 40))
        draw.text((470, y), f"{rng.integers(1, 99)}.{rng.integers(10, 99)}", font=_font(26), fill=(40, 40, 40))
    return picture


def _night(rng: Rng) -> Image.Image:
    return Image.fromarray((np.asarray(_smooth(rng)) * 0.08).astype(np.uint8))


def _lights(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1200, 900, (4, 5, 9))
    for _ in range(40):
        x, y, side, level = *_ints(rng, 0, 880, 2), *_ints(rng, 2, 6, 1), *_ints(rng, 120, 255, 1)
        draw.ellipse([x, y, x + side, y + side], fill=(level,) * 3)
    return picture


def _stars(rng: Rng) -> Image.Image:
    values = rng.normal(12, 3, (800, 1000))
    rows, columns = rng.integers(0, 799, 300), rng.integers(0, 999, 300)
    for step in (0, 1):
        values[rows + step, columns] += rng.integers(60, 240, 300)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _gradient(rng: Rng) -> Image.Image:
    corners = rng.integers(118, 138, (2, 2, 3)).astype(np.uint8)
    return Image.fromarray(corners).resize((1000, 800), Image.Resampling.BICUBIC)


def _colour(rng: Rng) -> Image.Image:
    return _sheet(800, 600, tuple(_ints(rng, 100, 116, 3)))[0]  # type: ignore[arg-type]


def _near_colour(rng: Rng) -> Image.Image:
    return _sheet(800, 600, tuple(_ints(rng, 128, 131, 3)))[0]  # type: ignore[arg-type]


def _flag(rng: Rng) -> Image.Image:
    picture, draw = _sheet(900, 600)
    for band, colour in enumerate(((0, 44, 116), (250, 209, 22), (198, 12, 48))):
        near = tuple(int(value) for value in np.clip(np.array(colour) + rng.integers(-9, 10, 3), 0, 255))
        draw.rectangle([300 * band, 0, 300 * band + 299, 599], fill=near)
    return picture


def _xray(rng: Rng) -> Image.Image:
    y, x = np.mgrid[:512, :512]
    values = 150 * np.exp(-(((x - 256) / 170.0) ** 4) - ((y - 256) / 210.0) ** 4)
    for _ in range(8):
        at_x, at_y, width = rng.normal(256, 90), rng.normal(256, 110), rng.uniform(10, 40)
        values += rng.uniform(-25, 25) * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * width * width))
    return Image.fromarray(np.clip(values + rng.normal(0, 3, values.shape), 0, 255).astype(np.uint8))


def _icon(rng: Rng) -> Image.Image:
    picture, draw = _sheet(128, 128)
    draw.ellipse([8, 8, 120, 120], fill=(30, 110, 220))
    draw.text((64, 64), str(rng.choice(list("acegmnopqsuvxyz"))), font=_font(22), fill=_WHITE, anchor="mm")
    return picture


def _slide(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1280, 720, (250, 250, 250))
    draw.rectangle([0, 0, 1280, 90], fill=(20, 60, 120))
    draw.text((40, 25), _words(rng, 20), font=_font(36), fill=_WHITE)
    for line in range(5):
        draw.text((80, 160 + 90 * line), "- " + _words(rng, 24), font=_font(28), fill=(60, 60, 60))
    return picture


def _chart(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1000, 700)
    draw.line([80, 40, 80, 640, 960, 640], fill=_BLACK, width=3)
    draw.line([(80 + 44 * k, int(400 - rng.uniform(0, 90))) for k in range(20)], fill=(200, 30, 30), width=3)
    return picture


def _line_art(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1000, 1000)
    same = np.random.default_rng(3)
    for line in range(60):
        draw.line(_ints(same if line > 3 else rng, 0, 1000, 4), fill=_BLACK, width=2)
    return picture


def _map(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1000, 1000, (235, 235, 225))
    for at in range(0, 1000, 60):
        draw.line([at, 0, at, 1000], fill=_WHITE, width=8)
        draw.line([0, at, 1000, at], fill=_WHITE, width=8)
    same = np.random.default_rng(5)
    for _ in range(12):
        draw.text(tuple(_ints(same, 0, 900, 2)), _words(same, 10), font=_font(20), fill=(70, 70, 70))
    x, y = _ints(rng, 50, 900, 2)
    draw.ellipse([x, y, x + 28, y + 28], fill=(220, 30, 30))
    return picture


def _music(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1000, 1400)
    for top in range(120, 1300, 130):
        for line in range(5):
            draw.line([60, top + 12 * line, 940, top + 12 * line], fill=_BLACK, width=2)
        for x in range(110, 920, 120):
            y = top + 6 * int(rng.integers(0, 9))
            draw.ellipse([x, y - 5, x + 15, y + 6], fill=_BLACK)
            draw.line([x + 14, y, x + 14, y - 38], fill=_BLACK, width=2)
    return picture


def _modules(draw: ImageDraw.ImageDraw, rng: Rng, x: int, y: int, side: int) -> None:
    for row, values in enumerate(rng.integers(0, 2, (29, 29))):
        for column, value in enumerate(values):
            if value:
                left, top = x + column * side, y + row * side
                draw.rectangle([left, top, left + side - 1, top + side - 1], fill=_BLACK)


def _ticket(rng: Rng) -> Image.Image:
    picture, draw = _sheet(800, 1200)
    draw.text((60, 60), "TICKET   Hall 4   20:00", font=_font(40), fill=_BLACK)
    _modules(draw, rng, 320, 500, 5)
    return picture


def _qr_code(rng: Rng) -> Image.Image:
    picture, draw = _sheet(928, 928)
    _modules(draw, rng, 390, 390, 5)
    return picture


def _barcode(rng: Rng) -> Image.Image:
    picture, draw = _sheet(900, 600)
    x = 300
    while x < 600:
        bar, gap = _ints(rng, 1, 4, 2)
        draw.rectangle([x, 270, x + 2 * bar - 1, 350], fill=_BLACK)
        x += 2 * (bar + gap)
    return picture


def _calendar(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1000, 800)
    first, month = int(rng.integers(0, 7)), int(rng.integers(0, 9))
    names = ["January", "February", "March", "April", "May", "June", "July", "August", "October"]
    draw.text((60, 40), names[month], font=_font(60), fill=(180, 30, 30))
    for day in range(28 + int(rng.integers(0, 4))):
        row, column = divmod(first + day, 7)
        draw.text((60 + 130 * column, 160 + 100 * row), str(day + 1), font=_font(36), fill=_BLACK)
    return picture


def _spreadsheet(rng: Rng) -> Image.Image:
    picture, draw = _sheet(1280, 800)
    for y in range(40, 800, 28):
        draw.line([0, y, 1280, y], fill=(210, 210, 210))
        for x in range(0, 1280, 128):
            draw.line([x, 0, x, 800], fill=(210, 210, 210))
            draw.text((x + 40, y + 5), f"{rng.integers(100, 999)}", font=_font(16), fill=_BLACK)
    return picture


def _caption(rng: Rng, size: int, top: int) -> Image.Image:
    picture = _smooth(np.random.default_rng(11))
    text = _words(rng, 24)
    ImageDraw.Draw(picture).text(
        (500, top), text, font=_font(size), fill=_WHITE, anchor="mm", stroke_width=2, stroke_fill=_BLACK
    )
    return picture


def _meme(rng: Rng) -> Image.Image:
    return _caption(rng, 50, 60)


def _subtitle(rng: Rng) -> Image.Image:
    return _caption(rng, 26, 690)


def _date_stamp(rng: Rng) -> Image.Image:
    picture = _smooth(np.random.default_rng(12))
    stamp = f"2024-06-{rng.integers(10, 29)} {rng.integers(10, 24)}:{rng.integers(10, 60)}"
    ImageDraw.Draw(picture).text((700, 700), stamp, font=_font(26), fill=(255, 150, 40))
    return picture


def _chess(rng: Rng) -> Image.Image:
    picture, draw = _sheet(800, 800, (240, 217, 181))
    for square in range(64):
        row, column = divmod(square, 8)
        if (row + column) % 2:
            draw.rectangle([100 * column, 100 * row, 100 * column + 99, 100 * row + 99], fill=(181, 136, 99))
    for piece, square in enumerate(rng.permutation(64)[:3]):
        row, column = divmod(int(square), 8)
        draw.ellipse([100 * column + 25, 100 * row + 25, 100 * column + 75, 100 * row + 75], fill=(80 * piece,) * 3)
    return picture


def _watch(rng: Rng) -> Image.Image:
    picture, draw = _sheet(600, 600, (40, 40, 44))
    draw.ellipse([40, 40, 560, 560], fill=(245, 245, 240))
    for angle, length, width in ((rng.uniform(0, 6.3), 130, 10), (rng.uniform(0, 6.3), 200, 6)):
        draw.line([300, 300, 300 + length * np.sin(angle), 300 - length * np.cos(angle)], fill=_BLACK, width=width)
    return picture


def _display(rng: Rng) -> Image.Image:
    picture, draw = _sheet(800, 600, (20, 24, 20))
    time = f"{rng.integers(10, 24)}:{rng.integers(10, 60)}"
    draw.text((400, 300), time, font=_font(70), fill=(60, 220, 90), anchor="mm")
    return picture


def _status_bar(rng: Rng) -> Image.Image:
    picture = _chat(np.random.default_rng(5))
    draw = ImageDraw.Draw(picture)
    draw.text((600, 16), f"{rng.integers(10, 24)}:{rng.integers(10, 60)}", font=_font(27), fill=_WHITE)
    return picture


def _texture(rng: Rng) -> Image.Image:
    fine = Image.fromarray(np.clip(rng.normal(128, 30, (300, 400)), 0, 255).astype(np.uint8))
    return fine.resize((800, 600), Image.Resampling.BICUBIC)


def _paper(rng: Rng) -> Image.Image:
    return Image.fromarray(np.clip(rng.normal(235, 4, (800, 600)), 0, 255).astype(np.uint8))


def _gauge(rng: Rng) -> Image.Image:
    picture, draw = _sheet(400, 900, (230, 230, 235))
    draw.rectangle([180, 100, 220, 800], outline=_BLACK, width=3)
    draw.rectangle([184, int(rng.integers(300, 700)), 216, 796], fill=(210, 40, 40))
    return picture


def _crossword(rng: Rng) -> Image.Image:
    picture, draw = _sheet(900, 900)
    for square in range(225):
        row, column = divmod(square, 15)
        box = [60 * column, 60 * row, 60 * column + 60, 60 * row + 60]
        draw.rectangle(box, outline=_BLACK, width=2)
        letter = chr(65 + int(rng.integers(0, 26)))
        draw.text((box[0] + 30, box[1] + 30), letter, font=_font(26), fill=_GREY, anchor="mm")
    return picture


def _small_change(rng: Rng) -> Image.Image:
    """Draw a scene in which a soft patch of little contrast is elsewhere, as a cloud or a shadow."""
    values = np.asarray(_smooth(np.random.default_rng(13), 60, 200)).astype(np.float32)
    y, x = np.mgrid[: values.shape[0], : values.shape[1]]
    at_y, at_x = _ints(rng, 100, 650, 2)
    patch = 14 * np.exp(-(((y - at_y) / 45.0) ** 2) - ((x - at_x) / 45.0) ** 2)
    return Image.fromarray((values + patch[..., None]).astype(np.uint8))


KINDS: dict[str, Callable[[Rng], Image.Image]] = {
    draw.__name__.strip("_"): draw
    for draw in (
        _chat,
        _form_field,
        _page,
        _text,
        _receipt,
        _night,
        _lights,
        _stars,
        _gradient,
        _colour,
        _near_colour,
        _flag,
        _xray,
        _icon,
        _slide,
        _chart,
        _line_art,
        _map,
        _music,
        _ticket,
        _qr_code,
        _barcode,
        _calendar,
        _spreadsheet,
        _meme,
        _subtitle,
        _date_stamp,
        _chess,
        _watch,
        _display,
        _status_bar,
        _texture,
        _paper,
        _gauge,
        _crossword,
        _small_change,
    )
}


def moved_subject(picture: Image.Image, rng: Rng) -> Image.Image:
    """Move a patch of a photo, as a subject moves in a burst."""
    values = np.asarray(picture).copy()
    height, width = (side // 6 for side in values.shape[:2])
    y, x = int(rng.integers(0, 4 * height)), int(rng.integers(0, 4 * width))
    down, right = int(rng.integers(height // 5, height // 2)), int(rng.integers(width // 5, width // 2))
    rows, columns = np.mgrid[:height, :width]
    distance = ((rows - height / 2) / (height / 3)) ** 2 + ((columns - width / 2) / (width / 3)) ** 2
    opacity = np.clip(1.6 * np.exp(-distance), 0, 1)[..., None]
    patch = values[y : y + height, x : x + width].astype(np.float32)
    target = values[y + down : y + down + height, x + right : x + right + width]
    target[:] = (target * (1 - opacity) + patch * opacity).astype(np.uint8)
    return Image.fromarray(values)


def encoded(picture: Image.Image, form: str = "PNG", **options: int) -> Image.Image:
    """Save and open again."""
    content = io.BytesIO()
    picture.save(content, form, **options)
    return Image.open(content)


def copies(picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Make the plain copies of a picture: compressed, resized, converted."""
    for quality in (30, 50, 75, 95):
        yield f"quality {quality}", encoded(picture, "JPEG", quality=quality)
    yield "WebP", encoded(picture, "WEBP", quality=60)
    for part in (2, 4):
        small = picture.resize((picture.width // part, picture.height // part), Image.Resampling.LANCZOS)
        yield f"1/{part}", encoded(small, "JPEG", quality=85)
    brighter = ImageEnhance.Brightness(picture).enhance(1.04)
    yield "brighter", encoded(brighter, "JPEG", quality=90)


def thumbnail(picture: Image.Image) -> np.ndarray:
    """Give the thumbnail that is compared first, (64, 64, 3) int64."""
    return np.asarray(picture.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC, reducing_gap=2.0), np.int64)


def reduced(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Give the picture of the second look, (height, width, 3) uint8."""
    return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))
