"""Take checkpoints apart and put them together again, with a valid checksum, for tests that damage them."""

import hashlib
import json
import math
import os

import numpy as np

from fastnn.training import save_checkpoint

FULL = os.environ.get("FASTNN_TEST_CHECKPOINTS") == "full"
STATE = {
    "model": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(True), "e": np.zeros((0, 4))},
    "state": {0: {"step": 3, "m": np.arange(3, dtype=np.int16)}, "x/y": (1, 2.5, None, math.inf, "\ud800é")},
    "list": [True, -1, "$text", {"$odd": 1}, np.arange(2, dtype=np.uint8)],
}


def good(room):
    """Return the bytes of a checkpoint of `STATE`, written into this directory."""
    save_checkpoint(room / "good.safetensors", STATE)
    return (room / "good.safetensors").read_bytes()


def parts(data):
    """Return the header as JSON, and the bytes after it."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def text_of(head):
    return json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def signed(head, body, size=None):
    """Return a file with this header, JSON or bytes, and a valid checksum."""
    if not isinstance(head, bytes):
        head = text_of(head)
    head += b" " * (-len(head) % 8)
    data = (len(head) if size is None else size).to_bytes(8, "little") + head + body
    before, key, rest = data.partition(b'"sha256":"')
    data = before + key + b"0" * 64 + rest[64:]
    return before + key + hashlib.sha256(data).hexdigest().encode() + rest[64:]


def described(text, arrays=None, **metadata):
    """Return a header with this state."""
    return {"__metadata__": {"format": "1", "sha256": "0" * 64, "state": text} | metadata} | (arrays or {})


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


A = '{"$array":"a"}'
STATE_A = f'{{"a":{A}}}'
BIG = 2**63
