// The chunk of terms that an invocation adds up, walked in one loop, so that its length is bounded whatever the sizes.
//
// Needs of the generator: params.chunk, params.round, params.slots, params.terms
// Gives: first_term, last_term

// The first term of a slot in this round.
fn first_term(slot: u32) -> u32 { return (params.round * params.slots + slot) * params.chunk; }

// The end of the chunk that starts at a term.
fn last_term(start: u32) -> u32 { return min(start + params.chunk, params.terms); }
