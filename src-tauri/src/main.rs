//! The desktop app: a window around `ahoy-app`, and what belongs to a desktop beside it. It wires; it decides nothing about
//! calls.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

mod args;
mod commands;
mod frames_channel;
mod instance;
mod notify;
mod platform;
mod quit;
#[cfg(target_os = "linux")]
mod renderer;
mod shell;
mod tray;
mod window;
mod words;

use std::fs::{File, TryLockError};
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ahoy_app::App;
use ahoy_app::frames::Frames;
use anyhow::{Context as _, bail};
use clap::Parser as _;
use tauri::webview::PermissionResponse;
use tauri::{AppHandle, Manager as _, RunEvent, WindowEvent};

use crate::args::Arguments;
use crate::commands::AttachedPage;
use crate::notify::Notifier;
use crate::shell::{Desktop, Running};
use crate::tray::Tray;

/// What is logged where `AHOY_LOG` says nothing else: our own warnings.
const LOG: &str = "off,ahoy=warn,ahoy_app=warn,ahoy_client=warn,ahoy_call=warn,ahoy_transport=warn,ahoy_rtp=warn,\
                   ahoy_media=warn,tauri_plugin_single_instance=warn";

/// What still runs when the window is gone gets this long.
const SHUTDOWN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("AHOY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    #[cfg(target_os = "linux")]
    renderer::choose();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ahoy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    #[cfg(target_os = "linux")]
    gtk::init().context("there is no display to open a window on; start Ahoy in a desktop session")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    tauri::async_runtime::set(runtime.handle().clone());
    let entered = runtime.enter();
    let tauri = tauri::Builder::default()
        .plugin(instance::guard(&arguments))
        // Devices are opened in Rust; the page needs nothing that would have to be asked for.
        .on_permission_request(|_, _| PermissionResponse::Deny)
        .invoke_handler(tauri::generate_handler![
            commands::attach,
            commands::send,
            commands::painted,
            frames_channel::frames_by_channel,
            frames_channel::frames_hear,
        ])
        .on_window_event(|window, event| {
            if let WindowEvent::CloseRequested { api, .. } = event {
                api.prevent_close();
                window::close(window.app_handle());
            }
        })
        .build(tauri::generate_context!())
        .context("the window system does not let the program in")?;
    start(tauri.handle(), &arguments)?;
    let code = tauri.run_return(|handle, event| {
        // Nothing but `quit` ends the program, which says a code.
        if let RunEvent::ExitRequested { code: None, api, .. } = event {
            api.prevent_exit();
            quit::start(handle);
        }
    });
    drop(entered);
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Takes the data folder for this process, until it ends. The guard of one instance knows a folder by its name, and nothing
/// where there is no session bus.
fn lock(data: &Path) -> anyhow::Result<File> {
    let place = || format!("cannot use {}; see that the folder is yours, or give --data-dir", data.display());
    std::fs::create_dir_all(data).with_context(place)?;
    let lock = File::create(data.join("lock")).with_context(place)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another Ahoy uses {}; close it, or give this one a --profile of its own", data.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(place),
    }
}

/// Starts the app, and puts the window and the tray's icon before it.
fn start(handle: &AppHandle, arguments: &Arguments) -> anyhow::Result<()> {
    let data = match &arguments.data_dir {
        Some(folder) => folder.clone(),
        None => handle.path().app_data_dir().context("this system has no place for data")?.join(&arguments.profile),
    };
    handle.manage(lock(&data)?);
    let frames = Arc::new(Frames::start(arguments.frames).context("pictures cannot be shown")?);
    let chosen = handle.clone();
    let notifier = Arc::new(Notifier::start(move |choice| shell::on_choice(&chosen, choice)));
    let desktop = Arc::new(Desktop::new(handle.clone(), Arc::clone(&notifier)));
    let pictures: Arc<Frames> = Arc::clone(&frames);
    let app = App::start(arguments.options(data.clone()), desktop, pictures)?;
    shell::note_drawn(&frames, &app);
    let views = app.view();
    let theme = views.borrow().settings.theme;
    handle.manage(AttachedPage::default());
    handle.manage(Arc::clone(&frames));
    handle.manage(Running::new(app, frames, notifier, Tray::create(handle)));
    window::create(handle, &data, theme).context("the window cannot be opened")?;
    if !arguments.hidden {
        window::open(handle);
    }
    tauri::async_runtime::spawn(shell::tell_state(handle.clone(), views));
    #[cfg(unix)]
    quit::on_signals(handle).context("signals cannot be waited for")?;
    Ok(())
}
