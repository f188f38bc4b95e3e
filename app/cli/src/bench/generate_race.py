"""The same greedy generation by another program, timed: run by `cruxscope bench generate`.

arguments: transformers or llama.cpp, model (a Hugging Face folder, or a GGUF file), prompt tokens as JSON, number of new
tokens, sequences side by side, threads
Prints what it measured, or {"missing": why} where the program is not installed.
"""
import json, resource, sys, time

which, model_path, prompt, new_tokens, sequences, threads = sys.argv[1:7]
prompt, new_tokens, sequences, threads = json.loads(prompt), int(new_tokens), int(sequences), int(threads)


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
    import numpy
    from ctypes import POINTER, cast, c_float

    # The library itself: its Python class generates one sequence at a time.
    llama_cpp.llama_backend_init()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    model = llama_cpp.llama_model_load_from_file(model_path.encode(), llama_cpp.llama_model_default_params())
    if not model:
        missing(f"llama.cpp cannot read {model_path}")
    length = len(prompt) + new_tokens + 8
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = sequences * max(256, -(-length // 256) * 256)
    settings.n_batch = settings.n_ubatch = max(512, sequences * len(prompt))
    settings.n_seq_max, settings.n_threads, settings.n_threads_batch = sequences, threads, threads
    context = llama_cpp.llama_init_from_model(model, settings)
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    batch = llama_cpp.llama_batch_init(settings.n_batch, 0, 1)
    backend = f"llama-cpp-python {llama_cpp.__version__}"
    name = "llama.cpp"

    def put(place, token, position, sequence, wanted):
        batch.token[place], batch.pos[place], batch.logits[place] = token, position, wanted
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence

    def greedy(places):
        """The most probable token at each of these places of the batch, which is decoded first."""
        if llama_cpp.llama_decode(context, batch):
            sys.exit("llama.cpp could not decode a batch")
        logits = [llama_cpp.llama_get_logits_ith(context, place) for place in places]
        return [int(numpy.ctypeslib.as_array(cast(row, POINTER(c_float)), (vocabulary,)).argmax()) for row in logits]

    def tokens_of(count):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        batch.n_tokens = sequences * len(prompt)
        for sequence in range(sequences):
            for position, token in enumerate(prompt):
                put(sequence * len(prompt) + position, token, position, sequence, position + 1 == len(prompt))
        last = greedy([(sequence + 1) * len(prompt) - 1 for sequence in range(sequences)])
        made = [last[0]]
        batch.n_tokens = sequences
        while len(made) < count:
            for sequence, token in enumerate(last):
                put(sequence, token, len(prompt) + len(made) - 1, sequence, True)
            last = greedy(range(sequences))
            made.append(last[0])
        return made

tokens_of(2)
# The prompt and the first token alone, so that what is left are the steps.
wall, cpu = time.time(), time.process_time()
tokens_of(1)
first, first_cpu = time.time() - wall, time.process_time() - cpu
wall, cpu = time.time(), time.process_time()
tokens = tokens_of(new_tokens)
wall, cpu = time.time() - wall, time.process_time() - cpu
seconds = max(wall - first, 1e-9)
stepped = sequences * (len(tokens) - 1)
print(json.dumps({
    "what": name, "threads": threads, "backend": backend, "sequences": sequences, "prompt_tokens": len(prompt),
    "prompt_rate": len(prompt) / first, "new_tokens": sequences * len(tokens), "seconds": seconds, "processor_seconds": cpu,
    "tokens_per_second": stepped / seconds, "tokens_per_processor_second": stepped / max(cpu - first_cpu, 1e-9),
    "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "tokens": tokens,
}))
