"""A whole training has the same bits on every instruction set and for any number of threads."""

import os
from pathlib import Path

import pytest
from support import THREADS, python

import fastnn

pytest.importorskip("mlxtend")
SCRIPT = Path(__file__).with_name("whole_training.py")


def _hashes(isa: str, epochs: int, *threads: int) -> set[str]:
    """Return the different hashes of weights, history and predictions after some epochs."""
    return set(python(str(SCRIPT), str(epochs), *map(str, threads), seconds=600, FASTNN_ISA=isa).splitlines())


def test_instruction_sets_and_threads() -> None:
    """The demo's training: initial values, order, dropout, norms, AdamW, schedule, validation, single predictions."""
    wide = [isa for isa in fastnn.supported_isas() if isa != "base"] or ["base"]
    hashes = set().union(*(_hashes(isa, 40, *THREADS) for isa in wide))
    assert len(hashes) == 1


def test_the_baseline() -> None:
    """Without fused multiply-add instructions products take many times as long: two epochs, unless all are wanted."""
    epochs = 40 if os.environ.get("FASTNN_TEST_LARGE") else 2
    assert len(_hashes("base", epochs, 2) | _hashes(fastnn.supported_isas()[-1], epochs, 1)) == 1
