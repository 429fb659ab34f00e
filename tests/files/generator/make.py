"""Makes tests/files/fixtures with PyTorch 2.15, safetensors and numpy: python tests/files/generator/make.py"""

import gzip
import pathlib
import struct

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
HERE.mkdir(exist_ok=True)

save_file(
    {
        "bf16": torch.tensor([1.5, -2.0, 3.14], dtype=torch.bfloat16),
        "bool": torch.tensor([[True, False], [False, True]]),
        "f16": torch.tensor([0.5, -1024.0], dtype=torch.float16),
        "f32": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "f64": torch.tensor([0.1], dtype=torch.float64),
        "i16": torch.tensor([-300, 300], dtype=torch.int16),
        "i32": torch.tensor([-70000, 70000], dtype=torch.int32),
        "i64": torch.tensor([-(2**31), 2**31 - 1]),
        "i8": torch.tensor([-128, 127], dtype=torch.int8),
        "num_batches_tracked": torch.tensor(7),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
    },
    HERE / "torch.safetensors",
    metadata={"format": "pt"},
)

arrays = {
    "big_endian": np.array([1.5, -2.0], dtype=">f4"),
    "bool": np.array([True, False, True]),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "cube": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(2, 3, 2)),
    "empty": np.zeros((0, 4), dtype=np.float32),
    "f16": np.array([0.25], dtype=np.float16),
    "i64": np.array([-5, 5]),
    "scalar": np.float64(2.5),
    "u8": np.array([0, 255], dtype=np.uint8),
    "zeros": np.zeros(10_000, dtype=np.float32),
}
np.savez(HERE / "numpy.npz", **{k: v for k, v in arrays.items() if k != "zeros"}, zeros=arrays["zeros"])
np.savez_compressed(HERE / "numpy_compressed.npz", **arrays)

labels = struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes([7, 2, 1])
with open(HERE / "labels-idx1-ubyte.gz", "wb") as file:
    with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
        packed.write(labels)
