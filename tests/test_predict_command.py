"""python -m fastnn predict: runs and files of models, .npy and .csv, and every sentence for what cannot be done."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from config_files import GOOD, a_file, a_source, samples  # noqa: F401  # fixtures
from support import same_bits

import fastnn
from fastnn import nn, optim, runs
from fastnn.__main__ import main
from fastnn.data import Normalize
from fastnn.training import Trainer

pytest.importorskip("safetensors")
X = np.random.default_rng(0).normal(3, 2, (7, 4)).astype(np.float32)
NAMES = ("cat", "dog", "eel")


@pytest.fixture(name="model")
def a_model(tmp_path: Path) -> Trainer:
    """A trained Trainer, saved as model.safetensors, beside its samples as x.npy."""
    fastnn.manual_seed(3)
    net = nn.Sequential(nn.Linear(4, 3))
    trainer = Trainer(
        net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1), normalize=Normalize(4), classes=NAMES
    )
    trainer.fit((X, np.arange(7) % 3), epochs=3, verbose=False)
    trainer.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "x.npy", X)
    return trainer


def predict(directory: Path, source: str = "x.npy", target: str = "y.npy", *more: str, model: str = "") -> int:
    """Run the command."""
    where = str(directory / (model or "model.safetensors"))
    return main(["predict", where, "--input", str(directory / source), "--output", str(directory / target), *more])


def test_arrays(model: Trainer, tmp_path: Path, capsys: Any) -> None:
    """Results, probabilities and names are those of the Trainer; an existing output is replaced."""
    for more, wanted in (
        ([], model.predict(X)),
        (["--proba"], model.predict_proba(X)),
        (["--labels"], model.predict_classes(X)),
    ):
        assert predict(tmp_path, "x.npy", "y.npy", *more) == 0
        found = np.load(tmp_path / "y.npy")
        assert found.tolist() == wanted.tolist() and found.dtype == wanted.dtype
    assert capsys.readouterr().out.splitlines()[-1] == f"7 predictions; see {tmp_path / 'y.npy'}"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("header", [True, False])
def test_tables(header: bool, model: Trainer, tmp_path: Path) -> None:
    """Numbers pass through CSV without losing a bit; the header has the names of the classes."""
    lines = [",".join(map(str, row.tolist())) for row in X]
    text = "\r\n".join((["a,b,c,d"] if header else []) + lines + [""])
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf" * header + text.encode())
    assert predict(tmp_path, "x.csv", "y.csv", "--proba") == 0
    with open(tmp_path / "y.csv", newline="") as file:
        first, *rows = csv.reader(file)
    assert first == list(NAMES) and same_bits(np.array(rows, np.float32), model.predict_proba(X))
    assert predict(tmp_path, "x.csv", "y.csv", "--labels") == 0
    assert (tmp_path / "y.csv").read_text().split() == ["class", *model.predict_classes(X)]


FORMS = {
    "semicolons": lambda lines: [line.replace(",", ";") for line in lines],
    "tabs": lambda lines: [line.replace(",", "\t") for line in lines],
    "spaces and quotes": lambda lines: [", ".join(f'"{text}"' for text in line.split(",")) for line in lines],
    "commas in quotes": lambda lines: ['"a, of x";"b, of y";c;"d,,,"', *(x.replace(",", ";") for x in lines[1:])],
    "empty lines": lambda lines: ["", "  ", *(" \n\n".join(lines).split("\n"))],
}


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_tables(form: str, name: str, model: Trainer, tmp_path: Path) -> None:
    """Tables as spreadsheets and other programs write them have the same numbers."""
    lines = FORMS[form](["a,b,c,d", *(",".join(map(str, row.tolist())) for row in X)])
    (tmp_path / name).write_text("\n".join(lines))
    assert predict(tmp_path, name) == 0
    assert same_bits(np.load(tmp_path / "y.npy"), model.predict(X))


def test_columns_of_a_run(file: Any, tmp_path: Path, capsys: Any) -> None:
    """Columns with names are those of the training, in any order; others are left out, and that is told."""
    x, y = samples()
    lines = [
        "b,a,kind,c,e,d",
        *(",".join(map(str, [*row[:2], "xyz"[k], *row[2:]])) for row, k in zip(x, y, strict=True)),
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    path = file(GOOD, ("SOURCE", str(tmp_path / "train.csv")), ("[data]", '[data]\ntargets = "kind"'))
    run = str(runs.train(path, tmp_path / "runs").relative_to(tmp_path))
    wanted = Trainer.load(tmp_path / run / "model.safetensors").predict(x.astype(np.float32))
    cells = [line.split(",") for line in lines]
    for name, order in {"same": [0, 1, 3, 4, 5], "other": [5, 1, 0, 4, 3], "more": [2, 4, 5, 1, 3, 0]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(",".join(row[i] for i in order) for row in cells))
        capsys.readouterr()
        assert predict(tmp_path, f"{name}.csv", model=run) == 0
        assert same_bits(np.load(tmp_path / "y.npy"), wanted)
        assert capsys.readouterr().out.startswith("without the columns kind, which") == (name == "more")
    (tmp_path / "none.csv").write_text("\n".join(",".join([*row[:2], *row[3:]]) for row in cells[1:]))
    assert predict(tmp_path, "none.csv", model=run) == 0
    assert same_bits(np.load(tmp_path / "y.npy"), wanted)
    for header, sentence in (
        (
            "b,a,c,e,f",
            f"got no column 'd' in {tmp_path / 'z.csv'}, want those of the training; name it as there, or rem",
        ),
        ("b,a,c,e,d,d", "got 'd', which 2 columns are called, want one; rename the others"),
    ):
        (tmp_path / "z.csv").write_text(header + "\n" + ",".join("1" * (header.count(",") + 1)))
        assert predict(tmp_path, "z.csv", model=run) == 1
        assert capsys.readouterr().err.startswith(f"fastnn: --input: {sentence}")


def test_a_run(file: Any, tmp_path: Path) -> None:
    """The directory of a run has its normalisation and names; samples become rows, integers floats."""
    path = file(GOOD, ("[data]", "[data]\nnormalize = true"), ("epochs = 2", f"epochs = 2\nclasses = {list(NAMES)}"))
    run = runs.train(path, tmp_path / "runs")
    x, _ = samples()
    np.save(tmp_path / "x.npy", x.reshape(-1, 5, 1))
    assert predict(tmp_path, "x.npy", "y.npy", "--labels", model=str(run.relative_to(tmp_path))) == 0
    trainer = Trainer.load(run / "model.safetensors")
    wanted = trainer.predict_classes(x.astype(np.float32))
    assert np.load(tmp_path / "y.npy").tolist() == wanted.tolist() and set(wanted) <= set(NAMES)
    np.save(tmp_path / "x.npy", x.astype(np.int64))
    assert predict(tmp_path, model=str(run.relative_to(tmp_path))) == 0
    assert same_bits(np.load(tmp_path / "y.npy"), trainer.predict(x.astype(np.int64).astype(np.float32)))


def test_a_model_alone(tmp_path: Path, capsys: Any) -> None:
    """A model that fastnn.save wrote has no loss: logits are those of classes if there are several."""
    np.save(tmp_path / "x.npy", X)
    net = nn.Sequential(nn.Linear(4, 3))
    fastnn.save(net, tmp_path / "model.safetensors")
    assert predict(tmp_path, "x.npy", "y.csv") == 0
    assert (tmp_path / "y.csv").read_text().splitlines()[0] == "output_0,output_1,output_2"
    assert predict(tmp_path, "x.npy", "y.npy", "--labels") == 0
    assert np.load(tmp_path / "y.npy").tolist() == net(X)[0].argmax(axis=1).tolist()
    fastnn.save(nn.Sequential(nn.Linear(4, 1)), tmp_path / "model.safetensors")
    capsys.readouterr()
    for option, name in (("--proba", "predict_proba"), ("--labels", "predict_classes")):
        assert predict(tmp_path, "x.npy", "z.npy", option) == 1
        assert capsys.readouterr().err.startswith(
            f"fastnn: {name}: got outputs of shape (7, 1) and a loss that names no "
        )
    assert not (tmp_path / "z.npy").exists()


TABLES = {
    "1,2,3,4\n1,x,3,4\n": "got 'x' in line 2, column '1' of PATH, want a number",
    "a,b,c,d\n1,2,3,4\n1,2,,4\n": "got '' in line 3, column 'c' of PATH, want a number",
    "a,1,c,d\n1,2,3,4\n": "got 'a' in line 1, column '0' of PATH, want a number",
    "1,2,3,4\n1,2,3\n": "got 3 fields in line 2 of PATH, want 4, as in line 1",
    "1,2,3,4\n1,2,3,4,\n": "got 5 fields in line 2 of PATH, want 4, as in line 1",
    "1,2,3,1_0\n": "got '1_0' in line 1, column '3' of PATH",
    "": "got no line in PATH, want one for each sample",
    "a,b,c,d\n": "got no line of numbers in PATH, want some",
    "1,5;2,5;3;4\n": "got '1,5' in line 1, column '0' of PATH",
    "a;b;c;d\n1,5;2;3;4\n": "got '1,5' in line 2, column 'a' of PATH, want a number; write the column as numbers, such",
    "1,2,3,1e300\n": "got numbers beyond float32 in PATH, want those of the training",
    "1,2,3,-1e400\n": "got '-1e400' in line 1, column '3' of PATH, want a number that float64 can hold; scale the",
    "\udcff\n": "got PATH, which is not a table",
    '1,"2,3,4\n': "got PATH, which is not a table (unexpected end of data), want fields with commas between them, in U",
}


@pytest.mark.parametrize("text", TABLES, ids=range(len(TABLES)))
def test_bad_tables(text: str, model: Trainer, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert predict(tmp_path, "x.csv") == 1
    wanted = TABLES[text].replace("PATH", str(path))
    assert capsys.readouterr().err.startswith(f"fastnn: --input: {wanted}")
    assert not (tmp_path / "y.npy").exists()


ARRAYS: dict[str, tuple[Any, str]] = {
    "strings": (np.array(["a"]), "--input: got <U1 (1,) in "),
    "no sample": (np.zeros((0, 4)), "--input: got float64 (0, 4) in "),
    "a number": (np.array(1.0), "--input: got float64 () in "),
    "complex": (np.zeros((2, 4), complex), "--input: got complex128 (2, 4) in "),
    "objects": (np.array([{}]), "--input: got "),
    "columns": (np.zeros((2, 5)), "x: got float32 (2, 5), of which the first 2 raise: "),
    "huge": (np.zeros((1, 4)) + 1e300, "--input: got numbers beyond float32 in "),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_bad_arrays(name: str, model: Trainer, tmp_path: Path, capsys: Any) -> None:
    array, sentence = ARRAYS[name]
    np.save(tmp_path / "x.npy", array)
    assert predict(tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"fastnn: {sentence}") and len(error.splitlines()) == 1
    assert not (tmp_path / "y.npy").exists()


def test_bad_files(model: Trainer, tmp_path: Path, capsys: Any) -> None:
    """Files that are missing, that are something else, and outputs that would replace what is read."""
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "other.safetensors").write_bytes(b"\0" * 20)
    (tmp_path / "empty").mkdir()
    for source, target, other, sentence in (
        ("text.npy", "y.npy", "", f"--input: got {tmp_path / 'text.npy'}, which is not an array ("),
        ("missing.npy", "y.npy", "", f"{tmp_path / 'missing.npy'}: got 'No such file or directory', want a path"),
        ("missing.csv", "y.npy", "", f"{tmp_path / 'missing.csv'}: got 'No such file or directory', want a path"),
        ("x.npy", "y.npy", "missing", f"{tmp_path / 'missing'}: got 'No such file or directory', want a path"),
        ("x.npy", "y.npy", "empty", f"{tmp_path / 'empty' / 'model.safetensors'}: got 'No such file or directory'"),
        ("x.npy", "y.npy", "other.safetensors", f"{tmp_path / 'other.safetensors'}: got a file without a checksum"),
        ("x.npy", "x.npy", "", f"--output: got {tmp_path / 'x.npy'}, which is read here too, want another file"),
        (
            "x.npy",
            "none/y.npy",
            "",
            f"--output: got {tmp_path / 'none/y.npy'}, want a file in an existing directory; make",
        ),
    ):
        assert predict(tmp_path, source, target, model=other) == 1
        assert capsys.readouterr().err.startswith(f"fastnn: {sentence}")
    (tmp_path / "empty" / "config.toml").touch()
    assert predict(tmp_path, model="empty") == 1
    assert capsys.readouterr().err == (
        f"fastnn: model: got '{tmp_path / 'empty'}' without model.safetensors, want a run "
        f"that has ended; python -m fastnn resume {tmp_path / 'empty'} continues it\n"
    )
    assert not (tmp_path / "y.npy").exists() and same_bits(np.load(tmp_path / "x.npy"), X)


@pytest.mark.parametrize(
    "arguments",
    [["--input", "x.txt", "--output", "y.npy"], ["--input", "x.npy", "--output", "y"], ["--input", "x.npy"],
     ["--input", "x.npy", "--output", "y.npy", "--proba", "--labels"]],
)  # fmt: skip
def test_wrong_arguments(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["predict", "run", *arguments])
    assert caught.value.code == 2 and "error: " in capsys.readouterr().err


def test_own_layers(tmp_path: Path, capsys: Any) -> None:
    """The command knows no layers of one's own, and says so."""

    class Mine(nn.Module):
        pass

    fastnn.save(Mine(), tmp_path / "model.safetensors")
    np.save(tmp_path / "x.npy", X)
    assert predict(tmp_path) == 1
    assert "'Mine': got an unknown layer, want a class of your own in layers=" in capsys.readouterr().err
