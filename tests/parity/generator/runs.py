"""Training runs: initial state, batches, and for each optimizer the losses of 100 steps and the state after them."""

import torch

from safetensors.torch import save_file

from .core import FIXTURES, save
from .models import MODELS

STEPS = 100
BATCHES = 4

# Learning rate and optimizer.
OPTIMIZERS = {
    "sgd": (0.05, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)),
    "adam": (2e-3, lambda p, lr: torch.optim.Adam(p, lr=lr)),
    "adamw": (2e-3, lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.05)),
    "rmsprop": (1e-3, lambda p, lr: torch.optim.RMSprop(p, lr=lr)),
}
# A factor of all rates of a model: the LSTM learns little at the others'.
FACTORS = {"lstm": 5.0}


def train(model, optimizer, batches):
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = model.loss(*batches[step % BATCHES])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


def distance(a, b):
    """The largest relative distance in norm of two states."""
    return max(((a[k].double() - b[k].double()).norm() / b[k].double().norm().clamp_min(1e-12)).item() for k in a)


def write():
    for name, make in MODELS.items():
        torch.manual_seed(2)
        generator = torch.Generator().manual_seed(3)
        start = make().state_dict()
        batches = [make.batch(generator) for _ in range(BATCHES)]
        tensors = {f"start/{key}": value for key, value in start.items()}
        for i, (x, y) in enumerate(batches):
            tensors |= {f"batch/{i}/x": x if x.is_floating_point() else x.int(), f"batch/{i}/y": y.int()}
        for kind, (lr, optimizer) in OPTIMIZERS.items():
            lr = lr * FACTORS.get(name, 1.0)
            runs = []
            for dtype in (torch.float32, torch.float64):
                model = make().to(dtype)
                model.load_state_dict(start)
                typed = [(x.to(dtype) if x.is_floating_point() else x, y) for x, y in batches]
                losses = train(model, optimizer(model.parameters(), lr), typed)
                runs.append((losses, model.state_dict()))
            (losses, state), (exact, exact_state) = runs
            tensors |= {f"{kind}/lr": torch.tensor(lr), f"{kind}/losses": losses, f"{kind}/losses64": exact}
            tensors |= {f"{kind}/end/{key}": value for key, value in state.items()}
            worst = ((losses - exact).abs() / exact).max().item()
            print(f"{name:5} {kind:8} loss {losses[0]:.4f} to {losses[-1]:.4f}; PyTorch's f32 against its f64: "
                  f"losses {worst:.1e}, weights {distance(state, exact_state):.1e}")
        save(name, tensors)
    torch.manual_seed(4)
    model = MODELS["cnn"]()
    x = torch.randn(4, 1, 8, 8)
    model(x)
    save_file(model.state_dict(), FIXTURES / "saved.safetensors")
    model.double().eval()
    save("answer", {"x": x, "y": model(x.double())})
