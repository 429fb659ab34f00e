#!/usr/bin/env python3
"""Writes digits.bin from the digits data set that scikit-learn ships.

    python3 -m venv venv && venv/bin/pip install scikit-learn
    venv/bin/python data/digits/export.py data/digits/digits.bin

The format is described in README.md beside this file.
"""

import hashlib
import struct
import sys

from sklearn.datasets import load_digits


def main(path):
    digits = load_digits()
    images = digits.images.astype("uint8")
    labels = digits.target.astype("uint8")
    assert images.shape == (1797, 8, 8) and labels.shape == (1797,)
    assert (images == digits.images).all() and images.max() == 16 and labels.max() == 9

    data = bytearray(b"DIG8" + struct.pack("<III", *images.shape))
    for image, label in zip(images, labels):
        data += image.tobytes()
        data.append(int(label))

    with open(path, "wb") as file:
        file.write(data)
    print(f"{path}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: export.py OUTPUT")
    main(sys.argv[1])
