//! `+ - * / %` and unary `-` on owned and borrowed tensors and scalars, and the operators that rebind.

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Sub, SubAssign};

use crate::graph::no_grad;
use crate::tensor::Tensor;

macro_rules! binary_operator {
    ($trait:ident, $method:ident, $assign_trait:ident, $assign:ident, $symbol:literal) => {
        binary_operator!(@tensors $trait, $method, Tensor, Tensor);
        binary_operator!(@tensors $trait, $method, Tensor, &Tensor);
        binary_operator!(@tensors $trait, $method, &Tensor, Tensor);
        binary_operator!(@tensors $trait, $method, &Tensor, &Tensor);
        binary_operator!(@scalar $trait, $method, Tensor);
        binary_operator!(@scalar $trait, $method, &Tensor);

        impl $assign_trait<&Tensor> for Tensor {
            #[doc = concat!("`self = self ", $symbol, " other`. A leaf is bound to the new value, outside the graph, and stays a leaf; what read it before keeps the old value.")]
            #[track_caller]
            fn $assign(&mut self, other: &Tensor) {
                if self.is_leaf_with_grad() {
                    let updated = no_grad(|| Tensor::$method(self, other));
                    self.assign(&updated);
                } else {
                    *self = Tensor::$method(self, other);
                }
            }
        }
        impl $assign_trait<Tensor> for Tensor {
            #[track_caller]
            fn $assign(&mut self, other: Tensor) {
                $assign_trait::$assign(self, &other);
            }
        }
        impl $assign_trait<f32> for Tensor {
            #[track_caller]
            fn $assign(&mut self, other: f32) {
                if self.is_leaf_with_grad() {
                    let updated = no_grad(|| Tensor::$method(self, other));
                    self.assign(&updated);
                } else {
                    *self = Tensor::$method(self, other);
                }
            }
        }
    };
    (@tensors $trait:ident, $method:ident, $left:ty, $right:ty) => {
        impl $trait<$right> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $right) -> Tensor {
                let (left, right): (&Tensor, &Tensor) = (&self, &other);
                Tensor::$method(left, right)
            }
        }
    };
    (@scalar $trait:ident, $method:ident, $left:ty) => {
        impl $trait<f32> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f32) -> Tensor {
                let left: &Tensor = &self;
                Tensor::$method(left, other)
            }
        }
        impl $trait<$left> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $left) -> Tensor {
                let right: &Tensor = &other;
                Tensor::$method(&right.scalar_beside(self), right)
            }
        }
    };
}

binary_operator!(Add, add, AddAssign, add_assign, "+");
binary_operator!(Sub, sub, SubAssign, sub_assign, "-");
binary_operator!(Mul, mul, MulAssign, mul_assign, "*");
binary_operator!(Div, div, DivAssign, div_assign, "/");
binary_operator!(Rem, rem, RemAssign, rem_assign, "%");

impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(&self)
    }
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(self)
    }
}
