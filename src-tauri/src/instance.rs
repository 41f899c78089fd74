//! One running program for each place where data is kept: a second start shows the window of the first and ends.

use std::path::Path;

use tauri::plugin::TauriPlugin;
use tauri::{AppHandle, Wry};

use crate::args::Arguments;
use crate::window;

/// The guard. It must be the first plugin, so that a second start ends before it does anything.
pub(crate) fn guard(arguments: &Arguments) -> TauriPlugin<Wry> {
    tauri_plugin_single_instance::Builder::new()
        .dbus_id(id(&arguments.profile, arguments.data_dir.as_deref()))
        .callback(|app: &AppHandle, arguments, _folder| {
            // A start with the session, for example, wants no window.
            if !arguments.iter().any(|argument| argument == "--hidden") {
                window::open(app);
            }
        })
        .build()
}

/// Names an instance on the session's bus: by its profile, and by its folder where one is given. Two folders may share a
/// name's letters, never their bytes.
fn id(profile: &str, data_dir: Option<&Path>) -> String {
    let folder = data_dir.map(|folder| {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let bytes = folder.as_os_str().as_encoded_bytes();
        format!(".d{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, fnv_1a))
    });
    format!("app.ahoy.Ahoy.p{}{}", profile.replace('-', "__"), folder.unwrap_or_default())
}

/// A step of FNV-1a (64 bit): short, and the same in each version of the program.
fn fnv_1a(hash: u64, byte: &u8) -> u64 {
    (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_and_each_folder_has_a_program_of_its_own() {
        let ids = [
            id("default", None),
            id("bob", None),
            id("default", Some(Path::new("/a"))),
            id("default", Some(Path::new("/b"))),
            id("bob", Some(Path::new("/a"))),
        ];
        for (at, one) in ids.iter().enumerate() {
            assert!(ids.iter().skip(at + 1).all(|other| other != one), "{one}");
            assert!(one.len() < 200, "D-Bus takes 255 with what is added");
            assert!(one.split('.').all(|part| part.starts_with(|first: char| first.is_ascii_alphabetic())), "{one}");
        }
        assert_eq!(id("bob", None), id("bob", None));
    }
}
