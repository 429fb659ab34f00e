"""f16: inputs that f16 holds exactly, results of float64 rounded to f16."""

import torch
import torch.nn.functional as F

from .core import Area, Input, distinct, halves, ints
from .elementwise import BINARY, UNARY


def half(area):
    def case(op, inputs, attributes, compute, note="", compare="half", **more):
        area.case(op, inputs, attributes, compute, compare, note=f"f16 {note}".strip(), **more)

    names = ["neg", "abs", "exp", "log", "sqrt", "rsqrt", "recip", "square", "sin", "cos", "tanh", "erf", "relu", "gelu", "silu", "sigmoid", "softplus", "hardswish", "log1p", "floor"]
    for name in names:
        f, (low, high), _ = UNARY[name]
        case(name, [Input(halves((5, 4), low, high), ("transpose", 0, 1))], {}, f)
    for name in ["add", "sub", "mul", "div", "maximum", "minimum", "pow", "hypot", "atan2", "lt"]:
        f, (low, high), _ = BINARY[name]
        left = (0.3, 3) if name == "pow" else (-3, 3)
        case(name, [halves((3, 4), *left, "a"), halves((4,), low, high, "b")], {}, f, compare="exact" if name == "lt" else "half")
    for op, f in [("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax), ("logsumexp", torch.logsumexp), ("prod", torch.prod)]:
        for shape, dim in [((7, 9), 0), ((7, 9), 1)]:
            case(op, [halves(shape, 0.5, 1.5)], {"dims": [dim], "keepdim": False}, lambda x: f(x, dim))
    case("var", [halves((5, 6))], {"dims": [1], "keepdim": False, "correction": 1.0}, lambda x: x.var(1))
    case("argmax", [halves((5, 6))], {"dim": 1, "keepdim": False}, lambda x: x.argmax(1), compare="exact")
    case("cumsum", [halves((3, 20))], {"dim": 1}, lambda x: x.cumsum(1))
    for a, b in [((3, 4), (4, 5)), ((2, 3, 8), (2, 8, 4)), ((17, 33), (33, 19)), ((4,), (4, 3))]:
        case("matmul", [halves(a, -1, 1), halves(b, -1, 1, "b")], {}, torch.matmul, f"{list(a)} {list(b)}")
    case("linear", [halves((3, 4)), halves((5, 4), -1, 1, "w"), halves((5,), tag="b")], {}, F.linear)
    case("einsum", [halves((3, 4)), halves((4, 5), tag="b")], {"equation": "ij,jk->ki"}, lambda a, b: torch.einsum("ij,jk->ki", a, b))
    case("conv1d", [halves((2, 4, 9)), halves((4, 2, 3), -1, 1, "w"), halves((4,), tag="b")], {"groups": 2}, lambda x, w, b: F.conv1d(x, w, b, groups=2))
    case("conv2d", [halves((2, 3, 5, 6)), halves((4, 3, 3, 2), -1, 1, "w"), halves((4,), tag="b")], {"padding": 1, "stride": 2}, lambda x, w, b: F.conv2d(x, w, b, 2, 1))
    case("conv_transpose2d", [halves((1, 3, 3, 4)), halves((3, 2, 3, 2), -1, 1, "w"), halves((2,), tag="b")], {"stride": 2}, lambda x, w, b: F.conv_transpose2d(x, w, b, 2))
    w, b = halves((8,), 0.5, 1.5, "w"), halves((8,), tag="b")
    case("layer_norm", [halves((3, 8)), w, b], {"eps": 1e-5}, lambda x, w, b: F.layer_norm(x, (8,), w, b))
    case("rms_norm", [halves((3, 8)), w], {"eps": 1e-5}, lambda x, w: F.rms_norm(x, (8,), w, 1e-5))
    case("group_norm", [halves((2, 8, 3)), w, b], {"groups": 4, "eps": 1e-5}, lambda x, w, b: F.group_norm(x, 4, w, b))
    for op, f in [("softmax", torch.softmax), ("log_softmax", torch.log_softmax)]:
        for dim in [0, 1]:
            case(op, [halves((5, 7), -4, 4)], {"dim": dim}, lambda x: f(x, dim))
    values = distinct((3, 5)).astype("float16")
    case("sort", [values], {"dim": 1, "descending": True}, lambda x: tuple(torch.sort(x, dim=1, descending=True)), compare="exact")
    case("topk", [values], {"k": 2, "dim": 1, "largest": True}, lambda x: tuple(torch.topk(x, 2, 1)), compare="exact")
    case("max_pool2d", [distinct((1, 2, 4, 5)).astype("float16")], {"kernel": 2}, lambda x: F.max_pool2d(x, 2, return_indices=True), compare="half")
    case("avg_pool2d", [halves((1, 2, 4, 5))], {"kernel": 2}, lambda x: F.avg_pool2d(x, 2))
    case("reshape", [halves((3, 4))], {"shape": [2, -1]}, lambda x: x.reshape(2, -1), compare="exact")
    case("cat", [halves((2, 3)), halves((1, 3), tag="b")], {"dim": 0}, lambda *x: torch.cat(x, 0), compare="exact")
    case("flip", [halves((2, 3))], {"dims": [0, 1]}, lambda x: x.flip(0, 1), compare="exact")
    case("pad", [halves((2, 3))], {"padding": [[1, 0], [0, 2]], "value": 1.5}, lambda x: F.pad(x, (0, 2, 1, 0), value=1.5), compare="exact")
    case("triu", [halves((3, 4))], {"k": 0}, torch.triu, compare="exact")
    case("gather", [halves((3, 5)), ints((3, 2), 0, 5)], {"dim": 1}, lambda x, i: torch.gather(x, 1, i), compare="half")
    case("index_select", [halves((3, 5)), ints((4,), 0, 3)], {"dim": 0}, lambda x, i: torch.index_select(x, 0, i), compare="half")
    case("embedding", [halves((6, 4)), ints((2, 3), 0, 6)], {}, lambda w, i: F.embedding(i, w), compare="half")
    case("where", [halves((3, 4)) > 0, halves((3, 4), tag="a"), halves((3, 4), tag="b")], {}, torch.where, compare="exact")
    case("mse", [halves((3, 4)), halves((3, 4), tag="y")], {}, F.mse_loss)
    case("cross_entropy", [halves((4, 5), -4, 4), ints((4,), 0, 5)], {}, F.cross_entropy)
    q, k, v = (halves((1, 2, 4, 4), tag=t) for t in "qkv")
    case("scaled_dot_product_attention", [q, k, v], {"causal": True}, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))


def areas():
    area = Area("half")
    half(area)
    yield area
