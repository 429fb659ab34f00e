//! A broad sample of graphs, recorded on null devices, and the plans that come of them.

use wgrad::internals::Array;
use wgrad::internals::Caps;
use wgrad::internals::kernel::{Kernel, Operand, Routine, Stage};
use wgrad::internals::plan::{self, Family, Problem};
use wgrad::internals::{Meta, Op, Var};
use wgrad::optim::clip_grad_norm_with;
use wgrad::optim::{Adadelta, Adagrad, Adam, AdamW, Adamax, ClipNorm, Lion, NAdam, Optimizer, RmsProp, Sgd};
use wgrad::{Conv, DType, Device, Error, ScatterReduction, Tensor};

/// The kinds of adapters that kernels are chosen by.
pub fn adapters() -> Vec<(&'static str, Caps)> {
    let base = Caps::baseline();
    let cooperative = |side| Caps { f16: true, subgroup: Some((32, 32)), cooperative: Some(side), ..base.clone() };
    vec![
        ("gpu", base.clone()),
        ("gpu with subgroups", Caps { subgroup: Some((32, 32)), few_registers: false, ..base.clone() }),
        ("software", Caps { software: true, ..base.clone() }),
        ("software with subgroups", Caps { software: true, subgroup: Some((8, 8)), ..base.clone() }),
        ("gpu, 64 buffers", Caps { max_storage_buffers: 64, ..base.clone() }),
        (
            "software with subgroups, 64 buffers",
            Caps { software: true, subgroup: Some((8, 8)), max_storage_buffers: 64, ..base.clone() },
        ),
        ("gpu with f16", Caps { f16: true, ..base.clone() }),
        (
            "software with subgroups and panels",
            Caps { software: true, subgroup: Some((8, 8)), panel_texels: 1 << 24, wide_loads: true, ..base.clone() },
        ),
        ("software with subgroups and f16", Caps { software: true, subgroup: Some((8, 8)), f16: true, ..base.clone() }),
        ("gpu with small cooperative matrices", cooperative(8)),
        ("gpu with cooperative matrices", cooperative(16)),
    ]
}

/// A tensor that holds data.
pub fn data(shape: impl Into<wgrad::Shape>, device: &Device) -> Tensor {
    let shape = shape.into();
    Tensor::from_slice(&vec![0.5f32; shape.numel()], shape, device)
}

/// A leaf that wants a gradient.
pub fn leaf(shape: impl Into<wgrad::Shape>, device: &Device) -> Tensor {
    data(shape, device).requires_grad()
}

/// Plans the whole sample on a device.
pub fn plan_all(device: &Device) {
    movement(device);
    reductions(device);
    matmuls(device);
    elementwise(device);
    random(device);
    networks(device);
    convolutions(device);
    norms(device);
    pooling(device);
    training(device);
    halves(device);
    attention(device);
    orders(device);
}

fn attention(d: &Device) {
    let seen = data([6, 6], d).gt(0.2);
    let bias = data([6, 6], d);
    for size in [10, 32, 64, 128, 256] {
        let q = || leaf([2, 4, 6, size], d);
        let kv = || leaf([2, 2, 6, size], d);
        for mask in [None, Some(&seen), Some(&bias)] {
            let y = q().rope(10_000.0, 3).scaled_dot_product_attention(&kv().rope(10_000.0, 3), &kv(), mask, true);
            y.sum().backward().unwrap_or_else(|e| panic!("{e}"));
            d.sync().unwrap_or_else(|e| panic!("{e}"));
        }
    }
    // Rows that no vec4 reads, and enough of them for the tall tiles.
    let x = leaf([1, 2, 40, 16], d);
    x.flip(&[3]).scaled_dot_product_attention(&x, &x, None, false).sum().backward().unwrap();
    d.sync().unwrap();
    let starts = Tensor::from_slice(&[3i32, 70_000], [2, 1], d);
    let turned = leaf([2, 3, 5, 8], d).rope(100.0, &starts);
    turned.square().sum().backward().unwrap();
    d.sync().unwrap();
}

/// 16-bit floats, through every form of kernel; an error where the device has none.
fn halves(d: &Device) {
    let half = |shape: [usize; 2]| data(shape, d).to_dtype(DType::F16);
    if half([2, 2]).check().is_err() {
        return;
    }
    let (x, y) = (half([40, 64]).requires_grad(), half([64, 36]));
    let index = Tensor::from_slice(&[3i32, 0, 3], [3], d);
    for z in [
        (&x * 2.0 + x.t().reshape([40, 64]).tanh()).to_dtype(DType::F32),
        x.slice_step(1, 1..64, 3).exp(),
        x.sum_dims(&[0], false),
        x.mean_dims(&[1], true) * &x,
        x.max(),
        x.matmul(&y),
        x.t().matmul(&x.slice(1, 0..33)),
        &x.sum() * half([24, 3000]).matmul(&half([3000, 20])),
        x.softmax(1),
        x.index_select(0, &index),
        x.pad(&[(1, 0), (0, 3)], 1.0),
        Tensor::cat(&[&x, &x.gt(0.2).to_dtype(DType::F16)], 0),
    ] {
        z.realize().unwrap_or_else(|e| panic!("{e}"));
        let total = z.to_dtype(DType::F32).square().mean();
        total.backward().unwrap_or_else(|e| panic!("{e}"));
    }
    d.sync().unwrap_or_else(|e| panic!("{e}"));
}

fn movement(d: &Device) {
    let x = data([6, 10], d);
    let y = data([6, 4], d);
    for z in [
        x.t().contiguous(),
        x.flip(&[0, 1]) + 1.0,
        x.slice_step(1, 1..10, 3) * 2.0,
        x.reshape([3, 20]).t().reshape([60]) + 1.0,
        Tensor::cat(&[&x, &y], 1),
        Tensor::cat(&[&x, &x.flip(&[0]), &x], 0) + 1.0,
        Tensor::stack(&[&x, &x], 1),
        x.pad(&[(1, 2), (0, 3)], -1.0),
        x.repeat(&[2, 3]),
        x.roll(&[2], &[1]),
        x.gt(0.2).t().contiguous(),
        Tensor::cat(&[&x.gt(0.2), &y.gt(0.1)], 1),
        x.to_dtype(DType::I32).pad(&[(1, 0), (0, 1)], 3.0),
        Tensor::eye(5, d),
        x.expand([3, 6, 10]).reshape([18, 10]).tanh(),
    ] {
        z.realize().unwrap();
    }
    let many: Vec<Tensor> = (0..20).map(|_| data([3, 5], d)).collect();
    let many: Vec<&Tensor> = many.iter().collect();
    Tensor::cat(&many, 0).realize().unwrap();
    many.iter().map(|t| (*t).tanh()).reduce(|a, b| a + b).unwrap().realize().unwrap();
    let w = leaf([6, 10], d);
    let joined = Tensor::cat(&[&w.slice(1, 2..7), &w.t().reshape([6, 10]).flip(&[1])], 1).pad(&[(1, 1), (2, 0)], 0.5);
    (joined.square().sum() + w.select(0, 3).sum()).backward().unwrap();
    d.sync().unwrap();
}

fn reductions(d: &Device) {
    for shape in [[8, 1024], [300, 7], [1, 70_000], [70_000, 1], [5, 3]] {
        let x = data(shape, d);
        for dim in [0isize, 1] {
            let dims = &[dim];
            for z in [
                x.sum_dims(dims, false),
                (&x * 2.0).mean_dims(dims, true) + 1.0,
                x.prod_dims(dims, false),
                x.max_dims(dims, false),
                x.t().min_dims(dims, true),
                x.flip(&[0]).sum_dims(dims, false),
                x.logsumexp_dims(dims, false),
                x.var_dims(dims, 1.0, false),
                x.argmax(dim, false),
                x.exp().argmin(dim, true),
                x.gt(0.1).any_dims(dims, false),
                x.gt(0.1).all_dims(dims, false),
                x.to_dtype(DType::I32).sum_dims(dims, false),
                x.to_dtype(DType::U32).max_dims(dims, false),
            ] {
                z.realize().unwrap();
            }
        }
        let w = leaf(shape, d);
        let parts =
            [w.std(1.0), w.max(), w.prod_dims(&[1], false).mean(), w.logsumexp(), w.min_dims(&[0], false).sum()];
        parts.into_iter().reduce(|a, b| a + b).unwrap().backward().unwrap();
        d.sync().unwrap();
    }
    data([4, 5, 6, 7], d).sum_dims(&[1, 3], false).realize().unwrap();
    data([4, 5, 6, 7], d).permute(&[2, 0, 3, 1]).max_dims(&[0, 2], true).realize().unwrap();
}

fn matmuls(d: &Device) {
    let sizes = [
        (4, 4, 4),
        (64, 1000, 100),
        (512, 512, 512),
        (33, 77, 9),
        (1, 256, 256),
        (256, 256, 1),
        (2048, 2048, 2048),
        (2, 100_000, 3),
        (8, 0, 8),
    ];
    for (m, k, n) in sizes {
        let (a, b) = (leaf([m, k], d), leaf([k, n], d));
        let bias = leaf([n], d);
        let y = (a.matmul(&b) + &bias).relu();
        y.square().mean().backward().unwrap();
        d.sync().unwrap();
        let (at, bt) = (data([k, m], d), data([n, k], d));
        at.t().matmul(&bt.t()).realize().unwrap();
        (a.detach() * 2.0).matmul(&bt.t()).tanh().realize().unwrap();
    }
    let (a, b) = (data([3, 5, 16, 24], d), data([5, 24, 40], d));
    a.matmul(&b).realize().unwrap();
    a.slice(2, 1..9).matmul(&b.flip(&[1])).realize().unwrap();
    // Columns that are not aligned: packed element by element.
    data([100, 301], d).t().matmul(&data([100, 101], d)).realize().unwrap();
    data([7], d).matmul(&data([7], d)).realize().unwrap();
    data([2, 3, 7], d).matmul(&data([7], d)).realize().unwrap();
    // The second has so many products an element that they are added in several stages.
    for k in [24, 200_000] {
        let y =
            Var::apply(Naive, &[&wgrad::internals::node(&data([16, k], d)), &wgrad::internals::node(&data([k, 8], d))]);
        wgrad::internals::tensor(y, d).realize().unwrap();
    }
    let x = data([12, 12], d);
    x.matmul(&x).realize().unwrap();
    x.matmul(&x.t()).realize().unwrap();
    data([9, 4], d).linear(&data([6, 4], d), Some(&data([6], d))).realize().unwrap();
}

/// The textbook's matmul, which benchmarks measure the others against.
#[derive(Clone, Copy, Hash)]
struct Naive;

impl Op for Naive {
    fn name(&self) -> &str {
        "matmul_naive"
    }

    fn infer(&self, inputs: &[&Meta]) -> wgrad::Result<Meta> {
        Ok(Meta::new([inputs[0].shape[0], inputs[1].shape[1]], DType::F32))
    }

    fn kernel(&self, _: &[&Meta], _: &Meta) -> Kernel {
        Kernel::Routine(Box::new(Naive))
    }

    fn reference(&self, _: &[&Array], _: &Meta) -> wgrad::Result<Array> {
        Err(Error::unsupported(self.name(), "is only planned here"))
    }
}

impl Routine for Naive {
    fn stages(&self, inputs: &[Operand], _: &Operand, caps: &Caps) -> wgrad::Result<Vec<Stage>> {
        plan::stages(&Problem::new(&inputs[0], &inputs[1])?, caps, Some(Family::Naive))
    }
}

/// Every row of the table, forward and backward, whole and in columns that broadcast.
fn elementwise(d: &Device) {
    // Equal operands.
    let x = data([8, 16], d);
    let same = x.clone();
    (&x - &same).realize().unwrap();
    (&x / &same).realize().unwrap();
    for row in wgrad::internals::rows() {
        for shape in [[8, 16], [3, 7]] {
            let leaves: Vec<Tensor> = (0..row.args.len()).map(|_| leaf(shape, d)).collect();
            let column = leaf([shape[0], 1], d);
            let mut vars: Vec<Var> = leaves.iter().map(wgrad::internals::node).collect();
            for (v, (low, _)) in vars[row.tensors..].iter_mut().zip(&row.domain[row.tensors..]) {
                *v = v.scalar_like(*low);
            }
            if row.tensors > 1 {
                vars[1] = wgrad::internals::node(&column);
            }
            let y = vars[0].elementwise(row.name, &vars[1..].iter().collect::<Vec<_>>());
            let y = wgrad::internals::tensor(y, d);
            y.check().unwrap_or_else(|e| panic!("{}: {e}", row.name));
            if row.derivative.is_some() {
                let loss = (&y * &y).sum();
                loss.backward().unwrap_or_else(|e| panic!("{}: {e}", row.name));
                let first = &leaves[usize::from(row.name == "where_")];
                if let Ok(second) = wgrad::autograd::grad(&[&y.sum()], &[first], true) {
                    second[0].realize().unwrap();
                }
            }
            d.sync().unwrap_or_else(|e| panic!("{}: {e}", row.name));
        }
    }
    integers(d);
}

/// Rows, reductions and casts of integers and truth values, as far as there are any.
fn integers(d: &Device) {
    let dtypes = [DType::Bool, DType::U32, DType::I32, DType::F32];
    for dtype in dtypes {
        let x = data([4, 6], d).to_dtype(dtype);
        for row in wgrad::internals::rows() {
            let vars = vec![wgrad::internals::node(&x); row.args.len()];
            let y = wgrad::internals::tensor(vars[0].elementwise(row.name, &vars[1..].iter().collect::<Vec<_>>()), d);
            if y.check().is_ok() {
                y.realize().unwrap_or_else(|e| panic!("{}: {e}", row.name));
            }
        }
        let dims = &[1isize];
        let reduced =
            [x.sum_dims(dims, false), x.prod_dims(dims, false), x.max_dims(dims, false), x.min_dims(dims, false)];
        for z in
            reduced.into_iter().chain([x.argmax(1, false), x.argmin(1, false)]).chain(dtypes.map(|to| x.to_dtype(to)))
        {
            if z.check().is_ok() {
                z.realize().unwrap();
            }
        }
    }
    let x = data([4, 6], d);
    let is_above = x.gt(0.1);
    let places = Var::generate_arange(0.0, 1.0, 5, DType::U32, &wgrad::internals::node(&x).0.context.clone());
    for z in [x.triu(1), is_above.where_(&is_above, x.lt(0.7)), wgrad::internals::tensor(places, d)] {
        z.realize().unwrap();
    }
}

fn random(d: &Device) {
    for z in [
        Tensor::rand([33], d),
        Tensor::randn([4, 5], d).t() + 1.0,
        Tensor::uniform([7], -1.0, 1.0, d) * 2.0,
        Tensor::randint([9], 0, 5, d),
        Tensor::bernoulli([8, 8], 0.5, d) * Tensor::rand([8, 8], d),
        Tensor::arange(0.0, 10.0, 0.5, d).reshape([4, 5]).t() * 2.0,
        Tensor::linspace(0.0, 1.0, 7, d),
        Tensor::normal([4, 3], Tensor::rand([3], d), Tensor::rand([3], d), d),
        (Tensor::rand([4, 5], d) * 20.0).poisson() + 1.0,
        Tensor::randn([4, 50], d).categorical(),
        Tensor::rand([4, 50], d).multinomial(6, true),
        Tensor::rand([4, 50], d).multinomial(6, false),
    ] {
        z.realize().unwrap();
    }
}

/// Sorts and scans of one and of several stages, in every type; scattering by few and by many indices.
fn orders(d: &Device) {
    for n in [20, 5000, 300_000] {
        let x = data([2, n], d);
        for dtype in [DType::F32, DType::I32, DType::U32, DType::Bool] {
            let y = x.to_dtype(dtype);
            for z in [y.argsort(1, true), y.cummax(1).1, y.cummin(1).1] {
                z.realize().unwrap();
            }
            if dtype != DType::Bool {
                let at = Tensor::from_slice(&vec![1i32; 2 * n], [2, n], d);
                y.cumsum(1).realize().unwrap();
                y.cumprod(1).realize().unwrap();
                y.slice(1, 0..9).scatter_add(1, &at, &y).realize().unwrap();
                y.slice(1, 0..9).scatter_add(1, &at.slice(1, 0..n.min(900)), &y).realize().unwrap();
                y.slice(1, 0..2000.min(n)).scatter_add(1, &at.slice(1, 0..n.min(900)), &y).realize().unwrap();
                y.scatter(1, &at, &y).realize().unwrap();
                for kind in [ScatterReduction::Prod, ScatterReduction::Amax, ScatterReduction::Amin] {
                    let wide = n.min(9);
                    y.slice(1, 0..wide).scatter_reduce(1, &at, &y, kind, false).realize().unwrap();
                    y.slice(1, 0..wide).scatter_reduce(1, &at.slice(1, 0..9), &y, kind, true).realize().unwrap();
                }
                let rows = at.select(0, 0).unsqueeze(1).expand([n, 2]);
                let own = y.t().slice(0, 0..9);
                own.scatter_reduce(0, &rows, &y.t(), ScatterReduction::Amax, true).realize().unwrap();
            }
        }
        let w = leaf([2, n], d);
        let parts = [w.sort(1, false).0.sum(), w.cumprod(1).sum(), w.logcumsumexp(1).sum(), w.topk(3, 1).0.sum()];
        parts.into_iter().reduce(|a, b| a + b).unwrap().backward().unwrap();
        d.sync().unwrap();
        w.median().realize().unwrap();
        Tensor::randperm(n, d).realize().unwrap();
    }
}

/// Softmax, losses and indexing.
fn networks(d: &Device) {
    use wgrad::nn::loss;
    for shape in [[64, 10], [3, 5000], [7, 20_000]] {
        let x = leaf(shape, d);
        let targets = Tensor::from_slice(&vec![1i32; shape[0]], [shape[0]], d);
        let index = Tensor::from_slice(&vec![1i32; shape[0] * 2], [shape[0], 2], d);
        for y in [
            x.softmax(1).square().mean(),
            x.log_softmax(1).square().mean(),
            x.softmax(0).square().mean(),
            loss::cross_entropy(&x, &targets),
            loss::multi_margin(&x, &targets, 1.0),
            x.gather(1, &index).square().sum(),
            x.index_select(0, &index.select(1, 0)).square().sum(),
            Tensor::embedding(&x, &index).square().sum(),
            x.scatter_add(1, &index, &data([shape[0], 2], d)).square().sum(),
            x.scatter(1, &index, &data([shape[0], 2], d)).square().sum(),
        ] {
            y.backward().unwrap();
            d.sync().unwrap();
        }
        // Whole rows, of few indices and of many, by fours and not.
        for (width, count) in [(8, 900), (8, 3000), (7, 3000)] {
            let rows = Tensor::from_slice(&vec![1i32; count], [count], d);
            data([700, width], d).index_add(0, &rows, &data([count, width], d)).realize().unwrap();
        }
        // So many sources that they are added in several stages.
        let long = Tensor::from_slice(&vec![1i32; 100_000], [1, 100_000], d);
        data([1, 5], d).scatter_add(1, &long, &data([1, 100_000], d)).realize().unwrap();
        targets.one_hot(4).realize().unwrap();
        x.tril(0).realize().unwrap();
    }
}

/// Convolutions whose sums are short, long, and long with little and much work beside them.
fn convolutions(d: &Device) {
    let shapes: [(&[usize], &[usize], Conv); 12] = [
        (&[2, 3, 8, 8], &[4, 3, 3, 3], Conv::default().padding(1)),
        (&[2, 4, 9], &[2, 2, 3], Conv::default().stride(2).groups(2)),
        (&[1, 2, 4, 4, 4], &[1, 2, 2, 2, 2], Conv::default()),
        (&[1, 3, 300, 300], &[2, 3, 2, 2], Conv::default()),
        (&[1, 4, 300, 300], &[8, 4, 2, 2], Conv::default()),
        (&[2, 4, 20, 9], &[4, 1, 3, 3], Conv::default().padding(1).groups(4)),
        (&[2, 4, 30], &[8, 1, 3], Conv::default().stride(2).groups(4)),
        (&[1, 1, 70_000], &[1, 1, 20_000], Conv::default()),
        (&[2, 5, 7, 7], &[20, 5, 3, 3], Conv::default()),
        (&[2, 9, 8, 8], &[12, 9, 3, 3], Conv::default().padding(1)),
        (&[2, 20, 5, 5], &[20, 20, 2, 2], Conv::default()),
        (&[24, 40, 8, 8], &[40, 40, 4, 4], Conv::default()),
    ];
    for (x, w, options) in shapes {
        let (x, w, bias) = (leaf(x, d), leaf(w, d), leaf([w[0]], d));
        let y = match w.rank() {
            3 => x.conv1d(&w, Some(&bias), options),
            4 => x.conv2d(&w, Some(&bias), options),
            _ => x.conv3d(&w, Some(&bias), options),
        };
        y.relu().sum().backward().unwrap();
        d.sync().unwrap();
    }
    for length in [50, 36_000] {
        let x = leaf([length, 2], d);
        let y = x.unfold(0, length / 2, 1).sum_dims(&[2], false).square();
        y.sum().backward().unwrap();
        d.sync().unwrap();
    }
    leaf([3, 6, 6], d).unfold2d(3, Conv::default().padding(1).dilation(2)).square().sum().backward().unwrap();
    d.sync().unwrap();
}

fn norms(d: &Device) {
    let (x, w) = (leaf([4, 6, 5, 3], d), leaf([6], d));
    let (c, last) = (data([6], d), leaf([3], d));
    for y in [
        x.layer_norm(&last, &last, 1e-5),
        x.rms_norm(&last, 1e-5),
        x.group_norm(2, &w, &w, 1e-5),
        x.batch_norm(&w, &w, &c, &c, true, 0.1, 1e-5).0,
        x.batch_norm(&w, &w, &c, &c, false, 0.1, 1e-5).0,
        leaf([2, 20_000], d).layer_norm(None, None, 1e-5),
    ] {
        y.square().mean().backward().unwrap();
        d.sync().unwrap();
    }
}

/// Pooling and interpolation, with windows that one stage walks through, and of so many taps that two or three are needed.
fn pooling(d: &Device) {
    use wgrad::{AvgPool, Interpolate, Pool};
    let (x, wide) = (leaf([2, 3, 8, 8], d), leaf([1, 700, 300], d));
    let inside = AvgPool { count_include_pad: false, ..AvgPool::new(3) };
    for y in [
        x.max_pool2d(3, 2, 1),
        x.max_pool2d_with(&Pool::new(2)).0,
        x.max_pool2d(2, 2, 0),
        x.max_pool2d(3, 3, 0),
        wgrad::internals::tensor(wgrad::internals::node(&x).max_pool(2, &Pool { ceil_mode: true, ..Pool::new(3) }), d),
        x.avg_pool2d(3, 2, 1),
        x.avg_pool2d_with(&inside),
        x.avg_pool2d_with(&AvgPool { divisor_override: Some(2), ..inside.clone() }),
        x.adaptive_avg_pool2d(3),
        x.adaptive_max_pool2d_with_indices(3).0,
        x.interpolate(&[5, 12], Interpolate::Nearest),
        x.interpolate(&[5, 12], Interpolate::NearestExact),
        x.interpolate(&[5, 12], Interpolate::Bilinear),
        x.interpolate(&[5, 12], Interpolate::BilinearAligned),
        x.interpolate(&[5, 12], Interpolate::Bicubic),
        x.interpolate(&[5, 12], Interpolate::BicubicAligned),
        x.interpolate(&[5, 12], Interpolate::Area),
        wide.max_pool2d([500, 260], 1, 0),
        wide.max_pool2d_with(&Pool { stride: 1.into(), ..Pool::new([500, 260]) }).0,
        wide.avg_pool2d([500, 260], 1, 0),
    ] {
        y.square().mean().backward().unwrap();
        d.sync().unwrap();
    }
    x.max_pool2d_with(&Pool::new(2)).1.realize().unwrap();
}

/// A network of three layers and its loss.
pub fn mlp_step(optimizer: &mut dyn Optimizer, x: &Tensor, y: &Tensor) {
    let p = optimizer.parameters().to_vec();
    let h = (x.matmul(&p[0]) + &p[1]).relu();
    let h = (h.matmul(&p[2]) + &p[3]).tanh();
    let loss = (h.matmul(&p[4]) + &p[5] - y).square().mean();
    optimizer.zero_grad();
    loss.backward().unwrap();
    optimizer.step().unwrap();
}

pub fn mlp_parameters(d: &Device) -> Vec<Tensor> {
    [vec![64, 128], vec![128], vec![128, 64], vec![64], vec![64, 10], vec![10]]
        .iter()
        .map(|s| leaf(s.as_slice(), d))
        .collect()
}

fn training(d: &Device) {
    // An update that waits for the check of the loss.
    let (w, targets) = (leaf([8, 10], d), Tensor::from_slice(&[1i32; 8], [8], d));
    wgrad::nn::loss::cross_entropy(&w, &targets).backward().unwrap();
    Sgd::new(vec![w], 0.1).step().unwrap();

    let mut optimizers: Vec<Box<dyn Optimizer>> = vec![
        Box::new(Sgd::new(mlp_parameters(d), 0.1)),
        Box::new(Sgd::new(mlp_parameters(d), 0.1).momentum(0.9).nesterov(true).weight_decay(1e-4)),
        Box::new(Adam::new(mlp_parameters(d), 0.1).weight_decay(1e-4)),
        Box::new(AdamW::new(mlp_parameters(d), 0.1)),
        Box::new(RmsProp::new(mlp_parameters(d), 0.1).momentum(0.9).centered(true)),
        Box::new(Adagrad::new(mlp_parameters(d), 0.1).lr_decay(0.1)),
        Box::new(Adadelta::new(mlp_parameters(d), 1.0)),
        Box::new(Adamax::new(mlp_parameters(d), 0.1)),
        Box::new(NAdam::new(mlp_parameters(d), 0.1)),
        Box::new(Lion::new(mlp_parameters(d), 0.1)),
    ];
    for (n, optimizer) in [32, 31, 8, 1, 2, 3, 4, 5, 6, 7].into_iter().zip(&mut optimizers) {
        let (x, y) = (data([n, 64], d), data([n, 10], d));
        mlp_step(&mut **optimizer, &x, &y);
        mlp_step(&mut **optimizer, &x, &y);
        let strict = ClipNorm { error_if_nonfinite: true, ..ClipNorm::default() };
        clip_grad_norm_with(optimizer.parameters(), 1.0, &strict).realize().unwrap();
    }
}
