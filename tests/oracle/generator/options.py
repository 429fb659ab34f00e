"""Ranges and types of ops that stand in other modules, reductions by index, further resizing, losses by reduction."""

import numpy as np
import torch
import torch.nn.functional as F

from .core import Area, Input, f32, floats, i32, ints
from .movement import one


def ranges(area):
    for shape, d, a, b, s in [((7,), 0, -5, -2, 1), ((4, 6), -1, -6, -1, 2), ((2, 3, 4), 1, 1, -1, 1), ((5,), 0, -5, 5, 1)]:
        def compute(x, d=d, a=a, b=b, s=s):
            index = [slice(None)] * x.dim()
            index[d] = slice(a, b, s)
            return x[tuple(index)]
        one(area, "slice", shape, {"dim": d, "start": a, "stop": b, "step": s}, compute)
    for shape, d, a in [((7,), 0, 3), ((4, 6), 1, -2), ((2, 3, 4), 0, 2), ((2, 3, 4), -2, 0)]:
        one(area, "slice", shape, {"dim": d, "start": a}, lambda x: x.narrow(d, a % x.shape[d] if a < 0 else a, x.shape[d] - (a % x.shape[d] if a < 0 else a)))
    for shape, i in [((7,), 3), ((4, 6), -1), ((2, 3, 4), 0), ((2, 3, 4), -2)]:
        one(area, "get", shape, {"index": i}, lambda x: x[i])


def types(area):
    kinds = {"f32": None, "i32": torch.int64, "u32": torch.int64, "bool": torch.bool}
    for name, kind in kinds.items():
        kind = kind or torch.float64
        for shape, v in [([3], 1.0), ([2, 3], 7.0), ([], 2.75)] + ([([2], -3.5)] if name != "u32" else []):
            area.case("full", [], {"shape": shape, "value": v, "dtype": name}, lambda: torch.full(shape, v, dtype=kind), "exact", unsigned=name == "u32")
        for op in ["zeros", "ones"]:
            area.case(op, [], {"shape": [2, 3], "dtype": name}, lambda: getattr(torch, op)(2, 3, dtype=kind), "exact", unsigned=name == "u32")
    for a, b, s in [(0, 5, 1), (5, -6, -2), (-3, 4, 3), (16777217, 16777221, 1), (0, 5.5, 1), (2, 2, 1)]:
        area.case("arange", [], {"start": a, "end": b, "step": s, "dtype": "i32"}, lambda: torch.arange(a, b, s, dtype=torch.int64), "exact")
    for a, b, s in [(0, 5, 1), (9, 1, -3), (4294967290, 4294967296, 2)]:
        area.case("arange", [], {"start": a, "end": b, "step": s, "dtype": "u32"}, lambda: torch.arange(a, b, s, dtype=torch.int64), "exact", unsigned=True)


def reductions_of_losses(area):
    def signs(shape):
        return Input(np.where(ints(shape, 0, 2, "sign") == 0, -1, 1).astype(np.float32), grad=False)

    def each(name, f, make, attributes={}, shapes=((7,), (3, 4), ())):
        for reduction in ["none", "sum"]:
            for shape in shapes:
                area.case(name, make(shape), {"reduction": reduction, **attributes}, lambda *x: f(*x, reduction=reduction), "accumulate", note=f"{list(shape)}")

    pair = lambda s: [floats(s, -3, 3), floats(s, -3, 3, "y")]
    each("mse", F.mse_loss, pair)
    each("l1", F.l1_loss, pair)
    each("huber", lambda x, y, reduction: F.huber_loss(x, y, reduction=reduction, delta=0.5), pair, {"delta": 0.5})
    for beta in [0.5, 0.0]:
        each("smooth_l1", lambda x, y, reduction: F.smooth_l1_loss(x, y, reduction=reduction, beta=beta), pair, {"beta": beta})
    each("bce", F.binary_cross_entropy, lambda s: [floats(s, 0.02, 0.98), Input(floats(s, 0, 1, "y"), grad=False)])
    each("bce_with_logits", F.binary_cross_entropy_with_logits, lambda s: [floats(s, -3, 3), Input(floats(s, 0, 1, "y"), grad=False)])
    each("bce_with_logits", lambda x, y, w, reduction: F.binary_cross_entropy_with_logits(x, y, pos_weight=w, reduction=reduction), lambda s: [floats(s, -3, 3), Input(floats(s, 0, 1, "y"), grad=False), Input(floats(s[-1:], 0.5, 3, "w"), grad=False)], shapes=((7,), (3, 4)))
    each("kl_div", F.kl_div, lambda s: [floats(s, -4, -0.1), Input(floats(s, 0.01, 1, "y"), grad=False)])
    each("margin_ranking", lambda a, b, y, reduction: F.margin_ranking_loss(a, b, y, 0.5, reduction=reduction), lambda s: [floats(s), floats(s, tag="b"), signs(s)], {"margin": 0.5})
    each("hinge_embedding", lambda x, y, reduction: F.hinge_embedding_loss(x, y, 1.0, reduction=reduction), lambda s: [floats(s), signs(s)], {"margin": 1.0})
    each("soft_margin", F.soft_margin_loss, lambda s: [floats(s, -4, 4), signs(s)])
    each("poisson_nll", F.poisson_nll_loss, lambda s: [floats(s), Input(ints(s, 0, 5).astype(np.float32), grad=False)])
    each("gaussian_nll", F.gaussian_nll_loss, lambda s: [floats(s), floats(s, tag="y"), floats(s, 0.2, 2, "v")], shapes=((7,), (3, 4)))
    each("multi_margin", lambda x, t, reduction: F.multi_margin_loss(x, t, reduction=reduction), lambda s: [floats(s, -3, 3), ints(s[:-1], 0, s[-1])], {"margin": 1.0}, shapes=((6, 5), (1, 3), (4,)))
    rows = lambda s: [floats(s), floats(s, tag="b"), signs(s[:-1])]
    each("cosine_embedding", lambda a, b, y, reduction: F.cosine_embedding_loss(a, b, y, 0.25, reduction=reduction), rows, {"margin": 0.25}, shapes=((5, 4), (1, 3)))
    three = lambda s: [floats(s), floats(s, tag="p"), floats(s, tag="n")]
    each("triplet_margin", lambda a, b, c, reduction: F.triplet_margin_loss(a, b, c, 1.0, 2.0, reduction=reduction), three, {"margin": 1.0, "p": 2.0}, shapes=((4, 5), (6, 2)))

    for name, f in [("cross_entropy", F.cross_entropy), ("nll", F.nll_loss)]:
        for reduction in ["none", "sum"]:
            for shape, target in [((4, 5), (4,)), ((2, 4, 3), (2, 3)), ((2, 3, 2, 2), (2, 2, 2)), ((5,), ())]:
                x, t = floats(shape, -4, -0.1), ints(target, 0, shape[min(1, len(shape) - 1)])
                w = Input(floats((shape[min(1, len(shape) - 1)],), 0.5, 2.0, "w"), grad=False)
                for smoothing in [0.0, 0.125] if name == "cross_entropy" else [0.0]:
                    for ignore in [None, 0]:
                        for weighted in [False, True]:
                            more = {"label_smoothing": smoothing} if smoothing else {}
                            given = {**more, **({"weighted": True} if weighted else {}), **({} if ignore is None else {"ignore_index": ignore})}
                            compute = lambda x, t, w=None: f(x, t, weight=w, ignore_index=-7 if ignore is None else ignore, reduction=reduction, **more)
                            area.case(name, [x, t] + ([w] if weighted else []), {"reduction": reduction, **given}, compute, "accumulate", note=f"{list(shape)}")


def soft_targets(area):
    for shape in [(4, 5), (5,), (2, 3, 4), (2, 3, 2, 2), (3, 1)]:
        classes = shape[min(1, len(shape) - 1)]
        w = Input(floats((classes,), 0.5, 2.0, "w"), grad=False)
        for reduction in ["none", "sum", "mean"]:
            for smoothing in [0.0, 0.125]:
                for weighted in [False, True]:
                    given = {"reduction": reduction, **({"label_smoothing": smoothing} if smoothing else {}), **({"weighted": True} if weighted else {})}
                    compute = lambda x, t, w=None: F.cross_entropy(x, t, weight=w, label_smoothing=smoothing, reduction=reduction)
                    inputs = [floats(shape, -4, 4), floats(shape, 0, 1, "t")] + ([w] if weighted else [])
                    area.case("cross_entropy", inputs, given, compute, "accumulate", note=f"{list(shape)} soft")
    turned = [Input(floats((5, 4), -4, 4), ("transpose", 0, 1)), Input(floats((4, 5), 0, 1, "t"), ("flip", 1))]
    area.case("cross_entropy", turned, {"reduction": "mean"}, lambda x, t: F.cross_entropy(x, t), "accumulate", note="soft, views")


def scatter_reductions(area):
    shapes = [((6,), (9,), 0), ((3, 5), (4, 5), 0), ((3, 5), (2, 7), 1), ((2, 3, 4), (2, 5, 3), -2), ((4,), (0,), 0), ((30, 8), (70, 8), 0)]
    for kind in ["sum", "mean", "amax", "amin", "prod"]:
        for include in [True, False]:
            attributes = lambda dim: {"dim": dim, "reduction": kind, "include_self": include}
            compute = lambda dim: lambda x, i, s: x.scatter_reduce(dim, i, s, kind, include_self=include)
            for shape, index, dim in shapes:
                inputs = [floats(shape), ints(index, 0, shape[dim]), floats(index, tag="src")]
                area.case("scatter_reduce", inputs, attributes(dim), compute(dim), "accumulate", note=f"{list(shape)}")
            ones = [ints((3, 4), -9, 9), ints((6, 4), 0, 3), ints((6, 4), -9, 9, "src")]
            area.case("scatter_reduce", ones, attributes(0), compute(0), "exact", note="i32")
            views = [Input(floats((5, 3)), ("transpose", 0, 1)), Input(ints((4, 3), 0, 5), ("transpose", 0, 1)), Input(floats((3, 4), tag="s"), ("flip", 1))]
            area.case("scatter_reduce", views, attributes(1), compute(1), "accumulate", note="views")
    # Ties share, zeros leave the product of the others.
    x, i, s = Input(f32([2, 3, 5, 1])), i32([0, 0, 0, 1, 1, 2]), f32([2, 2, 1, 4, 4, 5])
    for kind in ["amax", "amin"]:
        area.case("scatter_reduce", [x, i, s], {"dim": 0, "reduction": kind, "include_self": True}, lambda x, i, s: x.scatter_reduce(0, i, s, kind), "accumulate", note="ties")
    for include in [True, False]:
        zeros = [f32([2, 0, 5, 0]), i32([0, 0, 1, 1, 2, 2]), f32([0, 3, 4, 2, 0, 0])]
        area.case("scatter_reduce", zeros, {"dim": 0, "reduction": "prod", "include_self": include}, lambda x, i, s: x.scatter_reduce(0, i, s, "prod", include_self=include), "accumulate", note="zeros")


def resampling(area):
    modes = {
        "nearest_exact": ("nearest-exact", None),
        "bilinear_aligned": ("linear", True),
        "bicubic": ("cubic", False),
        "bicubic_aligned": ("cubic", True),
        "area": ("area", None),
    }
    names = {1: {"linear": "linear"}, 2: {"linear": "bilinear", "cubic": "bicubic"}, 3: {"linear": "trilinear"}}
    shapes = {
        1: [((2, 1, 5), [8]), ((1, 2, 7), [3]), ((1, 1, 4), [1]), ((1, 1, 1), [5]), ((1, 1, 6), [6])],
        2: [((1, 2, 4, 5), [7, 3]), ((2, 1, 3, 3), [6, 6]), ((1, 1, 5, 4), [1, 9]), ((1, 1, 1, 2), [3, 4]), ((1, 1, 9, 8), [4, 4])],
        3: [((1, 1, 3, 4, 2), [5, 2, 4])],
    }
    for ours, (mode, align) in modes.items():
        for dims, cases in shapes.items():
            if mode == "cubic" and dims != 2:
                continue
            theirs = names[dims].get(mode, mode)
            for shape, size in cases:
                area.case("interpolate", [floats(shape)], {"size": size, "mode": ours}, lambda x: F.interpolate(x, size, mode=theirs, align_corners=align), "accumulate", note=f"{list(shape)}")
            shape = cases[0][0]
            for factor in [2.0, 1.5, 0.5]:
                area.case("interpolate", [floats(shape)], {"factor": factor, "mode": ours}, lambda x: F.interpolate(x, scale_factor=factor, mode=theirs, align_corners=align), "accumulate", note=f"{list(shape)}")
    turned = Input(floats((1, 1, 5, 4)), ("transpose", 2, 3), ("flip", 3))
    for ours, theirs, align in [("bicubic", "bicubic", False), ("bilinear_aligned", "bilinear", True), ("area", "area", None)]:
        area.case("interpolate", [turned], {"size": [6, 3], "mode": ours}, lambda x: F.interpolate(x, (6, 3), mode=theirs, align_corners=align), "accumulate", note="views")


def areas():
    builders = [
        ("resampling", resampling),
        ("scatter_reductions", scatter_reductions),
        ("ranges", lambda a: (ranges(a), types(a))),
        ("loss_options", lambda a: (reductions_of_losses(a), soft_targets(a))),
    ]
    for name, build in builders:
        area = Area(name)
        build(area)
        yield area
