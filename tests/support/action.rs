//! Reads `action.yml` and `dind/action.yml`, as far as their own plain shape goes.

/// One input or output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    pub name: String,
    pub description: String,
    /// An input's `default`.
    pub default: Option<String>,
    /// A composite action's `value` of an output.
    pub value: Option<String>,
}

/// The inputs of the action itself.
pub fn inputs() -> Vec<Item> {
    section(include_str!("../../action.yml"), "inputs")
}

/// The items of a top-level section: names at two blanks, their keys at four, folded text deeper.
pub fn section(yaml: &str, section: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut inside = false;
    let mut key = "";
    for line in yaml.lines() {
        let text = line.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match line.len() - text.len() {
            0 => inside = text == format!("{section}:"),
            _ if !inside => {}
            2 => {
                let name = text.strip_suffix(':');
                let name = name.unwrap_or_else(|| panic!("no name of an item: {line:?}"));
                items.push(Item {
                    name: name.to_owned(),
                    ..Item::default()
                });
            }
            4 => {
                let (name, value) = text.split_once(':').unwrap();
                key = name;
                let value = value.trim();
                let folded = matches!(value, ">-" | ">" | "|" | "|-");
                add(
                    items.last_mut().unwrap(),
                    key,
                    if folded { "" } else { value },
                );
            }
            _ => add(items.last_mut().unwrap(), key, text),
        }
    }
    items
}

fn add(item: &mut Item, key: &str, text: &str) {
    let text = unquoted(text);
    match key {
        "description" => {
            if !item.description.is_empty() {
                item.description.push(' ');
            }
            item.description.push_str(text);
        }
        "default" => item.default = Some(text.to_owned()),
        "value" => item.value = Some(text.to_owned()),
        "required" => {}
        _ => panic!("unknown key {key:?} of {:?}", item.name),
    }
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    text
}
