//! Where the official client bundles come from (protocol 5.7). They are third-party code and not committed here:
//!
//! 1. a folder that the builder names, in which all eight files must be;
//! 2. else the exact npm package, where npm is there; what came is compared with the hash below, whatever npm thinks of it;
//! 3. else nothing, and the gateway sends browsers on to the CDN of the Socket.IO project.
//!
//! Part of the build script and, for tests of all outcomes, of the integration tests.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha512};

/// The variable that names a folder with the files.
pub(crate) const DIRECTORY: &str = "SOCKGATE_CLIENT_DIR";
/// How long npm may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// The version that is fetched, and that browsers are sent on to.
pub(crate) const VERSION: &str = "4.8.4";
/// Hash of the package, as registries write it.
pub(crate) const INTEGRITY: &str = "sha512-7wjKAvVXYOJsbmUgkWbnhPD4bFpkqrUR0++XOjpGFmqDqsqV1CI93VTraeExLxpjxEqrWgFoSRZu1ihjLWfkAA==";
/// What is served, and nothing else.
pub(crate) const FILES: [&str; 8] = [
    "socket.io.js",
    "socket.io.min.js",
    "socket.io.esm.min.js",
    "socket.io.msgpack.min.js",
    "socket.io.js.map",
    "socket.io.min.js.map",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js.map",
];

/// Between two looks at a running npm.
const LOOK: Duration = Duration::from_millis(20);

/// All eight files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// Their version, as the first lines of the bundle tell it.
    pub(crate) version: String,
    /// Where they are.
    pub(crate) directory: PathBuf,
}

/// The files in a folder.
pub(crate) fn from_directory(directory: &Path) -> Result<Bundle, String> {
    let directory =
        fs::canonicalize(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for name in FILES {
        if !directory.join(name).is_file() {
            return Err(format!("{} has no file {name}", directory.display()));
        }
    }
    let bundle = fs::read_to_string(directory.join(FILES[0]))
        .map_err(|error| format!("{}: {error}", FILES[0]))?;
    let version = version(&bundle).ok_or_else(|| {
        format!(
            "{} does not begin with `Socket.IO v` and a version",
            FILES[0]
        )
    })?;
    Ok(Bundle {
        version: version.to_owned(),
        directory,
    })
}

/// From the comment at the top.
fn version(bundle: &str) -> Option<&str> {
    let mut lines = bundle.lines().take(5);
    let version = lines.find_map(|line| line.trim().strip_prefix("* Socket.IO v"))?;
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    (!version.is_empty() && version.chars().all(fine)).then_some(version)
}

/// The files of the npm package, unpacked under `cache`. A package that is there already is used if it is the right one.
pub(crate) fn from_npm(
    npm: impl AsRef<OsStr>,
    cache: &Path,
    limit: Duration,
) -> Result<Bundle, String> {
    let package = cache.join(format!("socket.io-client-{VERSION}.tgz"));
    if !fs::read(&package).is_ok_and(|bytes| is_genuine(&bytes)) {
        fetch(npm.as_ref(), cache, limit)?;
    }
    let bytes = fs::read(&package).map_err(|error| format!("npm fetched nothing: {error}"))?;
    if !is_genuine(&bytes) {
        return Err("npm fetched a package with another hash".to_owned());
    }
    let directory = cache.join(format!("client-{VERSION}"));
    unpack(&bytes, &directory)
        .map_err(|error| format!("the package cannot be unpacked: {error}"))?;
    from_directory(&directory)
}

fn is_genuine(package: &[u8]) -> bool {
    format!("sha512-{}", STANDARD.encode(Sha512::digest(package))) == INTEGRITY
}

fn fetch(npm: &OsStr, into: &Path, limit: Duration) -> Result<(), String> {
    let mut npm = Command::new(npm)
        .arg("pack")
        .arg(format!("socket.io-client@{VERSION}"))
        .args(["--ignore-scripts", "--silent", "--pack-destination"])
        .arg(into)
        .current_dir(into)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("npm cannot be run: {error}"))?;
    let end = Instant::now() + limit;
    loop {
        match npm.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("npm could not fetch the package: {status}")),
            Ok(None) if Instant::now() < end => std::thread::sleep(LOOK),
            outcome => {
                // It may have ended just now; either way nobody waits for it any more.
                npm.kill().and_then(|()| npm.wait()).ok();
                return Err(outcome.map_or_else(
                    |error| error.to_string(),
                    |_| format!("npm took longer than {limit:?}"),
                ));
            }
        }
    }
}

/// Writes the eight files; the rest of the package is not needed.
fn unpack(package: &[u8], directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut archive = tar::Archive::new(GzDecoder::new(package));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path
            .strip_prefix("package/dist")
            .ok()
            .and_then(Path::to_str);
        if let Some(name) = FILES.iter().find(|file| name == Some(**file)) {
            std::io::copy(&mut entry, &mut File::create(directory.join(name))?)?;
        }
    }
    Ok(())
}

/// The expression that `server::client_files` includes.
pub(crate) fn source(bundle: Option<&Bundle>) -> String {
    let mut code = format!("Build {{ fetched: {VERSION:?}, bundle: ");
    match bundle {
        None => code.push_str("None"),
        Some(Bundle { version, directory }) => {
            write!(code, "Some(Bundle {{ version: {version:?}, files: &[")
                .expect("writing to a string cannot fail");
            for name in FILES {
                let path = directory.join(name).to_string_lossy().into_owned();
                write!(code, "({name:?}, include_bytes!({path:?})),")
                    .expect("writing to a string cannot fail");
            }
            code.push_str("] })");
        }
    }
    code.push_str(" }\n");
    code
}
