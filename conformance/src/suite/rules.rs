//! The rules of SPEC.md, found by their anchors.

/// SPEC.md as this binary was built with it.
pub const SPEC: &str = include_str!("../../SPEC.md");

/// A rule: its id and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `TC-1`.
    pub id: String,
    /// The text behind the anchor, in Markdown, up to the next rule or the end of its paragraph.
    pub text: String,
}

/// All rules of a text, in order: what has an anchor `<a id="…"></a>`.
#[must_use]
pub fn rules(spec: &str) -> Vec<Rule> {
    let mut found = Vec::new();
    let mut parts = spec.split("<a id=\"");
    parts.next();
    for part in parts {
        let Some((id, rest)) = part.split_once("\"></a>") else {
            continue;
        };
        let end = ["\n\n", "\n#", "\n```"]
            .iter()
            .filter_map(|end| rest.find(end))
            .min()
            .unwrap_or(rest.len());
        let text = rest
            .get(..end)
            .unwrap_or(rest)
            .trim()
            .trim_end_matches("|")
            .trim();
        let label = format!("[{id}]");
        let text = text
            .trim_start_matches("**")
            .strip_prefix(&label)
            .unwrap_or(text)
            .trim_start_matches("**")
            .trim();
        found.push(Rule {
            id: id.to_owned(),
            text: text.to_owned(),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_in_paragraphs_and_in_tables() {
        let spec = "# T\n\n<a id=\"A-1\"></a>**[A-1]** One\nline.\n<a id=\"A-2\"></a>**[A-2]** Two.\n\nother\n\n| <a id=\"B-1\"></a>[B-1] cell | x |\n";
        let found = rules(spec);
        let seen: Vec<_> = found
            .iter()
            .map(|rule| (rule.id.as_str(), rule.text.as_str()))
            .collect();
        assert_eq!(
            seen,
            [("A-1", "One\nline."), ("A-2", "Two."), ("B-1", "cell | x")]
        );
    }

    #[test]
    fn the_specification_has_rules_of_every_chapter() {
        let ids: Vec<String> = rules(SPEC).into_iter().map(|rule| rule.id).collect();
        for id in ["TC-1", "TX-11", "BN-1", "SP-2", "SM-7", "LI-5"] {
            assert!(ids.iter().any(|known| known == id), "{id}");
        }
    }
}
