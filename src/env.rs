//! The `WGRAD_*` environment variables, read once.
pub struct Env {
    pub panic: bool,
    pub fuse: bool,
    pub debug: u8,
}
pub fn get() -> &'static Env {
    static E: Env = Env { panic: false, fuse: true, debug: 0 };
    &E
}
