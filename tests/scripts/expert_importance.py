#!/usr/bin/env python3
"""Importance of every linear map of small mixtures of experts, by plain autograd in float64: what `interpret` must agree with.

    expert_importance.py ARCHITECTURES OUT FAMILY...

ARCHITECTURES holds a folder for each family (config.json, model.safetensors, expected.json) beside tokens.safetensors, traces.jsonl and
annotations.jsonl. A decoder is computed from the tensors alone, its mean loss is compared with expected.json, and OUT/FAMILY.json is
written: for each behaviour and map (`2_gate.e1`) the importance and its share of the sum over all maps, and the shares of tokens that
reached each expert. The activation of an expert exists for the tokens that were routed to it: means and gradients run over those rows,
and the chosen experts are held constant while their weights are differentiated. Needs torch and safetensors.
"""
import json, math, pathlib, sys
import torch
from safetensors.torch import load_file

F = torch.nn.functional
BEHAVIOURS = ["backtracking", "uncertainty-estimation", "example-testing", "adding-knowledge"]
torch.set_default_dtype(torch.float64)


def rms(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


class Model:
    def __init__(self, folder):
        self.c = json.load(open(folder / "config.json"))
        self.w = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}
        c = self.c
        self.kind, self.layers, self.heads = c["model_type"], c["num_hidden_layers"], c["num_attention_heads"]
        self.keys = c["num_key_value_heads"]
        self.dim = c.get("head_dim") or c["hidden_size"] // self.heads
        self.eps = c["rms_norm_eps"]
        self.k = c.get("num_experts_per_tok")
        self.seen = {}

    def norm(self, x, name):
        return rms(x, self.w[name], self.eps)

    def linear(self, name, x, w, b=None):
        """A map whose output is followed under `name`."""
        y = x @ w.T
        y = y if b is None else y + b
        if y.requires_grad:
            y.retain_grad()
        self.seen[name] = y
        return y

    def angles(self, tokens):
        p = self.c["rope_parameters"]
        dim = int(self.dim * p.get("partial_rotary_factor", 1.0))
        theta, scale = p["rope_theta"], 1.0
        f = 1.0 / theta ** (torch.arange(0, dim, 2) / dim)
        if p.get("rope_type") == "yarn":
            factor, original = p["factor"], p["original_max_position_embeddings"]
            at = lambda n: dim * math.log(original / (n * 2 * math.pi)) / (2 * math.log(theta))
            low, high = at(p["beta_fast"]), at(p["beta_slow"])
            if p.get("truncate", True):
                low, high = math.floor(low), math.ceil(high)
            low, high = max(low, 0), min(high, dim - 1)
            ramp = ((torch.arange(dim // 2) - low) / (high - low)).clamp(0, 1)
            f = ramp * f / factor + (1 - ramp) * f
            scale = 0.1 * math.log(factor) + 1
        a = torch.arange(tokens)[:, None] * f
        # As transformers takes them.
        return (a.cos() * scale).float().double(), (a.sin() * scale).float().double()

    def rotate(self, x, cos, sin):
        r = 2 * cos.shape[-1]
        a, b, rest = x[..., : r // 2], x[..., r // 2 : r], x[..., r:]
        c, s = cos[:, None], sin[:, None]
        return torch.cat((a * c - b * s, b * c + a * s, rest), -1)

    def attention(self, l, x, cos, sin):
        P, n, T = f"model.layers.{l}.self_attn.", l + 1, len(x)
        g = lambda name: self.w.get(P + name)
        q, k, v = (self.linear(f"{n}_{m}", x, g(f"{m}_proj.weight"), g(f"{m}_proj.bias")) for m in "qkv")
        q, k, v = q.view(T, self.heads, -1), k.view(T, self.keys, -1), v.view(T, self.keys, -1)
        if g("q_norm.weight") is not None:
            q, k = rms(q, g("q_norm.weight"), self.eps), rms(k, g("k_norm.weight"), self.eps)
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        k, v = (z.repeat_interleave(self.heads // self.keys, 1) for z in (k, v))
        A = torch.einsum("thd,shd->hts", q, k) * self.dim**-0.5
        i, j = torch.arange(T)[:, None], torch.arange(T)[None]
        ok = j <= i
        if (self.c.get("layer_types") or [""] * self.layers)[l] == "sliding_attention":
            ok = ok & (i - j < self.c["sliding_window"])
        A = A.masked_fill(~ok, -math.inf)
        if g("sinks") is not None:
            A = torch.cat((A, g("sinks")[:, None, None].expand(-1, T, 1)), -1).softmax(-1)[..., :-1]
        else:
            A = A.softmax(-1)
        o = torch.einsum("hts,shd->thd", A, v).reshape(T, -1)
        return self.linear(f"{n}_o", o, g("o_proj.weight"), g("o_proj.bias"))

    def gated(self, name, x, gate, up, down, oss=False):
        """`gate`, `up`, `down`: (weight, bias); `name` has a place for the module."""
        a, u = self.linear(name.format("gate"), x, *gate), self.linear(name.format("up"), x, *up)
        if oss:
            a, u = a.clamp(max=7.0), u.clamp(-7.0, 7.0)
            y = a * torch.sigmoid(1.702 * a) * (u + 1)
        else:
            y = F.silu(a) * u
        return self.linear(name.format("down"), y, *down)

    def feed_forward(self, l, x):
        P, n, w = f"model.layers.{l}.mlp.", l + 1, self.w
        three = lambda stem: [(w[f"{stem}{m}_proj.weight"], None) for m in ("gate", "up", "down")]
        if P + "gate_proj.weight" in w:
            return self.gated(f"{n}_{{}}", x, *three(P))
        oss = self.kind == "gpt_oss"
        logits = x @ w[P + ("router.weight" if oss else "gate.weight")].T + (w[P + "router.bias"] if oss else 0.0)
        if oss:
            v, i = logits.topk(self.k, -1)
            v = v.softmax(-1)
        elif P + "gate.e_score_correction_bias" in w:
            s = logits.sigmoid()
            i = (s + w[P + "gate.e_score_correction_bias"]).topk(self.k, -1)[1]
            v = s.gather(1, i)
            if self.c["norm_topk_prob"]:
                v = v / (v.sum(-1, keepdim=True) + 1e-20)
            v = v * self.c["routed_scaling_factor"]
        else:
            v, i = logits.softmax(-1).topk(self.k, -1)
            if self.c["norm_topk_prob"]:
                v = v / v.sum(-1, keepdim=True)
        out = torch.zeros_like(x)
        for e in range(logits.shape[-1]):
            t, k = torch.where(i == e)
            self.routed[f"{n}.e{e}"] = t
            name = f"{n}_{{}}.e{e}"
            if oss:
                gu, gb = w[P + "experts.gate_up_proj"][e], w[P + "experts.gate_up_proj_bias"][e]
                down = (w[P + "experts.down_proj"][e].T, w[P + "experts.down_proj_bias"][e])
                y = self.gated(name, x[t], (gu[:, ::2].T, gb[::2]), (gu[:, 1::2].T, gb[1::2]), down, True)
            else:
                y = self.gated(name, x[t], *three(f"{P}experts.{e}."))
            out = out.index_add(0, t, y * v[t, k, None])
        for shared in ("shared_expert", "shared_experts"):
            if f"{P}{shared}.gate_proj.weight" in w:
                y = self.gated(f"{n}_{{}}.shared", x, *three(f"{P}{shared}."))
                gate = w.get(f"{P}{shared}_gate.weight")
                out = out + (y if gate is None else torch.sigmoid(x @ gate.T) * y)
        return out

    def logits(self, ids, grad=False):
        self.seen, self.routed = {}, {}
        x = self.w["model.embed_tokens.weight"][ids].clone().requires_grad_(grad)
        cos, sin = self.angles(len(ids))
        for l in range(self.layers):
            P = f"model.layers.{l}."
            x = x + self.attention(l, self.norm(x, P + "input_layernorm.weight"), cos, sin)
            x = x + self.feed_forward(l, self.norm(x, P + "post_attention_layernorm.weight"))
        return self.norm(x, "model.norm.weight") @ self.w["lm_head.weight"].T


def expert_of(name):
    layer, rest = name.split("_", 1)
    return f"{layer}.{rest.split('.')[1]}" if ".e" in rest else None


def of_rows(model, name, values, wanted, repeats=False):
    """Rows of `values` that are among `wanted`, as far as the tokens reached the map."""
    expert = expert_of(name)
    if expert is None:
        return values[wanted]
    place = {int(t): k for k, t in enumerate(model.routed[expert])}
    return values[[place[t] for t in wanted if t in place]]


def importance(model, instances):
    minus, total, plus, holders, tokens, reached = {}, {}, {}, {}, {}, {}
    add = lambda table, key, value: table.__setitem__(key, table.get(key, 0) + value)
    for ids, segments in instances:
        with torch.no_grad():
            model.logits(torch.tensor(ids))
        T = len(ids)
        for name, a in model.seen.items():
            if len(a):
                add(minus, name, a.mean(0)), add(reached, name, 1)
                add(total, name, a.sum(0)), add(tokens, name, len(a))
        for b in BEHAVIOURS:
            rows = sorted({r for s in segments if s["label"] == b for r in range(max(s["start"] - 5, 0), s["last"] + 1)})
            for name, a in model.seen.items() if rows else []:
                own = of_rows(model, name, a, rows)
                if len(own):
                    add(plus, (b, name), own.mean(0)), add(holders, (b, name), 1)
    names = sorted(total)
    u = {}
    for b in BEHAVIOURS:
        for name in names:
            if (b, name) in plus:
                v = plus[b, name] / holders[b, name] - minus[name] / reached[name]
                u[b, name] = v * ((total[name] / tokens[name]).norm() / v.norm())
    sums, count = {}, {b: 0 for b in BEHAVIOURS}
    for ids, segments in instances:
        for b in BEHAVIOURS:
            own = [s for s in segments if s["label"] == b]
            if not own:
                continue
            count[b] += 1
            gradients, rows = {}, {}
            for s in own:
                first, end = max(s["start"] - 5, 0), s["last"] + 1
                targets = range(max(first, 1), end)
                x = torch.tensor(ids[:end])
                logits = model.logits(x, grad=True)
                F.cross_entropy(logits[[t - 1 for t in targets]], x[list(targets)]).backward()
                for name, a in model.seen.items():
                    g = a.grad if a.grad is not None else torch.zeros_like(a)
                    own_rows = of_rows(model, name, g, list(range(first, end)))
                    add(gradients, name, own_rows.sum(0)), add(rows, name, len(own_rows))
            for name in names:
                if (b, name) in u and rows[name]:
                    add(sums, (b, name), float(u[b, name] @ gradients[name]) / rows[name])
    found = {b: {name: abs(sums.get((b, name), 0.0)) / count[b] for name in names} for b in BEHAVIOURS if count[b]}
    whole = sum(len(ids) for ids, _ in instances)
    shares = {name: tokens[name] / whole for name in names if expert_of(name)}
    return found, shares


def main(kinds={}):
    root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    lines = lambda name: [json.loads(line) for line in open(root / name)]
    segments = {line["id"]: line["segments"] for line in lines("annotations.jsonl")}
    instances = [(line["input_ids"], segments[line["id"]]) for line in lines("traces.jsonl")]
    windows = load_file(root / "tokens.safetensors")["w"].long()
    for family in sys.argv[3:]:
        model = kinds.get(family, Model)(root / family)
        with torch.no_grad():
            loss = sum(float(F.cross_entropy(model.logits(row)[:-1], row[1:])) for row in windows) / len(windows)
        wanted = json.load(open(root / family / "expected.json"))["mean_loss"]
        assert abs(loss - wanted) < 2e-5, (family, loss, wanted)
        found, shares = importance(model, instances)
        relative = {b: {name: value / sum(own.values()) for name, value in own.items()} for b, own in found.items()}
        text = json.dumps({"mean_loss": loss, "importance": found, "relative_importance": relative, "shares": shares}, indent=0)
        (out / f"{family}.json").write_text(text + "\n")
        print(f"{family}: loss {loss:.9f} ({wanted:.9f}), {len(relative[BEHAVIOURS[0]])} maps")


if __name__ == "__main__":
    main()
