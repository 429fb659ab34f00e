"""Loads a safetensors file with the state of wgrad's CNN into PyTorch's with strict=True, and compares what the model gives.

    WGRAD_PARITY_OUT=FILE cargo test --test parity state
    cd tests/parity && python -m generator.load FILE

The first writes the state of `saved.safetensors`, once it has gone through wgrad, to FILE.
"""

import sys

import torch
from safetensors.torch import load_file

from .core import FIXTURES
from .models import MODELS


def main(file, name="cnn"):
    model = MODELS[name]()
    state = load_file(file)
    print(model.load_state_dict(state, strict=True))
    original = load_file(FIXTURES / "saved.safetensors")
    for key, value in original.items():
        assert torch.equal(model.state_dict()[key], value), key
    answer = load_file(FIXTURES / "answer.safetensors")
    worst = (model.eval()(answer["x"]) - answer["y"]).abs().max().item()
    print(f"{len(state)} tensors are equal; worst difference of the output {worst:.1e}")
    assert worst < 1e-5


if __name__ == "__main__":
    main(*sys.argv[1:])
