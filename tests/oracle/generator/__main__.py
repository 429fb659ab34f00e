"""Writes `tests/oracle/fixtures`: what PyTorch gives for each case, forward and backward.

    python3 -m venv /tmp/torch
    /tmp/torch/bin/pip install torch numpy safetensors     # the CPU build of torch will do
    cd tests/oracle && /tmp/torch/bin/python -m generator

Inputs are seeded random numbers and edge values, stored as f32 (or f16). What is expected is computed by PyTorch in float64 from them
and rounded to the inputs' type at the end, so that the error that the test measures is this crate's and not PyTorch's. Ops whose meaning
depends on the precision (fmod, comparisons, isclose) run in float32. Integers run in int64 and wrap to 32 bits, since
PyTorch knows no arithmetic on uint32. Gradients are those of all float inputs for stored random upstream gradients `dy`.
"""

import warnings

import torch

from . import elementwise, functional, half, linear, movement, network, options, reductions
from .core import FIXTURES, VERSION


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    lines, ops = [], set()
    for module in (elementwise, reductions, movement, linear, network, functional, half, options):
        for area in module.areas():
            lines += area.write()
            ops |= {case["op"] for case in area.cases}
            print(f"{area.name:14} {len(area.cases):5} cases {len(area.tensors):5} arrays")
    (FIXTURES / "index.jsonl").write_text("\n".join(lines) + "\n")
    size = sum(file.stat().st_size for file in FIXTURES.iterdir())
    print(f"{len(lines)} cases, {len(ops)} ops, {size / 1e6:.2f} MB, generator {VERSION}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
