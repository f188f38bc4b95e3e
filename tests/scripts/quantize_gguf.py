#!/usr/bin/env python3
"""A GGUF file with its decoder's matrices in other types, by gguf-py: candidates for `cruxscope sensitivity`, and recipes carried out.

usage: quantize_gguf.py IN.gguf OUT.gguf TYPE
       quantize_gguf.py IN.gguf OUT.gguf --tensor-type-file RECIPE.tensor-types.txt

TYPE is one that gguf-py quantizes to (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F16, BF16, F32). The file of types is that of `cruxscope allocate
--export llama.cpp`, and of llama-quantize's --tensor-type-file: lines of a regular expression, `=` and a type; the first that is found in a
tensor's name counts. Embedding, norms and head stay as they are stored. Needs the package gguf.
"""
import argparse, re, sys
from pathlib import Path

import gguf
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants

MATRIX = re.compile(r"^blk\.\d+\.(attn_(q|k|v|output)|ffn_(gate|up|down))\.weight$")


def types(path):
    """(regular expression, type) of every line."""
    found = []
    for line in path.read_text().splitlines():
        if line.strip():
            pattern, _, kind = line.rpartition("=")
            found.append((re.compile(pattern), GGMLQuantizationType[kind.strip().upper()]))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("type", nargs="?", type=lambda name: GGMLQuantizationType[name.upper()])
    parser.add_argument("--tensor-type-file", type=Path)
    arguments = parser.parse_args()
    if (arguments.type is None) == (arguments.tensor_type_file is None):
        parser.error("give a type, or --tensor-type-file")
    listed = types(arguments.tensor_type_file) if arguments.tensor_type_file else [(MATRIX, arguments.type)]

    reader = GGUFReader(arguments.input)
    architecture = reader.get_field(gguf.Keys.General.ARCHITECTURE).contents()
    writer = GGUFWriter(arguments.output, architecture)
    for field in reader.fields.values():
        # The writer has its own.
        if field.name == gguf.Keys.General.ARCHITECTURE or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    counts, bits, weights = {}, 0, 0
    for tensor in reader.tensors:
        wanted = next((kind for pattern, kind in listed if pattern.search(tensor.name)), None) if MATRIX.match(tensor.name) else None
        if MATRIX.match(tensor.name) and wanted is None:
            sys.exit(f"{tensor.name} is named by no line of {arguments.tensor_type_file}")
        data, kind = tensor.data, tensor.tensor_type
        if wanted is not None:
            data = quants.quantize(quants.dequantize(tensor.data, tensor.tensor_type), wanted)
            kind = wanted
            counts[kind.name] = counts.get(kind.name, 0) + 1
            bits += 8 * data.nbytes
            weights += tensor.n_elements
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{arguments.output}: {', '.join(f'{count} matrices in {name}' for name, count in sorted(counts.items()))}; {bits / weights:.4f} bits/weight")


if __name__ == "__main__":
    main()
