"""Each layer once, forward and backward: parameters, input, output, gradients, and buffers afterwards.

Parameters, inputs and upstream gradients are random float32; what follows from them is computed in float64 and rounded at the end.
"""

import torch
from torch import nn

from .core import save


def randn(generator, *shape):
    return torch.randn(*shape, generator=generator)


def cases():
    """Name, layer, inputs (by seed), and the call that gives a list of outputs."""
    self_attention = lambda m, x: [m(x, x, x, need_weights=False)[0]]
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    seen = torch.tensor([[True, True, True, False, False, False, False], [True] * 6 + [False]])
    encoder = dict(d_model=8, nhead=2, dim_feedforward=12, dropout=0.0, batch_first=True)
    plain = lambda m, x: [m(x)]
    return [
        ("linear", nn.Linear(6, 4), [(3, 5, 6)], plain),
        ("conv1d", nn.Conv1d(3, 4, 3, stride=2, padding=1), [(2, 3, 9)], plain),
        ("conv2d", nn.Conv2d(4, 6, (3, 2), padding=(1, 0), dilation=(1, 2), groups=2), [(2, 4, 6, 7)], plain),
        ("conv3d", nn.Conv3d(2, 3, 2, bias=False), [(2, 2, 3, 4, 3)], plain),
        ("conv_transpose1d", nn.ConvTranspose1d(3, 4, 4, stride=2, padding=1), [(2, 3, 5)], plain),
        ("conv_transpose2d", nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), [(2, 4, 3, 4)], plain),
        ("conv_transpose3d", nn.ConvTranspose3d(2, 3, 2, stride=2), [(1, 2, 2, 3, 2)], plain),
        ("layer_norm", nn.LayerNorm((4, 6)), [(3, 4, 6)], plain),
        ("rms_norm", nn.RMSNorm(6), [(3, 4, 6)], plain),
        ("group_norm", nn.GroupNorm(2, 6), [(2, 6, 3, 3)], plain),
        ("instance_norm", nn.InstanceNorm2d(3, affine=True), [(2, 3, 4, 4)], plain),
        ("batch_norm1d", nn.BatchNorm1d(4), [(5, 4, 3)], plain),
        ("batch_norm2d", nn.BatchNorm2d(3, momentum=0.3), [(4, 3, 3, 2)], plain),
        ("batch_norm2d_eval", nn.BatchNorm2d(3).eval(), [(4, 3, 3, 2)], plain),
        ("prelu", nn.PReLU(4), [(3, 4, 2)], plain),
        ("attention", nn.MultiheadAttention(8, 2, batch_first=True), [(2, 5, 8)], self_attention),
        ("attention_causal", nn.MultiheadAttention(8, 2, bias=False, batch_first=True), [(2, 5, 8)],
            lambda m, x: [m(x, x, x, attn_mask=causal.to(x.dtype), need_weights=False)[0]]),
        ("attention_cross", nn.MultiheadAttention(8, 4, batch_first=True), [(2, 5, 8), (2, 7, 8)],
            lambda m, x, y: [m(x, y, y, key_padding_mask=~seen, need_weights=False)[0]]),
        ("attention_three", nn.MultiheadAttention(6, 3, batch_first=True), [(2, 5, 6), (2, 4, 6), (2, 4, 6)],
            lambda m, x, y, z: [m(x, y, z, need_weights=False)[0]]),
        ("encoder_post", nn.TransformerEncoderLayer(**encoder), [(2, 5, 8)], plain),
        ("encoder_pre", nn.TransformerEncoderLayer(**encoder, norm_first=True, activation="gelu"), [(2, 5, 8)], plain),
        ("encoder_causal", nn.TransformerEncoderLayer(**encoder, norm_first=True, bias=False), [(2, 5, 8)],
            lambda m, x: [m(x, src_mask=causal.to(x.dtype), is_causal=True)]),
        ("rnn", nn.RNN(3, 4, num_layers=2, batch_first=True), [(2, 6, 3)], lambda m, x: list(m(x))),
        ("lstm", nn.LSTM(3, 4, batch_first=True), [(2, 6, 3)], lambda m, x: [m(x)[0], *m(x)[1]]),
        ("lstm_deep", nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True), [(2, 6, 3), (4, 2, 4), (4, 2, 4)],
            lambda m, x, h, c: [m(x, (h, c))[0], *m(x, (h, c))[1]]),
        ("gru", nn.GRU(3, 4, batch_first=True, bias=False), [(2, 6, 3)], lambda m, x: list(m(x))),
        ("gru_deep", nn.GRU(3, 4, num_layers=2, bidirectional=True, batch_first=True), [(2, 6, 3), (4, 2, 4)],
            lambda m, x, h: list(m(x, h))),
        ("batch_norm3d", nn.BatchNorm3d(2), [(3, 2, 2, 3, 2)], plain),
        ("batch_norm_cumulative", nn.BatchNorm2d(3, momentum=None), [(4, 3, 3, 2), (2, 3, 2, 2), (3, 3, 1, 2)],
            lambda m, *x: [m(x) for x in x]),
        ("bilinear", nn.Bilinear(4, 3, 5), [(2, 6, 4), (2, 6, 3)], lambda m, x, y: [m(x, y)]),
        ("attention_sizes", nn.MultiheadAttention(6, 3, kdim=4, vdim=5, batch_first=True), [(2, 5, 6), (2, 4, 4), (2, 4, 5)],
            lambda m, x, y, z: [m(x, y, z, need_weights=False)[0]]),
        ("attention_bias_kv", nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True),
            [(2, 5, 8)], lambda m, x: [m(x, x, x, attn_mask=causal.to(x.dtype), need_weights=False)[0]]),
        ("attention_bias_kv_masked", nn.MultiheadAttention(8, 4, kdim=6, vdim=6, add_bias_kv=True, batch_first=True),
            [(2, 5, 8), (2, 7, 6)], lambda m, x, y: [m(x, y, y, key_padding_mask=~seen, need_weights=False)[0]]),
        ("decoder_post", nn.TransformerDecoderLayer(**encoder), [(2, 5, 8), (2, 7, 8)],
            lambda m, x, y: [m(x, y, tgt_mask=causal.to(x.dtype), memory_key_padding_mask=~seen)]),
        ("decoder_pre", nn.TransformerDecoderLayer(**encoder, norm_first=True, activation="gelu", bias=False),
            [(2, 5, 8), (2, 7, 8)], lambda m, x, y: [m(x, y)]),
        ("transformer", nn.Transformer(8, 2, 1, 2, 12, dropout=0.0, batch_first=True), [(2, 7, 8), (2, 5, 8)],
            lambda m, x, y: [m(x, y, tgt_mask=causal.to(x.dtype))]),
    ]


def write():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, layer, shapes, call in cases():
        # Not the initial ones and zeros of norms and biases.
        for parameter in layer.parameters():
            parameter.data += 0.2 * randn(generator, *parameter.shape)
        for key, value in layer.state_dict().items():
            tensors[f"{name}/state/{key}"] = value.clone()
        layer.double()
        inputs = [randn(generator, *shape) for shape in shapes]
        tensors |= {f"{name}/x{i}": x for i, x in enumerate(inputs)}
        inputs = [x.double().requires_grad_() for x in inputs]
        outputs = call(layer, *inputs)
        loss = 0
        for i, y in enumerate(outputs):
            dy = randn(generator, *y.shape)
            tensors |= {f"{name}/y{i}": y, f"{name}/dy{i}": dy}
            loss = loss + (y * dy.double()).sum()
        loss.backward()
        tensors |= {f"{name}/dx{i}": x.grad for i, x in enumerate(inputs)}
        tensors |= {f"{name}/grad/{key}": p.grad for key, p in layer.named_parameters()}
        tensors |= {f"{name}/after/{key}": b for key, b in layer.named_buffers()}
    words = torch.tensor([[1, 0, 3], [0, 4, 3]])
    table = nn.Embedding(5, 3, padding_idx=0)
    tensors |= {"embedding/state/weight": table.weight, "embedding/x0": words.int()}
    y = table(words)
    dy = randn(generator, *y.shape)
    y.backward(dy)
    tensors |= {"embedding/y0": y, "embedding/dy0": dy, "embedding/grad/weight": table.weight.grad}
    save("layers", tensors)
