// How far a pair is at a position below 2^16: upper word of first + position step, for 64-bit numbers in two words.
//
// Needs of the generator: load_table, params.positions
// Gives: phase, position_of
fn position_of(row: u32) -> u32 { return row % params.positions; }
fn phase(pair: u32, position: u32) -> u32 {
    let at = pair * 4u;
    // position and the upper half of the step's low word are below 2^16.
    let carry = (position * (load_table(at + 3u) >> 16u)) >> 16u;
    return load_table(at) + position * load_table(at + 2u) + carry;
}
