//! Sizes that no memory holds: an error each, never the end of the process, and the device goes on.

use wgrad::nn::loss;
use wgrad::{Conv, ConvTranspose, DType, Device, Error, Interpolate, Tensor};

use crate::new_gpu;

/// Larger than any machine's memory in each dim of two.
const HUGE: usize = 1 << 20;

type Case = (&'static str, fn(&Device) -> Tensor);

fn small(shape: &[usize], d: &Device) -> Tensor {
    Tensor::ones(shape, d)
}

/// Ops whose operands fit, and whose results, or what is needed on the way there, do not.
const CASES: &[Case] = &[
    ("add", |d| Tensor::zeros([HUGE, HUGE], d) + 1.0),
    ("mul of a row and a column", |d| small(&[HUGE, 1], d) * small(&[1, HUGE], d)),
    ("exp", |d| small(&[1], d).expand([HUGE, HUGE]).exp()),
    ("sum", |d| small(&[HUGE, 1], d).expand([HUGE, HUGE]).sum()),
    ("sum_dims", |d| small(&[1, HUGE], d).expand([HUGE, HUGE]).sum_dims(&[0], false)),
    ("max", |d| small(&[HUGE, 1], d).expand([HUGE, HUGE]).max()),
    ("argmax", |d| small(&[HUGE, 1], d).expand([HUGE, HUGE]).argmax(1, false)),
    ("mean, var", |d| small(&[HUGE, 1], d).expand([HUGE, HUGE]).var(1.0)),
    ("softmax", |d| small(&[HUGE, 1], d).expand([HUGE, HUGE]).softmax(-1)),
    ("cumsum", |d| small(&[HUGE, 1], d).expand([HUGE, HUGE]).cumsum(0)),
    ("sort", |d| small(&[HUGE, 1], d).expand([HUGE, HUGE]).sort(1, false).0),
    ("matmul", |d| small(&[HUGE << 2, 1], d).matmul(&small(&[1, HUGE << 2], d))),
    ("einsum", |d| Tensor::einsum("i,j->ij", &[&small(&[HUGE], d), &small(&[HUGE], d)])),
    ("cat", |d| {
        let x = small(&[1, HUGE], d).expand([HUGE, HUGE]);
        Tensor::cat(&[&x, &x], 0)
    }),
    ("pad", |d| small(&[2, 2], d).pad(&[(0, HUGE), (HUGE, 0)], 0.0)),
    ("repeat", |d| small(&[2, 2], d).repeat(&[HUGE, HUGE])),
    ("one_hot", |d| Tensor::arange(0.0, 1e6, 1.0, d).to_dtype(DType::I32).one_hot(HUGE << 4)),
    ("arange", |d| Tensor::arange(0.0, 4e9, 1.0, d) + Tensor::zeros([HUGE, 1], d)),
    ("linspace", |d| Tensor::linspace(0.0, 1.0, 1 << 50, d)),
    ("eye", |d| Tensor::eye(HUGE, d)),
    ("randn", |d| Tensor::randn([HUGE, HUGE], d)),
    ("gather", |d| {
        let index = Tensor::from_slice(&[0i32], [1, 1], d).expand([HUGE, HUGE]);
        small(&[HUGE, 1], d).gather(1, &index)
    }),
    ("embedding", |d| {
        let index = Tensor::from_slice(&[0i32], [1], d).expand([HUGE << 2]);
        Tensor::embedding(&small(&[1, 1], d).expand([1, HUGE << 2]), &index)
    }),
    ("conv2d by its padding", |d| {
        let options = Conv { padding: (HUGE / 2).into(), ..Conv::default() };
        small(&[1, 1, 2, 2], d).conv2d(&small(&[1, 1, 1, 1], d), None, options)
    }),
    ("conv_transpose2d by its stride", |d| {
        let options = ConvTranspose { stride: HUGE.into(), ..ConvTranspose::default() };
        small(&[1, 1, 3, 3], d).conv_transpose2d(&small(&[1, 1, 1, 1], d), None, options)
    }),
    ("interpolate", |d| small(&[1, 1, 2, 2], d).interpolate(&[HUGE, HUGE], Interpolate::Bilinear)),
    ("unfold", |d| small(&[HUGE], d).expand([HUGE, HUGE]).unfold(1, HUGE / 2, 1)),
    ("attention", |d| {
        let q = small(&[1, 1, 1, 1], d).expand([1, HUGE, HUGE, 1]);
        q.scaled_dot_product_attention(&q, &q, None, false)
    }),
    ("rope", |d| small(&[1, 1, 1, 1], d).expand([1, 1, 1, 1 << 42]).rope(10_000.0, 0)),
    ("to_dtype", |d| small(&[1], d).expand([HUGE, HUGE]).to_dtype(DType::I32)),
    ("cross_entropy", |d| {
        let targets = Tensor::from_slice(&[0i32], [1], d).expand([HUGE]);
        loss::cross_entropy(&small(&[1, 1], d).expand([HUGE, HUGE]), &targets)
    }),
];

#[test]
fn the_reference_refuses_what_memory_does_not_hold() {
    let d = Device::cpu();
    for (name, make) in CASES {
        let error = make(&d).to_device(&Device::cpu()).check().unwrap_err();
        let text = error.to_string();
        match error {
            Error::OutOfMemory { op, shape: Some(shape), asked, at, .. } => {
                assert!(!op.is_empty() && asked >= 1 << 40 && shape.numel() as u64 > 1 << 30, "{name}: {text}");
                assert!(at.0.is_some_and(|at| at.file() == file!()), "{name}: {text}");
            }
            // Numbers from an index end at 2^32, and no shape has more than 2^48 elements.
            Error::Argument { .. } => assert!(text.contains("elements"), "{name}: {text}"),
            _ => panic!("{name}: {text}"),
        }
        assert_eq!(Tensor::arange(0.0, 5.0, 1.0, &d).sum().item::<f32>().unwrap(), 10.0, "after {name}");
    }
}

/// A value that cannot be computed does not hold up what others compute, though somebody still holds it.
#[test]
fn what_is_too_large_holds_up_nothing_else() {
    for d in [Device::cpu(), new_gpu()] {
        let huge = Tensor::zeros([HUGE, HUGE], &d).exp();
        let x = Tensor::ones([3], &d).exp();
        assert!(d.sync().is_err());
        d.sync().unwrap();
        let y = &x * 2.0;
        d.sync().unwrap();
        assert!((y.to_vec::<f32>().unwrap()[0] - 2.0 * 1f32.exp()).abs() < 1e-5);
        for _ in 0..2 {
            assert!(huge.to_vec::<f32>().is_err());
        }
        d.sync().unwrap();
    }
}

/// Values of the host whose size a shape decides.
#[test]
fn arrays_and_loaders_refuse_what_memory_does_not_hold() {
    use wgrad::data::{DataLoader, Dataset};

    let one = ndarray::arr0(1f32);
    let wide = one.broadcast((HUGE, HUGE)).unwrap();
    for d in [Device::cpu(), new_gpu()] {
        let error = Tensor::from_array(&wide, &d).check().unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    }

    struct Endless;
    impl Dataset for Endless {
        fn len(&self) -> usize {
            1 << 50
        }
        fn batch(&self, indices: &[usize], device: &Device) -> wgrad::Result<Vec<Tensor>> {
            Ok(vec![Tensor::zeros([indices.len()], device)])
        }
    }
    for prefetch in [0, 2] {
        let mut loader = DataLoader::new(Endless, 4, &Device::cpu()).prefetch(prefetch);
        assert!(matches!(loader.next_batch(), Err(Error::OutOfMemory { .. })));
    }
}

/// A sparse file may be longer than memory.
#[cfg(target_os = "linux")]
#[test]
fn files_longer_than_memory_are_refused() {
    let path = std::env::temp_dir().join(format!("wgrad-sparse-{}.npy", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    // Not every file system takes so long a file.
    if file.set_len(1 << 43).is_ok() {
        let error = wgrad::data::Csv::load(&path).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
        assert!(wgrad::io::load_npz(&path, &Device::cpu()).is_err());
        assert!(wgrad::io::load_safetensors(&path, &Device::cpu()).is_err());
    }
    drop(file);
    std::fs::remove_file(&path).unwrap();
}
