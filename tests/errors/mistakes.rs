//! `docs/errors.md`: mistakes of beginners and the message that each gets, on a GPU adapter and on the CPU reference alike.
//! `WGRAD_BLESS=1 cargo test --test errors` writes the document anew; without it the test compares.

use std::path::{Path, PathBuf};

use wgrad::autograd::{self, ElementwiseOp};
use wgrad::data::{DataLoader, Dataset, Digits};
use wgrad::nn::{
    BatchNorm2d, Conv2d, Embedding, Lambda, Linear, Lstm, Module, MultiheadAttention, Parameters, Relu, Sequential,
    loss,
};
use wgrad::optim::{Adam, Sgd};
use wgrad::train::{Supervised, Trainer};
use wgrad::{Conv, Device, Result, Tensor, capture, io};

use crate::{both, logged};

/// What one mistake gives: an error, or a warning.
struct Mistake {
    what: &'static str,
    code: &'static str,
    run: fn(&Device) -> Result<()>,
}

macro_rules! mistakes {
    ($($what:literal, |$device:ident| $code:block)*) => {
        [$(Mistake {
            what: $what,
            code: stringify!($code),
            run: |$device: &Device| -> Result<()> {
                $code?;
                Ok(())
            },
        }),*]
    };
}

const BAD_SHADER: &str = "
    fn hump_fwd(x: f32) -> f32 { return exp(-x * x); }
    fn hump_bwd(x: f32, y: f32, dy: f32) -> f32 {
        return -2.0 * x * y * dz;
    }";

fn mistakes() -> Vec<Mistake> {
    Vec::from(mistakes! {
        "Shapes that do not broadcast", |device| {
            (Tensor::ones([2, 3], device) + Tensor::ones([4], device)).to_vec::<f32>()
        }
        "A product of matrices that do not fit", |device| {
            Tensor::ones([2, 3], device).matmul(&Tensor::ones([4, 5], device)).to_vec::<f32>()
        }
        "A product of integers", |device| {
            let x = Tensor::from_slice(&[1i32, 2, 3, 4], [2, 2], device);
            x.matmul(&x).to_vec::<i32>()
        }
        "An input of another width than the layer takes", |device| {
            let model = Sequential::new()
                .add_named("hidden", Linear::new(32, 16, device))
                .add(Relu)
                .add_named("out", Linear::new(16, 10, device));
            model.forward(&Tensor::ones([8, 64], device)).to_vec::<f32>()
        }
        "Layers that do not fit each other", |device| {
            let model = Sequential::new().add(Linear::new(32, 16, device)).add(Relu).add(Linear::new(32, 10, device));
            model.forward(&Tensor::ones([8, 32], device)).to_vec::<f32>()
        }
        "No Flatten between convolution and linear layer", |device| {
            let model = Sequential::new().add(Conv2d::new(1, 8, 3, device)).add(Linear::new(288, 10, device));
            model.forward(&Tensor::ones([4, 1, 8, 8], device)).to_vec::<f32>()
        }
        "Images without a dim for channels", |device| {
            Conv2d::new(1, 8, 3, device).forward(&Tensor::ones([28, 28], device)).to_vec::<f32>()
        }
        "Images with the channels last", |device| {
            Conv2d::new(3, 8, 3, device).forward(&Tensor::ones([1, 32, 32, 3], device)).to_vec::<f32>()
        }
        "Groups that do not divide the channels", |device| {
            let layer = Conv2d::new_with(3, 8, 3, Conv::default().groups(2), device);
            layer.forward(&Tensor::ones([1, 3, 8, 8], device)).to_vec::<f32>()
        }
        "Batch norm of images on vectors", |device| {
            BatchNorm2d::new(16, device).forward(&Tensor::ones([8, 16], device)).to_vec::<f32>()
        }
        "A sequence without its batch dim", |device| {
            Lstm::new(4, 8, device).forward_seq(&Tensor::ones([10, 4], device), None).0.to_vec::<f32>()
        }
        "More heads than divide the size", |device| {
            MultiheadAttention::new(10, 4, device).forward(&Tensor::ones([1, 5, 10], device)).to_vec::<f32>()
        }
        "A token that the vocabulary does not have", |device| {
            let tokens = Tensor::from_slice(&[3i32, 100], [1, 2], device);
            Embedding::new(100, 8, device).forward(&tokens).to_vec::<f32>()
        }
        "Tokens as floats", |device| {
            Embedding::new(100, 8, device).forward(&Tensor::zeros([1, 2], device)).to_vec::<f32>()
        }
        "A probability above 1", |device| {
            Tensor::ones([4], device).dropout(1.5, true).to_vec::<f32>()
        }
        "A reshape to another number of elements", |device| {
            Tensor::ones([2, 3], device).reshape([4, 2]).to_vec::<f32>()
        }
        "A dim that is not there", |device| {
            Tensor::ones([2, 3], device).softmax(2).to_vec::<f32>()
        }
        "A slice past the end", |device| {
            Tensor::ones([5], device).slice(0, 3..8).to_vec::<f32>()
        }
        "Parts of different shapes joined", |device| {
            Tensor::cat(&[&Tensor::ones([2, 3], device), &Tensor::ones([2, 4], device)], 0).to_vec::<f32>()
        }
        "An equation with a letter of two sizes", |device| {
            let (a, b) = (Tensor::ones([2, 3], device), Tensor::ones([4, 5], device));
            Tensor::einsum("ij,jk->ik", &[&a, &b]).to_vec::<f32>()
        }
        "Another number of values than the shape holds", |device| {
            Tensor::from_slice(&[1f32, 2.0, 3.0], [2, 2], device).to_vec::<f32>()
        }
        "Reading as another type", |device| {
            Tensor::from_slice(&[1i32, 2], [2], device).to_vec::<f32>()
        }
        "One number of many", |device| {
            Tensor::ones([8], device).item::<f32>()
        }
        "Class targets as floats", |device| {
            let (logits, targets) = (Tensor::zeros([4, 10], device), Tensor::zeros([4], device));
            loss::cross_entropy(&logits, &targets).item::<f32>()
        }
        "One-hot targets of another number of classes", |device| {
            let targets = Tensor::from_slice(&[0i32, 1], [2], device).one_hot(4);
            loss::cross_entropy(&Tensor::zeros([2, 3], device), &targets).item::<f32>()
        }
        "Classes counted from 1", |device| {
            let targets = Tensor::from_slice(&[1i32, 2, 3], [3], device);
            loss::cross_entropy(&Tensor::zeros([3, 3], device), &targets).item::<f32>()
        }
        "The same with log-probabilities", |device| {
            let targets = Tensor::from_slice(&[1i32, 2, 3], [3], device);
            loss::nll(&Tensor::zeros([3, 3], device).log_softmax(1), &targets).item::<f32>()
        }
        "Predictions and targets of other sizes", |device| {
            loss::mse(&Tensor::ones([8, 2], device), &Tensor::ones([8, 3], device)).item::<f32>()
        }
        "Backward from more than a number", |device| {
            Tensor::ones([3], device).requires_grad().square().backward()
        }
        "Backward without a parameter", |device| {
            Tensor::ones([3], device).square().sum().backward()
        }
        "Backward twice", |device| {
            let loss = Tensor::ones([3], device).requires_grad().square().sum();
            loss.backward()?;
            loss.backward()
        }
        "An optimizer without parameters", |device| {
            let mut optimizer = Adam::new(vec![], 1e-3);
            Tensor::ones([3], device).requires_grad().sum().backward()?;
            optimizer.step()
        }
        "An optimizer of what gets no gradients", |device| {
            Sgd::new(vec![Tensor::ones([3], device)], 0.1).step()
        }
        "A negative learning rate", |device| {
            Sgd::new(Linear::new(2, 1, device).parameters(), -0.1).step()
        }
        "A decay rate of 1", |device| {
            Adam::new(Linear::new(2, 1, device).parameters(), 1e-3).betas((0.9, 1.0)).step()
        }
        "A batch size of 0", |device| {
            DataLoader::new(Digits::train(), 0, device).next_batch()
        }
        "Fewer samples than a batch", |device| {
            DataLoader::new(Digits::test(), 512, device).drop_last(true).next_batch()
        }
        "A sample that is not there", |device| {
            Digits::train().batch(&[99999], device)
        }
        "A value read inside a captured step", |device| {
            let step = capture(device, |x: &[Tensor]| {
                let loss = x[0].sum();
                println!("{}", loss.item::<f32>()?);
                Ok(vec![loss])
            })?;
            step.run(&[Tensor::ones([3], device)])
        }
        "Tensors of two devices", |device| {
            (Tensor::ones([3], device) + Tensor::ones([3], &other_than(device))).to_vec::<f32>()
        }
        "Weights of another model", |device| {
            let saved = Sequential::new().add_named("fc", Linear::new(4, 3, device)).state_dict();
            Sequential::new().add_named("fc1", Linear::new(4, 2, device)).load_state_dict(&saved)
        }
        "A .pth file of PyTorch", |device| {
            io::load_safetensors(pickle("model.pth"), device)
        }
        "A file that is not there", |device| {
            io::load_safetensors("model.safetensors", device)
        }
        "Checkpoints without a folder", |device| {
            let model = Linear::new(64, 10, device);
            let optimizer = Sgd::new(model.parameters(), 0.1);
            let mut task = Supervised::new(model, optimizer, DataLoader::new(Digits::test(), 32, device), device, |m, b| {
                vec![("loss".into(), loss::cross_entropy(&m.forward(&b[0]), &b[1]))]
            });
            Trainer::new(10, device).quiet().checkpoint_every(5).run(&mut task)
        }
        "A loss that is not finite", |device| {
            let model = Sequential::new().add(Relu).add_named("log", Lambda::new(|x: &Tensor| x.log()));
            autograd::detect_anomaly(device, || model.forward(&Tensor::zeros([1, 2], device)).sum().item::<f32>())
        }
        "A name that a shader does not have", |device| {
            ElementwiseOp::new("hump", BAD_SHADER)?.apply(&[&Tensor::ones([3], device)]).to_vec::<f32>()
        }
        "A check of gradients with a captured tensor of the GPU", |device| {
            let w = Tensor::ones([2], if device.is_cpu() { crate::gpu() } else { device });
            autograd::gradcheck(|x| &x[0] * &w, &[&Tensor::ones([2], device)], 1e-6)
        }
    })
}

/// Mistakes that are no errors, but hardly ever meant.
fn warnings() -> Vec<Mistake> {
    Vec::from(mistakes! {
        "Predictions and targets that are paired by broadcasting", |device| {
            loss::mse(&Tensor::ones([8, 1], device), &Tensor::ones([8], device)).item::<f32>()
        }
    })
}

impl Mistake {
    /// Its lines in this file: inside a macro, `line!()` is that of the macro's call.
    fn lines(&self) -> std::ops::Range<usize> {
        let text = include_str!("mistakes.rs");
        let line = text.lines().position(|line| line.contains(&format!("{:?}, |device|", self.what))).unwrap();
        let end = text.lines().skip(line).position(|line| line == "        }").unwrap();
        line + 1..line + end + 2
    }
}

fn other_than(device: &Device) -> Device {
    if device.is_cpu() { crate::gpu().clone() } else { Device::cpu() }
}

/// A file that begins as those of `torch.save`.
fn pickle(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wgrad-{}-{name}", std::process::id()));
    let entry =
        b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0e\0\0\0model/data.pkl\x80\x02ccollections\n";
    std::fs::write(&path, entry).unwrap();
    path
}

/// The message with the lines of this file as lines of the user's program, and without the names of this machine.
fn readable(text: &str, mistake: &Mistake) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find(file!()) {
        let rest = &text[start + file!().len()..];
        let end = start + file!().len() + rest.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(rest.len());
        let line: usize = rest[1..].split(':').next().and_then(|line| line.parse().ok()).unwrap();
        assert!(mistake.lines().contains(&line), "{}: line {line} is not among its own: {text}", mistake.what);
        text.replace_range(start..end, "main.rs:…");
    }
    let folder = std::env::temp_dir();
    let process = std::process::id();
    let text = text.replace(&format!("{}/wgrad-{process}-", folder.display()), "");
    let text = text.replace(&crate::gpu().info().name, "GPU").replace(&Device::cpu().info().name, "CPU reference");
    text.replace("GPU and CPU reference", "CPU reference and GPU").replace("GPU, CPU reference", "CPU reference, GPU")
}

fn message(mistake: &Mistake, device: &Device) -> String {
    let mut outcome = Ok(());
    let said = logged(|| outcome = (mistake.run)(device));
    let text = match &outcome {
        Err(error) => {
            assert_eq!(format!("{error:?}"), error.to_string(), "Debug is Display");
            error.to_string()
        }
        Ok(()) => said.iter().find(|line| line.contains("differ and broadcast")).cloned().unwrap_or_default(),
    };
    assert!(!text.is_empty(), "{}: nothing is said", mistake.what);
    assert!(!text.contains("src/"), "{}: a line of the library: {text}", mistake.what);
    readable(&text, mistake)
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', "<br>").replace("  ", "&nbsp;&nbsp;")
}

/// Code in a cell: one line.
fn code(text: &str) -> String {
    let text = text.trim().trim_start_matches('{').trim_end_matches('}');
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("`{}`", line.replace('|', "\\|"))
}

const HEAD: &str = "# Mistakes and their messages

What beginners get wrong, and what they are told. Made from the tests that hold the messages, on a GPU adapter and on the CPU reference; a test
compares. Write it anew with `WGRAD_BLESS=1 cargo test --test errors`.

An op on bad input gives a tensor that carries the error; it comes out as `Err` at the first read, `backward` or `step`. A message names the op (inside a
loss the loss too), what does not fit, the line of the program (`main.rs:…` here), and the layer with its path. `Debug` of an error prints the
same, so a `main` that returns `wgrad::Result<()>` shows it as it stands here. `WGRAD_PANIC=1` makes the first error a panic, for a backtrace.

| mistake | code | message |
|---|---|---|
";

#[test]
fn the_document_shows_what_each_mistake_gets() {
    let mut text = HEAD.to_owned();
    let (errors, warnings) = (mistakes(), warnings());
    assert!(errors.len() + warnings.len() >= 40);
    for list in [&errors, &warnings] {
        for mistake in list {
            let [on_gpu, on_cpu] = both().map(|device| match list.len() {
                // A warning comes once for a line.
                1 if device.is_cpu() => String::new(),
                _ => message(mistake, &device),
            });
            if !on_cpu.is_empty() {
                assert_eq!(on_gpu, on_cpu, "{}: the GPU and the CPU say different things", mistake.what);
            }
            let warning = if list.len() == 1 { " (a warning in the log)" } else { "" };
            text += &format!("| {}{warning} | {} | {} |\n", mistake.what, code(mistake.code), cell(&on_gpu));
        }
    }
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("docs/errors.md");
    if std::env::var_os("WGRAD_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    for (written, now) in stored.lines().zip(text.lines()) {
        assert_eq!(written, now, "docs/errors.md: write it anew with WGRAD_BLESS=1");
    }
    assert_eq!(stored.lines().count(), text.lines().count(), "docs/errors.md: write it anew with WGRAD_BLESS=1");
}
