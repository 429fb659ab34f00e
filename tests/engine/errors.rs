//! Bad input becomes an `Err` that names the op, the operands and the user's line; nothing panics.

use wgrad::nn::loss;
use wgrad::optim::{Adam, AdamW, Sgd};
use wgrad::{DType, Device, Error, Tensor, autograd};

use crate::{gpu, new_gpu};

fn both() -> [Device; 2] {
    [gpu().clone(), Device::cpu()]
}

fn ones(shape: impl Into<wgrad::Shape>, device: &Device) -> Tensor {
    Tensor::ones(shape, device)
}

/// Holds the text against what it must contain, this file and `line` among it.
#[track_caller]
fn assert_text(error: &Error, line: u32, parts: &[&str]) {
    let text = error.to_string();
    let place = format!("{}:{line}:", file!());
    for part in parts.iter().copied().chain([place.as_str()]) {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

macro_rules! fails {
    ($tensor:expr, $($part:expr),+) => {{
        let (result, line) = ($tensor, line!());
        let error = result.to_vec::<f32>().expect_err("bad input was accepted");
        assert_text(&error, line, &[$($part),+]);
        assert_eq!(result.check().unwrap_err().to_string(), error.to_string());
        error
    }};
}

#[test]
fn shapes_that_do_not_fit() {
    for d in both() {
        fails!(ones([2, 3], &d).matmul(&ones([4, 5], &d)), "matmul", "[2, 3]", "[4, 5]");
        fails!(ones([3], &d).matmul(&ones([4], &d)), "matmul", "[3]", "[4]");
        fails!(ones([2, 4, 3], &d).matmul(&ones([3, 3, 5], &d)), "matmul", "[2, 4, 3]", "[3, 3, 5]");
        fails!(Tensor::scalar(1.0, &d).matmul(&ones([4, 5], &d)), "matmul", "[4, 5]");
        fails!(ones([2, 3], &d) + ones([4, 3], &d), "add", "[2, 3]", "[4, 3]");
        fails!(ones([2, 3], &d).maximum(ones([2], &d)), "maximum", "[2, 3]", "[2]");
        fails!(ones([2, 3], &d).reshape([4, 2]), "reshape", "[2, 3]", "[4, 2]");
        fails!(ones([2, 3], &d).reshape([4, -1]), "reshape", "[2, 3]");
        fails!(ones([2, 3], &d).expand([2, 4]), "expand", "[2, 3]", "[2, 4]");
        let (a, b) = (ones([2, 3], &d), ones([3, 2], &d));
        fails!(Tensor::cat(&[&a, &b], 0), "cat", "[2, 3]", "[3, 2]");
        fails!(Tensor::stack(&[&a, &b], 0), "stack", "[2, 3]", "[3, 2]");
        fails!(a.linear(&ones([4, 5], &d), None), "linear", "[2, 3]", "[4, 5]");
    }
}

#[test]
fn arguments_out_of_range() {
    for d in both() {
        let x = ones([2, 3], &d);
        fails!(x.sum_dims(&[2], false), "sum", "2", "[2, 3]");
        fails!(x.sum_dims(&[0, 0], false), "sum", "[2, 3]");
        fails!(x.mean_dims(&[-3], true), "mean", "-3", "[2, 3]");
        fails!(x.transpose(0, 5), "transpose", "5", "[2, 3]");
        fails!(x.permute(&[0, 0]), "permute", "[2, 3]");
        fails!(x.slice(0, 1..9), "slice", "9");
        fails!(x.narrow(1, 2, 2), "narrow", "3");
        fails!(x.select(0, 2), "select", "2");
        fails!(x.squeeze(7), "squeeze", "7");
        fails!(x.unsqueeze(9), "unsqueeze", "9");
        fails!(x.flip(&[4]), "flip", "4");
        fails!(x.pad(&[(1, 1)], 0.0), "pad", "[2, 3]");
        fails!(x.var_dims(&[6], 1.0, false), "var", "6");
        fails!(x.roll(&[1], &[8]), "roll", "8");
        fails!(x.chunk(0, 0).swap_remove(0), "chunk", "0");
        fails!(x.split(&[1, 5], 0).swap_remove(0), "split", "[2, 3]");
        fails!(Tensor::cat(&[&x, &x], 3), "cat", "3");
        fails!(ones([0, 3], &d).max_dims(&[0], false), "max", "[0, 3]");
        fails!(Tensor::arange(0.0, 5.0, 0.0, &d), "arange");
        fails!(Tensor::bernoulli([2], 1.5, &d), "bernoulli", "1.5");
        fails!(x.softmax(2), "softmax", "2", "[2, 3]");
        fails!(x.log_softmax(-3), "log_softmax", "-3", "[2, 3]");
        let index = Tensor::from_slice(&[0i32, 1], [2, 1], &d);
        fails!(x.gather(4, &index), "gather", "4", "[2, 3]");
        fails!(x.scatter_add(5, &index, &x), "scatter_add", "5", "[2, 3]");
        fails!(x.index_select(2, &index), "index_select", "2", "[2, 3]");
        fails!(loss::cross_entropy(&x, &index), "cross_entropy", "[2, 3]", "[2, 1]");
        fails!(loss::cross_entropy(&x, &x.select(1, 0)), "cross_entropy", "float", "[2, 3]");
        let line = line!() + 1;
        let error = x.argmax(2, false).to_vec::<u32>().unwrap_err();
        assert_text(&error, line, &["argmax", "2", "[2, 3]"]);
    }
}

#[test]
fn wrong_length() {
    for d in both() {
        let error = fails!(Tensor::from_slice(&[1f32, 2.0, 3.0], [2, 2], &d), "from_slice", "[2, 2]", "4", "3");
        assert!(matches!(error, Error::Length { .. }));
    }
}

#[test]
fn wrong_dtype() {
    for d in both() {
        let x = ones([2], &d);
        let (line, error) = (line!(), x.to_vec::<i32>().unwrap_err());
        assert_text(&error, line, &["to_vec", "f32", "i32"]);
        let (line, error) = (line!(), x.to_array::<bool>().unwrap_err());
        assert_text(&error, line, &["to_array", "f32", "bool"]);
        let n = Tensor::from_slice(&[1i32, 2], [2], &d);
        let (line, error) = (line!(), n.item::<f32>().unwrap_err());
        assert_text(&error, line, &["item", "i32", "f32"]);
        let (line, error) = (line!(), n.requires_grad().check().unwrap_err());
        assert_text(&error, line, &["requires_grad", "i32"]);
        let (line, error) = (line!(), n.reshape([1, 2]).matmul(&n.reshape([2, 1])).check().unwrap_err());
        assert_text(&error, line, &["matmul", "i32"]);
        let (line, error) = (line!(), n.var(1.0).check().unwrap_err());
        assert_text(&error, line, &["var", "i32"]);
    }
}

#[test]
fn f64_lives_on_the_cpu_only() {
    let (line, error) = (line!(), Tensor::from_slice(&[1f64], [1], gpu()).to_vec::<f64>().unwrap_err());
    assert_text(&error, line, &["from_slice", "f64"]);
    let (line, error) = (line!(), ones([2], gpu()).to_dtype(DType::F64).check().unwrap_err());
    assert_text(&error, line, &["to_dtype", "f64"]);
    let wide = Tensor::from_slice(&[0.1f64], [1], &Device::cpu());
    assert_eq!((&wide + &wide).to_vec::<f64>().unwrap(), [0.2]);
    let (line, error) = (line!(), wide.to_device(gpu()).check().unwrap_err());
    assert_text(&error, line, &["f64"]);
}

#[test]
fn unknown_device() {
    let (line, error) = (line!(), Device::named("no such adapter").unwrap_err());
    let text = error.to_string();
    assert_text(&error, line, &["no such adapter"]);
    assert!(matches!(error, Error::UnknownDevice { .. }), "{text}");
    assert!(text.contains("no such adapter") && text.contains(&gpu().info().name), "{text}");
    assert!(Device::named("cpu").unwrap().is_cpu());
    assert!(Device::named("gpu").is_ok());
}

#[test]
fn items_of_several_elements() {
    for d in both() {
        let (line, error) = (line!(), ones([2, 3], &d).item::<f32>().unwrap_err());
        assert_text(&error, line, &["item", "[2, 3]", "6"]);
        let (line, error) = (line!(), ones([0], &d).item::<f32>().unwrap_err());
        assert_text(&error, line, &["item", "[0]"]);
        let (line, error) = (line!(), ones([2, 3], &d).dims::<3>().unwrap_err());
        assert_text(&error, line, &["dims", "[2, 3]", "3"]);
    }
}

#[test]
fn backward_where_there_is_nothing_to_differentiate() {
    for d in both() {
        let w = ones([2, 3], &d).requires_grad();
        let y = &w * 2.0;
        let (line, error) = (line!(), y.backward().unwrap_err());
        assert_text(&error, line, &["backward", "[2, 3]", "sum()"]);
        let (line, error) = (line!(), ones([1], &d).backward().unwrap_err());
        assert_text(&error, line, &["backward", "requires_grad"]);
        let (line, error) = (line!(), y.detach().sum().backward().unwrap_err());
        assert_text(&error, line, &["backward", "detach"]);
        let (line, error) = (line!(), y.backward_with(&ones([3], &d)).unwrap_err());
        assert_text(&error, line, &["backward", "[2, 3]", "[3]"]);
        let (line, error) = (line!(), y.gt(0.0).to_dtype(DType::F32).sum().backward().unwrap_err());
        assert_text(&error, line, &["backward"]);
        let other = ones([4], &d).requires_grad();
        let (line, error) = (line!(), autograd::grad(&[&y.sum()], &[&other], false).err().unwrap());
        assert_text(&error, line, &["grad", "[4]"]);
        let (line, error) = (line!(), autograd::grad(&[&y], &[&w], false).err().unwrap());
        assert_text(&error, line, &["grad", "[2, 3]"]);
        assert!(w.grad().is_none());
    }
}

/// An error travels through all that is computed from it, and surfaces wherever it is met, with the line it began at.
#[test]
fn poisoned_tensors() {
    for d in both() {
        let w = ones([3], &d).requires_grad();
        let line = line!() + 1;
        let bad = ones([2, 3], &d).matmul(&ones([4, 5], &d));
        let later = (bad.relu() + 1.0).sum_dims(&[0], true).reshape([17]).transpose(3, 4).matmul(&w) * &w;
        let parts = ["matmul", "[2, 3]", "[4, 5]"];
        assert_text(&later.to_vec::<f32>().unwrap_err(), line, &parts);
        assert_text(&later.item::<f32>().unwrap_err(), line, &parts);
        assert_text(&later.realize().unwrap_err(), line, &parts);
        assert_text(&later.backward().unwrap_err(), line, &parts);
        assert_text(&(&w * &later).sum().backward().unwrap_err(), line, &parts);
        assert_text(&Tensor::cat(&[&w, &later], 0).check().unwrap_err(), line, &parts);
        assert_text(&later.to_device(&Device::cpu()).check().unwrap_err(), line, &parts);
        assert_text(&later.requires_grad().to_vec::<f32>().unwrap_err(), line, &parts);
        assert_text(&w.try_assign(&later).unwrap_err(), line, &parts);
        assert_text(&later.dims::<1>().unwrap_err(), line, &parts);
        assert!(format!("{later}").contains("matmul"));
        // What is sound goes on working.
        assert_eq!(w.to_vec::<f32>().unwrap(), [1.0; 3]);
        d.sync().unwrap();
    }
}

#[test]
fn assignments_that_do_not_fit() {
    for d in both() {
        let w = ones([3], &d).requires_grad();
        let (line, error) = (line!(), w.try_assign(&ones([4], &d)).unwrap_err());
        assert_text(&error, line, &["assign", "[3]", "[4]"]);
        let (line, error) = (line!(), w.try_assign(&Tensor::from_slice(&[1i32, 2, 3], [3], &d)).unwrap_err());
        assert_text(&error, line, &["assign", "f32", "i32"]);
        assert_eq!(w.to_vec::<f32>().unwrap(), [1.0; 3]);
        let line = line!() + 1;
        w.assign(&ones([4], &d));
        assert_text(&w.to_vec::<f32>().unwrap_err(), line, &["assign", "[3]", "[4]"]);
    }
}

#[test]
fn different_devices() {
    let (other, cpu) = (new_gpu(), Device::cpu());
    for (a, b) in [(gpu(), &cpu), (&cpu, gpu()), (gpu(), &other)] {
        let (x, y) = (ones([2], a), ones([2], b));
        let error = fails!(&x + &y, "add", "to_device");
        assert!(matches!(error, Error::DeviceMismatch { .. }));
        fails!(x.matmul(&y), "matmul", "to_device");
        fails!(Tensor::cat(&[&x, &y], 0), "cat", "to_device");
        let (line, error) = (line!(), x.requires_grad().try_assign(&y).unwrap_err());
        assert_text(&error, line, &["assign"]);
        assert_eq!((&x + y.to_device(a)).to_vec::<f32>().unwrap(), [2.0; 2]);
    }
}

#[test]
fn optimizers_refuse_bad_parameters() {
    for d in both() {
        let mut optimizer = Adam::new(vec![ones([3], &d)], 1e-3);
        let (line, error) = (line!(), optimizer.step().unwrap_err());
        assert_text(&error, line, &["Adam:", "requires_grad", "[3]"]);
        let (line, error) = (line!(), AdamW::new(vec![ones([3], &d)], 1e-3).step().unwrap_err());
        assert_text(&error, line, &["AdamW:", "requires_grad", "[3]"]);
        let (line, error) = (line!(), Sgd::new(vec![ones([3], &d)], 1e-3).step().unwrap_err());
        assert_text(&error, line, &["Sgd:", "requires_grad", "[3]"]);
        let w = ones([3], &d).requires_grad();
        let line = line!() + 1;
        w.set_grad(Some(&ones([2, 3], &d).matmul(&ones([4, 5], &d))));
        let error = Adam::new(vec![w.clone()], 1e-3).step().unwrap_err();
        assert_text(&error, line, &["matmul", "[4, 5]"]);
        assert_eq!(w.to_vec::<f32>().unwrap(), [1.0; 3]);
    }
}

/// What carries an error keeps the shape and type that it would have, so that code that looks at sizes does not panic far from the cause.
#[test]
fn shapes_of_what_carries_errors() {
    for d in both() {
        let bad = ones([2, 3], &d) + ones([4, 3], &d);
        let cause = bad.check().unwrap_err().to_string();
        let whole = Tensor::from_slice(&[1i32], [3, 1], &d); // three values are missing
        let other = ones([4, 5], &d).matmul(&ones([3, 6], &d));
        let image = ones([2, 3, 8, 8], &d).matmul(&ones([5, 8], &d));
        let (image_cause, other_cause) =
            (image.check().unwrap_err().to_string(), other.check().unwrap_err().to_string());
        assert_eq!((bad.shape(), bad.dtype()), (&[2usize, 3][..], DType::F32));
        assert_eq!((whole.shape(), whole.dtype()), (&[3usize, 1][..], DType::I32));
        let cases: Vec<(&str, Tensor, &[usize], &String)> = vec![
            // What fails first.
            ("matmul", other.clone(), &[4, 6], &other_cause),
            ("matmul of a batch", image.clone(), &[2, 3, 8, 8], &image_cause),
            // What is made of it.
            ("relu", bad.relu(), &[2, 3], &cause),
            ("number", &bad * 2.0 + 1, &[2, 3], &cause),
            ("number on the left", 1.0 - &bad, &[2, 3], &cause),
            ("broadcast", &bad + ones([7, 1, 3], &d), &[7, 2, 3], &cause),
            ("broadcast from the right", ones([7, 1, 3], &d) * &bad, &[7, 2, 3], &cause),
            ("what does not fit", &bad * ones([5, 5], &d), &[2, 3], &cause),
            ("reshape", bad.reshape([3, -1]), &[3, 2], &cause),
            ("transpose", bad.t(), &[3, 2], &cause),
            ("permute", image.permute(&[0, 2, 3, 1]), &[2, 8, 8, 3], &image_cause),
            ("unsqueeze", bad.unsqueeze(0).unsqueeze(-1), &[1, 2, 3, 1], &cause),
            ("flatten", image.flatten(1, -1), &[2, 192], &image_cause),
            ("expand", bad.expand([4, 2, 3]), &[4, 2, 3], &cause),
            ("narrow", bad.narrow(1, 1, 2), &[2, 2], &cause),
            ("select", bad.select(0, 1), &[3], &cause),
            ("pad", bad.pad(&[(1, 1), (0, 2)], 0.0), &[4, 5], &cause),
            ("sum", bad.sum_dims(&[1], true), &[2, 1], &cause),
            ("mean", bad.mean(), &[], &cause),
            ("argmax", bad.argmax(1, false), &[2], &cause),
            ("softmax", bad.softmax(-1), &[2, 3], &cause),
            ("layer_norm", bad.layer_norm(None, None, 1e-5), &[2, 3], &cause),
            ("matmul after", bad.matmul(&ones([3, 9], &d)), &[2, 9], &cause),
            ("matmul before", ones([6, 2], &d).matmul(&bad), &[6, 3], &cause),
            ("linear", bad.linear(&ones([10, 3], &d), None), &[2, 10], &cause),
            ("cat", Tensor::cat(&[&bad, &ones([1, 3], &d)], 0), &[2, 3], &cause),
            ("conv2d", image.conv2d(&ones([6, 3, 3, 3], &d), None, Default::default()), &[2, 3, 8, 8], &image_cause),
            ("max_pool2d", image.max_pool2d(2, 2, 0), &[2, 3, 4, 4], &image_cause),
            ("interpolate", image.interpolate(&[4, 5], wgrad::Interpolate::Nearest), &[2, 3, 4, 5], &image_cause),
            ("cumsum", bad.cumsum(0), &[2, 3], &cause),
            ("sort", bad.sort(1, false).0, &[2, 3], &cause),
            ("full_like", bad.full_like(1.0), &[2, 3], &cause),
            ("cast", bad.to_dtype(DType::I32), &[2, 3], &cause),
            ("detach", bad.detach(), &[2, 3], &cause),
            ("cross_entropy", loss::cross_entropy(&bad, &Tensor::from_slice(&[0i32, 1], [2], &d)), &[2, 3], &cause),
        ];
        for (name, y, shape, cause) in cases {
            assert_eq!(y.check().expect_err(name).to_string(), *cause, "{name}");
            // Losses give up before there is a shape.
            assert!(y.shape() == shape || (name == "cross_entropy" && y.rank() == 0), "{name}: {:?}", y.shape());
            assert!(y.realize().is_err() && y.sum().backward().is_err(), "{name}");
        }
        assert_eq!(bad.gt(0.0).dtype(), DType::Bool);
        assert_eq!((bad.argmax(0, false).dtype(), bad.to_dtype(DType::I32).dtype()), (DType::U32, DType::I32));
        // A model that asks for sizes.
        let model = |x: &Tensor| {
            let (n, d) = (x.shape()[0], x.shape()[1]);
            x.reshape([n as isize, 1, d as isize]).mean_dims(&[1], false)
        };
        assert_eq!(model(&bad.matmul(&ones([7, 4], &d))).shape(), [2, 4]);
        assert!(bad.dims::<2>().is_err());
    }
}
