//! What layers do beside what `tests/parity` holds against PyTorch: shapes that do not fit, dropout, captured steps.

use wgrad::nn::{Dropout, Embedding, Gru, Linear, Lstm, Module, MultiheadAttention, Parameters, Recurrent, Rnn};
use wgrad::optim::Sgd;
use wgrad::{Device, Error, Tensor, capture};

use crate::devices;

#[test]
fn sequences_that_do_not_fit_are_errors() {
    let device = Device::cpu();
    let layer = Lstm::new(3, 4, &device);
    let ones = |shape: &[usize]| Tensor::ones(shape, &device);
    for shape in [&[2, 3][..], &[2, 5, 4], &[2, 0, 3], &[1, 2, 5, 3]] {
        let (y, (h, c)) = layer.forward_seq(&ones(shape), None);
        for result in [y, h, c] {
            let error = result.check().unwrap_err();
            assert!(matches!(error, Error::Shape { .. }), "{error:?}");
            assert!(error.to_string().starts_with("Lstm: expects [batch, steps, 3]"), "{error}");
            assert!(error.to_string().contains("tests/nn/layers.rs"), "{error}");
        }
    }
    let state = (ones(&[1, 2, 4]), ones(&[2, 2, 4]));
    let error = layer.forward_seq(&ones(&[2, 5, 3]), Some(&state)).0.check().unwrap_err().to_string();
    assert!(error.contains("the state must be [1, 2, 4]"), "{error}");
    let none = Recurrent { layers: 0, ..Recurrent::default() };
    assert!(Gru::new_with(3, 4, none, &device).forward_seq(&ones(&[2, 5, 3]), None).0.check().is_err());
    // A batch of nothing is a batch.
    assert_eq!(layer.forward_seq(&ones(&[0, 5, 3]), None).0.shape(), [0, 5, 4]);
}

#[test]
fn a_sequence_in_two_halves_is_the_whole() {
    for device in devices() {
        let layer = Rnn::new_with(3, 4, Recurrent { layers: 2, ..Recurrent::default() }, device);
        let x = Tensor::randn([2, 6, 3], device);
        let (whole, end) = layer.forward_seq(&x, None);
        let (first, state) = layer.forward_seq(&x.narrow(1, 0, 2), None);
        let (second, last) = layer.forward_seq(&x.narrow(1, 2, 4), Some(&state));
        assert!(Tensor::cat(&[&first, &second], 1).allclose(&whole, 1e-5, 1e-6).unwrap());
        assert!(last.allclose(&end, 1e-5, 1e-6).unwrap());
    }
}

#[test]
fn dropout_between_recurrent_layers_is_for_training() {
    for device in devices() {
        let layer = Gru::new_with(3, 4, Recurrent { layers: 2, dropout: 0.5, ..Recurrent::default() }, device);
        let x = Tensor::randn([2, 6, 3], device);
        let run = || layer.forward_seq(&x, None).0.to_vec::<f32>().unwrap();
        assert_ne!(run(), run());
        layer.eval();
        assert_eq!(run(), run());
    }
}

#[test]
fn a_captured_lstm_trains_as_a_loop_does() {
    for device in devices() {
        let (x, y) = (Tensor::randn([4, 7, 3], device), Tensor::randn([4, 7, 5], device));
        let first = (Lstm::new(3, 5, device), Linear::new(5, 5, device));
        let train = |captured: bool| {
            let (lstm, head) = (Lstm::new(3, 5, device), Linear::new(5, 5, device));
            lstm.load_state_dict(&first.0.state_dict()).unwrap();
            head.load_state_dict(&first.1.state_dict()).unwrap();
            let mut optimizer = Sgd::new([lstm.parameters(), head.parameters()].concat(), 0.1).momentum(0.9);
            let mut step = |x: &[Tensor]| -> wgrad::Result<Vec<Tensor>> {
                let loss = (head.forward(&lstm.forward_seq(&x[0], None).0) - &x[1]).square().mean();
                optimizer.zero_grad();
                loss.backward()?;
                optimizer.step()?;
                Ok(vec![loss])
            };
            let inputs = [x.clone(), y.clone()];
            let loss = |out: Vec<Tensor>| out[0].item::<f32>().unwrap();
            if captured {
                let step = capture(device, step).unwrap();
                (0..6).map(|_| loss(step.run(&inputs).unwrap())).collect::<Vec<_>>()
            } else {
                (0..6).map(|_| loss(step(&inputs).unwrap())).collect()
            }
        };
        let losses = train(false);
        assert_eq!(losses, train(true));
        assert!(losses[5] < losses[0]);
    }
}

#[test]
fn attention_with_dropout_keeps_its_mean_and_ends_in_evaluation() {
    for device in devices() {
        let attention = MultiheadAttention::new(8, 2, device).dropout(0.4);
        let x = Tensor::randn([1, 5, 8], device);
        // The second query sees nothing.
        let seen: Vec<bool> = (0..25).map(|i| !(5..10).contains(&i)).collect();
        let seen = Tensor::from_slice(&seen, [5, 5], device);
        let run = |mask: Option<&Tensor>| attention.attend(&x, &x, &x, mask, true);
        attention.eval();
        let (clean, masked) = (run(None), run(Some(&seen)));
        let bias = attention.out_proj.bias.as_ref().unwrap().to_vec::<f32>().unwrap();
        assert_eq!(masked.select(1, 1).to_vec::<f32>().unwrap(), bias);
        attention.train(true);
        let dropped = run(Some(&seen));
        assert_eq!(dropped.select(1, 1).to_vec::<f32>().unwrap(), bias);
        assert!(dropped.to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()));
        let many = (0..300).map(|_| run(None)).reduce(|a, b| a + b).unwrap() / 300.0;
        let apart = (many - &clean).norm(2.0).item::<f32>().unwrap() / clean.norm(2.0).item::<f32>().unwrap();
        assert!(apart < 0.15, "{apart}");
        // Gradients too stay finite where a query sees nothing.
        attention.zero_grad();
        run(Some(&seen)).square().sum().backward().unwrap();
        let grad = attention.in_proj_weight.as_ref().unwrap().grad().unwrap().to_vec::<f32>().unwrap();
        assert!(grad.iter().all(|v| v.is_finite()) && grad.iter().any(|&v| v != 0.0));
        let wrong = attention.attend(&x, &x, &Tensor::ones([1, 5, 7], device), None, false);
        assert!(wrong.check().unwrap_err().to_string().contains("values must be [batch, length, 8]"));
    }
    assert!(MultiheadAttention::new(8, 3, &Device::cpu()).in_proj_weight.unwrap().check().is_err());
}

#[test]
fn padding_has_a_value_but_no_gradient() {
    for device in devices() {
        let table = Embedding::with_padding(4, 2, 1, device);
        table.weight.assign(&Tensor::ones([4, 2], device));
        let index = Tensor::from_slice(&[1u32, 3, 1], [3], device);
        let y = table.forward(&index);
        assert_eq!(y.to_vec::<f32>().unwrap(), [1.0; 6]);
        y.sum().backward().unwrap();
        let grad = table.weight.grad().unwrap().to_vec::<f32>().unwrap();
        assert_eq!(grad, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        let outside = table.forward(&Tensor::from_slice(&[4u32], [1], device));
        assert!(matches!(outside.to_vec::<f32>(), Err(Error::IndexOutOfRange { .. })));
        assert!(Embedding::with_padding(4, 2, 4, device).weight.check().is_err());
    }
}

#[test]
fn dropout_takes_probabilities_only() {
    let x = Tensor::ones([3], &Device::cpu());
    for p in [-0.1, 1.1, f32::NAN] {
        assert!(Dropout::new(p).forward(&x).check().is_err(), "{p}");
    }
}

#[test]
fn a_step_of_an_lstm_takes_few_kernels() {
    let device = Device::gpu().unwrap();
    let layer = Lstm::new(8, 16, &device);
    let dispatches = |steps: usize, backward: bool| {
        let x = Tensor::randn([4, steps, 8], &device);
        x.realize().unwrap();
        let run = || {
            layer.zero_grad();
            let before = device.stats().dispatches;
            let loss = layer.forward_seq(&x, None).0.square().mean();
            if backward {
                loss.backward().unwrap();
            }
            loss.realize().unwrap();
            device.sync().unwrap();
            (device.stats().dispatches - before) as f64
        };
        run();
        run()
    };
    let each = |backward: bool| (dispatches(40, backward) - dispatches(8, backward)) / 32.0;
    let (forward, both) = (each(false), each(true));
    // Forward: a product, three kernels for the gates (each reads few buffers) and a quarter of the copy of outputs. It was 4.7
    // and, with the backward pass, 20.3 before gradients of slices were joined.
    assert!(forward <= 4.5, "{forward} dispatches a step forward");
    assert!(both <= 16.0, "{both} dispatches a step forward and backward");
}
