//! What GitHub would understand: the runner's grammar for its files and for commands on stdout.
//!
//! Written from the behaviour of actions/runner 2.336 (`FileCommandManager.cs`, `ActionCommand.cs`), and
//! never from what this program writes, so that a fault in the one is not repeated in the other.

use std::fmt;

/// Why the runner fails the step over one of its files. It quotes the line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// A line that is neither `NAME=VALUE` nor `NAME<<DELIMITER`.
    InvalidFormat(String),
    /// A heredoc whose delimiter never came.
    DelimiterNotFound(String),
}

/// The pairs of a `GITHUB_ENV` or `GITHUB_OUTPUT` file, in order; those before a bad line are applied
/// even so, and come with the error.
pub fn pairs_until_error(bytes: &[u8]) -> (Vec<(String, String)>, Option<FileError>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    let mut pairs = Vec::new();
    let mut rest = &*text;
    // Only a line feed ends a line: with CRLF the carriage return is part of the value.
    while let Some(line) = next_line(&mut rest) {
        if line.is_empty() {
            continue;
        }
        let equals = line.find('=').unwrap_or(usize::MAX);
        let heredoc = line.find("<<").unwrap_or(usize::MAX);
        let (name, value) = if equals < heredoc {
            (&line[..equals], line[equals + 1..].to_owned())
        } else if heredoc < equals {
            let delimiter = &line[heredoc + 2..];
            if delimiter.is_empty() {
                return (pairs, Some(FileError::InvalidFormat(line.to_owned())));
            }
            let mut lines = Vec::new();
            loop {
                match next_line(&mut rest) {
                    None => {
                        let error = FileError::DelimiterNotFound(delimiter.to_owned());
                        return (pairs, Some(error));
                    }
                    Some(end) if end == delimiter => break,
                    Some(content) => lines.push(content),
                }
            }
            (&line[..heredoc], lines.join("\n"))
        } else {
            return (pairs, Some(FileError::InvalidFormat(line.to_owned())));
        };
        if name.is_empty() {
            return (pairs, Some(FileError::InvalidFormat(line.to_owned())));
        }
        pairs.push((name.to_owned(), value));
    }
    (pairs, None)
}

/// The pairs of a file, or why the runner would fail the step.
pub fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, FileError> {
    match pairs_until_error(bytes) {
        (pairs, None) => Ok(pairs),
        (_, Some(error)) => Err(error),
    }
}

fn next_line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    if rest.is_empty() {
        return None;
    }
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    *rest = after;
    Some(line)
}

/// One line of a step's output, as the runner takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `::add-mask::`
    Mask(String),
    /// `::error::`, `::warning::`, `::notice::`
    Annotation {
        kind: String,
        title: Option<String>,
        message: String,
    },
    /// `::group::`
    Group(String),
    /// `::endgroup::`
    EndGroup,
    /// `::debug::`
    Debug(String),
    /// Every other command that the runner knows. This program has no use for one.
    Other { name: String, data: String },
    /// Anything else: a line of the log.
    Plain(String),
}

/// The commands that the runner registers.
const COMMANDS: &[&str] = &[
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "internal-set-repo-path",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

/// What the runner makes of a step's output.
pub fn lines(stdout: &[u8]) -> Vec<Line> {
    raw_lines(stdout)
        .iter()
        .map(|line| one_line(line))
        .collect()
}

/// The lines themselves. The runner's reader ends a line at LF, CR or both; taking each as an end finds
/// whatever could hide behind a carriage return.
fn raw_lines(stdout: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stdout).replace("\r\n", "\n");
    let mut lines: Vec<String> = text.split(['\n', '\r']).map(str::to_owned).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn one_line(line: &str) -> Line {
    let Some(command) = double_colon(line).or_else(|| hash_bracket(line)) else {
        return Line::Plain(line.to_owned());
    };
    let (name, properties, data) = command;
    match name.as_str() {
        "add-mask" => Line::Mask(data),
        "error" | "warning" | "notice" => Line::Annotation {
            kind: name,
            title: properties
                .into_iter()
                .find(|(key, _)| key.eq_ignore_ascii_case("title"))
                .map(|(_, value)| value),
            message: data,
        },
        "group" => Line::Group(data),
        "endgroup" => Line::EndGroup,
        "debug" => Line::Debug(data),
        _ => Line::Other { name, data },
    }
}

type Command = (String, Vec<(String, String)>, String);

/// `::name key=value,key=value::data`, at the first non-blank characters of a line.
fn double_colon(line: &str) -> Option<Command> {
    let rest = line.trim_start().strip_prefix("::")?;
    let (head, data) = rest.split_once("::")?;
    command(head, ',', data)
}

/// `##[name key=value;key=value]data`, anywhere in a line.
fn hash_bracket(line: &str) -> Option<Command> {
    let (_, rest) = line.split_once("##[")?;
    let (head, data) = rest.split_once(']')?;
    command(head, ';', data)
}

fn command(head: &str, separator: char, data: &str) -> Option<Command> {
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    let name = name.to_ascii_lowercase();
    if !COMMANDS.contains(&name.as_str()) {
        return None;
    }
    let properties = properties
        .trim()
        .split(separator)
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), unescape_property(value)))
        .collect();
    Some((name, properties, unescape(data)))
}

/// The percent sign comes last, or `%250A` would become a line break.
fn unescape(data: &str) -> String {
    data.replace("%0D", "\r")
        .replace("%0A", "\n")
        .replace("%25", "%")
}

fn unescape_property(value: &str) -> String {
    value
        .replace("%0D", "\r")
        .replace("%0A", "\n")
        .replace("%3A", ":")
        .replace("%2C", ",")
        .replace("%25", "%")
}

/// The values that the runner was told to mask.
pub fn masks(stdout: &[u8]) -> Vec<String> {
    lines(stdout)
        .into_iter()
        .filter_map(|line| match line {
            Line::Mask(value) => Some(value),
            _ => None,
        })
        .collect()
}

/// The annotations of one kind, as title and message.
pub fn annotations(stdout: &[u8], kind: &str) -> Vec<(Option<String>, String)> {
    lines(stdout)
        .into_iter()
        .filter_map(|line| match line {
            Line::Annotation {
                kind: k,
                title,
                message,
            } if k == kind => Some((title, message)),
            _ => None,
        })
        .collect()
}

/// The log as a person sees it: commands carried out, masks in force from the next line on.
///
/// The runner masks base64, JSON, URI and XML forms of a value as well; this reader leaves them out, so
/// it shows rather more than GitHub does.
pub fn log(stdout: &[u8], debug: bool) -> String {
    let mut masks: Vec<String> = Vec::new();
    let mut log = String::new();
    let mut indent = "";
    for line in lines(stdout) {
        let group = matches!(line, Line::Group(_));
        let shown = match line {
            Line::Mask(value) => {
                masks.extend(value.lines().map(str::to_owned));
                masks.push(value);
                masks.retain(|mask| !mask.trim().is_empty());
                continue;
            }
            Line::Debug(_) if !debug => continue,
            Line::Debug(data) => format!("##[debug]{data}"),
            Line::Annotation { kind, message, .. } => {
                let mut kind = kind;
                kind[..1].make_ascii_uppercase();
                format!("{kind}: {message}")
            }
            Line::Group(title) => {
                indent = "";
                format!("▸ {title}")
            }
            Line::EndGroup => {
                indent = "";
                continue;
            }
            Line::Other { name, data } => format!("[{name}] {data}"),
            Line::Plain(text) => text,
        };
        log.push_str(indent);
        log.push_str(&masked(&shown, &masks));
        log.push('\n');
        if group {
            indent = "  ";
        }
    }
    log
}

/// A text with every masked value in it replaced; values that touch or overlap become one `***`.
pub fn masked(text: &str, masks: &[String]) -> String {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for mask in masks.iter().filter(|mask| !mask.is_empty()) {
        let mut from = 0;
        while let Some(at) = text[from..].find(mask.as_str()) {
            let start = from + at;
            spans.push((start, start + mask.len()));
            from = start + text[start..].chars().next().map_or(1, char::len_utf8);
        }
    }
    spans.sort_unstable();
    let mut shown = String::new();
    let mut done = 0;
    let mut spans = spans.into_iter().peekable();
    while let Some((start, mut end)) = spans.next() {
        while let Some((_, more)) = spans.next_if(|(next, _)| *next <= end) {
            end = end.max(more);
        }
        shown.push_str(&text[done..start]);
        shown.push_str("***");
        done = end;
    }
    shown.push_str(&text[done..]);
    shown
}

/// A text that should be nowhere but in mask commands, found in a line that is none.
#[derive(Debug)]
pub struct Leak {
    pub marker: String,
    pub line: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} stands in the line {:?}", self.marker, self.line)
    }
}

/// Looks for a marker in every line that is no mask command, as it came and unescaped.
pub fn no_secret_outside_masks(stdout: &[u8], marker: &str) -> Result<(), Leak> {
    assert!(!marker.is_empty(), "an empty marker is everywhere");
    for line in raw_lines(stdout) {
        if matches!(one_line(&line), Line::Mask(_)) {
            continue;
        }
        if line.contains(marker) || unescape_property(&line).contains(marker) {
            return Err(Leak {
                marker: marker.to_owned(),
                line,
            });
        }
    }
    Ok(())
}
