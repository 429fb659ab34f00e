// Needs of pool/found: NOWHERE
// Gives: begin
fn begin(i: u32) -> u32 { return NOWHERE; }
