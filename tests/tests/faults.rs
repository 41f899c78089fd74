//! What must be survived: networks, peers and servers that fail, each by a real call between processes. The rows are those of
//! `docs/reliability.md`.

#[path = "faults/rig.rs"]
mod rig;
