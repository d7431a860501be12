//! Whatever is written, reading it ends in a configuration or in problems.

use proptest::prelude::*;

use super::{Environment, load_with, machine, uncommented};

/// `default.toml` with everything it shows, one piece of it replaced.
fn damaged() -> impl Strategy<Value = String> {
    let text = uncommented();
    let end = text.len();
    let other = prop_oneof![
        Just(String::new()),
        "[\\[\\]{}=\"'#,.\n0-9a-z%/:*-]{0,12}",
        any::<String>(),
    ];
    (0..end, 0..40_usize, other).prop_map(move |(from, length, other)| {
        let from = text.floor_char_boundary(from);
        let to = text.floor_char_boundary((from + length).min(text.len()));
        format!("{}{other}{}", &text[..from], &text[to..])
    })
}

proptest! {
    #[test]
    fn a_damaged_file_is_no_panic(text in damaged()) {
        if let Err(problems) = load_with(&text, &Environment::default(), &machine()) {
            let has_place = |line: &String| line.starts_with(|c: char| c.is_ascii_digit());
            let is_whole = |line: &String| line.starts_with("namespace: ");
            let placed = problems.iter().all(|line| has_place(line) || is_whole(line));
            prop_assert!(placed && !problems.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn a_strange_variable_is_no_panic(name in "[A-Z_.]{0,24}", value in any::<String>()) {
        let name = format!("SOCKGATE__{name}");
        let environment: Environment = [(name.as_str(), value.as_str())].into_iter().collect();
        if let Err(problems) = load_with(super::REST, &environment, &machine()) {
            let place = format!("{name}: ");
            prop_assert!(problems.iter().all(|problem| problem.starts_with(&place)), "{problems:?}");
        }
    }
}
