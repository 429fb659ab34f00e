"""Files of tensors."""

import pathlib

import torch
from safetensors.torch import save_file

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def save(name, tensors):
    """Writes tensors by name; float64 is rounded to float32."""
    FIXTURES.mkdir(exist_ok=True)
    rounded = {}
    for key, tensor in tensors.items():
        tensor = tensor.detach().clone().contiguous()
        rounded[key] = tensor.float() if tensor.dtype == torch.float64 else tensor
    path = FIXTURES / f"{name}.safetensors"
    save_file(rounded, path)
    print(f"{name:10} {len(rounded):4} tensors {path.stat().st_size / 1e3:8.1f} kB")
