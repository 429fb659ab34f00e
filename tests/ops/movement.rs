//! Views and movement, forward and backward, alone and in random compositions.

use wgrad::{DType, Device, Tensor};

use crate::common::*;

/// Runs `f` on both devices and compares values and gradients.
#[track_caller]
fn compare(what: &str, shapes: &[&[usize]], f: impl Fn(&[Tensor]) -> Tensor) {
    let run = |device: &Device| {
        let mut rng = Rng(21);
        let leaf = |s: &&[usize]| floats(&rng.vec(s.iter().product(), -2.0, 2.0), s, device).requires_grad();
        let leaves: Vec<Tensor> = shapes.iter().map(leaf).collect();
        let y = f(&leaves);
        y.check().unwrap_or_else(|error| panic!("{what}: {error}"));
        let dy = floats(&rng.vec(y.numel(), -1.0, 1.0), y.shape(), device);
        y.backward_with(&dy).unwrap_or_else(|error| panic!("{what}: {error}"));
        let grads: Vec<Tensor> = leaves.iter().map(|l| l.grad().expect("a gradient")).collect();
        (y, grads)
    };
    let ((y, grads), (y_cpu, grads_cpu)) = (run(gpu()), run(cpu()));
    for (k, (a, b)) in grads.iter().zip(&grads_cpu).enumerate() {
        assert_same(&format!("{what}, gradient of {k}"), a, b, 1e-6);
    }
    assert_same(what, &y, &y_cpu, 1e-6);
}

#[test]
fn each_movement_alone() {
    poison(gpu());
    let s: &[&[usize]] = &[&[4, 6, 5]];
    compare("reshape", s, |t| t[0].reshape([8, -1]));
    compare("flatten", s, |t| t[0].flatten(0, 1));
    compare("unsqueeze and squeeze", s, |t| t[0].unsqueeze(-1).unsqueeze(0).squeeze(-1));
    compare("permute", s, |t| t[0].permute(&[2, 0, -2]));
    compare("transpose", s, |t| t[0].transpose(0, -1));
    compare("t", s, |t| t[0].t());
    compare("permute and reshape", s, |t| t[0].permute(&[2, 0, 1]).reshape([10, 12]));
    compare("expand", &[&[4, 1, 5]], |t| t[0].expand([3, 4, 6, 5]));
    compare("expand a scalar", &[&[]], |t| t[0].expand([3, 4]));
    compare("slice", s, |t| t[0].slice(1, 2..5));
    compare("empty slice", s, |t| t[0].slice(1, 2..2));
    compare("slice step", s, |t| t[0].slice_step(1, 1..6, 2));
    compare("slice step 3", s, |t| t[0].slice_step(-1, 0..5, 3));
    compare("narrow", s, |t| t[0].narrow(0, 1, 2));
    compare("select", s, |t| t[0].select(1, -2));
    compare("flip", s, |t| t[0].flip(&[0, -1]));
    compare("contiguous", s, |t| t[0].permute(&[1, 2, 0]).contiguous());
    compare("split", s, |t| {
        let parts = t[0].split(&[1, 3, 2], 1);
        &parts[0] * 2.0 + parts[1].sum_dims(&[1], true) - parts[2].slice(1, 1..2)
    });
    compare("chunk", s, |t| {
        let parts = t[0].chunk(4, 1);
        assert_eq!(parts.len(), 3);
        &parts[0] * &parts[2]
    });
    compare("cat", &[&[2, 3], &[4, 3], &[1, 3]], |t| Tensor::cat(&[&t[0], &t[1], &t[2]], 0));
    compare("cat last", &[&[3, 2], &[3, 5], &[3, 1]], |t| Tensor::cat(&[&t[0], &t[1], &t[2], &t[0]], -1));
    compare("cat with nothing", &[&[2, 3], &[2, 0]], |t| Tensor::cat(&[&t[1], &t[0], &t[1]], 1));
    compare("cat of views", &[&[4, 3], &[3, 4]], |t| {
        Tensor::cat(&[&t[0].t(), &t[1].flip(&[1]), &t[1].tanh(), &t[0].select(0, 1).unsqueeze(1)], 1).relu()
    });
    // Groups of four elements at once, also where the operands' are not next to each other.
    compare("cat of quads", &[&[3, 4], &[3, 8], &[3, 12]], |t| Tensor::cat(&[&t[0], &t[1], &t[2], &t[0], &t[1]], 1));
    compare("cat of rows of quads", &[&[3, 2, 2], &[3, 5, 2]], |t| Tensor::cat(&[&t[1], &t[0].tanh()], 1) * 2.0);
    compare("cat of strided quads", &[&[8, 3], &[4, 3]], |t| {
        Tensor::cat(&[&t[0].t(), &t[1].t().flip(&[1]), &t[0].slice_step(0, 0..8, 2).t()], -1)
    });
    compare("stack", &[&[2, 3], &[2, 3]], |t| Tensor::stack(&[&t[0], &t[1], &t[0]], 1));
    compare("pad", s, |t| t[0].pad(&[(0, 2), (1, 0), (3, 1)], 0.5));
    compare("pad of a view", s, |t| t[0].flip(&[1]).slice(2, 1..4).pad(&[(1, 1), (0, 0), (2, 2)], 0.0).exp());
    compare("repeat", s, |t| t[0].repeat(&[2, 1, 3]));
    compare("repeat in front", &[&[3, 2]], |t| t[0].repeat(&[2, 1, 2]));
    compare("roll", s, |t| t[0].roll(&[1, -2], &[0, 1]));
    compare("roll all round", s, |t| t[0].roll(&[17], &[2]));
}

#[test]
fn many_operands_in_one_cat() {
    // More buffers than one kernel binds.
    let shapes: Vec<Vec<usize>> = (0..23).map(|i| vec![3, i % 4 + 1]).collect();
    let refs: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    compare("23 operands", &refs, |t| {
        let changed: Vec<Tensor> = t.iter().map(|x| x * 2.0).collect();
        Tensor::cat(&changed.iter().collect::<Vec<_>>(), 1)
    });
    // And a sum of as many.
    let refs: Vec<&[usize]> = vec![&[5, 4]; 23];
    compare("23 summands", &refs, |t| t.iter().fold(Tensor::zeros([5, 4], t[0].device()), |sum, x| sum + x.sigmoid()));
}

#[test]
fn other_types() {
    for dtype in [DType::I32, DType::U32, DType::Bool] {
        let on = |device: &Device| {
            let x = tensor(&(0..24).map(|i| f64::from(i % 5 % 3)).collect::<Vec<_>>(), &[4, 6], dtype, device);
            [
                x.t().flip(&[0]).contiguous(),
                Tensor::cat(&[&x, &x.flip(&[1])], 0),
                Tensor::stack(&[&x.slice_step(1, 0..6, 2), &x.slice(1, 3..6)], 0),
                x.pad(&[(1, 0), (0, 3)], 1.0),
                x.roll(&[3], &[1]),
                x.repeat(&[2, 2]),
            ]
        };
        for (i, (found, expected)) in on(gpu()).iter().zip(&on(cpu())).enumerate() {
            assert_eq!(found.dtype(), dtype);
            assert_same(&format!("{dtype} {i}"), found, expected, 0.0);
        }
    }
}

/// A random movement of `x`, with its name; `pick` decides.
fn step(x: &Tensor, rng: &mut Rng, log: &mut Vec<String>) -> Tensor {
    let rank = x.rank();
    let shape = x.shape().to_vec();
    let dim = if rank > 0 { rng.below(rank) } else { 0 };
    let (d, n) = (dim as isize, shape.get(dim).copied().unwrap_or(1));
    let choice = rng.below(16);
    let (name, y) = match choice {
        0 => ("flatten".into(), x.reshape([-1])),
        1 if rank > 0 && n % 2 == 0 && n > 0 => {
            let split: Vec<isize> = shape
                .iter()
                .enumerate()
                .flat_map(|(i, &n)| if i == dim { vec![2, n as isize / 2] } else { vec![n as isize] })
                .collect();
            (format!("reshape {split:?}"), x.reshape(&split[..]))
        }
        2 if rank > 1 => {
            let mut order: Vec<isize> = (0..rank as isize).collect();
            (0..rank).for_each(|i| order.swap(i, i + rng.below(rank - i)));
            (format!("permute {order:?}"), x.permute(&order))
        }
        3 if n > 2 => {
            let start = rng.below(2);
            (format!("slice {d} {start}..{}", n - 1), x.slice(d, start..n - 1))
        }
        4 if n > 2 => (format!("slice_step {d}"), x.slice_step(d, 1..n, 2)),
        5 if rank > 0 => (format!("flip {d}"), x.flip(&[d])),
        6 if rank > 1 && n > 0 => (format!("select {d}"), x.select(d, -1)),
        7 if rank < 4 => (format!("unsqueeze {d}, expand"), {
            let wide = x.unsqueeze(d);
            let mut shape = wide.shape().to_vec();
            shape[dim] = 3;
            wide.expand(&shape)
        }),
        8 if rank > 0 => (format!("cat {d}"), Tensor::cat(&[x, &x.flip(&[d])], d)),
        9 if rank > 0 => {
            let padding: Vec<(usize, usize)> = (0..rank).map(|_| (rng.below(2), rng.below(3))).collect();
            (format!("pad {padding:?}"), x.pad(&padding, 0.25))
        }
        10 if rank > 0 => (format!("roll {d}"), x.roll(&[1], &[d])),
        11 if rank > 0 => (format!("sum {d}"), x.sum_dims(&[d], false)),
        12 => ("tanh".into(), x.tanh()),
        13 if rank > 0 => (format!("x + max {d}"), x + &x.sum_dims(&[d], true).sin()),
        14 => ("contiguous".into(), x.contiguous()),
        15 if rank > 0 => ("x · x flipped".into(), x * &x.flip(&[d])),
        _ => return x.clone(),
    };
    log.push(name);
    y
}

#[test]
fn random_compositions() {
    for seed in 0..150 {
        let mut log = Vec::new();
        let run = |device: &Device, log: &mut Vec<String>| {
            let mut rng = Rng(seed);
            let leaf = floats(&rng.vec(48, -1.0, 1.0), &[4, 3, 4], device).requires_grad();
            let mut y = leaf.clone();
            for _ in 0..7 {
                let next = step(&y, &mut rng, log);
                // Keep the sizes small, and some element there.
                if next.numel() <= 4096 && next.numel() > 0 {
                    y = next;
                }
            }
            let dy = floats(&rng.vec(y.numel(), -1.0, 1.0), y.shape(), device);
            y.backward_with(&dy).unwrap_or_else(|error| panic!("seed {seed}, {log:?}: {error}"));
            (leaf.grad().unwrap(), y)
        };
        let expected = run(cpu(), &mut log);
        let found = run(gpu(), &mut Vec::new());
        let what = format!("seed {seed}: {}", log.join("; "));
        assert_same(&format!("gradient, {what}"), &found.0, &expected.0, 1e-5);
        assert_same(&what, &found.1, &expected.1, 1e-5);
    }
}

/// The same graph with one kernel an op.
#[test]
fn fused_and_unfused_agree() {
    let unfused = Device::gpu_with_fusion(false).expect("a GPU adapter");
    for seed in 1000..1040 {
        let run = |device: &Device| {
            let mut rng = Rng(seed);
            let leaf = floats(&rng.vec(48, -1.0, 1.0), &[4, 3, 4], device).requires_grad();
            let mut y = leaf.clone();
            for _ in 0..6 {
                let next = step(&y, &mut rng, &mut Vec::new());
                y = if next.numel() <= 4096 && next.numel() > 0 { next } else { y };
            }
            y.square().sum().backward().unwrap();
            (leaf.grad().unwrap(), y)
        };
        let (fused, plain) = (run(gpu()), run(&unfused));
        assert_same(&format!("gradient, seed {seed}"), &fused.0, &plain.0, 1e-5);
        assert_same(&format!("seed {seed}"), &fused.1, &plain.1, 1e-5);
    }
}

#[test]
fn gradients_of_slices_are_put_together() {
    // Parts that make up the whole, in and out of order; with a gap; overlapping; twice the same; along two dims; beside the whole.
    type Cut = fn(&Tensor) -> Vec<Tensor>;
    let cuts: [(&str, Cut); 8] = [
        ("chunk", |x| x.chunk(3, 1)),
        ("split", |x| x.split(&[1, 3, 2], 1).into_iter().rev().collect()),
        ("gap", |x| vec![x.narrow(1, 0, 2), x.narrow(1, 3, 3)]),
        ("overlap", |x| vec![x.narrow(1, 0, 4), x.narrow(1, 2, 4)]),
        ("twice", |x| [x.chunk(2, 1), x.chunk(2, 1)].concat()),
        ("two dims", |x| vec![x.narrow(0, 0, 2), x.narrow(0, 2, 2), x.narrow(1, 0, 3), x.narrow(1, 3, 3)]),
        ("and the whole", |x| [x.chunk(2, 0), vec![x.square()]].concat()),
        ("unbind", |x| x.unbind(0)),
    ];
    for (name, cut) in cuts {
        let f = |x: &[Tensor]| {
            let term = |(k, part): (usize, &Tensor)| part.powi(3).sum() * (k as f32 + 1.0);
            cut(&x[0]).iter().enumerate().map(term).reduce(|a, b| a + b).unwrap()
        };
        compare(name, &[&[4, 6]], f);
        let x = floats(&Rng(3).vec(24, -2.0, 2.0), &[4, 6], cpu());
        wgrad::autograd::gradcheck(f, &[&x], 1e-6).unwrap_or_else(|error| panic!("{name}: {error}"));
        wgrad::autograd::gradgradcheck(f, &[&x], 1e-6).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn any_number_of_inputs_is_joined() {
    poison(gpu());
    for count in 1..=10 {
        // Sizes from 0 on, and operands that are transposed.
        let sizes: Vec<[usize; 3]> = (0..count).map(|i| [3, (i * 5 + 2) % 4, 2]).collect();
        let shapes: Vec<&[usize]> = sizes.iter().map(|s| &s[..]).collect();
        for dim in [1, -2] {
            compare(&format!("cat of {count}"), &shapes, |x| Tensor::cat(&x.iter().collect::<Vec<_>>(), dim));
        }
        compare(&format!("cat of {count}, transposed"), &shapes, |x| {
            let turned: Vec<Tensor> = x.iter().map(|x| x.transpose(0, 2)).collect();
            Tensor::cat(&turned.iter().collect::<Vec<_>>(), 1)
        });
        let same = vec![&[2usize, 3][..]; count];
        for dim in 0..3 {
            compare(&format!("stack of {count}"), &same, |x| Tensor::stack(&x.iter().collect::<Vec<_>>(), dim));
        }
    }
}
