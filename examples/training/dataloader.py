"""PyTorch's DataLoader feeds a model of fastnn: its tensors are read as arrays, without a copy."""

import torch
from torch.utils.data import DataLoader, Dataset

import fastnn
from fastnn import nn, optim


class Rings(Dataset):
    """Points (x, y), and whether they lie within a ring."""

    def __init__(self, n, seed):
        self.points = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1

    def __len__(self):
        return len(self.points)

    def __getitem__(self, i):
        radius = self.points[i].norm()
        return self.points[i], ((radius > 0.4) & (radius < 0.8)).long()


fastnn.manual_seed(0)
torch.manual_seed(0)  # decides the loader's order
train = DataLoader(Rings(2000, 0), batch_size=64, shuffle=True)
validation = DataLoader(Rings(500, 1), batch_size=500)

model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=3e-3))
history = trainer.fit(train, validation, epochs=15, verbose=False)
print(history["val_accuracy"])
assert history["val_accuracy"][-1] > 0.95
