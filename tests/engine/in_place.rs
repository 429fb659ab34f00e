//! Updates write over the old values, and never over what somebody still reads.

use wgrad::nn::{Linear, Module, Parameters};
use wgrad::optim::{AdamW, Sgd};
use wgrad::{Captured, Device, Tensor, capture};

use crate::new_gpu;

const SIZE: usize = 512;

/// Two wide layers under AdamW: nearly all memory is parameters.
struct Net {
    layers: [Linear; 2],
    x: Tensor,
}

impl Net {
    fn new(device: &Device) -> Net {
        device.seed(11);
        let net = Net {
            layers: [Linear::new(SIZE, SIZE, device), Linear::new(SIZE, SIZE, device)],
            x: Tensor::randn([8, SIZE], device),
        };
        device.sync().unwrap();
        net
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.layers.iter().flat_map(Linear::parameters).collect()
    }

    fn bytes(&self) -> u64 {
        self.parameters().iter().map(|p| 4 * p.numel() as u64).sum()
    }

    fn loss(&self) -> Tensor {
        let [a, b] = &self.layers;
        b.forward(&a.forward(&self.x).tanh()).square().mean()
    }

    fn step(&self, optimizer: &mut AdamW) -> Tensor {
        optimizer.zero_grad();
        let loss = self.loss();
        loss.backward().unwrap();
        optimizer.step().unwrap();
        loss
    }

    fn bits(&self) -> Vec<Vec<u32>> {
        let bits = |p: &Tensor| p.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect();
        self.parameters().iter().map(bits).collect()
    }
}

fn captured(device: &Device) -> (std::sync::Arc<Net>, Captured<'static>) {
    let net = std::sync::Arc::new(Net::new(device));
    let mut optimizer = AdamW::new(net.parameters(), 1e-3);
    let own = net.clone();
    let step = capture(device, move |_: &[Tensor]| vec![own.step(&mut optimizer)]).unwrap();
    (net, step)
}

/// A step needs parameters, two moments and gradients, and little else.
#[test]
fn the_peak_of_a_step_is_four_times_the_parameters() {
    let check = |name: &str, device: &Device, bytes: u64, mut step: Box<dyn FnMut() + '_>| {
        step();
        device.trim();
        device.reset_peak_memory();
        let first = device.memory();
        (0..4).for_each(|_| step());
        let memory = device.memory();
        let times = memory.peak as f64 / bytes as f64;
        assert!(times < 4.4, "{name}: {times} times the parameters; {first:?}, {memory:?}");
    };
    let device = new_gpu();
    let (net, step) = captured(&device);
    let run = || {
        step.run(&[]).unwrap();
    };
    check("captured", &device, net.bytes(), Box::new(run));

    let device = new_gpu();
    let net = Net::new(&device);
    let mut optimizer = AdamW::new(net.parameters(), 1e-3);
    let run = || {
        net.step(&mut optimizer).item::<f32>().unwrap();
    };
    check("dynamic", &device, net.bytes(), Box::new(run));
}

/// The first run, too, has no second copy of anything.
#[test]
fn the_first_run_of_a_captured_step_needs_no_copy() {
    let device = new_gpu();
    let (net, step) = captured(&device);
    step.run(&[]).unwrap();
    let times = device.memory().peak as f64 / net.bytes() as f64;
    assert!(times < 4.6, "{times} times the parameters: {:?}", device.memory());
}

#[test]
fn dynamic_and_captured_steps_give_the_same_bits() {
    let device = new_gpu();
    let (net, step) = captured(&device);
    (0..3).for_each(|_| drop(step.run(&[]).unwrap()));
    let other = Net::new(&device);
    let mut optimizer = AdamW::new(other.parameters(), 1e-3);
    (0..3).for_each(|_| drop(other.step(&mut optimizer)));
    assert!(net.bits() == other.bits());
    let reference = Net::new(&Device::cpu());
    let mut optimizer = AdamW::new(reference.parameters(), 1e-3);
    (0..3).for_each(|_| drop(reference.step(&mut optimizer)));
    for (ours, theirs) in net.parameters().iter().zip(reference.parameters()) {
        let (ours, theirs) = (ours.to_vec::<f32>().unwrap(), theirs.to_vec::<f32>().unwrap());
        // Adam divides by the size of a gradient, which rounding decides where it is small.
        let error = crate::relative_error(&ours, &theirs);
        assert!(error < 1e-3, "{error}");
    }
}

/// What somebody holds of the old values stays what it is: detached values, gradients, views, and what was recorded before the step.
#[test]
fn old_values_that_are_held_stay() {
    for is_captured in [false, true] {
        let device = new_gpu();
        let net = Net::new(&device);
        let mut optimizer = AdamW::new(net.parameters(), 1e-2);
        let parameters = net.parameters();
        let mut run: Box<dyn FnMut()> = if is_captured {
            let step = capture(&device, |_: &[Tensor]| vec![net.step(&mut optimizer)]).unwrap();
            Box::new(move || drop(step.run(&[]).unwrap()))
        } else {
            Box::new(|| drop(net.step(&mut optimizer)))
        };
        for round in 0..3 {
            let w = &parameters[0];
            let expected = w.to_vec::<f32>().unwrap();
            let detached = w.detach();
            let view = w.detach().t().slice(0, 1..5);
            let pending = w.detach() * 2.0;
            let gradient = w.grad();
            let old_gradient = gradient.as_ref().map(|g| g.to_vec::<f32>().unwrap());
            run();
            assert!(detached.to_vec::<f32>().unwrap() == expected, "round {round}, captured {is_captured}");
            let column: Vec<f32> = (0..SIZE).map(|i| expected[i * SIZE + 1]).collect();
            assert!(view.to_vec::<f32>().unwrap()[..SIZE] == column, "round {round}, captured {is_captured}");
            let doubled: Vec<f32> = expected.iter().map(|v| v * 2.0).collect();
            assert!(pending.to_vec::<f32>().unwrap() == doubled, "round {round}, captured {is_captured}");
            assert!(gradient.map(|g| g.to_vec::<f32>().unwrap()) == old_gradient, "round {round}");
            assert!(w.to_vec::<f32>().unwrap() != expected);
        }
    }
}

/// A graph from before the step that is kept reads the weights of before the step.
#[test]
fn a_graph_of_old_weights_reads_old_weights() {
    let device = new_gpu();
    let w = Tensor::randn([SIZE, SIZE], &device).requires_grad();
    let x = Tensor::randn([4, SIZE], &device);
    device.sync().unwrap();
    let before = w.to_vec::<f32>().unwrap();
    let expected = x.matmul(&w).sum_dims(&[1], false).to_vec::<f32>().unwrap();
    let mut optimizer = Sgd::new(vec![w.clone()], 0.1);
    let later = x.matmul(&w).sum_dims(&[1], false);
    w.square().sum().backward().unwrap();
    optimizer.step().unwrap();
    assert!(w.to_vec::<f32>().unwrap() != before);
    assert_eq!(later.to_vec::<f32>().unwrap(), expected);
    // Its gradient is that of the old weights as well.
    optimizer.zero_grad();
    later.square().sum().backward().unwrap();
    let rows = x.to_vec::<f32>().unwrap();
    let of_row = |k: usize| (0..4).map(|i| 2.0 * expected[i] * rows[i * SIZE + k]).sum::<f32>();
    let gradient: Vec<f32> = (0..SIZE * SIZE).map(|at| of_row(at / SIZE)).collect();
    assert!(crate::relative_error(&w.grad().unwrap().to_vec::<f32>().unwrap(), &gradient) < 1e-5);
}

/// An assignment of one variable's value to another does not tie them together.
#[test]
fn variables_that_share_a_value_part_at_the_first_update() {
    for is_captured in [false, true] {
        let device = new_gpu();
        let a = Tensor::ones([SIZE, SIZE], &device);
        let b = Tensor::zeros([SIZE, SIZE], &device);
        a.realize().unwrap();
        b.assign(&a);
        let step = || {
            a.assign(&(&a + 1.0));
            b.assign(&(&b * 3.0));
        };
        if is_captured {
            let step = capture(&device, |_: &[Tensor]| {
                step();
                Vec::new()
            })
            .unwrap();
            (0..3).for_each(|_| drop(step.run(&[]).unwrap()));
        } else {
            (0..3).for_each(|_| {
                step();
                device.sync().unwrap();
            });
        }
        assert!(a.to_vec::<f32>().unwrap().iter().all(|&v| v == 4.0), "captured {is_captured}");
        assert!(b.to_vec::<f32>().unwrap().iter().all(|&v| v == 27.0), "captured {is_captured}");
    }
}

/// A value that the kernel reads at other places than it writes is not written over.
#[test]
fn shifted_reads_are_not_written_over() {
    let device = new_gpu();
    let values: Vec<f32> = (0..SIZE * SIZE).map(|i| (i % 1009) as f32).collect();
    let w = Tensor::from_slice(&values, [SIZE, SIZE], &device);
    for _ in 0..2 {
        let before = w.to_vec::<f32>().unwrap();
        w.assign(&(&w + &w.t() * 2.0 + w.roll(&[3], &[1])));
        device.sync().unwrap();
        let at = |i: usize, j: usize| before[i * SIZE + j];
        let expected = |k: usize| {
            let (i, j) = (k / SIZE, k % SIZE);
            at(i, j) + at(j, i) * 2.0 + at(i, (j + SIZE - 3) % SIZE)
        };
        let after = w.to_vec::<f32>().unwrap();
        assert!((0..SIZE * SIZE).all(|k| after[k] == expected(k)));
    }
}
