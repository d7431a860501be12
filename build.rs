//! Makes the official client bundles part of the program, where they can be had; see `build/client_files.rs`.

#[path = "build/client_files.rs"]
mod client_files;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/client_files.rs");
    println!("cargo::rerun-if-env-changed={}", client_files::DIRECTORY);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let directory = std::env::var_os(client_files::DIRECTORY).filter(|value| !value.is_empty());
    let bundle = match directory {
        Some(directory) => {
            println!("cargo::rerun-if-changed={}", directory.display());
            match client_files::from_directory(directory.as_ref()) {
                Ok(bundle) => Some(bundle),
                Err(error) => {
                    println!("cargo::error={}: {error}", client_files::DIRECTORY);
                    return ExitCode::FAILURE;
                }
            }
        }
        None => match client_files::from_npm("npm", &out, client_files::LIMIT) {
            Ok(bundle) => Some(bundle),
            // Not tried again until this package is cleaned: cargo would build all of it anew each time.
            Err(error) => {
                println!(
                    "cargo::warning=the browser client is not part of this build ({error}); browsers will be sent on to its CDN. Set {} to a folder with its files to change that.",
                    client_files::DIRECTORY
                );
                None
            }
        },
    };
    let code = client_files::source(bundle.as_ref());
    if let Err(error) = std::fs::write(out.join("client_files.rs"), code) {
        println!("cargo::error=cannot write the client files: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
