//! Einstein summation and other products by dims, against PyTorch's results and against loops.

use wgrad::autograd::{gradcheck, gradgradcheck};
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::*;

fn devices() -> [&'static Device; 3] {
    [cpu(), gpu(), hardware()]
}

/// Equation, shapes of the operands, shape and elements of `torch.einsum` over the operands of [`operand`].
type Case = (&'static str, &'static [&'static [usize]], &'static [usize], &'static [i32]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("ij,jk->ik", &[&[2, 3], &[3, 4]], &[2, 4], &[-12, 27, 11, -16, -17, 23, 19, -18]),
    ("ij,jk", &[&[2, 3], &[3, 4]], &[2, 4], &[-12, 27, 11, -16, -17, 23, 19, -18]),
    ("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 5]], &[2, 3, 5], &[21, -5, -9, 20, -6, 22, -1, -13, 19, -4, -32, -8, 16, -26, -2, -30, -14, 24, 7, -21, 9, 6, -30, 0, 8, -29, 26, -7, 26, 26]),
    ("ii->i", &[&[3, 3]], &[3], &[-2, 4, -1]),
    ("ii", &[&[3, 3]], &[], &[1]),
    ("ij->ji", &[&[2, 3]], &[3, 2], &[-2, -3, 5, 4, 1, 0]),
    ("ij->", &[&[2, 3]], &[], &[5]),
    ("ij->j", &[&[2, 3]], &[3], &[-5, 9, 1]),
    ("i,j->ij", &[&[2], &[3]], &[2, 3], &[-6, 2, 10, 15, -5, -25]),
    ("i,i->", &[&[4], &[4]], &[], &[-22]),
    ("i,i->i", &[&[4], &[4]], &[4], &[-6, -5, -5, -6]),
    ("...ij,...jk->...ik", &[&[2, 1, 3, 4], &[5, 4, 2]], &[2, 5, 3, 2], &[-36, 26, 23, -33, 16, 7, -35, 16, 26, 14, 10, -21, -34, 17, 29, 17, 4, -27, -11, 18, -12, 20, 9, -33, -10, -36, -9, 23, 3, 16, 20, -30, 13, 10, -16, -16, 27, 10, 11, -25, -16, 6, 34, 17, 9, -27, -16, 6, -14, 24, 7, -29, 39, 6, -7, 20, 5, 13, 39, -16]),
    ("...ij->...ji", &[&[2, 3, 4]], &[2, 4, 3], &[-2, 4, -1, 5, 0, -5, 1, -4, 2, -3, 3, -2, 5, 0, -5, 1, -4, 2, -3, 3, -2, 4, -1, 5]),
    ("...", &[&[2, 3]], &[2, 3], &[-2, 5, 1, -3, 4, 0]),
    ("ba", &[&[2, 3]], &[3, 2], &[-2, -3, 5, 4, 1, 0]),
    ("bhqd,bhkd->bhqk", &[&[2, 2, 3, 4], &[2, 2, 5, 4]], &[2, 2, 3, 5], &[-22, 39, -21, -15, -20, 38, -21, 41, -18, 44, -12, -15, -18, 34, -24, -17, 3, -10, -34, -3, 26, -19, 24, -10, 22, -19, 58, -19, 3, -19, -15, -14, -13, -12, 22, 44, -20, 37, -27, -3, -18, -15, -12, -9, 16, -27, -12, 3, -15, 44, 37, -13, 3, -14, -20, -20, -14, 3, -13, 37]),
    ("ik,kl,lj->ij", &[&[2, 3], &[3, 4], &[4, 2]], &[2, 2], &[149, -199, 198, -215]),
    ("iij,jk->ik", &[&[3, 3, 2], &[2, 4]], &[3, 4], &[-16, 27, 15, -19, 7, -24, 0, 13, 8, -20, -4, 12]),
    ("ijij->ij", &[&[2, 3, 2, 3]], &[2, 3], &[-2, 3, -3, 2, -4, 1]),
    ("i,ij,j->", &[&[3], &[3, 4], &[4]], &[], &[208]),
    ("ab,cd->dcba", &[&[2, 3], &[4, 2]], &[2, 4, 3, 2], &[-6, -9, 15, 12, 3, 0, 10, 15, -25, -20, -5, 0, 4, 6, -10, -8, -2, 0, -2, -3, 5, 4, 1, 0, 2, 3, -5, -4, -1, 0, -4, -6, 10, 8, 2, 0, -10, -15, 25, 20, 5, 0, 6, 9, -15, -12, -3, 0]),
    ("i...->...", &[&[3, 2, 2]], &[2, 2], &[1, 0, -1, -2]),
    ("ij,ij->", &[&[2, 3], &[2, 3]], &[], &[-30]),
    ("ij,kj->ik", &[&[2, 1], &[4, 3]], &[2, 4], &[6, -10, -4, 2, -15, 25, 10, -5]),
    ("a...b,b...->a...", &[&[2, 5, 3], &[3, 5]], &[2, 5], &[15, 7, 12, 8, -16, 28, -19, -9, -30, 6]),
    (" i j , j -> i ", &[&[2, 3], &[3]], &[2], &[-16, -13]),
    ("Ab,bA", &[&[2, 3], &[3, 2]], &[], &[-22]),
    ("bB,bc", &[&[2, 3], &[2, 4]], &[3, 4], &[0, -13, 7, 5, 7, 15, -21, -2, 3, -1, -5, 2]),
    (",i->i", &[&[], &[3]], &[3], &[-6, 2, 10]),
    ("ijk,jil,kl->", &[&[2, 3, 4], &[3, 2, 5], &[4, 5]], &[], &[97]),
    ("...a,...a->...", &[&[4], &[2, 3, 4]], &[2, 3], &[-22, 39, -21, -15, -20, -14]),
    ("...a->a", &[&[2, 3, 4]], &[4], &[1, -1, -3, 6]),
];

/// Whole numbers, so that sums are exact.
fn operand(number: usize, shape: &[usize], dtype: DType, device: &Device) -> Tensor {
    let count: usize = shape.iter().product();
    let data: Vec<f64> = (0..count).map(|i| ((i * 7 + number * 5 + 3) % 11) as f64 - 5.0).collect();
    tensor(&data, shape, dtype, device)
}

#[test]
fn equations_give_what_torch_gives() {
    for &(equation, shapes, shape, expected) in CASES {
        for device in devices() {
            for dtype in [DType::F32, DType::I32] {
                let operands: Vec<Tensor> =
                    shapes.iter().enumerate().map(|(k, s)| operand(k, s, dtype, device)).collect();
                let found = Tensor::einsum(equation, &operands.iter().collect::<Vec<_>>());
                found.check().unwrap_or_else(|error| panic!("{equation}: {error}"));
                assert_eq!(found.shape(), shape, "{equation}");
                let expected: Vec<f64> = expected.iter().map(|&v| f64::from(v)).collect();
                assert_eq!(values(&found), expected, "{equation} of {dtype}");
                if device.is_cpu() || dtype == DType::I32 {
                    continue;
                }
                // Gradients on the GPU against those of the CPU.
                let grads = |device: &Device| -> Vec<f64> {
                    let leaves: Vec<Tensor> =
                        shapes.iter().enumerate().map(|(k, s)| operand(k, s, dtype, device).requires_grad()).collect();
                    let y = Tensor::einsum(equation, &leaves.iter().collect::<Vec<_>>());
                    let dy = floats(&Rng(3).vec(y.numel(), -1.0, 1.0), y.shape(), device);
                    y.backward_with(&dy).unwrap();
                    leaves.iter().flat_map(|x| values(&x.grad().unwrap())).collect()
                };
                assert_close(equation, &grads(device), &grads(cpu()), 1e-5);
            }
        }
    }
}

#[test]
fn derivatives() -> wgrad::Result<()> {
    let equations: [(&str, &[&[usize]]); 6] = [
        ("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 2]]),
        ("iij,j->i", &[&[3, 3, 2], &[2]]),
        ("i,ij,j->", &[&[3], &[3, 2], &[2]]),
        ("...a,ab->...b", &[&[2, 2, 3], &[3, 2]]),
        ("ij->j", &[&[2, 3]]),
        ("i,j->ji", &[&[2], &[3]]),
    ];
    for (equation, shapes) in equations {
        let operands: Vec<Tensor> = shapes
            .iter()
            .enumerate()
            .map(|(k, s)| floats(&Rng(k as u64).vec(s.iter().product(), -1.0, 1.0), s, cpu()).requires_grad())
            .collect();
        let refs: Vec<&Tensor> = operands.iter().collect();
        let f = |x: &[Tensor]| Tensor::einsum(equation, &x.iter().collect::<Vec<_>>());
        gradcheck(f, &refs, 1e-6)?;
        gradgradcheck(|x| f(x).square(), &refs, 1e-5)?;
    }
    Ok(())
}

/// Sizes 0 and 1, strided operands, and a product large enough for the tiled kernels.
#[test]
fn empty_strided_and_large() {
    for device in devices() {
        let none = Tensor::einsum("ij,jk->ik", &[&Tensor::zeros([2, 0], device), &Tensor::zeros([0, 3], device)]);
        assert_eq!((none.shape(), none.to_vec::<f32>().unwrap()), (&[2usize, 3][..], vec![0.0; 6]));
        assert_eq!(Tensor::einsum("ij->ji", &[&Tensor::zeros([0, 3], device)]).shape(), [3, 0]);
        let (a, b) = (Rng(1).vec(70 * 90, -1.0, 1.0), Rng(2).vec(90 * 50, -1.0, 1.0));
        let (a, b) = (floats(&a, &[90, 70], device), floats(&b, &[90, 50], device));
        let found = Tensor::einsum("ki,kj->ij", &[&a.flip(&[1]), &b]);
        assert_same("strided", &found, &a.flip(&[1]).t().matmul(&b), 1e-5);
    }
}

#[test]
fn other_products() {
    for device in devices() {
        let x = operand(0, &[2, 3, 4], DType::F32, device);
        let y = operand(1, &[4, 3, 5], DType::F32, device);
        let expected = Tensor::einsum("abc,cbd->ad", &[&x, &y]);
        assert_same("tensordot", &x.tensordot(&y, (&[1, 2], &[1, -3])), &expected, 0.0);
        assert_eq!(x.tensordot(&y, (&[], &[])).shape(), [2, 3, 4, 4, 3, 5]);
        let (u, v) =
            (Tensor::from_slice(&[1f32, 2., 3.], [3], device), Tensor::from_slice(&[4f32, 5., 6.], [3], device));
        assert_eq!(u.dot(&v).item::<f32>().unwrap(), 32.0);
        assert_eq!(u.outer(&v.slice(0, 0..2)).to_vec::<f32>().unwrap(), [4., 5., 8., 10., 12., 15.]);
        assert_same("bmm", &x.bmm(&x.transpose(1, 2)), &x.matmul(&x.transpose(1, 2)), 0.0);
        let (a, b) = (x.select(0, 0), y.select(1, 0));
        let base = Tensor::from_slice(&[1f32, 2., 3., 4., 5.], [5], device);
        assert_same("addmm", &base.addmm(&a, &b, 2.0, 0.5), &(a.matmul(&b) * 0.5 + &base * 2.0), 1e-6);
        let nan = base.full_like(f32::NAN);
        assert_same("addmm, beta 0", &nan.addmm(&a, &b, 0.0, 1.0), &a.matmul(&b), 0.0);
        let m = Tensor::from_slice(&[1f32, 2., 3., 4.], [2, 2], device);
        assert_eq!(m.trace().item::<f32>().unwrap(), 5.0);
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    for device in devices() {
        let (a, b, v) = (Tensor::zeros([2, 3], device), Tensor::zeros([4, 5], device), Tensor::zeros([3], device));
        for (found, text) in [
            (Tensor::einsum("ij,jk->ik", &[&a]), "has 2 terms for 1 operands"),
            (Tensor::einsum("ij,jk->ik", &[&a, &b]), "term \"jk\" has size 4 for 'j', which has size 3 before"),
            (Tensor::einsum("ijk->i", &[&a]), "term \"ijk\" names 3 dims of an operand of rank 2"),
            (Tensor::einsum("i->i", &[&a]), "term \"i\" names 1 dims of an operand of rank 2"),
            (Tensor::einsum("ii->i", &[&a]), "term \"ii\" repeats a letter for dims of sizes 2 and 3"),
            (Tensor::einsum("ij->ijk", &[&a]), "names 'k', which no operand has"),
            (Tensor::einsum("ij->ii", &[&a]), "names 'i' twice"),
            (Tensor::einsum("i$->i", &[&a]), "has '$', which is neither a letter nor \"...\""),
            (Tensor::einsum("......->", &[&a]), "has more than one ellipsis"),
            (Tensor::einsum("...i,...i->...", &[&a, &b]), "term \"...i\" has size"),
            (Tensor::einsum("ij->i->j", &[&a]), "which is neither a letter"),
            (a.tensordot(&b, (&[0], &[0])), "tensordot: dims 0 and 0 have sizes 2 and 4"),
            (a.tensordot(&b, (&[0], &[])), "do not pair up"),
            (a.tensordot(&a, (&[0, 0], &[0, 0])), "name one dim twice"),
            (v.dot(&a), "dot: takes operands of rank 1 and 1"),
            (v.dot(&Tensor::zeros([4], device)), "dot: vectors must have one length"),
            (v.outer(&a), "outer: takes operands of rank 1 and 1"),
            (a.bmm(&b), "bmm: takes operands of rank 3 and 3"),
            (b.addmm(&a, &a.t(), 1.0, 1.0), "addmm: "),
            (v.trace(), "trace: takes a matrix"),
        ] {
            let error = found.check().expect_err(text).to_string();
            assert!(error.contains(text) && error.contains("einsum.rs:"), "{error}");
        }
        assert!(Tensor::einsum("", &[]).check().is_err());
    }
}
