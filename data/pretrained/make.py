"""Trains the small network of examples/transfer.rs on the digits 0 to 4 with PyTorch and saves its weights.

python data/pretrained/make.py     (PyTorch 2.15, safetensors, numpy; about 10 seconds on a CPU)
"""

import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
torch.manual_seed(0)
torch.set_num_threads(1)

records = np.frombuffer((HERE.parent / "digits/digits.bin").read_bytes()[16:], dtype=np.uint8).reshape(-1, 65)
images = torch.tensor(records[:, :64].astype(np.float32) / 16).reshape(-1, 1, 8, 8)
labels = torch.tensor(records[:, 64].astype(np.int64))
# The split of `wgrad::data::Digits`: by label, every fifth is a test image.
order = torch.argsort(labels, stable=True)
train = order[torch.arange(len(order)) % 5 != 0]
train = train[labels[train] < 5]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32)
        self.head = nn.Linear(32 * 2 * 2, 5)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 2)
        x = nn.functional.max_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)
        return self.head(x.flatten(1))


net = Net()
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
for epoch in range(15):
    for batch in train[torch.randperm(len(train))].split(64):
        loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
net.eval()
accuracy = (net(images[train]).argmax(1) == labels[train]).float().mean().item()
print(f"accuracy on the training images of the digits 0 to 4: {accuracy:.4f}")
save_file(net.state_dict(), HERE / "digits-0-to-4.safetensors", metadata={"format": "pt"})
np.save(HERE / "scores.npy", net(images[:20]).detach().numpy())
