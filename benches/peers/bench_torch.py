"""PyTorch on the CPU, on the workloads of this folder: an engine that the driver commands as it does the Rust ones (src/serve.rs
has the commands). `--reference` writes reference.json, the training losses in f64 that every engine is checked against."""

import json
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

LARGE, ROWS, TWO_LAYER_STEPS, CHECKED_STEPS, TINY_OPS = 1 << 24, (4096, 1024), 100, 5, 1000
DTYPE = torch.float64 if "--reference" in sys.argv else torch.float32


def mixed(tag, n):
    """Numbers as src/inputs.rs makes them."""
    with np.errstate(over="ignore"):
        z = (np.uint64(tag << 40) | np.arange(n, dtype=np.uint64)) + np.uint64(1)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(tag, shape, low, high):
    unit = (mixed(tag, int(np.prod(shape))) >> np.uint64(40)).astype(np.float64) / 2**24
    values = (low + (high - low) * unit).astype(np.float32)
    return torch.from_numpy(values.reshape(shape)).to(DTYPE)


def spread(tag, shape):
    return uniform(tag, shape, -(3**0.5), 3**0.5)


def classes(tag, n, count):
    return torch.from_numpy(((mixed(tag, n) >> np.uint64(33)) % np.uint64(count)).astype(np.int64))


def dense(tag, inputs, outputs, shape=None):
    bound = 1 / inputs**0.5
    weight = uniform(tag, shape or (outputs, inputs), -bound, bound)
    return leaf(weight), leaf(uniform(tag + 1, (outputs,), -bound, bound))


def norm(tag, width):
    return leaf(uniform(tag, (width,), 0.5, 1.5)), leaf(uniform(tag + 1, (width,), -0.1, 0.1))


def leaf(x):
    return x.clone().requires_grad_()


def relative(got, right):
    error = float((got.double() - right).norm() / right.norm())
    return error if error == error else float("inf")


class Job:
    def __init__(self, error, call, units=1):
        self.error, self.call, self.units = error, call, units


def matmul(n):
    a, b = uniform(1, (n, n), -1, 1), uniform(2, (n, n), -1, 1)
    return Job(relative(a @ b, a.double() @ b.double()), lambda: a @ b)


def elementwise():
    x, a, b, c = (uniform(tag, (LARGE,), -1, 1) for tag in (3, 4, 5, 6))
    f = lambda x, a, b, c: torch.relu(x * a + b) * c + x
    return Job(relative(f(x, a, b, c), f(*(v.double() for v in (x, a, b, c)))), lambda: f(x, a, b, c))


def total():
    x = uniform(7, (LARGE,), 0, 1)
    return Job(relative(x.sum(), x.double().sum()), x.sum)


def softmax():
    x = uniform(8, ROWS, -4, 4)
    f = lambda x: torch.softmax(x, -1)
    return Job(relative(f(x), f(x.double())), lambda: f(x))


def layer_norm():
    x, dy = leaf(uniform(9, ROWS, -1, 3)), uniform(12, ROWS, -1, 1)
    w, b = norm(10, ROWS[1])

    def run(x, w, b, dy):
        x.grad = w.grad = b.grad = None
        (F.layer_norm(x, (ROWS[1],), w, b, 1e-5) * dy).sum().backward()
        return x.grad, w.grad, b.grad

    right = run(*(v.detach().double().requires_grad_() for v in (x, w, b)), dy.double())
    error = max(relative(g, r) for g, r in zip(run(x, w, b, dy), right))
    return Job(error, lambda: run(x, w, b, dy))


def stepper(optimizer, loss_of):
    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def two_layer_run():
    x, y = spread(100, (64, 1000)), spread(101, (64, 10))
    first = spread(102, (1000, 100)), spread(103, (100, 10))
    w1, w2 = (leaf(w) for w in first)
    step = stepper(torch.optim.SGD([w1, w2], 1e-6), lambda: ((x @ w1).relu() @ w2 - y).square().sum())

    def run():
        with torch.no_grad():
            w1.copy_(first[0]), w2.copy_(first[1])
        for _ in range(TWO_LAYER_STEPS):
            loss = step()
        return loss

    return run


def mlp_step():
    x, y = spread(200, (128, 784)), classes(201, 128, 10)
    layers = dense(202, 784, 512), dense(204, 512, 512), dense(206, 512, 10)

    def loss():
        h = x
        for layer in layers[:2]:
            h = F.linear(h, *layer).relu()
        return F.cross_entropy(F.linear(h, *layers[2]), y)

    return stepper(torch.optim.Adam([p for layer in layers for p in layer], 1e-3), loss)


def cnn_step():
    x, y = spread(300, (64, 1, 28, 28)), classes(301, 64, 10)
    convs = dense(302, 9, 16, (16, 1, 3, 3)), dense(304, 144, 32, (32, 16, 3, 3))
    head = dense(306, 1568, 10)

    def loss():
        h = x
        for conv in convs:
            h = F.max_pool2d(F.conv2d(h, *conv, padding=1).relu(), 2)
        return F.cross_entropy(F.linear(h.flatten(1), *head), y)

    return stepper(torch.optim.SGD([p for layer in (*convs, head) for p in layer], 1e-2), loss)


def gpt_step():
    n, t, d, heads, vocabulary, layers = 8, 128, 128, 4, 65, 4
    tokens, targets = classes(400, n * t, vocabulary).view(n, t), classes(401, n * t, vocabulary)
    table, places = leaf(uniform(402, (vocabulary, d), -0.1, 0.1)), leaf(uniform(403, (t, d), -0.1, 0.1))
    last, head = norm(404, d), dense(406, d, vocabulary)[0]
    blocks = []
    for tag in range(410, 410 + 20 * layers, 20):
        blocks.append((norm(tag, d), dense(tag + 2, d, 3 * d), dense(tag + 4, d, d),
                       norm(tag + 6, d), dense(tag + 8, d, 4 * d), dense(tag + 10, 4 * d, d)))

    def loss():
        h = F.embedding(tokens, table) + places
        for norm1, qkv, proj, norm2, fc, out in blocks:
            parts = F.linear(F.layer_norm(h, (d,), *norm1), *qkv).chunk(3, -1)
            q, k, v = (p.view(n, t, heads, d // heads).transpose(1, 2) for p in parts)
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            h = h + F.linear(seen.transpose(1, 2).reshape(n, t, d), *proj)
            h = h + F.linear(F.gelu(F.linear(F.layer_norm(h, (d,), *norm2), *fc)), *out)
        return F.cross_entropy(F.linear(F.layer_norm(h, (d,), *last), head).view(n * t, vocabulary), targets)

    parameters = [table, places, head, *last, *(p for block in blocks for layer in block for p in layer)]
    return stepper(torch.optim.AdamW(parameters, 1e-3, weight_decay=1e-2), loss)


STEPS = {"mlp": mlp_step, "cnn": cnn_step, "gpt": gpt_step}


def losses_of(name):
    if name == "two_layer":
        return [float(two_layer_run()())]
    step = STEPS[name]()
    return [float(step()) for _ in range(CHECKED_STEPS)]


def worst(name, got):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference.json")) as file:
        right = json.load(file)[name]
    return max(abs(g / r - 1) if g == g else float("inf") for g, r in zip(got, right))


def train(name):
    step = STEPS[name]()
    return Job(worst(name, [float(step()) for _ in range(CHECKED_STEPS)]), step)


def two_layer():
    run = two_layer_run()
    return Job(worst("two_layer", [float(run())]), run, TWO_LAYER_STEPS)


def tiny():
    x = uniform(13, (16,), 0, 1)

    def run(x=x):
        for _ in range(TINY_OPS // 2):
            x = x * 1.0001
            x = x + 0.0001
        return x

    return Job(relative(run(), run(x.double())), run, TINY_OPS)


JOBS = {
    **{f"matmul_{n}": lambda n=n: matmul(n) for n in (256, 512, 1024, 2048)},
    "elementwise": elementwise, "sum": total, "softmax": softmax, "layer_norm": layer_norm, "two_layer": two_layer,
    **{name: lambda name=name: train(name) for name in STEPS},
    "tiny_unfused": tiny, "reference_matmul": lambda: matmul(1024),
}


def answer(reply):
    print("@", json.dumps(reply), flush=True)


def measure(job, seconds):
    start, samples = time.perf_counter(), []
    while not samples or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        job.call()
        samples.append((time.perf_counter() - begin) / job.units)
    return {"samples": samples}


def prepare(name):
    if name not in JOBS:
        return None, {"absent": True}
    job, start, calls = JOBS[name](), time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - start < 0.1:
        job.call()
        calls += 1
    return job, {"error": min(job.error, sys.float_info.max)}


def serve():
    answer({"device": f"CPU, PyTorch {torch.__version__}, {torch.get_num_threads()} threads"})
    job = None
    for line in sys.stdin:
        command, *rest = line.split()
        try:
            if command == "prepare":
                job = None
                job, reply = prepare(rest[0])
            elif command == "measure":
                reply = measure(job, float(rest[0]))
            else:
                job, reply = None, {"memory": None}
        except Exception as error:  # One workload's failure is no reason to give up the others.
            reply = {"failed": f"{type(error).__name__}: {error}"}
        answer(reply)


if __name__ == "__main__":
    if "--reference" in sys.argv:
        names = ("two_layer", *STEPS)
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference.json"), "w") as file:
            json.dump({"origin": f"bench_torch.py --reference, PyTorch {torch.__version__}, f64",
                       **{name: losses_of(name) for name in names}}, file, indent=1)
            file.write("\n")
    elif "--cold" in sys.argv:
        answer({"loss": float(mlp_step()())})
    else:
        serve()
