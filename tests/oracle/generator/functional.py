"""Ops composed of others: gates, distances, further losses, rearrangements, indexed updates, reductions around NaN."""

import numpy as np
import torch
import torch.nn.functional as F

from .core import Area, Input, bools, distinct, f32, floats, i32, ints, layouts, uints

NAN, INF = float("nan"), float("inf")


def transposed(shape, tag=""):
    """An operand whose last two dims lie the other way round in memory."""
    return Input(floats((*shape[:-2], shape[-1], shape[-2]), tag=tag), ("transpose", -2, -1))


def gates(area):
    for shape, dim in [((6,), 0), ((4, 5), 0), ((3, 8), -1), ((2, 4, 3), 1), ((0, 2), 0), ((3, 2), 1)]:
        area.case("glu", [floats(shape)], {"dim": dim}, lambda x: F.glu(x, dim), "function", note=f"{list(shape)}")
    area.case("glu", [transposed((3, 4))], {"dim": 1}, lambda x: F.glu(x, 1), "function", note="transposed")
    for shape, w in [((5,), (1,)), ((3, 4), (1,)), ((3, 4), (4,)), ((2, 3, 4), (3,)), ((2, 3, 2, 2), (3,)), ((2, 1), (1,)), ((), (1,)), ((0, 3), (3,))]:
        area.case("prelu", [floats(shape), floats(w, 0.1, 0.5, "w")], {}, F.prelu, "accumulate", note=f"{list(shape)} {list(w)}")
    area.case("prelu", [f32([0.0, -0.0, 1.0, -1.0]), f32([0.25])], {}, F.prelu, "accumulate", note="kinks")
    for shape, dim in [((7,), 0), ((3, 5), 0), ((3, 5), -1), ((2, 3, 4), 1), ((0, 3), 1)]:
        area.case("softmin", [floats(shape, -4, 4)], {"dim": dim}, lambda x: F.softmin(x, dim), "accumulate", note=f"{list(shape)}")
    area.case("softmin", [transposed((3, 4))], {"dim": 0}, lambda x: F.softmin(x, 0), "accumulate", note="transposed")
    for shape in [(7,), (3, 4), ()]:
        for training, p in [(True, 0.0), (False, 0.5), (True, 1.0)]:
            area.case("dropout", [floats(shape)], {"p": p, "training": training}, lambda x: F.dropout(x, p, training), "exact", note=f"{list(shape)}")
    for training, p in [(True, 0.0), (False, 0.5)]:
        area.case("feature_dropout", [floats((2, 3, 4))], {"p": p, "training": training}, lambda x: F.dropout1d(x, p, training), "exact")


def distances(area):
    for a, b, dim in [((4, 5), (4, 5), 1), ((4, 5), (4, 5), 0), ((4, 5), (1, 5), -1), ((3, 1, 5), (2, 5), -1), ((6,), (6,), 0), ((2, 3, 4), (2, 3, 4), 1)]:
        area.case("cosine_similarity", [floats(a), floats(b, tag="b")], {"dim": dim}, lambda x, y: F.cosine_similarity(x, y, dim), "accumulate", note=f"{list(a)} {list(b)}")
    area.case("cosine_similarity", [transposed((4, 5)), Input(floats((4, 5), tag="b"), ("flip", 0))], {"dim": 1}, lambda x, y: F.cosine_similarity(x, y, 1), "accumulate", note="views")
    for p in [2.0, 1.0, 3.0]:
        for a, b in [((4, 5), (4, 5)), ((5,), (5,)), ((4, 5), (1, 5)), ((3, 1), (3, 1))]:
            area.case("pairwise_distance", [floats(a), floats(b, tag="b")], {"p": p}, lambda x, y: F.pairwise_distance(x, y, p), "accumulate", note=f"{list(a)} {list(b)}")
        for shape, dim in [((4, 5), 1), ((4, 5), 0), ((6,), 0), ((2, 3, 4), -2)]:
            area.case("normalize", [floats(shape)], {"p": p, "dim": dim}, lambda x: F.normalize(x, p, dim), "accumulate", note=f"{list(shape)}")
    area.case("normalize", [f32([[0, 0], [3, -4]])], {"p": 2.0, "dim": 1}, lambda x: F.normalize(x, 2.0, 1), "accumulate", grads=False, note="zeros")


def losses(area):
    def signs(shape):
        return Input(np.where(ints(shape, 0, 2, "sign") == 0, -1, 1).astype(np.float32), grad=False)

    for shape in [(7,), (3, 4), (1,), ()]:
        note = f"{list(shape)}"
        for margin in [0.0, 0.5]:
            area.case("margin_ranking", [floats(shape), floats(shape, tag="b"), signs(shape)], {"margin": margin}, lambda a, b, y: F.margin_ranking_loss(a, b, y, margin), "accumulate", note=note)
        for margin in [1.0, 0.5]:
            area.case("hinge_embedding", [floats(shape), signs(shape)], {"margin": margin}, lambda x, y: F.hinge_embedding_loss(x, y, margin), "accumulate", note=note)
        area.case("soft_margin", [floats(shape, -4, 4), signs(shape)], {}, F.soft_margin_loss, "accumulate", note=note)
        counts = Input(ints(shape, 0, 5).astype(np.float32), grad=False)
        area.case("poisson_nll", [floats(shape), counts], {}, F.poisson_nll_loss, "accumulate", note=note)
        if shape:
            inputs = [floats(shape), floats(shape, tag="y"), floats(shape, 0.2, 2, "v")]
            area.case("gaussian_nll", inputs, {}, F.gaussian_nll_loss, "accumulate", note=note)
    area.case("soft_margin", [f32([60.0, -60.0]), Input(f32([-1.0, 1.0]), grad=False)], {}, F.soft_margin_loss, "accumulate", note="large")
    tiny = [floats((3,)), floats((3,), tag="y"), f32([0.0, 1e-7, 1.0])]
    area.case("gaussian_nll", tiny, {}, F.gaussian_nll_loss, "accumulate", note="variances below the least")
    for margin, p in [(1.0, 2.0), (0.5, 1.0), (5.0, 3.0)]:
        for shape in [(4, 5), (1, 3), (6, 2), (3,)]:
            inputs = [floats(shape), floats(shape, tag="p"), floats(shape, tag="n")]
            area.case("triplet_margin", inputs, {"margin": margin, "p": p}, lambda a, b, c: F.triplet_margin_loss(a, b, c, margin, p), "accumulate", note=f"{list(shape)}")


def rearrangements(area):
    def each(op, shape, attributes, compute):
        area.case(op, [floats(shape)], attributes, compute, "exact", note=f"{list(shape)}")
        area.case(op, [ints(shape, -9, 9)], attributes, compute, "exact", note=f"{list(shape)} i32")
        if len(shape) >= 2:
            area.case(op, [transposed(shape)], attributes, compute, "exact", note=f"{list(shape)} transposed")

    for shapes in [((3,), (4,)), ((2,), (3,), (2,)), ((3,),), ((0,), (2,)), ((), (2,))]:
        area.case("meshgrid", [floats(s, tag=str(i)) for i, s in enumerate(shapes)], {}, lambda *x: torch.meshgrid(*x, indexing="ij"), "exact_sum", note=str(shapes))
    for shape, dim in [((3,), 0), ((3, 4), 0), ((3, 4), -1), ((2, 3, 4), 1)]:
        each("unbind", shape, {"dim": dim}, lambda x: torch.unbind(x, dim))
    for op, f, sets in [("hstack", torch.hstack, [((2,), (3,)), ((2, 3), (2, 1)), ((2, 1, 2), (2, 3, 2)), ((), ())]),
                        ("vstack", torch.vstack, [((3,), (3,)), ((2, 3), (1, 3)), ((3,), (2, 3)), ((1, 2, 2), (3, 2, 2)), ((), ())])]:
        for shapes in sets:
            area.case(op, [floats(s, tag=str(i)) for i, s in enumerate(shapes)], {}, lambda *x: f(x), "exact", note=str(shapes))
    for k in [0, 1, 2, 3, 5, -1]:
        for shape, dims in [((2, 3), [0, 1]), ((2, 3, 4), [2, 0])]:
            each("rot90", shape, {"k": k, "dims": dims}, lambda x: torch.rot90(x, k, dims))
    for a, b in [((2, 3), (3, 2)), ((3,), (2,)), ((2, 2), (3,)), ((), (2, 2)), ((1, 1), (4, 5)), ((2, 1, 2), (1, 3, 1))]:
        area.case("kron", [floats(a), floats(b, tag="b")], {}, torch.kron, "accumulate", note=f"{list(a)} {list(b)}")
    for shape in [(3, 3), (2, 5), (4, 1), (0, 0)]:
        area.case("trace", [floats(shape)], {}, torch.trace, "accumulate", note=f"{list(shape)}")
    for shape, dim, sizes in [((6,), 0, [2, 3]), ((2, 6), 1, [3, -1]), ((2, 6), -1, [6, 1]), ((4, 3), 0, [2, 2]), ((2, 6, 2), 1, [1, 2, 3])]:
        each("unflatten", shape, {"dim": dim, "sizes": sizes}, lambda x: x.unflatten(dim, sizes))
    for shape, kernel, o in [((1, 2, 4, 5), [2, 3], {}), ((2, 1, 5, 5), [3, 3], {"stride": 2, "padding": 1}), ((2, 4, 4), [2, 2], {"stride": [2, 1]}), ((1, 1, 6, 5), [2, 2], {"dilation": 2})]:
        area.case("unfold2d", [floats(shape)], {"kernel": kernel, **o}, lambda x: F.unfold(x, kernel, **o), "exact_sum", note=f"{list(shape)}")
        columns = F.unfold(torch.zeros(shape), kernel, **o).shape
        area.case("fold2d", [floats(columns)], {"size": list(shape[-2:]), "kernel": kernel, **o}, lambda x: F.fold(x, shape[-2:], kernel, **o), "accumulate", note=f"{list(columns)}")


def updates(area):
    for shape, dim, n in [((7,), 0, 4), ((3, 5), 0, 6), ((3, 5), 1, 2), ((2, 3, 4), -2, 5), ((3, 5), 0, 0), ((40, 30), 0, 50)]:
        sizes = list(shape)
        sizes[dim] = n
        bound = shape[dim]
        index, source = ints((n,), 0, bound), floats(sizes, tag="s")
        area.case("index_add", [floats(shape), index, source], {"dim": dim}, lambda x, i, s: x.index_add(dim, i, s), "accumulate", note=f"{list(shape)}")
        few = min(n, bound)
        sizes[dim] = few
        unique = np.argsort(floats((bound,), tag="order"))[:few].astype(np.int32)
        area.case("index_copy", [floats(shape), unique, floats(sizes, tag="s")], {"dim": dim}, lambda x, i, s: x.index_copy(dim, i, s), "exact", note=f"{list(shape)}")
        area.case("index_fill", [floats(shape), index], {"dim": dim, "value": -2.5}, lambda x, i: x.index_fill(dim, i, -2.5), "exact", note=f"{list(shape)}")
        area.case("index_fill", [ints(shape, -9, 9), index], {"dim": dim, "value": 3.0}, lambda x, i: x.index_fill(dim, i, 3), "exact", note=f"{list(shape)} i32")
    turned = [transposed((3, 4)), i32([2, 0, 2]), Input(floats((3, 4), tag="s"), ("flip", 1))]
    area.case("index_add", turned, {"dim": 0}, lambda x, i, s: x.index_add(0, i, s), "accumulate", note="views")
    for shape, index, dim in [((3, 5), (3, 2), 1), ((3, 5), (1, 4), 1), ((3, 5), (2, 1), 0), ((1, 5), (3, 2), 1), ((2, 3, 4), (2, 1, 3), 2), ((6,), (4,), 0)]:
        area.case("take_along_dim", [floats(shape), ints(index, 0, shape[dim])], {"dim": dim}, lambda x, i: torch.take_along_dim(x, i, dim), "exact_sum", note=f"{list(shape)} {list(index)}")
    for n, bins in [(7, 4), (0, 3), (1, 1), (300, 20)]:
        area.case("bincount", [ints((n,), 0, bins)], {"bins": bins}, lambda x: torch.bincount(x, minlength=bins), "exact", unsigned=False, note=f"[{n}]")
        weights = Input(floats((n,)), grad=False)
        area.case("bincount", [uints((n,), 0, bins), weights], {"bins": bins}, lambda x, w: torch.bincount(x, w, minlength=bins).to(torch.get_default_dtype()), "accumulate", note=f"[{n}] weights")


def around_nan(area):
    def holed(shape):
        x = floats(shape)
        x[bools(shape, "nan", 0.3)] = NAN
        return x

    for shape, dims in [((7,), None), ((3, 5), None), ((3, 5), [0]), ((3, 5), [-1]), ((2, 3, 4), [0, 2]), ((), None)]:
        for keepdim in [False, True] if dims else [False]:
            a = {} if dims is None else {"dims": dims, "keepdim": keepdim}
            more = {} if dims is None else {"dim": tuple(dims), "keepdim": keepdim}
            x = holed(shape)
            if dims == [0]:
                x[:, 1] = NAN
            note = f"{list(shape)}"
            area.case("nansum", [x], a, lambda x: torch.nansum(x, **more), "accumulate", note=note)
            area.case("nanmean", [x], a, lambda x: torch.nanmean(x, **more), "accumulate", grads=dims != [0], note=note)
        zeros = np.where(bools(shape, "zero"), floats(shape), 0).astype(np.float32)
        for kind in [np.float32, np.int32, np.bool_]:
            count = lambda x: torch.count_nonzero(x) if dims is None else torch.count_nonzero(x, dim=tuple(dims))
            area.case("count_nonzero", [(zeros * 3).astype(kind)], {} if dims is None else {"dims": dims, "keepdim": False}, count, "exact", grads=False, unsigned=False, note=f"{list(shape)}")
    for shape, dim in [((7,), None), ((3, 5), 0), ((3, 5), -1), ((2, 3, 4), 1), ((4, 1), None)]:
        for x, note in [(floats(shape), ""), (ints(shape, -9, 9), "i32"), (np.round(floats(shape)), "ties")]:
            a = {} if dim is None else {"dim": dim, "keepdim": True}
            compute = lambda x: tuple(torch.aminmax(x) if dim is None else torch.aminmax(x, dim=dim, keepdim=True))
            area.case("aminmax", [x], a, compute, "exact", note=f"{list(shape)} {note}")
    for shape in [(7,), (8,), (3, 5)]:
        x = distinct(shape)
        x.reshape(-1)[::3] = NAN
        area.case("nanmedian", [x], {}, torch.nanmedian, "exact", note=f"{list(shape)}")
    for shape, dim in [((9,), 0), ((3, 6), 1), ((3, 6), 0), ((2, 4, 3), -2)]:
        for keepdim in [False, True]:
            x = distinct(shape)
            x.reshape(-1)[::4] = NAN
            compute = lambda x: tuple(torch.nanmedian(x, dim, keepdim))
            area.case("nanmedian_dim", [x], {"dim": dim, "keepdim": keepdim}, compute, "exact", note=f"{list(shape)}")


def pools(area):
    functions = {1: F.lp_pool1d, 2: F.lp_pool2d, 3: F.lp_pool3d}
    for rank in (1, 2, 3):
        space = {1: (9,), 2: (5, 6), 3: (4, 4, 5)}[rank]
        for p, kernel, stride in [(2.0, [2] * rank, [2] * rank), (1.0, [2, 3, 2][:rank], [1] * rank), (3.0, [3] * rank, [2, 1, 2][:rank])]:
            for shape in [(2, 3, *space), (2, *space)]:
                size, step = (kernel[0], stride[0]) if rank == 1 else (kernel, stride)
                # Sums of odd powers may be negative; PyTorch takes their absolute value, as do windows of positive numbers.
                area.case(f"lp_pool{rank}d", [floats(shape, 0.2, 2)], {"p": p, "kernel": kernel, "stride": stride}, lambda x: functions[rank](x, p, size, step), "accumulate", note=f"{list(shape)}")


def small(area):
    """Cases of few elements, from which second derivatives can be had by differences."""
    conv = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
    adaptive = {2: (F.adaptive_avg_pool2d, F.adaptive_max_pool2d), 3: (F.adaptive_avg_pool3d, F.adaptive_max_pool3d)}
    pool = {1: (F.max_pool1d, F.avg_pool1d, F.lp_pool1d), 2: (F.max_pool2d, F.avg_pool2d, F.lp_pool2d), 3: (F.max_pool3d, F.avg_pool3d, F.lp_pool3d)}
    for rank in (1, 2, 3):
        space = {1: (7,), 2: (4, 5), 3: (2, 3, 3)}[rank]
        x = distinct((1, 1, *space))
        largest, average, power = pool[rank]
        area.case(f"max_pool{rank}d", [x], {"kernel": 2, "stride": 1}, lambda x: largest(x, 2, 1, return_indices=True), "exact_sum", note="small")
        area.case(f"avg_pool{rank}d", [x], {"kernel": 2, "stride": 1}, lambda x: average(x, 2, 1), "accumulate", note="small")
        area.case(f"lp_pool{rank}d", [floats((1, 1, *space), 0.2, 2)], {"p": 3.0, "kernel": [2] * rank, "stride": [1] * rank}, lambda x: power(x, 3.0, 2, 1), "accumulate", note="small")
        inputs = [floats((1, 2, *(2,) * rank)), floats((2, 1, *(2,) * rank), tag="w"), floats((1,), tag="bias")]
        area.case(f"conv_transpose{rank}d", inputs, {"stride": 2}, lambda x, w, b: conv[rank](x, w, b, 2), "accumulate", note="small")
        if rank > 1:
            for name, f, more in zip(("avg", "max"), adaptive[rank], ({}, {"return_indices": True})):
                area.case(f"adaptive_{name}_pool{rank}d", [x], {"size": [2] * rank}, lambda x: f(x, [2] * rank, **more), "accumulate", note="small")
    area.case("embedding", [floats((4, 3)), ints((2, 3), 0, 4)], {}, lambda w, i: F.embedding(i, w), "exact_sum", note="small")
    area.case("fold2d", [floats((1, 4, 4))], {"size": [3, 3], "kernel": [2, 2]}, lambda x: F.fold(x, (3, 3), 2), "accumulate", note="small")
    area.case("nanmedian", [distinct((3, 5))], {}, torch.nanmedian, "exact", note="nothing missing")
    area.case("nanmedian_dim", [distinct((3, 5))], {"dim": 1, "keepdim": False}, lambda x: tuple(torch.nanmedian(x, 1)), "exact", note="nothing missing")


def areas():
    for name, build in [("gates", lambda a: (gates(a), distances(a))), ("further_losses", losses), ("rearrangements", rearrangements),
                        ("updates", updates), ("around_nan", around_nan), ("power_pooling", pools), ("small", small)]:
        area = Area(name)
        build(area)
        yield area
