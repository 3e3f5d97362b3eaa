"""Where a file's samples come from: tables, NumPy's files, data sets of scikit-learn; their columns and weights."""

import json
import sys

import numpy as np
import pytest
from config_files import GOOD, a_file, a_source, samples  # noqa: F401  # fixtures

from fastnn import config, runs
from fastnn.__main__ import main
from fastnn.runs.config.data import Data
from fastnn.runs.config.sources import TOY, read

X = np.arange(24.0).reshape(8, 3) / 8
ROWS = [",".join(map(str, row)) for row in X.tolist()]
KINDS = ["yes", "no", "no", "yes", "no", "no", "yes", "no"]


def table(tmp_path, lines, name="a.csv"):
    path = tmp_path / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("header", "targets", "weight", "x", "y", "weights"),
    [
        (None, None, None, [0, 1], [2], None),
        ("a,b,c", None, None, [0, 1], [2], None),
        ("a, b ,c", "b", None, [0, 2], [1], None),
        ("a,b,c", ["c", "a"], None, [1], [2, 0], None),
        ("a,b,c", 0, "c", [1], [0], 2),
        ("a,b,c", None, "c", [0], [1], 2),
        (None, [-1], 0, [1], [2], 0),
        ("a,b,c", [-2], -1, [0], [1], 2),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_of_tables(header, targets, weight, x, y, weights, separator, tmp_path):
    """Targets and weights are chosen by name or number, by default the last column; all others are inputs."""
    lines = [line.replace(",", separator) for line in [*([header] if header else []), *ROWS, ""]]
    raw = read(table(tmp_path, lines), targets, weight)
    np.testing.assert_array_equal(raw.x, X[:, x])
    np.testing.assert_array_equal(raw.y, X[:, y[0]] if len(y) == 1 else X[:, y])
    assert raw.weight is None if weights is None else (raw.weight == X[:, weights]).all()


@pytest.mark.parametrize("first", ["", "\ufeff"])
def test_names_of_classes(first, tmp_path):
    """Names are counted in the order of the alphabet, are kept for the report, and may be split by class."""
    lines = [f"{first}a,b,kind", *(f"{i},{-i},{kind}" for i, kind in enumerate(KINDS * 3))]
    data = Data(table(tmp_path, lines), [0.5, 0.5], stratify=True).load()
    assert data.names == ["no", "yes"]
    for x, y in data.parts[:2]:
        assert y.dtype == np.int64 and [["no", "yes"][i] for i in y] == [KINDS[int(row[0]) % 8] for row in x]
    binary = Data(table(tmp_path, lines), [0.5, 0.5]).load("binary")
    assert binary.train[1].dtype == np.float32 and binary.train[1].shape == (12, 1)
    assert {*binary.train[1].ravel()} == {0.0, 1.0}


@pytest.mark.parametrize(
    ("column", "dtype"), [(["0", "1"], np.int64), (["0", "1.5"], np.float32), (["0", "2.0"], np.float32)]
)
def test_numbers_of_tables(column, dtype, tmp_path):
    """Whole numbers are labels; with a fraction or a point they are real numbers."""
    lines = [f"{i},{column[i % 2]}" for i in range(8)]
    assert Data(table(tmp_path, lines), [0.5, 0.5]).load().train[1].dtype == dtype


@pytest.mark.parametrize(
    ("lines", "options", "sentence"),
    [
        ([], {}, "source: got no line in {}, want one for each sample"),
        (["a,b"], {}, "source: got no line of numbers in {}, want some"),
        (["1", "2"], {}, "source: got no column of inputs in {}, want some"),
        (["a,b", "1,2", "3"], {}, "source: got 1 fields in line 3 of {}, want 2, as in line 1"),
        (["a,b", "x,2"], {}, "source: got 'x' in line 2, column 'a' of {}, want a number; write the column"),
        (["a,b", "1,2", ",2"], {}, "source: got '' in line 3, column 'a' of {}, want a number; write the column"),
        (["price,b", "1,2"], {"targets": "prise"}, "targets: got 'prise', want price"),
        (["a,b", "1,2"], {"targets": 2}, "targets: got column 2, want one of 0 to 1"),
        (["a,b", "1,2"], {"targets": [-3]}, "targets: got column -3, want one of 0 to 1"),
        (["a,b", "1,2"], {"targets": ["a", "a"]}, "targets: got ['a', 'a'], want each column once, and at least one"),
        (["a,b", "1,2"], {"targets": []}, "targets: got [], want each column once, and at least one"),
        (["a,b", "1,2"], {"sample_weight": "w"}, "sample_weight: got 'w', want one of a, b"),
        (
            ["a,b", "1,x", "2,"],
            {},
            "source: got '' in line 3, column 'b' of {}, want a value in every line; fill it in",
        ),
        (["a,b", "1_0,2"], {}, "source: got '1_0' in line 2, column 'a' of {}, want a number"),
        (["a,a,b", "1,2,3"], {"targets": "a"}, "targets: got 'a', which 2 columns are called, want one; rename"),
        (["", "a,b", "1,2", "3"], {}, "source: got 1 fields in line 4 of {}, want 2, as in line 2"),
        (["1,2", "3,4"], {"targets": "b"}, "targets: got 'b', want one of 0, 1"),
    ],
)
def test_bad_tables(lines, options, sentence, tmp_path):
    path = table(tmp_path, lines)
    with pytest.raises(ValueError) as error:
        Data(path, **options).load()
    assert str(error.value).startswith(sentence.format(path))


def test_npy(tmp_path):
    """Targets are columns of the array or another file, and so are weights."""
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", X[:, :2])
    x, y = str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    for targets, weight, inputs, columns in [([-1], None, [0, 1], 2), ([0, 2], None, [1], [0, 2]), (1, 2, [0], 1)]:
        raw = read(x, targets, weight)
        assert (raw.x == X[:, inputs]).all() and (raw.y == X[:, columns]).all()
        assert raw.weight is None if weight is None else (raw.weight == X[:, weight]).all()
    raw = read(x, y, None)
    assert (raw.x == X).all() and (raw.y == X[:, :2]).all() and raw.weight is None
    with pytest.raises(
        ValueError, match=r'^targets: got nothing for a \.npy file, want the path of another one, as in "y'
    ):
        Data(x)
    for targets in ("z.npy", "target"):
        with pytest.raises(ValueError, match=rf"^targets: got '{targets}', want the path of an existing \.npy file$"):
            Data(x, targets=targets).load()
    np.save(tmp_path / "x.npy", np.zeros((4, 2, 2)))
    with pytest.raises(ValueError, match=r"^targets: got numbers of columns for an array of shape \(4, 2, 2\) in "):
        Data(x, targets=[0]).load()


def test_names_of_arrays(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, x=X, y=np.arange(8), z=X[:, 0], w=np.arange(8.0))
    raw = read(path, "z", "w")
    assert (raw.y == X[:, 0]).all() and (raw.weight == range(8)).all()
    with pytest.raises(ValueError, match=r"^targets: got 'v' in .*, want one of \['w', 'x', 'y', 'z'\]$"):
        Data(path, targets="v").load()
    np.savez(path, x=X, y=np.arange(8), w=X)
    with pytest.raises(ValueError, match=r"^sample_weight: got shape \(8, 3\), want a number for each sample"):
        Data(path, sample_weight="w").load()
    np.savez(path, x=X, y=np.arange(8), w=np.ones(7))
    with pytest.raises(ValueError, match=r"source: got 8 of x and 7 of the weights in .*, want as many of both"):
        Data(path, sample_weight="w").load()


def test_weights_follow_their_samples(file, source):
    """The weights are those of the training samples, and change what is learnt."""
    x, y = samples()
    np.savez(source, x=x, y=y, w=x[:, 0].astype(np.float32) ** 2)
    run = runs.Run(config.read(file(GOOD, ("[data]", '[data]\nsample_weight = "w"'))))
    np.testing.assert_allclose(run.sample_weight, run.train[0][:, 0].astype(np.float64) ** 2, rtol=1e-6)
    assert runs.Run(config.read(file())).sample_weight is None


@pytest.mark.parametrize("weights", [np.ones(120), np.arange(120.0)])
def test_weights_reach_the_training(weights, file, source, tmp_path):
    x, y = samples()
    np.savez(source, x=x, y=y, w=weights)
    pair = ("[data]", '[data]\nsample_weight = "w"')
    read_files = [config.read(file(GOOD, *pairs)) for pairs in ((), (pair,))]
    losses = [runs.Run(described).fit(tmp_path)["loss"] for described in read_files]
    assert (losses[0] == losses[1]) == bool((weights == 1).all())


@pytest.mark.parametrize("name", TOY)
def test_data_sets_of_scikit_learn(name):
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = getattr(datasets, TOY[name])(return_X_y=True)
    loaded = Data(name, [0.5, 0.5]).load("classes" if y.ndim == 1 and y.dtype.kind == "i" else "regression")
    assert sum(len(part[0]) for part in loaded.parts[:2]) == len(x)
    assert loaded.train[0].shape[1] == x.shape[1]
    if y.dtype.kind == "i":
        assert len(loaded.names) == len(np.unique(y)) and loaded.train[1].dtype == np.int64
    else:
        assert loaded.names is None and loaded.train[1].shape[1] == (y.shape[1] if y.ndim > 1 else 1)


def test_scikit_learn_is_missing(file, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    path = file(GOOD, ("SOURCE", "sklearn.iris"))
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "runs")]) == 1
    assert capsys.readouterr().err == ("fastnn: sklearn: got no such package, want it for this source; run pip install "
                                       "scikit-learn\n")  # fmt: skip


def test_names_are_on_the_page(file, tmp_path):
    """The confusion matrix has the names of a table's classes."""
    x, y = samples()
    lines = [
        "a,b,c,d,e,kind",
        *(",".join([*map(str, row), ["red", "green", "blue"][k]]) for row, k in zip(x, y, strict=True)),
    ]
    path = file(GOOD, ("SOURCE", table(tmp_path, lines, "b.csv")))
    run = runs.train(path, tmp_path / "runs")
    assert json.loads((run / "configuration.json").read_text())["names"] == ["blue", "green", "red"]


@pytest.mark.parametrize("last", ["1.0", "99999999999999999999"])
def test_labels_with_a_point(last, file, tmp_path, capsys):
    """Real numbers are no labels; both remedies work, and that of labels from 1."""

    def trained(one, *pairs):
        lines = [f"{i},{-i},{['0', one][i % 2]}" for i in range(120)]
        path = file(GOOD, ("SOURCE", table(tmp_path, lines)), *pairs)
        return main(["train", "--config", str(path), "--out", str(tmp_path / "runs")])

    assert trained(last) == 1
    remedy = "write them without a point, or set loss.name, to MSELoss for one, for a regression"
    assert capsys.readouterr().err == f"fastnn: train y: got float32, want integer labels; {remedy}\n"
    assert trained(last, ("[data]", '[loss]\nname = "MSELoss"\n[data]')) == 0 == trained("1")


def test_labels_from_one(file, tmp_path, capsys):
    path = file(GOOD, ("SOURCE", table(tmp_path, [f"{i},{-i},{i % 2 + 1}" for i in range(120)])))
    main(["train", "--config", str(path), "--out", str(tmp_path / "runs")])
    assert "if yours are counted from 1, subtract 1 in the data\n" in capsys.readouterr().err
