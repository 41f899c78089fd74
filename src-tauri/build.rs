//! What Tauri makes at build time: the page and the configuration, put into the program.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if !Path::new("../ui/dist/index.html").is_file() {
        eprintln!("the page is not built: run `cargo xtask page` first (`cargo xtask run` and `cargo xtask test` do)");
        return ExitCode::FAILURE;
    }
    tauri_build::build();
    ExitCode::SUCCESS
}
