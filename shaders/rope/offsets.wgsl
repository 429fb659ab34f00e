// As positions.wgsl with a position of 32 bits, and its sign: an offset for each sequence is added, which another kernel may have made.
//
// Needs of the generator: load_offset, load_table, params.positions
// Gives: phase, position_of
fn position_of(row: u32) -> u32 { return row % params.positions + u32(load_offset(row / params.positions)); }
fn phase(pair: u32, position: u32) -> u32 {
    let at = pair * 4u;
    let low = load_table(at + 3u);
    // The upper word of position low, of 64 bits, by halves of the words.
    let middle = (low >> 16u) * (position & 0xffffu) + (((low & 0xffffu) * (position & 0xffffu)) >> 16u);
    let carry = ((low & 0xffffu) * (position >> 16u) + (middle & 0xffffu)) >> 16u;
    let upper = (low >> 16u) * (position >> 16u) + (middle >> 16u) + carry;
    // A negative position is 2^32 below what its bits say.
    return load_table(at) + position * load_table(at + 2u) + upper - select(0u, low, (position >> 31u) == 1u);
}
