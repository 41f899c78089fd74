//! `devices`: what `--camera`, `--microphone`, `--speaker` and `--display` take on this machine.

use std::io::Write as _;

/// One thing that can be named on the command line.
#[derive(serde::Serialize)]
struct Device {
    id: &'static str,
    name: &'static str,
    #[serde(rename = "for")]
    options: &'static [&'static str],
}

/// What needs no hardware. Cameras and sound cards are not opened by this version.
const DEVICES: [Device; 4] = [
    Device { id: "pattern", name: "moving test picture, 1280x720 at 30 fps", options: &["camera"] },
    Device { id: "tone", name: "test tone", options: &["microphone"] },
    Device {
        id: "file:PATH",
        name: "a .y4m or .wav file; as a source it loops",
        options: &["camera", "microphone", "speaker", "display"],
    },
    Device { id: "none", name: "nothing", options: &["camera", "microphone", "speaker", "display"] },
];

/// Prints the list, for people or as JSON.
///
/// # Errors
/// When nobody reads it.
pub(crate) fn print(json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::json!({ "devices": DEVICES, "hardware": false }));
    }
    for device in DEVICES {
        let options: Vec<String> = device.options.iter().map(|option| format!("--{option}")).collect();
        writeln!(out, "{:10} {} ({})", device.id, device.name, options.join(", "))?;
    }
    writeln!(out, "\nCameras and sound cards are not opened by this version.")
}
