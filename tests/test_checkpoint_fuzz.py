"""Random files, and files that could need much memory, raise `CheckpointError` or load plain values; nothing else
happens.

FASTNN_TEST_CHECKPOINTS=full tests ten times as many.
"""

import json
import os
import random
import resource
import sys
import tracemalloc

import numpy as np
import pytest
from checkpoint_files import BIG, FULL, described, entry, good, parts, signed, text_of
from resume_jobs import digest

from fastnn.training import CheckpointError, load_checkpoint, save_checkpoint

pytest.importorskip("safetensors")
MIB = 2**20
KEYS = [*described(""), *entry()["a"], "$array", "$items", "$tuple", "$float", "$", "a", "model", "sha256"]


def random_json(rng, depth=0):
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind < 6:
        return rng.choice([None, True, 0, -1, 1.5, BIG, 1e300, "", "a", "\ud800", "$array", "model/w", "nan", 10**30])
    if kind == 6:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = [
        "$array",
        "$items",
        "$tuple",
        "$float",
        "$",
        "a",
        "model",
        "dtype",
        "shape",
        "data_offsets",
        "sha256",
        "__metadata__",
    ]
    return {rng.choice(keys): random_json(rng, depth + 1) for _ in range(rng.randrange(1, 3))}


BYTES = [b'"', b"{", b"]", b"9", b"\\"]


def spliced(rng, data):
    """Return the bytes with a few changed, inserted, removed or doubled."""
    for _ in range(rng.randrange(1, 5)):
        i, j = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        j = min(j, i + rng.choice([1, 2, 8, 64]))
        data = (
            data[:i]
            + rng.choice([b"", rng.randbytes(j - i), data[i:j] * 2, rng.choice([b'"', b"{", b"]", b"9", b"\\"])])
            + data[j:]
        )
    return data


def mutated(rng, data):
    """Return a mutated file; the checksum is valid in two of three cases."""
    (head, body), kind = parts(data), rng.randrange(9)
    if kind == 0:
        return rng.randbytes(rng.randrange(400))
    if kind == 1:
        return spliced(rng, data)
    if kind == 2:
        text = json.dumps(random_json(rng)).encode()
        return len(text).to_bytes(8, "little") + text + rng.randbytes(8)
    if kind == 3:
        return signed(spliced(rng, text_of(head)), body)
    if kind == 4:
        return signed(head, spliced(rng, body))
    if kind == 5:
        return signed(
            head, body, rng.choice([0, 1, 2**63, 2**64 - 1, rng.randrange(len(data)), rng.randrange(3 * MIB)])
        )
    if kind == 6:
        head["__metadata__"]["state"] = spliced(rng, head["__metadata__"]["state"].encode()).decode(errors="replace")
    elif kind == 7:
        head["__metadata__"]["state"] = json.dumps({"a": random_json(rng)} | json.loads(head["__metadata__"]["state"]))
    else:
        place = head[rng.choice([*head])]
        place[rng.choice([*place])] = rng.choice(
            [random_json(rng), [rng.choice([0, 1, 2, 3, 6, BIG]) for _ in range(rng.randrange(4))]]
        )
    return signed(head, body)


def plain(value):
    """Return the bytes of all arrays in a value, and assert that a file may hold it."""
    if type(value) is dict:
        return sum(plain(k) + plain(v) for k, v in value.items())
    if type(value) in (list, tuple):
        return sum(map(plain, value))
    if type(value) is np.ndarray:
        assert value.dtype.kind in "buif"
        return value.nbytes
    assert value is None or type(value) in (bool, int, float, str)
    return 0


UNITS = ["{}", "[]", '{"":1}', '"ab"', "1.5", "[{}]", '{"$tuple":[]}', '{"$items":[]}', '{"a":[],"b":{}}', '"\u0100"',
         '"\U0001f600"', "77777"]  # fmt: skip


def bombs():
    """Yield headers that are small in a file but could take much memory or time."""
    room = 3 * MIB // 2 - 400
    for unit in UNITS:
        for wide in ("", "\U0001f600"):  # with one such character, a text takes four bytes for each
            size = len(text_of(unit)) - 2 + 1
            yield text_of(described('{"a":["' + wide + '",' + ",".join([unit] * (room // size - 9)) + "]}"))
            size = len(unit.encode()) + 1
            yield text_of(described("{}"))[:-1] + f',"{wide}":[{",".join([unit] * (room // size - 9))}]}}'.encode()
    for text in ("[" * room, '{"a":' * (room // 9), '{"a":' + "9" * room, '{"a":1' + "0" * (room - 20) + ".5e9}"):
        yield text_of(described(text[: room - 9] + "}" * (text[-1] == "9")))
        yield text_of(described("{}"))[:-1] + b',"x":' + text[: room - 99].encode() + b"}"
    yield text_of(described('{"a":' + "[" * 500 + "]" * 500 + "}"))
    yield text_of(described("{}", {str(i): i for i in range(100_000)}))
    yield text_of(described("{}", entry(shape=[BIG - 1] * 70_000)))
    yield text_of(described("{}", entry(shape=[0] * 700_000)))


FORBIDDEN = []


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def watched(path):
    """Return a list; while it is not empty, all audit events but opening this file for reading are recorded."""
    watching = []

    def hook(event, args):
        if watching and not (event == "open" and args[0] in (path, str(path)) and not args[2] & WRITING):
            FORBIDDEN.append((event, repr(args)[:200]))

    sys.addaudithook(hook)
    return watching


def in_child(work):
    """Run in a child process, so that its memory and its audit hooks affect no other test."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def tries(path, files):
    """Return how many of the files were loaded; all others must be refused."""
    watching, loaded = watched(path), 0
    for data in files:
        path.write_bytes(data)
        watching.append(True)
        try:
            state = load_checkpoint(path)
        except CheckpointError as error:
            watching.clear()
            assert str(error).isascii() and len(str(error)) < 500 + len(str(path)), error
        else:
            watching.clear()
            assert plain(state) <= len(data)
            loaded += 1
    assert FORBIDDEN == []
    return loaded


def test_fuzzed_files(room):
    """A file raises `CheckpointError` or loads plain values; the only event is opening it, and memory stays small."""
    data = good(room)
    count = 20_000 if FULL else 2_000

    def work():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rng = random.Random(7)
        loaded = tries(room / "fuzz", (mutated(rng, data) for _ in range(count)))
        assert count // 50 < loaded < count // 2, loaded
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024

    in_child(work)


def test_bombs(room):
    """The longest possible header takes at most 64 MB beside the file, and no long computation."""

    def work():
        path = room / "bomb"
        chosen = [bomb for i, bomb in enumerate(bombs()) if FULL or i in (2, 22, 42) or 48 <= i < 58]
        tries(path, (signed(head, b"") for head in chosen))
        for i, head in enumerate(chosen):
            path.write_bytes(signed(head, b""))
            size = path.stat().st_size
            assert size < 3 * MIB // 2, i
            tracemalloc.start()
            try:
                load_checkpoint(path)
            except CheckpointError as error:
                assert "more than" not in str(error), i
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < size + 64_000_000, (i, peak)

    in_child(work)


def test_arrays_share_the_memory_of_the_file(room):
    """Loaded arrays use the memory that the file was read into."""
    state = {"a": np.ones(20 * MIB, np.uint8), "b": {"c": np.ones(5 * MIB, np.float32)}}
    save_checkpoint(room / "large.safetensors", state)
    tracemalloc.start()
    loaded = load_checkpoint(room / "large.safetensors")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 41 * MIB and digest(loaded) == digest(state) and loaded["a"].flags.writeable
