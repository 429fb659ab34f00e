//! Windows along dims, and their sums back in place.

use wgrad::autograd::{gradcheck, gradgradcheck};
use wgrad::{Conv, Tensor};

use crate::common::*;
use crate::inputs::*;

#[test]
fn windows_of_rows_and_columns() {
    let mut failures = Vec::new();
    for input in INPUTS.iter().filter(|input| !input.is_large()) {
        let sized = |x: &Tensor, dim: usize, size: usize| x.shape()[dim].min(size);
        for (dim, size, step) in [(0, 3, 1), (0, 2, 3), (1, 4, 2), (1, 5, 1), (1, 1, 1), (0, 0, 1), (1, 3, 1000)] {
            let op = |x: &Tensor| x.unfold(dim as isize, sized(x, dim, size), step).square() * 0.5;
            compare(&format!("unfold {dim} {size} {step}"), input, &op, 1e-6, &mut failures);
        }
        // Windows of windows, of what is computed in passing.
        let nested = |x: &Tensor| (x * 2.0).unfold(1, sized(x, 1, 3), 1).unfold(0, sized(x, 0, 2), 2).t().tanh();
        compare("nested", input, &nested, 1e-6, &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// More windows over an element than a loop of an invocation may turn, and more elements than one dimension of the grid takes.
#[test]
fn many_windows_and_long_rows() {
    for device in [gpu(), hardware()] {
        poison(device);
        let (n, size) = (34_000usize, 17_000usize);
        let x = Tensor::zeros([n], device).requires_grad();
        // One number stands for the gradients of all 289 million elements.
        let weight = Tensor::from_slice(&[2f32], [1, 1], device).expand([n - size + 1, size]);
        x.unfold(0, size, 1).backward_with(&weight).unwrap();
        let expected: Vec<f64> = (0..n).map(|i| 2.0 * (i + 1).min(n - i).min(size).min(n - size + 1) as f64).collect();
        assert_eq!(values(&x.grad().unwrap()), expected);
    }
    let n = (65_535 + 3) * 256;
    let x = Tensor::arange(0.0, n as f32, 1.0, gpu()).detach().requires_grad();
    x.unfold(0, 2, 2).backward_with(&x.reshape([n / 2, 2])).unwrap();
    assert_eq!(x.grad().unwrap().ne(&x).to_dtype(wgrad::DType::I32).sum().item::<i32>().unwrap(), 0);
}

/// Values as PyTorch gives them.
#[test]
fn windows_are_pytorchs() {
    for device in [cpu(), gpu(), hardware()] {
        let x = Tensor::from_slice(&[0i32, 1, 2, 3, 4, 5, 6, 7, 8, 9], [2, 5], device);
        let y = x.unfold(1, 3, 2);
        assert_eq!(y.shape(), [2, 2, 3]);
        assert_eq!(y.to_vec::<i32>().unwrap(), [0, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 9]);
        let y = x.unfold(0, 2, 1);
        assert_eq!(y.shape(), [1, 5, 2]);
        assert_eq!(y.to_vec::<i32>().unwrap(), [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]);
        assert_eq!(x.unfold(-1, 0, 1).shape(), [2, 6, 0]);
        assert_eq!(Tensor::scalar(3.0, device).unfold(0, 1, 1).to_vec::<f32>().unwrap(), [3.0]);
        let image = Tensor::from_slice(&(0..12).map(|v| v as f32).collect::<Vec<_>>(), [1, 3, 4], device);
        let columns = image.unfold2d([2, 2], Conv::default().stride([1, 2]).padding([1, 0]).dilation([2, 1]));
        assert_eq!(columns.shape(), [4, 6]);
        let expected = [0, 0, 0, 2, 4, 6, 0, 0, 1, 3, 5, 7, 4, 6, 8, 10, 0, 0, 5, 7, 9, 11, 0, 0].map(|v| v as f32);
        assert_eq!(columns.to_vec::<f32>().unwrap(), expected);
    }
}

#[test]
fn columns_and_images() {
    let options = Conv::default().stride([2, 1]).padding([1, 2]).dilation([1, 2]);
    let mut failures = Vec::new();
    let image = Input { name: "image", leaf: &[2, 3, 7, 6], view: |x| x.flip(&[3]) };
    compare("unfold2d", &image, &|x| x.unfold2d([3, 2], options).square(), 1e-6, &mut failures);
    // As many windows as the image above has: (7 + 2 - 3) / 2 + 1 = 4 by 6 + 4 - 2 = 8.
    let columns = Input { name: "columns", leaf: &[32, 18, 2], view: |x| x.permute(&[2, 1, 0]) };
    compare("fold2d", &columns, &|x| x.fold2d([7, 6], [3, 2], options).square(), 1e-6, &mut failures);
    let columns = Input { name: "columns", leaf: &[18, 32], view: Tensor::clone };
    compare("fold2d alone", &columns, &|x| x.fold2d([7, 6], [3, 2], options), 1e-6, &mut failures);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let leaf =
        |shape: &[usize], seed| floats(&Rng(seed).vec(shape.iter().product(), -1.0, 1.0), shape, cpu()).requires_grad();
    let (x, columns) = (leaf(&[1, 2, 3, 4], 1), leaf(&[1, 8, 4], 2));
    let options = Conv::default().stride([1, 2]).padding([0, 1]).dilation([1, 2]);
    gradcheck(|x| x[0].unfold2d(2, options), &[&x], 1e-6).unwrap();
    gradgradcheck(|x| x[0].unfold2d(2, options).square(), &[&x], 1e-5).unwrap();
    gradcheck(|x| x[0].fold2d([3, 4], 2, options), &[&columns], 1e-6).unwrap();
    gradgradcheck(|x| x[0].fold2d([3, 4], 2, options).square(), &[&columns], 1e-5).unwrap();
    gradcheck(|x| x[0].unfold(3, 3, 1), &[&x], 1e-6).unwrap();
    gradgradcheck(|x| x[0].unfold(2, 2, 1).square(), &[&x], 1e-5).unwrap();
}

/// A convolution is a matrix product over the columns.
#[test]
fn convolution_is_a_product_of_columns() {
    let options = Conv::default().stride([2, 1]).padding([1, 0]).dilation([1, 2]);
    for device in [cpu(), gpu(), hardware()] {
        let make = |shape: &[usize], seed| floats(&Rng(seed).vec(shape.iter().product(), -1.0, 1.0), shape, device);
        let (x, w) = (make(&[3, 4, 9, 8], 1).requires_grad(), make(&[5, 4, 3, 2], 2).requires_grad());
        let fused = x.conv2d(&w, None, options);
        let composed = w.reshape([5, 24]).matmul(&x.unfold2d([3, 2], options)).reshape([3, 5, 5, 6]);
        assert_same("y", &fused, &composed, 1e-5);
        let gradients = |y: &Tensor| {
            x.zero_grad();
            w.zero_grad();
            y.square().sum().backward().unwrap();
            [x.grad().unwrap(), w.grad().unwrap()]
        };
        for (found, expected) in gradients(&fused).iter().zip(&gradients(&composed)) {
            assert_same("gradient", found, expected, 1e-5);
        }
    }
}

#[test]
fn bad_calls_are_errors() {
    let z = |shape: &[usize]| Tensor::zeros(shape, cpu());
    let plain = Conv::default;
    let cases: Vec<(Tensor, &str)> = vec![
        (z(&[5]).unfold(0, 6, 1), "unfold: a window of 6 does not fit dim 0 of size 5 in shape [5]"),
        (z(&[5]).unfold(0, 2, 0), "the step must be above 0"),
        (z(&[5]).unfold(0, 2, usize::MAX), "too large"),
        (z(&[5]).unfold(1, 2, 1), "unfold: dim 1 is out of range"),
        (z(&[]).unfold(0, 2, 1), "a window of 2 does not fit dim 0 of size 1"),
        (z(&[2, 3]).unfold2d(1, plain()), "unfold2d: needs 4 dims, or 3 without a batch"),
        (z(&[1, 3, 3]).unfold2d(4, plain()), "unfold2d: the kernel reaches over 4 elements of spatial dim 0"),
        (z(&[1, 3, 3]).unfold2d([1, 1, 1], plain()), "kernel has 3 numbers"),
        (z(&[2, 3, 3]).unfold2d(1, plain().groups(2)), "windows have no groups"),
        (z(&[5, 4]).fold2d(3, 2, plain()), "fold2d: 5 rows are not whole windows of 2×2"),
        (z(&[4, 5]).fold2d(3, 2, plain()), "3×3 has 2×2 windows, not 5"),
        (z(&[4, 5]).fold2d(3, 0, plain()), "not whole windows of 0×0"),
        (z(&[4]).fold2d(3, 2, plain()), "fold2d: needs 3 dims"),
    ];
    for (result, expected) in cases {
        let text = result.check().map_or_else(|error| error.to_string(), |()| "no error".into());
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
        assert!(text.contains("unfold.rs"), "{text:?} does not name the line");
    }
}
