"""What every area shares: inputs, views of inputs, cases, and the files they go to."""

import hashlib
import json
import math
import pathlib
import zlib

import numpy as np
import torch
from safetensors.numpy import save_file

VERSION = 1
SEED = 20240229
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


class Input:
    """A stored array, and the view of it that the op sees. Gradients are with respect to the stored array.

    A step of a view is one of
        ["transpose", a, b]    ["flip", dim]    ["expand", sizes]    ["step", dim, start, stop, step]
    """

    def __init__(self, array, *view, grad=None):
        self.array = np.array(array, order="C")
        self.view = [list(step) for step in view]
        self.grad = self.array.dtype.kind == "f" if grad is None else grad

    def seen(self, x):
        """The view of `x`, which has this input's values."""
        for name, *rest in self.view:
            if name == "transpose":
                x = x.transpose(*rest)
            elif name == "flip":
                x = x.flip(rest[0])
            elif name == "expand":
                x = x.expand(*rest[0])
            elif name == "step":
                dim, start, stop, step = rest
                index = [slice(None)] * x.dim()
                index[dim] = slice(start, stop, step)
                x = x[tuple(index)]
            else:
                raise ValueError(name)
        return x


def generator(*key):
    """A random generator that depends on the key alone, so that adding a case changes no other."""
    return np.random.default_rng([SEED, zlib.crc32(repr(key).encode())])


def floats(shape, low=-2.0, high=2.0, tag=""):
    """Uniform f32 numbers."""
    shape = tuple(shape)
    return generator("floats", shape, low, high, tag).uniform(low, high, shape).astype(np.float32)


def halves(shape, low=-2.0, high=2.0, tag=""):
    """Uniform f16 numbers."""
    return floats(shape, low, high, tag).astype(np.float16)


def ints(shape, low, high, tag="", dtype=np.int32):
    """Integers in low..high."""
    shape = tuple(shape)
    return generator("ints", shape, low, high, tag).integers(low, high, shape).astype(dtype)


def uints(shape, low, high, tag=""):
    """Unsigned integers in low..high."""
    return ints(shape, low, high, tag, np.uint32)


def bools(shape, tag="", p=0.5):
    """Booleans, true with probability p."""
    shape = tuple(shape)
    return generator("bools", shape, p, tag).random(shape) < p


def distinct(shape, tag=""):
    """f32 numbers no two of which are equal, in random order."""
    shape = tuple(shape)
    count = math.prod(shape)
    order = generator("distinct", shape, tag).permutation(count).astype(np.float32)
    return (order * np.float32(0.25) - np.float32(count / 8)).reshape(shape)


def f32(values):
    """The values as f32."""
    return np.array(values, dtype=np.float32)


def i32(values):
    """The values as i32."""
    return np.array(values, dtype=np.int32)


def layouts(make):
    """The same [3, 4] operand lying in memory in five ways, by name; `make(shape)` gives stored arrays."""
    return {
        "contiguous": Input(make((3, 4))),
        "transposed": Input(make((4, 3)), ("transpose", 0, 1)),
        "stepped": Input(make((3, 9)), ("step", 1, 1, 9, 2)),
        "flipped": Input(make((3, 4)), ("flip", 0), ("flip", 1)),
        "expanded": Input(make((1, 4)), ("expand", [3, 4])),
    }


class Area:
    """One fixture file: cases, and each distinct array once."""

    def __init__(self, name):
        self.name = name
        self.cases = []
        self.tensors = {}
        self.names = {}

    def store(self, array):
        """The name under which the array is stored."""
        array = np.array(array, order="C")
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self.names:
            self.names[key] = str(len(self.names))
            self.tensors[self.names[key]] = array
        return self.names[key]

    def case(self, op, inputs, attributes, compute, compare, grads=True, native=False, unsigned=None, note=""):
        """Registers what `compute` gives for `inputs`.

        Floats are computed in f64 from their f32 values and rounded to f32 in the end; with `native` they are computed in
        f32. Where an input is f16, results are rounded to f16 instead. Integers are computed in i64 and wrap to 32 bits; they come out as u32 where all integers that go in are, or as
        `unsigned` says. `compare` names the class of tolerance. `note` says what the case is about.
        """
        inputs = [x if isinstance(x, Input) else Input(x) for x in inputs]
        wide = torch.float32 if native else torch.float64
        leaves, args = [], []
        for x in inputs:
            kind = x.array.dtype
            if kind.kind == "f":
                leaf = torch.from_numpy(x.array.copy()).to(wide)
                leaf.requires_grad_(grads and x.grad)
            elif kind == np.bool_:
                leaf = torch.from_numpy(x.array.copy())
            else:
                leaf = torch.from_numpy(x.array.astype(np.int64))
            leaves.append(leaf)
            args.append(x.seen(leaf))
        torch.set_default_dtype(wide)
        with np.errstate(all="ignore"):
            outputs = compute(*args)
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        # Numbers of f16 and f32 together give f32.
        kinds = {x.array.dtype.str for x in inputs if x.array.dtype.kind == "f"}
        half = kinds == {"<f2"}
        if unsigned is None:
            unsigned = {x.array.dtype.str for x in inputs if x.array.dtype.kind in "iu"} == {"<u4"}

        def narrow(t, half=half):
            array = t.detach().resolve_conj().numpy()
            with np.errstate(all="ignore"):
                if array.dtype.kind == "f":
                    return array.astype(np.float16 if half else np.float32)
                if array.dtype.kind == "b":
                    return array
                return array.astype(np.uint32 if unsigned else np.int32)

        entry = {"id": f"{op}/{sum(c['op'] == op for c in self.cases)}", "op": op}
        if note:
            entry["note"] = note
        if attributes:
            entry["attributes"] = attributes
        entry["inputs"] = [[self.store(x.array), *x.view] for x in inputs]
        entry["outputs"] = [self.store(narrow(y)) for y in outputs]
        wanted = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]
        rooted = [i for i, y in enumerate(outputs) if y.requires_grad]
        if wanted and rooted:
            dys = [floats(outputs[i].shape, -1.5, 1.5, f"dy{i}") for i in rooted]
            if half:
                dys = [dy.astype(np.float16) for dy in dys]
            given = [torch.from_numpy(dy).to(outputs[i].dtype) for i, dy in zip(rooted, dys)]
            found = torch.autograd.grad(
                [outputs[i] for i in rooted], [leaves[i] for i in wanted], given, allow_unused=True
            )
            entry["dy"] = {str(i): self.store(dy) for i, dy in zip(rooted, dys)}
            entry["grads"] = {
                str(i): self.store(narrow(torch.zeros_like(leaves[i]) if g is None else g, inputs[i].array.dtype == np.float16)) for i, g in zip(wanted, found)
            }
        entry["compare"] = compare
        self.cases.append(entry)

    def write(self):
        """Writes the file of arrays; the cases as lines of JSON."""
        FIXTURES.mkdir(exist_ok=True)
        # One entry: several would come in any order, and the file would change from run to run.
        metadata = {"made_by": f"generator {VERSION}, torch {torch.__version__}, seed {SEED}"}
        path = FIXTURES / f"{self.name}.safetensors"
        save_file(self.tensors, path, metadata=metadata)
        path.chmod(0o644)
        lines = [json.dumps({"area": self.name, **c}, separators=(",", ":"), allow_nan=False) for c in self.cases]
        return lines
