"""Writes the fixtures of `tests/oracle` with PyTorch; see `__main__.py`."""
