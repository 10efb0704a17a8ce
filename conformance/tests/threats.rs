//! The page of what is defended names tests, files and rules: each of them is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is in the workspace").to_path_buf()
}

/// All files of Rust below.
fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The functions that stand below an attribute that makes them tests.
fn tests_in(text: &str, names: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.contains("::test");
        } else if let Some(rest) = line.trim_start_matches("async ").strip_prefix("fn ") {
            if is_test {
                names.extend(rest.split(['(', '<']).next().map(str::to_owned));
            }
            is_test = false;
        }
    }
}

/// The last cell of each row of the page's tables, but for their heads.
fn shown(page: &str) -> Vec<&str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.filter_map(|row| row.rsplit(" | ").next());
    cells.filter(|cell| !cell.starts_with("---") && *cell != "test").collect()
}

/// What stands in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn what_is_named_in_the_threat_model_is_there() {
    let root = root();
    let page = fs::read_to_string(root.join("conformance/THREAT_MODEL.md")).expect("the page");
    let (mut files, mut names) = (Vec::new(), BTreeSet::new());
    sources(&root, &mut files);
    for file in files {
        tests_in(&fs::read_to_string(file).expect("a text"), &mut names);
    }
    assert!(names.len() > 1000, "only {} tests were found", names.len());
    let cells = shown(&page);
    assert!(cells.len() > 40, "only {} rows were found", cells.len());
    for cell in cells {
        let mut any = false;
        for name in quoted(cell) {
            any = true;
            let there = match name.strip_suffix('…') {
                _ if name.contains(['/', '.']) => root.join(name).exists(),
                Some(beginning) => names.iter().any(|name| name.starts_with(beginning)),
                None => names.contains(name),
            };
            assert!(there, "the page of threats names `{name}`, and there is no such test or file");
        }
        let rules = page_rules(cell);
        assert!(rules.iter().all(|rule| has_vector(&root, rule)), "{cell}: no vector names one of the rules");
        assert!(any || !rules.is_empty(), "{cell:?} names neither a test nor a rule");
    }
}

/// Rules of the specification that a cell names, such as FRM-3.
fn page_rules(cell: &str) -> Vec<&str> {
    let words = cell.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let is_rule = |word: &&str| {
        let (letters, digits) = word.split_once('-').unwrap_or_default();
        letters.len() == 3
            && letters.bytes().all(|b| b.is_ascii_uppercase())
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
    };
    words.filter(is_rule).collect()
}

fn has_vector(root: &Path, rule: &str) -> bool {
    let quoted = format!("\"{rule}\"");
    let entries = fs::read_dir(root.join("conformance/vectors")).expect("the vectors");
    let mut texts =
        entries.map(|entry| fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default());
    texts.any(|text| text.contains(&quoted))
}
