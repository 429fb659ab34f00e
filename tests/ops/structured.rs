//! Gradients of the structured ops: first and second derivatives against central differences in f64 on the CPU reference, and
//! the backward shaders of both kernel families against the CPU.

use std::sync::OnceLock;

use wgrad::autograd::{grad, gradcheck, gradgradcheck};
use wgrad::nn::loss::{self, CrossEntropy};
use wgrad::{Device, Error, Tensor};

/// A function under test and the shapes of its inputs. Indices are made on the device of the input given.
type Function = fn(&[Tensor]) -> Tensor;

struct Case {
    name: &'static str,
    shapes: &'static [&'static [usize]],
    function: Function,
}

/// The CPU reference, the GPU, and the GPU with the kernels that a hardware adapter gets. Without an adapter the tests fail.
fn devices() -> [Device; 3] {
    static DEVICES: OnceLock<[Device; 3]> = OnceLock::new();
    let open = || {
        let gpu = Device::gpu().unwrap_or_else(|error| panic!("these tests need a GPU adapter: {error}"));
        let hardware = Device::gpu_with(true, |caps| caps.software = false);
        [Device::cpu(), gpu, hardware.unwrap_or_else(|error| panic!("the adapter opens twice: {error}"))]
    };
    DEVICES.get_or_init(open).clone()
}

/// Values of varied size and sign, no two equal.
fn values(shape: &[usize], salt: usize) -> Vec<f64> {
    (0..shape.iter().product()).map(|i: usize| ((i * 7 + salt * 5 + 1) as f64 * 0.618).sin() * 1.5).collect()
}

fn index(values: &[i32], shape: &[usize], like: &Tensor) -> Tensor {
    Tensor::from_slice(values, shape, like.device())
}

fn tensors(case: &Case, device: &Device) -> Vec<Tensor> {
    let make = |(salt, shape): (usize, &&[usize])| {
        let values: Vec<f32> = values(shape, salt).into_iter().map(|v| v as f32).collect();
        Tensor::from_slice(&values, *shape, device).requires_grad()
    };
    case.shapes.iter().enumerate().map(make).collect()
}

macro_rules! cases {
    ($($name:ident [$($shape:expr),+] $function:expr;)*) => {
        &[$(Case { name: stringify!($name), shapes: &[$(&$shape),+], function: $function }),*]
    };
}

const CASES: &[Case] = cases! {
    permute [[2, 3, 4]] |x| x[0].permute(&[2, 0, 1]);
    transpose [[3, 4]] |x| x[0].t();
    expand [[3, 1]] |x| x[0].expand([2, 3, 4]);
    slice [[5, 4]] |x| x[0].slice(0, 1..4);
    flip [[3, 4]] |x| x[0].flip(&[1]);
    flip_all [[2, 3, 2]] |x| x[0].flip(&[0, 1, 2]);
    split [[2, 6]] |x| {
        let parts = x[0].split(&[1, 3, 2], 1);
        &parts[0] * &parts[1] + parts[2].sum_dims(&[1], true)
    };
    chunk [[5, 2]] |x| {
        let parts = x[0].chunk(2, 0);
        parts[0].slice(0, 0..2) * &parts[1]
    };
    powi [[3, 4]] |x| x[0].powi(2) + x[0].powi(3) * 0.5 + x[0].powi(1) + x[0].powi(0);
    powi_negative [[3, 2]] |x| (x[0].square() + 0.5).powi(-2);
    masked_fill [[3, 4]] |x| {
        let mask = index(&[1, 0, 0, 1], &[4], &x[0]).to_dtype(wgrad::DType::Bool);
        x[0].masked_fill(&mask, 0.75)
    };
    masked_fill_lowest [[2, 3]] |x| x[0].masked_fill(&x[0].detach().gt(1.0), f32::NEG_INFINITY).softmax(1);
    slice_step [[7, 2]] |x| x[0].slice_step(0, 1..7, 3);
    slice_of_flip [[7, 2]] |x| x[0].flip(&[0, 1]).slice_step(0, 0..6, 2);
    select [[3, 4]] |x| x[0].select(1, -1);
    pad [[2, 3]] |x| x[0].pad(&[(1, 0), (2, 3)], 0.5);
    cat [[2, 3], [2, 1], [2, 4]] |x| Tensor::cat(&[&x[0], &x[1], &x[2]], 1);
    stack [[2, 3], [2, 3]] |x| Tensor::stack(&[&x[0], &x[1]], 1);
    roll [[3, 4]] |x| x[0].roll(&[1, -1], &[0, 1]);
    repeat [[2, 3]] |x| x[0].repeat(&[2, 2]);
    sum [[2, 3, 4]] |x| x[0].sum_dims(&[0, 2], false);
    mean [[2, 3, 4]] |x| x[0].mean_dims(&[1], true);
    prod [[3, 5]] |x| x[0].prod_dims(&[1], false);
    prod_all [[2, 3]] |x| x[0].prod();
    max [[3, 5]] |x| x[0].max_dims(&[1], false);
    min [[3, 5]] |x| x[0].min_dims(&[0], true);
    norm [[3, 5]] |x| x[0].norm_dims(2.0, &[1], false);
    norm_one [[3, 5]] |x| x[0].norm_dims(1.0, &[0], true);
    norm_three [[3, 5]] |x| x[0].norm(3.0);
    norm_largest [[3, 5]] |x| x[0].norm_dims(f32::INFINITY, &[1], false);
    var [[3, 5]] |x| x[0].var_dims(&[1], 1.0, false);
    var_all [[3, 5]] |x| x[0].var(0.0);
    std [[3, 5]] |x| x[0].std(1.0);
    std_dims [[2, 3, 4]] |x| x[0].std_dims(&[0, 2], 0.0, true);
    logsumexp [[3, 5]] |x| x[0].logsumexp_dims(&[0], false);
    matmul [[3, 4], [4, 2]] |x| x[0].matmul(&x[1]);
    matmul_vector_left [[4], [4, 2]] |x| x[0].matmul(&x[1]);
    matmul_vector_right [[2, 3, 4], [4]] |x| x[0].matmul(&x[1]);
    matmul_batch [[2, 1, 3, 4], [5, 4, 2]] |x| x[0].matmul(&x[1]);
    matmul_fold [[2, 3, 4], [4, 5]] |x| x[0].matmul(&x[1]);
    matmul_self [[3, 3]] |x| x[0].matmul(&x[0].t());
    linear [[2, 3, 4], [5, 4], [5]] |x| x[0].linear(&x[1], Some(&x[2]));
    softmax [[3, 5]] |x| x[0].softmax(1);
    softmax_inner [[2, 4, 3]] |x| x[0].softmax(1);
    log_softmax [[3, 5]] |x| x[0].log_softmax(-1);
    log_softmax_inner [[2, 4, 3]] |x| x[0].log_softmax(0);
    gather [[3, 4]] |x| x[0].gather(1, &index(&[0, 3, 3, 1], &[2, 2], &x[0]));
    index_select [[4, 3]] |x| x[0].index_select(0, &index(&[3, 0, 3, 3, 1], &[5], &x[0]));
    index_select_inner [[2, 4, 3]] |x| x[0].index_select(1, &index(&[3, 0, 3], &[3], &x[0]));
    embedding [[5, 3]] |x| Tensor::embedding(&x[0], &index(&[4, 0, 4, 2, 2, 2], &[2, 3], &x[0]));
    scatter_add [[3, 4], [2, 3]] |x| x[0].scatter_add(1, &index(&[0, 3, 3, 1, 1, 1], &[2, 3], &x[0]), &x[1]);
    scatter [[2, 4], [2, 3]] |x| x[0].scatter(1, &index(&[0, 3, 3, 1, 1, 2], &[2, 3], &x[0]), &x[1]);
    scatter_rows [[4, 3], [2, 3]] |x| x[0].scatter(0, &index(&[3, 3, 0, 3, 1, 2], &[2, 3], &x[0]), &x[1]);
    tril [[2, 3, 4]] |x| x[0].tril(-1);
    triu [[3, 4]] |x| x[0].triu(1);
    cross_entropy [[4, 5]] |x| loss::cross_entropy(&x[0], &index(&[4, 0, 1, 1], &[4], &x[0]));
    cross_entropy_dims [[2, 3, 2]] |x| loss::cross_entropy(&x[0], &index(&[2, 0, 1, 1], &[2, 2], &x[0]));
    cross_entropy_smooth [[4, 5]] |x| {
        let options = CrossEntropy { label_smoothing: 0.125, ignore_index: Some(-100), ..CrossEntropy::default() };
        loss::cross_entropy_with(&x[0], &index(&[4, -100, 1, 1], &[4], &x[0]), &options)
    };
    cross_entropy_weight [[4, 3]] |x| {
        let weight = Tensor::from_slice(&[0.5f32, 2.0, 1.0], [3], x[0].device()).to_dtype(x[0].dtype());
        let options = CrossEntropy { label_smoothing: 0.125, ignore_index: Some(2), weight: Some(weight), ..CrossEntropy::default() };
        loss::cross_entropy_with(&x[0], &index(&[0, 2, 1, 1], &[4], &x[0]), &options)
    };
    nll [[4, 3]] |x| loss::nll(&x[0].log_softmax(1), &index(&[0, 2, 1, 1], &[4], &x[0]));
    mse [[3, 2], [3, 2]] |x| loss::mse(&x[0], &x[1]);
    l1 [[3, 2], [3, 2]] |x| loss::l1(&x[0], &x[1]);
    huber [[3, 2], [3, 2]] |x| loss::huber(&x[0], &x[1], 0.75);
    smooth_l1 [[3, 2], [3, 2]] |x| loss::smooth_l1(&x[0], &x[1], 0.75);
    bce [[3, 2], [3, 2]] |x| loss::bce(&x[0].sigmoid(), &x[1]);
    bce_with_logits [[3, 2], [3, 2]] |x| loss::bce_with_logits(&x[0], &x[1]);
    multi_margin [[4, 3]] |x| loss::multi_margin(&x[0], &index(&[0, 2, 1, 1], &[4], &x[0]), 1.0);
    kl_div [[3, 4], [3, 4]] |x| loss::kl_div(&x[0].log_softmax(1), &x[1].softmax(1));
    cosine_embedding [[2, 4], [2, 4]] |x| loss::cosine_embedding(&x[0], &x[1], &index(&[1, -1], &[2], &x[0]), 0.1);
};

#[test]
fn first_and_second_derivatives_match_central_differences() {
    let cpu = Device::cpu();
    let mut failures = Vec::new();
    for case in CASES {
        let inputs = tensors(case, &cpu);
        let refs: Vec<&Tensor> = inputs.iter().collect();
        if let Err(error) = gradcheck(case.function, &refs, 1e-6) {
            failures.push(format!("{}: {error}", case.name));
        }
        // The square gives linear functions a second derivative too.
        let squared = |x: &[Tensor]| {
            let y = (case.function)(x);
            &y * &y
        };
        if let Err(error) = gradgradcheck(squared, &refs, 1e-5) {
            failures.push(format!("{}: {error}", case.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn backward_shaders_match_the_cpu() {
    let mut failures = Vec::new();
    let [_, gpu, hardware] = devices();
    for (case, gpu) in CASES.iter().flat_map(|case| [(case, &gpu), (case, &hardware)]) {
        let run = |device: &Device| -> wgrad::Result<Vec<f32>> {
            let inputs = tensors(case, device);
            let y = (case.function)(&inputs);
            let weights: Vec<f32> = values(y.shape(), 9).into_iter().map(|v| v as f32).collect();
            let mut all = y.to_vec::<f32>()?;
            (&y * &Tensor::from_slice(&weights, y.shape(), device)).sum().backward()?;
            for x in &inputs {
                all.extend(x.grad().map_or(Ok(Vec::new()), |g| g.to_vec::<f32>())?);
            }
            Ok(all)
        };
        match (run(&Device::cpu()), run(gpu)) {
            (Ok(want), Ok(got)) => {
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-5 * a.abs().max(1.0);
                if want.len() != got.len() || !want.iter().zip(&got).all(near) {
                    failures.push(format!("{}: {want:?} on the CPU, {got:?} on the GPU", case.name));
                }
            }
            (want, got) => failures.push(format!("{}: CPU {:?}, GPU {:?}", case.name, want.err(), got.err())),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn products_are_differentiated_rightly_at_zeros() -> wgrad::Result<()> {
    let cpu = Device::cpu();
    for row in [[2f32, 0., 3., -1.], [0., 2., 0., 3.], [0., 0., 0., 1.]] {
        let x = Tensor::from_slice(&row, [1, 4], &cpu).requires_grad();
        gradcheck(|x| x[0].prod_dims(&[1], false), &[&x], 1e-6)?;
        gradgradcheck(|x| x[0].prod_dims(&[1], false), &[&x], 1e-5)?;
    }
    Ok(())
}

#[test]
fn ties_share_the_gradient() -> wgrad::Result<()> {
    for device in devices() {
        let x = Tensor::from_slice(&[1f32, 3., 3., 0.], [4], &device).requires_grad();
        assert_eq!(grad(&[&x.max()], &[&x], false)?[0].to_vec::<f32>()?, [0.0, 0.5, 0.5, 0.0]);
    }
    Ok(())
}

#[test]
fn bce_has_finite_gradients_at_certainty() -> wgrad::Result<()> {
    for device in devices() {
        let p = Tensor::from_slice(&[0f32, 1., 0., 1.], [4], &device).requires_grad();
        let y = Tensor::from_slice(&[0f32, 1., 1., 0.], [4], &device);
        let loss = loss::bce(&p, &y);
        assert!((loss.item::<f32>()? - 50.0).abs() < 1e-4);
        loss.backward()?;
        let dp = p.grad().map_or(Ok(Vec::new()), |g| g.to_vec::<f32>())?;
        assert!(dp.iter().all(|v| v.is_finite()), "{dp:?}");
    }
    Ok(())
}

/// A reduction over the dims of a reshaped value, fused with what it reads.
#[test]
fn reductions_walk_the_dims_of_a_reshape() -> wgrad::Result<()> {
    let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
    for device in devices() {
        let x = Tensor::from_slice(&values, [4, 6], &device);
        let row = Tensor::from_slice(&values[..6], [6], &device);
        let sum = |x: &Tensor| x.reshape([2, 2, 2, 3]).sum_dims(&[0, 2], false).to_vec::<f32>();
        assert_eq!(sum(&x)?, [30.0, 34.0, 38.0, 54.0, 58.0, 62.0]);
        assert_eq!(sum(&(&x * 2.0))?, [60.0, 68.0, 76.0, 108.0, 116.0, 124.0]);
        assert_eq!(sum(&(&x * 0.0 + &row))?, [6.0, 10.0, 14.0, 6.0, 10.0, 14.0]);
        assert_eq!(x.reshape([2, 2, 6]).argmax(1, false).to_vec::<u32>()?, [1; 12]);
    }
    Ok(())
}

/// A training step whose loss nobody reads must still notice a bad target.
#[test]
fn bad_targets_are_noticed_by_the_gradient_alone() -> wgrad::Result<()> {
    for device in devices() {
        let x = Tensor::zeros([2, 3], &device).requires_grad();
        let targets = Tensor::from_slice(&[0i32, 7], [2], &device);
        let step = || -> wgrad::Result<Vec<f32>> {
            loss::cross_entropy(&x, &targets).backward()?;
            x.grad().map_or(Ok(Vec::new()), |g| g.to_vec::<f32>())
        };
        let got = step();
        assert!(matches!(got, Err(Error::IndexOutOfRange { index: 7, bound: 3, .. })), "{got:?}");
    }
    Ok(())
}

#[test]
fn norms_have_gradient_zero_at_zero() -> wgrad::Result<()> {
    for device in devices() {
        for p in [1.0, 2.0, 3.5, f32::INFINITY] {
            let x = Tensor::zeros([3], &device).requires_grad();
            let norm = x.norm(p);
            assert_eq!(norm.item::<f32>()?, 0.0);
            assert_eq!(grad(&[&norm], &[&x], false)?[0].to_vec::<f32>()?, [0.0; 3], "p = {p}");
        }
    }
    Ok(())
}
