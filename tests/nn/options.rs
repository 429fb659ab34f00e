//! Options of layers against PyTorch (`tests/nn/generate.py`), and what PyTorch has no like of against definitions.

use std::path::Path;

use wgrad::nn::{
    self, Conv1d, Conv2d, Conv3d, ConvTranspose2d, Embedding, Gru, LeakyRelu, Linear, Lstm, Module, MultiheadAttention,
    Parameters, Recurrent, Rnn, Sequential, SpectralNorm, StateDict, WeightNorm, init,
};
use wgrad::{Conv, DType, Device, Padding, Tensor, f16, io};

use crate::devices;

struct Fixtures(StateDict);

impl Fixtures {
    fn read(device: &Device) -> Fixtures {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("nn/fixtures/options.safetensors");
        Fixtures(io::load_safetensors(path, device).unwrap())
    }

    fn get(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("{name}"))
    }

    fn part(&self, prefix: &str) -> StateDict {
        let own = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
        self.0.iter().filter_map(own).collect()
    }

    /// Takes on the state of `prefix`.
    fn load(&self, prefix: &str, module: &impl Parameters) {
        module.load_state_dict(&self.part(&format!("{prefix}.state."))).unwrap();
    }

    /// Whether gradients are those of `prefix`.
    fn grads(&self, prefix: &str, module: &impl Parameters) {
        let expected = self.part(&format!("{prefix}.grad."));
        let found = module.named_parameters();
        assert_eq!(expected.len(), found.len(), "{prefix}");
        for (name, parameter) in found {
            close(&parameter.grad().unwrap(), &expected[&name], &format!("{prefix}: gradient of {name}"));
        }
    }
}

fn close(a: &Tensor, b: &Tensor, what: &str) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    let (a, b) = (a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{what}: element {i} is {a}, not {b}");
    }
}

/// Gradients of a loss in which every element counts differently.
fn backward(parts: &[&Tensor]) {
    let flat: Vec<Tensor> = parts.iter().map(|part| part.reshape([-1])).collect();
    let y = Tensor::cat(&flat.iter().collect::<Vec<_>>(), 0);
    let weights: Vec<f32> = (0..y.numel()).map(|i| (i as f64).cos() as f32).collect();
    (&y * Tensor::from_slice(&weights, [weights.len()], y.device())).sum().backward().unwrap();
}

#[test]
fn padding_of_the_same_size() {
    for device in devices() {
        let fixtures = Fixtures::read(device);
        let check = |name: &str, layer: &dyn Module| {
            let x = fixtures.get(&format!("{name}.x")).requires_grad();
            layer.load_state_dict(&fixtures.part(&format!("{name}.state."))).unwrap();
            let y = layer.forward(&x);
            close(&y, fixtures.get(&format!("{name}.y")), name);
            backward(&[&y]);
            close(&x.grad().unwrap(), fixtures.get(&format!("{name}.dx")), name);
            let expected = fixtures.part(&format!("{name}.grad."));
            for (own, parameter) in layer.named_parameters() {
                close(&parameter.grad().unwrap(), &expected[&own], name);
            }
        };
        let same = Padding::Same;
        check("same1.0", &Conv1d::new(4, 6, 3, device).groups(2).padding(same));
        check("same1.1", &Conv1d::new(4, 6, 4, device).groups(2).padding(same));
        check("same1.2", &Conv1d::new(4, 6, 4, device).padding(same).dilation(3).groups(2));
        check("same2.0", &Conv2d::new(4, 6, [3, 4], device).groups(2).padding(same));
        check("same2.1", &Conv2d::new(4, 6, [2, 5], device).groups(2).padding(same).dilation([3, 2]));
        check("same3.0", &Conv3d::new(4, 6, [2, 3, 4], device).groups(2).padding(same));
        let error = Conv1d::new(4, 6, 3, device).padding(same).stride(2).forward(&Tensor::ones([1, 4, 8], device));
        assert!(error.check().unwrap_err().to_string().contains("needs a stride of 1"));
    }
}

#[test]
fn padding_on_one_side_is_padding_before() {
    for device in devices() {
        let (x, w) = (Tensor::randn([2, 4, 7, 6], device).requires_grad(), Tensor::randn([6, 4, 3, 3], device));
        for (before, after) in [([2, 0], [0, 1]), ([1, 1], [3, 1]), ([0, 4], [0, 0])] {
            let options = Conv::default().stride([2, 1]).padding(Padding::sides(before, after));
            let padded = x.pad(&[(0, 0), (0, 0), (before[0], after[0]), (before[1], after[1])], 0.0);
            let plain = Conv::default().stride([2, 1]);
            let (y, expected) = (x.conv2d(&w, None, options), padded.conv2d(&w, None, plain));
            close(&y, &expected, "forward");
            let gradient = |y: &Tensor| wgrad::autograd::grad(&[&y.square().sum()], &[&x], false).unwrap().remove(0);
            close(&gradient(&y), &gradient(&expected), "gradient");
            let columns = x.unfold2d(3, options);
            close(&columns, &padded.unfold2d(3, plain), "columns");
            // The sum of windows is their transpose: <unfold x, c> = <x, fold c>.
            let c = Tensor::randn(columns.shape(), device);
            let (left, right) = ((&columns * &c).sum(), (&x * c.fold2d([7, 6], 3, options)).sum());
            let (left, right) = (left.item::<f32>().unwrap(), right.item::<f32>().unwrap());
            assert!((left - right).abs() < 1e-3 * (1.0 + left.abs()), "{left} {right}");
        }
        let wrong = x.conv2d(&w, None, Conv::default().padding(Padding::sides([1, 2, 3], 0)));
        assert!(wrong.check().unwrap_err().to_string().contains("padding has 3 numbers"));
    }
}

#[test]
fn sequences_of_different_lengths() {
    for device in devices() {
        let fixtures = Fixtures::read(device);
        let options = Recurrent { layers: 2, bidirectional: true, ..Recurrent::default() };
        let lengths = fixtures.get("lengths");
        let garbled = |kind: &str| {
            // What stands behind a sequence plays no part, be it NaN.
            let x = fixtures.get(&format!("{kind}.x"));
            let steps = Tensor::arange(0.0, 7.0, 1.0, device).unsqueeze(0).unsqueeze(2);
            let inside = steps.lt(lengths.to_dtype(DType::F32).reshape([4, 1, 1]));
            inside.where_(x, x.full_like(f32::NAN)).requires_grad()
        };
        let check = |kind: &str, x: &Tensor, y: &Tensor, last: &[&Tensor], layer: &dyn Parameters| {
            close(y, fixtures.get(&format!("{kind}.y")), kind);
            for (i, state) in last.iter().enumerate() {
                close(state, fixtures.get(&format!("{kind}.last{i}")), kind);
            }
            backward(&[&[y], last].concat());
            close(&x.grad().unwrap(), fixtures.get(&format!("{kind}.dx")), kind);
            let expected = fixtures.part(&format!("{kind}.grad."));
            for (name, parameter) in layer.named_parameters() {
                close(&parameter.grad().unwrap(), &expected[&name], &format!("{kind} {name}"));
            }
        };
        let state = |kind: &str, name: &str| fixtures.get(&format!("{kind}.{name}")).clone();
        let (rnn, gru, lstm) = (
            Rnn::new_with(3, 4, options, device),
            Gru::new_with(3, 4, options, device),
            Lstm::new_with(3, 4, options, device),
        );
        fixtures.load("RNN", &rnn);
        fixtures.load("GRU", &gru);
        fixtures.load("LSTM", &lstm);
        let x = garbled("RNN");
        let (y, h) = rnn.forward_lengths(&x, lengths, Some(&state("RNN", "h")));
        check("RNN", &x, &y, &[&h], &rnn);
        let x = garbled("GRU");
        let (y, h) = gru.forward_lengths(&x, lengths, Some(&state("GRU", "h")));
        check("GRU", &x, &y, &[&h], &gru);
        let x = garbled("LSTM");
        let (y, (h, c)) = lstm.forward_lengths(&x, lengths, Some(&(state("LSTM", "h"), state("LSTM", "c"))));
        check("LSTM", &x, &y, &[&h, &c], &lstm);
        // Without a state each begins at 0, and full lengths change nothing.
        let full = Tensor::full([4], 7.0, device).to_dtype(DType::U32);
        let x = fixtures.get("GRU.x");
        close(&gru.forward_lengths(x, &full, None).0, &gru.forward_seq(x, None).0, "full");
        for (bad, text) in [(Tensor::zeros([4], device), "i32 or u32"), (full.narrow(0, 0, 3), "one a sequence")] {
            let error = gru.forward_lengths(x, &bad, None).0.check().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("options.rs"), "{error}");
        }
    }
}

#[test]
fn attention_weights_on_request() {
    for device in devices() {
        let fixtures = Fixtures::read(device);
        let attention = MultiheadAttention::new(12, 3, device);
        fixtures.load("attention", &attention);
        let get = |name: &str| fixtures.get(&format!("attention.{name}")).clone();
        let (q, kv, seen) = (get("q"), get("kv"), get("seen").reshape([2, 1, 1, 6]));
        let (y, weights) = attention.attend_with_weights(&q, &kv, &kv, Some(&seen), false);
        close(&y, &get("y"), "output");
        close(&weights, &get("weights"), "weights");
        close(&y, &attention.attend(&q, &kv, &kv, Some(&seen), false), "without weights");
        backward(&[&y, &weights]);
        fixtures.grads("attention", &attention);
        let one = q.select(0, 0);
        assert_eq!(attention.attend_with_weights(&one, &one, &one, None, true).1.shape(), [3, 5, 5]);
        let error = attention.attend_with_weights(&q, &one, &one, None, false).1;
        assert!(error.check().is_err());
    }
}

#[test]
fn weights_by_length_and_direction() {
    for device in devices() {
        let fixtures = Fixtures::read(device);
        fn check(fixtures: &Fixtures, name: &str, layer: &impl Module) {
            fixtures.load(name, layer);
            let y = layer.forward(fixtures.get(&format!("{name}.x")));
            close(&y, fixtures.get(&format!("{name}.y")), name);
            backward(&[&y]);
            fixtures.grads(name, layer);
        }
        check(&fixtures, "wn_linear", &WeightNorm::new(Linear::new(5, 3, device)));
        check(&fixtures, "wn_conv", &WeightNorm::new(Conv2d::new(4, 6, 3, device)));
        check(&fixtures, "wn_embedding", &WeightNorm::new(Embedding::new(6, 3, device)));
        assert!(WeightNorm::new_with(Linear::new(5, 3, device), 2).weight().check().is_err());
    }
}

#[test]
fn weights_over_their_largest_singular_value() {
    for device in devices() {
        let fixtures = Fixtures::read(device);
        fn check<L: nn::Weighted + Module>(fixtures: &Fixtures, name: &str, layer: &SpectralNorm<L>) {
            fixtures.load(name, layer);
            let get = |part: &str| fixtures.get(&format!("{name}.{part}")).clone();
            let mut y = get("y");
            for _ in 0..3 {
                layer.zero_grad();
                y = layer.forward(&get("x"));
                backward(&[&y]);
            }
            close(&y, &get("y"), name);
            fixtures.grads(name, layer);
            close(&layer.u, &get("u"), "u");
            close(&layer.v, &get("v"), "v");
            layer.eval();
            close(&layer.forward(&get("x")), &get("evaluated"), "in evaluation");
            close(&layer.u, &get("u"), "u stays in evaluation");
        }
        check(&fixtures, "sn_linear", &SpectralNorm::new(Linear::new(5, 3, device)).iterations(2));
        check(&fixtures, "sn_transposed", &SpectralNorm::new(ConvTranspose2d::new(4, 6, 3, device)).iterations(2));
        // A captured step moves u and v as a dynamic one does.
        device.seed(3);
        let layer = SpectralNorm::new(Linear::new(5, 3, device));
        let x = fixtures.get("sn_linear.x").clone();
        let second = SpectralNorm::new(Linear::new(5, 3, device));
        second.load_state_dict(&layer.state_dict()).unwrap();
        let step = wgrad::capture(device, |x: &[Tensor]| vec![layer.forward(&x[0])]).unwrap();
        for _ in 0..3 {
            close(&step.run(std::slice::from_ref(&x)).unwrap()[0], &second.forward(&x), "captured");
        }
        close(&layer.u, &second.u, "u after captured steps");
    }
}

#[test]
fn files_in_other_floats_are_converted() {
    for device in devices() {
        let cpu = Device::cpu();
        let numbers = [0.5f32, -1.25, 3.0, 0.0, 2.0, -0.75];
        let layer = Linear::new(3, 2, device);
        let bias = Tensor::from_slice(&[1f64, 2.0], [2], &cpu);
        let halves: Vec<f16> = numbers.iter().map(|&v| f16::from_f32(v)).collect();
        let state: StateDict =
            [("weight".into(), Tensor::from_slice(&halves, [2, 3], &cpu)), ("bias".into(), bias.clone())].into();
        layer.load_state_dict(&state).unwrap();
        assert_eq!((layer.weight.dtype(), layer.weight.to_vec::<f32>().unwrap()), (DType::F32, numbers.to_vec()));
        assert_eq!(layer.bias.as_ref().unwrap().to_vec::<f32>().unwrap(), [1.0, 2.0]);
        // A count is no float.
        let norm = nn::BatchNorm1d::new(2, device);
        let mut state = norm.state_dict();
        state.insert("num_batches_tracked".into(), Tensor::zeros((), device));
        assert!(norm.load_state_dict(&state).unwrap_err().to_string().contains("of another shape or type"));
        // From a GPU without f64 into a model that has it.
        let wide = Linear::new(3, 2, &cpu);
        let wide = Linear { weight: wide.weight.to_dtype(DType::F64).requires_grad(), bias: None };
        wide.load_state_dict(&[("weight".into(), layer.weight.detach())].into()).unwrap();
        assert_eq!(wide.weight.to_vec::<f64>().unwrap()[1], -1.25);
    }
}

#[test]
fn layers_are_made_alike() {
    let [gpu, cpu] = devices();
    assert!(gpu == &gpu.clone() && gpu != cpu && Device::cpu() != *cpu);
    assert_eq!(LeakyRelu::new(0.2).slope, 0.2);
    let layer = ConvTranspose2d::new(4, 6, [3, 2], cpu).stride(2).without_bias().groups(2);
    assert_eq!((layer.weight.shape(), layer.bias.is_none()), (&[4, 3, 3, 2][..], true));
    let layer = layer.groups(1);
    assert_eq!((layer.weight.shape(), layer.options.stride), (&[4, 6, 3, 2][..], 2.into()));
    // The fan of a grouped weight.
    let bound = 1.0 / (2.0f32 * 9.0).sqrt();
    let largest = Conv2d::new(8, 400, 3, cpu).groups(4).weight.abs().max().item::<f32>().unwrap();
    assert!(largest <= bound && largest > 0.95 * bound, "{largest} {bound}");
    let broken = Conv2d::new(4, 6, 3, cpu).groups(3);
    assert!(broken.weight.check().unwrap_err().to_string().contains("3 groups"));
    assert!(broken.groups(2).weight.check().is_err(), "the first error stays");
}

#[test]
fn a_summary_names_layers_shapes_and_memory() {
    let device = &Device::cpu();
    struct Tied {
        body: Sequential,
        heads: Vec<Linear>,
        norm: nn::LayerNorm,
    }
    wgrad::module!(Tied { body, heads, norm });
    impl Module for Tied {
        fn forward(&self, x: &Tensor) -> Tensor {
            self.norm.forward(&(self.heads[0].forward(&self.body.forward(x)) + self.heads[1].forward(x)))
        }
    }
    let head = Linear::new(4, 4, device);
    let body = Sequential::new().add(nn::BatchNorm1d::new(4, device)).add(nn::Dropout::new(0.5)).add(nn::Relu);
    let model = Tied { body, heads: vec![head.clone(), head], norm: nn::LayerNorm::new([4], device) };
    model.norm.requires_grad_(false);
    let (before, random) = (model.state_dict()["body.0.num_batches_tracked"].to_vec::<i32>(), device.rng_state());
    let summary = nn::summary(&model, &Tensor::ones([5, 4], device)).unwrap();
    let names: Vec<(&str, &str)> = summary.rows.iter().map(|row| (row.name.as_str(), row.kind.as_str())).collect();
    let expected = [
        ("", "Tied"),
        ("body", "Sequential"),
        ("body.0", "BatchNorm1d"),
        ("body.1", "Dropout"),
        ("body.2", "Relu"),
        ("heads.0", "Linear"),
        ("heads.1", "Linear"),
        ("norm", "LayerNorm"),
    ];
    assert_eq!(names, expected);
    assert!(
        summary
            .rows
            .iter()
            .filter(|row| row.kind != "Sequential")
            .all(|row| row.output.as_deref() == Some(&[5, 4][..]))
    );
    // The two heads share their parameters, and the norm is frozen.
    assert_eq!((summary.parameters, summary.trained), (8 + 20 + 8, 8 + 20));
    assert_eq!(summary.parameter_bytes, 4 * (8 + 4 + 4 + 1 + 20 + 8));
    // Looking changes nothing.
    assert_eq!(model.state_dict()["body.0.num_batches_tracked"].to_vec::<i32>().unwrap(), before.unwrap());
    assert_eq!(device.rng_state(), random);
    assert!(nn::summary(&model, &Tensor::ones([5, 3], device)).is_err());
    let text = format!("{:?}", &model as &dyn Parameters);
    assert!(
        text.contains("heads.0: Linear { weight: f32 [4, 4], bias: f32 [4] }") && text.contains("1: Dropout"),
        "{text}"
    );
    init::ones(&model.heads[0].weight).unwrap();
}

#[test]
fn gradients_inside_a_function_of_ones_own() {
    use wgrad::autograd::{Function, Saved, grad};
    /// Computes its gradient by gradients: that of `x³`.
    struct Cube;
    impl Function for Cube {
        fn forward(&self, saved: &mut Saved, inputs: &[Tensor]) -> Tensor {
            saved.save(&inputs[0]);
            inputs[0].powf(3.0)
        }
        fn backward(&self, saved: &Saved, dy: &Tensor) -> Vec<Option<Tensor>> {
            let gradient = wgrad::enable_grad(|| {
                let x = saved.tensors()[0].detach().requires_grad();
                grad(&[&(x.square() * &x).sum()], &[&x], false).unwrap().remove(0)
            });
            vec![Some(dy * gradient)]
        }
    }
    for device in devices() {
        let x = Tensor::from_slice(&[2f32, -1.0], [2], device).requires_grad();
        Cube.apply(&[&x]).sum().backward().unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [12.0, 3.0]);
        wgrad::no_grad(|| {
            assert!(x.sum().backward().is_err());
            assert!(wgrad::enable_grad(|| x.sum().backward()).is_ok());
            assert!(x.sum().backward().is_err(), "as before");
        });
    }
}
