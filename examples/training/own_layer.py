"""A layer of one's own: an embedding of integer ids, with its backward; the text's words decide its label."""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.training import check_gradients


class MeanEmbedding(nn.Module):
    """The mean of the vectors of a text's words: (N, length) ids -> (N, size)."""

    def __init__(self, words, size):
        self.weight = nn.Parameter(fastnn.init.normal_(np.empty((words, size), np.float32)))

    def __call__(self, ids):
        def backward(dy, input_grad=True):
            def compute(out):  # fills an array like the weight with its gradient
                out[...] = 0
                np.add.at(out, ids, dy[:, None] / ids.shape[1])

            self.weight.accumulate(compute)  # adds to what earlier calls have found; nothing for a frozen weight
            return None  # ids have no gradient

        return self.weight.data[ids].mean(axis=1), backward


fastnn.manual_seed(0)
rng = np.random.default_rng(0)
ids = rng.integers(0, 100, (2000, 8))  # words 0 to 9 are praise, 10 to 19 blame
y = ((ids < 10).sum(axis=1) > ((ids >= 10) & (ids < 20)).sum(axis=1)).astype(np.int64)

model = nn.Sequential(MeanEmbedding(100, 16), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))
trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-2))
print(check_gradients(model, trainer.loss, (ids[:16], y[:16])))
trainer.fit((ids[:1500], y[:1500]), (ids[1500:], y[1500:]), epochs=10, verbose=False)
assert trainer.history["val_accuracy"][-1] > 0.95
