"""Trains the network of the demo and prints hashes of its weights, its history and its predictions.

    python tests/whole_training.py EPOCHS THREADS...

trains once for each number of threads; FASTNN_ISA chooses the instruction set. Initialisation, order, dropout, batch
norm, AdamW, schedule, validation and prediction take part, and orthogonal weights.
"""

import hashlib
import sys

import numpy as np

import fastnn
from fastnn import demo, init, nn
from fastnn.data import load_digits


def train(epochs: int) -> tuple[str, ...]:
    """Return the hashes of the weights, of all losses and metrics, and of the logits."""
    train_data, test_data = load_digits()
    fastnn.manual_seed(0)
    model = init.initialize(demo.build_model())
    first = model[0]
    assert isinstance(first, nn.Linear)
    init.orthogonal_(first.weight)
    trainer = demo.build_trainer(model, epochs * 32)
    history = trainer.fit(train_data, test_data, epochs=epochs, batch_size=128, verbose=False)
    numbers = [value for name in sorted(history) if "seconds" not in name for value in history[name]]
    logits = trainer.predict(test_data[0])
    one_by_one = np.concatenate([trainer.predict(row[None]) for row in test_data[0][:50]])
    assert (logits[:50] == one_by_one).all()
    weights = b"".join(array.tobytes() for array in model.state_dict().values())
    return tuple(
        hashlib.sha256(part).hexdigest()[:16]
        for part in (weights, np.array(numbers, float).tobytes(), logits.tobytes())
    )


if __name__ == "__main__":
    for threads in map(int, sys.argv[2:]):
        fastnn.set_num_threads(threads)
        print(*train(int(sys.argv[1])))
