// where(condition, a, b) = a where the condition holds, else b
struct WhereGrad { da: f32, db: f32 }
fn where_fwd(condition: bool, a: f32, b: f32) -> f32 { return select(b, a, condition); }
fn where_fwd_i32(condition: bool, a: i32, b: i32) -> i32 { return select(b, a, condition); }
fn where_fwd_u32(condition: bool, a: u32, b: u32) -> u32 { return select(b, a, condition); }
fn where_fwd_bool(condition: bool, a: bool, b: bool) -> bool { return select(b, a, condition); }
fn where_bwd(condition: bool, dy: f32) -> WhereGrad {
    return WhereGrad(select(0.0, dy, condition), select(dy, 0.0, condition));
}
