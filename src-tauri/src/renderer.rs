//! How the web view draws. Its way over the graphics driver's buffers (DMABUF) is three to ten times slower where there is
//! no graphics processor, and shows nothing with some NVIDIA drivers; then it is told to take the other one.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

const SWITCH: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

/// Runs this program anew with the switch set, where this machine wants it and nobody has set it. Else it returns: the web
/// view reads the environment, and this process must not change its own once threads may read it.
pub(crate) fn choose() {
    if env::var_os(SWITCH).is_some() || !wants_switch(Path::new("/")) {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    // It only comes back where it failed; then pictures are slow, and that is all.
    let error = Command::new(program).args(env::args_os().skip(1)).env(SWITCH, "1").exec();
    tracing::debug!(%error, "cannot start anew for the other way of drawing");
}

/// Whether the machine below `root` has no graphics processor, or NVIDIA's driver.
fn wants_switch(root: &Path) -> bool {
    let nodes = std::fs::read_dir(root.join("dev/dri")).into_iter().flatten().flatten();
    let has_graphics = nodes.into_iter().any(|node| node.file_name().as_encoded_bytes().starts_with(b"renderD"));
    !has_graphics || root.join("proc/driver/nvidia/version").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_a_machine_without_graphics_or_with_nvidia_is_told_to_draw_otherwise() {
        let root = tempfile::tempdir().unwrap();
        assert!(wants_switch(root.path()));
        fs::create_dir_all(root.path().join("dev/dri")).unwrap();
        fs::write(root.path().join("dev/dri/card0"), "").unwrap();
        assert!(wants_switch(root.path()), "a screen, but nothing that draws");
        fs::write(root.path().join("dev/dri/renderD128"), "").unwrap();
        assert!(!wants_switch(root.path()));
        fs::create_dir_all(root.path().join("proc/driver/nvidia")).unwrap();
        fs::write(root.path().join("proc/driver/nvidia/version"), "NVRM").unwrap();
        assert!(wants_switch(root.path()));
    }
}
