"""Changes of files: bytes, lengths, values of JSON, headers of safetensors and GGUF. All from a seeded generator."""

import json
import struct

VALUES = [None, True, False, 0, -1, 1, 2, 3, 0.5, -0.0, 1e308, -1e308, 2**31, 2**32, 2**53, 2**63, 2**64, -(2**63), 10**30, "", "x", "\u0000", "../../etc/passwd", "/dev/zero", "é" * 300, "x" * 100_000, [], {}, [[]], [0] * 1000]
# JSON that Python does not write.
LITERALS = ["NaN", "1e999", "-1e999", "[" * 3000 + "]" * 3000, "1" * 5000, '"\\ud800"', "nul", ""]


def change(draw, name, data):
    """Another file, what was done to it, and whether that was done to what describes the file rather than to its numbers."""
    if name.endswith((".json", ".jsonl")) and draw.random() < 0.7:
        return change_json(draw, name, data) + (True,)
    if name.endswith(".safetensors") and draw.random() < 0.7:
        return change_safetensors(draw, data) + (True,)
    if name.endswith(".gguf") and draw.random() < 0.8:
        # Its fields and the directory of its tensors come first.
        end = min(len(data), 6000)
        changed, what = change_bytes(draw, data[:end])
        return changed + data[end:], f"{what}, in the head", True
    return change_bytes(draw, data) + (not name.endswith((".safetensors", ".gguf")),)


def change_bytes(draw, data):
    size = len(data)
    if size == 0:
        return b"\x00", "a byte more"
    at = draw.randrange(size)
    kind = draw.choice(["bits", "bits", "bytes", "truncated", "removed", "doubled", "inserted", "zeros", "numbers", "emptied"])
    if kind == "truncated":
        return data[:at], f"truncated to {at} of {size} bytes"
    if kind == "emptied":
        return b"", "emptied"
    if kind == "removed":
        return data[:at] + data[at + draw.randint(1, 64) :], f"bytes removed at {at}"
    if kind == "doubled":
        return data[:at] + data[at : at + 200] + data[at:], f"bytes doubled at {at}"
    if kind == "inserted":
        return data[:at] + draw.randbytes(draw.randint(1, 40)) + data[at:], f"bytes inserted at {at}"
    changed = bytearray(data)
    if kind == "zeros":
        changed[at : at + 32] = bytes(len(changed[at : at + 32]))
    elif kind == "numbers":
        number = struct.pack("<Q", draw.choice([0, 1, 2**31 - 1, 2**32, 2**63 - 1, 2**64 - 1]))[: draw.choice([4, 8])]
        changed[at : at + len(number)] = number[: size - at]
    else:
        for _ in range(draw.choice([1, 1, 2, 8])):
            at = draw.randrange(size)
            changed[at] = changed[at] ^ (1 << draw.randrange(8)) if kind == "bits" else draw.randrange(256)
    return bytes(changed), f"{kind} at {at}"


def change_json(draw, name, data):
    lines = data.split(b"\n") if name.endswith(".jsonl") else [data]
    place = draw.choice([number for number, line in enumerate(lines) if line] or [0])
    try:
        value = json.loads(lines[place])
    except ValueError:
        return change_bytes(draw, data)
    changed, what = change_value(draw, value)
    lines[place] = changed
    if name.endswith(".jsonl") and draw.random() < 0.15:
        lines.append(lines[place])
        what += ", line doubled"
    return b"\n".join(lines), f"line {place + 1}: {what}" if len(lines) > 1 else what


def ways(value, way=()):
    """The way to every value in a JSON document."""
    found = [way]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    for key, inner in list(items)[:200]:
        found += ways(inner, (*way, key))
    return found


def change_value(draw, value):
    """A document with one value changed, as bytes, and what was done."""
    way = draw.choice(ways(value))
    told = ".".join(map(str, way)) or "all"
    mark = "@mark@"
    kind = draw.choice(["value", "value", "value", "literal", "removed", "doubled", "renamed"])
    if not way:
        return json.dumps(draw.choice(VALUES)).encode(), "the whole replaced"
    parent = value
    for step in way[:-1]:
        parent = parent[step]
    if kind == "removed":
        del parent[way[-1]]
        return json.dumps(value).encode(), f"{told} removed"
    if kind == "renamed" and isinstance(parent, dict):
        parent[str(way[-1]) + "_"] = parent.pop(way[-1])
        return json.dumps(value).encode(), f"{told} renamed"
    if kind == "doubled":
        if isinstance(parent, list):
            parent.insert(way[-1], parent[way[-1]])
            return json.dumps(value).encode(), f"{told} doubled"
        inner, parent[way[-1]] = json.dumps(parent[way[-1]]), mark
        text = json.dumps(value).replace(json.dumps(mark), f"{inner}, {json.dumps(way[-1])}: {json.dumps(draw.choice(VALUES))}", 1)
        return text.encode(), f"{told} twice"
    if kind == "literal":
        literal = draw.choice(LITERALS)
        parent[way[-1]] = mark
        return json.dumps(value).replace(json.dumps(mark), literal, 1).encode(), f"{told} = {literal[:12]}"
    old, new = parent[way[-1]], draw.choice(VALUES)
    if isinstance(old, (int, float)) and not isinstance(old, bool) and draw.random() < 0.4:
        new = draw.choice([old + 1, old - 1, old * 2, -old, old / 2, old * 1000])
    parent[way[-1]] = new
    return json.dumps(value).encode(), f"{told} = {json.dumps(new)[:40]}"


def change_safetensors(draw, data):
    if len(data) < 8:
        return change_bytes(draw, data)
    (length,) = struct.unpack("<Q", data[:8])
    if draw.random() < 0.1:
        length = draw.choice([0, 1, length - 1, length + 8, 2**31, 2**63, 2**64 - 1])
        return struct.pack("<Q", length) + data[8:], f"length of the header = {length}"
    try:
        text, what = change_value(draw, json.loads(data[8 : 8 + length]))
    except ValueError:
        return change_bytes(draw, data)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :], f"header: {what}"
