"""The models that are trained on both sides; `tests/parity/models.rs` has the same with the same names."""

import torch
from torch import nn
from torch.nn import functional as F


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(16, 32), nn.Linear(32, 24), nn.Linear(24, 5)

    def forward(self, x):
        return self.fc3(torch.tanh(self.fc2(F.relu(self.fc1(x)))))

    @staticmethod
    def batch(generator):
        return torch.randn(32, 16, generator=generator), torch.randint(0, 5, (32,), generator=generator)

    def loss(self, x, y):
        return F.cross_entropy(self(x), y)


class Cnn(nn.Module):
    """The convolutions have no biases, since the norms after them take them out: their gradient is rounding alone, which Adam and
    RMSprop blow up to whole steps."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 8, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 2 * 2, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        return self.fc(F.relu(self.bn2(self.conv2(x))).flatten(1))

    @staticmethod
    def batch(generator):
        return torch.randn(16, 1, 8, 8, generator=generator), torch.randint(0, 5, (16,), generator=generator)

    def loss(self, x, y):
        return F.cross_entropy(self(x), y)


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.head = nn.Linear(16, 12)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0])

    @staticmethod
    def batch(generator):
        tokens = torch.randint(0, 12, (8, 9), generator=generator)
        return tokens[:, :-1], tokens[:, 1:]

    def loss(self, x, y):
        return F.cross_entropy(self(x).flatten(0, 1), y.flatten())


class Gpt(nn.Module):
    """Without biases, as that of keys has no influence on the softmax: see `Cnn`."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(12, 16), nn.Embedding(8, 16)
        layer = lambda: nn.TransformerEncoderLayer(
            16, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True, bias=False)
        self.layers = nn.ModuleList([layer(), layer()])
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 12, bias=False)

    def forward(self, x):
        length = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length).to(self.head.weight.dtype)
        h = self.tokens(x) + self.positions.weight[:length]
        for layer in self.layers:
            h = layer(h, src_mask=mask, is_causal=True)
        return self.head(self.norm(h))

    batch = Lstm.batch
    loss = Lstm.loss


MODELS = {"mlp": Mlp, "cnn": Cnn, "lstm": Lstm, "gpt": Gpt}
