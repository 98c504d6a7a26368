//! Which baggage may pass.

/// A list of baggage names that may pass; empty by default, so that nothing does.
///
/// Names are case-sensitive, as baggage names are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    all: bool,
    names: Vec<String>,
}

impl AllowList {
    /// Lets nothing pass.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            all: false,
            names: Vec::new(),
        }
    }

    /// Lets everything pass.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            all: true,
            names: Vec::new(),
        }
    }

    /// Lets the given names pass; `*` stands for all.
    #[must_use]
    pub fn from_names(mut names: Vec<String>) -> Self {
        if names.iter().any(|name| name == "*") {
            return Self::all();
        }
        names.sort_unstable();
        names.dedup();
        Self { all: false, names }
    }

    /// Tells whether a name may pass.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        self.all
            || self
                .names
                .binary_search_by(|known| known.as_str().cmp(name))
                .is_ok()
    }

    /// Tells whether nothing may pass.
    #[must_use]
    pub fn is_none(&self) -> bool {
        !self.all && self.names.is_empty()
    }

    /// Tells whether everything may pass.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// The names that may pass, sorted; none of them where everything may.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_by_default() {
        assert_eq!(AllowList::default(), AllowList::none());
        assert!(AllowList::none().is_none() && !AllowList::none().allows("a"));
    }

    #[test]
    fn names_are_exact_and_a_star_means_all() {
        let list = AllowList::from_names(vec!["b".into(), "a".into(), "b".into()]);
        assert!(list.allows("a") && list.allows("b"));
        assert!(!list.allows("A") && !list.allows("ab") && !list.allows(""));
        assert_eq!(list.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            AllowList::from_names(vec!["a".into(), "*".into()]),
            AllowList::all()
        );
        assert!(AllowList::all().allows("anything") && AllowList::all().is_all());
    }
}
