//! Calls at the edges of shapes that PyTorch takes: scalars, empty vectors, dims of other sizes, samples without a batch dim.

use wgrad::nn::{BatchNorm1d, Module, MultiheadAttention, Parameters, RmsNorm, loss};
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::hardware;

fn devices() -> [&'static Device; 3] {
    [cpu(), gpu(), hardware()]
}

fn leaf(data: &[f64], shape: &[usize], device: &Device) -> Tensor {
    floats(data, shape, device).requires_grad()
}

fn index(data: &[i32], shape: &[usize], device: &Device) -> Tensor {
    Tensor::from_slice(data, shape, device)
}

#[track_caller]
fn gradient(x: &Tensor) -> Vec<f64> {
    values(&x.grad().expect("a gradient"))
}

#[test]
fn squeeze_and_t_leave_what_does_not_fit() -> wgrad::Result<()> {
    for device in devices() {
        let x = leaf(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 1, 3], device);
        for dim in [0, 2, -1, -3] {
            assert_eq!(x.squeeze(dim).shape(), [2, 1, 3]);
        }
        assert_eq!(x.squeeze(1).shape(), [2, 3]);
        assert!(x.squeeze(3).check().is_err());
        let (vector, scalar) = (x.flatten(0, -1), x.sum());
        assert_eq!((vector.t().shape(), scalar.t().shape()), (&[6usize][..], &[][..]));
        assert_eq!((scalar.squeeze(0).shape(), scalar.squeeze(-1).shape()), (&[][..], &[][..]));
        assert!(scalar.squeeze(1).check().is_err());
        (vector.t() * x.squeeze(2).flatten(0, -1)).sum().backward()?;
        assert_eq!(gradient(&x), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    }
    Ok(())
}

#[test]
fn indices_of_scalars_and_shorter_indices() -> wgrad::Result<()> {
    for device in devices() {
        // Shorter in the other dims, whichever dim is indexed.
        let x = leaf(&(0..24).map(f64::from).collect::<Vec<_>>(), &[2, 3, 4], device);
        let y = x.gather(1, &index(&[2, 0, 1, 1], &[1, 2, 2], device));
        assert_eq!((y.shape(), values(&y)), (&[1usize, 2, 2][..], vec![8.0, 1.0, 4.0, 5.0]));
        y.sum().backward()?;
        assert_eq!(gradient(&x).iter().sum::<f64>(), 4.0);
        assert_eq!(values(&x.gather(0, &index(&[1; 6], &[3, 1, 2], device))), [12.0, 13.0, 12.0, 13.0, 12.0, 13.0]);
        assert_eq!(x.gather(2, &index(&[], &[2, 0, 4], device)).shape(), [2, 0, 4]);

        let scalar = leaf(&[5.0], &[], device);
        for dim in [0, -1] {
            let (zero, zeros) = (index(&[0], &[], device), index(&[0, 0], &[2], device));
            let y = scalar.gather(dim, &zero);
            assert_eq!((y.shape(), values(&y)), (&[][..], vec![5.0]));
            let y = scalar.gather(dim, &zeros);
            assert_eq!((y.shape(), values(&y)), (&[2usize][..], vec![5.0, 5.0]));
            scalar.zero_grad();
            y.sum().backward()?;
            assert_eq!(gradient(&scalar), [2.0]);
            for at in [&zero, &index(&[0], &[1], device)] {
                let y = scalar.index_select(dim, at);
                assert_eq!((y.shape(), values(&y)), (&[][..], vec![5.0]));
                let (source, source_of_one) = (leaf(&[7.0], &[], device), leaf(&[7.0], &[1], device));
                for s in [&source, &source_of_one] {
                    for (y, expected) in [
                        (scalar.scatter(dim, at, s), 7.0),
                        (scalar.scatter_add(dim, at, s), 12.0),
                        (scalar.index_add(dim, at, s), 12.0),
                        (scalar.index_copy(dim, at, s), 7.0),
                        (scalar.index_fill(dim, at, 9.0), 9.0),
                    ] {
                        assert_eq!((y.shape(), values(&y)), (&[][..], vec![expected]));
                    }
                }
                scalar.zero_grad();
                scalar.scatter_add(dim, at, &source).backward()?;
                assert_eq!((gradient(&scalar), gradient(&source)), (vec![1.0], vec![1.0]));
            }
        }
        assert!(scalar.index_select(0, &index(&[0, 0], &[2], device)).check().is_err());
        assert!(scalar.gather(1, &index(&[0], &[], device)).check().is_err());
        assert!(scalar.gather(0, &index(&[1], &[], device)).to_vec::<f64>().is_err());
        // One number picks from a vector.
        let vector = leaf(&[3.0, 4.0], &[2], device);
        assert_eq!(vector.gather(0, &index(&[1], &[], device)).rank(), 0);
        let y = vector.index_select(0, &index(&[1], &[], device));
        assert_eq!((y.shape(), values(&y)), (&[1usize][..], vec![4.0]));
    }
    Ok(())
}

#[test]
fn empty_vectors_join_anything() -> wgrad::Result<()> {
    for device in devices() {
        let (empty, x) = (floats(&[], &[0], device), leaf(&[1.0, 2.0, 3.0, 4.0], &[2, 2], device));
        for (parts, dim) in [(vec![&empty, &x], 1), (vec![&x, &empty, &x], 0), (vec![&empty, &empty, &x], -2)] {
            let y = Tensor::cat(&parts, dim);
            let alone = Tensor::cat(&vec![&x; parts.iter().filter(|p| p.numel() > 0).count()], dim);
            assert_eq!((y.shape(), values(&y)), (alone.shape(), values(&alone)));
        }
        Tensor::cat(&[&empty, &x], 0).sum().backward()?;
        assert_eq!(gradient(&x), [1.0; 4]);
        assert_eq!(Tensor::cat(&[&empty, &empty], 0).shape(), [0]);
        assert_eq!(Tensor::cat(&[&empty, &x.flatten(0, 1)], 0).shape(), [4]);
        // Its type counts all the same.
        let whole = Tensor::from_slice(&[1i32, 2], [1, 2], device);
        assert_eq!(Tensor::cat(&[&empty, &whole], 0).dtype(), empty.dtype());
        assert!(Tensor::cat(&[&floats(&[], &[0, 3], device), &x], 0).check().is_err());
        assert!(Tensor::cat(&[&empty, &x], 2).check().is_err());
    }
    Ok(())
}

#[test]
fn rms_norm_over_several_dims() -> wgrad::Result<()> {
    let mut rng = Rng(5);
    let (data, weights) = (rng.vec(60, -2.0, 2.0), rng.vec(12, 0.5, 1.5));
    let upstream = rng.vec(60, -1.0, 1.0);
    let mut expected = None;
    for device in devices() {
        let (x, w) = (leaf(&data, &[5, 3, 4], device), leaf(&weights, &[3, 4], device));
        let y = x.rms_norm_dims(2, &w, 1e-3);
        // By hand.
        let by_hand: Vec<f64> = data
            .chunks(12)
            .flat_map(|row| {
                let size = (row.iter().map(|v| v * v).sum::<f64>() / 12.0 + 1e-3).sqrt();
                row.iter().zip(&weights).map(move |(v, w)| v / size * w).collect::<Vec<_>>()
            })
            .collect();
        assert_close("rms_norm", &values(&y), &by_hand, 1e-6);
        y.backward_with(&floats(&upstream, &[5, 3, 4], device))?;
        let gradients = [gradient(&x), gradient(&w)].concat();
        assert_close("gradients", &gradients, expected.get_or_insert(gradients.clone()), 1e-5);
        let layer = RmsNorm::new([3, 4], device).eps(1e-3);
        assert_eq!(layer.weight.shape(), [3, 4]);
        let like = layer.forward(&x.to_dtype(DType::F32));
        assert_close("layer", &values(&like), &values(&x.rms_norm_dims(2, None, 1e-3)), 1e-5);
        assert!(x.rms_norm_dims(4, None, 1e-3).check().is_err());
        assert!(x.rms_norm_dims(2, &w.t(), 1e-3).check().is_err());
    }
    Ok(())
}

#[test]
fn attention_without_batch_and_heads() -> wgrad::Result<()> {
    let mut rng = Rng(6);
    let [q, k, v] = [(); 3].map(|()| rng.vec(2 * 5 * 8, -1.0, 1.0));
    let mask = rng.vec(25, -1.0, 1.0);
    for device in devices() {
        for causal in [false, true] {
            let run = |shape: &[usize], mask_shape: Option<&[usize]>| {
                let count = shape.iter().product();
                let leaves = [&q, &k, &v].map(|data| leaf(&data[..count], shape, device));
                let mask = mask_shape.map(|shape| floats(&mask, shape, device));
                let y = leaves[0].scaled_dot_product_attention(&leaves[1], &leaves[2], mask.as_ref(), causal);
                assert_eq!(y.shape(), shape);
                y.square().sum().backward().unwrap();
                [values(&y)].into_iter().chain(leaves.iter().map(gradient)).flatten().collect::<Vec<_>>()
            };
            for (mask, with_heads) in [(None, None), (Some(&[5usize, 5][..]), Some(&[1usize, 5, 5][..]))] {
                let whole = run(&[1, 2, 5, 8], mask);
                assert_close("[heads, seq, d]", &run(&[2, 5, 8], mask), &whole, 1e-6);
                assert_close("a mask of heads", &run(&[2, 5, 8], with_heads), &whole, 1e-6);
                assert_close("[seq, d]", &run(&[5, 8], mask), &run(&[1, 1, 5, 8], mask), 1e-6);
            }
        }
        let layer = MultiheadAttention::new(8, 2, device);
        let x = Tensor::randn([5, 8], device);
        let (y, batched) = (layer.forward(&x), layer.forward(&x.unsqueeze(0)));
        assert_eq!(y.shape(), [5, 8]);
        assert_close("MultiheadAttention", &values(&y), &values(&batched), 1e-5);
    }
    Ok(())
}

#[test]
fn losses_of_one_sample() -> wgrad::Result<()> {
    for device in devices() {
        let weight = Some(floats(&[0.5, 1.0, 2.0], &[3], device));
        let options =
            loss::CrossEntropy { label_smoothing: 0.25, weight: weight.clone(), ..loss::CrossEntropy::default() };
        let ignoring = loss::CrossEntropy { ignore_index: Some(0), weight, ..loss::CrossEntropy::default() };
        type Loss<'a> = Box<dyn Fn(&Tensor, &Tensor) -> Tensor + 'a>;
        let losses: [(&str, Loss); 6] = [
            ("cross_entropy", Box::new(loss::cross_entropy)),
            ("with options", Box::new(|x, t| loss::cross_entropy_with(x, t, &options))),
            ("ignoring", Box::new(|x, t| loss::cross_entropy_with(x, t, &ignoring))),
            ("nll", Box::new(loss::nll)),
            ("nll_with", Box::new(|x, t| loss::nll_with(x, t, &ignoring))),
            ("multi_margin", Box::new(|x, t| loss::multi_margin(x, t, 1.0))),
        ];
        for (name, f) in losses {
            let data = [0.3, -1.2, 0.8];
            let (one, batch) = (leaf(&data, &[3], device), leaf(&data, &[1, 3], device));
            let y = f(&one, &index(&[2], &[], device));
            let expected = f(&batch, &index(&[2], &[1], device));
            assert_eq!(y.rank(), 0, "{name}");
            assert_close(name, &values(&y), &values(&expected), 1e-7);
            y.backward()?;
            expected.backward()?;
            assert_close(name, &gradient(&one), &gradient(&batch), 1e-7);
            assert!(f(&one, &index(&[3], &[], device)).to_vec::<f64>().is_err(), "{name}");
            assert!(f(&one, &index(&[1, 2], &[2], device)).check().is_err(), "{name}");
        }
        let x = floats(&[0.3, -1.2, 0.8], &[3], device);
        assert_eq!(loss::multi_margin(&x, &index(&[2], &[1], device), 1.0).rank(), 0);
        let sign = floats(&[1.0], &[], device);
        assert_eq!(loss::cosine_embedding(&x, &x, &sign, 0.0).rank(), 0);
        assert_eq!(loss::triplet_margin(&x, &x, &x, 1.0, 2.0).rank(), 0);
    }
    Ok(())
}

#[test]
fn states_without_counts_of_batches() -> wgrad::Result<()> {
    for device in [cpu(), gpu()] {
        let (from, to) = (BatchNorm1d::new(3, device), BatchNorm1d::new(3, device));
        let _ = from.forward(&Tensor::randn([4, 3], device));
        let _ = to.forward(&Tensor::randn([4, 3], device));
        let _ = to.forward(&Tensor::randn([4, 3], device));
        let mut old = from.state_dict();
        assert!(old.remove("num_batches_tracked").is_some());
        to.load_state_dict(&old)?;
        assert_eq!(to.num_batches_tracked.item::<i32>()?, 2);
        assert_eq!(values(&to.running_mean), values(&from.running_mean));
        assert!(to.load_matching(&old)?.missing.is_empty());
        old.remove("running_mean");
        let error = to.load_state_dict(&old).unwrap_err().to_string();
        assert!(error.contains("1 missing: running_mean [3]"), "{error}");
    }
    Ok(())
}
