//! `+ - * / %` and unary `-` on owned and borrowed tensors and numbers, and the operators that rebind.

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Sub, SubAssign};

use crate::graph::no_grad;
use crate::tensor::Tensor;
use crate::tensor::elementwise::Operand;

// One impl for all right sides, so that what an operator gives is known to be a tensor before the type of a literal is.
macro_rules! binary_operator {
    ($trait:ident, $method:ident, $assign_trait:ident, $assign:ident, $symbol:literal) => {
        binary_operator!(@left $trait, $method, Tensor);
        binary_operator!(@left $trait, $method, &Tensor);

        impl<R: Operand> $assign_trait<R> for Tensor {
            #[doc = concat!("`self = self ", $symbol, " other`. A leaf is bound to the new value, outside the graph, and stays a leaf; what read it before keeps the old value.")]
            #[track_caller]
            fn $assign(&mut self, other: R) {
                if self.is_leaf_with_grad() {
                    let updated = no_grad(|| Tensor::$method(self, other));
                    self.assign(&updated);
                } else {
                    *self = Tensor::$method(self, other);
                }
            }
        }
    };
    (@left $trait:ident, $method:ident, $left:ty) => {
        impl<R: Operand> $trait<R> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: R) -> Tensor {
                let left: &Tensor = &self;
                Tensor::$method(left, other)
            }
        }
        binary_operator!(@number $trait, $method, f64, $left);
        binary_operator!(@number $trait, $method, i32, $left);
    };
    // Of floats only f64 stands on the left: of two types, a literal would have to say which.
    (@number $trait:ident, $method:ident, $left:ty, $right:ty) => {
        impl $trait<$right> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $right) -> Tensor {
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
