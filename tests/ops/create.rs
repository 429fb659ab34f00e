//! Values of the tensors that creation makes, on every device.

use ndarray::{Array2, arr2};
use wgrad::{DType, Device, Error, Tensor};

use crate::common::*;
use crate::inputs::hardware;

fn devices() -> [&'static Device; 3] {
    [cpu(), gpu(), hardware()]
}

fn read(x: &Tensor) -> Vec<f32> {
    x.to_vec::<f32>().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn arange_ends_before_its_end() {
    for device in devices() {
        assert_eq!(read(&Tensor::arange(0.0, 4.0, 1.0, device)), [0., 1., 2., 3.]);
        assert_eq!(read(&Tensor::arange(0.0, 1.0, 0.4, device)), [0.0, 0.4, 0.8]);
        assert_eq!(read(&Tensor::arange(3.0, -2.0, -2.0, device)), [3., 1., -1.]);
        assert_eq!(read(&Tensor::arange(5.0, 5.5, 7.0, device)), [5.0]);
        for (start, end, step) in [(2.0, 2.0, 1.0), (2.0, 1.0, 1.0), (1.0, 2.0, -0.5)] {
            let empty = Tensor::arange(start, end, step, device);
            assert_eq!(empty.shape(), [0], "{start}..{end} by {step}");
            assert_eq!(read(&empty), [0f32; 0]);
            assert_eq!(read(&empty.sum()), [0.0]);
        }
        for (start, end, step) in
            [(0.0, 1.0, 0.0), (0.0, f32::INFINITY, 1.0), (0.0, 1.0, f32::NAN), (f32::NAN, 1.0, 1.0)]
        {
            let error = Tensor::arange(start, end, step, device).check();
            assert!(matches!(error, Err(Error::Argument { .. })), "{start}..{end} by {step}: {error:?}");
        }
    }
}

#[test]
fn linspace_ends_on_its_end() {
    for device in [gpu(), cpu()] {
        for (start, end, steps) in [(0f32, 0.1, 7), (-10.0, 10.0, 101), (0.3, -0.7, 1000), (1e-3, 1e6, 70_001)] {
            let x = Tensor::linspace(start, end, steps, device).to_vec::<f32>().unwrap();
            assert_eq!((x[0], x[steps - 1]), (start, end));
        }
    }
}

#[test]
fn linspace_has_both_ends() {
    for device in devices() {
        assert_eq!(read(&Tensor::linspace(-1.0, 1.0, 5, device)), [-1., -0.5, 0., 0.5, 1.]);
        assert_eq!(read(&Tensor::linspace(2.0, -4.0, 4, device)), [2., 0., -2., -4.]);
        assert_eq!(read(&Tensor::linspace(3.0, 9.0, 1, device)), [3.0]);
        assert_eq!(read(&Tensor::linspace(3.0, 9.0, 0, device)), [0f32; 0]);
        for steps in [7, 11, 1000] {
            let found = read(&Tensor::linspace(0.1, 0.7, steps, device));
            let expected = |i: usize| 0.1 + 0.6 * i as f64 / (steps - 1) as f64;
            assert!(found.iter().enumerate().all(|(i, &v)| (f64::from(v) - expected(i)).abs() < 2e-7), "{found:?}");
        }
    }
}

#[test]
fn eye_and_arrays() {
    for device in devices() {
        assert_eq!(read(&Tensor::eye(3, device)), [1., 0., 0., 0., 1., 0., 0., 0., 1.]);
        assert_eq!(Tensor::eye(0, device).shape(), [0, 0]);
        assert_eq!(read(&Tensor::eye(1, device)), [1.0]);
        // An array that does not lie in row-major order, and one that is a part of another.
        let array = arr2(&[[1f32, 2., 3.], [4., 5., 6.]]);
        let x = Tensor::from_array(&array.t().to_owned().into_dyn(), device);
        assert_eq!((x.shape(), read(&x)), (&[3usize, 2][..], vec![1., 4., 2., 5., 3., 6.]));
        let reversed = array.slice_move(ndarray::s![..;-1, 1..]).into_dyn();
        let x = Tensor::from_array(&reversed, device);
        assert_eq!((x.shape(), read(&x)), (&[2usize, 2][..], vec![5., 6., 2., 3.]));
        assert_eq!(x.to_array::<f32>().unwrap(), reversed);
        let empty = Tensor::from_array(&Array2::<i32>::zeros((0, 3)).into_dyn(), device);
        assert_eq!((empty.shape(), empty.dtype()), (&[0usize, 3][..], DType::I32));
        let scalar = Tensor::from_array(&ndarray::arr0(true).into_dyn(), device);
        assert_eq!((scalar.rank(), scalar.item::<bool>().unwrap()), (0, true));
    }
}

#[test]
fn likes_keep_shape_and_type() {
    for device in devices() {
        let x = Tensor::from_slice(&[1i32, 2, 3, 4, 5, 6], [2, 3], device).t();
        for (like, value) in [(x.zeros_like(), 0), (x.ones_like(), 1), (x.full_like(-7.0), -7)] {
            assert_eq!((like.shape(), like.dtype()), (&[3usize, 2][..], DType::I32));
            assert_eq!(like.to_vec::<i32>().unwrap(), [value; 6]);
        }
        let mask = Tensor::from_slice(&[true, false], [2], device);
        assert_eq!(mask.ones_like().to_vec::<bool>().unwrap(), [true, true]);
        assert_eq!(mask.zeros_like().to_vec::<bool>().unwrap(), [false, false]);
        let words = Tensor::from_slice(&[1u32], [1], device).full_like(4_000_000_000.0);
        assert_eq!(words.to_vec::<u32>().unwrap(), [4_000_000_000]);
        let floats = Tensor::from_slice(&[1f32; 6], [2, 3], device).requires_grad();
        assert!(!floats.ones_like().is_leaf_with_grad());
        assert_eq!(read(&floats.full_like(0.1)), [0.1; 6]);
        for random in [floats.rand_like(), floats.randn_like()] {
            assert_eq!((random.shape(), random.dtype()), (&[2usize, 3][..], DType::F32));
            assert!(read(&random).iter().all(|v| v.is_finite()));
        }
        assert_eq!(Tensor::zeros([0, 4], device).ones_like().shape(), [0, 4]);
        assert_eq!(read(&Tensor::scalar(3.0, device).zeros_like()), [0.0]);
    }
}
