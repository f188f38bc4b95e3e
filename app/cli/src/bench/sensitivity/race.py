"""The same sketch in PyTorch, timed: run by `cruxscope bench sensitivity --compare-python`.

argument: JSON with model (a Hugging Face folder), tokens (a safetensors file), array, draws, formats [[bits, group], ...], threads
prints JSON: processor seconds, seconds, the predicted divergence of each format

Labels are drawn as the program draws them, from the model's own distribution, though not the same ones. Formats are rounded to nearest.
One forward pass a window is shared by its draws; each draw goes back once with gradients of weights and outputs.
"""
import json, sys, time
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

asked = json.loads(sys.argv[1])
torch.set_num_threads(asked["threads"])
MODULES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


def rounded(weight, bits, group):
    """Round to nearest on an asymmetric grid for each group of columns, whose range holds zero."""
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // group, group)
    low, high = blocks.amin(-1, keepdim=True).clamp(max=0), blocks.amax(-1, keepdim=True).clamp(min=0)
    step = ((high - low) / (2**bits - 1)).clamp(min=1e-12)
    zero = torch.round(-low / step)
    codes = (torch.round(blocks / step) + zero).clamp(0, 2**bits - 1)
    return ((codes - zero) * step).reshape(rows, columns)


model = AutoModelForCausalLM.from_pretrained(asked["model"], torch_dtype=torch.float32, attn_implementation="sdpa").eval()
windows = load_file(asked["tokens"])[asked["array"]].long()
components = [block.get_submodule(name) for block in model.model.layers for name in MODULES]
for parameter in model.parameters():
    parameter.requires_grad_(False)
for module in components:
    module.weight.requires_grad_(True)
inputs, outputs = {}, {}
for index, module in enumerate(components):
    def keep(module, arguments, output, index=index):
        inputs[index], outputs[index] = arguments[0].detach()[0], output
    module.register_forward_hook(keep)

generator = torch.Generator().manual_seed(0)
began, began_processor = time.time(), time.process_time()
with torch.no_grad():
    changes = [[rounded(module.weight, bits, group) - module.weight for bits, group in asked["formats"]] for module in components]
squares, scores = [0.0] * len(asked["formats"]), 0.0
for window in windows:
    logits = model(window[None], use_cache=False).logits[0]
    log_p = torch.log_softmax(logits, -1)
    with torch.no_grad():
        moved = [[inputs[index] @ change.T for change in own] for index, own in enumerate(changes)]
    for draw in range(asked["draws"]):
        chosen = torch.multinomial(log_p.detach().exp(), 1, generator=generator)
        h = log_p.gather(1, chosen).sum()
        gradients = torch.autograd.grad(h, [outputs[index] for index in range(len(components))], retain_graph=draw + 1 < asked["draws"])
        total = [0.0] * len(asked["formats"])
        for index, gradient in enumerate(gradients):
            for place, own in enumerate(moved[index]):
                each = (gradient[0] * own).sum(-1)
                total[place] += float(each.sum())
                scores += float((each**2).sum())
        squares = [square + of_draw**2 for square, of_draw in zip(squares, total)]
spent = time.process_time() - began_processor
divided = 2 * windows.shape[1] * windows.shape[0] * asked["draws"]
print(json.dumps({"version": torch.__version__, "threads": asked["threads"], "processor_seconds": spent, "seconds": time.time() - began,
                  "predicted": [square / divided for square in squares]}))
