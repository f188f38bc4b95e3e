#!/usr/bin/env python3
"""Makes the small checkpoints of HQQ and torchao under tests/fixtures/formats: packed and written by those libraries, with the loss that
transformers finds on the weights which they give back.

    packed_fixtures.py OUT hqq | torchao

OUT holds tokens.safetensors. Needs torch, transformers 5, safetensors, and hqq, or torchao 0.16 or newer. torchao's quantizer for
`Int4Tensor` needs a graphics card; its codes are computed here by that quantizer's formula, and the class and its writing are torchao's.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

SIZES = dict(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=256, bos_token_id=0, eos_token_id=1, tie_word_embeddings=True, architectures=["LlamaForCausalLM"])


def model(dtype, **more):
    torch.manual_seed(0)
    made = LlamaForCausalLM(LlamaConfig(**{**SIZES, **more}))
    with torch.no_grad():
        for name, values in made.named_parameters():
            values.copy_(torch.randn(values.shape) * (0.15 if values.ndim > 1 else 0.3) + ("norm" in name))
    return made.to(dtype)


def write(folder, tensors, metadata, quantization, plain, config):
    """A folder of packed tensors; `plain` are the weights that they stand for."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors", metadata={**metadata, "format": "pt"})
    said = {**config.to_dict(), "quantization_config": quantization}
    # Where it was made is nobody's business.
    said.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(said, indent=1, default=str) + "\n")
    reference = LlamaForCausalLM(config).float().eval()
    missing, unexpected = reference.load_state_dict({name: tensor.float() for name, tensor in plain.items()}, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected, (missing, unexpected)
    reference.tie_weights()
    ids = load_file(folder.parent / "tokens.safetensors")["w"].long()
    with torch.no_grad():
        logits = reference(ids, use_cache=False).logits.double()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1)).item()
    (folder / "expected.json").write_text(json.dumps({"mean_loss": loss}) + "\n")
    print(f"{folder.name}: {loss:.7f}")


def hqq(out):
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    cases = {"hqq_4_float16": (4, 32, 1, torch.float16, {}), "hqq_3_axis0": (3, 64, 0, torch.float32, {}),
             "hqq_2_bias_bfloat16": (2, 16, 1, torch.bfloat16, {"attention_bias": True}), "hqq_8_axis0": (8, 32, 0, torch.bfloat16, {}),
             "hqq_1": (1, 32, 1, torch.float32, {})}
    for name, (bits, group, axis, dtype, more) in cases.items():
        made = model(dtype, **more)
        plain, settings = {}, BaseQuantizeConfig(nbits=bits, group_size=group, axis=axis)
        for path, linear in list(made.named_modules()):
            if isinstance(linear, torch.nn.Linear) and path != "lm_head":
                packed = HQQLinear(linear, dict(settings), compute_dtype=dtype, device="cpu", del_orig=False)
                parent, _, own = path.rpartition(".")
                setattr(made.get_submodule(parent), own, packed)
                plain[path + ".weight"] = packed.dequantize()
        tensors = {key: value for key, value in made.state_dict().items() if key != "lm_head.weight"}
        plain.update({key: value for key, value in tensors.items() if key.endswith((".weight", ".bias"))})
        quantization = {"quant_config": settings, "quant_method": "hqq", "skip_modules": ["lm_head"]}
        write(out / name, tensors, {}, quantization, plain, made.config)


def torchao(out):
    import torchao.quantization as q
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
    from torchao.quantization.granularity import PerAxis, PerGroup
    from transformers import TorchAoConfig

    intx = lambda dtype, granularity, mapping: q.IntxWeightOnlyConfig(weight_dtype=dtype, granularity=granularity, mapping_type=mapping)
    cases = {"torchao_int8": q.Int8WeightOnlyConfig(version=2), "torchao_int4_groups": intx(torch.int4, PerGroup(32), q.MappingType.ASYMMETRIC),
             "torchao_int3_rows": intx(torch.int3, PerAxis(0), q.MappingType.SYMMETRIC), "torchao_float8": q.Float8WeightOnlyConfig(),
             "torchao_int8_dynamic": q.Int8DynamicActivationInt8WeightConfig(version=2)}
    for name, settings in cases.items():
        made = model(torch.bfloat16)
        made.save_pretrained(out / ".plain")
        quantization = TorchAoConfig(settings)
        made = AutoModelForCausalLM.from_pretrained(out / ".plain", dtype=torch.bfloat16, quantization_config=quantization, device_map="cpu")
        made.save_pretrained(out / name)
        plain = {key: value.dequantize() if hasattr(value, "qdata") else value for key, value in made.state_dict().items()}
        packed = out / name / "model.safetensors"
        from safetensors import safe_open
        with safe_open(packed, "pt") as file:
            metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
        said = json.loads((out / name / "config.json").read_text())["quantization_config"]
        (out / name / "generation_config.json").unlink(missing_ok=True)
        write(out / name, tensors, metadata, said, plain, made.config)
    made = model(torch.bfloat16)
    tensors, plain = {}, {}
    for key, value in made.state_dict().items():
        value = value.detach()
        tensors[key], plain[key] = value, value.float()
        if key.endswith("_proj.weight"):
            groups = value.float().reshape(value.shape[0], -1, 32)
            low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
            scale = (high - low).clamp(min=1e-6) / 15
            zero = low + 8 * scale
            codes = ((groups - low) / scale).round().clamp(0, 15) - 8
            scale, zero = scale.bfloat16(), zero.bfloat16()
            plain[key] = (codes * scale.float() + zero.float()).reshape(value.shape)
            codes = codes.to(torch.int8).reshape(value.shape)
            pairs = ((codes[:, ::2] & 15) | (codes[:, 1::2] << 4)).contiguous()
            turned = lambda x: x.squeeze(-1).t().contiguous()
            tensors[key] = q.Int4Tensor(pairs, turned(scale), turned(zero), [1, 32], value.shape)
    tensors.pop("lm_head.weight", None)
    flat, metadata = flatten_tensor_state_dict(tensors)
    write(out / "torchao_int4", flat, metadata, TorchAoConfig(q.Int4WeightOnlyConfig(group_size=32)).to_dict(), plain, made.config)


if __name__ == "__main__":
    {"hqq": hqq, "torchao": torchao}[sys.argv[2]](pathlib.Path(sys.argv[1]))
