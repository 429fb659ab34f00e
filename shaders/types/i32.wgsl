// Gives: T
alias T = i32;
