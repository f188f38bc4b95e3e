#!/usr/bin/env python3
"""Makes the small checkpoints under tests/fixtures/activations: quantized weights and activations by compressed-tensors, and the mean loss
and relative importance of its own forward pass in float64, with activations quantized and without; and those of DeepSeek's float8 blocks,
by the formula.

    activations_fixtures.py OUT [NAME …]

OUT is a folder with tokens.safetensors, traces.jsonl and annotations.jsonl. Needs torch, transformers 5, safetensors and compressed-tensors.
Gradients go through the rounding as if it were not there.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme, QuantizationStatus, apply_quantization_config, fake_quantize
from compressed_tensors.quantization.lifecycle import forward
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, CompressedTensorsConfig, LlamaConfig, LlamaForCausalLM

SIZES = dict(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=256, bos_token_id=0, eos_token_id=1, tie_word_embeddings=True, architectures=["LlamaForCausalLM"])
BEHAVIOURS = ["backtracking", "uncertainty-estimation", "example-testing", "adding-knowledge"]
MODULES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


def args(**more):
    return QuantizationArgs(**{"num_bits": 8, "type": "float", "symmetric": True, **more})


NVFP4 = {"num_bits": 4, "strategy": "tensor_group", "group_size": 16, "scale_dtype": "torch.float8_e4m3fn", "zp_dtype": "torch.float8_e4m3fn"}
CASES = {
    "fp8_token": (args(strategy="channel"), args(strategy="token", dynamic=True)),
    "fp8_static": (args(strategy="tensor"), args(strategy="tensor", dynamic=False)),
    "fp8_groups": (args(strategy="channel"), args(strategy="group", group_size=32, dynamic=True)),
    "int8_token": (args(type="int", strategy="channel"), args(type="int", strategy="token", dynamic=True)),
    "int8_token_asymmetric": (args(type="int", strategy="channel"), args(type="int", strategy="token", dynamic=True, symmetric=False)),
    "int8_static": (args(type="int", strategy="channel"), args(type="int", strategy="tensor", dynamic=False, symmetric=False)),
    "nvfp4": (args(**NVFP4), args(**NVFP4, dynamic="local")),
}


def plain():
    torch.manual_seed(0)
    made = LlamaForCausalLM(LlamaConfig(**SIZES))
    with torch.no_grad():
        for name, values in made.named_parameters():
            values.copy_(torch.randn(values.shape) * (0.15 if values.ndim > 1 else 0.3) + ("norm" in name))
    return made


def tokens(out):
    return load_file(out / "tokens.safetensors")["w"].long()


def calibrate(model, out):
    """Scales of weights from the weights, stored scales of activations from what the modules read."""
    seen = {}
    hooks = [module.register_forward_pre_hook(lambda module, read, name=name: seen.setdefault(name, read[0].detach()))
             for name, module in model.named_modules() if hasattr(module, "quantization_scheme")]
    for module in model.modules():
        module.quantization_enabled = False
    with torch.no_grad():
        model(tokens(out), use_cache=False)
    for hook in hooks:
        hook.remove()
    for name, module in model.named_modules():
        module.quantization_enabled = True
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is None:
            continue
        weight, own, more = module.weight.data, scheme.weights, {}
        if hasattr(module, "weight_global_scale"):
            more["global_scale"] = generate_gparam(weight.min(), weight.max())
            module.weight_global_scale.data.copy_(more["global_scale"].reshape(module.weight_global_scale.shape))
        groups = {"channel": weight.unsqueeze(1), "tensor": weight.reshape(1, 1, -1), "tensor_group": weight.reshape(weight.shape[0], -1, own.group_size or 1)}
        groups = groups[str(getattr(own.strategy, "value", own.strategy))]
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), own, **more)
        module.weight_scale.data = scale.reshape(module.weight_scale.shape).to(module.weight_scale.dtype)
        if hasattr(module, "weight_zero_point"):
            module.weight_zero_point.data = zero.reshape(module.weight_zero_point.shape).to(module.weight_zero_point.dtype)
        low, high = seen[name].amin(), seen[name].amax()
        if hasattr(module, "input_global_scale"):
            module.input_global_scale.data.copy_(generate_gparam(low, high).reshape(module.input_global_scale.shape))
        if hasattr(module, "input_scale"):
            scale, zero = calculate_qparams(0.8 * low, 0.8 * high, scheme.input_activations)
            module.input_scale.data = scale.reshape(module.input_scale.shape).to(module.input_scale.dtype)
            if hasattr(module, "input_zero_point"):
                module.input_zero_point.data = zero.reshape(module.input_zero_point.shape).to(module.input_zero_point.dtype)


def straight_through(quantize):
    def rounded(module, value, base_name, own):
        given = quantize(module, value, base_name, own)
        return value + (given - value).detach() if base_name == "input" else given
    return rounded


def measured(model, out):
    ids = tokens(out)
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits.double()
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1)).item()


def importance(model, out):
    """Relative importance by autograd with hooks, [behaviour][layer][module]."""
    lines = lambda name: [json.loads(line) for line in (out / name).read_text().splitlines()]
    segments = {line["id"]: line["segments"] for line in lines("annotations.jsonl")}
    instances = [(line["input_ids"], segments[line["id"]]) for line in lines("traces.jsonl")]
    names = [(layer, module) for layer in range(model.config.num_hidden_layers) for module in MODULES]
    given = {}

    def hook(key):
        def keep(_, __, output):
            if output.requires_grad:
                output.retain_grad()
            given[key] = output
        return keep

    hooks = [model.model.layers[layer].get_submodule(module).register_forward_hook(hook((layer, module))) for layer, module in names]
    of = lambda labelled, behaviour: [segment for segment in labelled if segment["label"] == behaviour]
    minus, total, plus = dict.fromkeys(names, 0), dict.fromkeys(names, 0), {behaviour: dict.fromkeys(names, 0) for behaviour in BEHAVIOURS}
    counts = {behaviour: sum(bool(of(labelled, behaviour)) for _, labelled in instances) for behaviour in BEHAVIOURS}
    for ids, labelled in instances:
        with torch.no_grad():
            model(torch.tensor([ids]), use_cache=False)
        for name in names:
            minus[name], total[name] = minus[name] + given[name][0].mean(0), total[name] + given[name][0].sum(0)
        for behaviour in BEHAVIOURS:
            rows = sorted({row for segment in of(labelled, behaviour) for row in range(max(segment["start"] - 5, 0), segment["last"] + 1)})
            for name in names if rows else []:
                plus[behaviour][name] = plus[behaviour][name] + given[name][0][rows].mean(0)
    found = np.zeros((len(BEHAVIOURS), model.config.num_hidden_layers, len(MODULES)))
    tokens_read = sum(len(ids) for ids, _ in instances)
    for place, behaviour in enumerate(BEHAVIOURS):
        steering = {}
        for name in names:
            difference = plus[behaviour][name] / counts[behaviour] - minus[name] / len(instances)
            steering[name] = difference * ((total[name] / tokens_read).norm() / difference.norm())
        for ids, labelled in instances:
            own, rows = dict.fromkeys(names, 0.0), 0
            for segment in of(labelled, behaviour):
                first, end = max(segment["start"] - 5, 0), segment["last"] + 1
                read = torch.tensor([ids[:end]])
                model.zero_grad()
                logits = model(read, use_cache=False).logits[0]
                torch.nn.functional.cross_entropy(logits[max(first, 1) - 1:end - 1], read[0, max(first, 1):end]).backward()
                rows += end - first
                for name in names:
                    own[name] += float(steering[name] @ given[name].grad[0, first:end].sum(0))
            for layer, module in names if rows else []:
                found[place, layer, MODULES.index(module)] += own[layer, module] / rows
    for hook in hooks:
        hook.remove()
    found = np.abs(found)
    return (found / found.sum((1, 2), keepdims=True)).tolist()


def rotation(x, position_ids):
    """Cos and sin of angles in float64, rounded to float32: a last bit of them would have numbers fall to other codes."""
    width = SIZES["hidden_size"] // SIZES["num_attention_heads"]
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = position_ids[..., None].double() * frequencies
    angles = torch.cat((angles, angles), -1)
    return angles.cos().float().to(x.dtype), angles.sin().float().to(x.dtype)


def expected(folder, model, out, switch):
    model = model.double().eval()
    model.model.rotary_emb.forward = rotation
    switch(False)
    said = {"mean_loss": measured(model, out)}
    switch(True)
    said["simulated"] = {"mean_loss": measured(model, out), "behaviours": BEHAVIOURS, "relative_importance": importance(model, out)}
    (folder / "expected.json").write_text(json.dumps(said) + "\n")
    print(f"{folder.name}: {said['mean_loss']:.7f}, with quantized activations {said['simulated']['mean_loss']:.7f}")


def config_only(folder):
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors", "expected.json"):
            file.unlink()
    said = json.loads((folder / "config.json").read_text())
    said.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(said, indent=1) + "\n")


def library(name, out):
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    weights, inputs = CASES[name]
    model = plain()
    config = QuantizationConfig(config_groups={"group_0": QuantizationScheme(targets=["Linear"], weights=weights, input_activations=inputs)}, ignore=["lm_head"])
    apply_quantization_config(model, config)
    calibrate(model, out)
    for module in model.modules():
        if hasattr(module, "quantization_status"):
            module.quantization_status = QuantizationStatus.FROZEN
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)
    config_only(folder)
    read = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=CompressedTensorsConfig(run_compressed=False), attn_implementation="eager")
    # What transformers gives back is plain weights that were quantized once, and must not be again.
    apply_quantization_config(read, config)
    stored = load_file(folder / "model.safetensors")
    modules = []
    for path, module in read.named_modules():
        if hasattr(module, "quantization_scheme"):
            module.quantization_status = QuantizationStatus.COMPRESSED
            modules.append(module)
            for part in ("input_scale", "input_zero_point", "input_global_scale"):
                if f"{path}.{part}" in stored:
                    setattr(module, part, torch.nn.Parameter(stored[f"{path}.{part}"], requires_grad=False))
    assert len(modules) == 14, len(modules)
    original = forward.forward_quantize
    forward.forward_quantize = straight_through(original)

    def switch(on):
        for module in modules:
            module.quantization_enabled = on

    expected(folder, read, out, switch)
    forward.forward_quantize = original


def deepseek(name, out, powers):
    """Float8 blocks of 32 by 32, activations in groups of 32 a token: s = max |x| / 448, to the next power of two where scales are such."""
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    model = plain()
    tensors = {}
    for key, value in model.state_dict().items():
        value = value.detach()
        if key.endswith("_proj.weight"):
            rows, columns = value.shape
            blocks = value.reshape(rows // 32, 32, columns // 32, 32)
            scale = blocks.abs().amax((1, 3)) / 448
            scale = torch.exp2(torch.ceil(torch.log2(scale))) if powers else scale
            codes = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
            tensors[key], tensors[key + "_scale_inv"] = codes.reshape(rows, columns).contiguous(), scale
            model.get_submodule(key.removesuffix(".weight")).weight.data = (codes.float() * scale[:, None, :, None]).reshape(rows, columns)
        elif key != "lm_head.weight":
            tensors[key] = value
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    quantization = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [32, 32], "activation_scheme": "dynamic"}
    if powers:
        quantization["scale_fmt"] = "ue8m0"
    (folder / "config.json").write_text(json.dumps({**model.config.to_dict(), "quantization_config": quantization}))
    config_only(folder)
    on = [False]

    def rounded(_, read):
        value = read[0]
        if not on[0]:
            return None
        groups = value.detach().unflatten(-1, (-1, 32))
        scale = groups.abs().amax(-1, keepdim=True) / 448
        scale = torch.exp2(torch.ceil(torch.log2(scale))) if powers else scale
        given = ((groups / scale).to(torch.float8_e4m3fn).to(value.dtype) * scale).flatten(-2)
        return (value + (given - value).detach(),)

    for path, module in model.named_modules():
        if path.endswith("_proj"):
            module.register_forward_pre_hook(rounded)
    expected(folder, model, out, lambda value: on.__setitem__(0, value))


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or [*CASES, "fp8_blocks", "fp8_blocks_powers"]:
        if name in CASES:
            library(name, out)
        else:
            deepseek(name, out, name.endswith("powers"))
