alias T = u32;
