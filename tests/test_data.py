"""fastnn.data: parts are disjoint and complete, with the right sizes and classes; cross-validation; refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import python

import fastnn
from fastnn import nn, optim
from fastnn.data import (
    FoldScores,
    KFold,
    Normalize,
    StratifiedKFold,
    cross_validate,
    train_test_split,
    train_validation_test_split,
)

FRACTIONS = [(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (1 / 3, 1 / 3, 1 / 3), (0.15, 0.7, 0.15)]
SIZES = range(1, 61)
RNG = np.random.default_rng(3)


def least(fractions):
    """Return the smallest number of samples, or of samples in a class, for which every part gets at least one."""
    return math.ceil(round(1 / min(fractions), 9))


def mixed(counts, seed=0):
    """Return shuffled (x, y) with these numbers of samples per class; x numbers the samples."""
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    return np.arange(len(y)), y


def check_parts(x, y, parts, fractions, stratified):
    """The parts hold each sample once, in order and with its own y; every share is right to within one sample."""
    assert sorted(np.concatenate([part for part, _ in parts])) == x.tolist()
    for (part_x, part_y), fraction in zip(parts, fractions, strict=True):
        assert len(part_x) > 0 and abs(len(part_x) - fraction * len(x)) <= 1 + 1e-9
        assert (np.diff(part_x) > 0).all() and (part_y == y[part_x]).all()
        if stratified:
            shares = np.bincount(part_y, minlength=y.max() + 1)
            assert (shares > 0).all() and (abs(shares - fraction * np.bincount(y)) <= 1 + 1e-9).all()


@pytest.mark.parametrize("fractions", FRACTIONS)
def test_parts_of_every_size(fractions):
    for n in SIZES:
        x, y = mixed([n])
        if n < least(fractions):
            with pytest.raises(ValueError, match=f"x: got length {n}, want at least {least(fractions)}"):
                train_validation_test_split(x, y, fractions)
        else:
            check_parts(x, y, train_validation_test_split(x, y, fractions, seed=n), fractions, stratified=False)


@pytest.mark.parametrize("fractions", FRACTIONS)
@given(extra=st.lists(st.integers(0, 50), min_size=1, max_size=12), seed=st.integers(0, 2**64 - 1))
def test_parts_of_every_mix(fractions, extra, seed):
    x, y = mixed([least(fractions) + more for more in extra], seed)
    parts = train_validation_test_split(x, y, fractions, stratify=True, seed=seed)
    check_parts(x, y, parts, fractions, stratified=True)


def test_no_part_lacks_a_class():
    """Every part has every class, even if a share of one sample, 5 (1 - 0.34 - 0.46), is rounded to less than 1."""
    x, y = mixed([7, 5])
    parts = train_validation_test_split(x, y, (0.34, 0.46, 1 - 0.34 - 0.46), stratify=True, seed=0)
    check_parts(x, y, parts, (0.34, 0.46, 0.2), stratified=True)


@given(
    percent=st.integers(1, 99), counts=st.lists(st.integers(100, 160), min_size=1, max_size=5), stratify=st.booleans()
)
def test_two_parts(percent, counts, stratify):
    """100 samples are enough for every whole percentage, however 1 - p is rounded."""
    x, y = mixed(counts)
    fractions = 1 - percent / 100, percent / 100
    check_parts(x, y, train_test_split(x, y, percent / 100, stratify=stratify, seed=1), fractions, stratify)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("k", [2, 3, 5, 10])
def test_folds_of_every_size(k, shuffle):
    for n in range(k, 61):
        x, y = mixed([n])
        folds = list(KFold(k, shuffle, seed=n).split(x, y))
        assert len(folds) == k
        assert [len(validation) for _, validation in folds] == [n // k + (fold < n % k) for fold in range(k)]
        check_parts(x, y, [(x[validation], y[validation]) for _, validation in folds], [1 / k] * k, stratified=False)
        for train, validation in folds:
            assert train.dtype == validation.dtype == np.int64
            assert (np.sort(np.concatenate([train, validation])) == x).all() and (np.diff(train) > 0).all()


@given(
    k=st.integers(2, 49),
    extra=st.lists(st.integers(0, 50), min_size=1, max_size=12),
    shuffle=st.booleans(),
)
def test_folds_of_every_mix(k, extra, shuffle):
    x, y = mixed([k + more for more in extra])
    folds = list(StratifiedKFold(k, shuffle, seed=5).split(x, y))
    check_parts(x, y, [(x[validation], y[validation]) for _, validation in folds], [1 / k] * k, stratified=True)
    shares = np.array([np.bincount(y[validation]) for _, validation in folds])
    assert (np.ptp(shares, axis=0) <= 1).all() and np.ptp(shares.sum(1)) <= 1


@pytest.mark.parametrize("k", [2, 3, 5, 7])
@pytest.mark.parametrize("seed", range(20))
def test_folds_are_those_of_scikit_learn(k, seed):
    """Without shuffling the indices equal scikit-learn's; with it each fold has as many samples of each class."""
    theirs = pytest.importorskip("sklearn.model_selection")
    _, y = mixed(np.random.default_rng(seed).integers(k, 40, 4), seed)
    y = np.concatenate([np.arange(4), y])  # scikit-learn numbers classes in order of appearance
    for ours, witness in ((KFold, theirs.KFold), (StratifiedKFold, theirs.StratifiedKFold)):
        for own, other in zip(ours(k, shuffle=False).split(y, y), witness(k).split(y, y), strict=True):
            assert all((a == b).all() for a, b in zip(own, other, strict=True)), ours
        shuffled = ours(k, seed=seed).split(y, y), witness(k, shuffle=True, random_state=seed).split(y, y)
        for own, other in zip(*shuffled, strict=True):
            assert len(own[1]) == len(other[1])
            assert ours is KFold or (np.bincount(y[own[1]]) == np.bincount(y[other[1]])).all()


def indices(seed=None):
    """Return the part of every sample, for all ways to split."""
    x, y = mixed([40, 60])
    splits = (train_validation_test_split(x, y, seed=seed, stratify=stratify) for stratify in (False, True))
    folds = (kind(4, seed=seed).split(x, y) for kind in (KFold, StratifiedKFold))
    return [part.tolist() for pairs in (*splits, *folds) for pair in pairs for part in pair]


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int16, str, "S1"])
def test_classes_of_any_kind(kind):
    """Bools, integers and strings are classes; the parts are those of the integers 0 and 1."""
    y = np.arange(40) % 4 // 3
    want = train_test_split(y, y, 0.25, stratify=True, seed=1)
    folds = [part.tolist() for pair in StratifiedKFold(4, seed=2).split(y, y) for part in pair]
    classes = y.astype(kind)
    for (_, part), (_, wanted) in zip(
        train_test_split(classes, classes, 0.25, stratify=True, seed=1), want, strict=True
    ):
        assert (part == wanted.astype(kind)).all()
    assert [part.tolist() for pair in StratifiedKFold(4, seed=2).split(y, classes) for part in pair] == folds


def test_the_seed_chooses():
    fastnn.manual_seed(7)
    first = indices()
    assert first == indices(7) != indices(8) and indices(0) != first
    fastnn.random.uniform_(np.empty(3))  # numbers drawn in between do not matter
    assert first == indices() == indices(7)
    fastnn.manual_seed(0)
    assert indices() == indices(0)


@pytest.mark.parametrize("isa", fastnn.supported_isas())
def test_the_same_parts_everywhere(isa):
    code = """if True:
        import numpy as np
        from fastnn.data import train_validation_test_split
        _, (x, _), _ = train_validation_test_split(np.arange(30), np.arange(30) % 3, stratify=True, seed=42)
        print(*x)"""
    assert python("-c", code, FASTNN_ISA=isa, FASTNN_NUM_THREADS="2") == "1 3 6 7 11 17"


def test_splits_copy_and_change_nothing():
    x, y = RNG.normal(size=(30, 2, 3)).astype(np.float32), np.array(["a", "b"])[np.arange(30) % 2]
    x.setflags(write=False)
    before = x.copy(), y.copy()
    for part_x, part_y in train_validation_test_split(x, y, stratify=True, seed=0):
        assert part_x.dtype == x.dtype and part_x.shape[1:] == (2, 3) and part_y.dtype == y.dtype
        part_x[...] = 0
        part_y[...] = "b"
    assert (x == before[0]).all() and (y == before[1]).all()


N = np.arange(10)
BAD_SPLITS = {
    "x: got list": lambda: train_test_split([1, 2], N),
    "y: got list": lambda: train_test_split(N, [1, 2]),
    r"x: got shape \(\), want at least one sample": lambda: KFold().split(np.array(1.0)),
    r"x: got shape \(0, 3\), want at least one sample": lambda: KFold().split(np.empty((0, 3))),
    r"y: got shape \(9,\), want \(10, ...\)": lambda: train_test_split(N, N[:9]),
    r"fractions: got \(0.6, 0.2\)": lambda: train_validation_test_split(N, N, (0.6, 0.2)),
    r"fractions: got \(0.5, 0.5\), want three": lambda: train_validation_test_split(N, N, (0.5, 0.5)),
    r"fractions: got \(0.25, 0.25, 0.25, 0.25\)": lambda: train_validation_test_split(N, N, (0.25,) * 4),
    r"fractions: got \(0.6, 0.2, 0.2000000001\)": lambda: train_validation_test_split(N, N, (0.6, 0.2, 0.2000000001)),
    r"fractions: got \(0.6, 0.3, 0.2\)": lambda: train_validation_test_split(N, N, (0.6, 0.3, 0.2)),
    r"fractions: got \(1.2, 0.2, -0.4\)": lambda: train_validation_test_split(N, N, (1.2, 0.2, -0.4)),
    r"fractions: got \(nan, 0.5, 0.5\)": lambda: train_validation_test_split(N, N, (math.nan, 0.5, 0.5)),
    r"fractions: got \('a', 0.5, 0.5\)": lambda: train_validation_test_split(N, N, ("a", 0.5, 0.5)),
    r"fractions: got \(0.7, 0.3, 0.0\)": lambda: train_validation_test_split(N, N, (0.7, 0.3, 0.0)),
    r"fractions: got \(1, 0, 0\)": lambda: train_validation_test_split(N, N, (1, 0, 0)),
    r"fractions: got \(1.0, 1e-13, 1e-13\)": lambda: train_validation_test_split(N, N, (1.0, 1e-13, 1e-13)),
    "fractions: got 0.8": lambda: train_validation_test_split(N, N, 0.8),
    "test_size: got 1": lambda: train_test_split(N, N, 1),
    "test_size: got 0": lambda: train_test_split(N, N, 0.0),
    "test_size: got '0.2', want a fraction": lambda: train_test_split(N, N, "0.2"),
    "test_size: got None, want a fraction": lambda: train_test_split(N, N, None),
    "test_size: got nan": lambda: train_test_split(N, N, math.nan),
    "x: got length 10, want at least 20": lambda: train_test_split(N, N, 0.05),
    "y: got 1 of class 7, want at least 5": lambda: train_test_split(N, np.array([2] * 9 + [7]), stratify=True),
    r"y: got float64 of shape \(10,\), want integers": lambda: train_test_split(N, N / 2, stratify=True),
    r"y: got int64 of shape \(10, 1\), want integers": lambda: StratifiedKFold().split(N, N[:, None]),
    "y: got NoneType, want an array": lambda: StratifiedKFold().split(N, None),
    "y: got 2 of class 4, want at least 5": lambda: StratifiedKFold().split(N, np.array([3] * 8 + [4] * 2)),
    "x: got length 10, want at least 11": lambda: KFold(11).split(N),
    r"y: got .*9": lambda: KFold().split(N, N[:9]),
    "y: got list, want an": lambda: KFold().split(N, list(N)),
    "n_splits: got 1, want an integer of at least 2": lambda: KFold(1),
    "n_splits: got True": lambda: StratifiedKFold(True),
    "n_splits: got 2.0": lambda: KFold(2.0),
    "seed: got -1": lambda: KFold(seed=-1),
    "seed: got 0.5": lambda: train_test_split(N, N, seed=0.5),
}


@pytest.mark.parametrize("sentence", BAD_SPLITS)
def test_splits_refuse(sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        BAD_SPLITS[sentence]()


class Noting:
    """Records its arguments; its score is the sum of the samples on which it is evaluated."""

    def __init__(self):
        self.calls = []

    def fit(self, train, validation, **options):
        self.calls.append((train, validation, options))

    def evaluate(self, data):
        return {"sum": np.float32(data[0].sum()), "size": len(data[0])}


@pytest.mark.parametrize("kind", [KFold, StratifiedKFold])
def test_cross_validate_trains_on_all_other_folds(kind):
    x, y = mixed([13, 20])
    made = []

    def make(fold):
        assert fold == len(made)
        made.append(Noting())
        return made[-1]

    result = cross_validate(make, (x, y), 4, stratified=kind is StratifiedKFold, seed=6, epochs=3)
    folds = list(kind(4, seed=6).split(x, y))
    for noting, (train, validation) in zip(made, folds, strict=True):
        (((train_x, train_y), (held_x, held_y), options),) = noting.calls
        assert (train_x == train).all() and (held_x == validation).all()
        assert (train_y == y[train]).all() and (held_y == y[validation]).all() and options == {"epochs": 3}
    assert result.scores == {"sum": [held.sum() for _, held in folds], "size": [len(held) for _, held in folds]}
    assert sum(result.scores["sum"]) == x.sum()


def test_cross_validate_by_default():
    """Five stratified folds are drawn from the seed given to manual_seed; scores become Python's floats."""
    x, y = mixed([20, 30])
    made = [Noting() for _ in range(5)]
    fastnn.manual_seed(9)
    result = cross_validate(made.__getitem__, (x, y))
    held = [validation for _, validation in StratifiedKFold(5, seed=9).split(x, y)]
    assert [noting.calls[0][1][0].tolist() for noting in made] == [part.tolist() for part in held]
    assert (
        all(noting.calls[0][2] == {} for noting in made)
        and [np.bincount(y[part]).tolist() for part in held] == [[4, 6]] * 5
    )
    assert all(type(value) is float for values in result.scores.values() for value in values)
    assert all(type(value) is float for value in (*result.mean.values(), *result.std.values()))


def test_one_part_in_five_by_default():
    """train_test_split sets a fifth aside for the test, and three parts are 60, 20 and 20 %."""
    assert [len(x) for x, _ in train_test_split(N, N)] == [8, 2]
    assert [len(x) for x, _ in train_validation_test_split(N, N)] == [6, 2, 2]
    assert [len(list(kind().split(N, N % 2))) for kind in (KFold, StratifiedKFold)] == [5, 5]
    assert [part.tolist() for _, part in KFold(seed=1).split(N)] == [
        part.tolist() for _, part in KFold(5, True, 1).split(N)
    ]


def test_fold_scores():
    scores = FoldScores({"accuracy": [0.5, 1.0], "loss": [2.0, 2.0]})
    assert scores.mean == {"accuracy": 0.75, "loss": 2.0}
    assert scores.std == {"accuracy": pytest.approx(math.sqrt(0.125)), "loss": 0.0}
    assert repr(scores) == str(scores) == "accuracy: 0.75 +- 0.35 (0.5, 1)\nloss: 2 +- 0 (2, 2)"


X = RNG.normal(size=(60, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64)


def make_trainer(fold=0, model=None):
    model = model or nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    return fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=3e-2))


def test_cross_validate_a_trainer():
    def run():
        fastnn.manual_seed(4)
        return cross_validate(make_trainer, (X, LABELS), k=3, epochs=30)

    scores = run()
    assert [*scores.scores] == ["loss", "accuracy"] and scores.mean["accuracy"] > 0.8
    assert scores == run()


def test_objects_of_an_earlier_fold_are_refused():
    """A fold may not reuse a trainer, a model, a layer, or fitted statistics of an earlier fold."""
    trainer, model, layer = make_trainer(), make_trainer().model, nn.Linear(4, 2)
    fitted, pair = Normalize(4).fit(X), (Noting(), Noting())
    leaks = [
        lambda fold: trainer,
        lambda fold: pair[fold % 2],
        lambda fold: make_trainer(model=model),
        lambda fold: make_trainer(model=nn.Sequential(layer)),
        lambda fold: make_trainer(model=nn.Sequential(fitted, nn.Linear(4, 2))),
    ]
    for make in leaks:
        with pytest.raises(ValueError, match=r"make_model: got a model for fold [12] that an earlier fold has trained"):
            cross_validate(make, (X, LABELS), 3)


class Renaming(Noting):
    def __init__(self, fold):
        super().__init__()
        self.fold = fold

    def evaluate(self, data):
        return {"loss": 0.0, str(self.fold): 0.0}


NAN, INF = X.copy(), X[:, 0].copy()
NAN[20, 1], INF[30] = np.nan, np.inf

BAD_CROSS_VALIDATIONS = {
    "data: got ndarray, want a tuple": lambda: cross_validate(make_trainer, X),
    "k: got 1, want an integer of at least 2": lambda: cross_validate(make_trainer, (X, LABELS), 1),
    "y: got float32 of shape": lambda: cross_validate(make_trainer, (X, X[:, 0])),
    "y: got shape": lambda: cross_validate(make_trainer, (X, LABELS[:-1])),
    "x: got nan at row 20, column 1, want finite": lambda: cross_validate(make_trainer, (NAN, LABELS), 3),
    "y: got inf at row 30, want finite": lambda: cross_validate(make_trainer, (X, INF), 3, stratified=False),
    r"evaluate: got \['loss', '1'\] in fold 1, want \['loss', '0'\] as in fold 0": lambda: cross_validate(
        Renaming, (N, N % 2)
    ),
}


@pytest.mark.parametrize("sentence", BAD_CROSS_VALIDATIONS)
def test_cross_validate_refuses(sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        BAD_CROSS_VALIDATIONS[sentence]()
