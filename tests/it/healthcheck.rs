//! `sockgate healthcheck`: the probe of an image that has no shell.

use std::process::Output;

use rustix::process::Signal;
use tokio::process::Command;

use crate::support::gateway::{ECHO, Gateway};
use crate::support::wait::within;

async fn healthcheck(admin: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sockgate.toml");
    // What the gateway needs and the check does not: a secret that is nowhere.
    let text = format!(
        "admin.listen = \"{admin}\"\n[[upstream]]\nname = \"a\"\nsecrets = [\"env:NOWHERE\"]\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockgate"));
    command.arg("healthcheck").arg("--config").arg(&file);
    within("a health check", command.output()).await.unwrap()
}

#[tokio::test]
async fn a_gateway_that_runs_is_healthy_and_one_that_does_not_is_not() {
    let mut gateway = Gateway::start(ECHO).await;
    let admin = gateway.admin.to_string();
    let output = healthcheck(&admin).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    let everywhere = format!("0.0.0.0:{}", gateway.admin.port());
    assert_eq!(healthcheck(&everywhere).await.status.code(), Some(0));
    gateway.signal(Signal::TERM);
    gateway.exit().await;
    let output = healthcheck(&admin).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&admin), "{error}");
}

#[tokio::test]
async fn a_port_that_nobody_knows_cannot_be_asked() {
    let output = healthcheck("127.0.0.1:0").await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
