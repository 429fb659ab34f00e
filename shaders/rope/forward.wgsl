// Rotary position embedding (Su et al. 2021) of x [.., positions, 2 half]: the pair (x_i, x_{i + half}) at position p turns by the
// angle (offset + p) theta^(-i / half). The gradient turns back: SIGN_IS_MINUS = 1.
//
// table[i] holds two numbers of 64 bits, high word first: how far pair i is at position 0 and how far it goes a position, in
// 2^-64 of a full turn. Whole turns drop out of the integer sum by themselves, so far positions lose no accuracy.
// phase(pair, position_of(row)) is how far a pair of a row iterations, in 2^-32 of a full turn.
//
// Needs of rope/offsets or rope/positions: phase, position_of
// Needs of the generator: SIGN_IS_MINUS, WORKGROUP, load_x, params.half, params.total, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let size = params.half * 2u;
    let i = p % size;
    let pair = i % params.half;
    let turn = sin_cos(f32(bitcast<i32>(phase(pair, position_of(p / size)))) * 1.46291807926715968e-9);
    let sine = select(turn.x, -turn.x, SIGN_IS_MINUS == 1u);
    // The first of a pair turns towards the second, the second away from the first.
    if (i < params.half) {
        store(p, load_x(p) * turn.y - load_x(p + params.half) * sine);
    } else {
        store(p, load_x(p) * turn.y + load_x(p - params.half) * sine);
    }
}
