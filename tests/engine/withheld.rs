//! What an index check spoils is never assigned: parameters, optimizer state, running statistics, averages and sums are, bit for bit, what
//! they are in a run that never saw the bad batch.

use wgrad::nn::loss;
use wgrad::nn::{BatchNorm1d, Linear, Module, Parameters};
use wgrad::optim::{Adam, AdamW, Ema, Optimizer, RAdam, Sgd};
use wgrad::{Device, Error, Result, Tensor, capture, no_grad};

use crate::new_gpu;

const ROWS: usize = 4;
const CLASSES: usize = 3;

/// A loss of `h`, `[4, 3]`, a table, `[4, 3]`, and indices, `[4]`, by an op that checks these.
type Loss = fn(&Tensor, &Tensor, &Tensor) -> Tensor;

/// Every op that checks indices, and where its gradient does.
const LOSSES: [(&str, Loss); 13] = [
    ("cross_entropy", |h, _, i| loss::cross_entropy(h, i)),
    ("nll", |h, _, i| loss::nll(&h.log_softmax(1), i)),
    ("multi_margin", |h, _, i| loss::multi_margin(h, i, 1.0)),
    ("gather", |h, _, i| h.gather(1, &column(i)).square().mean()),
    ("take_along_dim", |h, _, i| h.take_along_dim(&column(i), 1).square().mean()),
    ("index_select", |h, _, i| h.index_select(1, i).square().mean()),
    ("embedding", |h, table, i| (Tensor::embedding(table, i) * h).square().mean()),
    ("scatter", |h, table, i| h.scatter(1, &column(i), &table.narrow(1, 0, 1)).square().mean()),
    ("scatter_add", |h, table, i| h.scatter_add(1, &column(i), &table.narrow(1, 0, 1)).square().mean()),
    ("index_add", |h, table, i| h.index_add(0, i, table).square().mean()),
    ("index_copy", |h, table, i| h.index_copy(0, i, table).square().mean()),
    ("index_fill", |h, _, i| h.index_fill(0, i, 0.5).square().mean()),
    ("one_hot", |h, _, i| (i.one_hot(CLASSES).to_dtype(h.dtype()) * h).sum()),
];

fn column(index: &Tensor) -> Tensor {
    index.reshape([ROWS, 1])
}

/// How a training loop reads its loss.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reads {
    AfterStep,
    /// And the step is taken in any case.
    BeforeStep,
    /// And a bad batch is left out.
    AndSkips,
    /// The loss is not even held.
    Never,
    /// The step is captured.
    Captured,
}

const READS: [Reads; 5] = [Reads::AfterStep, Reads::BeforeStep, Reads::AndSkips, Reads::Never, Reads::Captured];

struct Training {
    linear: Linear,
    norm: BatchNorm1d,
    table: Tensor,
    total: Tensor,
    own_average: Tensor,
    optimizer: Box<dyn Optimizer + Send>,
    ema: Ema,
    loss: Loss,
}

type Make = fn(Vec<Tensor>) -> Box<dyn Optimizer + Send>;

impl Training {
    fn new(device: &Device, loss: Loss, make: Make) -> Training {
        device.seed(5);
        let (linear, norm) = (Linear::new(5, CLASSES, device), BatchNorm1d::new(CLASSES, device));
        let table = Tensor::randn([ROWS, CLASSES], device).requires_grad();
        let mut parameters = linear.parameters();
        parameters.extend(norm.parameters());
        parameters.push(table.clone());
        let ema = Ema::new(parameters.clone(), 0.75);
        let zeros = || Tensor::zeros((), device);
        let own_average = Tensor::zeros([CLASSES, 5], device);
        let optimizer = make(parameters);
        Training { linear, norm, table, total: zeros(), own_average, optimizer, ema, loss }
    }

    fn backward(&self, x: &Tensor, index: &Tensor) -> Result<Tensor> {
        self.optimizer.zero_grad();
        let loss = (self.loss)(&self.norm.forward(&self.linear.forward(x)), &self.table, index);
        loss.backward()?;
        self.total.assign(&(&self.total + loss.detach()));
        Ok(loss)
    }

    fn update(&mut self) -> Result<()> {
        self.optimizer.step()?;
        self.ema.update()?;
        let weight = &self.linear.parameters()[0];
        no_grad(|| self.own_average.assign(&(&self.own_average * 0.5 + weight * 0.5)));
        Ok(())
    }

    /// All that lasts, as bits.
    fn bits(&self) -> Vec<(String, Vec<u32>)> {
        let mut named: Vec<(String, Tensor)> = Vec::new();
        named.push(("weight".into(), self.linear.parameters()[0].clone()));
        named.push(("bias".into(), self.linear.parameters()[1].clone()));
        named.push(("table".into(), self.table.clone()));
        named.extend(self.norm.state_dict());
        named.push(("total".into(), self.total.clone()));
        named.push(("own average".into(), self.own_average.clone()));
        named.extend(self.optimizer.state_dict());
        named.extend(self.ema.state_dict());
        let bits = |t: Tensor| t.to_dtype(wgrad::DType::F32).to_vec::<f32>().unwrap().into_iter().map(f32::to_bits);
        named.into_iter().map(|(name, tensor)| (name, bits(tensor).collect())).collect()
    }
}

const GOOD: [i32; ROWS] = [2, 0, 1, 2];
const BAD: [i32; ROWS] = [2, 0, 7, 2];

/// Trains on batches of which some are bad, and says how many losses were errors.
fn train(device: &Device, loss: Loss, make: Make, reads: Reads, batches: &[bool]) -> (Vec<(String, Vec<u32>)>, usize) {
    let mut training = Training::new(device, loss, make);
    let mut errors = 0;
    let mut count = |loss: &Tensor| {
        let outcome = loss.item::<f32>();
        let bad = matches!(&outcome, Err(Error::IndexOutOfRange { index: 7, .. }));
        assert!(bad || outcome.is_ok(), "{outcome:?}");
        errors += usize::from(bad);
        bad
    };
    let mut good = 0;
    let batch = |bad: bool, good: &mut u32| {
        // A bad batch brings other numbers too.
        let seed = if bad { 100.0 } else { f64::from(*good) };
        *good += u32::from(!bad);
        let x = (Tensor::arange(0.0, 20.0, 1.0, device) + seed).sin().reshape([ROWS, 5]);
        (x, Tensor::from_slice(if bad { &BAD } else { &GOOD }, [ROWS], device))
    };
    if reads == Reads::Captured {
        let step = {
            let training = &mut training;
            capture(device, move |inputs: &[Tensor]| {
                let loss = training.backward(&inputs[0], &inputs[1])?;
                training.update()?;
                Ok(vec![loss])
            })
            .unwrap()
        };
        for &bad in batches {
            let (x, index) = batch(bad, &mut good);
            assert_eq!(count(&step.run(&[x, index]).unwrap()[0]), bad);
        }
        assert_eq!(step.variants(), 1);
    } else {
        for &bad in batches {
            let (x, index) = batch(bad, &mut good);
            let loss = training.backward(&x, &index).unwrap();
            if matches!(reads, Reads::BeforeStep | Reads::AndSkips) && count(&loss) && reads == Reads::AndSkips {
                continue;
            }
            let loss = Some(loss).filter(|_| reads == Reads::AfterStep);
            training.update().unwrap();
            if let Some(loss) = loss {
                assert_eq!(count(&loss), bad);
            }
        }
    }
    (training.bits(), errors)
}

const ADAMW: Make = |parameters| Box::new(AdamW::new(parameters, 0.05));

#[track_caller]
fn assert_withheld(device: &Device, name: &str, loss: Loss, make: Make, reads: Reads, batches: &[bool]) {
    let good: Vec<bool> = batches.iter().copied().filter(|bad| !bad).collect();
    let (expected, none) = train(device, loss, make, reads, &good);
    assert_eq!(none, 0);
    let (got, errors) = train(device, loss, make, reads, batches);
    let wanted = if reads == Reads::Never { 0 } else { batches.len() - good.len() };
    assert_eq!(errors, wanted, "{name}, {reads:?}");
    for ((entry, got), (_, expected)) in got.iter().zip(&expected) {
        assert_eq!(got, expected, "{name}, {reads:?}, {entry} on {device:?}");
    }
}

#[test]
fn a_bad_index_at_any_op_leaves_all_that_lasts_as_it_was() {
    let gpu = new_gpu();
    for device in [gpu, Device::cpu()] {
        for (name, loss) in LOSSES {
            for reads in READS {
                assert_withheld(&device, name, loss, ADAMW, reads, &[false, true, false, false]);
            }
        }
    }
}

#[test]
fn a_first_batch_or_many_may_be_bad() {
    let (name, loss) = LOSSES[0];
    for device in [new_gpu(), Device::cpu()] {
        for reads in READS {
            assert_withheld(&device, name, loss, ADAMW, reads, &[true, false, true, true, false]);
        }
    }
}

#[test]
fn every_optimizer_waits_for_the_checks() {
    let makes: [(&str, Make); 4] = [
        ("Sgd", |p| Box::new(Sgd::new(p, 0.05).momentum(0.9).dampening(0.5))),
        ("plain Sgd", |p| Box::new(Sgd::new(p, 0.05))),
        ("Adam", |p| Box::new(Adam::new(p, 0.05).amsgrad(true))),
        ("RAdam", |p| Box::new(RAdam::new(p, 0.05))),
    ];
    for device in [new_gpu(), Device::cpu()] {
        for (name, make) in makes {
            for reads in [Reads::AfterStep, Reads::Captured] {
                assert_withheld(&device, name, LOSSES[0].1, make, reads, &[false, true, false, false]);
            }
        }
    }
}
