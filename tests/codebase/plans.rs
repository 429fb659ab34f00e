//! Known graphs become the kernels that they should.

use wgrad::PlanSummary;
use wgrad::internals::Caps;
use wgrad::optim::{Adam, AdamW, Optimizer, RmsProp, Sgd};
use wgrad::{Conv, Device, Tensor};

use crate::graphs::{adapters, data, leaf, mlp_parameters, mlp_step};

fn software() -> Device {
    Device::null(adapters()[3].1.clone(), true)
}

/// Devices of every kind, fusing.
fn devices() -> Vec<(&'static str, Device)> {
    adapters().into_iter().map(|(name, caps)| (name, Device::null(caps, true))).collect()
}

/// The kernels that computing `t` takes.
fn kernels(t: &Tensor) -> Vec<String> {
    let before = t.device().planned().len();
    t.realize().unwrap();
    t.device().planned()[before..].iter().flat_map(|p| p.kernels.clone()).collect()
}

#[track_caller]
fn assert_kernels(t: &Tensor, count: usize) {
    let found = kernels(t);
    assert_eq!(found.len(), count, "{found:?}");
}

#[test]
fn elementwise_chains_are_one_kernel() {
    for (_, d) in devices() {
        let x = data([64, 64], &d);
        let (a, b, c) = (data([64], &d), data([64, 1], &d), data([64, 64], &d));
        assert_kernels(&((&x * &a + &b).relu() * &c + &x), 1);
        assert_kernels(&(x.t().flip(&[0]) * 2.0 + x.slice(0, 3..4)), 1);
        assert_kernels(&(&x * 1.5).t().reshape([8, 512]).tanh(), 2);
    }
}

#[test]
fn several_outputs_share_one_kernel() {
    let d = software();
    let x = data([64, 64], &d);
    let a = x.tanh();
    let b = &a * 2.0 + 1.0;
    let c = (&a + &b).sigmoid();
    d.sync().unwrap();
    let plans = d.planned();
    assert_eq!(plans.last().unwrap().kernels.len(), 1, "{:?}", plans.last().unwrap().kernels);
    drop((a, b, c));
}

#[test]
fn reductions_take_producers_and_consumers() {
    let d = software();
    let (x, y) = (data([32, 50], &d), data([32, 50], &d));
    // Bound first: temporaries of the statement that asks for the kernels would count as held.
    let squares = (&x - &y).square().sum();
    assert_kernels(&squares, 1);
    let logs = (&x * 2.0).exp().sum_dims(&[1], true).log() + 1.0;
    assert_kernels(&logs, 1);
    // Mean, then the subtraction: over rows of their own.
    let columns = &x - x.mean_dims(&[0], true);
    assert_kernels(&columns, 2);
    // A long reduction takes two stages.
    let long = data([1 << 20], &d);
    let squares = (&long * &long).sum();
    assert_kernels(&squares, 2);
}

#[test]
fn matmul_takes_bias_and_activation() {
    for (name, d) in devices() {
        let (x, w, b) = (data([64, 128], &d), data([128, 96], &d), data([96], &d));
        let found = kernels(&(x.matmul(&w) + &b).relu());
        assert!(found.iter().all(|k| k.starts_with("matmul")), "{name}: {found:?}");
        let plain = kernels(&x.matmul(&w));
        assert_eq!(found.len(), plain.len(), "{name}: {found:?} against {plain:?}");
        // Transposes are walks, not copies.
        let t = kernels(&w.t().matmul(&x.t()));
        assert!(t.iter().all(|k| k.starts_with("matmul")), "{name}: {t:?}");
    }
}

/// On software adapters convolutions pack what they read, and compute it there.
#[test]
fn convolutions_compute_what_they_pack() {
    let d = software();
    let (x, w) = (data([4, 8, 10, 12], &d), data([16, 8, 3, 3], &d));
    let options = || Conv { padding: 1.into(), ..Conv::default() };
    let plain = kernels(&x.conv2d(&w, None, options()));
    // Bound first, as above.
    let scaled = (&x * 2.0 - 1.0).relu().conv2d(&w, None, options());
    let scaled = kernels(&scaled);
    assert_eq!(scaled.len(), plain.len(), "{scaled:?} against {plain:?}");
    // One channel: lines hold the three taps along the width, which would compute a long chain three times.
    let (image, first) = (data([4, 1, 10, 12], &d), data([16, 1, 3, 3], &d));
    let plain = kernels(&image.conv2d(&first, None, options()));
    let moved = (&image - 0.5).conv2d(&first, None, options());
    let moved = kernels(&moved);
    assert_eq!(moved.len(), plain.len(), "{moved:?} against {plain:?}");
    let long = (&image.sin().exp() * &image.cos()).tanh().conv2d(&first, None, options());
    let long = kernels(&long);
    assert_eq!(long.len(), plain.len() + 1, "{long:?} against {plain:?}");
}

/// What a row's reductions are used for at the row's elements is part of their kernel.
#[test]
fn chains_over_rows_are_one_kernel() {
    for (name, d) in devices() {
        let (x, y) = (data([32, 50], &d), data([32, 50], &d));
        let centred = &x - x.mean_dims(&[1], true);
        let variance = x.var_dims(&[1], 1.0, false);
        let softmax = {
            let e = (&x - x.max_dims(&[1], true)).exp();
            &e / e.sum_dims(&[1], true)
        };
        let norm = {
            let centred = &x - x.mean_dims(&[-1], true);
            let variance = centred.square().mean_dims(&[-1], true);
            centred * (variance + 1e-5).rsqrt() * 0.5 + &y
        };
        let unit = &x / (x.square().sum_dims(&[1], true).sqrt() + 1e-6);
        for (k, t) in [centred, variance, softmax, norm, unit].iter().enumerate() {
            let found = kernels(t);
            assert_eq!(found.len(), 1, "{name}, case {k}: {found:?}");
        }
    }
    let d = software();
    // Across rows, few long rows, and rows that are too long for one invocation.
    let x = data([64, 64], &d);
    let both = &x - x.mean_dims(&[1], true).mean_dims(&[0], true);
    assert_kernels(&both, 3);
    let few = data([8, 4096], &d);
    let centred = &few - few.mean_dims(&[1], true);
    assert_kernels(&centred, 2);
    let long = data([512, 10_000], &d);
    let centred = &long - long.mean_dims(&[1], true);
    assert!(kernels(&centred).len() > 1);
    // On GPUs the invocations that share a row load neighbours, or have a row each.
    let (_, d) = devices().swap_remove(0);
    let (few, across) = (data([8, 4096], &d), data([4096, 8], &d).t());
    assert_kernels(&few.sum_dims(&[1], false), 1);
    assert_kernels(&(&few - few.mean_dims(&[1], true)), 1);
    assert!(kernels(&(&across - across.mean_dims(&[1], true))).len() > 1);
}

/// A product with its bias and the activation of that, both wanted, are stored by one kernel.
#[test]
fn products_store_several_values() {
    for (name, d) in devices() {
        let (x, w, b) = (data([64, 128], &d), data([128, 96], &d), data([96], &d));
        let plain = kernels(&x.matmul(&w));
        let before = x.matmul(&w) + &b;
        let after = before.relu();
        d.sync().unwrap();
        let plan = d.planned().pop().unwrap();
        assert_eq!((plan.dispatches, plan.outputs), (plain.len(), 2 * 64 * 96 * 4), "{name}: {:?}", plan.kernels);
        drop((before, after));
    }
}

/// The gradient of a layer's weight has the weight's order in memory, whichever way the product read it.
#[test]
fn gradients_of_products_lie_as_their_operands_do() {
    for (name, d) in devices() {
        let (x, w, v, dy) = (data([64, 128], &d), leaf([96, 128], &d), leaf([128, 96], &d), data([64, 96], &d));
        let gradient = |y: &Tensor, w: &Tensor| {
            w.zero_grad();
            y.backward_with_retain_graph(&dy).unwrap();
            w.grad().unwrap()
        };
        for (y, w) in [(x.linear(&w, None), &w), (x.matmul(&w.t()), &w), (x.matmul(&v), &v)] {
            let plain = kernels(&gradient(&y, w));
            let contiguous = gradient(&y, w).contiguous();
            assert_eq!(kernels(&contiguous), plain, "{name}");
        }
    }
}

/// Lanes of a software adapter walk through every branch, so that only little work stands side by side there.
#[test]
fn large_updates_have_kernels_of_their_own_on_software_adapters() {
    for software in [true, false] {
        let d = Device::null(Caps { software, max_storage_buffers: 64, ..Caps::baseline() }, true);
        let weights = [[512, 784], [512, 512], [10, 512], [512, 1], [10, 1]].map(|shape| leaf(shape, &d));
        let mut optimizer = Adam::new(weights.to_vec(), 1e-3);
        let gradients = weights.each_ref().map(|w| data([w.shape()[0], w.shape()[1]], &d));
        let plans = steady(&d, || {
            weights.iter().zip(&gradients).for_each(|(w, g)| w.set_grad(Some(g)));
            optimizer.step().unwrap();
        });
        let kernels: Vec<&String> = plans.iter().flat_map(|plan| &plan.kernels).collect();
        assert_eq!(kernels.len(), if software { 3 } else { 1 }, "{software}: {kernels:?}");
    }
}

/// Ops on an operand that a product packs run while it packs; cheap ones of one buffer also where it reads the operand in place.
#[test]
fn products_compute_cheap_operands_where_they_load_them() {
    let d = software();
    assert_eq!(kernels(&data([256, 128], &d).t().matmul(&data([256, 96], &d))), ["matmul_cpu_subgroup"]);
    // Columns of a length that cannot be read four steps at a time.
    let (x, dy, mask) = (data([254, 96], &d), data([254, 128], &d), data([254, 128], &d));
    let plain = kernels(&dy.t().matmul(&x));
    assert_eq!(plain, ["matmul_pack", "matmul_cpu_subgroup"]);
    let masked = (&dy * &mask).t().matmul(&x);
    assert_eq!(kernels(&masked), plain);
    let chain = ((&dy * &mask).tanh() * 0.5 + &mask).t().matmul(&x);
    assert_eq!(kernels(&chain), plain);
    let (x, w) = (data([64, 128], &d), data([128, 96], &d));
    let activated = x.relu().matmul(&w);
    assert_kernels(&activated, 1);
    let both = x.slice(0, 0..32).relu().matmul(&(&w * 0.5));
    assert_kernels(&both, 1);
    // Stored once: what two products read, what is loaded often, from several buffers, or dear, and what somebody holds.
    let h = &x * 0.5;
    let two = {
        let h = &x * 0.25;
        h.matmul(&w) + h.matmul(&w.flip(&[0]))
    };
    assert_eq!(kernels(&two)[0], "mul");
    let wide = data([128, 512], &d);
    let often = x.relu().matmul(&wide);
    assert_kernels(&often, 2);
    let several = (&x + &x.flip(&[0])).matmul(&w);
    assert_kernels(&several, 1);
    let other = data([64, 128], &d);
    let several = (&x + &other).matmul(&w);
    assert_kernels(&several, 2);
    let held = h.matmul(&w);
    assert_kernels(&held, 2);
}

/// A kernel that holds its rows loads each element once, so what makes them is computed there.
#[test]
fn kernels_over_rows_compute_their_operands() {
    let d = software();
    let (x, mask) = (data([64, 96], &d), data([96], &d));
    let y = (&x * 0.3 + &mask).softmax(-1);
    assert_kernels(&y, 1);
    let y = (&x + &mask).relu().log_softmax(-1) * 2.0;
    assert_kernels(&y, 1);
    // Too long to hold: read several times.
    let long = data([4, 8192], &d);
    let y = (&long * 0.3).softmax(-1);
    assert_kernels(&y, 2);
}

#[test]
fn norms_and_pooling_take_what_follows() {
    for (name, d) in devices() {
        let (x, w, b) = (data([64, 128], &d), data([128], &d), data([128], &d));
        for y in [x.layer_norm(&w, &b, 1e-5).relu(), x.rms_norm(&w, 1e-5) + &x] {
            let found = kernels(&y);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
        }
        let (image, c) = (data([2, 8, 12, 12], &d), data([8], &d));
        let scaled = image.batch_norm(&c, &c, &c, &c, false, 0.1, 1e-5).0.relu();
        for y in [scaled, image.max_pool2d(2, 2, 0).relu(), image.avg_pool2d(3, 2, 1) * 2.0] {
            let found = kernels(&y);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
        }
    }
}

/// The plans of one steady step.
fn steady(d: &Device, mut step: impl FnMut()) -> Vec<PlanSummary> {
    step();
    step();
    let before = d.planned().len();
    step();
    d.planned().split_off(before)
}

#[test]
fn a_step_of_two_layer_net() {
    for (name, d) in devices() {
        let (x, y) = (data([64, 1000], &d), data([64, 10], &d));
        let (w1, w2) = (leaf([1000, 100], &d), leaf([100, 10], &d));
        let mut optimizer = Sgd::new(vec![w1.clone(), w2.clone()], 1e-6);
        let plans = steady(&d, || {
            let loss = (x.matmul(&w1).relu().matmul(&w2) - &y).square().sum();
            optimizer.zero_grad();
            loss.backward().unwrap();
            optimizer.step().unwrap();
        });
        let [plan] = plans.as_slice() else { panic!("{name}: {} submits a step", plans.len()) };
        println!("two_layer_net, {name}: {} dispatches {:?}", plan.kernels.len(), plan.kernels);
        println!("  workspace {} bytes, lower bound {}", plan.workspace, plan.lower_bound);
        assert!(plan.kernels.len() <= 10, "{name}: {:?}", plan.kernels);
    }
}

#[test]
fn a_step_of_an_mlp_with_adam() {
    for (name, d) in devices() {
        let (x, y) = (data([256, 64], &d), data([256, 10], &d));
        let mut optimizer = Adam::new(mlp_parameters(&d), 1e-3);
        let plans = steady(&d, || mlp_step(&mut optimizer, &x, &y));
        let [plan] = plans.as_slice() else { panic!("{name}: {} submits a step", plans.len()) };
        println!("mlp with adam, {name}: {} dispatches {:?}", plan.kernels.len(), plan.kernels);
        println!("  workspace {} bytes, lower bound {}", plan.workspace, plan.lower_bound);
        assert!(plan.workspace as f64 <= plan.lower_bound as f64 * 1.05 + 4096.0, "{name}: {plan:?}");
        let allowed = if name.ends_with("64 buffers") { 16 } else { 24 };
        // Adapters with panels pack operands into them.
        let packs = plan.kernels.iter().filter(|kernel| name.ends_with("panels") && *kernel == "matmul_pack").count();
        assert!(plan.kernels.len() - packs <= allowed, "{name}: {:?}", plan.kernels);
    }
}

#[test]
fn updates_of_all_parameters_are_one_kernel_where_it_binds_enough_buffers() {
    for (name, d) in devices() {
        let (w, v) = (leaf([100, 30], &d), leaf([30], &d));
        let p = || vec![w.clone(), v.clone()];
        let optimizers: [(&str, Box<dyn Optimizer>); 8] = [
            ("Sgd", Box::new(Sgd::new(p(), 0.1))),
            ("Sgd, all", Box::new(Sgd::new(p(), 0.1).momentum(0.9).nesterov(true).weight_decay(1e-4))),
            ("Adam", Box::new(Adam::new(p(), 1e-3))),
            ("Adam with decay", Box::new(Adam::new(p(), 1e-3).weight_decay(1e-4))),
            ("AdamW", Box::new(AdamW::new(p(), 1e-3))),
            ("Adam with amsgrad", Box::new(Adam::new(p(), 1e-3).amsgrad(true))),
            ("RmsProp", Box::new(RmsProp::new(p(), 1e-3))),
            ("RmsProp, all", Box::new(RmsProp::new(p(), 1e-3).momentum(0.9).centered(true).weight_decay(1e-4))),
        ];
        let (g, h) = (data([100, 30], &d), data([30], &d));
        for (kind, mut optimizer) in optimizers {
            let plans = steady(&d, || {
                w.set_grad(Some(&g));
                v.set_grad(Some(&h));
                optimizer.step().unwrap();
            });
            let found: Vec<&String> = plans.iter().flat_map(|p| &p.kernels).collect();
            let wide = name.ends_with("64 buffers");
            let kernels = match kind {
                // Two buffers a parameter without momentum; up to five with the state of the others, since new values are written over old ones.
                "Sgd" => 1,
                _ => 1 + usize::from(!wide),
            };
            assert_eq!(found.len(), kernels, "{kind}, {name}: {found:?}");
        }
    }
}

#[test]
fn what_depends_on_each_other_stays_apart() {
    let d = Device::null(Caps { max_storage_buffers: 64, ..Caps::baseline() }, true);
    let (a, b) = (leaf([4, 30], &d), leaf([50], &d));
    // Two sums that nothing connects, and one that needs the first.
    let (x, y) = (a.sum(), b.square().sum());
    let z = (&a * &x).sum_dims(&[0], false);
    d.sync().unwrap();
    let plan = d.planned().pop().unwrap();
    let horizontal = plan.kernels.iter().filter(|k| k.ends_with("horizontal")).count();
    assert_eq!((plan.kernels.len(), horizontal), (2, 1), "{:?}", plan.kernels);
    assert!(!plan.kernels[1].ends_with("horizontal"), "{:?}", plan.kernels);
    drop((x, y, z));
}

#[test]
fn without_fusion_each_op_is_a_kernel() {
    let d = Device::null(adapters()[3].1.clone(), false);
    let (x, a) = (data([16, 16], &d), data([16], &d));
    assert_kernels(&((&x * &a + 1.0).relu() - &x).sum(), 5);
}

/// Values are computed once however many graphs read them, and an unread graph is not planned at all.
#[test]
fn only_what_is_held_is_computed() {
    let d = software();
    let x = data([512, 512], &d);
    let dropped = x.matmul(&x).relu();
    drop(dropped);
    let kept = &x + 1.0;
    d.sync().unwrap();
    let plans = d.planned();
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].kernels.len(), 1, "{:?}", plans[0].kernels);
    assert_kernels(&kept, 0);
}

#[test]
fn common_subexpressions_are_computed_once() {
    let d = software();
    let (x, w) = (data([64, 128], &d), data([128, 96], &d));
    // Products, reductions and elementwise chains; operands of `add` and `mul` either way round, views between. Bound first, since
    // temporaries of the statement that asks for the kernels would count as held.
    let products = x.matmul(&w) + x.matmul(&w);
    assert_kernels(&products, 1);
    let ratio = {
        let (a, b) = (x.exp(), x.tanh());
        (&a + &b).t().sum_dims(&[0], true) / (&b + &a).t().sum_dims(&[0], true)
    };
    assert_kernels(&ratio, 1);
    let ratio = {
        let (a, b) = (x.exp(), x.tanh());
        (&a - &b).sum_dims(&[0], true) / (&b - &a).sum_dims(&[0], true)
    };
    assert_kernels(&ratio, 2);
    // A duplicate that is held is a second store, not a second product.
    let (first, second) = (x.matmul(&w), x.matmul(&w));
    d.sync().unwrap();
    let plan = d.planned().pop().unwrap();
    assert_eq!((plan.dispatches, plan.merged), (1, 1), "{:?}", plan.kernels);
    drop((first, second));
    // Numbers that happen to be equal are not: with others the graph has the same plan.
    let sums = (&x * 2.0).sum() + (&x * 2.0).sum();
    assert_eq!(sums.plan().unwrap().merged, 0);
    // Random numbers have counters of their own.
    let plan = (Tensor::rand([64, 64], &d) - Tensor::rand([64, 64], &d)).sum().plan().unwrap();
    assert_eq!(plan.merged, 0);
    // Each check of indices reports for itself.
    let index = Tensor::from_slice(&[3i32, 0, 3], [3], &d);
    let plan = (x.index_select(0, &index) * x.index_select(0, &index)).plan().unwrap();
    assert_eq!(plan.merged, 0);
    let unfused = Device::null(adapters()[3].1.clone(), false);
    let (x, w) = (data([64, 128], &unfused), data([128, 96], &unfused));
    assert_eq!((x.matmul(&w) + x.matmul(&w)).plan().unwrap().merged, 0);
}

/// The gradient of a table is a sort of the indices, a search for the rows and one walk over the table, into which an addition is taken.
#[test]
fn gradients_of_tables_walk_once() {
    for (name, d) in devices() {
        let (table, other) = (leaf([49_152, 64], &d), data([49_152, 64], &d));
        let index = Tensor::from_slice(&[3i32; 128], [128], &d);
        let (rows, dy) = (Tensor::embedding(&table, &index), data([128, 64], &d));
        rows.backward_with(&dy).unwrap();
        let sums = table.grad().unwrap() + &other;
        table.zero_grad();
        let plan = sums.plan().unwrap();
        assert_eq!(plan.kernels, ["sort_block", "sort_merge", "sort_merge", "scatter_starts", "scatter_add"], "{name}");
        assert!(plan.workspace < 1 << 20, "{name}: {}", plan.workspace);
    }
}

/// Cross-entropy with its gradient is two kernels over rows and a mean, with no array beside the gradient, at any number of classes.
#[test]
fn cross_entropy_of_many_classes_stores_its_gradient_only() {
    for (name, d) in devices() {
        for classes in [1000, 49_152, 1_000_003] {
            let x = leaf([2, classes], &d);
            let targets = Tensor::from_slice(&[1i32; 2], [2], &d);
            let loss = wgrad::nn::loss::cross_entropy(&x, &targets);
            loss.backward().unwrap();
            let found = kernels(&(x.grad().unwrap()));
            let plan = d.planned().pop().unwrap();
            assert!(found.len() <= 3, "{name}, {classes} classes: {found:?}");
            assert!(plan.workspace < 1 << 16, "{name}, {classes} classes: {}", plan.workspace);
            drop(loss);
        }
    }
}

/// No scores: beside its operands, attention forward and backward has room for its results and little more.
#[test]
fn attention_stores_no_scores() {
    for (name, d) in devices() {
        for (size, causal) in [(32, false), (64, false), (64, true), (80, false), (128, true), (256, false)] {
            // On adapters with neither subgroups nor GPU kernels there are scores.
            if name == "software" {
                continue;
            }
            let (heads, positions) = (6, 1500);
            let part = || leaf([1, heads, positions, size], &d);
            let (q, k, v) = (part(), part(), part());
            let y = q.scaled_dot_product_attention(&k, &v, None, causal);
            y.backward_with(&data([1, heads, positions, size], &d)).unwrap();
            let grads = [&q, &k, &v].map(|x| x.grad().unwrap());
            let before = d.planned().len();
            d.sync().unwrap();
            let plans = d.planned().split_off(before);
            let operand = (4 * heads * positions * size) as u64;
            let scores = (4 * heads * positions * positions) as u64;
            for plan in &plans {
                assert!(plan.workspace < 4 * operand, "{name}, heads of {size}: {}", plan.workspace);
                assert!(plan.peak_bytes < 13 * operand + scores / 8, "{name}, heads of {size}: {}", plan.peak_bytes);
            }
            drop(grads);
        }
    }
}
