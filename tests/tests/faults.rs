//! What must be survived: networks, peers and servers that fail, each by a real call between processes. The rows are those of
//! `docs/reliability.md`.

#[path = "faults/network.rs"]
mod network;
#[path = "faults/peer.rs"]
mod peer;
#[path = "faults/relay.rs"]
mod relay;
#[path = "faults/rig.rs"]
mod rig;
#[path = "faults/server.rs"]
mod server;
#[path = "faults/soak.rs"]
mod soak;

use std::path::Path;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ahoy_tests::harness::camera::FakeCamera;
use ahoy_tests::harness::media::{Sources, unpack};

/// Whoever takes the whole machine does so alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// For a test that measures times: the machine is not starved meanwhile.
fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that starves the machine.
fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// A camera that shows the clip. `None`: not on this machine, which is said.
fn camera() -> Option<FakeCamera> {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    let sources = SOURCES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        unpack(&folder)
    });
    FakeCamera::new(&sources.plain.clip, "YUYV 640 480 30")
}
