// Elements one at a time.
alias Part = T;
