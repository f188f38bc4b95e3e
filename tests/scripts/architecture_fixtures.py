#!/usr/bin/env python3
"""Makes the small checkpoints under tests/fixtures/architectures: random models of families by transformers' own classes, their mean loss by
transformers, and of dense ones relative importance by autograd in float64 with hooks.

    architecture_fixtures.py OUT [NAME …]

OUT is a folder with tokens.safetensors, traces.jsonl and annotations.jsonl. Needs torch, transformers 5, safetensors.
"""

import json
import os
import pathlib
import shutil
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import numpy as np
import torch
import transformers
from safetensors.torch import load_file

BASE = dict(vocab_size=512, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
            max_position_embeddings=256, bos_token_id=0, eos_token_id=1, pad_token_id=None, tie_word_embeddings=True)
NO_HEAD = {"head_dim": None}
VISION = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8)
QWEN_VISION = dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=2, patch_size=8, out_hidden_size=32, num_position_embeddings=4)
MROPE = dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 1, 1])
DELTA = dict(linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8, layer_types=["linear_attention", "full_attention"])
EXPERTS = dict(moe_intermediate_size=16, shared_expert_intermediate_size=16, num_experts=4, num_experts_per_tok=2)
# Of each its configuration's class, what differs from the base, and of a model around a decoder the class and what else it says.
MODELS = {
    "arcee": ("ArceeConfig", {"mlp_bias": True}),
    "cohere": ("CohereConfig", {**NO_HEAD, "attention_bias": True}),
    "gemma": ("GemmaConfig", {"head_dim": 16}),
    "glm": ("GlmConfig", {}),
    "granite_biases": ("GraniteConfig", {**NO_HEAD, "mlp_bias": True, "attention_bias": True, "embedding_multiplier": 12.0, "residual_multiplier": 0.22,
                                         "attention_multiplier": 0.2, "logits_scaling": 4.0}),
    "helium": ("HeliumConfig", {}),
    "hyperclovax": ("HyperCLOVAXConfig", {"embedding_multiplier": 3.0, "residual_multiplier": 0.7, "attention_multiplier": 0.2, "logits_scaling": 0.5}),
    "llama_biases": ("LlamaConfig", {"mlp_bias": True}),
    "olmo": ("OlmoConfig", NO_HEAD),
    "stablelm": ("StableLmConfig", {**NO_HEAD, "use_qkv_bias": True, "partial_rotary_factor": 0.5}),
    "starcoder2": ("Starcoder2Config", {**NO_HEAD, "sliding_window": 16}),
    "deepseek_v3_yarn": ("DeepseekV3Config", {**NO_HEAD, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 12, "qk_rope_head_dim": 8, "v_head_dim": 12,
                                             "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 16,
                                             "first_k_dense_replace": 1, "num_key_value_heads": 4, "n_group": 2, "topk_group": 1, "routed_scaling_factor": 1.5,
                                             "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32,
                                                                 "mscale": 0.7, "mscale_all_dim": 0.7}}),
    "vaultgemma": ("VaultGemmaConfig", {"sliding_window": 16, "query_pre_attn_scalar": 16}),
    "gemma3": ("Gemma3TextConfig", {"sliding_window": 16, "query_pre_attn_scalar": 16, "layer_types": ["sliding_attention", "full_attention"]},
               "Gemma3ForConditionalGeneration", dict(vision_config=VISION, mm_tokens_per_image=4)),
    "mistral3": ("MistralConfig", {"sliding_window": None}, "Mistral3ForConditionalGeneration", dict(vision_config={**VISION, "head_dim": 8, "model_type": "pixtral"})),
    "llama4": ("Llama4TextConfig", {"intermediate_size_mlp": 40, "num_local_experts": 4, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "attention_chunk_size": 32,
                                    "no_rope_layers": [1, 0], "floor_scale": 8}, "Llama4ForConditionalGeneration",
               dict(vision_config={**VISION, "vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16, "pixel_shuffle_ratio": 0.5})),
    "qwen3_5": ("Qwen3_5TextConfig", DELTA, "Qwen3_5ForConditionalGeneration", dict(vision_config=QWEN_VISION)),
    "qwen3_5_moe": ("Qwen3_5MoeTextConfig", {**DELTA, **EXPERTS}, "Qwen3_5MoeForConditionalGeneration", dict(vision_config=QWEN_VISION)),
    "qwen3_vl": ("Qwen3VLTextConfig", {"rope_parameters": MROPE}, "Qwen3VLForConditionalGeneration", dict(vision_config={**QWEN_VISION, "deepstack_visual_indexes": [0]})),
}
BEHAVIOURS = ["backtracking", "uncertainty-estimation", "example-testing", "adding-knowledge"]
MODULES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
OTHER_NAMES = {"mlp.up_proj": "mlp.c_fc", "mlp.down_proj": "mlp.c_proj"}


def randomize(model):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.ndim >= 2:
                values.copy_(torch.randn(values.shape, generator=generator) * 0.15)
            else:
                values.copy_(("norm" in name and "bias" not in name) + torch.randn(values.shape, generator=generator) * 0.3)


def modules(layer):
    """The linear maps of a layer by the names of the seven; `None` where there is none, nothing where they are others."""
    found = {}
    for name in MODULES:
        own = [module for module in (name, OTHER_NAMES.get(name, name)) if module in dict(layer.named_modules())]
        found[name] = layer.get_submodule(own[0]) if own else None
    return found if sum(module is None for module in found.values()) <= (found["mlp.gate_proj"] is None) else None


def separate(layer):
    """Gives a layer whose gate and up are one matrix two of them."""
    mlp = layer.mlp
    if not hasattr(mlp, "gate_up_proj"):
        return
    gate, up = mlp.gate_up_proj.weight.data.chunk(2)
    mlp.gate_proj, mlp.up_proj = (torch.nn.Linear(*part.shape[::-1], bias=False) for part in (gate, up))
    mlp.gate_proj.weight.data, mlp.up_proj.weight.data = gate.clone(), up.clone()
    mlp.forward = lambda x: mlp.down_proj(mlp.activation_fn(mlp.gate_proj(x)) * mlp.up_proj(x))


def importance(model, layers, out):
    lines = lambda name: [json.loads(line) for line in (out / name).read_text().splitlines()]
    segments = {line["id"]: line["segments"] for line in lines("annotations.jsonl")}
    instances = [(line["input_ids"], segments[line["id"]]) for line in lines("traces.jsonl")]
    maps = {(place, name): module for place, layer in enumerate(layers) for name, module in modules(layer).items() if module is not None}
    given = {}

    def hook(key):
        def keep(_, __, output):
            if output.requires_grad:
                output.retain_grad()
            given[key] = output
        return keep

    hooks = [module.register_forward_hook(hook(key)) for key, module in maps.items()]
    of = lambda labelled, behaviour: [segment for segment in labelled if segment["label"] == behaviour]
    minus, total, plus = dict.fromkeys(maps, 0), dict.fromkeys(maps, 0), {behaviour: dict.fromkeys(maps, 0) for behaviour in BEHAVIOURS}
    counts = {behaviour: sum(bool(of(labelled, behaviour)) for _, labelled in instances) for behaviour in BEHAVIOURS}
    for ids, labelled in instances:
        with torch.no_grad():
            model(torch.tensor([ids]), use_cache=False)
        for key in maps:
            minus[key], total[key] = minus[key] + given[key][0].mean(0), total[key] + given[key][0].sum(0)
        for behaviour in BEHAVIOURS:
            rows = sorted({row for segment in of(labelled, behaviour) for row in range(max(segment["start"] - 5, 0), segment["last"] + 1)})
            for key in maps if rows else []:
                plus[behaviour][key] = plus[behaviour][key] + given[key][0][rows].mean(0)
    found = np.zeros((len(BEHAVIOURS), len(layers), len(MODULES)))
    tokens_read = sum(len(ids) for ids, _ in instances)
    for place, behaviour in enumerate(BEHAVIOURS):
        steering = {}
        for key in maps:
            difference = plus[behaviour][key] / counts[behaviour] - minus[key] / len(instances)
            steering[key] = difference * ((total[key] / tokens_read).norm() / difference.norm())
        for ids, labelled in instances:
            own, rows = dict.fromkeys(maps, 0.0), 0
            for segment in of(labelled, behaviour):
                first, end = max(segment["start"] - 5, 0), segment["last"] + 1
                read = torch.tensor([ids[:end]])
                model.zero_grad()
                logits = model(read, use_cache=False).logits[0]
                torch.nn.functional.cross_entropy(logits[max(first, 1) - 1:end - 1], read[0, max(first, 1):end]).backward()
                rows += end - first
                for key in maps:
                    own[key] += float(steering[key] @ given[key].grad[0, first:end].sum(0))
            for layer, name in maps if rows else []:
                found[place, layer, MODULES.index(name)] += own[layer, name] / rows
    for hook in hooks:
        hook.remove()
    found = np.abs(found)
    return (found / found.sum((1, 2), keepdims=True)).tolist()


def make(name, out):
    configuration, change, *around = MODELS[name]
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    fields = {key: value for key, value in {**BASE, **change}.items() if not (key == "head_dim" and value is None)}
    config = getattr(transformers, configuration)(**fields)
    torch.manual_seed(0)
    if around:
        whole, more = around
        wrapper = getattr(transformers, whole.replace("ForConditionalGeneration", "Config"))
        config = wrapper(text_config=config.to_dict(), tie_word_embeddings=True, **more)
        model = getattr(transformers, whole)(config)
    else:
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    randomize(model)
    model = model.bfloat16()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    said = json.loads((folder / "config.json").read_text())
    said.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(said, indent=1) + "\n")
    model = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    rotary = {name: buffer.clone() for name, buffer in model.named_buffers() if "inv_freq" in name}
    model = model.double()
    for key, buffer in model.named_buffers():
        if key in rotary:
            buffer.data = rotary[key].data
    # The class around Llama 4 takes no text alone in some versions; what is inside is a class of its own.
    model = model.language_model if name == "llama4" else model
    ids = load_file(out / "tokens.safetensors")["w"].long()
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits.double()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1)).item()
    text = said.get("text_config", said)
    expected = {"mean_loss": loss, "class": type(model).__name__, "model_type": text.get("model_type", said["model_type"])}
    decoder = getattr(model.model, "language_model", model.model)
    for layer in decoder.layers:
        separate(layer) if hasattr(layer, "mlp") else None
    if all(hasattr(layer, "mlp") and modules(layer) for layer in decoder.layers):
        expected |= {"behaviours": BEHAVIOURS, "modules": MODULES, "relative_importance": importance(model, decoder.layers, out)}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(f"{name}: {loss:.7f}", "with importance" if "modules" in expected else "")


if __name__ == "__main__":
    for name in sys.argv[2:] or MODELS:
        make(name, pathlib.Path(sys.argv[1]))
