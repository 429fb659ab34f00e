// Elements one at a time.
//
// Needs of scan/affine or types/f32 or types/i32 or types/u32: T
// Gives: Part
alias Part = T;
