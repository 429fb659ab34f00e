// Masks of a matrix with `cols` columns; element i lies at row i / cols and column i % cols, diagonal k at column = row + k.
fn mask_eye(i: u32, cols: u32, k: i32) -> bool { return i32(i % cols) == i32(i / cols) + k; }
fn mask_tril(i: u32, cols: u32, k: i32) -> bool { return i32(i % cols) <= i32(i / cols) + k; }
fn mask_triu(i: u32, cols: u32, k: i32) -> bool { return i32(i % cols) >= i32(i / cols) + k; }
