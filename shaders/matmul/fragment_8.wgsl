// Needs of the generator: wgpu_cooperative_matrix
// Gives: FRAGMENT, FragmentA, FragmentB, FragmentC
enable wgpu_cooperative_matrix;

// Parts of A, B and C that a subgroup holds together.
alias FragmentA = coop_mat8x8<f16, A>;
alias FragmentB = coop_mat8x8<f16, B>;
alias FragmentC = coop_mat8x8<f32, C>;
const FRAGMENT: u32 = 8u;
