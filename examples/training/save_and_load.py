"""Save a model here, and predict in another process, which needs the file alone and no code of the model."""

import subprocess
import sys
from pathlib import Path

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import Normalize

PREDICT = """
import sys
import numpy as np
import fastnn

model = fastnn.load("model.safetensors").eval()
logits, _ = model(np.load("new.npy"))
np.save("classes.npy", logits.argmax(axis=1))
"""

fastnn.manual_seed(0)
x = np.random.default_rng(0).normal(3, 2, (1000, 2)).astype(np.float32)
y = (x[:, 0] * x[:, 1] > 9).astype(np.int64)
model = nn.Sequential(Normalize(2).fit(x), nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 2))
trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-2))
trainer.fit((x, y), epochs=10, verbose=False)

fastnn.save(model, "model.safetensors")
np.save("new.npy", x[:100])
Path("predict.py").write_text(PREDICT)
subprocess.run([sys.executable, "predict.py"], check=True)
classes = np.load("classes.npy")
assert (classes == trainer.predict(x[:100]).argmax(axis=1)).all()
assert (classes == y[:100]).mean() > 0.95
