//! The product beside what a user would write by hand: `make -C core bench`. Writes rows to the JSON file that is given as
//! argument; `docs/performance.md` says what they mean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod measure;
mod messages;
mod parts;

fn main() {
    let path = std::env::args()
        .skip(1)
        .find(|argument| argument.ends_with(".json"));
    let path = path.expect("an argument names the JSON file to write");
    // Numbers among the arguments are sizes of bodies to look at, for work on the hot path; without any it is all of them.
    let sizes: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let messages = messages::rows(&sizes);
    let rows: Vec<_> = parts::rows().into_iter().chain(messages).collect();
    for row in &rows {
        eprintln!("{}", row.line());
    }
    std::fs::write(&path, serde_json::to_string_pretty(&rows).unwrap() + "\n").unwrap();
}
