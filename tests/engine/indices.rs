//! Indices that come from data are checked on the device.

use wgrad::{Device, Error, Tensor};

use crate::new_gpu;

fn index(values: &[i32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device)
}

/// Reading `result` fails with the index, the bound and the user's line.
#[track_caller]
fn assert_refused(result: &Tensor, line: u32, wrong: i64, size: u64) {
    let error = result.to_vec::<f32>().unwrap_err();
    let text = error.to_string();
    let fits = matches!(error, Error::IndexOutOfRange { index, bound, .. } if (index, bound) == (wrong, size));
    assert!(fits, "{text}");
    let place = format!("{}:{line}:", file!());
    assert!(text.contains(&format!("index {wrong}")) && text.contains(&place), "{text}");
}

#[test]
fn indices_out_of_range_are_errors_and_the_device_goes_on() {
    for d in [new_gpu(), Device::cpu()] {
        let x = Tensor::arange(0.0, 12.0, 1.0, &d).reshape([4, 3]);
        let wide = Tensor::from_slice(&[0i32, 1, 2, 7], [4, 1], &d);
        let (line, selected) = (line!(), x.index_select(0, &index(&[0, 9], &d)));
        assert_refused(&selected, line, 9, 4);
        let (line, gathered) = (line!(), x.gather(1, &wide));
        assert_refused(&gathered, line, 7, 3);
        let (line, embedded) = (line!(), Tensor::embedding(&x, &index(&[3, -5], &d)));
        assert_refused(&embedded, line, -5, 4);
        let (line, added) = (line!(), x.scatter_add(1, &wide, &Tensor::ones([4, 1], &d)));
        assert_refused(&added, line, 7, 3);
        // The error comes once; then the device works as before.
        assert_eq!(x.index_select(0, &index(&[2], &d)).to_vec::<f32>().unwrap(), [6.0, 7.0, 8.0]);
        assert_eq!(x.sum().item::<f32>().unwrap(), 66.0);
    }
}
