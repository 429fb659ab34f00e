"""Writes tests/optim/fixtures with PyTorch: trajectories of every optimizer in float64 and float32, and learning rates of every
schedule. Run with torch, numpy and safetensors installed; the tests themselves need no Python.

    python tests/optim/generate.py
"""

import json
import math
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "fixtures"
STEPS = 40
RECORDED = [1, 2, 3, 5, 10, 20, 40]
SHAPES = [(5, 4), (4,), (3, 2, 2), (3, 6)]


def f32(x):
    """The double next to x that a 32-bit float holds: hyperparameters are 32-bit there."""
    return float(np.float32(x))


def initial(i, dtype):
    n = math.prod(SHAPES[i])
    values = np.sin(np.arange(n) * (0.7 + i) + 0.3).astype(np.float32)
    return torch.tensor(values, dtype=dtype).reshape(SHAPES[i]).clone().requires_grad_()


def target(i, step):
    return f32(math.sin(step * (i + 1) * 0.1))


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, arXiv 2302.06675, algorithm 2; PyTorch has none."""

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                update = (m * b1 + p.grad * (1 - b1)).sign()
                p.sub_((update + p * group["weight_decay"]) * group["lr"])
                m.copy_(m * b2 + p.grad * (1 - b2))


def newton_schulz(grad, coefficients, steps, eps):
    """PyTorch's iteration without its rounding to bfloat16."""
    a, b, c = (f32(x) for x in coefficients)
    x = grad.T if grad.size(0) > grad.size(1) else grad
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if grad.size(0) > grad.size(1) else x


torch.optim._muon._zeropower_via_newtonschulz = newton_schulz

O = torch.optim
B = lambda a, b: (f32(a), f32(b))
COMMON = [0, 1, 2]
CASES = {
    "sgd": (COMMON, lambda p: O.SGD(p, f32(0.05))),
    "sgd momentum": (COMMON, lambda p: O.SGD(p, f32(0.05), momentum=f32(0.9), weight_decay=f32(0.01))),
    "sgd nesterov": (COMMON, lambda p: O.SGD(p, f32(0.05), momentum=f32(0.9), nesterov=True)),
    "sgd dampening": (COMMON, lambda p: O.SGD(p, f32(0.05), momentum=f32(0.9), dampening=0.25)),
    "sgd clipped": (COMMON, lambda p: O.SGD(p, f32(0.05), momentum=f32(0.9))),
    "adam": (COMMON, lambda p: O.Adam(p, f32(0.05), betas=B(0.9, 0.999), weight_decay=f32(0.01))),
    "adam amsgrad": (COMMON, lambda p: O.Adam(p, f32(0.05), betas=B(0.8, 0.9), amsgrad=True)),
    "adamw": (COMMON, lambda p: O.AdamW(p, f32(0.05), betas=B(0.9, 0.999), weight_decay=f32(0.1))),
    "adamw groups": (COMMON, None),
    "adamax": (COMMON, lambda p: O.Adamax(p, f32(0.05), betas=B(0.9, 0.999), weight_decay=f32(0.01))),
    "nadam": (COMMON, lambda p: O.NAdam(p, f32(0.05), betas=B(0.9, 0.999), momentum_decay=f32(4e-3))),
    "nadam decoupled": (
        COMMON,
        lambda p: O.NAdam(
            p, f32(0.05), betas=B(0.9, 0.99), weight_decay=f32(0.1), momentum_decay=f32(0.1), decoupled_weight_decay=True
        ),
    ),
    "radam": (COMMON, lambda p: O.RAdam(p, f32(0.05), betas=B(0.9, 0.999), weight_decay=f32(0.01))),
    "radam decoupled": (
        COMMON,
        lambda p: O.RAdam(
            p, f32(0.05), betas=B(0.8, 0.9), eps=f32(1e-4), weight_decay=f32(0.1), decoupled_weight_decay=True
        ),
    ),
    "asgd": (COMMON, lambda p: O.ASGD(p, f32(0.05), lambd=f32(0.01), alpha=0.75, t0=5.0, weight_decay=f32(0.01))),
    "rprop": (COMMON, lambda p: O.Rprop(p, f32(0.02), etas=(0.5, f32(1.2)), step_sizes=(f32(1e-3), f32(0.1)))),
    "adamw maximize": (
        COMMON,
        lambda p: O.AdamW(p, f32(0.05), betas=B(0.9, 0.999), weight_decay=f32(0.1), amsgrad=True, maximize=True),
    ),
    "sgd one cycle": (COMMON, lambda p: O.SGD(p, f32(0.05), momentum=f32(0.9), nesterov=True)),
    "adam one cycle": (COMMON, lambda p: O.Adam(p, f32(0.05), betas=B(0.9, 0.999))),
    "rmsprop": (COMMON, lambda p: O.RMSprop(p, f32(0.02), alpha=f32(0.99), weight_decay=f32(0.01))),
    "rmsprop centered": (
        COMMON,
        lambda p: O.RMSprop(p, f32(0.02), alpha=f32(0.9), momentum=f32(0.9), centered=True, eps=f32(1e-3)),
    ),
    "adagrad": (COMMON, lambda p: O.Adagrad(p, f32(0.2), eps=f32(1e-10))),
    "adagrad decay": (
        COMMON,
        lambda p: O.Adagrad(
            p, f32(0.2), lr_decay=f32(0.1), weight_decay=f32(0.01), initial_accumulator_value=0.5, eps=f32(1e-10)
        ),
    ),
    "adadelta": (COMMON, lambda p: O.Adadelta(p, 1.0, rho=f32(0.9), eps=f32(1e-3), weight_decay=f32(0.01))),
    "lion": (COMMON, lambda p: Lion(p, f32(0.02), betas=B(0.9, 0.99), weight_decay=f32(0.1))),
    "muon": ([0, 3], lambda p: O.Muon(p, f32(0.05), weight_decay=f32(0.1), momentum=f32(0.95), eps=f32(1e-7))),
    "muon matched": (
        [0, 3],
        lambda p: O.Muon(
            p,
            f32(0.02),
            weight_decay=0.0,
            momentum=f32(0.9),
            nesterov=False,
            eps=f32(1e-7),
            ns_steps=3,
            adjust_lr_fn="match_rms_adamw",
        ),
    ),
}


def flat(params):
    return torch.cat([p.detach().reshape(-1) for p in params])


def round_to_32_bits(optimizer):
    """What a schedule sets is a 32-bit number there."""
    for group in optimizer.param_groups:
        group["lr"] = f32(group["lr"])
        if "momentum" in group:
            group["momentum"] = f32(group["momentum"])
        if "betas" in group:
            group["betas"] = B(*group["betas"])


def trajectory(name, dtype):
    indices, make = CASES[name]
    params = [initial(i, dtype) for i in indices]
    if name == "adamw groups":
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": f32(0.02), "weight_decay": 0.0}]
        optimizer = O.AdamW(groups, f32(0.05), betas=B(0.9, 0.999), weight_decay=f32(0.1))
    else:
        optimizer = make(params)
    schedule = None
    if name.endswith("one cycle"):
        schedule = O.lr_scheduler.OneCycleLR(
            optimizer, f32(0.1), STEPS, pct_start=f32(0.3), base_momentum=f32(0.85), max_momentum=f32(0.95)
        )
        # The numbers that are 32-bit there.
        round_to_32_bits(optimizer)
    rows = []
    for step in range(STEPS):
        for i, p in zip(indices, params):
            with torch.no_grad():
                p.grad = (p - target(i, step)) + p.cos() * f32(0.3)
        if name == "sgd clipped":
            torch.nn.utils.clip_grad_norm_(params, f32(1.0))
        optimizer.step()
        if schedule and step + 1 < STEPS:
            schedule.step()
            round_to_32_bits(optimizer)
        if step + 1 in RECORDED:
            rows.append(flat(params))
    return torch.stack(rows)


def lbfgs(strong_wolfe, dtype):
    params = [initial(i, dtype) for i in COMMON]
    search = "strong_wolfe" if strong_wolfe else None
    lr = 1.0 if strong_wolfe else f32(0.3)
    optimizer = O.LBFGS(params, lr, max_iter=4, history_size=5, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        total = sum(p.sum() for p in params)
        loss = sum(((p - 0.5).square() + p.sin()).sum() for p in params) + total.square() * f32(0.1)
        loss.backward()
        return loss

    rows = []
    for _ in range(4):
        optimizer.step(closure)
        rows.append(flat(params))
    return torch.stack(rows)


def schedules():
    S = O.lr_scheduler
    lr = f32(0.1)
    make = {
        "step": lambda o: S.StepLR(o, 7, f32(0.5)),
        "multi_step": lambda o: S.MultiStepLR(o, [3, 10, 30], f32(0.1)),
        "exponential": lambda o: S.ExponentialLR(o, f32(0.9)),
        "polynomial": lambda o: S.PolynomialLR(o, 40, f32(0.9)),
        "cosine": lambda o: S.CosineAnnealingLR(o, 25, f32(0.01)),
        "warm_restarts": lambda o: S.CosineAnnealingWarmRestarts(o, 10, 1, f32(0.01)),
        "warm_restarts_longer": lambda o: S.CosineAnnealingWarmRestarts(o, 5, 2),
        "one_cycle": lambda o: S.OneCycleLR(o, f32(0.5), 60, pct_start=f32(0.3)),
        "one_cycle_linear": lambda o: S.OneCycleLR(
            o, f32(0.5), 60, pct_start=f32(0.25), anneal_strategy="linear", div_factor=10.0, final_div_factor=100.0
        ),
        "one_cycle_three_phase": lambda o: S.OneCycleLR(o, f32(0.5), 60, pct_start=f32(0.3), three_phase=True),
        "constant": lambda o: S.ConstantLR(o, f32(0.25), 8),
        "linear": lambda o: S.LinearLR(o, f32(0.25), f32(0.75), 20),
        "cyclic": lambda o: S.CyclicLR(o, f32(0.01), f32(0.1), 7, 5, cycle_momentum=False),
        "cyclic_halved": lambda o: S.CyclicLR(o, f32(0.01), f32(0.1), 6, mode="triangular2", cycle_momentum=False),
        "cyclic_exponential": lambda o: S.CyclicLR(
            o, f32(0.01), f32(0.1), 6, mode="exp_range", gamma=f32(0.95), cycle_momentum=False
        ),
        "chained": lambda o: S.ChainedScheduler([S.ConstantLR(o, f32(0.5), 10), S.ExponentialLR(o, f32(0.9))]),
        "lambda": lambda o: S.LambdaLR(o, lambda t: 1.0 / (1.0 + t)),
        "warmup": lambda o: S.LinearLR(o, f32(0.25), 1.0, 8),
        "warmup_cosine": lambda o: S.SequentialLR(
            o, [S.LinearLR(o, f32(0.25), 1.0, 8), S.CosineAnnealingLR(o, 40)], [8]
        ),
    }
    out = {}
    for name, scheduler in make.items():
        optimizer = O.SGD([torch.zeros(1, requires_grad=True)], lr)
        optimizer.step()
        schedule = scheduler(optimizer)
        rates = []
        for _ in range(60):
            rates.append(optimizer.param_groups[0]["lr"])
            if len(rates) < 60:
                schedule.step()
        out[name] = rates
    optimizer = O.SGD([torch.zeros(1, requires_grad=True)], lr, momentum=f32(0.9))
    optimizer.step()
    for name, options in [("", {}), ("_three_phase", dict(three_phase=True))]:
        schedule = S.OneCycleLR(
            optimizer, f32(0.5), 60, pct_start=f32(0.3), base_momentum=f32(0.85), max_momentum=f32(0.95), **options
        )
        out["momentum_of_one_cycle" + name] = momenta = []
        for _ in range(60):
            momenta.append(optimizer.param_groups[0]["momentum"])
            if len(momenta) < 60:
                schedule.step()
    metrics = [f32(3 * math.exp(-i / 6) + 0.05 * math.sin(i) + 0.1 * (i > 30)) for i in range(60)]
    plateaus = {
        "min": dict(factor=f32(0.5), patience=2),
        "max": dict(mode="max", factor=f32(0.5), patience=3, threshold=f32(0.01), threshold_mode="abs", cooldown=2),
        "floor": dict(factor=f32(0.1), patience=0, threshold=f32(0.05), min_lr=f32(1e-3)),
    }
    out["metrics"] = metrics
    for name, options in plateaus.items():
        optimizer = O.SGD([torch.zeros(1, requires_grad=True)], lr)
        plateau = S.ReduceLROnPlateau(optimizer, **options)
        rates = []
        for metric in metrics:
            plateau.step(metric)
            rates.append(optimizer.param_groups[0]["lr"])
        out["plateau_" + name] = rates
    return out


def main():
    HERE.mkdir(exist_ok=True)
    tensors = {}
    for i, shape in enumerate(SHAPES):
        tensors[f"initial.{i}"] = initial(i, torch.float32).detach()
        tensors[f"target.{i}"] = torch.tensor([target(i, step) for step in range(STEPS)], dtype=torch.float32)
    for dtype, suffix in [(torch.float64, "f64"), (torch.float32, "f32")]:
        for name in CASES:
            tensors[f"{name}.{suffix}"] = trajectory(name, dtype)
        for strong_wolfe, name in [(False, "lbfgs"), (True, "lbfgs wolfe")]:
            tensors[f"{name}.{suffix}"] = lbfgs(strong_wolfe, dtype)
    metadata = {"made by": "tests/optim/generate.py", "torch": torch.__version__.split("+")[0]}
    save_file(tensors, HERE / "trajectories.safetensors", metadata=metadata)
    (HERE / "schedules.json").write_text(json.dumps(schedules(), indent=0) + "\n")


main()
