// Normalises each row of n elements (statistics.wgsl says what a row is):
//   layer:  y = (x - mean) / sqrt(var + eps),   mean = sum x / n,   var = sum (x - mean)^2 / n
//   rms:    y = x / sqrt(sum x^2 / n + eps)
// Layer norm (Ba, Kiros & Hinton 2016), group norm (Wu & He 2018) and batch norm (Ioffe & Szegedy 2015) differ in what
// a row is; RMS norm is Zhang & Sennrich 2019.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = row_index(workgroup_index(group, groups), local);
    if (row >= params.rows) { return; }
    let lane = lane_index(local);
    let s = statistics(row, lane);
    for (var k = lane; k < params.size; k += LANES) {
        let i = place(row, k);
        store(i, normalized(load_x(i), s));
    }
}
