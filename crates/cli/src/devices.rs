//! `devices`: what `--camera`, `--microphone`, `--speaker` and `--display` take on this machine.

use std::io::Write as _;

use ahoy_client::devices::{self, Hardware};

/// One thing that can be named on the command line.
#[derive(serde::Serialize)]
struct Device {
    id: String,
    name: String,
    #[serde(rename = "for")]
    options: Vec<&'static str>,
    /// Something one can touch; the rest is there on every machine.
    hardware: bool,
}

/// Prints the list, for people or as JSON. What cannot be listed is told on standard error; the rest still is.
///
/// # Errors
/// When nobody reads it.
pub(crate) fn print(json: bool) -> std::io::Result<()> {
    let hardware = devices::list();
    for problem in hardware.camera_problem.iter().chain(&hardware.sound_problem) {
        eprintln!("ahoy-cli: {problem}");
    }
    let devices: Vec<Device> = of_the_machine(hardware).into_iter().chain(of_every_machine()).collect();
    let mut out = std::io::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::json!({ "devices": devices }));
    }
    let width = devices.iter().map(|device| device.id.chars().count()).max().unwrap_or(0);
    for device in devices {
        let options: Vec<String> = device.options.iter().map(|option| format!("--{option}")).collect();
        writeln!(out, "{:width$}  {} ({})", device.id, device.name, options.join(", "))?;
    }
    Ok(())
}

fn of_the_machine(hardware: Hardware) -> Vec<Device> {
    let Hardware { cameras, microphones, speakers, camera_problem: _, sound_problem: _ } = hardware;
    let groups = [("camera", cameras), ("microphone", microphones), ("speaker", speakers)];
    let devices =
        groups.into_iter().flat_map(|(option, devices)| devices.into_iter().map(move |device| (option, device)));
    devices
        .map(|(option, device)| Device { id: device.id, name: device.name, options: vec![option], hardware: true })
        .collect()
}

fn of_every_machine() -> [Device; 5] {
    let device = |id: &str, name: &str, options: &[&'static str]| Device {
        id: id.into(),
        name: name.into(),
        options: options.into(),
        hardware: false,
    };
    [
        device("default", "the system's choice", &["camera", "microphone", "speaker"]),
        device("pattern", "moving test picture, 1280x720 at 30 fps", &["camera"]),
        device("tone", "test tone", &["microphone"]),
        device(
            "file:PATH",
            "a .y4m or .wav file; as a source it loops",
            &["camera", "microphone", "speaker", "display"],
        ),
        device("none", "nothing", &["camera", "microphone", "speaker", "display"]),
    ]
}
