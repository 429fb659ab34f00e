// Whether none of some index checks has found anything.
// The device keeps a block of slots, each of four words; a check that has found an index out of range has set the first word of its slot.
// `params.slots0` to `params.slots7` have a bit for each slot to look at. `params.failed` is 1 where the host knows of a failed check.
//
// Needs of the generator: index_fault, params.failed, params.slots0, params.slots1, params.slots2, params.slots3, params.slots4,
//     params.slots5, params.slots6, params.slots7, store

@compute @workgroup_size(1)
fn main() {
    var words = array<u32, 8>(
        params.slots0, params.slots1, params.slots2, params.slots3,
        params.slots4, params.slots5, params.slots6, params.slots7,
    );
    var passed = params.failed == 0u;
    for (var w = 0u; w < 8u; w++) {
        // The lowest bit is dealt with and taken away, until none is left.
        var bits = words[w];
        while (bits != 0u) {
            let slot = 32u * w + firstTrailingBit(bits);
            if (atomicLoad(&index_fault[4u * slot]) != 0u) {
                passed = false;
            }
            bits = bits & (bits - 1u);
        }
    }
    store(0u, passed);
}
