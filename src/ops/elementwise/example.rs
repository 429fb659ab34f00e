//! The examples in the docs of the methods that the table makes.

/// The operands of an example of an op of this kind.
macro_rules! operands {
    (Logical) => {
        "# let [x, a, b] = [true, false, true].map(|v| Tensor::from_slice(&[v, !v], [2], &device));\n"
    };
    (Select) => {
        "# let condition = Tensor::from_slice(&[true, false], [2], &device);\n\
         # let [a, b] = [0.5f32, 0.75].map(|v| Tensor::full([2], v, &device));\n"
    };
    ($kind:ident) => {
        "# let [x, a, b, middle] = [0.25f32, 0.5, 0.75, 0.5].map(|v| Tensor::full([2], v, &device));\n"
    };
}

/// The Rust type of the elements that an op of this kind gives for the operands above.
macro_rules! given {
    (Compare) => {
        "bool"
    };
    (Test) => {
        "bool"
    };
    (Logical) => {
        "bool"
    };
    ($kind:ident) => {
        "f32"
    };
}

/// The text of a call of an op on operands of that kind, each with `$of` behind it; numbers are 0.5.
macro_rules! call {
    ($of:literal $first:ident $name:ident) => {
        concat!(stringify!($first), $of, ".", stringify!($name), "()")
    };
    ($of:literal $first:ident $name:ident; $scalar:ident $(, $more:ident)*) => {
        concat!(stringify!($first), $of, ".", stringify!($name), "(0.5", $(call!(@number $more),)* ")")
    };
    ($of:literal $first:ident $name:ident, $rest:ident $(, $others:ident)* $(; $($scalar:ident),+)?) => {
        concat!(
            stringify!($first), $of, ".", stringify!($name), "(&", stringify!($rest), $of,
            $(call!(@operand $others $of),)* $($(call!(@number $scalar),)+)? ")"
        )
    };
    (@operand $other:ident $of:literal) => {
        concat!(", &", stringify!($other), $of)
    };
    (@number $scalar:ident) => {
        ", 0.5"
    };
}

pub(crate) use {call, given, operands};
