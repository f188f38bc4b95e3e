#!/usr/bin/env python3
"""Importance of every linear map of small models with a gated delta rule, by plain autograd in float64 through the whole recurrence.

    recurrent_importance.py ARCHITECTURES OUT qwen3_next qwen3_5_text

Arguments and output as of expert_importance.py, which says what is computed; here are the layers that differ.
"""
import torch

import expert_importance
from expert_importance import F, rms


class Recurrent(expert_importance.Model):
    """Qwen3-Next and Qwen3.5: a delta rule in most layers, attention with a gate in the rest, norms that multiply by 1 + w."""

    def norm(self, x, name):
        return rms(x, 1 + self.w[name], self.eps)

    def attention(self, l, x, cos, sin):
        if self.c["layer_types"][l] == "linear_attention":
            return self.delta(l, x)
        P, n, T = f"model.layers.{l}.self_attn.", l + 1, len(x)
        g = lambda name: self.w[P + name + ".weight"]
        q, k, v = (self.linear(f"{n}_{m}", x, g(f"{m}_proj")) for m in "qkv")
        q, gate = q.view(T, self.heads, 2 * self.dim).chunk(2, -1)
        k, v = k.view(T, self.keys, -1), v.view(T, self.keys, -1)
        q, k = rms(q, 1 + g("q_norm"), self.eps), rms(k, 1 + g("k_norm"), self.eps)
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        k, v = (z.repeat_interleave(self.heads // self.keys, 1) for z in (k, v))
        A = torch.einsum("thd,shd->hts", q, k) * self.dim**-0.5
        A = A.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf).softmax(-1)
        o = torch.einsum("hts,shd->thd", A, v) * gate.sigmoid()
        return self.linear(f"{n}_o", o.reshape(T, -1), g("o_proj"))

    def delta(self, l, x):
        P, n, T, c = f"model.layers.{l}.linear_attn.", l + 1, len(x), self.c
        hv, hk = c["linear_num_value_heads"], c["linear_num_key_heads"]
        dk, dv = c["linear_key_head_dim"], c["linear_value_head_dim"]
        g = lambda name: self.w[P + name]
        of = lambda part, name: self.linear(f"{n}_{part}", x, g(name + ".weight"))
        if P + "in_proj_qkvz.weight" in self.w:
            r = hv // hk
            q, k, v, z = of("q.qkvz", "in_proj_qkvz").view(T, hk, -1).split([dk, dk, r * dv, r * dv], -1)
            mixed, z = torch.cat([t.reshape(T, -1) for t in (q, k, v)], -1), z.reshape(T, hv, dv)
            b, a = (t.reshape(T, hv) for t in of("k.ba", "in_proj_ba").view(T, hk, 2 * r).split([r, r], -1))
        else:
            mixed, z = of("q.qkv", "in_proj_qkv"), of("q.z", "in_proj_z").view(T, hv, dv)
            b, a = of("k.b", "in_proj_b"), of("k.a", "in_proj_a")
        w = g("conv1d.weight").squeeze(1)
        size = w.shape[-1]
        mixed = F.silu(sum(F.pad(mixed, (0, 0, size - 1 - j, 0))[:T] * w[:, j] for j in range(size)))
        q, k, v = mixed.split([hk * dk, hk * dk, hv * dv], -1)
        unit = lambda t: t * torch.rsqrt((t * t).sum(-1, keepdim=True) + 1e-6)
        q, k = (unit(t.view(T, hk, dk)).repeat_interleave(hv // hk, 1) for t in (q, k))
        q, v = q * dk**-0.5, v.view(T, hv, dv)
        beta, kept = b.sigmoid(), torch.exp(-g("A_log").exp() * F.softplus(a + g("dt_bias")))
        S, out = torch.zeros(hv, dk, dv), []
        for t in range(T):
            S = S * kept[t, :, None, None]
            u = (v[t] - torch.einsum("hkv,hk->hv", S, k[t])) * beta[t, :, None]
            S = S + k[t, :, :, None] * u[:, None]
            out.append(torch.einsum("hkv,hk->hv", S, q[t]))
        o = rms(torch.stack(out), g("norm.weight"), self.eps) * F.silu(z)
        return self.linear(f"{n}_o", o.reshape(T, -1), g("out_proj.weight"))


if __name__ == "__main__":
    expert_importance.main({"qwen3_next": Recurrent, "qwen3_5_text": Recurrent})
