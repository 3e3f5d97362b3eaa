"""Files that are not checkpoints, even with a valid checksum, raise `CheckpointError`, and nothing else happens.

FASTNN_TEST_CHECKPOINTS=full tests ten times as many, and every value of every byte.
"""

import os
import random
import re

import numpy as np
import pytest
from checkpoint_files import BIG, FULL, STATE, STATE_A, A, described, entry, good, parts, signed, text_of
from resume_jobs import digest
from support import python

from fastnn.training import CheckpointError, latest, load_checkpoint, save_checkpoint

pytest.importorskip("safetensors")


def refused(path, data, sentence=None):
    """Assert that loading a file of these bytes raises `CheckpointError`, with a short line of plain text."""
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        load_checkpoint(path)
    assert caught.type is CheckpointError and str(caught.value).isascii() and str(caught.value).isprintable()
    assert len(str(caught.value)) < 500 + len(str(path))


def test_every_byte(room):
    """A checkpoint is refused if one byte is changed, if it ends early, or if bytes follow it."""
    data = good(room)
    rng = random.Random(1)
    for at, byte in enumerate(data):
        for value in range(1, 256) if FULL else (rng.randrange(1, 256), 1 << rng.randrange(8)):
            refused(room / "a", data[:at] + bytes([byte ^ value]) + data[at + 1 :])
        refused(room / "a", data[:at])
    for more in (b"\0", b" ", b"\0" * 8, data):
        refused(room / "a", data + more)
    (room / "a").write_bytes(data)
    assert digest(load_checkpoint(room / "a")) == digest(STATE)


HEADERS = {
    "newer": (described(STATE_A, entry(), format="2"), "got version 2 of the .* install a version of fastnn"),
    "much newer": (described(STATE_A, {"what": 1}, format="12"), "version 12 of the format"),
    **{f"format {text!r}": (described(STATE_A, entry(), format=text), "header that is not a checkpoint's")
       for text in ("0", "-1", "1.0", "", " 1", "01", "\u0661", "1_0", "9" * 5000, None, 1, [])},
    **{f"dtype {dtype!r}": (described(STATE_A, entry(dtype)), "content that is not a checkpoint's")
       for dtype in ("BF16", "F8_E5M2", "C64", "O", "f4", "", None, 3, ["F32"], {}, "F64", "U8")},
    **{f"shape {shape!r:.40}": (described(STATE_A, entry(shape=shape)), "content that is not a checkpoint's")
       for shape in ([3], [-2], [-1, -2], [2.0], ["2"], [True, 2], 2, "2", None, {}, {"2": 1}, [[2]], [BIG, 2],
                     [2**64 + 2], [2**32, 2**32, 2], [1] * 100 + [2], [0, BIG], [10**400], [2, None], [2**62, 4, 2])},
    **{f"offsets {offsets!r}": (described(STATE_A, entry(offsets=offsets)), "content that is not a checkpoint's")
       for offsets in ([8, 16], [0, 7], [8, 0], [-8, 0], [0, 2**64 + 8], [0.0, 8.0], [0], [0, 8, 8], "08", None, {},
                       [False, 8], {"0": 0, "8": 8}, [[0], [8]])},
    "overlap": (described('[{"$array":"a"},{"$array":"b"}]', entry() | {"b": entry()["a"]}), "content"),
    "half overlap": (described(STATE_A, entry("U8", [5], [0, 5]) | {"b": entry("U8", [5], [3, 8])["a"]}), "content"),
    "hole": (described(STATE_A, entry(shape=[1], offsets=[4, 8])), "content"),
    "rest": (described(STATE_A, entry(shape=[1], offsets=[0, 4])), "4 of them described"),
    "unaligned": (described('{"a":[{"$array":"a"},{"$array":"b"},{"$array":"c"}]}', entry("F32", [1], [1, 5])
                            | {"b": entry("U8", [1], [0, 1])["a"], "c": entry("U8", [3], [5, 8])["a"]}), "content"),
    "no metadata": (b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"sha256":"' + b"0" * 64 + b'"}', "header"),
    "metadata a list": (b'{"__metadata__":[],"a":{"sha256":"' + b"0" * 64 + b'"}}', "header"),
    "a list": (b'[{"sha256":"' + b"0" * 64 + b'"}]', "header"),
    "two metadata": (text_of(described(STATE_A))[:-1] + b',"__metadata__":{}}', "got a key twice"),
    "two entries": (text_of(described(STATE_A, entry()))[:-1] + b',"a":{}}', "got a key twice"),
    "UTF-16": (b'{"sha256":"' + b"0" * 64 + '"}'.encode("utf-16"), "header"),
    "bad UTF-8": (b'{"sha256":"' + b"0" * 64 + b'","\xff":1}', "header"),
    "more than JSON": (text_of(described(STATE_A, entry())) + b"{}", "header"),
    "no state": ({"__metadata__": {"format": "1", "sha256": "0" * 64}} | entry(), "content"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_headers(room, name):
    head, sentence = HEADERS[name]
    refused(room / "a", signed(head, np.arange(2, dtype=np.float32).tobytes()), sentence)


def test_bytes_that_are_no_bools(room):
    head = described(STATE_A, entry("BOOL", [8]))
    refused(room / "a", signed(head, bytes([0, 1, 2, 0, 0, 0, 0, 0])), "other bytes than 0 and 1")


TEXTS = """
1 null [] "a" {"$tuple":[]} {"$array":"a"} { {'a':1} NaN {"b":A,"a":NaN} {"b":A,"a":-Infinity} {"b":1} {"b":A}A
{"b":A,} {"a":{"$array":"b"}} {"a":{"$array":1}} {"a":{"$array":["a"]}} {"a":{"$array":{}}} {"a":{"$array":null}}
{"b":A,"b":1} {"a":{"$array":"a","$tuple":[]}} {"a":{"$array":"a","b":1}} {"b":1,"$array":"a"} {"a":A,"b":A}
{"a":{"$float":"1"},"b":A} {"a":{"$float":1},"b":A} {"b":A,"a":{"$float":[]}} {"b":A,"a":{"$tuple":"ab"}}
{"b":A,"a":{"$tuple":{"a":1}}} {"b":A,"a":{"$tuple":1}} {"b":A,"a":{"$items":1}} {"b":A,"a":{"$items":"ab"}}
{"b":A,"a":{"$items":["ab"]}} {"b":A,"a":{"$items":[[1]]}} {"b":A,"a":{"$items":[[1,2,3]]}}
{"b":A,"a":{"$items":{"ab":1}}} {"b":A,"a":{"$items":[[[1],2]]}} {"b":A,"a":{"$items":[[{},2]]}}
{"b":1,"a":{"$items":[[A,2]]}} {"b":A,"a":{"$items":[[1,2],[1,3]]}} {"b":A,"a":{"$":1}}
{"b":A,"a":{"$items":[[1,2],[true,3]]}} {"b":A,"a":{"$import":"os"}} {"b":A,"a":{"$\\u0000":1}} {"b":A,"a":"\\x"}
{"b":A,"a":{"$array":"\\ud800"}} {"b":A,"a":{"$tuple":[{"$float":"NaN"}]}} {"b":A,"a":{"$\\u001b[2J":1}}
{"b":A,"a":NINES}"""
TEXTS = [text.replace("A", A).replace("NINES", "9" * 5000) for text in re.split(r"[ \n]", TEXTS)]  # the first is empty


@pytest.mark.parametrize("text", TEXTS, ids=map(str, range(len(TEXTS))))
def test_states(room, text):
    head = described(text, entry())
    refused(room / "a", signed(head, b"\0" * 8), "content that is no|state of")


def test_special_files_are_refused(room):
    """Pipes, devices, folders and broken links are refused without waiting."""
    data = good(room)
    place = room / "odd"
    place.mkdir()
    os.mkfifo(place / "pipe.safetensors")
    (place / "folder.safetensors").mkdir()
    (place / "empty.safetensors").touch()
    (place / "zero.safetensors").symlink_to("/dev/zero")
    (place / "nothing.safetensors").symlink_to(place / "missing")
    (place / "itself.safetensors").symlink_to(place / "itself.safetensors")
    for name, error, sentence in (
        ("pipe", CheckpointError, "got something other than a regular file"),
        ("zero", CheckpointError, "got something other than a regular file"),
        ("empty", CheckpointError, "got 0 bytes"),
        ("folder", IsADirectoryError, "Is a"),
        ("nothing", FileNotFoundError, "No such"),
        ("itself", OSError, "symbolic links"),
    ):
        with pytest.raises(error, match=sentence):
            load_checkpoint(place / f"{name}.safetensors")
    with pytest.warns(UserWarning) as warned:
        assert latest(place) is None
    assert sorted(str(w.message).split(".safetensors")[0].rpartition("/")[2] for w in warned) == [
        "empty",
        "folder",
        "pipe",
        "zero",
    ]
    (place / "good").write_bytes(data)
    os.utime(place / "good", (2**33, 2**33))  # newer than the others, however fast the machine is
    (place / "link.safetensors").symlink_to("good")
    assert latest(place) == place / "link.safetensors"
    assert digest(load_checkpoint(place / "link.safetensors")) == digest(STATE)


def test_a_file_larger_than_the_memory(room):
    """A file larger than the memory is refused; it consists of holes, which take no disk space."""
    with open(room / "huge.safetensors", "wb") as file:
        file.truncate(2**43)
    found = python(
        "-W", "error", "-c", f"""
import resource
from fastnn.training import CheckpointError, latest, load_checkpoint, save_checkpoint
resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
for call, path in ((load_checkpoint, "{room}/huge.safetensors"), (latest, "{room}")):
    try:
        call(path)
    except (CheckpointError, UserWarning) as error:
        print(error)
""").splitlines()  # fmt: skip
    assert all("got 8796093022208 bytes, which do not fit into memory" in line for line in found) and len(found) == 2
    assert found[1].endswith("; there is none before it")


def test_files_of_other_programs(room):
    numpy = pytest.importorskip("safetensors.numpy")
    none, wrong = "a file without a checksum, want .* load weights that others wrote", "a checksum that does not match"
    for metadata, sentence in (
        (None, none),
        ({"format": "pt"}, none),
        ({"sha256": "0" * 64}, wrong),
        ({"sha256": ""}, wrong),
    ):
        data = numpy.save({"weight": np.ones(3, np.float32)}, metadata)
        refused(room / "a", data, sentence)


@pytest.mark.parametrize("more", [1, 8, 16, 2**20, 2**60])
def test_a_header_that_ends_behind_the_file(room, more):
    """The header's size is compared with that of the file, even if the checksum is right and no array follows."""
    head = text_of(described('{"b":1}'))
    head += b" " * (-len(head) % 8)
    refused(room / "a", signed(head, b"", len(head) + more), f"got {len(head) + 8} bytes, fewer than its header says")
    refused(room / "a", bytes(more % 8), f"got {more % 8} bytes, fewer than its header says")
    (room / "a").write_bytes(signed(head, b"", len(head)))
    assert load_checkpoint(room / "a") == {"b": 1}


def test_the_largest_header(room):
    """A header of 1.5 MiB is written and read; one of eight bytes more is neither."""
    largest = 3 * 2**19
    save_checkpoint(room / "a", {"a": ""})
    rest = largest - int.from_bytes((room / "a").read_bytes()[:8], "little")
    save_checkpoint(room / "a", {"a": "x" * rest})
    data = (room / "a").read_bytes()
    assert int.from_bytes(data[:8], "little") == largest and load_checkpoint(room / "a") == {"a": "x" * rest}
    with pytest.raises(ValueError, match=f"got {largest + 8} bytes of names and numbers, want at most {largest}"):
        save_checkpoint(room / "a", {"a": "x" * (rest + 8)})
    assert (room / "a").read_bytes() == data
    head = text_of(parts(data)[0])
    refused(room / "a", signed(head.ljust(largest + 8), b""), f"a header of {largest + 8} bytes, more than {largest}")


def test_arrays_and_names_that_look_like_a_checksum(room):
    """The checksum's place is found whatever follows the header, and whatever the names and texts are."""
    sign = '"sha256":"'
    state = {sign: np.frombuffer(sign.encode() * 12, np.uint8), "sha256": sign + "0" * 64, "a": {"sha256": sign}}
    save_checkpoint(room / "a", state)
    loaded = load_checkpoint(room / "a")
    assert loaded.pop(sign).tobytes() == sign.encode() * 12
    assert loaded == {"sha256": sign + "0" * 64, "a": {"sha256": sign}}


@pytest.mark.parametrize("dimensions", [1, 32])
def test_descriptions_in_any_order(room, dimensions):
    """The header may describe arrays, of up to 32 dimensions, in another order than that of their bytes."""
    shape = [1] * (dimensions - 1) + [2]
    entries = {"b": entry("U8", shape, [2, 4])["a"]} | entry("U8", shape, [0, 2])
    (room / "a").write_bytes(signed(described('{"a":{"$array":"a"},"b":{"$array":"b"}}', entries), bytes([1, 2, 3, 4])))
    loaded = load_checkpoint(room / "a")
    assert {name: array.ravel().tolist() for name, array in loaded.items()} == {"a": [1, 2], "b": [3, 4]}
    assert loaded["a"].shape == loaded["b"].shape == tuple(shape)
