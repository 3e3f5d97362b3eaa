"""Jobs that save a checkpoint in a child process where a system call fails; the parent checks the files that remain.

The n-th system call fails: before it runs, after it has run, or in the middle of a write.
"""

import errno
import io
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from resume_jobs import digest

from fastnn import _files
from fastnn.training import History, ModelCheckpoint, latest, load_checkpoint, save_checkpoint

OLD, NEW = ({"a": np.full(30_000, i), "step": i} for i in (1, 2))
STATES = {digest(state): state["step"] for state in (OLD, NEW)}


def trainer(state, **more):
    """Return an object with the attributes of a Trainer that ModelCheckpoint uses."""
    return SimpleNamespace(step=state["step"], capture=lambda: state, monitors=["loss"], resumed=False, callbacks=(),
                           history=History(), **more)  # fmt: skip


def overwrite(directory):
    save_checkpoint(directory / "a.safetensors", NEW)


def go_on(directory):
    """Save the next checkpoint of a training run that keeps only the last one."""
    callback = ModelCheckpoint(directory, save_last=1)
    callback.load_state_dict({"top": [], "last": [f"step-{1:08}.safetensors"]})
    callback.on_epoch_end(trainer(NEW))


JOBS = {"overwrite": (overwrite, "a"), "go on": (go_on, f"step-{1:08}")}


def old(directory, name):
    """Make a directory that holds the state before the job."""
    directory.mkdir()
    save_checkpoint(directory / f"{JOBS[name][1]}.safetensors", OLD)


def check(directory, name, code, what):
    """The latest checkpoint must be the old state or the new one, and the new one if the job succeeded.

    The next save must leave no temporary file behind.
    """
    found = latest(directory)
    step = STATES.get(digest(load_checkpoint(found))) if found else None
    assert step in (1, 2) and (code != 0 or step == 2), (what, code, step)
    save_checkpoint(directory / "next.safetensors", NEW)
    assert not [path for path in directory.iterdir() if path.name.startswith(".")], what
    JOBS[name][0](directory)
    assert STATES[digest(load_checkpoint(latest(directory)))] == 2, what


def started(work, *arguments):
    """Start a child process; return its pid and the descriptor from which it reads a byte before it works."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 4
        try:
            os.read(read, 1)
            work(*arguments)
            code = 0
        except OSError:
            code = 3
        finally:
            os._exit(code)
    os.close(read)
    return pid, write


def ended(pid, gate):
    """Let the child run and return its exit code; it may only fail with an OSError or be killed."""
    os.write(gate, b"x")
    os.close(gate)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 3, -signal.SIGKILL), code
    return code


class Faults:
    """Counts calls and makes the n-th one fail: "before" and "after" raise, "kill" and "killed" end the process."""

    def __init__(self, number, kind):
        self.left, self.kind, self.calls = number, kind, []

    def hit(self, name):
        self.calls.append(name)
        self.left -= 1
        return self.left == 0

    def around(self, name, function):
        def call(*arguments, **options):
            if not self.hit(name):
                return function(*arguments, **options)
            if self.kind in ("after", "killed"):
                function(*arguments, **options)
            return self.strike()

        return call

    def strike(self):
        if self.kind.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC if self.kind == "before" else errno.EIO, "injected")

    def open(self, path, mode):
        faults = self

        class Raw(io.FileIO):
            def write(self, data):
                if not faults.hit("write"):
                    return super().write(data)
                if faults.kind == "lost":
                    return len(data)
                count = super().write(memoryview(data)[: len(data) // 2])
                return count if faults.kind == "short" else faults.strike()

        assert mode == "wb"
        return io.BufferedWriter(self.around("open", Raw)(path, mode))

    def install(self):
        """Replace the functions for good; this runs in a child that ends soon."""
        _files.open = self.open
        for name in ("open", "fsync", "close", "replace", "fstat"):
            setattr(os, name, self.around(name, getattr(os, name)))
        Path.unlink = self.around("unlink", Path.unlink)


def faulty(name, directory, number, kind):
    """Run the job with a fault."""
    Faults(number, kind).install()
    JOBS[name][0](directory)
