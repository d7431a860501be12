//! What must hold whatever an operator writes into the configuration file (contract 10).

use std::path::Path;

use sockgate::config::{Config, Environment, Place, Problem, Source, System};

/// A file: it is a configuration, or there are problems, each with a place that is in it. A comment changes nothing, and a second
/// reading says the same.
///
/// There is no bound of memory: the file is the operator's own, at most 1 MiB, and read once.
pub fn file(input: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sockgate.toml");
    let first = load(&path, input);
    assert_eq!(load(&path, input), first);
    let error = match first {
        Ok(config) => {
            let commented = [input, b"\n# as before\n"].concat();
            assert_eq!(load(&path, &commented), Ok(config));
            assert!(std::str::from_utf8(input).is_ok());
            return;
        }
        Err(error) => error,
    };
    assert!(!error.problems.is_empty() && error.problems.is_sorted());
    let lines = input.split(|byte| *byte == b'\n');
    let lines: Vec<String> = lines
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    for problem in &error.problems {
        match &problem.place {
            Place::File { line, column } => {
                let line = line.checked_sub(1).and_then(|index| lines.get(index));
                let line = line.expect("a line of the file");
                assert!(
                    (1..=line.chars().count() + 1).contains(column),
                    "{problem:?}"
                );
                let rest: String = line.chars().skip(column - 1).collect();
                assert!(!is_elsewhere(problem, &rest), "{problem:?}");
            }
            Place::Nowhere => assert!(
                problem.key == "namespace" || problem.message.contains("UTF-8"),
                "{problem:?}"
            ),
            other => panic!("{other:?} was not written"),
        }
        assert!(!problem.message.is_empty());
    }
}

/// Whether a key that is not known is not what stands at its place.
fn is_elsewhere(problem: &Problem, rest: &str) -> bool {
    let key = problem.key.rsplit('.').next().unwrap_or_default();
    let is_bare = key
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_unknown = problem.message.starts_with("unknown key");
    is_unknown && is_bare && !rest.trim_start_matches(['"', '\'']).starts_with(key)
}

fn load(path: &Path, text: &[u8]) -> Result<Config, sockgate::config::ConfigError> {
    std::fs::write(path, text).expect("a file can be written");
    let system = System {
        host_name: "gw-1".to_owned(),
        cores: 2,
        memory: 4 << 30,
        files: 1 << 20,
    };
    Config::load(
        &Source::File(Some(path.to_owned())),
        &Environment::default(),
        &system,
    )
}
