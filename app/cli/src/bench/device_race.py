"""Matrix products and attention in PyTorch at given shapes: run by `cruxscope bench device --compare-python`.

argument: JSON with device, precision, largest, hidden, intermediate, heads, key_value_heads, tokens; prints JSON
"""
import json, sys, time
import torch

asked = json.loads(sys.argv[1])
device, largest = asked["device"], asked["largest"]
dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[asked["precision"]]
# In float32 as the program computes it, not in shorter numbers on the way.
torch.backends.cuda.matmul.allow_tf32 = False
on_card = device != "cpu"


def seconds(once, most=12.0):
    """The median of five timings of as many repetitions as fill 80 ms; one where it takes long."""
    def timed(times):
        began = time.perf_counter()
        for _ in range(times):
            once()
        if on_card:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    began = time.perf_counter()
    timed(1)
    times = 1
    while (took := timed(times)) < 0.08 and times < 1 << 16:
        times *= 2
    found = [took / times]
    while len(found) < 5 and time.perf_counter() - began < most:
        found.append(timed(times) / times)
    return sorted(found)[len(found) // 2]


def product(what, rows, inputs, outputs):
    x, weight = torch.rand(rows, inputs, dtype=dtype, device=device), torch.rand(outputs, inputs, dtype=dtype, device=device)
    gradient = torch.rand(rows, outputs, dtype=dtype, device=device)
    operations = 2.0 * rows * inputs * outputs
    return {"what": what, "rows": rows, "inputs": inputs, "outputs": outputs,
            "forward": operations / seconds(lambda: x @ weight.T), "backward": operations / seconds(lambda: gradient @ weight)}


def attention(tokens):
    width = asked["hidden"] // asked["heads"]
    make = lambda heads: torch.rand(1, heads, tokens, width, dtype=dtype, device=device)
    queries, keys, values = make(asked["heads"]), make(asked["key_value_heads"]), make(asked["key_value_heads"])
    group = asked["heads"] // asked["key_value_heads"]
    keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
    whole = lambda: torch.nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    return {"tokens": tokens, "forward": seconds(whole)}


with torch.no_grad():
    size, products = 256, []
    while size <= largest:
        products.append(product("square", size, size, size))
        size *= 2
    hidden, wide = asked["hidden"], asked["intermediate"]
    narrow = hidden // asked["heads"] * asked["key_value_heads"]
    for what, inputs, outputs in [("q", hidden, hidden), ("k", hidden, narrow), ("up", hidden, wide), ("down", wide, hidden)]:
        products += [product(what, rows, inputs, outputs) for rows in (1, 32, 512, 2048) if rows <= largest]
    rates = [attention(tokens) for tokens in asked["tokens"] if on_card or tokens <= 8000]
best = max(rate for row in products for rate in (row["forward"], row["backward"]))
print(json.dumps({"version": torch.__version__, "device": torch.cuda.get_device_name(device) if on_card else "cpu",
                  "threads": torch.get_num_threads(), "best": best, "products": products, "attention": rates}))
