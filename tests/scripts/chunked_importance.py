#!/usr/bin/env python3
"""Importance of every linear map of a small Llama 4, by plain autograd in float64.

    chunked_importance.py ARCHITECTURES OUT llama4_text

Arguments and output as of expert_importance.py, which says what is computed; here are the layers that differ: attention within chunks where
queries and keys turn, queries that grow with their positions where they do not, norms of queries and keys without weights after the
rotation, and experts that read their tokens times the router's sigmoids.
"""
import torch

import expert_importance
from expert_importance import F


def unit(x, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


class Chunked(expert_importance.Model):
    def rotate(self, x, cos, sin):
        """Neighbouring features turn together."""
        a, b, c, s = x[..., 0::2], x[..., 1::2], cos[:, None], sin[:, None]
        return torch.stack((a * c - b * s, b * c + a * s), -1).flatten(-2)

    def attention(self, l, x, cos, sin):
        c, P, n, T = self.c, f"model.layers.{l}.self_attn.", l + 1, len(x)
        q, k, v = (self.linear(f"{n}_{m}", x, self.w[f"{P}{m}_proj.weight"]) for m in "qkv")
        q, k, v = q.view(T, self.heads, -1), k.view(T, self.keys, -1), v.view(T, self.keys, -1)
        i, j = torch.arange(T)[:, None], torch.arange(T)[None]
        ok = j <= i
        if c["layer_types"][l] == "chunked_attention":
            ok = ok & (i // c["attention_chunk_size"] == j // c["attention_chunk_size"])
        if c["no_rope_layers"][l]:
            q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
            if c["use_qk_norm"]:
                q, k = unit(q, self.eps), unit(k, self.eps)
        elif c["attn_temperature_tuning"]:
            factor = torch.log1p(torch.floor((torch.arange(T) + 1.0) / c["floor_scale"])) * c["attn_scale"] + 1
            q = q * factor[:, None, None]
        k, v = (z.repeat_interleave(self.heads // self.keys, 1) for z in (k, v))
        A = torch.einsum("thd,shd->hts", q, k) * self.dim**-0.5
        A = A.masked_fill(~ok, -torch.inf).softmax(-1)
        return self.linear(f"{n}_o", torch.einsum("hts,shd->thd", A, v).reshape(T, -1), self.w[P + "o_proj.weight"])

    def feed_forward(self, l, x):
        P, n, w = f"model.layers.{l}.feed_forward.", l + 1, self.w
        three = lambda stem: [(w[f"{stem}{m}_proj.weight"], None) for m in ("gate", "up", "down")]
        if P + "gate_proj.weight" in w:
            return self.gated(f"{n}_{{}}", x, *three(P))
        v, i = (x @ w[P + "router.weight"].T).topk(self.k, -1)
        v = v.sigmoid()
        out = self.gated(f"{n}_{{}}.shared", x, *three(P + "shared_expert."))
        for e in range(w[P + "router.weight"].shape[0]):
            t, k = torch.where(i == e)
            self.routed[f"{n}.e{e}"] = t
            gate, up = w[P + "experts.gate_up_proj"][e].T.chunk(2)
            y = self.gated(f"{n}_{{}}.e{e}", x[t] * v[t, k, None], (gate, None), (up, None), (w[P + "experts.down_proj"][e].T, None))
            out = out.index_add(0, t, y)
        return out


if __name__ == "__main__":
    expert_importance.main({"llama4_text": Chunked})
