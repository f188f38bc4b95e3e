"""The same interpretation in PyTorch, timed: run by `cruxscope bench interpret --reference DIR`.

arguments: folder of the PyTorch programs, model folder, instances (JSON), form, definition, device, precision
forms: segment-local (a pass for steering vectors, then a shared forward and one packed backward pass an instance) or
published (a pass for steering vectors, then a full forward and backward pass a segment, weight gradients included)
"""
import json, resource, sys, time
import torch

reference, model_folder, instances_file, form, definition, device, precision = sys.argv[1:8]
sys.path.insert(0, reference)
torch.set_num_threads(1)
on_card = device != "cpu"
if on_card:
    # What the programs make without naming a device is made there.
    torch.set_default_device(device)
dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
import fast
import reference as R
from model import LM

works = [(torch.tensor(work["ids"]), work["segments"]) for work in json.load(open(instances_file))]
spans = [[R.span(segment, len(ids), definition) for segment in segments] for ids, segments in works]

if form == "published":
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder, torch_dtype=dtype).to(device)
    model.eval()
    outputs, keep = {}, [False]
    for index, layer in enumerate(model.model.layers):
        for module in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"):
            def hook(_, __, output, name=(index, module)):
                outputs[name] = output
                if keep[0]:
                    output.retain_grad()
            getattr(layer.self_attn if module[0] in "qkvo" else layer.mlp, module).register_forward_hook(hook)
    touch = [float(weight.sum()) for weight in model.parameters()]
else:
    model = LM(model_folder)
    model.w, model.dtype = {name: weight.to(device, dtype) for name, weight in model.w.items()}, dtype
    touch = [float(weight.sum()) for weight in model.w.values()]

def now():
    """Seconds by the clock and of the processor, once a card has done what it was given."""
    if on_card:
        torch.cuda.synchronize()
    return time.time(), time.process_time()


wall, cpu = now()
if form == "published":
    keep[0] = False
    with torch.no_grad():
        for ids, _ in works:
            model(input_ids=ids[None])
            means = {name: output[0].mean(0) for name, output in outputs.items()}
    keep[0] = True
    for (ids, _), of_instance in zip(works, spans):
        for r0, r1, t0, t1 in of_instance:
            labels = ids[None, :t1].clone()
            labels[0, :t0] = -100
            result = model(input_ids=ids[None, :t1], labels=labels)
            model.zero_grad()
            result.loss.backward()
            gradients = {name: output.grad[0][r0:r1].mean(0) for name, output in outputs.items()}
else:
    steering = R.Steering(model)
    for ids, segments in works:
        steering.add(R.activations(model, ids), segments, len(ids))
    steering.finish(definition)
    for (ids, _), of_instance in zip(works, spans):
        fast.segment_grad_sums(model, ids, of_instance)
ended = now()
wall, cpu = ended[0] - wall, ended[1] - cpu
peak = torch.cuda.max_memory_allocated() if on_card else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

tokens = sum(len(ids) for ids, _ in works)
print(json.dumps({
    "what": f"PyTorch, {form}", "threads": 1, "backend": f"torch {torch.__version__}, {device}, {precision}", "tokens": tokens,
    "segments": sum(len(segments) for _, segments in works), "seconds": wall, "processor_seconds": cpu,
    "tokens_per_second": tokens / wall, "peak_memory": peak,
}))
