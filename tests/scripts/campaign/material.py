"""Small inputs for every command, made from the fixtures of the repository: a model with a tokenizer, the same as GGUF, texts, a page."""

import json
import pathlib
import random
import shutil
import struct

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures"
STUDIES = pathlib.Path(__file__).parents[3] / "app/studies"
VOCABULARY = 512
BEHAVIOURS = ["backtracking", "uncertainty-estimation", "example-testing", "adding-knowledge"]


def build(folder):
    """Puts all inputs into a folder."""
    folder.mkdir(parents=True)
    shutil.copytree(FIXTURES / "tiny/model", folder / "model")
    (folder / "model/tokenizer.json").write_text(json.dumps(tokenizer()))
    config = {"eos_token": "w257", "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}"}
    (folder / "model/tokenizer_config.json").write_text(json.dumps(config))
    (folder / "model/generation_config.json").write_text(json.dumps({"eos_token_id": 2}))
    for name in ["traces.jsonl", "annotations.jsonl"]:
        shutil.copy(FIXTURES / "tiny" / name, folder / name)
    write_gguf(folder / "model", folder / "model.gguf")
    write_tokens(folder / "tokens.safetensors")
    texts(folder)
    shutil.copytree(STUDIES / "smollm2", folder / "published")
    page = folder / "page"
    page.mkdir()
    (page / "cruxscope_web_bg.wasm").write_bytes(bytes(5000))
    (page / "cruxscope_web.js").write_text("export default 1\n")


def texts(folder):
    """A dataset, traces and annotations as text, another program's outputs."""
    questions = [{"input": f"Which of the two, {n}?\n(A) {n}\n(B) {n + 1}", "target": "(B)" if n % 2 else "(A)"} for n in range(3)]
    lines(folder / "data.jsonl", questions)
    said = ["Let me see. ", "It is three. ", "Wait, no. ", "Maybe it is four. ", "For example, two. ", "Seven is prime. "]
    outputs = [{"id": f"temporal_sequences/{n}", "prompt": "How many?\n", "output": "".join(said) + f"The answer is ({'AB'[n % 2]})."} for n in range(3)]
    lines(folder / "outputs.jsonl", outputs)
    labels = ["initializing", "deduction", "backtracking", "uncertainty-estimation", "example-testing", "adding-knowledge"]
    marked = "".join(f'["{label}"] {text} ["end-section"] ' for label, text in zip(labels, said))
    lines(folder / "marked.jsonl", [{"id": output["id"], "annotated": marked} for output in outputs])
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 40)


def lines(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def tokenizer():
    """Bytes as tokens; the model has more tokens than there are bytes, so the others are words."""
    letters, extra = {}, 256
    for byte in range(256):
        printable = 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte
        letters[chr(byte if printable else extra)] = byte
        extra += not printable
    letters |= {f"w{number}": number for number in range(256, VOCABULARY)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"version": "1.0", "model": {"type": "BPE", "vocab": letters, "merges": []}, "pre_tokenizer": level, "decoder": level}


def write_tokens(path, windows=4, length=24):
    draw = random.Random(5)
    ids = [draw.randrange(VOCABULARY) for _ in range(windows * length)]
    write_safetensors(path, {"windows": ("I32", [windows, length], struct.pack(f"<{len(ids)}i", *ids))})


def read_safetensors(path):
    """Name, type, shape and bytes of every array."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    start = 8 + length
    return {name: (entry["dtype"], entry["shape"], data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]]) for name, entry in header.items()}


def write_safetensors(path, arrays):
    header, body = {}, b""
    for name, (dtype, shape, data) in arrays.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


# GGUF's numbers of its types of values.
U32, F32, STRING, ARRAY = 4, 6, 8, 9
GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(model, path, tokens=None):
    """The tensors of a model as float32 in a GGUF file; rows of q and k are left in their order, so it is another model."""
    config = json.loads((model / "config.json").read_text())
    # The last token is what the one merge makes.
    tokens = tokens or [*list(tokenizer()["model"]["vocab"])[:-1], "ab"]
    fields = {
        "general.architecture": (STRING, "llama"),
        "general.alignment": (U32, 32),
        "llama.block_count": (U32, config["num_hidden_layers"]),
        "llama.embedding_length": (U32, config["hidden_size"]),
        "llama.feed_forward_length": (U32, config["intermediate_size"]),
        "llama.attention.head_count": (U32, config["num_attention_heads"]),
        "llama.attention.head_count_kv": (U32, config["num_key_value_heads"]),
        "llama.attention.key_length": (U32, config["head_dim"]),
        "llama.attention.value_length": (U32, config["head_dim"]),
        "llama.rope.dimension_count": (U32, config["head_dim"]),
        "llama.context_length": (U32, config["max_position_embeddings"]),
        "llama.rope.freq_base": (F32, 10000.0),
        "llama.attention.layer_norm_rms_epsilon": (F32, config["rms_norm_eps"]),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "smollm"),
        "tokenizer.ggml.tokens": (ARRAY, tokens),
        "tokenizer.ggml.merges": (ARRAY, ["a b"]),
        "tokenizer.ggml.bos_token_id": (U32, 1),
        "tokenizer.ggml.eos_token_id": (U32, 2),
    }
    arrays = {gguf_name(name): (shape, data) for name, (_, shape, data) in read_safetensors(model / "model.safetensors").items()}
    head, body = b"", b""
    for name, (kind, value) in fields.items():
        head += text(name) + struct.pack("<I", kind) + gguf_value(kind, value)
    for name, (shape, data) in arrays.items():
        head += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", size) for size in reversed(shape))
        head += struct.pack("<IQ", 0, len(body))
        body += data + bytes(-len(data) % 32)
    start = b"GGUF" + struct.pack("<IQQ", 3, len(arrays), len(fields)) + head
    path.write_bytes(start + bytes(-len(start) % 32) + body)


def gguf_name(name):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[rest.removesuffix('.weight')]}.weight"


def gguf_value(kind, value):
    if kind == STRING:
        return text(value)
    if kind == ARRAY:
        return struct.pack("<IQ", STRING, len(value)) + b"".join(map(text, value))
    return struct.pack("<I" if kind == U32 else "<f", value)


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data
