// Four neighbours at a time.
alias Part = vec4<T>;
