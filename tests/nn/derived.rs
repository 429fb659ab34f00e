//! Modules by `#[derive(Module)]`; copies and moves of modules.

use std::sync::Arc;

use wgrad::nn::{
    BatchNorm1d, Dropout, Gru, Linear, Members, Mode, Module, MultiheadAttention, Parameters, Relu, Sequential,
    SpectralNorm, TransformerEncoderLayer, WeightNorm, init,
};
use wgrad::optim::Sgd;
use wgrad::{Device, Error, Tensor};

use crate::devices;

/// All kinds of fields.
#[derive(Clone, Module)]
struct Net {
    r#in: Linear,
    #[module(name = "transformer.wte")]
    table: Tensor,
    offset: Tensor,
    maybe: Option<Linear>,
    none: Option<Tensor>,
    list: Vec<Sequential>,
    pair: [Dropout; 2],
    boxed: Box<Scaled>,
    mode: Mode,
    #[module(skip)]
    slope: f64,
}

/// A tuple.
#[derive(Clone, Module)]
struct Scaled(Tensor, #[module(skip)] &'static str);

/// A parameter of its own, with a bound.
#[derive(Clone, Module)]
struct Twice<L: Clone>
where
    L: Module,
{
    first: L,
    second: L,
}

impl<L: Module + Clone> Module for Twice<L> {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.second.forward(&self.first.forward(x))
    }
}

#[derive(Clone, Module)]
struct Nothing;

#[derive(Clone, Module)]
struct Skipped {
    #[module(skip)]
    _layer: Option<Linear>,
}

fn net(device: &Device) -> Net {
    let inner = Sequential::new().add(Linear::new(2, 2, device)).add(BatchNorm1d::new(2, device)).add(Relu);
    Net {
        r#in: Linear::new(2, 2, device),
        table: Tensor::ones([3], device).requires_grad(),
        offset: Tensor::zeros([2], device),
        maybe: Some(Linear::new(1, 1, device).without_bias()),
        none: None,
        list: vec![inner],
        pair: [Dropout::new(0.5), Dropout::new(0.1)],
        boxed: Box::new(Scaled(Tensor::ones([1], device).requires_grad(), "x")),
        mode: Mode::new(),
        slope: 0.1,
    }
}

#[test]
fn every_field_is_a_part() {
    let device = &Device::cpu();
    let net = net(device);
    let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "in.weight",
        "in.bias",
        "transformer.wte",
        "maybe.weight",
        "list.0.0.weight",
        "list.0.0.bias",
        "list.0.1.weight",
        "list.0.1.bias",
        "boxed.0",
    ];
    assert_eq!(names, expected);
    let buffers: Vec<String> = net.named_buffers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(buffers[0], "offset");
    net.eval();
    assert!(!net.mode.training() && net.pair.iter().all(|dropout| !dropout.mode.training()));
    assert_eq!((net.slope, net.boxed.1, net.kind().as_str()), (0.1, "x", "Net"));
    assert!(
        Nothing.state_dict().is_empty() && Skipped { _layer: Some(Linear::new(1, 1, device)) }.state_dict().is_empty()
    );
    let twice = Twice { first: Linear::new(2, 3, device), second: Linear::new(3, 1, device) };
    assert_eq!(twice.named_parameters()[2].0, "second.weight");
    assert_eq!(twice.forward(&Tensor::ones([4, 2], device)).shape(), [4, 1]);
}

fn values(module: &impl Parameters) -> Vec<(String, Vec<f32>)> {
    let all = module.state_dict().into_iter().filter(|(_, tensor)| tensor.dtype().is_float());
    all.map(|(name, tensor)| (name, tensor.to_vec::<f32>().unwrap())).collect()
}

#[test]
fn a_deep_copy_shares_nothing() {
    for device in devices() {
        let (mut shared, own) = (net(device), net(device));
        // Tied parameters, and a frozen one.
        shared.list[0] = Sequential::new().add(shared.r#in.clone()).add(BatchNorm1d::new(2, device));
        own.table.requires_grad_(false).unwrap();
        own.eval();
        for net in [&shared, &own] {
            let copy = net.deep_copy().unwrap();
            assert_eq!(values(&copy), values(net));
            let pairs = copy.named_parameters().into_iter().zip(net.named_parameters());
            for ((name, a), (_, b)) in pairs {
                assert!(!a.is_same(&b) && a.is_frozen() == b.is_frozen() && a.is_leaf_with_grad(), "{name}");
            }
            assert_eq!(copy.parameters().len(), net.parameters().len(), "what is tied stays tied");
            assert_eq!(copy.mode.training(), net.mode.training());
            copy.train(!net.mode.training());
            assert_ne!(copy.mode.training(), net.mode.training());
            assert_ne!(copy.pair[1].mode.training(), net.pair[1].mode.training());
            // Training one leaves the other.
            let before = values(net);
            let x = Tensor::ones([4, 2], device);
            copy.train(true);
            let mut optimizer = Sgd::new(copy.parameters(), 0.5);
            copy.list[0].forward(&copy.r#in.forward(&x)).square().sum().backward().unwrap();
            optimizer.step().unwrap();
            assert_eq!(values(net), before);
            assert_ne!(values(&copy), before);
            assert!(net.parameters().iter().all(|p| p.grad().is_none()));
        }
        // A clone shares.
        let clone = shared.list[0].clone();
        init::ones(&clone.parameters()[0]).unwrap();
        assert_eq!(shared.r#in.weight.to_vec::<f32>().unwrap(), [1.0; 4]);
    }
}

#[test]
fn modules_move_between_devices() {
    let [gpu, cpu] = devices();
    gpu.seed(1);
    let mut models = Twice {
        first: Sequential::new()
            .add(SpectralNorm::new(Linear::new(4, 8, gpu)))
            .add(WeightNorm::new(Linear::new(8, 8, gpu)))
            .add(TransformerEncoderLayer::new(8, 2, 16, gpu))
            .add(MultiheadAttention::new(8, 2, gpu).add_bias_kv()),
        second: Sequential::new().add(BatchNorm1d::new(5, gpu)).add(nothing()),
    };
    models.eval();
    let mut recurrent = Gru::new(4, 3, gpu);
    let x = Tensor::randn([2, 5, 4], gpu);
    let before =
        (models.forward(&x).to_vec::<f32>().unwrap(), recurrent.forward_seq(&x, None).0.to_vec::<f32>().unwrap());
    let names: Vec<String> = models.state_dict().into_keys().collect();
    models.to_device(cpu).unwrap();
    recurrent.to_device(cpu).unwrap();
    assert!(models.state_dict().values().chain(recurrent.state_dict().values()).all(|tensor| tensor.device() == cpu));
    assert_eq!(models.state_dict().into_keys().collect::<Vec<_>>(), names);
    let x = x.to_device(cpu);
    let after =
        (models.forward(&x).to_vec::<f32>().unwrap(), recurrent.forward_seq(&x, None).0.to_vec::<f32>().unwrap());
    for (a, b) in before.0.iter().zip(&after.0).chain(before.1.iter().zip(&after.1)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    // Gradients go where the parameters are, and staying is no change.
    models.forward(&x).sum().backward().unwrap();
    assert!(models.parameters().iter().all(|p| p.grad().is_some_and(|g| g.device() == cpu)));
    let first = models.parameters()[0].clone();
    models.to_device(cpu).unwrap();
    assert!(models.parameters()[0].is_same(&first));
    assert!(models.state_dict().values().all(|tensor| tensor.check().is_ok()));
}

fn nothing() -> Sequential {
    Sequential::new()
}

#[test]
fn what_cannot_be_replaced_is_an_error_and_changes_nothing() {
    let [gpu, cpu] = devices();
    #[derive(Clone)]
    struct ByHand(Tensor);
    impl Parameters for ByHand {
        fn members(&self, members: &mut Members) {
            members.add("w", &self.0);
        }
    }
    #[derive(Clone, Module)]
    struct Both {
        first: Linear,
        second: ByHand,
    }
    let mut both = Both { first: Linear::new(2, 2, gpu), second: ByHand(Tensor::ones([1], gpu)) };
    let before = both.first.weight.clone();
    let error = both.to_device(cpu).unwrap_err();
    assert!(
        matches!(error, Error::Unsupported { .. }) && error.to_string().contains("ByHand has no members_mut"),
        "{error}"
    );
    assert!(error.to_string().contains("derived.rs") && both.first.weight.is_same(&before), "{error}");
    assert!(both.deep_copy().is_err());
    #[derive(Clone, Module)]
    struct Shared {
        layer: Arc<Linear>,
    }
    let mut alone = Shared { layer: Arc::new(Linear::new(2, 2, gpu)) };
    alone.to_device(cpu).unwrap();
    assert!(alone.layer.weight.device() == cpu);
    let other = alone.clone();
    assert!(alone.to_device(gpu).unwrap_err().to_string().contains("Linear is shared by an Arc"));
    assert!(other.layer.weight.device() == cpu);
    let failed = Linear { weight: &Tensor::ones([2], cpu) + &Tensor::ones([3], cpu), bias: None };
    assert!(failed.deep_copy().unwrap_err().to_string().contains("add"));
}
