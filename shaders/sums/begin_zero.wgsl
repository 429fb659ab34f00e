// Gives: begin
fn begin(p: u32) -> f32 { return 0.0; }
