//! A backward pass frees the graph that it goes through, unless it is told to keep it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wgrad::autograd::{self, Function, Saved};
use wgrad::optim::Sgd;
use wgrad::{Device, Error, Result, Tensor};

use crate::{gpu, new_gpu};

fn both() -> [Device; 2] {
    [gpu().clone(), Device::cpu()]
}

#[track_caller]
fn assert_freed<T>(outcome: Result<T>) {
    match outcome {
        Err(error @ Error::Autograd { .. }) => {
            let text = error.to_string();
            assert!(text.contains("freed") && text.contains("backward_retain_graph"), "{text}");
            assert!(text.contains(file!()), "{text}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the graph was not freed"),
    }
}

/// A net whose activations are large beside its parameters.
struct Net {
    w1: Tensor,
    w2: Tensor,
    x: Tensor,
}

impl Net {
    fn new(device: &Device) -> Net {
        device.seed(3);
        let leaf = |shape: [usize; 2]| (Tensor::randn(shape, device) * 0.1).requires_grad();
        let net = Net { w1: leaf([8, 64]), w2: leaf([64, 4]), x: Tensor::randn([256, 8], device) };
        net.x.realize().unwrap();
        net
    }

    fn loss(&self, x: &Tensor) -> Tensor {
        x.matmul(&self.w1).tanh().matmul(&self.w2).square().mean()
    }
}

/// Bytes in use after 50 steps, with each step's loss kept or dropped, and read before the backward pass or not.
fn in_use(keep: bool, read: bool, captured: bool) -> u64 {
    let device = new_gpu();
    let net = Net::new(&device);
    let (w1, w2, x) = (net.w1.clone(), net.w2.clone(), net.x.clone());
    let mut optimizer = Sgd::new(vec![w1, w2], 0.1).momentum(0.9);
    let mut step = move |x: &[Tensor]| {
        optimizer.zero_grad();
        let loss = net.loss(&x[0]);
        if read {
            loss.item::<f32>()?;
        }
        loss.backward()?;
        optimizer.step()?;
        Ok(vec![loss])
    };
    let mut losses = Vec::new();
    let mut push = |loss: Vec<Tensor>| {
        if keep {
            losses.extend(loss);
        }
    };
    if captured {
        let step = wgrad::capture(&device, step).unwrap();
        (0..50).for_each(|_| push(step.run(std::slice::from_ref(&x)).unwrap()));
    } else {
        (0..50).for_each(|_| push(step(std::slice::from_ref(&x)).unwrap()));
    }
    device.sync().unwrap();
    let used = device.memory().in_use;
    if keep {
        let first = losses[0].item::<f32>().unwrap();
        assert!(losses.len() == 50 && losses[49].item::<f32>().unwrap() < first);
    }
    used
}

#[test]
fn a_list_of_losses_holds_their_numbers_only() {
    for (read, captured) in [(false, false), (true, false), (false, true)] {
        let (dropped, kept) = (in_use(false, read, captured), in_use(true, read, captured));
        // The pool gives out no less than a block of 256 bytes.
        assert!(kept >= dropped && kept - dropped <= 50 * 256, "read {read}, captured {captured}: {kept} {dropped}");
    }
}

#[test]
fn a_second_pass_needs_the_graph() {
    for d in both() {
        let net = Net::new(&d);
        let loss = net.loss(&net.x);
        loss.backward().unwrap();
        // Before anything is computed, and after.
        assert_freed(loss.backward());
        d.sync().unwrap();
        assert_freed(loss.backward());
        assert_freed((&loss * 2.0).backward());
        assert_freed(autograd::grad(&[&loss], &[&net.w1], false));
        let once = net.w1.grad().unwrap().to_vec::<f32>().unwrap();

        // Two losses on one trunk: only the second pass may free it.
        let trunk = net.x.matmul(&net.w1).tanh();
        let (a, b) = (trunk.matmul(&net.w2).square().mean(), trunk.sum());
        a.backward().unwrap();
        assert_freed(b.backward());
        net.w1.zero_grad();
        let trunk = net.x.matmul(&net.w1).tanh();
        let (a, b) = (trunk.matmul(&net.w2).square().mean(), trunk.sum());
        a.backward_retain_graph().unwrap();
        d.sync().unwrap();
        let found = net.w1.grad().unwrap().to_vec::<f32>().unwrap();
        assert!(found.iter().zip(&once).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs() + 1e-7));
        b.backward().unwrap();
        assert_freed(a.backward());
        let both = net.w1.grad().unwrap().to_vec::<f32>().unwrap();
        assert!(both.iter().zip(&once).any(|(a, b)| a != b));

        // `grad` frees too, what it went through and no more.
        let (x, y) = (net.x.matmul(&net.w1).tanh(), net.w2.square());
        let loss = x.sum() + y.sum();
        let dy = autograd::grad(&[&loss], &[&net.w2], false).unwrap();
        assert_freed(loss.backward());
        assert_eq!(dy[0].shape(), [64, 4]);
        x.sum().backward().unwrap();
        assert_freed(x.sum().backward());
        // A freed value is a value: it can be an input, and what gradients are asked for.
        let again = (&x * 3.0).sum();
        let dx = autograd::grad(&[&again], &[&x], false).unwrap();
        assert_eq!(dx[0].to_vec::<f32>().unwrap()[..3], [3.0; 3]);
        let z = x.detach().square().sum() * net.w2.sum();
        z.backward().unwrap();
    }
}

#[test]
fn gradients_of_gradients_keep_the_graph() {
    for d in both() {
        let x = Tensor::from_slice(&[1f32, 2.0, -1.0], [3], &d).requires_grad();
        let y = x.powi(3).sum();
        let dx = autograd::grad(&[&y], &[&x], true).unwrap().remove(0);
        let penalty = dx.square().sum();
        (&y + &penalty).backward().unwrap();
        let expected: Vec<f32> = [1f32, 2.0, -1.0].iter().map(|x| 3.0 * x * x + 2.0 * 3.0 * x * x * 6.0 * x).collect();
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), expected);
        assert_freed(penalty.backward());
        assert_freed(y.backward());
    }
}

/// As in a generative adversarial network: the discriminator's pass must not free the generator's graph.
#[test]
fn detached_values_leave_the_graph_before_them() {
    for d in both() {
        let (g, c) = (Tensor::ones([4, 4], &d).requires_grad(), Tensor::ones([4, 1], &d).requires_grad());
        let mut steps = [Sgd::new(vec![c.clone()], 0.01), Sgd::new(vec![g.clone()], 0.01)];
        for _ in 0..3 {
            let fake = Tensor::randn([5, 4], &d).matmul(&g).tanh();
            steps[0].zero_grad();
            fake.detach().matmul(&c).mean().backward().unwrap();
            steps[0].step().unwrap();
            steps[1].zero_grad();
            (-fake.matmul(&c).mean()).backward().unwrap();
            steps[1].step().unwrap();
        }
        assert!(g.to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()));
    }
}

struct Square;

impl Function for Square {
    fn forward(&self, saved: &mut Saved, inputs: &[Tensor]) -> Tensor {
        saved.save(&inputs[0]);
        inputs[0].square()
    }
    fn backward(&self, saved: &Saved, dy: &Tensor) -> Vec<Option<Tensor>> {
        vec![Some(&saved.tensors()[0] * 2.0 * dy)]
    }
}

#[test]
fn segments_and_own_functions_let_go_of_what_they_kept() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for d in [new_gpu(), Device::cpu()] {
        let w = Tensor::full([4], 3.0, &d).requires_grad();
        let held = Arc::new(AtomicUsize::new(0));
        let loss = {
            let big = Tensor::ones([4, 1 << 16], &d).contiguous();
            big.realize().unwrap();
            let counted = Counted(held.clone());
            let scaled = &w * 2.0;
            scaled.register_hook(move |_| {
                let _ = &counted;
                None
            });
            let y = autograd::checkpoint(|x| (x[0].unsqueeze(1) * &big).sum_dims(&[1], false) / 65536.0, &[&scaled]);
            Square.apply(&[&y]).sum()
        };
        let before = d.memory().in_use;
        loss.backward().unwrap();
        d.sync().unwrap();
        assert_eq!(w.grad().unwrap().to_vec::<f32>().unwrap(), [24.0; 4]);
        assert_eq!(held.load(Ordering::SeqCst), 1, "the nodes behind the loss are gone");
        if !d.is_cpu() {
            assert!(d.memory().in_use + (4 << 16) * 4 <= before + (1 << 16), "{} {before}", d.memory().in_use);
        }
        assert_freed(loss.backward());
        assert_eq!(loss.item::<f32>().unwrap(), 144.0);
    }
}

/// A retained graph gives the same bits at each pass, whatever is flushed in between.
#[test]
fn retained_graphs_give_the_same_again() {
    for d in both() {
        let net = Net::new(&d);
        let loss = net.loss(&net.x);
        let mut found = Vec::new();
        for turn in 0..3 {
            net.w1.zero_grad();
            loss.backward_retain_graph().unwrap();
            if turn == 1 {
                d.sync().unwrap();
            }
            found.push(net.w1.grad().unwrap().to_vec::<f32>().unwrap());
        }
        assert!(found[0] == found[1] && found[1] == found[2]);
        let rows = autograd::jacobian(|x| x.square(), &Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &d)).unwrap();
        assert_eq!(rows.to_vec::<f32>().unwrap(), [2.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 6.0]);
    }
}

/// A retained pass through segments within segments leaves what they keep for the next one.
#[test]
fn retained_segments_can_be_passed_again() {
    for d in both() {
        let w = Tensor::from_slice(&[1f32, -2.0, 0.5], [3], &d).requires_grad();
        let inner = |x: &[Tensor]| Square.apply(&[&(&x[0] * 3.0)]).tanh();
        let outer = |x: &[Tensor]| autograd::checkpoint(inner, &[&x[0].sin()]) * &x[0];
        let plain = {
            let x = w.sin();
            let loss = (Square.apply(&[&(&x * 3.0)]).tanh() * &w).sum();
            autograd::grad(&[&loss], &[&w], false).unwrap()[0].to_vec::<f32>().unwrap()
        };
        let loss = autograd::checkpoint(outer, &[&w]).sum();
        for turn in 0..3 {
            w.zero_grad();
            match turn {
                2 => loss.backward().unwrap(),
                _ => loss.backward_retain_graph().unwrap(),
            }
            let found = w.grad().unwrap().to_vec::<f32>().unwrap();
            assert!(found.iter().zip(&plain).all(|(a, b)| (a - b).abs() <= 1e-5), "turn {turn}: {found:?} {plain:?}");
        }
        assert_freed(loss.backward());
    }
}
