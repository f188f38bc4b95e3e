#!/usr/bin/env python3
"""Writes engine/checkpoint/tests/goldens/gguf_blocks.json: numbers, and the bytes in which gguf-py stores them.

    gguf_blocks.py OUT.json

Needs numpy and gguf.
"""

import json
import pathlib
import sys

import numpy
from gguf import GGMLQuantizationType, quants

random = numpy.random.default_rng(3)
blocks = [random.normal(size=32) * size for size in (1.0, 1e-3, 300.0, 1e-7)]
blocks += [numpy.zeros(32), numpy.arange(32) / 31, numpy.arange(-16, 16) / 2, numpy.where(numpy.arange(32) % 2, 1.0, -1.0), random.normal(size=32) + 5.0]
blocks += [random.integers(-254, 255, size=32) / 2, numpy.full(32, -3.25), random.uniform(size=32) ** 8]
values = numpy.concatenate(blocks).astype(numpy.float32)
out = {"values": [float(value) for value in values]}
for name in ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
    stored = quants.quantize(values.reshape(1, -1), GGMLQuantizationType[name])
    out[name] = stored.tobytes().hex()
pathlib.Path(sys.argv[1]).write_text(json.dumps(out, indent=0) + "\n")
