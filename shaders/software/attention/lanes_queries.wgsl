// A lane's queries: which they are, and their scores.
//
// Needs of attention/tiles: ROWS
// Needs of software/attention/mask_bool or software/attention/mask_float or software/attention/mask_none: masked
// Needs of the generator: LANES, params.causal, params.group, params.heads, params.keys, params.kv_heads, params.queries, params.scale,
//     params.tiles
// Gives: Query, place_of, query_of, score_of, tile_of

// Which rows a tile has: those of one head from `first` on, and the keys that its last query sees.
struct Tile {
    head: u32,
    first: u32,
    first_key: u32,
    keys: u32,
}

fn tile_of(index: u32) -> Tile {
    let head = index / params.tiles;
    let first = index % params.tiles * (LANES * ROWS);
    let batch = head / params.heads;
    let key_head = batch * params.kv_heads + head % params.heads / params.group;
    let past = min(first + LANES * ROWS, params.queries);
    let keys = select(params.keys, min(params.keys, past), params.causal == 1u);
    return Tile(head, first, key_head * params.keys, keys);
}

// One query of a lane. A query past the last one repeats it and is not stored.
struct Query {
    row: u32,
    seen: u32,
    is_inside: bool,
}

fn query_of(tile: Tile, lane: u32, r: u32) -> Query {
    let own = tile.first + r * LANES + lane;
    let i = min(own, params.queries - 1u);
    let seen = select(params.keys, min(params.keys, i + 1u), params.causal == 1u);
    return Query(tile.head * params.queries + i, seen, own < params.queries);
}

// The score of a product with the key `j`; -infinity where the query does not see it.
fn score_of(query: Query, product: f32, j: u32) -> f32 {
    let score = masked(params.scale * product, query.row, min(j, params.keys - 1u));
    return select(-infinity(), score, j < query.seen);
}

// Where the row of a query is stored: heads lie side by side in one row of the sequence.
fn place_of(query: Query) -> u32 {
    let head = query.row / params.queries;
    let batch = head / params.heads;
    return (batch * params.queries + query.row % params.queries) * params.heads + head % params.heads;
}
