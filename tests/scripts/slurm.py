#!/usr/bin/env python3
"""Shards of an interpretation on a real Slurm: one controller and one node on this machine, for the length of this check.

    slurm.py --program target/release/cruxscope

Needs the packages slurm-wlm and munge, and to be root; says "skipped" and why where it is not so. Checked: four shards of which
one is killed and sent again alone; three, of which one hears the scheduler's signal and is queued again; seven. What is merged has
the bytes of a single run each time. And `reproduce paper` with a job for every step: a job that is cancelled keeps those that wait for it
from running, the same command sends what is left, and the folder has the bytes of a single run.
"""

import argparse
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
TINY = ROOT / "tests/fixtures/tiny"
INSTANCES = 28
# The plain float64 loops: slow enough that a shard can be met while it runs.
DEVICE = "reference"
failures = []


def check(name, holds, more=""):
    print(f"{name}: {'ok' if holds else 'FAILED'}{f' ({more})' if more else ''}", flush=True)
    if not holds:
        failures.append(name)


def run(*command, **settings):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **settings)


class Cluster:
    """munged, slurmctld and slurmd, all in one folder."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []

    def bring_up(self):
        folder = self.folder
        host = socket.gethostname().split(".")[0]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
        configuration = f"""
ClusterName=check
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MinJobAge=3600
KillWait=30
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=26817
SlurmdPort=26818
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory={memory - 64} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
"""
        (folder / "slurm.conf").write_text(configuration)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        for name in ("state", "spool", "munge"):
            (folder / name).mkdir()
        owner = pwd.getpwnam("munge")
        key = folder / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        for path in (folder / "munge", key):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        # munge wants to know that nobody else can reach its folder.
        folder.chmod(0o755)
        folder.parent.chmod(0o711)
        self.start(
            ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge/socket",
             f"--pid-file={folder}/munge/pid", f"--seed-file={folder}/munge/seed", f"--log-file={folder}/munge/log"],
            user="munge", group="munge", extra_groups=[])
        self.wait_for(lambda: (folder / "munge/socket").exists(), "munged")
        self.start(["slurmctld", "-D", "-c"])
        self.start(["slurmd", "-D", "-c"])
        self.wait_for(lambda: "idle" in run("sinfo", "-h", "-o", "%T").stdout, "the node")

    def start(self, command, **settings):
        log = open(self.folder / f"{command[0]}.out", "w")
        self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **settings))

    def wait_for(self, ready, what, seconds=60):
        until = time.time() + seconds
        while not ready():
            if time.time() > until:
                for log in sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out")):
                    print(f"--- {log.name}\n{log.read_text()[-1500:]}", file=sys.stderr)
                raise RuntimeError(f"{what} did not come up in {seconds} s")
            time.sleep(0.2)

    def stop(self):
        run("scancel", "--full", "--user", "root")
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def inputs(folder):
    """Many instances out of the few of the fixture, each with its own id."""
    for name, many in (("traces.jsonl", []), ("annotations.jsonl", [])):
        lines = [json.loads(line) for line in (TINY / name).read_text().splitlines()]
        for number in range(INSTANCES):
            line = dict(lines[number % len(lines)], id=f"instance/{number:02}")
            if "input_ids" in line:
                # No two alike, so that a mix-up shows.
                line["input_ids"] = [(token + number) % 500 for token in line["input_ids"]]
            many.append(json.dumps(line))
        (folder / name).write_text("\n".join(many) + "\n")


def flags(folder, out):
    return ["--model", TINY / "model", "--traces", folder / "traces.jsonl", "--annotations", folder / "annotations.jsonl",
            "--out", out, "--device", DEVICE, "--channels"]


def bytes_of(study):
    return {path.relative_to(study).as_posix(): path.read_bytes() for path in sorted(study.rglob("*")) if path.is_file()}


def jobs():
    return run("squeue", "-h", "-r", "-o", "%i %t").stdout.split("\n")


def wait_until_idle(seconds=300):
    until = time.time() + seconds
    while any(line.strip() for line in jobs()):
        if time.time() > until:
            raise RuntimeError(f"jobs still run: {jobs()}")
        time.sleep(0.5)


def chain(program, folder, out, *more):
    """The paper's chain on the fixture and a coarser self."""
    return run(
        program, "reproduce", "paper", "--model", TINY / "model", "--base", folder / "base", "--traces", TINY / "traces.jsonl",
        "--annotations", TINY / "annotations.jsonl", "--calibration", TINY / "traces.jsonl", "--sequence-length", 24,
        "--calibration-samples", 4, "--group-size", 16, "--out", out, *more,
    )


def check_chain(program, folder):
    made = run(program, "compress", "--model", TINY / "model", "--out", folder / "base", "--method", "rtn", "--bits", 6, "--group-size", 16)
    assert made.returncode == 0, made.stderr
    single, together = folder / "chain-single", folder / "chain"
    done = chain(program, folder, single)
    assert done.returncode == 0, done.stderr
    send = ("--slurm", "--submit", "--cpus", 1)
    sent = chain(program, folder, together, *send)
    assert sent.returncode == 0, sent.stderr
    numbers = dict(line.split(": job ") for line in sent.stderr.splitlines() if ": job " in line)
    run("scancel", numbers["compress-gptq-4"])
    wait_until_idle()
    record = json.loads((together / "reproduction.json").read_text())["done"]
    waited = [name for name in record if name.endswith(" gptq-4")]
    check("a cancelled step keeps those that wait for it from running, and no others", not waited and "compare awq-4" in record
          and not (together / "collection.json").exists(), f"{len(record)} of {len(numbers) - 1} steps done")
    sent = chain(program, folder, together, *send)
    assert sent.returncode == 0, sent.stderr
    wait_until_idle()
    left = sum(": job " in line for line in sent.stderr.splitlines())
    check("the chain, sent again, gives the bytes of a single run", bytes_of(together) == bytes_of(single), f"{left} jobs were left")


class Case:
    def __init__(self, program, folder, shards):
        self.program, self.study = program, folder / f"study-{shards}"
        self.plan = folder / f"study-{shards}.plan.json"
        done = run(program, "shard", "plan", *flags(folder, self.study), "--shards", shards)
        assert done.returncode == 0, done.stderr

    def submit(self, *more):
        # A scheduler's environment that lies about the count must not matter.
        done = run(self.program, "shard", "submit", "slurm", self.plan, "--submit", "--cpus", 1, *more, env=dict(os.environ, SLURM_ARRAY_TASK_COUNT="1"))
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[1].rstrip(",")

    def status(self):
        return json.loads(run(self.program, "status", self.plan, "--json").stdout)["shards"]

    def states(self):
        return {shard["shard"]: shard["state"] for shard in self.status()}

    def log(self, name):
        path = pathlib.Path(f"{self.study}.{name}.log")
        return path.read_text() if path.exists() else ""

    def meet(self, shard, at_least=1):
        """Waits until a shard has finished some, and not all, of its instances."""
        until = time.time() + 120
        while time.time() < until:
            found = self.status()[shard - 1]
            if found["done"] >= at_least:
                return found
            time.sleep(0.05)
        raise RuntimeError(f"shard {shard} never began: {self.status()}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", required=True, type=pathlib.Path)
    program = arguments.parse_args().program.resolve()
    missing = [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    if missing:
        print(f"skipped: no {', '.join(missing)}; the packages are slurm-wlm and munge")
        return 0
    if os.geteuid() != 0:
        print("skipped: Slurm's daemons want to be started by root")
        return 0
    os.environ["PATH"] += ":/usr/sbin"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cruxscope-slurm-"))
    cluster = None
    try:
        inputs(folder)
        single = folder / "single"
        done = run(program, "interpret", *flags(folder, single))
        assert done.returncode == 0, done.stderr
        expected = bytes_of(single)
        cluster_folder = folder / "cluster"
        cluster_folder.mkdir()
        cluster = Cluster(cluster_folder)
        try:
            cluster.bring_up()
        except RuntimeError as error:
            print(f"skipped: Slurm does not start on this machine: {error}")
            return 0

        case = Case(program, folder, 4)
        case.submit()
        found = case.meet(2)
        # As a kernel out of memory does it: without a word to anybody.
        os.kill(json.loads((case.study / ".shards/shard-00002.json").read_text())["process"], signal.SIGKILL)
        wait_until_idle()
        states = case.states()
        check("a killed shard leaves the others alone", [states[shard] for shard in (1, 3, 4)] == ["finished"] * 3 and states[2] != "finished",
              f"killed with {found['done']} of {found['of']} done; {states}")
        check("merging says which shard is missing", "of the shards 2" in case.log("merge") and not (case.study / "study.json").exists())
        kept = case.status()[1]["done"]
        case.submit("--only", "2")
        wait_until_idle()
        check("the killed shard alone, sent again, gives the bytes of a single run", bytes_of(case.study) == expected,
              f"{kept} finished instances were kept")

        case = Case(program, folder, 3)
        array = case.submit()
        case.meet(1)
        began = time.time()
        run("scancel", "--batch", "--signal=USR1", f"{array}_1")
        while "interrupted" not in case.log("shard-1") and time.time() < began + 60:
            time.sleep(0.1)
        took = time.time() - began
        check("a signalled shard stops in time", "interrupted" in case.log("shard-1") and took < 30, f"{took:.1f} s")
        # Queued again with a delay that Slurm chooses; it need not be waited for.
        until = time.time() + 200
        while not (case.study / "study.json").exists() and time.time() < until:
            run("scontrol", "release", array)
            time.sleep(1)
        wait_until_idle()
        check("it is queued again and the merged study has the bytes of a single run", bytes_of(case.study) == expected)

        case = Case(program, folder, 7)
        case.submit()
        wait_until_idle()
        check("seven shards give the bytes of a single run", bytes_of(case.study) == expected)

        check_chain(program, folder)
    finally:
        if cluster:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'FAILED: ' + ', '.join(failures) if failures else 'all hold'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
