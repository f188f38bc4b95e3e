#!/usr/bin/env python3
"""Writes the seed corpus, `seeds/TARGET/NAME`: small files that are read as they are, each a beginning for changes.

    tests/fuzz/seeds.py

The same bytes every time; commit what changes.
"""

import json
import pathlib
import random
import struct
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "scripts"))
from campaign import material  # noqa: E402

HIDDEN, HEADS, HEAD, KEY_HEADS, FEED, WORDS = 8, 2, 4, 1, 8, 16
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "num_hidden_layers": 1,
    "hidden_size": HIDDEN,
    "intermediate_size": FEED,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_HEADS,
    "head_dim": HEAD,
    "vocab_size": WORDS,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def main():
    draw = random.Random(3)
    weights = arrays(draw)
    model = seed("safetensors", "model.safetensors")
    material.write_safetensors(model, weights)
    write("config", "config.json", json.dumps(CONFIG, indent=1))
    # The writer of GGUF files reads a folder.
    folder = HERE / "seeds/model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(model.read_bytes())
    material.write_gguf(folder, seed("gguf", "model.gguf"), tokens=list("abcdefghijklmno") + ["ab"])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    # With a space and a full stop, at which the sections of a trace begin and end.
    bpe = {"type": "BPE", "vocab": dict(zip([*"abcdefghijklm", "Ġ", ".", "ab"], range(WORDS))), "merges": ["a b"]}
    write("tokenizer", "tokenizer.json", json.dumps({"version": "1.0", "model": bpe, "pre_tokenizer": level, "decoder": level}))
    published = material.STUDIES / "smollm2"
    write("study", "study.json", (published / "study.json").read_text())
    write("study", "collection.json", json.dumps({"schema": 1, "title": "Two", "studies": ["a", "b"], "tour": []}))
    write("study", "results.json", json.dumps(results()))
    spans = {"id": "a", "segments": [{"label": "backtracking", "start": 1, "last": 2}, {"label": "adding-knowledge", "start": 3, "last": 4}]}
    pair = (json.dumps({"id": "a", "input_ids": [1, 2, 3, 4, 5, 6]}), json.dumps(spans))
    write("traces", "tokens", "\0".join(f"{part}\n" for part in pair))
    text = '["backtracking"] abc abc ["end-section"] ["adding-knowledge"] abd. ["end-section"]'
    pair = (json.dumps({"id": "b", "prompt": "ab ", "output": "abc abc abd."}), json.dumps({"id": "b", "annotated": text}))
    write("traces", "text", "\0".join(f"{part}\n" for part in pair))
    write("answers", "whole", http("application/json", json.dumps(answer("The answer is (B).", "text"))))
    pieces = [answer("The answer", "delta"), answer(" is (B).", "delta", "stop"), "[DONE]"]
    lines = "".join(f"data: {piece if isinstance(piece, str) else json.dumps(piece)}\n\n" for piece in pieces)
    write("answers", "stream", http("text/event-stream", ": hello\n\n" + lines))
    write("scoring", "boxed", "So it is \\boxed{\\frac{1}{2}}, or $\\boxed{ 204 }$.")
    write("scoring", "letter", "Maybe (A).\n</think>\n\nThe answer is **(B)**.")
    write("scoring", "truth", "Therefore the conclusion is Uncertain.\n\nAnswer: True")
    write("scoring", "words", "The final answer is: **the Ivory Coast**, in 1,960.5 km.")


def arrays(draw):
    shapes = {"model.embed_tokens.weight": [WORDS, HIDDEN], "model.norm.weight": [HIDDEN]}
    layer = {
        "input_layernorm": [HIDDEN],
        "post_attention_layernorm": [HIDDEN],
        "self_attn.q_proj": [HEADS * HEAD, HIDDEN],
        "self_attn.k_proj": [KEY_HEADS * HEAD, HIDDEN],
        "self_attn.v_proj": [KEY_HEADS * HEAD, HIDDEN],
        "self_attn.o_proj": [HIDDEN, HEADS * HEAD],
        "mlp.gate_proj": [FEED, HIDDEN],
        "mlp.up_proj": [FEED, HIDDEN],
        "mlp.down_proj": [HIDDEN, FEED],
    }
    shapes |= {f"model.layers.0.{name}.weight": shape for name, shape in layer.items()}
    found = {}
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        found[name] = ("F32", shape, struct.pack(f"<{count}f", *(draw.uniform(-1, 1) for _ in range(count))))
    return found


def results():
    score = {"model": "tiny", "benchmark": "AIME", "metric": "accuracy", "unit": "%", "value": 50.0, "interval": [10.0, 90.0], "questions": 2, "passes": 1}
    return {"schema": 1, "title": "Own", "source": "by hand", "program": "cruxscope", "published": False, "scores": [score]}


def answer(text, kind, finish=None):
    said = {"text": text, "message": {"content": text}} if kind == "text" else {"delta": {"content": text}}
    return {"model": "tiny", "choices": [{"index": 0, **said, "finish_reason": finish or "stop" if kind == "text" else finish}], "usage": {"completion_tokens": 4}}


def http(kind, body):
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n{body}"


def seed(target, name):
    path = HERE / "seeds" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(target, name, text):
    seed(target, name).write_bytes(text.encode())


if __name__ == "__main__":
    main()
