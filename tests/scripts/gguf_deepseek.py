#!/usr/bin/env python3
"""A folder of DeepSeek's second or third generation as a GGUF file by gguf-py, in the keys and tensors that llama.cpp's converter writes.

    gguf_deepseek.py FOLDER OUT.gguf [--whole] [--bfloat16]

With --whole the second map of keys and values stays one tensor, as in files of early 2025; otherwise it is two, that of keys turned. Needs
gguf, torch, safetensors. No tokenizer is written.
"""

import argparse
import json
import pathlib

import gguf
import torch
from safetensors.torch import load_file

NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_b_proj": "attn_q_b", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.kv_b_proj": "attn_kv_b", "self_attn.o_proj": "attn_output", "mlp.gate": "ffn_gate_inp",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp", "mlp.shared_experts.down_proj": "ffn_down_shexp",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--bfloat16", action="store_true")
    arguments = parser.parse_args()
    config = json.loads((arguments.folder / "config.json").read_text())
    tensors = {name: tensor.float() for name, tensor in load_file(arguments.folder / "model.safetensors").items()}
    plain, turning, value, rank = (config[key] for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"))
    heads, experts = config["num_attention_heads"], config["n_routed_experts"]
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    writer = gguf.GGUFWriter(arguments.out, "deepseek2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads if arguments.whole else 1)
    writer.add_rope_freq_base(rope.get("rope_theta", config.get("rope_theta", 1e4)))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if (config.get("n_group") or 1) > 1:
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_vocab_size(config["vocab_size"])
    if config.get("q_lora_rank") is not None:
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(rank)
    if arguments.whole:
        writer.add_key_length(plain + turning)
        writer.add_value_length(value)
    else:
        writer.add_key_length(rank + turning)
        writer.add_value_length(rank)
        writer.add_key_length_mla(plain + turning)
        writer.add_value_length_mla(value)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_count(experts)
    writer.add_expert_shared_count(config["n_shared_experts"] or 0)
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    if config.get("norm_topk_prob") and config["model_type"] == "deepseek_v3":
        writer.add_expert_weights_norm(True)
    if config["model_type"] == "deepseek_v3":
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_rope_dimension_count(turning)
    if rope.get("rope_type", rope.get("type", "default")) == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])

    def add(name, tensor):
        if arguments.bfloat16 and tensor.ndim > 1 and "ffn_gate_inp" not in name:
            data = tensor.bfloat16().view(torch.int16).numpy().view("uint8")
            writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, tensor.contiguous().numpy())

    add("token_embd.weight", tensors["model.embed_tokens.weight"])
    add("output_norm.weight", tensors["model.norm.weight"])
    if not config.get("tie_word_embeddings"):
        add("output.weight", tensors["lm_head.weight"])
    for layer in range(config["num_hidden_layers"]):
        stem = f"model.layers.{layer}."
        own = {name.removeprefix(stem): tensor for name, tensor in tensors.items() if name.startswith(stem)}
        for name, gguf_name in NAMES.items():
            tensor = own.get(f"{name}.weight")
            if tensor is None:
                continue
            if name == "self_attn.kv_b_proj" and not arguments.whole:
                keys, values = tensor.view(heads, plain + value, rank).split([plain, value], dim=1)
                add(f"blk.{layer}.attn_k_b.weight", keys.transpose(1, 2).contiguous())
                add(f"blk.{layer}.attn_v_b.weight", values.contiguous())
            else:
                add(f"blk.{layer}.{gguf_name}.weight", tensor)
        if "mlp.gate.e_score_correction_bias" in own:
            add(f"blk.{layer}.exp_probs_b.bias", own["mlp.gate.e_score_correction_bias"])
        if "mlp.gate.weight" in own:
            for part in ("gate", "up", "down"):
                stacked = own.get(f"mlp.experts.{part}_proj.weight")
                each = [own.get(f"mlp.experts.{expert}.{part}_proj.weight") for expert in range(experts)]
                if each[0] is None:
                    gate_up = own["mlp.experts.gate_up_proj"]
                    stacked = own["mlp.experts.down_proj"] if part == "down" else gate_up.chunk(2, dim=1)[part == "up"]
                add(f"blk.{layer}.ffn_{part}_exps.weight", (torch.stack(each) if stacked is None else stacked).contiguous())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
