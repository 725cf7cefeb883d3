//! The documents keep their promises: links lead somewhere, and every title has its entry.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ecs_task_role::trouble::Trouble;

const PAGE: &str = "docs/troubleshooting.md";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the repository, by its path from the root. Directories of others (build
/// results, downloads) are those that git ignores; here they are known by name.
fn documents() -> Vec<PathBuf> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_symlink() || ["target", ".git", "node_modules", "corpus"].contains(&name) {
                continue;
            }
            if path.is_dir() {
                collect(&path, found);
            } else if name.ends_with(".md") {
                found.push(path.strip_prefix(repository()).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    collect(repository(), &mut found);
    found.sort();
    found
}

/// The lines outside fenced code, without the text of `code spans`.
fn prose(markdown: &str) -> Vec<String> {
    let mut fence = None;
    let mut lines = Vec::new();
    for line in markdown.lines() {
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("``")),
            _ => {}
        }
    }
    lines
}

/// Where the links of a document lead: `[text](target)` and `[name]: target`.
fn targets(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(markdown) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap();
            found.push(target.to_owned());
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            found.push(target.trim().to_owned());
        }
    }
    found
}

/// The text of every heading, as it stands after the `#`s.
fn headings(markdown: &str) -> Vec<&str> {
    let mut fenced = false;
    markdown
        .lines()
        .filter(|line| {
            fenced ^= line.trim_start().starts_with("```");
            !fenced && line.starts_with('#')
        })
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '))
        .map(str::trim)
        .collect()
}

/// The anchors of a document, as GitHub makes them of its headings: lower case, no punctuation, blanks
/// as hyphens, and a number behind the second and later ones of a name.
fn anchors(markdown: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    headings(markdown)
        .into_iter()
        .map(|heading| {
            let anchor: String = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
                .flat_map(char::to_lowercase)
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                n => format!("{anchor}-{}", n - 1),
            }
        })
        .collect()
}

/// What is wrong with a link that stands in the document at `from`.
fn fault(from: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => repository().join(from),
        _ => repository().join(from.parent().unwrap()).join(path),
    };
    if !file.exists() {
        return Some(format!("{}: {target} does not exist", from.display()));
    }
    if anchor.is_empty() || anchors(&fs::read_to_string(&file).unwrap()).contains(&anchor.into()) {
        return None;
    }
    Some(format!("{}: {target} has no such heading", from.display()))
}

#[test]
fn every_link_of_every_document_leads_somewhere() {
    let documents = documents();
    assert!(documents.contains(&"README.md".into()));
    assert!(documents.contains(&PAGE.into()));
    let mut links = 0;
    let mut faults = Vec::new();
    for document in &documents {
        for target in targets(&fs::read_to_string(repository().join(document)).unwrap()) {
            links += 1;
            faults.extend(fault(document, &target));
        }
    }
    assert!(links > 50, "only {links} links were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_link_to_nowhere_is_found_and_one_in_code_is_none() {
    let markdown = "[a](b.md#c) and `[x](y)` and ![d](e.png \"t\")\n```\n[f](g)\n```\n[h]: i.md\n";
    assert_eq!(targets(markdown), ["b.md#c", "e.png", "i.md"]);
    assert_eq!(
        anchors("# A `b`: C_d-e!\n```sh\n# no heading\n```\n## Twice\n## Twice\n"),
        ["a-b-c_d-e", "twice", "twice-1"]
    );
    let here = Path::new("docs/x.md");
    assert!(fault(here, "../README.md").is_none());
    assert!(fault(here, "../README.md#inputs").is_none());
    assert!(fault(here, "https://example.com/#x").is_none());
    assert!(fault(here, "README.md").is_some());
    assert!(fault(here, "../README.md#no-such-heading").is_some());
}

/// The titles that `dind/action.yml` gives its errors: the first argument of each `fail`.
fn titles_of_dind() -> Vec<String> {
    let script = fs::read_to_string(repository().join("dind/action.yml")).unwrap();
    let titles: Vec<String> = script
        .split("fail '")
        .skip(1)
        .map(|rest| rest.split('\'').next().unwrap().to_owned())
        .collect();
    assert!(titles.len() > 3, "{titles:?}");
    titles
}

#[test]
fn every_title_has_its_entry_under_the_link_that_it_prints_and_every_entry_its_title() {
    let page = fs::read_to_string(repository().join(PAGE)).unwrap();
    let entries: Vec<&str> = headings(&page)
        .into_iter()
        .filter(|heading| heading.contains(": "))
        .collect();

    let mut titles: Vec<String> = Trouble::ALL.iter().map(|t| t.title().to_owned()).collect();
    for title in titles_of_dind() {
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    assert_eq!(
        entries, titles,
        "the program's titles in their order, then those of dind"
    );
    let anchors = anchors(&page);
    for trouble in Trouble::ALL {
        let link = trouble.link();
        let (address, anchor) = link.split_once('#').unwrap();
        assert!(anchors.contains(&anchor.to_owned()), "{link}");
        assert!(
            address.starts_with(env!("CARGO_PKG_REPOSITORY")) && address.ends_with(PAGE),
            "{address}"
        );
    }
}

#[test]
fn every_entry_says_symptom_cause_check_and_remedy() {
    let page = fs::read_to_string(repository().join(PAGE)).unwrap();
    for entry in page
        .split("\n## ")
        .skip(1)
        .filter(|e| e.lines().next().unwrap().contains(": "))
    {
        let title = entry.lines().next().unwrap();
        let mut rest = entry;
        for part in ["**Symptom.**", "**Cause.**", "**Check.**", "**Remedy.**"] {
            let (_, after) = rest
                .split_once(part)
                .unwrap_or_else(|| panic!("{title}: no {part} in its place"));
            rest = after;
        }
    }
}
