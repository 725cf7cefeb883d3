//! How is a line for the runner written, so that no value can become a command of its own?
//!
//! Workflow commands: `src/Runner.Common/ActionCommand.cs` of actions/runner and
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>.

use crate::secret::Secret;
use zeroize::Zeroizing;

/// How loud an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Worth acting on; the step goes on.
    Warning,
    /// The step failed.
    Error,
}

/// The longest piece of foreign text that is shown, in characters.
const FOREIGN_LIMIT: usize = 200;

/// `::add-mask::`: the runner hides the value from the next line on.
pub fn mask(secret: &str) -> Zeroizing<String> {
    const MASK: &str = "::add-mask::";
    let mut line = Zeroizing::new(String::with_capacity(MASK.len() + escaped_len(secret)));
    line.push_str(MASK);
    escape_into(&mut line, secret);
    line
}

/// `::error title=…::…` or `::warning title=…::…`.
pub fn annotation(level: Level, title: &str, message: &str) -> String {
    let name = match level {
        Level::Warning => "warning",
        Level::Error => "error",
    };
    format!(
        "::{name} title={}::{}",
        escape_property(title),
        escape_data(message)
    )
}

/// Opens a folded group.
pub fn group(title: &str) -> String {
    format!("::group::{}", escape_data(title))
}

/// Closes the folded group.
pub const END_GROUP: &str = "::endgroup::";

/// A line that is shown with `RUNNER_DEBUG=1` alone.
pub fn debug(text: &str) -> String {
    format!("::debug::{}", escape_data(text))
}

/// A line that is nothing but text: no second line, and no command in it.
pub fn plain(text: &str) -> String {
    let line = disarm_brackets(&without_controls(text));
    // A command may be preceded by blanks.
    if line.trim_start().starts_with("::") {
        format!("\u{b7} {line}")
    } else {
        line
    }
}

/// Text of somebody else (a server's `code` and message, a container's name) made fit to be shown.
///
/// None where it holds one of `secrets`: then there is nothing of it that may be shown.
pub fn foreign<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> Option<String> {
    let clean = without_controls(text);
    for secret in secrets {
        if !secret.is_empty() && (text.contains(secret.expose()) || clean.contains(secret.expose()))
        {
            return None;
        }
    }
    let mut harmless = String::with_capacity(clean.len());
    let mut last = ' ';
    for c in disarm_brackets(&clean).chars() {
        if last == ':' && c == ':' {
            harmless.push(' ');
        }
        harmless.push(c);
        last = c;
    }
    let short: String = harmless.chars().take(FOREIGN_LIMIT).collect();
    Some(short.trim().to_owned())
}

fn escape_data(text: &str) -> String {
    let mut escaped = String::with_capacity(escaped_len(text));
    escape_into(&mut escaped, text);
    escaped
}

/// `%` too: the runner undoes it last.
fn escape_into(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '%' => line.push_str("%25"),
            '\r' => line.push_str("%0D"),
            '\n' => line.push_str("%0A"),
            c => line.push(c),
        }
    }
}

/// What comes of it, in bytes: a buffer that grows leaves copies behind.
fn escaped_len(text: &str) -> usize {
    let escaped = text.matches(['%', '\r', '\n']).count();
    text.len() + escaped * ("%25".len() - 1)
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// `##[command]` is a command anywhere in a line.
fn disarm_brackets(text: &str) -> String {
    text.replace("##[", "## [")
}

fn without_controls(text: &str) -> String {
    // As nearly all text is.
    if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return text.to_owned();
    }
    text.chars()
        .filter(|&c| !c.is_control() && !is_format(c))
        .collect()
}

/// Unicode 17, general categories Cf, Zl and Zp: what turns text around, hides it, or breaks the line.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_escaped_before_the_line_breaks() {
        assert_eq!(*mask("a%0A\r\nb"), "::add-mask::a%250A%0D%0Ab");
    }

    #[test]
    fn a_mask_never_grows() {
        for secret in ["", "plain", "%\r\n", "ä%", &"%".repeat(1000)] {
            let line = mask(secret);
            assert_eq!(line.len(), line.capacity(), "{secret}");
        }
    }

    #[test]
    fn a_group_and_a_debug_line_are_one_line_each() {
        assert_eq!(group("a%\nb"), "::group::a%25%0Ab");
        assert_eq!(debug("a\r::error::b"), "::debug::a%0D::error::b");
    }

    #[test]
    fn a_title_can_not_end_its_property() {
        assert_eq!(
            annotation(Level::Error, "a: b, c", "d::e"),
            "::error title=a%3A b%2C c::d::e"
        );
    }

    #[test]
    fn a_plain_line_is_never_a_command() {
        for text in ["::error::x", "  ::stop-commands::x", "a\n::error::x"] {
            let line = plain(text);
            assert!(!line.trim_start().starts_with("::"), "{line}");
            assert!(!line.contains('\n'));
        }
        assert_eq!(plain("a ##[error]b"), "a ## [error]b");
        assert_eq!(plain("a #\u{200b}#[error]b"), "a ## [error]b");
    }

    #[test]
    fn an_arn_is_shown_as_it_is() {
        let arn = "arn:aws:iam::123456789012:role/x";
        assert_eq!(plain(arn), arn);
    }

    #[test]
    fn foreign_text_is_cleaned_before_it_is_disarmed() {
        let none: [&Secret; 0] = [];
        let shown = |text| foreign(text, none).unwrap();
        assert_eq!(shown("a:\u{200b}:b"), "a: :b");
        assert_eq!(shown(":::"), ": : :");
        assert_eq!(shown("#\u{7}#[group]"), "## [group]");
        assert_eq!(shown("\u{202e}x\r\ny"), "xy");
        assert_eq!(shown(&"ä".repeat(300)).chars().count(), 200);
    }

    #[test]
    fn foreign_text_that_holds_a_secret_is_dropped() {
        let secret = Secret::new("MARKER");
        assert_eq!(foreign("x MARKER", [&secret]), None);
        assert_eq!(foreign("x MAR\u{200b}KER", [&secret]), None);
        assert_eq!(foreign("x", [&secret]), Some("x".into()));
        assert_eq!(foreign("x", [&Secret::new("")]), Some("x".into()));
    }
}
