"""Files that are not models, even with a valid checksum, raise CheckpointError; nothing is run, and memory is bounded.

FASTNN_TEST_CHECKPOINTS=full tries every value of every byte.
"""

import json
import random
from pathlib import Path
from typing import Any

import checkpoint_files as checkpoints
import model_files as files
import numpy as np
import pytest
from support import python

import fastnn
from fastnn import nn
from fastnn.checkpoint import CheckpointError, save
from fastnn.checkpoint import model as reading
from fastnn.random import default_generator

pytest.importorskip("safetensors")


def small() -> nn.Sequential:
    """Return a model with ties, a generator and flags."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval(), nn.Dropout(0.5, generator=1), nn.Linear(2, 2))
    model[3].weight = model[0].weight
    model[0].requires_grad_(False)
    return model


def refused(path: Path, sentence: str | None = None) -> None:
    """Assert that loading raises CheckpointError, with a line of plain text, and changes no generator."""
    before = default_generator.state
    with pytest.raises(CheckpointError, match=sentence) as caught:
        fastnn.load(path, files.OWN)
    text = str(caught.value)
    assert caught.type is CheckpointError and text.isascii() and text.isprintable() and len(text) < 700 + len(str(path))
    assert default_generator.state == before


def test_every_byte(room: Path) -> None:
    """A file is refused if one byte is changed, if it ends early, or if bytes follow it."""
    fastnn.save(small(), room / "good")
    data, rng = (room / "good").read_bytes(), random.Random(1)
    for at, byte in enumerate(data):
        for value in range(1, 256) if checkpoints.FULL else (rng.randrange(1, 256), 1 << rng.randrange(8)):
            (room / "a").write_bytes(data[:at] + bytes([byte ^ value]) + data[at + 1 :])
            refused(room / "a")
        (room / "a").write_bytes(data[:at])
        refused(room / "a")
    for more in (b"\0", b" ", data):
        (room / "a").write_bytes(data + more)
        refused(room / "a", "checksum that does not match")


def layer(number: int, **changes: Any) -> Any:
    """Return a change of one entry."""
    return lambda state: state["model"]["layers"][number].update(changes)


def options(number: int, **changes: Any) -> Any:
    """Return a change of the options of one entry."""
    return lambda state: state["model"]["layers"][number]["options"].update(changes)


def model(**changes: Any) -> Any:
    """Return a change of the description."""
    return lambda state: state["model"].update(changes)


LINEAR = {"in_features": 2, "out_features": 2, "bias": True, "dtype": "float32"}
CHANGES: dict[str, tuple[Any, str]] = {
    "layer": (layer(0, type="Linaer"), "got an unknown layer, want a class of your own in layers=, or Linear"),
    "loss": (layer(0, type="CrossEntropyLoss"), "unknown layer"),
    "base": (layer(0, type="Module"), "unknown layer"),
    "path": (layer(0, type="os.system"), "unknown layer"),
    "type": (layer(0, type=["Linear"]), "got list as type, want str"),
    "no type": (layer(0, type=None), "got NoneType as type"),
    "field": (layer(0, trainin=True), "got the unknown field 'trainin'"),
    "fields of the whole": (layer(0, layers=[]), "got the unknown field 'layers'"),
    "option": (options(0, biass=True), "biass: got an unknown key, want bias"),
    "missing": (layer(0, options={"in_features": 2}), "out_features: got nothing, want an integer"),
    "text": (options(0, in_features="2"), "in_features: got '2', want an integer"),
    "bool": (options(0, bias=1), "bias: got 1, want true or false"),
    "list": (options(0, in_features=[2]), r"in_features: got \[2\], want an integer"),
    "negative": (options(0, in_features=-2), "in_features: got -2, want a positive integer"),
    "dtype": (options(0, dtype="float16"), "dtype: got 'float16', want 'float32' or 'float64'"),
    "other dtype": (options(3, dtype="float64"), r"a tie to float32 \(2, 2\), want float64"),
    "eps": (options(1, eps="x"), "eps: got 'x', want a number"),
    "p": (options(2, p=2), "p: got 2, want a probability"),
    "module": (options(1, eps={"layer": [0, ""]}), "eps: got Linear"),
    "tag": (options(1, eps={"import": "os"}), "got the option 'import'"),
    "two tags": (options(1, eps={"dtype": "float32", "dict": {}}), "content"),
    "array": (options(1, eps={"array": ["float32", [[1]]]}), "content"),
    "object dtype": (options(1, eps={"dtype": "object"}), "got the dtype 'object'"),
    "shape": (options(3, in_features=3), r"a tie to float32 \(2, 2\), want float32 \(2, 3\)"),
    "no bias": (options(3, bias=False), "got the tensor '3.bias', which no layer has"),
    "more": (options(2, generator=None), None),
    "later": (options(4, layers={"dict": {"0": {"layer": [4, ""]}}}), "want the number of an earlier layer"),
    "number": (options(4, layers={"dict": {"0": {"layer": [-1, ""]}}}), "want the number of an earlier layer"),
    "path below": (options(4, layers={"dict": {"0": {"layer": [0, "body"]}}}), "content"),
    "layers a list": (options(4, layers=[]), "content"),
    "two options": (options(4, more=[]), "want one with the modules"),
    "no modules": (options(4, layers={"dict": {"0": 3}}), "want a Module"),
    "name": (options(4, layers={"dict": {"a.b": {"layer": [0, ""]}}}), "no dot"),
    "attribute": (options(4, layers={"dict": {"append": {"layer": [0, ""]}}}), "want one that no attribute has"),
    "an option as attribute": (layer(2, attributes={"": {"p": 5}}), "got the attribute 'p', want one that is a number"),
    "a parameter as attribute": (layer(0, attributes={"": {"weight": 5}}), "got the attribute 'weight'"),
    "a method as attribute": (layer(0, attributes={"": {"train": 5}}), "got the attribute 'train'"),
    "a class as attribute": (layer(0, attributes={"": {"__class__": 5}}), "got the attribute '__class__'"),
    "a list as attribute": (layer(0, attributes={"": {"more": [5]}}), "got the attribute 'more'"),
    "a layer as attribute": (layer(2, attributes={"": {"more": {"layer": [0, ""]}}}), r"got \[0, ''\] as an attribute"),
    "attributes of nothing": (layer(0, attributes={"body": {"more": 5}}), "content"),
    "no attributes": (layer(0, attributes={"": 5}), "content"),
    "made": (layer(0, made={"body": ["ReLU", {}]}), r"Linear.body: got ReLU\(\), .* nothing\(\), want the same"),
    "made of nothing": (layer(0, made={"": 5}), "content"),
    "eval": (layer(0, eval=["x"]), "names in eval or frozen that it does not have"),
    "frozen": (layer(0, frozen=["x"]), "names in eval or frozen that it does not have"),
    "eval of lists": (layer(0, eval=[[]]), "content"),
    "tie": (layer(3, tied={"weight": [0, "bias"]}), r"'weight': got a tie to float32 \(2,\), want float32 \(2, 2\)"),
    "tie to a buffer": (layer(3, tied={"bias": [1, "running_mean"]}), "a tie to something else"),
    "tie of nothing": (layer(3, tied={"wait": [0, "weight"]}), "a tie to something else"),
    "tie to itself": (layer(3, tied={"weight": [3, "weight"]}), "no tensor '3.weight'"),
    "tie of its own": (layer(3, tied={"weight": [3, "bias"]}), "got a tie to float32"),
    "shape alone": (options(1, num_features=3), r"got '1.weight' of float32 \(2,\), want float32 \(3,\)"),
    "tie a text": (layer(3, tied={"weight": "0.weight"}), "content"),
    "untied": (layer(3, tied={}), "got no tensor '3.weight'"),
    "generator": (options(2, generator={"generator": 1}), "want the number of one of 1"),
    "generator's state": (model(generators=[{"seed": -1}]), "content"),
    "generators": (model(generators={}), "got dict as generators, want list"),
    "no layers": (model(layers=[]), "layers: got none"),
    "layers": (model(layers={"a": 1}), "got dict as layers"),
    "entry": (model(layers=[3]), "got int, want a dict"),
    "only one": (model(layers=[{"type": "Linear", "options": LINEAR}]), "got no tensor 'weight'"),
    "no model": (lambda state: state.pop("model") and None, "no description of a model"),
    "text of nothing": (lambda state: "", "content"),
    "a list": (lambda state: "[]", "no description of a model"),
    "no JSON": (lambda state: "{", "content"),
    "deep": (lambda state: "[" * 100_000, "content"),
    "an array": (lambda state: '{"model":{"$array":"0.weight"}}', "content"),
    "large": (options(0, in_features=10**9, out_features=10**9), "got one of 4000000000000000000 bytes, want at most"),
    "larger": (options(0, in_features=10**400), "content"),
    "beyond 64 bits": (options(0, in_features=2**62, out_features=2**62), "got one of more than 2\\*\\*64 bytes"),
    "long": (layer(1, type="LayerNorm", options={"normalized_shape": [2**62] * 24_000}), "got 24000 axes"),
    "window": (layer(1, type="MaxPool2d", options={"kernel_size": [10**9, 10**9]}), "content"),
    "statistics": (layer(1, type="Normalize", options={"shape": [10**9, 10**9]}), "want at most"),
    "norm": (layer(1, type="BatchNorm2d", options={"num_features": 10**12}), "want at most"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_forged_descriptions(name: str, room: Path) -> None:
    change, sentence = CHANGES[name]
    fastnn.save(small(), room / "a")
    files.forged(room / "a", change)
    if sentence is None:
        assert fastnn.load(room / "a")[2].generator is None  # type: ignore[index]
    else:
        refused(room / "a", sentence)


def test_the_smallest_change_is_a_model() -> None:
    """What the changes begin with is a model."""
    assert len(list(small().parameters())) == 5


TENSORS: dict[str, Any] = {
    "missing": ({}, b""),
    "another name": ({"b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
    "overlap": ({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}, b"\0" * 8),
    "hole": ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}, b"\0" * 16),
    "a product beyond 64 bits": ({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}, b""),
    "dtype": ({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
    "more bytes": ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 12),
}


@pytest.mark.parametrize("name", TENSORS)
def test_forged_tensors(name: str, room: Path) -> None:
    fastnn.save(small(), room / "a")
    files.forged(room / "a", lambda state: None, TENSORS[name])
    refused(room / "a", "content that is not a model's")


def test_bytes_that_are_no_bools(room: Path) -> None:
    class Flags(nn.Module):
        def __init__(self) -> None:
            self.flags = np.ones(8, bool)

    fastnn.save(Flags(), room / "a")
    entry = {"flags": {"dtype": "BOOL", "shape": [8], "data_offsets": [0, 8]}}
    files.forged(room / "a", lambda state: None, (entry, bytes([0, 1, 2, 0, 0, 0, 0, 0])))
    with pytest.raises(CheckpointError, match="other bytes than 0 and 1"):
        fastnn.load(room / "a", [Flags])


def test_other_files(room: Path) -> None:
    """Files of other programs, checkpoints, newer formats, folders and pipes are told apart."""
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"0.weight": np.ones((2, 2), np.float32)}, room / "others")
    refused(room / "others", r"a file without a checksum, want a model of fastnn; build the model and call "
            r"model.load_state_dict\(safetensors.numpy.load_file\(path\)\)")  # fmt: skip
    save(room / "checkpoint", {"a": np.ones(3)})
    refused(
        room / "checkpoint", r"got a checkpoint of a training, want a model of fastnn; continue it with Trainer.fit"
    )
    (room / "empty").touch()
    refused(room / "empty", "got 0 bytes, fewer than its header says, want a model of fastnn; save it again")
    fastnn.save(nn.ReLU(), room / "a")
    with pytest.raises(CheckpointError, match="content that is not a checkpoint's"):
        from fastnn.checkpoint import load

        load(room / "a")
    head, body = checkpoints.parts((room / "a").read_bytes())
    head["__metadata__"]["format"] = "2"
    (room / "a").write_bytes(checkpoints.signed(head, body))
    refused(room / "a", "version 2 of the format, want a model of fastnn; install a version of fastnn that knows more")
    with pytest.raises(IsADirectoryError):
        fastnn.load(room)
    with pytest.raises(FileNotFoundError):
        fastnn.load(room / "missing")


def test_a_change_while_the_file_is_read(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksum is verified once more as the values are read."""
    fastnn.save(small(), room / "a")
    original = reading._built

    def built(*arguments: Any) -> Any:
        with open(room / "a", "r+b") as file:
            file.seek(-1, 2)
            byte = file.read(1)[0]
            file.seek(-1, 2)
            file.write(bytes([byte ^ 1]))
        return original(*arguments)

    monkeypatch.setattr(reading, "_built", built)
    refused(room / "a", "a checksum that does not match")


WATCHED = """
import json, resource, sys, tracemalloc
sys.path.insert(0, {tests!r})
import model_files as files
import fastnn
from fastnn.checkpoint import CheckpointError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
for path in {paths!r}:
    try:
        fastnn.load(path)
    except CheckpointError:
        pass
for path in {paths!r}:
    tracemalloc.start()
    before = peak()
    try:
        fastnn.load(path)
        told = "loaded"
    except CheckpointError as error:
        told = str(error)
    print(json.dumps([told, tracemalloc.get_traced_memory()[1], peak() - before]))
    tracemalloc.stop()
"""


def test_memory(room: Path) -> None:
    """A forged file takes at most its size and 64 MB before it is refused; a good one takes its size."""
    fastnn.save(nn.Sequential(nn.Linear(1000, 5000)), room / "good")  # 20 MB
    relu, wide = {"type": "ReLU", "options": {}}, {"in_features": 1000, "out_features": 5000, "dtype": "float32"}
    linear = {"type": "Linear", "options": wide}
    inside = lambda *numbers: {"type": "Sequential", "options": {"layers": {"dict": {  # noqa: E731
        str(i): {"layer": [n, ""]} for i, n in enumerate(numbers)}}}}  # fmt: skip
    tied = linear | {"tied": {"weight": [0, "weight"], "bias": [0, "bias"]}}
    forgeries: dict[str, tuple[Any, str]] = {
        "huge": (options(0, in_features=10**9, out_features=10**9), "want at most"),
        "many": (model(layers=[linear] * 100), "want at most"),
        "deep": (model(layers=[relu, *(inside(i) for i in range(5_000))]), "101 deep"),
        "wide": (model(layers=[relu, *(inside(i, i) for i in range(40))]), "modules, "),
        "list": (layer(0, type="LayerNorm", options={"normalized_shape": [1] * 170_000}), "axes"),
        "names": (options(1, layers={"dict": {str(i): {"layer": [0, ""]} for i in range(9_000)}}), "loaded"),
        "relus": (model(layers=[relu] * 14_000), "which no layer has"),
        "ties": (model(layers=[linear, *[tied] * 2_000]), ""),
        "text": (lambda state: "[" * 500_000, "content"),
        "lists": (lambda state: "[" + "[]," * 170_000 + "[]]", "content"),
    }  # fmt: skip
    for name, (change, _) in forgeries.items():
        (room / name).write_bytes((room / "good").read_bytes())
        files.forged(room / name, change)
    names = ["good", *forgeries]
    program = WATCHED.format(tests=str(Path(__file__).parent), paths=[str(room / name) for name in names])
    lines = [json.loads(line) for line in python("-c", program).splitlines()]
    size = (room / "good").stat().st_size
    for name, (told, traced, resident) in zip(names, lines, strict=True):
        assert name == "good" or forgeries[name][1] in told, (name, told)
        assert traced < size + (8_000_000 if name == "good" else 64_000_000), (name, traced)
        assert resident < size + 64_000_000, (name, resident)


def test_a_limit_of_the_system(room: Path) -> None:
    """Under a limit of 512 MB beyond what importing takes, a forged file is refused by its sentence."""
    fastnn.save(nn.Sequential(nn.Linear(10, 10)), room / "a")
    files.forged(room / "a", options(0, in_features=10**5, out_features=10**5))
    told = python("-c", f"""
import resource
import fastnn
from fastnn.checkpoint import CheckpointError
fastnn.load
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26,) * 2)
try:
    fastnn.load({str(room / "a")!r})
except CheckpointError as error:
    print(error)
""")  # fmt: skip
    assert "got one of 40000000000 bytes, want at most" in told
