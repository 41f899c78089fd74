//! Makes sure that release builds get openh264's assembly. Without `nasm` its build falls back to
//! plain C without a word, and encoding takes two to three times as long. Finds libvpx for VP8.

#[cfg(all(feature = "vp8", target_os = "linux"))]
#[path = "build/vpx.rs"]
mod vpx;

use std::env;
use std::process::{Command, ExitCode, Stdio};

const OVERRIDE: &str = "AHOY_ALLOW_SLOW_H264";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    // The host is Linux where this is compiled; what is built for may be another system.
    #[cfg(all(feature = "vp8", target_os = "linux"))]
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux")
        && let Err(error) = vpx::bind()
    {
        println!("cargo::error={error}");
        return ExitCode::FAILURE;
    }
    for variable in [OVERRIDE, "NASM", "OPENH264_NO_ASM"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    // Other processors' assembly needs no extra assembler.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(arch.as_str(), "x86" | "x86_64") || assembler_works() {
        return ExitCode::SUCCESS;
    }
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if !release || env::var_os(OVERRIDE).is_some_and(|value| value == "1") {
        println!("cargo::warning=nasm is missing or switched off: H.264 will be slow in this build");
        return ExitCode::SUCCESS;
    }
    println!(
        "cargo::error=nasm is missing or switched off, so this release would encode H.264 two to three times as slowly. \
         Install it (Debian, Ubuntu: apt install nasm; macOS: brew install nasm; Windows: winget install \
         NASM.NASM), then run `cargo clean --release -p openh264-sys2` and build again. To build without it: {OVERRIDE}=1."
    );
    ExitCode::FAILURE
}

/// Finds the assembler as openh264's own build does.
fn assembler_works() -> bool {
    if env::var_os("OPENH264_NO_ASM").is_some() {
        return false;
    }
    let nasm = env::var_os("NASM").unwrap_or_else(|| "nasm".into());
    let run = Command::new(nasm).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
