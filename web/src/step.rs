//! Captured steps.

use std::rc::Rc;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wgrad::{Captured, Shape};

use crate::data::{self, Tensor};
use crate::{exception, named, promise};

/// A training step, or any other, that was captured once and is run with new inputs. It holds its parameters and the optimizer's state.
#[wasm_bindgen]
pub struct Step(Rc<Captured<'static>>);

impl Step {
    pub(crate) fn new(step: Captured<'static>) -> Step {
        Step(Rc::new(step))
    }

    fn variable(&self, name: &str) -> Result<wgrad::Variable, JsValue> {
        self.0.variable(name).ok_or_else(|| named("Argument", format!("the step has no variable {name:?}")))
    }
}

#[wasm_bindgen]
impl Step {
    /// Runs the step on typed arrays, whose shapes are those that it was captured with, and returns its outputs: for a training step
    /// most often the loss. It does not wait; reading an output does.
    pub fn run(
        &self,
        #[wasm_bindgen(unchecked_param_type = "(Float32Array | Int32Array | Uint32Array)[]")] inputs: Vec<JsValue>,
    ) -> Result<Vec<Tensor>, JsValue> {
        let mut lengths = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            let length = data::length(input);
            lengths
                .push(length.ok_or_else(|| named("DType", format!("input {i} is no typed array of 32-bit elements")))?);
        }
        let variants = self.0.inputs();
        let fits = |variant: &&Vec<(wgrad::DType, Shape)>| {
            variant.iter().map(|(_, shape)| shape.numel()).eq(lengths.iter().copied())
        };
        let Some(variant) = variants.iter().find(fits) else {
            let known: Vec<String> = variants.iter().map(|variant| describe(variant)).collect();
            let detail = format!("inputs of {lengths:?} elements; the step was captured for {}", known.join(", or "));
            return Err(named("Shape", detail));
        };
        let tensors = inputs.iter().zip(variant);
        let tensors = tensors.map(|(input, (_, shape))| data::tensor(input, shape, self.0.device()));
        let tensors = tensors.collect::<Result<Vec<_>, JsValue>>()?;
        let outputs = self.0.run(&tensors).map_err(exception)?;
        Ok(outputs.into_iter().map(Tensor).collect())
    }

    /// The shapes and types of its inputs, in words, one text for each variant that was captured.
    #[wasm_bindgen(getter)]
    pub fn inputs(&self) -> Vec<String> {
        self.0.inputs().iter().map(|variant| describe(variant)).collect()
    }

    /// The names of its variables: parameters, their gradients, the optimizer's state.
    #[wasm_bindgen(getter)]
    pub fn names(&self) -> Vec<String> {
        self.0.variables().iter().map(|variable| variable.name().to_owned()).collect()
    }

    /// The present value of a variable.
    pub fn get(&self, name: &str) -> Result<Tensor, JsValue> {
        let value = self.variable(name)?.get();
        value.map(Tensor).ok_or_else(|| named("Argument", format!("the variable {name:?} has no value now")))
    }

    /// Gives a variable another value of the same shape and type.
    pub fn set(&self, name: &str, value: &Tensor) -> Result<(), JsValue> {
        self.variable(name)?.set(&value.0).map_err(exception)
    }

    /// The learning rates.
    #[wasm_bindgen(getter)]
    pub fn rates(&self) -> Vec<f32> {
        self.0.rates().iter().map(wgrad::optim::Rate::get).collect()
    }

    /// Changes a learning rate for the runs to come.
    #[wasm_bindgen(js_name = setRate)]
    pub fn set_rate(&self, index: usize, rate: f32) -> Result<(), JsValue> {
        let rates = self.0.rates();
        let Some(own) = rates.get(index) else {
            return Err(named("Argument", format!("there is no learning rate {index}; the step has {}", rates.len())));
        };
        own.set(rate);
        Ok(())
    }

    /// The step with the values of this moment, as the bytes of a safetensors file: `Device.loadStep` reads them here, and
    /// `wgrad::load_captured` on any other machine.
    #[wasm_bindgen(js_name = toBytes, unchecked_return_type = "Promise<Uint8Array>")]
    pub fn to_bytes(&self) -> Promise {
        let bytes = self.0.to_bytes_async();
        promise(async move { Ok(Uint8Array::from(&bytes.await?[..])) })
    }
}

fn describe(variant: &[(wgrad::DType, Shape)]) -> String {
    let inputs: Vec<String> = variant.iter().map(|(dtype, shape)| format!("{dtype} {shape}")).collect();
    inputs.join(" and ")
}
