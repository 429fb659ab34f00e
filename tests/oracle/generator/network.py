"""Convolution, pooling, interpolation, normalization, attention."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .core import Area, Input, bools, distinct, floats

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE_AVG = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


def given(options):
    """The options that differ from what they are by default."""
    default = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
    return {k: v for k, v in options.items() if default.get(k) != v}


def convolution(area):
    sizes = {1: (9,), 2: (6, 7), 3: (4, 5, 4)}
    kernels = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}
    for rank in (1, 2, 3):
        space, kernel = sizes[rank], kernels[rank]
        options = [{}, {"stride": 2}, {"padding": 1}, {"dilation": 2} if rank != 3 else {"dilation": [1, 2, 1]}, {"groups": 2}, {"groups": 4},
                   {"stride": [2, 1, 3][:rank], "padding": [1, 0, 1][:rank]}, {"stride": 3, "padding": 2, "groups": 2}]
        for o in options:
            groups = o.get("groups", 1)
            for bias in [True, False] if o in ({}, {"groups": 2}) else [True]:
                inputs = [floats((2, 4, *space)), floats((4, 4 // groups, *kernel), -1, 1, "w")] + ([floats((4,), tag="bias")] if bias else [])
                area.case(f"conv{rank}d", inputs, given(o), lambda x, w, b=None: CONV[rank](x, w, b, **o), "accumulate", note="bias" if bias else "")
            inputs = [floats((2, 4, *(3,) * rank)), floats((4, 6 // groups if groups != 4 else 2, *kernel), -1, 1, "w")]
            more = {**o, "output_padding": 1} if o.get("stride") == 2 or o.get("stride") == 3 else o
            for p in ([o, more] if more is not o else [o]):
                out = inputs[1].shape[1] * groups
                area.case(f"conv_transpose{rank}d", inputs + [floats((out,), tag="bias")], given(p), lambda x, w, b: TRANSPOSED[rank](x, w, b, **p), "accumulate")
        w, b = floats((3, 4, *kernel), -1, 1, "w"), floats((3,), tag="bias")
        area.case(f"conv{rank}d", [floats((4, *space)), w, b], {}, CONV[rank], "accumulate", note="unbatched")
        area.case(f"conv{rank}d", [floats((0, 4, *space)), w, b], {}, CONV[rank], "accumulate", note="no batch")
        area.case(f"conv{rank}d", [floats((1, 1, *(1,) * rank)), floats((1, 1, *(1,) * rank)), floats((1,))], {}, CONV[rank], "accumulate", note="one element")
        area.case(f"conv{rank}d", [Input(floats((2, 4, *space)), ("flip", 2)), Input(floats((4, 4, *kernel), tag="w"), ("transpose", 0, 1)), floats((4,), tag="bias")], {}, CONV[rank], "accumulate", note="views")
        w = floats((4, 3, *kernel), -1, 1, "w")
        area.case(f"conv_transpose{rank}d", [floats((4, *(3,) * rank)), w], {}, TRANSPOSED[rank], "accumulate", note="unbatched")
        area.case(f"conv_transpose{rank}d", [Input(floats((2, 4, *(3,) * rank)), ("flip", 2)), w], {}, TRANSPOSED[rank], "accumulate", note="views")
    area.case("conv2d", [floats((1, 16, 8, 8)), floats((8, 16, 3, 3), -1, 1), floats((8,))], {"padding": 1}, lambda x, w, b: F.conv2d(x, w, b, padding=1), "accumulate", note="larger")


def pooling(area):
    sizes = {1: (11,), 2: (7, 6), 3: (4, 5, 4)}
    for rank in (1, 2, 3):
        space = sizes[rank]
        x = distinct((2, 3, *space))
        for o in [{"kernel": 2}, {"kernel": 3, "stride": 2}, {"kernel": 3, "stride": 1, "padding": 1}, {"kernel": [2, 3, 2][:rank], "stride": [1, 2, 3][:rank]},
                  {"kernel": 2, "dilation": 2, "stride": 1}, {"kernel": 3, "stride": 2, "ceil_mode": True}, {"kernel": 2, "stride": 3, "padding": 1, "ceil_mode": True}]:
            if rank == 1:
                o = {k: v[0] if isinstance(v, list) else v for k, v in o.items()}
            p = {"kernel_size": o["kernel"], **{k: v for k, v in o.items() if k != "kernel"}}
            for y in [x, x[0], Input(x, ("flip", 2))][: 1 if rank == 3 and len(o) > 1 else 3]:
                area.case(f"max_pool{rank}d", [y], o, lambda x: MAX[rank](x, return_indices=True, **p), "exact_sum")
            if "dilation" in o:
                continue
            for more in [{}, {"count_include_pad": False}] + ([{"divisor_override": 5}] if rank > 1 else []):
                area.case(f"avg_pool{rank}d", [x], {**o, **more}, lambda x: AVG[rank](x, **p, **more), "accumulate")
            area.case(f"avg_pool{rank}d", [Input(x, ("flip", 2))], o, lambda x: AVG[rank](x, **p), "accumulate", note="flipped")
        for size in [[1] * rank, [2] * rank, [3, 4, 2][:rank], list(space), [13, 8, 5][:rank]]:
            for y in [x, x[0], Input(x, ("flip", 2))][: 1 if rank == 3 else 3]:
                area.case(f"adaptive_avg_pool{rank}d", [y], {"size": size}, lambda x: ADAPTIVE_AVG[rank](x, size), "accumulate")
                area.case(f"adaptive_max_pool{rank}d", [y], {"size": size}, lambda x: ADAPTIVE_MAX[rank](x, size, return_indices=True), "exact_sum")
        flat = np.zeros((1, 1, *space), dtype=np.float32)
        area.case(f"max_pool{rank}d", [flat], {"kernel": 3, "stride": 1}, lambda x: MAX[rank](x, 3, 1, return_indices=True), "exact_sum", note="ties")
        nan = x.copy()
        nan.reshape(-1)[5] = np.nan
        area.case(f"max_pool{rank}d", [nan], {"kernel": 3, "stride": 1}, lambda x: MAX[rank](x, 3, 1, return_indices=True), "exact_sum", grads=False, note="NaN")
    modes = {1: "linear", 2: "bilinear", 3: "trilinear"}
    for rank in (1, 2, 3):
        space = {1: (5,), 2: (4, 5), 3: (3, 2, 4)}[rank]
        for size in [[2 * n for n in space], [2 * n + 1 for n in space], [max(n - 1, 1) for n in space], [1] * rank, list(space), [7, 3, 5][:rank]]:
            for mode, name in [("nearest", "nearest"), ("bilinear", modes[rank])]:
                more = {} if mode == "nearest" else {"align_corners": False}
                compute = lambda x: F.interpolate(x, size=size, mode=name, **more)
                for y in [floats((2, 2, *space)), Input(floats((1, 2, *space)), ("flip", 2))]:
                    area.case("interpolate", [y], {"size": size, "mode": mode}, compute, "accumulate", note=name)


def norms(area):
    for shape in [(3, 5), (2, 3, 8), (4, 1), (0, 5), (7,), (2, 200)]:
        d = shape[-1:]
        for eps in [1e-5, 1e-2]:
            affine = [floats(d, 0.5, 1.5, "w"), floats(d, tag="b")]
            area.case("layer_norm", [floats(shape), *affine], {"eps": eps}, lambda x, w, b: F.layer_norm(x, d, w, b, eps), "accumulate", note=f"{list(shape)}")
            area.case("rms_norm", [floats(shape), affine[0]], {"eps": eps}, lambda x, w: F.rms_norm(x, d, w, eps), "accumulate", note=f"{list(shape)}")
    w, b = floats((3,), 0.5, 1.5, "w"), floats((3,), tag="b")
    turned = Input(floats((3, 4)), ("transpose", 0, 1))
    area.case("layer_norm", [turned, w, b], {"eps": 1e-5}, lambda x, w, b: F.layer_norm(x, (3,), w, b), "accumulate", note="transposed")
    area.case("rms_norm", [turned, w], {"eps": 1e-5}, lambda x, w: F.rms_norm(x, (3,), w, 1e-5), "accumulate", note="transposed")
    far = (floats((4, 32)) + np.float32(1000)).astype(np.float32)
    w32, b32 = floats((32,), 0.5, 1.5, "w"), floats((32,), tag="b")
    area.case("layer_norm", [far, w32, b32], {"eps": 1e-5}, lambda x, w, b: F.layer_norm(x, (32,), w, b), "accumulate", note="far from 0")
    for shape, groups in [((2, 4, 5), 2), ((2, 4, 5), 4), ((2, 4, 5), 1), ((3, 6, 2, 3), 3), ((2, 4), 2), ((1, 2, 2, 2, 2), 2)]:
        c = shape[1:2]
        inputs = [floats(shape), floats(c, 0.5, 1.5, "w"), floats(c, tag="b")]
        area.case("group_norm", inputs, {"groups": groups, "eps": 1e-5}, lambda x, w, b: F.group_norm(x, groups, w, b), "accumulate", note=f"{list(shape)}")
    for shape in [(2, 3, 5), (2, 3, 4, 4), (1, 2, 2, 2, 3)]:
        area.case("instance_norm", [floats(shape)], {"eps": 1e-5}, lambda x: F.instance_norm(x), "accumulate", note=f"{list(shape)}")

    def batch_norm(training, momentum):
        def compute(x, w, b, mean, var):
            mean, var = mean.clone(), var.clone()
            y = F.batch_norm(x, mean, var, w, b, training, momentum, 1e-5)
            return y, mean, var

        return compute

    for shape in [(4, 3), (2, 3, 5), (2, 3, 4, 4), (2, 2, 2, 2, 3), (64, 2, 4)]:
        c = shape[1:2]
        for training in [True, False]:
            for momentum in [0.1, 0.5]:
                compute = batch_norm(training, momentum)
                inputs = [floats(shape), floats(c, 0.5, 1.5, "w"), floats(c, tag="b"), Input(floats(c, tag="m"), grad=False), Input(floats(c, 0.5, 2, "v"), grad=False)]
                area.case("batch_norm", inputs, {"training": training, "momentum": momentum, "eps": 1e-5}, compute, "accumulate", note=f"{list(shape)}")
    turned = Input(floats((3, 4, 5)), ("transpose", 0, 1))
    area.case("batch_norm", [turned, w, b, Input(floats((3,), tag="m"), grad=False), Input(floats((3,), 0.5, 2, "v"), grad=False)],
              {"training": True, "momentum": 0.1, "eps": 1e-5}, batch_norm(True, 0.1), "accumulate", note="transposed")


def attention(area):
    def sdpa(q, k, v, mask=None, causal=False):
        """As `F.scaled_dot_product_attention`, but a row with nothing to see gives 0."""
        repeat = q.shape[-3] // k.shape[-3]
        k, v = k.repeat_interleave(repeat, -3), v.repeat_interleave(repeat, -3)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        seen = torch.ones(scores.shape, dtype=torch.bool)
        if causal:
            seen = seen.tril()
        if mask is not None and mask.dtype == torch.bool:
            seen = seen & mask
        elif mask is not None:
            scores = scores + mask
        p = torch.softmax(scores.masked_fill(~seen, -1e300), -1).masked_fill(~seen, 0.0)
        out = p @ v
        if bool(seen.any(-1).all()):
            own = F.scaled_dot_product_attention(q, k, v, attn_mask=mask if not causal else (None if mask is None else mask), is_causal=causal)
            assert torch.allclose(own, out), "the formula is not PyTorch's"
        return out

    def operands(b, h, kv, n, m, d):
        return [floats((b, h, n, d)), floats((b, kv, m, d), tag="k"), floats((b, kv, m, d), tag="v")]

    name = "scaled_dot_product_attention"
    for sizes in [(1, 1, 1, 1, 1, 1), (2, 2, 2, 5, 5, 4), (1, 3, 3, 4, 7, 8), (2, 4, 2, 5, 5, 4), (1, 6, 1, 3, 3, 2), (1, 1, 1, 33, 40, 16), (2, 1, 1, 7, 3, 5)]:
        for causal in [False, True]:
            area.case(name, operands(*sizes), {"causal": causal}, lambda q, k, v: sdpa(q, k, v, causal=causal), "accumulate", note=str(sizes))
    for sizes in [(2, 2, 2, 5, 6, 4), (2, 4, 2, 3, 5, 4)]:
        b, h, _, n, m, _ = sizes
        for shape in [(b, h, n, m), (n, m), (b, 1, 1, m), (1, h, n, m)]:
            mask = bools(shape, "mask", 0.7)
            mask[..., 0] = True
            area.case(name, [*operands(*sizes), mask], {"causal": False}, sdpa, "accumulate", note=f"boolean mask {list(shape)}")
            area.case(name, [*operands(*sizes), Input(floats(shape, tag="mask"), grad=False)], {"causal": False}, sdpa, "accumulate", note=f"float mask {list(shape)}")
        mask = bools((n, m), "none", 0.6)
        mask[1] = False
        area.case(name, [*operands(*sizes), mask], {"causal": False}, sdpa, "accumulate", note="a row sees nothing")
    turned = [Input(floats((2, 5, 3, 4), tag=t), ("transpose", 1, 2)) for t in "qkv"]
    area.case(name, turned, {"causal": True}, lambda q, k, v: sdpa(q, k, v, causal=True), "accumulate", note="heads transposed")

    def rope(x, theta, offset):
        """Rotates the pairs (i, i + d/2) of row p by (p + offset) · theta^(-2i/d)."""
        n, d = x.shape[-2:]
        angle = (torch.arange(n).to(x.dtype) + offset)[:, None] * theta ** (-torch.arange(0, d, 2).to(x.dtype) / d)
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)

    for shape in [(1, 1, 1, 2), (2, 3, 5, 8), (1, 2, 40, 4), (2, 1, 0, 4)]:
        for theta, offset in [(10000.0, 0), (100.0, 7)]:
            area.case("rope", [floats(shape)], {"theta": theta, "offset": offset}, lambda x: rope(x, theta, offset), "accumulate", note=f"{list(shape)}")
    area.case("rope", [Input(floats((2, 5, 3, 4)), ("transpose", 1, 2))], {"theta": 10000.0, "offset": 0}, lambda x: rope(x, 10000.0, 0), "accumulate", note="heads transposed")


def areas():
    for name, build in [("convolution", convolution), ("pooling", pooling), ("norms", norms), ("attention", attention)]:
        area = Area(name)
        build(area)
        yield area
