// Gives: T
alias T = f32;
