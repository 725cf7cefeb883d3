//! The repository tells one story: rooms, inputs and outputs say the same everywhere. Titles and links: documents.rs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::action::{self, Item};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the repository, by its path from the root. Folders of others (build results, downloads) are those that
/// git ignores; here they are known by name.
pub(crate) fn files() -> Vec<String> {
    fn collect(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let foreign = ["target", ".git", "node_modules", "corpus", "artifacts"];
            if path.is_symlink() || foreign.contains(&name) {
                continue;
            }
            if path.is_dir() {
                collect(&path, found);
            } else {
                let path = path.strip_prefix(root()).unwrap();
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    collect(root(), &mut found);
    assert!(found.len() > 100, "{found:?}");
    found
}

/// Every Rust file below `src/`, by its path there, without its tests.
fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut paths = Vec::new();
    collect(&src, &mut paths);
    assert!(paths.len() > 15, "{paths:?}");
    paths
        .iter()
        .map(|path| {
            let name = path
                .strip_prefix(&src)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            (name, code)
        })
        .collect()
}

/// The room of a file: its first folder, or its own name.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The names that follow `prefix` in code, comments left out.
fn names_after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split(prefix).skip(1))
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
}

/// The rooms from top to bottom. Those of one row may not import each other, but for the pairs below.
const FLOORS: [&[&str]; 7] = [
    &["main"],
    &["lib"],
    &["search"],
    &[
        "inputs",
        "runner",
        "credentials",
        "region",
        "metadata",
        "publish",
    ],
    &["engine", "signals", "workflow"],
    &["http", "secret"],
    &["trouble"],
];

/// Within the middle row: whoever reads or writes what the others mean.
const NEIGHBOURS: [(&str, &str); 5] = [
    ("inputs", "credentials"),
    ("inputs", "region"),
    ("metadata", "region"),
    ("publish", "credentials"),
    ("publish", "region"),
];

/// Above all that: `publish` turns what was asked for into what is done.
const ALSO: (&str, &str) = ("publish", "inputs");

#[test]
fn rooms_import_downwards_only() {
    let floor = |room: &str| {
        let floor = FLOORS.iter().position(|floor| floor.contains(&room));
        floor.unwrap_or_else(|| panic!("{room} is on no floor"))
    };
    let mut seen = 0;
    for (file, code) in sources() {
        let from = room(&file);
        let imported = names_after(&code, "crate::")
            .into_iter()
            .chain(names_after(&code, "ecs_task_role::"));
        for to in imported {
            // `main` calls the library's own functions.
            if from == "main" && FLOORS.iter().all(|floor| !floor.contains(&to)) {
                continue;
            }
            seen += 1;
            let allowed = from == to
                || floor(from) < floor(to)
                || NEIGHBOURS.contains(&(from, to))
                || ALSO == (from, to);
            assert!(allowed, "src/{file} imports {to}");
        }
    }
    assert!(seen > 20, "only {seen} imports were seen");
}

#[test]
fn a_room_does_not_know_what_is_none_of_its_business() {
    for (file, code) in sources() {
        let from = room(&file);
        let barred: &[&str] = match from {
            "credentials" => &["engine", "runner", "docker"],
            "runner" => &["credentials", "publish"],
            "engine" => &["workflow", "credentials"],
            "publish" => &["http", "engine", "tokio", "fs"],
            _ => &[],
        };
        for name in barred {
            let used = format!("{name}::");
            assert!(!code.contains(&used), "src/{file} knows {name}");
        }
    }
}

#[test]
fn secrets_are_exposed_in_three_rooms_alone() {
    let mut seen = 0;
    for (file, code) in sources() {
        if file == "secret.rs" {
            continue;
        }
        let calls = code.matches(".expose()").count() + code.matches("Secret::expose").count();
        let allowed =
            file == "credentials/fetch.rs" || matches!(room(&file), "publish" | "workflow");
        assert!(calls == 0 || allowed, "src/{file} calls expose()");
        seen += calls;
    }
    assert!(seen > 2, "only {seen} calls were seen");
}

/// Where one of the calls that clippy.toml bars belongs, and how often.
const EXCEPTIONS: [(&str, usize); 6] = [
    ("credentials/token.rs", 1),
    ("http.rs", 1),
    ("inputs/variables.rs", 1),
    ("runner/mod.rs", 1),
    ("workflow/channel.rs", 1),
    ("workflow/files.rs", 1),
];

#[test]
fn a_barred_call_stands_where_it_belongs_and_nowhere_else() {
    let mut found = Vec::new();
    for (file, code) in sources() {
        let code: String = code.split_whitespace().collect();
        assert!(
            !code.contains("allow(clippy::"),
            "src/{file}: an exception is an `expect` with a reason"
        );
        let count = code.matches("clippy::disallowed_methods").count();
        assert_eq!(
            count,
            code.matches("#[expect(clippy::disallowed_methods,reason=")
                .count(),
            "src/{file}: an exception is an `expect` with a reason"
        );
        if count > 0 {
            found.push((file, count));
        }
    }
    found.sort();
    let expected = EXCEPTIONS.map(|(file, count)| (file.to_owned(), count));
    assert_eq!(found, expected);
}

#[test]
fn inputs_alone_know_the_library_of_actions() {
    let mut seen = 0;
    for (file, code) in sources() {
        let count = names_after(&code, "ghactions_core").len();
        assert!(
            count == 0 || room(&file) == "inputs",
            "src/{file} knows ghactions_core"
        );
        seen += count;
    }
    assert!(seen > 0);
}

#[test]
fn nothing_in_the_program_is_there_for_the_tests_sake() {
    for (file, _) in sources() {
        let text = fs::read_to_string(root().join("src").join(&file)).unwrap();
        for part in text.split("#[cfg(test)]").skip(1) {
            assert!(
                part.starts_with("\nmod tests {"),
                "src/{file} has #[cfg(test)] on other than its tests"
            );
        }
        assert!(
            !text.contains("cfg!(test)") && !text.contains("not(test)"),
            "src/{file}"
        );
        assert!(text.matches("#[cfg(test)]").count() <= 1, "src/{file}");
    }
}

/// All code of a room, without its tests.
fn code_of(wanted: &str) -> String {
    let files = sources()
        .into_iter()
        .filter(|(file, _)| room(file) == wanted);
    files.map(|(_, code)| code).collect()
}

/// The quoted names that these calls read.
fn inputs_in_the_code() -> Vec<String> {
    let code = code_of("inputs");
    // A call may be broken over lines.
    let code: String = code.split_whitespace().collect();
    let mut names = Vec::new();
    for reader in [
        "parsed(",
        "flag(",
        "number(",
        "guard(",
        ".input(",
        "raw_input(",
        "constNAME:&str=",
    ] {
        for rest in code.split(reader).skip(1) {
            if let Some(rest) = rest.strip_prefix('"') {
                names.push(rest.split('"').next().unwrap().to_owned());
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

fn names(items: &[Item]) -> Vec<String> {
    let mut names: Vec<String> = items.iter().map(|item| item.name.clone()).collect();
    names.sort();
    names
}

fn outputs() -> Vec<Item> {
    action::section(&read("action.yml"), "outputs")
}

#[test]
fn the_code_reads_the_inputs_that_the_action_declares() {
    assert_eq!(inputs_in_the_code(), names(&action::inputs()));
}

#[test]
fn the_code_has_the_defaults_that_the_action_declares() {
    let code: String = code_of("inputs").split_whitespace().collect();
    let mut numbers = 0;
    for input in action::inputs() {
        let Some(default) = input.default else {
            continue;
        };
        if default == "0" || default.parse::<u32>().is_err() {
            continue;
        }
        numbers += 1;
        let after = code.split(&format!("number(\"{}\",", input.name)).nth(1);
        let after = after.unwrap_or_else(|| panic!("{} is read as no number", input.name));
        let default = format!("unwrap_or({default})");
        assert!(
            after[..after.len().min(60)].contains(&default),
            "{}",
            input.name
        );
    }
    assert_eq!(numbers, 2);
}

#[test]
fn the_code_sets_the_outputs_that_the_action_declares() {
    let code = code_of("publish");
    for output in outputs() {
        assert!(
            code.contains(&format!("\"{}\"", output.name)),
            "{}",
            output.name
        );
    }
}

#[test]
fn the_action_in_a_shell_has_the_same_inputs_and_outputs_but_discovery() {
    let dind = read("dind/action.yml");
    let mut expected = action::inputs();
    expected.retain(|input| input.name != "discovery");
    let found = action::section(&dind, "inputs");
    assert_eq!(names(&found), names(&expected));
    for (here, there) in expected.iter().zip(&found) {
        assert_eq!(here.name, there.name, "not in the same order");
        assert_eq!(here.default, there.default, "{}", here.name);
    }
    let found = action::section(&dind, "outputs");
    assert_eq!(names(&found), names(&outputs()));
    for output in &found {
        let value = output.value.as_deref().unwrap_or_default();
        assert!(
            value.contains(&format!("outputs.{}", output.name)),
            "{}: {value}",
            output.name
        );
    }
}

/// The rows of the table below a heading: the name in the first cell, and the second cell.
fn table(markdown: &str, heading: &str) -> BTreeMap<String, String> {
    let mut lines = markdown.lines();
    lines
        .by_ref()
        .find(|line| line.starts_with('#') && line.trim_start_matches('#').trim() == heading)
        .unwrap_or_else(|| panic!("README.md has no heading {heading:?}"));
    let rows: BTreeMap<_, _> = lines
        .take_while(|line| !line.starts_with('#'))
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let name = cells.next().unwrap().trim_matches('`').to_owned();
            (name, cells.next().unwrap_or_default().to_owned())
        })
        .collect();
    assert!(!rows.is_empty(), "no table below {heading:?}");
    rows
}

#[test]
fn the_readme_has_the_inputs_with_their_defaults_and_the_outputs() {
    let readme = read("README.md");
    let inputs = table(&readme, "Inputs");
    let declared = action::inputs();
    assert_eq!(inputs.keys().cloned().collect::<Vec<_>>(), names(&declared));
    for input in declared {
        let cell = inputs[&input.name].trim_matches('`');
        let default = input.default.unwrap_or_default();
        assert_eq!(cell.trim_matches('–'), default, "{}", input.name);
    }
    let found = table(&readme, "Outputs");
    assert_eq!(found.keys().cloned().collect::<Vec<_>>(), names(&outputs()));
}

/// The address of the project, from which the program's own links are made.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

#[test]
fn the_address_of_the_repository_stands_in_one_place() {
    let name = REPOSITORY.strip_prefix("https://github.com/").unwrap();
    for (file, code) in sources() {
        assert!(!code.contains(name), "src/{file}");
    }
}

#[test]
fn what_cannot_read_the_address_of_the_repository_has_the_same() {
    let line = |file: &str, start: &str| {
        let text = read(file);
        let mut found = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(start));
        let rest = found
            .next()
            .unwrap_or_else(|| panic!("no {start} in {file}"));
        assert_eq!(found.next(), None, "{file}");
        rest.trim_end_matches(" \\").trim_matches('"').to_owned()
    };
    assert_eq!(
        line("dind/action.yml", "page="),
        format!("{REPOSITORY}/blob/main/docs/troubleshooting.md")
    );
    assert_eq!(
        line("Dockerfile", "org.opencontainers.image.source="),
        REPOSITORY
    );

    // And wherever else somebody is led to a page of the project.
    let mut seen = Vec::new();
    for file in files() {
        // Seeds of the fuzzers are no text, and lead nowhere.
        let Ok(text) = fs::read_to_string(root().join(&file)) else {
            continue;
        };
        if file.starts_with("tests/") {
            continue;
        }
        for rest in text.split("https://github.com/").skip(1) {
            let owner = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            let (owner, rest) = rest.split_at(owner.unwrap_or(rest.len()));
            if !owner.is_empty() && rest.starts_with("/ecs-task-role") {
                let address = format!("https://github.com/{owner}/ecs-task-role");
                assert_eq!(address, REPOSITORY, "{file}");
                seen.push(file.clone());
            }
        }
    }
    for file in [
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/ISSUE_TEMPLATE/config.yml",
    ] {
        assert!(seen.iter().any(|one| one == file), "{file}: {seen:?}");
    }
}
