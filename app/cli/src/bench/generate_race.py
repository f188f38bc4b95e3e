"""The same greedy generation by another program, timed: run by `cruxscope bench generate`.

arguments: transformers or llama.cpp, model (a Hugging Face folder, or a GGUF file), prompt tokens as JSON, number of new
tokens, sequences side by side, threads, runs
Prints what it measured, or {"missing": why} where the program is not installed.
"""
import json, resource, sys, time

which, model_path, prompt, new_tokens, sequences, threads, runs = sys.argv[1:8]
prompt, new_tokens, sequences, threads, runs = json.loads(prompt), int(new_tokens), int(sequences), int(threads), int(runs)


def missing(why):
    print(json.dumps({"missing": why}))
    sys.exit(0)


if which == "transformers":
    try:
        import torch, transformers
    except ImportError as error:
        missing(f"{sys.executable} has no transformers ({error})")
    torch.set_num_threads(threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(model_path, torch_dtype=torch.float32).eval()
    ids = torch.tensor([prompt] * sequences)
    backend = f"transformers {transformers.__version__}, torch {torch.__version__}, float32"
    name = "transformers"

    def tokens_of(count):
        with torch.no_grad():
            made = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0
            )
        return made[0, len(prompt):].tolist()
else:
    try:
        import llama_cpp
    except ImportError as error:
        missing(f"{sys.executable} has no llama_cpp ({error}); pip install llama-cpp-python builds it")
    if sequences > 1:
        missing("llama_cpp generates one sequence at a time")
    model = llama_cpp.Llama(model_path=model_path, n_ctx=len(prompt) + new_tokens + 8, n_threads=threads, n_threads_batch=threads, verbose=False)
    backend = f"llama-cpp-python {llama_cpp.__version__}"
    name = "llama.cpp"

    def tokens_of(count):
        model.reset()
        made = []
        for token in model.generate(prompt, temp=0.0, top_k=1, repeat_penalty=1.0):
            made.append(token)
            if len(made) == count:
                return made

tokens_of(2)
best = None
for _ in range(runs):
    # The prompt and the first token alone, so that what is left are the steps.
    wall = time.time()
    tokens_of(1)
    first = time.time() - wall
    wall, cpu = time.time(), time.process_time()
    tokens = tokens_of(new_tokens)
    wall, cpu = time.time() - wall, time.process_time() - cpu
    if best is None or wall < best[0]:
        best = (wall, cpu, first, tokens)
wall, cpu, first, tokens = best
seconds = max(wall - first, 1e-9)
print(json.dumps({
    "what": name, "threads": threads, "backend": backend, "sequences": sequences, "prompt_tokens": len(prompt),
    "prompt_rate": len(prompt) / first, "new_tokens": sequences * len(tokens), "seconds": seconds, "processor_seconds": cpu,
    "tokens_per_second": sequences * (len(tokens) - 1) / seconds,
    "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "runs": runs, "tokens": tokens,
}))
