"""Data larger than memory: 3 GB in a memory-mapped file, trained in batches. One row in a hundred has a signal."""

import mmap
import sys
from pathlib import Path

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.training import Callback

rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
rng = np.random.default_rng(0)
y = np.zeros((rows, 1), np.float32)
y[rng.choice(rows, rows // 100, replace=False)] = 1
data = np.lib.format.open_memmap("x.npy", mode="w+", dtype=np.float32, shape=(rows, 784))
for i in np.flatnonzero(y):  # rows that nobody writes are zeros, and take no room on the disk
    data[i] = rng.normal(size=784)
del data


class Memory(Callback):
    """The largest number of MB of the process's own memory: not of pages of the file, which the system takes back."""

    most = 0

    def on_batch_end(self, trainer):
        status = Path("/proc/self/status").read_text()
        self.most = max(self.most, int(status.split("RssAnon:")[1].split()[0]) // 1024)


memory, x = Memory(), np.load("x.npy", mmap_mode="r")
x.base.madvise(mmap.MADV_RANDOM)  # read the rows of a batch alone, not also 128 KB around each
model = nn.Sequential(nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer, loss = optim.Adam(model.parameters(), lr=1e-2), nn.BCEWithLogitsLoss(pos_weight=[20.0])
trainer = fastnn.Trainer(model, loss, optimizer, metrics=["average_precision"], callbacks=[memory])
history = trainer.fit((x, y), epochs=2, batch_size=500)
print(f"{x.nbytes / 1e9:.1f} GB of data, {memory.most} MB of memory")
