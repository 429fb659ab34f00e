alias T = i32;
