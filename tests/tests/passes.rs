//! Each file in `testdata/passes` is a program with the pass that it is for in its first line, `# pass NAME`, and what
//! the pass makes of it behind a line `# gives`. `VERDICT_BLESS=1 cargo test --test passes` writes that part anew.
//! Before it is compared, the outcome is held to the program: same decisions for every cell.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use verdict_compiler::hir::Direction;
use verdict_compiler::lir::{Action, Program, check, text};
use verdict_compiler::opt;

const GIVES: &str = "# gives\n";

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/passes");
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn parse(text: &str) -> Program {
    let program = text::parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(check::check(&program), Ok(()));
    program
}

/// Every decision: by endpoint, direction, leaf, key and use.
fn decisions(program: &Program, keys: &BTreeSet<u32>) -> Vec<(Action, bool)> {
    let mut found = Vec::new();
    for endpoint in &program.endpoints {
        for direction in [Direction::Ingress, Direction::Egress] {
            let chain = &program.chains[endpoint.chains.get(direction).index()];
            for class in &program.leaves {
                for key in keys {
                    for hairpin in [false, true] {
                        let port_class = program.port_class(*key);
                        let decision = program.decide(chain, *class, port_class, hairpin);
                        found.push((decision.action, decision.depends));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_pass_does_what_its_file_says() {
    let bless = std::env::var_os("VERDICT_BLESS").is_some();
    let mut seen = BTreeSet::new();
    for path in files() {
        let content = fs::read_to_string(&path).unwrap();
        let (given, expected) = content.split_once(GIVES).unwrap_or((&content, ""));
        let name = given
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# pass "));
        let name = name.unwrap_or_else(|| panic!("{}: no `# pass NAME`", path.display()));
        let pass = opt::pass(name).unwrap_or_else(|| panic!("there is no pass `{name}`"));
        seen.insert(pass.name);
        let before = parse(given);
        let mut after = before.clone();
        (pass.run)(&mut after);
        assert_eq!(check::check(&after), Ok(()), "{}", path.display());
        let starts = before.transports.iter().chain(&after.transports);
        let keys: BTreeSet<u32> = starts.map(|(start, _)| *start).collect();
        assert_eq!(
            decisions(&before, &keys),
            decisions(&after, &keys),
            "{}",
            path.display()
        );
        let printed = text::print(&after);
        assert_eq!(parse(&printed), after);
        if bless {
            let mut whole = given.trim_end().to_owned();
            let _ = write!(whole, "\n{GIVES}{printed}");
            fs::write(&path, whole).unwrap();
        } else {
            assert_eq!(printed, expected, "{}", path.display());
        }
    }
    let all: BTreeSet<&str> = opt::PASSES.iter().map(|pass| pass.name).collect();
    assert_eq!(seen, all, "each pass has a file");
}

#[test]
fn what_is_no_program_is_told_with_its_line() {
    for (text, expected) in [
        (
            "leaves x",
            "line 1: `leaves x`: expected the number of leaves",
        ),
        ("\nfoo", "line 2: `foo`: expected an item of a program"),
        (
            "leaves 1 2",
            "line 1: `leaves 1 2`: expected the end of the line",
        ),
        (
            "leaves 99999999",
            "line 1: `leaves 99999999`: expected fewer leaves",
        ),
        (
            "class c0 = 4",
            "line 1: `class c0 = 4`: expected leaves that exist",
        ),
        (
            "keys 6 k0",
            "line 1: `keys 6 k0`: expected keys, such as `6/80-6/90`",
        ),
        (
            "r0 allow remotes s0 s0 ports t0 t0",
            "line 1: `r0 allow remotes s0 s0 ports t0 t0`: expected a chain in front of its parts",
        ),
        (
            "chain chain1",
            "line 1: `chain chain1`: expected ids in order, from 0",
        ),
        (
            "row0 1*99999999999",
            "line 1: `row0 1*99999999999`: expected fewer numbers",
        ),
        ("code0 hold", "line 1: `code0 hold`: expected an action"),
    ] {
        assert_eq!(text::parse(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_is_no_sound_program_is_told_with_its_invariant() {
    let sound = "leaves 1\nclasses 1\nport-classes 1\nkeys 0/0-255/131071 k0\nremotes s0 = 0\nremotes s1 =\nports t0 = 0\nports t1 =\n";
    let rule = "chain chain0\n  namespace\n    r0 allow remotes s0 s1 ports t0 t1\n";
    parse(&format!(
        "{sound}{rule}endpoint a/b ingress chain0 egress chain0\n"
    ));
    for (text, invariant) in [
        (sound.replace("classes 1\nport", "classes 0\nport"), 1),
        (sound.replace("s0 = 0", "s0 = 1"), 1),
        (sound.replace("keys 0/0", "keys 0/1"), 2),
        (sound.replace("t0 = 0", "t0 = 1"), 2),
        (
            format!("{sound}endpoint a/b ingress chain0 egress chain0\n"),
            3,
        ),
        (format!("{sound}{}", rule.replace("s0 s1", "s0 s0")), 4),
        (format!("{sound}{}", rule.replace("t1", "t9")), 4),
        (format!("{sound}chain chain0\n  admin\n"), 5),
        (format!("{sound}{}", rule.replace("allow", "deny")), 6),
        (format!("{sound}table chain0\n  rows 0\n  hairpin 0\n"), 7),
        (format!("{sound}code0 pass r0\n"), 7),
        (format!("{sound}code0 deny\nrow0\n"), 7),
        (
            format!("{sound}{rule}table chain1\n  rows 0\n  hairpin 0\ncode0 deny\nrow0 0\n"),
            8,
        ),
    ] {
        let program = text::parse(&text).unwrap();
        let violation = check::check(&program).unwrap_err();
        assert_eq!(violation.invariant, invariant, "{violation}\n{text}");
    }
}
