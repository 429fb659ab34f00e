//! Each shader file says at its top which names it needs, who gives them, and which names it gives.
//!
//! `WGRAD_BLESS=1 cargo test --test codebase contracts` writes these lines anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::shaders::{files, folder};

/// Names of WGSL itself that the shaders use.
const LANGUAGE: &str = "
    alias array as atomic atomicAdd atomicCompareExchangeWeak atomicLoad atomicMax atomicMin atomicOr atomicStore bitcast bool break builtin
    case compute const const_assert continue continuing default diagnostic discard else enable f16 f32 false fn for function i32 if let loop
    override private read read_write requires return storage struct switch true u32 i64 u64 uniform var vec2 vec3 vec4 mat2x2 mat3x3
    mat4x4 while workgroup workgroup_id num_workgroups local_invocation_index local_invocation_id global_invocation_id subgroup_size
    subgroup_invocation_id subgroup_id num_subgroups workgroup_size workgroupBarrier storageBarrier workgroupUniformLoad
    abs acos acosh all any asin asinh atan atan2 atanh ceil clamp cos cosh countLeadingZeros countOneBits countTrailingZeros cross
    degrees distance dot exp exp2 extractBits firstLeadingBit firstTrailingBit floor fma fract frexp insertBits inverseSqrt ldexp length
    log log2 max min mix modf normalize pow quantizeToF16 radians reverseBits round saturate select sign sin sinh smoothstep sqrt step
    tan tanh transpose trunc pack2x16float unpack2x16float pack4x8snorm unpack4x8snorm textureLoad textureStore texture_storage_2d
    rgba32float rgba32uint write subgroupAdd subgroupMax subgroupMin subgroupBroadcast subgroupBroadcastFirst subgroupShuffle
    subgroupShuffleXor subgroupShuffleUp subgroupShuffleDown subgroupBallot subgroupAll subgroupAny subgroupExclusiveAdd
    subgroupInclusiveAdd subgroupBarrier quadBroadcast coop_mat8x8 coop_mat16x16 coopLoad coopLoadT coopStore coopStoreT coopMultiplyAdd
    A B C ptr arrayLength vec2f vec3f vec4f vec2u vec3u vec4u vec2i vec3i vec4i flat _";

/// What a file declares, and what it uses without declaring it.
struct Names {
    given: BTreeSet<String>,
    needed: BTreeSet<String>,
}

/// The text without comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Identifiers and single other characters, in order.
fn tokens(code: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in code.chars() {
        let word = c.is_alphanumeric() || c == '_';
        match out.last_mut() {
            Some(last) if word && in_word => last.push(c),
            _ if !c.is_whitespace() => out.push(c.to_string()),
            _ => {}
        }
        in_word = word;
    }
    out
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn names(text: &str) -> Names {
    let language: BTreeSet<&str> = LANGUAGE.split_whitespace().collect();
    let tokens = tokens(&code(text));
    let at = |i: usize| tokens.get(i).map_or("", String::as_str);
    let (mut depth, mut given, mut local, mut used) = (0usize, BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut in_struct = false;
    for (i, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => {
                in_struct |= depth == 0 && i >= 2 && at(i - 2) == "struct";
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                in_struct &= depth > 0;
            }
            _ => {}
        }
        if !is_name(token) {
            continue;
        }
        let before = if i > 0 { at(i - 1) } else { "" };
        let declared = match before {
            "fn" | "struct" | "alias" | "const" | "let" | "override" => true,
            // `var x` and `var<workgroup> x`
            "var" => true,
            ">" => (1..=i.min(6)).any(|k| at(i - k) == "var" && at(i - k + 1) == "<"),
            _ => false,
        };
        if declared && !language.contains(token.as_str()) {
            if depth == 0 {
                given.insert(token.clone());
            }
            local.insert(token.clone());
        } else if at(i + 1) == ":" && before != "case" && (in_struct || matches!(before, "(" | "," | ")")) {
            // A parameter or a field.
            local.insert(token.clone());
        } else if before == "." {
            let owner = if i >= 2 { at(i - 2) } else { "" };
            if owner == "params" {
                used.insert(format!("params.{token}"));
            }
        } else if token != "params" && before != "@" {
            used.insert(token.clone());
        }
    }
    let needed = used.into_iter().filter(|name| !language.contains(name.as_str()) && !local.contains(name)).collect();
    given.remove("main");
    Names { given, needed }
}

/// The opening comment of a file, without the lines of its contract, and the rest.
fn split(text: &str) -> (Vec<&str>, String) {
    let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
    let rest: String = text.lines().skip(comment.len()).map(|line| format!("{line}\n")).collect();
    let start = comment.iter().position(|line| line.starts_with("// Needs ") || line.starts_with("// Gives:"));
    let mut own = comment[..start.unwrap_or(comment.len())].to_vec();
    while own.last() == Some(&"//") {
        own.pop();
    }
    (own, rest)
}

/// A line of a contract, broken where it gets long.
fn wrapped(head: &str, names: &[String]) -> Vec<String> {
    let mut lines = vec![format!("// {head}:")];
    for (i, name) in names.iter().enumerate() {
        let piece = format!(" {name}{}", if i + 1 < names.len() { "," } else { "" });
        let last = lines.len() - 1;
        if lines[last].len() + piece.len() > 138 {
            lines.push(format!("//    {piece}"));
        } else {
            lines[last] += &piece;
        }
    }
    lines
}

/// The lines that say what a file needs and gives; `givers` has the files by the names that they give.
fn contract(
    own: &str,
    names: &Names,
    givers: &BTreeMap<String, BTreeSet<String>>,
    wanted: &BTreeSet<String>,
) -> Vec<String> {
    let mut by_giver: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in &names.needed {
        let from: Vec<&str> =
            givers.get(name).into_iter().flatten().map(|file| file.trim_end_matches(".wgsl")).collect();
        if from == ["prelude"] {
            continue;
        }
        let from = if from.is_empty() { "the generator".to_owned() } else { from.join(" or ") };
        by_giver.entry(from).or_default().push(name.clone());
    }
    let mut lines: Vec<String> = Vec::new();
    for (giver, names) in &by_giver {
        lines.extend(wrapped(&format!("Needs of {giver}"), names));
    }
    let gives: Vec<String> = names.given.iter().filter(|name| wanted.contains(*name)).cloned().collect();
    if !gives.is_empty() {
        lines.extend(wrapped("Gives", &gives));
    }
    assert!(!own.starts_with("elementwise/"));
    lines
}

#[test]
fn every_file_says_what_it_needs_and_gives() {
    let files: Vec<(String, String)> =
        files().into_iter().filter(|(name, _)| !name.starts_with("elementwise/")).collect();
    let all: BTreeMap<&str, Names> = files.iter().map(|(name, text)| (name.as_str(), names(text))).collect();
    let mut givers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, names) in &all {
        for name in &names.given {
            givers.entry(name.clone()).or_default().insert((*file).to_owned());
        }
    }
    // The generator calls these.
    let mut wanted: BTreeSet<String> = ["run"].map(String::from).into();
    wanted.extend(all.values().flat_map(|names| names.needed.iter().cloned()));
    let mut wrong = Vec::new();
    for (file, text) in &files {
        if file == "prelude.wgsl" {
            continue;
        }
        let (own, rest) = split(text);
        let contract = contract(file, &all[file.as_str()], &givers, &wanted);
        let mut lines: Vec<String> = own.into_iter().map(String::from).collect();
        if !lines.is_empty() && !contract.is_empty() {
            lines.push("//".into());
        }
        lines.extend(contract);
        let expected = lines.join("\n") + "\n" + &rest;
        if *text != expected {
            if std::env::var_os("WGRAD_BLESS").is_some() {
                fs::write(folder().join(file), expected).unwrap();
            } else {
                wrong.push(file.clone());
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "the lines `Needs` and `Gives` of these are out of date (WGRAD_BLESS=1 writes them): {wrong:?}"
    );
}

#[test]
fn names_are_found() {
    let names = names(
        "// y = x\nstruct Pair { a: f32, b: f32 }\nvar<workgroup> tile: array<f32, SIZE>;\nfn run(i: u32) -> f32 {\n    let p = Pair(1.0, x);\n    \
         for (var k = 0u; k < params.n; k++) { tile[k] = load_x(k + i); }\n    return max(p.a, p.b);\n}",
    );
    assert_eq!(names.given.iter().collect::<Vec<_>>(), ["Pair", "run", "tile"]);
    assert_eq!(names.needed.iter().collect::<Vec<_>>(), ["SIZE", "load_x", "params.n", "x"]);
    let (own, rest) = split("// What it is.\n//\n// Needs of the generator: x\n// Gives: y\nfn y() {}\n");
    assert_eq!((own, rest.as_str()), (vec!["// What it is."], "fn y() {}\n"));
}
