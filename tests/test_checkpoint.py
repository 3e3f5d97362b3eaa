"""Checkpoints on disk: complete or absent after any failure; which are kept, in which order, and which is the latest.

FASTNN_TEST_CHECKPOINTS=full tests more orders of scores.
"""

import os
import random
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import checkpoint_jobs as jobs
import numpy as np
import pytest
from checkpoint_files import FULL, STATE
from resume_jobs import digest

from fastnn._better import Better
from fastnn.training import ModelCheckpoint, latest, load_checkpoint, save_checkpoint

pytest.importorskip("safetensors")
CALLS = "openat,write,fsync,rename,unlink,close,newfstatat,getdents64"


def traced(work, arguments, log, inject=()):
    """Run a child under strace; return its exit code and its calls. Skip if strace is missing or cannot attach."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    pid, gate = jobs.started(work, *arguments)
    command = [strace, "-f", "-p", str(pid), "-o", str(log), "-e", f"trace={CALLS}", *inject]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        attached = "attached" in tracer.stderr.readline()
        code = jobs.ended(pid, gate)
        tracer.wait()
    if not attached:
        pytest.skip("strace may not attach here")
    return code, re.findall(r"^\d+ +(\w+)\((.*)", log.read_text(), re.M)


@pytest.mark.parametrize("name", jobs.JOBS)
def test_faults_of_the_system(room, name):
    """An error, a kill or a wrong count of written bytes at any system call of a save does no harm."""
    jobs.old(room / "plain", name)
    code, calls = traced(jobs.JOBS[name][0], (room / "plain",), room / "log")
    assert code == 0
    jobs.check(room / "plain", name, code, "no fault")
    names = [call for call, _ in calls]
    points = [(call, i + 1) for call in dict.fromkeys(names) for i in range(names.count(call))]
    ways = [f"{call}:{what}:when={i}" for call, i in points for what in ("error=EIO", "error=ENOSPC", "signal=KILL")]
    ways += [f"write:retval={n}:when={i}" for call, i in points if call == "write" for n in (0, 1, 100)][3:]
    assert {"write", "fsync", "rename", "openat", "close"} <= set(names) and len(ways) > 40
    codes = []
    for i, way in enumerate(ways):
        jobs.old(room / str(i), name)
        code, _ = traced(jobs.JOBS[name][0], (room / str(i),), room / "log", ["-e", f"inject={way}"])
        jobs.check(room / str(i), name, code, way)
        codes.append(code)
    assert set(codes) == {0, 3, -9}


@pytest.mark.parametrize("kind", ["before", "after", "kill", "killed", "short", "lost"])
@pytest.mark.parametrize("name", jobs.JOBS)
def test_faults(room, name, kind):
    """The same faults without strace, and writes that are cut short or lost, do no harm."""
    number, codes = 0, []
    while number == 0 or codes[-1] != 0 or number < 12:
        number += 1
        place = room / str(number)
        jobs.old(place, name)
        codes.append(jobs.ended(*jobs.started(jobs.faulty, name, place, number, kind)))
        jobs.check(place, name, codes[-1], number)
    wanted = {"kill": {0, -9}, "killed": {0, -9}, "short": {0, 3, -9}}.get(kind, {0, 3})
    assert set(codes) <= wanted and len(set(codes)) > 1


def test_order_of_calls(room, monkeypatch):
    """The file is complete and on disk before it gets its name, and has its name before the older file is removed."""
    jobs.old(room / "a", "go on")
    done, fsync, replace, unlink = [], os.fsync, os.replace, os.unlink
    new, older = "step-00000002.safetensors", "step-00000001.safetensors"

    def name(path):
        return Path(path).name

    def of_fsync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        done.append(("fsync", path.name, None if path.is_dir() else os.fstat(descriptor).st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_fsync)
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(("replace", name(a), name(b))), replace(a, b)))
    monkeypatch.setattr(os, "unlink", lambda path: (done.append(("unlink", name(path))), unlink(path)))
    jobs.go_on(room / "a")
    monkeypatch.undo()
    part, size = f".{new}.{os.getpid()}", (room / "a" / new).stat().st_size
    there, gone = [("fsync", part, size), ("replace", part, new)], [("unlink", older)]
    assert done == [*there, ("fsync", "a", None), *gone, ("fsync", "a", None)]
    assert [path.name for path in (room / "a").iterdir()] == [new]


def test_order_of_calls_of_the_system(room):
    """The system calls, as strace shows them, have the same order."""
    jobs.old(room / "a", "go on")
    _, calls = traced(jobs.go_on, (room / "a",), room / "log")
    order = [call for call, _ in calls if call in ("write", "fsync", "rename", "unlink")]
    assert order == ["write", "write", "fsync", "rename", "fsync", "unlink", "fsync"]


def test_what_was_saved(room):
    """Every kind of value, dtype and memory order is restored; entries with the same path stay distinct."""
    four = {"a": {"b": {"c": np.full(1, 4)}, "b/c": np.full(1, 5)}, "a/b": {"c": np.full(1, 6)}, "a/b/c": np.full(1, 7)}
    odd = {
        "four": four,
        "a/b": np.zeros(1),
        "a": {"b": np.ones(1)},
        "__metadata__": np.full(1, 2),
        "": {"a": np.full(1, 3)},
        "keys": {(1, "a"): np.ones(3), ((2,), 3): "text", None: 5, 1.5: np.zeros(1), True: [1]},
    }
    kinds = {str(np.dtype(c)): np.arange(3).astype(c) for c in "?bBhHiIlLefd"}
    kinds |= {f"no {np.dtype(c)}": np.zeros((2, 0), c) for c in "?bBhHiIlLefd"}
    orders = {"F": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "strided": np.arange(8)[::-2], "()": np.array(1.5)}
    state = (
        STATE | odd | {"kinds": kinds, "orders": orders, "big": 2**64 + 1, "items": {1: np.ones(2), "1": np.zeros(2)}}
    )
    save_checkpoint(room / "a.safetensors", state | {">": np.arange(3, dtype=">f4")})
    loaded = load_checkpoint(room / "a.safetensors")
    assert (loaded.pop(">") == np.arange(3)).all() and digest(loaded) == digest(state)
    for part in (state, loaded):
        assert part["a/b"] == 0 and part["a"]["b"] == 1 and part["items"][1][0] == 1 and part["items"]["1"][0] == 0
    for name in ("kinds", "orders"):
        for a, b in zip(loaded[name].values(), state[name].values(), strict=True):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes() and a.flags.writeable and a.flags.aligned


def test_numbers_of_numpy(room):
    """NumPy's scalars come back as Python's numbers and texts, NaN and infinity included, alone and within lists."""
    floats = [
        kind(x) for kind in (float, np.float64, np.float32, np.float16) for x in ("nan", "inf", "-inf", 1.5, -0.0)
    ]
    values = [*floats, np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.str_("a")]
    save_checkpoint(room / "a.safetensors", {"values": values, "tuple": tuple(values), "one": values[5]})
    loaded = load_checkpoint(room / "a.safetensors")
    for found in (loaded["values"], loaded["tuple"], [loaded["one"]]):
        wanted = values if len(found) > 1 else [values[5]]
        assert [repr(x) for x in found] == [repr(x.item() if isinstance(x, np.generic) else x) for x in wanted]


@pytest.mark.parametrize(
    ("state", "error", "sentence"),
    [
        ({"a": np.ones(1, complex)}, TypeError, "a: got an array of complex128, want"),
        ({"a": {"b": np.array([{}])}}, TypeError, "a/b: got an array of object, want"),
        ({"a": np.array(["x"])}, TypeError, "a: got an array of <U1, want"),
        ({"a": [1, {2}]}, TypeError, "a/1: got set, want arrays, numbers"),
        ({"a": len}, TypeError, "a: got builtin"),
        ({"a": '"' * 600_000}, ValueError, r"state: got \d+ bytes of names and numbers, want at most 1572864; keep"),
        ({str(i): np.zeros(1) for i in range(20_000)}, ValueError, r"state: got \d+ bytes of names and numbers, want"),
        ({"a": "x" * 2_000_000}, ValueError, r"state: got \d+ bytes of names and numbers, want at most 1572864; keep"),
    ],
)
def test_what_cannot_be_saved(room, state, error, sentence):
    with pytest.raises(error, match=f"^{sentence}"):
        save_checkpoint(room / "a.safetensors", state)
    assert list(room.iterdir()) == []


def test_partial_files_of_dead_processes_are_removed(room):
    """Partial files of dead processes are removed; those of living processes are kept."""
    pid, gate = jobs.started(lambda: None)
    jobs.ended(pid, gate)
    alive = room / f".a.safetensors.{os.getppid()}"
    first = room / ".a.safetensors.1"  # pid 1, the ancestor of all processes, always exists; pid 0 is no process
    dead = [room / f".b.safetensors.{number}" for number in (pid, 0, 99999999, 10**30)]
    for path in (alive, first, room / ".c.safetensors.x", *dead):
        path.touch()
    save_checkpoint(room / "d.safetensors", {})
    assert {path.name for path in room.iterdir()} == {alive.name, first.name, ".c.safetensors.x", "d.safetensors"}


def test_latest_goes_back(room):
    """`latest` warns of damaged files and skips them; the furthest step counts, whenever the file was written."""
    assert latest(room) is None and latest(room / "missing") is None
    names = [f"step-{i:08}.safetensors" for i in (8, 9, 10, 99_999_999, 100_000_000)]
    for i, name in enumerate(random.Random(2).sample(names, 5)):
        save_checkpoint(room / name, {"i": i})
    for name in names:
        os.utime(room / name, ns=(10**18, 10**18))
    os.utime(room / names[0], ns=(10**18, 10**18 + 1))  # as one that was copied
    save_checkpoint(room / "best.safetensors", {"i": -1})
    assert latest(room) == room / names[-1]
    data = (room / names[3]).read_bytes()
    (room / names[3]).write_bytes(data[:-1])
    (room / names[4]).write_bytes(b"")
    os.utime(room / names[4], ns=(10**18, 10**18))
    with pytest.warns(UserWarning, match="going back to the checkpoint before it") as warned:
        assert latest(room) == room / names[2]
    assert [names.index(re.search(r"step-\d+.safetensors", str(w.message))[0]) for w in warned] == [4, 3]


@pytest.mark.parametrize("damaged", [0, 1, 2, 3])
def test_latest_says_whether_it_can_go_back(room, damaged):
    """Each warning but that of the oldest file announces the checkpoint before it, and points at the caller."""
    for i in range(3):
        path = room / f"{i}.safetensors"
        save_checkpoint(path, {"i": i})
        os.utime(path, ns=(10**18 + i, 10**18 + i))
        if i >= 3 - damaged:
            path.write_bytes(b"")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert latest(str(room)) == (room / f"{2 - damaged}.safetensors" if damaged < 3 else None)
    ways = ["; going back to the checkpoint before it"] * 2 + ["; there is none before it"]
    assert len(caught) == damaged and all(w.filename == __file__ for w in caught)
    assert all(str(w.message).endswith(way) for w, way in zip(caught, ways[:damaged], strict=True))


@pytest.mark.parametrize("seed", range(60 if FULL else 12))
def test_kept_checkpoints(room, seed):
    """The best k and the last n checkpoints stay, as a search over all scores selects them."""
    rng = random.Random(seed)
    top, last, mode = rng.randrange(4), rng.randrange(1, 4), rng.choice(["min", "max", "auto"])
    every = rng.choice([None, 1, 2])
    callback = ModelCheckpoint(room, "loss", top, last, mode, every_n_steps=every)
    scores, is_better, last_steps = {}, Better("loss", mode), []
    for step in range(1, 15):
        score = rng.choice([1.0, 2.0, 3.0, -1.0, float("nan"), float("inf"), rng.random()])
        trainer = jobs.trainer({"step": step}, logs={"loss": score}, has_stepped=True)
        callback.on_batch_end(trainer)  # with every_n_steps = 1, this step's file is written twice
        if rng.random() < 0.8:
            callback.on_epoch_end(trainer)
            scores[step] = score
        elif every is None or step % every:
            continue
        last_steps = [*last_steps, step][-last:]
        ranked = sorted((s for s in scores if np.isfinite(scores[s])), key=lambda s: (-is_better.sign * scores[s], s))
        wanted = {f"step-{s:08}.safetensors" for s in ranked[:top] + last_steps}
        assert {path.name for path in room.iterdir()} == wanted, (step, scores)
        assert callback.last == room / f"step-{step:08}.safetensors"
        assert callback.best == (room / f"step-{ranked[0]:08}.safetensors" if ranked and top else None)
        if rng.random() < 0.3:  # as if a new process resumed
            state = callback.state_dict()
            callback = ModelCheckpoint(room, "loss", top, last, mode, every_n_steps=every)
            callback.load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"save_top_k": -1}, "save_top_k: got -1, want an integer >= 0"),
        ({"save_top_k": True}, "save_top_k: got True"),
        ({"save_last": 0}, "save_last: got 0, want an integer >= 1"),
        ({"save_last": 1.5}, "save_last: got 1.5"),
        ({"every_n_steps": 0}, "every_n_steps: got 0, want an integer >= 1"),
        ({"every_n_steps": False}, "every_n_steps: got False"),
        ({"mode": "best"}, "mode: got 'best', want"),
    ],
)
def test_arguments(room, options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        ModelCheckpoint(room, **options)


def test_refused_before_training(room):
    """A monitor that is not recorded, and a directory that is not writable, are refused before training."""
    (room / "file").touch()
    with pytest.raises(ValueError, match="monitor: got 'x', want one of"):
        ModelCheckpoint(room / "a", "x").on_fit_start(jobs.trainer({"step": 0}))
    for place in (room / "file", room / "file" / "below", "/proc/fastnn", "/proc"):
        with pytest.raises(OSError):
            ModelCheckpoint(place).on_fit_start(jobs.trainer({"step": 0}))


def test_files_that_are_gone(room):
    """A resumed callback forgets files that are gone, and never takes files that others made."""
    names = [f"step-{i:08}.safetensors" for i in (1, 2, 3)]
    for name in (*names[1:], "other.safetensors", "step-1.safetensors"):
        save_checkpoint(room / name, {})
    callback = ModelCheckpoint(room, "loss", save_top_k=9, save_last=9)
    others = ["other.safetensors", "step-1.safetensors", "../x.safetensors", f"{names[1]}.safetensors"]
    top = [(float(i), name) for i, name in enumerate([*names, *others])]
    callback.load_state_dict({"top": top, "last": [*reversed(names), *others]})
    assert callback.state_dict() == {"top": top[1:3], "last": [names[2], names[1]], "former": []}
    assert callback.best == room / names[1] and callback.last == room / names[2]


def test_before_the_first_file_and_without_an_old_one(room):
    """There is no best or last file before the first; a directory is made with its parents; a file that someone
    else removed is not missed."""
    callback = ModelCheckpoint(room / "a" / "b", "loss", save_last=1)
    assert callback.best is None and callback.last is None
    callback.on_fit_start(jobs.trainer({"step": 0}))
    assert (room / "a" / "b").is_dir() and callback.best is None and callback.last is None
    callback.on_epoch_end(jobs.trainer({"step": 1}, logs={"loss": 1.0}))
    callback.best.unlink()
    callback.on_epoch_end(jobs.trainer({"step": 2}, logs={"loss": 0.5}))
    assert os.listdir(room / "a" / "b") == ["step-00000002.safetensors"] == [callback.best.name]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_is_not_counted(room, monkeypatch, error):
    """The callback forgets a checkpoint that was not written, and no file of it is left."""
    callback = ModelCheckpoint(room, "loss", save_last=1)
    callback.on_epoch_end(jobs.trainer({"step": 1}, logs={"loss": 1.0}))
    before = callback.state_dict()
    files = sorted(os.listdir(room))

    def fail(*_):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(error):
        callback.on_epoch_end(jobs.trainer({"step": 2}, logs={"loss": 0.5}))
    assert callback.state_dict() == before and callback.best.exists() and sorted(os.listdir(room)) == files
