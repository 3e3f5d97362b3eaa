"""Section [data]: where the samples come from, and how they are split."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn._checks import finite, integer
from fastnn._types import Array
from fastnn.data import load_digits, train_test_split, train_validation_test_split

Pair = tuple[Array, Any]


class Data:
    """Samples x as rows of float32, and labels or target probabilities y.

    Args:
        source: "digits", or the path of a .npz or .safetensors file with arrays x (N, ...) and y.
        fractions: fractions of training, validation and, if there are three, test samples; their sum is 1.
        stratify: give each part its fraction of every class.
        normalize: begin the network with a `Normalize`, fitted to the training part.
        seed: seed of the random split.

    Raises:
        ValueError: an argument is invalid, or the file does not exist.
    """

    def __init__(
        self,
        source: str,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        stratify: bool = False,
        normalize: bool = False,
        seed: int = 0,
    ) -> None:
        if source != "digits" and Path(source).suffix not in _READERS:
            raise ValueError(f"source: got {source!r}, want 'digits' or a path that ends with {' or '.join(_READERS)}")
        if source != "digits" and not Path(source).is_file():
            raise ValueError(f"source: got {source!r}, want an existing file; check the path and the working directory")
        positive = all(fraction > 0 for fraction in fractions)
        if len(fractions) not in (2, 3) or not positive or not math.isclose(sum(fractions), 1, rel_tol=1e-12):
            raise ValueError(f"fractions: got {fractions}, want two or three positive numbers whose sum is 1")
        self.source, self.fractions, self.stratify = source, fractions, stratify
        self.normalize, self.seed = normalize, integer("seed", seed, end=2**64, want="an integer in [0, 2^64)")

    def load(self) -> tuple[Pair, Pair, Pair | None]:
        """Return the training, validation and test parts: x (n, features) float32, y (n,) int64 or (n, C) float32.

        Raises:
            ImportError: a package that the source needs is not installed.
            OSError: the file cannot be read.
            ValueError: it does not contain such arrays, or NaN, infinity, numbers beyond float32, too few samples.
        """
        x, y = _digits() if self.source == "digits" else self._read()
        # Before the split, so that errors name rows of the file.
        x = _as_float32("x", x).reshape(len(x), -1)
        y = _as_float32("y", y) if y.dtype.kind == "f" else y.astype(np.int64)
        if len(self.fractions) == 2:
            train, validation = train_test_split(x, y, self.fractions[1], stratify=self.stratify, seed=self.seed)
            return train, validation, None
        return train_validation_test_split(x, y, self.fractions, stratify=self.stratify, seed=self.seed)

    def _read(self) -> tuple[Array, Any]:
        path = Path(self.source)
        try:
            arrays = _READERS[path.suffix](path)
            x, y = arrays["x"], arrays["y"]
        except (ImportError, OSError):
            raise
        except KeyError:
            raise ValueError(f"source: got {sorted(arrays)} in {path}, want arrays x and y") from None
        except Exception as error:  # safetensors has its own exception class, zlib and NumPy have several
            raise ValueError(f"source: got a file {path} that cannot be read ({error}), want arrays x and y") from None
        for name, array in (("x", x), ("y", y)):
            if array.dtype.kind not in "biuf" or array.ndim == 0 or array.size == 0:
                raise ValueError(f"source: got {name} of {array.dtype} and shape {array.shape} in {path}, want "
                                 "numbers, a row for each sample")  # fmt: skip
        if len(x) != len(y):
            raise ValueError(f"source: got {len(x)} of x and {len(y)} of y in {path}, want as many of both")
        if y.dtype.kind != "f" and y.max() >= len(y):
            raise ValueError(
                f"source: got label {y.max()} among {len(y)} samples in {path}, want classes counted from 0"
            )
        return x, y


def _as_float32(name: str, array: Any) -> Array:
    """Convert an array to float32 in C order; raise ValueError unless it is finite before and afterwards."""
    finite(name, array)
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, np.float32)
    finite(f"{name} as float32", result)
    return result


def _digits() -> tuple[Array, Any]:
    (x, y), (more_x, more_y) = load_digits()
    return np.concatenate([x, more_x]), np.concatenate([y, more_y])


def _npz(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise ValueError("no zip file")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _safetensors(path: Path) -> dict[str, Any]:
    import safetensors.numpy

    return safetensors.numpy.load_file(path)


_READERS = {".npz": _npz, ".safetensors": _safetensors}
