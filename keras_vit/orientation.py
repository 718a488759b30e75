"""Image orientation: the EXIF tag of JPEG and PNG, applied to the pixels.

Applied wherever an image file is decoded, in Pillow here and as TensorFlow operators
in pipelines and served models, so that a file means the same everywhere.

Source:
    Exif 2.32 (CIPA DC-008), tag 0x0112; PNG 3rd edition, chunk eXIf.
"""

import numpy as np

EXIF = b"Exif\0\0"
TAG = 0x0112
SHORT, LONG = 3, 4  # kinds of a tag
HEAD = 4096  # bytes; tags that begin later are not looked at
PARTS = 64  # segments of a JPEG or chunks of a PNG that are looked at
# For the numbers 1 to 8: mirrored left to right, then quarter turns to the left.
TURNS = (
    (False, 0),
    (True, 0),
    (False, 2),
    (True, 2),
    (True, 1),
    (False, 3),
    (True, 3),
    (False, 1),
)


def upright(pixels, number):
    """Rotate and mirror pixels by their orientation tag.

    Args:
        pixels: (H, W, ...) numpy array. number: 1 to 8, as in the file.

    Returns:
        (H, W, ...) or (W, H, ...).

    >>> upright(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    mirrored, turns = TURNS[number - 1]
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, turns)


def number_of(image, head):
    """Orientation tag of an opened Pillow image, 1 to 8.

    TIFF files are turned by Pillow itself while they are decoded.

    Args:
        image: `PIL.Image.Image`. head: the first HEAD bytes of its file.
    """
    if image.format in ("JPEG", "MPO", "PNG"):
        return number_in_file(head)
    raw = image.info.get("exif") or b""
    return 1 if image.format == "TIFF" else number_in_tags(raw.removeprefix(EXIF))


def number_in_file(head):
    """Orientation tag in the first HEAD bytes of a JPEG or PNG."""
    part, place = (_chunk_of, 8) if head[:1] == b"\x89" else (_segment_of, 2)
    for _ in range(PARTS):
        following, tags = part(head[place : place + 10])
        if tags is not None:
            return number_in_tags(head[place + tags :])
        if following is None:
            return 1
        place += following
    return 1


def _segment_of(head):
    """Bytes of a JPEG's segment, or None at the pixels; and where its tags begin."""
    if len(head) < 10 or head[0] != 0xFF or not 0xE0 <= head[1] <= 0xFE:
        return None, None
    if 0xEF < head[1] < 0xFE:
        return None, None
    tags = 10 if head[1] == 0xE1 and head[4:] == EXIF else None
    return int.from_bytes(head[2:4], "big") + 2, tags


def _chunk_of(head):
    """Bytes of a PNG's chunk, or None at the pixels; and where its tags begin."""
    if len(head) < 10 or head[4:8] == b"IDAT":
        return None, None
    return int.from_bytes(head[:4], "big") + 12, 8 if head[4:8] == b"eXIf" else None


def number_in_tags(tags):
    """Orientation in Exif tags, which begin with "II" or "MM"; 1 without any."""
    order = "little" if tags[:1] == b"I" else "big"

    def whole(place, size):
        return int.from_bytes(tags[place : place + size], order)

    table = whole(4, 4)
    for place in range(table + 2, table + 2 + 12 * whole(table, 2), 12):
        if len(tags) < place + 12:
            break
        kind = whole(place + 2, 2)
        if whole(place, 2) == TAG and kind in (SHORT, LONG):
            found = whole(place + 8, 4 if kind == LONG else 2)
            return found if 1 <= found <= 8 else 1
    return 1


def number_in_graph(content):
    """Orientation tag of an encoded JPEG or PNG, by TensorFlow operators.

    Args:
        content: scalar string.

    Returns:
        Scalar int32.
    """
    import tensorflow as tf

    raw = tf.io.decode_raw(tf.strings.substr(content, 0, HEAD), tf.uint8)
    raw = tf.concat([raw, tf.zeros((16,), tf.uint8)], axis=0)
    png = raw[0] == 0x89
    last = tf.size(raw) - 16

    def step(count, place, start):
        part = tf.cast(raw[place : place + 10], tf.int32)
        start, following = tf.cond(
            png, lambda: _chunk(part, place), lambda: _segment(part, place)
        )
        return count + 1, tf.where(following > last - 10, -1, following), start

    *_, start = tf.while_loop(
        lambda count, place, start: (start < 0) & (place >= 0) & (count < PARTS),
        step,
        (0, tf.where(png, 8, 2), tf.constant(-1)),
    )
    return tf.cond(start < 0, lambda: 1, lambda: _tagged(raw, start, last))


def upright_in_graph(image, number):
    """`upright` as TensorFlow operators; image: (H, W, C). number: scalar int32."""
    import tensorflow as tf

    def turn(mirrored, turns):
        return lambda: tf.image.rot90(image[:, ::-1] if mirrored else image, turns)

    turns = [turn(*row) for row in TURNS]
    return tf.cond(number > 1, lambda: tf.switch_case(number - 1, turns), lambda: image)


def _segment(part, place):
    """Where tags start, or -1, and the next segment of a JPEG, or -1 at the pixels."""
    import tensorflow as tf

    marker = part[1]
    note = (part[0] == 0xFF) & (
        ((marker >= 0xE0) & (marker <= 0xEF)) | (marker == 0xFE)
    )
    tags = (marker == 0xE1) & tf.reduce_all(part[4:] == list(EXIF))
    following = place + 2 + part[2] * 256 + part[3]
    return tf.where(note & tags, place + 10, -1), tf.where(note, following, -1)


def _chunk(part, place):
    """Start of the tags, or -1, and the next chunk of a PNG, or -1 at the pixels."""
    import tensorflow as tf

    length = ((part[0] * 256 + part[1]) * 256 + part[2]) * 256 + part[3]
    pixels = tf.reduce_all(part[4:8] == list(b"IDAT")) | (length < 0) | (length > HEAD)
    tags = tf.reduce_all(part[4:8] == list(b"eXIf"))
    return tf.where(tags, place + 8, -1), tf.where(pixels, -1, place + 12 + length)


def _tagged(raw, start, last):
    """Orientation in the tags that begin at `start`; 1 where they have none."""
    import tensorflow as tf

    little = raw[start] == ord("I")

    def whole(digits):
        """(n, k) bytes -> (n,) numbers."""
        digits = tf.cast(digits, tf.int32)
        digits = tf.where(little, digits[:, ::-1], digits)
        weights = [256**k for k in range(digits.shape[1])][::-1]
        return tf.reduce_sum(digits * weights, axis=1)

    def at(place, size):
        place = tf.clip_by_value(place, 0, last)
        return whole(tf.ensure_shape(raw[place : place + size], (size,))[None])[0]

    table = start + at(start + 4, 4)
    count = at(table, 2)
    first = tf.clip_by_value(table + 2, 0, last)
    rows = raw[first : first + 12 * count]
    rows = tf.reshape(rows[: tf.size(rows) // 12 * 12], (-1, 12))
    kind = whole(rows[:, 2:4])
    value = tf.where(kind == LONG, whole(rows[:, 8:12]), whole(rows[:, 8:10]))
    right = (whole(rows[:, :2]) == TAG) & ((kind == SHORT) | (kind == LONG))
    right &= (value >= 1) & (value <= 8)
    return tf.concat([tf.boolean_mask(value, right), [1]], axis=0)[0]
