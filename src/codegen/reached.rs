//! What of a kernel's text its entry point reaches.
//!
//! Kernels are pasted together from whole files, of which each calls a few functions. What nobody calls would still be parsed, translated and
//! optimised for each kernel, by naga and by the driver.

use foldhash::{HashMap, HashMapExt};

/// A declaration at the top of a module, with what stands before it.
struct Declaration<'a> {
    text: &'a str,
    name: Option<&'a str>,
    /// Kept whether anything refers to it or not.
    is_root: bool,
    /// Every identifier in it.
    words: Vec<&'a str>,
}

/// `text` without the functions, types and constants that its entry point does not need. What could change a module without being named
/// (directives, assertions, overrides, bindings) stays.
pub fn reached(text: &str) -> String {
    let declarations = declarations(text);
    let mut by_name = HashMap::with_capacity(declarations.len());
    for (i, declaration) in declarations.iter().enumerate() {
        if let Some(name) = declaration.name {
            by_name.insert(name, i);
        }
    }
    let mut is_kept: Vec<bool> = declarations.iter().map(|d| d.is_root).collect();
    let mut open: Vec<usize> = (0..declarations.len()).filter(|&i| is_kept[i]).collect();
    while let Some(next) = open.pop() {
        for word in &declarations[next].words {
            if let Some(&callee) = by_name.get(word)
                && !is_kept[callee]
            {
                is_kept[callee] = true;
                open.push(callee);
            }
        }
    }
    let kept = declarations.iter().zip(is_kept).filter(|(_, is_kept)| *is_kept);
    kept.map(|(declaration, _)| declaration.text).collect()
}

fn declarations(text: &str) -> Vec<Declaration<'_>> {
    let mut found = Vec::new();
    let mut scanner = Scanner { text, at: 0 };
    let mut start = 0;
    while let Some(mut declaration) = scanner.declaration() {
        declaration.text = &text[start..scanner.at];
        start = scanner.at;
        found.push(declaration);
    }
    found
}

/// Walks through a text token by token (WGSL, section 3: comments, identifiers, and single characters of all else).
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

enum Token<'a> {
    Word(&'a str),
    Mark(u8),
}

impl<'a> Scanner<'a> {
    /// The next declaration but for its text, which ends where the scanner stands then.
    fn declaration(&mut self) -> Option<Declaration<'a>> {
        let mut declaration = Declaration { text: "", name: None, is_root: false, words: Vec::new() };
        let (mut depth, mut angles) = (0usize, 0usize);
        let (mut keyword, mut is_attribute) = (None, false);
        let (mut is_empty, mut is_complete) = (true, false);
        while let Some(token) = self.token() {
            is_empty = false;
            match token {
                Token::Word(word) => {
                    declaration.words.push(word);
                    match (is_attribute, keyword) {
                        (true, _) => declaration.is_root |= matches!(word, "compute" | "group"),
                        (false, None) if depth == 0 => {
                            keyword = Some(word);
                            declaration.is_root |= !matches!(word, "fn" | "struct" | "const" | "alias" | "var");
                        }
                        (false, Some(_)) if depth == 0 && angles == 0 && declaration.name.is_none() => {
                            declaration.name = Some(word);
                        }
                        _ => {}
                    }
                }
                // `var<storage, read> name`
                Token::Mark(b'<') if declaration.name.is_none() => angles += 1,
                Token::Mark(b'>') if declaration.name.is_none() => angles = angles.saturating_sub(1),
                Token::Mark(b'(' | b'[' | b'{') => depth += 1,
                Token::Mark(mark @ (b')' | b']' | b'}')) => {
                    depth = depth.saturating_sub(1);
                    is_complete = mark == b'}' && depth == 0;
                }
                Token::Mark(b';') => is_complete = depth == 0,
                Token::Mark(_) => {}
            }
            if is_complete {
                break;
            }
            is_attribute = matches!(token, Token::Mark(b'@'));
        }
        // What is no declaration stays, so that naga sees what is wrong with it.
        declaration.is_root |= declaration.name.is_none() || !is_complete;
        (!is_empty).then_some(declaration)
    }

    fn token(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        loop {
            let &byte = bytes.get(self.at)?;
            match (byte, bytes.get(self.at + 1)) {
                (b'/', Some(b'/')) => {
                    self.at += self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at);
                }
                (b'/', Some(b'*')) => self.comment(),
                _ if byte.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
        }
        let rest = &bytes[self.at..];
        // Letters beyond ASCII are letters; digits start numbers, whose suffixes name nothing.
        let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
        let length = rest.iter().take_while(|byte| is_inside(byte)).count();
        let start = self.at;
        self.at += length.max(1);
        Some(match rest[0] {
            first if length == 0 || first.is_ascii_digit() => Token::Mark(first),
            _ => Token::Word(&self.text[start..start + length]),
        })
    }

    /// Skips a block comment, which may hold others.
    fn comment(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 0;
        while self.at < bytes.len() {
            match (bytes[self.at], bytes.get(self.at + 1)) {
                (b'/', Some(b'*')) => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', Some(b'/')) => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reached;

    #[track_caller]
    fn check(text: &str, kept: &[&str], dropped: &[&str]) {
        let found = reached(text);
        kept.iter().for_each(|part| assert!(found.contains(part), "{part} is missing in\n{found}"));
        dropped.iter().for_each(|part| assert!(!found.contains(part), "{part} is left in\n{found}"));
        naga::front::wgsl::parse_str(&found).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&found)));
    }

    #[test]
    fn what_an_entry_point_calls_is_kept() {
        let text = "
            const SIZE: u32 = 2 * HALF;
            const HALF: u32 = 32u;
            const IDLE: u32 = 1u;
            struct Pair { a: f32, b: f32 }
            struct Idle { a: f32 }
            // Of no use { to anyone.
            fn idle(x: f32) -> f32 { return twice(x); }
            // Doubles.
            fn twice(x: f32) -> f32 { return 2.0 * x; }
            fn pair(x: f32) -> Pair { if x > 0.0 { return Pair(twice(x), x); } return Pair(x, x); }
            @compute @workgroup_size(SIZE)
            fn main() { let p = pair(1.0); }
            fn idle_too() { idle(1.0); }
        ";
        check(text, &["SIZE", "HALF", "Pair", "Doubles", "twice", "pair", "main"], &["idle", "Idle", "IDLE"]);
    }

    #[test]
    fn bindings_and_what_acts_without_a_name_are_kept() {
        let text = "enable f16; /* one /* in */ fn idle() { } */
            @group(0) @binding(0) var<storage, read> unused: array<Element, 4>;
            var<workgroup> shared_words: array<u32, 64>;
            var<private> idle: u32;
            struct Element { a: u32 };
            alias Word = u32;
            const_assert 1 < COUNT;
            const COUNT = 3;
            override scale: f32 = 1.0;
            @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: Word) { shared_words[lane] = 0u; }";
        check(
            text,
            &[
                "enable f16;",
                "unused",
                "Element",
                "const_assert",
                "COUNT = 3",
                "override scale",
                "shared_words",
                "alias",
            ],
            &["idle: u32"],
        );
    }

    #[test]
    fn texts_that_are_wrong_stay_wrong() {
        for text in
            ["fn main( {", "}", "@compute @workgroup_size(1) fn main() { } what", "@compute fn main() { gone(); }"]
        {
            assert!(naga::front::wgsl::parse_str(&reached(text)).is_err(), "{text}");
        }
        assert_eq!(reached(""), "");
        assert_eq!(reached("// nothing but a remark"), "");
    }
}
