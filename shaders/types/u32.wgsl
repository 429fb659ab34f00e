// Gives: T
alias T = u32;
