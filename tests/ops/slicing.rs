//! Ranges of every form, elements from the end, integers beside tensors, host integers, ranges and constants of every type.

use wgrad::{DType, Device, Tensor, f16};

use crate::common::*;

fn devices() -> [&'static Device; 2] {
    [gpu(), cpu()]
}

#[test]
fn every_form_of_range() {
    for device in devices() {
        let x = Tensor::arange(0.0, 12.0, 1.0, device).reshape([2, 6]);
        let n = 4usize;
        let row = |y: Tensor| values(&y.get(0));
        assert_eq!(row(x.slice(1, 1..3)), [1., 2.]);
        assert_eq!(row(x.slice(1, 2..n)), [2., 3.]);
        assert_eq!(row(x.slice(-1, 4..)), [4., 5.]);
        assert_eq!(row(x.slice(1, ..2)), [0., 1.]);
        assert_eq!(row(x.slice(1, 1..=2)), [1., 2.]);
        assert_eq!(row(x.slice(1, ..=1)), [0., 1.]);
        assert_eq!(row(x.slice(1, -2..)), [4., 5.]);
        assert_eq!(row(x.slice(1, ..-4)), [0., 1.]);
        assert_eq!(row(x.slice(1, -3..-1)), [3., 4.]);
        assert_eq!(row(x.slice(1, -2..=-1)), [4., 5.]);
        assert_eq!(row(x.slice(1, -(n as isize)..-2)), [2., 3.]);
        assert_eq!(row(x.slice_step(1, .., 3)), [0., 3.]);
        assert_eq!(row(x.slice_step(1, -5.., 2)), [1., 3., 5.]);
        assert_eq!(x.slice(0, ..).shape(), [2, 6]);
        assert_eq!((x.slice(1, 6..).shape(), x.slice(1, -6..0).shape()), (&[2, 0][..], &[2, 0][..]));
        assert_eq!(values(&x.get(-1)), [6., 7., 8., 9., 10., 11.]);
        assert_eq!((values(&x.get(n - 3).get(n)), values(&x.select(1, n))), (vec![10.], vec![4., 10.]));
    }
    let error = Tensor::zeros([4], cpu()).slice(0, -5..2).check().unwrap_err().to_string();
    assert!(error.contains("-5..2 by 1 is not within dim 0 of size 4"), "{error}");
    let error = Tensor::zeros([4], cpu()).slice(0, ..=4).check().unwrap_err().to_string();
    assert!(error.contains("..=4 by 1 is not within"), "{error}");
}

#[test]
fn integer_literals_keep_integers() {
    for device in devices() {
        let x = Tensor::from_slice(&[7i32, -3], [2], device);
        let u = Tensor::from_slice(&[7u32, 3], [2], device);
        let read = |y: Tensor| y.to_vec::<i32>().unwrap();
        assert_eq!(read(&x + 1), [8, -2]);
        assert_eq!(read(1 + &x), [8, -2]);
        assert_eq!(read(&x - 1), [6, -4]);
        assert_eq!(read(1 - x.clone()), [-6, 4]);
        assert_eq!(read(x.clone() * 2), [14, -6]);
        assert_eq!(read(2 * &x), [14, -6]);
        assert_eq!(read(&x % 2), [1, -1]);
        assert_eq!(read(20 % &x), [6, 2]);
        assert_eq!(read(x.maximum(0)), [7, 0]);
        let mut y = x.clone();
        y += 3;
        y *= 2;
        y -= 1;
        assert_eq!(read(y), [19, -1]);
        // A quotient is a float, as in PyTorch.
        assert_eq!((&x / 2).to_vec::<f32>().unwrap(), [3.5, -1.5]);
        assert_eq!((21 / &x).to_vec::<f32>().unwrap(), [3.0, -7.0]);
        assert_eq!((&u + 1).to_vec::<u32>().unwrap(), [8, 4]);
        assert_eq!((2 * &u).to_vec::<u32>().unwrap(), [14, 6]);
        assert_eq!((&u + 4_000_000_000u32).to_vec::<u32>().unwrap(), [4_000_000_007, 4_000_000_003]);
        // Variables of other integer types.
        let (n, wide) = (5usize, -5i64);
        assert_eq!((read(&x + n), read(&x * wide)), (vec![12, 2], vec![-35, 15]));
        let f = Tensor::from_slice(&[0.5f32, 2.0], [2], device);
        assert_eq!(values(&(&f * n)), [2.5, 10.0]);
        assert_eq!(values(&(&f * 10_000_000_000i64)), [5e9, 2e10]);
        assert_eq!((values(&(&f + 1)), values(&(1 - &f))), (vec![1.5, 3.0], vec![0.5, -1.0]));
        assert_eq!((&x + 0.5).to_vec::<f32>().unwrap(), [7.5, -2.5]);
    }
}

#[test]
fn host_integers_are_checked_and_stored_in_32_bits() {
    for device in devices() {
        let x = Tensor::from_slice(&[i64::from(i32::MIN), i64::from(i32::MAX)], [2], device);
        assert_eq!(x.to_vec::<i32>().unwrap(), [i32::MIN, i32::MAX]);
        assert_eq!(Tensor::from_slice(&[1usize, 2], [2], device).to_vec::<i32>().unwrap(), [1, 2]);
        assert_eq!(Tensor::from_slice(&[-1i8], [1], device).to_vec::<i32>().unwrap(), [-1]);
        assert_eq!(Tensor::from_slice(&[200u8], [1], device).to_vec::<u32>().unwrap(), [200]);
        let array = ndarray::arr2(&[[1i64, 2], [3, 4]]);
        let transposed = Tensor::from_array(&array.t(), device);
        assert_eq!(transposed.to_vec::<i32>().unwrap(), [1, 3, 2, 4]);
        // Labels and indices.
        let logits = Tensor::from_slice(&[1f32, 2.0, 3.0, 0.0], [2, 2], device);
        let labels = Tensor::from_slice(&[1i64, 0], [2], device);
        let same = Tensor::from_slice(&[1i32, 0], [2], device);
        let loss = |labels: &Tensor| wgrad::nn::loss::cross_entropy(&logits, labels).item::<f32>().unwrap();
        assert_eq!(loss(&labels), loss(&same));
        assert_eq!(values(&logits.index_select(0, &labels)), [3., 0., 1., 2.]);
        let error = Tensor::from_slice(&[0i64, 1 << 31], [2], device).check().unwrap_err().to_string();
        assert!(error.contains("from_slice: the value 2147483648 at place 1 does not fit i32"), "{error}");
    }
}

#[test]
fn constants_and_ranges_of_every_type() {
    for device in devices() {
        let half = Tensor::full_as([2], 0.1, DType::F16, device);
        assert_eq!(half.to_dtype(DType::F32).to_vec::<f32>().unwrap(), [f16::from_f32(0.1).to_f32(); 2]);
        let half = Tensor::arange_as(0, 1, 0.1, DType::F16, device);
        let expected: Vec<f32> = (0..10).map(|i| f16::from_f32(0.1f32 * i as f32).to_f32()).collect();
        assert_eq!(half.to_dtype(DType::F32).to_vec::<f32>().unwrap(), expected);
        assert_eq!(Tensor::full_as([], u32::MAX, DType::U32, device).item::<u32>().unwrap(), u32::MAX);
        assert_eq!(Tensor::full_as([2, 0], 1, DType::Bool, device).shape(), [2, 0]);
        // A constant joins other ops.
        let x = Tensor::from_slice(&[1i32, 2], [2], device);
        assert_eq!((x + Tensor::full_as([2], 3, DType::I32, device)).to_vec::<i32>().unwrap(), [4, 5]);
        let error = Tensor::full_as([3], 3e9, DType::I32, device);
        assert_eq!((error.shape(), error.dtype()), (&[3][..], DType::I32));
        let text = error.check().unwrap_err().to_string();
        assert!(text.contains("full: 3000000000 does not fit i32"), "{text}");
    }
    assert_eq!(Tensor::arange_as(0, 1, 0.1, DType::F64, cpu()).to_vec::<f64>().unwrap()[3], 0.1 * 3.0);
    assert_eq!(Tensor::full_as([1], 0.1, DType::F64, cpu()).item::<f64>().unwrap(), 0.1);
    let error = Tensor::zeros_as([1], DType::F64, gpu()).check().unwrap_err().to_string();
    assert!(error.contains("zeros: f64 exists on the CPU device only"), "{error}");
}
