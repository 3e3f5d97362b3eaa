"""Two inputs and two losses: a picture and a table give a class and a size."""

import numpy as np

import fastnn
from fastnn import nn, optim


class TwoInputs(nn.Module):
    def __init__(self):
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
        self.table = nn.Sequential(nn.Linear(4, 16), nn.ReLU())
        self.kind, self.size = nn.Linear(32, 2), nn.Linear(32, 1)

    def __call__(self, x):
        image, image_backward = self.image(x["image"])
        table, table_backward = self.table(x["table"])
        both = np.concatenate([image, table], axis=1)
        kind, kind_backward = self.kind(both)
        size, size_backward = self.size(both)

        def backward(dy, input_grad=True):
            dboth = kind_backward(dy["kind"]) + size_backward(dy["size"])
            dimage, dtable = (np.ascontiguousarray(part) for part in np.hsplit(dboth, 2))
            return {"image": image_backward(dimage, input_grad), "table": table_backward(dtable, input_grad)}

        return {"kind": kind, "size": size}, backward


fastnn.manual_seed(0)
rng = np.random.default_rng(0)
x = {"image": rng.normal(size=(1000, 8, 8)).astype(np.float32), "table": rng.normal(size=(1000, 4)).astype(np.float32)}
light = x["image"].mean(axis=(1, 2))
y = {"kind": (light + x["table"][:, 0] / 8 > 0).astype(int), "size": x["table"][:, :1] + 8 * light[:, None]}
model, losses = TwoInputs(), {"kind": nn.CrossEntropyLoss(), "size": nn.MSELoss()}
options = {"loss_weights": {"size": 0.5}, "metrics": {"kind": "accuracy", "size": "r2"}}
trainer = fastnn.Trainer(model, losses, optim.Adam(model.parameters(), lr=1e-2), **options)
history = trainer.fit((x, y), epochs=20, verbose=False)
print(*history.steps, history["kind_accuracy"][-1], history["size_r2"][-1], list(history))
assert history["kind_accuracy"][-1] > 0.95 and history["size_r2"][-1] > 0.9
