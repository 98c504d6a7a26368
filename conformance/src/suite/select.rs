//! Which cases are run.

use wildmatch::WildMatch;

use super::Case;

/// Filters; an empty list lets everything through, several of a kind let through what any of them does.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Ids, with `*` and `?`.
    pub ids: Vec<String>,
    /// Levels.
    pub levels: Vec<String>,
    /// Features.
    pub features: Vec<String>,
    /// Rules.
    pub rules: Vec<String>,
}

impl Selection {
    /// Whether everything is let through.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        [&self.ids, &self.levels, &self.features, &self.rules]
            .iter()
            .all(|list| list.is_empty())
    }

    /// The cases that pass all filters.
    #[must_use]
    pub fn of<'a>(&self, cases: &'a [Case]) -> Vec<&'a Case> {
        let patterns: Vec<WildMatch> = self.ids.iter().map(|id| WildMatch::new(id)).collect();
        let lets =
            |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        cases
            .iter()
            .filter(|case| {
                patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(&case.id))
            })
            .filter(|case| lets(&self.levels, &case.level) && lets(&self.features, &case.feature))
            .filter(|case| {
                self.rules.is_empty() || case.rules.iter().any(|rule| self.rules.contains(rule))
            })
            .collect()
    }
}
