"""Writes `tests/parity/fixtures`: layers and training runs of PyTorch. See README.md beside this file."""

import warnings

import torch

from . import layers, runs

def main():
    warnings.filterwarnings("ignore")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    layers.write()
    runs.write()


if __name__ == "__main__":
    main()
