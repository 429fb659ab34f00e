"""Writes tests/nn/fixtures/options.safetensors with PyTorch: options of layers that tests/nn/options.rs compares with. Run with torch, numpy
and safetensors installed; the tests themselves need no Python.

    python tests/nn/generate.py
"""

import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

OUT = {}


def keep(prefix, **tensors):
    for name, tensor in tensors.items():
        OUT[f"{prefix}.{name}"] = tensor.detach().clone().contiguous()


def state(prefix, module):
    for name, tensor in module.state_dict().items():
        OUT[f"{prefix}.state.{name}"] = tensor.detach().clone().contiguous()


def grads(prefix, module):
    for name, p in module.named_parameters():
        OUT[f"{prefix}.grad.{name}"] = p.grad.detach().clone().contiguous()


def backward(y, *inputs):
    """Gradients of a loss in which every element counts differently."""
    weights = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
    (y * weights).sum().backward()


def same():
    cases = {1: [(3, 1), (4, 1), (4, 3)], 2: [((3, 4), 1), ((2, 5), (3, 2))], 3: [((2, 3, 4), 1)]}
    for dims, kernels in cases.items():
        for i, (kernel, dilation) in enumerate(kernels):
            layer = [nn.Conv1d, nn.Conv2d, nn.Conv3d][dims - 1](4, 6, kernel, padding="same", dilation=dilation, groups=2)
            x = torch.randn(2, 4, *[7, 6, 5][:dims], requires_grad=True)
            y = layer(x)
            backward(y)
            name = f"same{dims}.{i}"
            state(name, layer)
            grads(name, layer)
            keep(name, x=x, y=y, dx=x.grad)


def packed():
    lengths = torch.tensor([5, 2, 7, 1])
    for kind in ["RNN", "LSTM", "GRU"]:
        layer = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        x = torch.randn(4, 7, 3, requires_grad=True)
        h = torch.randn(4, 4, 4)
        c = torch.randn(4, 4, 4)
        given = (h, c) if kind == "LSTM" else h
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, last = layer(packed, given)
        y, _ = pad_packed_sequence(y, batch_first=True)
        last = last if kind == "LSTM" else (last,)
        backward(torch.cat([y.flatten(), *[s.flatten() for s in last]]))
        state(kind, layer)
        grads(kind, layer)
        keep(kind, x=x, h=h, c=c, y=y, dx=x.grad, **{f"last{i}": s for i, s in enumerate(last)})
    OUT["lengths"] = lengths.to(torch.int32)


def attention():
    layer = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape) * 0.3)
    q, kv = torch.randn(2, 5, 12), torch.randn(2, 6, 12)
    hidden = torch.zeros(2, 6, dtype=torch.bool)
    hidden[1, 4:] = True
    y, weights = layer(q, kv, kv, key_padding_mask=hidden, average_attn_weights=False)
    backward(torch.cat([y.flatten(), weights.flatten()]))
    state("attention", layer)
    grads("attention", layer)
    keep("attention", q=q, kv=kv, seen=~hidden, y=y, weights=weights)


def norms():
    for name, layer, x in [
        ("wn_linear", nn.Linear(5, 3), torch.randn(4, 5)),
        ("wn_conv", nn.Conv2d(4, 6, 3), torch.randn(2, 4, 5, 5)),
        ("wn_embedding", nn.Embedding(6, 3), torch.tensor([1, 0, 5, 1])),
    ]:
        layer = parametrizations.weight_norm(layer)
        with torch.no_grad():
            layer.parametrizations.weight.original0.mul_(1.5)
        state(name, layer)
        y = layer(x)
        backward(y)
        grads(name, layer)
        keep(name, x=x.to(torch.int32) if x.dtype == torch.int64 else x, y=y)
    for name, layer, x in [
        ("sn_linear", nn.Linear(5, 3), torch.randn(4, 5)),
        ("sn_transposed", nn.ConvTranspose2d(4, 6, 3), torch.randn(2, 4, 5, 5)),
    ]:
        layer = parametrizations.spectral_norm(layer, n_power_iterations=2)
        with torch.no_grad():
            layer.parametrizations.weight[0]._u.copy_(nn.functional.normalize(torch.randn_like(layer.parametrizations.weight[0]._u), dim=0))
            layer.parametrizations.weight[0]._v.copy_(nn.functional.normalize(torch.randn_like(layer.parametrizations.weight[0]._v), dim=0))
        state(name, layer)
        for _ in range(3):
            layer.zero_grad()
            y = layer(x)
            backward(y)
        grads(name, layer)
        keep(name, x=x, y=y, u=layer.parametrizations.weight[0]._u, v=layer.parametrizations.weight[0]._v)
        layer.eval()
        keep(name, evaluated=layer(x))


torch.manual_seed(7)
for part in [same, packed, attention, norms]:
    part()
save_file(OUT, pathlib.Path(__file__).parent / "fixtures" / "options.safetensors")
