"""Looks at screenshots with the standard library alone: makes a PNG of an X window dump, reads a PNG, counts its colours.

A window or page that draws nothing has a handful of colours; one that draws a figure has hundreds.
"""

import struct
import zlib

ENOUGH_COLOURS = 100


def read_png(data):
    """The pixels of an 8-bit RGB or RGBA PNG, as (width, height, bytes of a pixel, rows)."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("not a PNG")
    position, packed, header = 8, b"", None
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        body = data[position + 8 : position + 8 + length]
        position += 12 + length
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
    width, height, depth, colour, _, _, interlaced = header
    if depth != 8 or colour not in (2, 6) or interlaced:
        raise ValueError(f"a PNG of depth {depth}, colour type {colour} cannot be read here")
    size = 3 if colour == 2 else 4
    return width, height, size, unfilter(zlib.decompress(packed), width * size, height, size)


def unfilter(raw, stride, height, size):
    """Undoes the five filters of PNG, row by row."""
    rows, above = [], bytearray(stride)
    for y in range(height):
        start = y * (stride + 1)
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        if kind == 1:
            for i in range(size, stride):
                row[i] = (row[i] + row[i - size]) & 255
        elif kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, above))
        elif kind == 3:
            for i in range(stride):
                left = row[i - size] if i >= size else 0
                row[i] = (row[i] + (left + above[i]) // 2) & 255
        elif kind == 4:
            for i in range(stride):
                left, corner = (row[i - size], above[i - size]) if i >= size else (0, 0)
                up = above[i]
                base = left + up - corner
                a, b, c = abs(base - left), abs(base - up), abs(base - corner)
                row[i] = (row[i] + (left if a <= b and a <= c else up if b <= c else corner)) & 255
        rows.append(row)
        above = row
    return rows


def colours(data):
    """The number of different colours in a PNG."""
    width, _, size, rows = read_png(data)
    seen = set()
    for row in rows:
        seen.update(bytes(row[i : i + 3]) for i in range(0, width * size, size))
    return len(seen)


def png_of_dump(data):
    """An X window dump (version 7, one number a pixel with 8 bits a colour, as Xvfb makes them) as an RGB PNG."""
    names = "size version format depth width height offset byte_order unit bit_order pad bits stride visual red green blue rgb entries colours"
    if len(data) < 100:
        raise ValueError("not an X window dump")
    head = dict(zip(names.split(), struct.unpack(">20I", data[:80])))
    masks = [head[name] for name in ("red", "green", "blue")]
    if head["version"] != 7 or head["format"] != 2 or head["bits"] != 32 or sorted(masks) != [0xFF, 0xFF00, 0xFF0000]:
        raise ValueError(f"an X window dump of this kind cannot be read here: {head}")
    start = head["size"] + 12 * head["colours"]
    end = start + head["height"] * head["stride"]
    if len(data) < end:
        raise ValueError("an X window dump that ends early")
    # Where the bytes of a colour lie within a pixel: byte order 0 has the lowest first.
    places = [mask.bit_length() // 8 - 1 if head["byte_order"] == 0 else 4 - mask.bit_length() // 8 for mask in masks]
    rows = bytearray()
    for first in range(start, end, head["stride"]):
        pixels = data[first : first + 4 * head["width"]]
        row = bytearray(3 * head["width"])
        for colour, place in enumerate(places):
            row[colour::3] = pixels[place::4]
        rows += b"\0" + row

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", head["width"], head["height"], 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows), 6)) + chunk(b"IEND", b"")
