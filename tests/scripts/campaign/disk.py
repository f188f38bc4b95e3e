"""Disks that fail: full, broken, or small. The program ends with exit code 1 and says so, leaves nothing half-written under a final name,
and the same command gives the right bytes once the disk is well."""

import errno
import json
import os
import subprocess

from .kills import runs_to_its_end
from .process import differences, digests, ends_well
from .report import Finding
from .scenarios import remove

ERRORS = [errno.ENOSPC, errno.EIO, errno.EDQUOT]


def attempts(bench, part, draw):
    """Without end."""
    if not bench.program.preload:
        part.skip("errors injected into system calls", "there is no compiler (cc), or no LD_PRELOAD")
    tmpfs = can_mount(bench)
    if tmpfs:
        part.skip("small disks", tmpfs)
    while bench.program.preload or not tmpfs:
        for scenario in bench.scenarios:
            if bench.program.preload:
                yield lambda scenario=scenario, seed=draw.random(): injected(bench, scenario, type(draw)(seed))
            if not tmpfs and not scenario.tied and draw.random() < 0.25:
                yield lambda scenario=scenario, seed=draw.random(): small_disk(bench, scenario, type(draw)(seed))


def injected(bench, scenario, draw):
    expected, _, calls = bench.undisturbed(scenario)
    call = draw.choice([call for call, count in calls.items() if count])
    number, error = draw.randint(1, calls[call]), draw.choice(ERRORS)
    stays = error != errno.EIO and call == "write" and draw.random() < 0.5
    folder = bench.prepared(scenario)
    before = digests(folder)
    where = f"{scenario.name}, {os.strerror(error)}{' from' if stays else ' at'} {call} {number} of {calls[call]}"
    settings = {"CAMPAIGN_CALLS": call, "CAMPAIGN_AT": str(number), "CAMPAIGN_ERROR": str(error), "CAMPAIGN_STICKY": str(int(stays))}
    result = bench.program.run(scenario.arguments, folder, settings=settings)
    found = after_an_error(scenario, folder, result, before, expected, where)
    found += runs_to_its_end(bench, scenario, folder, expected, where)
    if not found:
        remove(folder)
    return found


def after_an_error(scenario, folder, result, before, expected, where):
    """What must hold of a run on a bad disk."""
    found = ends_well(result, where, (0, 1))
    state = digests(folder)
    if result.code == 0:
        # The disk failed where it does not matter, such as at the removal of what nobody needs.
        if words := differences(expected, {name: state[name] for name in state if name in expected}):
            found.append(Finding("differences", where, f"exit 0, but {words} (in {folder})"))
    elif result.code == 1 and not any(word in result.err for word in ["No space", "Input/output", "quota", "os error"]):
        found.append(Finding("ends", where, f"no word of the disk: {result.words()}"))
    for name, value in state.items():
        if name in before and before[name] == value:
            continue
        parts = name.split("/")
        # Half-done work lies under names that say so until the run goes on.
        if value == "folder" or any(part.startswith(".") or ".partial" in part for part in parts):
            continue
        if expected.get(name) != value and not (scenario.appends and is_beginning(folder / name)):
            found.append(Finding("differences", where, f"{name} is half-written under its final name (in {folder})"))
    return found


def is_beginning(path):
    """Whether a file that is appended to holds whole lines only."""
    if not path.name.endswith(".jsonl"):
        return False
    for line in path.read_bytes().splitlines():
        try:
            json.loads(line)
        except ValueError:
            return False
    return True


def can_mount(bench):
    """Why no file system can be mounted here; nothing where one can."""
    if os.geteuid() != 0:
        return "only root may mount a small disk"
    place = bench.folder()
    why = mount(place, 65536)
    if not why:
        unmount(place)
    return why


def mount(place, size):
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else None


def unmount(place):
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


def small_disk(bench, scenario, draw):
    """On a real disk that has room for the inputs and a part of the outputs."""
    expected, _, _ = bench.undisturbed(scenario)
    source, place = bench.prepared(scenario), bench.folder()
    needed = sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in source.rglob("*"))
    size = needed + draw.randint(1, 256) * 4096
    where = f"{scenario.name} on a disk with {size - needed} bytes of room"
    if why := mount(place, size):
        return [Finding("ends", where, why)]
    try:
        copied = subprocess.run(["cp", "-a", f"{source}/.", str(place)], capture_output=True, text=True)
        if copied.returncode:
            return []
        before = digests(place)
        result = bench.program.run(scenario.arguments, place)
        found = after_an_error(scenario, place, result, before, expected, where)
        subprocess.run(["mount", "-o", "remount,size=256m", str(place)], capture_output=True, check=True)
        found += runs_to_its_end(bench, scenario, place, expected, where)
    finally:
        unmount(place)
        remove(source)
    return found
