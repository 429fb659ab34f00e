//! Indices that come from data are checked on the device.

use wgrad::nn::loss;
use wgrad::{Device, Error, Tensor};

use crate::new_gpu;

fn index(values: &[i32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device)
}

/// Reading `result` fails with the index, the bound and the user's line.
#[track_caller]
fn assert_refused(result: &Tensor, line: u32, op: &str, wrong: i64, size: u64, shape: &str) {
    let error = result.to_vec::<f32>().unwrap_err();
    let text = error.to_string();
    let fits = matches!(error, Error::IndexOutOfRange { index, bound, .. } if (index, bound) == (wrong, size));
    assert!(fits, "{text}");
    let place = format!("{}:{line}:", file!());
    assert!(
        text.starts_with(&format!("{op}: index {wrong} ")) && text.contains(shape) && text.contains(&place),
        "{text}"
    );
}

#[test]
fn indices_out_of_range_are_errors_and_the_device_goes_on() {
    for d in [new_gpu(), Device::cpu()] {
        let x = Tensor::arange(0.0, 12.0, 1.0, &d).reshape([4, 3]);
        let wide = Tensor::from_slice(&[0i32, 1, 2, 7], [4, 1], &d);
        let (line, selected) = (line!(), x.index_select(0, &index(&[0, 9], &d)));
        assert_refused(&selected, line, "index_select", 9, 4, "[4, 3]");
        let (line, gathered) = (line!(), x.gather(1, &wide));
        assert_refused(&gathered, line, "gather", 7, 3, "[4, 3]");
        let (line, embedded) = (line!(), Tensor::embedding(&x, &index(&[3, -5], &d)));
        assert_refused(&embedded, line, "embedding", -5, 4, "[4, 3]");
        let (line, added) = (line!(), x.scatter_add(1, &wide, &Tensor::ones([4, 1], &d)));
        assert_refused(&added, line, "scatter_add", 7, 3, "[4, 3]");
        let (line, set) = (line!(), x.scatter(1, &wide, &Tensor::ones([4, 1], &d)));
        assert_refused(&set, line, "scatter", 7, 3, "[4, 3]");
        let (line, loss) = (line!(), loss::cross_entropy(&x, &index(&[0, 1, 3, 2], &d)));
        assert_refused(&loss, line, "cross_entropy", 3, 3, "[4, 3]");
        // The error comes once; then the device works as before.
        assert_eq!(x.index_select(0, &index(&[2], &d)).to_vec::<f32>().unwrap(), [6.0, 7.0, 8.0]);
        assert_eq!(x.sum().item::<f32>().unwrap(), 66.0);
    }
}
