//! What the window needs of the system below Tauri: keys that work whatever the page does, a page that comes back when its
//! process is gone, and to appear without taking the keyboard.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(crate) use linux::attend;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::attend;
