"""Two inputs and two losses: a picture and a table give a class and a size."""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import train_test_split


class TwoInputs(nn.Module):
    def __init__(self):
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
        self.table = nn.Sequential(nn.Linear(4, 16), nn.ReLU())
        self.kind, self.size = nn.Linear(32, 2), nn.Linear(32, 1)

    def __call__(self, x):
        image, image_backward = self.image(x["image"])
        table, table_backward = self.table(x["table"])
        both = np.concatenate([image, table], axis=1)
        (kind, kind_backward), (size, size_backward) = self.kind(both), self.size(both)

        def backward(dy, input_grad=True):
            dboth = kind_backward(dy["kind"]) + size_backward(dy["size"])
            dimage, dtable = (np.ascontiguousarray(part) for part in np.hsplit(dboth, 2))
            return {"image": image_backward(dimage, input_grad), "table": table_backward(dtable, input_grad)}

        return {"kind": kind, "size": size}, backward


fastnn.manual_seed(0)
rng = np.random.default_rng(0)
x = {"image": rng.normal(size=(2000, 8, 8)).astype(np.float32), "table": rng.normal(size=(2000, 4)).astype(np.float32)}
size = x["image"].sum(axis=(1, 2)) / 8 + x["table"].sum(axis=1) / 2
train, test = train_test_split(x, {"kind": (size > 0).astype(np.int64), "size": size[:, None]})
model, losses = TwoInputs(), {"kind": nn.CrossEntropyLoss(), "size": nn.MSELoss()}
options = {"loss_weights": {"size": 0.5}, "metrics": {"kind": "accuracy", "size": "r2"}}
trainer = fastnn.Trainer(model, losses, optim.Adam(model.parameters(), lr=1e-2), **options)
history = trainer.fit(train, test, epochs=10, verbose=False)
assert history["val_kind_accuracy"][-1] > 0.9 and history["val_size_r2"][-1] > 0.9
