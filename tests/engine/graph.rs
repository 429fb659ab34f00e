//! Deep graphs, retained graphs, and what rebinding, detaching and hooks mean.

use std::sync::{Arc, Mutex};

use wgrad::{Device, Error, Tensor, autograd, no_grad};

use crate::{gpu, new_gpu};

/// Runs `f` on a thread whose stack would not bear recursion over a deep graph.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(f).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

const DEEP: usize = 100_000;

fn deep_chain(device: &Device) {
    let x = Tensor::from_slice(&[1f32, -2.0, 0.5], [3], device).requires_grad();
    let mut y = x.clone();
    for _ in 0..DEEP / 2 {
        y = &y * 0.9999;
        y = &y + 1e-4;
    }
    y.sum().backward().unwrap();
    // Towards 1 by the factor f = 0.9999 a turn.
    let f = 0.9999f64.powi(DEEP as i32 / 2);
    for (x, y) in [1f64, -2.0, 0.5].iter().zip(y.to_vec::<f32>().unwrap()) {
        assert!((1.0 + (x - 1.0) * f - f64::from(y)).abs() < 1e-2, "{x} {y}");
    }
    for g in x.grad().unwrap().to_vec::<f32>().unwrap() {
        assert!((f64::from(g) / f - 1.0).abs() < 0.05, "{g} {f}");
    }
    drop(y);
}

#[test]
fn deep_chains_on_the_gpu() {
    on_a_small_stack(|| deep_chain(gpu()));
}

#[test]
fn deep_chains_on_the_cpu() {
    on_a_small_stack(|| deep_chain(&Device::cpu()));
}

#[test]
fn a_deep_chain_that_is_never_read_drops() {
    let null = Device::null(wgrad::internals::Caps::baseline(), true);
    on_a_small_stack(move || {
        for device in [null, Device::cpu()] {
            let mut y = Tensor::ones([4], &device).requires_grad();
            for _ in 0..DEEP {
                y = y.tanh();
            }
            drop(y);
        }
    });
}

/// `x` forked into two branches again and again: the number of paths is 2^60, the number of nodes 240.
#[test]
fn forks_do_not_multiply_work() {
    for device in [gpu().clone(), Device::cpu()] {
        let x = Tensor::from_slice(&[0.3f32], [1], &device).requires_grad();
        let mut y = x.clone();
        for _ in 0..60 {
            y = (&y * 0.5 + &y * 0.25) + &y * 0.25;
        }
        y.sum().backward().unwrap();
        assert!((y.item::<f32>().unwrap() - 0.3).abs() < 1e-5);
        assert!((x.grad().unwrap().item::<f32>().unwrap() - 1.0).abs() < 1e-5);
    }
}

fn both() -> [Device; 2] {
    [gpu().clone(), Device::cpu()]
}

fn vector(values: &[f32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device)
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_vec::<f32>().unwrap()
}

fn grad(t: &Tensor) -> Vec<f32> {
    values(&t.grad().unwrap())
}

#[test]
fn backward_twice_accumulates() {
    for device in both() {
        let w = vector(&[1.0, -2.0], &device).requires_grad();
        let loss = (&w * &w).sum();
        loss.backward_retain_graph().unwrap();
        assert_eq!(grad(&w), [2.0, -4.0]);
        loss.backward_retain_graph().unwrap();
        assert_eq!(grad(&w), [4.0, -8.0]);
        (&w * 3.0).sum().backward().unwrap();
        assert_eq!(grad(&w), [7.0, -5.0]);
        w.zero_grad();
        assert!(w.grad().is_none());
        loss.backward().unwrap();
        assert_eq!(grad(&w), [2.0, -4.0]);
    }
}

/// The dispatches of one step; `read` reads the loss before the backward pass.
fn dispatches(read: bool) -> u64 {
    let device = new_gpu();
    device.seed(2);
    let x = Tensor::randn([32, 64], &device);
    let w1 = Tensor::randn([64, 48], &device).requires_grad();
    let w2 = Tensor::randn([48, 8], &device).requires_grad();
    x.realize().unwrap();
    let before = device.stats().dispatches;
    let loss = x.matmul(&w1).relu().matmul(&w2).square().sum();
    if read {
        loss.item::<f32>().unwrap();
    }
    loss.backward().unwrap();
    device.sync().unwrap();
    device.stats().dispatches - before
}

#[test]
fn reading_the_loss_first_costs_no_second_forward() {
    let (at_once, in_two) = (dispatches(false), dispatches(true));
    assert!(in_two <= at_once + 1, "{at_once} dispatches at once, {in_two} with a read before backward");
}

#[test]
fn rebinding_keeps_what_was_read_before() {
    for device in both() {
        let mut w = vector(&[1.0, 2.0], &device).requires_grad();
        let same = w.clone();
        let before = &w * 10.0;
        w -= &vector(&[0.5, 0.5], &device);
        assert_eq!(values(&before), [10.0, 20.0]);
        assert_eq!(values(&w), [0.5, 1.5]);
        assert_eq!(values(&same), [0.5, 1.5], "a clone is the same variable");
        (&w * &w).sum().backward().unwrap();
        assert_eq!(grad(&same), [1.0, 3.0]);
        w.assign(&vector(&[3.0, 4.0], &device));
        w *= 2.0;
        w /= &vector(&[1.0, 2.0], &device);
        w += 1.0;
        assert_eq!(values(&same), [7.0, 5.0]);
        assert!(w.is_leaf_with_grad());
        // The graph made before the update still gives the gradient at the old value.
        w.zero_grad();
        before.sum().backward().unwrap();
        assert_eq!(grad(&w), [10.0, 10.0]);
        // A tensor that is no leaf is bound to a node of the graph.
        let mut y = &w * 1.0;
        y += &w;
        w.zero_grad();
        y.sum().backward().unwrap();
        assert_eq!(grad(&w), [2.0, 2.0]);
    }
}

#[test]
fn detach_and_no_grad_stop_gradients() {
    for device in both() {
        let w = vector(&[3.0], &device).requires_grad();
        (&w * w.detach()).sum().backward().unwrap();
        assert_eq!(grad(&w), [3.0]);
        let fixed = no_grad(|| &w * 2.0);
        assert!(fixed.sum().backward().is_err());
        w.zero_grad();
        (&w * &fixed).sum().backward().unwrap();
        assert_eq!(grad(&w), [6.0]);
        // A new leaf cut from the graph.
        let leaf = (&w * 2.0).requires_grad();
        (&leaf * &leaf).sum().backward().unwrap();
        assert_eq!(grad(&leaf), [12.0]);
        assert_eq!(grad(&w), [6.0]);
    }
}

#[test]
fn hooks_see_and_replace_gradients() {
    for device in both() {
        let w = vector(&[1.0, 2.0], &device).requires_grad();
        let y = &w * 3.0;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        y.register_hook(move |g| {
            sink.lock().unwrap().push(g.shape().to_vec());
            Some(g * 10.0)
        });
        (y.sum() + y.sum()).backward().unwrap();
        assert_eq!(*seen.lock().unwrap(), [vec![2]], "the complete gradient comes once");
        assert_eq!(grad(&w), [60.0, 60.0]);
    }
}

#[test]
fn a_leafs_hook_survives_updates() {
    for device in both() {
        let mut w = vector(&[1.0], &device).requires_grad();
        w.register_hook(|g| Some(g * 2.0));
        for expected in [2.0, 2.0] {
            w.zero_grad();
            w.sum().backward().unwrap();
            assert_eq!(grad(&w), [expected]);
            w -= 0.5;
        }
    }
}

#[test]
fn a_hook_that_fails_fails_backward() {
    let w = vector(&[1.0, 2.0], gpu()).requires_grad();
    w.register_hook(|g| Some(g.reshape([7])));
    let text = w.sum().backward().unwrap_err().to_string();
    assert!(text.contains("reshape"), "{text}");
}

#[test]
fn gradients_of_intermediate_nodes() {
    for device in both() {
        let x = vector(&[1.0, 2.0], &device).requires_grad();
        let y = &x * 3.0;
        let z = (&y * &y).sum();
        let grads = autograd::grad_retain_graph(&[&z], &[&x, &y]).unwrap();
        assert_eq!(values(&grads[0]), [18.0, 36.0]);
        assert_eq!(values(&grads[1]), [6.0, 12.0]);
        assert!(x.grad().is_none(), "grad() leaves the leaves alone");
        let second = autograd::grad(&[&autograd::grad(&[&z], &[&x], true).unwrap()[0].sum()], &[&x], false).unwrap();
        assert_eq!(values(&second[0]), [18.0, 18.0]);
        let other = vector(&[1.0], &device).requires_grad();
        assert!(autograd::grad(&[&z], &[&other], false).is_err());
    }
}

#[test]
fn detach_in_a_loop_keeps_no_graph_alive() {
    let device = new_gpu();
    let w = Tensor::ones([64, 64], &device).requires_grad();
    let mut state = Tensor::zeros([16, 64], &device);
    state.realize().unwrap();
    let mut in_use = Vec::new();
    for _ in 0..40 {
        let next = (state.matmul(&w) * 0.01 + 0.1).tanh();
        next.sum().backward().unwrap();
        w.zero_grad();
        state = next.detach();
        drop(next);
        device.sync().unwrap();
        in_use.push(device.memory().in_use);
    }
    assert!(in_use[10..].iter().all(|&m| m == in_use[10]), "{in_use:?}");
}

#[test]
fn scalars_that_were_read_still_spread() {
    let device = gpu();
    let x = Tensor::from_slice(&[1f32, 2., 3., 4., 5., 6.], [2, 3], device);
    let s = Tensor::scalar(2.0, device);
    assert_eq!(s.item::<f32>().unwrap(), 2.0);
    let y = (&x * &s).flatten(0, 1);
    assert_eq!((y + 1.0).to_vec::<f32>().unwrap(), [3.0, 5.0, 7.0, 9.0, 11.0, 13.0]);
    let t = (&x * &s).t().slice(0, 1..3) + &s;
    assert_eq!(t.to_vec::<f32>().unwrap(), [6.0, 12.0, 8.0, 14.0]);
}

#[test]
fn kernels_bind_no_more_buffers_than_allowed_when_values_are_stored_late() {
    let device = gpu();
    let leaves: Vec<Tensor> = (0..6).map(|k| Tensor::rand([64, 32], device) + k as f32 * 0.1).collect();
    leaves.iter().for_each(|l| l.realize().unwrap());
    let joined: Vec<Tensor> = leaves.iter().map(|a| a.t().tanh()).collect();
    let sum = joined.iter().zip(&leaves).map(|(j, a)| j * &a.t()).reduce(|a, b| a + b).unwrap();
    let flat: Vec<Tensor> = joined.iter().map(|j| j.reshape([2048]).exp()).collect();
    drop(joined);
    device.sync().unwrap();
    let want: f32 = leaves.iter().map(|a| (a.tanh() * a).sum().item::<f32>().unwrap()).sum();
    assert!((sum.sum().item::<f32>().unwrap() - want).abs() < 1e-3 * want);
    assert!(flat[5].max().item::<f32>().unwrap() > 1.0);
}

#[test]
fn contiguous_is_recorded_and_does_not_flush() {
    let device = new_gpu();
    let x = Tensor::rand([6, 5], &device);
    x.realize().unwrap();
    let before = device.stats().submits;
    let y = (x.t().contiguous() * 2.0).sum();
    assert_eq!(device.stats().submits, before);
    let (got, want) = (y.item::<f32>().unwrap(), x.sum().item::<f32>().unwrap() * 2.0);
    assert!((got - want).abs() < 1e-4, "{got} for {want}");
}

#[test]
fn one_value_that_cannot_be_computed_does_not_hold_up_others() {
    let device = new_gpu();
    let good = Tensor::rand([8], &device) + 1.0;
    let bad = Tensor::ones([1 << 15, 1 << 15], &device) + Tensor::arange(0.0, 32768.0, 1.0, &device);
    assert!(device.sync().is_err());
    drop(bad);
    let dispatches = device.stats().dispatches;
    device.sync().unwrap();
    assert_eq!(device.stats().dispatches, dispatches, "the good value was computed by the first sync");
    assert!(good.to_vec::<f32>().unwrap().iter().all(|v| (1.0..2.0).contains(v)));
}

#[test]
fn what_a_bad_index_went_into_stays_an_error() {
    let device = new_gpu();
    let table = Tensor::arange(0.0, 6.0, 1.0, &device).reshape([3, 2]);
    table.realize().unwrap();
    let good = table.index_select(0, &Tensor::from_slice(&[2i32, 0], [2], &device));
    assert_eq!(good.to_vec::<f32>().unwrap(), [4.0, 5.0, 0.0, 1.0]);
    let bad = table.index_select(0, &Tensor::from_slice(&[1i32, 3], [2], &device));
    bad.realize().unwrap();
    let below = &bad * 2.0;
    below.realize().unwrap();
    let again = |t: &Tensor| matches!(t.to_vec::<f32>(), Err(Error::IndexOutOfRange { index: 3, bound: 3, .. }));
    assert!(again(&bad), "the first read learns of it");
    assert!(again(&bad), "and so does every later one");
    assert!(again(&below) && again(&(&below + 1.0)) && again(&bad.detach()));
    assert_eq!(good.to_vec::<f32>().unwrap(), [4.0, 5.0, 0.0, 1.0], "values from before are good");
    assert_eq!((&good + &table.slice(0, 0..2)).to_vec::<f32>().unwrap(), [4.0, 6.0, 2.0, 4.0], "and so are new ones");
    let later = table.index_select(0, &Tensor::from_slice(&[0u32], [1], &device));
    assert_eq!(later.to_vec::<f32>().unwrap(), [0.0, 1.0]);
    assert!(again(&below));
}
