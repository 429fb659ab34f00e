// What the blocked convolution kernels share. They are for adapters that run shaders on CPU cores, with subgroups of eight or
// more lanes: there each lane's load is a step of its own and costs most, and a broadcast costs almost nothing. So a subgroup computes ROWS
// channels (32, 16 or 8) of LANES places; a lane has one place and all ROWS sums in registers. The operand that differs from channel
// to channel is loaded once a subgroup and goes round by broadcast.

// ROWS sums: rows 8 i .. 8 i + 8 are parts 2 i and 2 i + 1.
struct Sums {
    part0: vec4<f32>,
    part1: vec4<f32>,
    part2: vec4<f32>,
    part3: vec4<f32>,
    part4: vec4<f32>,
    part5: vec4<f32>,
    part6: vec4<f32>,
    part7: vec4<f32>,
}
