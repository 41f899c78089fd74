//! Makes Rust's view of libvpx's headers, those of the version that is installed and will be linked.

use std::env;
use std::path::PathBuf;

const HEADERS: &str = "
#include <vpx/vpx_encoder.h>
#include <vpx/vpx_decoder.h>
#include <vpx/vp8cx.h>
#include <vpx/vp8dx.h>
";

/// Writes `vpx.rs` into the build's folder and tells the linker.
///
/// # Errors
/// When libvpx or its headers are not there, in words.
pub(crate) fn bind() -> Result<(), String> {
    let vpx = pkg_config::Config::new().atleast_version("1.8").probe("vpx").map_err(|error| {
        format!("VP8 needs libvpx with its headers (Debian, Ubuntu: apt install libvpx-dev), or a build with --no-default-features: {error}")
    })?;
    let folders = vpx.include_paths.iter().map(|folder| format!("-I{}", folder.display()));
    let bindings = bindgen::builder()
        .header_contents("vpx.h", HEADERS)
        .clang_args(folders)
        .allowlist_type("(vpx|vp8).*")
        .allowlist_var("(VPX|VP8).*")
        .allowlist_function("vpx.*")
        .rustified_enum("vpx_.*|vp8.*")
        .rust_edition(bindgen::RustEdition::Edition2024)
        .layout_tests(false)
        .generate_comments(false)
        .generate()
        .map_err(|error| format!("libvpx's headers cannot be read: {error}"))?;
    let folder = env::var_os("OUT_DIR").ok_or("cargo names no folder to write to")?;
    bindings
        .write_to_file(PathBuf::from(folder).join("vpx.rs"))
        .map_err(|error| format!("the bindings to libvpx cannot be written: {error}"))
}
