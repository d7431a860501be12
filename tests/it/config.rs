//! The command line as a user meets it: `check`, `init`, `keys`, a start that is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program in an empty environment, in the root of the package.
fn sockgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockgate"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// An empty directory of one test.
fn directory(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{test}"));
    if path.exists() {
        fs::remove_dir_all(&path).expect("a directory of an earlier run");
    }
    fs::create_dir_all(&path).expect("a directory of the test");
    path
}

/// Checks a file; one variable is set, to a valid API key.
fn check(file: &Path) -> Output {
    let mut command = sockgate();
    command.arg("check").arg("--config").arg(file);
    command.env("SOCKGATE_TEST_KEY", format!("sgk_{}", "k".repeat(43)));
    output(&mut command)
}

/// What `check` says about each file of `tests/configs` is in the `.out` beside it, letter by letter.
///
/// With `UPDATE_GOLDEN=1` the `.out` files are written anew; look at the difference before it is committed.
#[test]
fn check_tells_everything_that_is_wrong() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let mut checked = 0;
    for entry in fs::read_dir(&directory).expect("the directory of wrong files") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file = path
            .strip_prefix(env!("CARGO_MANIFEST_DIR"))
            .expect("a file of the package");
        let output = check(file);
        assert_eq!(output.status.code(), Some(78), "{}", file.display());
        assert_eq!(text(&output.stderr), "", "{}", file.display());
        let golden = path.with_extension("out");
        if update {
            fs::write(&golden, &output.stdout).expect("a golden file");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text(&output.stdout), expected, "{}", file.display());
        checked += 1;
    }
    assert!(checked >= 10, "only {checked} files");
}

#[test]
fn check_never_repeats_a_secret() {
    let output = check(Path::new("tests/configs/inline_secret.toml"));
    let report = text(&output.stdout);
    assert!(report.ends_with("\n4 problems\n"), "{report}");
    for secret in ["aW5saW5l", "anna"] {
        assert!(!report.contains(secret), "{report}");
    }
}

#[test]
fn check_summarises_what_is_right() {
    let output = output(sockgate().args(["check", "--config", "config/minimal.toml"]));
    assert_eq!(output.status.code(), Some(0));
    let expected = "\
configuration is valid
  clients    0.0.0.0:3000, path /socket.io/
  API        127.0.0.1:3001, no key
  admin      127.0.0.1:3002
  upstream   app: http://127.0.0.1:8000/sockgate
  namespace  /: /:connect, /:*
warning: the API is open to everybody on this machine: there is no [[api.key]]
warning: upstream app: requests are not signed
";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn a_wrong_variable_is_named() {
    let mut command = sockgate();
    command.args(["check", "--config", "config/minimal.toml"]);
    command.env("SOCKGATE__ENGINE__PING_INTERVALL", "10s");
    let output = output(&mut command);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        text(&output.stdout),
        "SOCKGATE__ENGINE__PING_INTERVALL: engine.ping_intervall: unknown key; the nearest valid key is `ping_interval`\n\n1 problem\n"
    );
}

#[test]
fn a_start_without_namespaces_is_refused_with_what_to_add() {
    let empty = directory("nothing");
    for arguments in [&[][..], &["serve"]] {
        let output = output(sockgate().args(arguments).current_dir(&empty));
        assert_eq!(output.status.code(), Some(78));
        assert_eq!(text(&output.stdout), "");
        let error = text(&output.stderr);
        assert!(
            error.starts_with("namespace: without any [[namespace]]"),
            "{error}"
        );
        assert!(error.contains("`sockgate init`"), "{error}");
        assert!(error.contains("--backend URL"), "{error}");
    }
}

#[test]
fn init_writes_a_file_that_is_found_and_valid() {
    let directory = directory("init");
    let init = || output(sockgate().arg("init").current_dir(&directory));
    assert_eq!(init().status.code(), Some(0));
    let check = output(sockgate().arg("check").current_dir(&directory));
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stdout));
    // It is never overwritten.
    let path = directory.join("sockgate.toml");
    fs::write(&path, "mine").expect("a file");
    let again = init();
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("exists and is left as it is"));
    assert_eq!(fs::read_to_string(&path).expect("a file"), "mine");
    let other = output(
        sockgate()
            .args(["init", "other.toml"])
            .current_dir(&directory),
    );
    assert_eq!(other.status.code(), Some(0));
    assert!(directory.join("other.toml").exists());
}

#[test]
fn what_keys_prints_configures_a_gateway() {
    let directory = directory("keys");
    let print = || text(&output(sockgate().arg("keys")).stdout).to_owned();
    let printed = print();
    assert_ne!(printed, print());
    let line = |prefix: &str| {
        let line = printed.lines().find(|line| line.starts_with(prefix));
        line.unwrap_or_else(|| panic!("{printed}"))
    };
    let (key, secret) = (line("sgk_"), line("whsec_"));
    assert!(line("secrets = ").contains("env:APP_WHSEC"));
    let [name, sha256, scopes] = ["name = ", "sha256 = ", "scopes = "].map(line);
    let config = |key: &str| {
        format!(
            "[api]\nlisten = '0.0.0.0:0'\n[[api.key]]\n{key}\n{scopes}\n[[upstream]]\nname = 'app'\nurl = 'http://app/'\n{}\n\
             [[namespace]]\nmatch = '/'\n[[namespace.route]]\non = 'connect'\nupstream = 'app'\n",
            line("secrets = ")
        )
    };
    let check = |text: &str| {
        fs::write(directory.join("sockgate.toml"), text).expect("a file");
        let mut command = sockgate();
        command.arg("check").current_dir(&directory);
        command.env("KEY", key).env("APP_WHSEC", secret);
        output(&mut command)
    };
    let by_hash = check(&config(&format!("{name}\n{sha256}")));
    assert_eq!(by_hash.status.code(), Some(0), "{}", text(&by_hash.stdout));
    // The hash is the key's: together they are the same key twice.
    let both = format!("{name}\n{sha256}\n{scopes}\n[[api.key]]\nname = 'b'\nsecret = 'env:KEY'");
    let twice = check(&config(&both));
    assert!(
        text(&twice.stdout).contains("is the same key as another"),
        "{}",
        text(&twice.stdout)
    );
}

#[test]
fn wrong_usage_has_its_own_exit_code_and_help_has_none() {
    for arguments in [
        &["serv"][..],
        &["--config"],
        &["serve", "--config", "a", "--backend", "b"],
        &["serve", "--secret", "env:A"],
    ] {
        let output = output(sockgate().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("--help"), "{arguments:?}");
    }
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["serve", "--help"],
        &["--version"],
    ] {
        let output = output(sockgate().args(arguments));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains("sockgate"), "{arguments:?}");
    }
}
