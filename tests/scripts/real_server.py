#!/usr/bin/env python3
"""Samples from llama.cpp's server, killed with SIGKILL on the way and resumed: every sample once, none twice.

    python3 -m venv VENV && VENV/bin/pip install 'llama-cpp-python[server]'
    tests/scripts/real_server.py --program target/release/cruxscope --python VENV/bin/python --model MODEL.gguf --data temporal_sequences.json

The server runs on loopback with one thread. Exit code 0 when all went well. Needs nothing but Python's standard library itself.
"""

import argparse
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address, server):
    for _ in range(240):
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        try:
            urllib.request.urlopen(f"{address}/models", timeout=2)
            return
        except OSError:
            time.sleep(0.5)
    sys.exit("the server does not answer")


def whole_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--python", required=True, help="a Python that has llama_cpp.server")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--kill-at", type=int, nargs="*", default=[20, 50])
    parser.add_argument("--new-tokens", type=int, default=48)
    arguments = parser.parse_args()
    wanted = arguments.questions * arguments.passes
    port = free_port()
    address = f"http://127.0.0.1:{port}/v1"
    with tempfile.TemporaryDirectory() as folder:
        samples = pathlib.Path(folder) / "samples.jsonl"
        log = open(pathlib.Path(folder) / "server.log", "wb")
        # Without this switch that server breaks off an answer whenever another request comes.
        server = subprocess.Popen(
            [arguments.python, "-m", "llama_cpp.server", "--model", arguments.model, "--model_alias", "tiny", "--n_threads", "1", "--n_ctx", "2048"]
            + ["--interrupt_requests", "False", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(address, server)
            command = [arguments.program, "benchmark", "run", "--data", arguments.data, "--first", str(arguments.questions)]
            command += ["--passes", str(arguments.passes), "--parallel", "4", "--max-new-tokens", str(arguments.new_tokens)]
            command += ["--endpoint", address, "--model", "tiny", "--out", str(samples)]
            for at in arguments.kill_at:
                run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
                while whole_lines(samples) < at:
                    if run.poll() is not None:
                        sys.exit(f"the run ended by itself with {run.returncode}")
                    time.sleep(0.05)
                run.kill()
                run.wait()
                print(f"killed with {whole_lines(samples)} of {wanted} samples on disk, exit code {run.returncode}", flush=True)
            last = subprocess.run(command, stderr=subprocess.PIPE, text=True)
            print(last.stderr.strip().splitlines()[-1])
            if last.returncode != 0:
                sys.exit(f"the last run ended with {last.returncode}:\n{last.stderr}")
        finally:
            server.terminate()
            server.wait()
        lines = [json.loads(line) for line in samples.read_text().splitlines()]
        pairs = {(line["id"], line["pass"]) for line in lines}
        keys = {line["key"] for line in lines}
        print(f"{len(lines)} samples, {len(pairs)} questions and passes, {len(keys)} keys")
        if not len(lines) == len(pairs) == len(keys) == wanted:
            sys.exit(f"expected {wanted} of each")


main()
